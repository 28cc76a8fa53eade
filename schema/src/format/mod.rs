#![doc = include_str!("../../FORMAT.md")]

pub mod block;
pub mod clock;
pub mod columns;
pub mod control;
pub mod process;
pub mod record;
pub mod ring;
pub mod segment;

/// CRC-32 (IEEE) of some bytes.
#[must_use]
pub fn crc(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// Appends text, cut to `n - 1` bytes at a character boundary and padded with zeros to `n`.
pub(crate) fn push_padded(out: &mut Vec<u8>, text: &str, n: usize) {
    let mut len = text.len().min(n.saturating_sub(1));
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    out.extend_from_slice(text.as_bytes().get(..len).unwrap_or_default());
    out.resize(out.len() + n - len, 0);
}

/// Lower-case hex digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]])
        .map(char::from)
        .collect()
}
