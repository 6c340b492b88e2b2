//! RFC 9110 and 9112 through the gateway: bodies both ways, HEAD, 304, ranges, 100-continue, trailers, heads.

use std::collections::HashSet;
use std::io::BufRead;
use std::io::Write;
use std::sync::Mutex;
use std::time::Duration;

use super::origin::configuration;
use super::origin::exchange;
use super::origin::get;
use super::origin::ok;
use super::origin::read_body;
use super::origin::Origin;
use super::origin::Raw;
use crate::harness::gateway::Gateway;
use crate::harness::wait_until;
use crate::harness::DEADLINE;

/// A POST without a body says that it has none, and a GET with one keeps it.
#[test]
fn empty_bodies_and_unusual_ones_are_passed_on() {
    let origin = Origin::answering(|_| ok("", ""));
    let gateway = Gateway::start(&configuration(&origin, ""));
    let ask = |request: &str| assert_eq!(exchange(gateway.public(), request).status, 200);
    ask("POST /empty HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    ask("GET /search HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nquery\r\n0\r\n\r\n");
    let [empty, search] = &origin.requests()[..] else {
        panic!("two requests");
    };
    assert_eq!(empty.header("content-length"), Some("0"));
    assert_eq!(search.header("transfer-encoding"), Some("chunked"));
    assert_eq!(search.body, b"query");
}

/// A change of protocol that nobody asked for is no answer.
#[test]
fn an_unasked_change_of_protocol_is_refused() {
    let origin = Origin::answering(|_| {
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n".to_vec()
    });
    let gateway = Gateway::start(&configuration(&origin, ""));
    assert_eq!(get(gateway.public(), "/", "").status, 502);
}

/// A stream of events has no end; a drain has one.
#[test]
fn a_drain_does_not_wait_for_an_answer_without_end() {
    let origin = Origin::start(|_, stream| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: begun\n\n";
        let stream = stream.get_mut();
        if stream.write_all(head).is_err() {
            return false;
        }
        while stream.write_all(b": more\n\n").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    });
    let drain = "[drain]\ndeadline = \"1s\"\nspread = \"500ms\"\n";
    let mut gateway = Gateway::start(&(drain.to_owned() + &configuration(&origin, "")));
    let mut raw = Raw::connect(gateway.public());
    raw.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(raw.head().expect("a head").0, 200);
    gateway.signal("TERM");
    assert!(gateway.exit_status(DEADLINE).success());
}

/// What passes untouched: length, tag, ranges, bytes.
#[test]
fn what_is_no_page_passes_as_it_is() {
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let body = bytes.clone();
    let origin = Origin::answering(move |_| {
        ok("Content-Type: image/png\r\nETag: \"abc\"\r\nAccept-Ranges: bytes\r\nSet-Cookie: a=1; Path=/x\r\nSet-Cookie: b=2\r\n", &body)
    });
    let gateway = Gateway::start(&configuration(&origin, ""));
    let answer = get(gateway.public(), "/p?q=%20&r", "Cookie: c=3\r\n");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, bytes);
    for (name, value) in [
        ("etag", "\"abc\""),
        ("accept-ranges", "bytes"),
        ("content-length", "100000"),
        ("via", "1.1 smeuse"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert_eq!(
        answer.head.to_lowercase().matches("set-cookie: ").count(),
        2
    );
    let request = origin.only();
    assert_eq!(request.line(), "GET /p?q=%20&r HTTP/1.1");
    assert_eq!(request.header("host"), Some("app.example"));
    assert_eq!(request.header("cookie"), Some("c=3"));
    assert_eq!(
        request.header("forwarded"),
        Some("for=127.0.0.1;proto=http;host=\"app.example\"")
    );
    assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.header("via"), Some("1.1 smeuse"));
    gateway.wait_metric(
        "smeuse_application_requests_total{application=\"app\",status_class=\"2xx\"}",
        1.0,
    );
    gateway.wait_metric(
        "smeuse_application_bytes_total{application=\"app\",direction=\"to_client\"}",
        100_000.0,
    );
    gateway.wait_metric(
        "smeuse_application_requests_in_flight{application=\"app\"}",
        0.0,
    );
}

