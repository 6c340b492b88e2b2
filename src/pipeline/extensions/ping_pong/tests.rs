//! Emulated frames byte by byte, escapes both ways, and what a client must not send.

mod model;

use std::time::Duration;

use super::*;
use crate::batch::Draft;
use crate::pipeline::extensions::harness::assert_bare_offers_only;
use crate::pipeline::extensions::harness::batches;
use crate::pipeline::extensions::harness::binary;
use crate::pipeline::extensions::harness::decide;
use crate::pipeline::extensions::harness::pairs;
use crate::pipeline::extensions::harness::places;
use crate::pipeline::extensions::harness::text;
use crate::pipeline::extensions::harness::Driver;
use crate::pipeline::extensions::harness::Message;
use crate::pipeline::extensions::harness::WAYS;
use crate::pipeline::extensions::vectors;

const ESCAPE_FRAME: &str = "\x01\x01\x01\x02";
const PING_FRAME: &str = "\x01\x01\x01\x02\x09\x00";
const PONG_FRAME: &str = "\x01\x01\x01\x02\x0a\x00";

fn session() -> Driver {
    Driver::agreed(&PingPong)
}

fn from_client(kind: &'static str) -> (Direction, &'static str) {
    (Direction::FromClient, kind)
}

fn to_client(kind: &'static str) -> (Direction, &'static str) {
    (Direction::ToClient, kind)
}

/// What one message of the client does to a new session, uncut.
fn after(way: Direction, messages: &[Message]) -> Driver {
    let mut session = session();
    session.give_all(way, batches(messages, &[], false));
    session
}

/// Gives the client's messages in every cut, and asserts the failure and that what came before it passed.
fn assert_fails(messages: &[Message], reason: &str, passed: &[Message]) {
    for cuts in pairs(messages) {
        for apart in [true, false] {
            let mut session = session();
            session.give_all(Direction::FromClient, batches(messages, &cuts, apart));
            let failure = session.failure.expect("a failure");
            assert_eq!(failure.reason, reason, "{messages:?} {cuts:?}");
            assert_eq!(failure.close_code, CloseCode(1002));
            assert_eq!(session.from_client.messages, passed);
            assert_eq!(session.from_client.open, None);
        }
    }
}

#[test]
fn it_is_agreed_with_the_control_bytes() {
    let Decision::Agreed { params, .. } = decide(&PingPong, &[], Duration::ZERO) else {
        panic!("not agreed");
    };
    assert_eq!(params, [("01010102".to_owned(), None)]);
    assert_bare_offers_only(&PingPong);
    assert_eq!(PingPong.name(), "x-kaazing-ping-pong");
}

#[test]
fn signs_of_life_become_text_messages() {
    let mut session = session();
    session.sign(SignOfLife::Ping);
    session.sign(SignOfLife::Pong);
    assert_eq!(
        session.to_client.messages,
        [text(PING_FRAME), text(PONG_FRAME)]
    );
    assert_eq!(session.controls, [to_client("ping"), to_client("pong")]);
}

#[test]
fn a_ping_is_answered_with_a_pong_at_once() {
    let session = after(Direction::FromClient, &[text(PING_FRAME)]);
    assert_eq!(session.to_client.messages, [text(PONG_FRAME)]);
    assert!(session.from_client.messages.is_empty());
    assert_eq!(session.controls, [from_client("ping"), to_client("pong")]);
}

#[test]
fn the_pings_of_one_batch_get_one_answer() {
    let pings = vec![text(PING_FRAME); 100];
    let session = after(Direction::FromClient, &pings);
    assert_eq!(session.to_client.messages, [text(PONG_FRAME)]);
}

#[test]
fn a_pong_is_kept_from_the_page_and_gives_the_round_trip() {
    let mut session = session();
    session.sign(SignOfLife::Ping);
    session.now += Duration::from_millis(70);
    session.sign(SignOfLife::Ping);
    session.now += Duration::from_millis(5);
    let pong = [text(PONG_FRAME)];
    session.give_all(Direction::FromClient, batches(&pong, &[], false));
    assert_eq!(session.round_trips, [Duration::from_millis(75)]);
    assert_eq!(
        session.controls,
        [to_client("ping"), to_client("ping"), from_client("pong")]
    );
    // Nothing was asked since: this one says no more than that the client is there.
    session.now += Duration::from_millis(5);
    session.give_all(Direction::FromClient, batches(&pong, &[], false));
    assert_eq!(session.round_trips.len(), 1);
    assert!(session.from_client.messages.is_empty());
}

