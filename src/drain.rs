//! The plan by which the process finishes: once begun, every session learns when it is to close.

pub mod config;

use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;
use std::time::Instant;

pub use self::config::Config;

/// Whether the process is finishing, and how long that may take. Clones watch the same drain.
#[derive(Debug, Clone)]
pub struct Watch {
    config: Config,
    began: Arc<OnceLock<Instant>>,
}

impl Watch {
    /// A drain that has not begun.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            began: Arc::default(),
        }
    }

    /// Begins to drain.
    pub fn begin(&self) {
        self.began.get_or_init(Instant::now);
    }

    /// Whether no new session is wanted.
    pub fn is_draining(&self) -> bool {
        self.began.get().is_some()
    }

    /// How long may pass from the beginning until everything is closed.
    pub const fn deadline(&self) -> Duration {
        self.config.deadline
    }

    /// When a session is to close, from now: a random moment of the spread. None while not draining.
    pub fn close_after(&self) -> Option<Duration> {
        let began = self.began.get()?;
        let earliest = self.config.deadline.saturating_sub(self.config.spread);
        let moment = earliest + self.config.spread.mul_f64(fastrand::f64());
        Some(moment.saturating_sub(began.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_is_spread_over_the_last_part_of_the_deadline() {
        let watch = Watch::new(Config {
            deadline: Duration::from_secs(100),
            spread: Duration::from_secs(40),
        });
        assert_eq!(watch.close_after(), None);
        assert!(!watch.is_draining());
        watch.clone().begin();
        assert!(watch.is_draining());
        let moments: Vec<Duration> = (0..200).filter_map(|_| watch.close_after()).collect();
        assert_eq!(moments.len(), 200);
        assert!(moments
            .iter()
            .all(|moment| *moment <= Duration::from_secs(100)));
        assert!(moments
            .iter()
            .all(|moment| *moment >= Duration::from_secs(59)));
        let early = moments
            .iter()
            .filter(|moment| moment.as_secs() < 80)
            .count();
        assert!((1..200).contains(&early), "all at once: {early} of 200");
    }

    #[test]
    fn without_a_spread_all_close_at_the_deadline() {
        let watch = Watch::new(Config {
            deadline: Duration::ZERO,
            spread: Duration::ZERO,
        });
        watch.begin();
        assert_eq!(watch.close_after(), Some(Duration::ZERO));
    }
}
