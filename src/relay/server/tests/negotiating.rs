//! From connection.start to open-ok, and the close of the connection.

use super::*;
use crate::wire::amqp::frame::HEARTBEAT;
use crate::wire::amqp::method::CLOSE_OK;

#[test]
fn start_has_the_brokers_words_and_the_gateways_mechanisms() {
    let mut bench = Bench::greeted();
    let (_, to_client) = bench.take();
    let start = &split(&to_client)[0];
    let facts = facts();
    let expected = [
        &[0, 10, 0, 10, 0, 9][..],
        &long(&facts.server_properties),
        &long(b"PLAIN AMQPLAIN EXTERNAL"),
        &long(b"en_US"),
    ]
    .concat();
    assert_eq!(start, &frame(1, 0, &expected));
    let awaiting = Side::Client;
    assert_eq!(bench.server.phase(), Phase::Negotiating { awaiting });
}

#[test]
fn each_mechanism_gives_its_login_and_no_one_prints_the_password() {
    let table = [text_field("LOGIN", "me"), text_field("PASSWORD", "secret")].concat();
    let rows: [(&str, &[u8], Mechanism, &str); 3] = [
        ("PLAIN", b"\0me\0secret", Mechanism::Plain, "secret"),
        ("AMQPLAIN", &table, Mechanism::AmqPlain, "secret"),
        ("EXTERNAL", b"me", Mechanism::External, ""),
    ];
    for (name, response, mechanism, password) in rows {
        let mut bench = Bench::greeted();
        let Pause::Login(login) = bench.send(&start_ok(name, response, &[])) else {
            panic!("{name}: no login");
        };
        assert_eq!((login.mechanism, &*login.user), (mechanism, "me"));
        assert_eq!(&*login.password, password);
        assert!(!format!("{login:?}").contains("secret"));
        let awaiting = Side::Broker;
        assert_eq!(bench.server.phase(), Phase::Negotiating { awaiting });
    }
}

#[test]
fn what_is_no_login_is_refused() {
    let rows: [(&str, &[u8], u16); 5] = [
        ("plain", b"\0me\0secret", 503),
        ("PLAIN", b"me", 502),
        ("PLAIN", b"\0me\0secret\0", 502),
        ("AMQPLAIN", b"\x05LOGINS\0\0\0\0", 502),
        ("AMQPLAIN", b"\xff", 502),
    ];
    for (name, response, code) in rows {
        let mut bench = Bench::greeted();
        let frame = start_ok(name, response, &[]);
        let (found, _, class_method) = bench.costs_connection(&frame, Rule::Negotiation);
        assert_eq!((found, class_method), (code, (10, 11)), "{name}");
    }
}

#[test]
fn answers_may_come_in_one_go() {
    let mut bench = Bench::greeted();
    let all = [
        start_ok("PLAIN", b"\0me\0secret", &[]),
        tune_ok(50, FRAME_MAX, 7),
        HEARTBEAT.to_vec(),
        open("other"),
        method(1, 20, 10, b"\0"),
    ];
    assert!(matches!(bench.send(&all.concat()), Pause::Login(_)));
    bench.server.login_decided(Ok(()), &mut bench.out);
    assert_eq!(bench.send(&[]), Pause::Seat);
    assert_eq!(bench.server.client_heartbeat(), 7);
    bench.server.seated(&mut bench.out);
    assert_eq!(bench.send(&[]), Pause::No);
    let (to_broker, to_client) = bench.take();
    assert_eq!(split(&to_broker), [method(100, 20, 10, b"\0")]);
    let methods: Vec<Vec<u8>> = split(&to_client)
        .iter()
        .map(|frame| frame[7..11].to_vec())
        .collect();
    assert_eq!(methods, [[0, 10, 0, 10], [0, 10, 0, 30], [0, 10, 0, 41]]);
    let tune = frame(1, 0, &[0, 10, 0, 30, 0, 50, 0, 0, 32, 0, 0, 60]);
    assert_eq!(split(&to_client)[1], tune);
    assert_eq!(bench.server.phase(), Phase::Open);
}

#[test]
fn limits_are_held_to_what_was_offered() {
    for (channel_max, frame_max) in [
        (0, FRAME_MAX),
        (51, FRAME_MAX),
        (50, FRAME_MAX + 1),
        (50, 0),
    ] {
        let mut bench = Bench::greeted();
        assert!(matches!(
            bench.send(&start_ok("PLAIN", b"\0me\0secret", &[])),
            Pause::Login(_)
        ));
        bench.server.login_decided(Ok(()), &mut bench.out);
        let frame = tune_ok(channel_max, frame_max, 0);
        let (code, _, class_method) = bench.costs_connection(&frame, Rule::Negotiation);
        assert_eq!((code, class_method), (530, (10, 30)));
    }
}

