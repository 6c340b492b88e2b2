//! The methods of class connection that a relay reads and writes (AMQP 0-9-1 section 1.4), each a
//! struct that borrows from the payload and whose `decode` and `encode` are inverse of one another.

use std::fmt;

use crate::wire::amqp::frame::FrameHeader;
use crate::wire::amqp::frame::FrameKind;
use crate::wire::amqp::frame::END_OCTET;
use crate::wire::amqp::reply_code::ReplyCode;
use crate::wire::reader::Reader;
use crate::wire::reader::UnexpectedEnd;

/// Class and method number, the first four bytes of a method frame's payload.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MethodId {
    /// The class, 10 for connection.
    pub class: u16,
    /// The method within it.
    pub method: u16,
}

impl MethodId {
    /// connection.blocked, an extension of RabbitMQ's.
    pub const CONNECTION_BLOCKED: Self = Self::new(10, 60);
    /// connection.unblocked, an extension of RabbitMQ's.
    pub const CONNECTION_UNBLOCKED: Self = Self::new(10, 61);
    /// channel.open-ok.
    pub const CHANNEL_OPEN_OK: Self = Self::new(20, 11);
    /// channel.close-ok.
    pub const CHANNEL_CLOSE_OK: Self = Self::new(20, 41);
    /// basic.publish.
    pub const BASIC_PUBLISH: Self = Self::new(60, 40);
    /// basic.deliver.
    pub const BASIC_DELIVER: Self = Self::new(60, 60);
    /// basic.get-ok.
    pub const BASIC_GET_OK: Self = Self::new(60, 71);

    /// The method `method` of class `class`.
    pub const fn new(class: u16, method: u16) -> Self {
        Self { class, method }
    }

    /// Reads the number from the front of a method frame's payload.
    ///
    /// # Errors
    /// [`UnexpectedEnd`] if the payload has fewer than four bytes.
    pub fn decode(payload: &[u8]) -> Result<Self, UnexpectedEnd> {
        Reader::new(payload).array().map(Self::from_bytes)
    }

    /// The number that these four bytes are.
    #[inline]
    pub const fn from_bytes([c1, c0, m1, m0]: [u8; 4]) -> Self {
        Self {
            class: u16::from_be_bytes([c1, c0]),
            method: u16::from_be_bytes([m1, m0]),
        }
    }

    /// The four bytes of this number.
    pub const fn encode(self) -> [u8; 4] {
        let [c1, c0] = self.class.to_be_bytes();
        let [m1, m0] = self.method.to_be_bytes();
        [c1, c0, m1, m0]
    }
}

impl From<MethodId> for (u16, u16) {
    fn from(id: MethodId) -> Self {
        (id.class, id.method)
    }
}

impl fmt::Debug for MethodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.class, self.method)
    }
}

/// Why arguments are not those of the method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MethodError {
    /// They end too early.
    Truncated,
    /// This many bytes are left over.
    TrailingBytes(usize),
}

impl From<UnexpectedEnd> for MethodError {
    fn from(UnexpectedEnd: UnexpectedEnd) -> Self {
        Self::Truncated
    }
}

/// At most 255 bytes behind a length of one octet. Any bytes: AMQP says UTF-8, clients send what
/// they like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShortString<'a>(&'a [u8]);

impl<'a> ShortString<'a> {
    /// The most bytes it holds.
    pub const MAX: usize = u8::MAX as usize;

    /// The string, unless it is longer than [`Self::MAX`].
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        (bytes.len() <= Self::MAX).then_some(Self(bytes))
    }

    /// The string, cut at the last whole character that fits.
    pub fn clipped(text: &'a str) -> Self {
        let mut end = text.len().min(Self::MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self(text.as_bytes().get(..end).unwrap_or_default())
    }

    /// The bytes without their length.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The text, with what is not UTF-8 replaced.
    pub fn to_text(self) -> String {
        String::from_utf8_lossy(self.0).into_owned()
    }
}

