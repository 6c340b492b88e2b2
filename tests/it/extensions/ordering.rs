//! Extensions together: in pairs and all three, in every order, and the end of a session through them.

use super::numbered;
use super::Numbered;
use super::EMULATED_PING;
use super::EMULATED_PONG;
use super::ESCAPE;
use super::IDLE_TIMEOUT;
use super::PING_PONG;
use super::SEQUENCE;
use crate::harness::amqp;
use crate::harness::broker::Broker;
use crate::harness::configuration;
use crate::harness::configuration::AMQP_PATH;
use crate::harness::configuration::ECHO_PATH;
use crate::harness::extended;
use crate::harness::gateway::Gateway;
use crate::harness::wait_until;
use crate::harness::websocket;
use crate::harness::websocket::Frame;
use crate::harness::websocket::BINARY;
use crate::harness::websocket::CLOSE;
use crate::harness::websocket::CONTINUATION;
use crate::harness::websocket::TEXT;
use crate::harness::DEADLINE;

/// Every order of every subset with at least two.
fn offers() -> Vec<Vec<&'static str>> {
    let all = [PING_PONG, IDLE_TIMEOUT, SEQUENCE];
    let mut offers = Vec::new();
    for first in all {
        for second in all.into_iter().filter(|name| *name != first) {
            offers.push(vec![first, second]);
            let third = all
                .into_iter()
                .find(|name| *name != first && *name != second);
            offers.push([first, second].into_iter().chain(third).collect());
        }
    }
    assert_eq!(offers.len(), 12);
    offers
}

fn at(offer: &[&str], name: &str) -> Option<usize> {
    offer.iter().position(|offered| *offered == name)
}

/// The frames of ping-pong are messages to whoever stands nearer to the network: they are numbered if sequence stands
/// behind ping-pong, and only then; data is numbered wherever sequence stands.
#[test]
fn in_every_order_each_extension_does_its_part() {
    let gateway = Gateway::start(&configuration::echo());
    for offer in offers() {
        let mut client = extended::open(&gateway, ECHO_PATH, &offer.join(", "));
        let sequence = at(&offer, SEQUENCE);
        let ping_pong = at(&offer, PING_PONG);
        let numbers_controls = matches!((sequence, ping_pong), (Some(s), Some(p)) if s > p);
        let mut number = 0;
        let mut stamp = |payload: &[u8], is_numbered: bool| {
            if !is_numbered {
                return payload.to_vec();
            }
            number += 1;
            numbered(number - 1, payload)
        };
        for round in 0..3 {
            let data = stamp(b"hello", sequence.is_some());
            client.send(&websocket::frame(TEXT, &data));
            client.expect_message(TEXT, &data);
            if ping_pong.is_none() {
                continue;
            }
            let ping = stamp(EMULATED_PING, numbers_controls);
            client.send(&websocket::frame(TEXT, &ping));
            let digits = ping.len() - EMULATED_PING.len();
            let pong = [&ping[..digits], EMULATED_PONG].concat();
            client.expect_frame(TEXT, &pong);
            // What looks like a control frame: where sequence stands nearer to the application the number is in front
            // and it does not.
            let looks_alike = sequence.is_none() || numbers_controls;
            if looks_alike {
                let escape = stamp(ESCAPE, numbers_controls);
                let text = stamp(EMULATED_PING, sequence.is_some());
                client.send(&websocket::frame(TEXT, &escape));
                client.send(&websocket::frame(TEXT, &text));
                client.expect_message(TEXT, &escape);
                client.expect_message(TEXT, &text);
            } else {
                let text = stamp(EMULATED_PING, true);
                client.send(&websocket::frame(TEXT, &text));
                client.expect_message(TEXT, &text);
            }
            assert!(round < 3);
        }
    }
}

/// What the client sent before its Close frame, in the same packet, reaches the broker through all extensions.
#[test]
fn what_came_before_a_close_reaches_the_broker() {
    for offer in offers()
        .into_iter()
        .filter(|offer| at(offer, SEQUENCE).is_some())
    {
        let broker = Broker::polite();
        let gateway = Gateway::start(&configuration::amqp(broker.uri()));
        let client = extended::open(&gateway, AMQP_PATH, &offer.join(", "));
        let mut client = Numbered::new(client);
        client.login();
        let before = broker.received(0).len();
        let publish = amqp::publish(1, "q", &[7; 5000], 4096);
        let mut bytes = Vec::new();
        for _ in 0..100 {
            bytes.extend(websocket::frame(BINARY, &client.next(&publish)));
        }
        bytes.extend(websocket::frame(CLOSE, &1000_u16.to_be_bytes()));
        client.client.send(&bytes);
        assert_eq!(client.client.read_to_close().code, Some(1000), "{offer:?}");
        let received = broker.wait_received(0, before + 100 * publish.len());
        let published = &received[before..before + 100 * publish.len()];
        assert!(published.chunks(publish.len()).all(|part| part == publish));
        gateway.wait_nothing_left();
        broker.wait_all_ended();
        // The extensions' actors end after the session's.
        wait_until(&format!("no session with {offer:?}"), DEADLINE, || {
            gateway.metrics().sum("smeuse_extension_sessions") == 0.0
        });
    }
}

