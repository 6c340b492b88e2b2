//! For fuzzers and a bounded run among the tests: many sessions on one connection, their frames interleaved and cut
//! anywhere, channels closed by either side at any moment, and whether each session sees what is its own, and the broker
//! what each sent, in order and never on a channel that it holds for closed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::rc::Rc;

use actix::Actor;
use actix::Addr;
use actix::Context;
use actix::Handler;
use actix::System;
use actix::SystemRunner;
use prometheus::Registry;

use crate::batch::Batch;
use crate::batch::Buffer;
use crate::credit::Window;
use crate::upstream::shared::core::Core;
use crate::upstream::shared::crossing::Crossing;
use crate::upstream::shared::facts::Facts;
use crate::upstream::shared::facts::Policy;
use crate::upstream::shared::kinds::KindsOfVhost;
use crate::upstream::shared::slots::CHANNEL_CLOSE;
use crate::upstream::shared::slots::CHANNEL_CLOSE_OK;
use crate::upstream::shared::slots::CHANNEL_OPEN;
use crate::upstream::shared::slots::CHANNEL_OPEN_OK;
use crate::upstream::shared::FromShared;
use crate::upstream::shared::Metrics;
use crate::wire::amqp::frame::END_OCTET;
use crate::wire::amqp::FrameHeader;
use crate::wire::amqp::FrameKind;
use crate::wire::amqp::Limits;
use crate::wire::amqp::MethodId;

/// Each pair of octets of `data` is something that happens, and to which session.
///
/// # Panics
/// A frame is lost, comes twice, to another session, out of order, or on a channel that the broker holds for closed; or a
/// channel is not free when all is over.
pub fn switch(data: &[u8]) {
    SYSTEM.with(|system| {
        system.block_on(async {
            let mut table = Table::new();
            for (what, which) in data.iter().zip(data.iter().skip(1)).step_by(2) {
                table.step(*what, *which);
            }
            table.finish().await;
        });
    });
}

thread_local! {
    static SYSTEM: SystemRunner = System::new();
}

/// A connection with its sessions, and what ought to come of it.
struct Table {
    core: Core,
    crossing: Crossing,
    sessions: Vec<Session>,
    /// What the broker has been sent, channel by channel.
    sent: BTreeMap<u16, Vec<u8>>,
    /// What of it has been written.
    written: BTreeMap<u16, Vec<u8>>,
    /// Bytes of the broker's that have not been read.
    incoming: Vec<u8>,
    /// The channels that the broker knows; the ones that are true it has closed itself and awaits close-ok for.
    broker: BTreeMap<u16, bool>,
    count: u8,
}

/// One session.
struct Session {
    seat: usize,
    ear: Addr<Ear>,
    heard: Rc<RefCell<Vec<u8>>>,
    /// What it ought to hear.
    expected: Vec<u8>,
    /// The client's channels and the connection's.
    channels: Vec<(u16, u16)>,
    /// Those of the connection's that the broker has opened.
    confirmed: Vec<u16>,
    /// Those that the session has closed.
    closed: Vec<u16>,
    /// What the broker has said about channels and the session has not looked at.
    unread: VecDeque<(u16, MethodId)>,
    opened: u16,
    left: bool,
}

/// Hears what the connection tells a session.
struct Ear(Rc<RefCell<Vec<u8>>>);

impl Actor for Ear {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(1 << 20);
    }
}

impl Handler<FromShared> for Ear {
    type Result = ();

    fn handle(&mut self, message: FromShared, _: &mut Self::Context) {
        if let FromShared::Data(batch) = message {
            self.0.borrow_mut().extend_from_slice(batch.bytes());
        }
    }
}

impl Table {
    fn new() -> Self {
        let metrics = Metrics::register(&Registry::new());
        let metrics = metrics.unwrap_or_else(|error| panic!("{error}"));
        let core = Core::new(
            Rc::new(facts()),
            CHANNEL_MAX,
            usize::MAX,
            KindsOfVhost::default(),
            metrics,
        );
        let session = |_| {
            let heard = Rc::new(RefCell::new(Vec::new()));
            let ear = Ear(Rc::clone(&heard)).start();
            let window = Rc::new(Window::new(1 << 20));
            let seat = core.with(|state| state.sit(ear.clone().recipient(), window));
            Session {
                seat,
                ear,
                heard,
                expected: Vec::new(),
                channels: Vec::new(),
                confirmed: Vec::new(),
                closed: Vec::new(),
                unread: VecDeque::new(),
                opened: 0,
                left: false,
            }
        };
        let sessions = (0..SESSIONS).map(session).collect();
        Self {
            core,
            crossing: Crossing::default(),
            sessions,
            sent: BTreeMap::new(),
            written: BTreeMap::new(),
            incoming: Vec::new(),
            broker: BTreeMap::new(),
            count: 0,
        }
    }

    fn step(&mut self, what: u8, which: u8) {
        self.count = self.count.wrapping_add(1);
        match what % 20 {
            0 | 1 => self.open(which),
            2..=5 => self.send(which),
            6..=9 => self.broker_says(which),
            10 | 11 => self.read(usize::from(which)),
            12 | 13 => self.write(),
            14 => self.close(which),
            15 => self.broker_closes(which),
            16..=18 => self.look(which),
            _ => self.leave(which),
        }
    }

