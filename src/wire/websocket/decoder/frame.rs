//! The header of one frame from the client (RFC 6455 section 5.2), judged as
//! far as it is known: what breaks a rule is refused at the byte that shows it.

use crate::wire::websocket::mask::Mask;
use crate::wire::websocket::Violation;

use super::Limits;
use super::Message;
use super::Opcode;

/// A header that broke no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) fin: bool,
    pub(super) rsv1: bool,
    /// The bytes of the payload.
    pub(super) len: u64,
    pub(super) mask: Mask,
    /// The bytes of the header itself: 6, 8 or 14.
    pub(super) size: usize,
}

/// The opcodes that have a meaning, by what they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Start(Opcode),
    Continuation,
    Control(ControlKind),
}

/// The opcodes of section 5.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ControlKind {
    Close,
    Ping,
    Pong,
}

impl Header {
    /// The bytes of the whole frame, where it is a control frame. No rule lets
    /// one through whose length is more than a byte tells.
    pub(super) const fn control_size(&self) -> usize {
        self.size + self.len as usize
    }
}

impl Kind {
    const fn is_control(self) -> bool {
        matches!(self, Self::Control(_))
    }
}

/// What a header is judged by.
pub(super) struct Rules<'a> {
    pub(super) limits: Limits,
    pub(super) rsv1_agreed: bool,
    /// The data message that is open, if one is.
    pub(super) message: Option<&'a Message>,
}

impl Rules<'_> {
    /// Reads the header at the front of `bytes`; `None` where it is cut and
    /// nothing in the bytes so far is wrong.
    #[inline]
    pub(super) fn read(&self, bytes: &[u8]) -> Result<Option<Header>, Violation> {
        let Some(&first) = bytes.first() else {
            return Ok(None);
        };
        let kind = self.judge_first(first)?;
        let Some(&second) = bytes.get(1) else {
            return Ok(None);
        };
        if second & MASKED == 0 {
            return Err(Violation::FrameNotMasked);
        }
        let short = second & !MASKED;
        if kind.is_control() && short > SHORT_MAX {
            return Err(Violation::ControlTooLong);
        }
        let Some((len, mask_at)) = read_length(short, &bytes[2..])? else {
            return Ok(None);
        };
        if !kind.is_control() {
            self.judge_size(len)?;
        }
        let Some(&key) = bytes[mask_at..].first_chunk() else {
            return Ok(None);
        };
        Ok(Some(Header {
            kind,
            fin: first & FIN != 0,
            rsv1: first & RSV1 != 0,
            len,
            mask: Mask::new(key),
            size: mask_at + 4,
        }))
    }

    #[inline]
    fn judge_first(&self, first: u8) -> Result<Kind, Violation> {
        let kind = match first & OPCODE {
            0x0 => Kind::Continuation,
            0x1 => Kind::Start(Opcode::Text),
            0x2 => Kind::Start(Opcode::Binary),
            0x8 => Kind::Control(ControlKind::Close),
            0x9 => Kind::Control(ControlKind::Ping),
            0xA => Kind::Control(ControlKind::Pong),
            _ => return Err(Violation::OpcodeReserved),
        };
        let may_be_set = match kind {
            Kind::Start(_) if self.rsv1_agreed => RSV1,
            Kind::Start(_) | Kind::Continuation | Kind::Control(_) => 0,
        };
        if first & RSV & !may_be_set != 0 {
            return Err(Violation::ReservedBitSet);
        }
        if kind.is_control() && first & FIN == 0 {
            return Err(Violation::ControlFragmented);
        }
        match (kind, self.message) {
            (Kind::Continuation, None) => Err(Violation::ContinuationUnexpected),
            (Kind::Start(_), Some(_)) => Err(Violation::ContinuationMissing),
            (Kind::Continuation, Some(message)) if message.frames >= self.limits.fragments => {
                Err(Violation::TooManyFragments)
            }
            (_, _) => Ok(kind),
        }
    }

    /// The limit holds for what is announced, so that nothing of a message
    /// that is too big has to be taken first.
    #[inline]
    fn judge_size(&self, len: u64) -> Result<(), Violation> {
        let before = self.message.map_or(0, |message| message.announced);
        match before.checked_add(len) {
            Some(announced) if announced <= self.limits.message_bytes => Ok(()),
            Some(_) | None => Err(Violation::MessageTooBig),
        }
    }
}

/// The length, and where in the header the mask stands. `bytes` begin behind
/// the first two.
#[inline]
fn read_length(short: u8, bytes: &[u8]) -> Result<Option<(u64, usize)>, Violation> {
    match short {
        LENGTH_16 => {
            let Some(&raw) = bytes.first_chunk() else {
                return Ok(None);
            };
            let len = u16::from_be_bytes(raw);
            if len <= u16::from(SHORT_MAX) {
                return Err(Violation::LengthNotMinimal);
            }
            Ok(Some((u64::from(len), 4)))
        }
        LENGTH_64 => {
            let Some(&raw) = bytes.first_chunk() else {
                return Ok(None);
            };
            let len = u64::from_be_bytes(raw);
            if len >> 63 != 0 {
                return Err(Violation::LengthTopBitSet);
            }
            if len <= u64::from(u16::MAX) {
                return Err(Violation::LengthNotMinimal);
            }
            Ok(Some((len, 10)))
        }
        _ => Ok(Some((u64::from(short), 2))),
    }
}

/// The longest payload whose length stands in the second byte, which is also
/// the longest of a control frame (section 5.5).
pub(super) const SHORT_MAX: u8 = 125;

const FIN: u8 = 0x80;
const RSV: u8 = 0x70;
const RSV1: u8 = 0x40;
const OPCODE: u8 = 0x0F;
const MASKED: u8 = 0x80;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;
