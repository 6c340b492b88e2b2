//! Tests of the validator against a plain decoder that builds values.

use proptest::prelude::*;

use super::*;

fn short(text: &[u8]) -> Vec<u8> {
    [&[text.len() as u8], text].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

/// A decoder as one would write it without a thought of speed: splits off what it reads, builds a
/// tree, and answers `None` to anything odd.
mod reference {
    #[derive(Debug)]
    pub(super) enum Tree {
        Leaf,
        Branch(#[allow(dead_code, reason = "built, not read")] Vec<Self>),
    }

    fn take(bytes: &mut Vec<u8>, count: usize) -> Option<Vec<u8>> {
        if bytes.len() < count {
            return None;
        }
        let rest = bytes.split_off(count);
        Some(std::mem::replace(bytes, rest))
    }

    fn counted(bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
        let length = u32::from_be_bytes(take(bytes, 4)?.try_into().ok()?);
        take(bytes, length as usize)
    }

    pub(super) fn table(mut bytes: Vec<u8>, depth: usize) -> Option<Vec<Tree>> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let name = take(&mut bytes, 1)?[0];
            take(&mut bytes, name.into())?;
            fields.push(value(&mut bytes, depth)?);
        }
        Some(fields)
    }

    fn array(mut bytes: Vec<u8>, depth: usize) -> Option<Vec<Tree>> {
        let mut values = Vec::new();
        while !bytes.is_empty() {
            values.push(value(&mut bytes, depth)?);
        }
        Some(values)
    }

    fn value(bytes: &mut Vec<u8>, depth: usize) -> Option<Tree> {
        let kind = take(bytes, 1)?[0];
        let size = match kind {
            b'F' | b'A' => {
                let inner = counted(bytes)?;
                let deeper = depth.checked_sub(1)?;
                let read = if kind == b'F' { table } else { array };
                return Some(Tree::Branch(read(inner, deeper)?));
            }
            b'S' | b'x' => {
                counted(bytes)?;
                0
            }
            b'V' => 0,
            b't' | b'b' | b'B' => 1,
            b's' | b'u' => 2,
            b'I' | b'i' | b'f' => 4,
            b'D' => 5,
            b'l' | b'L' | b'T' | b'd' => 8,
            _ => return None,
        };
        let raw = take(bytes, size)?;
        let number = match kind {
            b'f' => f64::from(f32::from_be_bytes(raw.try_into().ok()?)),
            b'd' => f64::from_be_bytes(raw.try_into().ok()?),
            _ => 0.0,
        };
        number.is_finite().then_some(Tree::Leaf)
    }

    pub(super) fn properties(mut bytes: Vec<u8>) -> Option<()> {
        let flags = u16::from_be_bytes(take(&mut bytes, 2)?.try_into().ok()?);
        for (bit, kind) in (0..14).zip(b"ssFooSSSSTssss".iter()) {
            if flags >> (15 - bit) & 1 == 0 {
                continue;
            }
            match kind {
                b'F' => {
                    let fields = counted(&mut bytes)?;
                    table(fields, super::NESTING_MAX)?;
                }
                b'o' => drop(take(&mut bytes, 1)?),
                b'T' => drop(take(&mut bytes, 8)?),
                _ => {
                    let length = take(&mut bytes, 1)?[0];
                    take(&mut bytes, length.into())?;
                }
            }
        }
        bytes.is_empty().then_some(())
    }
}

