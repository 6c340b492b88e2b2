//! Frames from the client (RFC 6455 section 5), decoded strictly and in place:
//! whatever a read brought is consumed, and its data payloads, unmasked, move
//! together at the front of the same buffer.

mod batch;
mod cut;
mod frame;

use super::mask::Mask;
use super::utf8::Utf8;
use super::CloseCode;
use super::Violation;

use batch::Batch;
use cut::CutFrame;
use frame::ControlKind;
use frame::Header;
use frame::Kind;
use frame::Rules;
use frame::SHORT_MAX;

/// The kind of a data message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// UTF-8, checked unless RSV1 marks the message.
    Text,
    /// Any bytes.
    Binary,
}

/// A run of payload bytes of one data message inside a batch. How the message
/// was cut into frames and reads does not show, except where a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The kind of the message, in each of its pieces.
    pub opcode: Opcode,
    /// The bytes of the run; 0 is possible, and so is a message of nothing else.
    pub len: u32,
    /// Whether the message begins with this piece.
    pub first: bool,
    /// Whether the message ends with this piece.
    pub last: bool,
    /// Whether the first frame of the message had RSV1 set, in each piece.
    pub rsv1: bool,
}

impl Piece {
    /// A piece that is a whole message by itself, for whoever fills in its length.
    #[must_use]
    pub const fn whole(opcode: Opcode) -> Self {
        Self {
            opcode,
            len: 0,
            first: true,
            last: true,
            rsv1: false,
        }
    }
}

/// A control frame (section 5.5), whole and unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// Wants a Pong with the same payload, of at most 125 bytes.
    Ping(Vec<u8>),
    /// Answers a Ping, or comes unasked.
    Pong(Vec<u8>),
    /// Begins or ends the closing handshake. The code is one that may be
    /// received; the reason has at most 123 bytes.
    Close(Option<(CloseCode, String)>),
}

/// What one message may cost. At the limit it passes, one past it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The bytes that the frames of a message may announce together, as they
    /// travel (compressed, where they are).
    pub message_bytes: u64,
    /// The frames of a message, empty ones counted. The first is always
    /// allowed.
    pub fragments: u32,
}

/// What one call of [`Decoder::decode`] brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// The bytes at the front of the buffer that the pieces describe.
    pub data: usize,
    /// The data messages that ended.
    pub messages: u32,
    /// The first broken rule. Everything before it has been delivered and
    /// nothing will be after it.
    pub violation: Option<Violation>,
}

/// The frames of one client, wherever the reads cut them. It is small while
/// nothing is cut, and holds at most 131 bytes beside itself while a header or
/// a control frame is.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    /// The data message that is open.
    message: Option<Message>,
    /// The payload bytes of the current data frame that have not come yet.
    remaining: u64,
    /// For the next of them.
    mask: Mask,
    /// Whether the current data frame ends its message.
    fin: bool,
    rsv1_agreed: bool,
    /// A Close frame or a violation has been seen.
    ended: bool,
    cut: Option<Box<CutFrame>>,
}

/// A data message between its first header and its end.
#[derive(Clone, Copy, Debug)]
struct Message {
    /// The sum of the lengths in its headers so far.
    announced: u64,
    frames: u32,
    opcode: Opcode,
    rsv1: bool,
    /// Whether a piece of it has been delivered.
    begun: bool,
    utf8: Utf8,
}

impl Decoder {
    /// The decoder of a new WebSocket. `rsv1_agreed` where an extension that
    /// uses RSV1 (RFC 7692) has been agreed.
    #[must_use]
    pub const fn new(limits: Limits, rsv1_agreed: bool) -> Self {
        Self {
            limits,
            message: None,
            remaining: 0,
            mask: Mask::new([0; 4]),
            fin: true,
            rsv1_agreed,
            ended: false,
            cut: None,
        }
    }

