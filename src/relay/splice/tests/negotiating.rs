//! AMQP 0-9-1 section 2.2.4, the opening of a connection, through the splice.

use super::*;
use crate::wire::amqp::frame::HEARTBEAT;

/// One step of a scripted opening.
enum Step {
    Client(Vec<u8>),
    Broker(Vec<u8>),
}

/// Runs the steps with pieces of `size` bytes.
fn run(params: Params, steps: &[Step], size: usize) -> Session {
    let mut session = Session::new(params);
    for step in steps {
        match step {
            Step::Client(bytes) => bytes.chunks(size).for_each(|piece| session.client(piece)),
            Step::Broker(bytes) => bytes.chunks(size).for_each(|piece| session.broker(piece)),
        }
    }
    session
}

fn opening() -> Vec<Step> {
    vec![
        Step::Broker(start("EXTERNAL PLAIN")),
        Step::Client(start_ok("AMQPLAIN", "the client's own")),
        Step::Broker(tune(131_072, 2047)),
        Step::Client([tune_ok(8192, 50), open("/")].concat()),
        Step::Client(publish(50, b"pipelined")),
        Step::Broker([open_ok(), HEARTBEAT.to_vec()].concat()),
        Step::Client(publish(1, &[7; 50])),
    ]
}

#[test]
fn without_login_and_vhost_only_tune_is_rewritten() {
    for size in [1, 2, 3, 5, 7, 8, 11, 13, 64, 4096] {
        let session = run(params(), &opening(), size);
        let expected = [
            start_ok("AMQPLAIN", "the client's own"),
            tune_ok(8192, 50),
            open("/"),
            publish(50, b"pipelined"),
            publish(1, &[7; 50]),
        ];
        assert_eq!(session.to_broker, expected.concat(), "pieces of {size}");
        let expected = [
            start("EXTERNAL PLAIN"),
            tune(FRAME_MAX, CHANNEL_MAX),
            open_ok(),
            HEARTBEAT.to_vec(),
        ];
        assert_eq!(session.to_client, expected.concat(), "pieces of {size}");
        assert_eq!(session.splice.phase(), Phase::Open);
        assert_eq!(session.splice.frame_max(), 8192);
        assert_eq!((session.violation, session.failure), (None, None));
    }
}

#[test]
fn login_and_vhost_of_the_service_are_written() {
    for size in [1, 2, 3, 5, 7, 8, 11, 13, 64, 4096] {
        let session = run(rewriting(), &opening(), size);
        let expected = [
            start_ok("PLAIN", "\0browser\0secret"),
            tune_ok(8192, 50),
            open("live"),
            publish(50, b"pipelined"),
            publish(1, &[7; 50]),
        ];
        assert_eq!(session.to_broker, expected.concat(), "pieces of {size}");
        let expected = [
            start("PLAIN AMQPLAIN"),
            tune(FRAME_MAX, CHANNEL_MAX),
            open_ok(),
            HEARTBEAT.to_vec(),
        ];
        assert_eq!(session.to_client, expected.concat(), "pieces of {size}");
    }
}

#[test]
fn a_client_that_sends_all_its_answers_at_once_gets_through() {
    let answers = [
        start_ok("PLAIN", "\0a\0b"),
        tune_ok(FRAME_MAX, CHANNEL_MAX),
        open("/"),
        publish(3, b"early"),
    ]
    .concat();
    let session = in_every_piece(|| Session::new(params()), &answers, Session::client);
    assert_eq!(session.to_broker, answers);
    assert_eq!(
        session.splice.phase(),
        Phase::Negotiating {
            awaiting: Side::Broker
        }
    );
}

#[test]
fn the_phase_says_whose_turn_it_is() {
    let mut session = Session::new(params());
    let awaiting = |session: &Session| match session.splice.phase() {
        Phase::Negotiating { awaiting } => awaiting,
        phase => panic!("{phase:?}"),
    };
    assert_eq!(awaiting(&session), Side::Broker);
    session.broker(&start("PLAIN"));
    assert_eq!(awaiting(&session), Side::Client);
    let answer = start_ok("PLAIN", "\0a\0b");
    session.client(&answer[..answer.len() - 1]);
    assert_eq!(awaiting(&session), Side::Client, "half an answer is none");
    session.client(&answer[answer.len() - 1..]);
    assert_eq!(awaiting(&session), Side::Broker);
}

#[test]
fn limits_hold_from_tune_ok_on() {
    let mut session = Session::new(params());
    session.broker(&[start("PLAIN"), tune(131_072, 2047)].concat());
    let answers = [start_ok("PLAIN", "\0a\0b"), tune_ok(4096, 2), open("/")].concat();
    session.client(&answers);
    assert_eq!(session.splice.frame_max(), 4096);
    session.client(&frame(3, 2, &[0; 4088]));
    assert_eq!(session.violation, None);
    let mut other = Session::new(params());
    other.client(&answers);
    session.client(&frame(3, 2, &[0; 4089]));
    assert_eq!(
        session.violation.unwrap().reply_code,
        ReplyCode::FRAME_ERROR
    );
    other.client(&frame(3, 3, &[]));
    assert_eq!(
        other.violation.unwrap().reply_code,
        ReplyCode::CHANNEL_ERROR
    );
}

