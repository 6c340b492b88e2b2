//! RFC 6455 section 4: the opening handshake as far as it succeeds, and the grammar of its headers.

use std::time::Duration;
use std::time::Instant;

use crate::harness::amqp;
use crate::harness::broker::Broker;
use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::ECHO_PATH;
use crate::harness::gateway::Gateway;
use crate::harness::opening::Opening;
use crate::harness::opening::ACCEPT;
use crate::harness::page::Page;
use crate::harness::refusal::expect_refusal;
use crate::harness::refusal::outcome;
use crate::harness::websocket;
use crate::harness::websocket::BINARY;
use crate::harness::CLOSE_DEADLINE;

fn gateway() -> Gateway {
    Gateway::start(&configuration::echo())
}

fn opening(gateway: &Gateway) -> Opening {
    Opening::new(gateway.public(), ECHO_PATH)
}

/// Opens by this request and sees a message come back.
#[track_caller]
fn expect_accepted(opening: &Opening, gateway: &Gateway) {
    let mut client = Client::open_by(opening, gateway.public());
    client.send_binary(b"still here");
    client.expect_message(BINARY, b"still here");
}

/// 4.2.2 item 5: status 101, Upgrade, Connection, and the accept value made of the key; nothing that was not offered.
#[test]
fn an_opening_is_answered_with_101_and_the_accept_value() {
    let gateway = gateway();
    let mut client = Client::connect(gateway.public());
    client.send(&opening(&gateway).bytes());
    let response = client.response();
    assert_eq!(response.status, 101);
    assert!(response
        .header("Upgrade")
        .is_some_and(|value| value.eq_ignore_ascii_case("websocket")));
    assert!(response
        .header("Connection")
        .is_some_and(|value| value.eq_ignore_ascii_case("upgrade")));
    assert_eq!(response.header("Sec-WebSocket-Accept"), Some(ACCEPT));
    for absent in [
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Extensions",
        "Content-Length",
        "Transfer-Encoding",
    ] {
        assert_eq!(response.header(absent), None, "{response:?}");
    }
    gateway.wait_metric(&outcome("accepted"), 1.0);
    gateway.wait_metric("smeuse_sessions{service=\"echo\"}", 1.0);
    let line = gateway.log_line("session opened", |_| true);
    assert_eq!(line["service"], "echo", "{line}");
    assert!(
        line["session"].as_str().is_some() || line["session"].as_u64().is_some(),
        "{line}"
    );
    let local = client.local_address().to_string();
    assert!(
        line["client"]
            .as_str()
            .is_some_and(|client| local.starts_with(client)),
        "{line}"
    );
}

/// 4.2.2 item 5.4, with a second key, since one answer could be a constant.
#[test]
fn the_accept_value_follows_from_the_key() {
    let gateway = gateway();
    let mut client = Client::connect(gateway.public());
    client.send(
        &opening(&gateway)
            .replace("Sec-WebSocket-Key", "x3JJHMbDL1EzLkh9GBhXDw==")
            .bytes(),
    );
    assert_eq!(
        client.response().header("Sec-WebSocket-Accept"),
        Some("HSmrc0sMlYUkAGmm5OPpG2HaGWk=")
    );
}

/// 4.2.1: header names and the tokens `websocket` and `Upgrade` are compared without case, and `Connection` is a list.
#[test]
fn names_and_tokens_are_compared_without_case() {
    let gateway = gateway();
    let connections = [
        "upgrade",
        "UPGRADE",
        "keep-alive, Upgrade",
        "Upgrade ,\tkeep-alive",
        ",, Upgrade",
    ];
    for value in connections {
        expect_accepted(&opening(&gateway).replace("CONNECTION", value), &gateway);
    }
    for value in ["WebSocket", "WEBSOCKET", "  websocket  "] {
        expect_accepted(&opening(&gateway).replace("upGRADE", value), &gateway);
    }
    let two_lines = opening(&gateway)
        .replace("connection", "keep-alive")
        .with("Connection", "Upgrade");
    expect_accepted(&two_lines, &gateway);
    let odd = opening(&gateway)
        .replace("sec-websocket-key", "\t dGhlIHNhbXBsZSBub25jZQ== ")
        .replace("SEC-WEBSOCKET-VERSION", " 13\t");
    expect_accepted(&odd, &gateway);
}

