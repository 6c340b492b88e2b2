//! A broken rule of RFC 6455 per line, with the bytes that break it.

use super::*;

/// Each of these follows a good message, which must still be delivered.
#[test]
fn every_broken_rule_is_named() {
    let table: &[(&str, &[u8], Violation)] = &[
        ("unmasked text", b"\x81\x00", Violation::FrameNotMasked),
        (
            "unmasked binary",
            b"\x82\x05hello",
            Violation::FrameNotMasked,
        ),
        (
            "unmasked 16-bit length",
            b"\x82\x7e",
            Violation::FrameNotMasked,
        ),
        ("unmasked ping", b"\x89\x00", Violation::FrameNotMasked),
        ("RSV1, not agreed", b"\xc2", Violation::ReservedBitSet),
        ("RSV2", b"\xa2", Violation::ReservedBitSet),
        ("RSV3", b"\x91", Violation::ReservedBitSet),
        ("all RSV bits", b"\xf1", Violation::ReservedBitSet),
        ("RSV1 on a ping", b"\xc9", Violation::ReservedBitSet),
        ("RSV2 on a close", b"\xa8", Violation::ReservedBitSet),
        ("opcode 3", b"\x83", Violation::OpcodeReserved),
        ("opcode 4", b"\x84", Violation::OpcodeReserved),
        ("opcode 5", b"\x85", Violation::OpcodeReserved),
        ("opcode 6", b"\x86", Violation::OpcodeReserved),
        ("opcode 7", b"\x07", Violation::OpcodeReserved),
        ("opcode 11", b"\x8b", Violation::OpcodeReserved),
        ("opcode 12", b"\x8c", Violation::OpcodeReserved),
        ("opcode 13", b"\x8d", Violation::OpcodeReserved),
        ("opcode 14", b"\x8e", Violation::OpcodeReserved),
        ("opcode 15", b"\x0f", Violation::OpcodeReserved),
        (
            "0 in 16 bits",
            b"\x82\xfe\x00\x00",
            Violation::LengthNotMinimal,
        ),
        (
            "125 in 16 bits",
            b"\x82\xfe\x00\x7d",
            Violation::LengthNotMinimal,
        ),
        (
            "0 in 64 bits",
            b"\x82\xff\0\0\0\0\0\0\0\0",
            Violation::LengthNotMinimal,
        ),
        (
            "65535 in 64 bits",
            b"\x82\xff\0\0\0\0\0\0\xff\xff",
            Violation::LengthNotMinimal,
        ),
        (
            "top bit",
            b"\x82\xff\x80\0\0\0\0\0\0\0",
            Violation::LengthTopBitSet,
        ),
        (
            "all bits",
            b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            Violation::LengthTopBitSet,
        ),
        ("ping of 126", b"\x89\xfe", Violation::ControlTooLong),
        ("pong of 126", b"\x8a\xfe", Violation::ControlTooLong),
        ("close in 64 bits", b"\x88\xff", Violation::ControlTooLong),
        ("ping without FIN", b"\x09", Violation::ControlFragmented),
        ("pong without FIN", b"\x0a", Violation::ControlFragmented),
        ("close without FIN", b"\x08", Violation::ControlFragmented),
        (
            "continuation of nothing",
            b"\x00",
            Violation::ContinuationUnexpected,
        ),
        (
            "last continuation of nothing",
            b"\x80",
            Violation::ContinuationUnexpected,
        ),
        (
            "text in text",
            b"\x01\x80\0\0\0\0\x81",
            Violation::ContinuationMissing,
        ),
        (
            "binary in text",
            b"\x01\x80\0\0\0\0\x82",
            Violation::ContinuationMissing,
        ),
        (
            "binary in binary",
            b"\x02\x81\0\0\0\0a\x02",
            Violation::ContinuationMissing,
        ),
        (
            "close of one byte",
            b"\x88\x81\0\0\0\0\x03",
            Violation::CloseTruncated,
        ),
        (
            "invalid reason",
            b"\x88\x84\0\0\0\0\x03\xe8\xc3\x28",
            Violation::CloseReasonNotUtf8,
        ),
        (
            "cut reason",
            b"\x88\x83\0\0\0\0\x03\xe8\xc3",
            Violation::CloseReasonNotUtf8,
        ),
        (
            "text that is not UTF-8",
            b"\x81\x82\0\0\0\0a\xff",
            Violation::TextNotUtf8,
        ),
        (
            "cut character",
            b"\x81\x82\0\0\0\0a\xc3",
            Violation::TextEndsInsideCharacter,
        ),
        (
            "beyond the limit",
            b"\x82\xff\0\0\0\0\0\x10\0\x01",
            Violation::MessageTooBig,
        ),
        (
            "beyond all limits",
            b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff",
            Violation::MessageTooBig,
        ),
    ];
    for (name, bytes, violation) in table {
        let mut stream = frame(FIN | BINARY, b"good");
        stream.extend_from_slice(bytes);
        let seen = see_however_cut(&stream, ROOMY, false);
        let expected = Seen::default().binary(b"good").violation(*violation);
        assert_eq!(seen, expected, "{name}");

        // What shows the violation is the last byte: nothing was awaited that
        // the client may never send.
        let early = see(&stream[..stream.len() - 1], ROOMY, false);
        let told_before = *violation == Violation::FrameNotMasked;
        assert!(early.violation.is_none() || told_before, "{name}");

        stream.extend_from_slice(&frame(FIN | BINARY, b"more"));
        stream.extend_from_slice(&frame(PING, b"more"));
        assert_eq!(see_however_cut(&stream, ROOMY, false), expected, "{name}");
    }
}

