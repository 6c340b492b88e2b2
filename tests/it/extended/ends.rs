//! Extended handshakes that end before they are done: the client leaves, or the gateway.

use super::hostile::wait_until_read;
use super::open_to_all;
use super::with_login;
use super::SLOW;
use crate::harness::client::Client;
use crate::harness::configuration::AMQP_PATH;
use crate::harness::ending::expect_ending;
use crate::harness::extended;
use crate::harness::extended::PROCEED;
use crate::harness::gateway::Gateway;
use crate::harness::opening::Opening;
use crate::harness::refusal::expect_refusal;
use crate::harness::users::UsersFile;
use crate::harness::websocket;
use crate::harness::websocket::Frame;
use crate::harness::websocket::BINARY;
use crate::harness::websocket::CLOSE;
use crate::harness::websocket::TEXT;
use crate::harness::CLOSE_DEADLINE;
use crate::harness::DEADLINE;

/// How far a client comes before it leaves.
#[derive(Debug, Clone, Copy)]
enum Phase {
    Opened,
    HalfARequest,
    Challenged,
    Checked,
}

const PHASES: [Phase; 4] = [
    Phase::Opened,
    Phase::HalfARequest,
    Phase::Challenged,
    Phase::Checked,
];

#[track_caller]
fn come_to(phase: Phase, gateway: &Gateway) -> Client {
    let mut client = extended::begin(gateway, AMQP_PATH);
    match phase {
        Phase::Opened => {}
        Phase::HalfARequest => {
            client.send(&Frame::unfinished(TEXT, b"GET / HTTP/1.1\r\n").encode());
        }
        Phase::Challenged => assert_eq!(extended::ask(&mut client, &[]).status, 401),
        Phase::Checked => {
            client.send_text(&extended::request(&[("Authorization", SLOW)]));
            wait_until_read(gateway, &client);
        }
    }
    client
}

#[track_caller]
fn expect_abandoned(gateway: &Gateway) {
    gateway.wait_metric(&extended::outcome("specification", "abandoned"), 1.0);
    let sum = gateway
        .metrics()
        .sum("smeuse_handshakes_total{handshake=\"extended\"}");
    assert_eq!(sum, 1.0, "counted twice");
}

/// A Close frame of the client's is answered in every phase, and the handshake counts as abandoned.
#[test]
fn a_close_is_answered_in_every_phase() {
    for phase in PHASES {
        let (broker, gateway, _file) = with_login("");
        let mut client = come_to(phase, &gateway);
        client.send_close(4000, "never mind");
        let closed = client.read_to_close();
        assert_eq!(closed.code, Some(4000), "{phase:?}: {closed:?}");
        assert!(closed.before.is_empty(), "{phase:?}: {closed:?}");
        client.expect_end(CLOSE_DEADLINE);
        expect_ending(&gateway, "amqp", "client", "closed", Some(4000));
        expect_abandoned(&gateway);
        assert_eq!(broker.accepted(), 0);
    }
}

/// A socket that is cut in any phase leaves nothing.
#[test]
fn a_cut_socket_leaves_nothing_in_any_phase() {
    for phase in PHASES {
        for reset in [true, false] {
            let (broker, gateway, _file) = with_login("");
            let client = come_to(phase, &gateway);
            if reset {
                client.reset();
            } else {
                drop(client);
            }
            expect_ending(&gateway, "amqp", "client", "lost", None);
            expect_abandoned(&gateway);
            assert_eq!(gateway.metrics().sum("smeuse_handshakes_in_progress"), 0.0);
            assert_eq!(broker.accepted(), 0);
        }
    }
}

/// SIGTERM: a handshake that is going on when the time is over ends with 1001, as sessions do.
#[test]
fn a_drain_ends_a_handshake_that_is_going_on() {
    for phase in PHASES {
        let drain = "[drain]\ndeadline = \"200ms\"\nspread = \"0s\"\n";
        let (_broker, mut gateway, _file) = with_login(drain);
        let mut client = come_to(phase, &gateway);
        gateway.signal("TERM");
        let reason = client.expect_close_and_answer(1001);
        assert!(reason.contains("reconnect"), "{phase:?}: {reason}");
        assert!(gateway.exit_status(DEADLINE / 2).success(), "{phase:?}");
    }
}