/// A body of known length, and one in chunks with trailers, which end here as RFC 9110 section 6.5.1 allows.
#[test]
fn bodies_of_requests_arrive_whole() {
    let origin = Origin::answering(|request| ok("", &request.body));
    let gateway = Gateway::start(&configuration(&origin, ""));
    let long = "x".repeat(300_000);
    let known = format!(
        "POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{long}",
        long.len()
    );
    assert_eq!(exchange(gateway.public(), known).text(), long);
    let chunked = "PUT /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTE: trailers\r\nTrailer: X-Sum\r\n\
                   Transfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n";
    assert_eq!(exchange(gateway.public(), chunked).text(), "hello world");
    let requests = origin.requests();
    assert_eq!(requests[0].header("content-length"), Some("300000"));
    assert_eq!(requests[0].header("transfer-encoding"), None);
    assert_eq!(requests[1].header("transfer-encoding"), Some("chunked"));
    for gone in ["content-length", "te", "trailer", "x-sum"] {
        assert_eq!(requests[1].header(gone), None, "{gone}");
    }
}

/// An answer in chunks with trailers, one without any length, and one to HTTP/1.0, which knows no chunks.
#[test]
fn bodies_of_answers_arrive_whole() {
    let origin = Origin::answering(|request| match request.path() {
        "/chunked" => b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
                        5\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 1\r\n\r\n"
            .to_vec(),
        _ => ok("", "hello!"),
    });
    let gateway = Gateway::start(&configuration(&origin, ""));
    let answer = get(gateway.public(), "/chunked", "");
    assert_eq!(answer.text(), "hello!");
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    assert_eq!(answer.header("trailer"), None);
    let old = exchange(gateway.public(), "GET /chunked HTTP/1.0\r\n\r\n");
    assert_eq!(
        (old.text().as_str(), old.header("transfer-encoding")),
        ("hello!", None)
    );
    // Without a Host of its own it is the origin's.
    let host = origin.address().to_string();
    assert_eq!(origin.requests()[1].header("host"), Some(host.as_str()));
}

/// An answer that ends with its connection.
#[test]
fn an_answer_without_length_ends_with_its_connection() {
    let origin = Origin::start(|_, stream| {
        let _ = stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\n\r\nhello");
        false
    });
    let gateway = Gateway::start(&configuration(&origin, ""));
    let answer = get(gateway.public(), "/", "");
    assert_eq!(answer.text(), "hello");
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
}

/// What is cut short must not look whole.
#[test]
fn an_answer_that_is_cut_short_is_not_whole_for_the_browser_either() {
    let origin = Origin::start(|request, stream| {
        let head: &[u8] = match request.path() {
            "/length" => b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
            _ => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        };
        let _ = stream.get_mut().write_all(head);
        false
    });
    let gateway = Gateway::start(&configuration(&origin, ""));
    for path in ["/length", "/chunked"] {
        let mut raw = Raw::connect(gateway.public());
        raw.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let (status, _) = raw.head().expect("a head");
        assert_eq!(status, 200);
        let rest = raw.rest();
        assert!(!rest.ends_with(b"0\r\n\r\n") && rest.len() < 20, "{rest:?}");
    }
    gateway.wait_metric(
        "smeuse_application_failures_total{application=\"app\",reason=\"answer_broken\"}",
        2.0,
    );
}

/// RFC 9110 section 9.3.2: the head of a GET, its length included, and no body.
#[test]
fn head_is_answered_like_get_without_a_body() {
    let origin = Origin::answering(|request| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nETag: \"x\"\r\nContent-Length: 5\r\n\r\n";
        let body = if request.line().starts_with("HEAD") {
            ""
        } else {
            "hello"
        };
        format!("{head}{body}").into_bytes()
    });
    let gateway = Gateway::start(&configuration(&origin, ""));
    let mut raw = Raw::connect(gateway.public());
    raw.send("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let (status, head) = raw.head().expect("a head");
    assert_eq!(status, 200);
    assert!(
        head.to_lowercase().contains("\r\ncontent-length: 5\r\n"),
        "{head}"
    );
    assert_eq!(raw.rest(), b"");
    assert_eq!(origin.only().line(), "HEAD / HTTP/1.1");
}

