//! What a client may not do with AMQP (AMQP 0-9-1 section 4.2): the specification's reply code where
//! AMQP is up, a close code with a reason always.

use crate::harness::amqp;
use crate::harness::amqp::FRAME_END;
use crate::harness::amqp::FRAME_OVERHEAD;
use crate::harness::broker::Broker;
use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::gateway::Gateway;
use crate::harness::negotiation;
use crate::harness::negotiation::Login;
use crate::harness::negotiation::Tuning;
use crate::harness::negotiation::TUNING;
use crate::harness::page::End;
use crate::harness::page::Page;
use crate::harness::websocket;
use crate::harness::websocket::TEXT;

/// Small limits, so that a test can step over them.
const SMALL: Tuning = Tuning {
    channel_max: 7,
    frame_max: 4096,
    heartbeat: 0,
};

struct Fixture {
    broker: Broker,
    gateway: Gateway,
}

impl Fixture {
    fn new() -> Self {
        let broker = Broker::start(|peer| {
            peer.negotiate_with("PLAIN", SMALL)?;
            peer.serve()
        });
        let gateway = Gateway::start(&configuration::amqp(broker.uri()));
        Self { broker, gateway }
    }

    fn login(&self) -> Page {
        Page::login(&self.gateway)
    }

    /// Sends these bytes in an AMQP connection that is up: connection.close with the reply code, Close with 4000 and
    /// it, the broker's socket ended, one log line.
    #[track_caller]
    fn expect_violation(&self, bytes: &[u8], reply_code: u16) -> End {
        let number = self.broker.accepted();
        let mut page = self.login();
        page.send(bytes);
        let end = page.read_to_end();
        end.expect_code(4000 + reply_code);
        let (code, text) = end.connection_close();
        assert_eq!(code, reply_code, "{text}");
        assert!(!text.is_empty());
        let _ = self.broker.outcome(number);
        let close_code = 4000 + reply_code;
        self.gateway.log_line("session ended", |line| {
            line["by"] == "client"
                && line["reason"] == "amqp_violation"
                && line["close_code"] == close_code
        });
        end
    }
}

/// 4.2.3: the size in a frame's header may not exceed what was negotiated; it is refused at the header.
#[test]
fn a_frame_larger_than_frame_max_is_501() {
    let fixture = Fixture::new();
    let largest = amqp::frame(
        amqp::CONTENT_BODY,
        1,
        &vec![1; SMALL.frame_max as usize - FRAME_OVERHEAD],
    );
    let too_large = amqp::frame(
        amqp::CONTENT_BODY,
        1,
        &vec![1; SMALL.frame_max as usize - FRAME_OVERHEAD + 1],
    );
    fixture.expect_violation(&too_large, 501);
    fixture.expect_violation(&too_large[..7], 501);
    fixture.expect_violation(b"\x01\x00\x00\xff\xff\xff\xff", 501);

    let mut page = fixture.login();
    page.open_channel(1);
    page.send(&largest);
    page.open_channel(2);
}

/// 4.2.3: a frame ends with 0xCE, and what does not is not passed on.
#[test]
fn a_wrong_end_octet_is_501() {
    let fixture = Fixture::new();
    for end in [0, FRAME_END - 1, 0xff] {
        let mut frame = amqp::channel_open(1);
        *frame.last_mut().expect("an end octet") = end;
        fixture.expect_violation(&frame, 501);
    }
    for number in 0..fixture.broker.accepted() {
        let received = fixture.broker.received(number);
        assert!(
            !received.ends_with(&[0xff]),
            "a broken frame reached the broker"
        );
    }
}

/// 4.2.3: frames are methods, content headers, content bodies or heartbeats.
#[test]
fn an_unknown_type_is_501() {
    let fixture = Fixture::new();
    for kind in [0, 4, 7, 9, 0x41, 0xff] {
        fixture.expect_violation(&amqp::frame(kind, 0, b"payload"), 501);
    }
}

/// 4.2.7: heartbeats are the connection's, so their channel is 0.
#[test]
fn a_heartbeat_on_a_channel_is_501() {
    Fixture::new().expect_violation(&amqp::frame(amqp::HEARTBEAT, 3, b""), 501);
}

/// 4.2.6 and the tune: a channel above what was negotiated is 504; the highest is allowed.
#[test]
fn a_channel_above_channel_max_is_504() {
    let fixture = Fixture::new();
    fixture.expect_violation(&amqp::channel_open(SMALL.channel_max + 1), 504);
    fixture.expect_violation(&amqp::channel_open(u16::MAX), 504);
    fixture.login().open_channel(SMALL.channel_max);
}

/// What was sent before the violation reaches the broker, what came after does not.
#[test]
fn frames_before_a_violation_reach_the_broker() {
    let fixture = Fixture::new();
    let before = amqp::publish(1, "q", b"before", 4096);
    let bytes = [
        amqp::channel_open(1),
        before.clone(),
        amqp::frame(9, 0, b""),
        amqp::publish(1, "q", b"after", 4096),
    ];
    let number = fixture.broker.accepted();
    let mut page = fixture.login();
    page.send(&bytes.concat());
    page.read_to_end().expect_code(4501);
    let _ = fixture.broker.outcome(number);
    assert!(fixture.broker.received(number).ends_with(&before));
}

