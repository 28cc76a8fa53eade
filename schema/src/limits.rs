//! Limits of the format (FORMAT.md, first table). They bound every allocation of a decoder.

/// Longest record, header included, in bytes.
pub const MAX_RECORD: usize = 65_528;
/// Longest decoded payload of a block, in bytes.
pub const MAX_BLOCK_RAW: usize = 1 << 20;
/// Longest stored payload of a block, in bytes.
pub const MAX_BLOCK_STORED: usize = MAX_BLOCK_RAW + (64 << 10);
/// Longest segment file, in bytes.
pub const MAX_SEGMENT: u64 = 4 << 30;
/// Smallest ring, in bytes.
pub const MIN_RING: u64 = 64 << 10;
/// Largest ring, in bytes.
pub const MAX_RING: u64 = 256 << 20;
/// Event types in one process.
pub const MAX_EVENTS: usize = 1024;
/// Longest schema blob, in bytes.
pub const MAX_SCHEMA: usize = 64 << 10;
/// Most fields of an event.
pub const MAX_FIELDS: usize = 255;
/// Most values of an enum.
pub const MAX_VALUES: usize = 1024;
/// Most masks of a flag set.
pub const MAX_MASKS: usize = 64;
/// Longest documentation or sentence template, in bytes.
pub const MAX_TEXT: usize = 4096;
/// Longest value of one str, bytes or list field, in bytes.
pub const MAX_VALUE: usize = 32_767;
