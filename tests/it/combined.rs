//! Everything in one handshake: extensions and credentials in the opening request, for clients that can set headers; and
//! the services that take only one of the two ways.

use crate::harness::amqp;
use crate::harness::broker::Broker;
use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::AMQP_PATH;
use crate::harness::configuration::ECHO_PATH;
use crate::harness::extended;
use crate::harness::extended::SUBPROTOCOL;
use crate::harness::gateway::Gateway;
use crate::harness::http::Response;
use crate::harness::opening::Opening;
use crate::harness::page::Page;
use crate::harness::refusal::expect_refusal;
use crate::harness::users;
use crate::harness::users::BOB;
use crate::harness::users::JOE;
use crate::harness::users::JOE_WRONG;
use crate::harness::users::TOKEN;
use crate::harness::users::USERS;
use crate::harness::websocket::BINARY;

const EXTENSIONS: &str = "Sec-WebSocket-Extensions";

/// The series that counts handshakes in which more than a subprotocol was agreed on at once.
const COMBINED: &str =
    "smeuse_handshakes_total{dialect=\"none\",handshake=\"combined\",outcome=\"accepted\"}";

fn echo(lines: &str) -> Gateway {
    Gateway::start(&configuration::echo_with_lines(lines))
}

/// A service that asks for a login, by schemes written as a TOML list.
fn with_login(schemes: &str) -> Gateway {
    echo(&users::login(
        USERS,
        schemes,
        ", allow = [\"joe\", \"dashboard\"]",
    ))
}

fn opening(gateway: &Gateway) -> Opening {
    Opening::new(gateway.public(), ECHO_PATH)
}

#[track_caller]
fn accepted(gateway: &Gateway, opening: &Opening) -> (Client, Response) {
    let mut client = Client::connect(gateway.public());
    client.send(&opening.bytes());
    let response = client.response();
    assert_eq!(response.status, 101, "{response:?}");
    (client, response)
}

#[track_caller]
fn refused(gateway: &Gateway, opening: &Opening, status: u16, code: &str) -> Response {
    expect_refusal(gateway, &opening.bytes(), status, code)
}

/// The 101 names the agreed extensions, each on a line of its own, in the order of the offers.
#[test]
fn agreed_extensions_stand_in_the_101_one_a_line() {
    let gateway = echo("idle_timeout = \"7s\"");
    let offers = [
        "smeuse-sequence, acme-unknown; a=1, x-kaazing-idle-timeout",
        "x-kaazing-ping-pong, permessage-deflate; client_max_window_bits",
    ];
    let opening = opening(&gateway)
        .with(EXTENSIONS, offers[0])
        .with(EXTENSIONS, offers[1]);
    let (mut client, response) = accepted(&gateway, &opening);
    assert_eq!(
        extended::agreed(&response),
        [
            "smeuse-sequence",
            "x-kaazing-idle-timeout; timeout=7000",
            "x-kaazing-ping-pong; 01010102"
        ]
    );
    assert_eq!(response.header("Sec-WebSocket-Protocol"), None);
    client.send_binary(b"00000000hello");
    client.expect_message(BINARY, b"00000000hello");
    gateway.wait_metric(COMBINED, 1.0);
}

/// With a subprotocol as well.
#[test]
fn a_subprotocol_is_agreed_besides() {
    let gateway = echo("");
    let opening = opening(&gateway)
        .subprotocols("anything")
        .with(EXTENSIONS, "smeuse-sequence");
    let (_client, response) = accepted(&gateway, &opening);
    assert_eq!(response.header("Sec-WebSocket-Protocol"), Some("anything"));
    assert_eq!(response.header(EXTENSIONS), Some("smeuse-sequence"));
}

