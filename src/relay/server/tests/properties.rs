//! What holds for any bytes, cut anywhere.

use proptest::prelude::*;

use super::*;

/// One thing a client does on channel 1 to 3.
fn action() -> impl Strategy<Value = Vec<u8>> {
    let channel = 1..4_u16;
    prop_oneof![
        4 => (channel.clone(), 0..20_000_usize).prop_map(|(channel, size)| publish(channel, &vec![5; size])),
        4 => (channel.clone(), 0..64_usize).prop_map(|(channel, size)| publish(channel, &vec![5; size])),
        2 => channel.clone().prop_map(|channel| ack(channel, 0, true)),
        1 => channel.clone().prop_map(|channel| consume(channel, "q", "t", NO_ACK)),
        1 => channel.clone().prop_map(|channel| declare(channel, "x", 4, b"")),
        1 => channel.clone().prop_map(|channel| qos(channel, 3, false)),
        1 => channel.clone().prop_map(|channel| frames::close(channel, 200, "", (0, 0))),
        1 => channel.clone().prop_map(|channel| publish(channel, &vec![5; MESSAGE_MAX + 1])),
        1 => Just(frame(8, 0, b"")),
        1 => channel.prop_map(|channel| method(channel, 60, 99, b"")),
    ]
}

/// Frames of several channels mixed, those of each in order.
fn mixed(actions: Vec<Vec<u8>>, order: &[usize]) -> Vec<u8> {
    let mut lanes: Vec<VecDeque<Vec<u8>>> = vec![VecDeque::new(); 4];
    for action in actions {
        for frame in split(&action) {
            lanes[usize::from(frame[2]).min(3)].push_back(frame);
        }
    }
    let mut sent = Vec::new();
    let mut turns = order.iter().cycle();
    while lanes.iter().any(|lane| !lane.is_empty()) {
        let turn = turns.next().copied().unwrap_or_default();
        let lane = (0..4)
            .map(|step| (turn + step) % 4)
            .find(|lane| !lanes[*lane].is_empty());
        if let Some(frame) = lane.and_then(|lane| lanes[lane].pop_front()) {
            sent.extend(frame);
        }
    }
    sent
}

type Outcome = (Vec<u8>, Vec<u8>, Option<Violation>, Vec<Rule>, Tally);

