//! Tests of refusals: the whole table of status, code, headers and sentence, and what is done to the client's text.

use std::collections::BTreeSet;

use super::*;

/// One refusal, its status, code, headers, and sentence.
type Row = (
    Refusal,
    u16,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
);

/// One of each variant.
fn table() -> Vec<Row> {
    let upgrade: &[(&str, &str)] = &[("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")];
    vec![
        (
            Refusal::UpgradeMalformed {
                reason: "Connection does not name it",
            },
            400,
            "upgrade_malformed",
            &[],
            "the request asks for an upgrade, but Connection does not name it",
        ),
        (
            Refusal::HeaderMalformed {
                name: "Host",
                reason: "is missing".to_owned(),
            },
            400,
            "header_malformed",
            &[],
            "the header Host is missing",
        ),
        (
            Refusal::KeyMissing,
            400,
            "key_missing",
            &[],
            "the header Sec-WebSocket-Key is missing",
        ),
        (
            Refusal::KeyMalformed,
            400,
            "key_malformed",
            &[],
            "the header Sec-WebSocket-Key is not one value of 16 bytes in base64",
        ),
        (
            Refusal::SubprotocolNotAcceptable {
                offered: vec!["mqtt".to_owned(), "stomp".to_owned()],
            },
            400,
            "subprotocol_not_acceptable",
            &[],
            "none of the offered subprotocols is spoken here: \"mqtt, stomp\"",
        ),
        (
            Refusal::OriginNotAllowed {
                origin: "https://evil.example".to_owned(),
            },
            403,
            "origin_not_allowed",
            &[],
            "pages of the origin \"https://evil.example\" may not open a session here",
        ),
        (
            Refusal::OriginMissing,
            403,
            "origin_missing",
            &[],
            "the header Origin is missing, and this service asks for it",
        ),
        (
            Refusal::PathNotFound {
                path: "/wss".to_owned(),
            },
            404,
            "path_not_found",
            &[],
            "there is no service at the path \"/wss\"",
        ),
        (
            Refusal::MethodNotAllowed {
                method: "POST".to_owned(),
            },
            405,
            "method_not_allowed",
            &[("Allow", "GET")],
            "the method \"POST\" opens no WebSocket; GET does",
        ),
        (
            Refusal::UpgradeRequired,
            426,
            "upgrade_required",
            upgrade,
            "this path serves WebSockets only; the request does not ask for an upgrade",
        ),
        (
            Refusal::VersionNotSupported {
                version: "8".to_owned(),
            },
            426,
            "version_not_supported",
            upgrade,
            "the WebSocket version \"8\" is not spoken here; 13 is",
        ),
        (
            Refusal::RequestMalformed(RequestError::Method),
            400,
            "request_malformed",
            &[],
            "the request has another method than GET",
        ),
        (
            Refusal::HeaderOutOfPlace {
                name: "Via".to_owned(),
            },
            400,
            "header_out_of_place",
            &[],
            "the header Via has no place in the extended handshake",
        ),
        (
            Refusal::MessageTooEarly,
            400,
            "message_too_early",
            &[],
            "a message came before the extended handshake was complete",
        ),
        (
            Refusal::ExtensionOfferedTwice {
                name: "a".to_owned(),
            },
            400,
            "extension_offered_twice",
            &[],
            "the extension a is offered in both handshakes",
        ),
        (
            Refusal::ExtensionMalformed {
                name: "a".to_owned(),
                reason: "has no parameters".to_owned(),
            },
            400,
            "extension_malformed",
            &[],
            "the extension a has no parameters",
        ),
        (
            Refusal::ExtensionRequired {
                name: "a".to_owned(),
            },
            404,
            "extension_required",
            &[],
            "this service requires the extension a, and the client did not agree on it",
        ),
        (
            Refusal::ExtendedHandshakeRequired,
            403,
            "extended_handshake_required",
            &[],
            "this service asks for the extended handshake (subprotocol x-kaazing-handshake)",
        ),
        (
            Refusal::CredentialsRequired {
                challenges: vec!["A".to_owned(), "B".to_owned()],
            },
            401,
            "credentials_required",
            &[("WWW-Authenticate", "A"), ("WWW-Authenticate", "B")],
            "this service asks for credentials",
        ),
        (
            Refusal::CredentialsWrong {
                challenges: vec!["A".to_owned()],
            },
            401,
            "credentials_wrong",
            &[("WWW-Authenticate", "A")],
            "the credentials are wrong",
        ),
        (
            Refusal::CredentialsRefused,
            403,
            "credentials_refused",
            &[],
            "the credentials are wrong, and were tried as often as they may",
        ),
        (
            Refusal::Forbidden,
            403,
            "forbidden",
            &[],
            "these credentials are not for this service",
        ),
        (
            Refusal::LoginUnavailable,
            503,
            "login_unavailable",
            &[("Retry-After", "5")],
            "credentials cannot be checked now; try again in a moment",
        ),
        (
            Refusal::Redirected {
                location: "wss://h/".to_owned(),
            },
            302,
            "redirected",
            &[("Location", "wss://h/")],
            "the service is at another place: wss://h/",
        ),
        (
            Refusal::TooManyRedirects,
            503,
            "too_many_redirects",
            &[],
            "the client was sent from place to place too often",
        ),
        (
            Refusal::Draining,
            503,
            "draining",
            &[("Retry-After", "5")],
            "the gateway is shutting down; try again in a moment",
        ),
        (
            Refusal::TooManySessions,
            503,
            "too_many_sessions",
            &[("Retry-After", "30")],
            "the gateway carries as many sessions as it may; try again later",
        ),
        (
            Refusal::TooManySessionsFromAddress,
            503,
            "too_many_sessions_from_address",
            &[("Retry-After", "30")],
            "this address has as many sessions open as it may",
        ),
        (
            Refusal::TooManyHandshakes,
            503,
            "too_many_handshakes",
            &[("Retry-After", "5")],
            "too many handshakes are in progress; try again in a moment",
        ),
    ]
}

