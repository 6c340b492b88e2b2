//! A client that does not read what comes to it.

use std::io::Write;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use super::expect_flat;
use super::FRAME_MAX;
use super::GIB;
use super::MIB;
use super::PAUSED;
use super::SOON;
use crate::harness::amqp;
use crate::harness::broker::Broker;
use crate::harness::checksum::Checksum;
use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::AMQP_PATH;
use crate::harness::configuration::ECHO_PATH;
use crate::harness::gateway::Gateway;
use crate::harness::negotiation::Login;
use crate::harness::page::Page;
use crate::harness::wait_until_still;
use crate::harness::websocket;
use crate::harness::websocket::BINARY;
use crate::harness::websocket::PING;
use crate::harness::DEADLINE;

/// A page whose receive buffer is small, so that what it does not read is soon the gateway's.
#[track_caller]
fn login_with_small_buffer(gateway: &Gateway) -> Page {
    let opening = crate::harness::opening::Opening::new(gateway.public(), AMQP_PATH);
    let client = Client::connect_with_small_buffer(gateway.public()).upgraded_by(&opening);
    Page::over(client).logged_in(&Login::default())
}

/// Deliveries of about 10 kB.
fn delivery() -> Vec<u8> {
    amqp::deliver(1, 1, &[0x5a; 10_000], FRAME_MAX)
}

/// A broker that offers the first session 16 MiB and every other 1 GiB, and how much it could send.
fn flooding_broker() -> (Broker, Arc<AtomicU64>) {
    let sent = Arc::new(AtomicU64::new(0));
    let counter = sent.clone();
    let broker = Broker::start(move |peer| {
        peer.negotiate()?;
        let (piece, total) = (delivery(), if peer.number() == 0 { 16 * MIB } else { GIB });
        let mut offered = 0;
        while offered < total {
            offered += peer.flood(&piece, 1)?;
            if peer.number() > 0 {
                counter.store(offered, Ordering::Release);
            }
        }
        peer.read_to_end()
    });
    (broker, sent)
}

/// Memory before: after a session that took 16 MiB, so that what allocators keep is in it.
#[track_caller]
fn warmed_up_kib(gateway: &Gateway) -> u64 {
    let mut page = Page::login(gateway);
    let mut taken = 0;
    while taken < 16 * MIB {
        taken += page.read_frame().payload.len() as u64 + 8;
    }
    drop(page);
    gateway.wait_nothing_left();
    gateway.rss_kib()
}

/// A reader that stalls while 1 GiB waits for it: memory stays, the pause is counted, an operator can end it meanwhile,
/// and its neighbours do not notice.
#[test]
fn a_stalled_reader_costs_no_memory_and_can_be_ended() {
    let (broker, sent) = flooding_broker();
    let services = configuration::amqp(broker.uri()) + &configuration::echo();
    let gateway = Gateway::start(&(SOON.to_owned() + &services));
    let before = warmed_up_kib(&gateway);
    let page = login_with_small_buffer(&gateway);
    let taken = wait_until_still("the broker to be paused", || sent.load(Ordering::Acquire));
    assert!(
        taken < 64 * MIB,
        "the gateway and the kernel took {taken} bytes"
    );
    expect_flat(&gateway, before);
    gateway.wait_metric_until(&format!("{PAUSED}{{direction=\"to_client\"}}"), |seconds| {
        seconds > 0.1
    });

    let started = Instant::now();
    let mut neighbour = Client::open(gateway.public(), ECHO_PATH);
    for _ in 0..100 {
        neighbour.send_binary(b"neighbour");
        neighbour.expect_message(BINARY, b"neighbour");
    }
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "a neighbour waited {:?}",
        started.elapsed()
    );
    drop(neighbour);

    gateway.wait_metric("smeuse_sessions{service=\"echo\"}", 0.0);
    gateway.end_all_sessions();
    gateway.wait_nothing_left();
    assert_eq!(
        gateway.metric(
            "smeuse_sessions_closed_total{service=\"amqp\",by=\"operator\",reason=\"ended\"}"
        ),
        1.0
    );
    expect_flat(&gateway, before);
    broker.wait_all_ended();
    drop(page);
}

