//! How much of an application is under way: a bound in all and for each client, a gauge, and the wait for the last one at
//! the end.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use prometheus::IntGauge;
use tokio::sync::Notify;

/// Places for what may be under way at once. Clones share them.
#[derive(Debug, Clone)]
pub struct InFlight {
    limit: usize,
    gauge: IntGauge,
    places: Arc<Mutex<Places>>,
    emptied: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Places {
    taken: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A place, given back when this is dropped.
#[derive(Debug)]
pub struct Guard {
    places: InFlight,
    address: Option<IpAddr>,
}

impl InFlight {
    /// `limit` places.
    pub fn new(limit: usize, gauge: IntGauge) -> Self {
        Self {
            limit,
            gauge,
            places: Arc::default(),
            emptied: Arc::default(),
        }
    }

    /// A place, if there is one. One address has a fourth of them at most, but [`LEAST_SHARE`]; none is known of clients
    /// behind a proxy.
    pub fn enter(&self, address: Option<IpAddr>) -> Option<Guard> {
        let share = (self.limit / 4).max(LEAST_SHARE);
        let mut places = self.lock();
        if places.taken >= self.limit {
            return None;
        }
        if let Some(address) = address {
            let of_address = places.by_address.entry(address).or_default();
            if *of_address >= share {
                return None;
            }
            *of_address += 1;
        }
        places.taken += 1;
        self.gauge.inc();
        let places = self.clone();
        Some(Guard { places, address })
    }

    /// Waits until no place is taken.
    pub async fn emptied(&self) {
        loop {
            let notified = self.emptied.notified();
            if self.lock().taken == 0 {
                return;
            }
            notified.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.places.gauge.dec();
        let mut places = self.places.lock();
        places.taken -= 1;
        if let Some(address) = self.address {
            if let Some(count) = places.by_address.get_mut(&address) {
                *count -= 1;
                if *count == 0 {
                    places.by_address.remove(&address);
                }
            }
        }
        if places.taken == 0 {
            self.places.emptied.notify_waiters();
        }
    }
}

/// Places that one address may take in any case: an office behind one address, a page with everything in files of its own.
const LEAST_SHARE: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let gauge = IntGauge::new("g", "g").unwrap();
        let places = InFlight::new(2, gauge.clone());
        let (one, two) = (
            places.enter(None).unwrap(),
            places.clone().enter(None).unwrap(),
        );
        assert!(places.enter(None).is_none());
        assert_eq!(gauge.get(), 2);
        drop(one);
        assert!(places.enter(None).is_some());
        drop(two);
        assert_eq!(gauge.get(), 0);
    }

    #[test]
    fn one_address_leaves_places_for_others() {
        let places = InFlight::new(1000, IntGauge::new("g", "g").unwrap());
        let address = |last| Some(IpAddr::from([10, 0, 0, last]));
        let taken: Vec<Guard> = std::iter::from_fn(|| places.enter(address(1))).collect();
        assert_eq!(taken.len(), 250);
        assert!(places.enter(address(2)).is_some());
        drop(taken);
        assert!(places.enter(address(1)).is_some());
        assert!(places.lock().by_address.is_empty());
    }

    #[tokio::test]
    async fn the_last_one_is_waited_for() {
        let places = InFlight::new(2, IntGauge::new("g", "g").unwrap());
        let guard = places.enter(None).unwrap();
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
