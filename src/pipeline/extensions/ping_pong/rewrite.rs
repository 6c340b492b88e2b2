//! A batch with messages left out, put in, or put together again: copied only from the first change on that needs it.

use super::CONTROL;
use crate::batch::Batch;
use crate::batch::Draft;
use crate::pipeline::link::Output;
use crate::wire::websocket::Piece;

/// What becomes of a batch while its pieces are looked at in order.
#[derive(Debug)]
pub(super) struct Rewrite<'a> {
    batch: &'a Batch,
    /// So many pieces at the front stay as they are.
    same: usize,
    /// Something behind them has been left out.
    changed: bool,
    draft: Option<Draft>,
}

/// What became of it.
#[derive(Debug)]
pub(super) enum Rewritten {
    /// Its first pieces are left, so many of them.
    Front(usize),
    /// Other pieces.
    Copied(Batch),
}

impl<'a> Rewrite<'a> {
    pub(super) fn of(batch: &'a Batch) -> Self {
        Self {
            batch,
            same: 0,
            changed: false,
            draft: None,
        }
    }

    /// The next piece is left out.
    pub(super) fn leave_out(&mut self) {
        self.changed = true;
    }

    /// The next piece stays. If `held` is given, it begins its message behind so many control bytes.
    pub(super) fn pass(&mut self, piece: Piece, held: Option<usize>, bytes: &[u8]) {
        match held {
            None if !self.changed => self.same += 1,
            None => self.draft().push(piece, &[bytes]),
            Some(held) => {
                let piece = Piece {
                    first: true,
                    ..piece
                };
                self.draft().push(piece, &[&CONTROL[..held], bytes]);
            }
        }
    }

    /// One more piece stands here.
    pub(super) fn insert(&mut self, piece: Piece, bytes: &[u8]) {
        self.draft().push(piece, &[bytes]);
    }

    pub(super) fn finish(self) -> Rewritten {
        match self.draft {
            Some(draft) => Rewritten::Copied(draft.finish()),
            None => Rewritten::Front(self.same),
        }
    }

    fn draft(&mut self) -> &mut Draft {
        self.changed = true;
        self.draft.get_or_insert_with(|| {
            // Each piece may get an escape, and the first may have control bytes held for it.
            let room = self.batch.len() + CONTROL.len() * (self.batch.pieces.len() + 1);
            let mut draft = Draft::with_room(room);
            for (piece, bytes) in self.batch.parts().take(self.same) {
                draft.push(piece, &[bytes]);
            }
            draft
        })
    }
}

impl Rewritten {
    /// Passes on what became of `batch`.
    pub(super) fn pass(self, mut batch: Batch, output: &mut Output) {
        match self {
            Self::Copied(copy) => output.pass(copy),
            Self::Front(same) => {
                if same < batch.pieces.len() {
                    batch.pieces.truncate(same);
                    let len = batch.pieces.iter().map(|piece| piece.len as usize).sum();
                    batch.truncate(len);
                }
                output.pass(batch);
            }
        }
    }
}
