//! The outcomes of an opening that does not become a session: status, stable code, sentence, headers,
//! metric, log line, and the socket's end at once.

use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::ECHO_PATH;
use crate::harness::gateway::Gateway;
use crate::harness::opening::Opening;
use crate::harness::opening::KEY;
use crate::harness::process::open_fds;
use crate::harness::refusal::expect_refusal;
use crate::harness::refusal::expect_refused;
use crate::harness::wait_until;
use crate::harness::websocket;
use crate::harness::websocket::BINARY;
use crate::harness::CLOSE_DEADLINE;
use crate::harness::DEADLINE;

fn gateway() -> Gateway {
    Gateway::start(&configuration::echo())
}

fn opening(gateway: &Gateway) -> Opening {
    Opening::new(gateway.public(), ECHO_PATH)
}

/// RFC 6455 4.2.1 item 5: a request without the key is no opening.
#[test]
fn a_missing_key_is_400_key_missing() {
    let gateway = gateway();
    let request = opening(&gateway).without("Sec-WebSocket-Key").bytes();
    expect_refusal(&gateway, &request, 400, "key_missing");
}

/// RFC 6455 4.2.1 item 5: the key is 16 bytes in base64, once.
#[test]
fn a_key_that_is_not_sixteen_bytes_in_base64_is_400_key_malformed() {
    let gateway = gateway();
    let keys = [
        "short",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZTE=",
        "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25j*Q==",
        "dGhlIHNhbXBsZSBub25jZR==",
    ];
    for key in keys {
        let request = opening(&gateway).replace("Sec-WebSocket-Key", key).bytes();
        expect_refusal(&gateway, &request, 400, "key_malformed");
    }
    let twice = opening(&gateway).with("Sec-WebSocket-Key", KEY).bytes();
    expect_refusal(&gateway, &twice, 400, "key_malformed");
}

/// RFC 6455 4.4: a version that is not spoken is answered with the one that is.
#[test]
fn another_version_is_426_with_the_version_spoken() {
    let gateway = gateway();
    for version in ["8", "7", "12", "14", "0", "013", "13, 8", "thirteen", ""] {
        let request = opening(&gateway)
            .replace("Sec-WebSocket-Version", version)
            .bytes();
        let response = expect_refusal(&gateway, &request, 426, "version_not_supported");
        assert_eq!(
            response.header("Sec-WebSocket-Version"),
            Some("13"),
            "{version:?}"
        );
        assert_eq!(response.header("Upgrade"), Some("websocket"), "{version:?}");
    }
    let request = opening(&gateway).without("Sec-WebSocket-Version").bytes();
    let response = expect_refusal(&gateway, &request, 426, "version_not_supported");
    assert_eq!(response.header("Sec-WebSocket-Version"), Some("13"));
}

/// RFC 9110 15.5.22: a plain request at the path of a service is told what to upgrade to.
#[test]
fn a_plain_request_at_a_service_is_426_upgrade_required() {
    let gateway = gateway();
    let request = format!(
        "GET {ECHO_PATH} HTTP/1.1\r\nHost: {}\r\n\r\n",
        gateway.public()
    );
    let response = expect_refusal(&gateway, request.as_bytes(), 426, "upgrade_required");
    assert_eq!(response.header("Upgrade"), Some("websocket"));
    assert_eq!(response.header("Sec-WebSocket-Version"), Some("13"));
}

/// RFC 6455 4.2.1 items 3 and 4: both headers must ask for the upgrade.
#[test]
fn half_an_upgrade_is_400_upgrade_malformed() {
    let gateway = gateway();
    let requests = [
        opening(&gateway).without("Connection"),
        opening(&gateway).replace("Connection", "keep-alive"),
        opening(&gateway).replace("Upgrade", "h2c"),
        opening(&gateway).replace("Upgrade", "websockets"),
    ];
    for request in requests {
        expect_refusal(&gateway, &request.bytes(), 400, "upgrade_malformed");
    }
}

/// RFC 9112 3.2: a request without exactly one Host is malformed.
#[test]
fn a_host_that_is_missing_or_doubled_is_400() {
    let gateway = gateway();
    for request in [
        opening(&gateway).without("Host"),
        opening(&gateway).with("Host", "elsewhere"),
    ] {
        let mut client = Client::connect(gateway.public());
        client.send(&request.bytes());
        let response = client.response();
        assert_eq!(response.status, 400, "{response:?}");
    }
}

/// RFC 6455 4.2.1 item 1: the method is GET.
#[test]
fn another_method_is_405_with_allow() {
    let gateway = gateway();
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let line = format!("{method} {ECHO_PATH} HTTP/1.1");
        let request = opening(&gateway).request_line(&line).bytes();
        let response = expect_refusal(&gateway, &request, 405, "method_not_allowed");
        assert_eq!(response.header("Allow"), Some("GET"), "{method}");
    }
}

