//! AMQP 0-9-1 section 4.2, frames in an open connection: what is good goes on as it came, and
//! nothing behind a fault does.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::relay::tally::MethodClass;
use crate::wire::amqp::frame::HEARTBEAT;

#[test]
fn publishes_and_heartbeats_pass_however_they_are_cut() {
    let bytes = [
        method(1, 20, 10, &[0]),
        publish(1, &[0xCE; 60]),
        HEARTBEAT.to_vec(),
        publish(CHANNEL_MAX, b""),
        method(1, 85, 10, &[0]),
    ]
    .concat();
    let session = in_every_piece(Session::open, &bytes, Session::client);
    assert_eq!(session.to_broker, bytes);
    let tally = session.tally;
    assert_eq!(
        (tally.frames_from_client, tally.publishes, tally.deliveries),
        (9, 2, 0)
    );
    let counted: Vec<_> = tally
        .methods_from_client
        .iter()
        .filter(|(_, count)| *count > 0)
        .collect();
    let expected = [
        (MethodClass::Channel, 1),
        (MethodClass::Basic, 2),
        (MethodClass::Confirm, 1),
    ];
    assert_eq!(counted, expected);
}

#[test]
fn deliveries_pass_in_whole_frames_however_they_are_cut() {
    let bytes = [
        delivery(1, &[0xCE; 60]),
        HEARTBEAT.to_vec(),
        method(2, 60, 71, &[0; 20]),
        method(0, 10, 60, b"\x06memory"),
        delivery(CHANNEL_MAX, b""),
    ]
    .concat();
    let session = in_every_piece(Session::open, &bytes, Session::broker);
    assert_eq!(session.to_client, bytes);
    let tally = session.tally;
    assert_eq!(
        (tally.frames_to_client, tally.publishes, tally.deliveries),
        (9, 0, 3)
    );
    assert_eq!(tally.methods_to_client.of(MethodClass::Connection), 1);
}

#[test]
fn an_open_connection_copies_nothing() {
    let mut session = Session::open();
    let bytes = publish(1, &[1; 100]);
    let taken = session.splice.from_client(&bytes[..50], &mut session.tally);
    assert!(matches!(taken.bytes, std::borrow::Cow::Borrowed(passed) if passed.len() == 50));
    let bytes = delivery(1, &[1; 100]);
    let taken = session.splice.to_client(&bytes, &mut session.tally);
    assert!(matches!(taken.forward, std::borrow::Cow::Borrowed(passed) if passed == bytes));
}

#[test]
fn a_header_waits_until_it_can_be_judged() {
    let mut session = Session::open();
    session.client(&[1, 0, 1, 0, 0, 0]);
    assert!(session.to_broker.is_empty());
    session.client(&[4, 0, 60, 0, 80, END_OCTET, 3]);
    assert_eq!(session.to_broker, method(1, 60, 80, &[]));
    session.client(&[0, 1, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(session.to_broker, method(1, 60, 80, &[]));
    let text = "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,4294967295,8184}";
    assert_eq!(session.violation.unwrap().text, text);
}

#[test]
fn each_wrong_field_is_refused_and_nothing_passes_behind_it() {
    let mut wrong_end = frame(3, 1, &[5; 10]);
    *wrong_end.last_mut().unwrap() = b'A';
    // (the frame, how much of it goes on, reply code, text)
    let rows = [
        (
            frame(0, 1, &[]),
            0,
            501,
            "FRAME_ERROR - type 0, 0 octets: unknown_frame",
        ),
        (
            frame(4, 0, &[1]),
            0,
            501,
            "FRAME_ERROR - type 4, 1 octets: unknown_frame",
        ),
        (
            frame(255, 0, &[]),
            0,
            501,
            "FRAME_ERROR - type 255, 0 octets: unknown_frame",
        ),
        (
            frame(3, 1, &[0; 8185]),
            0,
            501,
            "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,8185,8184}",
        ),
        (
            frame(1, 101, &[0, 20, 0, 10, 0]),
            0,
            504,
            "CHANNEL_ERROR - channel 101 is higher than the negotiated channel_max (100)",
        ),
        (
            frame(8, 1, &[]),
            0,
            501,
            "FRAME_ERROR - type 8 on channel 1",
        ),
        (
            wrong_end,
            17,
            501,
            "FRAME_ERROR - type 3, 10 octets: {invalid_frame_end_marker,65}",
        ),
    ];
    for (bad, passes, code, text) in rows {
        let good = publish(1, b"good");
        let bytes = [&good[..], &bad, &good].concat();
        let session = if bytes.len() < 1000 {
            in_every_piece(Session::open, &bytes, Session::client)
        } else {
            let mut session = Session::open();
            session.client(&bytes);
            session
        };
        assert_eq!(
            session.to_broker,
            [&good[..], &bad[..passes]].concat(),
            "{text}"
        );
        let violation = session.violation.unwrap();
        assert_eq!(
            (violation.reply_code.0, violation.text.as_str()),
            (code, text)
        );
    }
}

#[test]
fn the_largest_frame_and_the_highest_channel_pass() {
    let mut session = Session::open();
    let bytes = frame(3, CHANNEL_MAX, &[0; FRAME_MAX as usize - 8]);
    session.client(&bytes);
    assert_eq!((session.to_broker, session.violation), (bytes, None));
}

#[test]
fn a_broker_that_breaks_framing_has_failed_and_what_was_good_goes_on() {
    let mut wrong_end = frame(3, 1, &[5; 10]);
    *wrong_end.last_mut().unwrap() = 0;
    let rows = [
        (
            frame(9, 1, &[]),
            "the broker sent a frame of the unknown type 9",
        ),
        (
            frame(3, 1, &[0; 8185]),
            "the broker sent a frame of 8185 bytes where 8184 are the most",
        ),
        (wrong_end, "a frame of the broker ends with octet 0"),
    ];
    for (bad, text) in rows {
        let good = delivery(1, b"good");
        let mut session = Session::open();
        session.broker(&[&good[..], &bad, &good].concat());
        assert_eq!(session.to_client, good);
        assert_eq!(session.failure.unwrap().to_string(), text);
    }
}

#[test]
fn a_channel_of_the_broker_is_not_judged() {
    let mut session = Session::open();
    session.broker(&delivery(u16::MAX, b"x"));
    assert_eq!(session.to_client, delivery(u16::MAX, b"x"));
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (1..=CHANNEL_MAX, vec(any::<u8>(), 0..200))
            .prop_map(|(channel, body)| publish(channel, &body)),
        (1..=CHANNEL_MAX, vec(any::<u8>(), 0..200))
            .prop_map(|(channel, body)| delivery(channel, &body)),
        (
            1..=CHANNEL_MAX,
            20..100_u16,
            1..120_u16,
            vec(any::<u8>(), 0..40)
        )
            .prop_map(|(channel, class, number, arguments)| method(
                channel, class, number, &arguments
            )),
        vec(any::<u8>(), 0..3000).prop_map(|body| frame(3, 1, &body)),
        vec(any::<u8>(), 0..4).prop_map(|payload| frame(1, 1, &payload)),
        Just(HEARTBEAT.to_vec()),
    ]
}

/// Gives `bytes` in pieces whose sizes come round in turn.
fn in_pieces(session: &mut Session, bytes: &[u8], sizes: &[usize], give: fn(&mut Session, &[u8])) {
    let mut rest = bytes;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            return;
        }
        let (piece, behind) = rest.split_at((*size).min(rest.len()));
        give(session, piece);
        rest = behind;
    }
}

