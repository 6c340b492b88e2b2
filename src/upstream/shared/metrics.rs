//! What shared connections tell Prometheus.

use std::time::Duration;

use prometheus::Counter;
use prometheus::Histogram;
use prometheus::HistogramOpts;
use prometheus::IntCounter;
use prometheus::IntCounterVec;
use prometheus::IntGauge;
use prometheus::IntGaugeVec;
use prometheus::Opts;
use prometheus::Registry;

/// The metrics; clones count into the same numbers.
#[derive(Clone, Debug)]
pub struct Metrics {
    opening: IntGauge,
    open: IntGauge,
    closing: IntGauge,
    sessions: Histogram,
    channels_used: IntGauge,
    channels_free: IntGauge,
    channels_closing: IntGauge,
    frames_from_client: IntCounter,
    frames_to_client: IntCounter,
    bytes_from_client: IntCounter,
    bytes_to_client: IntCounter,
    exclusive_queues: IntGauge,
    slow: IntCounter,
    lost: IntCounter,
    blocked: Counter,
}

impl Metrics {
    /// Registers everything, at 0.
    ///
    /// # Errors
    /// If the registry holds metrics of these names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauges = |name: &str, help: &str| -> Result<IntGaugeVec, prometheus::Error> {
            let gauges = IntGaugeVec::new(Opts::new(name, help), &["state"])?;
            registry.register(Box::new(gauges.clone()))?;
            Ok(gauges)
        };
        let counters = |name: &str, help: &str| -> Result<IntCounterVec, prometheus::Error> {
            let counters = IntCounterVec::new(Opts::new(name, help), &["direction"])?;
            registry.register(Box::new(counters.clone()))?;
            Ok(counters)
        };
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let connections = gauges(
            "smeuse_shared_connections",
            "Broker connections that sessions share, by state: opening, open, closing.",
        )?;
        let sessions = Histogram::with_opts(
            HistogramOpts::new(
                "smeuse_shared_sessions_per_connection",
                "Sessions on the connection, observed by each session that joins one.",
            )
            .buckets(SESSIONS_BUCKETS.to_vec()),
        )?;
        registry.register(Box::new(sessions.clone()))?;
        let channels = gauges(
            "smeuse_shared_channels",
            "Channels of shared connections that sessions use, that are free, and that are closing.",
        )?;
        let frames = counters(
            "smeuse_shared_frames_total",
            "Frames of sessions that were handed to shared connections, or read from them.",
        )?;
        let bytes = counters(
            "smeuse_shared_bytes_total",
            "Bytes of sessions' frames on shared connections.",
        )?;
        let exclusive_queues = IntGauge::new(
            "smeuse_shared_exclusive_queues",
            "Exclusive queues that sessions on shared connections hold.",
        )?;
        registry.register(Box::new(exclusive_queues.clone()))?;
        let blocked = Counter::new(
            "smeuse_shared_blocked_seconds_total",
            "Time in which a broker held a shared connection back.",
        )?;
        registry.register(Box::new(blocked.clone()))?;
        Ok(Self {
            opening: connections.with_label_values(&["opening"]),
            open: connections.with_label_values(&["open"]),
            closing: connections.with_label_values(&["closing"]),
            sessions,
            channels_used: channels.with_label_values(&["used"]),
            channels_free: channels.with_label_values(&["free"]),
            channels_closing: channels.with_label_values(&["closing"]),
            frames_from_client: frames.with_label_values(&["from_client"]),
            frames_to_client: frames.with_label_values(&["to_client"]),
            bytes_from_client: bytes.with_label_values(&["from_client"]),
            bytes_to_client: bytes.with_label_values(&["to_client"]),
            exclusive_queues,
            slow: counter(
                "smeuse_shared_sessions_ended_slow_total",
                "Sessions for which more deliveries waited than queue_bytes.",
            )?,
            lost: counter(
                "smeuse_shared_connections_lost_total",
                "Shared connections that ended by nobody's wish here.",
            )?,
            blocked,
        })
    }

    /// Counts a connection that is being opened while the returned value lives.
    pub(super) fn count_opening(&self) -> Gauged {
        Gauged::new(&self.opening)
    }

    /// Counts an open connection, what it has and what becomes of it.
    pub(super) fn count_open(&self) -> Counted {
        Counted {
            state: Some(Gauged::new(&self.open)),
            metrics: self.clone(),
            channels: [0; 3],
            exclusive_queues: 0,
        }
    }

    pub(super) fn sat_down(&self, seated: usize) {
        self.sessions.observe(seated as f64);
    }

    pub(super) fn sent(&self, frames: u64, bytes: usize) {
        self.frames_from_client.inc_by(frames);
        self.bytes_from_client.inc_by(bytes as u64);
    }

    pub(super) fn received(&self, frames: u64, bytes: usize) {
        self.frames_to_client.inc_by(frames);
        self.bytes_to_client.inc_by(bytes as u64);
    }

    pub(super) fn overrun(&self) {
        self.slow.inc();
    }

    pub(super) fn lost(&self) {
        self.lost.inc();
    }

    pub(super) fn blocked(&self, time: Duration) {
        self.blocked.inc_by(time.as_secs_f64());
    }
}

/// One more, for as long as this lives.
#[derive(Debug)]
pub(super) struct Gauged(IntGauge);

impl Gauged {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Gauged {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What one connection adds to the gauges; dropped, it adds nothing any more.
#[derive(Debug)]
pub(super) struct Counted {
    state: Option<Gauged>,
    metrics: Metrics,
    channels: [usize; 3],
    exclusive_queues: usize,
}

impl Counted {
    pub(super) fn closing(&mut self) {
        self.state = Some(Gauged::new(&self.metrics.closing));
    }

    pub(super) fn gone(&mut self) {
        self.state = None;
    }

    pub(super) fn channels(&mut self, used: usize, free: usize, closing: usize) {
        let metrics = &self.metrics;
        let gauges = [
            &metrics.channels_used,
            &metrics.channels_free,
            &metrics.channels_closing,
        ];
        for ((gauge, was), now) in gauges
            .into_iter()
            .zip(&mut self.channels)
            .zip([used, free, closing])
        {
            change(gauge, was, now);
        }
    }

    pub(super) fn exclusive_queues(&mut self, count: usize) {
        change(
            &self.metrics.exclusive_queues,
            &mut self.exclusive_queues,
            count,
        );
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.channels(0, 0, 0);
        self.exclusive_queues(0);
    }
}

fn change(gauge: &IntGauge, was: &mut usize, now: usize) {
    if *was != now {
        gauge.add(now as i64 - *was as i64);
        *was = now;
    }
}

const SESSIONS_BUCKETS: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];
