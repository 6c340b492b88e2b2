//! The same bytes give the same messages, wherever reads and frames cut them.

use super::*;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

#[test]
fn sample_streams_cut_everywhere() {
    let long = vec![0xA5; 300];
    let stream = [
        frame(FIN | BINARY, b"AMQP\0\0\x09\x01"),
        frame(FIN | BINARY, b""),
        frame(FIN | TEXT, b""),
        frame(FIN | TEXT, "grüß €uch 😀".as_bytes()),
        frame(PING, b""),
        frame(BINARY, b""),
        frame(CONTINUE, b"first"),
        frame(PONG, &[1; 125]),
        frame(CONTINUE, b""),
        frame(CONTINUE, &long),
        frame(FIN, b""),
        frame(BINARY, b"x"),
        frame(FIN, b"y"),
        frame(FIN | BINARY, &[9; 125]),
        frame(FIN | BINARY, &[8; 126]),
        frame(CLOSE, b"\x03\xe8done"),
    ]
    .concat();
    let close = Control::Close(Some((CloseCode::NORMAL, "done".to_owned())));
    assert_eq!(
        see_however_cut(&stream, ROOMY, false),
        Seen::default()
            .binary(b"AMQP\0\0\x09\x01")
            .binary(b"")
            .text("")
            .text("grüß €uch 😀")
            .binary(&[b"first", &long[..]].concat())
            .binary(b"xy")
            .binary(&[9; 125])
            .binary(&[8; 126])
            .control(Control::Ping(vec![]))
            .control(Control::Pong(vec![1; 125]))
            .control(close)
    );
}

#[test]
fn a_64_bit_length_cut_in_its_header_and_payload() {
    let payload: Vec<u8> = (0..70_000u32).map(|i| (i % 251) as u8).collect();
    let stream = [frame(FIN | BINARY, &payload), frame(FIN | BINARY, b"next")].concat();
    for cut in (0..40).chain(69_990..stream.len()) {
        let mut reader = Reader::new(ROOMY, false);
        reader.read(&stream[..cut]);
        reader.read(&stream[cut..]);
        let expected = Seen::default().binary(&payload).binary(b"next");
        assert!(reader.seen == expected, "cut at {cut}");
    }
}

#[test]
fn pieces_of_one_read_are_merged() {
    let piece = |len, first, last| Piece {
        opcode: Opcode::Binary,
        len,
        first,
        last,
        rsv1: false,
    };
    let mut reader = Reader::new(ROOMY, false);
    let stream = [
        frame(FIN | BINARY, b"one"),
        frame(BINARY, b"t"),
        frame(CONTINUE, b"w"),
        frame(PING, b"?"),
        frame(FIN, b"o"),
        frame(BINARY, b""),
    ]
    .concat();
    assert_eq!(
        reader.read(&stream),
        [
            piece(3, true, true),
            piece(3, true, true),
            piece(0, true, false)
        ]
    );
    let cut = frame(CONTINUE, b"three");
    assert_eq!(reader.read(&cut[..6]), [], "only a header");
    assert_eq!(reader.read(&cut[6..8]), [piece(2, false, false)]);
    assert_eq!(
        reader.read(&[&cut[8..], &frame(FIN, b"")].concat()),
        [piece(3, false, true)]
    );
    let late = frame(FIN | BINARY, b"4");
    assert_eq!(reader.read(&late[..6]), [], "not begun before a byte of it");
    assert_eq!(reader.read(&late[6..]), [piece(1, true, true)]);
}

/// One data message: its kind, its payload, where it is cut into frames, and
/// the control frames that come in between.
#[derive(Clone, Debug)]
struct Plan {
    opcode: Opcode,
    rsv1: bool,
    payload: Vec<u8>,
    cuts: Vec<Index>,
    between: Vec<(Index, Control)>,
}

fn controls() -> impl Strategy<Value = Control> {
    let payload = || vec(any::<u8>(), 0..=125);
    prop_oneof![
        payload().prop_map(Control::Ping),
        payload().prop_map(Control::Pong),
    ]
}

