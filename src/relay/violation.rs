//! What the client did wrong in AMQP, in the numbers and the style of words RabbitMQ would use.

use std::fmt;
use std::fmt::Display;

use crate::wire::amqp::FrameError;
use crate::wire::amqp::FrameHeader;
use crate::wire::amqp::MethodId;
use crate::wire::amqp::ReplyCode;

/// The client's fault: what connection.close tells it, if AMQP is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which rule was broken.
    pub reply_code: ReplyCode,
    /// The reply text: the code's name, a dash, and what exactly. At most 255 bytes.
    pub text: String,
    /// Class and method that were the cause, or zeros.
    pub class_method: (u16, u16),
}

impl Violation {
    /// A violation whose text begins with the name of the reply code.
    pub fn new(reply_code: ReplyCode, explanation: impl Display, class_method: (u16, u16)) -> Self {
        let name = reply_code.name().unwrap_or("UNKNOWN");
        let text = clip_text(format!("{name} - {explanation}"));
        Self {
            reply_code,
            text,
            class_method,
        }
    }

    /// A frame of a type that does not belong where it came.
    pub fn unexpected_frame(header: FrameHeader) -> Self {
        let FrameHeader {
            kind,
            channel,
            size,
        } = header;
        let explanation = format!("type {} on channel {channel}, {size} octets", kind.0);
        Self::new(ReplyCode::UNEXPECTED_FRAME, explanation, NO_METHOD)
    }

    /// A frame on a channel other than 0 before the connection is open.
    pub fn channel_before_open(header: FrameHeader) -> Self {
        let explanation = format!("channel {} before connection.open", header.channel);
        Self::new(ReplyCode::CHANNEL_ERROR, explanation, NO_METHOD)
    }

    /// A method that does not belong where it came; `state` is RabbitMQ's word for the place.
    pub fn unexpected_method(method: MethodId, state: &'static str) -> Self {
        let explanation = format!("unexpected method in connection state {state}");
        Self::new(ReplyCode::CHANNEL_ERROR, explanation, method.into())
    }

    /// A method frame too short to hold a method's number.
    pub fn no_method(header: FrameHeader) -> Self {
        let explanation = format!(
            "type {}, {} octets: unknown_frame",
            header.kind.0, header.size
        );
        Self::new(ReplyCode::FRAME_ERROR, explanation, NO_METHOD)
    }

    /// A method whose arguments are not what they must be; `name` as in "connection.open".
    pub fn malformed_method(method: MethodId, name: &'static str) -> Self {
        let explanation = format!("the arguments of {name} cannot be decoded");
        Self::new(ReplyCode::SYNTAX_ERROR, explanation, method.into())
    }
}

impl From<FrameError> for Violation {
    /// The reply codes of AMQP 0-9-1 sections 4.2.3 (frames), 4.2.7 (heartbeats) and 4.9.2 (channel
    /// numbers).
    fn from(error: FrameError) -> Self {
        let (reply_code, explanation) = match error {
            FrameError::UnknownKind { header } => (
                ReplyCode::FRAME_ERROR,
                format!(
                    "type {}, {} octets: unknown_frame",
                    header.kind.0, header.size
                ),
            ),
            // The payload is never waited for, so RabbitMQ, too, prints an empty one.
            FrameError::TooLarge {
                header,
                payload_max,
            } => (
                ReplyCode::FRAME_ERROR,
                format!(
                    "type {}, all octets = <<>>: {{frame_too_large,{},{payload_max}}}",
                    header.kind.0, header.size
                ),
            ),
            FrameError::ChannelTooHigh {
                header,
                channel_max,
            } => (
                ReplyCode::CHANNEL_ERROR,
                format!(
                    "channel {} is higher than the negotiated channel_max ({channel_max})",
                    header.channel
                ),
            ),
            FrameError::HeartbeatOnChannel { header } => (
                ReplyCode::FRAME_ERROR,
                format!("type {} on channel {}", header.kind.0, header.channel),
            ),
            FrameError::WrongEnd { header, found } => (
                ReplyCode::FRAME_ERROR,
                format!(
                    "type {}, {} octets: {{invalid_frame_end_marker,{found}}}",
                    header.kind.0, header.size
                ),
            ),
        };
        Self::new(reply_code, explanation, NO_METHOD)
    }
}

