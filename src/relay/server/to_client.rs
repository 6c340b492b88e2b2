//! What the shared connection sends: noted, swallowed where the client has not asked for it, cut to
//! the size of frames the client takes, and passed on.

use crate::batch::Batch;
use crate::relay::server::channel::Awaited;
use crate::relay::server::channel::Channel;
use crate::relay::server::channel::Consumer;
use crate::relay::server::channel::Delivery;
use crate::relay::server::channel::LastQueue;
use crate::relay::server::channel::Manner;
use crate::relay::server::channel::Stage;
use crate::relay::server::channel::State as ChannelState;
use crate::relay::server::frames;
use crate::relay::server::methods::BOOKED_MAX;
use crate::relay::server::open::is_open;
use crate::relay::server::rule::Refusal;
use crate::relay::server::rule::Rule;
use crate::relay::server::run;
use crate::relay::server::run::Run;
use crate::relay::server::Crossing;
use crate::relay::server::Output;
use crate::relay::server::Server;
use crate::upstream::shared::Line;
use crate::wire::amqp::frame::END_OCTET;
use crate::wire::amqp::frame::HEADER_SIZE;
use crate::wire::amqp::FrameHeader;
use crate::wire::amqp::FrameKind;
use crate::wire::amqp::MethodId;
use crate::wire::amqp::ReplyCode;
use crate::wire::reader::Reader;

/// Whether a frame goes on to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goes {
    On,
    Nowhere,
    /// It goes on, and ends the delivery with this tag, of a turned consumer.
    Completes(u64),
}

impl Server {
    /// Takes whole frames from the shared connection, with the client's channel numbers.
    ///
    /// There may be a violation in the output afterwards: a client that settles nothing.
    pub fn to_client<L: Line>(&mut self, mut batch: Batch, line: &L, out: &mut Output) {
        if !is_open(self.state) {
            return;
        }
        let payload_max = self.limits.payload_max() as usize;
        let mut run = Run::default();
        let mut at = 0;
        let mut frames = 0_u32;
        loop {
            let rest = batch.bytes().get(at..).unwrap_or_default();
            let Some(first) = rest.first_chunk() else {
                break;
            };
            let header = FrameHeader::from_bytes(*first);
            let size = HEADER_SIZE + header.size as usize + 1;
            let Some(payload) = rest.get(HEADER_SIZE..size - 1) else {
                break;
            };
            let goes = self.broker_frame(header, payload, line, out);
            let end = at + size;
            if goes != Goes::Nowhere {
                frames += 1;
                if payload.len() > payload_max && header.kind == FrameKind::BODY {
                    let split = split(header, payload, payload_max);
                    frames += (payload.len() / payload_max) as u32;
                    run.insert(&split, &batch, &mut out.to_client);
                } else {
                    run.keep(at, end, &batch, &mut out.to_client);
                }
            }
            if let Goes::Completes(tag) = goes {
                let generation = self
                    .channels
                    .get(header.channel)
                    .map(|channel| channel.generation);
                self.crossing.push_back(Crossing {
                    end: self.position + run.total,
                    channel: header.channel,
                    generation: generation.unwrap_or_default(),
                    tag,
                });
            }
            at = end;
        }
        let len = batch.len();
        batch.truncate(at.min(len));
        self.position += run.finish(at.min(len), &mut batch, &mut out.to_client);
        out.tally.frames_to_client = out.tally.frames_to_client.wrapping_add(frames);
        if self.booked > 2 * BOOKED_MAX {
            self.too_much(out);
        }
    }

