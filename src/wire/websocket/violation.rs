//! What a client can do wrong on a WebSocket, one variant per broken rule,
//! each with its close code, its stable name and its sentence.

use std::error::Error;
use std::fmt;

use super::CloseCode;

/// A rule of RFC 6455, or a limit of the gateway, that the client broke.
/// `Display` is one plain sentence of at most 100 bytes, so that it can be
/// the reason of a Close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Violation {
    /// A client's frame without a mask (section 5.1).
    FrameNotMasked,
    /// RSV2 or RSV3, or RSV1 where no agreed extension gives it a meaning, or
    /// RSV1 on a control frame or a continuation (sections 5.2 and 5.4,
    /// RFC 7692 section 6).
    ReservedBitSet,
    /// Opcode 3 to 7 or 11 to 15 (section 5.2).
    OpcodeReserved,
    /// A length in 16 or 64 bits that fits a shorter form (section 5.2).
    LengthNotMinimal,
    /// A 64-bit length with its top bit set (section 5.2).
    LengthTopBitSet,
    /// A control frame of more than 125 bytes (section 5.5).
    ControlTooLong,
    /// A control frame without FIN (section 5.5).
    ControlFragmented,
    /// A continuation while no message is open (section 5.4).
    ContinuationUnexpected,
    /// A new data message inside a fragmented one (section 5.4).
    ContinuationMissing,
    /// A Close frame whose body is one byte (section 5.5.1).
    CloseTruncated,
    /// A Close frame with a code that must not travel (section 7.4).
    CloseCodeForbidden(CloseCode),
    /// A Close frame whose reason is not UTF-8 (section 5.5.1).
    CloseReasonNotUtf8,
    /// TEXT with a byte that cannot belong to UTF-8 (section 8.1).
    TextNotUtf8,
    /// TEXT that ends in the middle of a character (section 8.1).
    TextEndsInsideCharacter,
    /// The announced lengths of a message's frames exceed the limit.
    MessageTooBig,
    /// A message in more frames than the limit allows.
    TooManyFragments,
}

impl Violation {
    /// The code with which the WebSocket is failed (section 7.4.1).
    #[must_use]
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::FrameNotMasked
            | Self::ReservedBitSet
            | Self::OpcodeReserved
            | Self::LengthNotMinimal
            | Self::LengthTopBitSet
            | Self::ControlTooLong
            | Self::ControlFragmented
            | Self::ContinuationUnexpected
            | Self::ContinuationMissing
            | Self::CloseTruncated
            | Self::CloseCodeForbidden(_) => CloseCode::PROTOCOL_ERROR,
            Self::CloseReasonNotUtf8 | Self::TextNotUtf8 | Self::TextEndsInsideCharacter => {
                CloseCode::INVALID_PAYLOAD
            }
            Self::MessageTooBig | Self::TooManyFragments => CloseCode::MESSAGE_TOO_BIG,
        }
    }

    /// The configured limit that was exceeded, if it was one.
    #[must_use]
    pub const fn limit(self) -> Option<&'static str> {
        match self {
            Self::MessageTooBig => Some("message_bytes"),
            Self::TooManyFragments => Some("fragments"),
            Self::FrameNotMasked
            | Self::ReservedBitSet
            | Self::OpcodeReserved
            | Self::LengthNotMinimal
            | Self::LengthTopBitSet
            | Self::ControlTooLong
            | Self::ControlFragmented
            | Self::ContinuationUnexpected
            | Self::ContinuationMissing
            | Self::CloseTruncated
            | Self::CloseCodeForbidden(_)
            | Self::CloseReasonNotUtf8
            | Self::TextNotUtf8
            | Self::TextEndsInsideCharacter => None,
        }
    }

    /// A stable name for logs and labels, in snake case.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::FrameNotMasked => "frame_not_masked",
            Self::ReservedBitSet => "reserved_bit_set",
            Self::OpcodeReserved => "opcode_reserved",
            Self::LengthNotMinimal => "length_not_minimal",
            Self::LengthTopBitSet => "length_top_bit_set",
            Self::ControlTooLong => "control_too_long",
            Self::ControlFragmented => "control_fragmented",
            Self::ContinuationUnexpected => "continuation_unexpected",
            Self::ContinuationMissing => "continuation_missing",
            Self::CloseTruncated => "close_truncated",
            Self::CloseCodeForbidden(_) => "close_code_forbidden",
            Self::CloseReasonNotUtf8 => "close_reason_not_utf8",
            Self::TextNotUtf8 => "text_not_utf8",
            Self::TextEndsInsideCharacter => "text_ends_inside_character",
            Self::MessageTooBig => "message_too_big",
            Self::TooManyFragments => "too_many_fragments",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FrameNotMasked => "A frame from the client is not masked.",
            Self::ReservedBitSet => "A reserved bit is set that no agreed extension uses.",
            Self::OpcodeReserved => "The opcode of a frame is reserved.",
            Self::LengthNotMinimal => "The length of a frame is not in its shortest form.",
            Self::LengthTopBitSet => "The length of a frame has its top bit set.",
            Self::ControlTooLong => "A control frame is longer than 125 bytes.",
            Self::ControlFragmented => "A control frame is fragmented.",
            Self::ContinuationUnexpected => "A continuation frame came while no message is open.",
            Self::ContinuationMissing => "A new message began inside a fragmented one.",
            Self::CloseTruncated => "The body of a Close frame is a single byte.",
            Self::CloseCodeForbidden(code) => {
                return write!(f, "Close code {code} may not be sent.");
            }
            Self::CloseReasonNotUtf8 => "The reason of a Close frame is not UTF-8.",
            Self::TextNotUtf8 => "A text message is not UTF-8.",
            Self::TextEndsInsideCharacter => "A text message ends inside a character.",
            Self::MessageTooBig => "A message is bigger than the limit.",
            Self::TooManyFragments => "A message has more fragments than the limit.",
        })
    }
}

impl Error for Violation {}
