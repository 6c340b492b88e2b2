//! `x-kaazing-ping-pong`: signs of life that a page can see.

use std::time::Duration;

use super::numbered;
use super::EMULATED_PING;
use super::EMULATED_PONG;
use super::ESCAPE;
use super::PING_PONG;
use crate::harness::amqp;
use crate::harness::broker::Broker;
use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::AMQP_PATH;
use crate::harness::configuration::ECHO_PATH;
use crate::harness::ending::expect_ending;
use crate::harness::extended;
use crate::harness::gateway::Gateway;
use crate::harness::negotiation::Login;
use crate::harness::page::Page;
use crate::harness::websocket;
use crate::harness::websocket::Frame;
use crate::harness::websocket::BINARY;
use crate::harness::websocket::CONTINUATION;
use crate::harness::websocket::PING;
use crate::harness::websocket::PONG;
use crate::harness::websocket::TEXT;

fn text(client: &mut Client, payload: &[u8]) {
    client.send(&websocket::frame(TEXT, payload));
}

fn echo(settings: &str) -> Gateway {
    Gateway::start(&(settings.to_owned() + &configuration::echo()))
}

/// A PING is answered by a PONG, at once, unfragmented, and the application sees neither.
#[test]
fn an_emulated_ping_is_answered() {
    let gateway = echo("");
    let mut client = extended::open(&gateway, ECHO_PATH, PING_PONG);
    for _ in 0..3 {
        text(&mut client, EMULATED_PING);
        client.expect_frame(TEXT, EMULATED_PONG);
    }
    text(&mut client, EMULATED_PONG);
    text(&mut client, b"hello");
    client.expect_frame(TEXT, b"hello");
}

/// A PING may be cut anywhere, into frames and into packets.
#[test]
fn an_emulated_ping_may_be_cut_anywhere() {
    let gateway = echo("");
    let mut client = extended::open(&gateway, ECHO_PATH, PING_PONG);
    for cut in 0..=EMULATED_PING.len() {
        client.send(&extended::fragments(TEXT, EMULATED_PING, &[cut]));
        client.expect_frame(TEXT, EMULATED_PONG);
    }
    for byte in extended::fragments(TEXT, EMULATED_PING, &[1, 2, 3, 4, 5]) {
        client.send(&[byte]);
    }
    client.expect_frame(TEXT, EMULATED_PONG);
}

/// Native Pings are answered natively, and between the fragments of a message as well.
#[test]
fn a_native_ping_is_answered_natively() {
    let gateway = echo("");
    let mut client = extended::open(&gateway, ECHO_PATH, PING_PONG);
    client.send(&websocket::frame(PING, b"native"));
    client.expect_frame(PONG, b"native");
}

/// Text that begins with the control bytes travels behind an escape, both ways; other text and BINARY do not.
#[test]
fn text_like_control_frames_is_escaped() {
    let gateway = echo("");
    let mut client = extended::open(&gateway, ECHO_PATH, PING_PONG);
    for payload in [
        EMULATED_PING,
        EMULATED_PONG,
        ESCAPE,
        b"\x01\x01\x01\x02 and more",
    ] {
        text(&mut client, ESCAPE);
        text(&mut client, payload);
        client.expect_frame(TEXT, ESCAPE);
        client.expect_message(TEXT, payload);
        client.send_binary(payload);
        client.expect_message(BINARY, payload);
    }
    for payload in [
        &b"\x01\x01\x01"[..],
        b"",
        b"\x01\x01\x01\x03\x09\x00",
        b"hello",
    ] {
        text(&mut client, payload);
        client.expect_message(TEXT, payload);
    }
}

/// An escape holds for the next message of either kind, and for no other.
#[test]
fn an_escape_holds_for_one_message() {
    let gateway = echo("");
    let mut client = extended::open(&gateway, ECHO_PATH, PING_PONG);
    text(&mut client, ESCAPE);
    client.send_binary(b"binary");
    client.expect_message(BINARY, b"binary");
    text(&mut client, EMULATED_PING);
    client.expect_frame(TEXT, EMULATED_PONG);
}

/// What begins with the control bytes and is no control frame ends the session with 1002, as does a needless escape.
#[test]
fn rubbish_is_1002() {
    let rubbish: [(&[&[u8]], &str); 6] = [
        (&[b"\x01\x01\x01\x02\x09"], "unknown_control"),
        (&[b"\x01\x01\x01\x02\x09\x01"], "unknown_control"),
        (&[b"\x01\x01\x01\x02\x0b\x00"], "unknown_control"),
        (&[b"\x01\x01\x01\x02\x09\x00\x00"], "unknown_control"),
        (&[b"\x01\x01\x01\x02hello"], "unknown_control"),
        (&[ESCAPE, b"hello"], "needless_escape"),
    ];
    for (messages, reason) in rubbish {
        let gateway = echo("");
        let mut client = extended::open(&gateway, ECHO_PATH, PING_PONG);
        for message in messages {
            text(&mut client, message);
        }
        let told = client.expect_close_and_answer(1002);
        assert!(told.contains(PING_PONG), "{told}");
        expect_ending(&gateway, "echo", "client", "extension_failed", Some(1002));
        let failures = format!(
            "smeuse_extension_failures_total{{extension=\"{PING_PONG}\",reason=\"{reason}\"}}"
        );
        assert_eq!(gateway.metric(&failures), 1.0);
    }
}

