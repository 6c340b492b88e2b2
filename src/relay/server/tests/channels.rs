//! The opening and closing of channels, by whichever of the three closes first.

use super::*;

fn close(channel: u16) -> Vec<u8> {
    frames::close(channel, 200, "bye", (0, 0))
}

fn close_ok(channel: u16) -> Vec<u8> {
    frames::close_ok(channel)
}

fn open(channel: u16) -> Vec<u8> {
    method(channel, 20, 10, b"\0")
}

#[test]
fn a_channel_waits_for_a_free_number() {
    let mut bench = Bench::open();
    bench.line.full.set(true);
    let sent = [open(1), publish(1, b"x")].concat();
    assert_eq!(bench.send(&sent), Pause::Line);
    assert_eq!(bench.send(&[]), Pause::Line);
    bench.line.full.set(false);
    let expected = [vec![open(100)], split(&publish(100, b"x"))].concat();
    bench.relays(&[], &expected);
}

#[test]
fn what_waits_is_left_over_even_if_its_beginning_came_before() {
    let mut bench = Bench::open();
    bench.line.full.set(true);
    let sent = [open(1), publish(1, b"x")].concat();
    let first = bench.send(&sent[..5]);
    assert_eq!((first, bench.waiting.len()), (Pause::No, 0));
    assert_eq!(bench.send(&sent[5..open(1).len()]), Pause::Line);
    assert_eq!(bench.waiting.len(), open(1).len() - 5);
    assert_eq!(bench.send(&sent[open(1).len()..]), Pause::Line);
    bench.line.full.set(false);
    let expected = [vec![open(100)], split(&publish(100, b"x"))].concat();
    bench.relays(&[], &expected);
}

#[test]
fn a_client_that_closes_gets_everything_until_close_ok() {
    let mut bench = Bench::channel();
    bench.relays(&[close(1), publish(1, b"late")].concat(), &[close(100)]);
    bench.delivers(
        &delivery(1, "c", 1, b"x"),
        &split(&delivery(1, "c", 1, b"x")),
    );
    assert!(bench.line.freed.borrow().is_empty());
    bench.delivers(&close_ok(1), &[close_ok(1)]);
    assert_eq!(bench.line.freed.take(), [100]);
    assert_eq!((bench.server.channels(), bench.server.booked), (0, 0));
    bench.relays(&open(1), &[open(101)]);
}

#[test]
fn a_channel_closed_twice_is_confirmed_twice() {
    let mut bench = Bench::channel();
    bench.relays(&[close(1), close(1)].concat(), &[close(100)]);
    bench.delivers(&close_ok(1), &[close_ok(1), close_ok(1)]);
}

#[test]
fn a_broker_that_closes_is_answered_at_once() {
    let mut bench = Bench::channel();
    bench.broker(&frames::close(1, 404, "NOT_FOUND - no", (60, 40)));
    let (to_broker, to_client) = bench.take();
    assert_eq!(to_broker, close_ok(100));
    assert_eq!(to_client, frames::close(1, 404, "NOT_FOUND - no", (60, 40)));
    assert_eq!(bench.line.freed.take(), [100]);
    bench.relays(&publish(1, b"late"), &[]);
    // A close of the client's that crossed it is confirmed, and still it owes its own close-ok.
    assert_eq!(bench.send(&close(1)), Pause::No);
    assert_eq!(bench.take().1, close_ok(1));
    bench.relays(&close_ok(1), &[]);
    bench.relays(&open(1), &[open(101)]);
}

#[test]
fn both_may_close_at_once() {
    let mut bench = Bench::channel();
    bench.relays(&close(1), &[close(100)]);
    bench.broker(&frames::close(1, 404, "NOT_FOUND - no", (60, 40)));
    let (to_broker, to_client) = bench.take();
    assert_eq!(to_broker, close_ok(100));
    assert_eq!(to_client, frames::close(1, 404, "NOT_FOUND - no", (60, 40)));
    assert!(bench.line.freed.borrow().is_empty());
    bench.delivers(&close_ok(1), &[close_ok(1)]);
    assert_eq!(bench.line.freed.take(), [100]);
    bench.relays(&close_ok(1), &[]);
    assert_eq!(bench.server.channels(), 0);
}

