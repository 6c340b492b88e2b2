//! The byte samples that the browser library is held to, read as the other side of the same WebSocket: what a sample
//! receives comes from the client here, what it sends goes to the client.

use serde::Deserialize;
use serde_json::Value;

use super::harness::batches;
use super::harness::Driver;
use super::harness::Message;
use crate::pipeline::metrics::Direction;
use crate::wire::websocket::Opcode;

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

/// A session and what happens in it.
#[derive(Deserialize)]
pub(super) struct Case {
    name: String,
    /// The number of the next message to the client.
    #[serde(default)]
    pub(super) next_sent: u32,
    /// The number of the next message from the client.
    #[serde(default)]
    pub(super) next_received: u32,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    send: Option<String>,
    receive: Option<String>,
    bytes: String,
    #[serde(default)]
    deliver: Vec<(String, String)>,
    #[serde(default)]
    transmit: Vec<(String, String)>,
    violation: Option<Value>,
}

/// Checks all cases of a file, each with its messages whole and cut at every place. A violation has the reason that the
/// file names, if it does, and this close code.
pub(super) fn assert_all(file: &str, close_code: u16, start: impl Fn(&Case) -> Driver) {
    let vectors: Vectors = serde_json::from_str(file).expect("a file of cases");
    assert!(vectors.cases.len() > 10);
    for case in &vectors.cases {
        for cut in (0..20).map(Some).chain([None]) {
            let mut session = start(case);
            for step in &case.steps {
                assert_step(&mut session, step, cut, close_code, &case.name);
            }
        }
    }
}

fn assert_step(session: &mut Driver, step: &Step, cut: Option<usize>, close_code: u16, name: &str) {
    let (way, kind) = match (&step.send, &step.receive) {
        (Some(kind), None) => (Direction::ToClient, kind),
        (None, Some(kind)) => (Direction::FromClient, kind),
        _ => panic!("{name}: one of both"),
    };
    let message = message(kind, &step.bytes);
    let cuts: Vec<(usize, usize)> = cut
        .map(|at| (0, at.min(message.1.len())))
        .into_iter()
        .collect();
    session.from_client.messages.clear();
    session.to_client.messages.clear();
    session.give_all(way, batches(&[message], &cuts, true));

    assert_eq!(
        session.from_client.messages,
        messages(&step.deliver),
        "{name}"
    );
    assert_eq!(
        session.to_client.messages,
        messages(&step.transmit),
        "{name}"
    );
    let failure = session.failure.as_ref();
    assert_eq!(failure.is_some(), step.violation.is_some(), "{name}");
    if let (Some(failure), Some(violation)) = (failure, &step.violation) {
        assert_eq!(failure.close_code.0, close_code, "{name}");
        if let Some(reason) = violation.as_str() {
            assert_eq!(failure.reason, reason, "{name}");
        }
    }
}

fn messages(written: &[(String, String)]) -> Vec<Message> {
    let messages = written.iter();
    messages.map(|(kind, bytes)| message(kind, bytes)).collect()
}

fn message(kind: &str, hexadecimal: &str) -> Message {
    let opcode = match kind {
        "text" => Opcode::Text,
        "binary" => Opcode::Binary,
        other => panic!("{other} is no kind"),
    };
    let bytes = hexadecimal.as_bytes().chunks(2).map(|digits| {
        let digits = std::str::from_utf8(digits).expect("ASCII");
        u8::from_str_radix(digits, 16).expect("hexadecimal digits")
    });
    (opcode, bytes.collect())
}
