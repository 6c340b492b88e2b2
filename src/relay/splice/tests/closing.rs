//! AMQP 0-9-1 section 2.2.4, the closing of a connection, and what each side may still say then.

use super::*;
use crate::wire::amqp::frame::HEARTBEAT;

#[test]
fn behind_the_clients_close_only_heartbeats_go_on() {
    let bytes = [
        publish(1, b"last"),
        close(200, "bye"),
        publish(1, b"too late"),
        HEARTBEAT.to_vec(),
        close(200, "again"),
        close_ok(),
    ]
    .concat();
    let session = in_every_piece(Session::open, &bytes, Session::client);
    let expected = [publish(1, b"last"), close(200, "bye"), HEARTBEAT.to_vec()].concat();
    assert_eq!(session.to_broker, expected);
    assert_eq!(session.splice.phase(), Phase::Closing { by: Side::Client });
    assert!(session.splice.client_close());
}

#[test]
fn a_client_that_errs_behind_its_close_is_left_alone() {
    let bytes = [close(200, "bye"), b"nonsense".to_vec(), close_ok()].concat();
    let session = in_every_piece(Session::open, &bytes, Session::client);
    assert_eq!(
        (session.to_broker, session.violation),
        (close(200, "bye"), None)
    );
}

#[test]
fn the_brokers_close_ok_confirms_and_nothing_comes_behind_it() {
    let prepare = || {
        let mut session = Session::open();
        session.client(&close(200, "bye"));
        session
    };
    let bytes = [
        delivery(1, b"still"),
        close_ok(),
        delivery(1, b"not any more"),
    ]
    .concat();
    let mut session = in_every_piece(prepare, &bytes, Session::broker);
    assert_eq!(
        session.to_client,
        [delivery(1, b"still"), close_ok()].concat()
    );
    assert_eq!(session.splice.phase(), Phase::Closed);
    assert_eq!(session.splice.broker_close(), None);
    session.forget();
    session.client(&close_ok());
    assert!(session.to_broker.is_empty());
}

#[test]
fn a_close_ok_nobody_asked_for_changes_nothing() {
    let mut session = Session::open();
    session.client(&[close_ok(), publish(1, b"")].concat());
    session.broker(&[close_ok(), delivery(1, b"")].concat());
    assert_eq!(session.to_broker, [close_ok(), publish(1, b"")].concat());
    assert_eq!(session.to_client, [close_ok(), delivery(1, b"")].concat());
    assert_eq!(session.splice.phase(), Phase::Open);
}

#[test]
fn the_brokers_close_goes_to_the_client_and_its_words_are_kept() {
    let frame = Close {
        reply_code: ReplyCode::PRECONDITION_FAILED,
        reply_text: ShortString::clipped("PRECONDITION_FAILED - unknown delivery tag 9"),
        class_id: 60,
        method_id: 80,
    }
    .to_frame();
    let session = in_every_piece(Session::open, &frame, Session::broker);
    assert_eq!(session.to_client, frame);
    let reason = session.splice.broker_close().unwrap();
    assert_eq!(reason.reply_code, ReplyCode::PRECONDITION_FAILED);
    assert_eq!(reason.text, "PRECONDITION_FAILED - unknown delivery tag 9");
    assert_eq!(
        (reason.class_method, reason.version_refused),
        ((60, 80), false)
    );
    assert_eq!(session.splice.phase(), Phase::Closing { by: Side::Broker });
}

#[test]
fn the_clients_close_ok_confirms_and_nothing_goes_on_behind_it() {
    let prepare = || {
        let mut session = Session::open();
        session.broker(&close(320, "CONNECTION_FORCED - shutdown"));
        session
    };
    let bytes = [publish(1, b"crossed"), close_ok(), publish(1, b"late")].concat();
    let session = in_every_piece(prepare, &bytes, Session::client);
    assert_eq!(
        session.to_broker,
        [publish(1, b"crossed"), close_ok()].concat()
    );
    assert_eq!(session.splice.phase(), Phase::Closed);
    assert!(!session.splice.client_close());
}

#[test]
fn closes_that_cross_are_both_confirmed() {
    let prepare = || {
        let mut session = Session::open();
        session.client(&close(200, "bye"));
        session.broker(&close(320, "CONNECTION_FORCED - shutdown"));
        assert_eq!(session.splice.phase(), Phase::Closing { by: Side::Client });
        session
    };
    let session = in_every_piece(prepare, &close_ok(), Session::client);
    assert_eq!(session.to_broker, [close(200, "bye"), close_ok()].concat());
    assert_eq!(session.splice.phase(), Phase::Closed);
}

