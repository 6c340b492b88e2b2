//! The live view without a browser: what is pushed and how often, what a page may say, who is cut off, and that neither
//! many pages nor stalled ones cost anything that matters.

use std::time::Duration;
use std::time::Instant;

use serde_json::json;
use serde_json::Value;

use crate::harness::broker::Broker;
use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::ECHO_PATH;
use crate::harness::extended;
use crate::harness::gateway::Gateway;
use crate::harness::opening::Opening;
use crate::harness::operator::Ask;
use crate::harness::operator::Viewer;
use crate::harness::operator::LIVE;
use crate::harness::page::Page;
use crate::harness::users;
use crate::harness::wait_until;
use crate::harness::websocket;
use crate::harness::websocket::Frame;
use crate::harness::websocket::Length;
use crate::harness::websocket::BINARY;
use crate::harness::websocket::TEXT;
use crate::harness::DEADLINE;

/// A figure of the whole gateway, by the place that its name has in the first push.
fn total(start: &Value, push: &Value, name: &str) -> f64 {
    let series = start["own"]["start"]["series"].as_array().expect("names");
    let index = series.iter().position(|known| known == name);
    push["now"]["totals"][index.expect(name)]
        .as_f64()
        .expect("a figure")
}

fn ended(gateway: &Gateway, reason: &str) -> f64 {
    gateway.metric(&format!(
        "smeuse_live_viewers_ended_total{{reason=\"{reason}\"}}"
    ))
}

