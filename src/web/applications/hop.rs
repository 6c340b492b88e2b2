//! Header lines that belong to one connection and not to the message (RFC 9110 section 7.6.1), and what a proxy says of
//! itself.

use http::header;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;

/// Takes out what is meant for this connection only, what `Connection` names included.
///
/// # Errors
///
/// `Connection` names a line that no proxy may drop: who does that wants the next one to see another message.
pub fn strip(headers: &mut HeaderMap) -> Result<(), NamedByConnection> {
    let mut named = Vec::new();
    for value in headers.get_all(header::CONNECTION) {
        let Ok(value) = value.to_str() else { continue };
        for name in value.split(',').map(str::trim) {
            if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
                named.push(name);
            }
        }
    }
    if named.iter().any(|name| END_TO_END.contains(name)) {
        return Err(NamedByConnection);
    }
    for name in named.iter().map(HeaderName::as_str).chain(HOP_BY_HOP) {
        headers.remove(name);
    }
    Ok(())
}

/// `Connection` names a line that is for the end of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedByConnection;

/// Adds this gateway to `Via`.
pub fn pass_via(headers: &mut HeaderMap, protocol: &str) {
    if let Ok(value) = HeaderValue::from_str(&format!("{protocol} {PSEUDONYM}")) {
        headers.append(header::VIA, value);
    }
}

/// Whether the message has passed a gateway of ours so often that it must be a loop. Two in a row are a deployment.
pub fn is_loop(headers: &HeaderMap) -> bool {
    let passed = headers
        .get_all(header::VIA)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter(|hop| hop.split_ascii_whitespace().nth(1) == Some(PSEUDONYM))
        .count();
    passed >= PASSES
}

/// What this gateway is called in `Via`.
pub const PSEUDONYM: &str = "smeuse";

/// Gateways of ours in a row that are no loop.
const PASSES: usize = 4;

/// RFC 9110 section 7.6.1, and what is not of today. `Trailer` goes because trailers do.
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

const END_TO_END: [HeaderName; 7] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::AUTHORIZATION,
    header::COOKIE,
    header::ORIGIN,
    header::FORWARDED,
    header::CONTENT_SECURITY_POLICY,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        map
    }

    #[test]
    fn what_belongs_to_the_connection_stays_there() {
        let mut map = headers(&[
            ("connection", "keep-alive, X-Private"),
            ("connection", "close"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("x-private", "1"),
            ("x-public", "2"),
            ("upgrade", "h2c"),
            ("proxy-authorization", "Basic x"),
        ]);
        assert_eq!(strip(&mut map), Ok(()));
        let left: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["x-public"]);
    }

    #[test]
    fn nobody_makes_the_gateway_drop_what_is_for_the_origin() {
        for name in [
            "Host",
            "content-length",
            "Cookie",
            "authorization",
            "Forwarded",
        ] {
            let mut map = headers(&[("connection", &format!("close, {name}"))]);
            assert_eq!(strip(&mut map), Err(NamedByConnection), "{name}");
        }
    }

    #[test]
    fn a_loop_is_seen_by_its_turns() {
        let mut map = headers(&[("via", "1.0 fred, 1.1 smeuse (x)")]);
        for _ in 0..2 {
            pass_via(&mut map, "1.1");
        }
        assert!(!is_loop(&map));
        pass_via(&mut map, "2");
        assert!(is_loop(&map));
    }
}
