//! UTF-8 in runs, against the standard library.

use super::*;

fn judge(text: &[u8]) -> Result<bool, NotUtf8> {
    let mut utf8 = Utf8::default();
    utf8.take(text)?;
    Ok(utf8.is_complete())
}

fn expected(text: &[u8]) -> Result<bool, NotUtf8> {
    match std::str::from_utf8(text) {
        Ok(_) => Ok(true),
        Err(error) if error.error_len().is_none() => Ok(false),
        Err(_) => Err(NotUtf8),
    }
}

/// Each pair of bytes, and longer sequences whose later bytes are at the edges
/// of the classes, against the standard library.
#[test]
fn agrees_with_the_standard_library() {
    let edges = [
        0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC,
        0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xF7, 0xF8, 0xFF,
    ];
    for a in 0..=255 {
        assert_eq!(judge(&[a]), expected(&[a]));
        for b in 0..=255 {
            assert_eq!(judge(&[a, b]), expected(&[a, b]), "{a:x} {b:x}");
        }
    }
    for a in 0xE0..=0xFF {
        for b in edges {
            for c in edges {
                assert_eq!(judge(&[a, b, c]), expected(&[a, b, c]), "{a:x} {b:x} {c:x}");
                for d in edges {
                    let text = [a, b, c, d];
                    assert_eq!(judge(&text), expected(&text), "{text:x?}");
                }
            }
        }
    }
}

#[test]
fn every_character_in_every_pair_of_runs() {
    for character in ('\0'..=char::MAX).step_by(7) {
        let text = format!("a{character}b");
        for cut in 0..=text.len() {
            let (head, tail) = text.as_bytes().split_at(cut);
            let mut utf8 = Utf8::default();
            assert_eq!(utf8.take(head), Ok(()));
            assert_eq!(utf8.is_complete(), text.is_char_boundary(cut));
            assert_eq!(utf8.take(tail), Ok(()));
            assert!(utf8.is_complete());
        }
    }
}

#[test]
fn byte_by_byte_fails_where_the_whole_does() {
    let texts: [&[u8]; 5] = [
        b"abc\xed\xa0\x80",
        b"\xf0\x9f\x98\x80\x80",
        b"\xe2\x82\x20",
        b"\xf4\x8f\xbf\xbf\xf4\x90",
        b"\xc3\xc3\xa9",
    ];
    for text in texts {
        let error = std::str::from_utf8(text).expect_err("is invalid");
        let bad = error.valid_up_to() + error.error_len().expect("is not cut");
        let mut utf8 = Utf8::default();
        let failed_at = text.iter().position(|byte| utf8.take(&[*byte]).is_err());
        // The library counts the bytes of the maximal subpart; the byte that
        // shows the fault is the next one, or the only one.
        let lone = matches!(text[error.valid_up_to()], 0x80..=0xC1 | 0xF5..);
        assert_eq!(
            failed_at,
            Some(if lone { bad - 1 } else { bad }),
            "{text:x?}"
        );
    }
}
