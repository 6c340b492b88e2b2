//! `listen.tls`: the same sessions over TLS, certificates that are read again, and handshakes
//! that are not finished.

use std::fs;
use std::net::TcpStream;

use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::ECHO_PATH;
use crate::harness::extended;
use crate::harness::gateway::Gateway;
use crate::harness::opening::Opening;
use crate::harness::tls::Authority;
use crate::harness::tls::Identity;
use crate::harness::users;
use crate::harness::wait_until;
use crate::harness::websocket::BINARY;
use crate::harness::CLOSE_DEADLINE;
use crate::harness::DEADLINE;

#[track_caller]
fn expect_echo(client: &mut Client) {
    client.send_binary(b"still here");
    client.expect_message(BINARY, b"still here");
}

/// Opens a WebSocket over TLS.
fn open_tls(gateway: &Gateway, authority: &Authority) -> Client {
    let socket = TcpStream::connect(gateway.public()).expect("the gateway accepts");
    let handle = socket.try_clone().expect("a socket can be cloned");
    let stream = authority.client(socket, "localhost");
    Client::over(Box::new(stream), handle).upgraded_by(&Opening::new(gateway.public(), ECHO_PATH))
}

/// The certificate the gateway shows.
fn shown(gateway: &Gateway, authority: &Authority) -> Option<Vec<u8>> {
    let mut socket = TcpStream::connect(gateway.public()).ok()?;
    socket.set_read_timeout(Some(DEADLINE)).ok()?;
    let mut stream = authority.client(socket.try_clone().ok()?, "localhost");
    stream.conn.complete_io(&mut socket).ok()?;
    stream
        .conn
        .peer_certificates()?
        .first()
        .map(|certificate| certificate.to_vec())
}

fn tls_table(identity: &Identity) -> String {
    let (certificate, key) = (identity.certificate_path(), identity.key_path());
    format!("[listen]\ntls = {{ certificate = {certificate:?}, key = {key:?} }}\n")
}

/// `listen.tls`: the same sessions over TLS.
#[test]
fn sessions_run_over_tls() {
    let authority = Authority::new();
    let identity = authority.issue(&["localhost"]);
    let gateway = Gateway::start(&(tls_table(&identity) + &configuration::echo()));
    let mut client = open_tls(&gateway, &authority);
    expect_echo(&mut client);
    client.send_binary(&[7; 300_000]);
    client.expect_message(BINARY, &[7; 300_000]);
    client.send_close(1000, "");
    assert_eq!(client.read_to_close().code, Some(1000));
    gateway.wait_metric("smeuse_sessions{service=\"echo\"}", 0.0);

    // Plain HTTP at a TLS listener ends, and harms nobody.
    let mut plain = Client::connect(gateway.public());
    plain.send(&Opening::new(gateway.public(), ECHO_PATH).bytes());
    plain.drain_to_end(DEADLINE);
    expect_echo(&mut open_tls(&gateway, &authority));
}

/// The extended handshake, a login and extensions over TLS: the same, by whatever cuts TLS makes.
#[test]
fn the_extended_handshake_runs_over_tls() {
    let authority = Authority::new();
    let identity = authority.issue(&["localhost"]);
    let login = users::login(users::USERS, "[\"application-basic\"]", "");
    let service = configuration::echo_with_lines(&login);
    let gateway = Gateway::start(&(tls_table(&identity) + &service));
    let socket = TcpStream::connect(gateway.public()).expect("the gateway accepts");
    let handle = socket.try_clone().expect("a socket can be cloned");
    let stream = authority.client(socket, "localhost");
    let opening = Opening::new(gateway.public(), ECHO_PATH).subprotocols(extended::SUBPROTOCOL);
    let mut client = Client::over(Box::new(stream), handle).upgraded_by(&opening);
    assert_eq!(extended::ask(&mut client, &[]).status, 401);
    let response = extended::ask(
        &mut client,
        &[
            ("Sec-WebSocket-Extensions", "smeuse-sequence"),
            ("Authorization", users::JOE),
        ],
    );
    assert_eq!(response.status, 101, "{response:?}");
    let message = [&b"00000000"[..], &[7; 300_000]].concat();
    client.send_binary(&message);
    client.expect_message(BINARY, &message);
}

