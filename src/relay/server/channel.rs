//! One channel of a client: how far it is open, the message the client is sending on it, and what
//! is known of its consumers and of what the broker still has to answer.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;

use crate::relay::server::turned::Settling;
use crate::upstream::shared::QueueKind;

/// A channel between channel.open and the last channel.close-ok.
#[derive(Debug)]
pub(super) struct Channel {
    /// The client's number.
    pub number: u16,
    /// The connection's number.
    pub upstream: u16,
    /// Told apart from earlier channels of the same number.
    pub generation: u32,
    pub state: State,
    /// channel.close-ok has still to come from the broker; the connection's number is taken.
    pub broker_owes: bool,
    /// The broker has closed, and has been answered. RabbitMQ may close twice, where one error came behind another, and
    /// ends the connection over a second answer.
    pub answered: bool,
    pub content: Content,
    /// The frames of a message that is not complete, in front of them room for a header.
    pub gathered: Vec<u8>,
    /// A delivery on its way to the client.
    pub delivery: Option<Delivery>,
    pub books: Books,
}

/// What is done with what the client sends on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It goes on.
    Open,
    /// The client has closed. What it sends still is thrown away; the broker has not confirmed.
    ClosedByClient {
        /// How often it has closed, and has close-ok to come.
        times: u8,
        /// The broker closed at the same time, and the client has to confirm that.
        client_owes: bool,
    },
    /// The broker or the gateway has closed; what the client sends is thrown away until its
    /// close-ok.
    ClosedToClient,
    /// The client knows that it is closed, the broker does not yet.
    Gone,
}

/// The message the client is sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// None.
    Nothing,
    /// basic.publish has come, the content header has not.
    Header {
        /// basic.publish asked for immediate delivery.
        immediate: bool,
    },
    /// Bytes of the body are to come.
    Body(u64),
}

/// A delivery of a turned consumer of which the client has not been sent everything.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delivery {
    pub tag: u64,
    /// Bytes of the body that are to come; `None` before the content header.
    pub left: Option<u64>,
}

/// What is known of a channel beyond its state.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub consumers: BTreeMap<Box<[u8]>, Consumer>,
    /// Tags of consumers that are gone while deliveries of a queue that may be a quorum queue were not settled. RabbitMQ
    /// before 4.0 numbers what such a queue delivers on where the tag left off, and its channel fails over that gap if
    /// the tag is given to another consumer.
    pub spent: BTreeSet<Box<[u8]>>,
    /// Consumers whose name the broker has still to say, all alike.
    pub unnamed: Unnamed,
    pub awaited: VecDeque<Awaited>,
    pub last_queue: LastQueue,
    /// The client's own basic.qos for consumers to come.
    pub prefetch: u16,
    /// The client's own basic.qos for the channel as a whole.
    pub global_prefetch: u16,
    /// tx.select has gone on.
    pub transactional: bool,
    /// tx.commit has gone on and is not answered: nothing else may go on.
    pub committing: bool,
    pub settling: Settling,
}

/// How a consumer's deliveries are acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// By the client.
    Client,
    /// Not at all.
    Never,
    /// By the gateway; the client does not know.
    Turned,
}

/// A consumer whose name is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Consumer {
    pub manner: Manner,
    /// Its queue may be a quorum queue.
    pub quorum: bool,
    pub stage: Stage,
}

/// How far a consumer is, and whether the client must not see the answer that is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// consume-ok is to come.
    Starting { swallow: bool },
    /// It runs.
    Running,
    /// cancel-ok is to come.
    Cancelling { swallow: bool },
}

/// Consumers without a name that await consume-ok.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Unnamed {
    pub count: u32,
    pub kind: Option<(Manner, bool)>,
}

/// An answer of the broker that means something here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// basic.qos-ok.
    Qos { swallow: bool },
    /// queue.declare-ok.
    Declare(Declare),
    /// queue.delete-ok.
    Delete { queue: Box<[u8]>, swallow: bool },
    /// basic.get-ok or get-empty.
    Get { acknowledged: bool },
}