    #[inline]
    fn broker_frame<L: Line>(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        line: &L,
        out: &mut Output,
    ) -> Goes {
        let Some(place) = self.channels.find(header.channel) else {
            return Goes::Nowhere;
        };
        let Some(channel) = self.channels.at(place) else {
            return Goes::Nowhere;
        };
        if header.kind == FrameKind::METHOD {
            let Some((number, arguments)) = payload.split_first_chunk() else {
                return Goes::Nowhere;
            };
            let method = MethodId::from_bytes(*number);
            let goes = match method {
                MethodId::BASIC_DELIVER => {
                    let added = deliver(channel, arguments);
                    self.booked += added;
                    if channel.reaches_client() {
                        Goes::On
                    } else {
                        Goes::Nowhere
                    }
                }
                // Confirms and returns.
                MethodId {
                    class: 60,
                    method: 50 | 80 | 120,
                } if channel.reaches_client() => Goes::On,
                _ => self.broker_method(place, method, arguments, line, out),
            };
            if goes == Goes::On {
                out.tally.count_to_client(method);
            }
            return goes;
        }
        if !channel.reaches_client() {
            channel.delivery = None;
            return Goes::Nowhere;
        }
        let Some(delivery) = &mut channel.delivery else {
            return Goes::On;
        };
        let left = match (header.kind, delivery.left) {
            (FrameKind::HEADER, _) => payload
                .get(4..)
                .and_then(|size| size.first_chunk())
                .map_or(0, |size| u64::from_be_bytes(*size)),
            (_, left) => left
                .unwrap_or_default()
                .saturating_sub(payload.len() as u64),
        };
        delivery.left = Some(left);
        if left > 0 {
            return Goes::On;
        }
        let tag = delivery.tag;
        channel.delivery = None;
        Goes::Completes(tag)
    }

    /// Methods that change something, or may have to be swallowed.
    fn broker_method<L: Line>(
        &mut self,
        place: usize,
        method: MethodId,
        arguments: &[u8],
        line: &L,
        out: &mut Output,
    ) -> Goes {
        let Some(channel) = self.channels.at(place) else {
            return Goes::Nowhere;
        };
        let number = channel.number;
        let kept = channel.books.kept();
        let mut swallow = false;
        match (method.class, method.method) {
            (20, 40) => return self.broker_closes(place, line, out),
            (20, 41) => return self.broker_confirms(place, line, out),
            (60, 11) => {
                if let Some(Awaited::Qos { swallow: mine }) =
                    answered(channel, |awaited| matches!(awaited, Awaited::Qos { .. }))
                {
                    swallow = mine;
                }
            }
            (50, 11) => swallow = declared(channel, arguments, line),
            (50, 41) => {
                let is_delete = |awaited: &Awaited| matches!(awaited, Awaited::Delete { .. });
                if let Some(Awaited::Delete {
                    queue,
                    swallow: mine,
                }) = answered(channel, is_delete)
                {
                    swallow = mine;
                    if !queue.is_empty() {
                        line.queue_deleted(&queue);
                        line.note_queue_kind(&queue, None);
                    }
                }
            }
            (60, 71 | 72) => {
                let is_get = |awaited: &Awaited| matches!(awaited, Awaited::Get { .. });
                let got = answered(channel, is_get);
                let acknowledged = got == Some(Awaited::Get { acknowledged: true });
                if let (true, 71, Some(tag)) =
                    (acknowledged, method.method, arguments.first_chunk())
                {
                    channel
                        .books
                        .settling
                        .delivered_own(u64::from_be_bytes(*tag));
                }
            }
            (60, 21) => swallow = consuming(channel, arguments),
            (60, 31) => swallow = cancelled(channel, arguments),
            (60, 30) => {
                swallow = cancel_by_broker(channel, arguments) | !self.client.consumer_cancel_notify
            }
            (90, 21) => channel.books.committing = false,
            _ => {}
        }
        let goes = if swallow || !channel.reaches_client() {
            Goes::Nowhere
        } else {
            Goes::On
        };
        self.booked = (self.booked + channel.books.kept()).saturating_sub(kept);
        if (method.class, method.method) == (90, 21) {
            self.release_held(number, out);
        }
        goes
    }

