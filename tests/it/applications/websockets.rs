//! The application's own WebSockets: to the origin and back as bytes, bounded in number and time; the gateway's stay its own.

use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;
use std::time::Instant;

use super::origin::configuration;
use super::origin::Origin;
use super::origin::Raw;
use super::origin::Request;
use crate::harness::client::Client;
use crate::harness::configuration::ECHO_PATH;
use crate::harness::gateway::Gateway;
use crate::harness::wait_until;
use crate::harness::websocket::BINARY;
use crate::harness::DEADLINE;

/// An origin that accepts upgrades and sends back every byte.
pub(super) fn origin() -> Origin {
    Origin::start(|request: &mut Request, stream: &mut BufReader<TcpStream>| {
        if request.path() == "/refused" {
            let _ = stream
                .get_mut()
                .write_all(b"HTTP/1.1 403 Forbidden\r\nX-Why: no\r\nContent-Length: 2\r\n\r\nno");
            return false;
        }
        let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                    Sec-WebSocket-Accept: as-the-origin-says\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
        let _ = stream.get_mut().write_all(head.as_bytes());
        let mut buffer = [0; 4_096];
        while let Ok(read) = stream.read(&mut buffer) {
            if read == 0 || stream.get_mut().write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        false
    })
}

pub(super) fn upgrade(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: app.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: chat\r\nOrigin: http://app.example\r\nCookie: a=1\r\n\r\n"
    )
}

fn open(gateway: &Gateway, path: &str) -> (Raw, String) {
    let mut raw = Raw::connect(gateway.public());
    raw.send(upgrade(path));
    let (status, head) = raw.head().expect("a head");
    assert_eq!(status, 101, "{head}");
    (raw, head)
}

pub(super) const OPEN: &str = "smeuse_application_websockets{application=\"app\"}";

#[test]
fn bytes_go_both_ways_as_they_are() {
    let origin = origin();
    let gateway = Gateway::start(&configuration(&origin, ""));
    let (mut raw, head) = open(&gateway, "/chat?room=1");
    assert!(head.contains("as-the-origin-says"), "{head}");
    gateway.wait_metric(OPEN, 1.0);
    for bytes in [&b"not even a frame"[..], &[0; 100_000]] {
        raw.send(bytes);
        assert_eq!(raw.exactly(bytes.len()), bytes);
    }
    let request = origin.only();
    assert_eq!(request.line(), "GET /chat?room=1 HTTP/1.1");
    for (name, value) in [
        ("upgrade", "websocket"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "chat"),
        ("origin", "http://app.example"),
        ("cookie", "a=1"),
        ("host", "app.example"),
        ("x-forwarded-for", "127.0.0.1"),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
    drop(raw);
    gateway.wait_metric(OPEN, 0.0);
    assert_eq!(
        gateway.metric("smeuse_application_websockets_opened_total{application=\"app\"}"),
        1.0
    );
    // It is no session, and no handshake is left over.
    assert_eq!(gateway.metrics().sum("smeuse_sessions"), 0.0);
    gateway.wait_metric("smeuse_handshakes_in_progress", 0.0);
}

#[test]
fn services_keep_their_paths() {
    let origin = origin();
    let gateway = Gateway::start(&configuration(&origin, ""));
    let mut client = Client::open(gateway.public(), ECHO_PATH);
    client.send_binary(b"mine");
    client.expect_message(BINARY, b"mine");
    assert_eq!(origin.requests().len(), 0);
}

#[test]
fn what_the_origin_refuses_is_refused_in_its_words() {
    let origin = origin();
    let gateway = Gateway::start(&configuration(&origin, ""));
    let mut raw = Raw::connect(gateway.public());
    raw.send(upgrade("/refused"));
    let answer = raw.answer().expect("an answer");
    assert_eq!(
        (
            answer.status,
            answer.header("x-why"),
            answer.text().as_str()
        ),
        (403, Some("no"), "no")
    );
    assert!(raw.is_closed());
}

#[test]
fn what_is_no_opening_handshake_is_refused() {
    let origin = origin();
    let gateway = Gateway::start(&configuration(&origin, ""));
    let good = upgrade("/chat");
    for bad in [
        good.replace("GET ", "POST "),
        good.replace(
            "Upgrade: websocket\r\n",
            "Upgrade: websocket\r\nContent-Length: 5\r\n",
        ),
        good.replace("keep-alive, Upgrade", "keep-alive"),
        good.replace("/chat", "/a/../chat"),
        good.replace("keep-alive, Upgrade", "Upgrade, Cookie"),
        good.replace("HTTP/1.1", "HTTP/1.0"),
    ] {
        let mut raw = Raw::connect(gateway.public());
        raw.send(&bad);
        assert_eq!(raw.answer().expect("an answer").status, 400, "{bad}");
        assert!(raw.is_closed());
    }
    assert_eq!(origin.requests().len(), 0);
}

#[test]
fn they_are_bounded_in_number_and_silence() {
    let origin = origin();
    let gateway = Gateway::start(&configuration(
        &origin,
        "websockets = 1\nwebsocket_silence = \"500ms\"",
    ));
    let (mut raw, _) = open(&gateway, "/chat");
    let mut second = Raw::connect(gateway.public());
    second.send(upgrade("/chat"));
    let answer = second.answer().expect("an answer");
    assert_eq!(answer.status, 503);
    assert!(
        answer.text().starts_with("too_many_websockets: "),
        "{}",
        answer.text()
    );
    // Whoever speaks stays; whoever is silent goes.
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(200));
        raw.send("x");
        assert_eq!(raw.exactly(1), b"x");
    }
    assert!(raw.is_closed());
    gateway.wait_metric(OPEN, 0.0);
    let none = Gateway::start(&configuration(&origin, "websockets = 0"));
    let mut raw = Raw::connect(none.public());
    raw.send(upgrade("/chat"));
    assert_eq!(raw.answer().expect("an answer").status, 503);
}

