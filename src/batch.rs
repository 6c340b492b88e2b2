//! What one read produced, on its way through the gateway: one buffer, one actor message.
//!
//! Buffers come from a small pool per worker thread, so that a silent session owns none and a busy
//! one allocates none. Each leaves [`HEADROOM`] bytes free in front, where the header of a
//! WebSocket frame can be written without moving the payload.

use std::cell::RefCell;

use crate::wire::websocket::encoder;
use crate::wire::websocket::encoder::HEADROOM;
use crate::wire::websocket::FrameOpcode;
use crate::wire::websocket::Opcode;
use crate::wire::websocket::Piece;

/// A run of payload bytes, and where WebSocket messages begin and end in it.
#[derive(Debug)]
pub struct Batch {
    buffer: Buffer,
    start: usize,
    end: usize,
    /// The messages the bytes belong to; empty where boundaries carry no meaning, as in AMQP.
    pub pieces: Vec<Piece>,
}

impl Batch {
    /// The `len` bytes of `buffer` from `start` on, cut to what the buffer holds.
    fn new(buffer: Buffer, start: usize, len: usize, pieces: Vec<Piece>) -> Self {
        let start = start.min(buffer.bytes.len());
        let end = (start + len).min(buffer.bytes.len());
        Self {
            buffer,
            start,
            end,
            pieces,
        }
    }

    /// The first `len` bytes of data in `buffer`.
    pub fn of_buffer(buffer: Buffer, len: usize, pieces: Vec<Piece>) -> Self {
        Self::new(buffer, HEADROOM, len, pieces)
    }

    /// A copy of `bytes` in a buffer of its own.
    pub fn copied(bytes: &[u8]) -> Self {
        let mut buffer = Buffer::with_room(bytes.len());
        buffer.bytes[HEADROOM..HEADROOM + bytes.len()].copy_from_slice(bytes);
        Self::new(buffer, HEADROOM, bytes.len(), Vec::new())
    }

    /// The bytes of `gathered` behind its first [`HEADROOM`], which stay free for a header.
    pub fn gathered(gathered: Vec<u8>) -> Self {
        let len = gathered.len().saturating_sub(HEADROOM);
        Self::new(Buffer { bytes: gathered }, HEADROOM, len, Vec::new())
    }

    /// No bytes, and no buffer either.
    pub fn empty() -> Self {
        Self::gathered(Vec::new())
    }

    /// One whole message.
    pub fn message(opcode: Opcode, bytes: &[u8]) -> Self {
        let mut draft = Draft::with_room(bytes.len());
        draft.push(Piece::whole(opcode), &[bytes]);
        draft.finish()
    }

    /// Bytes in the batch.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// The pieces, each with its bytes.
    pub fn parts(&self) -> impl Iterator<Item = (Piece, &[u8])> {
        let mut rest = self.bytes();
        self.pieces.iter().map(move |piece| {
            let (bytes, behind) = rest.split_at(rest.len().min(piece.len as usize));
            rest = behind;
            (*piece, bytes)
        })
    }

    /// What the batch costs while it waits, in bytes of credit.
    ///
    /// Where the boundaries of messages are kept, batches cannot be joined: each keeps its buffer,
    /// however little it holds.
    pub fn cost(&self) -> usize {
        if self.pieces.is_empty() {
            self.len()
        } else {
            self.buffer.capacity()
        }
    }

    /// Whether the batch holds no byte. It may still hold the end of a message.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer.bytes[self.start..self.end]
    }

    /// The bytes, for changes in place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer.bytes[self.start..self.end]
    }

    /// Forgets the first `count` bytes.
    pub fn advance(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// Remembers the last `count` bytes that [`Self::advance`] forgot.
    pub fn retreat(&mut self, count: usize) {
        self.start = self.start.saturating_sub(count);
    }

    /// Forgets all but the first `count` bytes.
    pub fn truncate(&mut self, count: usize) {
        self.end = (self.start + count).min(self.end);
    }

    /// Copies `bytes` behind the batch if its buffer has room; says whether it did.
    pub fn append(&mut self, bytes: &[u8]) -> bool {
        let end = self.end + bytes.len();
        let Some(room) = self.buffer.bytes.get_mut(self.end..end) else {
            return false;
        };
        room.copy_from_slice(bytes);
        self.end = end;
        true
    }

    /// Writes the header of one unmasked WebSocket frame in front of the bytes.
    ///
    /// The caller has not advanced the batch below its headroom and calls this once.
    pub fn prepend_header(&mut self, opcode: FrameOpcode, fin: bool) {
        let len = self.len();
        self.start = encoder::prepend_header(&mut self.buffer.bytes, self.start, len, opcode, fin);
    }
}

/// A batch that is being put together.
#[derive(Debug)]
pub struct Draft {
    buffer: Buffer,
    len: usize,
    pieces: Vec<Piece>,
}

impl Draft {
    /// An empty draft with room for at least `len` bytes; it grows if that is too little.
    pub fn with_room(len: usize) -> Self {
        Self {
            buffer: Buffer::with_room(len),
            len: 0,
            pieces: Vec::new(),
        }
    }

