//! Limits at the limit and one past it, and what a decoder costs.

use super::*;

#[test]
fn announced_lengths_at_the_limit_and_one_past() {
    // Each form of the length, alone and as the sum of two frames.
    for limit in [0, 1, 100, 125, 126, 1000, 65535, 65536, 70000] {
        let limits = Limits {
            message_bytes: limit,
            fragments: 3,
        };
        let payload = vec![7; limit as usize];
        let seen = see(&frame(FIN | BINARY, &payload), limits, false);
        assert_eq!(seen, Seen::default().binary(&payload));

        let half = payload.len() / 2;
        let split = [
            frame(BINARY, &payload[..half]),
            frame(CONTINUE, &payload[half..]),
        ]
        .concat();
        let seen = see(&[&split[..], &frame(FIN, b"")].concat(), limits, false);
        assert_eq!(seen, Seen::default().binary(&payload));

        let too_big = Seen::default().violation(Violation::MessageTooBig);
        assert_eq!(see(&head(FIN | BINARY, limit + 1), limits, false), too_big);
        let seen = see(&[&split[..], &frame(FIN, b"x")].concat(), limits, false);
        assert_eq!(seen, too_big);
    }
}

#[test]
fn the_sum_of_lengths_does_not_overflow() {
    let limits = Limits {
        message_bytes: u64::MAX,
        fragments: 10,
    };
    let mut decoder = Decoder::new(limits, false);
    decoder.message = Some(Message {
        announced: u64::MAX - 10,
        frames: 1,
        opcode: Opcode::Binary,
        rsv1: false,
        begun: true,
        utf8: Utf8::default(),
    });
    let decoded = decoder.decode(&mut head(FIN, 11), &mut Vec::new(), &mut Vec::new());
    assert_eq!(decoded.violation, Some(Violation::MessageTooBig));
}

#[test]
fn a_control_frame_is_no_part_of_a_message() {
    let limits = Limits {
        message_bytes: 2,
        fragments: 2,
    };
    let ping = vec![9; 125];
    let stream = [
        frame(TEXT, b"a"),
        frame(PING, &ping),
        frame(PONG, b""),
        frame(FIN, b"b"),
    ]
    .concat();
    assert_eq!(
        see_however_cut(&stream, limits, false),
        Seen::default()
            .text("ab")
            .control(Control::Ping(ping))
            .control(Control::Pong(vec![]))
    );
}

#[test]
fn fragments_at_the_limit_and_one_past() {
    for fragments in 1..6u32 {
        let limits = Limits {
            message_bytes: 100,
            fragments,
        };
        let mut stream = frame(BINARY, b"");
        for _ in 1..fragments - 1 {
            stream.extend_from_slice(&frame(CONTINUE, b""));
        }
        if fragments == 1 {
            stream = frame(FIN | BINARY, b"");
        } else {
            stream.extend_from_slice(&frame(FIN, b""));
        }
        let seen = see_however_cut(&stream, limits, false);
        assert_eq!(seen, Seen::default().binary(b""), "{fragments}");

        let mut stream = frame(BINARY, b"");
        for _ in 0..fragments {
            stream.extend_from_slice(&frame(CONTINUE, b""));
        }
        assert_eq!(
            see_however_cut(&stream, limits, false),
            Seen::default().violation(Violation::TooManyFragments),
            "{fragments}"
        );
    }
}

#[test]
fn other_limits_hold_from_the_next_header_on() {
    let small = Limits {
        message_bytes: 4,
        fragments: 2,
    };
    let mut reader = Reader::new(ROOMY, false);
    let first = frame(BINARY, b"four bytes and more");
    reader.read(&first[..10]);
    reader.decoder.set_limits(small);
    reader.read(&first[10..]);
    assert_eq!(reader.seen, Seen::default());
    reader.read(&head(FIN, 0));
    assert_eq!(reader.seen.violation, Some(Violation::MessageTooBig));

    let mut reader = Reader::new(small, false);
    reader.decoder.set_limits(ROOMY);
    reader.read(&frame(FIN | BINARY, b"12345"));
    assert_eq!(reader.seen, Seen::default().binary(b"12345"));
}

#[test]
fn nothing_of_a_message_that_is_too_big_is_delivered() {
    let limits = Limits {
        message_bytes: 4,
        fragments: 2,
    };
    let mut reader = Reader::new(limits, false);
    let pieces = reader.read(&frame(FIN | BINARY, b"12345"));
    assert!(pieces.is_empty() && reader.open.is_none());
}

#[test]
fn a_quiet_decoder_is_small_and_holds_nothing() {
    assert!(size_of::<Decoder>() <= 64, "{}", size_of::<Decoder>());
    let mut reader = Reader::new(ROOMY, false);
    reader.read(&frame(TEXT, "cut: é".as_bytes())[..12]);
    assert!(reader.decoder.cut.is_none(), "payload is not carried");
    let mut reader = Reader::new(ROOMY, false);
    reader.read(&frame(PING, b"abc")[..8]);
    assert!(reader.decoder.cut.is_some());
    reader.read(&frame(PING, b"abc")[8..]);
    assert!(reader.decoder.cut.is_none());
}
