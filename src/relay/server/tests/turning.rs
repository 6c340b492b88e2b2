//! Consumers without acknowledgement, which the gateway acknowledges.

use super::*;

/// Channel 1 with a consumer `t` that the client thinks is not acknowledged.
fn turned() -> Bench {
    let mut bench = Bench::channel();
    bench.relays(
        &consume(1, "q", "t", NO_ACK),
        &[
            qos(100, PREFETCH, false),
            consume(100, "q", "t", 0),
            qos(100, 0, false),
        ],
    );
    let answers = [qos_ok(), consume_ok(1, "t"), qos_ok()].concat();
    bench.delivers(&answers, &[consume_ok(1, "t")]);
    bench
}

/// The same, and a consumer `own` that the client acknowledges.
fn mixed() -> Bench {
    let mut bench = turned();
    bench.relays(&consume(1, "q", "own", 0), &[consume(100, "q", "own", 0)]);
    bench.delivers(&consume_ok(1, "own"), &[consume_ok(1, "own")]);
    bench
}

fn qos_ok() -> Vec<u8> {
    method(1, 60, 11, b"")
}

/// The broker delivers, to consumers by turns; the tags count on from `first`.
fn deliver(bench: &mut Bench, consumers: &[&str], first: u64) {
    for (consumer, tag) in consumers.iter().zip(first..) {
        let sent = delivery(1, consumer, tag, b"body");
        bench.delivers(&sent, &split(&sent));
    }
}

/// Everything so far has gone to the session; what the broker is told.
fn all_passed(bench: &mut Bench) -> Vec<Vec<u8>> {
    let position = bench.server.position;
    bench.server.passed(position, &mut bench.out);
    let (to_broker, to_client) = bench.take();
    assert!(to_client.is_empty());
    split(&to_broker)
}

#[test]
fn the_client_sees_no_more_than_it_asked_for() {
    let mut bench = turned();
    // Its own qos and consumes are answered in between.
    let sent = [
        qos(1, 3, false),
        consume(1, "q", "u", NO_ACK | NO_WAIT),
        qos(1, 4, false),
    ]
    .concat();
    let expected = [
        qos(100, 3, false),
        qos(100, PREFETCH, false),
        consume(100, "q", "u", 0),
        qos(100, 3, false),
        qos(100, 4, false),
    ];
    bench.relays(&sent, &expected);
    let answers = [qos_ok().repeat(4), consume_ok(1, "u")].concat();
    bench.delivers(&answers, &[qos_ok(), qos_ok()]);
}

#[test]
fn deliveries_are_acknowledged_together_when_they_have_passed_and_not_before() {
    let mut bench = turned();
    deliver(&mut bench, &["t", "t"], 1);
    let two = bench.server.position;
    deliver(&mut bench, &["t"], 3);
    bench.server.passed(two - 1, &mut bench.out);
    assert_eq!(bench.take().0, ack(100, 1, false));
    bench.server.passed(two, &mut bench.out);
    assert_eq!(bench.take().0, ack(100, 2, false));
    deliver(&mut bench, &["t", "t"], 4);
    assert_eq!(all_passed(&mut bench), [ack(100, 5, true)]);
    assert_eq!(all_passed(&mut bench), [] as [Vec<u8>; 0]);
    assert_eq!(bench.server.booked, 1);
}

#[test]
fn a_delivery_has_passed_with_its_last_byte() {
    let mut bench = turned();
    let frames = split(&delivery(1, "t", 1, &[1; 10_000]));
    bench.broker(&frames[..2].concat());
    assert_eq!(all_passed_frames(&mut bench), [] as [Vec<u8>; 0]);
    bench.broker(&frames[2]);
    bench.out.to_client.clear();
    let position = bench.server.position;
    bench.server.passed(position - 1, &mut bench.out);
    assert!(bench.take().0.is_empty());
    assert_eq!(all_passed(&mut bench), [ack(100, 1, false)]);
    // One without a body.
    deliver(&mut bench, &[], 0);
    let empty = delivery(1, "t", 2, b"");
    bench.delivers(&empty, &split(&empty));
    assert_eq!(all_passed(&mut bench), [ack(100, 2, false)]);
}

fn all_passed_frames(bench: &mut Bench) -> Vec<Vec<u8>> {
    bench.out.to_client.clear();
    all_passed(bench)
}

#[test]
fn the_clients_own_are_never_acknowledged_for_it() {
    let mut bench = mixed();
    deliver(&mut bench, &["t", "t", "own", "t", "t"], 1);
    assert_eq!(
        all_passed(&mut bench),
        [ack(100, 2, true), ack(100, 4, false), ack(100, 5, false)]
    );
    bench.relays(&ack(1, 3, false), &[ack(100, 3, false)]);
    deliver(&mut bench, &["t", "t"], 6);
    assert_eq!(all_passed(&mut bench), [ack(100, 7, true)]);
}

