//! Whatever bytes come from either side, the gateway lives, answers as the specifications say or not at all, and no
//! session ends by a fault of its own.

use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::any;
use proptest::prelude::Strategy;
use proptest::test_runner::Config;
use proptest::test_runner::TestRunner;

use crate::harness::amqp;
use crate::harness::broker::Broker;
use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::AMQP_PATH;
use crate::harness::configuration::ECHO_PATH;
use crate::harness::extended;
use crate::harness::gateway::Gateway;
use crate::harness::negotiation;
use crate::harness::negotiation::Login;
use crate::harness::negotiation::TUNING;
use crate::harness::opening::Opening;
use crate::harness::page::Page;
use crate::harness::users;
use crate::harness::wait_until;
use crate::harness::websocket;
use crate::harness::websocket::BINARY;
use crate::harness::DEADLINE;

/// Deadlines that keep a case short, whatever it left half done.
const SHORT: &str =
    "[websocket]\nclose_deadline = \"100ms\"\nsilence_limit = \"2s\"\nping_interval = \"1s\"\n\
                     [amqp]\nlogin_deadline = \"100ms\"\n[limits]\nrequest_head = \"1s\"\n";

fn check<T: std::fmt::Debug>(cases: u32, strategy: impl Strategy<Value = T>, case: impl Fn(T)) {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&strategy, |value| {
        case(value);
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

/// Nothing is left, nobody blames the gateway, and it still works.
#[track_caller]
fn expect_sound(gateway: &Gateway) {
    wait_until("every session to end", DEADLINE, || {
        let metrics = gateway.metrics();
        metrics.sum("smeuse_sessions") == 0.0
            && metrics.sum("smeuse_upstream_connections") == 0.0
            && metrics.sum("smeuse_handshakes_in_progress") == 0.0
    });
    let metrics = gateway.metrics();
    assert_eq!(
        metrics.sum("smeuse_sessions_closed_total{reason=\"bug\"}"),
        0.0
    );
    for line in gateway.log() {
        let ours = line["target"]
            .as_str()
            .is_some_and(|target| target.starts_with("smeuse"));
        assert!(!ours || line["level"] != "ERROR", "{line}");
        assert!(line["not_json"].is_null(), "{line}");
    }
    Client::open(gateway.public(), ECHO_PATH);
}

/// Bytes with some of them changed, some taken out, and the rest cut off: near enough to be believed for a while.
#[derive(Debug, Clone)]
struct Damage {
    flips: Vec<(usize, u8)>,
    removed: Vec<usize>,
    length: Option<usize>,
}

fn damage() -> impl Strategy<Value = Damage> {
    let flips = vec((any::<usize>(), 1_u8..), 0..4);
    let removed = vec(any::<usize>(), 0..2);
    let length = proptest::option::weighted(0.3, any::<usize>());
    (flips, removed, length).prop_map(|(flips, removed, length)| Damage {
        flips,
        removed,
        length,
    })
}

impl Damage {
    fn apply(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        for (at, flip) in &self.flips {
            let at = at % bytes.len();
            bytes[at] ^= flip;
        }
        for at in &self.removed {
            bytes.remove(at % bytes.len());
        }
        if let Some(length) = self.length {
            bytes.truncate(length % (bytes.len() + 1));
        }
        bytes
    }
}

/// Sends bytes in two parts, says no more, and reads whatever comes until the gateway has nothing to add.
fn provoke(gateway: &Gateway, bytes: &[u8]) {
    let mut client = Client::connect(gateway.public());
    let (first, second) = bytes.split_at(bytes.len() / 2);
    if client.try_send(first).is_ok() && client.try_send(second).is_ok() {
        client.try_finish_sending();
        client.drain_to_end(DEADLINE);
    }
}

/// An opening handshake with damage.
#[test]
fn a_damaged_opening_harms_nobody() {
    let gateway = Gateway::start(&(SHORT.to_owned() + &configuration::echo()));
    let opening = Opening::new(gateway.public(), ECHO_PATH)
        .subprotocols("amqp, b")
        .with("Sec-WebSocket-Extensions", "a; b=\"c\"")
        .with("Origin", "http://localhost:80")
        .with("X-Forwarded-For", "1.2.3.4, ::1");
    check(500, damage(), |damage| {
        provoke(&gateway, &damage.apply(opening.bytes()));
    });
    expect_sound(&gateway);
}

/// Frames with damage, and bytes that never were frames.
#[test]
fn damaged_frames_harm_nobody() {
    let gateway = Gateway::start(&(SHORT.to_owned() + &configuration::echo()));
    let opening = Opening::new(gateway.public(), ECHO_PATH).bytes();
    let frames = [
        websocket::frame(websocket::TEXT, "κόσμε".as_bytes()),
        websocket::Frame::unfinished(BINARY, b"begun").encode(),
        websocket::frame(websocket::PING, b"ping"),
        websocket::frame(websocket::CONTINUATION, &[0; 300]),
        websocket::frame(websocket::CLOSE, &websocket::close_payload(1000, "x")),
    ]
    .concat();
    check(500, damage(), |damage| {
        provoke(
            &gateway,
            &[opening.clone(), damage.apply(frames.clone())].concat(),
        );
    });
    check(500, vec(any::<u8>(), 0..200), |noise| {
        provoke(&gateway, &[opening.clone(), noise].concat());
    });
    expect_sound(&gateway);
}

/// AMQP from the client with damage, from the protocol header on, with either kind of login.
#[test]
fn damaged_amqp_from_a_client_harms_nobody() {
    let broker = Broker::start(|peer| {
        // The gateway may pass on nonsense and may leave at any time; only hanging is wrong.
        let _ = peer.negotiate();
        let _ = peer.serve();
        Ok(())
    });
    for login in [
        "login = \"client\"",
        "login = \"service\"\nuser = \"u\"\npassword = \"p\"\nvhost = \"/\"",
    ] {
        let services = configuration::amqp_with(broker.uri(), login) + &configuration::echo();
        let gateway = Gateway::start(&(SHORT.to_owned() + &services));
        let opening = Opening::new(gateway.public(), AMQP_PATH);
        let steps = [
            negotiation::client_steps(&Login::default()).to_vec(),
            vec![
                amqp::channel_open(1),
                amqp::publish(1, "q", &[1; 300], 131_072),
                amqp::heartbeat(),
                amqp::connection_close(200, "bye"),
            ],
        ]
        .concat();
        check(60, (0..steps.len(), damage()), |(damaged, damage)| {
            let mut client = Client::open_by(&opening, gateway.public());
            client.set_patience(Duration::from_millis(40));
            for (number, step) in steps.iter().enumerate() {
                let step = if number == damaged {
                    damage.apply(step.clone())
                } else {
                    step.clone()
                };
                if client.try_send(&websocket::frame(BINARY, &step)).is_err() {
                    break;
                }
                // The answer of this step, if there is one; what it says is for other suites.
                if number < 4 && client.try_read_frame().is_err() {
                    break;
                }
            }
            client.reset();
        });
        expect_sound(&gateway);
    }
}

/// AMQP from the broker with damage: what reaches the client is whole frames or nothing (the page insists on it).
#[test]
fn damaged_amqp_from_a_broker_harms_nobody() {
    let current: Arc<Mutex<(usize, Option<Damage>)>> = Arc::default();
    let broker = {
        let current = current.clone();
        Broker::start(move |peer| {
            let (damaged, damage) = current.lock().expect("nobody panics holding this").clone();
            let answers = [
                negotiation::start("PLAIN"),
                negotiation::tune(TUNING),
                negotiation::open_ok(),
                [
                    amqp::channel_open_ok(1),
                    amqp::deliver(1, 1, &[1; 300], 131_072),
                    amqp::heartbeat(),
                    amqp::connection_close(320, "bye"),
                ]
                .concat(),
            ];
            peer.read_exact(8)?;
            for (number, answer) in answers.into_iter().enumerate() {
                let answer = match &damage {
                    Some(damage) if number == damaged => damage.apply(answer),
                    _ => answer,
                };
                peer.send(&answer)?;
                let awaited = [1, 2, 0, 0][number];
                for _ in 0..awaited {
                    peer.read_frame()?;
                }
            }
            Err(io::Error::other("enough"))
        })
    };
    let services = configuration::amqp(broker.uri()) + &configuration::echo();
    let gateway = Gateway::start(&(SHORT.to_owned() + &services));
    check(60, (0_usize..4, damage()), |(damaged, damage)| {
        *current.lock().expect("nobody panics holding this") = (damaged, Some(damage));
        let mut page = Page::open(&gateway);
        for step in negotiation::client_steps(&Login::default()) {
            if page
                .client
                .try_send(&websocket::frame(BINARY, &step))
                .is_err()
            {
                break;
            }
            if page.try_read_frame().is_none() {
                break;
            }
        }
        while page.try_read_frame().is_some() {}
    });
    expect_sound(&gateway);
}

/// A request of the extended handshake with damage, in either dialect, with credentials and without, and what follows.
#[test]
fn a_damaged_extended_handshake_harms_nobody() {
    let login = users::login(users::USERS, "[\"application-basic\"]", ", attempts = 1");
    let asking = configuration::service("asking", "echo", &["/asking"], &login);
    let handshake = "[handshake]\nrequest_deadline = \"100ms\"\nlogin_deadline = \"2s\"\n";
    let services = configuration::echo() + &asking;
    let gateway = Gateway::start(&(SHORT.to_owned() + handshake + &services));
    let request = extended::request(&[
        ("WebSocket-Protocol", ""),
        ("Sec-WebSocket-Protocol", "amqp, b"),
        (
            "Sec-WebSocket-Extensions",
            "smeuse-sequence, a; b=\"c\", x-kaazing-ping-pong",
        ),
        ("Authorization", users::JOE),
    ]);
    for path in [ECHO_PATH, "/asking", "/echo?.kl=Y", "/asking?.kl=Y"] {
        let opening = Opening::new(gateway.public(), path).subprotocols(extended::SUBPROTOCOL);
        check(100, (damage(), any::<bool>()), |(damage, is_framed)| {
            // Either the frame is right and what it says is not, or the frame itself is not.
            let bytes = if is_framed {
                websocket::frame(BINARY, &damage.apply(request.clone().into_bytes()))
            } else {
                damage.apply(websocket::frame(BINARY, request.as_bytes()))
            };
            let behind = websocket::frame(BINARY, b"00000000data");
            let mut client = Client::open_by(&opening, gateway.public());
            if client.try_send(&bytes).is_ok() && client.try_send(&behind).is_ok() {
                client.try_finish_sending();
                client.drain_to_end(DEADLINE);
            }
        });
    }
    expect_sound(&gateway);
}

/// Messages of extensions with damage: numbers, control frames, and where they are cut.
#[test]
fn damaged_messages_of_extensions_harm_nobody() {
    let gateway = Gateway::start(&(SHORT.to_owned() + &configuration::echo()));
    for offer in [
        "x-kaazing-ping-pong",
        "smeuse-sequence, x-kaazing-ping-pong",
        "x-kaazing-ping-pong, smeuse-sequence, x-kaazing-idle-timeout",
    ] {
        let is_numbered = offer.starts_with("x-kaazing-ping-pong, smeuse");
        let digits = |number: u32| match is_numbered {
            true => format!("{number:08x}"),
            false => String::new(),
        };
        let control = "\u{1}\u{1}\u{1}\u{2}";
        let frames = [
            format!("{}{control}\u{9}\u{0}", digits(0)),
            format!("{}{control}", digits(1)),
            format!("{}{control}\u{a}\u{0}", digits(2)),
            "00000003κόσμε".to_owned(),
        ]
        .map(|text| extended::fragments(websocket::TEXT, text.as_bytes(), &[2, text.len() / 2]))
        .concat();
        let opening =
            Opening::new(gateway.public(), ECHO_PATH).with("Sec-WebSocket-Extensions", offer);
        check(200, damage(), |damage| {
            let bytes = [opening.bytes(), damage.apply(frames.clone())].concat();
            provoke(&gateway, &bytes);
        });
    }
    expect_sound(&gateway);
    let left = gateway.metrics().sum("smeuse_extension_sessions");
    assert_eq!(left, 0.0);
}
