//! Tests of the server: a client's bytes in, a connection that is scripted, and what comes out.

mod channels;
mod negotiating;
mod police;
mod properties;
mod queues;
mod relaying;
mod turning;

use std::cell::Cell;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::*;
use crate::upstream::shared::Access;
use crate::upstream::shared::Line;
use crate::upstream::shared::QueueKind;
use crate::wire::amqp::frame::END_OCTET;
use crate::wire::amqp::method::LongString;
use crate::wire::amqp::method::Open;
use crate::wire::amqp::method::StartOk;
use crate::wire::amqp::method::Table;
use crate::wire::amqp::method::TuneOk;
use crate::wire::amqp::FrameHeader;
use crate::wire::amqp::FrameKind;

/// A connection whose channels begin at 100, and whose books are open to the test.
#[derive(Debug, Default)]
struct FakeLine {
    next: Cell<u16>,
    /// No channel is free.
    full: Cell<bool>,
    freed: RefCell<Vec<u16>>,
    locked: RefCell<BTreeSet<Vec<u8>>>,
    undecided: RefCell<BTreeSet<Vec<u8>>>,
    mine: RefCell<BTreeSet<Vec<u8>>>,
    kinds: RefCell<BTreeMap<Vec<u8>, QueueKind>>,
    /// What was told, in order.
    told: RefCell<Vec<String>>,
}

impl FakeLine {
    fn tell(&self, what: &str, queue: &[u8]) {
        let told = format!("{what} {}", String::from_utf8_lossy(queue));
        self.told.borrow_mut().push(told);
    }

    fn take_told(&self) -> Vec<String> {
        self.told.take()
    }
}

impl Line for FakeLine {
    fn open_channel(&self, _: u16) -> Option<u16> {
        if self.full.get() {
            return None;
        }
        self.next.set(self.next.get() + 1);
        Some(99 + self.next.get())
    }

    fn free_channel(&self, channel: u16) {
        self.freed.borrow_mut().push(channel);
    }

    fn queue_access(&self, queue: &[u8]) -> Access {
        if self.locked.borrow().contains(queue) {
            Access::Locked
        } else if self.undecided.borrow().contains(queue) {
            Access::Undecided
        } else if self.mine.borrow().contains(queue) {
            Access::Mine
        } else {
            Access::Free
        }
    }

    fn claim_queue(&self, queue: &[u8]) {
        self.tell("claim", queue);
        self.mine.borrow_mut().insert(queue.to_vec());
    }

    fn own_queue(&self, queue: &[u8]) {
        self.tell("own", queue);
        self.mine.borrow_mut().insert(queue.to_vec());
        // RabbitMQ has no exclusive queues of another kind.
        self.note_queue_kind(queue, Some(QueueKind::Classic));
    }

    fn withdraw_claim(&self, queue: &[u8]) {
        self.tell("withdraw", queue);
        self.mine.borrow_mut().remove(queue);
    }

    fn queue_deleted(&self, queue: &[u8]) {
        self.tell("deleted", queue);
        self.mine.borrow_mut().remove(queue);
    }

    fn queue_kind(&self, queue: &[u8]) -> Option<QueueKind> {
        self.kinds.borrow().get(queue).copied()
    }

    fn note_queue_kind(&self, queue: &[u8], kind: Option<QueueKind>) {
        match kind {
            Some(kind) => self.kinds.borrow_mut().insert(queue.to_vec(), kind),
            None => self.kinds.borrow_mut().remove(queue),
        };
    }
}

const FRAME_MAX: u32 = 8192;
const MESSAGE_MAX: usize = 20_000;
const PREFETCH: u16 = 10;

fn facts() -> Facts {
    let exchange_types = ["direct", "fanout", "topic", "headers"];
    Facts {
        server_properties: b"\x07productS\0\0\0\x08RabbitMQ".to_vec(),
        locales: b"en_US".to_vec(),
        version: Some(Version(3, 10)),
        frame_max: 131_072,
        channel_max: 50,
        heartbeat: 60,
        broker: "amqp://broker:5672".to_owned(),
        vhost: "/".to_owned(),
        policy: Policy {
            exchange_types: exchange_types.map(str::to_owned).to_vec(),
            trust_queue_types: false,
            message_bytes: MESSAGE_MAX,
            prefetch: PREFETCH,
        },
    }
}

/// A server with its connection, and everything that came out of it so far.
struct Bench {
    server: Server,
    line: FakeLine,
    out: Output,
    /// What the client has sent and the server has not taken yet.
    waiting: Vec<u8>,
}

impl Bench {
    /// A client that has sent its protocol header.
    fn greeted() -> Self {
        let mut out = Output::default();
        let facts = facts();
        let params = Params::new(&facts, FRAME_MAX, 0, facts.heartbeat);
        Self {
            server: Server::new(&facts, params, &mut out),
            line: FakeLine::default(),
            out,
            waiting: Vec::new(),
        }
    }