/// Nothing of it: plain AMQP as ever, without a word of extensions in the 101.
#[test]
fn without_any_of_it_plain_amqp_is_spoken() {
    let broker = Broker::polite();
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    let opening = Opening::new(gateway.public(), AMQP_PATH).subprotocols("amqp");
    let (client, response) = accepted(&gateway, &opening);
    assert_eq!(response.header(EXTENSIONS), None);
    let mut page = Page::over(client).logged_in(&crate::harness::negotiation::Login::default());
    page.open_channel(1);
    page.send(&amqp::connection_close(200, ""));
    page.expect_method(amqp::CONNECTION_CLOSE_OK);
    page.read_to_end().expect_code(1000);
    let metrics = gateway.metrics();
    assert_eq!(metrics.value(COMBINED), 0.0);
    assert_eq!(metrics.sum("smeuse_extension_offers_total"), 0.0);
    let plain =
        "smeuse_handshakes_total{dialect=\"none\",handshake=\"opening\",outcome=\"accepted\"}";
    assert_eq!(metrics.value(plain), 1.0);
}

/// The scheme `basic` is asked by HTTP, a line of `WWW-Authenticate` for it alone (RFC 7617 section 2).
#[test]
fn basic_credentials_are_asked_for_by_a_401() {
    let gateway = with_login("[\"application-basic\", \"basic\", \"application-token\"]");
    let response = refused(&gateway, &opening(&gateway), 401, "credentials_required");
    let challenges = extended::lines(&response, "WWW-Authenticate");
    assert_eq!(challenges.len(), 1, "{response:?}");
    assert_eq!(challenges[0], "Basic charset=\"UTF-8\", realm=\"Smeuse\"");

    let wrong = opening(&gateway).with("Authorization", JOE_WRONG);
    let response = refused(&gateway, &wrong, 401, "credentials_wrong");
    assert_eq!(extended::lines(&response, "WWW-Authenticate").len(), 1);
    let unreadable = opening(&gateway).with("Authorization", "Basic !");
    refused(&gateway, &unreadable, 401, "credentials_wrong");
    let forbidden = opening(&gateway).with("Authorization", BOB);
    refused(&gateway, &forbidden, 403, "forbidden");

    let (mut client, _) = accepted(&gateway, &opening(&gateway).with("Authorization", JOE));
    client.send_binary(b"hello");
    client.expect_message(BINARY, b"hello");
    gateway.wait_metric(COMBINED, 1.0);
}

/// Schemes that are asked inside the WebSocket cannot be asked by HTTP: 403. Who knows the answer may still give it.
#[test]
fn application_schemes_ask_for_the_extended_handshake() {
    let gateway = with_login("[\"application-basic\", \"application-token\"]");
    let response = refused(
        &gateway,
        &opening(&gateway),
        403,
        "extended_handshake_required",
    );
    assert_eq!(response.header("WWW-Authenticate"), None);
    let wrong = opening(&gateway).with("Authorization", JOE_WRONG);
    refused(&gateway, &wrong, 403, "credentials_refused");
    for right in [JOE, TOKEN] {
        accepted(&gateway, &opening(&gateway).with("Authorization", right));
    }
    gateway.wait_metric(COMBINED, 2.0);
}

/// An `Authorization` of the opening counts in the extended handshake until the first challenge.
#[test]
fn credentials_of_the_opening_count_in_the_extended_handshake() {
    let gateway = with_login("[\"application-basic\"]");
    let extended_opening = opening(&gateway).subprotocols(SUBPROTOCOL);
    let right = extended_opening.clone().with("Authorization", JOE);
    let (mut client, _) = accepted(&gateway, &right);
    assert_eq!(extended::ask(&mut client, &[]).status, 101);

    let wrong = extended_opening.with("Authorization", JOE_WRONG);
    let (mut client, _) = accepted(&gateway, &wrong);
    let challenge = extended::ask(&mut client, &[]);
    assert!(
        challenge.body.starts_with("credentials_wrong"),
        "{challenge:?}"
    );
    let challenge = extended::ask(&mut client, &[]);
    assert!(
        challenge.body.starts_with("credentials_required"),
        "{challenge:?}"
    );
    let response = extended::ask(&mut client, &[("Authorization", JOE)]);
    assert_eq!(response.status, 101, "{response:?}");
}

/// An offer that breaks the rules of its extension, or the grammar (RFC 6455 section 9.1).
#[test]
fn malformed_offers_are_400() {
    let gateway = echo("");
    for offer in ["smeuse-sequence; a=1", "x-kaazing-ping-pong; 01010102"] {
        let opening = opening(&gateway).with(EXTENSIONS, offer);
        refused(&gateway, &opening, 400, "extension_malformed");
    }
    for offer in ["a b", "; a", "a; b=\"", "a,,b c"] {
        let opening = opening(&gateway).with(EXTENSIONS, offer);
        refused(&gateway, &opening, 400, "header_malformed");
    }
}

