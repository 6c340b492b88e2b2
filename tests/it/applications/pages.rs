//! HTML through the gateway: the library's script in it, its policy, its coding; what stays out.

use std::io::Write;

use base64::prelude::BASE64_STANDARD;
use base64::Engine;
use sha2::Digest;
use sha2::Sha384;

use super::origin::configuration;
use super::origin::exchange;
use super::origin::get;
use super::origin::ok;
use super::origin::page;
use super::origin::Origin;
use super::origin::Raw;
use crate::harness::gateway::Gateway;

const PAGE: &str =
    "<!doctype html><html><head><script src=a.js></script></head><body>x</body></html>";
const DOCUMENT: &str = "Sec-Fetch-Dest: document\r\n";

/// The tag as it must be: the hash is that of what the gateway serves.
fn tag(gateway: &Gateway, nonce: &str) -> String {
    let script = get(gateway.public(), "/_smeuse/smeuse.js", "");
    let hash = BASE64_STANDARD.encode(Sha384::digest(&script.body));
    format!("<script src=\"/_smeuse/smeuse.js\" integrity=\"sha384-{hash}\" crossorigin{nonce}></script>")
}

fn outcome(gateway: &Gateway, outcome: &str) -> f64 {
    gateway.metric(&format!(
        "smeuse_application_pages_rewritten_total{{application=\"app\",outcome=\"{outcome}\"}}"
    ))
}

/// First in the head, once, before any other script, with the hash of what is served.
#[test]
fn a_page_gets_the_script() {
    let origin = Origin::answering(|_| page("", PAGE));
    let gateway = Gateway::start(&configuration(&origin, ""));
    let expected = PAGE.replace("<head>", &format!("<head>{}", tag(&gateway, "")));
    for lines in [
        DOCUMENT,
        "",
        "Accept: text/html\r\n",
        "Sec-Fetch-Dest: iframe\r\n",
    ] {
        let answer = get(gateway.public(), "/", lines);
        assert_eq!(answer.text(), expected, "{lines}");
        assert_eq!(answer.header("content-length"), None);
        assert_eq!(
            answer.header("vary"),
            Some("Sec-Fetch-Dest, Sec-Fetch-Mode, X-Requested-With")
        );
    }
    assert_eq!(outcome(&gateway, "inserted"), 4.0);
}

/// The page behind a login form is the answer to a POST.
#[test]
fn the_answer_to_a_form_is_a_page_too() {
    let origin = Origin::answering(|_| page("", PAGE));
    let gateway = Gateway::start(&configuration(&origin, ""));
    let post = |lines: &str| {
        exchange(
            gateway.public(),
            format!(
                "POST /login HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n{lines}\r\na=b"
            ),
        )
    };
    let with = PAGE.replace("<head>", &format!("<head>{}", tag(&gateway, "")));
    for (lines, expected) in [
        (DOCUMENT, with.as_str()),
        ("Accept: text/html,*/*;q=0.8\r\n", &with),
        ("Accept: */*\r\n", PAGE),
        ("Sec-Fetch-Dest: empty\r\nAccept: text/html\r\n", PAGE),
    ] {
        assert_eq!(post(lines).text(), expected, "{lines}");
    }
    assert!(origin
        .requests()
        .iter()
        .all(|request| request.body == b"a=b"));
}

/// HEAD of a page: the head that GET would have.
#[test]
fn head_of_a_page_is_that_of_the_rewritten_one() {
    let origin = Origin::answering(|request| {
        let answer = page("ETag: \"abc\"\r\n", PAGE);
        let length = answer.len()
            - if request.line().starts_with("HEAD") {
                PAGE.len()
            } else {
                0
            };
        answer[..length].to_vec()
    });
    let gateway = Gateway::start(&configuration(&origin, ""));
    let mut raw = Raw::connect(gateway.public());
    raw.send(format!(
        "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{DOCUMENT}\r\n"
    ));
    let (status, head) = raw.head().expect("a head");
    assert_eq!(status, 200);
    let head = head.to_lowercase();
    assert!(head.contains("etag: w/\"abc;smeuse.s."), "{head}");
    assert!(!head.contains("content-length"), "{head}");
    assert_eq!(raw.rest(), b"");
}