/// 4.2.1 item 1: the path is compared without the query.
#[test]
fn a_query_does_not_hide_the_path() {
    let gateway = gateway();
    let opening = opening(&gateway).request_line("GET /echo?token=1&x=/y HTTP/1.1");
    expect_accepted(&opening, &gateway);
}

/// 9.1: extensions are a list over any number of lines, with parameters that may be quoted; none is known, so none is
/// agreed, and the session opens without.
#[test]
fn unknown_extensions_are_passed_over_whatever_their_form() {
    let gateway = gateway();
    let offers: [&[&str]; 5] = [
        &["permessage-deflate; client_max_window_bits"],
        &[
            "permessage-deflate; server_max_window_bits=\"10\"",
            "x-webkit-deflate-frame",
        ],
        &[" a ;b ; c=d,\te;f=\"g\" , , h"],
        &["foo;bar=\"a\\bc\""],
        &["A", "b", "c; d=1; e=2"],
    ];
    for lines in offers {
        let mut opening = opening(&gateway);
        for line in lines {
            opening = opening.with("Sec-WebSocket-Extensions", line);
        }
        let mut client = Client::connect(gateway.public());
        client.send(&opening.bytes());
        let response = client.response();
        assert_eq!(response.status, 101, "{lines:?}: {response:?}");
        assert_eq!(
            response.header("Sec-WebSocket-Extensions"),
            None,
            "{lines:?}"
        );
    }
}

/// 9.1: an offer outside the grammar is an error, not an unknown extension.
#[test]
fn malformed_extensions_are_refused() {
    let gateway = gateway();
    for value in [
        "a;=b",
        "a; b=",
        "a b",
        "a;b=\"unended",
        "=x",
        "a;b=\"not a token\"",
        "a;;b",
    ] {
        let opening = opening(&gateway).with("Sec-WebSocket-Extensions", value);
        expect_refusal(&gateway, &opening.bytes(), 400, "header_malformed");
    }
}

/// 4.1: after the opening handshake bytes are frames; those that came in the same packet are not lost.
#[test]
fn frames_right_behind_the_request_head_are_not_lost() {
    let gateway = gateway();
    let mut client = Client::connect(gateway.public());
    let mut bytes = opening(&gateway).bytes();
    for number in 0_u32..100 {
        bytes.extend(websocket::frame(BINARY, &number.to_be_bytes()));
    }
    client.send(&bytes);
    assert_eq!(client.response().status, 101);
    for number in 0_u32..100 {
        client.expect_message(BINARY, &number.to_be_bytes());
    }
}

/// The same for AMQP: a protocol header that came with the request reaches the broker.
#[test]
fn a_protocol_header_right_behind_the_request_head_reaches_the_broker() {
    let broker = Broker::polite();
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    let mut client = Client::connect(gateway.public());
    let opening = Opening::new(gateway.public(), configuration::AMQP_PATH);
    client.send(&[opening.bytes(), websocket::frame(BINARY, amqp::HEADER)].concat());
    assert_eq!(client.response().status, 101);
    Page::over(client).expect_method(amqp::START);
}

/// A head that comes byte by byte is the same head.
#[test]
fn a_head_may_come_byte_by_byte() {
    let gateway = gateway();
    let mut client = Client::connect(gateway.public());
    for byte in opening(&gateway).bytes() {
        client.send(&[byte]);
    }
    assert_eq!(client.response().status, 101);
}

/// The session ends in the log and in the metrics as it began.
#[test]
fn a_session_is_counted_until_it_ends() {
    let gateway = gateway();
    let mut client = Client::open(gateway.public(), ECHO_PATH);
    gateway.wait_metric("smeuse_sessions_opened_total{service=\"echo\"}", 1.0);
    client.send_close(1000, "done");
    client.read_to_close();
    gateway.wait_metric("smeuse_sessions{service=\"echo\"}", 0.0);
    gateway.log_line("session ended", |_| true);
    assert_eq!(gateway.log_lines("session opened").len(), 1);
}

