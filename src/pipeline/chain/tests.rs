//! Tests of the pipeline with real actors: order, what is claimed and what goes past, failures, the end.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use actix::Actor;
use actix::Handler;
use prometheus::Registry;

use super::*;
use crate::batch::Draft;
use crate::pipeline::link::Failure;
use crate::pipeline::link::Link;
use crate::pipeline::link::Output;
use crate::pipeline::link::SignOfLife;
use crate::pipeline::metrics::Metrics;
use crate::wire::websocket::header::Offer;
use crate::wire::websocket::CloseCode;

/// What the session would see.
#[derive(Default)]
struct Log {
    lines: Vec<String>,
}

type Shared = Rc<RefCell<Log>>;

struct Session(Shared);

impl Actor for Session {
    type Context = actix::Context<Self>;
}

impl Handler<Passage> for Session {
    type Result = ();

    fn handle(&mut self, passage: Passage, _: &mut Self::Context) {
        let way = match passage.direction {
            Direction::FromClient => "from",
            Direction::ToClient => "to",
        };
        let mut line = format!("{way} {:?}", passage.credit);
        for content in passage.contents {
            match content {
                Content::Sign(sign) => line.push_str(&format!(" {sign:?}")),
                Content::Data(batch) => {
                    for (piece, bytes) in batch.parts() {
                        let text = String::from_utf8_lossy(bytes).into_owned();
                        let end = if piece.last { "" } else { ".." };
                        line.push_str(&format!(" {text}{end}"));
                    }
                }
            }
        }
        self.0.borrow_mut().lines.push(line);
    }
}

impl Handler<Request> for Session {
    type Result = ();

    fn handle(&mut self, request: Request, _: &mut Self::Context) {
        self.0.borrow_mut().lines.push(format!("{request:?}"));
    }
}

/// Adds its letter to what it sees.
#[derive(Debug)]
struct Letter {
    letter: char,
    claims: Claims,
    ended: Option<Arc<std::sync::Mutex<Vec<String>>>>,
}

impl Letter {
    fn write(&self, batch: &Batch, output: &mut Output) {
        let mut draft = Draft::with_room(batch.len());
        for (piece, bytes) in batch.parts() {
            if bytes == b"fail" {
                output.pass(draft.finish());
                return output.fail(Failure {
                    reason: "test",
                    text: "was told to".to_owned(),
                    close_code: CloseCode(4999),
                });
            }
            assert!(bytes != b"panic", "was told to");
            let letter = self.letter.to_string();
            draft.push(piece, &[bytes, letter.as_bytes()]);
        }
        output.pass(draft.finish());
    }
}

impl Link for Letter {
    fn claims(&self) -> Claims {
        self.claims
    }

    fn from_client(&mut self, batch: Batch, output: &mut Output) {
        self.write(&batch, output);
    }

    fn to_client(&mut self, batch: Batch, output: &mut Output) {
        self.write(&batch, output);
    }

    fn sign_of_life(&mut self, sign: SignOfLife, output: &mut Output) {
        output.send_to_client(Batch::message(Opcode::Text, b"sign"));
        output.pass_sign(sign);
    }

    fn time_passed(&mut self, now: Instant, _: &Activity, output: &mut Output) -> Option<Instant> {
        if self.letter == 't' {
            output.want(SignOfLife::Ping);
            self.letter = 'T';
            return Some(now);
        }
        None
    }

    fn ended(&mut self, ending: &Ending) {
        if let Some(ended) = &self.ended {
            ended
                .lock()
                .unwrap()
                .push(format!("{} {ending:?}", self.letter));
        }
    }
}

fn link(letter: char, claims: Claims) -> Letter {
    Letter {
        letter,
        claims,
        ended: None,
    }
}

fn agreed(links: Vec<Letter>) -> Vec<Agreed> {
    let metrics = Metrics::register(&Registry::new()).unwrap();
    let agree = |link: Letter| {
        let name = format!("letter-{}", link.letter);
        Agreed {
            figures: Arc::new(metrics.of(&name)),
            answer: Offer {
                name,
                params: Vec::new(),
            },
            link: Box::new(link),
        }
    };
    links.into_iter().map(agree).collect()
}

