//! AMQP 0-9-1 as far as the suites speak it: frames and a few methods in bytes, written apart from the gateway's own.

use std::io;
use std::io::Read;

/// The protocol header (specification section 4.2.2).
pub(crate) const HEADER: &[u8; 8] = b"AMQP\x00\x00\x09\x01";

pub(crate) const METHOD: u8 = 1;
pub(crate) const CONTENT_HEADER: u8 = 2;
pub(crate) const CONTENT_BODY: u8 = 3;
pub(crate) const HEARTBEAT: u8 = 8;
pub(crate) const FRAME_END: u8 = 0xce;

/// A method by class and method number, as the specification's tables give them.
pub(crate) type Method = (u16, u16);

pub(crate) const START: Method = (10, 10);
pub(crate) const START_OK: Method = (10, 11);
pub(crate) const TUNE: Method = (10, 30);
pub(crate) const TUNE_OK: Method = (10, 31);
pub(crate) const OPEN: Method = (10, 40);
pub(crate) const OPEN_OK: Method = (10, 41);
pub(crate) const CONNECTION_CLOSE: Method = (10, 50);
pub(crate) const CONNECTION_CLOSE_OK: Method = (10, 51);
pub(crate) const CHANNEL_OPEN: Method = (20, 10);
pub(crate) const CHANNEL_OPEN_OK: Method = (20, 11);
pub(crate) const QUEUE_DECLARE: Method = (50, 10);
pub(crate) const QUEUE_DECLARE_OK: Method = (50, 11);
pub(crate) const CONSUME: Method = (60, 20);
pub(crate) const CONSUME_OK: Method = (60, 21);
pub(crate) const PUBLISH: Method = (60, 40);
pub(crate) const DELIVER: Method = (60, 60);

/// Octets around a frame's payload: type, channel, length, end.
pub(crate) const FRAME_OVERHEAD: usize = 8;

/// One whole frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) channel: u16,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// Class and method number, if this is a method frame.
    pub(crate) fn method(&self) -> Option<Method> {
        let (head, _) = self.payload.split_first_chunk::<4>()?;
        let [a, b, c, d] = *head;
        (self.kind == METHOD).then(|| (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    }

    /// The arguments of a method frame, to be read in order.
    #[track_caller]
    pub(crate) fn arguments(&self) -> Arguments<'_> {
        assert_eq!(self.kind, METHOD, "{self:?}");
        Arguments(&self.payload[4..])
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        frame(self.kind, self.channel, &self.payload)
    }
}

/// A frame of any type.
pub(crate) fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len() + FRAME_OVERHEAD);
    bytes.push(kind);
    bytes.extend_from_slice(&channel.to_be_bytes());
    bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes.push(FRAME_END);
    bytes
}

/// A method frame.
pub(crate) fn method(channel: u16, method: Method, arguments: &Builder) -> Vec<u8> {
    let numbers = [method.0.to_be_bytes(), method.1.to_be_bytes()].concat();
    frame(METHOD, channel, &[&numbers, &arguments.0[..]].concat())
}

/// The frame that says the peer is alive (section 4.2.7).
pub(crate) fn heartbeat() -> Vec<u8> {
    frame(HEARTBEAT, 0, &[])
}

/// `connection.close` or `connection.close-ok`, by what is given.
pub(crate) fn connection_close(code: u16, text: &str) -> Vec<u8> {
    method(
        0,
        CONNECTION_CLOSE,
        &Builder::new()
            .short(code)
            .short_string(text)
            .short(0)
            .short(0),
    )
}

pub(crate) fn connection_close_ok() -> Vec<u8> {
    method(0, CONNECTION_CLOSE_OK, &Builder::new())
}

pub(crate) fn channel_open(channel: u16) -> Vec<u8> {
    method(channel, CHANNEL_OPEN, &Builder::new().short_string(""))
}

pub(crate) fn channel_open_ok(channel: u16) -> Vec<u8> {
    method(channel, CHANNEL_OPEN_OK, &Builder::new().long_string(b""))
}

/// `basic.publish` to the default exchange with its content, in body frames of at most `frame_max`.
pub(crate) fn publish(channel: u16, routing_key: &str, body: &[u8], frame_max: usize) -> Vec<u8> {
    let arguments = Builder::new()
        .short(0)
        .short_string("")
        .short_string(routing_key)
        .octet(0);
    [
        method(channel, PUBLISH, &arguments),
        content(channel, body, frame_max),
    ]
    .concat()
}

