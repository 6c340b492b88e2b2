//! Applications and TLS on both sides: behind the gateway's own, and with an origin that speaks it.

use std::fs;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;

use rustls::ClientConnection;
use rustls::ServerConfig;
use rustls::StreamOwned;

use super::origin::configuration;
use super::origin::get;
use super::origin::ok;
use super::origin::page;
use super::origin::read_body;
use super::origin::read_head;
use super::origin::Origin;
use super::websockets;
use crate::harness::gateway::Gateway;
use crate::harness::tls;
use crate::harness::tls::Authority;
use crate::harness::wait_until;
use crate::harness::DEADLINE;

const PAGE: &str = "<!doctype html><head><title>x</title></head><body>y</body>";

/// A gateway that speaks TLS itself, with one application.
fn secure(origin: &Origin, authority: &Authority) -> Gateway {
    let identity = authority.issue(&["localhost"]);
    let (certificate, key) = (identity.certificate_path(), identity.key_path());
    let tls = format!("[listen]\ntls = {{ certificate = {certificate:?}, key = {key:?} }}\n");
    Gateway::start(&(tls + &configuration(origin, "")))
}

/// A connection to it.
type Browser = BufReader<StreamOwned<ClientConnection, TcpStream>>;

fn connect(gateway: &Gateway, authority: &Authority) -> Browser {
    let socket = TcpStream::connect(gateway.public()).expect("the gateway accepts");
    socket.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    BufReader::new(authority.client(socket, "localhost"))
}

fn send(browser: &mut Browser, request: &str) {
    let stream = browser.get_mut();
    stream.write_all(request.as_bytes()).expect("it is taken");
    stream.flush().expect("it is taken");
}

/// The next answer; `is_bodiless` if its request or status has no body.
fn answer(browser: &mut Browser, is_bodiless: bool) -> (String, String) {
    let head = read_head(browser).expect("a head");
    let mut body = Vec::new();
    if !is_bodiless {
        read_body(&head, browser, &mut body).expect("a body");
    }
    (head, String::from_utf8_lossy(&body).into_owned())
}

/// What the origin learns, and a policy that means the gateway's own scheme.
#[test]
fn a_page_over_tls() {
    let origin = Origin::answering(|request| {
        let policy = match request.path() {
            "/https" => "script-src https:",
            _ => "script-src http:",
        };
        page(&format!("Content-Security-Policy: {policy}\r\n"), PAGE)
    });
    let authority = Authority::new();
    let gateway = secure(&origin, &authority);
    let mut browser = connect(&gateway, &authority);
    for path in ["/https", "/http"] {
        send(
            &mut browser,
            &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Dest: document\r\n\r\n"),
        );
        let (head, body) = answer(&mut browser, false);
        let head = head.to_lowercase();
        assert!(
            body.contains("<head><script src=\"/_smeuse/smeuse.js\""),
            "{body}"
        );
        // The script comes over TLS: `https:` allows it, and so does `http:`, which browsers take for both.
        let policy = format!("content-security-policy: script-src {}:\r\n", &path[1..]);
        assert!(head.contains(&policy), "{head}");
    }
    let request = &origin.requests()[0];
    assert_eq!(request.header("x-forwarded-proto"), Some("https"));
    assert_eq!(request.header("x-forwarded-host"), Some("localhost"));
    let forwarded = request.header("forwarded").unwrap_or_default();
    assert!(forwarded.contains("proto=https"), "{forwarded}");
    // Over plain TCP `https:` does not allow it.
    let plain = Gateway::start(&configuration(&origin, ""));
    let answer = get(plain.public(), "/https", "Sec-Fetch-Dest: document\r\n");
    let policy = answer.header("content-security-policy").unwrap_or_default();
    assert!(policy.starts_with("script-src https: 'sha384-"), "{policy}");
}

/// Answers without a body on a kept connection: nothing of them is taken for the next one.
#[test]
fn answers_without_a_body_over_tls() {
    let origin = Origin::answering(|request| {
        if request.header("if-none-match") == Some("\"a\"") {
            return b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n".to_vec();
        }
        let mut answer = ok("ETag: \"a\"\r\n", request.path());
        if request.line().starts_with("HEAD") {
            answer.truncate(answer.len() - request.path().len());
        }
        answer
    });
    let authority = Authority::new();
    let gateway = secure(&origin, &authority);
    let mut browser = connect(&gateway, &authority);
    for round in 0..3 {
        let path = format!("/{round}");
        send(
            &mut browser,
            &format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"),
        );
        let (head, _) = answer(&mut browser, true);
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(
            head.to_lowercase().contains("content-length: 2\r\n"),
            "{head}"
        );
        send(
            &mut browser,
            &format!("GET {path} HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"a\"\r\n\r\n"),
        );
        let (head, _) = answer(&mut browser, true);
        assert!(head.starts_with("HTTP/1.1 304 "), "{head}");
        send(
            &mut browser,
            &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"),
        );
        let (head, body) = answer(&mut browser, false);
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(body, path);
    }
    assert_eq!(origin.requests().len(), 9);
}

