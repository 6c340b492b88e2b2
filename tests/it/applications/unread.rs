//! Bodies of requests that nobody reads to their end: they hold neither a connection nor a place, and nothing of them is
//! taken for the next request.

use std::io::Write;
use std::time::Duration;
use std::time::Instant;

use super::origin::configuration;
use super::origin::ok;
use super::origin::Origin;
use super::origin::Raw;
use crate::harness::gateway::Gateway;
use crate::harness::DEADLINE;

/// An origin that answers behind the head, and reads no body.
fn origin() -> Origin {
    Origin::start(|request, stream| {
        let answer = ok("Connection: close\r\n", request.path());
        let _ = stream.get_mut().write_all(&answer);
        false
    })
}

fn gateway(origin: &Origin) -> Gateway {
    let limits = "[limits]\nrequest_head = \"1s\"\nkeep_alive = \"1s\"\n";
    let lines = "body_bytes = 1000\nbody_pause = \"1s\"";
    Gateway::start(&format!("{limits}{}", configuration(origin, lines)))
}

fn nothing_is_left(gateway: &Gateway) {
    for series in [
        "smeuse_application_requests_in_flight{application=\"app\"}",
        "smeuse_application_websockets{application=\"app\"}",
        "smeuse_handshakes_in_progress",
    ] {
        gateway.wait_metric(series, 0.0);
    }
}

/// Refused by the gateway or answered early by the origin; then the client says nothing, or ever more.
#[test]
fn an_unread_body_does_not_hold_its_connection() {
    let origin = origin();
    let gateway = gateway(&origin);
    for (path, lines, status) in [
        ("/a/../b", "Transfer-Encoding: chunked\r\n", 400),
        ("/a/../b", "Content-Length: 900\r\n", 400),
        ("/large", "Content-Length: 5000\r\n", 413),
        ("/early", "Transfer-Encoding: chunked\r\n", 200),
        ("/early", "Content-Length: 900\r\n", 200),
        (
            "/early",
            "Connection: close\r\nTransfer-Encoding: chunked\r\n",
            200,
        ),
    ] {
        for goes_on in [false, true] {
            let case = format!("{path} {lines:?} {goes_on}");
            let mut raw = Raw::connect(gateway.public());
            raw.send(format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n1\r\nx\r\n"
            ));
            let answer = raw.answer().unwrap_or_else(|| panic!("{case}: no answer"));
            assert_eq!(answer.status, status, "{case}: {}", answer.text());
            let began = Instant::now();
            let socket = raw.socket().try_clone().expect("a socket can be cloned");
            let dripping = std::thread::spawn(move || {
                let mut socket = socket;
                while goes_on
                    && began.elapsed() < DEADLINE
                    && socket.write_all(b"1\r\nx\r\n").is_ok()
                {
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
            raw.rest();
            assert!(
                began.elapsed() < DEADLINE / 2,
                "{case}: {:?}",
                began.elapsed()
            );
            drop(raw);
            dripping.join().expect("it stops");
        }
    }
    nothing_is_left(&gateway);
}

/// An origin that has answered may leave the body where it is; that is the end of the connection, or of the body, and what
/// it has inside is never a request.
#[test]
fn what_stands_in_an_unread_body_is_no_request() {
    let origin = origin();
    let gateway = gateway(&origin);
    let next = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
    let body = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = body.len();
    for (head, rest) in [
        (format!("Content-Length: {length}"), body.to_owned()),
        (
            "Transfer-Encoding: chunked".to_owned(),
            format!("{length:x}\r\n{body}\r\n0\r\n\r\n"),
        ),
    ] {
        for is_at_once in [false, true] {
            let mut raw = Raw::connect(gateway.public());
            let request = format!("POST /early HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n");
            if is_at_once {
                raw.send(format!("{request}{rest}{next}"));
            } else {
                raw.send(request);
            }
            let answer = raw.answer().unwrap_or_else(|| panic!("{head}: no answer"));
            assert_eq!(answer.text(), "/early", "{head}");
            if !is_at_once {
                raw.send(format!("{rest}{next}"));
            }
            if let Some(answer) = raw.answer() {
                assert_eq!(answer.text(), "/next", "{head}");
            }
            assert!(raw.rest().is_empty(), "{head}");
        }
    }
    nothing_is_left(&gateway);
    for request in origin.requests() {
        assert!(["/early", "/next"].contains(&request.path()), "{request:?}");
    }
}
