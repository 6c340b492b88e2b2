//! Tests of the extended handshake as a value: the dialogues that Rust and JavaScript share, byte for byte, and
//! sequences of events that no client should send.

use std::sync::Arc;

use prometheus::Registry;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::handshake::config::Kind;
use crate::handshake::login;
use crate::pipeline::catalogue;
use crate::pipeline::Metrics;

const VECTORS: &str = include_str!("../../../tests/vectors/extended.json");
const USERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/users.toml");

fn catalogue() -> Catalogue {
    Catalogue::new(
        catalogue::shipped(),
        Metrics::register(&Registry::new()).unwrap(),
    )
}

/// A service with these lines of its configuration, and its login.
fn service(lines: &str) -> (Service, Option<Login>) {
    let service: Service = toml::from_str(&lines.replace("USERS", USERS)).unwrap();
    let login = service
        .login
        .as_ref()
        .map(|config| Login::load(config).unwrap());
    (service, login)
}

fn opening(protocols: &str, extensions: Option<&str>, query: Option<&str>) -> Opening {
    let offered = parse_tokens([protocols]).unwrap();
    let own = |token: &String| token != EXTENDED_HANDSHAKE;
    Opening {
        service: 0,
        subprotocol: Some(EXTENDED_HANDSHAKE.to_owned()),
        key: "dGhlIHNhbXBsZSBub25jZQ==".to_owned(),
        offers: parse_offers(extensions).unwrap(),
        offered: offered.into_iter().filter(own).collect(),
        query: query.map(str::to_owned),
        authorization: None,
    }
}

/// One side of a conversation: an [`Extended`] with what it is decided by.
struct Gateway {
    extended: Extended,
    service: Service,
    login: Option<Arc<Login>>,
    catalogue: Catalogue,
    date: String,
    is_draining: bool,
}

impl Gateway {
    fn new(opening: &Opening, lines: &str) -> Self {
        let (service, login) = service(lines);
        let vectors: Value = serde_json::from_str(VECTORS).unwrap();
        let text = |key: &str| vectors[key].as_str().unwrap().to_owned();
        Self {
            extended: Extended::new(opening, text("accept")),
            service,
            login: login.map(Arc::new),
            catalogue: catalogue(),
            date: text("date"),
            is_draining: false,
        }
    }

