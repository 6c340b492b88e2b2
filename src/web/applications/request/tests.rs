//! Lines of requests, before and after.

use super::*;

const MARK: &str = "m1";

pub(super) fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    map
}

fn sender(is_trusted: bool) -> Sender {
    Sender {
        peer: "192.0.2.7:4711".parse().unwrap(),
        client: "192.0.2.7:4711".parse().unwrap(),
        is_trusted,
        secure: true,
    }
}

fn made(lines: &[(&str, &str)], task: Task, is_trusted: bool) -> Result<Head, Failure> {
    let hosts = Hosts {
        browsers: "app.example",
        origins: "origin.internal:3000",
    };
    head(
        headers(lines),
        &Application::default(),
        task,
        &sender(is_trusted),
        hosts,
        MARK,
    )
}

const DOCUMENT: Task = Task::Page {
    is_document: true,
    is_sure: true,
};

fn text<'a>(head: &'a Head, name: &str) -> Option<&'a str> {
    let mut values = head.headers.get_all(name).iter();
    let value = values.next().map(|value| value.to_str().unwrap());
    assert_eq!(values.next(), None, "{name} came twice");
    value
}

#[test]
fn a_client_cannot_say_who_it_is() {
    let claims = [
        ("forwarded", "for=203.0.113.1"),
        ("x-forwarded-for", "203.0.113.1"),
        ("x_forwarded_for", "203.0.113.1"),
        ("x-forwarded-prefix", "/x"),
        ("x-real-ip", "203.0.113.1"),
        ("proxy", "http://evil"),
        ("x-original-url", "/admin"),
        ("client-ip", "10.0.0.1"),
        ("X_Http_Host_Override", "evil.example"),
    ];
    let made = made(&claims, Task::Pass, false).unwrap();
    assert_eq!(
        text(&made, "forwarded"),
        Some("for=192.0.2.7;proto=https;host=\"app.example\"")
    );
    assert_eq!(text(&made, "x-forwarded-for"), Some("192.0.2.7"));
    assert_eq!(text(&made, "x-forwarded-proto"), Some("https"));
    assert_eq!(text(&made, "x-forwarded-host"), Some("app.example"));
    for gone in [
        "x_forwarded_for",
        "x-forwarded-prefix",
        "x-real-ip",
        "proxy",
        "x-original-url",
        "client-ip",
        "x_http_host_override",
    ] {
        assert_eq!(text(&made, gone), None, "{gone}");
    }
    assert_eq!(text(&made, "via"), Some("1.1 smeuse"));
    assert_eq!(text(&made, "host"), Some("app.example"));
}

#[test]
fn no_claim_passes_however_it_is_spelled() {
    for claim in CLAIMS {
        for name in [claim.to_owned(), claim.replace('-', "_")] {
            let made = made(&[(&name, "203.0.113.1")], Task::Pass, false).unwrap();
            let passed = made.headers.values().any(|value| value == "203.0.113.1");
            assert!(!passed, "{name}");
        }
    }
}

#[test]
fn a_trusted_proxy_is_passed_on_and_added_to() {
    let claims = [
        ("forwarded", "for=203.0.113.1"),
        ("x-forwarded-for", "203.0.113.1"),
        ("x-forwarded-proto", "http"),
        ("x-real-ip", "203.0.113.1"),
        ("x_forwarded_for", "203.0.113.9"),
    ];
    let made = made(&claims, Task::Pass, true).unwrap();
    assert_eq!(
        text(&made, "forwarded"),
        Some("for=203.0.113.1, for=192.0.2.7;proto=https;host=\"app.example\"")
    );
    assert_eq!(
        text(&made, "x-forwarded-for"),
        Some("203.0.113.1, 192.0.2.7")
    );
    assert_eq!(text(&made, "x-forwarded-proto"), Some("http"));
    assert_eq!(text(&made, "x-real-ip"), Some("203.0.113.1"));
    assert_eq!(text(&made, "x_forwarded_for"), None);
}