#[test]
fn a_refused_channel_may_be_opened_again_when_the_broker_has_closed_it_too() {
    let mut bench = Bench::channel();
    bench.costs_channel(&too_large(), Rule::MessageSize);
    // What follows of the message, and what the broker had sent before, goes nowhere.
    bench.relays(&frame(3, 1, b"rest"), &[]);
    bench.delivers(&delivery(1, "c", 1, b"x"), &[]);
    assert_eq!(bench.send(&[close_ok(1), open(1)].concat()), Pause::Line);
    bench.delivers(&close_ok(1), &[]);
    assert_eq!(bench.line.freed.take(), [100]);
    bench.relays(&[], &[open(101)]);
}

#[test]
fn a_refused_channel_that_the_broker_closes_at_the_same_time_is_closed_twice() {
    let mut bench = Bench::channel();
    bench.costs_channel(&too_large(), Rule::MessageSize);
    bench.broker(&frames::close(1, 404, "NOT_FOUND - no", (60, 40)));
    let (to_broker, to_client) = bench.take();
    assert_eq!((to_broker, to_client), (close_ok(100), vec![]));
    assert!(bench.line.freed.borrow().is_empty());
    bench.delivers(&close_ok(1), &[]);
    assert_eq!(bench.line.freed.take(), [100]);
    bench.relays(&close_ok(1), &[]);
    assert_eq!(bench.server.channels(), 0);
}

/// Something that is refused on channel 1.
fn too_large() -> Vec<u8> {
    [
        method(1, 60, 40, b"\0\0\0\x01q\0"),
        header(1, MESSAGE_MAX as u64 + 1),
    ]
    .concat()
}

#[test]
fn methods_on_channels_that_are_not_open_cost_the_connection() {
    let rows = [
        (
            open(1),
            Rule::ChannelOpenedTwice,
            "second 'channel.open' seen",
            (20, 10),
        ),
        (
            qos(2, 1, false),
            Rule::ChannelNotOpen,
            "expected 'channel.open'",
            (60, 10),
        ),
        (
            close(2),
            Rule::ChannelNotOpen,
            "expected 'channel.open'",
            (20, 40),
        ),
        (
            close_ok(2),
            Rule::ChannelNotOpen,
            "expected 'channel.open'",
            (20, 41),
        ),
    ];
    for (sent, rule, text, class_method) in rows {
        let mut bench = Bench::channel();
        let expected = (504, format!("CHANNEL_ERROR - {text}"), class_method);
        assert_eq!(bench.costs_connection(&sent, rule), expected);
    }
    let mut bench = Bench::channel();
    bench.relays(&close(1), &[close(100)]);
    let (code, _, _) = bench.costs_connection(&open(1), Rule::ChannelOpenedTwice);
    assert_eq!(code, 504);
}

#[test]
fn nothing_overtakes_a_commit() {
    let mut bench = Bench::channel();
    bench.relays(&method(1, 90, 10, b""), &[method(100, 90, 10, b"")]);
    let commit = [publish(1, b"x"), method(1, 90, 20, b""), publish(1, b"y")].concat();
    assert_eq!(bench.send(&commit), Pause::Line);
    let expected = [split(&publish(100, b"x")), vec![method(100, 90, 20, b"")]].concat();
    assert_eq!(split(&bench.take().0), expected);
    bench.broker(&method(1, 90, 21, b""));
    bench.take();
    bench.relays(&[], &split(&publish(100, b"y")));
    // But a close does.
    bench.relays(
        &[method(1, 90, 20, b""), close(1)].concat(),
        &[method(100, 90, 20, b""), close(100)],
    );
}

/// As RabbitMQ does where one error came behind another; it ends the connection over a second answer.
#[test]
fn a_broker_that_closes_twice_is_answered_once() {
    let mut bench = Bench::channel();
    let closed = frames::close(1, 404, "NOT_FOUND - no", (60, 40));
    bench.broker(&[closed.clone(), closed.clone()].concat());
    assert_eq!(bench.take(), (close_ok(100), closed));
}
