//! What the client's side counts: sessions, bytes, messages, pauses, limits.

use prometheus::Counter;
use prometheus::CounterVec;
use prometheus::IntCounter;
use prometheus::IntCounterVec;
use prometheus::IntGaugeVec;
use prometheus::Opts;
use prometheus::Registry;

use crate::control::Events;
use crate::ending::Ending;

/// Counters of one direction.
#[derive(Debug, Clone)]
pub struct Direction {
    /// Payload bytes of WebSocket messages.
    pub bytes: IntCounter,
    /// WebSocket messages.
    pub messages: IntCounter,
    /// Seconds in which reading waited for writing.
    pub exhausted: Counter,
}

/// The client side's metrics; clones count into the same figures.
#[derive(Debug, Clone)]
pub struct Metrics {
    sessions: IntGaugeVec,
    opened: IntCounterVec,
    closed: IntCounterVec,
    limits: IntCounterVec,
    events: Events,
    /// From the client.
    pub from_client: Direction,
    /// To the client.
    pub to_client: Direction,
}

impl Metrics {
    /// Registers everything, with a zero for each label value of `services`.
    ///
    /// # Errors
    ///
    /// If `registry` has one of the names already.
    pub fn register<'a>(
        registry: &Registry,
        services: impl Iterator<Item = &'a str>,
    ) -> Result<Self, prometheus::Error> {
        let sessions = IntGaugeVec::new(
            Opts::new("smeuse_sessions", "WebSocket sessions that are open now."),
            &["service"],
        )?;
        let opened = IntCounterVec::new(
            Opts::new("smeuse_sessions_opened_total", "WebSocket sessions opened."),
            &["service"],
        )?;
        let closed = IntCounterVec::new(
            Opts::new(
                "smeuse_sessions_closed_total",
                "WebSocket sessions ended, by whom and why.",
            ),
            &["service", "by", "reason"],
        )?;
        let limits = IntCounterVec::new(
            Opts::new(
                "smeuse_limits_hit_total",
                "How often a configured limit was reached.",
            ),
            &["limit"],
        )?;
        let bytes = IntCounterVec::new(
            Opts::new(
                "smeuse_relayed_bytes_total",
                "Payload bytes of WebSocket messages, by direction.",
            ),
            &["direction"],
        )?;
        let messages = IntCounterVec::new(
            Opts::new(
                "smeuse_websocket_messages_total",
                "WebSocket messages, by direction.",
            ),
            &["direction"],
        )?;
        let exhausted = CounterVec::new(
            Opts::new(
                "smeuse_credit_exhausted_seconds_total",
                "Seconds in which reading one side waited for writing the other, by direction.",
            ),
            &["direction"],
        )?;
        registry.register(Box::new(sessions.clone()))?;
        registry.register(Box::new(opened.clone()))?;
        registry.register(Box::new(closed.clone()))?;
        registry.register(Box::new(limits.clone()))?;
        registry.register(Box::new(bytes.clone()))?;
        registry.register(Box::new(messages.clone()))?;
        registry.register(Box::new(exhausted.clone()))?;
        for service in services {
            sessions.with_label_values(&[service]);
            opened.with_label_values(&[service]);
            for (by, reason) in Ending::LABELS {
                closed.with_label_values(&[service, by, reason]);
            }
        }
        for limit in LIMITS {
            limits.with_label_values(&[limit]);
        }
        let direction = |name: &str| Direction {
            bytes: bytes.with_label_values(&[name]),
            messages: messages.with_label_values(&[name]),
            exhausted: exhausted.with_label_values(&[name]),
        };
        Ok(Self {
            sessions,
            opened,
            closed,
            limits,
            events: Events::default(),
            from_client: direction("from_client"),
            to_client: direction("to_client"),
        })
    }

    /// The same, and backends are told of limits that were hit.
    pub fn telling(mut self, events: Events) -> Self {
        self.events = events;
        self
    }

    /// A session of `service` has begun.
    pub fn opened(&self, service: &str) {
        self.sessions.with_label_values(&[service]).inc();
        self.opened.with_label_values(&[service]).inc();
    }

    /// A session of `service` is over.
    pub fn closed(&self, service: &str, ending: &Ending) {
        self.sessions.with_label_values(&[service]).dec();
        self.closed
            .with_label_values(&[service, ending.by().label(), ending.reason()])
            .inc();
        if let Some(limit) = limit(ending) {
            self.limit_hit(limit);
        }
    }

    /// A limit was reached.
    pub fn limit_hit(&self, limit: &'static str) {
        self.events.limit_hit(limit);
        self.limits.with_label_values(&[limit]).inc();
    }
}

/// The limit that an ending is the consequence of.
fn limit(ending: &Ending) -> Option<&'static str> {
    match ending {
        Ending::ClientSilent => Some("silence_limit"),
        Ending::ClientStalled => Some("write_stall_limit"),
        Ending::LoginTimeout | Ending::BrokerLoginTimeout => Some("login_deadline"),
        Ending::WebSocketViolation(violation) => violation.limit(),
        _ => None,
    }
}

/// Every limit that is counted; named like its key in the configuration.
const LIMITS: [&str; 8] = [
    "sessions",
    "sessions_per_address",
    "handshakes",
    "message_bytes",
    "fragments",
    "silence_limit",
    "write_stall_limit",
    "login_deadline",
];
