//! Exclusive queues among sessions of one connection, and kinds of queue.

use super::*;

fn on_queue(class: u16, number: u16, queue: &str, rest: &[u8]) -> Vec<u8> {
    method(
        1,
        class,
        number,
        &[&[0, 0][..], &short(queue), rest].concat(),
    )
}

fn bind(queue: &str) -> Vec<u8> {
    on_queue(
        50,
        20,
        queue,
        &[&short("amq.topic")[..], b"\0\0", &[0; 4]].concat(),
    )
}

fn purge(queue: &str) -> Vec<u8> {
    on_queue(50, 30, queue, &[0])
}

fn delete(queue: &str, bits: u8) -> Vec<u8> {
    on_queue(50, 40, queue, &[bits])
}

fn delete_ok() -> Vec<u8> {
    method(1, 50, 41, &[0; 4])
}

/// The frame as the connection knows it.
fn upstream(mut frame: Vec<u8>) -> Vec<u8> {
    frame[2] = 100;
    frame
}

const EXCLUSIVE: u8 = 4;
const DECLARE_NO_WAIT: u8 = 0b1_0000;

#[test]
fn a_named_exclusive_queue_is_claimed_owned_and_given_back() {
    let mut bench = Bench::channel();
    bench.relays(
        &declare(1, "mine", EXCLUSIVE, b""),
        &[upstream(declare(1, "mine", EXCLUSIVE, b""))],
    );
    assert_eq!(bench.line.take_told(), ["claim mine"]);
    bench.delivers(&declare_ok(1, "mine"), &[declare_ok(1, "mine")]);
    assert_eq!(bench.line.take_told(), ["own mine"]);
    // Declared again, it is not claimed again.
    bench.relays(
        &declare(1, "mine", EXCLUSIVE, b""),
        &[upstream(declare(1, "mine", EXCLUSIVE, b""))],
    );
    bench.delivers(&declare_ok(1, "mine"), &[declare_ok(1, "mine")]);
    assert_eq!(bench.line.take_told(), ["own mine"]);
    bench.relays(&delete("mine", 4), &[upstream(delete("mine", 0))]);
    bench.delivers(&delete_ok(), &[]);
    assert_eq!(bench.line.take_told(), ["deleted mine"]);
}

#[test]
fn a_server_named_exclusive_queue_is_owned_by_the_name_in_the_answer() {
    let mut bench = Bench::channel();
    let nowait = EXCLUSIVE | DECLARE_NO_WAIT;
    bench.relays(
        &declare(1, "", nowait, b""),
        &[upstream(declare(1, "", EXCLUSIVE, b""))],
    );
    bench.delivers(&declare_ok(1, "amq.gen-1"), &[]);
    assert_eq!(bench.line.take_told(), ["claim ", "own amq.gen-1"]);
    bench.relays(&delete("", 0), &[upstream(delete("", 0))]);
    bench.delivers(&delete_ok(), &[delete_ok()]);
    assert_eq!(bench.line.take_told(), ["deleted amq.gen-1"]);
}

#[test]
fn a_claim_is_withdrawn_when_the_declare_fails() {
    let mut bench = Bench::channel();
    bench.relays(
        &declare(1, "mine", EXCLUSIVE, b""),
        &[upstream(declare(1, "mine", EXCLUSIVE, b""))],
    );
    let _ = bench.send(&[qos(1, 1, false), consume(1, "q", "t", 0)].concat());
    bench.broker(&frames::close(1, 405, "RESOURCE_LOCKED", (50, 10)));
    assert_eq!(bench.line.take_told(), ["claim mine", "withdraw mine"]);
    assert_eq!(bench.server.booked, 0);
}

#[test]
fn a_queue_of_another_session_is_locked_for_everything_but_publishing() {
    let text = "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'theirs' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.";
    let rows = [
        (declare(1, "theirs", 0, b""), (50, 10)),
        (declare(1, "theirs", 1, b""), (50, 10)),
        (
            declare(1, "theirs", EXCLUSIVE | DECLARE_NO_WAIT, b""),
            (50, 10),
        ),
        (bind("theirs"), (50, 20)),
        (purge("theirs"), (50, 30)),
        (delete("theirs", 0), (50, 40)),
        (
            on_queue(
                50,
                50,
                "theirs",
                &[&short("amq.topic")[..], b"\0", &[0; 4]].concat(),
            ),
            (50, 50),
        ),
        (consume(1, "theirs", "t", 0), (60, 20)),
        (get(1, "theirs", false), (60, 70)),
    ];
    for (sent, class_method) in rows {
        let mut bench = Bench::channel();
        bench.line.locked.borrow_mut().insert(b"theirs".to_vec());
        let found = bench.costs_channel(&sent, Rule::QueueLocked);
        assert_eq!(found, (405, text.to_owned(), class_method));
    }
}

