//! The AMQP protocol header and the frame header, and what is required of the latter (AMQP 0-9-1
//! sections 4.2.2 and 4.2.3).

use crate::wire::reader::Reader;
use crate::wire::reader::UnexpectedEnd;

/// The type octet of a frame; unknown ones stay what they are, so that they can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrameKind(pub u8);

impl FrameKind {
    /// A method.
    pub const METHOD: Self = Self(1);
    /// A content header.
    pub const HEADER: Self = Self(2);
    /// A piece of a content body.
    pub const BODY: Self = Self(3);
    /// A heartbeat.
    pub const HEARTBEAT: Self = Self(8);

    /// Whether AMQP 0-9-1 has a frame of this type.
    pub const fn is_known(self) -> bool {
        // One bit per known type: cheaper on the data path than four comparisons.
        self.0 <= Self::HEARTBEAT.0 && (1_u16 << self.0) & 0b1_0000_1110 != 0
    }
}

/// The first seven bytes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the payload is.
    pub kind: FrameKind,
    /// The channel; 0 is the connection itself.
    pub channel: u16,
    /// Bytes of payload, the end octet not counted.
    pub size: u32,
}

impl FrameHeader {
    /// Reads a header from the front of a frame.
    ///
    /// # Errors
    /// [`UnexpectedEnd`] if there are fewer than [`HEADER_SIZE`] bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, UnexpectedEnd> {
        Reader::new(bytes).array().map(Self::from_bytes)
    }

    /// The header that these seven bytes are.
    #[inline]
    pub const fn from_bytes([kind, c1, c0, s3, s2, s1, s0]: [u8; HEADER_SIZE]) -> Self {
        Self {
            kind: FrameKind(kind),
            channel: u16::from_be_bytes([c1, c0]),
            size: u32::from_be_bytes([s3, s2, s1, s0]),
        }
    }

    /// The bytes of this header.
    pub const fn encode(self) -> [u8; HEADER_SIZE] {
        let [c1, c0] = self.channel.to_be_bytes();
        let [s3, s2, s1, s0] = self.size.to_be_bytes();
        [self.kind.0, c1, c0, s3, s2, s1, s0]
    }

    /// Bytes of the whole frame, header and end octet included. Never overflows.
    pub const fn frame_size(self) -> u64 {
        self.size as u64 + OVERHEAD as u64
    }
}

/// What the headers of one side's frames are held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest whole frame in bytes, as negotiated; the payload may be [`OVERHEAD`] smaller.
    pub frame_max: u32,
    /// Highest channel number.
    pub channel_max: u16,
}

impl Limits {
    /// The largest payload in bytes.
    #[inline]
    pub const fn payload_max(self) -> u32 {
        self.frame_max.saturating_sub(OVERHEAD as u32)
    }

    /// Holds one header to the rules: known type, size within frame-max, channel within
    /// channel-max, heartbeats on channel 0.
    ///
    /// # Errors
    /// The first rule that is broken, in this order.
    #[inline]
    pub const fn check(self, header: FrameHeader) -> Result<(), FrameError> {
        if header.kind.is_known()
            && header.size <= self.payload_max()
            && header.channel <= self.channel_max
            && (header.kind.0 != FrameKind::HEARTBEAT.0 || header.channel == 0)
        {
            return Ok(());
        }
        Err(self.first_broken_rule(header))
    }

    #[cold]
    const fn first_broken_rule(self, header: FrameHeader) -> FrameError {
        if !header.kind.is_known() {
            return FrameError::UnknownKind { header };
        }
        if header.size > self.payload_max() {
            return FrameError::TooLarge {
                header,
                payload_max: self.payload_max(),
            };
        }
        if header.channel > self.channel_max {
            return FrameError::ChannelTooHigh {
                header,
                channel_max: self.channel_max,
            };
        }
        FrameError::HeartbeatOnChannel { header }
    }
}

