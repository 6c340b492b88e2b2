//! What one call of the decoder delivers, as it grows.

use super::Control;
use super::Message;
use super::Piece;

/// What is being delivered by one call.
pub(super) struct Batch<'a> {
    pub(super) pieces: &'a mut Vec<Piece>,
    pub(super) controls: &'a mut Vec<Control>,
    /// The bytes delivered so far, which is also where the next ones go.
    pub(super) data: usize,
    pub(super) messages: u32,
    /// Whether the last piece belongs to the message that is open.
    pub(super) open: bool,
}

impl Batch<'_> {
    /// Delivers the next `taken` bytes of the open message; one piece for all
    /// that a call brings of it, since that is cheaper for who comes after.
    #[inline]
    pub(super) fn append(&mut self, message: &mut Message, taken: usize, last: bool) {
        let taken_len = taken as u32;
        let begun = message.begun;
        message.begun = true;
        self.data += taken;
        self.messages += u32::from(last);
        let open = std::mem::replace(&mut self.open, !last);
        if let (true, Some(piece)) = (open, self.pieces.last_mut()) {
            if let Some(len) = piece.len.checked_add(taken_len) {
                piece.len = len;
                piece.last = last;
                return;
            }
        }
        self.pieces.push(Piece {
            opcode: message.opcode,
            len: taken_len,
            first: !begun,
            last,
            rsv1: message.rsv1,
        });
    }
}
