//! The admin listener: `/metrics` as Prometheus reads it, every name and its labels, exact counts of a
//! known exchange; `/healthz` and `/readyz` with their reasons.

use std::collections::BTreeSet;

use crate::harness::amqp;
use crate::harness::broker::Broker;
use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::ECHO_PATH;
use crate::harness::extended;
use crate::harness::gateway::Gateway;
use crate::harness::http;
use crate::harness::negotiation;
use crate::harness::negotiation::Login;
use crate::harness::page::Page;
use crate::harness::tls::Authority;
use crate::harness::users;
use crate::harness::wait_until;
use crate::harness::websocket;
use crate::harness::websocket::Frame;
use crate::harness::websocket::BINARY;
use crate::harness::websocket::CONTINUATION;
use crate::harness::websocket::PING;
use crate::harness::websocket::PONG;
use crate::harness::websocket::TEXT;
use crate::harness::DEADLINE;

/// The table of this document is what the tests here hold the program to.
const DOCUMENT: &str = include_str!("../../docs/metrics.md");

/// What no document need explain.
const PROCESS: [(&str, &str, &str); 3] = [
    ("process_resident_memory_bytes", "gauge", ""),
    ("process_open_fds", "gauge", ""),
    ("process_cpu_seconds_total", "counter", ""),
];

/// Rows of the document's first table: name, kind, labels as they stand there, and what it is.
fn rows() -> Vec<[&'static str; 4]> {
    let mut rows = Vec::new();
    for line in DOCUMENT
        .lines()
        .filter(|line| line.starts_with("| `smeuse_"))
    {
        let mut cells = line.trim_matches('|').split(" |").map(str::trim);
        let mut cell = || cells.next().unwrap_or_default();
        let row = [cell(), cell(), cell(), cell()];
        // The table of alerts names series, not kinds.
        if ["counter", "gauge", "histogram"].contains(&row[1]) {
            rows.push(row);
        }
    }
    rows
}

/// A gateway in which everything has happened that brings a first series about.
fn used_gateway() -> (Broker, Gateway) {
    let login = users::login(users::USERS, "[\"application-basic\"]", "");
    let broker = Broker::polite();
    let asking = configuration::service("asking", "echo", &["/asking"], &login);
    let soon = "[websocket]\nping_interval = \"150ms\"\n";
    // A certificate that expires; nobody comes to this service, so nobody need be there.
    let authority = Authority::new();
    let identity = authority.issue(&["client"]);
    let (certificate, key) = (identity.certificate_path(), identity.key_path());
    let tls = format!("tls = {{ certificate = {certificate:?}, key = {key:?} }}");
    let secure = configuration::service("secure", "amqp", &["/secure"], "")
        + &format!("[services.upstream]\nuris = [\"amqps://localhost:9\"]\n{tls}\n");
    let trial = "trials = [{ extension = \"x-kaazing-ping-pong\", percent = 100 }]";
    let echo = configuration::echo_with_lines(trial);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/demo");
    let application =
        format!("[[web.applications]]\nname = \"demo\"\npath = \"/demo\"\nfolder = {folder:?}\n");
    let services = application + &configuration::amqp(broker.uri()) + &echo + &asking + &secure;
    let gateway = Gateway::start(&(soon.to_owned() + &services));
    Page::login(&gateway).open_channel(1);
    let mut client = extended::open(&gateway, ECHO_PATH, "x-kaazing-ping-pong");
    client.expect_frame(TEXT, b"\x01\x01\x01\x02\x09\x00");
    client.send_text("\u{1}\u{1}\u{1}\u{2}\u{a}\u{0}");
    client.send_text("\u{1}\u{1}\u{1}\u{2}rubbish");
    client.expect_close_and_answer(1002);
    gateway.wait_nothing_left();
    (broker, gateway)
}