/// A TEXT message at an `amqp` service is 1003, whatever it says and whenever it comes.
#[test]
fn a_text_message_is_1003() {
    let fixture = Fixture::new();
    let mut page = Page::open(&fixture.gateway);
    page.client.send(&websocket::frame(TEXT, amqp::HEADER));
    page.read_to_end().expect_code(1003);
    let mut page = fixture.login();
    page.client
        .send(&websocket::Frame::unfinished(TEXT, b"").encode());
    page.read_to_end().expect_code(1003);
    let ended =
        "smeuse_sessions_closed_total{service=\"amqp\",by=\"client\",reason=\"text_message\"}";
    fixture.gateway.wait_metric(ended, 2.0);
}

/// 4.2.2: a stream that does not begin with "AMQP" is none, and no broker is troubled; this is known at the first
/// wrong byte.
#[test]
fn a_stream_that_is_not_amqp_is_1002() {
    let fixture = Fixture::new();
    let before = fixture
        .gateway
        .metric("smeuse_upstream_connects_total{outcome=\"connected\"}");
    for bytes in [
        b"GET / HTTP/1.1\r\n".as_slice(),
        b"AMQX\x00\x00\x09\x01",
        b"amqp\x00\x00\x09\x01",
        b"\x01\0\0\0\0\0\x04",
    ] {
        let mut page = Page::open(&fixture.gateway);
        page.send(bytes);
        page.read_to_end().expect_code(1002);
        fixture
            .gateway
            .log_line("session ended", |line| line["reason"] == "not_amqp");
    }
    let mut page = Page::open(&fixture.gateway);
    page.send(b"A");
    page.send(b"M");
    page.send(b"Q");
    page.send(b"T");
    page.send(b"T\x00\x00\x00");
    page.read_to_end().expect_code(1002);
    let ended = "smeuse_sessions_closed_total{service=\"amqp\",by=\"client\",reason=\"not_amqp\"}";
    fixture.gateway.wait_metric(ended, 5.0);
    let after = fixture
        .gateway
        .metric("smeuse_upstream_connects_total{outcome=\"connected\"}");
    assert_eq!(before, after, "a broker was asked");
}

/// 4.2.2: another version gets the broker's own answer, its header, and then the end.
#[test]
fn another_version_gets_the_brokers_header_and_1002() {
    let broker = Broker::start(|peer| {
        peer.read_exact(8)?;
        peer.send(amqp::HEADER)
    });
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    for header in [
        b"AMQP\x00\x01\x00\x00",
        b"AMQP\x03\x01\x00\x00",
        b"AMQP\x01\x01\x00\x0a",
        b"AMQP\x00\x00\x09\x02",
    ] {
        let mut client = Client::open(gateway.public(), configuration::AMQP_PATH);
        client.send_binary(header);
        client.expect_frame(websocket::BINARY, amqp::HEADER);
        let reason = client.expect_close_and_answer(1002);
        assert!(!reason.is_empty());
    }
    let ended =
        "smeuse_sessions_closed_total{service=\"amqp\",by=\"broker\",reason=\"version_refused\"}";
    gateway.wait_metric(ended, 4.0);
    gateway.wait_nothing_left();
}

/// 4.2.8 and the tune: a client may ask for less than it is offered and is held to it, on both counts.
#[test]
fn a_client_is_held_to_what_it_asked_for() {
    let broker = Broker::polite();
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    let login = || Login {
        tuning: Tuning {
            channel_max: 3,
            frame_max: 8192,
            heartbeat: 0,
        },
        ..Login::default()
    };
    let mut page = Page::open(&gateway).logged_in(&login());
    assert_eq!(page.offered, Some(TUNING));
    page.open_channel(3);
    page.send(&amqp::channel_open(4));
    page.read_to_end().expect_code(4504);
    let mut page = Page::open(&gateway).logged_in(&login());
    page.send(&amqp::frame(
        amqp::CONTENT_BODY,
        1,
        &vec![0; 8192 - FRAME_OVERHEAD + 1],
    ));
    page.read_to_end().expect_code(4501);
}

/// 2.2.4: the negotiation has an order; a client out of step is told so and its bytes do not reach the broker.
#[test]
fn a_method_out_of_order_in_the_negotiation_is_a_violation() {
    let fixture = Fixture::new();
    let premature = [
        amqp::channel_open(1),
        negotiation::open("/"),
        amqp::frame(amqp::CONTENT_BODY, 1, b"x"),
    ];
    for bytes in premature {
        let number = fixture.broker.accepted();
        let mut page = Page::open(&fixture.gateway);
        page.send(amqp::HEADER);
        page.expect_method(amqp::START);
        page.send(&bytes);
        let end = page.read_to_end();
        assert!(matches!(end.code, Some(4501..=4505)), "{end:?}");
        let _ = fixture.broker.outcome(number);
        assert_eq!(fixture.broker.received(number), amqp::HEADER);
    }
}
