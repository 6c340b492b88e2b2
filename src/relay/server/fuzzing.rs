//! For fuzzers and a bounded run among the tests: a client that sends anything, a connection that answers anything, and
//! what the broker must never see.

use std::cell::Cell;
use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::batch::Batch;
use crate::relay::server::Output;
use crate::relay::server::Params;
use crate::relay::server::Pause;
use crate::relay::server::Server;
use crate::upstream::shared::Access;
use crate::upstream::shared::Facts;
use crate::upstream::shared::Line;
use crate::upstream::shared::Policy;
use crate::upstream::shared::QueueKind;
use crate::upstream::shared::Version;
use crate::wire::amqp::arguments::check;
use crate::wire::amqp::arguments::sender;
use crate::wire::amqp::arguments::Sender;
use crate::wire::amqp::fields::check_properties;
use crate::wire::amqp::frame::END_OCTET;
use crate::wire::amqp::FrameHeader;
use crate::wire::amqp::FrameKind;
use crate::wire::amqp::MethodId;

/// One session. Of `data` the first octet says whether the negotiation is gone through first; then each piece begins with
/// an octet that says who speaks and one that says how many octets follow.
///
/// # Panics
/// The server lets something through that would cost the connection.
pub fn server(data: &[u8]) {
    let Some((first, mut rest)) = data.split_first() else {
        return;
    };
    let mut session = Session::new();
    if first & 1 == 0 {
        session.negotiate();
    }
    while let Some(([who, count], behind)) = rest.split_first_chunk::<2>() {
        let (piece, behind) = behind.split_at(behind.len().min(usize::from(*count)));
        rest = behind;
        match who % 4 {
            0 | 1 => session.client_says(piece),
            2 => session.broker_says(piece),
            _ => session.pass(),
        }
        if session.over {
            return;
        }
    }
}

struct Session {
    server: Server,
    line: Books,
    out: Output,
    waiting: Vec<u8>,
    /// Bytes put out for the client.
    position: u64,
    /// What the broker has seen on each channel.
    seen: BTreeMap<u16, Seen>,
    over: bool,
}

/// What is open on one channel of the broker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Open,
    ExpectHeader,
    ExpectBody(u64),
    /// channel.close has gone; nothing may follow but the answer to one that crosses it.
    Closed,
    /// channel.close-ok has gone, and nothing may follow.
    Confirmed,
}

impl Session {
    fn new() -> Self {
        let facts = facts();
        let mut out = Output::default();
        let params = Params::new(&facts, 4096, 0, facts.heartbeat);
        let server = Server::new(&facts, params, &mut out);
        Self {
            server,
            line: Books::default(),
            out,
            waiting: Vec::new(),
            position: 0,
            seen: BTreeMap::new(),
            over: false,
        }
    }

    fn negotiate(&mut self) {
        let start_ok = b"\0\0\0\0\x05PLAIN\0\0\0\x04\0a\0b\x05en_US";
        let tune_ok = [0, 20, 0, 0, 16, 0, 0, 60];
        for (method, arguments) in [(11, &start_ok[..]), (31, &tune_ok), (40, b"\x01/\0\0")] {
            self.client_says(&frame(1, 0, &[&[0, 10, 0, method], arguments].concat()));
        }
        assert!(!self.over, "an orderly negotiation");
    }

    fn client_says(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
        for _ in 0..8 {
            let mut batch = Batch::copied(&std::mem::take(&mut self.waiting));
            let line = Some(&self.line);
            let pause = self.server.from_client(&mut batch, line, &mut self.out);
            self.waiting = batch.bytes().to_vec();
            match pause {
                Pause::Login(_) => self.server.login_decided(Ok(()), &mut self.out),
                Pause::Seat => self.server.seated(&mut self.out),
                Pause::Leave => {
                    self.server.left(&mut self.out);
                    self.over = true;
                }
                Pause::Over => self.over = true,
                Pause::No | Pause::Line => {
                    self.look();
                    return;
                }
            }
            self.look();
            if self.over {
                return;
            }
        }
    }