/// What is no document of a browser's, or says that it must stay as it is.
#[test]
fn what_is_no_page_gets_nothing() {
    let table: [(&str, &str, &str, &[u8], &str); 9] = [
        (
            "a fetch",
            "Sec-Fetch-Dest: empty\r\n",
            "Content-Type: text/html\r\n",
            PAGE.as_bytes(),
            "",
        ),
        (
            "an old fetch",
            "X-Requested-With: XMLHttpRequest\r\n",
            "Content-Type: text/html\r\n",
            PAGE.as_bytes(),
            "",
        ),
        (
            "a fragment",
            "Accept: */*\r\n",
            "Content-Type: text/html\r\n",
            b"<li><script>1</script></li>",
            "fragment",
        ),
        (
            "a download",
            DOCUMENT,
            "Content-Type: text/html\r\nContent-Disposition: attachment\r\n",
            PAGE.as_bytes(),
            "skipped",
        ),
        (
            "XHTML",
            DOCUMENT,
            "Content-Type: application/xhtml+xml\r\n",
            PAGE.as_bytes(),
            "",
        ),
        (
            "no-transform",
            DOCUMENT,
            "Content-Type: text/html\r\nCache-Control: no-transform\r\n",
            PAGE.as_bytes(),
            "no_transform",
        ),
        (
            "UTF-16 by its header",
            DOCUMENT,
            "Content-Type: text/html; charset=utf-16le\r\n",
            b"<\0h\0e\0a\0d\0>\0",
            "charset",
        ),
        (
            "UTF-16 by its mark",
            DOCUMENT,
            "Content-Type: text/html\r\n",
            b"\xff\xfe<\0h\0e\0a\0d\0>\0",
            "charset",
        ),
        (
            "an unknown coding",
            DOCUMENT,
            "Content-Type: text/html\r\nContent-Encoding: dcb\r\n",
            b"\x01\x02\x03",
            "coding",
        ),
    ];
    for (what, asked, lines, body, counted) in table {
        let origin = Origin::answering(move |_| ok(lines, body));
        let gateway = Gateway::start(&configuration(&origin, ""));
        let answer = get(gateway.public(), "/", asked);
        assert_eq!(answer.body, body, "{what}");
        assert_eq!(outcome(&gateway, "inserted"), 0.0, "{what}");
        if !counted.is_empty() {
            assert_eq!(outcome(&gateway, counted), 1.0, "{what}");
        }
    }
}

/// Pages opt out by path; the whole application by `rewrite`.
#[test]
fn pages_opt_out_by_path() {
    let origin = Origin::answering(|_| page("", PAGE));
    let gateway = Gateway::start(&configuration(&origin, "skip = [\"/plain\"]"));
    let length = PAGE.len().to_string();
    for path in ["/plain", "/plain/x"] {
        let answer = get(gateway.public(), path, DOCUMENT);
        assert_eq!(answer.text(), PAGE);
        assert_eq!(answer.header("content-length"), Some(length.as_str()));
    }
    assert_ne!(get(gateway.public(), "/plainer", DOCUMENT).text(), PAGE);
    assert_eq!(outcome(&gateway, "skipped"), 2.0);
    let gateway = Gateway::start(&configuration(&origin, "rewrite = false"));
    assert_eq!(get(gateway.public(), "/", DOCUMENT).text(), PAGE);
}

