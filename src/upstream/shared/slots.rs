//! Which channel of a shared connection is whose, and what either side still owes the other about its closing. A value.
//!
//! RabbitMQ closes the whole connection over any method but channel.open on a channel that it holds for closed, and never
//! answers channel.open on one whose close it was not confirmed. So what passes is followed, whoever sent it.
//!
//! Where two closes cross, RabbitMQ confirms the one it receives, unless its channel's process has just died: then never.
//! So nobody waits for that close-ok, and whoever has the channel next does not hear it.

use std::collections::VecDeque;

use crate::upstream::shared::BASE;
use crate::wire::amqp::MethodId;
use crate::wire::reader::Reader;

/// What a channel of the connection is to the sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// Nobody's.
    Free,
    /// A session's, under its client's own number.
    Used { seat: usize, client: u16 },
    /// Was a session's, which is done with it; what it means to the broker may not be.
    Closing { seat: usize },
}

/// What the broker is to be told about a channel whose session is done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owed {
    /// Nothing: it has been told, or has never heard of the channel.
    Nothing,
    /// channel.close.
    Close,
    /// channel.close-ok: the broker has closed the channel.
    CloseOk,
}

/// What a method of the broker's means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// Only what it says.
    Other,
    /// That a queue is there which the session wanted for itself alone.
    OwnQueue,
    /// Nothing to the session: it was meant for the one that had the channel before.
    Stray,
}

/// The channels from [`BASE`] on.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<Option<Channel>>,
    /// Numbers that were used before, the one that has been free longest first.
    free: VecDeque<u16>,
    highest: u16,
    closing: usize,
}

#[derive(Debug)]
struct Channel {
    seat: usize,
    client: u16,
    /// The session is done with it.
    released: bool,
    /// channel.open is sent, and not all of what ends the channel.
    is_open: bool,
    /// channel.open-ok has come.
    is_confirmed: bool,
    /// channel.close is sent and not confirmed.
    awaits_close_ok: bool,
    /// The broker's channel.close has come and is not confirmed.
    owes_close_ok: bool,
    /// The declares that will be answered: whether each is of a queue for this session alone.
    declares: VecDeque<bool>,
}

impl Slots {
    /// All channels up to `highest` are free.
    pub(super) fn new(highest: u16) -> Self {
        Self {
            slots: Vec::new(),
            free: VecDeque::new(),
            highest,
            closing: 0,
        }
    }

    /// Takes a free channel for a session; none if all are taken.
    pub(super) fn take(&mut self, seat: usize, client: u16) -> Option<u16> {
        let slot = Some(Channel {
            seat,
            client,
            released: false,
            is_open: false,
            is_confirmed: false,
            awaits_close_ok: false,
            owes_close_ok: false,
            declares: VecDeque::new(),
        });
        let next = usize::from(BASE) + self.slots.len();
        if next <= usize::from(self.highest) {
            self.slots.push(slot);
            return u16::try_from(next).ok();
        }
        let channel = self.free.pop_front()?;
        if let Some(place) = self.place(channel) {
            *place = slot;
        }
        Some(channel)
    }

    /// Whose a channel is.
    #[inline]
    pub(super) fn get(&self, channel: u16) -> Slot {
        let place = usize::from(channel.wrapping_sub(BASE));
        match self.slots.get(place) {
            Some(Some(channel)) if channel.released => Slot::Closing { seat: channel.seat },
            Some(Some(channel)) => Slot::Used {
                seat: channel.seat,
                client: channel.client,
            },
            Some(None) | None => Slot::Free,
        }
    }

    /// The session is done with a channel; says what the broker is to be told.
    pub(super) fn release(&mut self, channel: u16) -> Owed {
        let Some(Some(place)) = self.place(channel) else {
            return Owed::Nothing;
        };
        let is_new = !std::mem::replace(&mut place.released, true);
        let owed = match (place.is_open, place.owes_close_ok, place.awaits_close_ok) {
            (_, true, _) => Owed::CloseOk,
            (true, false, false) => Owed::Close,
            (false, false, _) | (true, false, true) => Owed::Nothing,
        };
        self.closing += usize::from(is_new);
        owed
    }