#[test]
fn a_denied_login_is_told_to_who_understands_it() {
    for (capabilities, told) in [(&["authentication_failure_close"][..], true), (&[], false)] {
        let mut bench = Bench::greeted();
        let start_ok = start_ok("PLAIN", b"\0me\0wrong", capabilities);
        assert!(matches!(bench.send(&start_ok), Pause::Login(_)));
        bench.server.login_decided(Err(Denied), &mut bench.out);
        let violation = bench.out.violation.take().expect("a violation");
        assert_eq!(
            violation.text,
            "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile."
        );
        let Violation {
            reply_code,
            text,
            class_method,
        } = violation;
        let close = bench
            .server
            .close_towards_client(reply_code, &text, class_method);
        assert_eq!(close.is_some(), told);
    }
}

#[test]
fn methods_out_of_order_cost_the_connection() {
    let mut bench = Bench::greeted();
    let (code, text, _) = bench.costs_connection(&open("/"), Rule::Negotiation);
    let expected = "CHANNEL_ERROR - unexpected method in connection state starting";
    assert_eq!((code, text.as_str()), (504, expected));
    let mut bench = Bench::greeted();
    let (code, _, _) = bench.costs_connection(&method(1, 20, 10, b"\0"), Rule::Negotiation);
    assert_eq!(code, 504);
}

#[test]
fn a_client_that_closes_is_told_when_its_place_is_given_up() {
    for mut bench in [Bench::greeted(), Bench::open()] {
        bench.take();
        let close = method(0, 10, 50, &[0, 200, 0, 0, 0, 0, 0]);
        let behind = method(1, 90, 10, b"");
        assert_eq!(bench.send(&[close, behind].concat()), Pause::Leave);
        let side = Side::Client;
        assert_eq!(bench.server.phase(), Phase::Closing { by: side });
        assert_eq!(bench.send(b"whatever"), Pause::No);
        assert!(bench
            .server
            .close_towards_client(ReplyCode(320), "", (0, 0))
            .is_none());
        bench.broker(&method(1, 20, 11, &[0; 4]));
        bench.server.left(&mut bench.out);
        let (to_broker, to_client) = bench.take();
        assert!(to_broker.is_empty());
        assert_eq!(split(&to_client), [CLOSE_OK.to_vec()]);
        assert_eq!(bench.server.phase(), Phase::Closed);
    }
}

#[test]
fn a_closed_client_is_heard_until_its_answer() {
    for (answer, expected) in [
        (CLOSE_OK.to_vec(), vec![]),
        (
            method(0, 10, 50, &[0, 200, 0, 0, 0, 0, 0]),
            vec![CLOSE_OK.to_vec()],
        ),
    ] {
        let mut bench = Bench::channel();
        let close = bench
            .server
            .close_towards_client(ReplyCode(320), "going", (0, 0));
        assert_eq!(close, Some(method(0, 10, 50, b"\x01\x40\x05going\0\0\0\0")));
        assert!(bench
            .server
            .close_towards_client(ReplyCode(320), "", (0, 0))
            .is_none());
        assert_eq!(bench.send(&publish(1, b"late")), Pause::No);
        bench.broker(&delivery(1, "c", 1, b"late"));
        assert_eq!(bench.send(&answer), Pause::Over);
        let (to_broker, to_client) = bench.take();
        assert_eq!((to_broker, split(&to_client)), (vec![], expected));
        assert_eq!(bench.server.phase(), Phase::Closed);
        assert_eq!(bench.send(b"x"), Pause::Over);
    }
}

#[test]
fn a_block_is_told_to_who_asked() {
    for (capabilities, told) in [(&["connection.blocked"][..], true), (&[], false)] {
        let mut bench = Bench::open_with(capabilities);
        bench.server.blocked("low on memory", &mut bench.out);
        bench.server.unblocked(&mut bench.out);
        let (_, to_client) = bench.take();
        let blocked = method(0, 10, 60, b"\x0dlow on memory");
        let expected = [blocked, method(0, 10, 61, b"")];
        assert_eq!(split(&to_client), expected[..if told { 2 } else { 0 }]);
    }
}

#[test]
fn heartbeats_and_new_secrets_are_the_gateways() {
    let mut bench = Bench::open();
    let secret = method(0, 10, 70, &[&long(b"s")[..], &short("why")].concat());
    let sent = [&HEARTBEAT[..], &secret, &HEARTBEAT].concat();
    assert_eq!(bench.send(&sent), Pause::No);
    bench.server.send_heartbeat(&mut bench.out);
    let (to_broker, to_client) = bench.take();
    assert!(to_broker.is_empty());
    assert_eq!(
        split(&to_client),
        [method(0, 10, 71, b""), HEARTBEAT.to_vec()]
    );
}
