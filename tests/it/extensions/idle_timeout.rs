//! `x-kaazing-idle-timeout`: a page hears something in time, and a client that answers nothing is given up.

use std::time::Duration;
use std::time::Instant;

use super::EMULATED_PING;
use super::EMULATED_PONG;
use super::IDLE_TIMEOUT;
use super::PING_PONG;
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
use crate::harness::websocket::PING;
use crate::harness::websocket::PONG;
use crate::harness::websocket::TEXT;

const TIMEOUT: Duration = Duration::from_millis(800);

const LINES: &str = "idle_timeout = \"800ms\"";

/// How late a machine that is busy with other suites may make a moment.
const SLACK: Duration = Duration::from_millis(500);

fn gateway() -> Gateway {
    Gateway::start(&configuration::echo_with_lines(LINES))
}

#[track_caller]
fn expect_at(since: Instant, due: Duration) {
    let took = since.elapsed();
    let due_from = due - Duration::from_millis(20);
    assert!(
        (due_from..due + SLACK).contains(&took),
        "{took:?}, not {due:?}"
    );
}

/// The parameter tells the service's timeout in milliseconds; `0s` declines the extension.
#[test]
fn the_timeout_is_told_in_milliseconds() {
    let gateway = gateway();
    let mut client = extended::begin(&gateway, ECHO_PATH);
    let response = extended::ask(&mut client, &[("Sec-WebSocket-Extensions", IDLE_TIMEOUT)]);
    assert_eq!(
        extended::agreed(&response),
        ["x-kaazing-idle-timeout; timeout=800"]
    );
    let gateway = Gateway::start(&configuration::echo_with_lines("idle_timeout = \"0s\""));
    let mut client = extended::begin(&gateway, ECHO_PATH);
    let response = extended::ask(&mut client, &[("Sec-WebSocket-Extensions", IDLE_TIMEOUT)]);
    assert_eq!(response.status, 101);
    assert!(extended::agreed(&response).is_empty(), "{response:?}");
}

/// A client that is silent for half the timeout is asked; after another half without an answer the session ends with
/// 4101. With ping-pong the page is asked, else the browser.
#[test]
fn a_silent_client_is_asked_and_given_up() {
    let offers = [
        (IDLE_TIMEOUT.to_owned(), PING, &b""[..]),
        (format!("{IDLE_TIMEOUT}, {PING_PONG}"), TEXT, EMULATED_PING),
        (format!("{PING_PONG}, {IDLE_TIMEOUT}"), TEXT, EMULATED_PING),
    ];
    for (offer, opcode, ping) in offers {
        let gateway = gateway();
        let mut client = extended::open(&gateway, ECHO_PATH, &offer);
        let since = Instant::now();
        client.expect_frame(opcode, ping);
        expect_at(since, TIMEOUT / 2);
        let reason = client.expect_close_and_answer(4101);
        expect_at(since, TIMEOUT);
        assert!(reason.contains(IDLE_TIMEOUT), "{reason}");
        expect_ending(&gateway, "echo", "client", "extension_failed", Some(4101));
        let failures = format!(
            "smeuse_extension_failures_total{{extension=\"{IDLE_TIMEOUT}\",reason=\"silent\"}}"
        );
        assert_eq!(gateway.metric(&failures), 1.0);
    }
}

/// A client that answers is asked again and again, and stays.
#[test]
fn a_client_that_answers_stays() {
    let gateway = gateway();
    let mut client = extended::open(&gateway, ECHO_PATH, &format!("{IDLE_TIMEOUT}, {PING_PONG}"));
    for _ in 0..4 {
        let since = Instant::now();
        client.expect_frame(TEXT, EMULATED_PING);
        expect_at(since, TIMEOUT / 2);
        client.send(&websocket::frame(TEXT, EMULATED_PONG));
    }
    client.send_text("still here");
    client.expect_frame(TEXT, b"still here");
}

/// With ping-pong a native Pong is the browser's, not the page's: it does not keep the session.
#[test]
fn with_ping_pong_a_native_pong_is_no_answer() {
    let gateway = gateway();
    let mut client = extended::open(&gateway, ECHO_PATH, &format!("{PING_PONG}, {IDLE_TIMEOUT}"));
    let since = Instant::now();
    client.expect_frame(TEXT, EMULATED_PING);
    client.send(&websocket::frame(PONG, b""));
    client.expect_close_and_answer(4101);
    expect_at(since, TIMEOUT);
}

/// A page that hears nothing although its client talks gets a pong after three quarters of the timeout: emulated with
/// ping-pong, native without.
#[test]
fn a_page_that_hears_nothing_gets_a_pong() {
    for (offer, opcode, pong) in [
        (IDLE_TIMEOUT.to_owned(), PONG, &b""[..]),
        (format!("{PING_PONG}, {IDLE_TIMEOUT}"), TEXT, EMULATED_PONG),
    ] {
        let broker = Broker::polite();
        let gateway = Gateway::start(&configuration::amqp_with_lines(broker.uri(), LINES));
        let client = extended::open(&gateway, AMQP_PATH, &offer);
        let mut page = Page::over(client).logged_in(&Login::default());
        for _ in 0..3 {
            let since = Instant::now();
            talk_until_told(&mut page.client);
            page.client.expect_frame(opcode, pong);
            expect_at(since, TIMEOUT * 3 / 4);
        }
    }
}

/// Sends AMQP heartbeats, which the broker does not answer, until something comes.
fn talk_until_told(client: &mut Client) {
    let heartbeat = crate::harness::amqp::heartbeat();
    loop {
        client.send_binary(&heartbeat);
        if !client.is_silent_for(TIMEOUT / 8) {
            return;
        }
    }
}

/// Where data flows to the client, no sign of life is needed.
#[test]
fn a_page_that_hears_data_gets_no_pong() {
    let gateway = gateway();
    let mut client = extended::open(&gateway, ECHO_PATH, &format!("{PING_PONG}, {IDLE_TIMEOUT}"));
    let since = Instant::now();
    while since.elapsed() < 2 * TIMEOUT {
        client.send_text("talk");
        client.expect_frame(TEXT, b"talk");
        // A pace under test: between two messages is less than half the timeout.
        assert!(client.is_silent_for(TIMEOUT / 8));
    }
}
