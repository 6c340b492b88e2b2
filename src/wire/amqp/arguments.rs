//! The arguments of every method a client may send, as schemas: whether a broker can decode them,
//! and where each of them stands.

use crate::wire::amqp::fields::check_table;
use crate::wire::amqp::method::MethodId;
use crate::wire::reader::Reader;
use crate::wire::reader::UnexpectedEnd;

/// What stands at one place among the arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One octet: a number, or up to eight bits that lie next to each other.
    Octet,
    /// Two octets.
    Short,
    /// Four octets.
    Long,
    /// Eight octets.
    LongLong,
    /// A length of one octet and UTF-8.
    ShortString,
    /// The same, and the bytes may be any.
    AnyShortString,
    /// A length of four octets and bytes.
    LongString,
    /// A length of four octets and the fields of a table.
    Table,
}

/// What is wrong with arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgumentsError {
    /// They end too early, or something is left over.
    Length,
    /// A short string is not UTF-8.
    NotUtf8,
    /// A table whose fields cannot be decoded.
    Table,
}

impl From<UnexpectedEnd> for ArgumentsError {
    fn from(UnexpectedEnd: UnexpectedEnd) -> Self {
        Self::Length
    }
}

/// Holds arguments to their schema; what is wrong comes in the order in which RabbitMQ finds it.
///
/// # Errors
/// [`ArgumentsError`] if a broker could not decode them.
pub fn check(schema: &[Kind], arguments: &[u8]) -> Result<(), ArgumentsError> {
    let mut reader = Reader::new(arguments);
    let mut utf8 = Ok(());
    let mut tables = Ok(());
    for kind in schema {
        match kind {
            Kind::Octet => drop(reader.u8()?),
            Kind::Short => drop(reader.u16()?),
            Kind::Long => drop(reader.u32()?),
            Kind::LongLong => drop(reader.u64()?),
            Kind::AnyShortString => drop(reader.counted_by_u8()?),
            Kind::LongString => drop(reader.counted_by_u32()?),
            Kind::ShortString => {
                if std::str::from_utf8(reader.counted_by_u8()?).is_err() {
                    utf8 = Err(ArgumentsError::NotUtf8);
                }
            }
            Kind::Table => {
                if check_table(reader.counted_by_u32()?).is_err() {
                    tables = Err(ArgumentsError::Table);
                }
            }
        }
    }
    if !reader.is_empty() {
        return Err(ArgumentsError::Length);
    }
    utf8.and(tables)
}

/// How a method stands to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A client may send it, with these arguments.
    Client(&'static [Kind]),
    /// Only a broker sends it.
    Broker,
    /// RabbitMQ does not know it.
    Nobody,
}