    fn step(&mut self, f: impl FnOnce(&mut Extended, &Context<'_>) -> Step) -> Step {
        f(
            &mut self.extended,
            &Context {
                service: &self.service,
                login: self.login.as_deref(),
                catalogue: &self.catalogue,
                address: [127, 0, 0, 1].into(),
                is_draining: self.is_draining,
                date: &self.date,
            },
        )
    }

    /// Takes a message, and checks credentials as the session does.
    fn message(&mut self, bytes: &[u8]) -> (Vec<Vec<u8>>, Next) {
        let step = self.step(|extended, context| extended.message(bytes, context));
        self.settle(step)
    }

    fn settle(&mut self, step: Step) -> (Vec<Vec<u8>>, Next) {
        match step {
            Step::Send(messages, next) => (messages, next),
            Step::Check(credentials) => {
                let login = self.login.clone().unwrap();
                let verdict = match login.verify(&credentials) {
                    login::Verdict::Accepted(principal) => Verdict::Accepted(principal),
                    login::Verdict::Refused => Verdict::Refused,
                    login::Verdict::Forbidden(_) => Verdict::Forbidden,
                };
                let step = self.step(|extended, context| extended.verdict(verdict, context));
                self.settle(step)
            }
        }
    }

    fn code(&mut self, text: &str) -> &'static str {
        match self.message(text.as_bytes()).1 {
            Next::End(refusal) => refusal.code(),
            Next::Credentials => "credentials",
            Next::Data(_) => "data",
            Next::Request => "request",
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn every_dialogue_of_the_vectors_is_spoken_byte_for_byte() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let dialogues = vectors["dialogues"].as_array().unwrap();
    assert!(dialogues.len() >= 35);
    for dialogue in dialogues {
        let name = format!("{}: {}", dialogue["dialect"], dialogue["name"]);
        let first = &dialogue["opening"];
        let protocols = first["protocols"].as_str().unwrap();
        let opening = opening(
            protocols,
            first["extensions"].as_str(),
            first["query"].as_str(),
        );
        let mut gateway = Gateway::new(&opening, dialogue["service"].as_str().unwrap());
        let step = gateway.step(|extended, context| extended.greet(context));
        let (mut sent, mut next) = gateway.settle(step);
        let mut spoken = sent.drain(..).collect::<std::collections::VecDeque<_>>();
        for message in dialogue["messages"].as_array().unwrap() {
            let expected = message["text"].as_str().unwrap();
            if message["from"] == "client" {
                assert!(spoken.is_empty(), "{name}: {spoken:?} is too much");
                let answer = gateway.message(expected.as_bytes());
                spoken.extend(answer.0);
                next = answer.1;
            } else {
                let found = spoken
                    .pop_front()
                    .unwrap_or_else(|| panic!("{name}: {expected}"));
                assert_eq!(text(&found), expected, "{name}");
            }
        }
        assert!(spoken.is_empty(), "{name}: {spoken:?} is too much");
        let end = &dialogue["end"];
        match next {
            Next::Data(agreement) => {
                let data = &end["data"];
                let protocol = agreement.subprotocol.unwrap_or_default();
                assert_eq!(data["protocol"], protocol.as_str(), "{name}");
                let extensions: Vec<String> = agreement
                    .extensions
                    .iter()
                    .map(|a| a.answer.to_string())
                    .collect();
                assert_eq!(data["extensions"], serde_json::json!(extensions), "{name}");
            }
            Next::End(refusal) => {
                assert!(end["close"].is_u64(), "{name}: {refusal}");
                if let Some(status) = end["status"].as_u64() {
                    assert_eq!(u64::from(refusal.status()), status, "{name}");
                }
            }
            other => panic!("{name} ends with {other:?}"),
        }
    }
}

#[test]
fn the_response_to_the_javascript_client_has_the_length_of_the_java_gateways() {
    let mut gateway = Gateway::new(&opening(EXTENDED_HANDSHAKE, None, Some(".kl=Y")), "");
    let request = b"Sec-WebSocket-Extensions: x-kaazing-idle-timeout,x-kaazing-ping-pong\r\n\r\n";
    let (messages, _) = gateway.message(request);
    // 322 with "Kaazing Gateway" and timeout=2000, by kaazing's own scripts.
    let longer = "timeout=30000".len() - "timeout=2000".len();
    let shorter = "Kaazing Gateway".len() - "Smeuse".len();
    assert_eq!(messages[0].len(), 322 + longer - shorter);
}

#[test]
fn credentials_of_the_opening_are_tried_once() {
    let lines = r#"login = { users = "USERS", attempts = 1 }"#;
    let mut opening = opening(EXTENDED_HANDSHAKE, None, None);
    opening.authorization = Some(Secret::new("Basic am9lOndlbGNvbWU="));
    assert_eq!(Gateway::new(&opening, lines).code("\r\n"), "data");

    opening.authorization = Some(Secret::new("Basic am9lOndyb25n"));
    let mut gateway = Gateway::new(&opening, lines);
    assert_eq!(gateway.code("\r\n"), "credentials");
    assert_eq!(gateway.extended.challenges(), 1);
    assert_eq!(gateway.code("\r\n"), "credentials_refused");
}

#[test]
fn a_message_while_credentials_are_checked_is_too_early() {
    let lines = r#"login = { users = "USERS" }"#;
    let mut gateway = Gateway::new(&opening(EXTENDED_HANDSHAKE, None, None), lines);
    let request = b"Authorization: Basic am9lOndlbGNvbWU=\r\n\r\n";
    let step = gateway.step(|extended, context| extended.message(request, context));
    assert!(matches!(step, Step::Check(_)));
    assert_eq!(gateway.code("\r\n"), "message_too_early");
    // And the verdict that comes afterwards opens nothing.
    let step = gateway.step(|extended, context| extended.verdict(Verdict::Refused, context));
    assert!(matches!(step, Step::Send(_, Next::End(_))));
}

#[test]
fn what_the_gateway_cannot_do_now_is_503() {
    let lines = r#"login = { users = "USERS" }"#;
    let mut gateway = Gateway::new(&opening(EXTENDED_HANDSHAKE, None, None), lines);
    gateway.is_draining = true;
    assert_eq!(gateway.code("\r\n"), "draining");

    let mut gateway = Gateway::new(&opening(EXTENDED_HANDSHAKE, None, None), lines);
    let request = b"Authorization: Basic am9lOndlbGNvbWU=\r\n\r\n";
    gateway.step(|extended, context| extended.message(request, context));
    let step = gateway.step(|extended, context| extended.verdict(Verdict::Unavailable, context));
    let Step::Send(messages, Next::End(refusal)) = step else {
        panic!("{step:?}");
    };
    assert_eq!(refusal, Refusal::LoginUnavailable);
    assert!(text(&messages[0]).contains("\r\nRetry-After: 5\r\n"));
}

#[test]
fn an_echo_speaks_any_subprotocol_and_never_the_handshakes_own() {
    let mut gateway = Gateway::new(&opening("x-kaazing-handshake, chat", None, None), "");
    gateway.service.kind = Kind::Echo;
    let (_, next) = gateway.message(b"Sec-WebSocket-Protocol: x-kaazing-handshake, b\r\n\r\n");
    let Next::Data(agreement) = next else {
        panic!("{next:?}");
    };
    assert_eq!(agreement.subprotocol.as_deref(), Some("b"));
}

#[test]
fn headers_have_their_places() {
    let code = |line: &str| {
        let mut gateway = Gateway::new(&opening(EXTENDED_HANDSHAKE, None, None), "");
        gateway.code(&format!("GET / HTTP/1.1\r\n{line}\r\n\r\n"))
    };
    for name in OUT_OF_PLACE.iter().chain(&["Proxy-Authorization", "VIA"]) {
        assert_eq!(code(&format!("{name}: x")), "header_out_of_place", "{name}");
    }
    for name in ["Cookie", "User-Agent", "Accept-Language", "X-Own", "Date"] {
        assert_eq!(code(&format!("{name}: x")), "data", "{name}");
    }
    assert_eq!(code("Sec-WebSocket-Protocol: a, a"), "header_malformed");
    let twice = "Authorization: Basic a\r\nAuthorization: Basic b";
    assert_eq!(code(twice), "data", "nobody asks");
    let lines = r#"login = { users = "USERS" }"#;
    let mut gateway = Gateway::new(&opening(EXTENDED_HANDSHAKE, None, None), lines);
    assert_eq!(
        gateway.code(&format!("{twice}\r\n\r\n")),
        "header_malformed"
    );
}

#[derive(Debug, Clone)]
enum Event {
    Message(Vec<u8>),
    Verdict(u8),
    TooEarly,
}

fn event() -> impl Strategy<Value = Event> {
    let request = "(GET /a HTTP/1.1\r\n)?(Sec-WebSocket-Protocol: (amqp|mqtt|)\r\n)?(Authorization: (Basic am9lOndlbGNvbWU=|x)\r\n)?(Sec-WebSocket-Extensions: (x-kaazing-ping-pong|a|)\r\n)?(\r\n)?";
    prop_oneof![
        4 => request.prop_map(|text| Event::Message(text.into_bytes())),
        1 => proptest::collection::vec(any::<u8>(), 0..40).prop_map(Event::Message),
        3 => (0u8..4).prop_map(Event::Verdict),
        1 => Just(Event::TooEarly),
    ]
}

proptest! {
    /// Whatever the order: the handshake ends once, credentials are asked for as often as they may be and not more,
    /// nobody who was not accepted gets in, and after the end nothing but refusals comes.
    #[test]
    fn no_sequence_of_events_gets_past_the_login(
        events in proptest::collection::vec(event(), 1..12),
        legacy in any::<bool>(),
    ) {
        let query = legacy.then_some(".kl=Y");
        let lines = r#"login = { users = "USERS", attempts = 2 }"#;
        let mut gateway = Gateway::new(&opening("x-kaazing-handshake, amqp", None, query), lines);
        gateway.step(|extended, context| extended.greet(context));
        let (mut checking, mut accepted, mut over) = (false, false, false);
        for event in events {
            let was_checking = checking;
            let (step, is_verdict) = match event {
                Event::Message(bytes) => {
                    (gateway.step(|extended, context| extended.message(&bytes, context)), false)
                }
                Event::TooEarly => (gateway.step(|extended, _| extended.too_early()), false),
                Event::Verdict(number) => {
                    let verdict = match number {
                        0 => Verdict::Accepted(Principal { name: "joe".to_owned(), scheme: "basic" }),
                        1 => Verdict::Refused,
                        2 => Verdict::Forbidden,
                        _ => Verdict::Unavailable,
                    };
                    accepted |= was_checking && number == 0;
                    checking = false;
                    (gateway.step(|extended, context| extended.verdict(verdict, context)), true)
                }
            };
            match step {
                Step::Check(_) => {
                    prop_assert!(!over && !was_checking && !is_verdict);
                    checking = true;
                }
                Step::Send(messages, next) => {
                    let is_end = matches!(next, Next::Data(_) | Next::End(_));
                    if let Next::Data(agreement) = &next {
                        prop_assert!(accepted && !over);
                        prop_assert!(agreement.principal.is_some());
                    }
                    if over {
                        prop_assert!(matches!(next, Next::End(_)));
                    }
                    if legacy && matches!(next, Next::Credentials) {
                        prop_assert_eq!(messages.last(), Some(&Vec::new()));
                    }
                    over |= is_end;
                    if is_end {
                        checking = false;
                    }
                }
            }
            prop_assert!(gateway.extended.challenges() <= 2);
        }
    }
}

#[test]
fn a_client_that_may_log_in_by_amqp_is_let_through_without_credentials_and_not_with_wrong_ones() {
    let (service, login) = service(
        "name = \"amqp\"\nkind = \"amqp\"\npaths = [\"/\"]\n\
         login = { users = \"USERS\", schemes = [\"amqp\", \"application-basic\"] }",
    );
    let catalogue = catalogue();
    let context = Context {
        service: &service,
        login: login.as_ref(),
        catalogue: &catalogue,
        address: [127, 0, 0, 1].into(),
        is_draining: false,
        date: "",
    };
    let handshake = || Extended::new(&opening(EXTENDED_HANDSHAKE, None, None), String::new());
    let step = handshake().message(b"GET / HTTP/1.1\r\n\r\n", &context);
    let Step::Send(_, Next::Data(agreement)) = step else {
        panic!("{step:?}");
    };
    assert_eq!(agreement.principal, None);
    let request = b"GET / HTTP/1.1\r\nAuthorization: Basic !\r\n\r\n";
    let step = handshake().message(request, &context);
    assert!(matches!(step, Step::Send(_, Next::Credentials)), "{step:?}");
}
