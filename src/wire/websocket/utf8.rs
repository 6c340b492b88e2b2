//! UTF-8 checked as it comes: a text may be cut anywhere, between frames and
//! between reads, and the first impossible byte is told at once.

/// The place inside a text that arrives in runs (RFC 6455 section 8.1).
/// Nothing is stored but what the next byte must look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Utf8 {
    /// Continuation bytes that the cut character still lacks.
    missing: u8,
    /// The least and the greatest value that the next of them may have.
    low: u8,
    high: u8,
}

/// The bytes cannot be part of a UTF-8 text, whatever follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUtf8;

impl Utf8 {
    /// Takes the next run of the text.
    ///
    /// # Errors
    ///
    /// [`NotUtf8`] as soon as a byte is impossible where it stands, even when
    /// the character it would belong to is not complete. After an error the
    /// value has no meaning.
    #[inline]
    pub fn take(&mut self, run: &[u8]) -> Result<(), NotUtf8> {
        let mut rest = run;
        while self.missing > 0 {
            let Some((&byte, after)) = rest.split_first() else {
                return Ok(());
            };
            self.take_byte(byte)?;
            rest = after;
        }
        let (whole, cut) = split_cut_character(rest);
        if simdutf8::basic::from_utf8(whole).is_err() {
            return Err(NotUtf8);
        }
        cut.iter().try_for_each(|&byte| self.take_byte(byte))
    }

    /// Whether the text may end here: no character is cut.
    #[must_use]
    pub const fn is_complete(self) -> bool {
        self.missing == 0
    }

    /// The well-formed sequences of RFC 3629 section 4, byte by byte.
    fn take_byte(&mut self, byte: u8) -> Result<(), NotUtf8> {
        if self.missing > 0 {
            if !(self.low..=self.high).contains(&byte) {
                return Err(NotUtf8);
            }
            (self.missing, self.low, self.high) = (self.missing - 1, 0x80, 0xBF);
            return Ok(());
        }
        (self.missing, self.low, self.high) = match byte {
            0x00..=0x7F => (0, 0, 0),
            0xC2..=0xDF => (1, 0x80, 0xBF),
            // Below A0 the same character has a shorter form.
            0xE0 => (2, 0xA0, 0xBF),
            // Above 9F lie the surrogates.
            0xED => (2, 0x80, 0x9F),
            0xE1..=0xEF => (2, 0x80, 0xBF),
            0xF0 => (3, 0x90, 0xBF),
            0xF1..=0xF3 => (3, 0x80, 0xBF),
            // Above 8F the number is greater than 10FFFF.
            0xF4 => (3, 0x80, 0x8F),
            0x80..=0xC1 | 0xF5..=0xFF => return Err(NotUtf8),
        };
        Ok(())
    }
}

/// Splits off the one to three last bytes that begin a character which the
/// run does not hold whole. Whether they begin it well is not judged here.
fn split_cut_character(run: &[u8]) -> (&[u8], &[u8]) {
    for (back, &byte) in run.iter().rev().take(3).enumerate() {
        let held = back + 1;
        let needed = match byte {
            0x80..=0xBF => continue,
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xFF => 4,
            0x00..=0x7F => 1,
        };
        if needed > held {
            return run.split_at(run.len() - held);
        }
        break;
    }
    (run, &[])
}

#[cfg(test)]
mod tests;