    /// Takes note of a method on its way to the broker.
    pub(super) fn sent(&mut self, channel: u16, method: MethodId, arguments: &[u8]) {
        let Some(Some(place)) = self.place(channel) else {
            return;
        };
        match method {
            CHANNEL_OPEN => place.is_open = true,
            CHANNEL_CLOSE => place.awaits_close_ok = true,
            CHANNEL_CLOSE_OK => {
                place.owes_close_ok = false;
                place.is_open = false;
            }
            QUEUE_DECLARE => place.declares.extend(declared(arguments)),
            _ => {}
        }
    }

    /// Takes note of a method of the broker's.
    pub(super) fn heard(&mut self, channel: u16, method: MethodId) -> Heard {
        let Some(Some(place)) = self.place(channel) else {
            return Heard::Stray;
        };
        match method {
            CHANNEL_OPEN_OK => place.is_confirmed = true,
            // RabbitMQ closes twice where one method fails behind another, and ends the connection over a second close-ok.
            CHANNEL_CLOSE if place.owes_close_ok || !place.is_open || !place.is_confirmed => {
                return Heard::Stray;
            }
            CHANNEL_CLOSE => place.owes_close_ok = true,
            CHANNEL_CLOSE_OK if !place.is_confirmed => return Heard::Stray,
            CHANNEL_CLOSE_OK => {
                place.awaits_close_ok = false;
                place.is_open = place.owes_close_ok;
            }
            QUEUE_DECLARE_OK if place.declares.pop_front() == Some(true) => {
                return Heard::OwnQueue;
            }
            _ => {}
        }
        Heard::Other
    }

    /// Frees a channel that its session and the broker are done with; whether they are.
    pub(super) fn free(&mut self, channel: u16) -> bool {
        let Some(place) = self.place(channel) else {
            return false;
        };
        if !matches!(place, Some(channel) if channel.released && !channel.is_open) {
            return false;
        }
        *place = None;
        self.closing -= 1;
        self.free.push_back(channel);
        true
    }

    /// Channels that sessions use, that are free, and that are being closed.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let all = usize::from(self.highest.saturating_sub(BASE - 1));
        let taken = self.slots.len() - self.free.len();
        (taken - self.closing, all - taken, self.closing)
    }

    fn place(&mut self, channel: u16) -> Option<&mut Option<Channel>> {
        self.slots.get_mut(usize::from(channel.checked_sub(BASE)?))
    }
}

/// Whether the queue is wanted for the session alone; nothing if the declare will not be answered.
fn declared(arguments: &[u8]) -> Option<bool> {
    let mut reader = Reader::new(arguments);
    reader.u16().ok()?;
    reader.counted_by_u8().ok()?;
    let bits = reader.u8().ok()?;
    (bits & NO_WAIT == 0).then_some(bits & (PASSIVE | EXCLUSIVE) == EXCLUSIVE)
}

/// Whether [`Slots`] wants to see a method.
#[inline]
pub(super) const fn is_followed(method: MethodId) -> bool {
    method.class == CHANNEL_OPEN.class
        || method.class == QUEUE_DECLARE.class
            && (method.method == QUEUE_DECLARE.method || method.method == QUEUE_DECLARE_OK.method)
}

pub(super) const CHANNEL_OPEN: MethodId = MethodId::new(20, 10);
pub(super) const CHANNEL_OPEN_OK: MethodId = MethodId::new(20, 11);
pub(super) const CHANNEL_CLOSE: MethodId = MethodId::new(20, 40);
pub(super) const CHANNEL_CLOSE_OK: MethodId = MethodId::new(20, 41);
const QUEUE_DECLARE: MethodId = MethodId::new(50, 10);
pub(super) const QUEUE_DECLARE_OK: MethodId = MethodId::new(50, 11);

