//! The table of endings: from an [`Ending`] to the close code a client sees, and whether it should
//! come back. `docs/protocol.md` prints the same table, and a test compares them.

use crate::ending::Ending;
use crate::wire::websocket::CloseCode;

/// What a client is told about an ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    /// The code of the Close frame; none where it is empty or cannot be sent.
    pub code: Option<CloseCode>,
    /// Whether the same client may well succeed if it connects again.
    pub reconnect: bool,
}

/// The close code and the advice for an ending.
pub fn close(ending: &Ending) -> Close {
    let (code, reconnect) = match ending {
        Ending::ClientClosed(close) => (close.as_ref().map(|(code, _)| *code), false),
        Ending::AmqpClosed => (Some(CloseCode::NORMAL), false),
        Ending::ClientLost(_) => (None, true),
        Ending::ClientSilent => (Some(CLIENT_SILENT), true),
        Ending::ClientStalled => (Some(CLIENT_STALLED), true),
        Ending::ClientSlow => (Some(CLIENT_SLOW), true),
        Ending::LoginTimeout => (Some(LOGIN_TIMEOUT), true),
        Ending::HandshakeTimeout => (Some(HANDSHAKE_TIMEOUT), true),
        Ending::HandshakeMalformed(_) => (Some(CloseCode::PROTOCOL_ERROR), false),
        Ending::LoginRefused(_) => (Some(LOGIN_REFUSED), false),
        Ending::Forbidden(_) => (Some(FORBIDDEN), false),
        Ending::ExtensionRequired(_) => (Some(EXTENSION_REQUIRED), false),
        // A code means the same wherever it comes from.
        Ending::ExtensionFailed { close_code, .. } => {
            (Some(*close_code), *close_code == CLIENT_SILENT)
        }
        Ending::WebSocketViolation(violation) => (Some(violation.close_code()), false),
        Ending::TextMessage => (Some(CloseCode::UNSUPPORTED_DATA), false),
        Ending::NotAmqp | Ending::VersionRefused => (Some(CloseCode::PROTOCOL_ERROR), false),
        Ending::AmqpViolation { reply_code, .. } => (Some(amqp(reply_code.0)), false),
        Ending::BrokerClosed { reply_code, .. } => {
            (Some(amqp(reply_code.0)), reply_code.0 == CONNECTION_FORCED)
        }
        Ending::BrokerLost(_) => (Some(CloseCode::BAD_GATEWAY), true),
        Ending::BrokerUnreachable(_) | Ending::BrokerLoginTimeout => {
            (Some(CloseCode::TRY_AGAIN_LATER), true)
        }
        Ending::Unavailable(_) => (Some(CloseCode::TRY_AGAIN_LATER), true),
        Ending::Redirected => (Some(CloseCode::NORMAL), false),
        Ending::Drained => (Some(CloseCode::GOING_AWAY), true),
        Ending::OperatorEnded => (Some(OPERATOR_ENDED), false),
        Ending::Bug(_) => (Some(CloseCode::INTERNAL_ERROR), true),
    };
    Close { code, reconnect }
}

/// The reason text of the Close frame: the client's own when it closed, ours otherwise.
pub fn reason(ending: &Ending) -> String {
    match ending {
        Ending::ClientClosed(None) => String::new(),
        Ending::ClientClosed(Some((_, reason))) => reason.clone(),
        _ => ending.to_string(),
    }
}

/// An AMQP reply code (three digits) as an application's close code (RFC 6455 section 7.4.2).
fn amqp(reply_code: u16) -> CloseCode {
    CloseCode(4000 + reply_code.min(999))
}

const OPERATOR_ENDED: CloseCode = CloseCode(4100);
const CLIENT_SILENT: CloseCode = CloseCode(4101);
const CLIENT_STALLED: CloseCode = CloseCode(4102);
const LOGIN_TIMEOUT: CloseCode = CloseCode(4103);
const HANDSHAKE_TIMEOUT: CloseCode = CloseCode(4104);
const LOGIN_REFUSED: CloseCode = CloseCode(4105);
const FORBIDDEN: CloseCode = CloseCode(4106);
const EXTENSION_REQUIRED: CloseCode = CloseCode(4107);
const CLIENT_SLOW: CloseCode = CloseCode(4111);