#[test]
fn a_violation_lets_nothing_through_but_what_was_before_it() {
    let good = start_ok("PLAIN", "\0a\0b");
    let mut wrong_end = tune_ok(8192, 50);
    *wrong_end.last_mut().unwrap() = 0xCD;
    let rows = [
        (wrong_end, 501, "FRAME_ERROR - type 1, 12 octets: {invalid_frame_end_marker,205}"),
        (frame(5, 0, &[]), 501, "FRAME_ERROR - type 5, 0 octets: unknown_frame"),
        (
            frame(1, 0, &[0; 8185]),
            501,
            "FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,8185,8184}",
        ),
        (frame(8, 4, &[]), 501, "FRAME_ERROR - type 8 on channel 4"),
        (method(9, 20, 10, &[0]), 504, "CHANNEL_ERROR - channel 9 before connection.open"),
        (frame(2, 0, &[1]), 505, "UNEXPECTED_FRAME - type 2 on channel 0, 1 octets"),
        (open("/"), 504, "CHANNEL_ERROR - unexpected method in connection state tuning"),
        (
            tune_ok(8193, 50),
            530,
            "NOT_ALLOWED - negotiated frame_max = 8193 is higher than the maximum allowed value (8192)",
        ),
    ];
    for (bad, code, text) in rows {
        let prepare = || {
            let mut session = Session::new(params());
            session.broker(&[start("PLAIN"), tune(131_072, 2047)].concat());
            session.forget();
            session
        };
        let bytes = [good.clone(), bad.clone(), open("/")].concat();
        let mut session = if bytes.len() < 1000 {
            in_every_piece(prepare, &bytes, Session::client)
        } else {
            let mut session = prepare();
            session.client(&bytes);
            session
        };
        assert_eq!(session.to_broker, good);
        let violation = session.violation.clone().unwrap();
        assert_eq!(
            (violation.reply_code.0, violation.text.as_str()),
            (code, text)
        );
        session.client(&open("/"));
        assert_eq!(session.to_broker, good);
        let class_method = violation.class_method;
        let sent = session
            .splice
            .close_towards_client(violation.reply_code, text, class_method);
        let (class_id, method_id) = class_method;
        let reply_text = ShortString::clipped(text);
        let expected = Close {
            reply_code: ReplyCode(code),
            reply_text,
            class_id,
            method_id,
        };
        assert_eq!(sent, Some(expected.to_frame()));
    }
}

#[test]
fn before_tune_ok_the_broker_may_send_what_our_own_limit_allows() {
    let large = frame(1, 0, &[0; 20_000]);
    let mut session = Session::new(Params {
        frame_max: 20_008,
        ..params()
    });
    session.broker(&large);
    assert_eq!((session.to_client, session.failure), (large.clone(), None));
    let mut session = Session::new(params());
    session.broker(&large);
    assert!(session.failure.is_some());
}

#[test]
fn what_is_held_back_whole_stays_small_after_tune_ok_too() {
    let mut session = Session::new(Params {
        frame_max: 1 << 20,
        ..params()
    });
    session.broker(&[start("PLAIN"), tune(1 << 20, 2047)].concat());
    session.client(&[start_ok("PLAIN", ""), tune_ok(1 << 20, 50)].concat());
    session.client(&frame(1, 0, &[0; 9000])[..7]);
    assert_eq!(
        session.violation.unwrap().reply_code,
        ReplyCode::FRAME_ERROR
    );
}

#[test]
fn a_protocol_header_in_answer_is_passed_on_as_a_refusal() {
    let session = in_every_piece(
        || Session::new(params()),
        b"AMQP\x03\x01\x00\x00",
        Session::broker,
    );
    assert_eq!(session.to_client, b"AMQP\x03\x01\x00\x00");
    let reason = session.splice.broker_close().unwrap();
    assert!(reason.version_refused);
    assert_eq!(reason.text, "the broker speaks AMQP 1.0.0 (protocol 3)");
    assert_eq!(session.splice.phase(), Phase::Closed);
    let mut session = Session::new(params());
    session.broker(b"AMQP");
    assert_eq!(session.unconsumed, b"AMQP");
    session.broker(&[0, 0, 9]);
    assert_eq!(
        (session.to_client.len(), session.splice.broker_close()),
        (0, None)
    );
}

#[test]
fn a_broker_that_speaks_something_else_has_failed() {
    let mut session = Session::new(params());
    session.broker(b"HTTP/1.1 400 Bad Request\r\n");
    assert_eq!(
        session.failure.unwrap().text,
        "the broker sent a frame of the unknown type 72"
    );
    let mut session = Session::new(params());
    session.broker(b"AMQx");
    assert_eq!(session.failure, None, "four bytes are no frame header");
    session.broker(b"....");
    assert_eq!(
        session.failure.unwrap().text,
        "the broker sent a frame of the unknown type 65"
    );
}

#[test]
fn nothing_that_is_printed_holds_the_password() {
    let printed = format!("{:?} {:?}", rewriting(), Splice::new(rewriting()));
    assert!(
        printed.contains("browser") && !printed.contains("secret"),
        "{printed}"
    );
}

#[test]
fn an_idle_session_is_small() {
    assert!(size_of::<Splice>() <= 128, "{}", size_of::<Splice>());
}
