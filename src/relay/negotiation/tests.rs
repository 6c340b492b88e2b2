//! The negotiation, a row of the specification at a time.

use super::*;
use crate::wire::amqp::frame::HEADER_SIZE;
use crate::wire::amqp::method::Close;
use crate::wire::amqp::method::OpenOk;
use crate::wire::amqp::method::Table;

const PROPERTIES: Table<'_> = Table(b"\x07productS\0\0\0\x04test");

fn params() -> Params {
    Params {
        login: None,
        vhost: None,
        frame_max: 131_072,
        channel_max: 2047,
    }
}

fn with_login() -> Params {
    let login = Login {
        user: "browser".to_owned(),
        password: "sécret".to_owned(),
    };
    Params {
        login: Some(login),
        ..params()
    }
}

/// The payload of a method frame.
fn payload<'a>(method: &impl Method<'a>) -> Vec<u8> {
    let frame = method.to_frame();
    frame[HEADER_SIZE..frame.len() - 1].to_vec()
}

fn client<'a>(
    negotiation: &mut Negotiation,
    method: &impl Method<'a>,
) -> Result<Answer, Violation> {
    let payload = payload(method);
    let size = payload.len() as u32;
    let header = FrameHeader {
        kind: FrameKind::METHOD,
        channel: 0,
        size,
    };
    negotiation.from_client(header, &payload)
}

fn broker<'a, M: Method<'a>>(negotiation: &mut Negotiation, method: &M) -> Option<Vec<u8>> {
    negotiation.from_broker(M::ID, &payload(method)[4..])
}

fn start() -> Start<'static> {
    Start {
        version_major: 0,
        version_minor: 9,
        server_properties: PROPERTIES,
        mechanisms: LongString(b"EXTERNAL PLAIN"),
        locales: LongString(b"en_US"),
    }
}

fn start_ok(mechanism: &str) -> StartOk<'_> {
    StartOk {
        client_properties: PROPERTIES,
        mechanism: ShortString::clipped(mechanism),
        response: LongString(b"\0guest\0guest"),
        locale: ShortString::clipped("en_US"),
    }
}

fn tune(frame_max: u32, channel_max: u16) -> Tune {
    Tune {
        channel_max,
        frame_max,
        heartbeat: 60,
    }
}

fn tune_ok(frame_max: u32, channel_max: u16) -> TuneOk {
    TuneOk {
        channel_max,
        frame_max,
        heartbeat: 0,
    }
}

fn open() -> Open<'static> {
    let reserved_1 = ShortString::clipped("reserved");
    Open {
        virtual_host: ShortString::clipped("/"),
        reserved_1,
        reserved_2: 1,
    }
}

/// A negotiation whose broker has offered these limits and awaits tune-ok.
fn tuning(frame_max: u32, channel_max: u16) -> Negotiation {
    let mut negotiation = Negotiation::new(params());
    broker(&mut negotiation, &start());
    client(&mut negotiation, &start_ok("PLAIN")).unwrap();
    broker(&mut negotiation, &tune(frame_max, channel_max));
    negotiation
}

fn refusal(answer: Result<Answer, Violation>) -> (u16, String, (u16, u16)) {
    let violation = answer.unwrap_err();
    (
        violation.reply_code.0,
        violation.text,
        violation.class_method,
    )
}

#[test]
fn without_a_login_start_and_start_ok_pass_whatever_the_mechanism() {
    let mut negotiation = Negotiation::new(params());
    assert_eq!(broker(&mut negotiation, &start()), None);
    assert_eq!(
        client(&mut negotiation, &start_ok("RABBIT-CR-DEMO")),
        Ok(Answer::Pass(None))
    );
}

#[test]
fn with_a_login_start_offers_what_the_gateway_understands() {
    let mut negotiation = Negotiation::new(with_login());
    let expected = Start {
        mechanisms: LongString(b"PLAIN AMQPLAIN"),
        ..start()
    };
    assert_eq!(
        broker(&mut negotiation, &start()),
        Some(expected.to_frame())
    );
}

#[test]
fn with_a_login_start_ok_carries_it_and_keeps_the_rest() {
    for mechanism in ["PLAIN", "AMQPLAIN"] {
        let mut negotiation = Negotiation::new(with_login());
        let response = LongString("\0browser\0sécret".as_bytes());
        let expected = StartOk {
            response,
            ..start_ok("PLAIN")
        };
        let answer = client(&mut negotiation, &start_ok(mechanism));
        assert_eq!(
            answer,
            Ok(Answer::Pass(Some(expected.to_frame()))),
            "{mechanism}"
        );
    }
}

#[test]
fn with_a_login_another_mechanism_is_refused_as_rabbitmq_does() {
    let mut negotiation = Negotiation::new(with_login());
    let text = "COMMAND_INVALID - unknown authentication mechanism 'EXTERNAL'".to_owned();
    assert_eq!(
        refusal(client(&mut negotiation, &start_ok("EXTERNAL"))),
        (503, text, (10, 11))
    );
}

