//! Frames for the client, read back by a small reader of their own.

use super::*;

/// What a client reads of an unmasked frame: the opcode, FIN, RSV1, the
/// payload, and what follows the frame.
fn read(bytes: &[u8]) -> (u8, bool, bool, &[u8], &[u8]) {
    assert_eq!(bytes[1] & 0x80, 0, "not masked");
    assert_eq!(bytes[0] & 0x30, 0, "RSV2 and RSV3 are zero");
    let (len, at) = match bytes[1] {
        126 => {
            let len = u16::from_be_bytes([bytes[2], bytes[3]]);
            assert!(len > 125, "minimal");
            (usize::from(len), 4)
        }
        127 => {
            let raw = bytes[2..10].try_into().expect("eight bytes");
            let len = u64::from_be_bytes(raw);
            assert!(len > 0xFFFF && len >> 63 == 0, "minimal");
            (len as usize, 10)
        }
        short => (usize::from(short), 2),
    };
    let (payload, rest) = bytes[at..].split_at(len);
    let first = bytes[0];
    (
        first & 0x0F,
        first & 0x80 != 0,
        first & 0x40 != 0,
        payload,
        rest,
    )
}

const ALL: [(FrameOpcode, u8); 6] = [
    (FrameOpcode::Continuation, 0),
    (FrameOpcode::Text, 1),
    (FrameOpcode::Binary, 2),
    (FrameOpcode::Close, 8),
    (FrameOpcode::Ping, 9),
    (FrameOpcode::Pong, 10),
];

#[test]
fn a_header_in_front_of_a_payload_in_place() {
    for len in [0, 1, 125, 126, 127, 255, 256, 65_535, 65_536, 70_000] {
        for (opcode, bits) in ALL {
            for fin in [true, false] {
                let mut buffer = vec![0xEE; 3 + HEADROOM];
                let start = buffer.len();
                buffer.extend((0..len).map(|i| i as u8));
                buffer.extend_from_slice(b"next");
                let at = prepend_header(&mut buffer, start, len, opcode, fin);
                let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
                let seen = read(&buffer[at..]);
                assert_eq!(seen, (bits, fin, false, &payload[..], &b"next"[..]));
                assert!(buffer[..at].iter().all(|b| *b == 0xEE), "only the header");
            }
        }
    }
}

#[test]
fn headroom_is_exact_for_the_longest_header() {
    let mut buffer = vec![0; HEADROOM + 65_536];
    let at = prepend_header(&mut buffer, HEADROOM, 65_536, FrameOpcode::Binary, true);
    assert_eq!(at, 0);
    assert_eq!(header(FrameOpcode::Text, true, 5).1, 2);
    assert_eq!(header(FrameOpcode::Text, true, 126).1, 4);
    assert_eq!(header(FrameOpcode::Text, true, usize::MAX >> 1).1, 10);
}

#[test]
fn rsv1_is_ored_in() {
    let mut buffer = [0; 12];
    let at = prepend_header(&mut buffer, 10, 2, FrameOpcode::Text, false);
    buffer[at] |= RSV1;
    assert_eq!(read(&buffer[at..]), (1, false, true, &[0, 0][..], &[][..]));
}

#[test]
fn close_frames() {
    assert_eq!(close(None, "not told"), b"\x88\x00");
    assert_eq!(close(Some(CloseCode::NORMAL), ""), b"\x88\x02\x03\xe8");
    assert_eq!(close(Some(CloseCode(4501)), "bye"), b"\x88\x05\x11\x95bye");
}

#[test]
fn a_reason_is_cut_at_a_character() {
    for (reason, kept) in [
        ("x".repeat(123), 123),
        ("x".repeat(124), 123),
        ("x".repeat(122) + "é", 122),
        ("x".repeat(121) + "é", 123),
        ("x".repeat(120) + "😀", 120),
        ("€".repeat(100), 123),
        ("😀".repeat(100), 120),
    ] {
        let frame = close(Some(CloseCode::GOING_AWAY), &reason);
        let (opcode, fin, _, body, rest) = read(&frame);
        assert_eq!((opcode, fin, rest), (8, true, &[][..]));
        assert_eq!(body[..2], [0x03, 0xE9]);
        assert_eq!(&body[2..], &reason.as_bytes()[..kept]);
        assert!(std::str::from_utf8(&body[2..]).is_ok());
    }
}

#[test]
fn pings_and_pongs_are_cut_to_125_bytes() {
    let payload: Vec<u8> = (0..200).collect();
    for len in [0, 1, 124, 125, 126, 200] {
        let kept = &payload[..len.min(125)];
        let seen = ping(&payload[..len]);
        assert_eq!(read(&seen), (9, true, false, kept, &[][..]));
        let seen = pong(&payload[..len]);
        assert_eq!(read(&seen), (10, true, false, kept, &[][..]));
    }
}
