//! The limits of the listener: at the limit all is well, one past it is refused with 503 and when to come back.

use crate::harness::broker::Broker;
use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::ECHO_PATH;
use crate::harness::gateway::Gateway;
use crate::harness::opening::Opening;
use crate::harness::page::Page;
use crate::harness::process::open_fds;
use crate::harness::refusal::expect_refusal;
use crate::harness::refusal::expect_refused;
use crate::harness::wait_until;
use crate::harness::websocket::BINARY;
use crate::harness::DEADLINE;

fn gateway(limits: &str) -> Gateway {
    Gateway::start(&format!("{limits}\n{}", configuration::echo()))
}

fn opening(gateway: &Gateway) -> Opening {
    Opening::new(gateway.public(), ECHO_PATH)
}

fn open(gateway: &Gateway) -> Client {
    Client::open(gateway.public(), ECHO_PATH)
}

/// Insists on a refusal with 503 and this code, that says when to come back, and counts the limit.
#[track_caller]
fn expect_limit(gateway: &Gateway, request: &Opening, code: &str, limit: &str) {
    let series = format!("smeuse_limits_hit_total{{limit=\"{limit}\"}}");
    let before = gateway.metric(&series);
    let response = expect_refusal(gateway, &request.bytes(), 503, code);
    let after = response.header("Retry-After").expect("Retry-After");
    assert!(
        after.parse::<u32>().is_ok_and(|seconds| seconds > 0),
        "Retry-After: {after}"
    );
    gateway.wait_metric(&series, before + 1.0);
}

/// `limits.sessions`: one more is refused, and there is room again when one has ended.
#[test]
fn sessions_are_limited_in_all() {
    let gateway = gateway("[limits]\nsessions = 3");
    let mut clients: Vec<_> = (0..3).map(|_| open(&gateway)).collect();
    expect_limit(
        &gateway,
        &opening(&gateway),
        "too_many_sessions",
        "sessions",
    );
    expect_limit(
        &gateway,
        &opening(&gateway),
        "too_many_sessions",
        "sessions",
    );
    for client in &mut clients {
        client.send_binary(b"unmoved");
        client.expect_message(BINARY, b"unmoved");
    }
    clients.pop();
    gateway.wait_metric("smeuse_sessions{service=\"echo\"}", 2.0);
    open(&gateway);
}

/// `limits.sessions_per_address`: one address may have so many, another has its own.
#[test]
fn sessions_are_limited_by_address() {
    let gateway =
        gateway("[limits]\nsessions_per_address = 2\n[proxies]\ntrusted = [\"127.0.0.1\"]");
    let from = |address: &str| opening(&gateway).with("X-Forwarded-For", address);
    let by = |address: &str| Client::open_by(&from(address), gateway.public());
    let mut clients = vec![by("203.0.113.1"), by("203.0.113.1")];
    let code = "too_many_sessions_from_address";
    expect_forwarded_limit(&gateway, &from("203.0.113.1"), code);
    clients.push(by("203.0.113.2"));
    // An IPv6 client has a /64 of its own, and counts as one however many addresses of it are used.
    clients.push(by("2001:db8:1:1::1"));
    clients.push(by("2001:db8:1:1::2"));
    expect_forwarded_limit(&gateway, &from("2001:db8:1:1:ffff::3"), code);
    clients.push(by("2001:db8:1:2::1"));
    clients.remove(0);
    gateway.wait_metric("smeuse_sessions{service=\"echo\"}", clients.len() as f64);
    by("203.0.113.1");
}

/// As [`expect_limit`], where the log names another client than the socket's.
#[track_caller]
fn expect_forwarded_limit(gateway: &Gateway, request: &Opening, code: &str) {
    let mut client = Client::connect(gateway.public());
    client.send(&request.bytes());
    let response = expect_refused(&mut client, 503, code);
    assert!(response.header("Retry-After").is_some());
}

/// A test page with 64 sockets from one address must not notice.
#[test]
fn sixty_four_sockets_from_one_address_are_not_noticed() {
    let broker = Broker::polite();
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    let mut pages: Vec<_> = (0..64).map(|_| Page::login(&gateway)).collect();
    for page in &mut pages {
        page.open_channel(1);
    }
    assert_eq!(gateway.metric("smeuse_sessions{service=\"amqp\"}"), 64.0);
    assert_eq!(gateway.metrics().sum("smeuse_limits_hit_total"), 0.0);
}

/// `limits.handshakes`: openings that are not finished; the limit is on those, not on sessions.
#[test]
fn unfinished_handshakes_are_limited() {
    let gateway = gateway("[limits]\nhandshakes = 2");
    let head = opening(&gateway).bytes();
    let mut halves: Vec<_> = (0..2).map(|_| Client::connect(gateway.public())).collect();
    for half in &mut halves {
        half.send(&head[..20]);
    }
    gateway.wait_metric("smeuse_handshakes_in_progress", 2.0);
    expect_limit(
        &gateway,
        &opening(&gateway),
        "too_many_handshakes",
        "handshakes",
    );
    for half in &mut halves {
        half.send(&head[20..]);
        assert_eq!(half.response().status, 101);
    }
    gateway.wait_metric("smeuse_handshakes_in_progress", 0.0);
    let mut more: Vec<_> = (0..10).map(|_| open(&gateway)).collect();
    for client in more.iter_mut().chain(&mut halves) {
        client.send_binary(b"x");
        client.expect_message(BINARY, b"x");
    }
}

/// A socket that goes away in the middle of its head is counted no more.
#[test]
fn an_abandoned_handshake_makes_room() {
    let gateway = gateway("[limits]\nhandshakes = 1");
    for _ in 0..20 {
        let mut client = Client::connect(gateway.public());
        client.send(b"GET /echo HTTP/1.1\r\nHost");
        gateway.wait_metric("smeuse_handshakes_in_progress", 1.0);
        client.reset();
        gateway.wait_metric("smeuse_handshakes_in_progress", 0.0);
    }
    open(&gateway);
}

/// Hundreds of sessions that come and go leave nothing behind.
#[test]
fn sessions_that_come_and_go_leave_nothing_behind() {
    let broker = Broker::polite();
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    drop(Page::login(&gateway));
    gateway.wait_nothing_left();
    let before = open_fds(gateway.pid());
    for number in 0..300 {
        let page = Page::login(&gateway);
        if number % 2 == 0 {
            page.client.reset();
        }
    }
    gateway.wait_nothing_left();
    wait_until("the sockets to be closed", DEADLINE, || {
        open_fds(gateway.pid()) <= before
    });
    broker.wait_all_ended();
}