#[test]
fn an_ipv6_client_is_written_as_the_rfc_wants_it() {
    let mut map = HeaderMap::new();
    let six = Sender {
        peer: "[2001:db8::1]:1".parse().unwrap(),
        ..sender(false)
    };
    say_who(&mut map, &six, "");
    assert_eq!(map["forwarded"], "for=\"[2001:db8::1]\";proto=https");
    assert_eq!(map["x-forwarded-for"], "2001:db8::1");
}

#[test]
fn conditions_are_turned_back() {
    let ours = "W/\"abc;smeuse.s.m1\"";
    let head = made(
        &[("if-none-match", ours), ("if-modified-since", "x")],
        DOCUMENT,
        false,
    )
    .unwrap();
    assert_eq!(text(&head, "if-none-match"), Some("\"abc\""));
    assert_eq!(text(&head, "if-modified-since"), None);
    assert!(head.is_marked);
    // The page as the origin has it is not what the browser should go on with.
    let head = made(
        &[("if-none-match", "\"abc\""), ("if-modified-since", "x")],
        DOCUMENT,
        false,
    )
    .unwrap();
    assert_eq!(text(&head, "if-none-match"), None);
    assert_eq!(text(&head, "if-modified-since"), None);
    // Of a picture it is.
    let head = made(
        &[("if-none-match", "\"abc\""), ("if-modified-since", "x")],
        Task::Pass,
        false,
    )
    .unwrap();
    assert_eq!(text(&head, "if-none-match"), Some("\"abc\""));
    let head = made(&[("if-modified-since", "x")], Task::Pass, false).unwrap();
    assert_eq!(text(&head, "if-modified-since"), Some("x"));
    // Who has a rewritten page and is to have it no longer gets it anew.
    for task in [Task::Pass, Task::Skip, Task::NoDocument] {
        let lines = [("if-none-match", ours), ("if-modified-since", "x")];
        let head = made(&lines, task, false).unwrap();
        assert_eq!(text(&head, "if-none-match"), None);
        assert_eq!(text(&head, "if-modified-since"), None);
        assert!(!head.is_marked);
    }
}

#[test]
fn a_part_is_not_joined_to_a_rewritten_page() {
    let lines = [("range", "bytes=5-"), ("if-range", "W/\"abc;smeuse.s.m1\"")];
    assert_eq!(text(&made(&lines, DOCUMENT, false).unwrap(), "range"), None);
    let lines = [("range", "bytes=5-"), ("if-range", "\"abc\"")];
    let head = made(&lines, Task::Pass, false).unwrap();
    assert_eq!(text(&head, "range"), Some("bytes=5-"));
    assert_eq!(text(&head, "if-range"), Some("\"abc\""));
}

#[test]
fn the_operators_cookie_is_not_for_applications() {
    for (sent, expected) in [
        ("a=1; smeuse-admin-15673=secret; b=2", Some("a=1; b=2")),
        ("smeuse-admin-15673=secret", None),
        ("smeuse-admin-1=x; a=1", Some("a=1")),
        ("a=smeuse-admin-1", Some("a=smeuse-admin-1")),
    ] {
        let head = made(&[("cookie", sent)], Task::Pass, false).unwrap();
        assert_eq!(text(&head, "cookie"), expected, "{sent}");
    }
}

#[test]
fn only_codings_that_can_be_undone_are_asked_for() {
    for (asked, expected) in [
        ("gzip, deflate, br, zstd", "gzip, br, zstd"),
        ("dcb, dcz, br;q=1.0", "br;q=1.0"),
        ("*", "identity"),
    ] {
        let head = made(&[("accept-encoding", asked)], DOCUMENT, false).unwrap();
        assert_eq!(text(&head, "accept-encoding"), Some(expected));
        let head = made(&[("accept-encoding", asked)], Task::Pass, false).unwrap();
        assert_eq!(text(&head, "accept-encoding"), Some(asked));
    }
}