const PASSIVE: u8 = 0b00001;
const EXCLUSIVE: u8 = 0b00100;
const NO_WAIT: u8 = 0b10000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_taken_from_base_on_and_again_when_they_are_free() {
        let mut slots = Slots::new(BASE + 1);
        assert_eq!(slots.counts(), (0, 2, 0));
        assert_eq!(slots.take(0, 1), Some(BASE));
        assert_eq!(slots.take(1, 7), Some(BASE + 1));
        assert_eq!(slots.take(1, 8), None);
        assert_eq!(slots.get(BASE + 1), Slot::Used { seat: 1, client: 7 });
        assert!(!slots.free(BASE + 1), "it is used");
        assert_eq!(slots.release(BASE + 1), Owed::Nothing);
        assert_eq!(slots.get(BASE + 1), Slot::Closing { seat: 1 });
        assert_eq!(slots.counts(), (1, 0, 1));
        assert_eq!(slots.take(0, 2), None);
        assert!(slots.free(BASE + 1));
        assert!(!slots.free(BASE + 1), "once is enough");
        assert_eq!(slots.counts(), (1, 1, 0));
        assert_eq!(slots.take(0, 2), Some(BASE + 1));
        assert_eq!(slots.take(0, 3), None);
    }

    #[test]
    fn what_is_not_there_is_free() {
        let mut slots = Slots::new(100);
        assert_eq!(slots.get(0), Slot::Free);
        assert_eq!(slots.get(u16::MAX), Slot::Free);
        assert!(!slots.free(3));
        assert_eq!(slots.release(50), Owed::Nothing);
        assert_eq!(slots.counts(), (0, 93, 0));
    }

    /// What is owed after these methods, `>` sent and `<` heard, and whether the channel is free after what is owed was
    /// sent, without a further answer.
    fn owed(story: &[(char, MethodId)]) -> (Owed, bool) {
        let mut slots = Slots::new(100);
        let channel = slots.take(0, 1).unwrap();
        for (direction, method) in story {
            match direction {
                '>' => slots.sent(channel, *method, &[]),
                _ => assert_eq!(slots.heard(channel, *method), Heard::Other),
            }
        }
        let owed = slots.release(channel);
        match owed {
            Owed::Nothing => {}
            Owed::Close => slots.sent(channel, CHANNEL_CLOSE, &[]),
            Owed::CloseOk => slots.sent(channel, CHANNEL_CLOSE_OK, &[]),
        }
        (owed, slots.free(channel))
    }

    #[test]
    fn what_is_owed_depends_on_what_has_passed() {
        let (open, close, ok) = (('>', CHANNEL_OPEN), CHANNEL_CLOSE, CHANNEL_CLOSE_OK);
        let open_ok = ('<', CHANNEL_OPEN_OK);
        assert_eq!(owed(&[]), (Owed::Nothing, true));
        assert_eq!(owed(&[open]), (Owed::Close, false));
        assert_eq!(owed(&[open, ('>', close)]), (Owed::Nothing, false));
        assert_eq!(
            owed(&[open, open_ok, ('>', close), ('<', ok)]),
            (Owed::Nothing, true)
        );
        assert_eq!(owed(&[open, open_ok, ('<', close)]), (Owed::CloseOk, true));
        assert_eq!(
            owed(&[open, open_ok, ('<', close), ('>', ok)]),
            (Owed::Nothing, true)
        );
        // Both have closed it: the broker may confirm, or not.
        let crossed = [open, open_ok, ('>', close), ('<', close)];
        assert_eq!(owed(&crossed), (Owed::CloseOk, true));
        let confirmed = [open, open_ok, ('>', close), ('<', close), ('<', ok)];
        assert_eq!(owed(&confirmed), (Owed::CloseOk, true));
    }

    #[test]
    fn close_ok_before_open_ok_is_not_for_the_session() {
        let mut slots = Slots::new(BASE);
        assert_eq!(slots.heard(BASE, CHANNEL_CLOSE_OK), Heard::Stray);
        let channel = slots.take(0, 1).unwrap();
        slots.sent(channel, CHANNEL_OPEN, &[]);
        slots.sent(channel, CHANNEL_CLOSE, &[]);
        slots.release(channel);
        assert_eq!(slots.heard(channel, CHANNEL_CLOSE_OK), Heard::Stray);
        assert!(!slots.free(channel));
        assert_eq!(slots.heard(channel, CHANNEL_OPEN_OK), Heard::Other);
        assert_eq!(slots.heard(channel, CHANNEL_CLOSE_OK), Heard::Other);
        assert!(slots.free(channel));
    }

    #[test]
    fn answers_belong_to_their_declares_in_order() {
        let declare = |bits| [0, 0, 1, b'q', bits, 0, 0, 0, 0];
        let mut slots = Slots::new(100);
        let channel = slots.take(0, 1).unwrap();
        for bits in [PASSIVE, EXCLUSIVE, NO_WAIT, PASSIVE | EXCLUSIVE, EXCLUSIVE] {
            slots.sent(channel, QUEUE_DECLARE, &declare(bits));
        }
        let answers = [(); 5].map(|()| slots.heard(channel, QUEUE_DECLARE_OK) == Heard::OwnQueue);
        assert_eq!(answers, [false, true, false, true, false]);
    }
}
