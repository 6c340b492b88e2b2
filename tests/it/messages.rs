//! RFC 6455 sections 5.4, 5.6 and 8.1 and the limits of messages: fragments, UTF-8, sizes at the limit and
//! one past it.

use crate::harness::amqp;
use crate::harness::amqp::HEADER;
use crate::harness::broker::Broker;
use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::ECHO_PATH;
use crate::harness::gateway::Gateway;
use crate::harness::negotiation::TUNING;
use crate::harness::page::Page;
use crate::harness::wait_until;
use crate::harness::websocket;
use crate::harness::websocket::Frame;
use crate::harness::websocket::Length;
use crate::harness::websocket::BINARY;
use crate::harness::websocket::CONTINUATION;
use crate::harness::websocket::TEXT;
use crate::harness::DEADLINE;

const MESSAGE_MAX: usize = 100_000;
const FRAGMENTS_MAX: usize = 16;

fn gateway() -> Gateway {
    let limits = format!(
        "[websocket]\nclose_deadline = \"500ms\"\nmessage_bytes = {MESSAGE_MAX}\nfragments = {FRAGMENTS_MAX}\n"
    );
    Gateway::start(&(limits + &configuration::echo()))
}

fn open(gateway: &Gateway) -> Client {
    Client::open(gateway.public(), ECHO_PATH)
}

/// A message in these fragments.
fn fragmented(opcode: u8, parts: &[&[u8]]) -> Vec<u8> {
    let last = parts.len() - 1;
    let fragment = |(index, part): (usize, &&[u8])| {
        let opcode = if index == 0 { opcode } else { CONTINUATION };
        Frame {
            fin: index == last,
            ..Frame::new(opcode, part)
        }
        .encode()
    };
    parts.iter().enumerate().flat_map(fragment).collect()
}

#[track_caller]
fn expect_echo(client: &mut Client, opcode: u8, parts: &[&[u8]]) {
    client.send(&fragmented(opcode, parts));
    client.expect_message(opcode, &parts.concat());
}

#[track_caller]
fn expect_failure(gateway: &Gateway, bytes: &[u8], code: u16, reason: &str) {
    let mut client = open(gateway);
    client.send(bytes);
    let closed = client.read_to_close();
    assert_eq!(closed.code, Some(code), "{closed:?}");
    assert!(!closed.reason.is_empty());
    gateway.log_line("session ended", |line| {
        line["reason"] == reason && line["by"] == "client"
    });
}

/// 5.4: fragments of any size, empty ones included, make one message.
#[test]
fn fragments_make_one_message() {
    let gateway = gateway();
    let mut client = open(&gateway);
    expect_echo(&mut client, BINARY, &[b"a", b"bc", b"def"]);
    expect_echo(&mut client, BINARY, &[b"", b"", b""]);
    expect_echo(&mut client, TEXT, &[b"", b"text", b""]);
    expect_echo(
        &mut client,
        BINARY,
        &[&[7; 30_000], &[8; 30_000], &[9; 30_000]],
    );
    expect_echo(&mut client, BINARY, &[b"alone"]);
}

/// 8.1: a text message is UTF-8; a code point may be cut by a fragment's end.
#[test]
fn utf_8_may_be_cut_anywhere() {
    let gateway = gateway();
    let mut client = open(&gateway);
    let text = "κόσμε ✓ \u{10ffff} \u{0} 𝄞".as_bytes();
    expect_echo(&mut client, TEXT, &[text]);
    for cut in 1..text.len() {
        let (first, second) = text.split_at(cut);
        expect_echo(&mut client, TEXT, &[first, second]);
    }
}

/// 8.1: anything else fails with 1007.
#[test]
fn text_that_is_not_utf_8_is_1007() {
    let gateway = gateway();
    let bad: [&[u8]; 10] = [
        b"\xff",
        b"a\x80",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xce",
        b"ok \xe2\x82",
        b"\xfe\xfe\xff\xff",
    ];
    for payload in bad {
        expect_failure(
            &gateway,
            &websocket::frame(TEXT, payload),
            1007,
            "invalid_utf8",
        );
    }
    expect_failure(
        &gateway,
        &fragmented(TEXT, &[b"\xce", b"x"]),
        1007,
        "invalid_utf8",
    );
}

/// 8.1: text that can no longer become UTF-8 fails without waiting for the rest of the message, or of the frame.
#[test]
fn invalid_utf_8_fails_before_the_message_is_complete() {
    let gateway = gateway();
    expect_failure(
        &gateway,
        &Frame::unfinished(TEXT, b"ok \xff").encode(),
        1007,
        "invalid_utf8",
    );
    let half = Frame {
        length: Length::Announced(70_000),
        ..Frame::new(TEXT, b"ok \xff then more")
    }
    .encode();
    expect_failure(&gateway, &half, 1007, "invalid_utf8");
}

/// 5.6: a binary message may hold anything.
#[test]
fn binary_messages_are_not_text() {
    let gateway = gateway();
    expect_echo(&mut open(&gateway), BINARY, &[b"\xff\xfe", b"\xed\xa0\x80"]);
}

