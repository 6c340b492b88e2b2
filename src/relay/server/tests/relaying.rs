//! Frames that go on: renumbered, whole, in place.

use super::*;

#[test]
fn a_batch_of_whole_publishes_goes_on_in_its_own_buffer() {
    let mut bench = Bench::channel();
    let sent = [publish(1, b"one"), ack(1, 0, true), publish(1, b"two")].concat();
    let mut batch = Batch::copied(&sent);
    let place = batch.bytes().as_ptr();
    let pause = bench
        .server
        .from_client(&mut batch, Some(&bench.line), &mut bench.out);
    assert_eq!(pause, Pause::No);
    assert!(batch.is_empty());
    assert_eq!(bench.out.to_broker.len(), 1);
    let gone_on = &bench.out.to_broker[0];
    assert_eq!(gone_on.bytes().as_ptr(), place);
    let expected = [
        publish(100, b"one"),
        ack(100, 0, true),
        publish(100, b"two"),
    ]
    .concat();
    assert_eq!(gone_on.bytes(), expected);
    assert_eq!(bench.out.tally.publishes, 2);
    assert_eq!(bench.out.tally.frames_from_client, 7);
}

#[test]
fn deliveries_go_on_in_their_own_buffer() {
    let mut bench = Bench::channel();
    let sent = [
        delivery(1, "c", 1, b"one"),
        ack(1, 1, false),
        delivery(1, "c", 2, b"two"),
    ]
    .concat();
    let batch = Batch::copied(&sent);
    let place = batch.bytes().as_ptr();
    bench.server.to_client(batch, &bench.line, &mut bench.out);
    assert_eq!(bench.out.to_client.len(), 1);
    assert_eq!(bench.out.to_client[0].bytes().as_ptr(), place);
    assert_eq!(bench.out.to_client[0].bytes(), sent);
    assert_eq!(bench.out.tally.deliveries, 2);
    assert_eq!(bench.out.tally.frames_to_client, 7);
}

#[test]
fn a_publish_waits_until_it_is_whole_and_others_do_not_wait_for_it() {
    let mut bench = Bench::channel();
    bench.open_channel(2);
    let body = vec![7; 10_000];
    let large = publish(1, &body);
    let (begin, end) = large.split_at(5000);
    bench.relays(begin, &[]);
    assert_eq!(bench.send(&end[..5000]), Pause::No);
    let (to_broker, _) = bench.take();
    assert!(to_broker.is_empty());
    let frames = split(&publish(100, &body));
    bench.relays(&end[5000..], &frames);
    // Frames of another channel stand between those of a message.
    let frames = split(&large);
    let sent = [
        frames[..2].concat(),
        publish(2, b"short"),
        frames[2..].concat(),
    ]
    .concat();
    let expected = [split(&publish(101, b"short")), split(&publish(100, &body))].concat();
    bench.relays(&sent, &expected);
    assert_eq!(bench.server.gathered, 0);
}

#[test]
fn two_messages_at_a_time_keep_apart() {
    let mut bench = Bench::channel();
    bench.open_channel(2);
    let one = split(&publish(1, b"one"));
    let two = split(&publish(2, b"two"));
    let mixed: Vec<u8> = one
        .iter()
        .zip(&two)
        .flat_map(|(one, two)| [&one[..], two].concat())
        .collect();
    let expected = [split(&publish(100, b"one")), split(&publish(101, b"two"))].concat();
    bench.relays(&mixed, &expected);
}

#[test]
fn a_message_without_a_body_is_whole_with_its_header() {
    let mut bench = Bench::channel();
    let frames = split(&publish(1, b""));
    assert_eq!(frames.len(), 2);
    bench.relays(&frames[0], &[]);
    bench.relays(&frames[1], &split(&publish(100, b"")));
    let empty_frames = [
        method(1, 60, 40, b"\0\0\0\x01q\0"),
        header(1, 2),
        frame(3, 1, b""),
        frame(3, 1, b"ab"),
    ];
    let sent = empty_frames.concat();
    assert_eq!(bench.send(&sent), Pause::No);
    assert_eq!(split(&bench.take().0).len(), 4);
}

#[test]
fn bodies_are_cut_to_the_clients_frames() {
    let mut bench = Bench::channel();
    let body: Vec<u8> = (0..20_000_u32).map(|at| at as u8).collect();
    let piece = FRAME_MAX as usize - 8;
    let tag = 1_u64.to_be_bytes();
    let arguments = [&short("c")[..], &tag, b"\0\0\x01q"].concat();
    let begin = method(1, 60, 60, &arguments);
    let expected = content(1, begin, &body, piece);
    bench.delivers(&delivery(1, "c", 1, &body), &split(&expected));
    assert_eq!(
        bench.out.tally.frames_to_client as usize,
        split(&expected).len()
    );
}

#[test]
fn what_the_broker_sends_on_unknown_channels_goes_nowhere() {
    let mut bench = Bench::channel();
    bench.delivers(&delivery(2, "c", 1, b"x"), &[]);
    bench.delivers(
        &method(1, 60, 80, &[0, 0, 0, 0, 0, 0, 0, 1, 0]),
        &[ack(1, 1, false)],
    );
    // Not even frames.
    bench.delivers(&[1, 0, 1, 0], &[]);
    bench.delivers(&frame(1, 1, &[0, 60]), &[]);
}

#[test]
fn incomplete_messages_together_have_a_bound() {
    let mut bench = Bench::channel();
    bench.open_channel(2);
    let begin = |channel| {
        let whole = split(&publish(channel, &vec![0; MESSAGE_MAX]));
        whole[..whole.len() - 1].concat()
    };
    bench.relays(&begin(1), &[]);
    let (code, _, class_method) = bench.costs_connection(&begin(2), Rule::PublishMemory);
    assert_eq!((code, class_method), (506, (60, 40)));
}

#[test]
fn a_refused_connection_lets_go_on_what_was_whole_before() {
    let mut bench = Bench::channel();
    let half = split(&publish(1, b"half"));
    let sent = [
        publish(1, b"whole"),
        half[0].clone(),
        half[1].clone(),
        frame(9, 1, b""),
    ];
    assert_eq!(bench.send(&sent.concat()), Pause::Over);
    let (to_broker, _) = bench.take();
    assert_eq!(to_broker, publish(100, b"whole"));
}