#[test]
fn text_for_the_client_that_begins_with_the_control_bytes_is_escaped_wherever_it_is_cut() {
    let sent = [
        text("ab"),
        text("\x01\x01\x01\x02hey"),
        text("\x01\x01\x01"),
        text(""),
        binary("\x01\x01\x01\x02\x09\x00"),
        text(ESCAPE_FRAME),
        text("\x01\x01\x01\x03"),
        text(PING_FRAME),
    ];
    let expected = [
        text("ab"),
        text(ESCAPE_FRAME),
        text("\x01\x01\x01\x02hey"),
        text("\x01\x01\x01"),
        text(""),
        binary("\x01\x01\x01\x02\x09\x00"),
        text(ESCAPE_FRAME),
        text(ESCAPE_FRAME),
        text("\x01\x01\x01\x03"),
        text(ESCAPE_FRAME),
        text(PING_FRAME),
    ];
    for cuts in pairs(&sent) {
        for apart in [true, false] {
            let mut session = session();
            session.give_all(Direction::ToClient, batches(&sent, &cuts, apart));
            assert_eq!(session.to_client.messages, expected, "{cuts:?}");
            assert_eq!(session.controls, [to_client("escape"); 3]);
        }
    }
}

#[test]
fn control_frames_from_the_client_are_taken_out_and_escaped_data_is_not_wherever_they_are_cut() {
    let sent = [
        text("ab"),
        text(PONG_FRAME),
        text("\x01\x01\x01"),
        text(ESCAPE_FRAME),
        text(PING_FRAME),
        binary(PING_FRAME),
        text(PING_FRAME),
        text(ESCAPE_FRAME),
        binary("x"),
        text(PONG_FRAME),
        text(ESCAPE_FRAME),
        text(ESCAPE_FRAME),
        text("\x01\x01\x02"),
        text(""),
    ];
    let expected = [
        text("ab"),
        text("\x01\x01\x01"),
        text(PING_FRAME),
        binary(PING_FRAME),
        binary("x"),
        text(ESCAPE_FRAME),
        text("\x01\x01\x02"),
        text(""),
    ];
    for cuts in pairs(&sent) {
        for apart in [true, false] {
            let mut session = session();
            session.give_all(Direction::FromClient, batches(&sent, &cuts, apart));
            assert_eq!(session.failure, None, "{cuts:?}");
            assert_eq!(session.from_client.messages, expected, "{cuts:?}");
            assert_eq!(session.to_client.messages, [text(PONG_FRAME)]);
        }
    }
}

#[test]
fn any_other_control_frame_fails() {
    for payload in [
        "\x09",
        "\x0a",
        "\x09\x01",
        "\x0a\x0a",
        "\x09\x00\x00",
        "x",
        "ab",
        "long",
    ] {
        let sent = [text("ok"), text(ESCAPE_FRAME.to_owned() + payload)];
        assert_fails(&sent, "unknown_control", &[text("ok")]);
    }
}

#[test]
fn a_control_frame_fails_as_soon_as_it_is_too_long() {
    let frame = [text("\x01\x01\x01\x02\x09\x00\x00and so on")];
    let mut session = session();
    for (index, batch) in batches(&frame, &places(&frame), true)
        .into_iter()
        .enumerate()
    {
        if session.failure.is_some() {
            // Piece 0 is empty, so piece 7 is the seventh byte.
            assert_eq!(index, 8);
            break;
        }
        session.give(Direction::FromClient, batch);
    }
}

#[test]
fn an_escape_in_front_of_text_that_needs_none_fails() {
    for payload in [
        "",
        "a",
        "\x01",
        "\x01\x01\x01",
        "\x01\x01\x01\x03",
        "\x01\x01a\x02\x09\x00",
    ] {
        let sent = [binary("ok"), text(ESCAPE_FRAME), text(payload)];
        assert_fails(&sent, "needless_escape", &[binary("ok")]);
    }
}

#[test]
fn what_it_claims_grows_only_while_it_must_see_what_follows() {
    let prefix = Data::TextWithPrefix([1, 1, 1, 2]);
    let mut session = session();
    let assert_claims = |session: &Driver, data: Data| {
        let signs_of_life = true;
        assert_eq!(
            session.claims(),
            Claims {
                data,
                signs_of_life
            }
        );
    };
    assert_claims(&session, prefix);

    // An escape, until the next message shows what it is.
    let escaped = [text(ESCAPE_FRAME), text("\x01\x01\x01\x02long")];
    let cuts = [(0, 2), (0, 4), (1, 0), (1, 1), (1, 5)];
    let mut claims = Vec::new();
    for batch in batches(&escaped, &cuts, true) {
        session.give(Direction::FromClient, batch);
        claims.push(session.claims().data == Data::Everything);
    }
    assert_eq!(claims, [true, true, true, true, false, false]);
    session.give_all(
        Direction::FromClient,
        batches(&[text(ESCAPE_FRAME)], &[], true),
    );
    assert_claims(&session, Data::Everything);
    let mut binary = batches(&[binary("ab")], &[(0, 0)], true).into_iter();
    session.give(Direction::FromClient, binary.next().expect("its beginning"));
    assert_claims(&session, prefix);

    // A beginning for the client that is too short to tell.
    let mut short = batches(&[text("\x01\x01x")], &[(0, 2)], true).into_iter();
    session.give(Direction::ToClient, short.next().expect("its beginning"));
    assert_claims(&session, Data::Everything);
    session.give(Direction::ToClient, short.next().expect("its end"));
    assert_claims(&session, prefix);
}