/// AMQP is BINARY: whatever it begins with, it passes untouched and unhandled, and PINGs between its messages, even
/// between parts of an AMQP frame, are answered.
#[test]
fn amqp_is_untouched() {
    let broker = Broker::polite();
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    let client = extended::open(&gateway, AMQP_PATH, PING_PONG);
    let mut page = Page::over(client).logged_in(&Login::default());
    let before = broker.received(0).len();
    let publish = amqp::publish(1, "q", EMULATED_PING, 4096);
    for cut in 1..publish.len() {
        page.send(&publish[..cut]);
        text(&mut page.client, EMULATED_PING);
        page.client.expect_frame(TEXT, EMULATED_PONG);
        page.send(&publish[cut..]);
    }
    let received = broker.wait_received(0, before + publish.len() * (publish.len() - 1));
    assert!(received[before..]
        .chunks(publish.len())
        .all(|part| part == publish));
    // TEXT that is no control frame is what it always is where AMQP is spoken.
    text(&mut page.client, b"hello");
    page.read_to_end().expect_code(1003);
}

/// The gateway's own Pings: native without ping-pong; with it emulated, whatever the order, and numbered where
/// sequence stands nearer to the network.
#[test]
fn the_gateways_own_pings_are_those_the_page_can_see() {
    let soon = "[websocket]\nping_interval = \"200ms\"\nsilence_limit = \"20s\"\n";
    let sequence = super::SEQUENCE;
    let idle = super::IDLE_TIMEOUT;
    let cases = [
        (sequence.to_owned(), PING, Vec::new()),
        (PING_PONG.to_owned(), TEXT, EMULATED_PING.to_vec()),
        (format!("{PING_PONG}, {idle}"), TEXT, EMULATED_PING.to_vec()),
        (format!("{idle}, {PING_PONG}"), TEXT, EMULATED_PING.to_vec()),
        (
            format!("{sequence}, {PING_PONG}"),
            TEXT,
            EMULATED_PING.to_vec(),
        ),
        (
            format!("{PING_PONG}, {sequence}"),
            TEXT,
            numbered(0, EMULATED_PING),
        ),
    ];
    let gateway = echo(soon);
    for (offer, opcode, ping) in cases {
        let mut client = extended::open(&gateway, ECHO_PATH, &offer);
        client.expect_frame(opcode, &ping);
        let pong = match opcode {
            PING => websocket::frame(PONG, b""),
            _ if ping.len() > EMULATED_PING.len() => {
                websocket::frame(TEXT, &numbered(0, EMULATED_PONG))
            }
            _ => websocket::frame(TEXT, EMULATED_PONG),
        };
        // The answer counts, so the next thing is another Ping, one number on.
        client.send(&pong);
        let again = client.read_frame();
        assert_eq!(again.opcode, opcode, "{offer}: {again:?}");
        if ping.len() > EMULATED_PING.len() {
            assert_eq!(again.payload, numbered(1, EMULATED_PING), "{offer}");
        }
    }
}

/// A silent client is ended all the same: 4101 after `websocket.silence_limit`.
#[test]
fn emulated_pings_that_are_not_answered_end_in_4101() {
    let soon = "[websocket]\nping_interval = \"150ms\"\nsilence_limit = \"500ms\"\n";
    let gateway = echo(soon);
    let mut client = extended::open(&gateway, ECHO_PATH, PING_PONG);
    let closed = client.read_to_close();
    assert_eq!(closed.code, Some(4101), "{closed:?}");
    assert!(
        closed
            .before
            .iter()
            .all(|frame| frame.payload == EMULATED_PING),
        "{closed:?}"
    );
    assert!(!closed.before.is_empty());
    expect_ending(&gateway, "echo", "client", "silent", Some(4101));
}

/// A Ping of the gateway's that is due while a message to the client is open waits for its end (RFC 6455 section 5.4).
#[test]
fn an_emulated_ping_waits_for_the_end_of_a_message() {
    let gateway = echo("[websocket]\nping_interval = \"200ms\"\nsilence_limit = \"20s\"\n");
    let mut client = extended::open(&gateway, ECHO_PATH, PING_PONG);
    client.send(&Frame::unfinished(TEXT, b"one ").encode());
    let first = client.read_frame();
    assert!(!first.fin && first.payload == b"one ", "{first:?}");
    // The silence is the behaviour under test: a Ping is due within it.
    assert!(client.is_silent_for(Duration::from_millis(600)));
    client.send(&websocket::frame(CONTINUATION, b"two"));
    client.expect_frame(CONTINUATION, b"two");
    client.expect_frame(TEXT, EMULATED_PING);
}
