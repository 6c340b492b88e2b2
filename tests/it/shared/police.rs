//! What a client may do wrong: every case of `tests/vectors/misbehaviour.txt` at the broker itself, over a dedicated
//! connection and over a shared one with a neighbour who must not notice.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::expect_one_connection;
use super::neighbour::Neighbour;
use super::notation;
use super::notation::Case;
use super::notation::Step;
use super::wire::attentive;
use super::wire::Wire;
use crate::harness::amqp;
use crate::harness::amqp::Builder;
use crate::harness::configuration;
use crate::harness::gateway::Gateway;
use crate::harness::negotiation::Login;
use crate::harness::rabbitmq::RabbitMq;

/// What the cases run against.
struct Fixture {
    rabbitmq: Arc<RabbitMq>,
    login: Login,
}

impl Fixture {
    fn new() -> Self {
        let rabbitmq = RabbitMq::shared();
        let login = attentive(rabbitmq.login());
        Self { rabbitmq, login }
    }

    /// Runs a case and gives what it comes to, each client's outcome with its number if there is more than one.
    fn outcome(&self, case: &Case, connect: impl Fn() -> Wire) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let unique = format!("smeuse-{}-{count}-", std::process::id());
        let mut clients: Vec<Wire> = vec![connect()];
        let mut now = 0;
        for step in case.steps(&unique) {
            match step {
                Step::Send(bytes) => clients[now].send(&bytes),
                Step::Await(method) => {
                    clients[now].read_until(Duration::from_secs(3), |frame| {
                        frame.method() == Some(method) || frame.method() == Some((20, 40))
                    });
                }
                Step::Pause => thread::sleep(Duration::from_millis(200)),
                Step::Client(number) => {
                    now = number - 1;
                    while clients.len() <= now {
                        clients.push(connect());
                    }
                }
            }
        }
        let probe: &[u16] = if case.probe { &[1, 2] } else { &[2] };
        let mut outcomes: Vec<String> = clients
            .iter_mut()
            .map(|client| client.outcome(probe, &unique))
            .collect();
        drop(clients);
        self.clear_away(case, &unique);
        if outcomes.len() == 1 {
            return outcomes.remove(0);
        }
        let numbered = outcomes.iter().enumerate();
        let numbered: Vec<String> = numbered
            .map(|(client, outcome)| format!("@{} {outcome}", client + 1))
            .collect();
        numbered.join(" ")
    }

    /// Deletes what the case may have declared.
    fn clear_away(&self, case: &Case, unique: &str) {
        for name in case.names() {
            let mut wire = Wire::direct(&self.rabbitmq, &self.login);
            let name = Builder::new()
                .short(0)
                .short_string(&format!("{unique}{name}"))
                .octet(0);
            wire.send(&amqp::method(1, (40, 20), &name));
            wire.send(&amqp::method(2, (50, 40), &name));
        }
    }

    /// Runs sections over one way and compares with what is recorded for it.
    #[track_caller]
    fn compare(&self, sections: &[&str], way: Way, connect: impl Fn() -> Wire, after: impl Fn()) {
        let mut wrong = Vec::new();
        for case in sections
            .iter()
            .flat_map(|section| notation::section(section))
        {
            let shared = case.shared.as_ref().filter(|_| way == Way::Shared);
            let gateway = case.gateway.as_ref().filter(|_| way != Way::Direct);
            let meant = ordered(shared.or(gateway).unwrap_or(&case.outcome));
            let found = self.outcome(&case, &connect);
            let is_hasty = way == Way::Shared && alike_but_hasty(&meant, &found);
            if !alike(&meant, &found) && !is_hasty {
                wrong.push(format!("== {}\n=> {found}\nnot {meant}", case.name));
            }
            after();
        }
        assert!(
            wrong.is_empty(),
            "{} outcomes are others:\n{}",
            wrong.len(),
            wrong.join("\n")
        );
    }
}

/// How the broker is reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Direct,
    Dedicated,
    Shared,
}

/// Where the broker only drops the connection, the gateway closes it; it has more to say.
fn alike(meant: &str, found: &str) -> bool {
    meant == found
        || meant.strip_suffix("dropped").is_some_and(|before| {
            found.starts_with("connection") && before.is_empty()
                || found.split(" connection").next() == Some(before.trim_end())
        })
}

