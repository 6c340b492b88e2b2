//! Requests that want two readers to see two messages: answered with 400 (or what fits), once, and the origin sees none
//! of them, or exactly one.

use super::origin::configuration;
use super::origin::ok;
use super::origin::Origin;
use super::origin::Raw;
use crate::harness::gateway::Gateway;

fn origin() -> Origin {
    Origin::answering(|request| ok("", request.path()))
}

/// What would be a second request to whoever reads the first one's length differently.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// Sends bytes and gives the statuses of everything that comes back.
fn statuses(gateway: &Gateway, bytes: impl AsRef<[u8]>) -> Vec<u16> {
    let mut raw = Raw::connect(gateway.public());
    raw.send(bytes);
    let _ = raw.socket().shutdown(std::net::Shutdown::Write);
    let text = String::from_utf8_lossy(&raw.rest()).into_owned();
    text.match_indices("HTTP/1.1 ")
        .filter_map(|(at, _)| text.get(at + 9..at + 12)?.parse().ok())
        .collect()
}

#[test]
fn what_can_be_read_in_two_ways_reaches_nobody() {
    let origin = origin();
    let gateway = Gateway::start(&configuration(&origin, ""));
    let head = "POST / HTTP/1.1\r\nHost: a\r\n";
    let table: Vec<(&str, String)> = vec![
        ("both lengths", format!("{head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}")),
        ("both, the other way round", format!("{head}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n{SMUGGLED}")),
        ("two lengths", format!("{head}Content-Length: 0\r\nContent-Length: 40\r\n\r\n{SMUGGLED}")),
        ("two equal lengths", format!("{head}Content-Length: 1\r\nContent-Length: 1\r\n\r\nx")),
        ("a list of lengths", format!("{head}Content-Length: 0, 40\r\n\r\n{SMUGGLED}")),
        ("a sign", format!("{head}Content-Length: +1\r\n\r\nx")),
        ("a negative length", format!("{head}Content-Length: -1\r\n\r\nx")),
        ("hexadecimal", format!("{head}Content-Length: 0x1\r\n\r\nx")),
        ("no number", format!("{head}Content-Length: one\r\n\r\nx")),
        ("an endless number", format!("{head}Content-Length: 99999999999999999999999\r\n\r\nx")),
        ("an unknown coding", format!("{head}Transfer-Encoding: cow\r\n\r\n{SMUGGLED}")),
        ("chunked, then more", format!("{head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{SMUGGLED}")),
        ("gzip, then chunked", format!("{head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n{SMUGGLED}")),
        ("two codings", format!("{head}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{SMUGGLED}")),
        ("identity", format!("{head}Transfer-Encoding: identity\r\nContent-Length: 4\r\n\r\n{SMUGGLED}")),
        ("a vertical tab", format!("{head}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n{SMUGGLED}")),
        ("quoted", format!("{head}Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n{SMUGGLED}")),
        ("a space before the colon", format!("{head}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{SMUGGLED}")),
        ("a folded line", format!("{head}X-A: b\r\n Transfer-Encoding: chunked\r\n\r\n{SMUGGLED}")),
        ("a folded first line", format!("POST / HTTP/1.1\r\n Host: a\r\n\r\n{SMUGGLED}")),
        ("a bare CR", format!("{head}X-A: b\rTransfer-Encoding: chunked\r\n\r\n{SMUGGLED}")),
        ("NUL", format!("{head}X-A: b\0c\r\n\r\n{SMUGGLED}")),
        ("no Host", format!("GET / HTTP/1.1\r\n\r\n{SMUGGLED}")),
        ("two Hosts", format!("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n{SMUGGLED}")),
        ("a Host that is none", format!("GET / HTTP/1.1\r\nHost: a b/c\r\n\r\n{SMUGGLED}")),
        ("a Host with a user", format!("GET / HTTP/1.1\r\nHost: u:p@a\r\n\r\n{SMUGGLED}")),
        ("a Host behind a port", format!("GET / HTTP/1.1\r\nHost: a:x@b\r\n\r\n{SMUGGLED}")),
        ("two Hosts, one in the target", format!("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n{SMUGGLED}")),
        ("HTTP/1.0 in chunks", format!("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}")),
        ("HTTP/0.9", "GET /\r\n".to_owned()),
        ("HTTP/2 that was not agreed", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        ("HTTP/1.1 with a letter", "GET / HTTP/1.x\r\nHost: a\r\n\r\n".to_owned()),
        ("a space too many", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("dot segments", "GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("encoded dot segments", "GET /a/%2e%2E/b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("encoded separators", "GET /a/..%2fb HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("backslashes", "GET /a/..%5cb HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("an encoded line end", "GET /a%0d%0aX:y HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("a length that Connection names", format!("{head}Connection: close, Content-Length\r\nContent-Length: 1\r\n\r\nx")),
        ("a Host that Connection names", "GET / HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n".to_owned()),
    ];
    for (what, bytes) in &table {
        let statuses = statuses(&gateway, bytes);
        assert!(
            statuses == [400] || statuses == [505],
            "{what}: {statuses:?}"
        );
    }
    assert_eq!(origin.requests().len(), 0, "{:?}", origin.requests());
}

/// A body whose framing breaks: the request has begun, and ends in 400; what follows is no second one.
#[test]
fn a_broken_chunk_ends_the_request_and_the_connection() {
    let origin = origin();
    let gateway = Gateway::start(&configuration(&origin, ""));
    let head = "POST /broken HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for chunks in [
        "z\r\nhello\r\n",
        "5\r\nhelloX\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "-1\r\nx\r\n",
        "fffffffffffffffff\r\nx\r\n",
        "5 5\r\nhello\r\n",
        "5;a\nb\r\nhello\r\n",
        "\r\n5\r\nhello\r\n",
        "0x5\r\nhello\r\n",
    ] {
        let statuses = statuses(&gateway, format!("{head}{chunks}{SMUGGLED}"));
        assert_eq!(statuses, [400], "{chunks:?}");
    }
    for request in origin.requests() {
        assert_eq!(request.path(), "/broken");
        assert!(!request.is_whole, "{request:?}");
    }
}

/// Limits of heads: lines, bytes, the target.
#[test]
fn heads_are_bounded() {
    let origin = origin();
    let gateway = Gateway::start(&configuration(&origin, ""));
    let lines = "X-A: b\r\n".repeat(200);
    assert_eq!(
        statuses(
            &gateway,
            format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
        ),
        [431]
    );
    let long = "x".repeat(200_000);
    for bytes in [
        format!("GET / HTTP/1.1\r\nHost: a\r\nX-A: {long}\r\n\r\n"),
        format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"),
    ] {
        let statuses = statuses(&gateway, bytes);
        assert!(matches!(statuses[..], [400 | 414 | 431]), "{statuses:?}");
    }
    assert_eq!(origin.requests().len(), 0);
}

/// `body_bytes`: by the length it tells, and by what comes.
#[test]
fn a_body_that_is_too_large_is_refused() {
    let origin = origin();
    let gateway = Gateway::start(&configuration(&origin, "body_bytes = 10"));
    let known = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world";
    assert_eq!(statuses(&gateway, known), [413]);
    assert_eq!(origin.requests().len(), 0);
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n";
    assert_eq!(statuses(&gateway, chunked), [413]);
    assert!(origin.requests().iter().all(|request| !request.is_whole));
    let fits = "POST /fits HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 10\r\n\r\n0123456789";
    let mut raw = Raw::connect(gateway.public());
    raw.send(fits);
    assert_eq!(raw.answer().expect("an answer").text(), "/fits");
}

/// Line ends without CR may be read as line ends (RFC 9112 section 2.2); the origin gets one request, in proper lines.
#[test]
fn what_is_lenient_reaches_the_origin_once_and_clean() {
    let origin = origin();
    let gateway = Gateway::start(&configuration(&origin, ""));
    let answers = statuses(
        &gateway,
        "GET /once HTTP/1.1\nHost: a\nConnection: close\nX-A: b\n\n",
    );
    // The client has closed its half behind the request, as the gateway does not want it to.
    assert!(answers.len() <= 1, "{answers:?}");
    let mut raw = Raw::connect(gateway.public());
    raw.send("GET http://a/absolute?x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(raw.answer().expect("an answer").text(), "/absolute?x");
    for request in origin.requests() {
        assert!(
            !request.head.replace("\r\n", "").contains(['\r', '\n']),
            "{request:?}"
        );
    }
}

/// Methods that show a request to its sender, and requests that have gone round.
#[test]
fn trace_and_loops_end_here() {
    let origin = origin();
    let gateway = Gateway::start(&configuration(&origin, ""));
    let answer = |bytes: &str| {
        let mut raw = Raw::connect(gateway.public());
        raw.send(bytes);
        raw.answer().expect("an answer")
    };
    assert_eq!(answer("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n").status, 405);
    let via = "Via: 1.1 smeuse\r\n".repeat(4);
    let looped = answer(&format!("GET / HTTP/1.1\r\nHost: a\r\n{via}\r\n"));
    assert_eq!(
        (looped.status, looped.text().starts_with("loop_detected: ")),
        (508, true)
    );
    assert_eq!(
        answer("OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n").status,
        200
    );
    assert_eq!(origin.requests().len(), 0);
}

/// A gateway whose application is itself.
#[test]
fn a_gateway_that_asks_itself_stops() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let text = format!(
        "[[web.applications]]\nname = \"self\"\norigin = \"http://{address}\"\n{}",
        crate::harness::configuration::echo()
    );
    let gateway = Gateway::start_at(&text, address);
    let answer = super::origin::get(gateway.public(), "/", "");
    assert_eq!(answer.status, 508);
}
