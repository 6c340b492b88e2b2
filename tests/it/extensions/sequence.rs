//! `smeuse-sequence`: every message carries its number, both ways.

use super::numbered;
use super::Numbered;
use super::SEQUENCE;
use crate::harness::amqp;
use crate::harness::broker::Broker;
use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::AMQP_PATH;
use crate::harness::configuration::ECHO_PATH;
use crate::harness::ending::expect_ending;
use crate::harness::extended;
use crate::harness::gateway::Gateway;
use crate::harness::websocket;
use crate::harness::websocket::BINARY;
use crate::harness::websocket::PING;
use crate::harness::websocket::PONG;
use crate::harness::websocket::TEXT;

fn echo() -> Gateway {
    Gateway::start(&configuration::echo())
}

fn open(gateway: &Gateway) -> Numbered {
    Numbered::new(extended::open(gateway, ECHO_PATH, SEQUENCE))
}

/// TEXT and BINARY share the numbers, each direction has its own, and control frames have none.
#[test]
fn messages_are_numbered_both_ways() {
    let gateway = echo();
    let mut client = open(&gateway);
    for round in 0..300_u32 {
        let opcode = [TEXT, BINARY][round as usize % 2];
        let payload = vec![b'x'; round as usize];
        client.send(opcode, &payload);
        client.expect(opcode, &payload);
        if round % 100 == 0 {
            client.client.send(&websocket::frame(PING, b"no number"));
            client.client.expect_frame(PONG, b"no number");
        }
    }
}

/// Agreed in the opening handshake it is the same.
#[test]
fn agreed_at_once_it_is_the_same() {
    let gateway = echo();
    let mut client = Numbered::new(extended::open_at_once(&gateway, ECHO_PATH, SEQUENCE));
    client.send(TEXT, b"hello");
    client.expect(TEXT, b"hello");
}

/// Many messages in one packet, and one message in many fragments and packets, with the number itself cut anywhere.
#[test]
fn numbers_may_be_cut_anywhere() {
    let gateway = echo();
    let mut client = open(&gateway);
    let many: Vec<u8> = (0..500)
        .flat_map(|_| websocket::frame(TEXT, &client.next(b"many")))
        .collect();
    client.client.send(&many);
    for _ in 0..500 {
        client.expect(TEXT, b"many");
    }
    for cut in 0..=12 {
        let message = client.next(b"half");
        client
            .client
            .send(&extended::fragments(BINARY, &message, &[cut]));
        client.expect(BINARY, b"half");
        let message = client.next(b"thirds");
        let cuts = [cut.min(8), cut];
        for byte in extended::fragments(TEXT, &message, &cuts) {
            client.client.send(&[byte]);
        }
        client.expect(TEXT, b"thirds");
    }
    let message = client.next(b"");
    let cuts: Vec<_> = (1..message.len()).collect();
    client
        .client
        .send(&extended::fragments(TEXT, &message, &cuts));
    client.expect(TEXT, b"");
}

/// A wrong number ends the session with 4108; the label says in which way it was wrong.
#[test]
fn a_wrong_number_is_4108() {
    let cases: [(Vec<u8>, &str); 9] = [
        (numbered(3, b"x"), "gap"),
        (numbered(0x7fff_ffff, b"x"), "gap"),
        (numbered(1, b"x"), "duplicate"),
        (numbered(0, b"x"), "reordered"),
        (numbered(u32::MAX, b"x"), "reordered"),
        (b"hello world".to_vec(), "malformed"),
        (b"0000002".to_vec(), "malformed"),
        (b"".to_vec(), "malformed"),
        (b"0000000A".to_vec(), "malformed"),
    ];
    for (message, reason) in cases {
        for opcode in [TEXT, BINARY] {
            let gateway = echo();
            let mut client = open(&gateway);
            for _ in 0..2 {
                client.send(TEXT, b"right");
                client.expect(TEXT, b"right");
            }
            // What comes behind it is not looked at any more.
            let wrong = websocket::frame(opcode, &message);
            let behind = websocket::frame(TEXT, &numbered(2, b"behind"));
            client.client.send(&[wrong, behind].concat());
            let told = client.client.expect_close_and_answer(4108);
            assert!(told.contains(SEQUENCE), "{told}");
            expect_ending(&gateway, "echo", "client", "extension_failed", Some(4108));
            let failures = format!(
                "smeuse_extension_failures_total{{extension=\"{SEQUENCE}\",reason=\"{reason}\"}}"
            );
            assert_eq!(gateway.metric(&failures), 1.0, "{message:02x?}");
        }
    }
}