    /// channel.close from the broker. It is confirmed at once, whatever the client does.
    fn broker_closes<L: Line>(&mut self, place: usize, line: &L, out: &mut Output) -> Goes {
        let Some(channel) = self.channels.at(place) else {
            return Goes::Nowhere;
        };
        if std::mem::replace(&mut channel.answered, true) {
            return Goes::Nowhere;
        }
        let (number, upstream) = (channel.number, channel.upstream);
        run::push(&frames::close_ok(upstream), &mut out.to_broker);
        self.booked = self.booked.saturating_sub(withdraw_claims(channel, line));
        channel.delivery = None;
        match channel.state {
            ChannelState::Open => {
                channel.state = ChannelState::ClosedToClient;
                self.let_go(number, line);
                Goes::On
            }
            ChannelState::ClosedByClient { times, .. } => {
                channel.state = ChannelState::ClosedByClient {
                    times,
                    client_owes: true,
                };
                Goes::On
            }
            ChannelState::ClosedToClient | ChannelState::Gone => Goes::Nowhere,
        }
    }

    /// channel.close-ok from the broker.
    fn broker_confirms<L: Line>(&mut self, place: usize, line: &L, out: &mut Output) -> Goes {
        let Some(channel) = self.channels.at(place) else {
            return Goes::Nowhere;
        };
        if !channel.broker_owes {
            return Goes::Nowhere;
        }
        let number = channel.number;
        self.booked = self.booked.saturating_sub(withdraw_claims(channel, line));
        channel.broker_owes = false;
        match channel.state {
            ChannelState::ClosedByClient { times, client_owes } => {
                if client_owes {
                    channel.state = ChannelState::ClosedToClient;
                }
                self.let_go(number, line);
                if !client_owes {
                    self.channels.remove(number);
                }
                for _ in 1..times {
                    self.say(&frames::close_ok(number), out);
                }
                Goes::On
            }
            ChannelState::Gone => {
                self.let_go(number, line);
                self.channels.remove(number);
                Goes::Nowhere
            }
            ChannelState::Open | ChannelState::ClosedToClient => {
                self.let_go(number, line);
                Goes::Nowhere
            }
        }
    }

    /// The connection's channel is closed: its number is free, and its books are of no use.
    fn let_go<L: Line>(&mut self, number: u16, line: &L) {
        if let Some(channel) = self.channels.get(number) {
            line.free_channel(channel.upstream);
            self.booked = self.booked.saturating_sub(channel.books.kept());
            channel.books = super::channel::Books::default();
            let gathered = std::mem::take(&mut channel.gathered).len();
            let gathered = gathered.saturating_sub(crate::wire::websocket::encoder::HEADROOM);
            self.gathered = self.gathered.saturating_sub(gathered);
            channel.content = super::channel::Content::Nothing;
        }
    }

    /// More deliveries that a client has not settled than are followed.
    #[cold]
    fn too_much(&mut self, out: &mut Output) {
        let refusal = Refusal::connection(
            Rule::Bookkeeping,
            ReplyCode::RESOURCE_ERROR,
            "too many deliveries not acknowledged beside consumers without acknowledgement",
            (0, 0),
        );
        out.refusals.push(refusal.rule);
        self.violated(*refusal.violation, out);
    }
}

/// Nothing is answered on the channel any more; gives how many requests that leaves without.
fn withdraw_claims<L: Line>(channel: &mut Channel, line: &L) -> usize {
    let awaited = std::mem::take(&mut channel.books.awaited);
    for awaited in &awaited {
        let Awaited::Declare(declare) = awaited else {
            continue;
        };
        if declare.claimed {
            line.withdraw_claim(&declare.queue);
        }
        if let Some(noted) = declare.doubted {
            line.restore_queue_kind(&declare.queue, noted);
        }
    }
    awaited.len()
}

/// The first request for whose answer `is` asks.
fn answered(channel: &mut Channel, is: impl Fn(&Awaited) -> bool) -> Option<Awaited> {
    let place = channel.books.awaited.iter().position(is)?;
    channel.books.awaited.remove(place)
}