/// The broker sent what is not AMQP; nothing behind it can be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerFailure {
    /// What was wrong.
    pub text: String,
}

impl Display for BrokerFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<FrameError> for BrokerFailure {
    fn from(error: FrameError) -> Self {
        let text = match error {
            FrameError::UnknownKind { header } => {
                format!(
                    "the broker sent a frame of the unknown type {}",
                    header.kind.0
                )
            }
            FrameError::TooLarge {
                header,
                payload_max,
            } => format!(
                "the broker sent a frame of {} bytes where {payload_max} are the most",
                header.size
            ),
            FrameError::ChannelTooHigh {
                header,
                channel_max,
            } => format!(
                "the broker sent a frame on channel {} where {channel_max} is the highest",
                header.channel
            ),
            FrameError::HeartbeatOnChannel { header } => {
                format!("the broker sent a heartbeat on channel {}", header.channel)
            }
            FrameError::WrongEnd { found, .. } => {
                format!("a frame of the broker ends with octet {found}")
            }
        };
        Self { text }
    }
}

/// Cuts a reply text to the 255 bytes that fit, with three dots in place of the rest, as RabbitMQ
/// does.
pub fn clip_text(mut text: String) -> String {
    if text.len() > TEXT_MAX {
        let mut end = TEXT_MAX - ELLIPSIS.len();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(ELLIPSIS);
    }
    text
}

/// What stands for "no method was the cause" in connection.close.
pub const NO_METHOD: (u16, u16) = (0, 0);

/// A reply text is a short string.
const TEXT_MAX: usize = 255;
const ELLIPSIS: &str = "...";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::amqp::FrameKind;
    use crate::wire::amqp::Limits;

    const LIMITS: Limits = Limits {
        frame_max: 131_072,
        channel_max: 2047,
    };

    fn refused(kind: u8, channel: u16, size: u32) -> (u16, String) {
        let header = FrameHeader {
            kind: FrameKind(kind),
            channel,
            size,
        };
        let violation = Violation::from(LIMITS.check(header).unwrap_err());
        assert_eq!(violation.class_method, NO_METHOD);
        (violation.reply_code.0, violation.text)
    }

    #[test]
    fn every_fault_of_a_frame_has_its_code_and_text() {
        let rows = [
            (
                refused(4, 0, 12),
                501,
                "FRAME_ERROR - type 4, 12 octets: unknown_frame",
            ),
            (
                refused(3, 1, 131_065),
                501,
                "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,131065,131064}",
            ),
            (
                refused(1, 2048, 4),
                504,
                "CHANNEL_ERROR - channel 2048 is higher than the negotiated channel_max (2047)",
            ),
            (refused(8, 3, 0), 501, "FRAME_ERROR - type 8 on channel 3"),
        ];
        for (found, code, text) in rows {
            assert_eq!(found, (code, text.to_owned()));
        }
        let header = FrameHeader {
            kind: FrameKind::BODY,
            channel: 1,
            size: 9,
        };
        let violation = Violation::from(FrameError::WrongEnd { header, found: 65 });
        assert_eq!(
            violation.text,
            "FRAME_ERROR - type 3, 9 octets: {invalid_frame_end_marker,65}"
        );
    }

    #[test]
    fn the_faults_of_a_broker_are_told_in_a_sentence() {
        let header = FrameHeader {
            kind: FrameKind(72),
            channel: 0,
            size: 9,
        };
        let failure = BrokerFailure::from(FrameError::UnknownKind { header });
        assert_eq!(
            failure.text,
            "the broker sent a frame of the unknown type 72"
        );
    }

    #[test]
    fn a_long_text_ends_with_dots_at_a_whole_character() {
        let violation = Violation::new(ReplyCode::NOT_ALLOWED, "é".repeat(200), NO_METHOD);
        assert!(violation.text.len() <= 255 && violation.text.len() > 250);
        assert!(violation.text.ends_with("é..."));
        assert_eq!(clip_text("a".repeat(255)), "a".repeat(255));
        assert_eq!(
            clip_text("a".repeat(256)),
            format!("{}...", "a".repeat(252))
        );
    }
}
