//! Reaching a broker: every failure by its name, failover within the deadline, the PROXY header.

use std::net::Ipv4Addr;

use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::*;
use crate::upstream::error::Failure;
use crate::upstream::error::Step;

async fn connect(upstream: &Upstream) -> Result<Connected, ConnectError> {
    soon(upstream.connect(HEADER, None, None)).await
}

async fn good_broker() -> SocketAddr {
    broker(|mut stream| async move {
        assert_eq!(read(&mut stream).await, HEADER);
        stream.write_all(b"\x01\0\0").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await
}

/// A broker that says `answer` after eight bytes and closes.
async fn broker_that_says(answer: &'static [u8]) -> SocketAddr {
    broker(move |mut stream| async move {
        let _: [u8; 8] = read(&mut stream).await;
        stream.write_all(answer).await.unwrap();
    })
    .await
}

#[tokio::test]
async fn a_broker_that_answers_is_handed_over_with_its_first_bytes() {
    let address = good_broker().await;
    let (upstream, registry) = upstream(&format!("uris = ['amqp://u:p@{address}/v']"));
    let connected = connect(&upstream).await.unwrap();
    assert_eq!(connected.first, b"\x01\0\0");
    assert_eq!(connected.broker, address.to_string());
    assert!(connected.login.is_none() && connected.vhost.is_none() && !connected.socket.is_tls());
    assert_eq!(metric(&registry, "smeuse_upstream_connections"), 1.0);
    assert_eq!(outcome(&registry, "connected"), 1.0);
    assert_eq!(
        metric(&registry, "smeuse_upstream_connect_duration_seconds_count"),
        1.0
    );
    drop(connected);
    assert_eq!(metric(&registry, "smeuse_upstream_connections"), 0.0);
}

#[tokio::test]
async fn a_service_login_comes_with_the_socket() {
    let address = good_broker().await;
    let (upstream, _) = upstream(&format!(
        "uris = ['amqp://u:p@{address}/v']\nlogin = 'service'"
    ));
    let connected = connect(&upstream).await.unwrap();
    let login = connected
        .login
        .as_ref()
        .map(|(user, password)| (user.as_str(), password.expose()));
    assert_eq!(login, Some(("u", "p")));
    assert_eq!(connected.vhost.as_deref(), Some("v"));
    assert!(!format!("{connected:?}").contains("\"p\""));
}

#[tokio::test]
async fn a_broker_that_wants_another_version_is_an_answer() {
    let address = broker_that_says(&HEADER).await;
    let (upstream, _) = upstream(&format!("uris = ['amqp://{address}']"));
    let connected = soon(upstream.connect(*b"AMQP\0\x01\0\0", None, None))
        .await
        .unwrap();
    assert_eq!(connected.first, HEADER);
}

#[tokio::test]
async fn a_port_without_a_broker_refuses() {
    let (_port, address) = nobody();
    let (upstream, registry) = upstream(&format!("uris = ['amqp://{address}']"));
    let error = connect(&upstream).await.unwrap_err();
    assert!(matches!(error.failure(), Failure::Refused), "{error:?}");
    assert_eq!(
        error.to_string(),
        format!("broker {address} refused the connection")
    );
    assert_eq!(outcome(&registry, "refused"), 1.0);
    assert_eq!(metric(&registry, "smeuse_upstream_connections"), 0.0);
}

#[tokio::test]
async fn a_name_that_cannot_exist_does_not_resolve() {
    // A label of the DNS has at most 63 octets (RFC 1035 section 2.3.4), so nobody is asked.
    let (upstream, registry) = upstream(&format!("uris = ['amqp://{}']", "n".repeat(64)));
    let error = connect(&upstream).await.unwrap_err();
    assert!(matches!(error.failure(), Failure::Resolve(_)), "{error:?}");
    assert_eq!(outcome(&registry, "resolve_failed"), 1.0);
}

#[tokio::test]
async fn a_broker_that_closes_or_resets_before_it_speaks_closed_early() {
    let closes = broker(|stream| async move { drop(stream) }).await;
    let closes_after_header = broker_that_says(b"").await;
    let resets = broker(|stream| async move {
        SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    })
    .await;
    for address in [closes, closes_after_header, resets] {
        let (upstream, registry) = upstream(&format!("uris = ['amqp://{address}']"));
        let error = connect(&upstream).await.unwrap_err();
        assert!(matches!(error.failure(), Failure::ClosedEarly), "{error:?}");
        assert_eq!(outcome(&registry, "closed_early"), 1.0);
    }
}

#[tokio::test]
async fn something_else_than_amqp_is_not_passed_on() {
    for (answer, text) in [
        (&b"HTTP/1.1 400 Bad Request\r\n"[..], "does not speak AMQP"),
        (b"AMQX", "does not speak AMQP"),
        (b"\x15\x03\x03\0\x02\x02\x0a", "expects TLS"),
    ] {
        let address = broker_that_says(answer).await;
        let (upstream, registry) = upstream(&format!("uris = ['amqp://{address}']"));
        let error = connect(&upstream).await.unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
        assert_eq!(outcome(&registry, "not_amqp"), 1.0);
    }
}

#[tokio::test]
async fn a_broker_that_takes_the_socket_but_never_answers_runs_into_the_deadline() {
    let address = silent_broker().await;
    let (upstream, registry) = upstream(&format!(
        "uris = ['amqp://{address}']\nconnect_deadline = '100ms'"
    ));
    let error = connect(&upstream).await.unwrap_err();
    assert!(
        matches!(error.failure(), Failure::Deadline(Step::Answer)),
        "{error:?}"
    );
    assert_eq!(outcome(&registry, "deadline"), 1.0);
}

#[tokio::test]
async fn a_broker_that_does_not_even_accept_runs_into_the_deadline() {
    // Linux drops what comes when the queue of a listener is full; the queue is one longer than asked.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
        .unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let _in_the_queue = TcpStream::connect(address).await.unwrap();
    let (upstream, _) = upstream(&format!(
        "uris = ['amqp://{address}']\nconnect_deadline = '100ms'"
    ));
    let error = connect(&upstream).await.unwrap_err();
    assert!(
        matches!(error.failure(), Failure::Deadline(Step::Connect)),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_hanging_broker_leaves_time_for_the_next() {
    let (_port, refusing) = nobody();
    let (hanging, good) = (silent_broker().await, good_broker().await);
    let (upstream, registry) =
        upstream(&format!("uris = ['amqp://{hanging}', 'amqp://{refusing}', 'amqp://{good}']\nconnect_deadline = '2s'"));
    let connected = connect(&upstream).await.unwrap();
    assert_eq!(connected.broker, good.to_string());
    for failed in ["deadline", "refused", "connected"] {
        assert_eq!(outcome(&registry, failed), 1.0, "{failed}");
    }
    assert_eq!(
        metric(&registry, "smeuse_upstream_connect_duration_seconds_count"),
        1.0
    );
}

#[tokio::test]
async fn of_several_that_fail_the_last_is_named_and_all_are_counted() {
    let (_port, refusing) = nobody();
    let (hanging, other) = (silent_broker().await, silent_broker().await);
    let (upstream, registry) =
        upstream(&format!("uris = ['amqp://{hanging}', 'amqp://{other}', 'amqp://{refusing}']\nconnect_deadline = '150ms'"));
    let error = connect(&upstream).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("broker {refusing} refused the connection (last of 3 tried)")
    );
    assert_eq!(
        (error.broker(), error.tried(), error.outcome()),
        (refusing.to_string().as_str(), 3, "refused")
    );
    assert_eq!(outcome(&registry, "deadline"), 2.0);
}

#[tokio::test]
async fn every_address_of_a_name_is_tried() {
    // The name may have ::1 as well, where nobody listens.
    let port = good_broker().await.port();
    let (upstream, _) = upstream(&format!("uris = ['amqp://localhost:{port}']"));
    assert_eq!(
        connect(&upstream).await.unwrap().broker,
        format!("localhost:{port}")
    );
}

#[tokio::test]
async fn ipv6_goes_where_it_says() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else {
        return; // A machine without IPv6.
    };
    let address = serve(listener, |mut stream| async move {
        stream.write_all(b"\x01").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let (upstream, _) = upstream(&format!("uris = ['amqp://{address}']"));
    assert_eq!(
        connect(&upstream).await.unwrap().broker,
        address.to_string()
    );
}

#[tokio::test]
async fn a_session_that_ends_first_counts_as_abandoned() {
    let (accepted, mut arrivals) = mpsc::unbounded_channel();
    let address = broker(move |stream| {
        accepted.send(stream).unwrap();
        async {}
    })
    .await;
    let (upstream, registry) = upstream(&format!("uris = ['amqp://{address}']"));
    let stream = tokio::select! {
        _ = upstream.connect(HEADER, None, None) => panic!("nobody answered"),
        stream = soon(arrivals.recv()) => stream,
    };
    assert_eq!(outcome(&registry, "abandoned"), 1.0);
    let mut received = Vec::new();
    soon(stream.unwrap().read_to_end(&mut received))
        .await
        .unwrap();
    assert!(HEADER.starts_with(&received));
}

#[tokio::test]
async fn the_proxy_header_comes_before_everything() {
    let client = "203.0.113.7:40000".parse().ok();
    let gateway = "192.0.2.1:15670".parse().ok();
    let v1 = b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 15670\r\n".to_vec();
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    v2.extend([203, 0, 113, 7, 192, 0, 2, 1, 0x9c, 0x40, 0x3d, 0x36]);
    for (version, mut expected) in [("v1", v1), ("v2", v2)] {
        expected.extend(HEADER);
        let address = broker(move |mut stream| {
            let expected = expected.clone();
            async move {
                let mut received = vec![0; expected.len()];
                stream.read_exact(&mut received).await.unwrap();
                assert_eq!(received, expected);
                stream.write_all(b"\x01").await.unwrap();
            }
        })
        .await;
        let (upstream, _) = upstream(&format!(
            "uris = ['amqp://{address}']\nproxy_protocol = '{version}'"
        ));
        soon(upstream.connect(HEADER, client, gateway))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn without_a_client_the_proxy_header_names_the_gateways_own_socket() {
    let address = broker(|mut stream| async move {
        let (peer, own) = (stream.peer_addr().unwrap(), stream.local_addr().unwrap());
        let line = format!(
            "PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n",
            peer.port(),
            own.port()
        );
        let mut received = vec![0; line.len()];
        stream.read_exact(&mut received).await.unwrap();
        assert_eq!(String::from_utf8(received).unwrap(), line);
        stream.write_all(b"\x01").await.unwrap();
    })
    .await;
    let (upstream, _) = upstream(&format!(
        "uris = ['amqp://{address}']\nproxy_protocol = 'v1'"
    ));
    connect(&upstream).await.unwrap();
}

#[tokio::test]
async fn a_broker_that_does_not_expect_the_proxy_header_is_told_apart() {
    // RabbitMQ takes "PROXY TC" for a protocol header and answers with its own.
    let address = broker_that_says(&HEADER).await;
    let (upstream, registry) = upstream(&format!(
        "uris = ['amqp://{address}']\nproxy_protocol = 'v1'"
    ));
    let error = connect(&upstream).await.unwrap_err();
    assert!(matches!(error.failure(), Failure::Proxy), "{error:?}");
    assert_eq!(outcome(&registry, "proxy_refused"), 1.0);
}

#[tokio::test]
async fn an_idle_socket_and_a_pending_connect_are_small() {
    assert!(size_of::<Socket>() <= 64, "{}", size_of::<Socket>());
    let (upstream, _) = upstream("");
    let pending = upstream.connect(HEADER, None, None);
    assert!(size_of_val(&pending) <= 256, "{}", size_of_val(&pending));
}
