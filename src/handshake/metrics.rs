//! What the handshakes tell Prometheus: how many are in progress, how they ended, and how long they took.

use std::time::Duration;

use prometheus::HistogramOpts;
use prometheus::HistogramVec;
use prometheus::IntCounterVec;
use prometheus::IntGauge;
use prometheus::Opts;
use prometheus::Registry;

use crate::handshake::refusal::Refusal;
use crate::handshake::refusal::ALL_CODES;

/// The handshakes' metrics; clones count into the same numbers.
#[derive(Clone, Debug)]
pub struct Metrics {
    in_progress: IntGauge,
    handshakes: IntCounterVec,
    duration: HistogramVec,
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
                    "Handshakes by kind and outcome: accepted, or why not.",
                ),
                &["handshake", "outcome"],
            )?,
            duration: HistogramVec::new(
                HistogramOpts::new(
                    "smeuse_handshake_duration_seconds",
                    "Time from the start of a handshake to its outcome.",
                )
                .buckets(DURATION_BUCKETS.to_vec()),
                &["handshake"],
            )?,
        };
        for outcome in ALL_CODES.iter().chain([&ACCEPTED, &ABANDONED]) {
            metrics.handshakes.with_label_values(&[OPENING, outcome]);
        }
        metrics.duration.with_label_values(&[OPENING]);
        registry.register(Box::new(metrics.in_progress.clone()))?;
        registry.register(Box::new(metrics.handshakes.clone()))?;
        registry.register(Box::new(metrics.duration.clone()))?;
        Ok(metrics)
    }

    /// Counts a handshake as in progress for as long as the returned value lives.
    pub fn begin(&self) -> InProgress {
        self.in_progress.inc();
        InProgress {
            in_progress: self.in_progress.clone(),
        }
    }

    /// Counts an opening handshake that ended with 101, `took` after it began.
    pub fn opening_accepted(&self, took: Duration) {
        self.count_opening(ACCEPTED, took);
    }

    /// Counts an opening handshake that was refused, `took` after it began.
    pub fn opening_refused(&self, refusal: &Refusal, took: Duration) {
        self.count_opening(refusal.code(), took);
    }

    /// Counts a connection that ended, or was ended, before its request head was complete and well-formed, `took`
    /// after it began.
    pub fn opening_abandoned(&self, took: Duration) {
        self.count_opening(ABANDONED, took);
    }

    fn count_opening(&self, outcome: &str, took: Duration) {
        self.handshakes.with_label_values(&[OPENING, outcome]).inc();
        self.duration
            .with_label_values(&[OPENING])
            .observe(took.as_secs_f64());
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

/// The label of the handshake of RFC 6455 section 4.
const OPENING: &str = "opening";

/// The outcome that is no refusal.
const ACCEPTED: &str = "accepted";

/// The outcome without an answer of the gateway's: the client left, was too slow, or sent what is not HTTP.
const ABANDONED: &str = "abandoned";

/// From a handshake on the same machine to one at the end of every patience, in seconds.
const DURATION_BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
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
                format!("smeuse_handshakes_total{{handshake=\"opening\",outcome=\"{outcome}\"}} 0");
            assert!(has_line(&registry, &line), "{line}");
        }
        assert!(has_line(&registry, "smeuse_handshakes_in_progress 0"));
        assert!(has_line(
            &registry,
            "smeuse_handshake_duration_seconds_count{handshake=\"opening\"} 0"
        ));
    }

    #[test]
    fn outcomes_and_durations_are_counted() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        metrics.opening_accepted(Duration::from_micros(400));
        metrics
            .clone()
            .opening_refused(&Refusal::KeyMissing, Duration::from_secs(10));
        for line in [
            "smeuse_handshakes_total{handshake=\"opening\",outcome=\"accepted\"} 1",
            "smeuse_handshakes_total{handshake=\"opening\",outcome=\"key_missing\"} 1",
            "smeuse_handshakes_total{handshake=\"opening\",outcome=\"key_malformed\"} 0",
            "smeuse_handshake_duration_seconds_bucket{handshake=\"opening\",le=\"0.0005\"} 1",
            "smeuse_handshake_duration_seconds_bucket{handshake=\"opening\",le=\"5\"} 1",
            "smeuse_handshake_duration_seconds_bucket{handshake=\"opening\",le=\"10\"} 2",
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
