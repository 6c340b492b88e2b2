//! What a relay shows of itself while it runs: where its broker is, and how many channels are open.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::sync::OnceLock;

/// Read from another thread at any time, so every field is right by itself.
#[derive(Debug, Default)]
pub struct Seen {
    broker: OnceLock<Box<str>>,
    channels: AtomicU32,
}

impl Seen {
    /// This broker (`host:port`) carries the session.
    pub fn at(&self, broker: &str) {
        // A session has one broker, from the moment it has one.
        let _ = self.broker.set(broker.into());
    }

    /// The broker, once there is one.
    pub fn broker(&self) -> Option<&str> {
        self.broker.get().map(Box::as_ref)
    }

    /// This many channels more, or fewer. Where both sides close one at once, each confirms: none is below zero.
    pub fn add_channels(&self, change: i32) {
        if change != 0 {
            let channels = self.channels().saturating_add_signed(change);
            self.set_channels(channels);
        }
    }

    /// So many channels are open. Only the relay says so, so there is nobody to race with.
    pub fn set_channels(&self, channels: u32) {
        self.channels.store(channels, Ordering::Relaxed);
    }

    /// Channels that are open.
    pub fn channels(&self) -> u32 {
        self.channels.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_broker_stays_and_channels_are_never_below_zero() {
        let seen = Seen::default();
        assert_eq!((seen.broker(), seen.channels()), (None, 0));
        seen.at("one:5672");
        seen.at("two:5672");
        seen.add_channels(2);
        seen.add_channels(-3);
        assert_eq!((seen.broker(), seen.channels()), (Some("one:5672"), 0));
        seen.set_channels(7);
        assert_eq!(seen.channels(), 7);
    }
}