/// Conditions, ranges and statuses without a body go through as they are.
#[test]
fn conditions_and_ranges_are_the_origins() {
    let origin = Origin::answering(|request| {
        if request.header("if-none-match") == Some("\"a\"") {
            return b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\n"
                .to_vec();
        }
        if request.header("range") == Some("bytes=1-2") {
            return b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1-2/5\r\nContent-Length: 2\r\n\r\nel".to_vec();
        }
        if request.path() == "/none" {
            return b"HTTP/1.1 204 No Content\r\n\r\n".to_vec();
        }
        b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */5\r\nContent-Length: 0\r\n\r\n".to_vec()
    });
    let gateway = Gateway::start(&configuration(&origin, ""));
    let answer = get(
        gateway.public(),
        "/a",
        "If-None-Match: \"a\"\r\nSec-Fetch-Dest: image\r\n",
    );
    assert_eq!((answer.status, answer.header("etag")), (304, Some("\"a\"")));
    let answer = get(
        gateway.public(),
        "/a",
        "Range: bytes=1-2\r\nIf-Range: \"a\"\r\n",
    );
    assert_eq!((answer.status, answer.text().as_str()), (206, "el"));
    assert_eq!(answer.header("content-range"), Some("bytes 1-2/5"));
    assert_eq!(get(gateway.public(), "/none", "").status, 204);
    let answer = get(gateway.public(), "/a", "Range: bytes=9-\r\n");
    assert_eq!(
        (answer.status, answer.header("content-range")),
        (416, Some("bytes */5"))
    );
}