#[test]
fn every_row_of_the_table() {
    for (refusal, status, code, headers, sentence) in table() {
        assert_eq!(refusal.status(), status, "{code}");
        assert_eq!(refusal.code(), code);
        let expected: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        assert_eq!(refusal.headers(), expected, "{code}");
        assert_eq!(refusal.to_string(), sentence, "{code}");
        assert_eq!(refusal.body(), format!("{code}: {sentence}\n"));
    }
}

#[test]
fn all_codes_are_those_of_the_table_and_distinct() {
    let codes: Vec<_> = table().iter().map(|row| row.0.code()).collect();
    assert_eq!(codes, ALL_CODES);
    assert_eq!(BTreeSet::from(ALL_CODES).len(), ALL_CODES.len());
}

#[test]
fn the_clients_text_is_cut_to_100_characters() {
    let shown = |length: usize| {
        Refusal::PathNotFound {
            path: "é".repeat(length),
        }
        .to_string()
    };
    assert_eq!(
        shown(100),
        format!("there is no service at the path \"{}\"", "é".repeat(100))
    );
    assert_eq!(
        shown(101),
        format!("there is no service at the path \"{}...\"", "é".repeat(100))
    );
}

#[test]
fn the_clients_text_forges_no_line() {
    let text = "a\r\nb\u{0}\u{1b}[31m\"\u{202e}'\u{85}\u{2028}".to_owned();
    for refusal in [
        Refusal::PathNotFound { path: text.clone() },
        Refusal::OriginNotAllowed {
            origin: text.clone(),
        },
        Refusal::MethodNotAllowed {
            method: text.clone(),
        },
        Refusal::VersionNotSupported {
            version: text.clone(),
        },
        Refusal::HeaderMalformed {
            name: "Host",
            reason: text.clone(),
        },
        Refusal::SubprotocolNotAcceptable {
            offered: vec![text.clone()],
        },
        Refusal::HeaderOutOfPlace { name: text.clone() },
        Refusal::ExtensionOfferedTwice { name: text.clone() },
        Refusal::ExtensionMalformed {
            name: "a".to_owned(),
            reason: text.clone(),
        },
    ] {
        let sentence = refusal.to_string();
        assert!(
            sentence.is_ascii() && !sentence.contains(|c: char| c.is_control()),
            "{sentence:?}"
        );
        assert!(
            sentence.contains(r#"a\r\nb\0\u{1b}[31m"\u{202e}'\u{85}\u{2028}"#),
            "{sentence}"
        );
    }
}

#[test]
fn the_document_has_a_row_for_every_code() {
    let document = include_str!("../../../docs/protocol.md");
    let rows = document.lines().filter(|line| {
        let status = line.strip_prefix("| ").and_then(|rest| rest.get(..3));
        status.is_some_and(|status| status.parse::<u16>().is_ok())
    });
    let documented: Vec<&str> = rows.filter_map(|row| row.split('`').nth(1)).collect();
    let mut codes = ALL_CODES.to_vec();
    codes.sort_unstable();
    let mut sorted = documented.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, codes);
}