    /// Other limits, from the next frame header on. They hold for what the
    /// open message has announced already, too.
    pub const fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Takes what a read brought, all of it. Afterwards the front of `bytes`
    /// holds the payloads of the appended pieces, one behind the other; the
    /// rest of `bytes` has no meaning. After a Close frame or a violation,
    /// whatever still comes is dropped.
    pub fn decode(
        &mut self,
        bytes: &mut [u8],
        pieces: &mut Vec<Piece>,
        controls: &mut Vec<Control>,
    ) -> Decoded {
        let mut batch = Batch {
            pieces,
            controls,
            data: 0,
            messages: 0,
            open: false,
        };
        let violation = self.take(bytes, &mut batch).err();
        if violation.is_some() {
            self.ended = true;
            self.cut = None;
        }
        Decoded {
            data: batch.data,
            messages: batch.messages,
            violation,
        }
    }

    fn take(&mut self, bytes: &mut [u8], batch: &mut Batch<'_>) -> Result<(), Violation> {
        let mut read = self.take_cut_frame(bytes, batch)?;
        while read < bytes.len() && !self.ended {
            if self.remaining > 0 {
                read = self.take_payload(bytes, read, batch)?;
                continue;
            }
            if self.message.is_none() {
                read = self.take_small_messages(bytes, read, batch);
            }
            let frame = &bytes[read..];
            let Some(header) = self.rules().read(frame)? else {
                self.cut = CutFrame::holding(frame);
                return Ok(());
            };
            let start = match header.kind {
                Kind::Start(opcode) => Some(opcode),
                Kind::Continuation => None,
                Kind::Control(kind) => {
                    let Some(frame) = frame.get(..header.control_size()) else {
                        self.cut = CutFrame::holding(frame);
                        return Ok(());
                    };
                    read += frame.len();
                    self.take_control(kind, &header, frame, batch)?;
                    continue;
                }
            };
            self.begin_frame(&header, start);
            read = self.take_payload(bytes, read + header.size, batch)?;
        }
        Ok(())
    }

    /// The case that is worth a path of its own: whole BINARY messages of one
    /// short frame, back to back, of which nothing must be remembered. Stops
    /// at whatever is anything else, right or wrong.
    #[inline]
    fn take_small_messages(
        &self,
        bytes: &mut [u8],
        mut read: usize,
        batch: &mut Batch<'_>,
    ) -> usize {
        let limit = self.limits.message_bytes;
        while let Some((head, _)) = bytes[read..].split_first_chunk::<8>() {
            let &[FIN_BINARY, second, h2, h3, h4, h5, h6, h7] = head else {
                break;
            };
            // Without the mask bit this wraps to something beyond both forms.
            let (len, size, key) = match second.wrapping_sub(MASKED) {
                short @ 0..=SHORT_MAX => (usize::from(short), 6, [h2, h3, h4, h5]),
                LENGTH_16 => {
                    let len = u16::from_be_bytes([h2, h3]);
                    if len <= u16::from(SHORT_MAX) {
                        break;
                    }
                    (usize::from(len), 8, [h4, h5, h6, h7])
                }
                _ => break,
            };
            let start = read + size;
            let end = start + len;
            if end > bytes.len() || len as u64 > limit {
                break;
            }
            read = end;
            Mask::new(key).apply_to_front(&mut bytes[batch.data..end], start - batch.data);
            batch.data += len;
            batch.messages += 1;
            batch.pieces.push(Piece {
                opcode: Opcode::Binary,
                len: len as u32,
                first: true,
                last: true,
                rsv1: false,
            });
        }
        read
    }

    /// Goes on with the frame that the last read cut, and returns how much of
    /// `bytes` that took.
    fn take_cut_frame(
        &mut self,
        bytes: &mut [u8],
        batch: &mut Batch<'_>,
    ) -> Result<usize, Violation> {
        let Some(mut cut) = self.cut.take() else {
            return Ok(0);
        };
        let mut read = 0;
        // At most fourteen turns, a byte each: a broken rule is told at the
        // byte that shows it, however the bytes come.
        let header = loop {
            if let Some(header) = self.rules().read(cut.held())? {
                break header;
            }
            if cut.grow(&bytes[read..], 1) == 0 {
                self.cut = Some(cut);
                return Ok(read);
            }
            read += 1;
        };
        let start = match header.kind {
            Kind::Start(opcode) => Some(opcode),
            Kind::Continuation => None,
            Kind::Control(kind) => {
                let missing = header.control_size() - cut.held().len();
                read += cut.grow(&bytes[read..], missing);
                if cut.held().len() < header.control_size() {
                    self.cut = Some(cut);
                } else {
                    self.take_control(kind, &header, cut.held(), batch)?;
                }
                return Ok(read);
            }
        };
        self.begin_frame(&header, start);
        self.take_payload(bytes, read, batch)
    }