#[test]
fn a_client_that_errs_behind_the_brokers_close_is_left_alone() {
    let mut session = Session::open();
    session.broker(&close(541, "INTERNAL_ERROR"));
    session.client(&[publish(1, b"crossed"), b"nonsense".to_vec()].concat());
    assert_eq!(
        (session.to_broker, session.violation),
        (publish(1, b"crossed"), None)
    );
}

#[test]
fn the_broker_may_close_in_the_middle_of_the_negotiation() {
    let text = "ACCESS_REFUSED - Login was refused";
    let answer = start_ok("PLAIN", "\0a\0b");
    for cut in 0..answer.len() {
        let mut session = Session::new(params());
        session.broker(&start("PLAIN"));
        session.client(&answer[..cut]);
        session.broker(&close(403, text));
        assert_eq!(session.splice.phase(), Phase::Closing { by: Side::Broker });
        session.client(&answer[cut..]);
        session.client(&close_ok());
        assert_eq!(
            session.to_broker,
            [answer.clone(), close_ok()].concat(),
            "cut at {cut}"
        );
        assert_eq!(session.splice.phase(), Phase::Closed);
        assert_eq!(session.splice.broker_close().unwrap().text, text);
    }
}

#[test]
fn the_client_may_close_in_the_middle_of_the_negotiation() {
    let prepare = || {
        let mut session = Session::new(params());
        session.broker(&start("PLAIN"));
        session.forget();
        session
    };
    let bytes = [close(200, "changed my mind"), start_ok("PLAIN", "")].concat();
    let mut session = in_every_piece(prepare, &bytes, Session::client);
    assert_eq!(session.to_broker, close(200, "changed my mind"));
    assert_eq!(session.splice.phase(), Phase::Closing { by: Side::Client });
    session.broker(&close_ok());
    assert_eq!(session.splice.phase(), Phase::Closed);
}

#[test]
fn a_close_that_cannot_be_read_is_a_close() {
    let mut session = Session::open();
    session.broker(&method(0, 10, 50, &[1]));
    let reason = session.splice.broker_close().unwrap();
    assert_eq!(reason.reply_code, ReplyCode::INTERNAL_ERROR);
    assert_eq!(session.to_client, method(0, 10, 50, &[1]));
}

#[test]
fn the_gateway_closes_towards_the_client_once_and_only_if_amqp_is_up() {
    let forced = ReplyCode::CONNECTION_FORCED;
    let mut session = Session::new(params());
    assert_eq!(
        session.splice.close_towards_client(forced, "early", (0, 0)),
        None
    );
    session.broker(&start("PLAIN"));
    let sent = session
        .splice
        .close_towards_client(forced, "CONNECTION_FORCED - bye", (0, 0));
    assert_eq!(sent, Some(close(320, "CONNECTION_FORCED - bye")));
    assert_eq!(
        session.splice.close_towards_client(forced, "again", (0, 0)),
        None
    );
    assert_eq!(session.splice.phase(), Phase::Closed);
    session.client(&start_ok("PLAIN", ""));
    assert!(
        session.to_broker.is_empty(),
        "a negotiation is not gone on with"
    );
    let mut session = Session::open();
    session.broker(&close(541, "INTERNAL_ERROR"));
    assert_eq!(
        session.splice.close_towards_client(forced, "late", (0, 0)),
        None
    );
}

#[test]
fn behind_the_gateways_close_the_client_is_heard_to_its_close_ok_and_the_broker_no_more() {
    let mut session = Session::open();
    session.broker(&delivery(1, b"before"));
    let long = "é".repeat(200);
    let code = ReplyCode::CONNECTION_FORCED;
    let sent = session
        .splice
        .close_towards_client(code, &long, (0, 0))
        .unwrap();
    let text = Close::decode(&sent[11..sent.len() - 1])
        .unwrap()
        .reply_text
        .to_text();
    assert!(text.ends_with("é..."), "{text}");
    let half = delivery(1, b"after");
    session.broker(&half[..20]);
    session.broker(&half[20..]);
    assert_eq!(session.to_client, delivery(1, b"before"));
    assert!(session.unconsumed.is_empty());
    session.client(&publish(1, b"on its way"));
    session.client(&[publish(2, b"on its way"), close_ok(), publish(1, b"late")].concat());
    let expected = [publish(1, b"on its way"), publish(2, b"on its way")].concat();
    assert_eq!(session.to_broker, expected);
}