/// Bytes that are a table more often than not.
fn any_fields() -> impl Strategy<Value = Vec<u8>> {
    let leaf =
        prop_oneof![
            Just(b"V".to_vec()),
            any::<u8>().prop_map(|value| vec![b't', value]),
            any::<[u8; 4]>().prop_map(|value| [&b"f"[..], &value].concat()),
            any::<[u8; 8]>().prop_map(|value| [&b"d"[..], &value].concat()),
            any::<[u8; 5]>().prop_map(|value| [&b"D"[..], &value].concat()),
            prop::collection::vec(any::<u8>(), 0..9)
                .prop_map(|value| [&b"S"[..], &long(&value)].concat()),
            (any::<u8>(), prop::collection::vec(any::<u8>(), 0..9)).prop_map(|(kind, value)| [
                &[kind][..],
                &value
            ]
            .concat()),
            prop::sample::select(b"bBsuIilLTx".to_vec())
                .prop_flat_map(|kind| prop::collection::vec(any::<u8>(), 0..9)
                    .prop_map(move |value| [&[kind][..], &value].concat())),
        ];
    let value = leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|values| [
                &b"A"[..],
                &long(&values.concat())
            ]
            .concat()),
            prop::collection::vec(inner, 0..4).prop_map(|values| {
                let fields: Vec<u8> = values
                    .iter()
                    .flat_map(|value| [short(b"k"), value.clone()].concat())
                    .collect();
                [&b"F"[..], &long(&fields)].concat()
            }),
        ]
    });
    prop::collection::vec(value, 0..4).prop_map(|values| {
        values
            .iter()
            .flat_map(|value| [short(b"name"), value.clone()].concat())
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_table_is_taken_exactly_if_the_reference_takes_it(
        fields in any_fields(), cut in 0..40_usize, noise: Option<(usize, u8)>,
    ) {
        let mut fields = fields;
        if let Some((place, byte)) = noise {
            if let Some(found) = fields.get_mut(place % 64) {
                *found = byte;
            }
        }
        if cut < 10 {
            fields.truncate(fields.len().saturating_sub(cut));
        }
        let expected = reference::table(fields.clone(), NESTING_MAX).is_some();
        prop_assert_eq!(check_table(&fields).is_ok(), expected);
    }

    #[test]
    fn properties_are_taken_exactly_if_the_reference_takes_them(
        flags: u16, rest in prop::collection::vec(0..9_u8, 0..40), fields in any_fields(),
        with_table: bool,
    ) {
        let mut bytes = flags.to_be_bytes().to_vec();
        if with_table {
            bytes = (flags & 0x3fff | 0x2000).to_be_bytes().to_vec();
            bytes.extend(long(&fields));
        }
        bytes.extend(rest);
        let expected = reference::properties(bytes.clone()).is_some();
        prop_assert_eq!(check_properties(&bytes).is_ok(), expected);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), name: Vec<u8>) {
        let _ = check_table(&bytes);
        let _ = check_properties(&bytes);
        let _ = field(&bytes, &name);
        let _ = has_capability(&bytes, &name);
    }
}

#[test]
fn a_decimal_header_is_one_at_the_top() {
    let with = |fields: &[u8]| {
        let properties = [&[0xa0, 0][..], b"\x01t", &long(fields)].concat();
        assert_eq!(check_properties(&properties), Ok(()));
        has_decimal_header(&properties)
    };
    let decimal = [&short(b"a")[..], b"D\0\0\0\0\0"].concat();
    let nested = [&short(b"b")[..], b"F", &long(&decimal)].concat();
    assert!(with(&[&nested[..], &decimal].concat()));
    assert!(!with(&nested));
    assert!(!with(b""));
    assert!(!has_decimal_header(b"\0\0"));
    assert!(!has_decimal_header(b"\x20"));
}

#[test]
fn nesting_ends_at_the_limit() {
    let nested = |levels: usize| {
        let mut fields = Vec::new();
        for _ in 0..levels {
            fields = [&short(b"a")[..], b"F", &long(&fields)].concat();
        }
        fields
    };
    assert_eq!(check_table(&nested(NESTING_MAX)), Ok(()));
    assert_eq!(check_table(&nested(NESTING_MAX + 1)), Err(Undecodable));
    assert_eq!(check_table(&nested(10_000)), Err(Undecodable));
}

#[test]
fn the_types_known_are_those_of_rabbitmq() {
    let taken = |kind: u8, size: usize| {
        let fields = [&short(b"a")[..], &[kind], &vec![0; size]].concat();
        check_table(&fields).is_ok()
    };
    let sizes: Vec<(char, Vec<usize>)> = (0..=255_u8)
        .filter_map(|kind| {
            let sizes: Vec<usize> = [0, 1, 2, 4, 5, 8]
                .into_iter()
                .filter(|size| taken(kind, *size))
                .collect();
            (!sizes.is_empty()).then_some((char::from(kind), sizes))
        })
        .collect();
    // As tried with every octet on RabbitMQ 3.10.8.
    let expected = [
        ('A', 4),
        ('B', 1),
        ('D', 5),
        ('F', 4),
        ('I', 4),
        ('L', 8),
        ('S', 4),
        ('T', 8),
        ('V', 0),
        ('b', 1),
        ('d', 8),
        ('f', 4),
        ('i', 4),
        ('l', 8),
        ('s', 2),
        ('t', 1),
        ('u', 2),
        ('x', 4),
    ];
    assert_eq!(sizes, expected.map(|(kind, size)| (kind, vec![size])));
}

#[test]
fn a_capability_counts_if_it_is_true_and_in_its_table() {
    let capabilities = [&short(b"no")[..], b"t\0", &short(b"yes"), b"t\x01"].concat();
    let properties = [
        &short(b"yes2")[..],
        b"t\x01",
        &short(b"capabilities"),
        b"F",
        &long(&capabilities),
    ]
    .concat();
    assert!(has_capability(&properties, b"yes"));
    for name in [&b"no"[..], b"yes2", b"absent"] {
        assert!(!has_capability(&properties, name));
    }
    assert_eq!(field(&properties, b"yes2"), Some(Value::Bool(true)));
    assert_eq!(field(b"\x01aI\0\0\0\x01", b"a"), Some(Value::Other(b'I')));
    assert_eq!(field(b"\x01aS\0\0\0\x02xy", b"a"), Some(Value::Text(b"xy")));
}
