//! The sessions at one moment, with what each has carried since the last one: searched, ordered and cut here, so that a
//! page gets some rows of 50,000 and not all of them.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use serde::Serialize;

use crate::admin::live::query::Order;
use crate::admin::live::query::View;
use crate::downstream::registry::Entry;
use crate::downstream::SessionId;

/// What is remembered of the moment before: bytes and messages of each session.
pub type Before = HashMap<SessionId, [u64; 4]>;

/// Every session at one moment.
#[derive(Debug)]
pub struct Table {
    at: Instant,
    sessions: Vec<Session>,
}

#[derive(Debug)]
struct Session {
    id: SessionId,
    entry: Arc<Entry>,
    /// Bytes from and to the client, messages from and to the client.
    counts: [u64; 4],
    /// The same per second.
    rates: [f64; 4],
}

/// Some rows of those that were found.
#[derive(Debug, Serialize)]
pub struct Rows {
    /// Sessions in all.
    pub total: usize,
    /// Those that the search has found.
    pub found: usize,
    /// The first of them.
    pub rows: Vec<Row>,
}

/// One session: id, user, client, service, stage, seconds since it was opened, seconds without data, bytes per second
/// from and to the client, bytes from and to the client.
#[derive(Debug, Serialize)]
pub struct Row(
    String,
    String,
    IpAddr,
    Arc<str>,
    &'static str,
    u64,
    u64,
    u64,
    u64,
    u64,
    u64,
);

/// Everything that is shown of one session.
#[derive(Debug, Serialize)]
pub struct Detail {
    id: String,
    user: String,
    client: IpAddr,
    service: Arc<str>,
    stage: &'static str,
    subprotocol: String,
    extensions: Vec<String>,
    age_seconds: u64,
    idle_seconds: u64,
    bytes: [u64; 2],
    messages: [u64; 2],
    bytes_per_second: [f64; 2],
    messages_per_second: [f64; 2],
    broker: Option<String>,
    channels: Option<u32>,
}

impl Table {
    /// The sessions `now`, and how much each has carried since `before`, which was so long ago.
    pub fn new(
        entries: Vec<(SessionId, Arc<Entry>)>,
        before: &Before,
        since: Option<Duration>,
        now: Instant,
    ) -> Self {
        let session = |(id, entry): (SessionId, Arc<Entry>)| {
            let counts = entry.traffic.counts();
            let mut rates = [0.0; 4];
            if let Some(seconds) = since
                .map(|since| since.as_secs_f64())
                .filter(|it| *it > 0.0)
            {
                // A session that was not there then has carried all of it since.
                let was = before.get(&id).copied().unwrap_or_default();
                for (index, rate) in rates.iter_mut().enumerate() {
                    *rate = counts[index].saturating_sub(was[index]) as f64 / seconds;
                }
            }
            Session {
                id,
                entry,
                counts,
                rates,
            }
        };
        Self {
            at: now,
            sessions: entries.into_iter().map(session).collect(),
        }
    }

    /// What the next table has to know of this one.
    pub fn remember(&self) -> Before {
        let counts = self.sessions.iter();
        counts.map(|session| (session.id, session.counts)).collect()
    }

    /// The rows that a page wants.
    pub fn rows(&self, view: &View) -> Rows {
        let mut text = String::new();
        let is_wanted = |session: &&Session| {
            let is_of_service = |service: &String| *session.entry.service == **service;
            view.service.as_ref().is_none_or(is_of_service) && session.has(&view.search, &mut text)
        };
        let mut found: Vec<&Session> = self.sessions.iter().filter(is_wanted).collect();
        let count = found.len();
        let order = |one: &&Session, other: &&Session| {
            let order = self.order(one, other, view.order);
            let order = if view.descending {
                order.reverse()
            } else {
                order
            };
            // Else rows that are equal would change places every second.
            order.then_with(|| one.id.cmp(&other.id))
        };
        if found.len() > view.limit {
            found.select_nth_unstable_by(view.limit, order);
            found.truncate(view.limit);
        }
        found.sort_unstable_by(order);
        Rows {
            total: self.sessions.len(),
            found: count,
            rows: found.iter().map(|session| session.row(self.at)).collect(),
        }
    }

