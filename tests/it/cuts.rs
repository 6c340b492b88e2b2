//! AMQP 0-9-1 section 4.2.3 over messages and packets: frames are cut anywhere on both sides, and come out whole.

use std::io;
use std::sync::Arc;

use proptest::prelude::any;
use proptest::prelude::prop;
use proptest::prelude::prop_assert;
use proptest::test_runner::Config;
use proptest::test_runner::TestRunner;

use crate::harness::amqp;
use crate::harness::amqp::Frame;
use crate::harness::amqp::FRAME_OVERHEAD;
use crate::harness::broker::Broker;
use crate::harness::broker::Gate;
use crate::harness::configuration;
use crate::harness::gateway::Gateway;
use crate::harness::negotiation;
use crate::harness::negotiation::client_steps;
use crate::harness::negotiation::Login;
use crate::harness::negotiation::TUNING;
use crate::harness::page::Page;
use crate::harness::peer::Peer;
use crate::harness::websocket;
use crate::harness::websocket::BINARY;
use crate::harness::websocket::CONTINUATION;

const FRAME_MAX: usize = TUNING.frame_max as usize;

/// A broker that keeps what it is sent, and answers nothing after the login.
fn recording_broker() -> Broker {
    Broker::start(|peer| {
        peer.negotiate()?;
        peer.read_to_end()
    })
}

/// What a client says after its login: every type of frame, contents of several sizes.
fn conversation() -> Vec<u8> {
    [
        amqp::channel_open(1),
        amqp::publish(1, "queue", b"", FRAME_MAX),
        amqp::heartbeat(),
        amqp::publish(1, "queue", b"a body", 10),
        amqp::channel_open(2047),
    ]
    .concat()
}

/// The bytes the broker must have after a login and `after`.
fn whole_session(after: &[u8]) -> Vec<u8> {
    [client_steps(&Login::default()).concat(), after.to_vec()].concat()
}

/// A session whose every message is cut at one place, for every place: the broker sees the same stream.
#[test]
fn a_clients_stream_may_be_cut_at_every_byte() {
    let broker = recording_broker();
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    let conversation = conversation();
    let mut steps = client_steps(&Login::default()).to_vec();
    steps.push(conversation.clone());
    let expected = whole_session(&conversation);
    for (number, cut) in (1..expected.len()).enumerate() {
        let mut page = Page::open(&gateway);
        let mut begin = 0;
        for (index, step) in steps.iter().enumerate() {
            let at = cut
                .checked_sub(begin)
                .filter(|at| (1..step.len()).contains(at));
            match at {
                None => page.send(step),
                Some(at) => {
                    page.send(&step[..at]);
                    page.send(&step[at..]);
                }
            }
            begin += step.len();
            if let Some(answer) = [amqp::START, amqp::TUNE, amqp::OPEN_OK].get(index) {
                page.expect_method(*answer);
            }
        }
        let received = broker.wait_received(number, expected.len());
        assert!(
            received == expected,
            "cut at {cut}, the broker received something else"
        );
    }
}

/// Every byte a message of its own, and every byte a fragment of its own.
#[test]
fn every_byte_may_be_a_message_or_a_fragment() {
    let broker = recording_broker();
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    let conversation = conversation();

    let mut page = Page::login(&gateway);
    let messages: Vec<u8> = conversation
        .iter()
        .flat_map(|byte| websocket::frame(BINARY, &[*byte]))
        .collect();
    page.client.send(&messages);
    let expected = whole_session(&conversation);
    assert!(broker.wait_received(0, expected.len()) == expected);

    let mut page = Page::login(&gateway);
    let mut fragments = websocket::Frame::unfinished(BINARY, b"").encode();
    for byte in &conversation {
        fragments.extend(websocket::Frame::unfinished(CONTINUATION, &[*byte]).encode());
    }
    fragments.extend(websocket::frame(CONTINUATION, b""));
    page.client.send(&fragments);
    assert!(broker.wait_received(1, expected.len()) == expected);
}