fn payloads() -> impl Strategy<Value = (Opcode, bool, Vec<u8>)> {
    let bytes = || {
        prop_oneof![
            30 => vec(any::<u8>(), 0..200),
            1 => any::<u8>().prop_map(|start| (0..65_600u32).map(|i| (i % 251) as u8 ^ start).collect()),
        ]
    };
    let text = vec(any::<char>(), 0..60).prop_map(|c| c.into_iter().collect::<String>());
    prop_oneof![
        bytes().prop_map(|payload| (Opcode::Binary, false, payload)),
        bytes().prop_map(|payload| (Opcode::Binary, true, payload)),
        bytes().prop_map(|payload| (Opcode::Text, true, payload)),
        text.prop_map(|text| (Opcode::Text, false, text.into_bytes())),
    ]
}

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let cuts = prop_oneof![2 => Just(Vec::new()), 1 => vec(any::<Index>(), 1..5)];
    let between = prop_oneof![
        2 => Just(Vec::new()),
        1 => vec((any::<Index>(), controls()), 1..3),
    ];
    let plan =
        (payloads(), cuts, between).prop_map(|((opcode, rsv1, payload), cuts, between)| Plan {
            opcode,
            rsv1,
            payload,
            cuts,
            between,
        });
    vec(plan, 0..12)
}

fn encode(plan: &Plan, keys: &mut impl Iterator<Item = [u8; 4]>, stream: &mut Vec<u8>) -> Seen {
    let mut seen = Seen::default();
    let mut places: Vec<usize> = plan
        .cuts
        .iter()
        .map(|cut| cut.index(plan.payload.len() + 1))
        .collect();
    places.sort_unstable();
    places.push(plan.payload.len());
    let mut from = 0;
    for (at, &to) in places.iter().enumerate() {
        for (place, control) in &plan.between {
            if place.index(places.len()) == at {
                let (first, payload) = match control {
                    Control::Ping(payload) => (PING, payload),
                    Control::Pong(payload) => (PONG, payload),
                    Control::Close(_) => unreachable!("not planned"),
                };
                stream.extend(frame_with(keys.next().expect("endless"), first, payload));
                seen.controls.push(control.clone());
            }
        }
        let mut first = match (at, plan.opcode) {
            (0, Opcode::Text) => TEXT,
            (0, Opcode::Binary) => BINARY,
            (_, _) => CONTINUE,
        };
        if at == 0 && plan.rsv1 {
            first |= RSV1;
        }
        if at + 1 == places.len() {
            first |= FIN;
        }
        let payload = &plan.payload[from..to];
        stream.extend(frame_with(keys.next().expect("endless"), first, payload));
        from = to;
    }
    seen.messages
        .push((plan.opcode, plan.rsv1, plan.payload.clone()));
    seen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_a_client_sends_is_what_is_seen(
        plans in plans(),
        keys in vec(any::<[u8; 4]>(), 1..8),
        cuts in vec(any::<Index>(), 0..20),
    ) {
        let mut keys = keys.into_iter().cycle();
        let mut stream = Vec::new();
        let mut expected = Seen::default();
        for plan in &plans {
            let seen = encode(plan, &mut keys, &mut stream);
            expected.messages.extend(seen.messages);
            expected.controls.extend(seen.controls);
        }
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        places.sort_unstable();
        places.push(stream.len());

        let mut reader = Reader::new(ROOMY, true);
        let mut from = 0;
        for to in places {
            reader.read(&stream[from..to]);
            from = to;
        }
        prop_assert!(reader.open.is_none());
        prop_assert!(reader.seen == expected);
    }

    /// Whatever bytes come, the cuts do not show.
    #[test]
    fn noise_is_judged_alike_however_cut(
        noise in vec(prop_oneof![Just(0x82), Just(0x80), Just(0x81), Just(0x00), Just(0x01), any::<u8>()], 0..80),
        rsv1_agreed in any::<bool>(),
    ) {
        let limits = Limits { message_bytes: 200, fragments: 3 };
        see_however_cut(&noise, limits, rsv1_agreed);
    }
}
