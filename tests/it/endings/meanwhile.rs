//! Endings that come while something else is under way: a dial, a login, a close, a stall. Whatever waits for whom, the
//! session ends in time and leaves nothing.

use std::io::Write;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use super::expect_forced;
use crate::harness::amqp;
use crate::harness::broker::Broker;
use crate::harness::broker::Gate;
use crate::harness::configuration;
use crate::harness::ending::expect_ending;
use crate::harness::gateway::Gateway;
use crate::harness::negotiation;
use crate::harness::negotiation::Login;
use crate::harness::page::Page;
use crate::harness::peer::Peer;
use crate::harness::wait_until;
use crate::harness::websocket;
use crate::harness::websocket::BINARY;
use crate::harness::DEADLINE;

const CLOSE_SOON: &str = "[websocket]\nclose_deadline = \"400ms\"\n";

/// Longer than all deadlines of an ending together.
const SOON: Duration = Duration::from_secs(3);

fn gateway(broker: &Broker) -> Gateway {
    Gateway::start(&(CLOSE_SOON.to_owned() + &configuration::amqp(broker.uri())))
}

/// A broker that accepts, and never answers.
fn silent_broker() -> Broker {
    Broker::start(Peer::read_to_end)
}

/// A page whose broker is being dialled: it has accepted, and does not answer.
fn dialling(gateway: &Gateway, broker: &Broker) -> Page {
    let mut page = Page::open(gateway);
    page.send(amqp::HEADER);
    broker.wait_received(0, amqp::HEADER.len());
    page
}

