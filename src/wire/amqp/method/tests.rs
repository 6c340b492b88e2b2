//! Methods of class connection, encoded and decoded.

use std::fmt::Debug;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Decoding gives back what was encoded, bytes that are missing or too many are refused, and
/// nothing panics.
fn round_trip<'a, M: Method<'a> + PartialEq + Debug>(method: &M, out: &'a mut Vec<u8>) {
    method.encode(out);
    out.push(0);
    let bytes: &'a [u8] = out;
    let (trailing, exact) = (bytes, &bytes[..bytes.len() - 1]);
    assert_eq!(M::decode(exact).as_ref(), Ok(method));
    assert_eq!(M::decode(trailing), Err(MethodError::TrailingBytes(1)));
    for end in 0..exact.len() {
        assert_eq!(
            M::decode(&exact[..end]),
            Err(MethodError::Truncated),
            "cut at {end}"
        );
    }
}

fn short_bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..=255)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_method_is_the_same_after_encoding_and_decoding(
        table in vec(any::<u8>(), 0..300),
        long in vec(any::<u8>(), 0..300),
        short in short_bytes(),
        other in short_bytes(),
        octets: (u8, u8),
        numbers: (u16, u32, u16),
    ) {
        let table = Table(&table);
        let long = LongString(&long);
        let (short, other) = (ShortString::new(&short).unwrap(), ShortString::new(&other).unwrap());
        let (channel_max, frame_max, heartbeat) = numbers;
        round_trip(
            &Start {
                version_major: octets.0,
                version_minor: octets.1,
                server_properties: table,
                mechanisms: long,
                locales: LongString(other.as_bytes()),
            },
            &mut Vec::new(),
        );
        round_trip(
            &StartOk { client_properties: table, mechanism: short, response: long, locale: other },
            &mut Vec::new(),
        );
        round_trip(&Secure { challenge: long }, &mut Vec::new());
        round_trip(&SecureOk { response: long }, &mut Vec::new());
        round_trip(&Tune { channel_max, frame_max, heartbeat }, &mut Vec::new());
        round_trip(&TuneOk { channel_max, frame_max, heartbeat }, &mut Vec::new());
        round_trip(&Open { virtual_host: short, reserved_1: other, reserved_2: octets.0 }, &mut Vec::new());
        round_trip(&OpenOk { reserved_1: short }, &mut Vec::new());
        round_trip(
            &Close {
                reply_code: ReplyCode(channel_max),
                reply_text: short,
                class_id: heartbeat,
                method_id: channel_max,
            },
            &mut Vec::new(),
        );
        round_trip(&CloseOk {}, &mut Vec::new());
    }

    #[test]
    fn no_bytes_make_decoding_panic(bytes in vec(any::<u8>(), 0..64)) {
        let _ = Start::decode(&bytes);
        let _ = StartOk::decode(&bytes);
        let _ = Tune::decode(&bytes);
        let _ = Open::decode(&bytes);
        let _ = Close::decode(&bytes);
        let _ = MethodId::decode(&bytes);
    }
}

#[test]
fn a_frame_has_header_number_arguments_and_end_octet() {
    assert_eq!(CloseOk {}.to_frame(), CLOSE_OK);
    let mut out = vec![7];
    Tune {
        channel_max: 2047,
        frame_max: 131_072,
        heartbeat: 60,
    }
    .encode_frame(&mut out);
    assert_eq!(
        out,
        [7, 1, 0, 0, 0, 0, 0, 12, 0, 10, 0, 30, 7, 255, 0, 2, 0, 0, 0, 60, 0xCE]
    );
}

#[test]
fn a_long_text_is_clipped_at_a_whole_character() {
    let text = format!("{}é", "a".repeat(254));
    assert_eq!(text.len(), 256);
    assert_eq!(
        ShortString::clipped(&text).as_bytes(),
        "a".repeat(254).as_bytes()
    );
    assert_eq!(ShortString::clipped("é").as_bytes(), "é".as_bytes());
    assert_eq!(ShortString::new(&[0; 256]), None);
}

#[test]
fn a_method_number_prints_as_in_the_specification() {
    assert_eq!(format!("{:?}", MethodId::BASIC_GET_OK), "60.71");
    assert_eq!(<(u16, u16)>::from(MethodId::BASIC_PUBLISH), (60, 40));
}