/// What the gateway refuses itself may be told before what the broker has still to answer.
fn alike_but_hasty(meant: &str, found: &str) -> bool {
    let (meant, found) = (parts(meant), parts(found));
    let close = |parts: &[String]| {
        parts
            .iter()
            .find(|part| part.starts_with("connection "))
            .cloned()
    };
    close(&found).is_some()
        && close(&meant) == close(&found)
        && found.iter().all(|part| meant.contains(part))
}

/// The recorded outcome with its parts in the order of [`Wire::outcome`].
fn ordered(outcome: &str) -> String {
    let clients: Vec<&str> = outcome.split('@').filter(|part| !part.is_empty()).collect();
    let sorted = clients.iter().map(|client| {
        let (number, rest) = match client.split_once(' ') {
            Some((number, rest)) if outcome.starts_with('@') => (format!("@{number} "), rest),
            _ => (String::new(), *client),
        };
        let mut parts = parts(rest);
        parts.sort();
        format!("{number}{}", parts.join(" "))
    });
    sorted.collect::<Vec<_>>().join(" ")
}

/// Words, with `connection ..` and `channel ..` up to the end of their text as one.
fn parts(outcome: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut rest = outcome.trim();
    while !rest.is_empty() {
        let whole = ["connection ", "channel "]
            .iter()
            .any(|word| rest.starts_with(word));
        let end = if whole {
            // A text may hold quotes; it ends where a part begins or nothing follows.
            let next = [
                " connection ",
                " channel ",
                " 1:",
                " 2:",
                " 0:",
                " dropped",
                " silent",
            ];
            let text = rest.find('"').unwrap_or(0) + 1;
            let ends = next
                .iter()
                .filter_map(|word| rest[text..].find(&format!("\"{word}")));
            ends.min().map_or(rest.len(), |at| text + at + 1)
        } else if rest.starts_with("silent ") {
            rest.len()
        } else {
            rest.find(' ').unwrap_or(rest.len())
        };
        parts.push(rest[..end].split_whitespace().collect::<Vec<_>>().join(" "));
        rest = rest[end..].trim_start();
    }
    parts
}

/// The table is right: RabbitMQ itself does what is recorded of it.
#[test]
fn what_is_recorded_is_what_the_broker_does() {
    let fixture = Fixture::new();
    let connect = || Wire::direct(&fixture.rabbitmq, &fixture.login);
    fixture.compare(&SECTIONS, Way::Direct, connect, || ());
}

/// A dedicated connection passes everything on, so that its clients see what the broker does.
#[test]
fn a_dedicated_connection_shows_what_the_broker_does() {
    let fixture = Fixture::new();
    let gateway = Gateway::start(&configuration::amqp(fixture.rabbitmq.uri()));
    let connect = || Wire::through(&gateway, &fixture.login);
    fixture.compare(&SECTIONS, Way::Dedicated, connect, || ());
}

/// Over a shared connection it is the same, and a neighbour on it never notices.
#[track_caller]
fn compare_shared(section: &str) {
    let fixture = Fixture::new();
    // Every queue of the cases is declared on the same connection, so that its kind is known; what is allowed for those
    // that are not is told apart in a test of its own.
    let gateway = super::configuration(fixture.rabbitmq.uri(), "trust_queue_types = true");
    let gateway = Gateway::start(&gateway);
    let neighbour = Neighbour::start(&gateway);
    let connect = || Wire::through(&gateway, &fixture.login);
    let after = || {
        neighbour.expect_progress();
        expect_one_connection(&gateway);
    };
    fixture.compare(&[section], Way::Shared, connect, after);
    neighbour.finish();
}

/// A test for each section, so that they run beside each other.
macro_rules! sections {
    ($($test:ident => $section:literal,)*) => {
        $(#[test]
        fn $test() {
            compare_shared($section);
        })*

        const SECTIONS: [&str; 8] = [$($section),*];

        #[test]
        fn every_section_has_its_test() {
            let text = notation::text();
            let sections: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
            assert_eq!(sections, SECTIONS);
        }
    };
}

sections! {
    wrong_content_hurts_nobody_else => "content",
    wrong_use_of_channels_hurts_nobody_else => "channels",
    wrong_consumers_hurt_nobody_else => "consumers",
    wrong_declarations_hurt_nobody_else => "declarations",
    what_a_kind_of_queue_cannot_do_hurts_nobody_else => "kinds",
    exclusive_queues_are_the_sessions_own => "exclusive",
    wrong_frames_and_methods_hurt_nobody_else => "methods",
    wrong_use_of_the_connection_hurts_nobody_else => "connection",
}
