//! As much AMQP 0-9-1 as a load needs: a scanner that tells frames by their seven-byte heads, and
//! the few methods that the client and the sink say. It is written apart from the gateway's own
//! codec, so that the two check one another.

use std::io;

/// What a client says first (AMQP 0-9-1, section 4.2.2).
pub(crate) const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";

/// A class and a method number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name(u16, u16);

pub(crate) const CONNECTION_START: Name = Name(10, 10);
pub(crate) const CONNECTION_START_OK: Name = Name(10, 11);
pub(crate) const CONNECTION_TUNE: Name = Name(10, 30);
pub(crate) const CONNECTION_TUNE_OK: Name = Name(10, 31);
pub(crate) const CONNECTION_OPEN: Name = Name(10, 40);
pub(crate) const CONNECTION_OPEN_OK: Name = Name(10, 41);
pub(crate) const CONNECTION_CLOSE: Name = Name(10, 50);
pub(crate) const CONNECTION_CLOSE_OK: Name = Name(10, 51);
pub(crate) const CHANNEL_OPEN: Name = Name(20, 10);
pub(crate) const CHANNEL_OPEN_OK: Name = Name(20, 11);
pub(crate) const CHANNEL_CLOSE: Name = Name(20, 40);
pub(crate) const CHANNEL_CLOSE_OK: Name = Name(20, 41);
pub(crate) const QUEUE_DECLARE: Name = Name(50, 10);
pub(crate) const QUEUE_DECLARE_OK: Name = Name(50, 11);
pub(crate) const QUEUE_DELETE: Name = Name(50, 40);
pub(crate) const QUEUE_DELETE_OK: Name = Name(50, 41);
pub(crate) const BASIC_QOS: Name = Name(60, 10);
pub(crate) const BASIC_QOS_OK: Name = Name(60, 11);
pub(crate) const BASIC_CONSUME: Name = Name(60, 20);
pub(crate) const BASIC_CONSUME_OK: Name = Name(60, 21);
pub(crate) const BASIC_CANCEL: Name = Name(60, 30);
pub(crate) const BASIC_CANCEL_OK: Name = Name(60, 31);
pub(crate) const BASIC_PUBLISH: Name = Name(60, 40);
pub(crate) const BASIC_DELIVER: Name = Name(60, 60);
pub(crate) const BASIC_ACK: Name = Name(60, 80);

/// The consumer tag of every delivery; as long as a name RabbitMQ would make up.
pub(crate) const CONSUMER_TAG: &str = "amq.ctag-bench-00000000";

/// One frame, as far as the bench looks into it.
pub(crate) enum Frame<'a> {
    Method {
        name: Name,
        arguments: &'a [u8],
    },
    /// A content header, with the size of the body that follows, in bytes.
    Header {
        body: u64,
    },
    /// A piece of a body, with its size in bytes.
    Body {
        size: u64,
    },
    Heartbeat,
}

/// Tells the frames of a byte stream that comes in pieces cut anywhere. Only a frame that was cut
/// is copied, and of a cut body only the length is kept.
#[derive(Default)]
pub(crate) struct Scanner {
    head: [u8; HEAD],
    have: usize,
    left: usize,
    kept: Vec<u8>,
}

impl Scanner {
    /// Calls `each` for every frame that ends in `bytes`, with its channel. Fails on an unknown type, a size that no
    /// tune allowed, and a wrong end octet: the stream was damaged on its way.
    pub(crate) fn feed(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(u16, Frame<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.have == 0 {
                while let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() {
                    let size = payload_size(head)?;
                    let Some((payload, rest)) = rest.split_at_checked(size + 1) else {
                        break;
                    };
                    end_octet(payload)?;
                    each(channel(head), frame(head, &payload[..size], size)?)?;
                    bytes = rest;
                }
            }
            if self.have < HEAD {
                let (taken, rest) = bytes.split_at(bytes.len().min(HEAD - self.have));
                self.head[self.have..self.have + taken.len()].copy_from_slice(taken);
                self.have += taken.len();
                bytes = rest;
                if self.have == HEAD {
                    self.left = payload_size(&self.head)? + 1;
                }
                continue;
            }
            let (taken, rest) = bytes.split_at(bytes.len().min(self.left));
            if self.head[0] != BODY {
                self.kept.extend_from_slice(taken);
            }
            self.left -= taken.len();
            bytes = rest;
            if self.left == 0 {
                end_octet(taken)?;
                let size = payload_size(&self.head)?;
                let payload = self.kept.get(..size).unwrap_or_default();
                each(channel(&self.head), frame(&self.head, payload, size)?)?;
                self.have = 0;
                self.kept.clear();
            }
        }
        Ok(())
    }
}

fn channel(head: &[u8; HEAD]) -> u16 {
    u16::from_be_bytes([head[1], head[2]])
}