/// `websocket.message_bytes`: a message at the limit passes, in one frame and in fragments.
#[test]
fn a_message_at_the_limit_passes() {
    let gateway = gateway();
    let mut client = open(&gateway);
    expect_echo(&mut client, BINARY, &[&vec![1; MESSAGE_MAX]]);
    expect_echo(
        &mut client,
        TEXT,
        &[&vec![b'x'; MESSAGE_MAX / 2], &vec![b'y'; MESSAGE_MAX / 2]],
    );
}

/// One byte past it is 1009, in one frame and in fragments, and at the frame's header: no payload need come.
#[test]
fn a_message_past_the_limit_is_1009() {
    let gateway = gateway();
    let header = Frame {
        length: Length::Announced(MESSAGE_MAX as u64 + 1),
        ..Frame::new(BINARY, b"")
    };
    expect_failure(&gateway, &header.encode(), 1009, "message_too_big");
    let mut bytes = Frame::unfinished(BINARY, &vec![0; MESSAGE_MAX]).encode();
    bytes.extend(websocket::frame(CONTINUATION, b"x"));
    expect_failure(&gateway, &bytes, 1009, "message_too_big");
    gateway.wait_metric("smeuse_limits_hit_total{limit=\"message_bytes\"}", 2.0);
}

/// A header that announces 2^62 bytes is told so, and costs no memory.
#[test]
fn a_header_that_announces_2_to_the_62_costs_no_memory() {
    let gateway = gateway();
    open(&gateway).send_binary(b"warm");
    let before = gateway.rss_kib();
    let header = Frame {
        length: Length::Announced(1 << 62),
        ..Frame::new(BINARY, &[0; 4096])
    };
    expect_failure(&gateway, &header.encode(), 1009, "message_too_big");
    let after = gateway.rss_kib();
    assert!(
        after < before + 1024,
        "memory grew from {before} to {after} KiB"
    );
}

/// Nor does one that announces what is allowed, before the payload comes.
#[test]
fn a_header_that_announces_what_is_allowed_costs_no_memory() {
    let broker = Broker::polite();
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    let mut page = Page::login(&gateway);
    let before = gateway.rss_kib();
    let heartbeat = amqp::heartbeat();
    let header = Frame {
        length: Length::Announced(200 << 20),
        ..Frame::new(BINARY, &heartbeat)
    };
    page.client.send(&header.encode());
    wait_until("the heartbeat to reach the broker", DEADLINE, || {
        (0..broker.accepted()).any(|number| broker.received(number).ends_with(&heartbeat))
    });
    let after = gateway.rss_kib();
    assert!(
        after < before + 1024,
        "memory grew from {before} to {after} KiB"
    );
}

/// `websocket.fragments`: as many as allowed pass, one more is 1009, empty ones counted.
#[test]
fn fragments_at_the_limit_pass_and_one_more_is_1009() {
    let gateway = gateway();
    let mut client = open(&gateway);
    expect_echo(&mut client, BINARY, &[b"x".as_slice(); FRAGMENTS_MAX]);
    expect_echo(&mut client, BINARY, &[b"".as_slice(); FRAGMENTS_MAX]);
    expect_echo(&mut client, BINARY, &[b"x".as_slice(); FRAGMENTS_MAX]);
    for part in [b"x".as_slice(), b""] {
        expect_failure(
            &gateway,
            &fragmented(BINARY, &[part; FRAGMENTS_MAX + 1]),
            1009,
            "message_too_big",
        );
    }
    let mut endless = Frame::unfinished(BINARY, b"").encode();
    endless.extend(
        Frame::unfinished(CONTINUATION, b"")
            .encode()
            .repeat(FRAGMENTS_MAX),
    );
    expect_failure(&gateway, &endless, 1009, "message_too_big");
    gateway.wait_metric("smeuse_limits_hit_total{limit=\"fragments\"}", 3.0);
}

/// `websocket.message_before_login_bytes`: before the login a message may announce that much and no more.
#[test]
fn before_the_login_the_smaller_limit_holds() {
    let broker = Broker::polite();
    let limits = "[websocket]\nmessage_before_login_bytes = 5000\n";
    let gateway = Gateway::start(&(limits.to_owned() + &configuration::amqp(broker.uri())));

    let mut page = Page::open(&gateway);
    page.client.send(
        &Frame {
            length: Length::Announced(5000),
            ..Frame::new(BINARY, HEADER)
        }
        .encode(),
    );
    page.expect_method(amqp::START);

    let mut page = Page::open(&gateway);
    page.client.send(
        &Frame {
            length: Length::Announced(5001),
            ..Frame::new(BINARY, HEADER)
        }
        .encode(),
    );
    page.read_to_end().expect_code(1009);
    gateway.log_line("session ended", |line| line["reason"] == "message_too_big");

    let mut page = Page::login(&gateway);
    page.open_channel(1);
    let publish = amqp::publish(1, "q", &[7; 50_000], TUNING.frame_max as usize);
    page.send(&publish);
    wait_until("the publish to reach the broker", DEADLINE, || {
        (0..broker.accepted()).any(|number| broker.received(number).ends_with(&publish))
    });
}