    /// A frame of the broker's, well formed, on one of the client's channels: the method and its arguments are `piece`.
    fn broker_says(&mut self, piece: &[u8]) {
        let Some(([number, which], arguments)) = piece.split_first_chunk::<2>() else {
            return;
        };
        let open = self.line.clients.borrow().clone();
        let Some(&channel) = open.get(usize::from(*number) % open.len().max(1)) else {
            return;
        };
        let (class, method) = ANSWERS[usize::from(*which) % ANSWERS.len()];
        if matches!((class, method), (20, 40 | 41)) {
            // A broker that has closed a channel says nothing more on it.
            self.line
                .clients
                .borrow_mut()
                .retain(|client| *client != channel);
        }
        let mut bytes = frame(1, channel, &[&[0, class, 0, method], arguments].concat());
        if (class, method) == (20, 40) && arguments.len() % 2 == 1 {
            // RabbitMQ closes twice, where one error came behind another.
            bytes.extend_from_within(..);
        }
        if matches!((class, method), (60, 50 | 60 | 71)) {
            let header = [&[0, 60, 0, 0][..], &1_u64.to_be_bytes(), &[0, 0]].concat();
            bytes.extend(frame(2, channel, &header));
            bytes.extend(frame(3, channel, b"x"));
        }
        self.server
            .to_client(Batch::copied(&bytes), &self.line, &mut self.out);
        self.look();
    }

    fn pass(&mut self) {
        self.server.passed(self.position, &mut self.out);
        self.look();
    }

    /// Looks at everything that came out.
    fn look(&mut self) {
        for batch in std::mem::take(&mut self.out.to_client) {
            self.position += batch.len() as u64;
            each_frame(batch.bytes(), |header, _| {
                assert!(
                    header.size <= 4096 - 8,
                    "a frame of {} for the client",
                    header.size
                );
            });
        }
        let to_broker = std::mem::take(&mut self.out.to_broker);
        let opened = self.line.opened.get();
        for batch in to_broker {
            let seen = &mut self.seen;
            each_frame(batch.bytes(), |header, payload| {
                let channel = header.channel;
                assert!(
                    (FIRST..FIRST + opened).contains(&channel),
                    "channel {channel} is nobody's"
                );
                let state = seen.get(&channel).copied();
                let next = judge(header.kind, payload, state).unwrap_or_else(|why| {
                    panic!("{why}, channel {channel} {state:?}: {payload:02x?}")
                });
                seen.insert(channel, next);
            });
        }
        self.out.refusals.clear();
        self.over |= self.out.violation.is_some();
    }
}

/// What the broker thinks of a frame.
fn judge(kind: FrameKind, payload: &[u8], state: Option<Seen>) -> Result<Seen, &'static str> {
    match (kind, state) {
        (FrameKind::METHOD, None | Some(Seen::Open)) => {
            let (id, arguments) = payload.split_first_chunk::<4>().ok_or("no method")?;
            let id = MethodId::from_bytes(*id);
            let Sender::Client(schema) = sender(id) else {
                return Err("not a client's method");
            };
            check(schema, arguments).map_err(|_| "undecodable arguments")?;
            let last = arguments.last().copied().unwrap_or_default();
            match (id.class, id.method, state) {
                (20, 10, None) => Ok(Seen::Open),
                (20, 10, Some(_)) | (_, _, None) => Err("on a channel that is not that far"),
                (10, ..) => Err("a method of the connection"),
                (20, 40, _) => Ok(Seen::Closed),
                (20, 41, _) => Ok(Seen::Confirmed),
                (60, 40, _) if last & 2 != 0 => Err("immediate"),
                (60, 40, _) => Ok(Seen::ExpectHeader),
                (20, 20, _) if last & 1 == 0 => Err("flow off"),
                (60, 100 | 110, _) if last & 1 == 0 => Err("recover without requeue"),
                (60, 10, _) if arguments.starts_with(&[0; 4]) => Ok(Seen::Open),
                (60, 10, _) => Err("a prefetch size"),
                _ => Ok(Seen::Open),
            }
        }
        // The broker's own close has crossed the one that was sent.
        (FrameKind::METHOD, Some(Seen::Closed)) if payload == [0, 20, 0, 41] => Ok(Seen::Confirmed),
        (FrameKind::HEADER, Some(Seen::ExpectHeader)) => {
            let (head, properties) = payload.split_first_chunk::<12>().ok_or("half a header")?;
            let ([0, 60, 0, 0], size) = (head[..4].try_into().unwrap_or([0; 4]), &head[4..]) else {
                return Err("a class or a weight");
            };
            check_properties(properties).map_err(|_| "undecodable properties")?;
            let size = u64::from_be_bytes(size.try_into().unwrap_or([0; 8]));
            Ok(if size == 0 {
                Seen::Open
            } else {
                Seen::ExpectBody(size)
            })
        }
        (FrameKind::BODY, Some(Seen::ExpectBody(left))) => {
            match left.checked_sub(payload.len() as u64) {
                Some(0) => Ok(Seen::Open),
                Some(left) => Ok(Seen::ExpectBody(left)),
                None => Err("more of a body than announced"),
            }
        }
        _ => Err("out of order"),
    }
}

