//! The one bounds-checked reader that every wire format decodes through: whatever the bytes are, it
//! answers with a value or with [`UnexpectedEnd`], and never panics.

/// The bytes ended before the value that was to be read from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnexpectedEnd;

impl std::fmt::Display for UnexpectedEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the bytes end before the value does")
    }
}

impl std::error::Error for UnexpectedEnd {}

/// Reads big-endian numbers and slices from the front of a byte slice. A read that fails takes
/// nothing.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader that stands before the first of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How many bytes have not been read yet.
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether everything has been read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// [`UnexpectedEnd`] if fewer are left.
    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8], UnexpectedEnd> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(UnexpectedEnd)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// [`UnexpectedEnd`] if fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], UnexpectedEnd> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(UnexpectedEnd)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// The next octet.
    ///
    /// # Errors
    /// [`UnexpectedEnd`] if none is left.
    pub fn u8(&mut self) -> Result<u8, UnexpectedEnd> {
        self.array().map(u8::from_be_bytes)
    }

    /// The next two bytes as a number, most significant first.
    ///
    /// # Errors
    /// [`UnexpectedEnd`] if fewer are left.
    pub fn u16(&mut self) -> Result<u16, UnexpectedEnd> {
        self.array().map(u16::from_be_bytes)
    }

    /// The next four bytes as a number, most significant first.
    ///
    /// # Errors
    /// [`UnexpectedEnd`] if fewer are left.
    pub fn u32(&mut self) -> Result<u32, UnexpectedEnd> {
        self.array().map(u32::from_be_bytes)
    }

    /// The next eight bytes as a number, most significant first.
    ///
    /// # Errors
    /// [`UnexpectedEnd`] if fewer are left.
    pub fn u64(&mut self) -> Result<u64, UnexpectedEnd> {
        self.array().map(u64::from_be_bytes)
    }

    /// Bytes behind a length of one octet, so at most 255.
    ///
    /// # Errors
    /// [`UnexpectedEnd`] if the length or the bytes it announces are not there; then nothing is
    /// taken.
    pub fn counted_by_u8(&mut self) -> Result<&'a [u8], UnexpectedEnd> {
        let mut ahead = *self;
        let length = usize::from(ahead.u8()?);
        let taken = ahead.bytes(length)?;
        *self = ahead;
        Ok(taken)
    }

    /// Bytes behind a length of four bytes.
    ///
    /// # Errors
    /// [`UnexpectedEnd`] if the length or the bytes it announces are not there; then nothing is
    /// taken.
    pub fn counted_by_u32(&mut self) -> Result<&'a [u8], UnexpectedEnd> {
        let mut ahead = *self;
        let length = usize::try_from(ahead.u32()?).map_err(|_| UnexpectedEnd)?;
        let taken = ahead.bytes(length)?;
        *self = ahead;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_most_significant_first() {
        let mut reader = Reader::new(&[1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 9]);
        assert_eq!(reader.u8(), Ok(1));
        assert_eq!(reader.u16(), Ok(2));
        assert_eq!(reader.u32(), Ok(3));
        assert_eq!(reader.u64(), Ok(4));
        assert_eq!(reader.rest(), &[9]);
        assert_eq!(reader.remaining(), 1);
        assert_eq!(reader.bytes(1), Ok(&[9][..]));
        assert!(reader.is_empty());
    }

    #[test]
    fn a_read_past_the_end_fails_and_takes_nothing() {
        let mut reader = Reader::new(&[5, 1, 2]);
        assert_eq!(reader.u32(), Err(UnexpectedEnd));
        assert_eq!(reader.counted_by_u8(), Err(UnexpectedEnd));
        assert_eq!(reader.bytes(4), Err(UnexpectedEnd));
        assert_eq!(reader.array::<3>(), Ok([5, 1, 2]));
        assert_eq!(reader.u8(), Err(UnexpectedEnd));
        assert_eq!(reader.bytes(0), Ok(&[][..]));
    }

    #[test]
    fn a_length_larger_than_what_is_there_fails() {
        let mut reader = Reader::new(&[0xff, 0xff, 0xff, 0xff, 1]);
        assert_eq!(reader.counted_by_u32(), Err(UnexpectedEnd));
        assert_eq!(reader.remaining(), 5);
        let mut reader = Reader::new(&[0, 0, 0, 2, 7, 8, 9]);
        assert_eq!(reader.counted_by_u32(), Ok(&[7, 8][..]));
        assert_eq!(reader.counted_by_u8(), Err(UnexpectedEnd));
        assert_eq!(reader.rest(), &[9]);
    }
}