#[test]
fn what_must_be_rewritten_must_be_readable() {
    let broken = |id: MethodId| [&id.encode()[..], &[1]].concat();
    let header = FrameHeader {
        kind: FrameKind::METHOD,
        channel: 0,
        size: 5,
    };
    let mut negotiation = Negotiation::new(Params {
        vhost: Some("live".to_owned()),
        ..with_login()
    });
    let row = refusal(negotiation.from_client(header, &broken(StartOk::ID)));
    let text = "SYNTAX_ERROR - the arguments of connection.start-ok cannot be decoded";
    assert_eq!(row, (502, text.to_owned(), (10, 11)));
    client(&mut negotiation, &start_ok("PLAIN")).unwrap();
    let row = refusal(negotiation.from_client(header, &broken(TuneOk::ID)));
    let text = "SYNTAX_ERROR - the arguments of connection.tune-ok cannot be decoded";
    assert_eq!(row, (502, text.to_owned(), (10, 31)));
    client(&mut negotiation, &tune_ok(131_072, 2047)).unwrap();
    let row = refusal(negotiation.from_client(header, &broken(Open::ID)));
    let text = "SYNTAX_ERROR - the arguments of connection.open cannot be decoded";
    assert_eq!(row, (502, text.to_owned(), (10, 40)));
    assert_eq!(
        negotiation.from_broker(Start::ID, &[1]),
        None,
        "the broker is not judged"
    );
    assert_eq!(negotiation.from_broker(Tune::ID, &[1]), None);
}

#[test]
fn secure_and_secure_ok_pass_as_often_as_they_come() {
    let mut negotiation = Negotiation::new(params());
    broker(&mut negotiation, &start());
    client(&mut negotiation, &start_ok("RABBIT-CR-DEMO")).unwrap();
    for _ in 0..3 {
        assert_eq!(negotiation.awaiting(), Side::Broker);
        assert_eq!(
            broker(
                &mut negotiation,
                &Secure {
                    challenge: LongString(b"who?")
                }
            ),
            None
        );
        assert_eq!(negotiation.awaiting(), Side::Client);
        let answer = client(
            &mut negotiation,
            &SecureOk {
                response: LongString(b"me"),
            },
        );
        assert_eq!(answer, Ok(Answer::Pass(None)));
    }
}

#[test]
fn tune_is_lowered_to_our_limits_and_never_says_zero() {
    // (the broker's, ours, what the client is offered), frame-max and channel-max each.
    let rows = [
        ((131_072, 2047), (131_072, 2047), (131_072, 2047)),
        ((131_072, 2047), (65_536, 10), (65_536, 10)),
        ((8192, 5), (131_072, 2047), (8192, 5)),
        ((0, 0), (131_072, 2047), (131_072, 2047)),
        ((131_072, 2047), (0, 0), (131_072, 2047)),
        ((0, 0), (0, 0), (u32::MAX, u16::MAX)),
    ];
    for (theirs, ours, offered) in rows {
        let mut negotiation = Negotiation::new(Params {
            frame_max: ours.0,
            channel_max: ours.1,
            ..params()
        });
        let found = broker(&mut negotiation, &tune(theirs.0, theirs.1));
        assert_eq!(
            found,
            Some(tune(offered.0, offered.1).to_frame()),
            "{theirs:?} {ours:?}"
        );
    }
}

#[test]
fn tune_ok_within_the_offer_sets_the_limits() {
    for (frame_max, channel_max) in [(131_072, 2047), (4096, 1), (8192, 100)] {
        let answer = client(&mut tuning(131_072, 2047), &tune_ok(frame_max, channel_max));
        assert_eq!(
            answer,
            Ok(Answer::Tuned(Limits {
                frame_max,
                channel_max
            }))
        );
    }
    let small = client(&mut tuning(2048, 2047), &tune_ok(2048, 1));
    assert!(
        small.is_ok(),
        "a broker may offer less than the specification's minimum"
    );
}

#[test]
fn tune_ok_beyond_the_offer_is_refused_in_rabbitmqs_words() {
    let rows = [
        (
            (131_073, 2047),
            "NOT_ALLOWED - negotiated frame_max = 131073 is higher than the maximum allowed value (131072)",
        ),
        (
            (0, 2047),
            "NOT_ALLOWED - negotiated frame_max = 0 is higher than the maximum allowed value (131072)",
        ),
        (
            (4095, 2047),
            "NOT_ALLOWED - negotiated frame_max = 4095 is lower than the minimum allowed value (4096)",
        ),
        (
            (4096, 2048),
            "NOT_ALLOWED - negotiated channel_max = 2048 is higher than the maximum allowed value (2047)",
        ),
        (
            (4096, 0),
            "NOT_ALLOWED - negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (2047)",
        ),
    ];
    for ((frame_max, channel_max), text) in rows {
        let row = refusal(client(
            &mut tuning(131_072, 0),
            &tune_ok(frame_max, channel_max),
        ));
        assert_eq!(row, (530, text.to_owned(), (10, 30)));
    }
}

