//! Any messages both ways, between the link and a model of the published client.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::pipeline::extensions::harness::Cut;

/// What the published client makes of the messages it gets: what its page sees, and what it answers.
fn receive(messages: &[Message]) -> (Vec<Message>, Vec<Message>) {
    let mut seen = Vec::new();
    let mut answers = Vec::new();
    let mut escaped = false;
    for (opcode, payload) in messages {
        let control = payload.strip_prefix(ESCAPE_FRAME.as_bytes());
        match control {
            Some(control) if *opcode == Opcode::Text && !escaped => match control {
                [] => escaped = true,
                [0x09, ..] => answers.push(text(PONG_FRAME)),
                _ => {}
            },
            Some(_) | None => {
                seen.push((*opcode, payload.clone()));
                escaped = false;
            }
        }
    }
    (seen, answers)
}

/// What the published client sends for the messages of its page.
fn send(messages: &[Message]) -> Vec<Message> {
    let mut sent = Vec::new();
    for (opcode, payload) in messages {
        if *opcode == Opcode::Text && payload.starts_with(ESCAPE_FRAME.as_bytes()) {
            sent.push(text(ESCAPE_FRAME));
        }
        sent.push((*opcode, payload.clone()));
    }
    sent
}

fn any_message() -> impl Strategy<Value = Message> {
    let opcode = prop_oneof![3 => Just(Opcode::Text), 1 => Just(Opcode::Binary)];
    let prefix = prop_oneof![
        Just(""),
        Just("\x01\x01\x01"),
        Just(ESCAPE_FRAME),
        Just(PING_FRAME),
        Just(PONG_FRAME),
    ];
    (opcode, prefix, "[\x00\x01\x02\x09\x0aa]{0,6}")
        .prop_map(|(opcode, prefix, rest)| (opcode, (prefix.to_owned() + &rest).into_bytes()))
}

fn chosen(messages: &[Message], indexes: &[Index]) -> Vec<Cut> {
    let places = places(messages);
    indexes.iter().map(|index| *index.get(&places)).collect()
}

proptest! {
    #[test]
    fn a_page_sees_what_was_sent_and_a_service_what_the_page_sends(
        messages in vec(any_message(), 1..8),
        indexes in vec(any::<Index>(), 0..8),
        apart: bool,
    ) {
        let mut session = session();
        session.give_all(Direction::ToClient, batches(&messages, &chosen(&messages, &indexes), apart));
        let (seen, answers) = receive(&session.to_client.messages);
        prop_assert_eq!(&seen, &messages);
        prop_assert!(answers.is_empty());
        prop_assert!(!session.claims().data.eq(&Data::Everything));

        let sent = send(&messages);
        session.give_all(Direction::FromClient, batches(&sent, &chosen(&sent, &indexes), apart));
        prop_assert_eq!(session.failure, None);
        prop_assert_eq!(session.from_client.messages, messages);
        prop_assert_eq!(session.to_client.messages.len(), seen.len() + session.controls.iter().filter(|control| **control == to_client("escape")).count());
    }

    #[test]
    fn signs_of_life_among_messages_are_answered_and_unseen(
        messages in vec(any_message(), 1..8),
        indexes in vec(any::<Index>(), 0..8),
        pings in vec(any::<bool>(), 1..20),
    ) {
        let mut session = session();
        let mut count = 0;
        let cut = batches(&messages, &chosen(&messages, &indexes), true);
        for (batch, ping) in cut.into_iter().zip(pings.into_iter().cycle()) {
            if ping {
                session.sign(SignOfLife::Ping);
                count += 1;
            }
            session.give(Direction::ToClient, batch);
        }
        let (seen, answers) = receive(&session.to_client.messages);
        prop_assert_eq!(seen, messages);
        prop_assert_eq!(answers.len(), count);
        session.give_all(Direction::FromClient, batches(&answers, &[], true));
        prop_assert!(session.from_client.messages.is_empty());
        prop_assert_eq!(session.round_trips.len(), count.min(1));
    }
}
