//! How and by whom a session ended: the one type that crosses every stage.
//!
//! Whatever ends a session becomes an [`Ending`] exactly once. `downstream::close` maps each one to
//! a close code and a reason; the label pair `(by, reason)` is the same in logs and metrics.

use std::fmt;

use crate::wire::amqp::ReplyCode;
use crate::wire::websocket::CloseCode;
use crate::wire::websocket::Violation;

/// Why a session ended, seen from the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The client sent a Close frame (RFC 6455 section 5.5.1).
    ClientClosed(Option<(CloseCode, String)>),
    /// The client closed its AMQP connection in order (connection.close, connection.close-ok).
    AmqpClosed,
    /// The client's socket ended or failed without a Close frame; the text says how.
    ClientLost(String),
    /// The client answered nothing, pings included, within the silence limit.
    ClientSilent,
    /// The client took no byte within the write stall limit while bytes waited for it.
    ClientStalled,
    /// The client took deliveries so slowly that more waited for it than a shared broker connection may keep for one.
    ClientSlow,
    /// The client did not finish its AMQP login in time.
    LoginTimeout,
    /// The client did not finish its part of the extended handshake in time.
    HandshakeTimeout,
    /// The client's part of the extended handshake cannot be read, or breaks its rules; the text says how.
    HandshakeMalformed(String),
    /// The client gave no credentials that the gateway accepts.
    LoginRefused(String),
    /// The client is known, and may not use the service.
    Forbidden(String),
    /// The client does without what the service requires.
    ExtensionRequired(String),
    /// The client broke the rules of an extension that was agreed on.
    ExtensionFailed {
        /// The extension's name.
        extension: String,
        /// What the client did.
        text: String,
        /// The extension's own code.
        close_code: CloseCode,
    },
    /// The client broke RFC 6455, or a limit on messages.
    WebSocketViolation(Violation),
    /// The client sent a TEXT message to a service that speaks AMQP.
    TextMessage,
    /// The client's first bytes are not an AMQP protocol header (AMQP 0-9-1, 4.2.2).
    NotAmqp,
    /// The client broke AMQP 0-9-1 framing or negotiation.
    AmqpViolation {
        /// Sent to the client in connection.close.
        reply_code: ReplyCode,
        /// Sent to the client in connection.close.
        text: String,
        /// The class and method that offended, or zeros.
        class_method: (u16, u16),
    },
    /// The broker sent connection.close.
    BrokerClosed {
        /// The broker's reply code.
        reply_code: ReplyCode,
        /// The broker's own text.
        text: String,
    },
    /// The broker answered the client's protocol header with one of its own.
    VersionRefused,
    /// The broker's socket ended or failed, or carried what is not AMQP; the text says how.
    BrokerLost(String),
    /// No broker could be reached; the text names the last one and why.
    BrokerUnreachable(String),
    /// The broker did not finish its part of the login in time.
    BrokerLoginTimeout,
    /// The gateway cannot do now what the client asks for; the text says what.
    Unavailable(String),
    /// The configuration sends the client elsewhere, and it was told where.
    Redirected,
    /// The gateway is shutting down by plan.
    Drained,
    /// An operator ended the session.
    OperatorEnded,
    /// The gateway itself failed: the text is for its authors.
    Bug(&'static str),
}

/// Who ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    /// The downstream peer.
    Client,
    /// RabbitMQ.
    Broker,
    /// The gateway itself.
    Gateway,
    /// A person, through the private listener.
    Operator,
}

impl By {
    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Broker => "broker",
            Self::Gateway => "gateway",
            Self::Operator => "operator",
        }
    }
}

impl Ending {
    /// Every pair of labels an ending can have; metrics show each of them from the start.
    pub const LABELS: [(&'static str, &'static str); 29] = [
        ("client", "closed"),
        ("client", "amqp_closed"),
        ("client", "lost"),
        ("client", "silent"),
        ("client", "stalled"),
        ("client", "slow"),
        ("client", "login_timeout"),
        ("client", "handshake_timeout"),
        ("client", "handshake_malformed"),
        ("client", "login_refused"),
        ("client", "forbidden"),
        ("client", "extension_required"),
        ("client", "extension_failed"),
        ("client", "protocol_error"),
        ("client", "invalid_utf8"),
        ("client", "message_too_big"),
        ("client", "text_message"),
        ("client", "not_amqp"),
        ("client", "amqp_violation"),
        ("broker", "closed"),
        ("broker", "version_refused"),
        ("broker", "lost"),
        ("broker", "unreachable"),
        ("broker", "login_timeout"),
        ("gateway", "unavailable"),
        ("gateway", "redirected"),
        ("gateway", "drained"),
        ("gateway", "bug"),
        ("operator", "ended"),
    ];