/// Takes note of a delivery; gives how many entries the books have got by it.
#[inline]
fn deliver(channel: &mut Channel, arguments: &[u8]) -> usize {
    let mut reader = Reader::new(arguments);
    let (Ok(consumer), Ok(tag)) = (reader.counted_by_u8(), reader.u64()) else {
        return 0;
    };
    let books = &mut channel.books;
    let manner = match books.consumers.get(consumer) {
        Some(consumer) => consumer.manner,
        None => books
            .unnamed
            .kind
            .map_or(Manner::Never, |(manner, _)| manner),
    };
    match manner {
        Manner::Never => 0,
        Manner::Client => {
            books.settling.delivered_own(tag);
            usize::from(books.settling.is_exact())
        }
        Manner::Turned => {
            books.settling.delivered_turned(tag);
            channel.delivery = Some(Delivery { tag, left: None });
            1
        }
    }
}

/// queue.declare-ok: says whether the client must not see it.
fn declared<L: Line>(channel: &mut Channel, arguments: &[u8], line: &L) -> bool {
    let is_declare = |awaited: &Awaited| matches!(awaited, Awaited::Declare(_));
    let Some(Awaited::Declare(declare)) = answered(channel, is_declare) else {
        return false;
    };
    let Ok(queue) = Reader::new(arguments).counted_by_u8() else {
        return declare.swallow;
    };
    let last = &mut channel.books.last_queue;
    if declare.queue.is_empty() && matches!(last, LastQueue::Unnamed(_)) {
        *last = LastQueue::Named(queue.into());
    }
    if !declare.passive {
        if declare.exclusive {
            line.own_queue(queue);
        } else {
            // The broker would have refused it for a queue that is exclusive: the one of this name that was is gone.
            line.queue_deleted(queue);
            line.note_queue_kind(queue, declare.kind);
        }
    }
    declare.swallow
}

/// basic.consume-ok: says whether the client must not see it.
fn consuming(channel: &mut Channel, arguments: &[u8]) -> bool {
    let Ok(tag) = Reader::new(arguments).counted_by_u8() else {
        return false;
    };
    let books = &mut channel.books;
    if let Some(consumer) = books.consumers.get_mut(tag) {
        if let Stage::Starting { swallow } = consumer.stage {
            consumer.stage = Stage::Running;
            return swallow;
        }
    }
    let Some((manner, swallow)) = books.unnamed.kind else {
        return false;
    };
    books.unnamed.count = books.unnamed.count.saturating_sub(1);
    if books.unnamed.count == 0 {
        books.unnamed.kind = None;
    }
    let consumer = Consumer {
        manner,
        // Which of those without a name this is, nobody knows.
        quorum: true,
        stage: Stage::Running,
    };
    books.consumers.insert(tag.into(), consumer);
    swallow
}

/// basic.cancel-ok: says whether the client must not see it.
fn cancelled(channel: &mut Channel, arguments: &[u8]) -> bool {
    let Ok(tag) = Reader::new(arguments).counted_by_u8() else {
        return false;
    };
    let books = &mut channel.books;
    match books.consumers.get(tag).map(|consumer| consumer.stage) {
        Some(Stage::Cancelling { swallow }) => {
            books.forget_consumer(tag);
            swallow
        }
        _ => false,
    }
}

/// basic.cancel from the broker. Says whether the client need not see it: it has cancelled itself.
fn cancel_by_broker(channel: &mut Channel, arguments: &[u8]) -> bool {
    let Ok(tag) = Reader::new(arguments).counted_by_u8() else {
        return false;
    };
    let books = &mut channel.books;
    match books.consumers.get(tag).map(|consumer| consumer.stage) {
        // Its cancel-ok is still to come.
        Some(Stage::Cancelling { .. }) => false,
        _ => {
            books.forget_consumer(tag);
            false
        }
    }
}

/// A body frame as frames the client takes.
fn split(header: FrameHeader, payload: &[u8], payload_max: usize) -> Vec<u8> {
    let mut split = Vec::with_capacity(payload.len() + payload.len() / payload_max.max(1) * 8 + 16);
    for piece in payload.chunks(payload_max.max(1)) {
        let header = FrameHeader {
            // A piece of a frame.
            size: piece.len() as u32,
            ..header
        };
        split.extend_from_slice(&header.encode());
        split.extend_from_slice(piece);
        split.push(END_OCTET);
    }
    split
}