#[test]
fn a_drain_ends_them() {
    let origin = origin();
    let text = format!(
        "[drain]\ndeadline = \"500ms\"\nspread = \"0s\"\n{}",
        configuration(&origin, "")
    );
    let mut gateway = Gateway::start(&text);
    let (mut raw, _) = open(&gateway, "/chat");
    gateway.signal("TERM");
    gateway.log_line("draining", |_| true);
    assert!(raw.is_closed());
    assert!(gateway.exit_status(DEADLINE).success());
}

fn failures(gateway: &Gateway, reason: &str) -> f64 {
    let labels = format!("application=\"app\",reason=\"{reason}\"");
    gateway.metric(&format!("smeuse_application_failures_total{{{labels}}}"))
}

/// A 101 that is none of a WebSocket's, or that no proxy may pass on.
#[test]
fn a_change_to_something_else_is_no_answer() {
    let origin = Origin::start(|request: &mut Request, stream: &mut BufReader<TcpStream>| {
        let lines = match request.path() {
            "/other" => "Connection: Upgrade\r\nUpgrade: h2c\r\n",
            "/none" => "Connection: Upgrade\r\n",
            _ => "Connection: Upgrade, Content-Security-Policy\r\nUpgrade: websocket\r\n",
        };
        let head = format!("HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n");
        let _ = stream.get_mut().write_all(head.as_bytes());
        // Until the gateway hangs up.
        let _ = stream.read(&mut [0]);
        false
    });
    let gateway = Gateway::start(&configuration(&origin, ""));
    for (count, path) in ["/other", "/none", "/named"].into_iter().enumerate() {
        let mut raw = Raw::connect(gateway.public());
        raw.send(upgrade(path));
        let answer = raw.answer().expect("an answer");
        assert_eq!(answer.status, 502, "{path}");
        let text = answer.text();
        assert!(text.starts_with("origin_malformed: "), "{path}: {text}");
        assert!(raw.is_closed(), "{path}");
        let line = gateway.log_line("request failed", |line| line["path"] == path);
        assert_eq!(line["code"], "origin_malformed");
        assert_eq!(failures(&gateway, "origin_malformed"), (count + 1) as f64);
    }
    let informational =
        "smeuse_application_requests_total{application=\"app\",status_class=\"1xx\"}";
    assert_eq!(gateway.metric(informational), 0.0);
    gateway.wait_metric(OPEN, 0.0);
}

