//! RFC 6455 section 7 and 5.5.1: the closing handshake, by either side, and what a Close frame may say.

use std::time::Duration;
use std::time::Instant;

use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::ECHO_PATH;
use crate::harness::gateway::Gateway;
use crate::harness::process::open_fds;
use crate::harness::wait_until;
use crate::harness::websocket;
use crate::harness::websocket::close_payload;
use crate::harness::websocket::Frame;
use crate::harness::websocket::Received;
use crate::harness::websocket::BINARY;
use crate::harness::websocket::CLOSE;
use crate::harness::websocket::PING;
use crate::harness::websocket::PONG;
use crate::harness::CLOSE_DEADLINE;
use crate::harness::DEADLINE;

fn gateway() -> Gateway {
    Gateway::start(&format!(
        "[websocket]\nclose_deadline = \"500ms\"\n{}",
        configuration::echo()
    ))
}

fn open(gateway: &Gateway) -> Client {
    Client::open(gateway.public(), ECHO_PATH)
}

/// 5.5.1: a Close frame is answered with the same code, and then the server ends the socket (7.1.1).
#[test]
fn a_close_is_echoed_and_the_socket_ended() {
    let gateway = gateway();
    let codes = [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999,
    ];
    for code in codes {
        let mut client = open(&gateway);
        client.send_close(code, "that was all");
        let closed = client.read_to_close();
        assert_eq!(closed.code, Some(code));
        assert!(closed.before.is_empty(), "{closed:?}");
        client.expect_end(CLOSE_DEADLINE);
    }
    let ended = "smeuse_sessions_closed_total{service=\"echo\",by=\"client\",reason=\"closed\"}";
    gateway.wait_metric(ended, codes.len() as f64);
}

/// 5.5.1: the code may be left out.
#[test]
fn a_close_without_code_is_answered() {
    let gateway = gateway();
    let mut client = open(&gateway);
    client.send(&websocket::frame(CLOSE, b""));
    let closed = client.read_to_close();
    assert!(matches!(closed.code, None | Some(1000)), "{closed:?}");
    client.expect_end(CLOSE_DEADLINE);
    let line = gateway.log_line("session ended", |_| true);
    assert_eq!(
        (line["by"].as_str(), line["reason"].as_str()),
        (Some("client"), Some("closed")),
        "{line}"
    );
}

/// 5.5.1 and 7.4: half a code, codes that must not be on the wire, and codes of nobody are protocol errors.
#[test]
fn a_close_that_says_something_illegal_is_1002() {
    let gateway = gateway();
    let mut payloads = vec![vec![3]];
    let codes = [
        0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
    ];
    payloads.extend(codes.map(|code| close_payload(code, "")));
    for payload in payloads {
        let mut client = open(&gateway);
        client.send(&websocket::frame(CLOSE, &payload));
        client.expect_close(1002);
    }
}

/// 5.5.1: the reason is UTF-8.
#[test]
fn a_reason_that_is_not_utf_8_fails() {
    let gateway = gateway();
    let mut client = open(&gateway);
    client.send(&websocket::frame(CLOSE, b"\x03\xe8\xff\xfe"));
    let closed = client.read_to_close();
    assert!(matches!(closed.code, Some(1002 | 1007)), "{closed:?}");
    client.expect_end(CLOSE_DEADLINE);
}

/// 5.5.1: the longest reason comes back; it is also what the log says, cut or not.
#[test]
fn the_longest_reason_is_taken() {
    let gateway = gateway();
    let mut client = open(&gateway);
    let reason = "r".repeat(123);
    client.send_close(4321, &reason);
    assert_eq!(client.read_to_close().code, Some(4321));
    let line = gateway.log_line("session ended", |_| true);
    assert_eq!(line["close_code"], 4321, "{line}");
}

/// 5.5.1: after a Close frame nothing the client sends counts.
#[test]
fn frames_after_a_close_are_passed_over() {
    let gateway = gateway();
    let mut client = open(&gateway);
    let bytes = [
        websocket::frame(BINARY, b"before"),
        websocket::frame(CLOSE, &close_payload(1000, "")),
        websocket::frame(BINARY, b"after"),
        websocket::frame(PING, b"after"),
        Frame::new(3, b"not even legal").encode(),
    ];
    client.send(&bytes.concat());
    client.expect_message(BINARY, b"before");
    let closed = client.read_to_close();
    assert_eq!(closed.code, Some(1000), "{closed:?}");
    assert!(closed.before.is_empty(), "{closed:?}");
    client.expect_end(CLOSE_DEADLINE);
}

/// 5.5.1: a Close may come within a fragmented message, which is then never finished.
#[test]
fn a_close_within_a_message_ends_it() {
    let gateway = gateway();
    let mut client = open(&gateway);
    client.send(&Frame::unfinished(BINARY, b"half").encode());
    client.send_close(1000, "");
    let closed = client.read_to_close();
    assert_eq!(closed.code, Some(1000));
    client.expect_end(CLOSE_DEADLINE);
}

