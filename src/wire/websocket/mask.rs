//! Masks (RFC 6455 section 5.3), applied many bytes at a time, in place or
//! while a payload moves towards the front of its buffer.

/// The four key bytes of a frame, turned so that the first of them belongs to
/// the next byte of the payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mask(u32);

impl Mask {
    /// The mask whose key bytes stand on the wire in this order.
    #[inline]
    #[must_use]
    pub const fn new(key: [u8; 4]) -> Self {
        Self(u32::from_le_bytes(key))
    }

    /// The mask for what follows after `count` bytes of payload.
    #[inline]
    #[must_use]
    pub const fn after(self, count: usize) -> Self {
        // Four bytes on, the key is the same again.
        Self(self.0.rotate_right((count as u32 & 3) * 8))
    }

    /// Applies the mask in place. Masking and unmasking are the same.
    #[inline]
    pub fn apply(self, payload: &mut [u8]) {
        self.apply_to_front(payload, 0);
    }

    /// Applies the mask to what stands behind the first `gap` bytes of
    /// `window`, and moves it to the front of `window`. What is then behind
    /// the payload has no meaning. A gap beyond the window is an empty payload.
    ///
    /// The payload moves forward only, block by block, so that no byte is
    /// overwritten before it is read. The last block is read first and written
    /// last and may overlap the one before it: no payload ends in a loop over
    /// single bytes.
    #[inline]
    pub fn apply_to_front(self, window: &mut [u8], gap: usize) {
        let len = window.len().saturating_sub(gap);
        if len >= WORD {
            let last = len - WORD;
            let tail = load::<WORD>(window, gap + last);
            let mut at = 0;
            while at + BLOCK <= last {
                let block = load::<BLOCK>(window, gap + at);
                store(window, at, self.on(block));
                at += BLOCK;
            }
            while at < last {
                let word = load::<WORD>(window, gap + at);
                store(window, at, self.on(word));
                at += WORD;
            }
            store(window, last, self.after(last).on(tail));
        } else if len >= 8 {
            self.both_ends::<8>(window, gap, len);
        } else if len >= 4 {
            self.both_ends::<4>(window, gap, len);
        } else {
            let key = self.0.to_le_bytes();
            for at in 0..len {
                window[at] = window[gap + at] ^ key[at];
            }
        }
    }

    /// A payload of N to 2 N bytes, as its first N and its last N bytes.
    #[inline(always)]
    fn both_ends<const N: usize>(self, window: &mut [u8], gap: usize, len: usize) {
        let last = len - N;
        let head = load::<N>(window, gap);
        let tail = load::<N>(window, gap + last);
        store(window, 0, self.on(head));
        store(window, last, self.after(last).on(tail));
    }

    /// The key repeated over a block. The compiler keeps it in registers and
    /// makes vectors of the loop, since N is a constant.
    #[inline(always)]
    fn on<const N: usize>(self, mut bytes: [u8; N]) -> [u8; N] {
        let key = self.0.to_le_bytes();
        let (words, _) = bytes.as_chunks_mut::<4>();
        for word in words {
            *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(key)).to_ne_bytes();
        }
        bytes
    }
}

#[inline(always)]
fn load<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut block = [0; N];
    block.copy_from_slice(&bytes[at..at + N]);
    block
}

#[inline(always)]
fn store<const N: usize>(bytes: &mut [u8], at: usize, block: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&block);
}

/// One vector register of every 64-bit processor we run on.
const WORD: usize = 16;
/// Four of them in flight hide the latency of loads; a multiple of the key.
const BLOCK: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn byte_by_byte(key: [u8; 4], payload: &[u8]) -> Vec<u8> {
        let keys = key.iter().cycle();
        payload.iter().zip(keys).map(|(a, b)| a ^ b).collect()
    }

    #[test]
    fn every_length_and_gap_agrees_with_the_definition() {
        let key = [0x37, 0xFA, 0x21, 0x3D];
        for len in (0..200).chain([1000, 4095, 4096, 4097]) {
            let payload: Vec<u8> = (0..len).map(|i| (i * 7 + 3) as u8).collect();
            for gap in [0, 1, 2, 3, 5, 6, 8, 14, 15, 16, 17, 63, 64, 65, 300] {
                let mut window = vec![0xEE; gap];
                window.extend_from_slice(&byte_by_byte(key, &payload));
                Mask::new(key).apply_to_front(&mut window, gap);
                assert_eq!(window[..len], payload, "length {len}, gap {gap}");
            }
        }
    }

    #[test]
    fn a_payload_in_two_runs_is_masked_as_in_one() {
        let key = [1, 2, 3, 4];
        let payload: Vec<u8> = (0..100).collect();
        for cut in 0..payload.len() {
            let mut masked = payload.clone();
            let (head, tail) = masked.split_at_mut(cut);
            Mask::new(key).apply(head);
            Mask::new(key).after(cut).apply(tail);
            assert_eq!(masked, byte_by_byte(key, &payload), "cut at {cut}");
        }
    }

    #[test]
    fn a_gap_beyond_the_window_is_an_empty_payload() {
        let mut window = [9, 8, 7];
        Mask::new([1; 4]).apply_to_front(&mut window, 4);
        assert_eq!(window, [9, 8, 7]);
    }
}