/// What is wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// No frame type has this number.
    UnknownKind {
        /// The header as it came.
        header: FrameHeader,
    },
    /// The payload announced does not fit into frame-max.
    TooLarge {
        /// The header as it came.
        header: FrameHeader,
        /// The largest payload allowed, in bytes.
        payload_max: u32,
    },
    /// The channel number is above channel-max.
    ChannelTooHigh {
        /// The header as it came.
        header: FrameHeader,
        /// The highest channel number allowed.
        channel_max: u16,
    },
    /// A heartbeat came on a channel other than 0.
    HeartbeatOnChannel {
        /// The header as it came.
        header: FrameHeader,
    },
    /// The octet behind the payload is not [`END_OCTET`].
    WrongEnd {
        /// The header as it came.
        header: FrameHeader,
        /// What stood in the place of the end octet.
        found: u8,
    },
}

/// What a client sends first for AMQP 0-9-1 (section 4.2.2).
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\0\0\x09\x01";

/// The first four bytes of the protocol header of every version.
pub const PROTOCOL_NAME: [u8; 4] = *b"AMQP";

/// Bytes of a frame header: type, channel, size of the payload.
pub const HEADER_SIZE: usize = 7;

/// Bytes a frame has beside its payload: the header and the end octet.
pub const OVERHEAD: usize = HEADER_SIZE + 1;

/// The octet that ends every frame.
pub const END_OCTET: u8 = 0xCE;

/// The largest frame before frame-max is negotiated, in bytes. The specification says 4096;
/// RabbitMQ takes 8192 since 4.1, because a token as a password does not fit into less.
pub const INITIAL_FRAME_MAX: u32 = 8192;

/// The smallest frame-max that may be negotiated, in bytes (section 4.2.3, `frame-min-size`).
pub const SMALLEST_FRAME_MAX: u32 = 4096;

/// A heartbeat as it goes over the wire.
pub const HEARTBEAT: [u8; OVERHEAD] = [FrameKind::HEARTBEAT.0, 0, 0, 0, 0, 0, 0, END_OCTET];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits {
        frame_max: 4096,
        channel_max: 7,
    };

    fn header(kind: u8, channel: u16, size: u32) -> FrameHeader {
        FrameHeader {
            kind: FrameKind(kind),
            channel,
            size,
        }
    }

    proptest! {
        #[test]
        fn a_header_is_the_same_after_encoding_and_decoding(kind: u8, channel: u16, size: u32) {
            let header = header(kind, channel, size);
            prop_assert_eq!(FrameHeader::decode(&header.encode()), Ok(header));
        }
    }

    #[test]
    fn a_short_header_is_not_a_header() {
        assert_eq!(FrameHeader::decode(&[1, 0, 0, 0, 0, 0]), Err(UnexpectedEnd));
    }

    #[test]
    fn four_types_are_known() {
        let known: Vec<u8> = (0..=255)
            .filter(|kind| FrameKind(*kind).is_known())
            .collect();
        assert_eq!(known, [1, 2, 3, 8]);
    }

    #[test]
    fn each_rule_holds_at_the_limit_and_breaks_one_past_it() {
        assert_eq!(LIMITS.check(header(3, 7, 4088)), Ok(()));
        let large = header(3, 7, 4089);
        assert_eq!(
            LIMITS.check(large),
            Err(FrameError::TooLarge {
                header: large,
                payload_max: 4088
            })
        );
        let high = header(1, 8, 4);
        assert_eq!(
            LIMITS.check(high),
            Err(FrameError::ChannelTooHigh {
                header: high,
                channel_max: 7
            })
        );
        assert_eq!(LIMITS.check(header(8, 0, 0)), Ok(()));
        let heartbeat = header(8, 1, 0);
        assert_eq!(
            LIMITS.check(heartbeat),
            Err(FrameError::HeartbeatOnChannel { header: heartbeat })
        );
        let unknown = header(4, 9, u32::MAX);
        assert_eq!(
            LIMITS.check(unknown),
            Err(FrameError::UnknownKind { header: unknown })
        );
    }

    #[test]
    fn the_largest_size_does_not_overflow() {
        assert_eq!(header(3, 0, u32::MAX).frame_size(), u64::from(u32::MAX) + 8);
    }
}
