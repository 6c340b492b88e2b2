//! Which channel of a shared connection is whose. A value.

use std::collections::VecDeque;

use crate::upstream::shared::BASE;

/// What a channel of the connection is to the sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// Nobody's.
    Free,
    /// A session's, under its client's own number.
    Used { seat: usize, client: u16 },
    /// Was a session's that has left; closed, and not confirmed.
    Closing { seat: usize },
}

/// The channels from [`BASE`] on.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    /// Numbers that were used before, the one that has been free longest first.
    free: VecDeque<u16>,
    highest: u16,
    closing: usize,
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
        let slot = Slot::Used { seat, client };
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
        self.slots.get(place).copied().unwrap_or(Slot::Free)
    }

    /// Marks a used channel as one that is being closed.
    pub(super) fn close(&mut self, channel: u16) {
        if let Some(place) = self.place(channel) {
            if let Slot::Used { seat, .. } = *place {
                *place = Slot::Closing { seat };
                self.closing += 1;
            }
        }
    }

    /// A channel is nobody's any more; says whose it was.
    pub(super) fn free(&mut self, channel: u16) -> Slot {
        let Some(place) = self.place(channel) else {
            return Slot::Free;
        };
        let was = std::mem::replace(place, Slot::Free);
        match was {
            Slot::Free => return was,
            Slot::Closing { .. } => self.closing -= 1,
            Slot::Used { .. } => {}
        }
        self.free.push_back(channel);
        was
    }

    /// Channels that sessions use, that are free, and that are being closed.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let all = usize::from(self.highest.saturating_sub(BASE - 1));
        let taken = self.slots.len() - self.free.len();
        (taken - self.closing, all - taken, self.closing)
    }

    fn place(&mut self, channel: u16) -> Option<&mut Slot> {
        self.slots.get_mut(usize::from(channel.checked_sub(BASE)?))
    }
}

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
        slots.close(BASE + 1);
        assert_eq!(slots.get(BASE + 1), Slot::Closing { seat: 1 });
        assert_eq!(slots.counts(), (1, 0, 1));
        assert_eq!(slots.take(0, 2), None);
        assert_eq!(slots.free(BASE + 1), Slot::Closing { seat: 1 });
        assert_eq!(slots.free(BASE + 1), Slot::Free, "once is enough");
        assert_eq!(slots.counts(), (1, 1, 0));
        assert_eq!(slots.take(0, 2), Some(BASE + 1));
        assert_eq!(slots.take(0, 3), None);
    }

    #[test]
    fn what_is_not_there_is_free() {
        let mut slots = Slots::new(100);
        assert_eq!(slots.get(0), Slot::Free);
        assert_eq!(slots.get(u16::MAX), Slot::Free);
        assert_eq!(slots.free(3), Slot::Free);
        slots.close(50);
        assert_eq!(slots.counts(), (0, 93, 0));
    }
}