/// Each that the document names is there with HELP and TYPE, and has these labels and no other; and no other is there.
#[test]
fn every_metric_is_there_with_its_type_and_labels() {
    let (_broker, gateway) = used_gateway();
    let metrics = gateway.metrics();
    let rows = rows();
    assert!(rows.len() >= 25, "{} rows", rows.len());
    assert!(rows.iter().all(|[_, _, _, what]| what.len() > 5));
    let named = rows
        .iter()
        .map(|[name, kind, labels, _]| (name.trim_matches('`'), *kind, *labels));
    let families: Vec<_> = named.chain(PROCESS).collect();
    for (name, kind, labels) in &families {
        let found = metrics.types.get(*name).map(String::as_str);
        assert_eq!(found, Some(*kind), "{name}");
        let help = metrics.helps.get(*name);
        let help = help.unwrap_or_else(|| panic!("{name} has no HELP"));
        assert!(help.len() > 10, "{name}: {help}");
        let labels = labels.split(", ").map(|label| label.trim_matches('`'));
        let mut expected: BTreeSet<_> = labels.filter(|label| !label.is_empty()).collect();
        if *kind == "histogram" {
            expected.insert("le");
        }
        let of_family = |series: &str| {
            let samples = ["_bucket", "_sum", "_count"];
            let family = samples
                .iter()
                .find_map(|suffix| series.strip_suffix(suffix));
            series == *name || (*kind == "histogram" && family == Some(name))
        };
        let found: BTreeSet<_> = metrics
            .labels()
            .filter(|(series, _, _)| of_family(series))
            .map(|(_, label, _)| label)
            .collect();
        assert_eq!(found, expected, "{name}");
    }
    for name in metrics
        .types
        .keys()
        .filter(|name| name.starts_with("smeuse_"))
    {
        assert!(
            families.iter().any(|(family, _, _)| family == name),
            "{name} is not in docs/metrics.md"
        );
    }
}