/// Bytes behind a length of four bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LongString<'a>(pub &'a [u8]);

/// A field table as its encoded fields, without the length before them. It is passed on, not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Table<'a>(pub &'a [u8]);

/// A method with its arguments.
pub trait Method<'a>: Sized {
    /// Its number.
    const ID: MethodId;

    /// Reads the arguments, which is the payload of the frame behind the [`MethodId`].
    ///
    /// # Errors
    /// [`MethodError`] if they end too early or something is left over.
    fn decode(arguments: &'a [u8]) -> Result<Self, MethodError>;

    /// Appends the arguments.
    fn encode(&self, out: &mut Vec<u8>);

    /// Appends the whole frame, for channel 0.
    fn encode_frame(&self, out: &mut Vec<u8>) {
        let begin = out.len();
        let header = FrameHeader {
            kind: FrameKind::METHOD,
            channel: 0,
            size: 0,
        };
        out.extend_from_slice(&header.encode());
        out.extend_from_slice(&Self::ID.encode());
        self.encode(out);
        // The size is known only now; it saturates where no frame-max reaches.
        let payload = out.len().saturating_sub(begin + header.encode().len());
        let size = u32::try_from(payload).unwrap_or(u32::MAX);
        if let Some((place, _)) = out.get_mut(begin..).and_then(<[u8]>::split_first_chunk_mut) {
            *place = FrameHeader { size, ..header }.encode();
        }
        out.push(END_OCTET);
    }

    /// The whole frame, for channel 0.
    fn to_frame(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_frame(&mut out);
        out
    }
}

/// A value that stands among the arguments of a method.
trait Field<'a>: Sized {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, UnexpectedEnd>;
    fn encode(&self, out: &mut Vec<u8>);
}

macro_rules! number_fields {
    ($($number:ident)*) => {$(
        impl<'a> Field<'a> for $number {
            fn decode(reader: &mut Reader<'a>) -> Result<Self, UnexpectedEnd> {
                reader.$number()
            }

            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
        }
    )*};
}

number_fields! { u8 u16 u32 }

impl<'a> Field<'a> for ReplyCode {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, UnexpectedEnd> {
        reader.u16().map(Self)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

impl<'a> Field<'a> for ShortString<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, UnexpectedEnd> {
        reader.counted_by_u8().map(Self)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        // Its constructors hold it to 255 bytes.
        out.push(self.0.len() as u8);
        out.extend_from_slice(self.0);
    }
}

macro_rules! long_fields {
    ($($name:ident)*) => {$(
        impl<'a> Field<'a> for $name<'a> {
            fn decode(reader: &mut Reader<'a>) -> Result<Self, UnexpectedEnd> {
                reader.counted_by_u32().map(Self)
            }

            fn encode(&self, out: &mut Vec<u8>) {
                // Four gigabytes and more fit into no frame; what is cut here was never received.
                let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(self.0.get(..length as usize).unwrap_or(self.0));
            }
        }
    )*};
}

long_fields! { LongString Table }

