//! Frames to the client (RFC 6455 section 5.2): unmasked, with the shortest
//! form of the length, written in front of a payload that is already in place.

use super::CloseCode;

/// What a frame says that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameOpcode {
    /// The next fragment of the message that is open.
    Continuation,
    /// The first or only fragment of a text message.
    Text,
    /// The first or only fragment of a binary message.
    Binary,
    /// The closing handshake, or the answer to it.
    Close,
    /// A question whether the peer is there.
    Ping,
    /// The answer to it.
    Pong,
}

impl FrameOpcode {
    /// The four bits on the wire.
    #[inline]
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }
}

/// The header of an unmasked frame, and how many of the ten bytes it takes
/// (2, 4 or 10).
#[inline]
#[must_use]
pub fn header(opcode: FrameOpcode, fin: bool, len: usize) -> ([u8; HEADROOM], usize) {
    let mut header = [0; HEADROOM];
    header[0] = opcode.bits() | if fin { FIN } else { 0 };
    if len <= CONTROL_MAX {
        header[1] = len as u8;
        return (header, 2);
    }
    if let Ok(len) = u16::try_from(len) {
        header[1] = LENGTH_16;
        header[2..4].copy_from_slice(&len.to_be_bytes());
        return (header, 4);
    }
    header[1] = LENGTH_64;
    header[2..].copy_from_slice(&(len as u64).to_be_bytes());
    (header, HEADROOM)
}

/// Writes the header of a frame so that it ends where the payload starts, and
/// returns where the frame starts. The payload is not touched; a compressed
/// one gets [`RSV1`] or-ed into the byte at the returned place.
///
/// # Panics
///
/// If fewer bytes are free before `payload_start` than the header takes;
/// [`HEADROOM`] are always enough.
#[inline]
pub fn prepend_header(
    buffer: &mut [u8],
    payload_start: usize,
    payload_len: usize,
    opcode: FrameOpcode,
    fin: bool,
) -> usize {
    let (header, size) = header(opcode, fin, payload_len);
    let start = payload_start - size;
    buffer[start..payload_start].copy_from_slice(&header[..size]);
    start
}

/// A whole Close frame. The reason is cut at a character to 123 bytes; without
/// a code the body is empty, whatever the reason (section 5.5.1).
#[must_use]
pub fn close(code: Option<CloseCode>, reason: &str) -> Vec<u8> {
    let Some(code) = code else {
        return control(FrameOpcode::Close, &[]);
    };
    let mut end = reason.len().min(CLOSE_REASON_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let body = [&code.0.to_be_bytes(), &reason.as_bytes()[..end]].concat();
    control(FrameOpcode::Close, &body)
}

/// A whole Ping frame, its payload cut to 125 bytes.
#[must_use]
pub fn ping(payload: &[u8]) -> Vec<u8> {
    control(FrameOpcode::Ping, payload)
}

/// A whole Pong frame, its payload cut to 125 bytes.
#[must_use]
pub fn pong(payload: &[u8]) -> Vec<u8> {
    control(FrameOpcode::Pong, payload)
}

fn control(opcode: FrameOpcode, payload: &[u8]) -> Vec<u8> {
    let payload = &payload[..payload.len().min(CONTROL_MAX)];
    let (header, size) = header(opcode, true, payload.len());
    [&header[..size], payload].concat()
}

/// The bytes that any header to the client finds room in.
pub const HEADROOM: usize = 10;

/// The bit that marks the first frame of a compressed message (RFC 7692
/// section 6); only where that extension is agreed.
pub const RSV1: u8 = 0x40;

/// The bytes that the payload of a control frame may have (section 5.5).
pub const CONTROL_MAX: usize = 125;

/// The bytes that remain for the reason beside the code in a Close frame.
pub const CLOSE_REASON_MAX: usize = CONTROL_MAX - 2;

const FIN: u8 = 0x80;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

#[cfg(test)]
mod tests;
