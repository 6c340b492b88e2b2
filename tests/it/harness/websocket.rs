//! WebSocket frames as a client may write them, wrong ones included, and as a server must write them (RFC 6455
//! section 5). Written apart from the gateway's own codec, so that a mistake in one does not hide in the other.

use std::io;
use std::io::Read;

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// How a frame's length is written (section 5.2); only the shortest that fits is legal.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Length {
    Minimal,
    Wide16,
    Wide64,
    /// Says this many bytes, in the shortest form, whatever the payload is.
    Announced(u64),
}

/// A frame to send. [`Frame::new`] gives a legal one; the fields make it illegal.
#[derive(Debug, Clone)]
pub(crate) struct Frame<'payload> {
    pub(crate) fin: bool,
    /// The three reserved bits as a number from 0 to 7.
    pub(crate) rsv: u8,
    pub(crate) opcode: u8,
    pub(crate) mask: Option<[u8; 4]>,
    pub(crate) length: Length,
    pub(crate) payload: &'payload [u8],
}

impl<'payload> Frame<'payload> {
    pub(crate) fn new(opcode: u8, payload: &'payload [u8]) -> Self {
        let mask = Some([0x9c, 0x3b, 0x00, 0xe7]);
        Self {
            fin: true,
            rsv: 0,
            opcode,
            mask,
            length: Length::Minimal,
            payload,
        }
    }

    /// A fragment that others follow.
    pub(crate) fn unfinished(opcode: u8, payload: &'payload [u8]) -> Self {
        Self {
            fin: false,
            ..Self::new(opcode, payload)
        }
    }

    /// The bytes on the wire.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(14 + self.payload.len());
        bytes.push(u8::from(self.fin) << 7 | self.rsv << 4 | self.opcode);
        let mask_bit = if self.mask.is_some() { 0x80 } else { 0 };
        let (length, form) = match self.length {
            Length::Announced(announced) => (announced, Length::Minimal),
            form => (self.payload.len() as u64, form),
        };
        match form {
            Length::Wide16 => wide16(&mut bytes, mask_bit, length),
            Length::Wide64 => wide64(&mut bytes, mask_bit, length),
            _ if length < 126 => bytes.push(mask_bit | length as u8),
            _ if length < 0x1_0000 => wide16(&mut bytes, mask_bit, length),
            _ => wide64(&mut bytes, mask_bit, length),
        }
        let Some(mask) = self.mask else {
            bytes.extend_from_slice(self.payload);
            return bytes;
        };
        bytes.extend_from_slice(&mask);
        bytes.extend(
            self.payload
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        bytes
    }
}

/// A legal frame with this payload.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    Frame::new(opcode, payload).encode()
}

/// The payload of a Close frame.
pub(crate) fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// A frame from the gateway; it has passed every check of [`read_frame`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) fin: bool,
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

/// Reads one frame and takes no byte more.
///
/// # Errors
/// The stream's error or end; or a frame no server may send: masked, with reserved bits, an unknown opcode,
/// a length that is not minimal, a control frame that is fragmented or longer than 125 bytes.
pub(crate) fn read_frame(stream: &mut impl Read) -> io::Result<Received> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    let (fin, opcode) = (head[0] & 0x80 != 0, head[0] & 0x0f);
    check(head[0] & 0x70 == 0, "reserved bits are set")?;
    check(head[1] & 0x80 == 0, "a server's frame is masked")?;
    check(
        matches!(opcode, CONTINUATION..=BINARY | CLOSE..=PONG),
        "the opcode is unknown",
    )?;
    let length = match head[1] {
        126 => {
            let mut wide = [0; 2];
            stream.read_exact(&mut wide)?;
            let length = u64::from(u16::from_be_bytes(wide));
            check(length > 125, "a length is not minimal")?;
            length
        }
        127 => {
            let mut wide = [0; 8];
            stream.read_exact(&mut wide)?;
            let length = u64::from_be_bytes(wide);
            check(length > 0xffff, "a length is not minimal")?;
            length
        }
        short => u64::from(short),
    };
    check(
        opcode < CLOSE || (fin && length <= 125),
        "a control frame is too long or fragmented",
    )?;
    check(
        length <= MAX_PAYLOAD,
        "a frame is larger than any the gateway has reason to send",
    )?;
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload)?;
    Ok(Received {
        fin,
        opcode,
        payload,
    })
}

fn check(holds: bool, what: &str) -> io::Result<()> {
    if holds {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the gateway broke RFC 6455 section 5: {what}"),
    ))
}

fn wide16(bytes: &mut Vec<u8>, mask_bit: u8, length: u64) {
    bytes.push(mask_bit | 126);
    bytes.extend_from_slice(&(length as u16).to_be_bytes());
}

fn wide64(bytes: &mut Vec<u8>, mask_bit: u8, length: u64) {
    bytes.push(mask_bit | 127);
    bytes.extend_from_slice(&length.to_be_bytes());
}

const MAX_PAYLOAD: u64 = 512 * 1024 * 1024;