/// The text has the type a scraper asks for, and the version of the build in it.
#[test]
fn the_page_is_the_text_format_and_names_the_build() {
    let (_broker, gateway) = used_gateway();
    let response = gateway.admin("GET", "/metrics");
    let kind = response.header("Content-Type").expect("Content-Type");
    assert!(kind.starts_with("text/plain"), "{kind}");
    assert!(kind.contains("version=0.0.4"), "{kind}");
    let version = format!(
        "smeuse_build_info{{version=\"{}\"}}",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(gateway.metric(&version), 1.0);
    assert_eq!(gateway.metric("smeuse_sessions_limit"), 50_000.0);
    let memory = gateway.metric("process_resident_memory_bytes");
    assert!(memory > 1e6, "{memory}");
}

/// No user, vhost, queue, session or address in a label: what clients send must not make series.
#[test]
fn no_label_says_who_or_what_was_sent() {
    let broker = Broker::polite();
    // Brokers are labels, by the names that the configuration has for them.
    let uri = format!("amqp://localhost:{}", broker.address().port());
    let gateway = Gateway::start(&configuration::amqp(uri));
    let login = Login {
        response: b"\0label-user\0label-password".to_vec(),
        vhost: "label-vhost".to_owned(),
        ..Login::default()
    };
    let mut page = Page::open(&gateway).logged_in(&login);
    page.open_channel(1);
    page.send(&amqp::publish(1, "label-queue", b"x", 4096));
    page.open_channel(2);
    let opening = crate::harness::opening::Opening::new(gateway.public(), "/label-path")
        .subprotocols("label-protocol");
    let mut client = Client::connect(gateway.public());
    client.send(&opening.bytes());
    assert_eq!(client.response().status, 404);
    let page = gateway.admin("GET", "/metrics").body;
    for secret in ["label-", "127.0.0.1"] {
        assert!(!page.contains(secret), "{secret} is on the page");
    }
    assert!(
        page.lines().count() < 1000,
        "{} lines",
        page.lines().count()
    );
}

/// A known exchange at an `echo` service: bytes are payloads of messages, fragments make one message, and control
/// frames are none.
#[test]
fn messages_and_bytes_are_counted_exactly() {
    let gateway = Gateway::start(&configuration::echo());
    let mut client = Client::open(gateway.public(), ECHO_PATH);
    client.send_binary(&[1; 1000]);
    client.expect_message(BINARY, &[1; 1000]);
    client.send_text("three");
    client.read_message();
    client.send(&Frame::unfinished(BINARY, b"in ").encode());
    client.send(&Frame::unfinished(CONTINUATION, b"").encode());
    client.send(&websocket::frame(CONTINUATION, b"two"));
    client.expect_message(BINARY, b"in two");
    client.send(&websocket::frame(PING, b"not counted"));
    client.expect_frame(PONG, b"not counted");
    client.send_close(1000, "");
    client.read_to_close();
    let line = gateway.log_line("session ended", |_| true);
    for direction in ["from_client", "to_client"] {
        let bytes = gateway.metric(&format!(
            "smeuse_relayed_bytes_total{{direction=\"{direction}\"}}"
        ));
        let messages = gateway.metric(&format!(
            "smeuse_websocket_messages_total{{direction=\"{direction}\"}}"
        ));
        assert_eq!((bytes, messages), (1011.0, 3.0), "{direction}");
        assert_eq!(line[format!("bytes_{direction}")], 1011, "{line}");
        assert_eq!(line[format!("messages_{direction}")], 3, "{line}");
    }
    let durations = gateway
        .metric("smeuse_handshake_duration_seconds_count{dialect=\"none\",handshake=\"opening\"}");
    assert_eq!(durations, 1.0);
}

/// A known exchange with a broker: publishes, deliveries, methods by class and direction, bytes.
#[test]
fn amqp_is_counted_exactly() {
    let broker = Broker::start(|peer| {
        peer.negotiate()?;
        peer.expect_method(amqp::CHANNEL_OPEN)?;
        peer.send(&amqp::channel_open_ok(1))?;
        for tag in 1..=5 {
            peer.send(&amqp::deliver(1, tag, b"delivered", 131_072))?;
        }
        peer.send(&amqp::heartbeat())?;
        peer.serve()
    });
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    let mut page = Page::login(&gateway);
    page.open_channel(1);
    for _ in 0..15 {
        page.read_frame();
    }
    assert_eq!(page.read_frame().kind, amqp::HEARTBEAT);
    let publish = amqp::publish(1, "q", b"published", 131_072);
    page.send(&publish.repeat(4));
    page.send(&publish[..9]);
    page.send(&publish[9..]);
    page.send(&amqp::publish(1, "q", b"", 131_072));
    page.send(&amqp::publish(1, "q", &vec![1; 300_000], 131_072));
    page.send(&amqp::heartbeat());
    page.send(&amqp::connection_close(200, ""));
    page.expect_method(amqp::CONNECTION_CLOSE_OK);
    page.read_to_end().expect_code(1000);
    gateway.log_line("session ended", |_| true);

    let metrics = gateway.metrics();
    assert_eq!(metrics.value("smeuse_amqp_publishes_total"), 7.0);
    assert_eq!(metrics.value("smeuse_amqp_deliveries_total"), 5.0);
    let methods = [
        // start-ok, tune-ok, open, close; start, tune, open-ok, close-ok
        ("connection", "from_client", 4.0),
        ("connection", "to_client", 4.0),
        ("channel", "from_client", 1.0),
        ("channel", "to_client", 1.0),
        ("basic", "from_client", 7.0),
        ("basic", "to_client", 5.0),
        ("queue", "from_client", 0.0),
    ];
    for (class, direction, count) in methods {
        let series =
            format!("smeuse_amqp_methods_total{{class=\"{class}\",direction=\"{direction}\"}}");
        assert_eq!(metrics.value(&series), count, "{series}");
    }
    assert_eq!(
        metrics.value("smeuse_relayed_bytes_total{direction=\"from_client\"}"),
        broker.received(0).len() as f64
    );
    assert_eq!(
        metrics.value("smeuse_upstream_connects_total{outcome=\"connected\"}"),
        1.0
    );
    assert_eq!(
        metrics.value("smeuse_upstream_connect_duration_seconds_count"),
        1.0
    );
}

/// The bytes to the client are those of the broker, when the gateway writes nothing of its own.
#[test]
fn bytes_to_the_client_are_the_brokers() {
    let broker = Broker::polite();
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    let mut page = Page::login(&gateway);
    page.open_channel(1);
    let sent = [
        negotiation::start("PLAIN AMQPLAIN"),
        negotiation::tune(negotiation::TUNING),
        negotiation::open_ok(),
        amqp::channel_open_ok(1),
    ];
    let sent: usize = sent.iter().map(Vec::len).sum();
    gateway.wait_metric(
        "smeuse_relayed_bytes_total{direction=\"to_client\"}",
        sent as f64,
    );
}

/// `/healthz`: alive, whatever the broker does.
#[test]
fn healthz_is_200_without_a_broker() {
    let gateway = Gateway::start(&configuration::amqp("amqp://127.0.0.1:9"));
    assert_eq!(gateway.admin("GET", "/healthz").status, 200);
}

/// `/readyz`: whether a session would find its broker, and if not, why.
#[test]
fn readyz_follows_the_broker_and_says_why() {
    let broker = Broker::polite();
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    let ready = gateway.admin("GET", "/readyz");
    assert_eq!(ready.status, 200, "{ready:?}");
    let address = broker.address().to_string();
    drop(broker);
    wait_until("/readyz to notice", DEADLINE, || {
        gateway.admin("GET", "/readyz").status == 503
    });
    let not_ready = gateway.admin("GET", "/readyz");
    assert_eq!(not_ready.status, 503);
    assert!(not_ready.body.contains(&address), "{not_ready:?}");
    assert!(not_ready.body.ends_with('\n'), "{not_ready:?}");
}

/// Only `echo` services: nothing to wait for.
#[test]
fn readyz_is_200_where_no_broker_is_needed() {
    let gateway = Gateway::start(&configuration::echo());
    assert_eq!(gateway.admin("GET", "/readyz").status, 200);
}

/// A probe is no session: it counts in no figure of sessions or upstream sockets, and leaves none open.
#[test]
fn probes_are_not_counted() {
    let broker = Broker::polite();
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    for _ in 0..3 {
        assert_eq!(gateway.admin("GET", "/readyz").status, 200);
    }
    let metrics = gateway.metrics();
    assert_eq!(metrics.sum("smeuse_upstream_connects_total"), 0.0);
    assert_eq!(metrics.sum("smeuse_sessions_opened_total"), 0.0);
    broker.wait_all_ended();
}

/// The admin listener is its own: nothing of it is on the public one, and it serves nothing else.
#[test]
fn the_admin_paths_are_on_the_admin_listener_alone() {
    let gateway = Gateway::start(&configuration::echo());
    for path in ["/metrics", "/healthz", "/readyz", "/sessions"] {
        assert_eq!(gateway.admin("GET", path).status, 200, "{path}");
        let public =
            http::request(gateway.public(), "GET", path).expect("the public listener answers");
        assert_eq!(public.status, 404, "{path}");
    }
    assert_eq!(gateway.admin("GET", "/nowhere").status, 404);
    assert!(matches!(
        gateway.admin("POST", "/metrics").status,
        404 | 405
    ));
    assert!(matches!(
        gateway.admin("DELETE", "/sessions").status,
        404 | 405
    ));
}

/// `/sessions`: one entry for each, with what the operator needs to know it.
#[test]
fn the_live_list_names_every_session() {
    let gateway = Gateway::start(&configuration::echo());
    assert_eq!(gateway.admin("GET", "/sessions").body.trim(), "[]");
    let mut client = Client::open(gateway.public(), ECHO_PATH);
    client.send_binary(&[0; 500]);
    client.expect_message(BINARY, &[0; 500]);
    let body = gateway.admin("GET", "/sessions").body;
    let list: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let entry = &list[0];
    assert_eq!(entry["service"], "echo", "{body}");
    let local = client.local_address().to_string();
    assert!(
        entry["client"]
            .as_str()
            .is_some_and(|client| local.starts_with(client)),
        "{body}"
    );
    assert!(
        entry["opened_seconds_ago"]
            .as_f64()
            .is_some_and(|seconds| seconds < 60.0),
        "{body}"
    );
    assert_eq!(entry["bytes_from_client"], 500, "{body}");
    assert_eq!(entry["bytes_to_client"], 500, "{body}");
    let logged = gateway.log_line("session opened", |_| true);
    assert_eq!(logged["session"], entry["id"], "{body} {logged}");
    client.send_close(1000, "");
    client.read_to_close();
    wait_until("the list to be empty", DEADLINE, || {
        gateway.admin("GET", "/sessions").body.trim() == "[]"
    });
}
