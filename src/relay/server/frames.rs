//! Frames the server writes itself, on channels.

use crate::relay::server::turned::Ack;
use crate::wire::amqp::frame::FrameHeader;
use crate::wire::amqp::frame::FrameKind;
use crate::wire::amqp::frame::END_OCTET;
use crate::wire::amqp::method::ShortString;
use crate::wire::amqp::MethodId;

/// A method frame on a channel.
pub(super) fn method(channel: u16, method: MethodId, arguments: &[&[u8]]) -> Vec<u8> {
    let size: usize = arguments.iter().map(|part| part.len()).sum();
    let header = FrameHeader {
        kind: FrameKind::METHOD,
        channel,
        // Frames of the server's own are small.
        size: (size + 4) as u32,
    };
    [
        &header.encode()[..],
        &method.encode(),
        &arguments.concat(),
        &[END_OCTET],
    ]
    .concat()
}

/// basic.ack.
pub(super) fn ack(channel: u16, Ack { tag, multiple }: Ack) -> Vec<u8> {
    let tag = tag.to_be_bytes();
    method(
        channel,
        MethodId::new(60, 80),
        &[&tag, &[u8::from(multiple)]],
    )
}

/// basic.qos for the consumers to come.
pub(super) fn qos(channel: u16, prefetch: u16) -> Vec<u8> {
    let prefetch = prefetch.to_be_bytes();
    method(channel, MethodId::new(60, 10), &[&[0; 4], &prefetch, &[0]])
}

/// basic.recover-ok.
pub(super) fn recover_ok(channel: u16) -> Vec<u8> {
    method(channel, MethodId::new(60, 111), &[])
}

/// basic.nack of everything up to `tag`, back into the queues.
pub(super) fn nack_all(channel: u16, tag: u64) -> Vec<u8> {
    method(
        channel,
        MethodId::new(60, 120),
        &[&tag.to_be_bytes(), &[0b11]],
    )
}

/// channel.close.
pub(super) fn close(channel: u16, code: u16, text: &str, (class, cause): (u16, u16)) -> Vec<u8> {
    let text = ShortString::clipped(text).as_bytes();
    let parts: [&[u8]; 5] = [
        &code.to_be_bytes(),
        // Clipped to what a short string holds.
        &[text.len() as u8],
        text,
        &class.to_be_bytes(),
        &cause.to_be_bytes(),
    ];
    method(channel, CHANNEL_CLOSE, &parts)
}

/// channel.close-ok.
pub(super) fn close_ok(channel: u16) -> Vec<u8> {
    method(channel, CHANNEL_CLOSE_OK, &[])
}

pub(super) const CHANNEL_OPEN: MethodId = MethodId::new(20, 10);
pub(super) const CHANNEL_CLOSE: MethodId = MethodId::new(20, 40);
pub(super) const CHANNEL_CLOSE_OK: MethodId = MethodId::new(20, 41);