/// A fragment is relayed as it comes: the broker has a whole AMQP frame before the message has ended.
#[test]
fn a_fragment_is_relayed_before_its_message_ends() {
    let broker = recording_broker();
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    let mut page = Page::login(&gateway);
    let open = amqp::channel_open(1);
    page.client
        .send(&websocket::Frame::unfinished(BINARY, &open).encode());
    let expected = whole_session(&open);
    assert!(broker.wait_received(0, expected.len()) == expected);
}

/// Empty messages carry nothing and harm nothing.
#[test]
fn an_empty_message_is_nothing() {
    let broker = recording_broker();
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    let mut page = Page::login(&gateway);
    let conversation = conversation();
    page.send(b"");
    page.send(&conversation[..3]);
    page.send(b"");
    page.send(&conversation[3..]);
    let expected = whole_session(&conversation);
    assert!(broker.wait_received(0, expected.len()) == expected);
}

/// Many frames in one message are the same stream.
#[test]
fn many_frames_may_share_a_message() {
    let broker = recording_broker();
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    let mut page = Page::login(&gateway);
    let many: Vec<u8> = (0..5000)
        .flat_map(|_| amqp::publish(1, "queue", b"hundred bytes or less", FRAME_MAX))
        .collect();
    page.open_channel_without_answer(1);
    page.send(&many);
    let expected = whole_session(&[amqp::channel_open(1), many].concat());
    assert!(broker.wait_received(0, expected.len()) == expected);
}

/// What a client sent before its Close frame has been accepted, and reaches the broker.
#[test]
fn everything_before_a_close_frame_reaches_the_broker() {
    let broker = recording_broker();
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    let mut page = Page::login(&gateway);
    let publishes = amqp::publish(1, "queue", &[3; 1000], FRAME_MAX).repeat(5000);
    for message in publishes.chunks(50_000) {
        page.send(message);
    }
    page.client.send_close(1000, "");
    assert_eq!(page.client.read_to_close().code, Some(1000));
    let expected = whole_session(&publishes);
    assert!(broker.wait_received(0, expected.len()) == expected);
    assert_eq!(
        broker.outcome(0),
        Ok(()),
        "the broker's socket was not ended in order"
    );
}

/// What the broker says after the login, in several frames of every type.
fn answers() -> Vec<u8> {
    [
        amqp::channel_open_ok(1),
        amqp::deliver(1, 1, b"", FRAME_MAX),
        amqp::heartbeat(),
        amqp::deliver(1, 2, b"a body in two", 14),
    ]
    .concat()
}

fn frames_of(mut bytes: &[u8]) -> Vec<Frame> {
    std::iter::from_fn(|| amqp::take_frame(&mut bytes)).collect()
}

/// The broker's stream comes in packets cut at every byte; every message to the client holds whole frames (the page
/// insists on it), and they are the same frames.
#[test]
fn a_brokers_stream_may_be_cut_at_every_byte() {
    let answers = Arc::new(answers());
    let broker = {
        let answers = answers.clone();
        Broker::start(move |peer| {
            peer.negotiate()?;
            for cut in 1..answers.len() {
                peer.send_cut(&answers, cut)?;
                peer.expect_method(amqp::CHANNEL_OPEN)?;
            }
            peer.read_to_end()
        })
    };
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    let mut page = Page::login(&gateway);
    let expected = frames_of(&answers);
    for cut in 1..answers.len() {
        for frame in &expected {
            assert_eq!(&page.read_frame(), frame, "cut at {cut}");
        }
        page.open_channel_without_answer(1);
    }
}

/// The negotiation's answers may be cut as well: in the frame's header, behind it, and before the end octet.
#[test]
fn the_brokers_negotiation_may_come_in_pieces() {
    fn send_in_pieces(peer: &mut Peer, frame: &[u8]) -> io::Result<()> {
        let mut sent = 0;
        for cut in [1, 3, 6, 7, 8, 11, frame.len() - 1, frame.len()] {
            peer.send(&frame[sent..cut])?;
            peer.wait_until_read()?;
            sent = cut;
        }
        Ok(())
    }
    let broker = Broker::start(|peer| {
        peer.expect_header()?;
        send_in_pieces(peer, &negotiation::start("PLAIN"))?;
        peer.expect_method(amqp::START_OK)?;
        send_in_pieces(peer, &negotiation::tune(TUNING))?;
        peer.expect_method(amqp::TUNE_OK)?;
        peer.expect_method(amqp::OPEN)?;
        send_in_pieces(peer, &negotiation::open_ok())?;
        peer.serve()
    });
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    Page::login(&gateway).open_channel(1);
}