macro_rules! methods {
    ($(
        $(#[$doc:meta])*
        $name:ident $(<$life:lifetime>)? = ($class:literal, $method:literal) {
            $($(#[$field_doc:meta])* $field:ident: $kind:ty,)*
        }
    )*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name $(<$life>)? {
            $($(#[$field_doc])* pub $field: $kind,)*
        }

        methods!(@implement ($($life)?) $name ($class, $method) { $($field: $kind,)* });
    )*};
    (@implement () $name:ident ($class:literal, $method:literal) { $($field:ident: $kind:ty,)* }) => {
        impl<'a> Method<'a> for $name {
            methods!(@body ($class, $method) { $($field: $kind,)* });
        }
    };
    (@implement ($life:lifetime) $name:ident ($class:literal, $method:literal) { $($field:ident: $kind:ty,)* }) => {
        impl<$life> Method<$life> for $name<$life> {
            methods!(@body ($class, $method) { $($field: $kind,)* });
        }
    };
    (@body ($class:literal, $method:literal) { $($field:ident: $kind:ty,)* }) => {
        const ID: MethodId = MethodId::new($class, $method);

        fn decode(arguments: &'a [u8]) -> Result<Self, MethodError> {
            #[allow(unused_mut, reason = "close-ok has no arguments")]
            let mut reader = Reader::new(arguments);
            let this = Self { $($field: <$kind as Field<'a>>::decode(&mut reader)?,)* };
            match reader.remaining() {
                0 => Ok(this),
                left => Err(MethodError::TrailingBytes(left)),
            }
        }

        #[allow(unused_variables, reason = "close-ok has no arguments")]
        fn encode(&self, out: &mut Vec<u8>) {
            $(self.$field.encode(out);)*
        }
    };
}

methods! {
    /// connection.start: the broker says what it is and which logins it knows.
    Start<'a> = (10, 10) {
        /// Major protocol version, 0.
        version_major: u8,
        /// Minor protocol version, 9.
        version_minor: u8,
        /// What the broker tells of itself.
        server_properties: Table<'a>,
        /// Names of SASL mechanisms, separated by spaces.
        mechanisms: LongString<'a>,
        /// Locales, separated by spaces.
        locales: LongString<'a>,
    }

    /// connection.start-ok: the client chooses a login and begins it.
    StartOk<'a> = (10, 11) {
        /// What the client tells of itself.
        client_properties: Table<'a>,
        /// The SASL mechanism chosen.
        mechanism: ShortString<'a>,
        /// The first SASL response; holds the password.
        response: LongString<'a>,
        /// The locale chosen.
        locale: ShortString<'a>,
    }

    /// connection.secure: a further SASL question.
    Secure<'a> = (10, 20) {
        /// The question.
        challenge: LongString<'a>,
    }

    /// connection.secure-ok: the answer to it.
    SecureOk<'a> = (10, 21) {
        /// The answer; may hold a secret.
        response: LongString<'a>,
    }

    /// connection.tune: the broker's limits.
    Tune = (10, 30) {
        /// Highest channel number; 0 means no limit.
        channel_max: u16,
        /// Largest frame in bytes; 0 means no limit.
        frame_max: u32,
        /// Seconds between heartbeats; 0 means none.
        heartbeat: u16,
    }

    /// connection.tune-ok: the limits agreed.
    TuneOk = (10, 31) {
        /// Highest channel number; 0 means no limit.
        channel_max: u16,
        /// Largest frame in bytes; 0 means no limit.
        frame_max: u32,
        /// Seconds between heartbeats; 0 means none.
        heartbeat: u16,
    }

    /// connection.open: the client names its vhost.
    Open<'a> = (10, 40) {
        /// The vhost.
        virtual_host: ShortString<'a>,
        /// Was "capabilities" in AMQP 0-8.
        reserved_1: ShortString<'a>,
        /// Was "insist" in AMQP 0-8; a bit, so an octet.
        reserved_2: u8,
    }

    /// connection.open-ok: the connection is open.
    OpenOk<'a> = (10, 41) {
        /// Was "known hosts" in AMQP 0-8.
        reserved_1: ShortString<'a>,
    }

    /// connection.close: either side ends the connection and says why.
    Close<'a> = (10, 50) {
        /// Why.
        reply_code: ReplyCode,
        /// Why, in words.
        reply_text: ShortString<'a>,
        /// The class of the method that was the cause, or 0.
        class_id: u16,
        /// The method that was the cause, or 0.
        method_id: u16,
    }

    /// connection.close-ok: the other side has read it.
    CloseOk = (10, 51) {}
}

/// connection.close-ok as a whole frame.
pub const CLOSE_OK: [u8; 12] = [1, 0, 0, 0, 0, 0, 4, 0, 10, 0, 51, END_OCTET];

#[cfg(test)]
mod tests;