proptest! {
    #[test]
    fn any_frames_in_any_pieces_pass_unchanged_and_are_counted_alike(
        frames in vec(any_frame(), 0..12),
        sizes in vec(1..400_usize, 1..10),
    ) {
        let bytes = frames.concat();
        let mut whole = Session::open();
        whole.client(&bytes);
        whole.broker(&bytes);
        prop_assert_eq!(&whole.to_broker, &bytes);
        prop_assert_eq!(&whole.to_client, &bytes);
        let mut cut = Session::open();
        in_pieces(&mut cut, &bytes, &sizes, Session::client);
        in_pieces(&mut cut, &bytes, &sizes, Session::broker);
        prop_assert_eq!(cut.outcome(), whole.outcome());
        prop_assert_eq!(cut.tally.frames_from_client, cut.tally.frames_to_client);
        prop_assert_eq!(cut.tally.methods_from_client, cut.tally.methods_to_client);
    }

    #[test]
    fn no_bytes_make_a_splice_panic_or_let_anything_past_a_violation(
        script in vec((any::<bool>(), any::<bool>(), vec(any::<u8>(), 0..40), any_frame()), 0..12),
        start_open: bool,
        rewrite: bool,
    ) {
        let mut session = match (start_open, rewrite) {
            (true, _) => Session::open(),
            (false, false) => Session::new(params()),
            (false, true) => Session::new(rewriting()),
        };
        for (from_client, sensible, noise, sense) in script {
            let bytes = if sensible { &sense } else { &noise };
            let before = session.to_broker.len();
            let was_over = session.violation.is_some();
            if from_client {
                session.client(bytes);
            } else if session.failure.is_none() {
                session.broker(bytes);
            }
            prop_assert!(!was_over || session.to_broker.len() == before);
        }
    }

    #[test]
    fn one_changed_byte_never_makes_more_than_the_stream_pass(
        frames in vec(any_frame(), 1..6),
        place: prop::sample::Index,
        value: u8,
        sizes in vec(1..50_usize, 1..6),
    ) {
        let mut bytes = frames.concat();
        let place = place.index(bytes.len());
        bytes[place] = value;
        let mut whole = Session::open();
        whole.client(&bytes);
        if whole.splice.phase() == Phase::Open {
            prop_assert!(bytes.starts_with(&whole.to_broker));
        }
        let mut cut = Session::open();
        in_pieces(&mut cut, &bytes, &sizes, Session::client);
        prop_assert_eq!(cut.outcome(), whole.outcome());
    }
}
