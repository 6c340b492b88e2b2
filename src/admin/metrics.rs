//! What the private listener counts of itself.

use std::time::Duration;

use prometheus::Histogram;
use prometheus::HistogramOpts;
use prometheus::IntCounterVec;
use prometheus::IntGauge;
use prometheus::Opts;
use prometheus::Registry;

/// The metrics; clones count into the same numbers.
#[derive(Clone, Debug)]
pub struct Metrics {
    refusals: IntCounterVec,
    viewers: IntGauge,
    viewers_ended: IntCounterVec,
    snapshot: Histogram,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It was meant for a host of another name.
    Host,
    /// It came from a page of another origin.
    Origin,
    /// It showed nothing by which to be let in.
    CredentialsMissing,
    /// It showed a wrong token.
    CredentialsWrong,
    /// Too many wrong tokens have come from the same address just now.
    TooManyGuesses,
    /// All places for pages of the live view are taken.
    TooManyViewers,
}

impl Refused {
    const ALL: [Self; 6] = [
        Self::Host,
        Self::Origin,
        Self::CredentialsMissing,
        Self::CredentialsWrong,
        Self::TooManyGuesses,
        Self::TooManyViewers,
    ];

    /// The metric label, and the code in the answer.
    pub fn label(self) -> &'static str {
        match self {
            Self::Host => "host_not_allowed",
            Self::Origin => "origin_not_allowed",
            Self::CredentialsMissing => "credentials_required",
            Self::CredentialsWrong => "credentials_wrong",
            Self::TooManyGuesses => "too_many_guesses",
            Self::TooManyViewers => "too_many_viewers",
        }
    }
}

/// Why a page of the live view is no longer shown anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It went.
    Left,
    /// It took nothing for too long.
    Stalled,
    /// Its login is good no longer.
    LoggedOut,
}

impl Gone {
    const ALL: [Self; 3] = [Self::Left, Self::Stalled, Self::LoggedOut];

    fn label(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Stalled => "stalled",
            Self::LoggedOut => "logged_out",
        }
    }
}

impl Metrics {
    /// Registers them, each label at 0.
    ///
    /// # Errors
    /// If the registry holds metrics of these names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str| -> Result<IntCounterVec, prometheus::Error> {
            let counters = IntCounterVec::new(Opts::new(name, help), &["reason"])?;
            registry.register(Box::new(counters.clone()))?;
            Ok(counters)
        };
        let refusals = counters(
            "smeuse_admin_refusals_total",
            "Requests to the private listener that were refused, by reason.",
        )?;
        let viewers_ended = counters(
            "smeuse_live_viewers_ended_total",
            "Pages of the live view that are shown nothing any more, by reason.",
        )?;
        let viewers = IntGauge::new(
            "smeuse_live_viewers",
            "Pages of the live view that are open.",
        )?;
        registry.register(Box::new(viewers.clone()))?;
        let snapshot = HistogramOpts::new(
            "smeuse_live_snapshot_seconds",
            "Time to look at everything that the live view shows, while it is open.",
        );
        let snapshot = Histogram::with_opts(snapshot.buckets(SNAPSHOT_BUCKETS.to_vec()))?;
        registry.register(Box::new(snapshot.clone()))?;
        for refused in Refused::ALL {
            refusals.with_label_values(&[refused.label()]);
        }
        for gone in Gone::ALL {
            viewers_ended.with_label_values(&[gone.label()]);
        }
        Ok(Self {
            refusals,
            viewers,
            viewers_ended,
            snapshot,
        })
    }

    /// Counts a request that was refused.
    pub fn refused(&self, why: Refused) {
        self.refusals.with_label_values(&[why.label()]).inc();
    }

    /// How many pages are open.
    pub fn viewers(&self) -> IntGauge {
        self.viewers.clone()
    }

    /// Counts a page that is shown nothing any more.
    pub fn viewer_ended(&self, why: Gone) {
        self.viewers_ended.with_label_values(&[why.label()]).inc();
    }

    /// Counts a look at everything.
    pub fn looked(&self, took: Duration) {
        self.snapshot.observe(took.as_secs_f64());
    }
}

/// From a gateway with no session to one with a hundred thousand, in seconds.
const SNAPSHOT_BUCKETS: [f64; 8] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5];