/// The application's own WebSocket, and the end of TLS when it is over.
#[test]
fn a_websocket_of_the_applications_own_over_tls() {
    let origin = websockets::origin();
    let authority = Authority::new();
    let gateway = secure(&origin, &authority);
    let mut browser = connect(&gateway, &authority);
    send(&mut browser, &websockets::upgrade("/chat"));
    let head = read_head(&mut browser).expect("a head");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let bytes = vec![7; 100_000];
    browser.get_mut().write_all(&bytes).expect("it is taken");
    let mut back = vec![0; bytes.len()];
    browser.read_exact(&mut back).expect("the bytes come");
    assert!(back == bytes);
    assert_eq!(origin.only().header("x-forwarded-proto"), Some("https"));
    browser.get_mut().conn.send_close_notify();
    browser.get_mut().flush().expect("it is taken");
    // Not an end that anybody on the way could have made.
    assert_eq!(
        browser.read_to_end(&mut Vec::new()).expect("a clean end"),
        0
    );
    gateway.wait_metric(websockets::OPEN, 0.0);
}

/// An origin that answers every request over TLS, on connections that it keeps.
fn secure_origin(config: Arc<ServerConfig>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let config = Arc::clone(&config);
            thread::spawn(move || {
                let stream = tls::accept(config, socket)?;
                let mut stream = BufReader::new(stream);
                while read_head(&mut stream).is_ok() {
                    stream.get_mut().write_all(&ok("", "trusted"))?;
                    stream.get_mut().flush()?;
                }
                Ok::<_, std::io::Error>(())
            });
        }
    });
    address
}

/// SIGHUP: whom the gateway trusts and what it shows is read again; a file that is broken changes nothing.
#[test]
fn sighup_reads_what_the_origin_is_trusted_by_again() {
    let (right, wrong) = (Authority::new(), Authority::new());
    let ours = right.issue_until(&["gateway"], 2030);
    let renewed = right.issue_until(&["gateway"], 2031);
    // Whoever comes must show a certificate of the right authority.
    let origin = secure_origin(right.issue(&["localhost"]).server_config(Some(&right)));
    let (ca, certificate, key) = (wrong.path(), ours.certificate_path(), ours.key_path());
    let text = format!(
        "[[web.applications]]\nname = \"app\"\norigin = \"https://{origin}\"\nidle_connections = 0\n\
         tls = {{ ca = {ca:?}, certificate = {certificate:?}, key = {key:?}, server_name = \"localhost\" }}\n{}",
        crate::harness::configuration::echo()
    );
    let gateway = Gateway::start(&text);
    let status = || get(gateway.public(), "/", "").status;
    let expiry =
        "smeuse_certificate_expiry_timestamp_seconds{certificate=\"web.applications.app.tls\"}";
    assert_eq!(status(), 502);
    assert_eq!(gateway.metric(expiry), 1_893_456_000.0);

    fs::write(ca, "no certificate").expect("the file can be replaced");
    gateway.signal("HUP");
    gateway.log_line("reload failed, the old setting stays", |line| {
        let detail = line["detail"].as_str().unwrap_or_default();
        detail.starts_with("web.applications.app.tls.ca: ")
    });
    assert_eq!(status(), 502);

    for (from, to) in [
        (right.path(), ca),
        (renewed.certificate_path(), certificate),
        (renewed.key_path(), key),
    ] {
        fs::copy(from, to).expect("the file can be replaced");
    }
    gateway.signal("HUP");
    gateway.log_line("reloaded", |_| true);
    let answer = get(gateway.public(), "/", "");
    assert_eq!((answer.status, answer.text().as_str()), (200, "trusted"));
    assert_eq!(gateway.metric(expiry), 1_924_992_000.0);

    // And back: nobody is trusted for what the file said before.
    let nobody = Authority::new();
    fs::copy(nobody.path(), ca).expect("the file can be replaced");
    gateway.signal("HUP");
    wait_until("the origin to be trusted no more", DEADLINE, || {
        status() == 502
    });
}
