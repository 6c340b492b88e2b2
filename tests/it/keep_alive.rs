//! Connections that are kept for a page's further requests: none of them waits for ever, none takes the place of a
//! handshake, and a WebSocket may be opened on one.

use std::io::BufRead;
use std::time::Duration;
use std::time::Instant;

use crate::applications::origin::configuration;
use crate::applications::origin::ok;
use crate::applications::origin::Origin;
use crate::applications::origin::Raw;
use crate::harness::configuration as services;
use crate::harness::configuration::ECHO_PATH;
use crate::harness::gateway::Gateway;
use crate::harness::opening::Opening;
use crate::harness::DEADLINE;

const GET: &str = "GET /_smeuse/config.json HTTP/1.1\r\nHost: a\r\n\r\n";

fn gateway(limits: &str) -> Gateway {
    Gateway::start(&format!("[limits]\n{limits}\n{}", services::echo()))
}

/// One answer on a connection, and whether it says that it is the last.
#[track_caller]
fn answered(raw: &mut Raw) -> bool {
    raw.send(GET);
    let answer = raw.answer().expect("an answer");
    assert_eq!(answer.status, 200);
    answer
        .header("connection")
        .is_some_and(|value| value.eq_ignore_ascii_case("close"))
}

#[test]
fn a_page_has_its_resources_on_one_connection() {
    let origin = Origin::answering(|request| ok("", request.path()));
    let gateway = Gateway::start(&configuration(&origin, ""));
    let mut raw = Raw::connect(gateway.public());
    for path in ["/a", "/b", "/c"] {
        raw.send(format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"
        ));
        let answer = raw.answer().expect("an answer");
        assert_eq!(
            (answer.text().as_str(), answer.header("connection")),
            (path, None)
        );
    }
    // It is no handshake any more, and its client may stay or go.
    gateway.wait_metric("smeuse_handshakes_in_progress", 0.0);
    // Several at once, in their order.
    raw.send("GET /d HTTP/1.1\r\nHost: a\r\n\r\nGET /e HTTP/1.1\r\nHost: a\r\n\r\nGET /f HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    for path in ["/d", "/e", "/f"] {
        assert_eq!(raw.answer().expect("an answer").text(), path);
    }
    assert!(raw.is_closed());
}

#[test]
fn the_pause_between_requests_is_bounded() {
    let gateway = gateway("keep_alive = \"300ms\"");
    let mut raw = Raw::connect(gateway.public());
    assert!(!answered(&mut raw));
    let began = Instant::now();
    assert!(raw.is_closed());
    let waited = began.elapsed();
    assert!(
        waited >= Duration::from_millis(250) && waited < DEADLINE,
        "{waited:?}"
    );
}