#[test]
fn open_carries_the_vhost_of_the_service_if_it_has_one() {
    for (vhost, expected) in [
        (None, None),
        (Some("live"), Some("live")),
        (Some(""), Some("")),
    ] {
        let mut negotiation = tuning(131_072, 2047);
        negotiation.params.vhost = vhost.map(str::to_owned);
        client(&mut negotiation, &tune_ok(131_072, 2047)).unwrap();
        let instead = expected.map(|vhost| {
            let virtual_host = ShortString::clipped(vhost);
            Open {
                virtual_host,
                ..open()
            }
            .to_frame()
        });
        assert_eq!(
            client(&mut negotiation, &open()),
            Ok(Answer::Opened(instead))
        );
    }
}

#[test]
fn a_client_that_answers_before_it_is_asked_is_held_to_our_limits() {
    let mut negotiation = Negotiation::new(params());
    assert_eq!(
        client(&mut negotiation, &start_ok("PLAIN")),
        Ok(Answer::Pass(None))
    );
    let limits = Limits {
        frame_max: 131_072,
        channel_max: 2047,
    };
    assert_eq!(
        client(&mut negotiation, &tune_ok(131_072, 2047)),
        Ok(Answer::Tuned(limits))
    );
    assert_eq!(client(&mut negotiation, &open()), Ok(Answer::Opened(None)));
    assert_eq!(negotiation.awaiting(), Side::Broker);
    broker(&mut negotiation, &start());
    broker(&mut negotiation, &tune(131_072, 2047));
    assert_eq!(negotiation.awaiting(), Side::Broker);
}

#[test]
fn whose_turn_it_is_follows_both_sides() {
    let mut negotiation = Negotiation::new(params());
    assert_eq!(negotiation.awaiting(), Side::Broker);
    broker(&mut negotiation, &start());
    assert_eq!(negotiation.awaiting(), Side::Client);
    client(&mut negotiation, &start_ok("PLAIN")).unwrap();
    assert_eq!(negotiation.awaiting(), Side::Broker);
    broker(&mut negotiation, &tune(131_072, 2047));
    assert_eq!(negotiation.awaiting(), Side::Client);
    client(&mut negotiation, &tune_ok(131_072, 2047)).unwrap();
    assert_eq!(
        negotiation.awaiting(),
        Side::Client,
        "open is due without being asked for"
    );
    client(&mut negotiation, &open()).unwrap();
    assert_eq!(negotiation.awaiting(), Side::Broker);
    assert_eq!(
        broker(
            &mut negotiation,
            &OpenOk {
                reserved_1: ShortString::default()
            }
        ),
        None
    );
}

#[test]
fn a_method_out_of_turn_is_refused_with_the_state_named() {
    let text = |state| format!("CHANNEL_ERROR - unexpected method in connection state {state}");
    let mut negotiation = Negotiation::new(params());
    let row = refusal(client(&mut negotiation, &tune_ok(131_072, 2047)));
    assert_eq!(row, (504, text("starting"), (10, 31)));
    client(&mut negotiation, &start_ok("PLAIN")).unwrap();
    let row = refusal(client(&mut negotiation, &open()));
    assert_eq!(row, (504, text("securing"), (10, 40)));
    broker(&mut negotiation, &tune(131_072, 2047));
    let row = refusal(client(&mut negotiation, &start_ok("PLAIN")));
    assert_eq!(row, (504, text("tuning"), (10, 11)));
    client(&mut negotiation, &tune_ok(131_072, 2047)).unwrap();
    let row = refusal(client(&mut negotiation, &tune_ok(131_072, 2047)));
    assert_eq!(row, (504, text("opening"), (10, 31)));
    let close = Close {
        reply_code: ReplyCode::REPLY_SUCCESS,
        reply_text: ShortString::default(),
        class_id: 0,
        method_id: 0,
    };
    assert!(
        client(&mut negotiation, &close).is_err(),
        "close is not this value's business"
    );
}

#[test]
fn only_methods_and_heartbeats_on_channel_0_negotiate() {
    let header = |kind, channel, size| FrameHeader {
        kind,
        channel,
        size,
    };
    let mut negotiation = Negotiation::new(params());
    let heartbeat = negotiation.from_client(header(FrameKind::HEARTBEAT, 0, 0), &[]);
    assert_eq!(heartbeat, Ok(Answer::Pass(None)));
    let rows = [
        (
            negotiation.from_client(header(FrameKind::METHOD, 1, 5), &[0, 20, 0, 10, 0]),
            504,
            "CHANNEL_ERROR - channel 1 before connection.open",
        ),
        (
            negotiation.from_client(header(FrameKind::BODY, 0, 3), &[1, 2, 3]),
            505,
            "UNEXPECTED_FRAME - type 3 on channel 0, 3 octets",
        ),
        (
            negotiation.from_client(header(FrameKind::METHOD, 0, 3), &[0, 10, 0]),
            501,
            "FRAME_ERROR - type 1, 3 octets: unknown_frame",
        ),
    ];
    for (answer, code, text) in rows {
        assert_eq!(refusal(answer), (code, text.to_owned(), (0, 0)));
    }
}