    /// Enters a data frame; `start` where it begins a message.
    fn begin_frame(&mut self, header: &Header, start: Option<Opcode>) {
        self.remaining = header.len;
        self.mask = header.mask;
        self.fin = header.fin;
        if let Some(opcode) = start {
            self.message = Some(Message {
                announced: header.len,
                frames: 1,
                opcode,
                rsv1: header.rsv1,
                begun: false,
                utf8: Utf8::default(),
            });
        } else if let Some(message) = &mut self.message {
            message.announced += header.len;
            message.frames += 1;
        }
    }

    /// Takes what `bytes` hold, from `read` on, of the current data frame, and
    /// returns where it ends. A frame without payload is taken by this, too.
    fn take_payload(
        &mut self,
        bytes: &mut [u8],
        read: usize,
        batch: &mut Batch<'_>,
    ) -> Result<usize, Violation> {
        let available = (bytes.len() - read).min(PIECE_MAX as usize);
        let taken = usize::try_from(self.remaining).map_or(available, |n| n.min(available));
        let end = read + taken;
        self.mask
            .apply_to_front(&mut bytes[batch.data..end], read - batch.data);
        self.mask = self.mask.after(taken);
        self.remaining -= taken as u64;

        let last = self.fin && self.remaining == 0;
        let Some(message) = &mut self.message else {
            return Ok(end);
        };
        if message.opcode == Opcode::Text && !message.rsv1 {
            let run = &bytes[batch.data..batch.data + taken];
            if message.utf8.take(run).is_err() {
                return Err(Violation::TextNotUtf8);
            }
            if last && !message.utf8.is_complete() {
                return Err(Violation::TextEndsInsideCharacter);
            }
        }
        // An empty frame that begins a message is told; a header whose payload
        // has yet to come is not.
        if taken > 0 || last || (self.remaining == 0 && !message.begun) {
            batch.append(message, taken, last);
        }
        if last {
            self.message = None;
        }
        Ok(end)
    }

    /// Takes a whole control frame.
    fn take_control(
        &mut self,
        kind: ControlKind,
        header: &Header,
        frame: &[u8],
        batch: &mut Batch<'_>,
    ) -> Result<(), Violation> {
        let mut payload = frame[header.size..].to_vec();
        header.mask.apply(&mut payload);
        batch.controls.push(match kind {
            ControlKind::Ping => Control::Ping(payload),
            ControlKind::Pong => Control::Pong(payload),
            ControlKind::Close => {
                let body = read_close(&payload)?;
                self.ended = true;
                Control::Close(body)
            }
        });
        Ok(())
    }

    const fn rules(&self) -> Rules<'_> {
        Rules {
            limits: self.limits,
            rsv1_agreed: self.rsv1_agreed,
            message: self.message.as_ref(),
        }
    }
}

/// The body of a Close frame (section 5.5.1).
fn read_close(payload: &[u8]) -> Result<Option<(CloseCode, String)>, Violation> {
    let Some((&code, reason)) = payload.split_first_chunk() else {
        return match payload {
            [] => Ok(None),
            _ => Err(Violation::CloseTruncated),
        };
    };
    let code = CloseCode(u16::from_be_bytes(code));
    if !code.may_be_received() {
        return Err(Violation::CloseCodeForbidden(code));
    }
    match std::str::from_utf8(reason) {
        Ok(reason) => Ok(Some((code, reason.to_owned()))),
        Err(_) => Err(Violation::CloseReasonNotUtf8),
    }
}

/// What the length of a piece can tell. Batches are far smaller; a bigger one
/// gives more pieces.
const PIECE_MAX: u32 = u32::MAX;

const FIN_BINARY: u8 = 0x82;
const MASKED: u8 = 0x80;
const LENGTH_16: u8 = 126;

#[cfg(test)]
mod tests;