/// `websocket.write_stall_limit` ends a reader that takes nothing, and not one that takes a little now and then.
#[test]
fn a_reader_that_takes_a_little_is_not_stalled() {
    let (broker, _sent) = flooding_broker();
    let stall = "[websocket]\nwrite_stall_limit = \"600ms\"\nclose_deadline = \"300ms\"\n";
    let gateway = Gateway::start(&(stall.to_owned() + &configuration::amqp(broker.uri())));
    warmed_up_kib(&gateway);
    let mut page = login_with_small_buffer(&gateway);
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(1500) {
        // A megabyte: the kernel reports room in a full send buffer only once a third of it is free.
        for _ in 0..300 {
            page.read_frame();
        }
        // The pause is the behaviour under test, a third of what is allowed between two bites.
        thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(gateway.metric("smeuse_sessions{service=\"amqp\"}"), 1.0);
    gateway.wait_metric(
        "smeuse_sessions_closed_total{service=\"amqp\",by=\"client\",reason=\"stalled\"}",
        1.0,
    );
    gateway.wait_nothing_left();
}

/// Everything a reader did not read while it stalled comes when it reads again, in order.
#[test]
fn a_reader_that_resumes_gets_everything_in_order() {
    const TOTAL: u64 = 32 * MIB;
    let (tx, rx) = mpsc::channel();
    let written = Arc::new(AtomicU64::new(0));
    let counter = written.clone();
    let broker = Broker::start(move |peer| {
        peer.negotiate()?;
        let mut checksum = Checksum::new();
        for tag in 0.. {
            let delivery = amqp::deliver(1, tag, &[tag as u8; 10_000], FRAME_MAX);
            checksum.add(&delivery);
            peer.send(&delivery)?;
            counter.store(checksum.bytes, Ordering::Release);
            if checksum.bytes > TOTAL {
                break;
            }
        }
        let _ = tx.send(checksum);
        peer.serve()
    });
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    let mut page = login_with_small_buffer(&gateway);
    let stalled = wait_until_still("the broker to be paused", || {
        written.load(Ordering::Acquire)
    });
    assert!(
        stalled < TOTAL,
        "all of {stalled} bytes was taken from a reader that stalls"
    );
    let mut checksum = Checksum::new();
    while checksum.bytes < TOTAL {
        checksum.add(&page.read_frame().bytes());
    }
    let expected = rx
        .recv_timeout(DEADLINE)
        .expect("the broker has sent everything");
    while checksum.bytes < expected.bytes {
        checksum.add(&page.read_frame().bytes());
    }
    assert_eq!(checksum, expected);
}

/// A client that asks for more than it takes is paused: echoes of small messages, and Pongs (RFC 6455 section 5.5.2).
#[test]
fn a_client_that_does_not_read_its_answers_costs_no_memory() {
    let gateway = Gateway::start(&(SOON.to_owned() + &configuration::echo()));
    let mut warm = Client::open(gateway.public(), ECHO_PATH);
    for _ in 0..50 {
        warm.send_binary(&[1; 60_000]);
        warm.read_message();
    }
    drop(warm);
    gateway.wait_nothing_left();
    let before = gateway.rss_kib();
    for opcode in [BINARY, PING] {
        let opening = crate::harness::opening::Opening::new(gateway.public(), ECHO_PATH);
        let client = Client::connect_with_small_buffer(gateway.public()).upgraded_by(&opening);
        let mut writer = client.writer();
        let written = Arc::new(AtomicU64::new(0));
        let counter = written.clone();
        let handle = thread::spawn(move || {
            let many = websocket::frame(opcode, &[2; 100]).repeat(1000);
            while counter.load(Ordering::Acquire) < 200 * MIB && writer.write_all(&many).is_ok() {
                counter.fetch_add(many.len() as u64, Ordering::AcqRel);
            }
        });
        let taken = wait_until_still("the client to be paused", || {
            written.load(Ordering::Acquire)
        });
        // A gateway may leave out Pongs for all but the latest Ping (5.5.3), and then need not pause.
        assert!(
            opcode == PING || taken < 64 * MIB,
            "the gateway took {taken} bytes"
        );
        expect_flat(&gateway, before);
        gateway.end_all_sessions();
        gateway.wait_nothing_left();
        drop(client);
        handle.join().expect("the sender does not panic");
    }
}
