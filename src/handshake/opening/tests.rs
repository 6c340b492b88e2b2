//! Tests of the opening handshake: RFC 6455 sections 4.1, 4.2 and 4.4, a clause per test, and the choice of
//! subprotocol. A request here is a good one with some of its lines replaced.

use super::*;
use crate::handshake::login;

const GOOD: [(&str, &str); 6] = [
    ("Host", "server.example.com"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Origin", "http://server.example.com"),
    ("Sec-WebSocket-Version", "13"),
];

fn services() -> Vec<Service> {
    let echo = Service {
        name: "echo".to_owned(),
        kind: Kind::Echo,
        paths: vec!["/echo".to_owned()],
        missing_origin: MissingOrigin::Refuse,
        ..Service::default()
    };
    vec![Service::default(), echo]
}

/// The good request at `path` with all lines named in `changed` left out and these put in their place.
fn bytes_at(path: &str, changed: &[(&str, &[u8])]) -> Result<Opening, Refusal> {
    let kept = GOOD.iter().filter(|(name, _)| {
        !changed
            .iter()
            .any(|(other, _)| other.eq_ignore_ascii_case(name))
    });
    // The marker stands for a header that is not sent at all.
    let added = changed.iter().filter(|(_, value)| *value != LEFT_OUT);
    let headers = kept
        .map(|(name, value)| (*name, value.as_bytes()))
        .chain(added.copied())
        .collect();
    let request = OpeningRequest {
        method: "GET",
        path,
        query: None,
        http_1_1: true,
        secure: false,
        headers: &headers,
    };
    negotiate(&request, &services())
}

const LEFT_OUT: &[u8] = b"(left out)";

fn at(path: &str, changed: &[(&str, &str)]) -> Result<Opening, Refusal> {
    let changed: Vec<_> = changed
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()))
        .collect();
    bytes_at(path, &changed)
}

fn with(changed: &[(&str, &str)]) -> Result<Opening, Refusal> {
    at("/amqp", changed)
}

fn without(name: &str) -> Result<Opening, Refusal> {
    bytes_at("/amqp", &[(name, LEFT_OUT)])
}

fn code(outcome: Result<Opening, Refusal>) -> &'static str {
    outcome.map_or_else(|refusal| refusal.code(), |_| "accepted")
}

fn subprotocol(path: &str, lines: &[&str]) -> Result<Option<String>, Refusal> {
    let lines: Vec<_> = lines
        .iter()
        .map(|line| ("Sec-WebSocket-Protocol", *line))
        .collect();
    at(path, &lines).map(|opening| opening.subprotocol)
}

/// RFC 6455 section 1.2, the example, without its subprotocols.
#[test]
fn a_good_request_is_accepted() {
    let expected = Opening {
        service: 0,
        subprotocol: None,
        key: "dGhlIHNhbXBsZSBub25jZQ==".to_owned(),
        offers: vec![],
        offered: vec![],
        query: None,
        authorization: None,
    };
    assert_eq!(with(&[]), Ok(expected));
}

#[test]
fn the_path_chooses_the_service() {
    for (path, service) in [
        ("/ws/amqp", 0),
        ("/amqp", 0),
        ("/ws", 0),
        ("/echo", 1),
        ("/%65cho", 1),
    ] {
        assert_eq!(
            at(path, &[]).map(|opening| opening.service),
            Ok(service),
            "{path}"
        );
        assert!(is_service_path(path, &services()), "{path}");
    }
    for path in ["/", "", "/ws/", "/WS", "/ws/amqp/x", "/ws%2Famqp"] {
        assert_eq!(
            at(path, &[]),
            Err(Refusal::PathNotFound {
                path: path.to_owned()
            })
        );
        assert!(!is_service_path(path, &services()), "{path}");
    }
}

/// Section 4.2.1 item 1: "An HTTP/1.1 or higher GET request".
#[test]
fn the_request_is_a_get() {
    let headers = GOOD
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()))
        .collect();
    for method in ["POST", "HEAD", "OPTIONS", "CONNECT", "get"] {
        let request = OpeningRequest {
            method,
            path: "/ws",
            query: None,
            http_1_1: true,
            secure: false,
            headers: &headers,
        };
        assert_eq!(
            negotiate(&request, &services()),
            Err(Refusal::MethodNotAllowed {
                method: method.to_owned()
            })
        );
    }
}