    /// Who ended the session.
    pub fn by(&self) -> By {
        match self {
            Self::ClientClosed(_)
            | Self::AmqpClosed
            | Self::ClientLost(_)
            | Self::ClientSilent
            | Self::ClientStalled
            | Self::ClientSlow
            | Self::LoginTimeout
            | Self::HandshakeTimeout
            | Self::HandshakeMalformed(_)
            | Self::LoginRefused(_)
            | Self::Forbidden(_)
            | Self::ExtensionRequired(_)
            | Self::ExtensionFailed { .. }
            | Self::WebSocketViolation(_)
            | Self::TextMessage
            | Self::NotAmqp
            | Self::AmqpViolation { .. } => By::Client,
            Self::BrokerClosed { .. }
            | Self::VersionRefused
            | Self::BrokerLost(_)
            | Self::BrokerUnreachable(_)
            | Self::BrokerLoginTimeout => By::Broker,
            Self::Unavailable(_) | Self::Redirected | Self::Drained | Self::Bug(_) => By::Gateway,
            Self::OperatorEnded => By::Operator,
        }
    }

    /// The metric label of the reason; unique together with [`Self::by`].
    pub fn reason(&self) -> &'static str {
        match self {
            Self::ClientClosed(_) | Self::BrokerClosed { .. } => "closed",
            Self::AmqpClosed => "amqp_closed",
            Self::ClientLost(_) | Self::BrokerLost(_) => "lost",
            Self::ClientSilent => "silent",
            Self::ClientStalled => "stalled",
            Self::ClientSlow => "slow",
            Self::LoginTimeout | Self::BrokerLoginTimeout => "login_timeout",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::HandshakeMalformed(_) => "handshake_malformed",
            Self::LoginRefused(_) => "login_refused",
            Self::Forbidden(_) => "forbidden",
            Self::ExtensionRequired(_) => "extension_required",
            Self::ExtensionFailed { .. } => "extension_failed",
            Self::WebSocketViolation(violation) => match violation.close_code() {
                CloseCode::INVALID_PAYLOAD => "invalid_utf8",
                CloseCode::MESSAGE_TOO_BIG => "message_too_big",
                _ => "protocol_error",
            },
            Self::TextMessage => "text_message",
            Self::NotAmqp => "not_amqp",
            Self::AmqpViolation { .. } => "amqp_violation",
            Self::VersionRefused => "version_refused",
            Self::BrokerUnreachable(_) => "unreachable",
            Self::Unavailable(_) => "unavailable",
            Self::Redirected => "redirected",
            Self::Drained => "drained",
            Self::OperatorEnded => "ended",
            Self::Bug(_) => "bug",
        }
    }
}

/// Text of a stranger's on one line of a log: what would end the line, or turn it round, is escaped.
#[derive(Debug)]
pub struct OneLine<T>(pub T);

impl<T: fmt::Display> fmt::Display for OneLine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.to_string().chars() {
            let turns = matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if character.is_control() || turns {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientClosed(None) => f.write_str("the client closed"),
            Self::ClientClosed(Some((code, reason))) if reason.is_empty() => {
                write!(f, "the client closed with {code}")
            }
            Self::ClientClosed(Some((code, reason))) => {
                write!(
                    f,
                    "the client closed with {code}: {}",
                    reason.escape_debug()
                )
            }
            Self::AmqpClosed => f.write_str("the client closed its AMQP connection"),
            Self::ClientLost(how) => write!(f, "the client's socket {how}"),
            Self::ClientSilent => f.write_str("the client answered no ping"),
            Self::ClientStalled => f.write_str("the client stopped reading"),
            Self::ClientSlow => f.write_str("the client took its deliveries too slowly"),
            Self::LoginTimeout => f.write_str("the client did not finish its AMQP login in time"),
            Self::HandshakeTimeout => {
                f.write_str("the client did not finish the extended handshake in time")
            }
            Self::HandshakeMalformed(text)
            | Self::LoginRefused(text)
            | Self::Forbidden(text)
            | Self::ExtensionRequired(text)
            | Self::Unavailable(text) => f.write_str(text),
            Self::ExtensionFailed {
                extension, text, ..
            } => write!(f, "{extension}: {text}"),
            Self::Redirected => f.write_str("the service is at another place"),
            Self::WebSocketViolation(violation) => write!(f, "{violation}"),
            Self::TextMessage => f.write_str("AMQP travels in binary messages, not text"),
            Self::NotAmqp => f.write_str("the first bytes are not an AMQP protocol header"),
            Self::AmqpViolation { text, .. } | Self::BrokerClosed { text, .. } => f.write_str(text),
            Self::VersionRefused => {
                f.write_str("the broker does not speak the AMQP version asked for")
            }
            Self::BrokerLost(how) => write!(f, "the broker's socket {how}"),
            Self::BrokerUnreachable(why) => f.write_str(why),
            Self::BrokerLoginTimeout => {
                f.write_str("the broker did not finish the AMQP login in time")
            }
            Self::Drained => f.write_str("the gateway is shutting down, please reconnect"),
            Self::OperatorEnded => f.write_str("an operator ended the session"),
            Self::Bug(what) => write!(f, "the gateway failed: {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_forge_a_line_is_escaped_and_the_rest_is_not() {
        let text = "no queue 'é' in vhost '/'\r\nINFO \u{1b}[2J\u{202e}";
        assert_eq!(
            OneLine(text).to_string(),
            "no queue 'é' in vhost '/'\\r\\nINFO \\u{1b}[2J\\u{202e}"
        );
    }
}
