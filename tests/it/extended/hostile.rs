//! Clients that send during the extended handshake what none should.

use std::net::SocketAddr;

use super::open_to_all;
use super::with_login;
use super::SLOW;
use crate::harness::amqp;
use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::AMQP_PATH;
use crate::harness::ending::expect_ending;
use crate::harness::extended;
use crate::harness::extended::PLAIN_REQUEST;
use crate::harness::gateway::Gateway;
use crate::harness::opening::Opening;
use crate::harness::page::Page;
use crate::harness::receive_queue;
use crate::harness::websocket;
use crate::harness::websocket::Frame;
use crate::harness::websocket::Length;
use crate::harness::websocket::BINARY;
use crate::harness::websocket::CONTINUATION;
use crate::harness::websocket::PING;
use crate::harness::websocket::PONG;
use crate::harness::websocket::TEXT;
use crate::harness::CLOSE_DEADLINE;
use crate::harness::DEADLINE;

const REQUEST_MAX: usize = 16 * 1024;

/// Waits until the gateway has read what the client has sent.
#[track_caller]
pub(super) fn wait_until_read(gateway: &Gateway, client: &Client) {
    let (SocketAddr::V4(local), SocketAddr::V4(remote)) =
        (gateway.public(), client.local_address())
    else {
        panic!("the suites speak IPv4");
    };
    receive_queue::wait_until_empty(local, remote, DEADLINE);
}

#[track_caller]
fn expect_malformed(gateway: &Gateway, client: &mut Client, code: &str) {
    extended::expect_refusal(client, 400, code);
    assert!(!client.expect_close_and_answer(1002).is_empty());
    expect_ending(gateway, "amqp", "client", "handshake_malformed", Some(1002));
    gateway.wait_metric(&extended::outcome("specification", code), 1.0);
}

/// A request as large as it may be is read.
#[test]
fn a_request_of_16_kib_is_read() {
    let (_broker, gateway) = open_to_all("");
    let padding = "x".repeat(REQUEST_MAX - PLAIN_REQUEST.len() - "A: \r\n".len());
    let request = format!("GET / HTTP/1.1\r\nA: {padding}\r\n\r\n");
    assert_eq!(request.len(), REQUEST_MAX);
    for opcode in extended::OPCODES {
        let mut client = extended::begin(&gateway, AMQP_PATH);
        client.send(&websocket::frame(opcode, request.as_bytes()));
        assert_eq!(extended::answer(&mut client).status, 101);
    }
}

/// The limit of a request ends with the handshake: a message may have what the service's messages may have.
#[test]
fn the_limit_of_a_request_ends_with_the_handshake() {
    let gateway = Gateway::start(&configuration::echo());
    let mut client = extended::begin(&gateway, configuration::ECHO_PATH);
    assert_eq!(extended::ask(&mut client, &[]).status, 101);
    client.send_binary(&[7; 10 * REQUEST_MAX]);
    client.expect_message(BINARY, &[7; 10 * REQUEST_MAX]);
}

/// A byte more is 1009, as soon as a frame announces it: nothing of it is waited for.
#[test]
fn a_frame_that_announces_more_is_1009() {
    for announced in [REQUEST_MAX as u64 + 1, 1 << 40] {
        let (_broker, gateway) = open_to_all("");
        let mut client = extended::begin(&gateway, AMQP_PATH);
        let length = Length::Announced(announced);
        client.send(
            &Frame {
                length,
                ..Frame::new(TEXT, b"")
            }
            .encode(),
        );
        assert!(!client.expect_close_and_answer(1009).is_empty());
        expect_ending(&gateway, "amqp", "client", "message_too_big", Some(1009));
        gateway.wait_metric(&extended::outcome("specification", "abandoned"), 1.0);
    }
}

/// Fragments are added up.
#[test]
fn fragments_that_are_more_together_are_1009() {
    let (_broker, gateway) = open_to_all("");
    let mut client = extended::begin(&gateway, AMQP_PATH);
    let half = vec![b'x'; REQUEST_MAX / 2];
    client.send(&Frame::unfinished(BINARY, &half).encode());
    client.send(&Frame::unfinished(CONTINUATION, &half).encode());
    client.send(&Frame::unfinished(CONTINUATION, b"x").encode());
    assert!(!client.expect_close_and_answer(1009).is_empty());
    expect_ending(&gateway, "amqp", "client", "message_too_big", Some(1009));
}

/// Fragments without bytes, on and on, are a message too big as well.
#[test]
fn endless_empty_fragments_are_1009() {
    let (_broker, gateway) = open_to_all("");
    let mut client = extended::begin(&gateway, AMQP_PATH);
    client.send(&Frame::unfinished(TEXT, b"").encode());
    let many = Frame::unfinished(CONTINUATION, b"").encode().repeat(2000);
    let _ = client.try_send(&many);
    assert_eq!(client.read_to_close().code, Some(1009));
    expect_ending(&gateway, "amqp", "client", "message_too_big", Some(1009));
}

/// More header lines than anybody needs.
#[test]
fn endless_headers_are_malformed() {
    let (_broker, gateway) = open_to_all("");
    let mut client = extended::begin(&gateway, AMQP_PATH);
    client.send_text(&format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(65)));
    expect_malformed(&gateway, &mut client, "request_malformed");
}

