//! How many of our connections a broker holds back (connection.blocked), and for how long it has held back any, as a
//! value.

use std::time::Duration;
use std::time::Instant;

/// What one broker holds back.
#[derive(Debug, Default)]
pub struct Held {
    connections: usize,
    /// Up to here the time is in `time`; there while there are any.
    counted: Option<Instant>,
    time: Duration,
}

impl Held {
    /// One connection more is held back from now on.
    pub fn one_more(&mut self, now: Instant) {
        self.count(now);
        self.connections += 1;
        self.counted.get_or_insert(now);
    }

    /// One connection is held back no more; of none there is none to take away.
    pub fn one_less(&mut self, now: Instant) {
        self.count(now);
        self.connections = self.connections.saturating_sub(1);
        if self.connections == 0 {
            self.counted = None;
        }
    }

    /// How many are held back.
    pub const fn connections(&self) -> usize {
        self.connections
    }

    /// For how long any were held back since this was last asked.
    pub fn take_time(&mut self, now: Instant) -> Duration {
        self.count(now);
        std::mem::take(&mut self.time)
    }

    fn count(&mut self, now: Instant) {
        if let Some(counted) = &mut self.counted {
            self.time += now.saturating_duration_since(*counted);
            *counted = now.max(*counted);
        }
    }
}

#[cfg(test)]
mod tests;
