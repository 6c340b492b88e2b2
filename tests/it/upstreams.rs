//! How the broker is reached: several URIs, deadlines, TLS, the PROXY protocol and the client's
//! address behind proxies.

use std::io;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::time::Duration;
use std::time::Instant;

use crate::harness::amqp;
use crate::harness::broker::Broker;
use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::AMQP_PATH;
use crate::harness::gateway::Gateway;
use crate::harness::negotiation::Login;
use crate::harness::opening::Opening;
use crate::harness::page::Page;
use crate::harness::peer::Peer;
use crate::harness::tls::Authority;

fn serve(peer: &mut Peer) -> io::Result<()> {
    peer.negotiate()?;
    peer.serve()
}

/// An address nobody listens on: the port was free a moment ago.
fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener
        .local_addr()
        .expect("a bound listener has an address")
}

/// Says the protocol header and insists on a Close with 1013 whose reason has these words in it.
#[track_caller]
fn expect_unreachable(gateway: &Gateway, words: &[&str]) {
    let mut page = Page::open(gateway);
    page.send(amqp::HEADER);
    let end = page.read_to_end();
    end.expect_code(1013);
    for word in words {
        assert!(end.reason.contains(word), "no {word:?} in {:?}", end.reason);
    }
    assert!(end.frames.is_empty(), "AMQP had not started: {end:?}");
    gateway.log_line("session ended", |line| {
        line["by"] == "broker" && line["reason"] == "unreachable"
    });
}

/// The URIs are tried in order, and the first that answers is taken.
#[test]
fn the_second_broker_is_asked_if_the_first_is_down() {
    let broker = Broker::polite();
    let uris = [format!("amqp://{}", nobody()), broker.uri().to_string()];
    let gateway = Gateway::start(&configuration::amqp_to(&uris, ""));
    Page::login(&gateway).open_channel(1);
    assert_eq!(
        gateway.metric("smeuse_upstream_connects_total{outcome=\"refused\"}"),
        1.0
    );
    assert_eq!(
        gateway.metric("smeuse_upstream_connects_total{outcome=\"connected\"}"),
        1.0
    );
}

/// A broker that accepts but closes, or does not speak AMQP, counts as down as well.
#[test]
fn a_broker_that_does_not_answer_as_one_is_passed_over() {
    let closing = Broker::start(|_| Ok(()));
    let talking = Broker::start(|peer| {
        peer.send(b"220 mail.example ESMTP\r\n")?;
        peer.read_to_end()
    });
    let broker = Broker::polite();
    let uris = [
        closing.uri().to_string(),
        talking.uri().to_string(),
        broker.uri().to_string(),
    ];
    let gateway = Gateway::start(&configuration::amqp_to(&uris, ""));
    Page::login(&gateway).open_channel(1);
}

/// Broker unreachable is 1013 with a reason that names what failed.
#[test]
fn nobody_listening_is_1013_and_says_who() {
    let address = nobody();
    let gateway = Gateway::start(&configuration::amqp(format!("amqp://{address}")));
    expect_unreachable(&gateway, &[&address.to_string(), "refused"]);
    let gateway = Gateway::start(&configuration::amqp("amqp://no-such-host.invalid:5672"));
    expect_unreachable(&gateway, &["no-such-host.invalid"]);
}

/// `upstream.connect_deadline`: a broker that accepts and never answers does not hang a page.
#[test]
fn a_broker_that_never_answers_is_1013_after_the_deadline() {
    let broker = Broker::start(Peer::read_to_end);
    let gateway = Gateway::start(&configuration::amqp_with(
        broker.uri(),
        "connect_deadline = \"300ms\"",
    ));
    let started = Instant::now();
    expect_unreachable(&gateway, &["did not answer"]);
    let elapsed = started.elapsed();
    assert!(
        (Duration::from_millis(300)..Duration::from_secs(2)).contains(&elapsed),
        "{elapsed:?}"
    );
    assert_eq!(
        gateway.metric("smeuse_upstream_connects_total{outcome=\"deadline\"}"),
        1.0
    );
    gateway.wait_nothing_left();
}

/// The password of a URI is nowhere to be seen when the broker cannot be reached.
#[test]
fn a_uris_password_is_never_shown() {
    let uri = format!("amqp://user:sesame@{}", nobody());
    let gateway = Gateway::start(&configuration::amqp_with(uri, "login = \"service\""));
    let mut page = Page::open(&gateway);
    page.send(amqp::HEADER);
    let end = page.read_to_end();
    assert!(!end.reason.contains("sesame"), "{end:?}");
    gateway.log_line("session ended", |_| true);
    assert!(gateway
        .log()
        .iter()
        .all(|line| !line.to_string().contains("sesame")));
    assert!(!gateway.admin("GET", "/readyz").body.contains("sesame"));
}

