//! What is pushed to a page, as text: small, whole, and never above a bound.

use std::collections::BTreeMap;
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
    pub figures: Figures,
    /// The latest point of each series: a gauge, or a rate per second.
    pub rates: &'a [f64],
    /// What has happened, and how much of it within the last five minutes.
    pub happened: &'a [Count],
    /// The brokers.
    pub brokers: Vec<BrokerState>,
    /// What there was no room for.
    pub left_out: LeftOut,
}

/// How many there are besides those that a page is told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Extensions.
    pub extensions: usize,
    /// Services.
    pub services: usize,
    /// Brokers.
    pub brokers: usize,
}

impl Now<'_> {
    /// The text, in which lists are cut until it has at most [`NOW_MAX`] bytes. Of extensions and services those with the
    /// most sessions stay.
    pub fn text(mut self) -> String {
        loop {
            // Of these types nothing can fail to be written.
            let text = serde_json::to_string(&self).unwrap_or_default();
            let Figures {
                extensions,
                services,
                ..
            } = &mut self.figures;
            let longest = extensions.len().max(services.len()).max(self.brokers.len());
            if text.len() <= NOW_MAX || longest == 0 {
                return text;
            }
            let most = longest / 2;
            let left_out = &mut self.left_out;
            left_out.extensions += keep_most(extensions, most, |extension| extension.sessions);
            left_out.services += keep_most(services, most, |service| service.sessions);
            left_out.brokers += self.brokers.len().saturating_sub(most);
            self.brokers.truncate(most);
        }
    }
}

/// Keeps those with the most sessions, and says how many are gone.
fn keep_most<T>(
    named: &mut BTreeMap<String, T>,
    most: usize,
    sessions: impl Fn(&T) -> f64,
) -> usize {
    let surplus = named.len().saturating_sub(most);
    if surplus > 0 {
        let mut by_sessions: Vec<(f64, String)> = named
            .iter()
            .map(|(name, one)| (sessions(one), name.clone()))
            .collect();
        by_sessions.sort_by(|one, other| other.0.total_cmp(&one.0));
        for (_, name) in &by_sessions[most..] {
            named.remove(name);
        }
    }
    surplus
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
        let mut room = SERVICES_MAX;
        let has_room = |(name, _): &&(String, &str)| {
            let left = room.checked_sub(name.len());
            room = left.unwrap_or_default();
            left.is_some()
        };
        Self {
            version: env!("CARGO_PKG_VERSION"),
            services: services
                .iter()
                .take_while(has_room)
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

/// The text of the push of this number: what every page gets (`now`, a JSON object), and what this one wants to see. Rows,
/// and then the oldest of the history, are left out as far as it would be larger than [`PUSH_MAX`].
pub fn text(
    number: u64,
    now: &str,
    mut start: Option<Start<'_>>,
    table: &Table,
    view: &View,
) -> String {
    let mut rows = table.rows(view);
    loop {
        let own = Own {
            number,
            start: start.as_ref(),
            sessions: &rows,
            selected: view.selected.map(|id| id.to_string()),
            detail: view.selected.and_then(|id| table.detail(id)),
        };
        // Of these types nothing can fail to be written.
        let own = serde_json::to_string(&own).unwrap_or_default();
        let text = format!("{{\"now\":{now},\"own\":{own}}}");
        if text.len() <= PUSH_MAX {
            return text;
        }
        if !rows.rows.is_empty() {
            rows.rows.truncate(rows.rows.len() / 2);
            continue;
        }
        let history = start.as_mut().map(|start| &mut start.history);
        let longest =
            |history: &Vec<Vec<i64>>| history.iter().map(Vec::len).max().unwrap_or_default();
        match history {
            Some(history) if longest(history) > 0 => {
                for points in history {
                    let older = points.len().div_ceil(2);
                    points.drain(..older);
                }
            }
            _ => return text,
        }
    }
}

/// What waits for a page at most.
pub const PUSH_MAX: usize = 64 * 1024;

/// What of it is the same for all pages.
const NOW_MAX: usize = 20 * 1024;

/// Names of services that a page can choose among, in bytes.
const SERVICES_MAX: usize = 3 * 1024;

#[cfg(test)]
mod tests;