/// Section 4.2.1 item 1; RFC 7230 section 6.7: an `Upgrade` in an HTTP/1.0 request does not count.
#[test]
fn the_request_is_http_1_1() {
    let headers = GOOD
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()))
        .collect();
    let request = OpeningRequest {
        method: "GET",
        path: "/ws",
        query: None,
        http_1_1: false,
        secure: false,
        headers: &headers,
    };
    assert_eq!(code(negotiate(&request, &services())), "upgrade_malformed");
}

/// Section 4.2.1 item 2: "A |Host| header field containing the server's authority".
#[test]
fn host_is_one_authority() {
    assert_eq!(
        with(&[("Host", "[::1]:80"), ("Origin", "http://[::1]")]).map(|opening| opening.service),
        Ok(0)
    );
    assert_eq!(code(without("Host")), "header_malformed");
    assert_eq!(
        code(with(&[("Host", "a"), ("Host", "a")])),
        "header_malformed"
    );
    for host in ["", "a/b", "user@a", "a:b", ":80", "a b", "[::1"] {
        assert_eq!(
            code(with(&[("Host", host)])),
            "header_malformed",
            "{host:?}"
        );
    }
}

/// Section 4.2.1 item 3: "An |Upgrade| header field containing the value "websocket", treated as an ASCII
/// case-insensitive value".
#[test]
fn upgrade_names_websocket() {
    for upgrade in ["WebSocket", "WEBSOCKET", "h2c, websocket", " websocket\t"] {
        assert_eq!(code(with(&[("Upgrade", upgrade)])), "accepted", "{upgrade}");
    }
    assert_eq!(
        code(with(&[("Upgrade", "h2c"), ("Upgrade", "websocket")])),
        "accepted"
    );
    assert_eq!(without("Upgrade"), Err(Refusal::UpgradeRequired));
    for upgrade in ["", "h2c", "websocket/13", "web socket", "websockets"] {
        assert_eq!(
            code(with(&[("Upgrade", upgrade)])),
            "upgrade_malformed",
            "{upgrade:?}"
        );
    }
}

/// Section 4.2.1 item 4: "A |Connection| header field that includes the token "Upgrade", treated as an ASCII
/// case-insensitive value".
#[test]
fn connection_names_upgrade() {
    for connection in ["upgrade", "keep-alive, Upgrade", "UPGRADE,keep-alive"] {
        assert_eq!(
            code(with(&[("Connection", connection)])),
            "accepted",
            "{connection}"
        );
    }
    assert_eq!(
        code(with(&[
            ("Connection", "keep-alive"),
            ("Connection", "Upgrade")
        ])),
        "accepted"
    );
    assert_eq!(code(without("Connection")), "upgrade_malformed");
    for connection in ["", "keep-alive", "close", "upgraded"] {
        assert_eq!(
            code(with(&[("Connection", connection)])),
            "upgrade_malformed",
            "{connection:?}"
        );
    }
}

/// Section 4.2.1 item 5: "a base64-encoded value that, when decoded, is 16 bytes in length".
#[test]
fn the_key_is_16_bytes() {
    for key in [
        "AAAAAAAAAAAAAAAAAAAAAA==",
        "x3JJHMbDL1EzLkh9GBhXDw==",
        "////++++////++++////zw==",
    ] {
        assert_eq!(
            with(&[("Sec-WebSocket-Key", key)])
                .map(|opening| opening.key)
                .as_deref(),
            Ok(key)
        );
    }
    assert_eq!(without("Sec-WebSocket-Key"), Err(Refusal::KeyMissing));
    for key in [
        "",
        "short",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZTE=",
        "dGhlIHNhbXBsZSBub25jZTEy",
        "dGhlIHNhbXBsZSBub25jZ===",
        "dGhlIHNhbXBsZSBub25j_-==",
        "dGhlIHNhbXBs ZSBub25jZ==",
        "=GhlIHNhbXBsZSBub25jZQ==",
        "////++++////++++////zz==",
    ] {
        assert_eq!(
            with(&[("Sec-WebSocket-Key", key)]),
            Err(Refusal::KeyMalformed),
            "{key:?}"
        );
    }
}