/// A request that is not UTF-8: as TEXT it breaks RFC 6455 section 8.1, as BINARY it is no request.
#[test]
fn what_is_not_utf_8_is_refused_by_whoever_it_offends() {
    let request = b"GET / HTTP/1.1\r\nA: \xff\r\n\r\n";
    let (_broker, gateway) = open_to_all("");
    let mut client = extended::begin(&gateway, AMQP_PATH);
    client.send(&websocket::frame(TEXT, request));
    client.expect_close_and_answer(1007);
    expect_ending(&gateway, "amqp", "client", "invalid_utf8", Some(1007));
    let (_broker, gateway) = open_to_all("");
    let mut client = extended::begin(&gateway, AMQP_PATH);
    client.send(&websocket::frame(BINARY, request));
    expect_malformed(&gateway, &mut client, "request_malformed");
}

/// AMQP in the same packet as the request, before the answer can have been seen.
#[test]
fn data_in_the_same_breath_as_the_request_is_too_early() {
    let (broker, gateway) = open_to_all("");
    let mut client = extended::begin(&gateway, AMQP_PATH);
    let request = websocket::frame(TEXT, PLAIN_REQUEST.as_bytes());
    client.send(&[request, websocket::frame(BINARY, amqp::HEADER)].concat());
    expect_malformed(&gateway, &mut client, "message_too_early");
    assert_eq!(broker.accepted(), 0);
}

/// The same behind the opening request: not even the 101 can have been seen.
#[test]
fn everything_in_one_packet_with_the_opening_is_too_early() {
    let (_broker, gateway) = open_to_all("");
    let opening = Opening::new(gateway.public(), AMQP_PATH).subprotocols(extended::SUBPROTOCOL);
    let request = websocket::frame(TEXT, PLAIN_REQUEST.as_bytes());
    let data = websocket::frame(BINARY, amqp::HEADER);
    let mut client = Client::connect(gateway.public());
    client.send(&[opening.bytes(), request, data].concat());
    assert_eq!(client.response().status, 101);
    expect_malformed(&gateway, &mut client, "message_too_early");
}

/// A message while credentials are being checked; what comes of the check later changes nothing.
#[test]
fn a_message_while_credentials_are_checked_is_too_early() {
    let (broker, gateway, _file) = with_login("");
    let mut client = extended::begin(&gateway, AMQP_PATH);
    client.send_text(&extended::request(&[("Authorization", SLOW)]));
    wait_until_read(&gateway, &client);
    client.send_text(PLAIN_REQUEST);
    expect_malformed(&gateway, &mut client, "message_too_early");
    assert_eq!(broker.accepted(), 0);
}

/// RFC 6455 section 5.5: control frames may come at any time, between the fragments of the request, too. A Ping is
/// answered, a Pong means nothing.
#[test]
fn native_pings_are_answered_and_pongs_passed_over() {
    let (_broker, gateway, _file) = with_login("");
    let mut client = extended::begin(&gateway, AMQP_PATH);
    let control = |client: &mut Client| {
        client.send(&websocket::frame(PONG, b"unasked"));
        client.send(&websocket::frame(PING, b"hello"));
        client.expect_frame(PONG, b"hello");
    };
    control(&mut client);
    let (first, second) = PLAIN_REQUEST.split_at(5);
    client.send(&Frame::unfinished(TEXT, first.as_bytes()).encode());
    control(&mut client);
    client.send(&websocket::frame(CONTINUATION, second.as_bytes()));
    assert_eq!(extended::answer(&mut client).status, 401);
    control(&mut client);
    client.send_text(&extended::request(&[("Authorization", SLOW)]));
    control(&mut client);
    assert_eq!(extended::answer(&mut client).status, 401);
    let response = extended::ask(
        &mut client,
        &[("Authorization", crate::harness::users::JOE)],
    );
    assert_eq!(response.status, 101, "{response:?}");
    control(&mut client);
}

/// A client that did not ask for the extended handshake gets none of it, even with `.kl=Y`: it is not sent "proceed".
#[test]
fn without_the_subprotocol_nothing_of_the_extended_handshake_is_sent() {
    let (_broker, gateway) = open_to_all("");
    for offered in [Some("amqp"), None] {
        let mut opening = Opening::new(gateway.public(), &format!("{AMQP_PATH}?.kl=Y"));
        if let Some(offered) = offered {
            opening = opening.subprotocols(offered);
        }
        let mut client = Client::connect(gateway.public());
        client.send(&opening.bytes());
        let response = client.response();
        assert_eq!(response.status, 101);
        assert_eq!(response.header("Sec-WebSocket-Protocol"), offered);
        // What the broker says is the first that comes.
        let mut page = Page::over(client);
        page.send(amqp::HEADER);
        page.expect_method(amqp::START);
        page.client.send_close(1000, "");
        page.client.read_to_close();
        page.client.expect_end(CLOSE_DEADLINE);
    }
    let metrics = gateway.metrics();
    assert_eq!(
        metrics.sum("smeuse_handshakes_total{handshake=\"extended\"}"),
        0.0
    );
}