/// Calls `each` for every frame; there must be nothing but whole ones.
fn each_frame(mut bytes: &[u8], mut each: impl FnMut(FrameHeader, &[u8])) {
    while !bytes.is_empty() {
        let header = FrameHeader::decode(bytes).unwrap_or_else(|_| panic!("half a frame"));
        let size = header.frame_size() as usize;
        assert!(bytes.len() >= size, "half a frame");
        let (frame, rest) = bytes.split_at(size);
        assert_eq!(frame.last(), Some(&END_OCTET));
        each(header, &frame[7..size - 1]);
        bytes = rest;
    }
}

/// A connection whose channels are all free, and whose queues belong to whoever asks.
#[derive(Debug, Default)]
struct Books {
    opened: Cell<u16>,
    /// The client's numbers of the channels on which the broker may speak.
    clients: RefCell<Vec<u16>>,
    kinds: RefCell<BTreeMap<Vec<u8>, QueueKind>>,
}

impl Line for Books {
    fn open_channel(&self, client_channel: u16) -> Option<u16> {
        // A number is never given out twice here, so that what is seen on it belongs together.
        self.opened.set(self.opened.get() + 1);
        self.clients.borrow_mut().push(client_channel);
        Some(FIRST + self.opened.get() - 1)
    }

    fn free_channel(&self, _: u16) {}

    fn queue_access(&self, queue: &[u8]) -> Access {
        match queue.first() {
            Some(b'l') => Access::Locked,
            Some(b'm') => Access::Mine,
            _ => Access::Free,
        }
    }

    fn claim_queue(&self, _: &[u8]) {}

    fn own_queue(&self, _: &[u8]) {}

    fn withdraw_claim(&self, _: &[u8]) {}

