//! What the log says of requests for applications: whom, and why.

use std::io::Write;

use serde_json::Value;

use super::origin::configuration;
use super::origin::exchange;
use super::origin::Origin;
use super::origin::Raw;
use super::websockets;
use crate::harness::gateway::Gateway;
use crate::harness::wait_until;
use crate::harness::DEADLINE;

/// Behind a trusted proxy it is the client, as it is for sessions; of anybody else's word nothing is believed.
#[test]
fn the_client_is_named_and_not_the_proxy() {
    let origin = Origin::answering(|_| Vec::new());
    let trusting = "[proxies]\ntrusted = [\"127.0.0.0/8\"]\n";
    for (proxies, client) in [(trusting, "192.0.2.7:0"), ("", "127.0.0.1:")] {
        let gateway = Gateway::start(&format!("{proxies}{}", configuration(&origin, "")));
        for forwarded in ["Forwarded: for=192.0.2.7", "X-Forwarded-For: 192.0.2.7"] {
            let path = format!("/{}", &forwarded[..9]);
            let requests = [
                format!("GET {path} HTTP/1.1\r\nHost: a\r\n{forwarded}\r\n\r\n"),
                websockets::upgrade(&path).replace("\r\n\r\n", &format!("\r\n{forwarded}\r\n\r\n")),
            ];
            for (seen, request) in requests.iter().enumerate() {
                assert_eq!(exchange(gateway.public(), request).status, 502);
                let lines = || -> Vec<Value> {
                    let lines = gateway.log_lines("request failed").into_iter();
                    lines.filter(|line| line["path"] == path.as_str()).collect()
                };
                wait_until("its line", DEADLINE, || lines().len() == seen + 1);
                let lines = lines();
                let named = lines[seen]["client"].as_str().unwrap_or_default();
                assert!(named.starts_with(client), "{request}: {named}");
            }
        }
    }
}

/// An answer that breaks off has one line, with the code that it is counted by.
#[test]
fn an_answer_that_breaks_off_is_told_once() {
    let origin = Origin::start(|request, stream| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
        let _ = stream.get_mut().write_all(head);
        if request.path() == "/stalled" {
            // Until the gateway hangs up.
            let _ = std::io::BufRead::read_line(stream, &mut String::new());
        }
        false
    });
    let gateway = Gateway::start(&configuration(&origin, "body_pause = \"300ms\""));
    for (path, code) in [("/stalled", "answer_stalled"), ("/broken", "answer_broken")] {
        let mut raw = Raw::connect(gateway.public());
        raw.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(raw.head().expect("a head").0, 200);
        assert_eq!(raw.rest(), b"hello");
        let line = gateway.log_line("answer cut off", |line| line["path"] == path);
        assert_eq!(
            (&line["code"], &line["application"], &line["level"]),
            (&code.into(), &"app".into(), &"INFO".into())
        );
    }
    // And nothing of the HTTP server's own.
    let told = gateway.log();
    let after: Vec<_> = told
        .iter()
        .filter(|line| line["message"] != "listening")
        .collect();
    assert_eq!(after.len(), 2, "{after:?}");
}

/// A host that is none has a code and a line; a head that is no HTTP has neither.
#[test]
fn what_is_no_http_is_not_told() {
    let origin = Origin::answering(|_| Vec::new());
    let gateway = Gateway::start(&configuration(&origin, ""));
    for lines in ["", "Host: a\r\nHost: b\r\n"] {
        let answer = exchange(gateway.public(), format!("GET / HTTP/1.1\r\n{lines}\r\n"));
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (400, ""),
            "{lines}"
        );
    }
    assert!(gateway.log_lines("request failed").is_empty());
    for (target, host) in [("/", "a b/c"), ("http://b/", "a")] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let answer = exchange(gateway.public(), request);
        assert_eq!(answer.status, 400);
        assert!(
            answer.text().starts_with("host_refused: "),
            "{}",
            answer.text()
        );
    }
    wait_until("two lines", DEADLINE, || {
        gateway.log_lines("request failed").len() == 2
    });
    assert_eq!(origin.requests().len(), 0);
}