    /// A client with an open connection that understands these capabilities.
    fn open_with(capabilities: &[&str]) -> Self {
        let mut bench = Self::greeted();
        let login = bench.send(&start_ok("PLAIN", b"\0me\0secret", capabilities));
        assert!(matches!(login, Pause::Login(_)));
        bench.server.login_decided(Ok(()), &mut bench.out);
        assert_eq!(bench.send(&tune_ok(50, FRAME_MAX, 60)), Pause::No);
        assert_eq!(bench.send(&open("/")), Pause::Seat);
        bench.server.seated(&mut bench.out);
        bench.out = Output::default();
        bench
    }

    /// A client with an open connection.
    fn open() -> Self {
        Self::open_with(&["consumer_cancel_notify"])
    }

    /// A client with channel 1, which the connection knows as 100.
    fn channel() -> Self {
        let mut bench = Self::open();
        bench.open_channel(1);
        bench
    }

    fn open_channel(&mut self, number: u16) {
        assert_eq!(self.send(&method(number, 20, 10, b"\0")), Pause::No);
        self.broker(&method(number, 20, 11, &[0; 4]));
        self.take();
        self.out.tally = Tally::default();
    }

    /// The client sends; what was left over before goes first.
    fn send(&mut self, bytes: &[u8]) -> Pause {
        self.waiting.extend_from_slice(bytes);
        let mut batch = Batch::copied(&std::mem::take(&mut self.waiting));
        let line = Some(&self.line);
        let pause = self.server.from_client(&mut batch, line, &mut self.out);
        self.waiting = batch.bytes().to_vec();
        pause
    }

    fn broker(&mut self, bytes: &[u8]) {
        let batch = Batch::copied(bytes);
        self.server.to_client(batch, &self.line, &mut self.out);
    }

    /// Everything that came out for the broker and the client.
    fn take(&mut self) -> (Vec<u8>, Vec<u8>) {
        let joined = |batches: Vec<Batch>| -> Vec<u8> {
            batches
                .iter()
                .flat_map(|batch| batch.bytes().to_vec())
                .collect()
        };
        let to_broker = joined(std::mem::take(&mut self.out.to_broker));
        (to_broker, joined(std::mem::take(&mut self.out.to_client)))
    }

    /// The client sends and only these go to the broker, and nothing to the client.
    fn relays(&mut self, bytes: &[u8], expected: &[Vec<u8>]) {
        assert_eq!(self.send(bytes), Pause::No, "{:?}", self.out.violation);
        let (to_broker, to_client) = self.take();
        assert_eq!(split(&to_broker), expected);
        assert_eq!(split(&to_client), [] as [Vec<u8>; 0]);
    }

    /// The broker sends and only these go to the client, and nothing back.
    fn delivers(&mut self, bytes: &[u8], expected: &[Vec<u8>]) {
        self.broker(bytes);
        let (to_broker, to_client) = self.take();
        assert_eq!(split(&to_client), expected);
        assert_eq!(split(&to_broker), [] as [Vec<u8>; 0]);
    }

    /// The client sends and loses its connection.
    fn costs_connection(&mut self, bytes: &[u8], rule: Rule) -> (u16, String, (u16, u16)) {
        assert_eq!(self.send(bytes), Pause::Over);
        let violation = self.out.violation.take().expect("a violation");
        assert_eq!(std::mem::take(&mut self.out.refusals), [rule]);
        (
            violation.reply_code.0,
            violation.text,
            violation.class_method,
        )
    }

    /// The client sends and loses channel 1, which is closed upstream as well.
    fn costs_channel(&mut self, bytes: &[u8], rule: Rule) -> (u16, String, (u16, u16)) {
        assert_eq!(self.send(bytes), Pause::No);
        assert_eq!(self.out.violation, None);
        assert_eq!(std::mem::take(&mut self.out.refusals), [rule]);
        let (to_broker, to_client) = self.take();
        let upstream = frames::close(100, 200, "", (0, 0));
        assert_eq!(split(&to_broker).last(), Some(&upstream));
        let close = split(&to_client).pop().expect("a close");
        assert_eq!(
            close[..11],
            [&close[..1], &[0, 1], &close[3..7], &[0, 20, 0, 40]].concat()
        );
        let code = u16::from_be_bytes([close[11], close[12]]);
        let length = usize::from(close[13]);
        let text = String::from_utf8(close[14..14 + length].to_vec()).expect("text");
        let number = |at| u16::from_be_bytes([close[at], close[at + 1]]);
        (code, text, (number(14 + length), number(16 + length)))
    }
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader {
        kind: FrameKind(kind),
        channel,
        size: payload.len() as u32,
    };
    [&header.encode()[..], payload, &[END_OCTET]].concat()
}

fn method(channel: u16, class: u16, method: u16, arguments: &[u8]) -> Vec<u8> {
    frames::method(channel, MethodId::new(class, method), &[arguments])
}