/// `require_extensions`: 404 without one of them, offered badly or not at all.
#[test]
fn required_extensions_are_required() {
    let gateway = echo("require_extensions = [\"smeuse-sequence\", \"x-kaazing-ping-pong\"]");
    refused(&gateway, &opening(&gateway), 404, "extension_required");
    let half = opening(&gateway).with(EXTENSIONS, "smeuse-sequence");
    let response = refused(&gateway, &half, 404, "extension_required");
    assert!(
        response.body.contains("x-kaazing-ping-pong"),
        "{response:?}"
    );
    let all = opening(&gateway).with(EXTENSIONS, "x-kaazing-ping-pong, smeuse-sequence");
    accepted(&gateway, &all);
}

/// `services.extensions`: what the service does not list is declined.
#[test]
fn extensions_that_the_service_does_not_list_are_declined() {
    let lines = "extensions = [\"smeuse-sequence\"]\npage_extensions = []";
    let gateway = echo(lines);
    let opening = opening(&gateway).with(EXTENSIONS, "x-kaazing-ping-pong, smeuse-sequence");
    let (_client, response) = accepted(&gateway, &opening);
    assert_eq!(extended::agreed(&response), ["smeuse-sequence"]);
}

/// `negotiation = "double"`: only clients that offer the extended handshake.
#[test]
fn double_takes_only_the_extended_handshake() {
    let gateway = echo("negotiation = \"double\"");
    for offered in [None, Some("amqp")] {
        let mut opening = opening(&gateway).with(EXTENSIONS, "smeuse-sequence");
        if let Some(offered) = offered {
            opening = opening.subprotocols(offered);
        }
        refused(&gateway, &opening, 403, "extended_handshake_required");
    }
    let mut client = extended::begin(&gateway, ECHO_PATH);
    assert_eq!(extended::ask(&mut client, &[]).status, 101);
}

/// `negotiation = "combined"`: the extended handshake is passed over, like any subprotocol that is not spoken here.
#[test]
fn combined_passes_the_extended_handshake_over() {
    let broker = Broker::polite();
    let lines = "negotiation = \"combined\"";
    let gateway = Gateway::start(&configuration::amqp_with_lines(broker.uri(), lines));
    let opening = Opening::new(gateway.public(), AMQP_PATH);
    let both = opening.clone().subprotocols("x-kaazing-handshake, amqp");
    let (client, response) = accepted(&gateway, &both);
    assert_eq!(response.header("Sec-WebSocket-Protocol"), Some("amqp"));
    let mut page = Page::over(client);
    page.send(amqp::HEADER);
    page.expect_method(amqp::START);
    let alone = opening.subprotocols(SUBPROTOCOL);
    refused(&gateway, &alone, 400, "subprotocol_not_acceptable");
}

/// `redirect`: a client that can follow a 302 of HTTP gets one, with a URL of HTTP, its query, and a count that ends.
#[test]
fn clients_are_sent_elsewhere_by_http() {
    for (to, expected) in [
        (
            "ws://other.example.com/amqp",
            "http://other.example.com/amqp",
        ),
        (
            "wss://other.example.com/amqp",
            "https://other.example.com/amqp",
        ),
    ] {
        let gateway = echo(&format!("redirect = {{ to = \"{to}\", hops = 2 }}"));
        let at = |query: &str| Opening::new(gateway.public(), &format!("{ECHO_PATH}{query}"));
        let response = refused(&gateway, &at(""), 302, "redirected");
        let location = format!("{expected}?smeuse-hops=1");
        assert_eq!(response.header("Location"), Some(&location[..]));
        let response = refused(&gateway, &at("?a=b&smeuse-hops=1"), 302, "redirected");
        let location = format!("{expected}?a=b&smeuse-hops=2");
        assert_eq!(response.header("Location"), Some(&location[..]));
        refused(&gateway, &at("?smeuse-hops=2"), 503, "too_many_redirects");
    }
}
