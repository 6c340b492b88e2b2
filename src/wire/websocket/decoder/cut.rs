//! The only bytes that the decoder carries from one read to the next: those of
//! a header, or of a control frame, that a read has cut.

use super::frame::SHORT_MAX;

/// The raw beginning of a frame: of its header, or of a whole control frame.
#[derive(Debug)]
pub(super) struct CutFrame {
    bytes: [u8; CONTROL_FRAME_MAX],
    len: u8,
}

impl CutFrame {
    /// `None` where nothing is cut.
    pub(super) fn holding(frame: &[u8]) -> Option<Box<Self>> {
        if frame.is_empty() {
            return None;
        }
        let mut cut = Box::new(Self {
            bytes: [0; CONTROL_FRAME_MAX],
            len: 0,
        });
        cut.grow(frame, frame.len());
        Some(cut)
    }

    /// Takes at most `count` bytes from the front of `bytes`, and returns how
    /// many.
    pub(super) fn grow(&mut self, bytes: &[u8], count: usize) -> usize {
        let free = &mut self.bytes[usize::from(self.len)..];
        let count = count.min(bytes.len()).min(free.len());
        free[..count].copy_from_slice(&bytes[..count]);
        self.len += count as u8;
        count
    }

    pub(super) fn held(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The longest control frame: its header is six bytes, the mask included.
const CONTROL_FRAME_MAX: usize = 6 + SHORT_MAX as usize;
