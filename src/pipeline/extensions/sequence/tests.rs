//! Numbers and checks, wherever reads and fragments cut; damage of every kind.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::pipeline::extensions::harness::assert_bare_offers_only;
use crate::pipeline::extensions::harness::batches;
use crate::pipeline::extensions::harness::binary;
use crate::pipeline::extensions::harness::decide;
use crate::pipeline::extensions::harness::pairs;
use crate::pipeline::extensions::harness::places;
use crate::pipeline::extensions::harness::text;
use crate::pipeline::extensions::harness::Cut;
use crate::pipeline::extensions::harness::Driver;
use crate::pipeline::extensions::harness::Message;
use crate::pipeline::extensions::vectors;
use crate::pipeline::metrics::Direction;
use crate::wire::websocket::Opcode;

fn plain() -> Vec<Message> {
    vec![text("ab"), binary(""), text(""), binary([0, 0xff, 7])]
}

fn numbered() -> Vec<Message> {
    vec![
        text("00000000ab"),
        binary("00000001"),
        text("00000002"),
        binary(b"00000003\x00\xff\x07"),
    ]
}

/// A session whose next numbers are these.
fn between(next: u32, due: u32) -> Driver {
    let check = Check { due, reading: None };
    Driver::new(Box::new(Numbers { next, check }))
}

fn at(number: u32) -> Driver {
    between(number, number)
}

/// Gives the client's messages in every cut and asserts the failure and what passed before it.
fn assert_fails(mut session: impl FnMut() -> Driver, sent: &[Message], passed: usize, text: &str) {
    for cuts in pairs(sent) {
        for apart in [true, false] {
            let mut session = session();
            session.give_all(Direction::FromClient, batches(sent, &cuts, apart));
            let failure = session.failure.expect("a failure");
            assert_eq!(failure.text, text, "{cuts:?}");
            assert!(failure.text.ends_with(&format!("({})", failure.reason)));
            assert_eq!(failure.close_code, CloseCode(4108));
            assert_eq!(session.from_client.messages.len(), passed, "{cuts:?}");
            assert_eq!(session.from_client.open, None);
        }
    }
}

#[test]
fn it_is_agreed_bare_and_has_no_parameters() {
    let decision = decide(&Sequence, &[], Duration::ZERO);
    assert!(matches!(decision, Decision::Agreed { params, .. } if params.is_empty()));
    assert_bare_offers_only(&Sequence);
    assert_eq!(Sequence.name(), "smeuse-sequence");
    assert_eq!(
        Driver::agreed(&Sequence).claims(),
        Claims {
            data: crate::pipeline::link::Data::Everything,
            signs_of_life: false
        }
    );
}

#[test]
fn each_message_to_the_client_gets_its_number_however_it_is_cut() {
    for cuts in pairs(&plain()) {
        for apart in [true, false] {
            let mut session = Driver::agreed(&Sequence);
            session.give_all(Direction::ToClient, batches(&plain(), &cuts, apart));
            assert_eq!(session.to_client.messages, numbered(), "{cuts:?}");
        }
    }
}

#[test]
fn each_message_from_the_client_loses_its_number_however_it_is_cut() {
    for cuts in pairs(&numbered()) {
        for apart in [true, false] {
            let mut session = Driver::agreed(&Sequence);
            session.give_all(Direction::FromClient, batches(&numbered(), &cuts, apart));
            assert_eq!(session.failure, None, "{cuts:?}");
            assert_eq!(session.from_client.messages, plain(), "{cuts:?}");
        }
    }
}

#[test]
fn a_message_byte_by_byte_passes_byte_by_byte_behind_its_number() {
    let sent = [text("00000000abcdef")];
    let mut session = Driver::agreed(&Sequence);
    for (index, batch) in batches(&sent, &places(&sent), true).into_iter().enumerate() {
        session.give(Direction::FromClient, batch);
        // The first piece is empty, and so is the last.
        assert_eq!(session.from_client.bytes(), index.saturating_sub(8).min(6));
    }
    assert_eq!(session.from_client.messages, [text("abcdef")]);
    // What a cut number costs: no bytes are held, and none are lent by the heap.
    assert!(size_of::<Numbers>() <= 24);
}

#[test]
fn the_directions_count_for_themselves() {
    let mut session = Driver::agreed(&Sequence);
    session.give_all(Direction::ToClient, batches(&plain(), &[], true));
    session.give_all(
        Direction::FromClient,
        batches(&[text("00000000x")], &[], true),
    );
    assert_eq!(session.failure, None);
    assert_eq!(session.from_client.messages, [text("x")]);
}

#[test]
fn numbers_wrap_at_two_to_the_32() {
    let mut session = at(u32::MAX);
    let wrapped = [text("ffffffffa"), text("00000000b"), text("00000001c")];
    session.give_all(
        Direction::ToClient,
        batches(&[text("a"), text("b"), text("c")], &[], true),
    );
    session.give_all(Direction::FromClient, batches(&wrapped, &[], true));
    assert_eq!(session.to_client.messages, wrapped);
    assert_eq!(session.from_client.messages.len(), 3);
    assert_eq!(session.failure, None);
}

#[test]
fn a_wrong_number_is_told_by_its_distance() {
    for (due, number, reason) in [
        (5, 7, "gap"),
        (5, 6, "gap"),
        (5, 4, "duplicate"),
        (5, 3, "reordered"),
        (0, u32::MAX, "duplicate"),
        (0, u32::MAX - 1, "reordered"),
        (u32::MAX, 0, "gap"),
        (0, 0x7fff_ffff, "gap"),
        (0, 0x8000_0000, "reordered"),
    ] {
        let sent = [text(format!("{number:08x}abc"))];
        let expected = format!("message {number} came where {due} was due ({reason})");
        assert_fails(|| at(due), &sent, 0, &expected);
    }
}