#[test]
fn close_codes_that_must_not_travel() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        let stream = frame(CLOSE, &u16::to_be_bytes(code));
        let violation = Violation::CloseCodeForbidden(CloseCode(code));
        assert_eq!(
            see_however_cut(&stream, ROOMY, false),
            Seen::default().violation(violation)
        );
    }
}

#[test]
fn close_ends_what_is_delivered() {
    let reason = "x".repeat(121) + "é";
    let table = [
        (vec![], None),
        (vec![0x03, 0xE8], Some((CloseCode::NORMAL, String::new()))),
        (
            b"\x0f\xa0bye".to_vec(),
            Some((CloseCode(4000), "bye".to_owned())),
        ),
        (
            [b"\x03\xe9", reason.as_bytes()].concat(),
            Some((CloseCode::GOING_AWAY, reason)),
        ),
    ];
    for (body, expected) in table {
        let stream = [
            frame(BINARY, b"half"),
            frame(CLOSE, &body),
            frame(FIN, b"other half"),
            frame(PING, b""),
            b"\x00\xff not even frames".to_vec(),
        ]
        .concat();
        assert_eq!(
            see_however_cut(&stream, ROOMY, false),
            Seen::default().control(Control::Close(expected))
        );
    }
}

#[test]
fn rsv1_marks_the_first_frame_of_a_message_only() {
    let compressed = [
        frame(RSV1 | TEXT, b"\xff\xfe"),
        frame(PING, b"between"),
        frame(CONTINUE, b""),
        frame(FIN, b"\xfd"),
        frame(FIN | RSV1 | BINARY, b"b"),
        frame(FIN | TEXT, b"plain"),
    ]
    .concat();
    assert_eq!(
        see_however_cut(&compressed, ROOMY, true),
        Seen::default()
            .compressed(Opcode::Text, b"\xff\xfe\xfd")
            .compressed(Opcode::Binary, b"b")
            .text("plain")
            .control(Control::Ping(b"between".to_vec()))
    );

    let bad: [&[u8]; 4] = [
        b"\x41\x80\0\0\0\0\x40",
        b"\x01\x80\0\0\0\0\xc0",
        b"\xc8",
        b"\xca",
    ];
    for stream in bad {
        assert_eq!(
            see_however_cut(stream, ROOMY, true),
            Seen::default().violation(Violation::ReservedBitSet)
        );
    }
    for stream in [b"\xe2", b"\xd2", b"\xa1"] {
        assert_eq!(
            see(stream, ROOMY, true).violation,
            Some(Violation::ReservedBitSet)
        );
    }
}

#[test]
fn every_violation_can_be_told_in_a_close_frame() {
    let all = [
        (Violation::FrameNotMasked, 1002),
        (Violation::ReservedBitSet, 1002),
        (Violation::OpcodeReserved, 1002),
        (Violation::LengthNotMinimal, 1002),
        (Violation::LengthTopBitSet, 1002),
        (Violation::ControlTooLong, 1002),
        (Violation::ControlFragmented, 1002),
        (Violation::ContinuationUnexpected, 1002),
        (Violation::ContinuationMissing, 1002),
        (Violation::CloseTruncated, 1002),
        (Violation::CloseCodeForbidden(CloseCode(65535)), 1002),
        (Violation::CloseReasonNotUtf8, 1007),
        (Violation::TextNotUtf8, 1007),
        (Violation::TextEndsInsideCharacter, 1007),
        (Violation::MessageTooBig, 1009),
        (Violation::TooManyFragments, 1009),
    ];
    let mut names: Vec<_> = all.iter().map(|(violation, _)| violation.code()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all.len(), "names are unique");
    for (violation, code) in all {
        assert_eq!(violation.close_code(), CloseCode(code));
        let sentence = violation.to_string();
        assert!(
            sentence.len() <= 100 && sentence.ends_with('.'),
            "{sentence}"
        );
        let name = violation.code();
        assert!(name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'8'));
    }
}