/// A drain and an operator end a session with extensions as they end any.
#[test]
fn others_end_a_session_with_extensions() {
    let all = format!("{SEQUENCE}, {PING_PONG}, {IDLE_TIMEOUT}");
    let broker = Broker::polite();
    let drain = "[drain]\ndeadline = \"200ms\"\nspread = \"0s\"\n";
    let gateway = Gateway::start(&(drain.to_owned() + &configuration::amqp(broker.uri())));
    for code in [4100, 1001] {
        let mut client = Numbered::new(extended::open(&gateway, AMQP_PATH, &all));
        client.login();
        if code == 4100 {
            gateway.end_all_sessions();
        } else {
            gateway.signal("TERM");
        }
        // The broker is told by the gateway; the page sees connection.close first, numbered.
        let closed = client.client.read_to_close();
        assert_eq!(closed.code, Some(code), "{closed:?}");
        let last = closed.before.last().expect("connection.close");
        let payload = client.strip(&last.payload);
        client.take(&payload);
        let frame = client.frames.pop_front().expect("a frame");
        assert_eq!(frame.method(), Some(amqp::CONNECTION_CLOSE), "{frame:?}");
        client.client.send_close(code, "");
        broker.wait_all_ended();
    }
}

/// A socket that is cut leaves no link behind.
#[test]
fn a_cut_socket_leaves_no_link() {
    let gateway = Gateway::start(&configuration::echo());
    let clients: Vec<_> = offers()
        .iter()
        .map(|offer| extended::open(&gateway, ECHO_PATH, &offer.join(", ")))
        .collect();
    let count: usize = offers().iter().map(Vec::len).sum();
    assert_eq!(
        gateway.metrics().sum("smeuse_extension_sessions"),
        count as f64
    );
    for client in clients {
        client.reset();
    }
    gateway.wait_nothing_left();
    for name in [PING_PONG, IDLE_TIMEOUT, SEQUENCE] {
        gateway.wait_metric(
            &format!("smeuse_extension_sessions{{extension=\"{name}\"}}"),
            0.0,
        );
    }
}

/// An echo, too, returns what came before a Close frame in the same packet, and only then answers that.
#[test]
fn what_came_before_a_close_comes_back_first() {
    let gateway = Gateway::start(&configuration::echo());
    for offer in offers() {
        let is_numbered = at(&offer, SEQUENCE).is_some();
        let mut client = extended::open(&gateway, ECHO_PATH, &offer.join(", "));
        let messages: Vec<_> = (0..50)
            .map(|number| match is_numbered {
                true => numbered(number, &[7; 1000]),
                false => [7; 1000].to_vec(),
            })
            .collect();
        let mut bytes: Vec<u8> = messages
            .iter()
            .flat_map(|message| websocket::frame(BINARY, message))
            .collect();
        bytes.extend(websocket::frame(CLOSE, &1000_u16.to_be_bytes()));
        client.send(&bytes);
        let closed = client.read_to_close();
        let payloads: Vec<_> = closed
            .before
            .into_iter()
            .map(|frame| frame.payload)
            .collect();
        assert!(
            payloads == messages,
            "{offer:?}: {} came back",
            payloads.len()
        );
        assert_eq!(closed.code, Some(1000), "{offer:?}");
    }
}

/// A message of an extension's own waits for the end of the one that is open (RFC 6455 section 5.4), and comes before
/// those that were numbered after it.
#[test]
fn a_sign_of_life_goes_right_behind_the_message_that_was_open() {
    let lines = "idle_timeout = \"1s\"";
    let service = configuration::service("echo", "echo", &[ECHO_PATH], lines);
    let gateway = Gateway::start(&service);
    let offer = format!("{PING_PONG}, {IDLE_TIMEOUT}, {SEQUENCE}");
    let mut client = extended::open(&gateway, ECHO_PATH, &offer);
    client.send(&Frame::unfinished(TEXT, &numbered(0, b"ab")).encode());
    let first = client.read_frame();
    assert!(
        !first.fin && first.payload == numbered(0, b"ab"),
        "{first:?}"
    );
    gateway.wait_metric(
        &format!("smeuse_extension_control_frames_total{{direction=\"to_client\",extension=\"{PING_PONG}\",kind=\"ping\"}}"),
        1.0,
    );
    let end = websocket::frame(CONTINUATION, b"c");
    let next = websocket::frame(TEXT, &numbered(1, b"next"));
    client.send(&[end, next].concat());
    client.expect_frame(CONTINUATION, b"c");
    client.expect_frame(TEXT, &numbered(1, EMULATED_PING));
    client.expect_frame(TEXT, &numbered(2, b"next"));
}
