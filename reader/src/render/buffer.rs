//! Text in the making: a byte buffer that short pieces are stored into whole, so that their copy has a constant length.

use std::borrow::Cow;
use std::fmt;

/// Length from which on a line takes no more items of lists. A hostile schema makes thousands of bytes of each byte of a
/// list; no line that an engine's limits allow is so long.
const LONG_LINE: usize = 1 << 20;

/// Least room that is made at once.
const STEP: usize = 64;

/// Rendered text. Kept and cleared, it does not allocate for each line.
#[derive(Clone, Debug, Default)]
pub struct Buffer {
    /// The text, then room.
    bytes: Vec<u8>,
    len: usize,
    /// Where the present line begins.
    line: usize,
}

impl Buffer {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), len: 0, line: 0 }
    }

    /// The text, which is UTF-8.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The text as such.
    #[must_use]
    pub fn as_text(&self) -> Cow<'_, str> {
        // Checked first: that is many times as fast where there is nothing to replace, and there never is.
        let bytes = self.as_bytes();
        std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
    }

    /// Bytes of the text.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no text.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Removes the text, keeps the memory.
    pub const fn clear(&mut self) {
        self.len = 0;
    }

    /// Gives back the memory beyond `most` bytes, and removes the text.
    pub(crate) fn shrink(&mut self, most: usize) {
        self.len = 0;
        if self.bytes.len() > most {
            self.bytes = Vec::new();
        }
    }

    /// What follows is a new line.
    #[inline]
    pub(crate) const fn begin_line(&mut self) {
        self.line = self.len;
    }

    /// Whether the present line is so long that lists are cut.
    pub(crate) const fn is_line_long(&self) -> bool {
        self.len.saturating_sub(self.line) >= LONG_LINE
    }

    /// Puts `text` before what stands from `at` on.
    pub(crate) fn insert(&mut self, at: usize, text: &[u8]) {
        let moved = self.as_bytes().get(at..).unwrap_or_default().to_vec();
        self.truncate(at);
        self.push_bytes(text);
        self.push_bytes(&moved);
    }

    /// Removes what is beyond `len` bytes.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Appends the first `used` bytes of `piece`.
    #[inline]
    pub(crate) fn put<const N: usize>(&mut self, piece: &[u8; N], used: usize) {
        if let Some(room) = self.bytes.get_mut(self.len..).and_then(|b| b.first_chunk_mut::<N>()) {
            *room = *piece;
            self.len += used.min(N);
        } else {
            self.grow(N);
            self.push_bytes(piece.get(..used).unwrap_or(piece));
        }
    }

    /// Appends bytes that are UTF-8.
    #[inline]
    pub(crate) fn push_bytes(&mut self, bytes: &[u8]) {
        if self.bytes.len() - self.len < bytes.len() {
            self.grow(bytes.len());
        }
        if let Some(room) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            room.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }

    #[inline]
    pub(crate) fn push_str(&mut self, text: &str) {
        self.push_bytes(text.as_bytes());
    }

    #[inline]
    pub(crate) fn push(&mut self, c: char) {
        match u8::try_from(c) {
            Ok(byte) if c.is_ascii() => self.put(&[byte], 1),
            _ => self.push_bytes(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }

    #[inline]
    pub(crate) fn push_literal(&mut self, literal: &Literal) {
        if literal.long.is_empty() {
            self.put(&literal.short, literal.len);
        } else {
            self.push_bytes(&literal.long);
        }
    }

    /// Makes room for `n` bytes more, with constant cost for each byte in the long run.
    #[cold]
    fn grow(&mut self, n: usize) {
        let least = self.len.saturating_add(n).saturating_add(STEP);
        self.bytes.resize(least.max(self.bytes.len().saturating_mul(2)), 0);
    }
}

impl fmt::Write for Buffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text);
        Ok(())
    }
}

/// Text that is appended often. Short ones lie in a piece of constant length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Literal {
    short: [u8; Self::SHORT],
    len: usize,
    /// All of it, if it is not short.
    long: Box<[u8]>,
}

impl Literal {
    const SHORT: usize = 32;

    pub(crate) fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut literal = Self { len: bytes.len(), ..Self::default() };
        match literal.short.get_mut(..bytes.len()) {
            Some(short) => short.copy_from_slice(bytes),
            None => literal.long = bytes.into(),
        }
        literal
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_appended_is_there(texts in prop::collection::vec("\\PC{0,80}|a{4000,5000}", 0..20)) {
            let mut buffer = Buffer::new();
            for text in &texts {
                buffer.push_str(text);
                buffer.push_literal(&Literal::new(text));
                text.chars().for_each(|c| buffer.push(c));
            }
            let expected: String = texts.iter().map(|t| t.repeat(3)).collect();
            prop_assert_eq!(buffer.as_text(), expected);
        }
    }
}