#[test]
fn what_comes_in_the_wake_of_a_claim_passes_even_without_its_beginning() {
    for way in WAYS {
        let mut wake = batches(&[text("abcdef")], &[(0, 2)], true);
        let behind = wake.pop().expect("two batches");
        let front = wake.pop().expect("two batches");
        let mut session = session();
        // The front went past the link: the driver knows of it, the link does not.
        let joined = match way {
            Direction::FromClient => &mut session.from_client,
            Direction::ToClient => &mut session.to_client,
        };
        joined.open = Some((front.pieces[0], front.bytes().to_vec()));
        session.give(way, behind);
        let joined = match way {
            Direction::FromClient => &session.from_client,
            Direction::ToClient => &session.to_client,
        };
        assert_eq!(joined.messages, [text("abcdef")]);
    }
}

#[test]
fn bytes_that_an_extension_marked_are_no_text() {
    for way in WAYS {
        let mut draft = Draft::with_room(0);
        let marked = Piece {
            rsv1: true,
            ..Piece::whole(Opcode::Text)
        };
        draft.push(marked, &[ESCAPE_FRAME.as_bytes(), b"xyz"]);
        let mut session = session();
        let passed = session.give(way, draft.finish());
        assert_eq!(passed.len(), 1);
        assert_eq!(passed[0].pieces.len(), 1);
        assert!(passed[0].pieces[0].rsv1);
    }
}

#[test]
fn what_needs_no_change_is_not_copied() {
    let data = [text("abc"), binary(ESCAPE_FRAME)];
    for way in WAYS {
        let batch = batches(&data, &[], false).pop().expect("one");
        let place = batch.bytes().as_ptr();
        let passed = session().give(way, batch);
        assert_eq!(passed[0].bytes().as_ptr(), place);
    }
    // Nor is what stands in front of a control frame.
    let data = [
        text("abc"),
        binary("de"),
        text(PONG_FRAME),
        text(ESCAPE_FRAME),
    ];
    let batch = batches(&data, &[], false).pop().expect("one");
    let place = batch.bytes().as_ptr();
    let mut session = session();
    let passed = session.give(Direction::FromClient, batch);
    assert_eq!(passed[0].bytes().as_ptr(), place);
    assert_eq!(session.from_client.messages, data[..2]);
}

#[test]
fn a_sign_of_life_waits_for_the_end_of_an_open_message() {
    let mut session = session();
    let mut long = batches(&[text("abcdef")], &[(0, 4)], true).into_iter();
    session.give(Direction::ToClient, long.next().expect("its beginning"));
    session.sign(SignOfLife::Ping);
    session.give(Direction::ToClient, long.next().expect("its end"));
    assert_eq!(
        session.to_client.messages,
        [text("abcdef"), text(PING_FRAME)]
    );
}

#[test]
fn it_holds_six_bytes_at_most_and_none_on_the_heap() {
    assert!(size_of::<Emulation>() <= 96, "{}", size_of::<Emulation>());
    for payload in [
        "abcdefghijkl",
        "\x01\x01\x01cdefghijkl",
        "\x01\x01\x01\x02efghijkl",
    ] {
        for way in WAYS {
            let mut session = session();
            let escape = [text(ESCAPE_FRAME)];
            let is_escaped = payload.starts_with(ESCAPE_FRAME) && way == Direction::FromClient;
            if is_escaped {
                session.give_all(way, batches(&escape, &[], true));
            }
            let added = if payload.starts_with(ESCAPE_FRAME) && way == Direction::ToClient {
                4
            } else {
                0
            };
            let message = [text(payload)];
            let mut given = 0;
            for batch in batches(&message, &places(&message), true) {
                given += batch.len();
                session.give(way, batch);
                let joined = match way {
                    Direction::FromClient => &session.from_client,
                    Direction::ToClient => &session.to_client,
                };
                let held = given.saturating_sub(joined.bytes());
                assert!(held < 4, "{held} bytes of data held");
                assert!(given < 4 || joined.bytes() == given + added);
            }
        }
    }
}

#[test]
fn endless_empty_pieces_change_nothing() {
    let beginning = [text("\x01\x01")];
    let cuts = vec![(0, 1); 1000];
    for way in WAYS {
        let mut session = session();
        session.give_all(way, batches(&beginning, &cuts, true));
        let joined = match way {
            Direction::FromClient => &session.from_client,
            Direction::ToClient => &session.to_client,
        };
        assert_eq!(joined.messages, beginning);
    }
}

#[test]
fn it_agrees_with_the_browser_library() {
    vectors::assert_all(
        include_str!("../../../../tests/vectors/ping-pong.json"),
        1002,
        |_| session(),
    );
}