    /// Adds one piece, whose bytes are those of `parts` together; `piece.len` does not count.
    pub fn push(&mut self, piece: Piece, parts: &[&[u8]]) {
        let added: usize = parts.iter().map(|part| part.len()).sum();
        if self.len + added > self.buffer.capacity() {
            let mut larger = Buffer::with_room((self.len + added).max(2 * self.len));
            larger.room()[..self.len].copy_from_slice(self.buffer.data(self.len));
            self.buffer = larger;
        }
        for part in parts {
            self.buffer.room()[self.len..self.len + part.len()].copy_from_slice(part);
            self.len += part.len();
        }
        let len = u32::try_from(added).unwrap_or(u32::MAX);
        self.pieces.push(Piece { len, ..piece });
    }

    /// The batch; without pieces if nothing was added.
    pub fn finish(self) -> Batch {
        Batch::of_buffer(self.buffer, self.len, self.pieces)
    }
}

/// A block of memory for one read: [`HEADROOM`] bytes, then room for data.
///
/// Goes back to the pool of the thread that drops it.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
}

impl Buffer {
    /// A buffer with room for one ordinary read ([`READ_SIZE`] bytes).
    pub fn take() -> Self {
        let pooled = POOL.with_borrow_mut(Vec::pop);
        Self {
            bytes: pooled.unwrap_or_else(|| vec![0; HEADROOM + READ_SIZE]),
        }
    }

    /// A buffer with room for at least `len` bytes of data.
    pub fn with_room(len: usize) -> Self {
        if len <= READ_SIZE {
            return Self::take();
        }
        Self {
            bytes: vec![0; HEADROOM + len],
        }
    }

    /// All of the room behind the headroom.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[HEADROOM..]
    }

    /// Bytes of data the buffer has room for.
    pub fn capacity(&self) -> usize {
        self.bytes.len().saturating_sub(HEADROOM)
    }

    /// The first `len` bytes of data.
    pub fn data(&self, len: usize) -> &[u8] {
        &self.bytes[HEADROOM..HEADROOM + len.min(self.capacity())]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes.len() != HEADROOM + READ_SIZE {
            return;
        }
        let bytes = std::mem::take(&mut self.bytes);
        // The pool may be gone when a thread ends; then the buffer simply is, too.
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < POOL_SIZE {
                pool.push(bytes);
            }
        });
    }
}

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes read at once: what a default socket buffer hands over in one go, and small enough that a
/// batch stays in the second-level cache on its way through.
pub const READ_SIZE: usize = 64 * 1024;

/// Buffers kept per thread (1 MiB): enough for the sessions that are active in one turn of the
/// event loop. More would be memory that idles.
const POOL_SIZE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_its_bytes_through_advance_truncate_and_append() {
        let mut batch = Batch::copied(b"0123456789");
        batch.advance(2);
        batch.truncate(5);
        assert_eq!(batch.bytes(), b"23456");
        batch.advance(2);
        batch.retreat(2);
        assert_eq!(batch.bytes(), b"23456");
        assert!(batch.append(b"xy"));
        assert_eq!(batch.bytes(), b"23456xy");
        assert!(!batch.append(&vec![0; READ_SIZE]));
        batch.advance(100);
        assert!(batch.is_empty());
    }

    #[test]
    fn what_was_gathered_elsewhere_becomes_a_batch_without_a_copy() {
        let mut gathered = vec![0; HEADROOM];
        gathered.extend_from_slice(b"abc");
        let mut batch = Batch::gathered(gathered);
        assert_eq!(batch.bytes(), b"abc");
        batch.prepend_header(FrameOpcode::Binary, true);
        assert!(batch.bytes().ends_with(b"abc") && batch.len() > 3);
        assert!(Batch::empty().is_empty() && !Batch::empty().append(b"x"));
        assert_eq!(Batch::empty().cost(), 0);
    }

    #[test]
    fn a_draft_keeps_pieces_and_bytes_together_as_it_grows() {
        let mut draft = Draft::with_room(1);
        let open = Piece {
            last: false,
            ..Piece::whole(Opcode::Binary)
        };
        let long = vec![7; READ_SIZE];
        draft.push(Piece::whole(Opcode::Text), &[b"ab", b"", b"c"]);
        draft.push(Piece::whole(Opcode::Text), &[]);
        draft.push(open, &[&long, b"x"]);
        let batch = draft.finish();
        let parts: Vec<(u32, &[u8])> = batch
            .parts()
            .map(|(piece, bytes)| (piece.len, bytes))
            .collect();
        assert_eq!(parts[0], (3, &b"abc"[..]));
        assert_eq!(parts[1], (0, &b""[..]));
        assert_eq!(parts[2].1.len(), READ_SIZE + 1);
        assert!(parts[2].1.ends_with(&[7, b'x']));
    }

    #[test]
    fn pools_only_buffers_of_the_ordinary_size() {
        POOL.with_borrow_mut(Vec::clear);
        drop(Buffer::with_room(READ_SIZE + 1));
        assert_eq!(POOL.with_borrow(Vec::len), 0);
        let buffers: Vec<Buffer> = (0..POOL_SIZE + 3).map(|_| Buffer::take()).collect();
        drop(buffers);
        assert_eq!(POOL.with_borrow(Vec::len), POOL_SIZE);
    }
}