#[test]
fn nobody_overtakes_a_claim() {
    let rows = [
        declare(1, "soon", 0, b""),
        bind("soon"),
        delete("soon", 0),
        consume(1, "soon", "t", 0),
    ];
    for sent in rows {
        let mut bench = Bench::channel();
        bench.line.undecided.borrow_mut().insert(b"soon".to_vec());
        assert_eq!(bench.send(&sent), Pause::Line);
        assert_eq!(bench.take(), (vec![], vec![]));
        bench.line.undecided.take();
        bench.relays(&[], &[upstream(sent)]);
    }
}

#[test]
fn the_empty_name_is_the_last_queue_of_the_channel() {
    let mut bench = Bench::channel();
    assert_eq!(bench.send(&declare(1, "theirs", 0, b"")), Pause::No);
    bench.take();
    bench.line.locked.borrow_mut().insert(b"theirs".to_vec());
    let (code, text, _) = bench.costs_channel(&get(1, "", false), Rule::QueueLocked);
    assert_eq!(code, 405);
    assert!(text.contains("'theirs'"));
}

#[test]
fn without_a_last_queue_the_broker_answers() {
    let mut bench = Bench::channel();
    bench.relays(&get(1, "", false), &[upstream(get(1, "", false))]);
    bench.relays(&purge(""), &[upstream(purge(""))]);
}

#[test]
fn kinds_are_learned_from_declares_that_succeed() {
    let mut bench = Bench::channel();
    for (name, kind) in [
        ("quorum", QueueKind::Quorum),
        ("stream", QueueKind::Stream),
        ("classic", QueueKind::Classic),
    ] {
        let table = text_field("x-queue-type", name);
        assert_eq!(bench.send(&declare(1, name, 2, &table)), Pause::No);
        assert_eq!(bench.line.queue_kind(name.as_bytes()), None);
        bench.broker(&declare_ok(1, name));
        assert_eq!(bench.line.queue_kind(name.as_bytes()), Some(kind));
    }
    assert_eq!(bench.send(&declare(1, "plain", 2, b"")), Pause::No);
    bench.broker(&declare_ok(1, "plain"));
    assert_eq!(bench.line.queue_kind(b"plain"), Some(QueueKind::Classic));
    assert_eq!(bench.send(&declare(1, "passive", 1, b"")), Pause::No);
    bench.broker(&declare_ok(1, "passive"));
    assert_eq!(bench.line.queue_kind(b"passive"), None);
    assert_eq!(bench.send(&delete("stream", 0)), Pause::No);
    bench.broker(&delete_ok());
    assert_eq!(bench.line.queue_kind(b"stream"), None);
}

#[test]
fn since_3_11_a_lasting_queue_may_be_of_any_kind() {
    for (version, bits, kind) in [
        (Some(Version(3, 11)), 2, None),
        (Some(Version(4, 1)), 0, Some(QueueKind::Classic)),
        (None, 2, None),
        (None, 6, Some(QueueKind::Classic)),
    ] {
        let mut bench = Bench::channel();
        bench.server.params.version = version;
        assert_eq!(bench.send(&declare(1, "q", bits, b"")), Pause::No);
        bench.broker(&declare_ok(1, "q"));
        assert_eq!(bench.line.queue_kind(b"q"), kind);
    }
}