/// A request that comes while the gateway drains is refused at once, for the client to go elsewhere.
#[test]
fn a_request_while_draining_is_503_and_1001() {
    let drain = "[drain]\ndeadline = \"60s\"\nspread = \"1s\"\n";
    let (_broker, mut gateway) = open_to_all(drain);
    let mut client = extended::begin(&gateway, AMQP_PATH);
    gateway.signal("TERM");
    gateway.log_line("draining", |_| true);
    client.send_text(extended::PLAIN_REQUEST);
    let response = extended::expect_refusal(&mut client, 503, "draining");
    assert!(response.header("Retry-After").is_some(), "{response:?}");
    assert!(!client.expect_close_and_answer(1001).is_empty());
    assert!(gateway.exit_status(DEADLINE / 2).success());
}

/// An operator can end a session whose handshake goes on.
#[test]
fn an_operator_ends_a_handshake() {
    let (_broker, gateway) = open_to_all("");
    let mut client = extended::begin(&gateway, AMQP_PATH);
    gateway.end_all_sessions();
    client.expect_close_and_answer(4100);
    expect_ending(&gateway, "amqp", "operator", "ended", Some(4100));
    expect_abandoned(&gateway);
}

/// The legacy dialect is counted by itself: a client that leaves behind the first "proceed".
#[test]
fn the_legacy_dialect_is_counted_apart() {
    let (_broker, gateway) = open_to_all("");
    let opening = Opening::new(gateway.public(), &format!("{AMQP_PATH}?.kl=Y"))
        .subprotocols(extended::SUBPROTOCOL);
    let mut client = Client::open_by(&opening, gateway.public());
    client.expect_frame(BINARY, PROCEED);
    client.reset();
    gateway.wait_metric(&extended::outcome("legacy", "abandoned"), 1.0);
    assert_eq!(
        gateway.metric(&extended::outcome("specification", "abandoned")),
        0.0
    );
}

/// A session takes its place among the limits from its opening on, and gives it back whatever came of the handshake.
#[test]
fn a_handshake_takes_a_place_among_the_sessions() {
    let (_broker, gateway) = open_to_all("[limits]\nsessions = 1\n");
    for is_refused in [true, false] {
        let mut client = extended::begin(&gateway, AMQP_PATH);
        let opening = Opening::new(gateway.public(), AMQP_PATH).subprotocols("amqp");
        expect_refusal(&gateway, &opening.bytes(), 503, "too_many_sessions");
        if is_refused {
            client.send_text("no request");
            extended::expect_refusal(&mut client, 400, "request_malformed");
            client.expect_close_and_answer(1002);
        } else {
            client.reset();
        }
        gateway.wait_nothing_left();
    }
    Client::open(gateway.public(), AMQP_PATH);
}

/// A request and a Close frame in one packet, credentials with it or not: the Close is answered, and the session counts
/// once, as whatever came first.
#[test]
fn a_request_and_a_close_in_one_packet() {
    for (credentials, outcome) in [(None, "accepted"), (Some(SLOW), "abandoned")] {
        let (_broker, gateway, _file) = if credentials.is_some() {
            with_login("")
        } else {
            let (broker, gateway) = open_to_all("");
            (broker, gateway, UsersFile::new(""))
        };
        let headers: Vec<_> = credentials
            .map(|value| ("Authorization", value))
            .into_iter()
            .collect();
        let request = websocket::frame(TEXT, extended::request(&headers).as_bytes());
        let close = websocket::frame(CLOSE, &websocket::close_payload(4000, "bye"));
        let mut client = extended::begin(&gateway, AMQP_PATH);
        client.send(&[request, close].concat());
        let closed = client.read_to_close();
        assert_eq!(closed.code, Some(4000), "{closed:?}");
        client.expect_end(CLOSE_DEADLINE);
        expect_ending(&gateway, "amqp", "client", "closed", Some(4000));
        let series = extended::outcome("specification", outcome);
        assert_eq!(gateway.metric(&series), 1.0);
    }
}

/// Both handshakes of a session are counted, each once and with its time.
#[test]
fn both_handshakes_are_counted_once() {
    let (_broker, gateway) = open_to_all("");
    let mut client = extended::begin(&gateway, AMQP_PATH);
    assert_eq!(extended::ask(&mut client, &[]).status, 101);
    client.send_close(1000, "");
    client.read_to_close();
    gateway.wait_nothing_left();
    let metrics = gateway.metrics();
    assert_eq!(metrics.sum("smeuse_handshakes_total"), 2.0);
    for (handshake, dialect) in [("opening", "none"), ("extended", "specification")] {
        let labels = format!("dialect=\"{dialect}\",handshake=\"{handshake}\"");
        let accepted = format!("smeuse_handshakes_total{{{labels},outcome=\"accepted\"}}");
        assert_eq!(metrics.value(&accepted), 1.0, "{accepted}");
        let times = format!("smeuse_handshake_duration_seconds_count{{{labels}}}");
        assert_eq!(metrics.value(&times), 1.0, "{times}");
    }
}
