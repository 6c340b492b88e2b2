//! The decoder against streams of frames, whole and cut.

mod cuts;
mod limits;
mod rules;
mod text;

use super::*;

const ROOMY: Limits = Limits {
    message_bytes: 1 << 20,
    fragments: 1000,
};

/// What a client's bytes came to, however they were cut.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    messages: Vec<(Opcode, bool, Vec<u8>)>,
    controls: Vec<Control>,
    violation: Option<Violation>,
}

impl Seen {
    fn text(mut self, text: &str) -> Self {
        self.messages
            .push((Opcode::Text, false, text.as_bytes().to_vec()));
        self
    }

    fn binary(mut self, payload: &[u8]) -> Self {
        self.messages
            .push((Opcode::Binary, false, payload.to_vec()));
        self
    }

    fn compressed(mut self, opcode: Opcode, payload: &[u8]) -> Self {
        self.messages.push((opcode, true, payload.to_vec()));
        self
    }

    fn control(mut self, control: Control) -> Self {
        self.controls.push(control);
        self
    }

    fn violation(mut self, violation: Violation) -> Self {
        self.violation = Some(violation);
        self
    }
}

/// A decoder whose pieces are put together again and held to their promises.
struct Reader {
    decoder: Decoder,
    open: Option<(Opcode, bool, Vec<u8>)>,
    seen: Seen,
}

impl Reader {
    fn new(limits: Limits, rsv1_agreed: bool) -> Self {
        Self {
            decoder: Decoder::new(limits, rsv1_agreed),
            open: None,
            seen: Seen::default(),
        }
    }

    fn read(&mut self, run: &[u8]) -> Vec<Piece> {
        let mut bytes = run.to_vec();
        let mut pieces = Vec::new();
        let ended_before = self.decoder.ended;
        let decoded = self
            .decoder
            .decode(&mut bytes, &mut pieces, &mut self.seen.controls);

        let total: usize = pieces.iter().map(|piece| piece.len as usize).sum();
        assert_eq!(total, decoded.data, "the pieces describe the data");
        let ends = pieces.iter().filter(|piece| piece.last).count();
        assert_eq!(ends, decoded.messages as usize);
        for pair in pieces.windows(2) {
            assert!(pair[0].last && pair[1].first, "merged: {pieces:?}");
        }
        if ended_before {
            assert_eq!(decoded, Decoded::default(), "nothing follows the end");
        }

        let mut data = &bytes[..decoded.data];
        for piece in &pieces {
            let (run, rest) = data.split_at(piece.len as usize);
            data = rest;
            assert_eq!(piece.first, self.open.is_none(), "{piece:?}");
            let mut message = self
                .open
                .take()
                .unwrap_or((piece.opcode, piece.rsv1, Vec::new()));
            assert_eq!((message.0, message.1), (piece.opcode, piece.rsv1));
            message.2.extend_from_slice(run);
            if piece.last {
                self.seen.messages.push(message);
            } else {
                self.open = Some(message);
            }
        }
        if let Some(violation) = decoded.violation {
            assert_eq!(self.seen.violation.replace(violation), None);
        }
        pieces
    }
}

fn see(stream: &[u8], limits: Limits, rsv1_agreed: bool) -> Seen {
    let mut reader = Reader::new(limits, rsv1_agreed);
    reader.read(stream);
    reader.seen
}

/// The same stream whole, cut in two at every place, and byte by byte.
fn see_however_cut(stream: &[u8], limits: Limits, rsv1_agreed: bool) -> Seen {
    let whole = see(stream, limits, rsv1_agreed);
    for cut in 0..=stream.len() {
        let mut reader = Reader::new(limits, rsv1_agreed);
        reader.read(&stream[..cut]);
        reader.read(&stream[cut..]);
        assert_eq!(reader.seen, whole, "cut at {cut}");
    }
    let mut reader = Reader::new(limits, rsv1_agreed);
    for byte in stream {
        reader.read(&[*byte]);
    }
    assert_eq!(reader.seen, whole, "byte by byte");
    whole
}

/// A frame as a client sends it, with the length in its shortest form.
fn frame_with(key: [u8; 4], first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(first, payload.len() as u64);
    let mask_at = frame.len() - 4;
    frame[mask_at..].copy_from_slice(&key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(a, b)| a ^ b));
    frame
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    frame_with([0x37, 0xFA, 0x21, 0x3D], first, payload)
}

/// Only the header, with a mask of zeros.
fn head(first: u8, len: u64) -> Vec<u8> {
    let mut head = vec![first];
    match len {
        0..=125 => head.push(0x80 | len as u8),
        126..=0xFFFF => {
            head.push(0xFE);
            head.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            head.push(0xFF);
            head.extend_from_slice(&len.to_be_bytes());
        }
    }
    head.extend_from_slice(&[0; 4]);
    head
}

const CONTINUE: u8 = 0x00;
const TEXT: u8 = 0x01;
const BINARY: u8 = 0x02;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8A;
const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
