//! `smeuse-sequence`: every message carries its number, so that a message lost, doubled or moved on the way is noticed.
//!
//! The number is eight lower-case hexadecimal digits in front of the payload, counted per direction from 0 and modulo
//! 2^32. A message in pieces carries it once, at its start.

use crate::batch::Batch;
use crate::batch::Draft;
use crate::pipeline::link::Claims;
use crate::pipeline::link::Decision;
use crate::pipeline::link::Extension;
use crate::pipeline::link::Failure;
use crate::pipeline::link::Link;
use crate::pipeline::link::Output;
use crate::pipeline::link::Terms;
use crate::wire::websocket::header::Offer;
use crate::wire::websocket::CloseCode;
use crate::wire::websocket::Piece;

/// The name in the handshake.
pub const NAME: &str = "smeuse-sequence";

/// The extension.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sequence;

impl Extension for Sequence {
    fn name(&self) -> &str {
        NAME
    }

    /// Agreed as it is offered, without parameters.
    fn decide(&self, offer: &Offer, _terms: &Terms<'_>) -> Decision {
        if !offer.params.is_empty() {
            return Decision::Malformed("has no parameters".to_owned());
        }
        Decision::Agreed {
            params: Vec::new(),
            link: Box::<Numbers>::default(),
        }
    }

    fn failure_reasons(&self) -> &[&'static str] {
        &[MALFORMED, DUPLICATE, REORDERED, GAP]
    }
}

/// The numbers of one session, both ways.
#[derive(Debug, Default)]
struct Numbers {
    /// The next message to the client gets this one.
    next: u32,
    check: Check,
}

impl Link for Numbers {
    fn claims(&self) -> Claims {
        Claims::EVERYTHING
    }

    fn to_client(&mut self, batch: Batch, output: &mut Output) {
        let begun = batch.pieces.iter().filter(|piece| piece.first).count();
        if begun == 0 {
            output.pass(batch);
            return;
        }
        let mut draft = Draft::with_room(batch.len() + begun * DIGITS as usize);
        for (piece, bytes) in batch.parts() {
            if piece.first {
                draft.push(piece, &[&format_number(self.next), bytes]);
                self.next = self.next.wrapping_add(1);
            } else {
                draft.push(piece, &[bytes]);
            }
        }
        output.pass(draft.finish());
    }

    fn from_client(&mut self, mut batch: Batch, output: &mut Output) {
        if batch.pieces.len() == 1 {
            // One read mostly brings one message; its number stands in front and need only be forgotten.
            let taken = batch
                .parts()
                .next()
                .map(|(piece, bytes)| self.check.take(piece, bytes));
            match taken {
                Some(Ok(Some((piece, number)))) => {
                    batch.advance(number);
                    let len = u32::try_from(batch.len()).unwrap_or(u32::MAX);
                    batch.pieces = vec![Piece { len, ..piece }];
                    output.pass(batch);
                }
                Some(Err(failure)) => output.fail(failure),
                Some(Ok(None)) | None => {}
            }
            return;
        }
        let mut draft = Draft::with_room(batch.len());
        for (piece, bytes) in batch.parts() {
            match self.check.take(piece, bytes) {
                Ok(Some((piece, number))) => draft.push(piece, &[&bytes[number..]]),
                Ok(None) => {}
                Err(failure) => {
                    output.fail(failure);
                    break;
                }
            }
        }
        output.pass(draft.finish());
    }
}

/// The numbers of what comes.
#[derive(Debug, Default)]
struct Check {
    /// The next message has to have this one.
    due: u32,
    /// The number that is being read; `None` behind it.
    reading: Option<Digits>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Digits {
    value: u32,
    count: u8,
}

impl Check {
    /// Takes a piece, and returns what remains of it and how many of its bytes are digits; nothing while digits are
    /// due. A message whose first piece was nothing but digits begins with the piece that completes them.
    fn take(&mut self, piece: Piece, bytes: &[u8]) -> Result<Option<(Piece, usize)>, Failure> {
        if piece.first {
            self.reading = Some(Digits::default());
        }
        let Some(mut digits) = self.reading else {
            return Ok(Some((piece, 0)));
        };
        let missing = usize::from(DIGITS - digits.count).min(bytes.len());
        for &byte in &bytes[..missing] {
            let digit = value_of_digit(byte).ok_or_else(|| self.malformed())?;
            digits.value = digits.value << 4 | digit;
            digits.count += 1;
        }
        if digits.count < DIGITS {
            if piece.last {
                return Err(self.malformed());
            }
            self.reading = Some(digits);
            return Ok(None);
        }
        self.reading = None;
        if digits.value != self.due {
            return Err(self.wrong(digits.value));
        }
        self.due = self.due.wrapping_add(1);
        Ok(Some((
            Piece {
                first: true,
                ..piece
            },
            missing,
        )))
    }

    fn malformed(&self) -> Failure {
        let text = format!("a message without a number came where {} was due", self.due);
        failure(MALFORMED, &text)
    }

    fn wrong(&self, number: u32) -> Failure {
        let reason = match number.wrapping_sub(self.due).cast_signed() {
            -1 => DUPLICATE,
            ..0 => REORDERED,
            0.. => GAP,
        };
        let text = format!("message {number} came where {} was due", self.due);
        failure(reason, &text)
    }
}

const MALFORMED: &str = "malformed";
const DUPLICATE: &str = "duplicate";
const REORDERED: &str = "reordered";
const GAP: &str = "gap";

fn failure(reason: &'static str, text: &str) -> Failure {
    Failure {
        reason,
        text: format!("{text} ({reason})"),
        close_code: SEQUENCE_VIOLATED,
    }
}

fn format_number(number: u32) -> [u8; DIGITS as usize] {
    let mut rest = number;
    let mut digits = [b'0'; DIGITS as usize];
    for digit in digits.iter_mut().rev() {
        *digit = HEXADECIMAL[(rest & 0xf) as usize];
        rest >>= 4;
    }
    digits
}

/// Upper-case digits are none: a number has one way to be written.
fn value_of_digit(byte: u8) -> Option<u32> {
    match byte {
        b'0'..=b'9' => Some(u32::from(byte - b'0')),
        b'a'..=b'f' => Some(u32::from(byte - b'a') + 10),
        _ => None,
    }
}

const HEXADECIMAL: &[u8; 16] = b"0123456789abcdef";

/// Of a number.
const DIGITS: u8 = 8;

/// The close code of this extension, in the range for private use.
const SEQUENCE_VIOLATED: CloseCode = CloseCode(4108);

#[cfg(test)]
mod tests;
