//! What the AMQP server of one session asks of the broker connection it shares, and what it tells
//! it: channel numbers and the books on queues.

/// A session's side of a shared broker connection, without the frames.
///
/// Every answer is given at once. Where there is none yet, the session hears
/// `FromShared::Again` when it is worth asking anew.
pub trait Line {
    /// A free channel of the connection for this channel of the client; `None`: none is free now,
    /// and `FromShared::Again` follows.
    fn open_channel(&self, client_channel: u16) -> Option<u16>;

    /// channel.close-ok has passed in either direction: the connection's channel may be used again.
    ///
    /// Where it was the session's to send, it is among the frames that the session hands over next:
    /// nobody else may get the number before those have been written.
    fn free_channel(&self, channel: u16);

    /// What this session may do with a queue.
    fn queue_access(&self, queue: &[u8]) -> Access;

    /// A declare of this queue as exclusive is on its way; an empty name is one that the broker will
    /// give.
    fn claim_queue(&self, queue: &[u8]);

    /// The broker has declared the queue as exclusive for this session. Settles a claim, if the
    /// name was the client's.
    fn own_queue(&self, queue: &[u8]);

    /// The declare that was announced by [`Line::claim_queue`] has failed.
    fn withdraw_claim(&self, queue: &[u8]);

    /// The broker has deleted a queue of this session.
    fn queue_deleted(&self, queue: &[u8]);

    /// The kind of a queue, as far as sessions have declared it.
    fn queue_kind(&self, queue: &[u8]) -> Option<QueueKind>;

    /// A declare that makes a queue of this kind, or of one that nobody knows, is on its way: gives the kind that was noted,
    /// if it is another; it counts no more.
    fn doubt_queue_kind(&self, queue: &[u8], declared: Option<QueueKind>) -> Option<QueueKind> {
        let noted = self.queue_kind(queue);
        let doubted = noted.filter(|noted| Some(*noted) != declared)?;
        self.note_queue_kind(queue, None);
        Some(doubted)
    }

    /// That declare has failed: the kind that was noted counts again, unless more is known by now.
    fn restore_queue_kind(&self, queue: &[u8], noted: QueueKind) {
        if self.queue_kind(queue).is_none() {
            self.note_queue_kind(queue, Some(noted));
        }
    }

    /// The broker has accepted a declare that tells the queue's kind; `None`: it is deleted.
    fn note_queue_kind(&self, queue: &[u8], kind: Option<QueueKind>);
}

/// What one session may do with one queue, as far as exclusive queues are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// No session of this connection holds it.
    Free,
    /// It is exclusively this session's, or claimed by it.
    Mine,
    /// Another session holds it.
    Locked,
    /// Another session's declare is on its way; `FromShared::Again` follows.
    Undecided,
}

/// The kinds of queue between which methods differ (`x-queue-type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueKind {
    /// `classic`, and what no `x-queue-type` means by default.
    Classic,
    /// `quorum`.
    Quorum,
    /// `stream`.
    Stream,
}
