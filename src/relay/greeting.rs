//! The first bytes of an AMQP client: its protocol header (AMQP 0-9-1, 4.2.2), whatever its version.

use crate::batch::Batch;
use crate::wire::amqp::frame::PROTOCOL_HEADER;
use crate::wire::amqp::frame::PROTOCOL_NAME;

/// A protocol header, as far as it has come.
#[derive(Debug, Default)]
pub struct ProtocolHeader {
    bytes: [u8; PROTOCOL_HEADER.len()],
    have: usize,
}

/// What a client's first bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Greeting {
    /// The beginning of a protocol header.
    Incomplete,
    /// A protocol header.
    Complete([u8; PROTOCOL_HEADER.len()]),
    /// Something else.
    NotAmqp,
}

impl ProtocolHeader {
    /// Takes what belongs to the header from the front of `batch`.
    pub fn take(&mut self, batch: &mut Batch) -> Greeting {
        let count = batch.len().min(self.bytes.len() - self.have);
        self.bytes[self.have..self.have + count].copy_from_slice(&batch.bytes()[..count]);
        self.have += count;
        batch.advance(count);
        let known = self.have.min(PROTOCOL_NAME.len());
        if self.bytes[..known] != PROTOCOL_NAME[..known] {
            return Greeting::NotAmqp;
        }
        if self.have < self.bytes.len() {
            return Greeting::Incomplete;
        }
        Greeting::Complete(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_taken_wherever_it_is_cut_and_nothing_behind_it() {
        for cut in 0..=PROTOCOL_HEADER.len() {
            let mut header = ProtocolHeader::default();
            let mut first = Batch::copied(&PROTOCOL_HEADER[..cut]);
            let mut second = Batch::copied(&[&PROTOCOL_HEADER[cut..], b"rest"].concat());
            if cut < PROTOCOL_HEADER.len() {
                assert_eq!(header.take(&mut first), Greeting::Incomplete);
            }
            header.take(&mut first);
            assert_eq!(
                header.take(&mut second),
                Greeting::Complete(PROTOCOL_HEADER)
            );
            assert_eq!(second.bytes(), b"rest");
        }
    }

    #[test]
    fn what_is_no_header_is_told_by_the_first_wrong_byte() {
        for wrong in [&b"GET / HTTP/1.1"[..], b"AMQX", b"a"] {
            let mut header = ProtocolHeader::default();
            assert_eq!(header.take(&mut Batch::copied(wrong)), Greeting::NotAmqp);
        }
    }
}