/// Section 11.3.1: "The |Sec-WebSocket-Key| header field MUST NOT appear more than once in an HTTP request."
#[test]
fn the_key_appears_once() {
    let key = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(with(&[key, key]), Err(Refusal::KeyMalformed));
}

/// Section 4.2.1 item 6: "A |Sec-WebSocket-Version| header field, with a value of 13"; section 4.4: others are
/// answered with the version that is spoken.
#[test]
fn the_version_is_13() {
    for version in [
        "", "8", "7", "12", "14", "130", "013", "+13", "13, 8", "13;",
    ] {
        let expected = Refusal::VersionNotSupported {
            version: version.to_owned(),
        };
        assert_eq!(with(&[("Sec-WebSocket-Version", version)]), Err(expected));
    }
    assert_eq!(
        without("Sec-WebSocket-Version"),
        Err(Refusal::VersionNotSupported {
            version: String::new()
        })
    );
}

/// Section 11.3.5: "The |Sec-WebSocket-Version| header field MUST NOT appear more than once in an HTTP request."
#[test]
fn the_version_appears_once() {
    let version = ("Sec-WebSocket-Version", "13");
    assert_eq!(code(with(&[version, version])), "header_malformed");
}

/// Section 4.2.2 item 4: "If the server does not wish to accept this connection ... HTTP 403 Forbidden".
#[test]
fn the_origin_is_allowed() {
    for (origin, outcome) in [
        ("http://server.example.com", "accepted"),
        ("https://server.example.com", "accepted"),
        ("http://localhost:3000", "accepted"),
        ("http://other.example.com", "origin_not_allowed"),
        ("http://server.example.com:8080", "origin_not_allowed"),
        ("null", "origin_not_allowed"),
        ("", "origin_not_allowed"),
    ] {
        assert_eq!(code(with(&[("Origin", origin)])), outcome, "{origin:?}");
    }
    let origin = ("Origin", "http://server.example.com");
    assert_eq!(code(with(&[origin, origin])), "header_malformed");
}

#[test]
fn a_gateway_with_tls_of_its_own_is_not_the_same_origin_as_a_plain_page() {
    let headers = GOOD
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()))
        .collect();
    let request = OpeningRequest {
        method: "GET",
        path: "/ws",
        query: None,
        http_1_1: true,
        secure: true,
        headers: &headers,
    };
    assert_eq!(code(negotiate(&request, &services())), "origin_not_allowed");
}

/// Section 4.2.1 item 7: "Optionally, an |Origin| header field"; the service decides.
#[test]
fn a_missing_origin_is_the_services_business() {
    assert_eq!(code(without("Origin")), "accepted");
    assert_eq!(
        bytes_at("/echo", &[("Origin", LEFT_OUT)]),
        Err(Refusal::OriginMissing)
    );
}

/// Section 4.2.1 item 9: "Optionally, a |Sec-WebSocket-Extensions| header field"; section 9.1: its grammar.
#[test]
fn extension_offers_are_read_from_all_lines() {
    let opening = with(&[
        (
            "Sec-WebSocket-Extensions",
            "permessage-deflate; client_max_window_bits",
        ),
        ("sec-websocket-extensions", "foo; bar=\"1\" , baz"),
    ]);
    let offers: Vec<_> = opening
        .unwrap()
        .offers
        .iter()
        .map(Offer::to_string)
        .collect();
    assert_eq!(
        offers,
        [
            "permessage-deflate; client_max_window_bits",
            "foo; bar=1",
            "baz"
        ]
    );
    let refusal = with(&[("Sec-WebSocket-Extensions", "foo;")]).unwrap_err();
    assert_eq!(
        refusal.body(),
        "header_malformed: the header Sec-WebSocket-Extensions is malformed: it ends where a name or a value was due\n"
    );
}

/// Decision: none offered is plain AMQP, and no header goes back.
#[test]
fn no_subprotocol_offered_none_answered() {
    assert_eq!(subprotocol("/amqp", &[]), Ok(None));
    assert_eq!(subprotocol("/echo", &[]), Ok(None));
}