/// A client that closes while its broker is dialled does not wait for the dial.
#[test]
fn a_close_does_not_wait_for_a_dial() {
    let broker = silent_broker();
    let gateway = gateway(&broker);
    let mut page = dialling(&gateway, &broker);
    let started = Instant::now();
    page.client.send_close(1000, "changed my mind");
    assert_eq!(page.client.read_to_close().code, Some(1000));
    page.client.expect_end(SOON);
    expect_ending(&gateway, "amqp", "client", "closed", Some(1000));
    broker.wait_all_ended();
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

/// Nor does one that vanishes.
#[test]
fn a_loss_does_not_wait_for_a_dial() {
    let broker = silent_broker();
    let gateway = gateway(&broker);
    let page = dialling(&gateway, &broker);
    let started = Instant::now();
    page.client.reset();
    expect_ending(&gateway, "amqp", "client", "lost", None);
    broker.wait_all_ended();
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

/// An operator ends a session whose broker is dialled.
#[test]
fn an_operator_does_not_wait_for_a_dial() {
    let broker = silent_broker();
    let gateway = gateway(&broker);
    let mut page = dialling(&gateway, &broker);
    gateway.end_all_sessions();
    page.read_to_end().expect_code(4100);
    expect_ending(&gateway, "amqp", "operator", "ended", Some(4100));
    broker.wait_all_ended();
}

/// A client may end its AMQP connection before it is open (AMQP 0-9-1 section 2.2.4).
#[test]
fn a_login_may_be_closed_in_order() {
    let broker = Broker::start(|peer| {
        peer.expect_header()?;
        peer.send(&negotiation::start("PLAIN"))?;
        peer.expect_method(amqp::START_OK)?;
        peer.send(&negotiation::tune(negotiation::TUNING))?;
        peer.expect_method(amqp::CONNECTION_CLOSE)?;
        peer.send(&amqp::connection_close_ok())
    });
    let gateway = gateway(&broker);
    let mut page = Page::open(&gateway);
    page.send(amqp::HEADER);
    page.expect_method(amqp::START);
    page.send(&negotiation::start_ok(&Login::default()));
    page.expect_method(amqp::TUNE);
    page.send(&amqp::connection_close(200, "no, thank you"));
    page.expect_method(amqp::CONNECTION_CLOSE_OK);
    page.read_to_end().expect_code(1000);
    expect_ending(&gateway, "amqp", "client", "amqp_closed", Some(1000));
}

/// A broker closes, and the page answers nothing: neither connection.close-ok nor a Close frame, nor its end.
#[test]
fn a_page_that_answers_no_close_is_left() {
    let broker = Broker::start(|peer| {
        peer.negotiate()?;
        peer.send(&amqp::connection_close(320, "going down"))?;
        peer.read_to_end()
    });
    let gateway = gateway(&broker);
    let mut page = Page::login(&gateway);
    let started = Instant::now();
    assert_eq!(page.expect_connection_close().0, 320);
    let closed = page.client.read_to_close();
    assert_eq!(closed.code, Some(4320), "{closed:?}");
    expect_ending(&gateway, "amqp", "broker", "closed", Some(4320));
    broker.wait_all_ended();
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

/// A client closes AMQP, and the broker does not answer: when the client goes, the session does.
#[test]
fn a_broker_that_answers_no_close_is_left() {
    let broker = Broker::start(|peer| {
        peer.negotiate()?;
        peer.read_to_end()
    });
    let gateway = gateway(&broker);
    let mut page = Page::login(&gateway);
    page.send(&amqp::connection_close(200, ""));
    page.client.send_close(1000, "");
    let closed = page.client.read_to_close();
    assert_eq!(closed.code, Some(1000), "{closed:?}");
    page.client.expect_end(SOON);
    wait_until("the session to be gone", SOON, || {
        gateway.metric("smeuse_sessions{service=\"amqp\"}") == 0.0
    });
    broker.wait_all_ended();
}

/// A client that is paused behind a stalled broker and vanishes is noticed by the next Ping, since it is not read; what
/// cannot be delivered in time is given up.
#[test]
fn a_client_behind_a_stalled_broker_may_vanish() {
    let gate = Gate::default();
    let broker = {
        let gate = gate.clone();
        Broker::start(move |peer| {
            peer.negotiate()?;
            gate.pass()
        })
    };
    let pings = "[websocket]\nping_interval = \"200ms\"\nclose_deadline = \"400ms\"\n";
    let gateway = Gateway::start(&(pings.to_owned() + &configuration::amqp(broker.uri())));
    let page = Page::login(&gateway);
    let mut writer = page.client.writer();
    let publishes = amqp::publish(1, "q", &[1; 50_000], 131_072).repeat(20);
    let frame = websocket::frame(BINARY, &publishes);
    let patience = Some(Duration::from_millis(500));
    writer
        .set_write_timeout(patience)
        .expect("a write deadline");
    while writer.write_all(&frame).is_ok() {}
    let started = Instant::now();
    drop(writer);
    page.client.reset();
    expect_ending(&gateway, "amqp", "client", "lost", None);
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    gate.open();
    broker.wait_all_ended();
}

/// A client that closes while deliveries pour in gets its Close back, behind them or instead of them, if it reads.
#[test]
fn a_close_is_answered_under_a_flood() {
    let broker = Broker::start(|peer| {
        peer.negotiate()?;
        peer.flood(&amqp::deliver(1, 1, &[0; 10_000], 131_072), 1 << 30)?;
        Ok(())
    });
    let gateway = gateway(&broker);
    let mut page = Page::login(&gateway);
    for _ in 0..100 {
        page.read_frame();
    }
    page.client.send_close(1000, "enough");
    let mut frames = 0;
    loop {
        let frame = page.client.read_frame();
        if frame.opcode == websocket::CLOSE {
            break;
        }
        frames += 1;
        assert!(frames < 10_000, "deliveries go on after the client's Close");
    }
    page.client.expect_end(SOON);
    expect_ending(&gateway, "amqp", "client", "closed", Some(1000));
    broker.wait_all_ended();
}

/// A client that does not read, and closes: the session does not wait for it for ever.
#[test]
fn a_close_of_a_client_that_does_not_read_is_bounded() {
    let broker = Broker::start(|peer| {
        peer.negotiate()?;
        peer.flood(&amqp::deliver(1, 1, &[0; 10_000], 131_072), 1 << 30)?;
        Ok(())
    });
    let pings = "[websocket]\nping_interval = \"200ms\"\nclose_deadline = \"400ms\"\n";
    let gateway = Gateway::start(&(pings.to_owned() + &configuration::amqp(broker.uri())));
    let mut page = Page::login(&gateway);
    let paused = "smeuse_credit_exhausted_seconds_total{direction=\"to_client\"}";
    gateway.wait_metric_until(paused, |seconds| seconds > 0.1);
    let started = Instant::now();
    page.client.send_close(1000, "enough");
    expect_ending(&gateway, "amqp", "client", "closed", Some(1000));
    broker.wait_all_ended();
    assert!(started.elapsed() < 2 * SOON, "{:?}", started.elapsed());
}

/// Data before the login is bounded: a client that does not wait for connection.start is paused or ended, and costs
/// nothing meanwhile.
#[test]
fn a_flood_before_the_login_costs_no_memory() {
    let broker = silent_broker();
    let service = configuration::amqp_with(broker.uri(), "connect_deadline = \"1s\"");
    let gateway = Gateway::start(&(CLOSE_SOON.to_owned() + &service));
    let page = dialling(&gateway, &broker);
    let before = gateway.rss_kib();
    let mut writer = page.client.writer();
    let flood = thread::spawn(move || {
        let message = websocket::frame(BINARY, &amqp::heartbeat().repeat(5000));
        let patience = Some(Duration::from_millis(500));
        writer
            .set_write_timeout(patience)
            .expect("a write deadline");
        let mut written = 0;
        while written < 200_000_000 && writer.write_all(&message).is_ok() {
            written += message.len();
        }
    });
    flood.join().expect("the sender does not panic");
    let after = gateway.rss_kib();
    assert!(
        after < before + 4096,
        "memory grew from {before} to {after} KiB"
    );
    drop(page);
    gateway.wait_nothing_left();
}

/// Draining while a session logs in: it is told like the others.
#[test]
fn a_drain_ends_a_session_that_logs_in() {
    let broker = Broker::polite();
    let drain = "[drain]\ndeadline = \"300ms\"\nspread = \"0s\"\n";
    let mut gateway = Gateway::start(&(drain.to_owned() + &configuration::amqp(broker.uri())));
    let mut page = Page::open(&gateway);
    page.send(amqp::HEADER);
    page.expect_method(amqp::START);
    gateway.signal("TERM");
    page.read_to_end().expect_code(1001);
    assert!(gateway.exit_status(DEADLINE).success());
}

/// Two endings at once are one: the first counts, and it is told once.
#[test]
fn two_endings_at_once_are_one() {
    let broker = Broker::polite();
    let gateway = gateway(&broker);
    let mut pages: Vec<_> = (0..30).map(|_| Page::login(&gateway)).collect();
    let ids = gateway.session_ids();
    thread::scope(|scope| {
        scope.spawn(|| broker.kill());
        let gateway = &gateway;
        for id in &ids {
            scope.spawn(move || gateway.admin("DELETE", &format!("/sessions/{id}")));
        }
    });
    for page in &mut pages {
        let end = page.read_to_end();
        assert!(matches!(end.code, Some(4100 | 1014)), "{end:?}");
        expect_forced(&end, end.code.unwrap_or_default());
        assert_eq!(end.frames.len(), 1, "{end:?}");
    }
    gateway.wait_nothing_left();
    assert_eq!(gateway.metrics().sum("smeuse_sessions_closed_total"), 30.0);
    wait_until("30 log lines", DEADLINE, || {
        gateway.log_lines("session ended").len() >= 30
    });
    assert_eq!(gateway.log_lines("session ended").len(), 30);
}
