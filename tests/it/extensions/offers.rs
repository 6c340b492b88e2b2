//! What becomes of offers inside the extended handshake, and that each is counted once.

use super::IDLE_TIMEOUT;
use super::PING_PONG;
use super::SEQUENCE;
use crate::harness::configuration;
use crate::harness::configuration::ECHO_PATH;
use crate::harness::ending::expect_ending;
use crate::harness::extended;
use crate::harness::gateway::Gateway;
use crate::harness::http::Response;

fn offers(extension: &str, outcome: &str) -> String {
    format!("smeuse_extension_offers_total{{extension=\"{extension}\",outcome=\"{outcome}\"}}")
}

#[track_caller]
fn answered(gateway: &Gateway, lines: &[&str]) -> Response {
    let mut client = extended::begin(gateway, ECHO_PATH);
    let headers: Vec<_> = lines
        .iter()
        .map(|line| ("Sec-WebSocket-Extensions", *line))
        .collect();
    extended::ask(&mut client, &headers)
}

/// Unknown names are declined and counted together, however many a client makes up.
#[test]
fn unknown_extensions_are_declined_and_counted_together() {
    let gateway = Gateway::start(&configuration::echo());
    let made_up: Vec<_> = (0..50)
        .map(|index| format!("acme-{index}; a={index}"))
        .collect();
    let offer = format!("{}, {SEQUENCE}, permessage-deflate", made_up.join(", "));
    let response = answered(&gateway, &[&offer]);
    assert_eq!(extended::agreed(&response), [SEQUENCE]);
    let metrics = gateway.metrics();
    assert_eq!(metrics.value(&offers("other", "declined")), 51.0);
    assert_eq!(metrics.value(&offers(SEQUENCE, "agreed")), 1.0);
    assert!(!gateway.admin("GET", "/metrics").body.contains("acme-"));
}

/// Of two offers of one name the first counts (RFC 7692 section 5 for its own), the other is declined; lines and commas
/// are the same.
#[test]
fn of_two_offers_of_one_name_the_first_counts() {
    let gateway = Gateway::start(&configuration::echo());
    let lists: [&[&str]; 2] = [
        &["smeuse-sequence, x-kaazing-ping-pong, smeuse-sequence"],
        &["smeuse-sequence", "x-kaazing-ping-pong", "smeuse-sequence"],
    ];
    for (count, lines) in lists.into_iter().enumerate() {
        let response = answered(&gateway, lines);
        assert_eq!(
            extended::agreed(&response),
            [SEQUENCE, "x-kaazing-ping-pong; 01010102"]
        );
        let count = count as f64 + 1.0;
        gateway.wait_metric(&offers(SEQUENCE, "agreed"), count);
        gateway.wait_metric(&offers(SEQUENCE, "declined"), count);
    }
}

/// An offer with what its extension does not take: 400, and 1002.
#[test]
fn a_malformed_offer_is_400() {
    for (name, offer) in [
        (SEQUENCE, "smeuse-sequence; from=5"),
        (PING_PONG, "x-kaazing-ping-pong; 01010102"),
        (IDLE_TIMEOUT, "x-kaazing-idle-timeout; timeout=1000"),
    ] {
        let gateway = Gateway::start(&configuration::echo());
        let mut client = extended::begin(&gateway, ECHO_PATH);
        client.send_text(&extended::request(&[("Sec-WebSocket-Extensions", offer)]));
        let response = extended::expect_refusal(&mut client, 400, "extension_malformed");
        assert!(response.body.contains(name), "{response:?}");
        client.expect_close_and_answer(1002);
        expect_ending(
            &gateway,
            "echo",
            "client",
            "handshake_malformed",
            Some(1002),
        );
        assert_eq!(gateway.metric(&offers(name, "malformed")), 1.0);
        assert_eq!(gateway.metrics().sum("smeuse_extension_sessions"), 0.0);
    }
}

/// What the service does not list is declined, known or not, and counted under its name.
#[test]
fn what_the_service_does_not_list_is_declined() {
    let lines = "extensions = [\"smeuse-sequence\"]\npage_extensions = []";
    let gateway = Gateway::start(&configuration::echo_with_lines(lines));
    let response = answered(&gateway, &["x-kaazing-ping-pong, smeuse-sequence"]);
    assert_eq!(extended::agreed(&response), [SEQUENCE]);
    assert_eq!(gateway.metric(&offers(PING_PONG, "declined")), 1.0);
}

/// Names of extensions are compared exactly (RFC 6455 section 9.1 has no folding).
#[test]
fn names_are_compared_exactly() {
    let gateway = Gateway::start(&configuration::echo());
    let response = answered(&gateway, &["Smeuse-Sequence, X-KAAZING-PING-PONG"]);
    assert!(extended::agreed(&response).is_empty(), "{response:?}");
}