/// A queue.declare on its way.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Declare {
    /// The name; empty where the broker makes one up.
    pub queue: Box<[u8]>,
    pub passive: bool,
    pub exclusive: bool,
    /// The name was claimed for this declare.
    pub claimed: bool,
    pub kind: Option<QueueKind>,
    /// The other kind that was noted; it counts again if the declare fails.
    pub doubted: Option<QueueKind>,
    pub swallow: bool,
}

/// The queue the empty name stands for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum LastQueue {
    /// None was declared.
    #[default]
    None,
    /// This one.
    Named(Box<[u8]>),
    /// One whose name the broker has still to say.
    Unnamed(Option<QueueKind>),
}

impl Channel {
    pub(super) fn new(number: u16, upstream: u16, generation: u32) -> Self {
        Self {
            number,
            upstream,
            generation,
            state: State::Open,
            broker_owes: false,
            answered: false,
            content: Content::Nothing,
            gathered: Vec::new(),
            delivery: None,
            books: Books::default(),
        }
    }

    /// Whether what the broker sends on it reaches the client.
    pub(super) const fn reaches_client(&self) -> bool {
        matches!(self.state, State::Open | State::ClosedByClient { .. })
    }
}

/// The channels of a session, by the client's numbers.
#[derive(Debug, Default)]
pub(super) struct Channels {
    #[expect(
        clippy::vec_box,
        reason = "a channel is large, and they move as others go"
    )]
    sorted: Vec<Box<Channel>>,
    /// The place of the channel that was asked for last.
    last: usize,
    generation: u32,
}

impl Channels {
    /// The place of a channel, good until one is opened or removed.
    #[inline]
    pub(super) fn find(&mut self, number: u16) -> Option<usize> {
        if self.sorted.get(self.last).map(|channel| channel.number) == Some(number) {
            return Some(self.last);
        }
        let place = self
            .sorted
            .binary_search_by_key(&number, |channel| channel.number);
        if let Ok(place) = place {
            self.last = place;
        }
        place.ok()
    }

    #[inline]
    pub(super) fn at(&mut self, place: usize) -> Option<&mut Channel> {
        self.sorted.get_mut(place).map(|channel| &mut **channel)
    }

    pub(super) fn get(&mut self, number: u16) -> Option<&mut Channel> {
        let place = self.find(number)?;
        self.at(place)
    }

    pub(super) fn open(&mut self, number: u16, upstream: u16) {
        self.generation = self.generation.wrapping_add(1);
        let channel = Box::new(Channel::new(number, upstream, self.generation));
        let place = self.sorted.partition_point(|other| other.number < number);
        self.sorted.insert(place, channel);
        self.last = place;
    }

    pub(super) fn remove(&mut self, number: u16) {
        if let Some(place) = self.find(number) {
            self.sorted.remove(place);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }
}

impl Books {
    /// Entries that are kept for the channel, whatever they are.
    pub(super) fn kept(&self) -> usize {
        let tags = self.settling.len() + self.unnamed.count as usize;
        self.consumers.len() + self.spent.len() + self.awaited.len() + tags
    }

    /// A consumer is no more.
    pub(super) fn forget_consumer(&mut self, tag: &[u8]) {
        let Some(consumer) = self.consumers.remove(tag) else {
            return;
        };
        let may_owe = !self.settling.is_settled() || self.transactional;
        if consumer.quorum && consumer.manner != Manner::Never && may_owe {
            self.spent.insert(tag.into());
        }
    }

    /// Whether a consumer of a queue that may be a quorum queue can have this tag.
    pub(super) fn may_consume_as(&mut self, tag: &[u8]) -> bool {
        if self.settling.is_settled() && !self.transactional {
            self.spent.clear();
        }
        !self.spent.contains(tag)
    }
}
