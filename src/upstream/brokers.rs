//! What the process knows of each broker: whether it is up, for how long it is passed over, how many connections it
//! holds back. All services and workers that name a broker share it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::futures::Notified;
use tokio::sync::Notify;
use tracing::info;
use tracing::warn;

use crate::upstream::backoff::Attempt;
use crate::upstream::backoff::Backoff;
use crate::upstream::backoff::Standing;
use crate::upstream::backoff::Terms;
use crate::upstream::held::Held;
use crate::upstream::metrics::BrokerMetrics;
use crate::upstream::metrics::Metrics;
use crate::upstream::watch;
use crate::upstream::watch::Way;

/// Every broker that the services name, by its `host:port`. Clones share everything.
#[derive(Clone)]
pub struct Brokers(Arc<Shared>);

struct Shared {
    by_name: Mutex<BTreeMap<String, Arc<Broker>>>,
    /// Told whenever a broker may be tried sooner than was said before, or a trial has failed.
    sooner: Arc<Notify>,
    metrics: Metrics,
}

impl Brokers {
    /// None yet.
    pub fn new(metrics: Metrics) -> Self {
        Self(Arc::new(Shared {
            by_name: Mutex::default(),
            sooner: Arc::default(),
            metrics,
        }))
    }

    /// The broker of this name, which is known from now on.
    pub(super) fn named(&self, name: &str) -> Arc<Broker> {
        let mut by_name = lock(&self.0.by_name);
        let broker = by_name.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(Broker {
                name: name.to_owned(),
                health: Mutex::default(),
                metrics: self.0.metrics.of_broker(name),
                sooner: Arc::clone(&self.0.sooner),
                watching: Mutex::default(),
                own: AtomicUsize::new(0),
                down: Notify::new(),
            })
        });
        Arc::clone(broker)
    }

    /// Every broker, in the order of their names.
    pub fn all(&self) -> Vec<Arc<Broker>> {
        lock(&self.0.by_name).values().cloned().collect()
    }

    /// Brings the metrics up to date that only time changes.
    pub fn count_time(&self) {
        let now = Instant::now();
        for broker in self.all() {
            let mut health = lock(&broker.health);
            broker.show(&mut health, now);
        }
    }

    /// Ready when a broker may be tried sooner than was said, or a trial has failed, after this was called.
    pub(super) fn sooner(&self) -> Notified<'_> {
        self.0.sooner.notified()
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }
}

impl fmt::Debug for Brokers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by_name = lock(&self.0.by_name);
        f.debug_set().entries(by_name.keys()).finish()
    }
}

/// One broker.
#[derive(Debug)]
pub struct Broker {
    name: String,
    health: Mutex<Health>,
    metrics: BrokerMetrics,
    sooner: Arc<Notify>,
    watching: Mutex<Watching>,
    /// Connections of the gateway's own that look after themselves.
    own: AtomicUsize,
    /// Told of each failure of a broker that was up.
    down: Notify,
}

#[derive(Debug, Default)]
struct Health {
    backoff: Backoff,
    /// How it failed last, while it is down.
    detail: String,
    held: Held,
}

/// How it is watched after a failure.
#[derive(Debug, Default)]
struct Watching {
    /// By whose logins it can be.
    ways: Vec<Way>,
    /// Somebody does.
    is_under_way: bool,
    /// What he last heard was worth nothing: that it is back would not be seen by him first.
    is_blind: bool,
}

impl Broker {
    /// `host:port`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it failed, in a sentence that names it, if the last that was heard of it was a failure.
    pub fn failure(&self) -> Option<String> {
        let health = lock(&self.health);
        (!health.backoff.is_up()).then(|| health.detail.clone())
    }

    /// Whether it holds back what one of our connections publishes (connection.blocked).
    pub fn is_blocked(&self) -> bool {
        lock(&self.health).held.connections() > 0
    }

    /// Connections of ours whose publishes it holds back.
    pub fn blocked_connections(&self) -> usize {
        lock(&self.health).held.connections()
    }

    /// For how long it is passed over from now on, if it is: others are tried, or sessions wait.
    pub fn passed_over_for(&self) -> Option<Duration> {
        let now = Instant::now();
        match self.standing(now) {
            Standing::Until(at) | Standing::OnTrial(at) => Some(at.saturating_duration_since(now)),
            Standing::Up | Standing::Due => None,
        }
    }