/// The first push has what a page begins with; the figures are those of the metrics.
#[test]
fn a_page_is_shown_the_gateway_as_it_is() {
    let gateway = Gateway::start(&configuration::echo());
    let mut client = extended::open(&gateway, ECHO_PATH, "x-kaazing-ping-pong");
    client.send_binary(&[7; 1000]);
    client.expect_message(BINARY, &[7; 1000]);
    let mut refused = Client::connect(gateway.public());
    refused.send(&Opening::new(gateway.public(), "/nowhere").bytes());
    assert_eq!(refused.response().status, 404);

    let mut viewer = Viewer::open(&gateway);
    let first = viewer.read();
    viewer.take(&first);
    let start = &first["own"]["start"];
    assert_eq!(start["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(start["services"], json!([["echo", "echo"]]));
    assert_eq!(start["has_login"], false);
    assert_eq!(
        start["history"].as_array().map(Vec::len),
        start["series"].as_array().map(Vec::len)
    );
    let push = viewer.until("the session", |push| push["own"]["sessions"]["total"] == 1);
    for (name, value) in [("sessions", 1.0), ("opened", 1.0), ("refused", 1.0)] {
        assert_eq!(total(&first, &push, name), value, "{name}");
    }
    assert!(total(&first, &push, "bytes_from_client") >= 1000.0);
    assert_eq!(
        push["now"]["extensions"]["x-kaazing-ping-pong"]["sessions"],
        1.0
    );
    assert_eq!(push["now"]["services"]["echo"]["sessions"], 1.0);
    assert_eq!(push["now"]["draining"], false);
    let happened = push["now"]["happened"].as_array().expect("a list");
    let refusal = happened
        .iter()
        .find(|count| count["name"] == "refused/path_not_found");
    assert_eq!(refusal.expect("counted")["recent"], 1);
    assert!(push["own"].get("start").is_none(), "once is enough");

    client.send_close(1000, "");
    client.read_to_close();
    let push = viewer.until("its end", |push| push["own"]["sessions"]["total"] == 0);
    let happened = push["now"]["happened"].as_array().expect("a list");
    let closed = happened
        .iter()
        .find(|count| count["name"] == "client/closed");
    assert_eq!(closed.expect("counted")["total"], 1);
}

/// At most one push a second, however fast the page takes them.
#[test]
fn one_push_a_second() {
    let gateway = Gateway::start(&configuration::echo());
    let mut viewer = Viewer::open(&gateway);
    viewer.until("the first", |_| true);
    let started = Instant::now();
    for number in 2..=5 {
        let push = viewer.read();
        assert_eq!(push["own"]["number"], number);
        viewer.take(&push);
        // What it asks for meanwhile does not make it more.
        viewer.want(&json!({ "search": "x" }));
    }
    assert!(
        started.elapsed() >= Duration::from_millis(3300),
        "{:?}",
        started.elapsed()
    );
}

/// What was pushed has to be taken before there is more; who takes nothing is cut off, and its place is free.
#[test]
fn a_page_that_stalls_gets_nothing_more_and_is_cut_off() {
    let gateway = Gateway::start(&configuration::echo());
    let mut slow = Viewer::open(&gateway);
    let push = slow.read();
    assert!(
        slow.0.is_silent_for(Duration::from_millis(2500)),
        "more came"
    );
    slow.take(&json!({ "own": { "number": 99 } }));
    assert!(
        slow.0.is_silent_for(Duration::from_millis(1500)),
        "more came"
    );
    slow.take(&push);
    let push = slow.read();
    assert_eq!(push["own"]["number"], 2);
    // One that says nothing, and one that does not even read.
    let opening = Viewer::opening(&gateway);
    let deaf = Client::connect_with_small_buffer(gateway.private()).upgraded_by(&opening);
    let before = gateway.rss_kib();
    slow.0.drain_to_end(2 * DEADLINE);
    wait_until("both to be cut off", 2 * DEADLINE, || {
        ended(&gateway, "stalled") == 2.0
    });
    wait_until("both places to be free", DEADLINE, || {
        gateway.metric("smeuse_live_viewers") == 0.0
    });
    let grown = gateway.rss_kib().saturating_sub(before);
    assert!(grown < 4096, "{grown} KiB more");
    drop(deaf);
}

/// So many pages and no more.
#[test]
fn there_are_so_many_places() {
    let gateway = Gateway::start(&configuration::echo());
    let mut viewers: Vec<_> = (0..16).map(|_| Viewer::open(&gateway)).collect();
    assert_eq!(gateway.metric("smeuse_live_viewers"), 16.0);
    let mut one_more = Client::connect(gateway.private());
    one_more.send(&Viewer::opening(&gateway).bytes());
    let refused = one_more.response();
    assert_eq!(refused.status, 503);
    assert!(
        refused.body.starts_with("too_many_viewers: "),
        "{refused:?}"
    );
    assert!(refused.header("Retry-After").is_some());
    // A page asks like this why its WebSocket was refused.
    assert_eq!(Ask::new("GET", LIVE).send(&gateway).status, 503);
    for viewer in &mut viewers {
        viewer.read();
    }
    viewers.pop().expect("one of them").0.reset();
    wait_until("its place", DEADLINE, || {
        gateway.metric("smeuse_live_viewers") == 15.0
    });
    assert_eq!(ended(&gateway, "left"), 1.0);
    Viewer::open(&gateway).read();
}

/// Search happens here, not in the page; one session can be looked at closely, and none of its secrets is shown.
#[test]
fn sessions_are_searched_and_one_is_looked_at() {
    let login = users::login(users::USERS, "[\"basic\"]", "");
    let gateway = Gateway::start(&configuration::service("echo", "echo", &["/echo"], &login));
    let open = |user: &str| {
        let opening = Opening::new(gateway.public(), "/echo").with("Authorization", user);
        Client::open_by(&opening, gateway.public())
    };
    let mut joe = open(users::JOE);
    let _bob = open(users::BOB);
    joe.send_binary(&[1; 500]);
    joe.expect_message(BINARY, &[1; 500]);

    let mut viewer = Viewer::open(&gateway);
    viewer.want(&json!({ "search": "JO", "order": "user", "descending": false }));
    let push = viewer.until("one of two", |push| push["own"]["sessions"]["found"] == 1);
    assert_eq!(push["own"]["sessions"]["total"], 2);
    let row = &push["own"]["sessions"]["rows"][0];
    assert_eq!(
        (&row[1], &row[2], &row[3], &row[4]),
        (
            &"joe".into(),
            &"127.0.0.1".into(),
            &"echo".into(),
            &"open".into()
        )
    );
    let id = row[0].clone();
    viewer.want(&json!({ "search": "127.0.0", "limit": 1, "selected": id }));
    let push = viewer.until("the detail", |push| push["own"]["detail"]["id"] == id);
    let sessions = &push["own"]["sessions"];
    assert_eq!(
        (
            &sessions["found"],
            sessions["rows"].as_array().map(Vec::len)
        ),
        (&2.into(), Some(1))
    );
    let detail = &push["own"]["detail"];
    assert_eq!(
        (&detail["user"], &detail["stage"]),
        (&"joe".into(), &"open".into())
    );
    assert_eq!(
        (&detail["bytes"], &detail["messages"]),
        (&json!([500, 500]), &json!([1, 1]))
    );
    assert!(detail["idle_seconds"]
        .as_u64()
        .is_some_and(|seconds| seconds < 60));
    assert_eq!(
        (&detail["broker"], &detail["channels"]),
        (&Value::Null, &Value::Null)
    );
    for secret in users::SECRETS {
        assert!(!push.to_string().contains(secret), "{secret} is shown");
    }
    viewer.want(&json!({ "service": "another" }));
    viewer.until("none of another service", |push| {
        push["own"]["sessions"]["found"] == 0
    });

    viewer.want(&json!({ "selected": id }));
    assert_eq!(
        Ask::new(
            "DELETE",
            &format!("/sessions/{}", id.as_str().expect("text"))
        )
        .send(&gateway)
        .status,
        204
    );
    joe.expect_close_and_answer(4100);
    let push = viewer.until("its end", |push| push["own"]["sessions"]["total"] == 1);
    assert_eq!(
        (&push["own"]["selected"], &push["own"]["detail"]),
        (&id, &Value::Null)
    );
}

/// A session with a broker shows which, and how many channels it has; a broker that fails shows why.
#[test]
fn brokers_and_channels_are_shown() {
    let broker = Broker::polite();
    let address = broker.address().to_string();
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    let mut page = Page::login(&gateway);
    page.open_channel(1);
    let id = gateway.session_ids().remove(0);
    let mut viewer = Viewer::open(&gateway);
    viewer.want(&json!({ "selected": id }));
    let push = viewer.until("the channel", |push| push["own"]["detail"]["channels"] == 1);
    assert_eq!(push["own"]["detail"]["broker"], address);
    let expected =
        json!([{ "name": address, "failure": null, "passed_over_seconds": null, "blocked": 0 }]);
    assert_eq!(push["now"]["brokers"], expected);
    drop(broker);
    page.read_to_end();
    // The next session finds out.
    let mut other = Page::open(&gateway);
    other.send(b"AMQP\0\0\x09\x01");
    let push = viewer.until("the failure", |push| {
        !push["now"]["brokers"][0]["failure"].is_null()
    });
    let failure = push["now"]["brokers"][0]["failure"]
        .as_str()
        .expect("a sentence");
    assert!(failure.contains(&address), "{failure}");
}

/// What a page says is bounded, and what it may not say ends it.
#[test]
fn a_page_may_say_little_and_only_what_is_meant() {
    let gateway = Gateway::start(&configuration::echo());
    let long = format!("{{\"view\":{{\"search\":\"{}\"}}}}", "x".repeat(4096));
    for (bytes, code) in [
        (websocket::frame(TEXT, b"{\"end\":\"all\"}"), 1008),
        (websocket::frame(TEXT, b"no JSON"), 1008),
        (websocket::frame(BINARY, b"{\"taken\":1}"), 1003),
        (websocket::frame(TEXT, long.as_bytes()), 1009),
    ] {
        let mut viewer = Viewer::open(&gateway);
        viewer.0.send(&bytes);
        assert_eq!(viewer.0.read_to_close().code, Some(code));
    }
    // A frame that announces a gigabyte: what comes of it is not kept.
    let mut viewer = Viewer::open(&gateway);
    let before = gateway.rss_kib();
    let frame = Frame {
        length: Length::Announced(1 << 30),
        ..Frame::new(TEXT, &[b'x'; 1024])
    };
    viewer.0.send(&frame.encode());
    let chunk = [b'x'; 64 * 1024];
    wait_until("the flood to be cut off", DEADLINE, || {
        viewer.0.try_send(&chunk).is_err()
    });
    let grown = gateway.rss_kib().saturating_sub(before);
    assert!(grown < 8192, "{grown} KiB more");
    // Many small messages are too much as well.
    let mut viewer = Viewer::open(&gateway);
    let many = websocket::frame(TEXT, b"{\"taken\":1}").repeat(4096);
    // It may be ended before all is sent.
    let _ = viewer.0.try_send(&many);
    viewer.0.drain_to_end(DEADLINE);
    wait_until("all to be gone", DEADLINE, || {
        gateway.metric("smeuse_live_viewers") == 0.0
    });
    assert_eq!(gateway.admin("GET", "/healthz").status, 200);
}

/// While the gateway drains the page says so, and ends with it.
#[test]
fn draining_is_shown() {
    let drain = "[drain]\ndeadline = \"60s\"\nspread = \"1s\"\n";
    let mut gateway = Gateway::start(&(drain.to_owned() + &configuration::echo()));
    let mut client = Client::open(gateway.public(), ECHO_PATH);
    let mut viewer = Viewer::open(&gateway);
    viewer.until("the session", |push| push["own"]["sessions"]["total"] == 1);
    gateway.signal("TERM");
    viewer.until("the drain", |push| push["now"]["draining"] == true);
    client.send_close(1000, "");
    client.read_to_close();
    viewer.0.drain_to_end(DEADLINE);
    assert!(gateway.exit_status(DEADLINE).success());
}

/// Without a page nobody looks at the sessions; the history of the last minutes is there all the same.
#[test]
fn the_history_begins_before_the_page() {
    let gateway = Gateway::start(&configuration::echo());
    let mut client = Client::open(gateway.public(), ECHO_PATH);
    let mut first = Viewer::open(&gateway);
    first.until("three seconds", |push| push["own"]["number"] == 3);
    let looks = gateway.metric("smeuse_live_snapshot_seconds_count");
    assert!(looks >= 3.0, "{looks}");
    first.0.send_close(1000, "");
    first.0.read_to_close();
    wait_until("nobody to look", DEADLINE, || {
        gateway.metric("smeuse_live_viewers") == 0.0
    });
    let mut second = Viewer::open(&gateway);
    let push = second.read();
    let sessions = &push["own"]["start"]["history"][0];
    let points = sessions.as_array().expect("points");
    assert!(points.len() >= 4, "{push}");
    assert_eq!(points.last(), Some(&json!(1)));
    client.send_close(1000, "");
    client.read_to_close();
}