/// The frames of whole frames.
fn split(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let header = FrameHeader::decode(bytes).expect("whole frames");
        let (frame, rest) = bytes.split_at(header.frame_size() as usize);
        assert_eq!(frame.last(), Some(&END_OCTET));
        frames.push(frame.to_vec());
        bytes = rest;
    }
    frames
}

fn short(text: &str) -> Vec<u8> {
    [&[text.len() as u8], text.as_bytes()].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

fn text_field(name: &str, value: &str) -> Vec<u8> {
    [short(name), b"S".to_vec(), long(value.as_bytes())].concat()
}

fn start_ok(mechanism: &str, response: &[u8], capabilities: &[&str]) -> Vec<u8> {
    let capabilities: Vec<u8> = capabilities
        .iter()
        .flat_map(|name| [short(name), b"t\x01".to_vec()].concat())
        .collect();
    let properties = [short("capabilities"), b"F".to_vec(), long(&capabilities)].concat();
    let start_ok = StartOk {
        client_properties: Table(&properties),
        mechanism: ShortString::clipped(mechanism),
        response: LongString(response),
        locale: ShortString::clipped("en_US"),
    };
    start_ok.to_frame()
}

fn tune_ok(channel_max: u16, frame_max: u32, heartbeat: u16) -> Vec<u8> {
    let tune_ok = TuneOk {
        channel_max,
        frame_max,
        heartbeat,
    };
    tune_ok.to_frame()
}

fn open(vhost: &str) -> Vec<u8> {
    let open = Open {
        virtual_host: ShortString::clipped(vhost),
        reserved_1: ShortString::clipped(""),
        reserved_2: 0,
    };
    open.to_frame()
}

fn header(channel: u16, size: u64) -> Vec<u8> {
    let size = size.to_be_bytes();
    frame(2, channel, &[&[0, 60, 0, 0][..], &size, &[0, 0]].concat())
}

/// basic.publish with its content, each body frame as large as may be.
fn publish(channel: u16, body: &[u8]) -> Vec<u8> {
    let begin = method(channel, 60, 40, b"\0\0\0\x01q\0");
    content(channel, begin, body, FRAME_MAX as usize - 8)
}

fn content(channel: u16, begin: Vec<u8>, body: &[u8], piece: usize) -> Vec<u8> {
    let bodies = body.chunks(piece).map(|piece| frame(3, channel, piece));
    let header = header(channel, body.len() as u64);
    [begin, header, bodies.collect::<Vec<_>>().concat()].concat()
}

fn delivery(channel: u16, consumer: &str, tag: u64, body: &[u8]) -> Vec<u8> {
    let tag = tag.to_be_bytes();
    let arguments = [&short(consumer)[..], &tag, b"\0\0\x01q"].concat();
    let begin = method(channel, 60, 60, &arguments);
    content(channel, begin, body, 100_000)
}

fn declare(channel: u16, queue: &str, bits: u8, table: &[u8]) -> Vec<u8> {
    let arguments = [&[0, 0][..], &short(queue), &[bits], &long(table)].concat();
    method(channel, 50, 10, &arguments)
}

fn declare_ok(channel: u16, queue: &str) -> Vec<u8> {
    method(channel, 50, 11, &[&short(queue)[..], &[0; 8]].concat())
}

const NO_ACK: u8 = 2;
const NO_WAIT: u8 = 8;

fn consume(channel: u16, queue: &str, tag: &str, bits: u8) -> Vec<u8> {
    let arguments = [&[0, 0][..], &short(queue), &short(tag), &[bits], &[0; 4]].concat();
    method(channel, 60, 20, &arguments)
}

fn consume_ok(channel: u16, tag: &str) -> Vec<u8> {
    method(channel, 60, 21, &short(tag))
}

fn cancel(channel: u16, tag: &str, bits: u8) -> Vec<u8> {
    method(channel, 60, 30, &[&short(tag)[..], &[bits]].concat())
}

fn ack(channel: u16, tag: u64, multiple: bool) -> Vec<u8> {
    frames::ack(channel, turned::Ack { tag, multiple })
}

fn nack(channel: u16, tag: u64, bits: u8) -> Vec<u8> {
    method(
        channel,
        60,
        120,
        &[&tag.to_be_bytes()[..], &[bits]].concat(),
    )
}

fn get(channel: u16, queue: &str, no_ack: bool) -> Vec<u8> {
    let arguments = [&[0, 0][..], &short(queue), &[no_ack.into()]].concat();
    method(channel, 60, 70, &arguments)
}

fn qos(channel: u16, prefetch: u16, global: bool) -> Vec<u8> {
    let prefetch = prefetch.to_be_bytes();
    method(
        channel,
        60,
        10,
        &[&[0; 4][..], &prefetch, &[global.into()]].concat(),
    )
}