#[test]
fn what_may_be_rewritten() {
    let application = Application {
        skip: vec!["/plain".to_owned()],
        workers: vec!["/w.js".to_owned()],
        modules: vec!["/m.js".to_owned()],
        documents: vec!["/kept/*.html".to_owned()],
        ..Application::default()
    };
    let of = |method: Method, path: &str, lines: &[(&str, &str)]| {
        Task::of(&application, &method, path, &headers(lines))
    };
    let maybe = Task::Page {
        is_document: false,
        is_sure: false,
    };
    assert_eq!(
        of(Method::GET, "/", &[("sec-fetch-dest", "document")]),
        DOCUMENT
    );
    assert_eq!(
        of(Method::HEAD, "/", &[("sec-fetch-dest", "iframe")]),
        DOCUMENT
    );
    assert_eq!(
        of(Method::GET, "/", &[("sec-fetch-dest", "empty")]),
        Task::NoDocument
    );
    // A service worker stands between.
    let lines = [("sec-fetch-dest", "empty"), ("sec-fetch-mode", "navigate")];
    assert_eq!(of(Method::GET, "/", &lines), DOCUMENT);
    // A service worker keeps it for later.
    let lines = [("sec-fetch-dest", "empty"), ("sec-fetch-mode", "cors")];
    assert_eq!(of(Method::GET, "/kept/a.html", &lines), DOCUMENT);
    assert_eq!(of(Method::GET, "/kept/a/b.html", &lines), Task::NoDocument);
    // What a form is answered with is a page of its own.
    assert_eq!(
        of(Method::POST, "/", &[("sec-fetch-dest", "document")]),
        Task::Page {
            is_document: true,
            is_sure: false
        }
    );
    assert_eq!(
        of(Method::POST, "/", &[("accept", "text/html,*/*;q=0.8")]),
        maybe
    );
    for lines in [
        &[("sec-fetch-dest", "empty"), ("accept", "text/html")][..],
        &[("x-requested-with", "x"), ("accept", "text/html")],
        &[("accept", "*/*")],
        &[],
    ] {
        assert_eq!(of(Method::POST, "/", lines), Task::Pass);
    }
    assert_eq!(
        of(Method::POST, "/plain", &[("sec-fetch-dest", "document")]),
        Task::Skip
    );
    assert_eq!(of(Method::PUT, "/m.js", &[]), Task::Pass);
    assert_eq!(of(Method::GET, "/", &[]), maybe);
    assert_eq!(of(Method::GET, "/", &[("accept", "*/*")]), maybe);
    assert_eq!(
        of(Method::GET, "/", &[("accept", "text/html,*/*;q=0.8")]),
        Task::Page {
            is_document: false,
            is_sure: true
        }
    );
    assert_eq!(
        of(Method::GET, "/", &[("x-requested-with", "XMLHttpRequest")]),
        Task::NoDocument
    );
    assert_eq!(
        of(Method::GET, "/plain/a", &[("sec-fetch-dest", "document")]),
        Task::Skip
    );
    assert_eq!(
        of(Method::GET, "/w.js", &[("sec-fetch-dest", "worker")]),
        Task::Script(Loader::Worker)
    );
    assert_eq!(of(Method::GET, "/m.js", &[]), Task::Script(Loader::Module));
}

#[test]
fn framing_is_the_gateways_own() {
    let head = made(
        &[
            ("content-length", "5"),
            ("expect", "100-continue"),
            ("transfer-encoding", "chunked"),
            ("te", "trailers"),
        ],
        Task::Pass,
        false,
    )
    .unwrap();
    for gone in ["content-length", "expect", "transfer-encoding", "te"] {
        assert_eq!(text(&head, gone), None, "{gone}");
    }
    let hidden = made(&[("connection", "cookie")], Task::Pass, false);
    assert!(matches!(hidden, Err(Failure::HeadRefused(_))));
}
