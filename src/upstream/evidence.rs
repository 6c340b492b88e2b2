//! When a broker was last heard to speak AMQP, so that a probe need not ask again.

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

/// The last proof that sessions find a broker that works for them.
#[derive(Debug, Default)]
pub(super) struct Evidence(Mutex<Option<Instant>>);

impl Evidence {
    /// A broker has just done what a session needs of it.
    pub(super) fn record(&self, now: Instant) {
        *self.lock() = Some(now);
    }

    /// All brokers have just failed.
    pub(super) fn discard(&self) {
        *self.lock() = None;
    }

    /// Whether the proof still counts.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.lock()
            .is_some_and(|at| now.saturating_duration_since(at) < LIFETIME)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        // An instant cannot be left half written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a broker that takes sockets but no longer answers may pass for ready, against how often
/// an idle gateway writes into the broker's log.
const LIFETIME: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_counts_until_it_is_old_or_contradicted() {
        let evidence = Evidence::default();
        let now = Instant::now();
        assert!(!evidence.is_fresh(now));
        evidence.record(now);
        assert!(evidence.is_fresh(now + LIFETIME - Duration::from_nanos(1)));
        assert!(!evidence.is_fresh(now + LIFETIME));
        evidence.record(now + LIFETIME);
        assert!(evidence.is_fresh(now + LIFETIME));
        evidence.discard();
        assert!(!evidence.is_fresh(now + LIFETIME));
    }
}
