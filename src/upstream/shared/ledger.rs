//! The books on the exclusive queues of one shared connection: whose they are. A value.

use std::collections::HashMap;

use crate::upstream::shared::Access;

/// The books.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    exclusive: HashMap<Box<[u8]>, Entry>,
    /// Those of them that the broker has confirmed.
    confirmed: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    seat: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The declare is on its way.
    Claimed,
    /// The broker has confirmed it.
    Owned,
    /// The session has left; lapin deletes it.
    Deleting,
}

impl Ledger {
    /// What a session may do with a queue.
    pub(super) fn access(&self, seat: usize, queue: &[u8]) -> Access {
        match self.exclusive.get(queue) {
            None => Access::Free,
            Some(entry) if entry.state == State::Deleting => Access::Locked,
            Some(entry) if entry.seat == seat => Access::Mine,
            Some(entry) if entry.state == State::Claimed => Access::Undecided,
            Some(_) => Access::Locked,
        }
    }

    /// A declare of this queue as exclusive is on its way. A claim of one that is taken changes nothing.
    pub(super) fn claim(&mut self, seat: usize, queue: &[u8]) {
        let state = State::Claimed;
        self.exclusive
            .entry(queue.into())
            .or_insert(Entry { seat, state });
    }

    /// The broker has confirmed it.
    pub(super) fn own(&mut self, seat: usize, queue: &[u8]) {
        let state = State::Claimed;
        let entry = self
            .exclusive
            .entry(queue.into())
            .or_insert(Entry { seat, state });
        if entry.seat == seat && entry.state == State::Claimed {
            entry.state = State::Owned;
            self.confirmed += 1;
        }
    }

    /// The session's claim, or its queue, is no more.
    pub(super) fn forget(&mut self, seat: usize, queue: &[u8], only_claim: bool) {
        let Some(entry) = self.exclusive.get(queue) else {
            return;
        };
        let is_meant = match entry.state {
            State::Claimed => true,
            State::Owned => !only_claim,
            State::Deleting => false,
        };
        if entry.seat == seat && is_meant {
            if entry.state == State::Owned {
                self.confirmed -= 1;
            }
            self.exclusive.remove(queue);
        }
    }

    /// All queues of a session that has left are to be deleted, and its claims have come to nothing: their names.
    pub(super) fn leave(&mut self, seat: usize) -> Vec<Box<[u8]>> {
        let mut names = Vec::new();
        self.exclusive.retain(|queue, entry| {
            if entry.seat != seat {
                return true;
            }
            if entry.state == State::Owned {
                entry.state = State::Deleting;
                names.push(queue.clone());
            }
            entry.state == State::Deleting
        });
        names
    }

    /// lapin is done with a queue of a session that has left; says whose it was. One that is not gone stays locked: it is
    /// still there, with what its session had in it.
    pub(super) fn deleted(&mut self, queue: &[u8], is_gone: bool) -> Option<usize> {
        let entry = self.exclusive.get(queue)?;
        if entry.state != State::Deleting {
            return None;
        }
        if !is_gone {
            return Some(entry.seat);
        }
        self.confirmed -= 1;
        self.exclusive.remove(queue).map(|entry| entry.seat)
    }

    /// Exclusive queues that are there.
    pub(super) fn count(&self) -> usize {
        self.confirmed
    }

    /// Whether the queue is there and exclusive.
    pub(super) fn is_owned(&self, queue: &[u8]) -> bool {
        let entry = self.exclusive.get(queue);
        entry.is_some_and(|entry| entry.state != State::Claimed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_keeps_others_waiting_and_ownership_keeps_them_out() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.access(1, b"q"), Access::Free);
        ledger.claim(1, b"q");
        assert_eq!(ledger.access(1, b"q"), Access::Mine);
        assert_eq!(ledger.access(2, b"q"), Access::Undecided);
        ledger.own(1, b"q");
        assert_eq!(ledger.access(2, b"q"), Access::Locked);
        assert_eq!(ledger.count(), 1);
        // A claim's failure is no reason to forget what is owned.
        ledger.forget(1, b"q", true);
        assert_eq!(ledger.access(2, b"q"), Access::Locked);
        // Nobody forgets another's.
        ledger.forget(2, b"q", false);
        assert_eq!(ledger.access(2, b"q"), Access::Locked);
        ledger.forget(1, b"q", false);
        assert_eq!(ledger.access(2, b"q"), Access::Free);
    }

    #[test]
    fn what_a_session_leaves_behind_stays_locked_until_it_is_deleted() {
        let mut ledger = Ledger::default();
        ledger.own(1, b"amq.gen-1");
        ledger.claim(1, b"claimed");
        ledger.own(2, b"other");
        assert_eq!(ledger.leave(1), [b"amq.gen-1".to_vec().into_boxed_slice()]);
        assert_eq!(ledger.access(2, b"amq.gen-1"), Access::Locked);
        // The next one on the same seat is somebody else.
        assert_eq!(ledger.access(1, b"amq.gen-1"), Access::Locked);
        assert_eq!(ledger.access(2, b"claimed"), Access::Free);
        assert_eq!(ledger.deleted(b"other", true), None);
        // What could not be deleted is nobody else's.
        assert_eq!(ledger.deleted(b"amq.gen-1", false), Some(1));
        assert_eq!(ledger.access(2, b"amq.gen-1"), Access::Locked);
        assert_eq!(ledger.deleted(b"amq.gen-1", true), Some(1));
        assert_eq!(ledger.deleted(b"amq.gen-1", true), None);
        assert_eq!(ledger.count(), 1);
    }
}
