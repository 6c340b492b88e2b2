//! What of one batch goes on: in place as far as nothing is cut out of its middle, in copies
//! otherwise.

use std::mem;

use crate::batch::Batch;

/// A run of bytes of a batch that go on as they stand, and how many bytes went on before and with
/// it.
#[derive(Debug, Default)]
pub(super) struct Run {
    start: usize,
    end: usize,
    /// Bytes that have gone on or will, whatever they came from.
    pub total: u64,
}

impl Run {
    /// Lets the bytes from `start` to `end` go on, which stand behind all that were let through
    /// before.
    #[inline]
    pub(super) fn keep(&mut self, start: usize, end: usize, batch: &Batch, out: &mut Vec<Batch>) {
        if self.end != start {
            self.flush(batch, out);
            self.start = start;
        }
        self.end = end;
        self.total += (end - start) as u64;
    }

    /// Takes back what was let through from `start` on, which is the end of the run.
    pub(super) fn take_back(&mut self, start: usize) {
        self.total -= self.end.saturating_sub(start) as u64;
        self.end = self.end.min(start);
    }

    /// Sends `bytes` behind what was let through so far.
    pub(super) fn insert(&mut self, bytes: &[u8], batch: &Batch, out: &mut Vec<Batch>) {
        if bytes.is_empty() {
            return;
        }
        self.flush(batch, out);
        push(bytes, out);
        self.total += bytes.len() as u64;
    }

    /// Sends a batch of its own behind what was let through so far.
    pub(super) fn insert_batch(&mut self, whole: Batch, batch: &Batch, out: &mut Vec<Batch>) {
        self.flush(batch, out);
        self.total += whole.len() as u64;
        out.push(whole);
    }

    fn flush(&mut self, batch: &Batch, out: &mut Vec<Batch>) {
        if self.start < self.end {
            push(
                batch.bytes().get(self.start..self.end).unwrap_or_default(),
                out,
            );
        }
        self.start = self.end;
    }

    /// Ends the run, of a batch of which the first `consumed` bytes are dealt with. If those are
    /// all, the batch itself goes on.
    pub(super) fn finish(
        mut self,
        consumed: usize,
        batch: &mut Batch,
        out: &mut Vec<Batch>,
    ) -> u64 {
        if consumed < batch.len() {
            self.flush(batch, out);
            batch.advance(consumed);
        } else if self.start < self.end {
            let mut whole = mem::replace(batch, Batch::empty());
            whole.advance(self.start);
            whole.truncate(self.end - self.start);
            out.push(whole);
        } else {
            *batch = Batch::empty();
        }
        self.total
    }
}

/// Sends a copy of `bytes`, in the last batch if it fits there.
pub(super) fn push(bytes: &[u8], out: &mut Vec<Batch>) {
    if let Some(last) = out.last_mut() {
        if last.append(bytes) {
            return;
        }
    }
    out.push(if bytes.len() > SMALL {
        Batch::copied(bytes)
    } else {
        small(bytes)
    });
}

/// A batch for a few bytes, in a buffer that is not much larger: many may wait at once.
fn small(bytes: &[u8]) -> Batch {
    let mut room = Vec::with_capacity(HEADROOM + bytes.len());
    room.resize(HEADROOM, 0);
    room.extend_from_slice(bytes);
    Batch::gathered(room)
}

use crate::wire::websocket::encoder::HEADROOM;

/// Bytes that are worth no buffer of the pool.
const SMALL: usize = 4096;
