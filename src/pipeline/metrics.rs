//! What extensions tell Prometheus. The label `extension` is a name of the catalogue; what clients make up is counted
//! together, as `other`.

use std::time::Duration;

use prometheus::Histogram;
use prometheus::HistogramOpts;
use prometheus::HistogramVec;
use prometheus::IntCounter;
use prometheus::IntCounterVec;
use prometheus::IntGauge;
use prometheus::IntGaugeVec;
use prometheus::Opts;
use prometheus::Registry;

/// What becomes of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The session has the extension.
    Agreed,
    /// The session goes on without it.
    Declined,
    /// The handshake fails.
    Malformed,
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Self::Agreed => "agreed",
            Self::Declined => "declined",
            Self::Malformed => "malformed",
        }
    }
}

/// The way a batch travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client.
    FromClient,
    /// To the client.
    ToClient,
}

/// The metrics of all extensions; clones count into the same numbers.
#[derive(Clone, Debug)]
pub struct Metrics {
    offers: IntCounterVec,
    sessions: IntGaugeVec,
    messages: IntCounterVec,
    bytes: IntCounterVec,
    processing: HistogramVec,
    controls: IntCounterVec,
    failures: IntCounterVec,
    round_trip: HistogramVec,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// If the registry holds metrics of these names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let vec = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok::<_, prometheus::Error>(vec)
        };
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            let vec = HistogramVec::new(options, &["extension"])?;
            registry.register(Box::new(vec.clone()))?;
            Ok::<_, prometheus::Error>(vec)
        };
        let sessions = IntGaugeVec::new(
            Opts::new(
                "smeuse_extension_sessions",
                "Sessions that have the extension now.",
            ),
            &["extension"],
        )?;
        registry.register(Box::new(sessions.clone()))?;
        let metrics = Self {
            offers: counter(
                "smeuse_extension_offers_total",
                "Offers of an extension, by what became of them.",
                &["extension", "outcome"],
            )?,
            sessions,
            messages: counter(
                "smeuse_extension_messages_total",
                "WebSocket messages that the extension handled, by direction.",
                &["extension", "direction"],
            )?,
            bytes: counter(
                "smeuse_extension_bytes_total",
                "Payload bytes that the extension handled, by direction, as it was handed them.",
                &["extension", "direction"],
            )?,
            processing: histogram(
                "smeuse_extension_processing_seconds",
                "Time the extension took for one batch.",
                &PROCESSING_BUCKETS,
            )?,
            controls: counter(
                "smeuse_extension_control_frames_total",
                "Control frames of the extension, by direction and kind.",
                &["extension", "direction", "kind"],
            )?,
            failures: counter(
                "smeuse_extension_failures_total",
                "Sessions that the extension ended, by reason.",
                &["extension", "reason"],
            )?,
            round_trip: histogram(
                "smeuse_extension_round_trip_seconds",
                "Time from a ping of the extension to its answer.",
                &ROUND_TRIP_BUCKETS,
            )?,
        };
        metrics
            .offers
            .with_label_values(&[OTHER, Outcome::Declined.label()]);
        Ok(metrics)
    }

    /// The figures of one extension, all at zero from the start but for those whose labels are its own; see
    /// [`Figures::expect_failures`].
    pub fn of(&self, extension: &str) -> Figures {
        let offers = |outcome: Outcome| {
            let labels = [extension, outcome.label()];
            self.offers.with_label_values(&labels)
        };
        let way = |direction: &'static str| Way {
            messages: self.messages.with_label_values(&[extension, direction]),
            bytes: self.bytes.with_label_values(&[extension, direction]),
            label: direction,
        };
        self.failures.with_label_values(&[extension, PANIC]);
        Figures {
            extension: extension.to_owned(),
            agreed: offers(Outcome::Agreed),
            declined: offers(Outcome::Declined),
            malformed: offers(Outcome::Malformed),
            sessions: self.sessions.with_label_values(&[extension]),
            from_client: way("from_client"),
            to_client: way("to_client"),
            processing: self.processing.with_label_values(&[extension]),
            controls: self.controls.clone(),
            failures: self.failures.clone(),
            round_trip: self.round_trip.clone(),
        }
    }

    /// Counts an offer of a name that the catalogue does not have.
    pub fn offered_unknown(&self) {
        let labels = [OTHER, Outcome::Declined.label()];
        self.offers.with_label_values(&labels).inc();
    }
}

/// What one extension counts.
#[derive(Debug)]
pub struct Figures {
    extension: String,
    agreed: IntCounter,
    declined: IntCounter,
    malformed: IntCounter,
    sessions: IntGauge,
    from_client: Way,
    to_client: Way,
    processing: Histogram,
    controls: IntCounterVec,
    failures: IntCounterVec,
    round_trip: HistogramVec,
}

#[derive(Debug)]
struct Way {
    messages: IntCounter,
    bytes: IntCounter,
    label: &'static str,
}

impl Figures {
    /// The extension's name.
    pub fn extension(&self) -> &str {
        &self.extension
    }

    /// Counts an offer.
    pub fn offered(&self, outcome: Outcome) {
        match outcome {
            Outcome::Agreed => self.agreed.inc(),
            Outcome::Declined => self.declined.inc(),
            Outcome::Malformed => self.malformed.inc(),
        }
    }

    /// A session has it from now on.
    pub fn session_began(&self) {
        self.sessions.inc();
    }

    /// A session with it is over.
    pub fn session_ended(&self) {
        self.sessions.dec();
    }

    /// Counts a batch that was handled in `took`.
    pub fn handled(&self, direction: Direction, messages: usize, bytes: usize, took: Duration) {
        let way = self.way(direction);
        way.messages.inc_by(messages as u64);
        way.bytes.inc_by(bytes as u64);
        self.processing.observe(took.as_secs_f64());
    }

    /// Counts a control frame of the extension's own.
    pub fn control_frame(&self, direction: Direction, kind: &str) {
        let labels = [self.extension.as_str(), self.way(direction).label, kind];
        self.controls.with_label_values(&labels).inc();
    }

    /// Counts a session that the extension ended.
    pub fn failed(&self, reason: &str) {
        let labels = [self.extension.as_str(), reason];
        self.failures.with_label_values(&labels).inc();
    }

    /// Shows failures of these reasons from now on, at zero where there was none. An alert that looks at growth sees the
    /// first ones only then.
    pub fn expect_failures(&self, reasons: &[&str]) {
        for reason in reasons {
            let labels = [self.extension.as_str(), reason];
            self.failures.with_label_values(&labels);
        }
    }

    /// Counts the time from a ping to its answer.
    pub fn round_trip(&self, took: Duration) {
        self.round_trip
            .with_label_values(&[&self.extension])
            .observe(took.as_secs_f64());
    }

    fn way(&self, direction: Direction) -> &Way {
        match direction {
            Direction::FromClient => &self.from_client,
            Direction::ToClient => &self.to_client,
        }
    }
}

/// The reason of a failure that is the extension's own fault.
pub const PANIC: &str = "panic";

/// The label of every name that the catalogue does not have.
pub const OTHER: &str = "other";

/// From a batch that is only looked at to one of 64 KiB that is compressed, in seconds.
const PROCESSING_BUCKETS: [f64; 10] = [1e-7, 5e-7, 1e-6, 5e-6, 1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 1e-2];

/// From one machine to the other side of the world over a phone, in seconds.
const ROUND_TRIP_BUCKETS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];