    pub(super) fn standing(&self, now: Instant) -> Standing {
        lock(&self.health).backoff.standing(now)
    }

    /// An attempt begins now.
    pub(super) fn begin(self: &Arc<Self>, terms: Terms) -> Try {
        let attempt = lock(&self.health).backoff.begin(Instant::now(), terms);
        Try {
            broker: Arc::clone(self),
            terms,
            attempt: Some(attempt),
        }
    }

    /// It has failed otherwise than in an attempt that is accounted for.
    pub(super) fn failed(self: &Arc<Self>, terms: Terms, detail: &str) {
        self.fails(Attempt::Ordinary, terms, detail);
    }

    /// It has done what a session needs of it.
    pub(super) fn succeeded(&self) {
        let now = Instant::now();
        let mut health = lock(&self.health);
        let is_news = health.backoff.succeeded(now);
        self.show(&mut health, now);
        drop(health);
        if is_news {
            info!(broker = self.name, "broker up");
            self.sooner.notify_waiters();
        }
    }

    pub(super) fn note_blocked(&self, is_blocked: bool) {
        let now = Instant::now();
        let mut health = lock(&self.health);
        if is_blocked {
            health.held.one_more(now);
        } else {
            health.held.one_less(now);
        }
        self.show(&mut health, now);
    }

    fn fails(self: &Arc<Self>, attempt: Attempt, terms: Terms, detail: &str) {
        let now = Instant::now();
        let mut health = lock(&self.health);
        let is_news = health.backoff.failed(attempt, now, terms, fastrand::f64());
        detail.clone_into(&mut health.detail);
        self.show(&mut health, now);
        drop(health);
        if matches!(attempt, Attempt::Trial(_)) {
            self.sooner.notify_waiters();
        }
        if is_news {
            warn!(broker = self.name, detail, "broker down");
            self.down.notify_waiters();
            self.begin_watch();
        }
    }

    /// A way to watch it after a failure.
    pub(super) fn watch_by(&self, way: Way) {
        lock(&self.watching).ways.push(way);
    }

    fn begin_watch(self: &Arc<Self>) {
        let mut watching = lock(&self.watching);
        if watching.is_under_way || watching.ways.is_empty() {
            return;
        }
        (watching.is_under_way, watching.is_blind) = (true, false);
        let ways = watching.ways.clone();
        drop(watching);
        watch::begin(Arc::clone(self), ways);
    }

    /// Whether the gateway finds out by itself when it is back.
    pub(super) fn is_watched(&self) -> bool {
        let watching = lock(&self.watching);
        watching.is_under_way && !watching.is_blind
    }

    /// Whoever watches it can tell, or cannot, whether it is back.
    pub(super) fn watcher_sees(&self, sees: bool) {
        lock(&self.watching).is_blind = !sees;
    }

    /// Nobody watches it any more. Who has `done` it to the end is followed by another if the broker has failed meanwhile.
    pub(super) fn is_watched_no_more(self: &Arc<Self>, done: bool) {
        lock(&self.watching).is_under_way = false;
        // Of a failure before this line nobody was told who would have watched.
        if done && self.failure().is_some() {
            self.begin_watch();
        }
    }

    /// Whether there is a connection of the gateway's own that looks after itself.
    pub(super) fn has_own_connection(&self) -> bool {
        self.own.load(Ordering::SeqCst) > 0
    }

    /// A connection of the gateway's own looks after itself as long as the returned value lives.
    pub(super) fn look_after(self: &Arc<Self>) -> LookedAfter {
        self.own.fetch_add(1, Ordering::SeqCst);
        LookedAfter(Arc::clone(self))
    }

    /// Ready when it goes down after this was called.
    pub(super) fn goes_down(&self) -> Notified<'_> {
        self.down.notified()
    }

    /// Brings the metrics up to what is known, which nobody else can change meanwhile: what is shown last is true last.
    fn show(&self, health: &mut Health, now: Instant) {
        self.metrics.up.set(health.backoff.is_up().into());
        let held = health.held.connections();
        let held = i64::try_from(held).unwrap_or(i64::MAX);
        self.metrics.blocked.set(held);
        let waited = health.backoff.take_waited(now);
        if !waited.is_zero() {
            self.metrics.backoff.inc_by(waited.as_secs_f64());
        }
        let held = health.held.take_time(now);
        if !held.is_zero() {
            self.metrics.blocked_time.inc_by(held.as_secs_f64());
        }
    }
}