/// What a client sends, the kind of queue that does not know it, and what it is told.
type Unsuitable = (Vec<u8>, QueueKind, &'static str, (u16, u16));

/// Methods that some kind of queue does not know.
fn unsuitable() -> Vec<Unsuitable> {
    let quorum_delete = "cannot delete queue 'q' in vhost '/'. queue.delete operations with if-unused flag set are not supported by quorum queues";
    let empty_delete = "cannot delete queue 'q' in vhost '/'. queue.delete operations with if-empty flag set are not supported by quorum queues";
    let global = "queue 'q' in vhost '/' does not support global qos";
    let after_qos = [qos(1, 5, true), consume(1, "q", "t", 0)].concat();
    vec![
        (
            get(1, "q", true),
            QueueKind::Stream,
            "basic.get not supported by stream queues queue 'q' in vhost '/'",
            (60, 70),
        ),
        (
            purge("q"),
            QueueKind::Stream,
            "queue.purge not supported by stream queues queue 'q' in vhost '/'",
            (50, 30),
        ),
        (delete("q", 1), QueueKind::Quorum, quorum_delete, (50, 40)),
        (delete("q", 2), QueueKind::Quorum, empty_delete, (50, 40)),
        (delete("q", 3), QueueKind::Quorum, quorum_delete, (50, 40)),
        (after_qos.clone(), QueueKind::Quorum, global, (60, 20)),
        (after_qos, QueueKind::Stream, global, (60, 20)),
        (
            [method(1, 90, 10, b""), consume(1, "q", "t", NO_ACK)].concat(),
            QueueKind::Stream,
            "automatic acknowledgement not supported by stream queues queue 'q' in vhost '/'",
            (60, 20),
        ),
    ]
}

#[test]
fn methods_that_a_kind_does_not_know_cost_the_connection() {
    for (sent, kind, text, class_method) in unsuitable() {
        for known in [Some(kind), None] {
            let mut bench = Bench::channel();
            if let Some(kind) = known {
                bench.line.kinds.borrow_mut().insert(b"q".to_vec(), kind);
            }
            let found = bench.costs_connection(&sent, Rule::QueueType);
            let text = format!("NOT_IMPLEMENTED - {text}");
            assert_eq!(found, (540, text, class_method));
        }
    }
}

#[test]
fn they_go_on_for_another_kind_and_for_an_unknown_one_that_is_trusted() {
    for (sent, _, text, _) in unsuitable() {
        for trust in [false, true] {
            let mut bench = Bench::channel();
            bench.server.params.policy.trust_queue_types = trust;
            if !trust {
                let classic = QueueKind::Classic;
                bench.line.kinds.borrow_mut().insert(b"q".to_vec(), classic);
            }
            assert_eq!(bench.send(&sent), Pause::No, "{text}");
            assert_eq!(bench.out.refusals, []);
        }
    }
}

#[test]
fn global_qos_of_nothing_is_none() {
    let mut bench = Bench::channel();
    let sent = [qos(1, 5, true), qos(1, 0, true), consume(1, "q", "t", 0)].concat();
    assert_eq!(bench.send(&sent), Pause::No);
}

#[test]
fn a_kind_counts_as_soon_as_its_declare_is_on_its_way() {
    let mut bench = Bench::channel();
    let declared = declare(1, "q", 2, b"");
    assert_eq!(
        bench.send(&[declared, get(1, "q", true), get(1, "", true)].concat()),
        Pause::No
    );
    let table = text_field("x-queue-type", "stream");
    let mut bench = Bench::channel();
    let sent = [declare(1, "", 2, &table), get(1, "", true)].concat();
    bench.costs_connection(&sent, Rule::QueueType);
}

/// The broker has deleted the exclusive one by itself (auto-delete, an expiry); what is there now outlives the session.
#[test]
fn a_queue_that_is_declared_for_all_is_the_sessions_own_no_more() {
    let mut bench = Bench::channel();
    bench.relays(
        &declare(1, "mine", EXCLUSIVE, b""),
        &[upstream(declare(1, "mine", EXCLUSIVE, b""))],
    );
    bench.delivers(&declare_ok(1, "mine"), &[declare_ok(1, "mine")]);
    assert_eq!(bench.line.take_told(), ["claim mine", "own mine"]);
    bench.relays(
        &declare(1, "mine", 0, b""),
        &[upstream(declare(1, "mine", 0, b""))],
    );
    bench.delivers(&declare_ok(1, "mine"), &[declare_ok(1, "mine")]);
    assert_eq!(bench.line.take_told(), ["deleted mine"]);
}

/// A kind on its way counts before the one that is in the books: the broker takes the methods in their order.
#[test]
fn a_declare_on_its_way_tells_the_kind() {
    let mut bench = Bench::channel();
    bench
        .line
        .kinds
        .borrow_mut()
        .insert(b"q".to_vec(), QueueKind::Classic);
    let stream = text_field("x-queue-type", "stream");
    bench.relays(
        &declare(1, "q", 2, &stream),
        &[upstream(declare(1, "q", 2, &stream))],
    );
    let (code, _, _) = bench.costs_connection(&purge("q"), Rule::QueueType);
    assert_eq!(code, 540);
}