/// The policy's nonce is used; where there is none the hash, and only it, is added; nothing is loosened.
#[test]
fn the_pages_policy_is_honoured() {
    let origin = Origin::answering(|request| {
        let policy = percent_encoding::percent_decode_str(request.path().trim_start_matches('/'))
            .decode_utf8_lossy()
            .into_owned();
        page(&format!("Content-Security-Policy: {policy}\r\n"), PAGE)
    });
    let gateway = Gateway::start(&configuration(&origin, ""));
    let plain = tag(&gateway, "");
    let hash = plain.split('"').nth(3).expect("the hash").to_owned();
    let encode = |policy: &str| {
        percent_encoding::utf8_percent_encode(policy, percent_encoding::NON_ALPHANUMERIC)
            .to_string()
    };
    for (policy, expected, nonce) in [
        (
            "script-src 'nonce-r4nd' 'strict-dynamic'; object-src 'none'",
            "script-src 'nonce-r4nd' 'strict-dynamic'; object-src 'none'".to_owned(),
            " nonce=\"r4nd\"",
        ),
        ("default-src 'none'", format!("default-src '{hash}'"), ""),
        ("script-src 'self'", "script-src 'self'".to_owned(), ""),
        (
            "script-src https://cdn.example",
            format!("script-src https://cdn.example '{hash}'"),
            "",
        ),
    ] {
        let answer = get(gateway.public(), &format!("/{}", encode(policy)), DOCUMENT);
        assert_eq!(
            answer.header("content-security-policy"),
            Some(expected.as_str())
        );
        assert!(
            answer.text().contains(&tag(&gateway, nonce)),
            "{policy}: {}",
            answer.text()
        );
    }
    // The hash would take the page's own inline scripts from it.
    let policy = "script-src 'unsafe-inline' https://cdn.example";
    let answer = get(gateway.public(), &format!("/{}", encode(policy)), DOCUMENT);
    assert_eq!(answer.header("content-security-policy"), Some(policy));
    assert_eq!(answer.text(), PAGE);
    assert_eq!(outcome(&gateway, "policy"), 1.0);
    // `default-src 'none'` forbids the configuration as well, and so it stays.
    assert_eq!(outcome(&gateway, "inserted_without_config"), 1.0);
}

/// A page that comes in parts shows in parts.
#[test]
fn a_page_streams() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let origin = Origin::start(move |_, stream| {
        let socket = stream.get_mut();
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<!doctype html><head></head><body>first");
        let _ = wait.lock().map(|wait| wait.recv());
        let _ = socket.write_all(b"second");
        false
    });
    let gateway = Gateway::start(&configuration(&origin, ""));
    let mut raw = Raw::connect(gateway.public());
    raw.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{DOCUMENT}\r\n"));
    assert_eq!(raw.head().expect("a head").0, 200);
    let mut seen = Vec::new();
    while !seen.ends_with(b"first") {
        seen.extend(raw.exactly(1));
    }
    go.send(()).expect("the origin waits");
    assert!(String::from_utf8_lossy(&raw.rest()).contains("second"));
}

/// Scripts that the configuration names load the library themselves.
#[test]
fn workers_and_modules_get_a_loader() {
    let origin = Origin::answering(|_| {
        ok(
            "Content-Type: text/javascript\r\nETag: \"a\"\r\n",
            "'use strict'; go()",
        )
    });
    let lines = "workers = [\"/w.js\"]\nmodules = [\"/m.mjs\"]";
    let gateway = Gateway::start(&configuration(&origin, lines));
    let worker = get(gateway.public(), "/w.js", "Sec-Fetch-Dest: worker\r\n");
    assert_eq!(
        worker.text(),
        "\"use strict\";importScripts(\"/_smeuse/smeuse.js\");'use strict'; go()"
    );
    assert!(worker
        .header("etag")
        .is_some_and(|tag| tag.contains(";smeuse.s.")));
    let module = get(gateway.public(), "/m.mjs", "");
    assert_eq!(
        module.text(),
        "import \"/_smeuse/install.mjs\";'use strict'; go()"
    );
    let other = get(gateway.public(), "/other.js", "");
    assert_eq!(
        (other.text().as_str(), other.header("etag")),
        ("'use strict'; go()", Some("\"a\""))
    );
    assert_eq!(outcome(&gateway, "loader"), 2.0);
}
