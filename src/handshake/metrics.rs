//! What the handshakes tell Prometheus: how many are in progress, how they ended, and how long they took.

use std::time::Duration;

use prometheus::HistogramOpts;
use prometheus::HistogramVec;
use prometheus::IntCounterVec;
use prometheus::IntGauge;
use prometheus::Opts;
use prometheus::Registry;

use crate::handshake::extended::Dialect;
use crate::handshake::extended::Verdict;
use crate::handshake::refusal::Refusal;
use crate::handshake::refusal::ALL_CODES;

/// The handshakes' metrics; clones count into the same numbers.
#[derive(Clone, Debug)]
pub struct Metrics {
    in_progress: IntGauge,
    handshakes: IntCounterVec,
    duration: HistogramVec,
    challenges: IntCounterVec,
    logins: IntCounterVec,
}

/// Which handshake an outcome is one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The opening handshake, in which no more than a subprotocol was agreed.
    Opening,
    /// An opening handshake in which extensions were agreed, or a login was accepted.
    Combined,
    /// The extended handshake.
    Extended(Dialect),
}

impl Which {
    const ALL: [Self; 4] = [
        Self::Opening,
        Self::Combined,
        Self::Extended(Dialect::Specification),
        Self::Extended(Dialect::Legacy),
    ];

    fn labels(self) -> [&'static str; 2] {
        match self {
            Self::Opening => ["opening", "none"],
            Self::Combined => ["combined", "none"],
            Self::Extended(dialect) => ["extended", dialect.label()],
        }
    }
}

impl Metrics {
    /// Registers them, with every outcome at 0, so that a graph or an alert sees the first one.
    ///
    /// # Errors
    /// If the registry holds metrics of these names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            in_progress: IntGauge::new(
                "smeuse_handshakes_in_progress",
                "Connections whose opening handshake is not finished.",
            )?,
            handshakes: IntCounterVec::new(
                Opts::new(
                    "smeuse_handshakes_total",
                    "Handshakes by kind, dialect and outcome: accepted, or why not.",
                ),
                &["handshake", "dialect", "outcome"],
            )?,
            duration: HistogramVec::new(
                HistogramOpts::new(
                    "smeuse_handshake_duration_seconds",
                    "Time from the start of a handshake to its outcome.",
                )
                .buckets(DURATION_BUCKETS.to_vec()),
                &["handshake", "dialect"],
            )?,
            challenges: IntCounterVec::new(
                Opts::new(
                    "smeuse_challenges_total",
                    "How often clients were asked for credentials inside the extended handshake.",
                ),
                &["dialect"],
            )?,
            logins: IntCounterVec::new(
                Opts::new(
                    "smeuse_logins_total",
                    "Credentials that were checked, by what came of it.",
                ),
                &["service", "outcome"],
            )?,
        };
        for which in Which::ALL {
            let [handshake, dialect] = which.labels();
            for outcome in ALL_CODES.iter().chain([&ACCEPTED, &ABANDONED]) {
                metrics
                    .handshakes
                    .with_label_values(&[handshake, dialect, outcome]);
            }
            metrics.duration.with_label_values(&[handshake, dialect]);
        }
        for dialect in [Dialect::Specification, Dialect::Legacy] {
            metrics.challenges.with_label_values(&[dialect.label()]);
        }
        registry.register(Box::new(metrics.in_progress.clone()))?;
        registry.register(Box::new(metrics.handshakes.clone()))?;
        registry.register(Box::new(metrics.duration.clone()))?;
        registry.register(Box::new(metrics.challenges.clone()))?;
        registry.register(Box::new(metrics.logins.clone()))?;
        Ok(metrics)
    }

    /// Counts a handshake as in progress for as long as the returned value lives.
    pub fn begin(&self) -> InProgress {
        self.in_progress.inc();
        InProgress {
            in_progress: self.in_progress.clone(),
        }
    }

    /// Counts a handshake that agreed, `took` after it began.
    pub fn accepted(&self, which: Which, took: Duration) {
        self.count(which, ACCEPTED, took);
    }

    /// Counts a handshake that was refused, `took` after it began.
    pub fn refused(&self, which: Which, refusal: &Refusal, took: Duration) {
        self.count(which, refusal.code(), took);
    }

    /// Counts a handshake that ended, or was ended, before there was an answer to give: of the opening, a connection
    /// whose request head was never complete and well-formed; of the extended, a session that was over first.
    pub fn abandoned(&self, which: Which, took: Duration) {
        self.count(which, ABANDONED, took);
    }

    /// Counts a challenge.
    pub fn challenged(&self, dialect: Dialect) {
        self.challenges.with_label_values(&[dialect.label()]).inc();
    }

    /// Counts credentials that were checked.
    pub fn logged_in(&self, service: &str, verdict: &Verdict) {
        let labels = [service, outcome(verdict)];
        self.logins.with_label_values(&labels).inc();
    }

    /// Shows every outcome of the logins of a service from the start.
    pub fn expect_logins(&self, service: &str) {
        for outcome in LOGIN_OUTCOMES {
            self.logins.with_label_values(&[service, outcome]);
        }
    }

    fn count(&self, which: Which, outcome: &str, took: Duration) {
        let [handshake, dialect] = which.labels();
        self.handshakes
            .with_label_values(&[handshake, dialect, outcome])
            .inc();
        self.duration
            .with_label_values(&[handshake, dialect])
            .observe(took.as_secs_f64());
    }
}

