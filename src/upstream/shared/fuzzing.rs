//! For fuzzers and a bounded run among the tests: many sessions on one connection, their frames interleaved and cut
//! anywhere, and whether each sees what is its own, and the broker what each sent, in order.

use std::cell::RefCell;
use std::collections::BTreeMap;
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
use crate::upstream::shared::FromShared;
use crate::upstream::shared::Metrics;
use crate::wire::amqp::frame::END_OCTET;
use crate::wire::amqp::FrameHeader;
use crate::wire::amqp::FrameKind;
use crate::wire::amqp::Limits;

/// Each pair of octets of `data` is something that happens, and to which session.
///
/// # Panics
/// A frame is lost, comes twice, to another session, or out of order.
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
        let core = Core::new(Rc::new(facts()), CHANNEL_MAX, usize::MAX, metrics);
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
            count: 0,
        }
    }

    fn step(&mut self, what: u8, which: u8) {
        self.count = self.count.wrapping_add(1);
        match what % 16 {
            0 | 1 => self.open(which),
            2..=6 => self.send(which),
            7..=10 => self.broker_says(which),
            11 | 12 => self.read(usize::from(which)),
            13 | 14 => self.write(),
            _ => self.leave(which),
        }
    }

    fn open(&mut self, which: u8) {
        let session = &mut self.sessions[usize::from(which) % SESSIONS];
        let client = session.channels.len() as u16 + 1;
        if session.left {
            return;
        }
        let channel = self
            .core
            .with(|state| state.open_channel(session.seat, client));
        if let Some(channel) = channel {
            session.channels.push((client, channel));
        }
    }

    fn send(&mut self, which: u8) {
        let session = &self.sessions[usize::from(which) % SESSIONS];
        let Some((_, channel)) = chosen(&session.channels, which).filter(|_| !session.left) else {
            return;
        };
        let frame = frame(channel, &vec![self.count; usize::from(which)]);
        self.sent.entry(channel).or_default().extend(&frame);
        self.core
            .with(|state| state.send(session.seat, Batch::copied(&frame), 0));
    }

    fn broker_says(&mut self, which: u8) {
        let session = &mut self.sessions[usize::from(which) % SESSIONS];
        let payload = vec![self.count; usize::from(which)];
        let Some((client, channel)) = chosen(&session.channels, which) else {
            // To nobody: a channel of lapin's, or one that is free.
            self.incoming
                .extend(frame(u16::from(which) % CHANNEL_MAX.min(8), &payload));
            return;
        };
        self.incoming.extend(frame(channel, &payload));
        if !session.left {
            session.expected.extend(frame(client, &payload));
        }
    }

    /// Reads so many octets of what the broker has sent.
    fn read(&mut self, octets: usize) {
        let mut buffer = Buffer::with_room(octets.max(1));
        let len = self.incoming.len().min(octets);
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
        self.incoming.drain(..consumed);
    }

    /// Writes what the next session has for the broker.
    fn write(&mut self) {
        let Some(out) = self.core.with(|state| state.next()) else {
            return;
        };
        let mut rest = out.frames.bytes();
        while !rest.is_empty() {
            let header = FrameHeader::decode(rest).unwrap_or_else(|_| panic!("half a frame"));
            let (frame, behind) = rest.split_at(header.frame_size() as usize);
            if header.kind == FrameKind::BODY {
                self.written
                    .entry(header.channel)
                    .or_default()
                    .extend(frame);
            }
            rest = behind;
        }
    }

    /// A session goes; what it has sent still reaches the broker.
    fn leave(&mut self, which: u8) {
        // What the broker has sent before is the session's, if it was read before.
        while !self.incoming.is_empty() {
            self.read(1 << 20);
        }
        let session = &mut self.sessions[usize::from(which) % SESSIONS];
        session.left = true;
        self.core.with(|state| state.leave(session.seat));
    }

    async fn finish(mut self) {
        while !self.incoming.is_empty() {
            self.read(1 << 20);
        }
        while self
            .core
            .with(|state| !(0..SESSIONS).all(|seat| state.is_empty(seat)))
        {
            self.write();
        }
        assert!(
            self.written == self.sent,
            "the broker saw something else than was sent"
        );
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

fn chosen(channels: &[(u16, u16)], which: u8) -> Option<(u16, u16)> {
    channels
        .get(usize::from(which / 8) % channels.len().max(1))
        .copied()
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
const CHANNEL_MAX: u16 = 24;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::switch;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]

        #[test]
        fn each_session_sees_what_is_its_own(data in vec(any::<u8>(), 0..400)) {
            switch(&data);
        }
    }
}
