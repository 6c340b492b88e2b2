//! As much of RFC 6455 as a load and the floor need: frames of either side, written and taken off a
//! stream.

use std::io;

use crate::amqp::damaged;

pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;

/// The sample key of RFC 6455 section 1.3, and the answer that belongs to it. Every session of the
/// bench uses it, so that the floor needs no hash.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Appends a client's frame: final, masked with `key` (section 5.3).
pub(crate) fn client_frame(out: &mut Vec<u8>, opcode: u8, key: [u8; 4], payload: &[u8]) {
    let (mut head, length) = server_head(opcode, payload.len());
    head[1] |= 0x80;
    out.extend_from_slice(&head[..length]);
    out.extend_from_slice(&key);
    let start = out.len();
    out.resize(start + payload.len(), 0);
    xor_into(&mut out[start..], payload, key);
}

/// The head of a server's frame (final, unmasked) and its length.
pub(crate) fn server_head(opcode: u8, payload: usize) -> ([u8; 10], usize) {
    let mut head = [0; 10];
    head[0] = 0x80 | opcode;
    if payload < 126 {
        head[1] = payload as u8;
        return (head, 2);
    }
    if let Ok(short) = u16::try_from(payload) {
        head[1] = 126;
        head[2..4].copy_from_slice(&short.to_be_bytes());
        return (head, 4);
    }
    head[1] = 127;
    head[2..10].copy_from_slice(&(payload as u64).to_be_bytes());
    (head, 10)
}

/// Masks or unmasks `from` into `to`, which is as long. One pass, eight bytes at a time.
pub(crate) fn xor_into(to: &mut [u8], from: &[u8], key: [u8; 4]) {
    let wide = u64::from_ne_bytes([
        key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3],
    ]);
    let (words_to, rest_to) = to.as_chunks_mut::<8>();
    let (words_from, rest_from) = from.as_chunks::<8>();
    for (to, from) in words_to.iter_mut().zip(words_from) {
        *to = (u64::from_ne_bytes(*from) ^ wide).to_ne_bytes();
    }
    for (at, (to, from)) in rest_to.iter_mut().zip(rest_from).enumerate() {
        *to = from ^ key[at % 4];
    }
}

/// Takes a server's frames off a byte stream that comes in pieces cut anywhere.
#[derive(Default)]
pub(crate) struct FromServer {
    head: Vec<u8>,
    left: usize,
    opcode: u8,
    close: Vec<u8>,
}

impl FromServer {
    /// Calls `each` for every piece of a data frame's payload. Pings and Pongs are passed over: no
    /// session of the bench lives long enough to be asked twice. Fails on a frame that no server
    /// may send.
    pub(crate) fn feed(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.left == 0 {
                bytes = self.open(bytes)?;
                continue;
            }
            let (piece, rest) = bytes.split_at(bytes.len().min(self.left));
            self.left -= piece.len();
            bytes = rest;
            match self.opcode {
                CLOSE => self.close.extend_from_slice(piece),
                0 | BINARY => each(piece)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// The close code and the reason, once the server's Close has come.
    pub(crate) fn closed(&self) -> Option<String> {
        let (code, reason) = self.close.split_first_chunk()?;
        Some(format!(
            "{} {}",
            u16::from_be_bytes(*code),
            String::from_utf8_lossy(reason)
        ))
    }

    /// Takes what it needs to complete a frame's head; returns what is left.
    fn open<'a>(&mut self, bytes: &'a [u8]) -> io::Result<&'a [u8]> {
        let needs = match self.head.get(1) {
            None => 2,
            Some(126) => 4,
            Some(127) => 10,
            Some(_) => 2,
        };
        let (taken, rest) = bytes.split_at(bytes.len().min(needs - self.head.len()));
        self.head.extend_from_slice(taken);
        self.left = match *self.head {
            [first, length @ 0..=125] => self.complete(first, length.into()),
            [first, 126, high, low] => self.complete(first, u16::from_be_bytes([high, low]).into()),
            [first, 127, _, _, _, _, a, b, c, d] => {
                self.complete(first, u32::from_be_bytes([a, b, c, d]) as usize)
            }
            [_, 128..=255, ..] => return Err(damaged("the server masks".to_owned())),
            _ => 0,
        };
        Ok(rest)
    }

    fn complete(&mut self, first: u8, length: usize) -> usize {
        self.opcode = first & 15;
        self.head.clear();
        length
    }
}

/// Takes the payloads out of a client's frames and unmasks them, as the floor does it: whatever the
/// frames are, and no step more than it takes.
#[derive(Default)]
pub(crate) struct FromClient {
    head: [u8; 14],
    have: usize,
    left: usize,
    key: [u8; 4],
    /// Whether the client's Close has come.
    pub(crate) closed: bool,
}

impl FromClient {
    /// Writes the payloads in `from` to the start of `to`; returns their length.
    pub(crate) fn feed(&mut self, mut from: &[u8], to: &mut [u8]) -> usize {
        let mut written = 0;
        while !from.is_empty() && !self.closed {
            if self.left > 0 {
                let take = from.len().min(self.left);
                xor_into(&mut to[written..written + take], &from[..take], self.key);
                if take < self.left {
                    // The key goes on where the cut was; `rotate_right`, as the first byte is the
                    // lowest.
                    let key = u32::from_le_bytes(self.key);
                    self.key = key.rotate_right(8 * (take % 4) as u32).to_le_bytes();
                }
                written += take;
                self.left -= take;
                from = &from[take..];
                continue;
            }
            if let (0, Some(head)) = (self.have, from.first_chunk()) {
                let length = self.open(head);
                from = &from[length..];
                continue;
            }
            // Here a head may be cut.
            self.head[self.have] = from[0];
            self.have += 1;
            from = &from[1..];
            if self.have >= head_length(self.head[1]) && self.have > 1 {
                let head = self.head;
                self.have = 0;
                self.open(&head);
            }
        }
        written
    }

    fn open(&mut self, head: &[u8; 14]) -> usize {
        self.left = match head[1] & 0x7F {
            126 => u16::from_be_bytes([head[2], head[3]]).into(),
            127 => u32::from_be_bytes([head[6], head[7], head[8], head[9]]) as usize,
            short => short.into(),
        };
        let length = head_length(head[1]);
        self.key = [
            head[length - 4],
            head[length - 3],
            head[length - 2],
            head[length - 1],
        ];
        self.closed = head[0] & 15 == CLOSE;
        length
    }
}

/// Of a masked frame, from its second byte.
fn head_length(second: u8) -> usize {
    match second & 0x7F {
        126 => 8,
        127 => 14,
        _ => 6,
    }
}