fn outcome(verdict: &Verdict) -> &'static str {
    let [accepted, wrong, forbidden, unavailable] = LOGIN_OUTCOMES;
    match verdict {
        Verdict::Accepted(_) => accepted,
        Verdict::Refused => wrong,
        Verdict::Forbidden => forbidden,
        Verdict::Unavailable => unavailable,
    }
}

/// One handshake in progress; dropping it, however that comes about, ends the count.
#[derive(Debug)]
#[must_use = "the handshake counts as in progress only while this lives"]
pub struct InProgress {
    in_progress: IntGauge,
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.in_progress.dec();
    }
}

/// What comes of checking credentials.
const LOGIN_OUTCOMES: [&str; 4] = ["accepted", "wrong", "forbidden", "unavailable"];

/// The outcome that is no refusal.
const ACCEPTED: &str = "accepted";

/// The outcome without an answer of the gateway's: the client left, was too slow, or sent what is not HTTP.
const ABANDONED: &str = "abandoned";

/// From a handshake on the same machine to one in which a person looks for a password, in seconds.
const DURATION_BUCKETS: [f64; 17] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0, 180.0,
];

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    fn text(registry: &Registry) -> String {
        TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap()
    }

    fn has_line(registry: &Registry, line: &str) -> bool {
        text(registry).lines().any(|candidate| candidate == line)
    }

    #[test]
    fn every_outcome_is_there_from_the_start() {
        let registry = Registry::new();
        let _metrics = Metrics::register(&registry).unwrap();
        for outcome in ALL_CODES.iter().chain([&"accepted"]) {
            let line =
                format!("smeuse_handshakes_total{{dialect=\"none\",handshake=\"opening\",outcome=\"{outcome}\"}} 0");
            assert!(has_line(&registry, &line), "{line}");
        }
        assert!(has_line(&registry, "smeuse_handshakes_in_progress 0"));
        assert!(has_line(
            &registry,
            "smeuse_handshake_duration_seconds_count{dialect=\"none\",handshake=\"opening\"} 0"
        ));
    }

    #[test]
    fn outcomes_and_durations_are_counted() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        metrics.accepted(Which::Opening, Duration::from_micros(400));
        metrics.clone().refused(
            Which::Opening,
            &Refusal::KeyMissing,
            Duration::from_secs(10),
        );
        for line in [
            "smeuse_handshakes_total{dialect=\"none\",handshake=\"opening\",outcome=\"accepted\"} 1",
            "smeuse_handshakes_total{dialect=\"none\",handshake=\"opening\",outcome=\"key_missing\"} 1",
            "smeuse_handshakes_total{dialect=\"none\",handshake=\"opening\",outcome=\"key_malformed\"} 0",
            "smeuse_handshake_duration_seconds_bucket{dialect=\"none\",handshake=\"opening\",le=\"0.0005\"} 1",
            "smeuse_handshake_duration_seconds_bucket{dialect=\"none\",handshake=\"opening\",le=\"5\"} 1",
            "smeuse_handshake_duration_seconds_bucket{dialect=\"none\",handshake=\"opening\",le=\"10\"} 2",
        ] {
            assert!(has_line(&registry, line), "{line}\n{}", text(&registry));
        }
    }

    #[test]
    fn a_handshake_is_in_progress_until_dropped() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        let (first, second) = (metrics.begin(), metrics.begin());
        assert!(has_line(&registry, "smeuse_handshakes_in_progress 2"));
        drop((first, second));
        assert!(has_line(&registry, "smeuse_handshakes_in_progress 0"));
    }

    #[test]
    fn a_name_taken_is_an_error() {
        let registry = Registry::new();
        let _metrics = Metrics::register(&registry).unwrap();
        assert!(Metrics::register(&registry).is_err());
    }
}
