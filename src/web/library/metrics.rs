//! What the folder of modules tells Prometheus.

use prometheus::IntCounterVec;
use prometheus::IntGauge;
use prometheus::Opts;
use prometheus::Registry;

use crate::web::library::shelf::Change;
use crate::web::library::shelf::Fault;

/// The metrics; clones count into the same figures.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    pub(super) modules: IntGauge,
    changes: IntCounterVec,
    faults: IntCounterVec,
}

impl Metrics {
    /// All at zero.
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let counter =
            |name: &str, help: &str, label| IntCounterVec::new(Opts::new(name, help), &[label]);
        let metrics = Self {
            modules: IntGauge::new(
                "smeuse_modules",
                "Modules of extensions that pages can load.",
            )?,
            changes: counter(
                "smeuse_module_changes_total",
                "Changes of the folder of modules that were taken over.",
                "change",
            )?,
            faults: counter(
                "smeuse_module_faults_total",
                "Files in the folder of modules that could not be used, once for each time that they were written.",
                "reason",
            )?,
        };
        for change in CHANGES {
            metrics.changes.with_label_values(&[change]);
        }
        for reason in Fault::LABELS {
            metrics.faults.with_label_values(&[reason]);
        }
        metrics.faults.with_label_values(&[FOLDER]);
        Ok(metrics)
    }

    pub(super) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.modules.clone()))?;
        registry.register(Box::new(self.changes.clone()))?;
        registry.register(Box::new(self.faults.clone()))
    }

    pub(super) fn count(&self, change: &Change) {
        let [added, replaced, removed] = CHANGES;
        let change = match change {
            Change::Added(_) => added,
            Change::Replaced(_) => replaced,
            Change::Removed(_) => removed,
            Change::Refused(_, fault) => {
                if let Some(reason) = fault.label() {
                    self.faults.with_label_values(&[reason]).inc();
                }
                return;
            }
        };
        self.changes.with_label_values(&[change]).inc();
    }

    /// The folder itself cannot be read.
    pub(super) fn folder_unreadable(&self) {
        self.faults.with_label_values(&[FOLDER]).inc();
    }
}

const CHANGES: [&str; 3] = ["added", "replaced", "removed"];
const FOLDER: &str = "folder";