/// RFC 9110 section 10.1.1: the client may send its body, and the origin gets it without being asked.
#[test]
fn a_client_that_asks_may_go_on() {
    let origin = Origin::answering(|request| ok("", &request.body));
    let gateway = Gateway::start(&configuration(&origin, ""));
    let mut raw = Raw::connect(gateway.public());
    raw.send("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(raw.head().expect("a head").0, 100);
    raw.send("hello");
    assert_eq!(raw.answer().expect("an answer").text(), "hello");
    assert_eq!(origin.only().header("expect"), None);
}

/// What the origin says in between is not the answer.
#[test]
fn answers_in_between_are_passed_over() {
    let origin = Origin::answering(|_| {
        let mut answer = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n".to_vec();
        answer.extend(ok("", "done"));
        answer
    });
    let gateway = Gateway::start(&configuration(&origin, ""));
    let answer = get(gateway.public(), "/", "");
    assert_eq!((answer.status, answer.text().as_str()), (200, "done"));
}

/// Nothing is collected: the origin has the first half of a body before the second is sent, and the other way round.
#[test]
fn bodies_stream_both_ways() {
    let origin = Origin::start(|request, stream| {
        let mut line = String::new();
        stream
            .read_line(&mut line)
            .expect("the first chunk's length");
        assert_eq!(line, "5\r\n");
        let mut first = [0; 7];
        std::io::Read::read_exact(stream, &mut first).expect("the first chunk");
        stream
            .get_mut()
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
            .expect("the gateway takes it");
        read_body("Transfer-Encoding: chunked\r\n", stream, &mut request.body).expect("the rest");
        request.is_whole = true;
        let _ = stream.get_mut().write_all(b"3\r\ntwo\r\n0\r\n\r\n");
        true
    });
    let gateway = Gateway::start(&configuration(&origin, ""));
    let mut raw = Raw::connect(gateway.public());
    raw.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    let (status, _) = raw.head().expect("a head");
    assert_eq!(status, 200);
    assert_eq!(raw.exactly(8), b"3\r\none\r\n");
    raw.send("6\r\n world\r\n0\r\n\r\n");
    assert_eq!(raw.exactly(8), b"3\r\ntwo\r\n");
    wait_until("the origin to have the rest", DEADLINE, || {
        origin.only().body == b" world"
    });
}

/// A client that does not read costs a few buffers, however much the origin has to say.
#[test]
fn a_slow_client_holds_the_origin_back() {
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let count = std::sync::Arc::clone(&sent);
    let origin = Origin::start(move |_, stream| {
        let socket = stream.get_mut();
        socket
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
            .expect("a head");
        let block = vec![b'x'; 1 << 16];
        for _ in 0..4_096 {
            if socket.write_all(&block).is_err() {
                return false;
            }
            count.fetch_add(block.len() as u64, std::sync::atomic::Ordering::SeqCst);
        }
        false
    });
    let gateway = Gateway::start(&configuration(&origin, ""));
    let before = gateway.rss_kib();
    let mut raw = Raw::connect(gateway.public());
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(raw.head().expect("a head").0, 200);
    let still = crate::harness::wait_until_still("the origin to be held back", || {
        sent.load(std::sync::atomic::Ordering::SeqCst)
    });
    assert!(still < 64 << 20, "{still} bytes went into nowhere");
    let grown = gateway.rss_kib().saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB");
}

/// Deadlines: a head that does not come, a body that stands still, a client's body that stands still.
#[test]
fn whoever_stands_still_is_not_waited_for_for_ever() {
    let origin = Origin::start(|request, stream| {
        if request.path() == "/half" {
            let _ = stream
                .get_mut()
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        }
        if request.path() == "/post" {
            request.is_whole = read_body(&request.head.clone(), stream, &mut request.body).is_ok();
            return false;
        }
        // Until the gateway hangs up.
        let _ = stream.read_line(&mut String::new());
        false
    });
    let lines = "head_deadline = \"300ms\"\nbody_pause = \"300ms\"";
    let gateway = Gateway::start(&configuration(&origin, lines));
    let answer = get(gateway.public(), "/", "");
    assert_eq!(answer.status, 504);
    assert!(
        answer.text().starts_with("origin_timeout: "),
        "{}",
        answer.text()
    );
    let mut raw = Raw::connect(gateway.public());
    raw.send("GET /half HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(raw.head().expect("a head").0, 200);
    assert_eq!(raw.rest(), b"hello");
    let mut raw = Raw::connect(gateway.public());
    raw.send("POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    assert_eq!(raw.answer().expect("an answer").status, 408);
    wait_until("the origin to be told", DEADLINE, || {
        origin
            .requests()
            .iter()
            .filter(|request| request.path() == "/post")
            .all(|request| !request.is_whole)
    });
    for reason in ["origin_timeout", "answer_stalled", "body_timeout"] {
        let series =
            format!("smeuse_application_failures_total{{application=\"app\",reason=\"{reason}\"}}");
        gateway.wait_metric(&series, 1.0);
    }
    gateway.wait_metric(
        "smeuse_application_requests_in_flight{application=\"app\"}",
        0.0,
    );
}

/// An origin that is not there, hangs up, or does not speak HTTP.
#[test]
fn a_broken_origin_is_told_by_its_code() {
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address")
    };
    let text = format!(
        "[[web.applications]]\nname = \"gone\"\norigin = \"http://{gone}\"\n{}",
        crate::harness::configuration::echo()
    );
    let gateway = Gateway::start(&text);
    let answer = get(gateway.public(), "/", "");
    assert_eq!(answer.status, 502);
    assert!(
        answer.text().starts_with("origin_unreachable: "),
        "{}",
        answer.text()
    );
    let line = gateway.log_line("request failed", |_| true);
    assert_eq!(line["code"], "origin_unreachable");
    let origin = Origin::start(|request, stream| {
        let answer: &[u8] = match request.path() {
            "/closed" => b"",
            "/both" => b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
            "/changed" => {
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            }
            "/fold" => b"HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
            "/long" => {
                let _ = stream.get_mut().write_all(
                    format!("HTTP/1.1 200 OK\r\nX-A: {}\r\n\r\n", "x".repeat(1_000_000)).as_bytes(),
                );
                return false;
            }
            _ => b"SSH-2.0-OpenSSH\r\n\r\n",
        };
        let _ = stream.get_mut().write_all(answer);
        false
    });
    let gateway = Gateway::start(&configuration(&origin, ""));
    for (path, code) in [
        ("/closed", "origin_closed: "),
        ("/both", "origin_malformed: "),
        ("/changed", "origin_malformed: "),
        ("/fold", "origin_malformed: "),
        ("/long", "origin_malformed: "),
        ("/ssh", "origin_malformed: "),
    ] {
        let answer = get(gateway.public(), path, "");
        assert_eq!(answer.status, 502, "{path}: {}", answer.text());
        assert!(answer.text().starts_with(code), "{path}: {}", answer.text());
    }
}

/// Connections to the origin are used again, and closed before the origin might.
#[test]
fn connections_to_the_origin_are_kept_for_a_while() {
    let origin = Origin::answering(|_| ok("", "x"));
    let text = format!(
        "[listen]\nworkers = 1\n{}",
        configuration(&origin, "idle = \"200ms\"")
    );
    let gateway = Gateway::start(&text);
    for _ in 0..5 {
        assert_eq!(get(gateway.public(), "/", "").status, 200);
    }
    assert_eq!(origin.connections(), 1);
    wait_until("the connection to be closed", DEADLINE, || {
        origin.closed() == 1
    });
    assert_eq!(get(gateway.public(), "/", "").status, 200);
    assert_eq!(origin.connections(), 2);
}

/// An origin that closes a kept connection as a request comes is asked again over a new one, but not for what may have
/// been done.
#[test]
fn a_connection_that_was_kept_too_long_is_no_failure() {
    let known = Mutex::new(HashSet::new());
    let origin = Origin::start(move |request, stream| {
        let peer = stream.get_ref().peer_addr().expect("a peer");
        let is_new = known.lock().expect("a lock").insert(peer);
        let is_answered = is_new && request.header("x-broken").is_none();
        is_answered && stream.get_mut().write_all(&ok("", "here")).is_ok()
    });
    let text = format!("[listen]\nworkers = 1\n{}", configuration(&origin, ""));
    let gateway = Gateway::start(&text);
    let asked = |method: &str, lines: &str| {
        let text = format!("{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n");
        let before = origin.requests().len();
        let status = exchange(gateway.public(), text).status;
        (status, origin.requests().len() - before)
    };
    assert_eq!(asked("GET", ""), (200, 1));
    // However many connections are old, the new one is new.
    assert_eq!(asked("GET", ""), (200, 2));
    for (method, expected) in [
        ("POST", (502, 1)),
        ("DELETE", (502, 1)),
        ("OPTIONS", (200, 2)),
    ] {
        assert_eq!(asked("GET", ""), (200, 1), "{method}");
        assert_eq!(asked(method, ""), expected, "{method}");
    }
    // What a new connection does not answer either is not asked for ever, nor at all if none was kept.
    assert_eq!(asked("GET", ""), (200, 1));
    assert_eq!(asked("GET", "X-Broken: 1\r\n"), (502, 2));
    assert_eq!(asked("GET", "X-Broken: 1\r\n"), (502, 1));
}

/// A byte now and then is no body that has an end.
#[test]
fn a_body_that_drips_has_an_end() {
    let origin = Origin::answering(|_| ok("", ""));
    let gateway = Gateway::start(&configuration(&origin, "body_pause = \"500ms\""));
    let mut raw = Raw::connect(gateway.public());
    raw.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    let mut socket = raw.socket().try_clone().expect("a socket can be cloned");
    let dripping = std::thread::spawn(move || {
        while socket.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let answer = raw.answer().expect("an answer");
    assert!(
        answer.text().starts_with("body_timeout: "),
        "{}",
        answer.text()
    );
    drop(raw);
    dripping.join().expect("it stops");
    assert!(origin.requests().iter().all(|request| !request.is_whole));
}

/// As many requests as allowed, and one more.
#[test]
fn requests_under_way_are_bounded() {
    let origin = Origin::start(|_, stream| {
        let _ = stream.read_line(&mut String::new());
        false
    });
    let gateway = Gateway::start(&configuration(&origin, "requests = 2"));
    let mut held: Vec<Raw> = (0..2).map(|_| Raw::connect(gateway.public())).collect();
    for raw in &mut held {
        raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    gateway.wait_metric(
        "smeuse_application_requests_in_flight{application=\"app\"}",
        2.0,
    );
    let answer = get(gateway.public(), "/", "");
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("1"))
    );
    assert!(answer.text().starts_with("application_busy: "));
    // A browser that leaves gives its place back, and the origin is told.
    drop(held);
    gateway.wait_metric(
        "smeuse_application_requests_in_flight{application=\"app\"}",
        0.0,
    );
}
