//! AMQP reply codes: open numbers with names for the known ones, all from one table.

use std::fmt;

/// The number that says why an AMQP connection or channel was closed (AMQP 0-9-1 section 1.2
/// "Constants"). Numbers that have no name here pass through unharmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplyCode(pub u16);

macro_rules! reply_codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        impl ReplyCode {
            $($(#[$doc])* pub const $name: Self = Self($number);)*

            /// Every code that has a name, in order of number.
            pub const NAMED: &'static [Self] = &[$(Self::$name),*];

            /// The name as the specification writes it, in capitals as RabbitMQ does:
            /// `FRAME_ERROR`.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

reply_codes! {
    /// The connection or channel closed in good order.
    REPLY_SUCCESS = 200,
    /// A message was larger than the broker takes.
    CONTENT_TOO_LARGE = 311,
    /// A message with the mandatory flag found no queue.
    NO_ROUTE = 312,
    /// A message with the immediate flag found no consumer.
    NO_CONSUMERS = 313,
    /// An operator, or the gateway, closed the connection. The only code of a connection that
    /// invites to come back.
    CONNECTION_FORCED = 320,
    /// The vhost is not there or not known.
    INVALID_PATH = 402,
    /// The login or an operation was refused.
    ACCESS_REFUSED = 403,
    /// The entity does not exist.
    NOT_FOUND = 404,
    /// Another connection holds the entity.
    RESOURCE_LOCKED = 405,
    /// A condition of the operation was not met.
    PRECONDITION_FAILED = 406,
    /// A frame whose boundaries cannot be believed.
    FRAME_ERROR = 501,
    /// A frame with an illegal value in a field.
    SYNTAX_ERROR = 502,
    /// A sequence of frames that makes no sense, or a method nobody asked for.
    COMMAND_INVALID = 503,
    /// A channel that is not open, or may not be.
    CHANNEL_ERROR = 504,
    /// A frame that was not expected now.
    UNEXPECTED_FRAME = 505,
    /// The broker ran out of something.
    RESOURCE_ERROR = 506,
    /// The entity or the value is not allowed.
    NOT_ALLOWED = 530,
    /// The broker does not do this.
    NOT_IMPLEMENTED = 540,
    /// The broker, or the gateway, failed.
    INTERNAL_ERROR = 541,
}

impl fmt::Display for ReplyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} {name}", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_code_prints_its_number_and_name() {
        assert_eq!(ReplyCode::FRAME_ERROR.to_string(), "501 FRAME_ERROR");
        assert_eq!(ReplyCode(320).name(), Some("CONNECTION_FORCED"));
    }

    #[test]
    fn an_unknown_code_prints_its_number() {
        assert_eq!(ReplyCode(599).to_string(), "599");
        assert_eq!(ReplyCode(599).name(), None);
    }

    #[test]
    fn the_table_is_in_order_and_says_nothing_twice() {
        assert!(ReplyCode::NAMED.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(ReplyCode::NAMED.iter().all(|code| code.name().is_some()));
    }
}