/// Many small frames that are ready share messages, none larger than 64 KiB (the page insists); one that is larger
/// comes alone.
#[test]
fn messages_to_the_client_are_batches_of_whole_frames() {
    let small = amqp::deliver(1, 1, &[5; 100], FRAME_MAX);
    let largest = amqp::frame(amqp::CONTENT_BODY, 1, &vec![6; FRAME_MAX - FRAME_OVERHEAD]);
    let medium = amqp::frame(amqp::CONTENT_BODY, 1, &[7; 70_000]);
    let stream = Arc::new(
        [
            small.repeat(5000),
            largest.clone(),
            small.repeat(10),
            medium.repeat(3),
            small.repeat(1000),
            medium,
            largest,
        ]
        .concat(),
    );
    let broker = {
        let stream = stream.clone();
        Broker::start(move |peer| {
            peer.negotiate()?;
            peer.send(&stream)?;
            peer.read_to_end()
        })
    };
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    let mut page = Page::login(&gateway);
    let before = gateway.metric("smeuse_websocket_messages_total{direction=\"to_client\"}");
    let expected = frames_of(&stream);
    for frame in &expected {
        assert!(
            &page.read_frame() == frame,
            "the frames are not the broker's"
        );
    }
    let messages =
        gateway.metric("smeuse_websocket_messages_total{direction=\"to_client\"}") - before;
    assert!(
        messages < expected.len() as f64 / 4.0,
        "{} frames took {messages} messages",
        expected.len()
    );
}

/// A frame is not kept waiting for company: one alone arrives at once.
#[test]
fn a_single_frame_is_not_kept_waiting() {
    let gate = Gate::default();
    let broker = {
        let gate = gate.clone();
        Broker::start(move |peer| {
            peer.negotiate()?;
            gate.pass()?;
            peer.send(&amqp::heartbeat())?;
            peer.read_to_end()
        })
    };
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    let mut page = Page::login(&gateway);
    gate.open();
    assert_eq!(page.read_frame().kind, amqp::HEARTBEAT);
}

/// However a stream of frames is divided into messages and fragments, the broker receives that stream.
#[test]
fn any_division_into_messages_is_the_same_stream() {
    let broker = recording_broker();
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    let sizes = prop::collection::vec(0_usize..3000, 1..12);
    let cuts = prop::collection::vec((1_usize..4000, any::<bool>()), 1..40);
    let config = Config {
        cases: 64,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&(sizes, cuts), |(sizes, cuts)| {
        let bodies: Vec<u8> = sizes
            .iter()
            .flat_map(|size| amqp::publish(1, "q", &vec![1; *size], 1000))
            .collect();
        let number = broker.accepted();
        let mut page = Page::login(&gateway);
        page.client.send(&divided(&bodies, &cuts));
        let expected = whole_session(&bodies);
        prop_assert!(broker.wait_received(number, expected.len()) == expected);
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

/// Cuts a stream into pieces of these sizes, over and over; `true` begins a message, `false` continues one.
fn divided(stream: &[u8], cuts: &[(usize, bool)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = stream;
    let mut continuing = false;
    for (size, ends) in cuts.iter().cycle() {
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        rest = after;
        let opcode = if continuing { CONTINUATION } else { BINARY };
        let fin = *ends || rest.is_empty();
        bytes.extend(
            websocket::Frame {
                fin,
                ..websocket::Frame::new(opcode, piece)
            }
            .encode(),
        );
        continuing = !fin;
        if rest.is_empty() {
            return bytes;
        }
    }
    unreachable!("a cycle does not end")
}