/// A head that never ends is cut by its size, and what it may fill is bounded.
#[test]
fn a_huge_head_is_refused_in_bounded_memory() {
    let gateway = gateway();
    expect_accepted(&opening(&gateway), &gateway);
    let before = gateway.rss_kib();
    let mut client = Client::connect(gateway.public());
    let mut head = opening(&gateway).bytes();
    head.truncate(head.len() - 2);
    client.send(&head);
    let line = [b"X-Padding: ".as_slice(), &[b'x'; 8000], b"\r\n"].concat();
    let mut sent = 0;
    while sent < 16 * 1024 * 1024 && client.try_send(&line).is_ok() {
        sent += line.len();
    }
    assert!(
        sent < 16 * 1024 * 1024,
        "the gateway swallowed a head of {sent} bytes"
    );
    // The rest of the head may already have reset the socket, so the answer need not arrive.
    if let Ok(response) = client.try_response() {
        assert!(matches!(response.status, 400 | 431), "{response:?}");
    }
    client.drain_to_end(CLOSE_DEADLINE);
    let after = gateway.rss_kib();
    assert!(
        after < before + 2048,
        "memory grew from {before} to {after} KiB"
    );
}

/// The same for one line without end, and for lines without number.
#[test]
fn a_long_line_and_many_lines_are_refused() {
    let gateway = gateway();
    let long_line = opening(&gateway).with("X-Padding", &"x".repeat(256 * 1024));
    let mut many_lines = opening(&gateway);
    for number in 0..2000 {
        many_lines = many_lines.with(&format!("X-{number}"), "x");
    }
    for request in [long_line, many_lines] {
        let mut client = Client::connect(gateway.public());
        let _ = client.try_send(&request.bytes());
        if let Ok(response) = client.try_response() {
            assert!(matches!(response.status, 400 | 431), "{response:?}");
        }
        client.drain_to_end(CLOSE_DEADLINE);
    }
    expect_accepted(&opening(&gateway), &gateway);
}

/// `limits.request_head`: a client has that long for its head, however it spends the time.
#[test]
fn a_slow_head_is_ended_by_its_deadline() {
    let gateway = Gateway::start(&format!(
        "[limits]\nrequest_head = \"300ms\"\n{}",
        configuration::echo()
    ));
    let head = opening(&gateway).bytes();

    let mut silent = Client::connect(gateway.public());
    let mut halted = Client::connect(gateway.public());
    halted.send(&head[..head.len() / 2]);
    silent.drain_to_end(CLOSE_DEADLINE);
    halted.drain_to_end(CLOSE_DEADLINE);

    let started = Instant::now();
    let mut dribbling = Client::connect(gateway.public());
    let mut bytes = head[..head.len() - 1].iter().cycle();
    // Each wait for an answer paces the next byte, far more slowly than the deadline allows for the whole head.
    while dribbling.is_silent_for(Duration::from_millis(20)) {
        let byte = bytes.next().copied().unwrap_or_default();
        if dribbling.try_send(&[byte]).is_err() {
            break;
        }
        assert!(
            started.elapsed() < CLOSE_DEADLINE,
            "dribbling keeps a head open"
        );
    }
    gateway.wait_metric("smeuse_handshakes_in_progress", 0.0);
}

/// The deadline is the head's: a session that is open lives on.
#[test]
fn the_deadline_of_the_head_does_not_end_sessions() {
    let gateway = Gateway::start(&format!(
        "[limits]\nrequest_head = \"1s\"\n{}",
        configuration::echo()
    ));
    let mut client = Client::open(gateway.public(), ECHO_PATH);
    assert!(
        client.is_silent_for(Duration::from_millis(1500)),
        "the session was disturbed"
    );
    client.send_binary(b"still here");
    client.expect_message(BINARY, b"still here");
}
