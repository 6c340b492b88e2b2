//! Which broker a session tries next, as a value: by the order of the service, past those in back-off.

use std::time::Instant;

use crate::upstream::backoff::Standing;

/// The brokers of one service as one session goes through them.
#[derive(Debug)]
pub struct Tour {
    /// Whether each was tried.
    tried: Vec<bool>,
    first: usize,
}

/// What a session does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Choice {
    /// Tries this one.
    Try(usize),
    /// Waits: all that it has not tried are in back-off.
    Wait {
        /// The one that may be tried first.
        index: usize,
        /// When that is.
        until: Instant,
        /// Somebody is trying one of them, so there may be news before.
        is_on_trial: bool,
    },
    /// Gives up: it has tried all.
    None,
}

impl Tour {
    /// A tour of `count` brokers that begins at the one of index `first`, whatever that is divided by their number.
    pub fn new(count: usize, first: usize) -> Self {
        Self {
            tried: vec![false; count],
            first: first.checked_rem(count).unwrap_or_default(),
        }
    }

    /// How many were tried.
    pub fn tried(&self) -> usize {
        self.tried.iter().filter(|tried| **tried).count()
    }

    /// How many were not tried.
    pub fn left(&self) -> usize {
        self.tried.len() - self.tried()
    }

    /// What to do next, given how each broker stands.
    pub fn next(&self, standing: impl Fn(usize) -> Standing) -> Choice {
        let mut soonest: Option<(usize, Instant)> = None;
        let mut is_on_trial = false;
        for index in self.untried() {
            match standing(index) {
                Standing::Up | Standing::Due => return Choice::Try(index),
                standing @ (Standing::Until(until) | Standing::OnTrial(until)) => {
                    is_on_trial |= standing == Standing::OnTrial(until);
                    if soonest.is_none_or(|(_, other)| until < other) {
                        soonest = Some((index, until));
                    }
                }
            }
        }
        soonest.map_or(Choice::None, |(index, until)| Choice::Wait {
            index,
            until,
            is_on_trial,
        })
    }

    /// The next without regard to a back-off, those out of it first: what a probe tries.
    pub fn next_at_any_rate(&self, standing: impl Fn(usize) -> Standing) -> Option<usize> {
        let is_free = |index: &usize| matches!(standing(*index), Standing::Up | Standing::Due);
        let free = self.untried().find(is_free);
        free.or_else(|| self.untried().next())
    }

    /// Takes note that this one was tried.
    pub fn has_tried(&mut self, index: usize) {
        if let Some(tried) = self.tried.get_mut(index) {
            *tried = true;
        }
    }

    fn untried(&self) -> impl Iterator<Item = usize> + '_ {
        let count = self.tried.len();
        (self.first..self.first + count)
            .map(move |index| index % count)
            .filter(|index| self.tried.get(*index) == Some(&false))
    }
}

#[cfg(test)]
mod tests;