/// Section 4.2.2 item 5, /subprotocol/: the value comes from the client's own list, spelled as there.
#[test]
fn the_first_offer_that_begins_with_amqp_is_chosen() {
    for (lines, chosen) in [
        (&["amqp"][..], "amqp"),
        (&["mqtt, AMQPWSB10, amqp"], "AMQPWSB10"),
        (&["mqtt", "amqp-0-9-1"], "amqp-0-9-1"),
        (&["Amqp\t,mqtt"], "Amqp"),
    ] {
        assert_eq!(
            subprotocol("/amqp", lines),
            Ok(Some(chosen.to_owned())),
            "{lines:?}"
        );
    }
}

#[test]
fn only_unknown_subprotocols_are_refused() {
    for line in [
        "mqtt",
        "mqtt, stomp",
        "x-amqp",
        "amq",
        "X-Kaazing-Handshake",
    ] {
        let offered = line.split(", ").map(str::to_owned).collect();
        assert_eq!(
            subprotocol("/amqp", &[line]),
            Err(Refusal::SubprotocolNotAcceptable { offered })
        );
    }
}

#[test]
fn echo_takes_the_first_offer() {
    assert_eq!(
        subprotocol("/echo", &["mqtt, amqp"]),
        Ok(Some("mqtt".to_owned()))
    );
}

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
        let mut service = Service::default();
        service.login = asks.then(|| login::Config::new("users.toml"));
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

/// Section 4.1 item 10: the elements are non-empty, unique tokens.
#[test]
fn malformed_subprotocol_lists_are_refused() {
    for lines in [
        &[""][..],
        &["amqp amqp"],
        &["amqp, amqp"],
        &["amqp", "amqp"],
        &["am\"qp"],
        &["amqp;q=1"],
    ] {
        let outcome = subprotocol("/amqp", lines);
        assert_eq!(
            outcome.map_err(|refusal| refusal.code()),
            Err("header_malformed"),
            "{lines:?}"
        );
    }
}

#[test]
fn headers_that_are_not_text_are_malformed() {
    for name in [
        "Host",
        "Upgrade",
        "Connection",
        "Origin",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Extensions",
        "Sec-WebSocket-Protocol",
    ] {
        let refusal = bytes_at("/amqp", &[(name, b"amqp\xff")]).unwrap_err();
        let expected = Refusal::HeaderMalformed {
            name,
            reason: "is not UTF-8 text".to_owned(),
        };
        assert_eq!(refusal, expected);
    }
    assert_eq!(
        bytes_at("/amqp", &[("Sec-WebSocket-Key", b"\xff")]),
        Err(Refusal::KeyMalformed)
    );
    // Headers that the handshake does not read may hold what they like.
    assert_eq!(code(bytes_at("/amqp", &[("X-Other", b"\xff")])), "accepted");
}

/// The order of the checks: a request that has everything wrong, put right one thing at a time.
#[test]
fn the_first_fault_is_told() {
    let faults = [
        ("Upgrade", "h2c", "upgrade_malformed"),
        ("Sec-WebSocket-Version", "8", "version_not_supported"),
        ("Sec-WebSocket-Key", "short", "key_malformed"),
        ("Host", "a b", "header_malformed"),
        ("Origin", "http://evil.example", "origin_not_allowed"),
        ("Sec-WebSocket-Extensions", ";", "header_malformed"),
        (
            "Sec-WebSocket-Protocol",
            "mqtt",
            "subprotocol_not_acceptable",
        ),
    ];
    for first in 0..faults.len() {
        let wrong: Vec<_> = faults[first..]
            .iter()
            .map(|(name, value, _)| (*name, *value))
            .collect();
        assert_eq!(code(with(&wrong)), faults[first].2);
    }
    let wrong: Vec<_> = faults
        .iter()
        .map(|(name, value, _)| (*name, *value))
        .collect();
    assert_eq!(code(at("/nowhere", &wrong)), "path_not_found");
}

#[test]
fn an_opening_has_no_content() {
    let refused = Err(Refusal::UpgradeMalformed {
        reason: "it comes with content",
    });
    assert_eq!(with(&[("Content-Length", "5")]), refused);
    assert_eq!(with(&[("Transfer-Encoding", "chunked")]), refused);
    assert!(with(&[("Content-Length", "0")]).is_ok());
}