/// The one reply code of a broker that asks for a new attempt (AMQP 0-9-1, 1.2).
const CONNECTION_FORCED: u16 = 320;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::amqp::ReplyCode;
    use crate::wire::websocket::Violation;

    /// One ending for each row of the table, in the table's order.
    fn rows() -> Vec<Ending> {
        let text = || "text".to_owned();
        vec![
            Ending::ClientClosed(None),
            Ending::AmqpClosed,
            Ending::ClientLost(text()),
            Ending::ClientSilent,
            Ending::ClientStalled,
            Ending::ClientSlow,
            Ending::LoginTimeout,
            Ending::HandshakeTimeout,
            Ending::HandshakeMalformed(text()),
            Ending::LoginRefused(text()),
            Ending::Forbidden(text()),
            Ending::ExtensionRequired(text()),
            Ending::ExtensionFailed {
                extension: text(),
                text: text(),
                close_code: CloseCode(4108),
            },
            Ending::WebSocketViolation(Violation::FrameNotMasked),
            Ending::WebSocketViolation(Violation::TextNotUtf8),
            Ending::WebSocketViolation(Violation::MessageTooBig),
            Ending::TextMessage,
            Ending::NotAmqp,
            Ending::AmqpViolation {
                reply_code: ReplyCode::FRAME_ERROR,
                text: text(),
                class_method: (0, 0),
            },
            Ending::BrokerClosed {
                reply_code: ReplyCode::CONNECTION_FORCED,
                text: text(),
            },
            Ending::VersionRefused,
            Ending::BrokerLost(text()),
            Ending::BrokerUnreachable(text()),
            Ending::BrokerLoginTimeout,
            Ending::Unavailable(text()),
            Ending::Redirected,
            Ending::Drained,
            Ending::Bug("text"),
            Ending::OperatorEnded,
        ]
    }

    #[test]
    fn every_ending_has_its_labels_in_the_list_and_a_row_in_the_document() {
        let document = include_str!("../../docs/protocol.md");
        let rows = rows();
        assert_eq!(rows.len(), Ending::LABELS.len());
        for (ending, labels) in rows.iter().zip(Ending::LABELS) {
            assert_eq!((ending.by().label(), ending.reason()), labels);
            let Close { code, reconnect } = close(ending);
            let code = match ending {
                Ending::ClientClosed(_) => "its own".to_owned(),
                Ending::ExtensionFailed { .. } => "the extension's".to_owned(),
                Ending::AmqpViolation { .. } | Ending::BrokerClosed { .. } => {
                    "4000 + reply code".to_owned()
                }
                _ => code.map_or_else(|| "none".to_owned(), |code| code.to_string()),
            };
            let advice = match ending {
                Ending::BrokerClosed { .. } => "after 320",
                Ending::ExtensionFailed { .. } => "after 4101",
                _ if reconnect => "yes",
                _ => "no",
            };
            let row = format!("| {} | `{}` | {code} | {advice} |", labels.0, labels.1);
            assert!(
                document.contains(&row),
                "docs/protocol.md lacks the row {row}"
            );
        }
    }

    #[test]
    fn every_code_may_be_sent_and_every_reason_fits_a_close_frame() {
        for ending in rows() {
            if let Some(code) = close(&ending).code {
                assert!(code.may_be_received(), "{ending:?}");
            }
            assert!(reason(&ending).len() <= 123, "{ending:?}");
        }
    }

    #[test]
    fn a_broker_that_forces_the_connection_asks_for_a_new_one() {
        let closed = |reply_code| {
            close(&Ending::BrokerClosed {
                reply_code,
                text: String::new(),
            })
        };
        assert_eq!(
            closed(ReplyCode::CONNECTION_FORCED).code,
            Some(CloseCode(4320))
        );
        assert!(closed(ReplyCode::CONNECTION_FORCED).reconnect);
        assert!(!closed(ReplyCode::ACCESS_REFUSED).reconnect);
    }
}
