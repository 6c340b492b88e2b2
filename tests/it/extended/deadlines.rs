//! `handshake.request_deadline` and `handshake.login_deadline`, and that `amqp.login_deadline` begins behind them.

use std::thread;
use std::time::Duration;
use std::time::Instant;

use super::open_to_all;
use super::with_login;
use crate::harness::amqp;
use crate::harness::client::Client;
use crate::harness::configuration::AMQP_PATH;
use crate::harness::ending::expect_ending;
use crate::harness::extended;
use crate::harness::extended::PLAIN_REQUEST;
use crate::harness::gateway::Gateway;
use crate::harness::page::Page;
use crate::harness::users::JOE;
use crate::harness::websocket;
use crate::harness::websocket::Frame;
use crate::harness::websocket::PING;
use crate::harness::websocket::PONG;
use crate::harness::websocket::TEXT;

/// Short for what is waited for, long for what is not.
const REQUEST: &str = "[handshake]\nrequest_deadline = \"400ms\"\nlogin_deadline = \"60s\"\n";
const LOGIN: &str = "[handshake]\nrequest_deadline = \"60s\"\nlogin_deadline = \"400ms\"\n";

const DEADLINE: Duration = Duration::from_millis(400);

/// The client is closed with 4104 once the deadline has passed, and not long behind it; the books say so.
#[track_caller]
fn expect_timeout(gateway: &Gateway, client: &mut Client, since: Instant) {
    let reason = client.expect_close_and_answer(4104);
    assert!(reason.contains("in time"), "{reason}");
    let took = since.elapsed();
    assert!(
        (DEADLINE..DEADLINE + Duration::from_secs(2)).contains(&took),
        "{took:?}"
    );
    expect_ending(gateway, "amqp", "client", "handshake_timeout", Some(4104));
    gateway.wait_metric(&extended::outcome("specification", "abandoned"), 1.0);
}

/// A client that says nothing.
#[test]
fn a_silent_client_is_closed_with_4104() {
    let (broker, gateway) = open_to_all(REQUEST);
    let since = Instant::now();
    let mut client = extended::begin(&gateway, AMQP_PATH);
    expect_timeout(&gateway, &mut client, since);
    assert_eq!(broker.accepted(), 0);
}

/// Half a message, and native Pings besides: the request counts, not signs of life.
#[test]
fn a_client_that_does_not_finish_its_request_is_closed_with_4104() {
    let (_broker, gateway) = open_to_all(REQUEST);
    let since = Instant::now();
    let mut client = extended::begin(&gateway, AMQP_PATH);
    client.send(&Frame::unfinished(TEXT, b"GET / HTTP/1.1\r\n").encode());
    while since.elapsed() < DEADLINE / 2 {
        client.send(&websocket::frame(PING, b"there"));
        client.expect_frame(PONG, b"there");
    }
    expect_timeout(&gateway, &mut client, since);
}

/// Half a frame is no more than half a message.
#[test]
fn a_client_that_does_not_finish_its_frame_is_closed_with_4104() {
    let (_broker, gateway) = open_to_all(REQUEST);
    let since = Instant::now();
    let mut client = extended::begin(&gateway, AMQP_PATH);
    let frame = websocket::frame(TEXT, PLAIN_REQUEST.as_bytes());
    client.send(&frame[..frame.len() - 1]);
    let closed = client.read_to_close();
    assert_eq!(closed.code, Some(4104));
    assert!(since.elapsed() >= DEADLINE);
    expect_ending(&gateway, "amqp", "client", "handshake_timeout", Some(4104));
}

/// A client that is asked for credentials and does not answer.
#[test]
fn a_client_that_is_silent_behind_a_challenge_is_closed_with_4104() {
    let (_broker, gateway, _file) = with_login(LOGIN);
    let mut client = extended::begin(&gateway, AMQP_PATH);
    assert_eq!(extended::ask(&mut client, &[]).status, 401);
    expect_timeout(
        &gateway,
        &mut client,
        Instant::now() - Duration::from_millis(50),
    );
}

/// Every challenge starts the time anew, and the time for the request is over with the request.
#[test]
fn a_person_has_time_to_type() {
    let (_broker, gateway, _file) = with_login(REQUEST);
    let mut client = extended::begin(&gateway, AMQP_PATH);
    assert_eq!(extended::ask(&mut client, &[]).status, 401);
    // The pause is the behaviour under test: longer than the deadline for the request.
    assert!(client.is_silent_for(2 * DEADLINE));
    let response = extended::ask(&mut client, &[("Authorization", JOE)]);
    assert_eq!(response.status, 101, "{response:?}");
}

/// A slow client that keeps the deadline is served.
#[test]
fn a_slow_client_that_is_in_time_is_served() {
    let (_broker, gateway) =
        open_to_all("[handshake]\nrequest_deadline = \"3s\"\nlogin_deadline = \"60s\"\n");
    let mut client = extended::begin(&gateway, AMQP_PATH);
    for part in websocket::frame(TEXT, PLAIN_REQUEST.as_bytes()).chunks(10) {
        client.send(part);
        // The pauses are the behaviour under test; all together they are well within the deadline.
        thread::sleep(Duration::from_millis(100));
    }
    let response = extended::answer(&mut client);
    assert_eq!(response.status, 101, "{response:?}");
    let mut page = Page::over(client);
    page.send(amqp::HEADER);
    page.expect_method(amqp::START);
}

/// Credentials whose check takes longer than the deadline: not the client's fault, 1013.
#[test]
fn a_check_that_takes_too_long_is_1013() {
    let deadline = "[handshake]\nrequest_deadline = \"60s\"\nlogin_deadline = \"100ms\"\n";
    let (_broker, gateway, _file) = with_login(deadline);
    let mut client = extended::begin(&gateway, AMQP_PATH);
    client.send_text(&extended::request(&[("Authorization", super::SLOW)]));
    let closed = client.read_to_close();
    assert_eq!(closed.code, Some(1013), "{closed:?}");
    expect_ending(&gateway, "amqp", "gateway", "unavailable", Some(1013));
}

/// `amqp.login_deadline` begins when data may flow: a handshake that was slow takes nothing from it.
#[test]
fn the_amqp_login_has_its_own_time_behind_the_handshake() {
    let settings = "[handshake]\nrequest_deadline = \"60s\"\n[amqp]\nlogin_deadline = \"500ms\"\n";
    let (_broker, gateway) = open_to_all(settings);
    let mut client = extended::begin(&gateway, AMQP_PATH);
    // The pause is the behaviour under test: longer than the AMQP login may take.
    assert!(client.is_silent_for(Duration::from_millis(700)));
    let since = Instant::now();
    assert_eq!(extended::ask(&mut client, &[]).status, 101);
    client.expect_close_and_answer(4103);
    assert!(
        since.elapsed() >= Duration::from_millis(500),
        "{:?}",
        since.elapsed()
    );
    expect_ending(&gateway, "amqp", "client", "login_timeout", Some(4103));
}
