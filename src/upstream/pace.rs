//! The bound on connects per second, as a value: who waits, in which order, and when it is whose turn.

use std::collections::VecDeque;
use std::time::Duration;
use std::time::Instant;

/// Hands out turns, never more than the bound within any second.
///
/// A tenth of the bound may go at once, so that a page with ten sockets need not wait; the rest is spread evenly.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    /// How far ahead of an even flow a turn may come.
    ahead: Duration,
    /// When the next turn were in an even flow; none before the first.
    next: Option<Instant>,
    /// Who waits, in order.
    waiting: VecDeque<Ticket>,
    /// Tickets that were given out, ever.
    tickets: u64,
}

/// A place among those who wait. Smaller ones come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    /// Who has had a turn that led to nothing stands before all who have had none: he has waited as long as they have yet
    /// to wait.
    is_first: bool,
    number: u64,
}

/// Whether it is somebody's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is, and was taken.
    Now,
    /// Not before then, as far as is known now.
    At(Instant),
}

impl Pace {
    /// Nobody waits; `per_second` is at least 1.
    pub fn new(per_second: u32) -> Self {
        let per_second = per_second.max(1);
        let at_once = (per_second / AT_ONCE_PART).max(1);
        // In any second there are those at once, and those whose turns come up in it, of which one is the first again.
        // Rounded up, or the errors of a second would add up to a turn.
        let interval =
            Duration::from_secs(1) / (per_second - at_once + 1) + Duration::from_nanos(1);
        Self {
            interval,
            ahead: interval * (at_once - 1),
            next: None,
            waiting: VecDeque::new(),
            tickets: 0,
        }
    }

    /// A place behind those who wait already, or, for who `returns` from a turn that led to nothing, behind those who
    /// return. Only if his turn is likely to come by `by`.
    ///
    /// # Errors
    /// When the turn would come.
    pub fn join(&mut self, returns: bool, now: Instant, by: Instant) -> Result<Ticket, Instant> {
        let ticket = Ticket {
            is_first: !returns,
            number: self.tickets,
        };
        let place = self.waiting.partition_point(|other| *other < ticket);
        let turn = self.turn_of(place, now);
        if turn > by {
            return Err(turn);
        }
        self.tickets += 1;
        self.waiting.insert(place, ticket);
        Ok(ticket)
    }

    /// Takes the turn of who has this ticket, if it has come. It may come later than was said before where others
    /// have returned meanwhile.
    pub fn ask(&mut self, ticket: Ticket, now: Instant) -> Turn {
        let place = self.waiting.binary_search(&ticket);
        let place = place.unwrap_or_else(|place| place);
        let turn = self.turn_of(place, now);
        if turn > now {
            return Turn::At(turn);
        }
        self.leave(ticket);
        self.next = Some(self.next(now) + self.interval);
        Turn::Now
    }

    /// Who has this ticket waits no more.
    pub fn leave(&mut self, ticket: Ticket) {
        if let Ok(place) = self.waiting.binary_search(&ticket) {
            self.waiting.remove(place);
        }
    }

    /// When it is the turn of who has so many before him.
    fn turn_of(&self, place: usize, now: Instant) -> Instant {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        let even = self.interval.saturating_mul(place);
        // Far beyond every deadline if it cannot be said at all.
        let turn = self.next(now).checked_add(even);
        turn.and_then(|turn| turn.checked_sub(self.ahead))
            .map_or(now, |turn| turn.max(now))
    }

    fn next(&self, now: Instant) -> Instant {
        self.next.map_or(now, |next| next.max(now))
    }
}

/// The part of a second's turns that may come at once.
const AT_ONCE_PART: u32 = 10;

#[cfg(test)]
mod tests;
