//! What waits for one client of a shared connection: its own bounded queue, so that a slow client costs its neighbours
//! nothing.

use std::collections::VecDeque;

use crate::batch::Batch;

/// Frames for the client, in order.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    queue: VecDeque<Entry>,
    /// Bytes handed out in all.
    position: u64,
    /// Bytes waiting that the connection did not send.
    own: usize,
    is_paused: bool,
}

#[derive(Debug)]
struct Entry {
    frames: Batch,
    /// Bytes of the connection's that count against the session until these frames have gone on.
    arrived: usize,
    own: usize,
}

/// Frames that may go on.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) frames: Batch,
    /// Bytes of the connection's that are dealt with by that.
    pub(super) arrived: usize,
}

impl Deliveries {
    /// Queues whole frames, of the server's own or of the connection's.
    pub(super) fn push(&mut self, frames: Batch, is_own: bool) {
        let own = if is_own { frames.len() } else { 0 };
        self.own += own;
        if let Some(last) = self.queue.back_mut() {
            if last.frames.append(frames.bytes()) {
                last.own += own;
                return;
            }
        }
        self.queue.push_back(Entry {
            frames,
            arrived: 0,
            own,
        });
    }

    /// `bytes` of the connection's have led to what was pushed last; gives back what need not wait for anything.
    #[must_use]
    pub(super) fn arrived(&mut self, bytes: usize) -> usize {
        match self.queue.back_mut() {
            Some(last) => {
                last.arrived += bytes;
                0
            }
            None => bytes,
        }
    }

    /// Takes the next frames out.
    pub(super) fn next(&mut self) -> Option<Delivery> {
        let entry = self.queue.pop_front()?;
        self.position += entry.frames.len() as u64;
        self.own -= entry.own;
        if self.queue.is_empty() {
            self.is_paused = false;
        }
        Some(Delivery {
            frames: entry.frames,
            arrived: entry.arrived,
        })
    }

    /// Throws everything away; gives the connection's bytes in it.
    #[must_use]
    pub(super) fn give_up(&mut self) -> usize {
        let mut arrived = 0;
        while let Some(delivery) = self.next() {
            arrived += delivery.arrived;
        }
        arrived
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes that have gone out in all.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Bytes waiting that the connection did not send.
    pub(super) fn own_bytes(&self) -> usize {
        self.own
    }

    /// The client takes no more for now; true the first time since something last went on.
    pub(super) fn pause(&mut self) -> bool {
        !std::mem::replace(&mut self.is_paused, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_go_out_in_order_and_say_what_they_came_of() {
        let mut deliveries = Deliveries::default();
        assert_eq!(deliveries.arrived(7), 7, "nothing of it waits");
        deliveries.push(Batch::copied(b"abc"), true);
        assert_eq!(deliveries.own_bytes(), 3);
        let large = vec![7; 200_000];
        deliveries.push(Batch::copied(&large), false);
        assert_eq!(deliveries.arrived(200_008), 0);
        let first = deliveries.next().unwrap();
        assert_eq!((first.frames.bytes(), first.arrived), (&b"abc"[..], 0));
        assert_eq!((deliveries.position(), deliveries.own_bytes()), (3, 0));
        let second = deliveries.next().unwrap();
        assert_eq!((second.frames.len(), second.arrived), (200_000, 200_008));
        assert!(deliveries.is_empty() && deliveries.next().is_none());
        assert_eq!(deliveries.position(), 200_003);
    }

    #[test]
    fn a_pause_is_told_once_until_all_has_gone_on() {
        let mut deliveries = Deliveries::default();
        deliveries.push(Batch::copied(b"abc"), false);
        assert_eq!(deliveries.arrived(4), 0);
        assert!(deliveries.pause());
        assert!(!deliveries.pause());
        assert_eq!(deliveries.give_up(), 4);
        assert!(deliveries.pause());
    }
}
