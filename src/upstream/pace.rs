//! The bound on connects per second, as a value: when it is whose turn, in the order in which they came.

use std::collections::BTreeSet;
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
    /// Turns that were handed out and given back before they came.
    free: BTreeSet<Instant>,
}

impl Pace {
    /// No turn has been taken; `per_second` is at least 1.
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
            free: BTreeSet::new(),
        }
    }

    /// The next turn, which may be now; it is taken if it comes by `by`.
    ///
    /// # Errors
    /// When the turn would have come.
    pub fn take(&mut self, now: Instant, by: Instant) -> Result<Instant, Instant> {
        self.free = self.free.split_off(&now);
        if let Some(turn) = self.free.first().copied() {
            if turn > by {
                return Err(turn);
            }
            self.free.remove(&turn);
            return Ok(turn);
        }
        let next = self.next.map_or(now, |next| next.max(now));
        let turn = next
            .checked_sub(self.ahead)
            .map_or(now, |turn| turn.max(now));
        if turn > by {
            return Err(turn);
        }
        self.next = Some(next + self.interval);
        Ok(turn)
    }

    /// A turn that will not be used; another may have it if it has not passed.
    pub fn give_back(&mut self, turn: Instant, now: Instant) {
        if turn > now {
            self.free.insert(turn);
        }
    }
}

/// The part of a second's turns that may come at once.
const AT_ONCE_PART: u32 = 10;

#[cfg(test)]
mod tests;
