//! What events and commands count.

use prometheus::IntCounter;
use prometheus::IntCounterVec;
use prometheus::Opts;
use prometheus::Registry;

/// The metrics of events and commands; clones count into the same numbers.
#[derive(Clone, Debug)]
pub struct Metrics {
    published: IntCounter,
    dropped: IntCounterVec,
    commands: IntCounterVec,
    replies: IntCounterVec,
}

impl Metrics {
    /// Registers them, every label value at 0.
    ///
    /// # Errors
    /// If the registry holds metrics of these names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            published: IntCounter::new(
                "smeuse_events_published_total",
                "Events that the broker has confirmed.",
            )?,
            dropped: IntCounterVec::new(
                Opts::new(
                    "smeuse_events_dropped_total",
                    "Events that no broker has, by reason.",
                ),
                &["reason"],
            )?,
            commands: IntCounterVec::new(
                Opts::new(
                    "smeuse_commands_total",
                    "Commands from backends, by what they are about and what came of them.",
                ),
                &["kind", "outcome"],
            )?,
            replies: IntCounterVec::new(
                Opts::new(
                    "smeuse_command_replies_total",
                    "Replies to commands, by whether the broker has taken them.",
                ),
                &["outcome"],
            )?,
        };
        for dropped in [Dropped::Overflow, Dropped::Refused, Dropped::Shutdown] {
            metrics.dropped.with_label_values(&[dropped.label()]);
        }
        for kind in ["session", "user", "service", "all"] {
            for outcome in ["ended", "nobody"] {
                metrics.commands.with_label_values(&[kind, outcome]);
            }
        }
        metrics
            .commands
            .with_label_values(&["unknown", "malformed"]);
        for outcome in [SENT, DROPPED] {
            metrics.replies.with_label_values(&[outcome]);
        }
        registry.register(Box::new(metrics.replies.clone()))?;
        registry.register(Box::new(metrics.published.clone()))?;
        registry.register(Box::new(metrics.dropped.clone()))?;
        registry.register(Box::new(metrics.commands.clone()))?;
        Ok(metrics)
    }

    pub(super) fn published(&self) {
        self.published.inc();
    }

    pub(super) fn dropped(&self, reason: Dropped, count: usize) {
        let dropped = self.dropped.with_label_values(&[reason.label()]);
        dropped.inc_by(count as u64);
    }

    /// A command that was obeyed.
    pub(super) fn obeyed(&self, kind: &str, ended: usize) {
        let outcome = if ended > 0 { "ended" } else { "nobody" };
        self.commands.with_label_values(&[kind, outcome]).inc();
    }

    pub(super) fn malformed(&self) {
        self.commands
            .with_label_values(&["unknown", "malformed"])
            .inc();
    }

    pub(super) fn reply_sent(&self) {
        self.replies.with_label_values(&[SENT]).inc();
    }

    pub(super) fn reply_dropped(&self) {
        self.replies.with_label_values(&[DROPPED]).inc();
    }
}

const SENT: &str = "sent";
const DROPPED: &str = "dropped";

/// Why an event was lost.
#[derive(Clone, Copy, Debug)]
pub(super) enum Dropped {
    /// More waited than may.
    Overflow,
    /// The broker did not take it.
    Refused,
    /// The process ended before.
    Shutdown,
}

impl Dropped {
    fn label(self) -> &'static str {
        match self {
            Self::Overflow => "overflow",
            Self::Refused => "refused",
            Self::Shutdown => "shutdown",
        }
    }
}