/// What was sent before the Close is answered before the Close.
#[test]
fn messages_before_a_close_come_back_first() {
    let gateway = gateway();
    let mut client = open(&gateway);
    let big = vec![9; 300_000];
    client.send_binary(&big);
    client.send_close(1000, "");
    let closed = client.read_to_close();
    let echoed: usize = closed.before.iter().map(|frame| frame.payload.len()).sum();
    assert_eq!(echoed, big.len());
    client.expect_end(CLOSE_DEADLINE);
}

/// 7.1.7: a client that does not answer the gateway's Close, and does not go, is left after the deadline.
#[test]
fn a_client_that_does_not_answer_a_close_is_left() {
    let gateway = gateway();
    let mut client = open(&gateway);
    gateway.end_all_sessions();
    let started = Instant::now();
    assert_eq!(client.read_to_close().code, Some(4100));
    client.expect_end(CLOSE_DEADLINE);
    assert!(
        started.elapsed() < Duration::from_millis(1500),
        "it took {:?}",
        started.elapsed()
    );
    gateway.wait_metric("smeuse_sessions{service=\"echo\"}", 0.0);
}

/// 7.1.4: the end of the socket without a Close frame is a loss, by reset or by its end alike, and nothing is left.
#[test]
fn a_socket_that_ends_without_close_is_a_loss() {
    let gateway = gateway();
    let lost = "smeuse_sessions_closed_total{service=\"echo\",by=\"client\",reason=\"lost\"}";
    open(&gateway).reset();
    gateway.wait_metric(lost, 1.0);
    let before = open_fds(gateway.pid());
    let mut client = open(&gateway);
    client.finish_sending();
    client.expect_end(CLOSE_DEADLINE);
    gateway.wait_metric(lost, 2.0);
    let mut client = open(&gateway);
    client.send(&websocket::frame(BINARY, b"half a frame")[..9]);
    client.finish_sending();
    client.drain_to_end(CLOSE_DEADLINE);
    drop(client);
    gateway.wait_metric(lost, 3.0);
    gateway.wait_metric("smeuse_sessions{service=\"echo\"}", 0.0);
    wait_until("the sockets to be closed", DEADLINE, || {
        open_fds(gateway.pid()) <= before
    });
}

/// A client that is silent is pinged; one that answers stays.
#[test]
fn a_silent_client_is_pinged_and_stays_if_it_answers() {
    let gateway = silence_gateway();
    let mut client = open(&gateway);
    let started = Instant::now();
    let mut pings = 0;
    while started.elapsed() < Duration::from_millis(1200) {
        let frame = client.read_frame();
        assert_eq!(frame.opcode, PING, "{frame:?}");
        client.send(&websocket::frame(PONG, &frame.payload));
        pings += 1;
    }
    assert!(
        (4..=14).contains(&pings),
        "{pings} pings in 1.2 s, one every 150 ms expected"
    );
    client.send_binary(b"still here");
    loop {
        let frame = client.read_frame();
        if frame.opcode == BINARY {
            break;
        }
    }
}

/// One that does not is ended with 4101.
#[test]
fn a_silent_client_that_does_not_answer_is_4101() {
    let gateway = silence_gateway();
    let mut client = open(&gateway);
    let started = Instant::now();
    let closed = client.read_to_close();
    assert_eq!(closed.code, Some(4101), "{closed:?}");
    assert!(
        started.elapsed() >= Duration::from_millis(400),
        "already after {:?}",
        started.elapsed()
    );
    assert!(!closed.before.is_empty(), "no Ping came first");
    assert!(
        closed.before.iter().all(|frame| frame.opcode == PING),
        "{closed:?}"
    );
    client.expect_end(CLOSE_DEADLINE);
}

/// Anything from the client is a sign of life, a Pong nobody asked for and half a frame too.
#[test]
fn any_byte_is_a_sign_of_life() {
    let gateway = silence_gateway();
    let mut client = open(&gateway);
    let frame = websocket::frame(BINARY, &[1; 60]);
    let mut echoed = Vec::new();
    let take = |echoed: &mut Vec<u8>, frame: Received| {
        if frame.opcode != PING {
            echoed.extend(frame.payload);
        }
    };
    let started = Instant::now();
    for byte in &frame {
        client.send(&[*byte]);
        let paced = Instant::now();
        while let Some(left) = Duration::from_millis(15)
            .checked_sub(paced.elapsed())
            .filter(|left| !left.is_zero())
        {
            if !client.is_silent_for(left) {
                take(&mut echoed, client.read_frame());
            }
        }
    }
    assert!(
        started.elapsed() > Duration::from_millis(900),
        "the test was too quick to say anything"
    );
    while echoed != [1; 60] {
        take(&mut echoed, client.read_frame());
    }
}

fn silence_gateway() -> Gateway {
    let silence = "[websocket]\nping_interval = \"150ms\"\nsilence_limit = \"600ms\"\nclose_deadline = \"500ms\"\n";
    Gateway::start(&(silence.to_owned() + &configuration::echo()))
}
