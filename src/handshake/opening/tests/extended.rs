//! Tests of what the opening handshake decides about the extended one: when it follows, and what is kept for it.

use super::*;
use crate::handshake::login;

/// Decision 10: the extended handshake wherever it is offered; what else was offered is kept for it.
#[test]
fn the_extended_handshake_is_chosen_wherever_it_is_offered() {
    for path in ["/amqp", "/echo"] {
        for line in ["x-kaazing-handshake, amqp", "amqp, x-kaazing-handshake"] {
            let opening = at(path, &[("Sec-WebSocket-Protocol", line)]).unwrap();
            assert!(opening.is_extended());
            assert_eq!(opening.offered, ["amqp"]);
        }
        let alone = at(path, &[("Sec-WebSocket-Protocol", EXTENDED_HANDSHAKE)]).unwrap();
        assert!(alone.is_extended() && alone.offered.is_empty());
    }
}

#[test]
fn a_service_can_fix_the_number_of_handshakes() {
    let choice = |negotiation, offered: &[&str]| {
        let offered: Vec<String> = offered.iter().map(|&token| token.to_owned()).collect();
        let service = Service {
            negotiation,
            ..Service::default()
        };
        choose(&service, &offered).map(|chosen| chosen.map(str::to_owned))
    };
    let both = [EXTENDED_HANDSHAKE, "amqp"];
    let chosen = |name: &str| Ok(Some(name.to_owned()));
    assert_eq!(choice(Negotiation::Auto, &both), chosen(EXTENDED_HANDSHAKE));
    assert_eq!(choice(Negotiation::Auto, &["amqp"]), chosen("amqp"));
    assert_eq!(
        choice(Negotiation::Double, &both),
        chosen(EXTENDED_HANDSHAKE)
    );
    for offered in [&["amqp"][..], &[]] {
        assert_eq!(
            choice(Negotiation::Double, offered),
            Err(Refusal::ExtendedHandshakeRequired)
        );
    }
    assert_eq!(choice(Negotiation::Combined, &both), chosen("amqp"));
    assert_eq!(
        choice(Negotiation::Combined, &[EXTENDED_HANDSHAKE]).map_err(|refusal| refusal.code()),
        Err("subprotocol_not_acceptable")
    );
    assert_eq!(choice(Negotiation::Combined, &[]), Ok(None));
}

#[test]
fn credentials_are_kept_where_the_service_asks_and_never_printed() {
    let opening = |lines: &[&str], asks: bool| {
        let service = Service {
            login: asks.then(|| login::Config::new("users.toml")),
            ..Service::default()
        };
        let headers = GOOD
            .iter()
            .copied()
            .chain(lines.iter().map(|line| ("authorization", *line)))
            .map(|(name, value)| (name, value.as_bytes()))
            .collect();
        let request = OpeningRequest {
            method: "GET",
            path: "/amqp",
            query: None,
            http_1_1: true,
            secure: false,
            headers: &headers,
        };
        negotiate(&request, &[service])
    };
    let kept = opening(&["Basic eA=="], true).unwrap();
    let authorization = kept.authorization.as_ref().map(Secret::expose);
    assert_eq!(authorization, Some("Basic eA=="));
    assert!(!format!("{kept:?}").contains("eA=="));
    assert_eq!(code(opening(&["a", "b"], true)), "header_malformed");
    assert_eq!(opening(&["a", "b"], false).unwrap().authorization, None);
}

#[test]
fn the_extended_handshake_is_preferred_where_it_is_spoken() {
    let offered = ["amqp", "x-kaazing-handshake"].map(str::to_owned);
    for kind in [Kind::Amqp, Kind::Echo] {
        assert_eq!(
            choose_subprotocol(kind, &offered, true),
            Ok(Some(EXTENDED_HANDSHAKE))
        );
        assert_eq!(choose_subprotocol(kind, &offered, false), Ok(Some("amqp")));
        assert_eq!(choose_subprotocol(kind, &[], true), Ok(None));
    }
    let other_case = ["X-Kaazing-Handshake".to_owned()];
    assert!(choose_subprotocol(Kind::Amqp, &other_case, true).is_err());
}
