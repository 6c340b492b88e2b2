//! The number that a WebSocket Close frame carries, with the names that
//! RFC 6455 and the IANA registry give to some of them.

use std::fmt;

/// A close code (RFC 6455 section 7.4). Any number is representable; those
/// without a name pass through intact and print as numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// The purpose of the WebSocket has been fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The peer goes down or the user leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// A rule of RFC 6455, or of the subprotocol, was broken.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A kind of data came that the peer cannot accept, such as TEXT where
    /// only BINARY has a meaning.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// The payload does not fit its opcode, such as TEXT that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// A policy was violated and no other code says it better.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// A payload is too big to be processed.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// The closing side met a condition it did not expect.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// The service restarts; coming back later is welcome.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// The service is overloaded or not reachable for now.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// A gateway lost, or got a wrong answer from, what lies behind it.
    pub const BAD_GATEWAY: Self = Self(1014);

    /// Whether a peer may put this code into a Close frame: the registered
    /// codes, without 1004 (reserved) and 1005, 1006 and 1015 (which never
    /// travel), the ranges for libraries (3000 to 3999) and for private use
    /// (4000 to 4999). RFC 6455 section 7.4.2.
    #[must_use]
    pub const fn may_be_received(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl From<u16> for CloseCode {
    fn from(number: u16) -> Self {
        Self(number)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_of_what_may_be_received() {
        let allowed = [
            1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999,
            4000, 4999,
        ];
        let forbidden = [
            0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
        ];
        for code in allowed {
            assert!(CloseCode(code).may_be_received(), "{code}");
        }
        for code in forbidden {
            assert!(!CloseCode(code).may_be_received(), "{code}");
        }
    }

    #[test]
    fn prints_as_a_number() {
        assert_eq!(CloseCode::BAD_GATEWAY.to_string(), "1014");
        assert_eq!(format!("{:?}", CloseCode(4501)), "4501");
    }
}