/// RFC 6455 4.2.1 item 1: HTTP/1.1 or higher.
#[test]
fn http_1_0_opens_nothing() {
    let gateway = gateway();
    let request = opening(&gateway)
        .request_line(&format!("GET {ECHO_PATH} HTTP/1.0"))
        .bytes();
    let mut client = Client::connect(gateway.public());
    client.send(&request);
    let response = client.response();
    assert!(matches!(response.status, 400 | 426 | 505), "{response:?}");
}

/// RFC 6455 4.2.2 item 4: a resource that is not there is 404, upgrade or not.
#[test]
fn another_path_is_404_path_not_found() {
    let gateway = gateway();
    for path in ["/", "/nowhere", "/echo/more", "/ECHO", "//echo"] {
        let request = opening(&gateway)
            .request_line(&format!("GET {path} HTTP/1.1"))
            .bytes();
        expect_refusal(&gateway, &request, 404, "path_not_found");
    }
}

/// The path in the log and the body is the client's text: cut, and without control characters.
#[test]
fn what_a_client_wrote_cannot_forge_a_line() {
    let gateway = gateway();
    let path = format!("/{}", "p".repeat(4000));
    let request = opening(&gateway)
        .request_line(&format!("GET {path} HTTP/1.1"))
        .bytes();
    let response = expect_refusal(&gateway, &request, 404, "path_not_found");
    assert!(response.body.len() < 400, "{}", response.body);
}

/// Bytes that are no HTTP at all get an answer or an end, and soon.
#[test]
fn what_is_not_http_is_ended() {
    let gateway = gateway();
    for bytes in [
        b"AMQP\x00\x00\x09\x01".as_slice(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\r\n\0\0\r\n\r\n",
    ] {
        let mut client = Client::connect(gateway.public());
        client.send(bytes);
        client.finish_sending();
        client.drain_to_end(CLOSE_DEADLINE);
    }
    gateway.wait_metric("smeuse_handshakes_in_progress", 0.0);
}

/// RFC 6455 4.2.2: the client may send its first frames early; a refusal must reach it even so.
#[test]
fn a_refusal_is_read_even_if_frames_came_with_the_request() {
    let gateway = gateway();
    let mut request = opening(&gateway)
        .request_line("GET /nowhere HTTP/1.1")
        .bytes();
    request.extend(websocket::frame(BINARY, &[0; 10_000]));
    let mut client = Client::connect(gateway.public());
    client.send(&request);
    expect_refused(&mut client, 404, "path_not_found");
}

/// A hundred refusals leave nothing open.
#[test]
fn refusals_leave_no_socket_behind() {
    let gateway = gateway();
    expect_refusal(
        &gateway,
        &opening(&gateway).without("Sec-WebSocket-Key").bytes(),
        400,
        "key_missing",
    );
    let before = open_fds(gateway.pid());
    for _ in 0..100 {
        let mut client = Client::connect(gateway.public());
        client.send(
            &opening(&gateway)
                .replace("Sec-WebSocket-Version", "8")
                .bytes(),
        );
        expect_refused(&mut client, 426, "version_not_supported");
    }
    wait_until("the sockets to be closed", DEADLINE, || {
        open_fds(gateway.pid()) <= before
    });
    gateway.wait_metric("smeuse_handshakes_in_progress", 0.0);
}

/// RFC 9112 section 9.6: after an answer with `Connection: close` nothing more is processed; above all, an upgrade that
/// came with the request becomes no session, and its answer does not take the other's place.
#[test]
fn nothing_follows_a_refusal_on_its_socket() {
    let gateway = gateway();
    let plain = format!(
        "GET /nowhere HTTP/1.1\r\nHost: {}\r\n\r\n",
        gateway.public()
    );
    let mut client = Client::connect(gateway.public());
    client.send(&[plain.as_bytes(), &opening(&gateway).bytes()].concat());
    expect_refused(&mut client, 404, "path_not_found");
    assert_eq!(gateway.metrics().sum("smeuse_sessions_opened_total"), 0.0);
}

/// RFC 9110 section 7.8: a request is complete with its content, and frames begin behind it; an opening has no content,
/// and one that says so is not taken for one without.
#[test]
fn an_opening_with_content_is_refused() {
    let gateway = gateway();
    let with_length = opening(&gateway).with("Content-Length", "5").bytes();
    let chunked = opening(&gateway)
        .with("Transfer-Encoding", "chunked")
        .bytes();
    for (head, content) in [(with_length, "hello"), (chunked, "5\r\nhello\r\n0\r\n\r\n")] {
        let mut client = Client::connect(gateway.public());
        client.send(&[&head, content.as_bytes()].concat());
        let response = client.response();
        assert!((400..500).contains(&response.status), "{response:?}");
    }
    let empty = opening(&gateway).with("Content-Length", "0");
    Client::open_by(&empty, gateway.public());
}