/// What comes out when a client with three channels sends these pieces.
fn outcome(pieces: &[&[u8]]) -> Outcome {
    let mut bench = Bench::open();
    for number in 1..4 {
        bench.open_channel(number);
    }
    let (mut to_broker, mut to_client) = (Vec::new(), Vec::new());
    for piece in pieces {
        let _ = bench.send(piece);
        let (broker, client) = bench.take();
        to_broker.extend(broker);
        to_client.extend(client);
    }
    let Output {
        violation,
        refusals,
        tally,
        ..
    } = bench.out;
    (to_broker, to_client, violation, refusals, tally)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn how_the_clients_bytes_are_cut_makes_no_difference(
        actions in prop::collection::vec(action(), 1..12),
        order in prop::collection::vec(0..4_usize, 1..8),
        cuts in prop::collection::vec(1..30_000_usize, 1..12),
    ) {
        let sent = mixed(actions, &order);
        let whole = outcome(&[&sent]);
        let mut pieces = Vec::new();
        let mut rest = &sent[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        prop_assert_eq!(outcome(&pieces), whole);
    }

    #[test]
    fn publishes_reach_the_connection_whole_and_renumbered(
        sizes in prop::collection::vec((1..4_u16, 0..3000_usize), 1..20),
        order in prop::collection::vec(0..4_usize, 1..8),
    ) {
        let publishes = sizes.iter().map(|(channel, size)| publish(*channel, &vec![5; *size]));
        let (to_broker, ..) = outcome(&[&mixed(publishes.collect(), &order)]);
        // Renumbered back, each channel has what was sent on it, and messages do not mix.
        let mut frames = split(&to_broker).into_iter().peekable();
        let mut found: Vec<Vec<u8>> = vec![Vec::new(); 4];
        while let Some(mut frame) = frames.next() {
            let upstream = frame[2];
            let mut last = false;
            loop {
                prop_assert_eq!(frame[2], upstream);
                frame[2] -= 99;
                found[usize::from(frame[2])].extend(&frame);
                if last {
                    break;
                }
                match frames.next_if(|next| next[0] != 1) {
                    Some(next) => frame = next,
                    None => break,
                }
                last = frame[0] == 3;
            }
        }
        for channel in 1..4_u16 {
            let expected: Vec<u8> = sizes
                .iter()
                .filter(|(found, _)| *found == channel)
                .flat_map(|(channel, size)| publish(*channel, &vec![5; *size]))
                .collect();
            prop_assert_eq!(&found[usize::from(channel)], &expected);
        }
    }

    #[test]
    fn what_reaches_the_client_does_not_depend_on_the_batches(
        bodies in prop::collection::vec((1..4_u16, 0..30_000_usize), 1..8),
        at in 0..20_usize,
    ) {
        let sent: Vec<u8> = bodies
            .iter()
            .zip(1..)
            .flat_map(|((channel, size), tag)| delivery(*channel, "t", tag, &vec![5; *size]))
            .collect();
        let frames = split(&sent);
        let at = at.min(frames.len());
        let mut outcomes = Vec::new();
        for pieces in [vec![sent.clone()], vec![frames[..at].concat(), frames[at..].concat()], frames.clone()] {
            let mut bench = Bench::open();
            for number in 1..4 {
                bench.open_channel(number);
                let _ = bench.send(&consume(number, "q", "t", NO_ACK));
            }
            bench.take();
            let start = bench.server.position;
            for piece in pieces {
                bench.broker(&piece);
            }
            let (_, to_client) = bench.take();
            prop_assert_eq!(bench.server.position - start, to_client.len() as u64);
            let ends: Vec<u64> = bench.server.crossing.iter().map(|crossing| crossing.end).collect();
            prop_assert_eq!(ends.len(), bodies.len());
            outcomes.push((to_client, ends));
        }
        prop_assert_eq!(&outcomes[0], &outcomes[1]);
        prop_assert_eq!(&outcomes[0], &outcomes[2]);
    }

    #[test]
    fn no_bytes_make_it_panic(
        from_client in prop::collection::vec(any_frame(), 0..20),
        from_broker in prop::collection::vec(any_frame(), 0..20),
        noise in prop::collection::vec(any::<u8>(), 0..60),
        passed: u64,
    ) {
        for negotiated in [false, true] {
            let mut bench = if negotiated { Bench::channel() } else { Bench::greeted() };
            for (client, broker) in from_client.iter().zip(&from_broker) {
                let _ = bench.send(client);
                bench.broker(broker);
                bench.server.passed(passed, &mut bench.out);
            }
            bench.broker(&noise);
            let _ = bench.send(&noise);
            bench.server.passed(u64::MAX, &mut bench.out);
            bench.server.seated(&mut bench.out);
            bench.server.left(&mut bench.out);
            bench.server.close_towards_client(ReplyCode(320), "x", (0, 0));
            let _ = bench.send(&noise);
            let _ = format!("{:?}", bench.server);
        }
    }
}

/// A frame that is almost one that makes sense.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let methods = [
        (10, 11),
        (10, 31),
        (10, 40),
        (10, 50),
        (10, 51),
        (20, 10),
        (20, 11),
        (20, 40),
        (20, 41),
        (40, 10),
        (50, 10),
        (50, 11),
        (50, 20),
        (50, 40),
        (50, 41),
        (60, 10),
        (60, 11),
        (60, 20),
        (60, 21),
        (60, 30),
        (60, 31),
        (60, 40),
        (60, 60),
        (60, 70),
        (60, 71),
        (60, 80),
        (60, 110),
        (60, 120),
        (90, 10),
        (90, 20),
        (90, 21),
    ];
    let bytes = prop::collection::vec(prop_oneof![3 => 0..3_u8, 1 => any::<u8>()], 0..24);
    prop_oneof![
        4 => (0..3_u16, prop::sample::select(methods.to_vec()), bytes.clone())
            .prop_map(|(channel, (class, number), arguments)| method(channel, class, number, &arguments)),
        1 => (0..10_u8, 0..3_u16, bytes).prop_map(|(kind, channel, payload)| frame(kind, channel, &payload)),
        2 => (1..3_u16, 0..40_u64).prop_map(|(channel, tag)| delivery(channel, "t", tag, b"x")),
        2 => (1..3_u16, 0..40_u64, any::<bool>()).prop_map(|(channel, tag, all)| ack(channel, tag, all)),
        1 => (1..3_u16, 0..16_u8).prop_map(|(channel, bits)| consume(channel, "q", "t", bits)),
        1 => (1..3_u16, 0..16_u8).prop_map(|(channel, bits)| consume(channel, "q", "", bits)),
        1 => (1..3_u16).prop_map(|channel| cancel(channel, "t", 1)),
        1 => (1..3_u16).prop_map(|channel| consume_ok(channel, "t")),
        1 => (1..3_u16, 0..32_u8).prop_map(|(channel, bits)| declare(channel, "q", bits, b"")),
        1 => (1..3_u16).prop_map(|channel| declare_ok(channel, "q")),
    ]
}
