//! What a shared connection and the sessions on it have in common, without sockets: seats, their queues, channels, books.
//! The connection's actor drives it, the seats put into it; all on one thread.

mod leaving;

use std::cell::RefCell;
use std::collections::HashSet;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;
use std::time::Instant;

use actix::Recipient;

use crate::batch::Batch;
use crate::credit::Window;
use crate::upstream::shared::kinds::KindsOfVhost;
use crate::upstream::shared::ledger::Ledger;
use crate::upstream::shared::metrics::Counted;
use crate::upstream::shared::metrics::Metrics;
use crate::upstream::shared::slots::is_followed;
use crate::upstream::shared::slots::Slots;
use crate::upstream::shared::Facts;
use crate::upstream::shared::FromShared;
use crate::upstream::shared::Loss;
use crate::wire::amqp::frame::HEADER_SIZE;
use crate::wire::amqp::frame::OVERHEAD;
use crate::wire::amqp::FrameHeader;
use crate::wire::amqp::FrameKind;
use crate::wire::amqp::MethodId;

/// A shared connection as its seats know it.
#[derive(Debug)]
pub(super) struct Core(RefCell<State>);

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Sessions may take seats.
    Open,
    /// It was empty long enough, and is being closed.
    Closing,
    /// It is gone.
    Lost,
}

pub(super) struct State {
    pub(super) facts: Rc<Facts>,
    pub(super) slots: Slots,
    pub(super) ledger: Ledger,
    pub(super) kinds: KindsOfVhost,
    pub(super) metrics: Metrics,
    phase: Phase,
    seats: Vec<Option<Place>>,
    /// Seats that sessions hold, or have left and not been cleared yet.
    seated: usize,
    empty_since: Option<Instant>,
    /// Seats with frames for the broker, the next one in front.
    ready: VecDeque<usize>,
    /// Queues that lapin has to delete.
    deletions: VecDeque<Box<[u8]>>,
    /// Seats with channels that may be free once what is queued of theirs is on its way.
    freeing: HashSet<usize>,
    /// Sessions that wait for a channel or a claim.
    waiting: HashSet<usize>,
    blocked: Option<(String, Instant)>,
    queue_bytes: usize,
    counted: Counted,
    waker: Option<Waker>,
}

/// A seat, from its taking until nothing of its session is left on the connection.
struct Place {
    tenant: Recipient<FromShared>,
    from_client: Rc<Window>,
    queue: VecDeque<(Batch, usize)>,
    /// Since when frames wait without any having been taken.
    waits_since: Option<Instant>,
    channels: Vec<u16>,
    /// Channels that the session is done with, and the broker perhaps not.
    freeing: Vec<u16>,
    /// Bytes sent to the session that have not gone on.
    outstanding: usize,
    /// Bytes for the session in the read that is being looked at.
    incoming: usize,
    overrun: bool,
    /// The session wants to hear that it has left.
    leaving: bool,
    /// Queues that are being deleted.
    deleting: usize,
    /// The session holds it no more.
    abandoned: bool,
    cleared: bool,
}

/// Frames that may be written, and the credit to be given back for them.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) frames: Batch,
    /// Given back when this is dropped.
    pub(super) _credit: Credit,
}

/// Credit of a session that was spent for frames.
#[derive(Debug)]
pub(super) struct Credit {
    window: Rc<Window>,
    bytes: usize,
}

impl Drop for Credit {
    fn drop(&mut self) {
        self.window.return_bytes(self.bytes);
    }
}

impl Core {
    /// An open connection without sessions, whose channels go up to `channel_max`.
    pub(super) fn new(
        facts: Rc<Facts>,
        channel_max: u16,
        queue_bytes: usize,
        kinds: KindsOfVhost,
        metrics: Metrics,
    ) -> Self {
        let counted = metrics.count_open();
        let mut state = State {
            facts,
            slots: Slots::new(channel_max),
            ledger: Ledger::default(),
            kinds,
            metrics,
            phase: Phase::Open,
            seats: Vec::new(),
            seated: 0,
            empty_since: Some(Instant::now()),
            ready: VecDeque::new(),
            deletions: VecDeque::new(),
            freeing: HashSet::new(),
            waiting: HashSet::new(),
            blocked: None,
            queue_bytes,
            counted,
            waker: None,
        };
        state.count();
        Self(RefCell::new(state))
    }

    /// What is done with everything at once. Nothing that is called here comes back to the core.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.borrow_mut())
    }
}

impl State {
    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// Sessions that the connection has channels for.
    pub(super) fn seats(&self) -> usize {
        let (used, free, closing) = self.slots.counts();
        (used + free + closing) / usize::from(self.facts.channel_max.max(1))
    }

    /// Sessions on the connection.
    pub(super) fn seated(&self) -> usize {
        self.seated
    }