/// Who may send a method, and with which arguments.
pub const fn sender(method: MethodId) -> Sender {
    use Kind::AnyShortString;
    use Kind::Long;
    use Kind::LongLong;
    use Kind::LongString;
    use Kind::Octet;
    use Kind::Short;
    use Kind::ShortString;
    use Kind::Table;
    Sender::Client(match (method.class, method.method) {
        // connection: start-ok, secure-ok, tune-ok, open, close, close-ok, update-secret
        (10, 11) => &[Table, ShortString, LongString, ShortString],
        (10, 21) => &[LongString],
        (10, 31) => &[Short, Long, Short],
        (10, 40) => &[ShortString, ShortString, Octet],
        (10, 50) => &[Short, ShortString, Short, Short],
        (10, 51) => &[],
        (10, 70) => &[LongString, ShortString],
        // channel: open, flow, flow-ok, close, close-ok
        (20, 10) => &[ShortString],
        (20, 20 | 21) => &[Octet],
        (20, 40) => &[Short, ShortString, Short, Short],
        (20, 41) => &[],
        // access: request
        (30, 10) => &[ShortString, Octet],
        // exchange: declare, delete, bind and unbind
        (40, 10) => &[Short, ShortString, ShortString, Octet, Table],
        (40, 20) => &[Short, ShortString, Octet],
        (40, 30 | 40) => &[Short, ShortString, ShortString, ShortString, Octet, Table],
        // queue: declare, bind, purge, delete, unbind
        (50, 10) => &[Short, ShortString, Octet, Table],
        (50, 20) => &[Short, ShortString, ShortString, ShortString, Octet, Table],
        (50, 30) => &[Short, ShortString, Octet],
        (50, 40) => &[Short, ShortString, Octet],
        (50, 50) => &[Short, ShortString, ShortString, ShortString, Table],
        // basic: qos, consume, cancel, publish, get, ack, reject, recover-async and recover, nack,
        // credit
        (60, 10) => &[Long, Short, Octet],
        (60, 20) => &[Short, ShortString, ShortString, Octet, Table],
        (60, 30) => &[ShortString, Octet],
        (60, 40) => &[Short, AnyShortString, AnyShortString, Octet],
        (60, 70) => &[Short, ShortString, Octet],
        (60, 80 | 90 | 120) => &[LongLong, Octet],
        (60, 100 | 110) => &[Octet],
        (60, 200) => &[ShortString, Long, Octet],
        // confirm: select; tx: select, commit, rollback
        (85, 10) => &[Octet],
        (90, 10 | 20 | 30) => &[],
        (10, 10 | 20 | 30 | 41 | 60 | 61 | 71)
        | (20, 11)
        | (30, 11)
        | (40, 11 | 21 | 31 | 51)
        | (50, 11 | 21 | 31 | 41 | 51)
        | (60, 11 | 21 | 31 | 50 | 60 | 71 | 72 | 111 | 201 | 202)
        | (85, 11)
        | (90, 11 | 21 | 31) => return Sender::Broker,
        _ => return Sender::Nobody,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(class: u16, method: u16) -> &'static [Kind] {
        match sender(MethodId::new(class, method)) {
            Sender::Client(schema) => schema,
            other => panic!("{class}.{method}: {other:?}"),
        }
    }

    /// Arguments that fit a schema: every number 0, every string and table empty.
    fn smallest(schema: &[Kind]) -> Vec<u8> {
        let sizes = schema.iter().map(|kind| match kind {
            Kind::Octet | Kind::ShortString | Kind::AnyShortString => 1,
            Kind::Short => 2,
            Kind::Long | Kind::LongString | Kind::Table => 4,
            Kind::LongLong => 8,
        });
        vec![0; sizes.sum()]
    }

    #[test]
    fn every_method_takes_its_smallest_arguments_and_no_octet_more_or_less() {
        let mut methods = 0;
        for class in 0..=200 {
            for method in 0..=255 {
                let Sender::Client(schema) = sender(MethodId::new(class, method)) else {
                    continue;
                };
                methods += 1;
                let mut arguments = smallest(schema);
                assert_eq!(check(schema, &arguments), Ok(()), "{class}.{method}");
                arguments.push(0);
                assert_eq!(check(schema, &arguments), Err(ArgumentsError::Length));
                arguments.truncate(arguments.len().saturating_sub(2));
                if !schema.is_empty() {
                    assert_eq!(check(schema, &arguments), Err(ArgumentsError::Length));
                }
            }
        }
        assert_eq!(methods, 37);
    }

    #[test]
    fn lengths_are_judged_before_utf8_and_that_before_tables() {
        let declare = schema(50, 10);
        let bad = |name: &[u8], table: &[u8], behind: &[u8]| {
            let length = (table.len() as u32).to_be_bytes();
            let parts = [
                &[0, 0, name.len() as u8],
                name,
                &[0],
                &length,
                table,
                behind,
            ];
            check(declare, &parts.concat())
        };
        assert_eq!(bad(b"q", b"\x01aV", b""), Ok(()));
        assert_eq!(bad(b"\xff", b"\x01aq", b"x"), Err(ArgumentsError::Length));
        assert_eq!(bad(b"\xff", b"\x01aq", b""), Err(ArgumentsError::NotUtf8));
        assert_eq!(bad(b"q", b"\x01aq", b""), Err(ArgumentsError::Table));
    }

    #[test]
    fn a_publish_may_carry_any_octets_as_names() {
        let arguments = [0, 0, 1, 0xff, 1, 0xfe, 0];
        assert_eq!(check(schema(60, 40), &arguments), Ok(()));
    }

    #[test]
    fn who_sends_what() {
        assert_eq!(sender(MethodId::BASIC_DELIVER), Sender::Broker);
        assert_eq!(sender(MethodId::new(60, 99)), Sender::Nobody);
        assert_eq!(sender(MethodId::new(70, 10)), Sender::Nobody);
    }
}
