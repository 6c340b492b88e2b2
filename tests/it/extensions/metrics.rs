//! What extensions count, exactly, for exchanges that are known to the byte.

use super::numbered;
use super::EMULATED_PING;
use super::EMULATED_PONG;
use super::ESCAPE;
use super::IDLE_TIMEOUT;
use super::PING_PONG;
use super::SEQUENCE;
use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::ECHO_PATH;
use crate::harness::extended;
use crate::harness::gateway::Gateway;
use crate::harness::websocket;
use crate::harness::websocket::BINARY;
use crate::harness::websocket::TEXT;
use crate::harness::CLOSE_DEADLINE;

/// A series of this extension; the directions are those of all metrics.
fn series(name: &str, extension: &str, labels: &str) -> String {
    format!("smeuse_extension_{name}{{extension=\"{extension}\"{labels}}}")
}

const FROM_CLIENT: &str = ",direction=\"from_client\"";
const TO_CLIENT: &str = ",direction=\"to_client\"";

#[track_caller]
fn close(client: &mut Client) {
    client.send_close(1000, "");
    assert_eq!(client.read_to_close().code, Some(1000));
    client.expect_end(CLOSE_DEADLINE);
}

/// Every reason for a failure is there before the first one: a rule that looks at growth would not see it otherwise.
#[test]
fn failures_are_counted_from_zero() {
    let gateway = Gateway::start(&configuration::echo_with_lines(
        "page_only = [\"acme-measure\"]",
    ));
    let metrics = gateway.metrics();
    for (extension, reasons) in [
        (
            SEQUENCE,
            &["malformed", "duplicate", "reordered", "gap", "panic"][..],
        ),
        (IDLE_TIMEOUT, &["silent", "panic"]),
        (PING_PONG, &["unknown_control", "needless_escape", "panic"]),
        ("acme-measure", &["panic"]),
    ] {
        for reason in reasons {
            let label = format!(",reason=\"{reason}\"");
            let failures = metrics.value(&series("failures_total", extension, &label));
            assert_eq!(failures, 0.0, "{extension} {reason}");
        }
    }
}

/// Messages and bytes as the extension was handed them: from the client with their numbers, to it without.
#[test]
fn messages_and_bytes_are_counted_as_they_are_handed_over() {
    let gateway = Gateway::start(&configuration::echo());
    let mut client = extended::open(&gateway, ECHO_PATH, SEQUENCE);
    assert_eq!(gateway.metric(&series("sessions", SEQUENCE, "")), 1.0);
    for number in 0..10 {
        client.send(&websocket::frame(BINARY, &numbered(number, &[7; 100])));
        client.expect_message(BINARY, &numbered(number, &[7; 100]));
    }
    let message = numbered(10, b"in two");
    client.send(&extended::fragments(TEXT, &message, &[4]));
    client.expect_message(TEXT, &message);
    close(&mut client);
    gateway.wait_nothing_left();
    // The extension's actor ends after the session's.
    gateway.wait_metric(&series("sessions", SEQUENCE, ""), 0.0);
    let metrics = gateway.metrics();
    let value = |name: &str, labels: &str| metrics.value(&series(name, SEQUENCE, labels));
    assert_eq!(value("messages_total", FROM_CLIENT), 11.0);
    assert_eq!(value("messages_total", TO_CLIENT), 11.0);
    assert_eq!(value("bytes_total", FROM_CLIENT), 10.0 * 108.0 + 14.0);
    assert_eq!(value("bytes_total", TO_CLIENT), 10.0 * 100.0 + 6.0);
    assert!(value("processing_seconds_count", "") >= 20.0);
    assert_eq!(metrics.sum("smeuse_extension_failures_total"), 0.0);
    // The session counts what travels: the numbers with it.
    let relayed = metrics.value("smeuse_relayed_bytes_total{direction=\"to_client\"}");
    assert!(relayed >= 10.0 * 108.0 + 14.0, "{relayed}");
}

/// Control frames by kind and direction, and a round trip for every PONG that answers a PING.
#[test]
fn control_frames_and_round_trips_are_counted() {
    let soon = "[websocket]\nping_interval = \"150ms\"\nsilence_limit = \"20s\"\n";
    let gateway = Gateway::start(&(soon.to_owned() + &configuration::echo()));
    let mut client = extended::open(&gateway, ECHO_PATH, PING_PONG);
    for _ in 0..2 {
        client.expect_frame(TEXT, EMULATED_PING);
        client.send(&websocket::frame(TEXT, EMULATED_PONG));
    }
    // Nobody asked for this one.
    client.send(&websocket::frame(TEXT, EMULATED_PONG));
    client.send(&websocket::frame(TEXT, EMULATED_PING));
    client.expect_frame(TEXT, EMULATED_PONG);
    client.send(&websocket::frame(TEXT, ESCAPE));
    client.send(&websocket::frame(TEXT, ESCAPE));
    client.expect_frame(TEXT, ESCAPE);
    client.expect_frame(TEXT, ESCAPE);
    close(&mut client);
    gateway.wait_nothing_left();
    let metrics = gateway.metrics();
    for (direction, kind, count) in [
        (FROM_CLIENT, "ping", 1.0),
        (FROM_CLIENT, "pong", 3.0),
        (FROM_CLIENT, "escape", 1.0),
        (TO_CLIENT, "ping", 2.0),
        (TO_CLIENT, "pong", 1.0),
        (TO_CLIENT, "escape", 1.0),
    ] {
        let labels = format!("{direction},kind=\"{kind}\"");
        let series = series("control_frames_total", PING_PONG, &labels);
        assert_eq!(metrics.value(&series), count, "{series}");
    }
    let round_trips = series("round_trip_seconds_count", PING_PONG, "");
    assert_eq!(metrics.value(&round_trips), 2.0);
    let sum = metrics.value(&series("round_trip_seconds_sum", PING_PONG, ""));
    assert!(sum < 2.0, "{sum}");
}

/// What an extension does not claim goes past it and is not counted: BINARY past ping-pong, all past idle-timeout.
#[test]
fn what_goes_past_an_extension_is_not_counted() {
    let gateway = Gateway::start(&configuration::echo());
    let mut client = extended::open(&gateway, ECHO_PATH, &format!("{PING_PONG}, {IDLE_TIMEOUT}"));
    for _ in 0..20 {
        client.send_binary(b"binary");
        client.expect_message(BINARY, b"binary");
        client.send_text("hello");
        client.expect_message(TEXT, b"hello");
    }
    close(&mut client);
    gateway.wait_nothing_left();
    let metrics = gateway.metrics();
    assert_eq!(metrics.sum("smeuse_extension_messages_total"), 0.0);
    assert_eq!(metrics.sum("smeuse_extension_bytes_total"), 0.0);
}