#[test]
fn an_acknowledgement_of_the_clients_covers_what_the_broker_takes_by_it() {
    let mut bench = mixed();
    deliver(&mut bench, &["t", "own", "t"], 1);
    bench.relays(&ack(1, 2, true), &[ack(100, 2, true)]);
    assert_eq!(all_passed(&mut bench), [ack(100, 3, false)]);
}

#[test]
fn all_so_far_becomes_a_tag_as_more_may_be_on_its_way() {
    let mut bench = mixed();
    deliver(&mut bench, &["own", "t", "own", "t"], 1);
    bench.relays(&ack(1, 0, true), &[ack(100, 3, true)]);
    assert_eq!(all_passed(&mut bench), [ack(100, 4, false)]);
    // And nothing at all where nothing is the client's.
    bench.relays(&ack(1, 0, true), &[]);
    bench.relays(&nack(1, 0, 0b11), &[]);
}

#[test]
fn what_the_client_puts_back_is_its_own_only() {
    let mut bench = mixed();
    deliver(&mut bench, &["t", "own", "t", "own", "t"], 1);
    let expected = [ack(100, 1, false), ack(100, 3, false), nack(100, 4, 0b11)];
    bench.relays(&nack(1, 4, 0b11), &expected);
    assert_eq!(all_passed(&mut bench), [ack(100, 5, false)]);
}

#[test]
fn recover_puts_back_the_clients_own_by_their_tags() {
    let mut bench = mixed();
    deliver(&mut bench, &["t", "own", "t"], 1);
    assert_eq!(bench.send(&method(1, 60, 110, &[1])), Pause::No);
    let (to_broker, to_client) = bench.take();
    assert_eq!(split(&to_broker), [ack(100, 1, false), nack(100, 2, 0b11)]);
    assert_eq!(to_client, method(1, 60, 111, b""));
    bench.relays(&method(1, 60, 100, &[1]), &[]);
    assert_eq!(all_passed(&mut bench), [ack(100, 3, false)]);
}

#[test]
fn a_client_cannot_settle_what_needs_no_acknowledgement() {
    let rows = [
        (ack(1, 1, false), (60, 80)),
        (ack(1, 1, true), (60, 80)),
        (nack(1, 1, 0b10), (60, 120)),
        (method(1, 60, 90, &[0, 0, 0, 0, 0, 0, 0, 1, 1]), (60, 90)),
        (ack(1, 7, false), (60, 80)),
    ];
    for (sent, class_method) in rows {
        let mut bench = mixed();
        deliver(&mut bench, &["t", "own"], 1);
        let (code, text, found) = bench.costs_channel(&sent, Rule::DeliveryTag);
        assert_eq!((code, found), (406, class_method));
        assert!(text.starts_with("PRECONDITION_FAILED - unknown delivery tag "));
        // A closed channel is not acknowledged on.
        assert_eq!(all_passed(&mut bench), [] as [Vec<u8>; 0]);
    }
}

#[test]
fn a_cancelled_consumer_is_acknowledged_to_the_end() {
    let mut bench = turned();
    bench.relays(&cancel(1, "t", 1), &[cancel(100, "t", 0)]);
    deliver(&mut bench, &["t"], 1);
    bench.delivers(&method(1, 60, 31, &short("t")), &[]);
    assert_eq!(all_passed(&mut bench), [ack(100, 1, false)]);
}

#[test]
fn a_tag_waits_for_the_answer_to_its_cancel_and_a_cancel_for_that_to_its_consume() {
    let mut bench = Bench::channel();
    let sent = [
        consume(1, "q", "t", NO_WAIT),
        cancel(1, "t", 0),
        consume(1, "q", "t", 0),
    ]
    .concat();
    assert_eq!(bench.send(&sent), Pause::Line);
    assert_eq!(split(&bench.take().0), [consume(100, "q", "t", 0)]);
    bench.delivers(&consume_ok(1, "t"), &[]);
    assert_eq!(bench.send(&[]), Pause::Line);
    assert_eq!(split(&bench.take().0), [cancel(100, "t", 0)]);
    let cancel_ok = method(1, 60, 31, &short("t"));
    bench.delivers(&cancel_ok, std::slice::from_ref(&cancel_ok));
    bench.relays(&[], &[consume(100, "q", "t", 0)]);
}

