//! Tests of the splice: scripted sides, every stream whole, cut at every place, and byte by byte.

mod closing;
mod negotiating;
mod relaying;

use super::*;
use crate::relay::tally::Tally;
use crate::relay::violation::BrokerFailure;
use crate::relay::violation::Violation;
use crate::wire::amqp::frame::END_OCTET;
use crate::wire::amqp::method::CloseOk;
use crate::wire::amqp::method::LongString;
use crate::wire::amqp::method::Open;
use crate::wire::amqp::method::OpenOk;
use crate::wire::amqp::method::Start;
use crate::wire::amqp::method::StartOk;
use crate::wire::amqp::method::Table;
use crate::wire::amqp::method::Tune;
use crate::wire::amqp::method::TuneOk;
use crate::wire::amqp::FrameHeader;
use crate::wire::amqp::FrameKind;

const FRAME_MAX: u32 = 8192;
const CHANNEL_MAX: u16 = 100;

fn params() -> Params {
    Params {
        login: None,
        vhost: None,
        frame_max: FRAME_MAX,
        channel_max: CHANNEL_MAX,
    }
}

fn rewriting() -> Params {
    let login = Login {
        user: "browser".to_owned(),
        password: "secret".to_owned(),
    };
    Params {
        login: Some(login),
        vhost: Some("live".to_owned()),
        ..params()
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
    let id = [class.to_be_bytes(), method.to_be_bytes()].concat();
    frame(1, channel, &[&id, arguments].concat())
}

/// basic.publish with content header and body.
fn publish(channel: u16, body: &[u8]) -> Vec<u8> {
    [
        method(channel, 60, 40, &[0, 0, 0, 1, b'q', 0]),
        frame(
            2,
            channel,
            &[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, body.len() as u8, 0, 0],
        ),
        frame(3, channel, body),
    ]
    .concat()
}

fn delivery(channel: u16, body: &[u8]) -> Vec<u8> {
    [
        method(
            channel,
            60,
            60,
            &[1, b'c', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, b'q'],
        ),
        frame(
            2,
            channel,
            &[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, body.len() as u8, 0, 0],
        ),
        frame(3, channel, body),
    ]
    .concat()
}

fn close(code: u16, text: &str) -> Vec<u8> {
    let reply_text = ShortString::clipped(text);
    Close {
        reply_code: ReplyCode(code),
        reply_text,
        class_id: 0,
        method_id: 0,
    }
    .to_frame()
}

fn close_ok() -> Vec<u8> {
    CloseOk {}.to_frame()
}

fn start(mechanisms: &str) -> Vec<u8> {
    Start {
        version_major: 0,
        version_minor: 9,
        server_properties: Table(b"\x07productS\0\0\0\x06broker"),
        mechanisms: LongString(mechanisms.as_bytes()),
        locales: LongString(b"en_US"),
    }
    .to_frame()
}

fn start_ok(mechanism: &str, response: &str) -> Vec<u8> {
    StartOk {
        client_properties: Table(b"\x07productS\0\0\0\x04page"),
        mechanism: ShortString::clipped(mechanism),
        response: LongString(response.as_bytes()),
        locale: ShortString::clipped("en_US"),
    }
    .to_frame()
}

fn tune(frame_max: u32, channel_max: u16) -> Vec<u8> {
    Tune {
        channel_max,
        frame_max,
        heartbeat: 60,
    }
    .to_frame()
}

fn tune_ok(frame_max: u32, channel_max: u16) -> Vec<u8> {
    TuneOk {
        channel_max,
        frame_max,
        heartbeat: 30,
    }
    .to_frame()
}

fn open(vhost: &str) -> Vec<u8> {
    let reserved_1 = ShortString::default();
    Open {
        virtual_host: ShortString::clipped(vhost),
        reserved_1,
        reserved_2: 0,
    }
    .to_frame()
}

fn open_ok() -> Vec<u8> {
    OpenOk {
        reserved_1: ShortString::default(),
    }
    .to_frame()
}

/// A splice with what went on in each direction.
struct Session {
    splice: Splice,
    tally: Tally,
    to_broker: Vec<u8>,
    to_client: Vec<u8>,
    unconsumed: Vec<u8>,
    violation: Option<Violation>,
    failure: Option<BrokerFailure>,
}

impl Session {
    fn new(params: Params) -> Self {
        Self {
            splice: Splice::new(params),
            tally: Tally::default(),
            to_broker: Vec::new(),
            to_client: Vec::new(),
            unconsumed: Vec::new(),
            violation: None,
            failure: None,
        }
    }

    /// A session whose connection is open, and whose negotiation is forgotten.
    fn open() -> Self {
        let mut session = Self::new(params());
        session.broker(&start("PLAIN"));
        session.client(&start_ok("PLAIN", "\0guest\0guest"));
        session.broker(&tune(FRAME_MAX, CHANNEL_MAX));
        session.client(&[tune_ok(FRAME_MAX, CHANNEL_MAX), open("/")].concat());
        session.broker(&open_ok());
        assert_eq!(session.splice.phase(), Phase::Open);
        assert_eq!((&session.violation, &session.failure), (&None, &None));
        session.forget();
        session
    }

    fn forget(&mut self) {
        self.tally = Tally::default();
        self.to_broker.clear();
        self.to_client.clear();
    }

    /// Gives bytes from the client, and checks what is promised of every answer.
    fn client(&mut self, bytes: &[u8]) {
        let taken = self.splice.from_client(bytes, &mut self.tally);
        if let std::borrow::Cow::Borrowed(passed) = &taken.bytes {
            assert!(bytes.starts_with(passed));
            assert!(taken.held.is_empty() || !passed.is_empty());
        }
        self.to_broker.extend_from_slice(taken.held.as_slice());
        self.to_broker.extend_from_slice(&taken.bytes);
        if taken.violation.is_some() {
            assert_eq!(self.violation, None, "one violation is enough");
            self.violation = taken.violation;
        }
    }

    /// Gives bytes from the broker behind those not consumed yet, and checks what is promised of
    /// every answer.
    fn broker(&mut self, bytes: &[u8]) {
        self.unconsumed.extend_from_slice(bytes);
        let given = std::mem::take(&mut self.unconsumed);
        let taken = self.splice.to_client(&given, &mut self.tally);
        if let std::borrow::Cow::Borrowed(passed) = &taken.forward {
            assert_eq!(*passed, &given[..taken.consumed]);
        }
        let rest = &given[taken.consumed..];
        assert!(taken.incomplete == 0 || taken.incomplete > rest.len());
        self.to_client.extend_from_slice(&taken.forward);
        self.unconsumed = rest.to_vec();
        if taken.failure.is_some() {
            self.failure = taken.failure;
        }
    }

    /// What must not depend on how the bytes were cut.
    fn outcome(&self) -> impl PartialEq + fmt::Debug {
        (
            self.to_broker.clone(),
            self.to_client.clone(),
            self.violation.clone(),
            self.failure.clone(),
            self.splice.phase(),
            self.splice.broker_close().cloned(),
            self.splice.client_close(),
            self.tally,
        )
    }
}

/// Gives the same bytes whole, in two pieces for every place, and byte by byte; all must come to
/// the same. Returns the session that took them whole.
fn in_every_piece(
    prepare: impl Fn() -> Session,
    bytes: &[u8],
    give: fn(&mut Session, &[u8]),
) -> Session {
    let mut whole = prepare();
    give(&mut whole, bytes);
    for cut in 0..=bytes.len() {
        let mut cut_session = prepare();
        give(&mut cut_session, &bytes[..cut]);
        give(&mut cut_session, &bytes[cut..]);
        assert_eq!(cut_session.outcome(), whole.outcome(), "cut at {cut}");
    }
    let mut session = prepare();
    for byte in bytes {
        give(&mut session, std::slice::from_ref(byte));
    }
    assert_eq!(session.outcome(), whole.outcome(), "byte by byte");
    whole
}
