//! What is wrong with bytes that were to be decoded.

use std::fmt;

/// Bytes that are not what they should be: where, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Offset in the bytes given to the decoder.
    pub offset: usize,
    /// What was expected or is wrong.
    pub what: &'static str,
}

impl DecodeError {
    /// An error at `offset`.
    #[must_use]
    pub const fn new(offset: usize, what: &'static str) -> Self {
        Self { offset, what }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at byte {})", self.what, self.offset)
    }
}

impl std::error::Error for DecodeError {}
