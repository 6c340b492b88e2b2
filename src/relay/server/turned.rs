//! Consumers that asked for no acknowledgement and get it all the same: the gateway acknowledges
//! for them what has gone on to the client, so that the broker stops sending to a client that stops
//! reading.
//!
//! An acknowledgement of a tag that the broker does not know costs the channel. So on a channel
//! with such a consumer all tags that are not settled are known, its client's own as well, and what
//! a client settles without naming a tag is put into tags.

use std::collections::VecDeque;

/// What is delivered on one channel and not yet settled.
#[derive(Debug, Default)]
pub(super) struct Settling {
    /// Deliveries of turned consumers, in the order of their tags.
    turned: VecDeque<u64>,
    /// The client's own, where they are followed one by one.
    own: VecDeque<u64>,
    /// There is or was a turned consumer.
    exact: bool,
    /// Where they are not followed one by one: so many of the client's own at most.
    own_at_most: u64,
    /// The last delivery of the client's own.
    last_own: u64,
    /// The client has settled without naming a tag, so that what is on its way may be settled or
    /// not.
    uncertain: bool,
    /// Up to this tag, deliveries have gone on to the client while nothing could be sent to the
    /// broker.
    held: u64,
}

/// How the client settles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Settle {
    pub tag: u64,
    pub multiple: bool,
    /// Back into the queue, or away; not acknowledged.
    pub negative: bool,
}

/// What becomes of a client's acknowledgement.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// It goes on as it is.
    Pass,
    /// It goes on with this tag.
    With(u64),
    /// There is nothing that it could be about.
    Drop,
    /// The client knows no such tag.
    Unknown,
}

impl Settling {
    /// Whether a consumer may be turned: nothing may be on its way that cannot be followed.
    pub(super) const fn may_turn(&self) -> bool {
        self.exact || (self.own_at_most == 0 && !self.uncertain)
    }

    /// A consumer is turned: from now on tags are followed one by one.
    pub(super) const fn turn(&mut self) {
        self.exact = true;
    }

    /// Whether there is or was a turned consumer.
    pub(super) const fn is_exact(&self) -> bool {
        self.exact
    }

    /// Whether nothing that was delivered is left to settle.
    pub(super) fn is_settled(&self) -> bool {
        self.len() == 0 && self.own_at_most == 0
    }

    /// Tags kept here.
    pub(super) fn len(&self) -> usize {
        self.turned.len() + self.own.len()
    }

    /// A delivery for the client to acknowledge.
    #[inline]
    pub(super) fn delivered_own(&mut self, tag: u64) {
        self.last_own = tag;
        if self.exact {
            insert(&mut self.own, tag);
        } else {
            self.own_at_most = self.own_at_most.saturating_add(1);
        }
    }

    /// A delivery for the gateway to acknowledge.
    #[inline]
    pub(super) fn delivered_turned(&mut self, tag: u64) {
        insert(&mut self.turned, tag);
    }

    /// The client settles; `ack` is told, first, what the gateway has to acknowledge before.
    pub(super) fn settle(&mut self, settle: Settle, ack: impl FnMut(Ack)) -> Settled {
        if self.exact {
            self.settle_exactly(settle, ack)
        } else {
            self.settle_roughly(settle);
            Settled::Pass
        }
    }

    fn settle_roughly(&mut self, Settle { tag, multiple, .. }: Settle) {
        if multiple {
            self.uncertain |= tag == 0;
            if tag == 0 || tag >= self.last_own {
                self.own_at_most = 0;
            }
        } else {
            self.own_at_most = self.own_at_most.saturating_sub(1);
        }
    }

    fn settle_exactly(&mut self, settle: Settle, ack: impl FnMut(Ack)) -> Settled {
        let Settle {
            tag,
            multiple,
            negative,
        } = settle;
        if !multiple {
            if let Ok(place) = self.own.binary_search(&tag) {
                self.own.remove(place);
                return Settled::Pass;
            }
            return Settled::Unknown;
        }
        let up_to = match (tag, self.own.back()) {
            (0, None) => return Settled::Drop,
            (0, Some(last)) => *last,
            _ if self.own.binary_search(&tag).is_err() => return Settled::Unknown,
            _ => tag,
        };
        if negative {
            // They would go back into their queue, though they are the client's already.
            self.acknowledge(up_to, ack);
        }
        drop_up_to(&mut self.turned, up_to);
        drop_up_to(&mut self.own, up_to);
        if up_to == tag {
            Settled::Pass
        } else {
            Settled::With(up_to)
        }
    }

    /// The client wants everything back in its queue.
    pub(super) const fn recovers_roughly(&mut self) {
        self.own_at_most = 0;
        self.uncertain = true;
    }

    /// Keeps a tag that has gone on for when the broker can be told.
    pub(super) const fn hold(&mut self, tag: u64) {
        self.held = tag;
    }

    /// The tag that was held, if any; none is any more.
    pub(super) const fn release(&mut self) -> Option<u64> {
        let held = self.held;
        self.held = 0;
        if held == 0 {
            None
        } else {
            Some(held)
        }
    }

    /// The last of the client's own that is not settled.
    pub(super) fn last_own(&self) -> Option<u64> {
        self.own.back().copied()
    }

    /// Acknowledges the gateway's deliveries up to `tag`: all at once where that hits none of the
    /// client's own, one by one otherwise.
    pub(super) fn acknowledge(&mut self, tag: u64, mut ack: impl FnMut(Ack)) {
        while let Some(first) = self.turned.front().copied().filter(|first| *first <= tag) {
            let own = self.own.front().copied().unwrap_or(u64::MAX);
            let end = self.turned.partition_point(|turned| *turned <= tag);
            let free = self.turned.partition_point(|turned| *turned < own).min(end);
            if free == 0 {
                ack(Ack {
                    tag: first,
                    multiple: false,
                });
                self.turned.pop_front();
                continue;
            }
            let last = self.turned.get(free - 1).copied().unwrap_or(first);
            ack(Ack {
                tag: last,
                multiple: free > 1,
            });
            self.turned.drain(..free);
        }
    }
}

/// A basic.ack of the gateway's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ack {
    pub tag: u64,
    pub multiple: bool,
}

/// Tags come in order, so this is a push.
#[inline]
fn insert(tags: &mut VecDeque<u64>, tag: u64) {
    if tags.back().is_none_or(|last| *last < tag) {
        tags.push_back(tag);
    } else if let Err(place) = tags.binary_search(&tag) {
        tags.insert(place, tag);
    }
}

fn drop_up_to(tags: &mut VecDeque<u64>, tag: u64) {
    let end = tags.partition_point(|found| *found <= tag);
    tags.drain(..end);
}