#[test]
fn a_later_head_has_a_deadline_like_the_first() {
    let gateway = gateway("keep_alive = \"30s\"\nrequest_head = \"1500ms\"");
    // Begun and left; dripping; begun in the same packet as the request before.
    for case in ["left", "dripping", "pipelined"] {
        let mut raw = Raw::connect(gateway.public());
        if case == "pipelined" {
            raw.send(format!("{GET}GET / HT"));
            assert_eq!(raw.answer().expect("an answer").status, 200);
            raw.send("T");
        } else {
            assert!(!answered(&mut raw));
            raw.send("GET / HTTP/1.1\r\nX-A: ");
        }
        let began = Instant::now();
        let socket = raw.socket().try_clone().expect("a socket can be cloned");
        let dripping = std::thread::spawn(move || {
            let mut socket = socket;
            while case == "dripping" && began.elapsed() < DEADLINE / 2 {
                if std::io::Write::write_all(&mut socket, b"x").is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        assert_eq!(raw.rest(), b"", "{case}");
        let waited = began.elapsed();
        assert!(waited >= Duration::from_millis(1_000), "{case}: {waited:?}");
        assert!(waited < DEADLINE / 2, "{case}: {waited:?}");
        dripping.join().expect("it stops");
    }
}

#[test]
fn places_are_bounded_and_apart_from_those_of_handshakes() {
    let gateway = gateway("kept_alive = 2\nhandshakes = 1");
    let mut kept: Vec<Raw> = (0..2).map(|_| Raw::connect(gateway.public())).collect();
    for raw in &mut kept {
        assert!(!answered(raw));
    }
    let mut third = Raw::connect(gateway.public());
    assert!(answered(&mut third), "the third is the last answer");
    assert!(third.is_closed());
    drop(third);
    gateway.wait_metric("smeuse_handshakes_in_progress", 0.0);
    // Sessions begin all the same.
    let mut client = crate::harness::client::Client::open(gateway.public(), ECHO_PATH);
    client.send_binary(b"x");
    kept.clear();
    crate::harness::wait_until("a place to be free", DEADLINE, || {
        !answered(&mut Raw::connect(gateway.public()))
    });
}

#[test]
fn a_body_that_nobody_wants_is_not_waited_for() {
    let gateway = gateway("request_head = \"500ms\"");
    for path in [ECHO_PATH, "/_smeuse/config.json"] {
        let mut raw = Raw::connect(gateway.public());
        raw.send(format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
        ));
        assert!(raw.answer().expect("an answer").status >= 400, "{path}");
        let began = Instant::now();
        assert!(raw.is_closed(), "{path}");
        assert!(began.elapsed() < DEADLINE / 2, "{path}");
    }
    gateway.wait_metric("smeuse_handshakes_in_progress", 0.0);
}

#[test]
fn what_stands_behind_the_last_request_is_none() {
    let origin = Origin::answering(|request| ok("", request.path()));
    let gateway = Gateway::start(&configuration(&origin, ""));
    let mut raw = Raw::connect(gateway.public());
    raw.send(
        "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(raw.answer().expect("an answer").text(), "/a");
    raw.rest();
    // It would have come by now: the connection is closed, and nothing is under way.
    gateway.wait_metric(
        "smeuse_application_requests_in_flight{application=\"app\"}",
        0.0,
    );
    assert_eq!(origin.only().path(), "/a");
}

/// An answer is framed by its own request, whatever stands behind that.
#[test]
fn get_and_head_in_one_packet_keep_their_bodies_apart() {
    let origin = Origin::answering(|request| {
        let body = request.path().as_bytes().to_vec();
        let mut answer = ok("", &body);
        if request.line().starts_with("HEAD") {
            answer.truncate(answer.len() - body.len());
        }
        answer
    });
    let gateway = Gateway::start(&configuration(&origin, ""));
    let mut raw = Raw::connect(gateway.public());
    let request = |method: &str, path: &str| format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    raw.send(request("GET", "/one") + &request("HEAD", "/two") + &request("GET", "/three"));
    assert_eq!(raw.answer().expect("an answer").text(), "/one");
    let (status, head) = raw.head().expect("a head");
    assert_eq!(status, 200);
    assert!(head.to_lowercase().contains("content-length: 4"), "{head}");
    assert_eq!(raw.answer().expect("an answer").text(), "/three");
}

/// A page that goes while its answer is awaited is noticed, although nothing may be said to it yet.
#[test]
fn a_client_that_goes_gives_its_place_back() {
    let origin = Origin::start(|_, stream| {
        let _ = stream.read_line(&mut String::new());
        false
    });
    let gateway = Gateway::start(&configuration(&origin, "head_deadline = \"60s\""));
    let mut raw = Raw::connect(gateway.public());
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let under_way = "smeuse_application_requests_in_flight{application=\"app\"}";
    gateway.wait_metric(under_way, 1.0);
    drop(raw);
    gateway.wait_metric(under_way, 0.0);
}

#[test]
fn without_keep_alive_every_answer_is_the_last() {
    let gateway = gateway("keep_alive = \"0s\"");
    let mut raw = Raw::connect(gateway.public());
    assert!(answered(&mut raw));
    assert!(raw.is_closed());
}

#[test]
fn a_websocket_may_be_opened_on_a_kept_connection_and_on_no_other() {
    let gateway = gateway("");
    let opening = Opening::new(gateway.public(), ECHO_PATH).bytes();
    let mut raw = Raw::connect(gateway.public());
    assert!(!answered(&mut raw));
    raw.send(&opening);
    assert_eq!(raw.head().expect("a head").0, 101);
    gateway.wait_metric("smeuse_sessions{service=\"echo\"}", 1.0);
    let mut raw = Raw::connect(gateway.public());
    raw.send(GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
    raw.send(&opening);
    assert_eq!(raw.answer().expect("an answer").status, 200);
    assert_eq!(raw.rest(), b"");
}

#[test]
fn a_client_that_takes_nothing_is_ended() {
    let origin = Origin::answering(|_| ok("Content-Type: text/plain\r\n", vec![b'x'; 32 << 20]));
    let text = format!(
        "[websocket]\nwrite_stall_limit = \"500ms\"\n{}",
        configuration(&origin, "")
    );
    let gateway = Gateway::start(&text);
    let mut raw = Raw::connect(gateway.public());
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(raw.head().expect("a head").0, 200);
    gateway.wait_metric(
        "smeuse_application_requests_in_flight{application=\"app\"}",
        1.0,
    );
    gateway.wait_metric(
        "smeuse_application_requests_in_flight{application=\"app\"}",
        0.0,
    );
    assert!(raw.rest().len() < 32 << 20);
}
