//! Field tables and the properties of content: whether a broker can decode them, and single fields
//! of a table. Nothing is built and nothing allocated.
//!
//! What is taken is what RabbitMQ takes (AMQP 0-9-1 section 4.2.5.5 with RabbitMQ's types), except
//! that tables and arrays may stand only [`NESTING_MAX`] deep in one another.

use crate::wire::reader::Reader;
use crate::wire::reader::UnexpectedEnd;

/// Bytes that are no field table, or no properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Undecodable;

impl From<UnexpectedEnd> for Undecodable {
    fn from(UnexpectedEnd: UnexpectedEnd) -> Self {
        Self
    }
}

/// Tables and arrays in one another at most. RabbitMQ has no limit; no client comes near this one.
pub const NESTING_MAX: usize = 64;

/// Whether the fields of a table, without the length before them, can be decoded.
///
/// # Errors
/// [`Undecodable`] if RabbitMQ could not.
pub fn check_table(fields: &[u8]) -> Result<(), Undecodable> {
    table(fields, NESTING_MAX)
}

fn table(fields: &[u8], levels: usize) -> Result<(), Undecodable> {
    let mut reader = Reader::new(fields);
    while !reader.is_empty() {
        reader.counted_by_u8()?;
        let kind = reader.u8()?;
        value(&mut reader, kind, levels)?;
    }
    Ok(())
}

fn array(values: &[u8], levels: usize) -> Result<(), Undecodable> {
    let mut reader = Reader::new(values);
    while !reader.is_empty() {
        let kind = reader.u8()?;
        value(&mut reader, kind, levels)?;
    }
    Ok(())
}

/// Reads one value of type `kind`; what it holds may stand `levels` deep.
fn value(reader: &mut Reader<'_>, kind: u8, levels: usize) -> Result<(), Undecodable> {
    match kind {
        b'V' => {}
        b't' | b'b' | b'B' => {
            reader.u8()?;
        }
        b's' | b'u' => {
            reader.u16()?;
        }
        b'I' | b'i' => {
            reader.u32()?;
        }
        b'l' | b'L' | b'T' => {
            reader.u64()?;
        }
        b'D' => {
            reader.array::<5>()?;
        }
        // Erlang has no infinity and no "not a number": a broker cannot decode them.
        b'f' => is_finite(f32::from_bits(reader.u32()?).is_finite())?,
        b'd' => is_finite(f64::from_bits(reader.u64()?).is_finite())?,
        b'S' | b'x' => {
            reader.counted_by_u32()?;
        }
        b'F' => table(reader.counted_by_u32()?, inside(levels)?)?,
        b'A' => array(reader.counted_by_u32()?, inside(levels)?)?,
        _ => return Err(Undecodable),
    }
    Ok(())
}

fn is_finite(finite: bool) -> Result<(), Undecodable> {
    finite.then_some(()).ok_or(Undecodable)
}

fn inside(levels: usize) -> Result<usize, Undecodable> {
    levels.checked_sub(1).ok_or(Undecodable)
}

/// One field's value, as far as anybody here asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// `t`.
    Bool(bool),
    /// `S`.
    Text(&'a [u8]),
    /// `F`, as encoded fields without the length.
    Table(&'a [u8]),
    /// Any other type, by its code.
    Other(u8),
}

/// The first field named `name` of a table's fields; `None` as well if the table cannot be decoded
/// up to there.
pub fn field<'a>(fields: &'a [u8], name: &[u8]) -> Option<Value<'a>> {
    let mut reader = Reader::new(fields);
    while !reader.is_empty() {
        let found = reader.counted_by_u8().ok()? == name;
        let kind = reader.u8().ok()?;
        let mut ahead = reader;
        value(&mut reader, kind, NESTING_MAX).ok()?;
        if found {
            return Some(match kind {
                b't' => Value::Bool(ahead.u8().ok()? != 0),
                b'S' => Value::Text(ahead.counted_by_u32().ok()?),
                b'F' => Value::Table(ahead.counted_by_u32().ok()?),
                other => Value::Other(other),
            });
        }
    }
    None
}

/// Whether one of the headers in properties that can be decoded is a decimal (`D`); those within
/// other headers do not count.
pub fn has_decimal_header(properties: &[u8]) -> bool {
    let decimal = || -> Result<bool, Undecodable> {
        let mut reader = Reader::new(properties);
        let flags = reader.u16()?;
        for flag in [0x8000, 0x4000] {
            if flags & flag != 0 {
                reader.counted_by_u8()?;
            }
        }
        if flags & 0x2000 == 0 {
            return Ok(false);
        }
        let mut headers = Reader::new(reader.counted_by_u32()?);
        while !headers.is_empty() {
            headers.counted_by_u8()?;
            let kind = headers.u8()?;
            if kind == b'D' {
                return Ok(true);
            }
            skip(&mut headers, kind)?;
        }
        Ok(false)
    };
    decimal().unwrap_or(false)
}

/// Goes past a value that can be decoded.
fn skip(reader: &mut Reader<'_>, kind: u8) -> Result<(), Undecodable> {
    match kind {
        b'F' | b'A' => {
            reader.counted_by_u32()?;
            Ok(())
        }
        _ => value(reader, kind, NESTING_MAX),
    }
}

/// Whether a peer's properties (connection.start, start-ok) name a capability and say it has it.
pub fn has_capability(properties: &[u8], name: &[u8]) -> bool {
    match field(properties, b"capabilities") {
        Some(Value::Table(capabilities)) => field(capabilities, name) == Some(Value::Bool(true)),
        _ => false,
    }
}

/// Whether the properties of a message of class basic, flags first, can be decoded: a content
/// header's payload behind the size of the body.
///
/// The two lowest flags mean nothing to RabbitMQ, not even that more flags follow.
///
/// # Errors
/// [`Undecodable`] if RabbitMQ could not.
#[inline]
pub fn check_properties(properties: &[u8]) -> Result<(), Undecodable> {
    match properties {
        // None, and a delivery mode alone: most messages.
        [0, 0] | [0x10, 0, _] => Ok(()),
        _ => every_property(properties),
    }
}

fn every_property(properties: &[u8]) -> Result<(), Undecodable> {
    let mut reader = Reader::new(properties);
    let flags = reader.u16()?;
    for (place, property) in PROPERTIES.into_iter().enumerate() {
        if flags & (0x8000 >> place) == 0 {
            continue;
        }
        match property {
            Property::ShortString => {
                reader.counted_by_u8()?;
            }
            Property::Table => check_table(reader.counted_by_u32()?)?,
            Property::Octet => {
                reader.u8()?;
            }
            Property::Timestamp => {
                reader.u64()?;
            }
        }
    }
    if reader.is_empty() {
        Ok(())
    } else {
        Err(Undecodable)
    }
}

#[derive(Clone, Copy)]
enum Property {
    ShortString,
    Table,
    Octet,
    Timestamp,
}

/// The properties of class basic in the order of their flags: content-type, content-encoding,
/// headers, delivery-mode, priority, correlation-id, reply-to, expiration, message-id, timestamp,
/// type, user-id, app-id, cluster-id.
const PROPERTIES: [Property; 14] = {
    use Property::*;
    [
        ShortString,
        ShortString,
        Table,
        Octet,
        Octet,
        ShortString,
        ShortString,
        ShortString,
        ShortString,
        Timestamp,
        ShortString,
        ShortString,
        ShortString,
        ShortString,
    ]
};

#[cfg(test)]
mod tests;