/// `amqps://` with an authority of one's own; the name is the URI's host.
#[test]
fn amqps_trusts_the_configured_authority() {
    let authority = Authority::new();
    let identity = authority.issue(&["localhost", "127.0.0.1"]);
    let broker = Broker::start_tls(identity.server_config(None), serve);
    let tls = format!("tls = {{ ca = {:?} }}", authority.path());
    for host in ["localhost", "127.0.0.1"] {
        let uri = format!("amqps://{host}:{}", broker.address().port());
        let gateway = Gateway::start(&configuration::amqp_with(uri, &tls));
        let mut page = Page::login(&gateway);
        page.open_channel(1);
        page.send(&amqp::publish(1, "q", &vec![7; 300_000], 131_072));
        page.open_channel(2);
    }
}

/// A certificate of somebody else is refused, and the page is told that it was TLS.
#[test]
fn amqps_refuses_another_authority_and_another_name() {
    let authority = Authority::new();
    let identity = authority.issue(&["localhost"]);
    let broker = Broker::start_tls(identity.server_config(None), serve);
    let port = broker.address().port();

    let stranger = Authority::new();
    let tls = format!("tls = {{ ca = {:?} }}", stranger.path());
    let gateway = Gateway::start(&configuration::amqp_with(
        format!("amqps://localhost:{port}"),
        &tls,
    ));
    expect_unreachable(&gateway, &["certificate"]);

    let gateway = Gateway::start(&configuration::amqp(format!("amqps://localhost:{port}")));
    expect_unreachable(&gateway, &["certificate"]);

    let tls = format!("tls = {{ ca = {:?} }}", authority.path());
    let gateway = Gateway::start(&configuration::amqp_with(
        format!("amqps://127.0.0.1:{port}"),
        &tls,
    ));
    expect_unreachable(&gateway, &["certificate"]);
    assert_eq!(
        gateway.metric("smeuse_upstream_connects_total{outcome=\"tls_failed\"}"),
        1.0
    );
}

/// `tls.server_name`: the name to ask for and to verify, when it is not the URI's.
#[test]
fn amqps_verifies_the_configured_name() {
    let authority = Authority::new();
    let identity = authority.issue(&["rabbit.internal"]);
    let broker = Broker::start_tls(identity.server_config(None), serve);
    let tls = format!(
        "tls = {{ ca = {:?}, server_name = \"rabbit.internal\" }}",
        authority.path()
    );
    let uri = format!("amqps://127.0.0.1:{}", broker.address().port());
    let gateway = Gateway::start(&configuration::amqp_with(uri, &tls));
    Page::login(&gateway).open_channel(1);
}

/// A broker that asks for a client certificate gets the configured one.
#[test]
fn amqps_shows_the_client_certificate() {
    let authority = Authority::new();
    let identity = authority.issue(&["localhost"]);
    let broker = Broker::start_tls(identity.server_config(Some(&authority)), serve);
    let uri = format!("amqps://localhost:{}", broker.address().port());
    let client = authority.issue(&["gateway"]);
    let (certificate, key) = (client.certificate_path(), client.key_path());
    let with = format!(
        "tls = {{ ca = {:?}, certificate = {certificate:?}, key = {key:?} }}",
        authority.path()
    );
    let gateway = Gateway::start(&configuration::amqp_with(&uri, &with));
    Page::login(&gateway).open_channel(1);

    let without = format!("tls = {{ ca = {:?} }}", authority.path());
    let gateway = Gateway::start(&configuration::amqp_with(&uri, &without));
    let mut page = Page::open(&gateway);
    page.send(amqp::HEADER);
    page.read_to_end().expect_code(1013);
}

/// A broker that expects a PROXY header, keeps its bytes and then logs clients in.
fn proxied_broker(version: u8) -> Broker {
    Broker::start(move |peer| {
        if version == 1 {
            while !peer.read_exact(1)?.ends_with(b"\n") {}
        } else {
            let head = peer.read_exact(16)?;
            peer.read_exact(usize::from(u16::from_be_bytes([head[14], head[15]])))?;
        }
        peer.negotiate()?;
        peer.serve()
    })
}

/// Logs in with this header line in the opening, and gives what the broker read and the client's own address.
#[track_caller]
fn login_through(gateway: &Gateway, header: Option<(&str, &str)>) -> SocketAddr {
    let mut opening = Opening::new(gateway.public(), AMQP_PATH);
    if let Some((name, value)) = header {
        opening = opening.with(name, value);
    }
    let client = Client::open_by(&opening, gateway.public());
    let address = client.local_address();
    Page::over(client)
        .logged_in(&Login::default())
        .open_channel(1);
    address
}

