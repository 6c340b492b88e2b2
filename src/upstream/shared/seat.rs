//! A session's place on a shared connection.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::batch::Batch;
use crate::upstream::shared::core::Core;
use crate::upstream::shared::core::Phase;
use crate::upstream::shared::Access;
use crate::upstream::shared::Facts;
use crate::upstream::shared::Line;
use crate::upstream::shared::QueueKind;

/// A session's place on a shared connection; dropping it leaves, without being told when that is done.
pub struct Seat {
    core: Rc<Core>,
    seat: usize,
    facts: Rc<Facts>,
}

impl Seat {
    pub(super) fn new(core: Rc<Core>, seat: usize) -> Self {
        let facts = core.with(|state| Rc::clone(&state.facts));
        Self { core, seat, facts }
    }

    /// What the broker says of itself.
    pub fn facts(&self) -> &Rc<Facts> {
        &self.facts
    }

    /// Queues whole frames, with the connection's channel numbers.
    ///
    /// `credit` bytes go back to the session's window when they have been written, or thrown away. Sessions are served in
    /// turn; the order of one session's frames stays.
    pub fn send(&self, frames: Batch, credit: usize) {
        self.core
            .with(|state| state.send(self.seat, frames, credit));
    }

    /// Whether nothing of the session waits to be written.
    pub fn is_empty(&self) -> bool {
        self.core.with(|state| state.is_empty(self.seat))
    }

    /// How long the broker has taken nothing of what waits.
    pub fn blocked_for(&self) -> Duration {
        self.core.with(|state| state.blocked_for(self.seat))
    }

    /// Why the broker takes no publishes, if it does not.
    pub fn blocked(&self) -> Option<String> {
        self.core.with(|state| state.blocked().map(str::to_owned))
    }

    /// These bytes of [`FromShared::Data`](super::FromShared::Data) have gone on to the session.
    pub fn taken(&self, bytes: usize) {
        if bytes > 0 {
            self.core.with(|state| state.taken(self.seat, bytes));
        }
    }

    /// Closes the session's channels behind what it has sent, and deletes its exclusive queues; then
    /// [`FromShared::Left`](super::FromShared::Left) comes.
    pub fn leave(&self) {
        self.core.with(|state| state.leave(self.seat));
    }

    /// Whether the connection is gone.
    pub fn is_lost(&self) -> bool {
        self.core.with(|state| state.phase() == Phase::Lost)
    }
}

impl Line for Seat {
    fn open_channel(&self, client_channel: u16) -> Option<u16> {
        self.core
            .with(|state| state.open_channel(self.seat, client_channel))
    }

    fn free_channel(&self, channel: u16) {
        self.core
            .with(|state| state.free_channel(self.seat, channel));
    }

    fn queue_access(&self, queue: &[u8]) -> Access {
        self.core.with(|state| {
            let access = state.ledger.access(self.seat, queue);
            if access == Access::Undecided {
                state.wait(self.seat);
            }
            access
        })
    }

    fn claim_queue(&self, queue: &[u8]) {
        // A name that the broker is to choose is nobody else's.
        if !queue.is_empty() {
            self.core.with(|state| state.ledger.claim(self.seat, queue));
        }
    }

    fn own_queue(&self, queue: &[u8]) {
        self.core.with(|state| state.own(self.seat, queue));
    }

    fn withdraw_claim(&self, queue: &[u8]) {
        self.core.with(|state| {
            state.ledger.forget(self.seat, queue, true);
            state.again();
        });
    }

    fn queue_deleted(&self, queue: &[u8]) {
        self.core.with(|state| {
            state.ledger.forget(self.seat, queue, false);
            state.again();
            state.count();
        });
    }

    fn queue_kind(&self, queue: &[u8]) -> Option<QueueKind> {
        self.core.with(|state| {
            // RabbitMQ has no exclusive queues of another kind.
            let classic = state.ledger.is_owned(queue);
            let exclusive = classic.then_some(QueueKind::Classic);
            exclusive.or_else(|| state.kinds.get(queue))
        })
    }

    fn doubt_queue_kind(&self, queue: &[u8], declared: Option<QueueKind>) -> Option<QueueKind> {
        self.core.with(|state| state.kinds.doubt(queue, declared))
    }

    fn restore_queue_kind(&self, queue: &[u8], noted: QueueKind) {
        self.core.with(|state| state.kinds.restore(queue, noted));
    }

    fn note_queue_kind(&self, queue: &[u8], kind: Option<QueueKind>) {
        self.core.with(|state| state.kinds.note(queue, kind));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.core.with(|state| state.abandon(self.seat));
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Seat").field(&self.seat).finish()
    }
}