#[test]
fn what_came_before_a_wrong_number_passes() {
    let sent = [text("00000000a"), binary("00000001"), text("00000003c")];
    let expected = "message 3 came where 2 was due (gap)";
    assert_fails(|| Driver::agreed(&Sequence), &sent, 2, expected);
}

#[test]
fn what_is_no_number_is_malformed() {
    let expected = "a message without a number came where 10 was due (malformed)";
    for payload in [
        "",
        "0",
        "0000000",
        "0000000A",
        "0000000g",
        "hello, world",
        " 000000a",
        "+000000a",
        "0x0000000a",
        "0000000\u{e9}",
        "0000000/",
        "0000000:",
        "0000000`",
    ] {
        assert_fails(|| at(10), &[text(payload)], 0, expected);
        assert_fails(|| at(10), &[binary(payload)], 0, expected);
    }
}

#[test]
fn what_an_extension_marked_stays_marked() {
    let mut draft = Draft::with_room(0);
    let marked = Piece {
        rsv1: true,
        ..Piece::whole(Opcode::Text)
    };
    draft.push(marked, &[b"00000000x"]);
    let mut session = Driver::agreed(&Sequence);
    let passed = session.give(Direction::FromClient, draft.finish());
    assert!(passed[0].pieces[0].rsv1);
    let back = session.give(Direction::ToClient, passed.into_iter().next().expect("one"));
    assert!(back[0].pieces[0].rsv1);
    assert_eq!(back[0].bytes(), b"00000000x");
}

#[test]
fn what_begins_no_message_and_a_message_alone_from_the_client_are_not_copied() {
    let sent = [text("00000000abc")];
    let mut session = Driver::agreed(&Sequence);
    for batch in batches(&sent, &[(0, 10)], true) {
        let end = batch.bytes().as_ptr_range().end;
        let passed = session.give(Direction::FromClient, batch);
        assert_eq!(passed[0].bytes().as_ptr_range().end, end);
    }
    for (index, batch) in batches(&sent, &[(0, 10)], true).into_iter().enumerate() {
        let end = batch.bytes().as_ptr_range().end;
        let passed = session.give(Direction::ToClient, batch);
        assert_eq!(passed[0].bytes().as_ptr_range().end == end, index == 1);
    }
}

#[test]
fn it_agrees_with_the_browser_library() {
    vectors::assert_all(
        include_str!("../../../../tests/vectors/sequence.json"),
        4108,
        |case| between(case.next_sent, case.next_received),
    );
}

fn any_message() -> impl Strategy<Value = Message> {
    let opcode = prop_oneof![Just(Opcode::Text), Just(Opcode::Binary)];
    (opcode, vec(any::<u8>(), 0..20))
}

/// The places that `indexes` name.
fn chosen(messages: &[Message], indexes: &[Index]) -> Vec<Cut> {
    let places = places(messages);
    indexes.iter().map(|index| *index.get(&places)).collect()
}

/// What a client sends.
fn number(messages: &[Message]) -> Vec<Message> {
    let numbered = messages.iter().enumerate();
    numbered
        .map(|(index, (opcode, payload))| {
            let prefix = format!("{index:08x}").into_bytes();
            (*opcode, [&prefix, payload.as_slice()].concat())
        })
        .collect()
}

proptest! {
    #[test]
    fn a_client_gets_what_was_sent_and_sends_what_arrives(
        messages in vec(any_message(), 1..8),
        indexes in vec(any::<Index>(), 0..6),
        apart: bool,
    ) {
        let mut session = Driver::agreed(&Sequence);
        session.give_all(Direction::ToClient, batches(&messages, &chosen(&messages, &indexes), apart));
        prop_assert_eq!(&session.to_client.messages, &number(&messages));
        let sent = number(&messages);
        session.give_all(Direction::FromClient, batches(&sent, &chosen(&sent, &indexes), apart));
        prop_assert_eq!(session.failure, None);
        prop_assert_eq!(session.from_client.messages, messages);
    }

    #[test]
    fn a_message_lost_doubled_moved_or_misnumbered_is_noticed_at_once(
        messages in vec(any_message(), 2..8),
        place: Index,
        other: Index,
        damage in 0..4_u8,
        digit in 0..8_usize,
        value in prop::sample::select(b"0123456789abcdefgA \x00".to_vec()),
        indexes in vec(any::<Index>(), 0..6),
        apart: bool,
    ) {
        let mut sent = number(&messages);
        // The last message of all has none behind it that would show its loss.
        let place = place.index(sent.len() - 1);
        let mut intact = place;
        let reasons: &[&str] = match damage {
            0 => {
                sent.remove(place);
                &["gap"]
            }
            1 => {
                sent.insert(place, sent[place].clone());
                intact += 1;
                &["duplicate"]
            }
            2 => {
                let behind = place + 1 + other.index(sent.len() - 1 - place);
                sent.swap(place, behind);
                &["gap"]
            }
            _ => {
                prop_assume!(sent[place].1[digit] != value);
                sent[place].1[digit] = value;
                &["gap", "duplicate", "reordered", "malformed"]
            }
        };
        let mut session = Driver::agreed(&Sequence);
        session.give_all(Direction::FromClient, batches(&sent, &chosen(&sent, &indexes), apart));
        let failure = session.failure.expect("a failure");
        prop_assert!(reasons.contains(&failure.reason), "{}", failure.text);
        prop_assert_eq!(&session.from_client.messages, &messages[..intact]);
    }
}
