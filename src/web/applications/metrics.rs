//! What applications count.

use std::sync::Arc;

use prometheus::IntCounter;
use prometheus::IntCounterVec;
use prometheus::IntGauge;
use prometheus::IntGaugeVec;
use prometheus::Opts;
use prometheus::Registry;

use crate::web::applications::failure::Failure;

/// The metrics of all applications.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: IntCounterVec,
    in_flight: IntGaugeVec,
    pages: IntCounterVec,
    failures: IntCounterVec,
    tunnels: IntGaugeVec,
    opened: IntCounterVec,
    bytes: IntCounterVec,
}

/// The metrics of one application; clones count into the same figures.
#[derive(Debug, Clone)]
pub struct Counts {
    name: Arc<str>,
    all: Metrics,
    /// Requests that are not answered to the end.
    pub in_flight: IntGauge,
    /// WebSockets of the application's own that are open.
    pub tunnels: IntGauge,
    /// Those that were opened.
    pub opened: IntCounter,
    /// Bytes of bodies and WebSockets from the client.
    pub from_client: IntCounter,
    /// Bytes of bodies and WebSockets to the client.
    pub to_client: IntCounter,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    ///
    /// If `registry` has one of the names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGaugeVec::new(Opts::new(name, help), &["application"])?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        Ok(Self {
            requests: counter(
                "smeuse_application_requests_total",
                "Requests for web applications, by the class of the answer's status.",
                &["application", "status_class"],
            )?,
            in_flight: gauge(
                "smeuse_application_requests_in_flight",
                "Requests for web applications that are not answered to the end.",
            )?,
            pages: counter(
                "smeuse_application_pages_rewritten_total",
                "Pages and scripts of web applications that could have got the browser library, and what became of it.",
                &["application", "outcome"],
            )?,
            failures: counter(
                "smeuse_application_failures_total",
                "Requests that a web application did not answer, by reason.",
                &["application", "reason"],
            )?,
            tunnels: gauge(
                "smeuse_application_websockets",
                "WebSockets of web applications' own that are open now.",
            )?,
            opened: counter(
                "smeuse_application_websockets_opened_total",
                "WebSockets of web applications' own that were opened.",
                &["application"],
            )?,
            bytes: counter(
                "smeuse_application_bytes_total",
                "Bytes of bodies and of web applications' own WebSockets, by direction.",
                &["application", "direction"],
            )?,
        })
    }

    /// The figures of one application, each with a zero.
    pub fn of(&self, application: &str) -> Counts {
        for class in CLASSES {
            self.requests.with_label_values(&[application, class]);
        }
        for outcome in OUTCOMES {
            self.pages.with_label_values(&[application, outcome]);
        }
        for reason in Failure::CODES.iter().chain(&[STALLED, BROKEN]) {
            self.failures.with_label_values(&[application, reason]);
        }
        Counts {
            name: Arc::from(application),
            all: self.clone(),
            in_flight: self.in_flight.with_label_values(&[application]),
            tunnels: self.tunnels.with_label_values(&[application]),
            opened: self.opened.with_label_values(&[application]),
            from_client: self.bytes.with_label_values(&[application, "from_client"]),
            to_client: self.bytes.with_label_values(&[application, "to_client"]),
        }
    }
}

impl Counts {
    /// A request was answered with this status.
    pub fn answered(&self, status: u16) {
        let class = match status / 100 {
            class @ 1..=5 => CLASSES[usize::from(class) - 1],
            _ => CLASSES[4],
        };
        self.all
            .requests
            .with_label_values(&[&*self.name, class])
            .inc();
    }

    /// What became of a page or script.
    pub fn page(&self, outcome: &'static str) {
        self.all
            .pages
            .with_label_values(&[&*self.name, outcome])
            .inc();
    }

    /// A request failed.
    pub fn failed(&self, reason: &'static str) {
        self.all
            .failures
            .with_label_values(&[&*self.name, reason])
            .inc();
    }
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What can become of a page.
pub const OUTCOMES: [&str; 10] = [
    "inserted",
    "inserted_without_config",
    "loader",
    "skipped",
    "fragment",
    "charset",
    "coding",
    "no_transform",
    "policy",
    "too_long",
];

/// An answer that had begun stood still.
pub const STALLED: &str = "answer_stalled";
/// An answer that had begun broke off, or could not be decompressed.
pub const BROKEN: &str = "answer_broken";