/// A connection of the gateway's own that looks after itself.
#[derive(Debug)]
pub(super) struct LookedAfter(Arc<Broker>);

impl Drop for LookedAfter {
    fn drop(&mut self) {
        self.0.own.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An attempt that is under way; dropped without a word it was given up.
#[derive(Debug)]
pub(super) struct Try {
    broker: Arc<Broker>,
    terms: Terms,
    attempt: Option<Attempt>,
}

impl Try {
    pub(super) fn succeeded(mut self) {
        self.attempt = None;
        self.broker.succeeded();
    }

    pub(super) fn failed(mut self, detail: &str) {
        if let Some(attempt) = self.attempt.take() {
            self.broker.fails(attempt, self.terms, detail);
        }
    }
}

impl Drop for Try {
    fn drop(&mut self) {
        if let Some(attempt) = self.attempt {
            lock(&self.broker.health)
                .backoff
                .given_up(attempt, Instant::now());
            if matches!(attempt, Attempt::Trial(_)) {
                self.broker.sooner.notify_waiters();
            }
        }
    }
}

/// Counts and moments cannot be left half written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;
    use std::thread;

    use prometheus::Registry;

    use super::*;

    const TERMS: Terms = Terms {
        first: Duration::from_secs(60),
        most: Duration::from_secs(60),
    };

    fn broker() -> Arc<Broker> {
        let metrics = Metrics::register(&Registry::new()).unwrap();
        Brokers::new(metrics).named("h:1")
    }

    #[test]
    fn a_broker_is_blocked_until_every_connection_that_said_so_has_taken_it_back() {
        let broker = broker();
        broker.note_blocked(false);
        assert!(!broker.is_blocked());
        broker.note_blocked(true);
        broker.note_blocked(true);
        broker.note_blocked(false);
        assert!(broker.is_blocked());
        broker.note_blocked(false);
        assert!(!broker.is_blocked());
    }

    #[test]
    fn a_broker_is_down_from_its_first_failure_to_its_next_success() {
        let broker = broker();
        broker.begin(TERMS).failed("why");
        assert_eq!(broker.failure().as_deref(), Some("why"));
        assert!(matches!(
            broker.standing(Instant::now()),
            Standing::Until(_)
        ));
        broker.succeeded();
        assert_eq!(broker.failure(), None);
        assert_eq!(broker.standing(Instant::now()), Standing::Up);
        drop(broker.begin(TERMS));
        assert_eq!(broker.failure(), None);
    }

    /// Who wants to stay with a broker that is back must hear of a failure from before he settles down.
    #[tokio::test]
    async fn a_failure_is_told_to_who_has_asked_before() {
        let broker = broker();
        let goes_down = broker.goes_down();
        broker.begin(TERMS).failed("why");
        tokio::time::timeout(Duration::from_secs(5), goes_down)
            .await
            .unwrap();
    }

    /// A watch that ends at the moment of a failure has not seen it, and kept others from watching: another begins.
    #[test]
    fn a_failure_at_the_end_of_a_watch_is_watched() {
        let broker = broker();
        broker.watch_by(Way::new(Weak::new(), 0));
        broker.begin(TERMS).failed("why");
        assert!(broker.is_watched());
        broker.is_watched_no_more(true);
        assert!(broker.is_watched());
        broker.succeeded();
        broker.is_watched_no_more(true);
        assert!(!broker.is_watched());
    }

    /// Whatever happens at once, what the gauges show last is what is true last.
    #[test]
    fn gauges_and_what_is_known_agree() {
        let broker = broker();
        for round in 0..1_000 {
            thread::scope(|scope| {
                scope.spawn(|| broker.begin(TERMS).failed("why"));
                scope.spawn(|| broker.succeeded());
                scope.spawn(|| broker.note_blocked(true));
                scope.spawn(|| broker.note_blocked(false));
            });
            let is_up = i64::from(broker.failure().is_none());
            assert_eq!(broker.metrics.up.get(), is_up, "round {round}");
            let is_blocked = broker.metrics.blocked.get() > 0;
            assert_eq!(is_blocked, broker.is_blocked(), "round {round}");
        }
    }
}
