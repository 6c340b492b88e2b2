//! How a session leaves a shared connection: its channels are closed behind what it has sent, then its queues deleted, then
//! its seat is free.

use std::time::Instant;

use crate::batch::Batch;
use crate::upstream::shared::core::Phase;
use crate::upstream::shared::core::State;
use crate::upstream::shared::slots::Slot;
use crate::upstream::shared::FromShared;
use crate::wire::amqp::frame::END_OCTET;
use crate::wire::amqp::FrameHeader;
use crate::wire::amqp::FrameKind;

impl State {
    /// A session leaves: its channels are closed behind what it has sent.
    pub(in crate::upstream::shared) fn leave(&mut self, seat: usize) {
        if self.phase == Phase::Lost {
            return;
        }
        let Some(place) = self.place(seat) else {
            return;
        };
        if place.leaving {
            return;
        }
        place.leaving = true;
        let channels = std::mem::take(&mut place.channels);
        let closed = std::mem::take(&mut place.closed);
        place.closing = channels.len();
        self.waiting.remove(&seat);
        for channel in channels {
            self.slots.close(channel);
            if closed.contains(&channel) {
                // The session has done it; RabbitMQ takes a second one for a method on a channel that is not open.
                continue;
            }
            self.queue(seat, Batch::copied(&close_channel(channel)), 0);
        }
        self.clear(seat);
        self.count();
    }

    /// The session's actor is gone, or needs its seat no more.
    pub(in crate::upstream::shared) fn abandon(&mut self, seat: usize) {
        self.leave(seat);
        let is_lost = self.phase == Phase::Lost;
        let Some(place) = self.place(seat) else {
            return;
        };
        place.abandoned = true;
        if place.cleared || is_lost {
            self.seats[seat] = None;
        }
    }

    /// The broker has confirmed that a channel is closed which a session had when it left, or has closed it itself.
    pub(in crate::upstream::shared) fn channel_closed(&mut self, channel: u16) {
        let Slot::Closing { seat } = self.slots.free(channel) else {
            return;
        };
        if let Some(place) = self.place(seat) {
            place.closing = place.closing.saturating_sub(1);
        }
        self.clear(seat);
        self.again();
        self.count();
    }

    /// channel.close from the broker for a channel that is being closed already.
    pub(in crate::upstream::shared) fn broker_closes(&mut self, channel: u16) {
        self.own
            .extend_from_slice(&method(channel, CHANNEL_CLOSE_OK, &[]));
        self.channel_closed(channel);
        self.wake();
    }

    /// queue.declare-ok for a session that has left.
    pub(in crate::upstream::shared) fn declared_late(&mut self, seat: usize, queue: &[u8]) {
        let is_unnamed = queue.starts_with(b"amq.gen-");
        let unnamed_claim = self.place(seat).is_some_and(|place| place.unnamed_claim);
        if self.ledger.is_claimed(seat, queue) || (is_unnamed && unnamed_claim) {
            self.ledger.own(seat, queue);
        }
    }

    /// Once no channel of a session is left its queues are deleted, and then nothing is left of it.
    pub(super) fn clear(&mut self, seat: usize) {
        let Some(place) = self.place(seat) else {
            return;
        };
        let is_busy = place.closing > 0 || place.deleting > 0 || !place.freeing.is_empty();
        if !place.leaving || place.cleared || is_busy {
            return;
        }
        let names = self.ledger.leave(seat);
        self.count();
        if !names.is_empty() {
            if let Some(place) = self.place(seat) {
                place.deleting = names.len();
            }
            self.deletions.extend(names);
            self.again();
            return self.wake();
        }
        if let Some(place) = self.place(seat) {
            place.cleared = true;
            place.tell(FromShared::Left);
            if place.abandoned {
                self.seats[seat] = None;
            }
        }
        self.seated = self.seated.saturating_sub(1);
        if self.seated == 0 {
            self.empty_since = Some(Instant::now());
        }
        self.again();
        self.wake();
    }

    /// The next queue that lapin has to delete.
    pub(in crate::upstream::shared) fn next_deletion(&mut self) -> Option<Box<[u8]>> {
        self.deletions.pop_front()
    }

    /// lapin has deleted a queue, or could not.
    pub(in crate::upstream::shared) fn deleted(&mut self, queue: &[u8]) {
        if let Some(seat) = self.ledger.deleted(queue) {
            if let Some(place) = self.place(seat) {
                place.deleting = place.deleting.saturating_sub(1);
            }
            self.clear(seat);
        }
        self.again();
        self.count();
    }
}

/// channel.close with 200: the session has left.
fn close_channel(channel: u16) -> Vec<u8> {
    let text = b"the session has ended";
    let mut arguments = vec![0, 200, text.len() as u8];
    arguments.extend_from_slice(text);
    arguments.extend_from_slice(&[0; 4]);
    method(channel, [0, 20, 0, 40], &arguments)
}

fn method(channel: u16, id: [u8; 4], arguments: &[u8]) -> Vec<u8> {
    let header = FrameHeader {
        kind: FrameKind::METHOD,
        channel,
        // Frames of the gateway's own are small.
        size: (id.len() + arguments.len()) as u32,
    };
    [&header.encode()[..], &id, arguments, &[END_OCTET]].concat()
}

const CHANNEL_CLOSE_OK: [u8; 4] = [0, 20, 0, 41];