/// Whoever goes while the origin thinks about it takes the place and the origin's connection along.
#[test]
fn a_client_that_goes_before_the_answer_is_noticed() {
    let origin = Origin::start(|_: &mut Request, stream: &mut BufReader<TcpStream>| {
        let _ = stream.read(&mut [0]);
        false
    });
    let gateway = Gateway::start(&configuration(&origin, "head_deadline = \"60s\""));
    let mut raw = Raw::connect(gateway.public());
    raw.send(upgrade("/chat"));
    gateway.wait_metric(OPEN, 1.0);
    // What it has said already makes no difference.
    raw.send("early");
    drop(raw);
    gateway.wait_metric(OPEN, 0.0);
    wait_until("the origin's connection to end", DEADLINE, || {
        origin.closed() == 1
    });
}

/// What a client says before it is answered reaches the origin behind the 101, whole and in order.
#[test]
fn what_comes_early_is_not_lost() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let echo = origin();
    let address = echo.address();
    let origin = Origin::start(
        move |request: &mut Request, stream: &mut BufReader<TcpStream>| {
            let _ = wait.lock().map(|wait| wait.recv());
            let mut onward = TcpStream::connect(address).expect("the echo accepts");
            let _ = onward.write_all(request.head.as_bytes());
            let mut back = onward.try_clone().expect("a socket can be cloned");
            let mut answers = stream
                .get_ref()
                .try_clone()
                .expect("a socket can be cloned");
            std::thread::spawn(move || std::io::copy(&mut back, &mut answers));
            let _ = std::io::copy(stream, &mut onward);
            false
        },
    );
    let gateway = Gateway::start(&configuration(&origin, ""));
    let mut raw = Raw::connect(gateway.public());
    raw.send(upgrade("/chat"));
    gateway.wait_metric(OPEN, 1.0);
    // More than is kept, so that the rest waits in the socket.
    let early: Vec<u8> = (0..100_000_u32).map(|at| (at % 251) as u8).collect();
    raw.send(&early);
    go.send(()).expect("the origin waits");
    assert_eq!(raw.head().expect("a head").0, 101);
    assert!(raw.exactly(early.len()) == early);
    for direction in ["from_client", "to_client"] {
        let series = format!(
            "smeuse_application_bytes_total{{application=\"app\",direction=\"{direction}\"}}"
        );
        gateway.wait_metric(&series, early.len() as f64);
    }
}

/// A refusal that does not end is no longer waited for than a WebSocket.
#[test]
fn a_drain_ends_refusals_too() {
    const REFUSED: usize = 16;
    let origin = Origin::start(|_: &mut Request, stream: &mut BufReader<TcpStream>| {
        let head = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\n\r\nno";
        let _ = stream.get_mut().write_all(head);
        let _ = stream.read(&mut [0]);
        false
    });
    let text = format!(
        "[drain]\ndeadline = \"9s\"\nspread = \"9s\"\n{}",
        configuration(&origin, "")
    );
    let gateway = Gateway::start(&text);
    let mut refused = Vec::new();
    for _ in 0..REFUSED {
        let mut raw = Raw::connect(gateway.public());
        raw.send(upgrade("/chat"));
        assert_eq!(raw.head().expect("a head").0, 403);
        assert_eq!(raw.exactly(2), b"no");
        refused.push(raw);
    }
    gateway.wait_metric(OPEN, REFUSED as f64);
    let began = Instant::now();
    gateway.signal("TERM");
    gateway.wait_metric_until(OPEN, |open| open < REFUSED as f64);
    // Each has a moment of its own; at the deadline the process ends in any case.
    assert!(began.elapsed() < Duration::from_secs(7));
}

/// Whoever waits for the origin when the moment comes is told to come again.
#[test]
fn a_drain_answers_those_that_still_wait() {
    let origin = Origin::start(|_: &mut Request, stream: &mut BufReader<TcpStream>| {
        let _ = stream.read(&mut [0]);
        false
    });
    let text = format!(
        "[drain]\ndeadline = \"9s\"\nspread = \"9s\"\n{}",
        configuration(&origin, "")
    );
    let gateway = Gateway::start(&text);
    let (tell, told) = std::sync::mpsc::channel();
    for _ in 0..16 {
        let mut raw = Raw::connect(gateway.public());
        raw.send(upgrade("/chat"));
        let tell = tell.clone();
        std::thread::spawn(move || tell.send(raw.answer()));
    }
    gateway.wait_metric(OPEN, 16.0);
    gateway.signal("TERM");
    let answer = told.recv_timeout(Duration::from_secs(7));
    let answer = answer.expect("one has its moment").expect("an answer");
    assert_eq!(answer.status, 503);
    assert!(answer.text().starts_with("draining: "), "{}", answer.text());
}