    fn open(&mut self, which: u8) {
        let session = &mut self.sessions[usize::from(which) % SESSIONS];
        if session.left {
            return;
        }
        session.opened += 1;
        let (seat, client) = (session.seat, session.opened);
        let channel = self.core.with(|state| state.open_channel(seat, client));
        let Some(channel) = channel else {
            return;
        };
        // Seldom a session takes one and fails before it says a word of it.
        if which < 240 {
            session.channels.push((client, channel));
            self.say(seat, channel, CHANNEL_OPEN);
        }
    }

    fn say(&self, seat: usize, channel: u16, what: MethodId) {
        let frame = method(channel, what);
        self.core
            .with(|state| state.send(seat, Batch::copied(&frame), 0));
    }

    fn send(&mut self, which: u8) {
        let session = &self.sessions[usize::from(which) % SESSIONS];
        let Some((_, channel)) = chosen(session, which) else {
            return;
        };
        let frame = frame(channel, &vec![self.count; usize::from(which)]);
        self.sent.entry(channel).or_default().extend(&frame);
        self.core
            .with(|state| state.send(session.seat, Batch::copied(&frame), 0));
    }

    fn close(&mut self, which: u8) {
        let session = &mut self.sessions[usize::from(which) % SESSIONS];
        if let Some((_, channel)) = chosen(session, which) {
            session.closed.push(channel);
            let seat = session.seat;
            self.say(seat, channel, CHANNEL_CLOSE);
        }
    }

    fn broker_closes(&mut self, which: u8) {
        let open: Vec<u16> = self
            .broker
            .iter()
            .filter(|(_, is_closing)| !**is_closing)
            .map(|(channel, _)| *channel)
            .collect();
        if open.is_empty() {
            return;
        }
        let channel = open[usize::from(which) % open.len()];
        self.broker.insert(channel, true);
        self.incoming.extend(method(channel, CHANNEL_CLOSE));
    }

    /// A session looks at what the broker has said about a channel, and answers as its server does.
    fn look(&mut self, which: u8) {
        let session = &mut self.sessions[usize::from(which) % SESSIONS];
        let Some((channel, what)) = session.unread.pop_front().filter(|_| !session.left) else {
            return;
        };
        let seat = session.seat;
        let is_over = what == CHANNEL_CLOSE_OK || !session.closed.contains(&channel);
        if is_over {
            session.channels.retain(|(_, other)| *other != channel);
            session.closed.retain(|other| *other != channel);
            session.confirmed.retain(|other| *other != channel);
            self.core.with(|state| state.free_channel(seat, channel));
        }
        if what == CHANNEL_CLOSE {
            self.say(seat, channel, CHANNEL_CLOSE_OK);
        }
    }

    fn broker_says(&mut self, which: u8) {
        let session = &self.sessions[usize::from(which) % SESSIONS];
        let payload = vec![self.count; usize::from(which)];
        let Some((_, channel)) = chosen(session, which) else {
            // To nobody: a channel of lapin's.
            self.incoming.extend(frame(u16::from(which) % 8, &payload));
            return;
        };
        if self.broker.get(&channel) == Some(&false) {
            self.incoming.extend(frame(channel, &payload));
        }
    }

    /// Reads so many octets of what the broker has sent.
    fn read(&mut self, octets: usize) {
        let len = self.incoming.len().min(octets);
        let mut buffer = Buffer::with_room(len);
        buffer.room()[..len].copy_from_slice(&self.incoming[..len]);
        let (core, crossing) = (&self.core, &mut self.crossing);
        let consumed = core.with(|state| {
            let limits = Limits {
                frame_max: 4096,
                channel_max: CHANNEL_MAX,
            };
            let scanned = crossing.scan(&mut buffer.room()[..len], limits, Some(&mut *state));
            assert!(scanned.is_ok(), "{scanned:?}");
            let consumed = crossing.consumed;
            drop(crossing.deliver(buffer, consumed, state));
            consumed
        });
        let read: Vec<u8> = self.incoming.drain(..consumed).collect();
        for (header, bytes) in frames(&read) {
            self.expect(header, bytes);
        }
    }

    /// Who ought to hear a frame of the broker's.
    fn expect(&mut self, header: FrameHeader, bytes: &[u8]) {
        let channel = header.channel;
        for session in self.sessions.iter_mut().filter(|session| !session.left) {
            let held = session.channels.iter().find(|(_, own)| *own == channel);
            let Some((client, _)) = held else {
                continue;
            };
            if header.kind == FrameKind::METHOD {
                match MethodId::decode(&bytes[7..]) {
                    Ok(CHANNEL_OPEN_OK) => session.confirmed.push(channel),
                    // What the broker answers to the one that had the channel before.
                    Ok(CHANNEL_CLOSE_OK) if !session.confirmed.contains(&channel) => continue,
                    Ok(what) => session.unread.push_back((channel, what)),
                    Err(_) => {}
                }
            }
            let mut expected = bytes.to_vec();
            expected[1..3].copy_from_slice(&client.to_be_bytes());
            session.expected.extend(expected);
        }
    }

