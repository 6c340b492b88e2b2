//! What a message is, told by how it begins, wherever reads and fragments cut it: one value per direction.

use super::CONTROL;
use crate::wire::websocket::Opcode;
use crate::wire::websocket::Piece;

/// The messages from the client.
#[derive(Debug, Default)]
pub(super) struct FromClient {
    open: Open,
    /// The last message was an escape.
    escaped: bool,
}

/// What is known of the message under way.
#[derive(Clone, Copy, Debug, Default)]
enum Open {
    /// It is data, or there is none.
    #[default]
    Data,
    /// A TEXT message, of which so many bytes have come, all of them control bytes. None has been passed on.
    Beginning { matched: usize },
    /// A control frame, of which so many bytes have come behind the control bytes.
    Control { payload: [u8; 2], len: usize },
}

/// What a piece from the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Data. If `held` is given, it begins its message although it came later, behind so many control bytes.
    Data { held: Option<usize> },
    /// Nothing yet, or the middle of a control frame.
    Held,
    /// The end of a control frame.
    Control(Control),
}

/// A control frame from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    Escape,
    Ping,
    Pong,
}

/// A rule that the client broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Violation {
    UnknownControl,
    NeedlessEscape,
}

impl FromClient {
    /// Whether the next piece must be seen, whatever it is.
    pub(super) fn awaits_more(&self) -> bool {
        self.escaped || !matches!(self.open, Open::Data)
    }

    pub(super) fn take(&mut self, piece: Piece, bytes: &[u8]) -> Result<Taken, Violation> {
        if piece.first {
            self.open = Open::of_first(piece);
            if matches!(self.open, Open::Data) {
                self.escaped = false;
            }
        }
        match self.open {
            Open::Data => Ok(Taken::Data { held: None }),
            Open::Control { payload, len } => self.take_control(payload, len, piece, bytes),
            Open::Beginning { matched } => match compare(matched, piece, bytes) {
                Comparison::Short => {
                    self.open = Open::Beginning {
                        matched: matched + bytes.len(),
                    };
                    Ok(Taken::Held)
                }
                Comparison::Differs if self.escaped => Err(Violation::NeedlessEscape),
                Comparison::Begins(rest) if !self.escaped => {
                    self.take_control([0; 2], 0, piece, rest)
                }
                Comparison::Differs | Comparison::Begins(_) => {
                    self.escaped = false;
                    self.open = Open::Data;
                    Ok(Taken::Data {
                        held: (!piece.first).then_some(matched),
                    })
                }
            },
        }
    }

    /// Goes on with a control frame of which `len` bytes of the payload have come.
    fn take_control(
        &mut self,
        mut payload: [u8; 2],
        len: usize,
        piece: Piece,
        bytes: &[u8],
    ) -> Result<Taken, Violation> {
        let end = len + bytes.len();
        let room = payload.get_mut(len..end).ok_or(Violation::UnknownControl)?;
        room.copy_from_slice(bytes);
        if !piece.last {
            self.open = Open::Control { payload, len: end };
            return Ok(Taken::Held);
        }
        self.open = Open::Data;
        let control = match &payload[..end] {
            [] => {
                self.escaped = true;
                Control::Escape
            }
            payload if payload == PING => Control::Ping,
            payload if payload == PONG => Control::Pong,
            _ => return Err(Violation::UnknownControl),
        };
        Ok(Taken::Control(control))
    }
}

impl Open {
    /// What the first piece of a message tells without its bytes. BINARY is always data, and so is what an extension
    /// has compressed (RSV1): its bytes are no text.
    fn of_first(piece: Piece) -> Self {
        if piece.opcode == Opcode::Text && !piece.rsv1 {
            Self::Beginning { matched: 0 }
        } else {
            Self::Data
        }
    }
}

/// The data messages for the client.
#[derive(Debug, Default)]
pub(super) struct ToClient {
    /// So many control bytes, and nothing else, have come of the TEXT message under way. None has been passed on.
    matched: Option<usize>,
}

/// What is to be done with a piece for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outgoing {
    /// It goes on, as in [`Taken::Data`].
    Plain { held: Option<usize> },
    /// It goes on behind an escape.
    Escaped { held: Option<usize> },
    /// Nothing yet.
    Held,
}

impl ToClient {
    /// Whether the next piece must be seen, whatever it is.
    pub(super) fn awaits_more(&self) -> bool {
        self.matched.is_some()
    }

    pub(super) fn take(&mut self, piece: Piece, bytes: &[u8]) -> Outgoing {
        if piece.first {
            self.matched = match Open::of_first(piece) {
                Open::Beginning { matched } => Some(matched),
                Open::Data | Open::Control { .. } => None,
            };
        }
        let Some(matched) = self.matched.take() else {
            return Outgoing::Plain { held: None };
        };
        let held = (!piece.first).then_some(matched);
        match compare(matched, piece, bytes) {
            Comparison::Differs => Outgoing::Plain { held },
            Comparison::Begins(_) => Outgoing::Escaped { held },
            Comparison::Short => {
                self.matched = Some(matched + bytes.len());
                Outgoing::Held
            }
        }
    }
}

/// How the beginning of a message compares with the control bytes.
enum Comparison<'a> {
    Differs,
    /// It is the same as far as it goes, and more will come.
    Short,
    /// It begins with all of them; this stands behind them.
    Begins(&'a [u8]),
}

/// Compares `bytes`, behind `matched` bytes that were the same.
fn compare(matched: usize, piece: Piece, bytes: &[u8]) -> Comparison<'_> {
    let due = &CONTROL[matched..];
    if let Some(rest) = bytes.strip_prefix(due) {
        Comparison::Begins(rest)
    } else if due.starts_with(bytes) && !piece.last {
        Comparison::Short
    } else {
        Comparison::Differs
    }
}

/// Behind the control bytes: a native Ping's header with FIN cleared, so that it is ASCII.
pub(super) const PING: [u8; 2] = [0x09, 0x00];

/// Behind the control bytes: a native Pong's header with FIN cleared.
pub(super) const PONG: [u8; 2] = [0x0a, 0x00];
