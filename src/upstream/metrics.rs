//! What the broker's side tells Prometheus: sockets open for sessions, and how and how fast the
//! attempts to open one ended.

use std::time::Instant;

use prometheus::Counter;
use prometheus::CounterVec;
use prometheus::Histogram;
use prometheus::HistogramOpts;
use prometheus::IntCounterVec;
use prometheus::IntGauge;
use prometheus::IntGaugeVec;
use prometheus::Opts;
use prometheus::Registry;

use crate::upstream::error::FAILED_OUTCOMES;

/// The upstream's metrics; clones count into the same numbers. Probes are not counted: the numbers
/// are those of sessions.
#[derive(Clone, Debug)]
pub struct Metrics {
    connections: IntGauge,
    connects: IntCounterVec,
    duration: Histogram,
    up: IntGaugeVec,
    blocked: IntGaugeVec,
    blocked_time: CounterVec,
    backoff: CounterVec,
}

/// The numbers of one broker.
#[derive(Clone, Debug)]
pub(super) struct BrokerMetrics {
    /// 1 unless the last that was heard of it was a failure.
    pub(super) up: IntGauge,
    /// Connections that it holds back.
    pub(super) blocked: IntGauge,
    /// Seconds in which it held back any.
    pub(super) blocked_time: Counter,
    /// Seconds in which it was passed over.
    pub(super) backoff: Counter,
}

impl Metrics {
    /// Registers them, with every outcome at 0, so that a graph or an alert sees the first one.
    ///
    /// # Errors
    /// If the registry holds metrics of these names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            connections: IntGauge::new(
                "smeuse_upstream_connections",
                "Sockets to a broker that are open for sessions.",
            )?,
            connects: IntCounterVec::new(
                Opts::new(
                    "smeuse_upstream_connects_total",
                    "Brokers tried for a session, by outcome: connected, abandoned (the session ended first), or why not.",
                ),
                &["outcome"],
            )?,
            duration: Histogram::with_opts(
                HistogramOpts::new(
                    "smeuse_upstream_connect_duration_seconds",
                    "Time from a session's wish for a broker to a broker's first bytes, or to giving up.",
                )
                .buckets(DURATION_BUCKETS.to_vec()),
            )?,
            up: IntGaugeVec::new(
                Opts::new(
                    "smeuse_broker_up",
                    "0 from a failure of the broker to its next success, else 1.",
                ),
                &["broker"],
            )?,
            blocked: IntGaugeVec::new(
                Opts::new(
                    "smeuse_broker_blocked",
                    "Connections whose publishes the broker holds back (connection.blocked).",
                ),
                &["broker"],
            )?,
            blocked_time: CounterVec::new(
                Opts::new(
                    "smeuse_broker_blocked_seconds_total",
                    "Seconds in which the broker held back publishes of any connection.",
                ),
                &["broker"],
            )?,
            backoff: CounterVec::new(
                Opts::new(
                    "smeuse_broker_backoff_seconds_total",
                    "Seconds in which the broker was passed over after a failure.",
                ),
                &["broker"],
            )?,
        };
        for outcome in FAILED_OUTCOMES.iter().chain([&CONNECTED, &ABANDONED]) {
            metrics.connects.with_label_values(&[outcome]);
        }
        registry.register(Box::new(metrics.connections.clone()))?;
        registry.register(Box::new(metrics.connects.clone()))?;
        registry.register(Box::new(metrics.duration.clone()))?;
        registry.register(Box::new(metrics.up.clone()))?;
        registry.register(Box::new(metrics.blocked.clone()))?;
        registry.register(Box::new(metrics.blocked_time.clone()))?;
        registry.register(Box::new(metrics.backoff.clone()))?;
        Ok(metrics)
    }

    /// The numbers of this broker, which is up until it is known not to be.
    pub(super) fn of_broker(&self, name: &str) -> BrokerMetrics {
        let up = self.up.with_label_values(&[name]);
        up.set(1);
        BrokerMetrics {
            up,
            blocked: self.blocked.with_label_values(&[name]),
            blocked_time: self.blocked_time.with_label_values(&[name]),
            backoff: self.backoff.with_label_values(&[name]),
        }
    }

    /// Counts a session that gave up before it tried a broker.
    pub(super) fn not_tried(&self, outcome: &'static str) {
        self.connects.with_label_values(&[outcome]).inc();
    }

    /// Counts a socket for as long as the returned value lives.
    pub(super) fn count_socket(&self) -> Counted {
        self.connections.inc();
        Counted(self.connections.clone())
    }

    /// Counts how an attempt at one broker ended; dropped without a word it was abandoned.
    pub(super) fn attempt(&self) -> Attempt<'_> {
        Attempt {
            connects: &self.connects,
            outcome: ABANDONED,
        }
    }

    /// Records how long a session waited for its broker.
    pub(super) fn waited(&self, since: Instant) {
        self.duration.observe(since.elapsed().as_secs_f64());
    }
}

/// One open socket; dropping it, however that comes about, ends the count.
#[derive(Debug)]
pub(super) struct Counted(IntGauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// One attempt at one broker; counts when it is dropped.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    connects: &'a IntCounterVec,
    outcome: &'static str,
}

impl Attempt<'_> {
    pub(super) fn connected(mut self) {
        self.outcome = CONNECTED;
    }

    pub(super) fn failed(mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.connects.with_label_values(&[self.outcome]).inc();
    }
}

const CONNECTED: &str = "connected";
const ABANDONED: &str = "abandoned";

/// From a broker on the same machine to the default deadline of five seconds, and one beyond.
const DURATION_BUCKETS: [f64; 11] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 10.0,
];