/// What was right before a wrong number was taken, even in the same packet.
#[test]
fn what_came_before_a_wrong_number_counts() {
    let broker = Broker::polite();
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    let mut client = Numbered::new(extended::open(&gateway, AMQP_PATH, SEQUENCE));
    client.login();
    let before = broker.received(0).len();
    let publish = amqp::publish(1, "q", b"counts", 4096);
    let right = websocket::frame(BINARY, &client.next(&publish));
    let wrong = websocket::frame(BINARY, &numbered(99, &publish));
    client.client.send(&[right, wrong].concat());
    let told = client.client.expect_close_and_answer(4108);
    assert!(told.contains(SEQUENCE), "{told}");
    let received = broker.wait_received(0, before + publish.len());
    assert_eq!(received[before..before + publish.len()], publish);
    expect_ending(&gateway, "amqp", "client", "extension_failed", Some(4108));
}

/// AMQP both ways, its frames cut anywhere by messages.
#[test]
fn amqp_passes_both_ways() {
    let broker = Broker::polite();
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    let mut client = Numbered::new(extended::open(&gateway, AMQP_PATH, SEQUENCE));
    client.login();
    let open = amqp::channel_open(1);
    for cut in 1..open.len() {
        let (first, second) = open.split_at(cut);
        client.send(BINARY, first);
        client.send(BINARY, second);
        client.expect_method(amqp::CHANNEL_OPEN_OK);
    }
    // A number is not AMQP: TEXT is refused as ever, behind the extension.
    client.send(TEXT, b"hello");
    let closed = client.client.read_to_close();
    assert_eq!(closed.code, Some(1003), "{closed:?}");
}

/// connection.close of the broker's passes the extension before the Close frame does.
#[test]
fn what_the_broker_says_last_comes_before_the_close() {
    let broker = Broker::start(|peer| {
        peer.negotiate()?;
        for tag in 1..=200 {
            peer.send(&amqp::deliver(1, tag, b"the last words", 131_072))?;
        }
        peer.send(&amqp::connection_close(
            320,
            "CONNECTION_FORCED - that was all",
        ))?;
        while peer.read_frame()?.method() != Some(amqp::CONNECTION_CLOSE_OK) {}
        Ok(())
    });
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    for offer in [
        SEQUENCE.to_owned(),
        format!("{SEQUENCE}, {}", super::PING_PONG),
        format!("{}, {SEQUENCE}, {}", super::PING_PONG, super::IDLE_TIMEOUT),
    ] {
        let mut client = Numbered::new(extended::open(&gateway, AMQP_PATH, &offer));
        client.login();
        let mut deliveries = 0;
        let mut closing = false;
        while !closing {
            let (opcode, payload) = client.read();
            assert_eq!(opcode, BINARY);
            client.take(&payload);
            while let Some(frame) = client.frames.pop_front() {
                deliveries += usize::from(frame.method() == Some(amqp::DELIVER));
                closing |= frame.method() == Some(amqp::CONNECTION_CLOSE);
            }
        }
        assert_eq!(deliveries, 200, "{offer}");
        client.send(BINARY, &amqp::connection_close_ok());
        let closed = client.client.read_to_close();
        assert_eq!(closed.code, Some(4320), "{closed:?}");
        assert!(closed.before.is_empty(), "{closed:?}");
    }
}

/// The numbers belong to a session: two at once do not disturb each other.
#[test]
fn sessions_count_apart() {
    let gateway = echo();
    let mut clients: Vec<_> = (0..5).map(|_| open(&gateway)).collect();
    for _ in 0..20 {
        for client in &mut clients {
            client.send(TEXT, b"mine");
        }
        for client in &mut clients {
            client.expect(TEXT, b"mine");
        }
    }
    Client::open(gateway.public(), ECHO_PATH).send_text("none");
}
