//! Content headers and bodies of the client's publishes.

use crate::relay::server::channel::Content;
use crate::relay::server::negotiating::unknown_frame;
use crate::relay::server::open::renumber;
use crate::relay::server::open::Step;
use crate::relay::server::rule::Refusal;
use crate::relay::server::rule::Rule;
use crate::relay::server::Server;
use crate::wire::amqp::fields::check_properties;
use crate::wire::amqp::fields::has_decimal_header;
use crate::wire::amqp::frame::HEADER_SIZE;
use crate::wire::amqp::FrameHeader;
use crate::wire::amqp::FrameKind;
use crate::wire::amqp::MethodId;
use crate::wire::amqp::ReplyCode;

impl Server {
    /// A frame on a channel on which basic.publish has come and not all of its content.
    #[inline]
    pub(super) fn content(
        &mut self,
        place: usize,
        content: Content,
        header: FrameHeader,
        frame: &mut [u8],
    ) -> Result<Step, Refusal> {
        let payload = frame.get(HEADER_SIZE..frame.len() - 1).unwrap_or_default();
        let left = match content {
            Content::Body(left) if header.kind == FrameKind::BODY => {
                match left.checked_sub(header.size.into()) {
                    Some(left) => left,
                    None => return Err(not_body()),
                }
            }
            Content::Header { immediate } if header.kind == FrameKind::HEADER => {
                self.content_header(immediate, payload)?
            }
            _ => return Err(bad_kind(content, header, payload)),
        };
        let Some(channel) = self.channels.at(place) else {
            return Ok(Step::Drop);
        };
        renumber(frame, channel);
        if left == 0 {
            channel.content = Content::Nothing;
            return Ok(Step::Complete);
        }
        channel.content = Content::Body(left);
        Ok(Step::Content)
    }

    /// Holds a content header to the rules; gives the size of the body.
    #[inline]
    fn content_header(&self, immediate: bool, payload: &[u8]) -> Result<u64, Refusal> {
        let Some((fixed, properties)) = payload.split_first_chunk::<12>() else {
            return Err(unknown_frame(FrameKind::HEADER, payload));
        };
        let [c1, c0, w1, w0, size @ ..] = *fixed;
        let class = u16::from_be_bytes([c1, c0]);
        if class != BASIC || (w1, w0) != (0, 0) {
            return Err(other_class(class, (w1, w0) != (0, 0)));
        }
        let size = u64::from_be_bytes(size);
        let most = self.params.policy.message_bytes as u64;
        if immediate {
            return Err(Refusal::connection(
                Rule::Immediate,
                ReplyCode::NOT_IMPLEMENTED,
                "immediate=true",
                MethodId::BASIC_PUBLISH.into(),
            ));
        }
        if size > most {
            return Err(too_large(size, most));
        }
        if check_properties(properties).is_err() {
            return Err(Refusal::internal_error(Rule::Properties));
        }
        // A stream cannot take it, and where it is routed to is not known.
        let doubtful = !self.params.policy.trust_queue_types;
        if doubtful && has_decimal_header(properties) {
            return Err(Refusal::internal_error(Rule::ArgumentValue));
        }
        Ok(size)
    }
}

#[cold]
fn too_large(size: u64, most: u64) -> Refusal {
    Refusal::channel(
        Rule::MessageSize,
        ReplyCode::PRECONDITION_FAILED,
        format!("message size {size} is larger than configured max size {most}"),
        MethodId::BASIC_PUBLISH,
    )
}

#[cold]
fn other_class(class: u16, weighs: bool) -> Refusal {
    let explanation = if weighs {
        NOT_HEADER.to_owned()
    } else {
        format!("expected content header for class 60, got one for class {class} instead")
    };
    Refusal::out_of_sequence(explanation, MethodId::BASIC_PUBLISH.into())
}

#[cold]
fn not_body() -> Refusal {
    let explanation = "expected content body, got non content body frame instead";
    Refusal::out_of_sequence(explanation, MethodId::BASIC_PUBLISH.into())
}

/// A frame of a kind that does not belong into this message.
#[cold]
fn bad_kind(content: Content, header: FrameHeader, payload: &[u8]) -> Refusal {
    let least = match header.kind {
        FrameKind::METHOD => 4,
        FrameKind::HEADER => 12,
        _ => 0,
    };
    if payload.len() < least {
        return unknown_frame(header.kind, payload);
    }
    match content {
        Content::Body(_) => not_body(),
        _ => Refusal::out_of_sequence(NOT_HEADER, MethodId::BASIC_PUBLISH.into()),
    }
}

const NOT_HEADER: &str =
    "expected content header for class 60, got non content header frame instead";

/// The class of every method with content.
const BASIC: u16 = 60;