fn payload_size(head: &[u8; HEAD]) -> io::Result<usize> {
    let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
    if size > LARGEST_FRAME || !matches!(head[0], METHOD | HEADER | BODY | HEARTBEAT) {
        return Err(damaged(format!("not the head of a frame: {head:02x?}")));
    }
    Ok(size)
}

fn end_octet(payload: &[u8]) -> io::Result<()> {
    match payload.last() {
        Some(&END) => Ok(()),
        other => Err(damaged(format!("a frame ends in {other:02x?}"))),
    }
}

fn frame<'a>(head: &[u8; HEAD], payload: &'a [u8], size: usize) -> io::Result<Frame<'a>> {
    match head[0] {
        METHOD => match payload.split_first_chunk::<4>() {
            Some((name, arguments)) => Ok(Frame::Method {
                name: Name(
                    u16::from_be_bytes([name[0], name[1]]),
                    u16::from_be_bytes([name[2], name[3]]),
                ),
                arguments,
            }),
            None => Err(damaged("a method frame without a method".to_owned())),
        },
        HEADER => match payload.get(4..12).and_then(|size| size.try_into().ok()) {
            Some(size) => Ok(Frame::Header {
                body: u64::from_be_bytes(size),
            }),
            None => Err(damaged("a content header without a size".to_owned())),
        },
        BODY => Ok(Frame::Body { size: size as u64 }),
        _ => Ok(Frame::Heartbeat),
    }
}

/// The error for bytes that are not what was sent.
pub(crate) fn damaged(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Appends a method frame.
pub(crate) fn method(out: &mut Vec<u8>, channel: u16, name: Name, arguments: &[u8]) {
    let mut payload = Vec::with_capacity(4 + arguments.len());
    payload.extend_from_slice(&name.0.to_be_bytes());
    payload.extend_from_slice(&name.1.to_be_bytes());
    payload.extend_from_slice(arguments);
    put(out, METHOD, channel, &payload);
}

/// Appends `basic.publish` to the default exchange with its content, on channel 1, which is every client's.
pub(crate) fn publish(out: &mut Vec<u8>, queue: &str, size: usize) {
    let mut arguments = vec![0, 0, 0];
    short_string(&mut arguments, queue);
    arguments.push(0);
    method(out, 1, BASIC_PUBLISH, &arguments);
    content(out, 1, size);
}

/// Appends `basic.deliver` with its content. The delivery tag lies [`TAG_OFFSET`]
/// bytes from its start.
pub(crate) fn deliver(out: &mut Vec<u8>, channel: u16, tag: u64, size: usize) {
    let mut arguments = Vec::new();
    short_string(&mut arguments, CONSUMER_TAG);
    arguments.extend_from_slice(&tag.to_be_bytes());
    arguments.push(0);
    short_string(&mut arguments, "");
    short_string(&mut arguments, "smeuse-bench");
    method(out, channel, BASIC_DELIVER, &arguments);
    content(out, channel, size);
}

/// The delivery tag in the arguments of `basic.deliver`.
pub(crate) fn delivery_tag(arguments: &[u8]) -> Option<u64> {
    let (_, rest) = take_short(arguments)?;
    Some(u64::from_be_bytes(*rest.first_chunk()?))
}

/// Appends a short string (section 4.2.5.3); what is beyond 255 bytes is left out.
pub(crate) fn short_string(out: &mut Vec<u8>, text: &str) {
    let text = &text.as_bytes()[..text.len().min(255)];
    out.push(text.len() as u8);
    out.extend_from_slice(text);
}

/// Appends a long string.
pub(crate) fn long_string(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&(text.len() as u32).to_be_bytes());
    out.extend_from_slice(text);
}

/// A short string at the start of `bytes`, and what follows it.
pub(crate) fn take_short(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    rest.split_at_checked(length.into())
}

fn content(out: &mut Vec<u8>, channel: u16, size: usize) {
    let mut header = vec![0, 60, 0, 0];
    header.extend_from_slice(&(size as u64).to_be_bytes());
    header.extend_from_slice(&[0, 0]);
    put(out, HEADER, channel, &header);
    let body: Vec<u8> = (0..size).map(|at| at as u8).collect();
    put(out, BODY, channel, &body);
}

fn put(out: &mut Vec<u8>, kind: u8, channel: u16, payload: &[u8]) {
    out.push(kind);
    out.extend_from_slice(&channel.to_be_bytes());
    long_string(out, payload);
    out.push(END);
}

/// From the start of a `basic.deliver` frame to its delivery tag: head, method, consumer tag.
pub(crate) const TAG_OFFSET: usize = HEAD + 4 + 1 + CONSUMER_TAG.len();

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;
const END: u8 = 0xCE;
const HEAD: usize = 7;

/// RabbitMQ's default frame-max; nothing larger was agreed by anybody here.
const LARGEST_FRAME: usize = 131_072;