/// `proxy_protocol = "v1"`: one line of text before AMQP, with the client's address and port.
#[test]
fn the_proxy_protocols_text_names_the_client() {
    let broker = proxied_broker(1);
    let gateway = Gateway::start(&configuration::amqp_with(
        broker.uri(),
        "proxy_protocol = \"v1\"",
    ));
    let client = login_through(&gateway, None);
    let received = broker.received(0);
    let line = received
        .split(|byte| *byte == b'\n')
        .next()
        .expect("a line");
    let line = String::from_utf8(line.to_vec()).expect("ASCII");
    let words: Vec<_> = line.split([' ', '\r']).collect();
    let port = client.port().to_string();
    assert_eq!(
        words[..5],
        ["PROXY", "TCP4", "127.0.0.1", "127.0.0.1", &port],
        "{line}"
    );
    assert!(
        words[5].parse::<u16>().is_ok() && words.len() == 7,
        "{line}"
    );
}

/// `proxy_protocol = "v2"`: the binary form.
#[test]
fn the_proxy_protocols_binary_names_the_client() {
    let broker = proxied_broker(2);
    let gateway = Gateway::start(&configuration::amqp_with(
        broker.uri(),
        "proxy_protocol = \"v2\"",
    ));
    let client = login_through(&gateway, None);
    let received = broker.received(0);
    assert_eq!(received[..12], *b"\r\n\r\n\0\r\nQUIT\n");
    assert_eq!(
        received[12..14],
        [0x21, 0x11],
        "not PROXY over TCP and IPv4"
    );
    assert!(
        received[14..16] == 12_u16.to_be_bytes(),
        "not 12 bytes of addresses"
    );
    assert_eq!(received[16..20], [127, 0, 0, 1]);
    assert_eq!(received[24..26], client.port().to_be_bytes());
}

/// `Forwarded` and `X-Forwarded-For` count if they come from a trusted proxy.
#[test]
fn a_trusted_proxys_word_names_the_client() {
    let trusted = "[proxies]\ntrusted = [\"127.0.0.0/8\", \"198.51.100.1\"]\n";
    let headers = [
        ("X-Forwarded-For", "203.0.113.7"),
        ("X-Forwarded-For", "192.0.2.66, 203.0.113.7, 198.51.100.1"),
        ("X-Forwarded-For", "203.0.113.7, 127.0.0.1"),
        ("Forwarded", "for=203.0.113.7"),
        (
            "Forwarded",
            "for=192.0.2.66, for=\"203.0.113.7:4711\";proto=https;by=198.51.100.1",
        ),
    ];
    for (name, value) in headers {
        let broker = proxied_broker(1);
        let text =
            trusted.to_owned() + &configuration::amqp_with(broker.uri(), "proxy_protocol = \"v1\"");
        let gateway = Gateway::start(&text);
        login_through(&gateway, Some((name, value)));
        let received = broker.received(0);
        assert!(
            received.starts_with(b"PROXY TCP4 203.0.113.7 "),
            "{name}: {value}"
        );
        let line = gateway.log_line("session opened", |_| true);
        assert!(
            line["client"]
                .as_str()
                .is_some_and(|client| client.starts_with("203.0.113.7")),
            "{line}"
        );
    }
}

/// From anybody else they do not.
#[test]
fn a_strangers_word_about_its_address_is_not_believed() {
    for header in [
        ("X-Forwarded-For", "203.0.113.7"),
        ("Forwarded", "for=203.0.113.7"),
    ] {
        let broker = proxied_broker(1);
        let trusted = "[proxies]\ntrusted = [\"198.51.100.1\"]\n";
        let text =
            trusted.to_owned() + &configuration::amqp_with(broker.uri(), "proxy_protocol = \"v1\"");
        let gateway = Gateway::start(&text);
        login_through(&gateway, Some(header));
        assert!(broker.received(0).starts_with(b"PROXY TCP4 127.0.0.1 "));
    }
}

/// An IPv6 client behind a trusted proxy is named in full.
#[test]
fn a_trusted_proxy_may_name_an_ipv6_client() {
    let broker = proxied_broker(1);
    let trusted = "[proxies]\ntrusted = [\"127.0.0.1\"]\n";
    let text =
        trusted.to_owned() + &configuration::amqp_with(broker.uri(), "proxy_protocol = \"v1\"");
    let gateway = Gateway::start(&text);
    login_through(&gateway, Some(("Forwarded", "for=\"[2001:db8::17]:4711\"")));
    assert!(broker.received(0).starts_with(b"PROXY TCP6 2001:db8::17 "));
    let line = gateway.log_line("session opened", |_| true);
    assert!(
        line["client"]
            .as_str()
            .is_some_and(|client| client.contains("2001:db8::17")),
        "{line}"
    );
}
