//! The rules a session on a shared broker connection is held to, and what breaking one costs it.

use std::fmt::Display;

use crate::relay::violation::Violation;
use crate::relay::violation::NO_METHOD;
use crate::wire::amqp::MethodId;
use crate::wire::amqp::ReplyCode;

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $label:literal,)*) => {
        /// What a client did that would have cost the broker connection, or that the broker can no
        /// longer judge for itself where sessions share one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Rule {
            $($(#[$doc])* $name,)*
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The metric label.
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)*
                }
            }
        }
    };
}

rules! {
    /// A frame that is none, too large, or on a channel it cannot be on.
    Frame = "frame",
    /// Method, content header and body out of order.
    ContentSequence = "content_sequence",
    /// A method nobody knows.
    UnknownMethod = "unknown_method",
    /// A method that is not the client's to send, or not there or then.
    UnexpectedMethod = "unexpected_method",
    /// A method on a channel that is not open.
    ChannelNotOpen = "channel_not_open",
    /// channel.open on a channel that is open.
    ChannelOpenedTwice = "channel_opened_twice",
    /// Arguments that cannot be decoded.
    Arguments = "arguments",
    /// Properties of a message that cannot be decoded.
    Properties = "properties",
    /// A value in an argument table that RabbitMQ fails over.
    ArgumentValue = "argument_value",
    /// basic.publish with the immediate bit.
    Immediate = "immediate",
    /// channel.flow that asks for a pause.
    Flow = "flow",
    /// basic.recover without requeue.
    Recover = "recover",
    /// basic.qos with a prefetch size.
    PrefetchSize = "prefetch_size",
    /// A consumer tag that is in use on the channel, or was by one whose deliveries are not settled.
    ConsumerTag = "consumer_tag",
    /// exchange.declare with a type that is not on the list.
    ExchangeType = "exchange_type",
    /// A method that queues of this type do not know.
    QueueType = "queue_type",
    /// An exclusive queue of another session.
    QueueLocked = "queue_locked",
    /// The delivery tag of a delivery that needs no acknowledgement.
    DeliveryTag = "delivery_tag",
    /// A message that is too large.
    MessageSize = "message_size",
    /// Too many bytes in messages that are not complete.
    PublishMemory = "publish_memory",
    /// Too many requests without an answer, or consumers, or deliveries not acknowledged.
    Bookkeeping = "bookkeeping",
    /// A login, limits or an order of methods that no negotiation allows.
    Negotiation = "negotiation",
}

/// A rule that was broken, and what the client loses by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which.
    pub rule: Rule,
    /// What.
    pub scope: Scope,
    /// What the close says.
    pub violation: Box<Violation>,
}

/// What a refusal costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The channel it came on.
    Channel,
    /// The client's connection.
    Connection,
}

impl Refusal {
    /// A refusal that costs the client's connection.
    #[cold]
    pub(super) fn connection(
        rule: Rule,
        reply_code: ReplyCode,
        explanation: impl Display,
        class_method: (u16, u16),
    ) -> Self {
        Self {
            rule,
            scope: Scope::Connection,
            violation: Box::new(Violation::new(reply_code, explanation, class_method)),
        }
    }

    /// A refusal that costs the channel.
    #[cold]
    pub(super) fn channel(
        rule: Rule,
        reply_code: ReplyCode,
        explanation: impl Display,
        method: MethodId,
    ) -> Self {
        Self {
            scope: Scope::Channel,
            ..Self::connection(rule, reply_code, explanation, method.into())
        }
    }

    /// What the broker says where it failed itself.
    #[cold]
    pub(super) fn internal_error(rule: Rule) -> Self {
        Self {
            rule,
            scope: Scope::Connection,
            violation: Box::new(Violation {
                reply_code: ReplyCode::INTERNAL_ERROR,
                text: "INTERNAL_ERROR".to_owned(),
                class_method: NO_METHOD,
            }),
        }
    }

    /// A method on channel `channel` that no client sends there.
    #[cold]
    pub(super) fn unimplemented(method: MethodId) -> Self {
        Self::connection(
            Rule::UnexpectedMethod,
            ReplyCode::COMMAND_INVALID,
            "unimplemented method",
            method.into(),
        )
    }

    /// A frame that does not belong where the content of a publish stands.
    #[cold]
    pub(super) fn out_of_sequence(explanation: impl Display, class_method: (u16, u16)) -> Self {
        Self::connection(
            Rule::ContentSequence,
            ReplyCode::UNEXPECTED_FRAME,
            explanation,
            class_method,
        )
    }

    /// What a violation that is known by itself costs.
    #[cold]
    pub(super) fn of(rule: Rule, violation: Violation) -> Self {
        Self {
            rule,
            scope: Scope::Connection,
            violation: Box::new(violation),
        }
    }
}

/// A name in a reply text, as RabbitMQ puts it there: its own bytes.
pub(super) fn named(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Octets as Erlang prints them with `~w`, as far as a reply text can hold them.
pub(super) fn octets(bytes: &[u8]) -> String {
    // Two characters each at least, so these fill the text.
    const MOST: usize = 128;
    let numbers: Vec<String> = bytes.iter().take(MOST).map(u8::to_string).collect();
    let end = if bytes.len() > MOST { "," } else { ">>" };
    format!("<<{}{end}", numbers.join(","))
}

/// The octets of a frame's payload as RabbitMQ shows them in its text about the frame (`~p`).
pub(super) fn payload_octets(payload: &[u8]) -> String {
    const SHOWN: usize = 16;
    let (how_many, shown) = match payload.get(..SHOWN) {
        Some(first) if payload.len() > SHOWN => ("first 16", first),
        _ => ("all", payload),
    };
    let text: Option<String> = shown.iter().map(|byte| printable(*byte)).collect();
    let shown = match text {
        Some(text) if !shown.is_empty() => format!("<<\"{text}\">>"),
        _ => octets(shown),
    };
    format!("{how_many} octets = {shown}")
}

/// How Erlang writes an octet within a text, if it can stand in one.
fn printable(byte: u8) -> Option<String> {
    Some(match byte {
        b'"' => "\\\"".to_owned(),
        b'\\' => "\\\\".to_owned(),
        b'\n' => "\\n".to_owned(),
        b'\t' => "\\t".to_owned(),
        b'\r' => "\\r".to_owned(),
        8 => "\\b".to_owned(),
        11 => "\\v".to_owned(),
        12 => "\\f".to_owned(),
        27 => "\\e".to_owned(),
        32..=126 | 160..=255 => char::from(byte).to_string(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_label_of_its_own() {
        let mut labels: Vec<&str> = Rule::ALL.iter().map(|rule| rule.label()).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Rule::ALL.len());
    }

    #[test]
    fn octets_look_as_in_erlang() {
        assert_eq!(octets(&[]), "<<>>");
        assert_eq!(octets(b"\0<q"), "<<0,60,113>>");
        assert!(octets(&[7; 4000]).len() < 600);
        assert_eq!(payload_octets(b"hello"), "all octets = <<\"hello\">>");
        assert_eq!(payload_octets(b""), "all octets = <<>>");
        assert_eq!(payload_octets(b"a\0"), "all octets = <<97,0>>");
        assert_eq!(
            payload_octets(&[b'a'; 17]),
            "first 16 octets = <<\"aaaaaaaaaaaaaaaa\">>"
        );
        assert_eq!(
            payload_octets(b"\"a\n\\"),
            "all octets = <<\"\\\"a\\n\\\\\">>"
        );
    }
}
