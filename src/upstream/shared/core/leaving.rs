//! How a session leaves a shared connection: its channels are closed behind what it has sent, then its queues deleted, then
//! its seat is free.

use std::time::Instant;

use crate::batch::Batch;
use crate::upstream::shared::core::Phase;
use crate::upstream::shared::core::State;
use crate::upstream::shared::slots::Owed;
use crate::upstream::shared::slots::CHANNEL_CLOSE;
use crate::upstream::shared::slots::CHANNEL_CLOSE_OK;
use crate::upstream::shared::FromShared;
use crate::wire::amqp::frame::END_OCTET;
use crate::wire::amqp::FrameHeader;
use crate::wire::amqp::FrameKind;
use crate::wire::amqp::MethodId;

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
        place.freeing.extend(&channels);
        // Those too that the session was done with: what it owed for them may not have come.
        let all = place.freeing.clone();
        self.waiting.remove(&seat);
        for channel in all {
            let owed = self.slots.release(channel);
            self.settle(seat, channel, owed);
        }
        self.sweep(seat);
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

    /// A session is done with a channel.
    pub(in crate::upstream::shared) fn free_channel(&mut self, seat: usize, channel: u16) {
        let Some(place) = self.place(seat) else {
            return;
        };
        let Some(index) = place.channels.iter().position(|other| *other == channel) else {
            return;
        };
        place.channels.swap_remove(index);
        place.freeing.push(channel);
        // What the session owes for it is on its way: what it has to say of a channel it says itself.
        let _ = self.slots.release(channel);
        self.freeing.insert(seat);
        self.wake();
    }

    /// A method on a channel whose session is done with it.
    pub(in crate::upstream::shared) fn heard_late(
        &mut self,
        seat: usize,
        channel: u16,
        method: MethodId,
    ) {
        if method == CHANNEL_CLOSE {
            self.settle(seat, channel, Owed::CloseOk);
        }
        if method == CHANNEL_CLOSE || method == CHANNEL_CLOSE_OK {
            self.sweep(seat);
        }
    }

    /// Says to the broker what it is owed about a channel, behind all that the session has said.
    fn settle(&mut self, seat: usize, channel: u16, owed: Owed) {
        let (method, arguments) = match owed {
            Owed::Nothing => return,
            Owed::Close => (CHANNEL_CLOSE, FAREWELL),
            Owed::CloseOk => (CHANNEL_CLOSE_OK, &[][..]),
        };
        self.slots.sent(channel, method, arguments);
        let frame = frame(channel, method, arguments);
        self.queue(seat, Batch::copied(&frame), 0);
    }

    /// Gives out again the channels that sessions were done with, where all that they have said is on its way.
    pub(in crate::upstream::shared) fn release(&mut self) {
        for seat in std::mem::take(&mut self.freeing) {
            self.sweep(seat);
        }
    }

    /// Gives out again what a session was done with and the broker is, too. Nothing before all that the session has said
    /// is on its way: its own close-ok must not be overtaken by another one's channel.open.
    fn sweep(&mut self, seat: usize) {
        let Some(place) = self.seats.get_mut(seat).and_then(Option::as_mut) else {
            return;
        };
        if !place.queue.is_empty() {
            self.freeing.insert(seat);
            return;
        }
        let before = place.freeing.len();
        let slots = &mut self.slots;
        place.freeing.retain(|channel| !slots.free(*channel));
        if place.freeing.len() < before {
            self.again();
            self.count();
        }
        self.clear(seat);
    }

    /// Once no channel of a session is left its queues are deleted, and then nothing is left of it.
    fn clear(&mut self, seat: usize) {
        let Some(place) = self.place(seat) else {
            return;
        };
        let is_busy = !place.freeing.is_empty() || place.deleting > 0;
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

    /// lapin is done with a queue: it is gone, or stays with the connection.
    pub(in crate::upstream::shared) fn deleted(&mut self, queue: &[u8], is_gone: bool) {
        if let Some(seat) = self.ledger.deleted(queue, is_gone) {
            if let Some(place) = self.place(seat) {
                place.deleting = place.deleting.saturating_sub(1);
            }
            self.clear(seat);
        }
        self.again();
        self.count();
    }
}

fn frame(channel: u16, method: MethodId, arguments: &[u8]) -> Vec<u8> {
    let id = method.encode();
    let header = FrameHeader {
        kind: FrameKind::METHOD,
        channel,
        // Frames of the gateway's own are small.
        size: (id.len() + arguments.len()) as u32,
    };
    [&header.encode()[..], &id, arguments, &[END_OCTET]].concat()
}

/// The arguments of channel.close: 200, a reason, no method that would be the cause.
const FAREWELL: &[u8] = b"\x00\xc8\x15the session has ended\0\0\0\0";
