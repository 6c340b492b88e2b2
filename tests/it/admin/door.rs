//! Strange pages in an operator's browser: they may not ask in the operator's name, neither from another origin nor under
//! a name of their own that leads here.

use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::ECHO_PATH;
use crate::harness::gateway::Gateway;
use crate::harness::http::Response;
use crate::harness::operator::Ask;
use crate::harness::operator::Viewer;
use crate::harness::websocket::BINARY;

fn refusals(gateway: &Gateway, reason: &str) -> f64 {
    gateway.metric(&format!(
        "smeuse_admin_refusals_total{{reason=\"{reason}\"}}"
    ))
}

fn expect(response: &Response, status: u16, code: &str) {
    assert_eq!(response.status, status, "{response:?}");
    assert!(
        response.body.starts_with(&format!("{code}: ")),
        "{response:?}"
    );
}

/// The page and what it loads: whole, with a strict policy, and not sent twice.
#[test]
fn the_page_comes_with_a_strict_policy_and_is_kept_by_its_tag() {
    let gateway = Gateway::start(&configuration::echo());
    for path in ["/", "/live"] {
        let page = Ask::new("GET", path).send(&gateway);
        assert_eq!(page.status, 200);
        assert_eq!(
            page.header("Content-Type"),
            Some("text/html; charset=utf-8")
        );
        assert!(!page.body.contains("<script>"), "a script in the page");
        let policy = page.header("Content-Security-Policy").expect("a policy");
        for directive in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(policy.contains(directive), "{directive} in {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(page.header("X-Frame-Options"), Some("DENY"));
        for asset in page.body.split("=\"/live/").skip(1) {
            let name = asset.split('"').next().expect("a name");
            let path = format!("/live/{name}");
            let asset = Ask::new("GET", &path).send(&gateway);
            assert_eq!(asset.status, 200, "{path}");
            let tag = asset.header("ETag").expect("a tag");
            let known = Ask::new("GET", &path).with("If-None-Match", tag);
            let known = known.send(&gateway);
            assert_eq!((known.status, known.body.as_str()), (304, ""), "{path}");
            let other = Ask::new("GET", &path).with("If-None-Match", "\"other\"");
            assert_eq!(other.send(&gateway).status, 200);
        }
    }
}

/// DNS rebinding: a page that has given its own name this listener's address asks under that name.
#[test]
fn a_name_that_is_not_ours_is_not_answered() {
    let hosts = "[admin]\nhosts = [\"ops.example.com\"]\n";
    let gateway = Gateway::start(&(hosts.to_owned() + &configuration::echo()));
    let ask = |path: &str, host: &str| Ask::new("GET", path).with("Host", host).send(&gateway);
    for path in ["/", "/sessions", "/metrics", "/live/live.js", "/nowhere"] {
        expect(&ask(path, "evil.example:15673"), 421, "host_not_allowed");
    }
    assert_eq!(refusals(&gateway, "host_not_allowed"), 5.0);
    for host in [
        "localhost:1",
        "127.0.0.1",
        "[::1]:80",
        "smeuse",
        "ops.example.com:8443",
    ] {
        assert_eq!(ask("/sessions", host).status, 200, "{host}");
    }
    // Probes call it what they like.
    assert_eq!(ask("/healthz", "evil.example").status, 200);
    let rebound = Viewer::opening(&gateway).replace("Host", "evil.example");
    let rebound = rebound.with("Origin", "http://evil.example");
    let mut client = Client::connect(gateway.private());
    client.send(&rebound.bytes());
    expect(&client.response(), 421, "host_not_allowed");
}

/// Cross-site requests: whatever acts, and the WebSocket, must come from this listener's own page, or from no page.
#[test]
fn a_page_of_another_origin_can_do_nothing() {
    let gateway = Gateway::start(&configuration::echo());
    let mut client = Client::open(gateway.public(), ECHO_PATH);
    let id = gateway.session_ids().remove(0);
    let path = format!("/sessions/{id}");
    let public = format!("http://{}", gateway.public());
    let strangers = [
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
        // The demo page on the same host is the same site.
        ("Origin", public.as_str()),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ];
    for (name, value) in strangers {
        for (method, path) in [
            ("DELETE", path.as_str()),
            ("POST", "/login"),
            ("POST", "/logout"),
        ] {
            let answer = Ask::new(method, path)
                .with(name, value)
                .form("")
                .send(&gateway);
            expect(&answer, 403, "origin_not_allowed");
        }
        let mut page = Client::connect(gateway.private());
        page.send(&Viewer::opening(&gateway).with(name, value).bytes());
        expect(&page.response(), 403, "origin_not_allowed");
    }
    assert_eq!(refusals(&gateway, "origin_not_allowed"), 20.0);
    client.send_binary(b"still here");
    client.expect_message(BINARY, b"still here");

    let own = format!("http://{}", gateway.private());
    let opening = Viewer::opening(&gateway).with("Origin", &own);
    Viewer::open_by(&gateway, &opening).read();
    let ours = Ask::new("DELETE", &path).with("Origin", &own);
    let ours = ours.with("Sec-Fetch-Site", "same-origin");
    assert_eq!(ours.send(&gateway).status, 204);
    client.expect_close_and_answer(4100);
    let line = gateway.log_line("operator ends session", |line| {
        line["session"] == id.as_str()
    });
    assert_eq!(line["operator"], "127.0.0.1");
}

/// A link, an image or a prefetch must not be able to do anything.
#[test]
fn no_action_by_get() {
    let gateway = Gateway::start(&configuration::echo());
    let mut client = Client::open(gateway.public(), ECHO_PATH);
    let id = gateway.session_ids().remove(0);
    for path in [
        format!("/sessions/{id}"),
        "/login".to_owned(),
        "/logout".to_owned(),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = Ask::new(method, &path).send(&gateway);
            assert!(matches!(answer.status, 404 | 405), "{method} {path}");
        }
    }
    client.send_binary(b"still here");
    client.expect_message(BINARY, b"still here");
}
