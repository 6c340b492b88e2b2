//! Who a client says it is in its connection.start-ok.

use crate::wire::amqp::method::StartOk;

/// The user of a login by PLAIN or AMQPLAIN; none with another mechanism, or where it cannot be read.
///
/// What the client claims, no more: a broker that takes tokens may not even look at it.
pub(super) fn claimed_user(start_ok: &StartOk<'_>) -> Option<String> {
    let response = start_ok.response.0;
    let user = match start_ok.mechanism.as_bytes() {
        // RFC 4616: who to act as, who to log in as, the password; a NUL between each.
        b"PLAIN" => response.split(|byte| *byte == 0).nth(1)?,
        b"AMQPLAIN" => login_field(response)?,
        _ => return None,
    };
    if user.is_empty() || user.len() > USER_BYTES {
        return None;
    }
    std::str::from_utf8(user).ok().map(str::to_owned)
}

/// The field LOGIN of a table without its length, whose fields in front of it are long strings too.
fn login_field(mut table: &[u8]) -> Option<&[u8]> {
    loop {
        let (length, rest) = table.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*length))?;
        let rest = rest.strip_prefix(b"S")?;
        let (length, rest) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (value, rest) = rest.split_at_checked(length)?;
        if name == b"LOGIN" {
            return Some(value);
        }
        table = rest;
    }
}

/// The longest name that a broker's user can have (AMQP's short string).
const USER_BYTES: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::amqp::method::LongString;
    use crate::wire::amqp::method::ShortString;
    use crate::wire::amqp::method::Table;

    fn user(mechanism: &str, response: &[u8]) -> Option<String> {
        claimed_user(&StartOk {
            client_properties: Table(b""),
            mechanism: ShortString::clipped(mechanism),
            response: LongString(response),
            locale: ShortString::clipped("en_US"),
        })
    }

    #[test]
    fn the_user_of_either_mechanism_is_read() {
        assert_eq!(user("PLAIN", b"\0alice\0secret").as_deref(), Some("alice"));
        assert_eq!(user("PLAIN", b"carol\0alice\0").as_deref(), Some("alice"));
        let table = b"\x08PASSWORDS\0\0\0\x06secret\x05LOGINS\0\0\0\x05alice";
        assert_eq!(user("AMQPLAIN", table).as_deref(), Some("alice"));
    }

    #[test]
    fn what_cannot_be_read_is_nobody() {
        let long = [b"\0".as_slice(), &[b'u'; 256], b"\0"].concat();
        for response in [&b""[..], b"alice", b"\0\0secret", b"\0\xff\0", &long] {
            assert_eq!(user("PLAIN", response), None, "{response:?}");
        }
        for table in [
            &b""[..],
            b"\x05LOGINS\0\0\0\x09alice",
            b"\x05LOGINI\0\0\0\x05alice",
            b"\x09LOGIN",
            b"\x08PASSWORDS\xff\xff\xff\xffx",
        ] {
            assert_eq!(user("AMQPLAIN", table), None, "{table:?}");
        }
        assert_eq!(user("EXTERNAL", b"\0alice\0secret"), None);
    }
}