    /// Writes what the next session has for the broker.
    fn write(&mut self) {
        if let Some(out) = self.core.with(|state| state.next()) {
            for (header, bytes) in frames(out.frames.bytes()) {
                self.broker_reads(header, bytes);
            }
        }
        self.core.with(|state| state.release());
    }

    /// What RabbitMQ does with a frame.
    fn broker_reads(&mut self, header: FrameHeader, bytes: &[u8]) {
        let channel = header.channel;
        if header.kind == FrameKind::BODY {
            let written = self.written.entry(channel).or_default();
            written.extend(bytes);
        }
        let what = (header.kind == FrameKind::METHOD)
            .then(|| MethodId::decode(&bytes[7..]).ok())
            .flatten();
        match (self.broker.get(&channel).copied(), what) {
            (None, Some(CHANNEL_OPEN)) => {
                self.broker.insert(channel, false);
                self.incoming.extend(method(channel, CHANNEL_OPEN_OK));
            }
            (None, _) => {
                panic!("504: expected 'channel.open', not {what:?} on channel {channel}")
            }
            (Some(false), Some(CHANNEL_CLOSE)) => {
                self.incoming.extend(method(channel, CHANNEL_CLOSE_OK));
                self.broker.remove(&channel);
            }
            (Some(true), Some(CHANNEL_CLOSE)) => {
                // RabbitMQ does, or does not.
                if self.count.is_multiple_of(2) {
                    self.incoming.extend(method(channel, CHANNEL_CLOSE_OK));
                }
            }
            (Some(true), Some(CHANNEL_CLOSE_OK)) => drop(self.broker.remove(&channel)),
            (Some(true), Some(CHANNEL_OPEN)) => panic!("a channel is opened before its end"),
            (Some(false), Some(CHANNEL_OPEN)) => panic!("a channel is opened twice"),
            (Some(_), _) => {}
        }
    }

    /// A session goes; what it has sent still reaches the broker.
    fn leave(&mut self, which: u8) {
        let session = &mut self.sessions[usize::from(which) % SESSIONS];
        session.left = true;
        self.core.with(|state| state.leave(session.seat));
    }

    async fn finish(mut self) {
        for which in 0..SESSIONS as u8 {
            self.leave(which);
        }
        for _ in 0..FINISH {
            self.read(usize::MAX);
            self.write();
        }
        assert!(self.incoming.is_empty(), "the broker was not heard out");
        assert!(
            self.written == self.sent,
            "the broker saw something else than was sent"
        );
        let (used, _, closing) = self.core.with(|state| state.slots.counts());
        assert_eq!((used, closing), (0, 0), "channels are not free");
        assert!(self.broker.is_empty(), "the broker keeps {:?}", self.broker);
        for session in &self.sessions {
            // An answer to this comes behind everything before it.
            let _ = session.ear.send(FromShared::Again).await;
            assert!(
                *session.heard.borrow() == session.expected,
                "a session heard something else than was its own"
            );
        }
    }
}

/// One of the channels that a session may use.
fn chosen(session: &Session, which: u8) -> Option<(u16, u16)> {
    let channels = &session.channels;
    let chosen = channels.get(usize::from(which / 8) % channels.len().max(1));
    chosen
        .filter(|(_, channel)| !session.left && !session.closed.contains(channel))
        .copied()
}

/// Whole frames one by one.
fn frames(mut bytes: &[u8]) -> Vec<(FrameHeader, &[u8])> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let header = FrameHeader::decode(bytes).unwrap_or_else(|_| panic!("half a frame"));
        let (frame, behind) = bytes.split_at(header.frame_size() as usize);
        found.push((header, frame));
        bytes = behind;
    }
    found
}

/// A method without what does not matter here.
fn method(channel: u16, method: MethodId) -> Vec<u8> {
    let header = FrameHeader {
        kind: FrameKind::METHOD,
        channel,
        size: 4,
    };
    [&header.encode()[..], &method.encode(), &[END_OCTET]].concat()
}

/// Frames of a kind that the switch does not look into.
fn frame(channel: u16, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader {
        kind: FrameKind::BODY,
        channel,
        size: payload.len() as u32,
    };
    [&header.encode()[..], payload, &[END_OCTET]].concat()
}

fn facts() -> Facts {
    Facts {
        server_properties: Vec::new(),
        locales: Vec::new(),
        version: None,
        frame_max: 4096,
        channel_max: CHANNEL_MAX,
        heartbeat: 0,
        broker: String::new(),
        vhost: "/".to_owned(),
        policy: Policy {
            exchange_types: Vec::new(),
            trust_queue_types: false,
            message_bytes: 0,
            prefetch: 0,
        },
    }
}

const SESSIONS: usize = 5;
/// Reads and writes after which everything has been said.
const FINISH: usize = 1000;
const CHANNEL_MAX: u16 = 24;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::switch;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]

        #[test]
        fn each_session_sees_what_is_its_own(data in vec(any::<u8>(), 0..1200)) {
            switch(&data);
        }
    }
}