    fn queue_deleted(&self, _: &[u8]) {}

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

fn facts() -> Facts {
    Facts {
        server_properties: Vec::new(),
        locales: b"en_US".to_vec(),
        version: Some(Version(3, 10)),
        frame_max: 131_072,
        channel_max: 20,
        heartbeat: 60,
        broker: "amqp://broker:5672".to_owned(),
        vhost: "/".to_owned(),
        policy: Policy {
            exchange_types: vec!["direct".to_owned(), "fanout".to_owned()],
            trust_queue_types: false,
            message_bytes: 10_000,
            prefetch: 10,
        },
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

/// The first of the connection's channels.
const FIRST: u16 = 100;

/// Class and method of what a broker says on a channel.
const ANSWERS: [(u8, u8); 20] = [
    (20, 11),
    (20, 40),
    (20, 41),
    (40, 11),
    (50, 11),
    (50, 21),
    (50, 31),
    (50, 41),
    (60, 11),
    (60, 21),
    (60, 30),
    (60, 31),
    (60, 50),
    (60, 60),
    (60, 71),
    (60, 72),
    (60, 80),
    (60, 111),
    (85, 11),
    (90, 11),
];

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::frame;
    use super::server;

    /// A frame of a client's that is often right, with octets changed here and there.
    fn client() -> impl Strategy<Value = Vec<u8>> {
        let methods: Vec<Vec<u8>> = [
            &b"\0\x14\0\x0a\0"[..],
            b"\0\x14\0\x28\0\xc8\0\0\0\0\0",
            b"\0\x14\0\x29",
            b"\0\x14\0\x14\x01",
            b"\0\x28\0\x0a\0\0\x01e\x06direct\0\0\0\0\0",
            b"\0\x32\0\x0a\0\0\x01q\0\0\0\0\0",
            b"\0\x32\0\x0a\0\0\x01m\x14\0\0\0\0",
            b"\0\x32\0\x28\0\0\x01q\0",
            b"\0\x3c\0\x0a\0\0\0\0\0\x05\0",
            b"\0\x3c\0\x14\0\0\x01q\x01c\0\0\0\0\0",
            b"\0\x3c\0\x14\0\0\x01q\x01c\x02\0\0\0\0",
            b"\0\x3c\0\x14\0\0\x01q\x01d\x0a\0\0\0\0",
            b"\0\x3c\0\x1e\x01c\0",
            b"\0\x3c\0\x28\0\0\0\x01q\0",
            b"\0\x3c\0\x46\0\0\x01q\x01",
            b"\0\x3c\0\x50\0\0\0\0\0\0\0\x01\0",
            b"\0\x3c\0\x50\0\0\0\0\0\0\0\0\x01",
            b"\0\x3c\0\x6e\x01",
            b"\0\x3c\0\x78\0\0\0\0\0\0\0\x01\x02",
            b"\0\x55\0\x0a\0",
            b"\0\x5a\0\x0a",
            b"\0\x5a\0\x14",
        ]
        .map(<[u8]>::to_vec)
        .to_vec();
        let header = b"\0\x3c\0\0\0\0\0\0\0\0\0\x03\x10\0\x02".to_vec();
        let kinds = prop_oneof![
            6 => prop::sample::select(methods).prop_map(|payload| (1, payload)),
            3 => Just((2, header)),
            3 => vec(any::<u8>(), 0..4).prop_map(|payload| (3, payload)),
        ];
        let change = prop::option::weighted(0.1, (any::<prop::sample::Index>(), any::<u8>()));
        (kinds, 1..3_u16, change).prop_map(|((kind, payload), channel, change)| {
            let mut bytes = frame(kind, channel, &payload);
            if let Some((at, octet)) = change {
                let at = at.index(bytes.len());
                bytes[at] = octet;
            }
            bytes
        })
    }

    fn piece() -> impl Strategy<Value = Vec<u8>> {
        let said = |who: u8, bytes: Vec<u8>| [&[who, bytes.len() as u8], &bytes[..]].concat();
        let answer = (any::<[u8; 2]>(), vec(any::<u8>(), 0..12));
        let orderly = [
            b"\0\0\x04\0\0\0\0".to_vec(),
            b"\0\x09\x01c".to_vec(),
            b"\0\x04\x01q\0\0\0\0\0\0\0\0".to_vec(),
        ];
        prop_oneof![
            10 => client().prop_map(move |bytes| said(0, bytes)),
            3 => prop::sample::select(orderly.to_vec()).prop_map(move |bytes| said(2, bytes)),
            2 => answer.prop_map(move |(head, tail)| said(2, [&head[..], &tail].concat())),
            1 => Just(said(3, Vec::new())),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        /// Whatever a client sends and a broker answers, the broker sees what it can bear.
        #[test]
        fn the_broker_sees_what_it_can_bear(pieces in vec(piece(), 1..40)) {
            // Channel 1 is open, or little of the rest would get anywhere.
            let open = frame(1, 1, b"\0\x14\0\x0a\0");
            let mut data = vec![0, 0, open.len() as u8];
            data.extend(open);
            data.extend([2, 6, 0, 0, 0, 0, 0, 0]);
            data.extend(pieces.concat());
            server(&data);
        }

        #[test]
        fn nor_does_it_see_anything_else(data in vec(any::<u8>(), 0..200)) {
            server(&data);
        }
    }
}
