//! Where events wait for the broker: a bounded queue that never keeps a worker waiting and drops its oldest.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use humantime_serde::re::humantime::format_rfc3339_millis;
use tokio::sync::Notify;

use crate::control::event::Event;
use crate::control::event::What;
use crate::control::metrics::Dropped;
use crate::control::metrics::Metrics;

/// Takes events; clones share the queue. Where nobody wants events it does nothing.
#[derive(Clone, Debug, Default)]
pub struct Events(Option<Arc<Queue>>);

/// What waits.
#[derive(Debug)]
pub(super) struct Queue {
    gateway: Arc<str>,
    most: usize,
    waiting: Mutex<VecDeque<Event>>,
    limits: Mutex<HashMap<&'static str, Hits>>,
    arrived: Notify,
    metrics: Metrics,
}

/// How often a limit was hit and was not told of yet.
#[derive(Debug, Default)]
struct Hits {
    told: Option<Instant>,
    count: u64,
}

impl Events {
    pub(super) fn new(gateway: Arc<str>, most: usize, metrics: Metrics) -> (Self, Arc<Queue>) {
        let queue = Arc::new(Queue {
            gateway,
            most,
            waiting: Mutex::default(),
            limits: Mutex::default(),
            arrived: Notify::new(),
            metrics,
        });
        (Self(Some(Arc::clone(&queue))), queue)
    }

    /// Something has happened; `what` is asked only where events are wanted.
    pub fn tell(&self, what: impl FnOnce() -> What) {
        if let Some(queue) = &self.0 {
            queue.push(what());
        }
    }

    /// A limit was hit. At most one event a second tells of each, so that a flood does not push everything else out.
    pub fn limit_hit(&self, limit: &'static str) {
        let Some(queue) = &self.0 else {
            return;
        };
        let now = Instant::now();
        let mut limits = lock(&queue.limits);
        let hits = limits.entry(limit).or_default();
        hits.count += 1;
        let is_due = hits
            .told
            .is_none_or(|told| now.saturating_duration_since(told) >= LIMIT_PAUSE);
        if !is_due {
            return;
        }
        let count = hits.tell(now);
        drop(limits);
        queue.push(What::LimitHit { limit, count });
    }
}

impl Hits {
    /// How many there are to tell of, which is then done.
    fn tell(&mut self, now: Instant) -> u64 {
        self.told = Some(now);
        std::mem::take(&mut self.count)
    }
}

impl Queue {
    fn push(&self, what: What) {
        let event = Event::new(
            Arc::clone(&self.gateway),
            fastrand::u64(..),
            format_rfc3339_millis(SystemTime::now()).to_string(),
            what,
        );
        let mut waiting = lock(&self.waiting);
        let is_full = waiting.len() >= self.most;
        if is_full {
            waiting.pop_front();
        }
        waiting.push_back(event);
        drop(waiting);
        if is_full {
            self.metrics.dropped(Dropped::Overflow, 1);
        }
        self.arrived.notify_one();
    }

    /// Tells of the hits that came too soon after an event of their limit, if nobody else has and that is `older` ago: the
    /// last ones of a flood would be told of with the next flood only.
    pub(super) fn tell_hits(&self, older: Duration) {
        let now = Instant::now();
        let mut limits = lock(&self.limits);
        let left = limits.iter_mut().filter(|(_, hits)| {
            let is_due = |told| now.saturating_duration_since(told) >= older;
            hits.count > 0 && hits.told.is_none_or(is_due)
        });
        let left: Vec<_> = left.map(|(limit, hits)| (*limit, hits.tell(now))).collect();
        drop(limits);
        for (limit, count) in left {
            self.push(What::LimitHit { limit, count });
        }
    }

    /// Puts events that were taken and not confirmed back to the front, as far as there is room.
    pub(super) fn put_back(&self, events: impl DoubleEndedIterator<Item = Event>) {
        let mut waiting = lock(&self.waiting);
        let mut dropped = 0;
        for event in events.rev() {
            if waiting.len() < self.most {
                waiting.push_front(event);
            } else {
                dropped += 1;
            }
        }
        drop(waiting);
        if dropped > 0 {
            self.metrics.dropped(Dropped::Overflow, dropped);
        }
    }

    /// The oldest, as soon as there is one. Dropped before it is ready, it has taken none.
    pub(super) async fn next(&self) -> Event {
        loop {
            if let Some(event) = lock(&self.waiting).pop_front() {
                return event;
            }
            self.arrived.notified().await;
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        lock(&self.waiting).len()
    }
}

/// A queue cannot be left half written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The shortest time between two events of one limit.
pub(super) const LIMIT_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(most: usize) -> (Events, Arc<Queue>, prometheus::Registry) {
        let registry = prometheus::Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        let (events, queue) = Events::new("g".into(), most, metrics);
        (events, queue, registry)
    }

    fn hit(count: u64) -> What {
        What::LimitHit { limit: "l", count }
    }

    async fn next(queue: &Queue) -> u64 {
        let json: serde_json::Value =
            serde_json::from_slice(&queue.next().await.to_json()).unwrap();
        json["count"].as_u64().unwrap()
    }

    fn overflowed(registry: &prometheus::Registry) -> bool {
        let text = prometheus::TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap();
        text.contains("smeuse_events_dropped_total{reason=\"overflow\"} 2\n")
    }

    #[tokio::test]
    async fn the_oldest_makes_room_and_is_counted() {
        let (events, queue, registry) = queue(3);
        for count in 1..=4 {
            events.tell(|| hit(count));
        }
        assert_eq!((queue.len(), next(&queue).await), (3, 2));
        let second = queue.next().await;
        events.tell(|| hit(5));
        queue.put_back([second.clone(), second].into_iter());
        assert!(overflowed(&registry));
        assert_eq!(
            (next(&queue).await, next(&queue).await, next(&queue).await),
            (3, 4, 5)
        );
    }

    #[tokio::test]
    async fn a_flood_of_one_limit_is_one_event() {
        let (events, queue, _registry) = queue(100);
        for _ in 0..50 {
            events.limit_hit("sessions");
        }
        events.limit_hit("handshakes");
        assert_eq!(queue.len(), 2);
        assert_eq!(next(&queue).await, 1);
    }

    #[tokio::test]
    async fn the_rest_of_a_flood_is_told_when_it_is_over() {
        let (events, queue, _registry) = queue(100);
        for _ in 0..50 {
            events.limit_hit("sessions");
        }
        queue.tell_hits(LIMIT_PAUSE);
        assert_eq!((next(&queue).await, queue.len()), (1, 0));
        queue.tell_hits(Duration::ZERO);
        queue.tell_hits(Duration::ZERO);
        assert_eq!((next(&queue).await, queue.len()), (49, 0));
    }

    #[test]
    fn where_nobody_listens_nothing_is_made() {
        Events::default().tell(|| panic!("not asked for"));
        Events::default().limit_hit("sessions");
    }
}