    /// How long it has been without sessions.
    pub(super) fn empty_for(&self) -> Option<Duration> {
        self.empty_since.map(|since| since.elapsed())
    }

    /// No session may take a seat any more.
    pub(super) fn begin_closing(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Closing;
            self.counted.closing();
        }
    }

    /// Takes a seat.
    pub(super) fn sit(&mut self, tenant: Recipient<FromShared>, from_client: Rc<Window>) -> usize {
        let place = Place {
            tenant,
            from_client,
            queue: VecDeque::new(),
            waits_since: None,
            channels: Vec::new(),
            freeing: Vec::new(),
            outstanding: 0,
            incoming: 0,
            overrun: false,
            leaving: false,
            deleting: 0,
            abandoned: false,
            cleared: false,
        };
        self.seated += 1;
        self.empty_since = None;
        self.metrics.sat_down(self.seated);
        let vacant = self.seats.iter().position(Option::is_none);
        match vacant {
            Some(index) => {
                self.seats[index] = Some(place);
                index
            }
            None => {
                self.seats.push(Some(place));
                self.seats.len() - 1
            }
        }
    }

    fn place(&mut self, seat: usize) -> Option<&mut Place> {
        self.seats.get_mut(seat)?.as_mut()
    }

    /// Queues whole frames of a session.
    pub(super) fn send(&mut self, seat: usize, frames: Batch, bytes: usize) {
        let is_lost = self.phase == Phase::Lost;
        let Some(place) = self.place(seat) else {
            return;
        };
        let window = Rc::clone(&place.from_client);
        if is_lost || place.leaving || place.abandoned {
            return window.return_bytes(bytes);
        }
        let count = self.follow(frames.bytes());
        self.metrics.sent(count, frames.len());
        self.queue(seat, frames, bytes);
    }

    /// Takes note of what concerns the channels in these whole frames; how many they are.
    fn follow(&mut self, mut bytes: &[u8]) -> u64 {
        let mut count = 0;
        while let Some((head, rest)) = bytes.split_first_chunk::<HEADER_SIZE>() {
            let header = FrameHeader::from_bytes(*head);
            if header.kind == FrameKind::METHOD {
                if let Some((id, arguments)) = rest.split_first_chunk() {
                    let method = MethodId::from_bytes(*id);
                    if is_followed(method) {
                        self.slots.sent(header.channel, method, arguments);
                    }
                }
            }
            count += 1;
            let size = header.size as usize + OVERHEAD;
            bytes = bytes.get(size..).unwrap_or_default();
        }
        count
    }

    fn queue(&mut self, seat: usize, frames: Batch, bytes: usize) {
        let Some(place) = self.place(seat) else {
            return;
        };
        if place.queue.is_empty() {
            place.waits_since = Some(Instant::now());
        }
        let was_empty = place.queue.is_empty();
        let joined = place.queue.back_mut().is_some_and(|(last, credit)| {
            let joined = last.append(frames.bytes());
            *credit += if joined { bytes } else { 0 };
            joined
        });
        if !joined {
            place.queue.push_back((frames, bytes));
        }
        if was_empty {
            self.ready.push_back(seat);
        }
        self.wake();
    }

    /// The next frames to be written: of each session in turn.
    pub(super) fn next(&mut self) -> Option<Outgoing> {
        while let Some(seat) = self.ready.pop_front() {
            let Some(place) = self.place(seat) else {
                continue;
            };
            let Some((frames, bytes)) = place.queue.pop_front() else {
                continue;
            };
            let credit = Credit {
                window: Rc::clone(&place.from_client),
                bytes,
            };
            if place.queue.is_empty() {
                place.waits_since = None;
            } else {
                place.waits_since = Some(Instant::now());
                self.ready.push_back(seat);
            }
            return Some(Outgoing {
                frames,
                _credit: credit,
            });
        }
        None
    }

    /// Whether nothing of a session waits.
    pub(super) fn is_empty(&self, seat: usize) -> bool {
        let place = self.seats.get(seat).and_then(Option::as_ref);
        place.is_none_or(|place| place.queue.is_empty())
    }

    /// How long the broker has taken nothing of what waits of a session.
    pub(super) fn blocked_for(&self, seat: usize) -> Duration {
        let place = self.seats.get(seat).and_then(Option::as_ref);
        place
            .and_then(|place| place.waits_since)
            .map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Bytes sent to the session have gone on.
    pub(super) fn taken(&mut self, seat: usize, bytes: usize) {
        if let Some(place) = self.place(seat) {
            place.outstanding = place.outstanding.saturating_sub(bytes);
        }
    }

    /// Counts bytes of a read that are for a session; false if it gets none any more.
    pub(super) fn expect(&mut self, seat: usize, bytes: usize) -> bool {
        let Some(place) = self.place(seat) else {
            return false;
        };
        if place.overrun || place.leaving || place.abandoned {
            return false;
        }
        place.incoming += bytes;
        true
    }

    /// How many bytes of the read are for the session; they are none afterwards.
    pub(super) fn expected(&mut self, seat: usize) -> usize {
        self.place(seat)
            .map_or(0, |place| std::mem::take(&mut place.incoming))
    }

    /// Sends frames to a session, or tells it that too many wait for it.
    pub(super) fn deliver(&mut self, seat: usize, frames: Batch) {
        let most = self.queue_bytes;
        let Some(place) = self.place(seat) else {
            return;
        };
        place.incoming = 0;
        let bytes = frames.len();
        place.outstanding += bytes;
        if place.outstanding > most {
            place.overrun = true;
            place.tell(FromShared::Overrun);
            self.metrics.overrun();
            return;
        }
        place.tell(FromShared::Data(frames));
    }

    /// A free channel for a channel of a session's.
    pub(super) fn open_channel(&mut self, seat: usize, client: u16) -> Option<u16> {
        let Some(channel) = self.slots.take(seat, client) else {
            self.waiting.insert(seat);
            return None;
        };
        if let Some(place) = self.place(seat) {
            place.channels.push(channel);
        }
        self.count();
        Some(channel)
    }

    /// A session waits for a claim of another one's.
    pub(super) fn wait(&mut self, seat: usize) {
        self.waiting.insert(seat);
    }

    /// The broker has declared a queue for a session alone.
    pub(super) fn own(&mut self, seat: usize, queue: &[u8]) {
        self.ledger.own(seat, queue);
        self.again();
        self.count();
    }

    /// Something that sessions may wait for has changed.
    pub(super) fn again(&mut self) {
        for seat in std::mem::take(&mut self.waiting) {
            if let Some(place) = self.place(seat) {
                place.tell(FromShared::Again);
            }
        }
    }

    /// The broker holds publishers back.
    pub(super) fn block(&mut self, reason: String) {
        if self.blocked.is_none() {
            self.tell_all(|| FromShared::Blocked(reason.clone()));
        }
        let since = self
            .blocked
            .take()
            .map_or_else(Instant::now, |(_, since)| since);
        self.blocked = Some((reason, since));
    }

    /// The broker takes publishes again.
    pub(super) fn unblock(&mut self) {
        if let Some((_, since)) = self.blocked.take() {
            self.metrics.blocked(since.elapsed());
            self.tell_all(|| FromShared::Unblocked);
        }
    }

    /// Counts the time since the broker has held publishers back, or since the last count.
    pub(super) fn count_blocked(&mut self) {
        if let Some((_, since)) = &mut self.blocked {
            let now = Instant::now();
            self.metrics.blocked(now - *since);
            *since = now;
        }
    }

    /// Why the broker holds publishers back, if it does.
    pub(super) fn blocked(&self) -> Option<&str> {
        self.blocked.as_ref().map(|(reason, _)| reason.as_str())
    }

    /// The connection is gone: every session is told at once. Says whether it was there before.
    pub(super) fn lose(&mut self, loss: &Loss) -> bool {
        if self.phase == Phase::Lost {
            return false;
        }
        self.phase = Phase::Lost;
        self.counted.gone();
        if let Some((_, since)) = self.blocked.take() {
            self.metrics.blocked(since.elapsed());
        }
        self.tell_all(|| FromShared::Lost(loss.clone()));
        self.ready.clear();
        self.freeing.clear();
        self.waiting.clear();
        self.deletions.clear();
        self.ledger = Ledger::default();
        self.slots = Slots::new(0);
        for place in &mut self.seats {
            if let Some(held) = place {
                for (_, bytes) in held.queue.drain(..) {
                    held.from_client.return_bytes(bytes);
                }
                held.waits_since = None;
                if held.abandoned {
                    *place = None;
                }
            }
        }
        self.seated = 0;
        self.count();
        true
    }

    fn tell_all(&self, message: impl Fn() -> FromShared) {
        for place in self.seats.iter().flatten() {
            if !place.cleared {
                place.tell(message());
            }
        }
    }

    /// The actor looks here again when something has changed.
    pub(super) fn watch(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|own| own.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
    }

    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    pub(super) fn count(&mut self) {
        let (used, free, closing) = self.slots.counts();
        let exclusive = self.ledger.count();
        self.counted.channels(used, free, closing);
        self.counted.exclusive_queues(exclusive);
    }
}

impl Place {
    #[expect(
        clippy::disallowed_methods,
        reason = "data is bounded by queue_bytes; the other messages are few"
    )]
    fn tell(&self, message: FromShared) {
        self.tenant.do_send(message);
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("phase", &self.phase)
            .field("seated", &self.seated)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
