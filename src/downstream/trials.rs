//! What tells the two sides of a trial apart: of the sessions whose client offered an extension on trial, those that may
//! have it and those that may not, each with how many there were, how they ended, how long they took and what they carried.

use std::sync::atomic::Ordering;
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

use crate::downstream::registry::Traffic;
use crate::ending::Ending;
use crate::handshake::trial::Group;
use crate::handshake::trial::Place;
use crate::handshake::Service;

/// The metrics of all trials; clones count into the same figures.
#[derive(Debug, Clone)]
pub struct Metrics {
    open: IntGaugeVec,
    sessions: IntCounterVec,
    closed: IntCounterVec,
    duration: HistogramVec,
    bytes: IntCounterVec,
}

/// What one session on one side of a trial counts.
#[derive(Debug)]
pub struct Figures {
    labels: [String; 3],
    open: IntGauge,
    closed: IntCounterVec,
    duration: Histogram,
    from_client: IntCounter,
    to_client: IntCounter,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    ///
    /// If `registry` has one of the names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, more: &[&str]| {
            let labels = [&LABELS, more].concat();
            let counter = IntCounterVec::new(Opts::new(name, help), &labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let open = IntGaugeVec::new(
            Opts::new(
                "smeuse_trial_sessions",
                "Open sessions whose client offered an extension on trial, by whether they may have it.",
            ),
            &LABELS,
        )?;
        registry.register(Box::new(open.clone()))?;
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "smeuse_trial_session_duration_seconds",
                "Time from the start of such a session to its end.",
            )
            .buckets(DURATIONS.to_vec()),
            &LABELS,
        )?;
        registry.register(Box::new(duration.clone()))?;
        Ok(Self {
            open,
            sessions: counter(
                "smeuse_trial_sessions_total",
                "Sessions whose client offered an extension on trial, by whether they may have it.",
                &[],
            )?,
            closed: counter(
                "smeuse_trial_sessions_closed_total",
                "Such sessions ended, by whom and why.",
                &["by", "reason"],
            )?,
            duration,
            bytes: counter(
                "smeuse_trial_bytes_total",
                "Payload bytes of such sessions that have ended, by direction.",
                &["direction"],
            )?,
        })
    }

    /// Shows the trials of these services, at zero where nothing was counted yet.
    pub fn expect(&self, services: &[Service]) {
        for service in services {
            for trial in &service.trials {
                for group in Group::ALL {
                    self.figures(&service.name, &trial.extension, group);
                    self.sessions.with_label_values(&[
                        service.name.as_str(),
                        &trial.extension,
                        group.label(),
                    ]);
                }
            }
        }
    }

    /// A session has come to these places.
    pub fn join(&self, service: &str, places: &[Place]) -> Vec<Figures> {
        let joined = places.iter().map(|place| {
            let labels = [service, &place.extension, place.group.label()];
            self.sessions.with_label_values(&labels).inc();
            let figures = self.figures(service, &place.extension, place.group);
            figures.open.inc();
            figures
        });
        joined.collect()
    }

    fn figures(&self, service: &str, extension: &str, group: Group) -> Figures {
        let labels = [service, extension, group.label()];
        let bytes = |direction: &str| {
            let [service, extension, group] = labels;
            let labels = [service, extension, group, direction];
            self.bytes.with_label_values(&labels)
        };
        Figures {
            labels: labels.map(str::to_owned),
            open: self.open.with_label_values(&labels),
            closed: self.closed.clone(),
            duration: self.duration.with_label_values(&labels),
            from_client: bytes("from_client"),
            to_client: bytes("to_client"),
        }
    }
}

impl Figures {
    /// The session is over.
    pub fn ended(&self, ending: &Ending, took: Duration, traffic: &Traffic) {
        let [service, extension, group] = &self.labels;
        let labels = [
            service.as_str(),
            extension,
            group,
            ending.by().label(),
            ending.reason(),
        ];
        self.closed.with_label_values(&labels).inc();
        self.open.dec();
        self.duration.observe(took.as_secs_f64());
        let from_client = traffic.bytes_from_client.load(Ordering::Relaxed);
        let to_client = traffic.bytes_to_client.load(Ordering::Relaxed);
        self.from_client.inc_by(from_client);
        self.to_client.inc_by(to_client);
    }
}

const LABELS: [&str; 3] = ["service", "extension", "group"];

/// From a page that is reloaded at once to one that is open for a day, in seconds.
const DURATIONS: [f64; 10] = [
    1.0, 10.0, 60.0, 300.0, 900.0, 3_600.0, 7_200.0, 14_400.0, 28_800.0, 86_400.0,
];
