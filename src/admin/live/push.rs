//! What is pushed to a page, as text: small, whole, and never above a bound.

use std::collections::VecDeque;

use serde::Serialize;

use crate::admin::live::figures::Figures;
use crate::admin::live::figures::SERIES;
use crate::admin::live::history::Count;
use crate::admin::live::history::History;
use crate::admin::live::query::View;
use crate::admin::live::table::Detail;
use crate::admin::live::table::Rows;
use crate::admin::live::table::Table;

/// What every page gets.
#[derive(Debug, Serialize)]
pub struct Now<'a> {
    /// Milliseconds since the gateway started.
    pub at: u64,
    /// The gateway is shutting down.
    pub draining: bool,
    /// The figures of the metrics.
    #[serde(flatten)]
    pub figures: &'a Figures,
    /// The latest point of each series: a gauge, or a rate per second.
    pub rates: &'a [f64],
    /// What has happened, and how much of it within the last five minutes.
    pub happened: &'a [Count],
    /// Each broker.
    pub brokers: &'a [BrokerState],
}

/// One broker.
#[derive(Debug, PartialEq, Serialize)]
pub struct BrokerState {
    /// `host:port`.
    pub name: String,
    /// How it failed, if the last that was heard of it was a failure.
    pub failure: Option<String>,
    /// For how many seconds it is passed over.
    pub passed_over_seconds: Option<f64>,
    /// Connections whose publishes it holds back.
    pub blocked: usize,
}

/// What a page gets with its first push.
#[derive(Debug, Serialize)]
pub struct Start<'a> {
    /// The gateway's version.
    pub version: &'static str,
    /// How each service reaches its broker: `dedicated`, `shared` or `echo`.
    pub services: Vec<(&'a str, &'a str)>,
    /// What the figures are called, in their order.
    pub series: Vec<&'static str>,
    /// The points of the last minutes, for each series, the oldest first.
    pub history: Vec<Vec<i64>>,
    /// Whether the page was asked for a token, and so can log out.
    pub has_login: bool,
    /// Seconds of the history, and of what is called recent.
    pub history_seconds: usize,
}

impl<'a> Start<'a> {
    /// The start of a page.
    pub fn new(services: &'a [(String, &'static str)], history: &History, has_login: bool) -> Self {
        let whole = |points: &VecDeque<f32>| points.iter().map(|point| *point as i64).collect();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            services: services
                .iter()
                .map(|(name, kind)| (name.as_str(), *kind))
                .collect(),
            series: SERIES.iter().map(|series| series.name).collect(),
            history: history.series().map(whole).collect(),
            has_login,
            history_seconds: super::history::SECONDS,
        }
    }
}

/// What one page gets besides.
#[derive(Serialize)]
struct Own<'a> {
    number: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<&'a Start<'a>>,
    sessions: &'a Rows,
    selected: Option<String>,
    detail: Option<Detail>,
}

/// The text of the push of this number: what every page gets (`now`, a JSON object), and what this one wants to see. Rows
/// are left out as far as it would be larger than [`PUSH_MAX`].
pub fn text(
    number: u64,
    now: &str,
    start: Option<&Start<'_>>,
    table: &Table,
    view: &View,
) -> String {
    let mut rows = table.rows(view);
    loop {
        let own = Own {
            number,
            start,
            sessions: &rows,
            selected: view.selected.map(|id| id.to_string()),
            detail: view.selected.and_then(|id| table.detail(id)),
        };
        // Of these types nothing can fail to be written.
        let own = serde_json::to_string(&own).unwrap_or_default();
        let text = format!("{{\"now\":{now},\"own\":{own}}}");
        if text.len() <= PUSH_MAX || rows.rows.is_empty() {
            return text;
        }
        rows.rows.truncate(rows.rows.len() / 2);
    }
}

/// What waits for a page at most.
pub const PUSH_MAX: usize = 64 * 1024;