/// Runs `f` on a pipeline of these links until the session has `count` lines, and gives them.
fn run(links: Vec<Letter>, count: usize, f: impl FnOnce(&mut Pipeline)) -> Vec<String> {
    actix::System::new().block_on(async {
        let log = Shared::default();
        let session = Session(Rc::clone(&log)).start();
        let passages = session.clone().recipient();
        let mut pipeline = Pipeline::start(agreed(links), &passages, &session.recipient());
        f(&mut pipeline);
        let enough = async {
            while log.borrow().lines.len() < count {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(5), enough).await;
        let lines = std::mem::take(&mut log.borrow_mut().lines);
        assert!(waited.is_ok(), "only {lines:?}");
        lines
    })
}

fn text(text: &str) -> Batch {
    Batch::message(Opcode::Text, text.as_bytes())
}

#[test]
fn the_first_of_the_agreement_is_next_to_the_application() {
    let everything = Claims::EVERYTHING;
    for (order, from_client, to_client) in [("ab", "xba", "xab"), ("ba", "xab", "xba")] {
        let links = order.chars().map(|c| link(c, everything)).collect();
        let lines = run(links, 2, |pipeline| {
            pipeline.put_in(Direction::FromClient, Content::Data(text("x")), 7);
            pipeline.put_in(Direction::ToClient, Content::Data(text("x")), 8);
        });
        assert!(
            lines.contains(&format!("from Some(7) {from_client}")),
            "{lines:?}"
        );
        assert!(
            lines.contains(&format!("to Some(8) {to_client}")),
            "{lines:?}"
        );
    }
}

#[test]
fn only_what_is_claimed_goes_in_and_what_follows_it() {
    let prefix = Claims {
        data: Data::TextWithPrefix(*b"PRE!"),
        signs_of_life: false,
    };
    let links = vec![link('a', prefix), link('b', Claims::NOTHING)];
    run(links, 1, |pipeline| {
        let mut claims =
            |batch: &Batch| pipeline.claims(Direction::FromClient, &batch.pieces, batch.bytes());
        assert!(!claims(&text("plain")));
        assert!(!claims(&Batch::message(Opcode::Binary, b"PRE! but binary")));
        assert!(!claims(&Batch::copied(b"AMQP")));
        assert!(claims(&text("PRE!x")));
        assert!(claims(&text("PR")), "it may become one");
        assert!(claims(&text("")), "it may become one");
        // A message that is claimed is claimed to its end, whatever its later pieces hold.
        let piece = |first, last, bytes: &[u8]| {
            let mut draft = Draft::with_room(0);
            let whole = Piece::whole(Opcode::Text);
            draft.push(
                Piece {
                    first,
                    last,
                    ..whole
                },
                &[bytes],
            );
            draft.finish()
        };
        assert!(claims(&piece(true, false, b"PRE!")));
        assert!(claims(&piece(false, false, b"more")));
        assert!(claims(&piece(false, true, b"end")));
        assert!(!claims(&piece(true, false, b"other")));
        assert!(!claims(&piece(false, true, b"PRE!")));
        // While something is inside, everything queues behind it.
        pipeline.put_in(Direction::FromClient, Content::Data(text("PRE!")), 1);
        assert!(pipeline.is_busy(Direction::FromClient));
        assert!(!pipeline.is_busy(Direction::ToClient));
        let plain = text("plain");
        assert!(pipeline.claims(Direction::FromClient, &plain.pieces, plain.bytes()));
        assert!(!pipeline.claims(Direction::ToClient, &plain.pieces, plain.bytes()));
        pipeline.came_out(Direction::FromClient);
        assert!(!pipeline.claims(Direction::FromClient, &plain.pieces, plain.bytes()));
    });
}

#[test]
fn a_batch_of_amqp_is_one_binary_message_inside() {
    let lines = run(vec![link('a', Claims::EVERYTHING)], 1, |pipeline| {
        pipeline.put_in(
            Direction::ToClient,
            Content::Data(Batch::copied(b"frame")),
            5,
        );
    });
    assert_eq!(lines, ["to Some(5) framea"]);
}

#[test]
fn nothing_of_the_clients_passes_a_link_that_has_failed_and_credit_comes_back() {
    let links = vec![link('a', Claims::NOTHING), link('b', Claims::NOTHING)];
    let lines = run(links, 4, |pipeline| {
        let mut draft = Draft::with_room(0);
        for part in [&b"good"[..], b"fail", b"never"] {
            draft.push(Piece::whole(Opcode::Text), &[part]);
        }
        pipeline.put_in(Direction::FromClient, Content::Data(draft.finish()), 1);
        pipeline.put_in(Direction::FromClient, Content::Data(text("late")), 2);
        pipeline.put_in(Direction::ToClient, Content::Data(text("late")), 3);
    });
    let end =
        "End(ExtensionFailed { extension: \"letter-b\", text: \"was told to\", close_code: 4999 })";
    for expected in [
        "from Some(1) goodba",
        "from Some(2)",
        "to Some(3) lateab",
        end,
    ] {
        assert!(
            lines.contains(&expected.to_owned()),
            "{expected}: {lines:?}"
        );
    }
}

#[test]
fn a_link_that_panics_is_reported_and_lets_nothing_pass() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let links = vec![link('a', Claims::NOTHING), link('b', Claims::NOTHING)];
    let lines = run(links, 1, |pipeline| {
        pipeline.put_in(Direction::FromClient, Content::Data(text("panic")), 1);
        assert!(pipeline.is_busy(Direction::FromClient) && !pipeline.is_broken());
        pipeline.break_off();
        assert!(!pipeline.is_busy(Direction::FromClient) && pipeline.is_broken());
    });
    std::panic::set_hook(hook);
    assert_eq!(lines, ["Broken"]);
}

#[test]
fn signs_of_life_pass_all_links_and_a_links_own_messages_have_no_credit() {
    let links = vec![link('a', Claims::NOTHING), link('b', Claims::EVERYTHING)];
    let lines = run(links, 3, |pipeline| {
        pipeline.put_in(Direction::ToClient, Content::Sign(SignOfLife::Pong), 0);
    });
    // What `a` sends passes `b`; what `b` sends comes before what it passes on.
    assert_eq!(lines, ["to None signb", "to None sign", "to Some(0) Pong"]);
}

#[test]
fn a_link_is_called_by_the_clock_and_asks_the_session() {
    let lines = run(vec![link('t', Claims::NOTHING)], 1, |_| {});
    assert_eq!(lines, ["Sign(Ping)"]);
}

#[test]
fn every_link_sees_the_end_once() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut links = vec![link('a', Claims::NOTHING), link('b', Claims::NOTHING)];
    for link in &mut links {
        link.ended = Some(Arc::clone(&seen));
    }
    actix::System::new().block_on(async {
        let session = Session(Shared::default()).start();
        let passages = session.clone().recipient();
        let pipeline = Pipeline::start(agreed(links), &passages, &session.recipient());
        pipeline.end(&Ending::Drained);
        pipeline.end(&Ending::OperatorEnded);
        let ended = async {
            while seen.lock().unwrap().len() < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), ended)
            .await
            .unwrap();
        drop(pipeline);
    });
    assert_eq!(*seen.lock().unwrap(), ["a Drained", "b Drained"]);
}
