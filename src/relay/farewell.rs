//! What AMQP says to the client when the gateway ends a session: the reply code and text of the
//! connection.close that comes before the WebSocket's Close frame.

use crate::ending::Ending;
use crate::wire::amqp::ReplyCode;

/// The reply code, text, class and method for `ending`; none where the client has closed itself,
/// cannot hear, or has heard it from the broker.
pub fn reply(ending: &Ending) -> Option<(ReplyCode, String, (u16, u16))> {
    match ending {
        Ending::ClientClosed(_)
        | Ending::AmqpClosed
        | Ending::ClientLost(_)
        | Ending::ClientStalled
        | Ending::NotAmqp
        | Ending::BrokerClosed { .. }
        | Ending::VersionRefused
        | Ending::HandshakeTimeout
        | Ending::HandshakeMalformed(_)
        | Ending::LoginRefused(_)
        | Ending::Forbidden(_)
        | Ending::ExtensionRequired(_)
        | Ending::Redirected => None,
        Ending::AmqpViolation {
            reply_code,
            text,
            class_method,
        } => Some((*reply_code, text.clone(), *class_method)),
        Ending::WebSocketViolation(_) | Ending::TextMessage | Ending::ExtensionFailed { .. } => {
            Some((
                ReplyCode::FRAME_ERROR,
                format!("FRAME_ERROR - {ending}"),
                (0, 0),
            ))
        }
        Ending::ClientSilent
        | Ending::ClientSlow
        | Ending::LoginTimeout
        | Ending::BrokerLost(_)
        | Ending::BrokerUnreachable(_)
        | Ending::Unavailable(_)
        | Ending::BrokerLoginTimeout
        | Ending::Drained
        | Ending::OperatorEnded => Some((
            ReplyCode::CONNECTION_FORCED,
            format!("CONNECTION_FORCED - {ending}"),
            (0, 0),
        )),
        Ending::Bug(_) => Some((
            ReplyCode::INTERNAL_ERROR,
            format!("INTERNAL_ERROR - {ending}"),
            (0, 0),
        )),
    }
}
