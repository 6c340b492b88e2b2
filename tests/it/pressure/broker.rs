//! A broker that does not read what a client publishes.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use super::expect_flat;
use super::ALLOWED_KIB;
use super::FRAME_MAX;
use super::GIB;
use super::MIB;
use super::PAUSED;
use super::SOON;
use crate::harness::amqp;
use crate::harness::broker::Broker;
use crate::harness::broker::Gate;
use crate::harness::checksum::Checksum;
use crate::harness::configuration;
use crate::harness::gateway::Gateway;
use crate::harness::page::Page;
use crate::harness::wait_until;
use crate::harness::wait_until_still;
use crate::harness::websocket;
use crate::harness::websocket::BINARY;
use crate::harness::websocket::PING;
use crate::harness::DEADLINE;

/// A broker that logs clients in and then reads nothing until the gate opens; then it reports a checksum over what
/// follows, up to `total` bytes.
fn stalled_broker(gate: &Gate, total: u64) -> (Broker, mpsc::Receiver<Checksum>) {
    let (tx, rx) = mpsc::channel();
    let gate = gate.clone();
    let broker = Broker::start(move |peer| {
        peer.negotiate()?;
        gate.pass()?;
        let mut checksum = Checksum::new();
        peer.read_into(total, |bytes| checksum.add(bytes))?;
        let _ = tx.send(checksum);
        peer.read_to_end()
    });
    (broker, rx)
}

/// Publishes from a thread of its own until `total` bytes of AMQP are written or the socket ends; gives the checksum
/// at the end, and the bytes so far meanwhile.
fn publish_from_a_thread(
    mut writer: TcpStream,
    total: u64,
) -> (thread::JoinHandle<Checksum>, Arc<AtomicU64>) {
    let written = Arc::new(AtomicU64::new(0));
    let counter = written.clone();
    let handle = thread::spawn(move || {
        let mut checksum = Checksum::new();
        for number in 0_u32.. {
            let publish = amqp::publish(1, "q", &[number as u8; 10_000], FRAME_MAX);
            if checksum.bytes >= total
                || writer
                    .write_all(&websocket::frame(BINARY, &publish))
                    .is_err()
            {
                break;
            }
            checksum.add(&publish);
            counter.store(checksum.bytes, Ordering::Release);
        }
        checksum
    });
    (handle, written)
}

/// A client that floods a stalled broker: memory stays, and an operator can end it meanwhile.
#[test]
fn a_client_that_floods_a_stalled_broker_costs_no_memory_and_can_be_ended() {
    let gate = Gate::default();
    let (broker, _rx) = stalled_broker(&gate, 1);
    let gateway = Gateway::start(&(SOON.to_owned() + &configuration::amqp(broker.uri())));
    // A first session of a few MiB, so that what allocators keep is in the figure.
    let page = Page::login(&gateway);
    let (handle, written) = publish_from_a_thread(page.client.writer(), GIB);
    wait_until_still("the client to be paused", || {
        written.load(Ordering::Acquire)
    });
    gateway.end_all_sessions();
    gateway.wait_nothing_left();
    drop(page);
    handle.join().expect("the publisher does not panic");
    let before = gateway.rss_kib();

    let page = Page::login(&gateway);
    let (handle, written) = publish_from_a_thread(page.client.writer(), GIB);
    let taken = wait_until_still("the client to be paused", || {
        written.load(Ordering::Acquire)
    });
    assert!(
        taken < 64 * MIB,
        "the gateway and the kernel took {taken} bytes"
    );
    expect_flat(&gateway, before);
    assert!(before < 64 * 1024, "{before} KiB even before");
    gateway.wait_metric_until(
        &format!("{PAUSED}{{direction=\"from_client\"}}"),
        |seconds| seconds > 0.1,
    );
    gateway.end_all_sessions();
    gateway.wait_nothing_left();
    drop(page);
    handle.join().expect("the publisher does not panic");
    gate.open();
    broker.wait_all_ended();
}

