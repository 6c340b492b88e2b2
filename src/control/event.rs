//! What the gateway tells backends: one event as the JSON of its message, and the routing key it goes by.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;

/// One event, complete.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    version: u8,
    /// 64 random bits: an event that is published again after a lost connection has the same.
    id: String,
    event: &'static str,
    gateway: Arc<str>,
    /// RFC 3339, UTC, with milliseconds.
    time: String,
    #[serde(flatten)]
    what: What,
}

/// What has happened.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum What {
    /// The login of a session was accepted, or data may flow where there is none.
    SessionOpened {
        /// Whose session.
        #[serde(flatten)]
        who: Who,
    },
    /// A session that was opened is over.
    SessionEnded {
        /// Whose session.
        #[serde(flatten)]
        who: Who,
        /// How it was and how it ended.
        #[serde(flatten)]
        end: End,
    },
    /// Somebody was not let in.
    LoginRefused {
        /// The service.
        service: Arc<str>,
        /// The client's address, without a port.
        client: IpAddr,
        /// The session, if there was one.
        #[serde(skip_serializing_if = "Option::is_none")]
        session: Option<String>,
        /// `wrong`, `forbidden`, `unavailable`, or `broker` where it was the broker that refused.
        reason: &'static str,
    },
    /// A limit was reached.
    LimitHit {
        /// Its name in the configuration.
        limit: &'static str,
        /// How often since the event before this one of the same limit.
        count: u64,
    },
}

/// Whose session it is.
#[derive(Clone, Debug, Serialize)]
pub struct Who {
    /// The session's id, as in the log.
    pub session: String,
    /// The service's name.
    pub service: Arc<str>,
    /// The user; empty where nobody asked.
    pub user: String,
    /// The client's address.
    pub client: SocketAddr,
}

/// How a session was and how it ended.
#[derive(Clone, Debug, Serialize)]
pub struct End {
    /// Who ended it, as in the table of endings.
    pub by: &'static str,
    /// Why, as in the table of endings.
    pub reason: &'static str,
    /// The close code that the client was sent or would have been; null where there is none.
    pub close_code: Option<u16>,
    /// From its opening on.
    pub duration_seconds: f64,
    /// Payload from the client.
    pub bytes_from_client: u64,
    /// Payload to the client.
    pub bytes_to_client: u64,
}

impl What {
    /// Its name, which is the beginning of its routing key.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SessionOpened { .. } => "session.opened",
            Self::SessionEnded { .. } => "session.ended",
            Self::LoginRefused { .. } => "login.refused",
            Self::LimitHit { .. } => "limit.hit",
        }
    }

    fn about(&self) -> &str {
        match self {
            Self::SessionOpened { who } | Self::SessionEnded { who, .. } => &who.service,
            Self::LoginRefused { service, .. } => service,
            Self::LimitHit { limit, .. } => limit,
        }
    }
}

impl Event {
    /// The event of this gateway at this time, in RFC 3339.
    pub fn new(gateway: Arc<str>, id: u64, time: String, what: What) -> Self {
        Self {
            version: VERSION,
            id: format!("{id:016x}"),
            event: what.name(),
            gateway,
            time,
            what,
        }
    }

    /// `session.opened.SERVICE`, `limit.hit.LIMIT`: three words.
    pub fn routing_key(&self) -> String {
        format!("{}.{}", self.event, self.what.about())
    }

    /// Its id, which is the message-id too.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The body of its message.
    pub fn to_json(&self) -> Vec<u8> {
        // Nothing in it can fail to be written; an empty body would tell.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Of the schema. Fields may be added to it; what is there keeps its name and meaning.
pub const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use serde_json::json;
    use serde_json::Value;

    use super::*;

    fn who() -> Who {
        Who {
            session: "00000000000000ff".to_owned(),
            service: "amqp".into(),
            user: "alice".to_owned(),
            client: "192.0.2.7:4711".parse().unwrap(),
        }
    }

    fn event(what: What) -> (String, Value) {
        let time = "1970-01-01T00:00:01.234Z".to_owned();
        let event = Event::new("g1".into(), 7, time, what);
        let json = serde_json::from_slice(&event.to_json()).unwrap();
        (event.routing_key(), json)
    }

    #[test]
    fn each_event_has_its_fields_and_its_routing_key() {
        let (key, json) = event(What::SessionOpened { who: who() });
        assert_eq!(key, "session.opened.amqp");
        assert_eq!(
            json,
            json!({
                "version": 1, "id": "0000000000000007", "event": "session.opened", "gateway": "g1",
                "time": "1970-01-01T00:00:01.234Z", "session": "00000000000000ff", "service": "amqp",
                "user": "alice", "client": "192.0.2.7:4711",
            })
        );
        let (key, json) = event(What::SessionEnded {
            who: who(),
            end: End {
                by: "client",
                reason: "closed",
                close_code: None,
                duration_seconds: 1.5,
                bytes_from_client: 2,
                bytes_to_client: 3,
            },
        });
        assert_eq!(key, "session.ended.amqp");
        assert_eq!(json["user"], "alice");
        assert_eq!(json["close_code"], Value::Null);
        assert_eq!(json["duration_seconds"], 1.5);
        let (key, json) = event(What::LoginRefused {
            service: "amqp".into(),
            client: "192.0.2.7".parse().unwrap(),
            session: None,
            reason: "wrong",
        });
        assert_eq!(key, "login.refused.amqp");
        assert_eq!(
            (&json["reason"], json.get("session")),
            (&json!("wrong"), None)
        );
        let (key, json) = event(What::LimitHit {
            limit: "sessions",
            count: 3,
        });
        assert_eq!(key, "limit.hit.sessions");
        assert_eq!(json["count"], 3);
    }
}