/// `basic.deliver` with its content.
pub(crate) fn deliver(channel: u16, delivery_tag: u64, body: &[u8], frame_max: usize) -> Vec<u8> {
    let arguments = Builder::new()
        .short_string("c")
        .long_long(delivery_tag)
        .octet(0);
    let arguments = arguments.short_string("").short_string("q");
    [
        method(channel, DELIVER, &arguments),
        content(channel, body, frame_max),
    ]
    .concat()
}

/// The content header without properties, and the body frames.
fn content(channel: u16, body: &[u8], frame_max: usize) -> Vec<u8> {
    let header = Builder::new()
        .short(60)
        .short(0)
        .long_long(body.len() as u64)
        .short(0);
    let mut bytes = frame(CONTENT_HEADER, channel, &header.0);
    for part in body.chunks(frame_max - FRAME_OVERHEAD) {
        bytes.extend(frame(CONTENT_BODY, channel, part));
    }
    bytes
}

/// Arguments of a method, appended in the order of the specification.
#[derive(Debug, Clone, Default)]
pub(crate) struct Builder(pub(crate) Vec<u8>);

impl Builder {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn octet(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(crate) fn short(mut self, value: u16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(crate) fn long(mut self, value: u32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(crate) fn long_long(mut self, value: u64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(crate) fn short_string(self, text: &str) -> Self {
        let length = u8::try_from(text.len()).expect("a short string has at most 255 octets");
        let mut builder = self.octet(length);
        builder.0.extend(text.as_bytes());
        builder
    }

    pub(crate) fn long_string(self, bytes: &[u8]) -> Self {
        let mut builder = self.long(bytes.len() as u32);
        builder.0.extend(bytes);
        builder
    }

    /// A table whose values are all long strings.
    pub(crate) fn table(self, entries: &[(&str, &str)]) -> Self {
        let mut fields = Self::new();
        for (key, value) in entries {
            fields = fields
                .short_string(key)
                .octet(b'S')
                .long_string(value.as_bytes());
        }
        self.long_string(&fields.0)
    }
}

/// Arguments being read; every method takes the next one off.
#[derive(Debug)]
pub(crate) struct Arguments<'payload>(pub(crate) &'payload [u8]);

impl Arguments<'_> {
    #[track_caller]
    pub(crate) fn octet(&mut self) -> u8 {
        self.take(1)[0]
    }

    #[track_caller]
    pub(crate) fn short(&mut self) -> u16 {
        u16::from_be_bytes(self.take(2).try_into().expect("two octets"))
    }

    #[track_caller]
    pub(crate) fn long(&mut self) -> u32 {
        u32::from_be_bytes(self.take(4).try_into().expect("four octets"))
    }

    #[track_caller]
    pub(crate) fn short_string(&mut self) -> String {
        let length = usize::from(self.octet());
        String::from_utf8(self.take(length).to_vec()).expect("a short string in UTF-8")
    }

    /// The same, whatever its octets are.
    #[track_caller]
    pub(crate) fn short_octets(&mut self) -> Vec<u8> {
        let length = usize::from(self.octet());
        self.take(length).to_vec()
    }

    /// A long string, or a table as bytes.
    #[track_caller]
    pub(crate) fn long_string(&mut self) -> Vec<u8> {
        let length = self.long() as usize;
        self.take(length).to_vec()
    }

    #[track_caller]
    fn take(&mut self, count: usize) -> &[u8] {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .expect("the arguments are long enough");
        self.0 = rest;
        taken
    }
}

/// Takes the first whole frame off the front of `bytes`, or gives `None` while more is needed.
///
/// # Panics
/// On a frame that does not end with the end octet.
#[track_caller]
pub(crate) fn take_frame(bytes: &mut &[u8]) -> Option<Frame> {
    let (head, rest) = bytes.split_first_chunk::<7>()?;
    let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
    let (payload, rest) = rest.split_at_checked(length)?;
    let (end, rest) = rest.split_first()?;
    assert_eq!(*end, FRAME_END, "a frame ends with {end:#04x}");
    *bytes = rest;
    Some(Frame {
        kind: head[0],
        channel: u16::from_be_bytes([head[1], head[2]]),
        payload: payload.to_vec(),
    })
}

/// Reads one frame from a stream.
///
/// # Errors
/// The stream's error or end, or a frame without end octet.
pub(crate) fn read_frame(stream: &mut impl Read) -> io::Result<Frame> {
    let mut head = [0; 7];
    stream.read_exact(&mut head)?;
    let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
    let mut payload = vec![0; length + 1];
    stream.read_exact(&mut payload)?;
    if payload.pop() != Some(FRAME_END) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a frame without end octet",
        ));
    }
    Ok(Frame {
        kind: head[0],
        channel: u16::from_be_bytes([head[1], head[2]]),
        payload,
    })
}
