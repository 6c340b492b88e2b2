//! For fuzzers and a bounded run among the tests: the validator of tables and properties beside a decoder that is
//! written to be read.

use crate::wire::amqp::arguments::check;
use crate::wire::amqp::arguments::sender;
use crate::wire::amqp::arguments::Sender;
use crate::wire::amqp::fields::check_properties;
use crate::wire::amqp::fields::check_table;
use crate::wire::amqp::fields::NESTING_MAX;
use crate::wire::amqp::MethodId;

/// Holds the validator to the decoder on any bytes.
///
/// # Panics
/// They differ.
pub fn validator(data: &[u8]) {
    let table = fields(data, NESTING_MAX, true).is_some();
    assert_eq!(check_table(data).is_ok(), table, "table {data:02x?}");
    let properties = properties(data).is_some();
    assert_eq!(
        check_properties(data).is_ok(),
        properties,
        "properties {data:02x?}"
    );
    if let Some((id, arguments)) = data.split_first_chunk::<4>() {
        if let Sender::Client(schema) = sender(MethodId::from_bytes(*id)) {
            // No panic is all that is asked here.
            let _ = check(schema, arguments);
        }
    }
}

/// The fields of a table, or the values of an array, to their end.
fn fields(mut data: &[u8], levels: usize, keys: bool) -> Option<()> {
    while !data.is_empty() {
        if keys {
            let length = take(&mut data, 1)?[0];
            take(&mut data, length.into())?;
        }
        let kind = take(&mut data, 1)?[0];
        match kind {
            b'V' => {}
            b'b' | b'B' | b't' => {
                take(&mut data, 1)?;
            }
            b's' | b'u' => {
                take(&mut data, 2)?;
            }
            b'I' | b'i' => {
                take(&mut data, 4)?;
            }
            b'L' | b'l' | b'T' => {
                take(&mut data, 8)?;
            }
            b'D' => {
                take(&mut data, 5)?;
            }
            b'f' => {
                let bits = u32::from_be_bytes(take(&mut data, 4)?.try_into().ok()?);
                f32::from_bits(bits).is_finite().then_some(())?;
            }
            b'd' => {
                let bits = u64::from_be_bytes(take(&mut data, 8)?.try_into().ok()?);
                f64::from_bits(bits).is_finite().then_some(())?;
            }
            b'S' | b'x' => {
                long(&mut data)?;
            }
            b'A' | b'F' => fields(long(&mut data)?, levels.checked_sub(1)?, kind == b'F')?,
            _ => return None,
        }
    }
    Some(())
}

/// Property flags and the properties they announce.
fn properties(mut data: &[u8]) -> Option<()> {
    let flags = u16::from_be_bytes(take(&mut data, 2)?.try_into().ok()?);
    for (bit, kind) in (2..16).rev().zip("sstbbssssTssss".chars()) {
        if flags >> bit & 1 == 0 {
            continue;
        }
        match kind {
            's' => {
                let length = take(&mut data, 1)?[0];
                take(&mut data, length.into())?;
            }
            't' => fields(long(&mut data)?, NESTING_MAX, true)?,
            'b' => {
                take(&mut data, 1)?;
            }
            _ => {
                take(&mut data, 8)?;
            }
        }
    }
    data.is_empty().then_some(())
}

fn long<'a>(data: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_be_bytes(take(data, 4)?.try_into().ok()?);
    take(data, length as usize)
}

fn take<'a>(data: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = data.split_at_checked(count)?;
    *data = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::validator;

    /// Bytes that are often right: keys, type codes, lengths.
    fn likely() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"\x01kS\0\0\0\x01v".to_vec()),
            Just(b"\x01kF\0\0\0\x09\x01kI\0\0\0\x01V".to_vec()),
            Just(b"\x01kA\0\0\0\x03t\x01V".to_vec()),
            Just(b"\x01kd\x7f\xf0\0\0\0\0\0\0".to_vec()),
            Just(vec![0x20, 0, 0, 0, 0, 4, 1, b'a', b't', 1]),
            Just(vec![0xff, 0xfc]),
            vec(any::<u8>(), 0..4),
            prop::sample::select(b"VbBtsuIifDLTdlSxFA".to_vec())
                .prop_map(|code| vec![1, b'k', code]),
        ];
        vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn the_validator_takes_what_can_be_decoded(data in likely()) {
            validator(&data);
        }

        #[test]
        fn the_validator_takes_what_can_be_decoded_of_anything(data in vec(any::<u8>(), 0..64)) {
            validator(&data);
        }
    }
}