/// SIGHUP: new sessions see the new certificate, old ones live on; a file that is broken changes nothing.
#[test]
fn sighup_reads_the_certificate_again() {
    let authority = Authority::new();
    let (first, second) = (
        authority.issue(&["localhost"]),
        authority.issue(&["localhost"]),
    );
    let gateway = Gateway::start(&(tls_table(&first) + &configuration::echo()));
    let mut old = open_tls(&gateway, &authority);
    assert_eq!(
        shown(&gateway, &authority).as_deref(),
        Some(first.certificate().as_ref())
    );

    fs::copy(second.certificate_path(), first.certificate_path())
        .expect("the certificate can be replaced");
    fs::write(first.key_path(), "no key at all").expect("the key can be replaced");
    gateway.signal("HUP");
    wait_until("a warning about the key", DEADLINE, || {
        gateway
            .log()
            .iter()
            .any(|line| matches!(line["level"].as_str(), Some("WARN" | "ERROR")))
    });
    assert_eq!(
        shown(&gateway, &authority).as_deref(),
        Some(first.certificate().as_ref())
    );

    fs::copy(second.key_path(), first.key_path()).expect("the key can be replaced");
    gateway.signal("HUP");
    wait_until("the new certificate", DEADLINE, || {
        shown(&gateway, &authority).as_deref() == Some(second.certificate().as_ref())
    });
    expect_echo(&mut old);
    expect_echo(&mut open_tls(&gateway, &authority));
}

/// `limits.request_head` holds for TLS as well: neither a socket that says nothing nor half a handshake stays.
#[test]
fn an_unfinished_tls_handshake_is_ended_by_the_deadline_of_the_head() {
    let authority = Authority::new();
    let identity = authority.issue(&["localhost"]);
    let limits = "[limits]\nrequest_head = \"1s\"\n";
    let gateway = Gateway::start(&(tls_table(&identity) + limits + &configuration::echo()));
    let mut silent = Client::connect(gateway.public());
    let mut halted = Client::connect(gateway.public());
    // The beginning of a record that holds a ClientHello.
    halted.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc");
    silent.drain_to_end(2 * CLOSE_DEADLINE);
    halted.drain_to_end(2 * CLOSE_DEADLINE);
    gateway.wait_metric("smeuse_handshakes_in_progress", 0.0);
    expect_echo(&mut open_tls(&gateway, &authority));
}

/// They count as handshakes in progress, and one that is abandoned counts no more.
#[test]
fn an_abandoned_tls_handshake_makes_room() {
    let authority = Authority::new();
    let identity = authority.issue(&["localhost"]);
    let limits = "[limits]\nhandshakes = 2\n";
    let gateway = Gateway::start(&(tls_table(&identity) + limits + &configuration::echo()));
    for _ in 0..20 {
        Client::connect(gateway.public()).reset();
        let mut half = Client::connect(gateway.public());
        half.send(b"\x16\x03\x01");
        half.reset();
    }
    gateway.wait_metric("smeuse_handshakes_in_progress", 0.0);
    expect_echo(&mut open_tls(&gateway, &authority));
}

/// The metric follows the certificates that are in force: after a renewal, and not after one that failed.
#[test]
fn the_expiry_of_each_certificate_is_a_metric() {
    let series = |certificate: &str| {
        format!("smeuse_certificate_expiry_timestamp_seconds{{certificate=\"{certificate}\"}}")
    };
    let authority = Authority::new();
    let identity = authority.issue_until(&["localhost"], 2030);
    let own = authority.issue_until(&["gateway"], 2031);
    let (certificate, key) = (own.certificate_path(), own.key_path());
    let upstream = format!(
        "[services.upstream]\nuris = [\"amqps://localhost:9\"]\ntls = {{ certificate = {certificate:?}, key = {key:?} }}\n"
    );
    let service = configuration::service("far", "amqp", &["/far"], "") + &upstream;
    let gateway = Gateway::start(&(tls_table(&identity) + &service + &configuration::echo()));
    assert_eq!(gateway.metric(&series("listen.tls")), BEGIN_OF_2030);
    assert_eq!(
        gateway.metric(&series("services.far.upstream.tls")),
        BEGIN_OF_2031
    );

    let renewed = authority.issue_until(&["localhost"], 2031);
    for (from, to) in [
        (renewed.certificate_path(), identity.certificate_path()),
        (renewed.key_path(), identity.key_path()),
    ] {
        fs::copy(from, to).expect("a file can be copied");
    }
    gateway.signal("HUP");
    gateway.wait_metric(&series("listen.tls"), BEGIN_OF_2031);

    fs::write(identity.certificate_path(), "no certificate").expect("a file can be written");
    gateway.signal("HUP");
    gateway.log_line("reload failed, the old setting stays", |_| true);
    assert_eq!(gateway.metric(&series("listen.tls")), BEGIN_OF_2031);
}

/// Seconds from 1970 to these years, in UTC.
const BEGIN_OF_2030: f64 = 1_893_456_000.0;
const BEGIN_OF_2031: f64 = 1_924_992_000.0;