#[test]
fn consumers_named_by_the_broker_are_known_by_the_answer() {
    let mut bench = Bench::channel();
    let sent = [consume(1, "q", "", NO_ACK), consume(1, "q", "", 0)].concat();
    assert_eq!(bench.send(&sent), Pause::Line);
    assert_eq!(split(&bench.take().0).len(), 3);
    let answers = [qos_ok(), qos_ok(), consume_ok(1, "amq.ctag-1")].concat();
    bench.delivers(&answers, &[consume_ok(1, "amq.ctag-1")]);
    bench.relays(&[], &[consume(100, "q", "", 0)]);
    bench.delivers(&consume_ok(1, "amq.ctag-2"), &[consume_ok(1, "amq.ctag-2")]);
    deliver(&mut bench, &["amq.ctag-1", "amq.ctag-2", "amq.ctag-1"], 1);
    assert_eq!(
        all_passed(&mut bench),
        [ack(100, 1, false), ack(100, 3, false)]
    );
    let (code, _, _) = bench.costs_connection(&consume(1, "q", "amq.ctag-2", 0), Rule::ConsumerTag);
    assert_eq!(code, 530);
}

#[test]
fn some_consumers_stay_as_they_are() {
    // Replies to requests, transactions, and where something of the client's is on its way.
    let mut bench = Bench::channel();
    let reply = consume(1, "amq.rabbitmq.reply-to", "t", NO_ACK);
    bench.relays(
        &reply,
        &[consume(100, "amq.rabbitmq.reply-to", "t", NO_ACK)],
    );
    deliver(&mut bench, &["t"], 1);
    assert_eq!(all_passed(&mut bench), [] as [Vec<u8>; 0]);
    for before in [method(1, 90, 10, b""), ack(1, 0, true), get(1, "q", false)] {
        let mut bench = Bench::channel();
        bench.server.params.policy.trust_queue_types = true;
        assert_eq!(bench.send(&before), Pause::No);
        bench.broker(&method(
            1,
            60,
            71,
            &[&[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0][..], &[0; 4]].concat(),
        ));
        bench.take();
        bench.relays(
            &consume(1, "q", "t", NO_ACK),
            &[consume(100, "q", "t", NO_ACK)],
        );
    }
}

#[test]
fn a_get_on_the_same_channel_is_the_clients_to_settle() {
    let mut bench = turned();
    bench.server.params.policy.trust_queue_types = true;
    bench.relays(&get(1, "q", false), &[get(100, "q", false)]);
    deliver(&mut bench, &["t"], 1);
    let arguments = [&2_u64.to_be_bytes()[..], b"\0\0\x01q", &[0; 4]].concat();
    let got = content(1, method(1, 60, 71, &arguments), b"x", 100);
    bench.delivers(&got, &split(&got));
    deliver(&mut bench, &["t"], 3);
    assert_eq!(
        all_passed(&mut bench),
        [ack(100, 1, false), ack(100, 3, false)]
    );
    bench.relays(&ack(1, 2, false), &[ack(100, 2, false)]);
}

#[test]
fn acknowledgements_wait_for_a_commit() {
    let mut bench = turned();
    bench.relays(&method(1, 90, 10, b""), &[method(100, 90, 10, b"")]);
    bench.relays(&method(1, 90, 20, b""), &[method(100, 90, 20, b"")]);
    deliver(&mut bench, &["t", "t"], 1);
    assert_eq!(all_passed(&mut bench), [] as [Vec<u8>; 0]);
    bench.broker(&method(1, 90, 21, b""));
    assert_eq!(bench.take(), (ack(100, 2, true), method(1, 90, 21, b"")));
}

#[test]
fn a_cancel_of_the_brokers_goes_to_who_understands_it() {
    for (capabilities, told) in [(&["consumer_cancel_notify"][..], 1), (&[], 0)] {
        let mut bench = Bench::open_with(capabilities);
        bench.open_channel(1);
        assert_eq!(bench.send(&consume(1, "q", "t", 0)), Pause::No);
        bench.broker(&consume_ok(1, "t"));
        bench.take();
        let cancelled = cancel(1, "t", 1);
        bench.delivers(&cancelled, &vec![cancelled.clone(); told]);
        // The tag may be used again.
        bench.relays(&consume(1, "q", "t", 0), &[consume(100, "q", "t", 0)]);
    }
}

#[test]
fn deliveries_of_an_earlier_channel_are_not_acknowledged_on_a_later_one() {
    let mut bench = turned();
    deliver(&mut bench, &["t"], 1);
    bench.broker(&frames::close(1, 404, "NOT_FOUND", (0, 0)));
    bench.take();
    bench.relays(
        &[frames::close_ok(1), method(1, 20, 10, b"\0")].concat(),
        &[method(101, 20, 10, b"\0")],
    );
    assert_eq!(all_passed(&mut bench), [] as [Vec<u8>; 0]);
}
