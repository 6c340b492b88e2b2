//! A reader that stalls behind an extension that sees everything: memory stays within the windows, and nothing is lost.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::Arc;

use super::Numbered;
use super::SEQUENCE;
use crate::harness::amqp;
use crate::harness::broker::Broker;
use crate::harness::checksum::Checksum;
use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::AMQP_PATH;
use crate::harness::gateway::Gateway;
use crate::harness::opening::Opening;
use crate::harness::wait_until_still;
use crate::harness::websocket;
use crate::harness::websocket::BINARY;

const MIB: u64 = 1 << 20;

/// What every session is offered.
const TOTAL: u64 = 64 * MIB;

const FRAME_MAX: usize = 131_072;

/// What a stalled reader may cost, as for one without extensions.
const ALLOWED_KIB: u64 = 4096;

fn delivery(tag: u64) -> Vec<u8> {
    amqp::deliver(1, tag, &[tag as u8; 10_000], FRAME_MAX)
}

fn expected() -> Checksum {
    let mut checksum = Checksum::new();
    for tag in 0.. {
        if checksum.bytes >= TOTAL {
            break;
        }
        checksum.add(&delivery(tag));
    }
    checksum
}

/// A broker that sends [`expected`], and how much of it the second session's socket took so far.
fn flooding_broker() -> (Broker, Arc<AtomicU64>) {
    let sent = Arc::new(AtomicU64::new(0));
    let counter = sent.clone();
    let broker = Broker::start(move |peer| {
        peer.negotiate()?;
        let mut offered = 0;
        for tag in 0.. {
            if offered >= TOTAL {
                break;
            }
            offered += peer.flood(&delivery(tag), 1)?;
            if peer.number() > 0 {
                counter.store(offered, Ordering::Release);
            }
        }
        peer.serve()
    });
    (broker, sent)
}

fn login(gateway: &Gateway) -> Numbered {
    let opening =
        Opening::new(gateway.public(), AMQP_PATH).with("Sec-WebSocket-Extensions", SEQUENCE);
    let client = Client::connect_with_small_buffer(gateway.public()).upgraded_by(&opening);
    let mut client = Numbered::new(client);
    client.login();
    client
}

/// Takes everything, checking each number on the way.
#[track_caller]
fn take_all(client: &mut Numbered) -> Checksum {
    let mut checksum = Checksum::new();
    for frame in client.frames.drain(..) {
        checksum.add(&frame.bytes());
    }
    while checksum.bytes < TOTAL {
        let (opcode, payload) = client.read();
        assert_eq!(opcode, BINARY);
        checksum.add(&payload);
    }
    checksum
}

/// 64 MiB wait for a reader that stalls: the broker is paused, memory stays, a neighbour does not notice; and when the
/// reader reads again, everything comes, in order and numbered.
#[test]
fn a_stalled_reader_behind_sequence_costs_no_memory_and_loses_nothing() {
    let (broker, sent) = flooding_broker();
    let services = configuration::amqp(broker.uri()) + &configuration::echo();
    let gateway = Gateway::start(&services);
    let expected = expected();
    // The first takes all at once, so that what allocators keep is in the figure.
    let mut warm = login(&gateway);
    assert_eq!(take_all(&mut warm), expected);
    drop(warm);
    gateway.wait_nothing_left();
    let before = gateway.rss_kib();

    let mut client = login(&gateway);
    let taken = wait_until_still("the broker to be paused", || sent.load(Ordering::Acquire));
    assert!(taken < TOTAL / 2, "{taken} bytes were taken");
    let after = gateway.rss_kib();
    assert!(after < before + ALLOWED_KIB, "from {before} to {after} KiB");

    let mut neighbour = Client::open(gateway.public(), configuration::ECHO_PATH);
    for _ in 0..100 {
        neighbour.send_binary(b"neighbour");
        neighbour.expect_message(BINARY, b"neighbour");
    }

    assert_eq!(take_all(&mut client), expected);
    let handled = gateway.metric(
        "smeuse_extension_bytes_total{extension=\"smeuse-sequence\",direction=\"to_client\"}",
    );
    assert!(handled >= 2.0 * TOTAL as f64, "{handled}");
}

/// The other way: a broker that stalls pauses a client whose messages pass sequence.
#[test]
fn a_stalled_broker_pauses_a_client_behind_sequence() {
    let gate = crate::harness::broker::Gate::default();
    let door = gate.clone();
    let broker = Broker::start(move |peer| {
        peer.negotiate()?;
        door.pass()?;
        peer.serve()
    });
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    let mut client = login(&gateway);
    let before = gateway.rss_kib();
    let publish = amqp::publish(1, "q", &[7; 100_000], FRAME_MAX);
    let written = Arc::new(AtomicU64::new(0));
    let count = TOTAL as usize / publish.len();
    let messages: Vec<_> = (0..count).map(|_| client.next(b"")).collect();
    let counter = written.clone();
    let (mut writer, piece) = (client.client.writer(), publish.clone());
    let writing = std::thread::spawn(move || {
        for number in messages {
            let message = [&number[..], &piece].concat();
            let frame = websocket::frame(BINARY, &message);
            std::io::Write::write_all(&mut writer, &frame).expect("the gateway takes it at last");
            counter.fetch_add(frame.len() as u64, Ordering::AcqRel);
        }
    });
    let taken = wait_until_still("the client to be paused", || {
        written.load(Ordering::Acquire)
    });
    assert!(taken < TOTAL / 2, "{taken} bytes were taken");
    let after = gateway.rss_kib();
    assert!(
        after < before + 2 * ALLOWED_KIB,
        "from {before} to {after} KiB"
    );
    gate.open();
    writing.join().expect("everything is taken");
    gateway.wait_metric("smeuse_amqp_publishes_total", count as f64);
}
