//! UTF-8 across frames and reads (RFC 6455 section 8.1).

use super::*;

#[test]
fn characters_may_be_cut_anywhere() {
    let text = "κόσμε ß € 😀 \u{0} \u{7F} \u{80} \u{7FF} \u{800} \u{D7FF} \u{E000} \u{FFFD} \u{FFFF} \u{10000} \u{10FFFF}";
    for cut in 0..=text.len() {
        let stream = [
            frame(TEXT, &text.as_bytes()[..cut]),
            frame(CONTINUE, b""),
            frame(PING, b"\xff"),
            frame(FIN, &text.as_bytes()[cut..]),
        ]
        .concat();
        assert_eq!(
            see_however_cut(&stream, ROOMY, false),
            Seen::default()
                .text(text)
                .control(Control::Ping(vec![0xFF])),
            "cut at {cut}"
        );
    }
    let mut bytes = text.bytes();
    let mut stream = frame(TEXT, &[]);
    stream.extend(bytes.by_ref().flat_map(|byte| frame(CONTINUE, &[byte])));
    stream.extend(frame(FIN, &[]));
    assert_eq!(see(&stream, ROOMY, false), Seen::default().text(text));
}

/// The impossible byte is the last of each; the message is announced longer
/// than what came of it, so that only failing fast can tell.
#[test]
fn the_first_impossible_byte_fails_at_once() {
    let table: [&[u8]; 16] = [
        b"\x80",
        b"\xbf",
        b"\xc0",
        b"\xc1",
        b"\xf5",
        b"\xff",
        b"ok\xc3\x28",
        b"\xe0\x9f",
        b"\xe0\xa0\x7f",
        b"\xed\xa0",
        b"\xed\xbf",
        b"\xf0\x8f",
        b"\xf4\x90",
        b"\xf1\x80\xc0",
        b"\xf0\x9f\x98\x20",
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0",
    ];
    for bytes in table {
        let (_, good) = bytes.split_last().expect("not empty");
        let mut stream = head(TEXT, 1000);
        stream.extend_from_slice(good);
        let seen = see_however_cut(&stream, ROOMY, false);
        assert_eq!(seen, Seen::default(), "{bytes:x?} may still go on");

        let mut stream = head(TEXT, 1000);
        stream.extend_from_slice(bytes);
        let seen = see_however_cut(&stream, ROOMY, false);
        let expected = Seen::default().violation(Violation::TextNotUtf8);
        assert_eq!(seen, expected, "{bytes:x?}");

        // The same in long runs, which take the quick way.
        let mut stream = head(TEXT, 1000);
        stream.extend_from_slice(&[b'a'; 200]);
        stream.extend_from_slice(bytes);
        assert_eq!(see(&stream, ROOMY, false), expected, "{bytes:x?}");
        stream.extend_from_slice(&[b'a'; 200]);
        assert_eq!(see(&stream, ROOMY, false), expected, "{bytes:x?}");
    }
}

#[test]
fn a_text_must_not_end_inside_a_character() {
    for whole in ["é", "€", "😀"] {
        for end in 1..whole.len() {
            let cut = &whole.as_bytes()[..end];
            let expected = Seen::default().violation(Violation::TextEndsInsideCharacter);
            let at_once = frame(FIN | TEXT, cut);
            assert_eq!(see_however_cut(&at_once, ROOMY, false), expected);
            let later = [frame(TEXT, cut), frame(FIN, b"")].concat();
            assert_eq!(see_however_cut(&later, ROOMY, false), expected);
        }
    }
}

#[test]
fn nothing_of_one_text_is_remembered_for_the_next() {
    let stream = [
        frame(FIN | TEXT, "é".as_bytes()),
        frame(FIN | TEXT, b"\xa9"),
    ]
    .concat();
    assert_eq!(
        see_however_cut(&stream, ROOMY, false),
        Seen::default().text("é").violation(Violation::TextNotUtf8)
    );
}