    fn order(&self, one: &Session, other: &Session, by: Order) -> Ordering {
        match by {
            Order::Rate => one.rate().total_cmp(&other.rate()),
            Order::Bytes => one.bytes().cmp(&other.bytes()),
            Order::Age => other.entry.opened.cmp(&one.entry.opened),
            Order::Idle => one.idle(self.at).cmp(&other.idle(self.at)),
            Order::User => one.user().cmp(other.user()),
            Order::Client => one.entry.client.cmp(&other.entry.client),
            Order::Service => one.entry.service.cmp(&other.entry.service),
        }
    }

    /// Everything about one session, if it is there.
    pub fn detail(&self, id: SessionId) -> Option<Detail> {
        let session = self.sessions.iter().find(|session| session.id == id)?;
        let Session {
            entry,
            counts,
            rates,
            ..
        } = session;
        let agreed = entry.traffic.agreed.get();
        let extensions = agreed.map_or_else(Default::default, |agreed| agreed.extensions.iter());
        let extensions = extensions.take(MOST_EXTENSIONS);
        let relay = entry.traffic.relay.get();
        let broker = relay.and_then(|relay| relay.broker().map(str::to_owned));
        Some(Detail {
            id: id.to_string(),
            user: clip(session.user(), LONGEST_USER),
            client: entry.client,
            service: Arc::clone(&entry.service),
            stage: entry.traffic.stage().label(),
            subprotocol: clip(
                agreed.map_or("", |agreed| &agreed.subprotocol),
                LONGEST_USER,
            ),
            extensions: extensions.map(|name| clip(name, LONGEST_USER)).collect(),
            age_seconds: session.age(self.at).as_secs(),
            idle_seconds: session.idle(self.at).as_secs(),
            bytes: [counts[0], counts[1]],
            messages: [counts[2], counts[3]],
            bytes_per_second: [rates[0], rates[1]],
            messages_per_second: [rates[2], rates[3]],
            channels: broker
                .as_ref()
                .and_then(|_| relay.map(|relay| relay.channels())),
            broker,
        })
    }
}

impl Session {
    fn user(&self) -> &str {
        self.entry.traffic.user()
    }

    fn rate(&self) -> f64 {
        self.rates[0] + self.rates[1]
    }

    fn bytes(&self) -> u64 {
        self.counts[0].saturating_add(self.counts[1])
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.entry.opened)
    }

    fn idle(&self, now: Instant) -> Duration {
        self.age(now)
            .saturating_sub(self.entry.traffic.moved_after())
    }

    /// Whether the search finds it; `text` is room to write in.
    fn has(&self, search: &str, text: &mut String) -> bool {
        if search.is_empty() {
            return true;
        }
        let is_hex = |byte: u8| byte.is_ascii_hexdigit();
        let user = self.user();
        if user.len() >= search.len() && user.to_lowercase().contains(search) {
            return true;
        }
        let mut is_in = |shown: &dyn std::fmt::Display, at_start: bool| {
            text.clear();
            // Writing to text cannot fail.
            let _ = write!(text, "{shown}");
            if at_start {
                text.starts_with(search)
            } else {
                text.contains(search)
            }
        };
        let is_of_address = |byte: u8| is_hex(byte) || matches!(byte, b'.' | b':');
        // Most searches are names, and writing fifty thousand addresses takes longer than looking at their users.
        search.bytes().all(is_of_address) && is_in(&self.entry.client, false)
            || search.bytes().all(is_hex) && is_in(&self.id, true)
    }

    fn row(&self, now: Instant) -> Row {
        Row(
            self.id.to_string(),
            clip(self.user(), LONGEST_USER / 2),
            self.entry.client,
            Arc::clone(&self.entry.service),
            self.entry.traffic.stage().label(),
            self.age(now).as_secs(),
            self.idle(now).as_secs(),
            self.rates[0] as u64,
            self.rates[1] as u64,
            self.counts[0],
            self.counts[1],
        )
    }
}

/// At most so many characters.
fn clip(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A name may have 255 bytes; nobody reads that many in a row.
const LONGEST_USER: usize = 96;

/// Extensions of one session that are listed.
const MOST_EXTENSIONS: usize = 16;

#[cfg(test)]
mod tests;
