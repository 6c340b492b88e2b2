//! How much of an application is under way: a bound, a gauge, and the wait for the last one at the end.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::sync::Arc;

use prometheus::IntGauge;
use tokio::sync::Notify;

/// Places for what may be under way at once. Clones share them.
#[derive(Debug, Clone)]
pub struct InFlight {
    limit: usize,
    gauge: IntGauge,
    taken: Arc<AtomicUsize>,
    emptied: Arc<Notify>,
}

/// A place, given back when this is dropped.
#[derive(Debug)]
pub struct Guard(InFlight);

impl InFlight {
    /// `limit` places.
    pub fn new(limit: usize, gauge: IntGauge) -> Self {
        Self {
            limit,
            gauge,
            taken: Arc::default(),
            emptied: Arc::default(),
        }
    }

    /// A place, if there is one.
    pub fn enter(&self) -> Option<Guard> {
        let enter = |taken: usize| (taken < self.limit).then_some(taken + 1);
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, enter)
            .ok()?;
        self.gauge.inc();
        Some(Guard(self.clone()))
    }

    /// Waits until no place is taken.
    pub async fn emptied(&self) {
        loop {
            let notified = self.emptied.notified();
            if self.taken.load(Ordering::Acquire) == 0 {
                return;
            }
            notified.await;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.gauge.dec();
        if self.0.taken.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let gauge = IntGauge::new("g", "g").unwrap();
        let places = InFlight::new(2, gauge.clone());
        let (one, two) = (places.enter().unwrap(), places.clone().enter().unwrap());
        assert!(places.enter().is_none());
        assert_eq!(gauge.get(), 2);
        drop(one);
        assert!(places.enter().is_some());
        drop(two);
        assert_eq!(gauge.get(), 0);
    }

    #[tokio::test]
    async fn the_last_one_is_waited_for() {
        let places = InFlight::new(2, IntGauge::new("g", "g").unwrap());
        let guard = places.enter().unwrap();
        let waiting = tokio::spawn({
            let places = places.clone();
            async move { places.emptied().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(guard);
        waiting.await.unwrap();
        places.emptied().await;
    }
}
