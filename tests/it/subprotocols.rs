//! Subprotocols (RFC 6455 sections 4.2.2 and 11.3.4; `ARCHITECTURE.md`, the decision on defaults): which name is
//! answered, and that none is that was not offered.

use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::AMQP_PATH;
use crate::harness::gateway::Gateway;
use crate::harness::opening::Opening;
use crate::harness::refusal::expect_refusal;

/// No session here gets as far as the broker.
fn gateway() -> Gateway {
    Gateway::start(&configuration::amqp("amqp://127.0.0.1:9"))
}

fn offering(gateway: &Gateway, lines: &[&str]) -> Opening {
    let opening = Opening::new(gateway.public(), AMQP_PATH);
    lines
        .iter()
        .fold(opening, |opening, line| opening.subprotocols(line))
}

#[track_caller]
fn answered(gateway: &Gateway, lines: &[&str]) -> Option<String> {
    let mut client = Client::connect(gateway.public());
    client.send(&offering(gateway, lines).bytes());
    let response = client.response();
    assert_eq!(response.status, 101, "{lines:?}: {response:?}");
    response.header("Sec-WebSocket-Protocol").map(str::to_owned)
}

/// Nothing offered: plain AMQP, and no header back.
#[test]
fn without_an_offer_there_is_no_answer() {
    assert_eq!(answered(&gateway(), &[]), None);
}

/// The first token that begins with `amqp` is answered as it was written.
#[test]
fn the_first_offer_that_begins_with_amqp_is_chosen() {
    let gateway = gateway();
    let cases: [(&[&str], &str); 7] = [
        (&["amqp"], "amqp"),
        (&["amqp091"], "amqp091"),
        (&["mqtt, amqp"], "amqp"),
        (&["amqp-first, amqp"], "amqp-first"),
        (&["amqp, amqp-first"], "amqp"),
        (&["mqtt,stomp", "amqp0-9-1", "amqp"], "amqp0-9-1"),
        (&["  mqtt ,\tamqp  ,"], "amqp"),
    ];
    for (lines, chosen) in cases {
        assert_eq!(
            answered(&gateway, lines).as_deref(),
            Some(chosen),
            "{lines:?}"
        );
    }
}

/// The choice is in the log line of the session.
#[test]
fn the_log_names_the_choice() {
    let gateway = gateway();
    answered(&gateway, &["mqtt, amqp091"]);
    let line = gateway.log_line("session opened", |_| true);
    assert_eq!(line["subprotocol"], "amqp091", "{line}");
}

/// Only unknown names: refused with a status, since a browser would fail a 101 without one of its names.
#[test]
fn only_unknown_offers_are_refused() {
    let gateway = gateway();
    let offers: [&[&str]; 4] = [
        &["mqtt"],
        &["mqtt, stomp"],
        &["mqtt", "xamqp"],
        &["v12.stomp, a, b, c"],
    ];
    for lines in offers {
        expect_refusal(
            &gateway,
            &offering(&gateway, lines).bytes(),
            400,
            "subprotocol_not_acceptable",
        );
    }
}

/// The extended handshake is chosen wherever it is offered, unless the service passes it over.
#[test]
fn the_extended_handshake_comes_first() {
    let gateway = gateway();
    for lines in [
        &["x-kaazing-handshake, amqp"][..],
        &["amqp", "x-kaazing-handshake"],
        &["x-kaazing-handshake"],
    ] {
        assert_eq!(
            answered(&gateway, lines).as_deref(),
            Some("x-kaazing-handshake")
        );
    }
}

/// 11.3.4: the value is a list of tokens; anything else is malformed, even beside a good name.
#[test]
fn an_offer_outside_the_grammar_is_malformed() {
    let gateway = gateway();
    for line in ["am qp", "amqp;q=1", "\"amqp\"", "amqp, mq/tt", "amqp\u{e9}"] {
        expect_refusal(
            &gateway,
            &offering(&gateway, &[line]).bytes(),
            400,
            "header_malformed",
        );
    }
}
