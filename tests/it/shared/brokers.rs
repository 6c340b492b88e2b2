//! Brokers that fail under sessions that do nothing: killed, stopped for a while, revived, out of memory. Under load:
//! `tests/it/load`; one of two under 500 sessions of the demo's client: `tests/js/failover.test.js`.

use std::thread;
use std::time::Duration;
use std::time::Instant;

use super::configuration;
use super::neighbour::exclusive_queue;
use crate::harness::amqp;
use crate::harness::gateway::Gateway;
use crate::harness::negotiation::Login;
use crate::harness::node::Node;
use crate::harness::page::Page;
use crate::harness::wait_until;
use crate::harness::DEADLINE;

const FRAME_MAX: usize = 131_072;

#[track_caller]
fn session(gateway: &Gateway) -> (Page, String) {
    let mut page = Page::open(gateway).logged_in(&Login::default());
    page.open_channel(1);
    let queue = exclusive_queue(&mut page);
    (page, queue)
}

/// Publishes and takes one message.
fn round(page: &mut Page, queue: &str) -> Option<()> {
    page.send(&amqp::publish(1, queue, b"round", FRAME_MAX));
    loop {
        let frame = page.try_read_frame()?;
        match (frame.kind, frame.method()) {
            (amqp::CONTENT_BODY, _) => return Some(()),
            (_, Some(amqp::CONNECTION_CLOSE)) => return None,
            _ => (),
        }
    }
}

/// Every session of a shared connection is told 320 and then to come back; it can as soon as the broker is back.
#[test]
fn a_killed_broker_is_told_to_everybody_and_used_again_when_it_is_back() {
    let node = Node::start();
    let gateway = Gateway::start(&configuration(node.uri(), ""));
    let mut pages: Vec<_> = (0..20).map(|_| session(&gateway)).collect();
    for (page, queue) in &mut pages {
        round(page, queue).expect("a round trip");
    }
    node.kill();
    let killed = Instant::now();
    for (page, _) in &mut pages {
        let (code, text) = page.expect_connection_close();
        assert_eq!(code, 320, "{text}");
        page.send(&amqp::connection_close_ok());
        page.read_to_end().expect_code(1014);
    }
    assert!(
        killed.elapsed() < Duration::from_secs(2),
        "told after {:?}",
        killed.elapsed()
    );
    gateway.wait_metric("smeuse_shared_connections_lost_total", 1.0);
    gateway.wait_metric("smeuse_shared_channels{state=\"used\"}", 0.0);
    node.revive();
    wait_until("the broker to be used again", 3 * DEADLINE, || {
        let mut page = Page::open(&gateway);
        page.send(amqp::HEADER);
        page.try_read_frame()
            .is_some_and(|frame| frame.method() == Some(amqp::START))
    });
    let (mut page, queue) = session(&gateway);
    round(&mut page, &queue).expect("a round trip");
}

/// A broker that stands still for less than the heartbeats bear loses nobody and nothing.
#[test]
fn a_broker_that_pauses_for_a_moment_loses_nothing() {
    let node = Node::start();
    let gateway = Gateway::start(&configuration(node.uri(), ""));
    let mut pages: Vec<_> = (0..10).map(|_| session(&gateway)).collect();
    node.signal("STOP");
    for (page, queue) in &mut pages {
        page.send(&amqp::publish(1, queue, b"while it stood", FRAME_MAX));
    }
    thread::sleep(Duration::from_secs(2));
    node.signal("CONT");
    for (page, queue) in &mut pages {
        page.expect_method(amqp::DELIVER);
        page.read_frame();
        assert_eq!(page.read_frame().payload, b"while it stood");
        round(page, queue).expect("a round trip");
    }
    assert_eq!(gateway.metric("smeuse_shared_connections_lost_total"), 0.0);
}

/// A broker that stands still for longer is given up by its heartbeats, and everybody is told.
#[test]
fn a_broker_that_stands_still_is_given_up() {
    let node = Node::start();
    let gateway = Gateway::start(&configuration(node.uri(), "heartbeat = \"1s\""));
    let mut pages: Vec<_> = (0..10).map(|_| session(&gateway)).collect();
    node.signal("STOP");
    let stopped = Instant::now();
    for (page, _) in &mut pages {
        let (code, text) = page.expect_connection_close();
        assert_eq!(code, 320, "{text}");
        page.send(&amqp::connection_close_ok());
        page.read_to_end().expect_code(1014);
    }
    assert!(
        stopped.elapsed() < Duration::from_secs(8),
        "given up after {:?}",
        stopped.elapsed()
    );
    node.signal("CONT");
    wait_until("the broker to be used again", 3 * DEADLINE, || {
        let mut page = Page::open(&gateway);
        page.send(amqp::HEADER);
        page.try_read_frame()
            .is_some_and(|frame| frame.method() == Some(amqp::START))
    });
}

/// An alarm holds publishers back, is told to those who ask, and when it clears everything arrives.
#[test]
fn an_alarm_holds_back_and_loses_nothing() {
    let node = Node::start();
    let text = configuration(node.uri(), "") + configuration::PATIENT;
    let gateway = Gateway::start(&text);
    let attentive = super::wire::attentive(Login::default());
    let mut page = Page::open(&gateway).logged_in(&attentive);
    page.open_channel(1);
    let queue = exclusive_queue(&mut page);
    let mut silent = Page::open(&gateway).logged_in(&Login::default());
    silent.open_channel(1);
    let its_queue = exclusive_queue(&mut silent);
    node.control(&["set_vm_memory_high_watermark", "0.000001"]);
    // RabbitMQ looks at its memory every second or so, and says it when somebody publishes.
    let mut sent = 0;
    let blocked = loop {
        page.send(&amqp::publish(1, &queue, b"held back", FRAME_MAX));
        sent += 1;
        let frame = loop {
            let frame = page.read_frame();
            if frame.method() == Some((10, 60)) || frame.kind == amqp::CONTENT_BODY {
                break frame;
            }
        };
        if frame.method() == Some((10, 60)) {
            break frame;
        }
        assert!(sent < 2_000, "never blocked");
        thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(blocked.arguments().short_string(), "low on memory");
    silent.send(&amqp::publish(1, &its_queue, b"held back, too", FRAME_MAX));
    node.control(&["set_vm_memory_high_watermark", "0.4"]);
    let mut unblocked = false;
    let mut arrived = false;
    while !(unblocked && arrived) {
        let frame = page.read_frame();
        unblocked |= frame.method() == Some((10, 61));
        arrived |= frame.kind == amqp::CONTENT_BODY;
    }
    silent.expect_method(amqp::DELIVER);
    silent.read_frame();
    assert_eq!(silent.read_frame().payload, b"held back, too");
    gateway.wait_metric_until("smeuse_shared_blocked_seconds_total", |seconds| {
        seconds > 0.0
    });
}