/// Everything a client published while its broker stalled reaches the broker when it reads again, in order.
#[test]
fn a_broker_that_resumes_gets_everything_in_order() {
    const TOTAL: u64 = 32 * MIB;
    let gate = Gate::default();
    let (_broker, rx) = stalled_broker(&gate, TOTAL);
    let gateway = Gateway::start(&configuration::amqp(_broker.uri()));
    let page = Page::login(&gateway);
    let (handle, written) = publish_from_a_thread(page.client.writer(), TOTAL);
    let stalled = wait_until_still("the client to be paused", || {
        written.load(Ordering::Acquire)
    });
    assert!(
        stalled < TOTAL,
        "all of {stalled} bytes was taken for a broker that stalls"
    );
    gate.open();
    let sent = handle.join().expect("the publisher does not panic");
    let mut received = rx
        .recv_timeout(3 * DEADLINE)
        .expect("the broker has read everything");
    // The last publish may go beyond the total; the broker read exactly the total.
    let last = amqp::publish(1, "q", &[0; 10_000], FRAME_MAX).len() as u64;
    assert!(sent.bytes - received.bytes < last, "{sent:?} {received:?}");
    let number = (TOTAL / last) as u32;
    let tail = amqp::publish(1, "q", &[number as u8; 10_000], FRAME_MAX);
    received.add(&tail[(last - (sent.bytes - received.bytes)) as usize..]);
    assert_eq!(received, sent);
}

/// A session whose client is paused is alive: it is pinged, and not taken for silent, since it is we who do not read.
#[test]
fn timers_run_while_a_client_is_paused() {
    let gate = Gate::default();
    let (broker, _rx) = stalled_broker(&gate, 1);
    let silence = "[websocket]\nping_interval = \"300ms\"\nsilence_limit = \"1s\"\nclose_deadline = \"400ms\"\n";
    let gateway = Gateway::start(&(silence.to_owned() + &configuration::amqp(broker.uri())));
    let mut page = Page::login(&gateway);
    let (handle, written) = publish_from_a_thread(page.client.writer(), GIB);
    wait_until_still("the client to be paused", || {
        written.load(Ordering::Acquire)
    });
    let started = Instant::now();
    let mut pings = 0;
    while started.elapsed() < Duration::from_millis(2200) {
        let frame = page.client.read_frame();
        assert_eq!(frame.opcode, PING, "{frame:?}");
        pings += 1;
    }
    assert!(pings >= 2, "{pings} pings");
    assert_eq!(
        gateway.metric("smeuse_sessions{service=\"amqp\"}"),
        1.0,
        "ended as silent"
    );
    gateway.end_all_sessions();
    gateway.wait_nothing_left();
    drop(page);
    handle.join().expect("the publisher does not panic");
    gate.open();
}

/// One WebSocket message of 100 MB is relayed as it comes, whether or not anybody keeps up with it.
#[test]
fn a_publish_of_100_mb_in_one_message_needs_no_100_mb() {
    const BODY: usize = 100_000_000;
    let (tx, rx) = mpsc::channel();
    let body = vec![0x42; BODY];
    let publish = amqp::publish(1, "q", &body, FRAME_MAX);
    let total = publish.len() as u64;
    let _broker = Broker::start(move |peer| {
        peer.negotiate()?;
        let mut bytes = 0;
        let mut last = Vec::new();
        peer.read_into(total, |read| {
            bytes += read.len() as u64;
            last = read[read.len().saturating_sub(64)..].to_vec();
        })?;
        let _ = tx.send((bytes, last));
        peer.read_to_end()
    });
    let gateway = Gateway::start(&configuration::amqp(_broker.uri()));
    let mut page = Page::login(&gateway);
    let before = gateway.rss_kib();
    let mut writer = page.client.writer();
    let frame = websocket::frame(BINARY, &publish);
    let handle = thread::spawn(move || writer.write_all(&frame).is_ok());
    let mut highest = before;
    wait_until("the publish to be written", 6 * DEADLINE, || {
        highest = highest.max(gateway.rss_kib());
        handle.is_finished()
    });
    assert!(
        handle.join().expect("the publisher does not panic"),
        "the gateway ended the session"
    );
    let (bytes, last) = rx
        .recv_timeout(DEADLINE)
        .expect("the broker has read everything");
    assert_eq!(bytes, total);
    assert!(publish.ends_with(&last));
    assert!(
        highest < before + ALLOWED_KIB,
        "memory grew from {before} to {highest} KiB"
    );
    page.send(&amqp::heartbeat());
    assert_eq!(gateway.metric("smeuse_sessions{service=\"amqp\"}"), 1.0);
}
