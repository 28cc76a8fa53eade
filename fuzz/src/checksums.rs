//! Puts the checksums of changed files right, so that what is behind them is reached.

use tracewell_schema::format::block::{self, BlockHeader};
use tracewell_schema::format::clock::CLOCK_POINT_LEN;
use tracewell_schema::format::control;
use tracewell_schema::format::crc;
use tracewell_schema::format::segment;

/// Where the checksums are (FORMAT.md); checked against the encoders by a test below.
mod at {
    pub(super) const FILE_ID: usize = 16;
    pub(super) const BLOCK_STORED_LEN: usize = 8;
    pub(super) const BLOCK_TAG: usize = 72;
    pub(super) const BLOCK_PAYLOAD_CRC: usize = 84;
    pub(super) const PROCESS_CRC: usize = 176;
    pub(super) const CLOCK_SLOTS: usize = 256;
    pub(super) const CLOCK_SLOT_LEN: usize = 48;
    pub(super) const RING_STATE: usize = 40;
    pub(super) const RING_INFO: usize = 48;
    pub(super) const RING_CRC: usize = 120;
}

fn put(bytes: &mut [u8], offset: usize, sum: u32) {
    if let Some(place) = bytes.get_mut(offset..offset + 4) {
        place.copy_from_slice(&sum.to_le_bytes());
    }
}

fn crc_without(bytes: &[u8], from: usize, to: usize, end: usize) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(bytes.get(..from).unwrap_or_default());
    hasher.update(bytes.get(to..end).unwrap_or_default());
    hasher.finalize()
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..).and_then(|b| b.first_chunk()).map(|b| u32::from_le_bytes(*b))
}

/// Where blocks begin: one after the other as their headers say, and after what is no block at the next that is one.
#[must_use]
pub fn blocks(bytes: &[u8]) -> Vec<usize> {
    let (mut all, mut at) = (Vec::new(), segment::HEADER_LEN);
    while at < bytes.len() {
        if bytes[at..].starts_with(&block::MAGIC) {
            all.push(at);
            let stored = u32_at(bytes, at + at::BLOCK_STORED_LEN).unwrap_or(0) as usize;
            let end = at + block::HEADER_LEN + stored.next_multiple_of(8);
            if end <= bytes.len() {
                at = end;
                continue;
            }
        }
        at += 8;
    }
    all
}

/// Of a segment: of its header, of every block's payload, and of every block's header, which gets the file's tag too.
pub fn fix_segment(bytes: &mut [u8]) {
    if bytes.len() < segment::HEADER_LEN {
        return;
    }
    let sum = crc(&bytes[..segment::HEADER_LEN - 4]);
    put(bytes, segment::HEADER_LEN - 4, sum);
    let tag: Vec<u8> = bytes[at::FILE_ID..at::FILE_ID + 8].to_vec();
    for begin in blocks(bytes) {
        fix_block(&mut bytes[begin..], Some(&tag));
    }
}

/// Of one block, which begins here.
pub fn fix_block(block: &mut [u8], tag: Option<&[u8]>) {
    if block.len() < block::HEADER_LEN {
        return;
    }
    if let Some(tag) = tag {
        block[at::BLOCK_TAG..at::BLOCK_TAG + 8].copy_from_slice(tag);
    }
    let stored = u32_at(block, at::BLOCK_STORED_LEN).unwrap_or(0) as usize;
    if let Some(payload) = block.get(block::HEADER_LEN..block::HEADER_LEN + stored) {
        let sum = crc(payload);
        put(block, at::BLOCK_PAYLOAD_CRC, sum);
    }
    let sum = crc(&block[..block::HEADER_LEN - 4]);
    put(block, block::HEADER_LEN - 4, sum);
}

/// Of a process file: of the identity and of each clock slot that was written.
pub fn fix_process(bytes: &mut [u8]) {
    let sum = crc(bytes.get(..at::PROCESS_CRC).unwrap_or_default());
    put(bytes, at::PROCESS_CRC, sum);
    for slot in bytes.get_mut(at::CLOCK_SLOTS..).unwrap_or_default().chunks_exact_mut(at::CLOCK_SLOT_LEN) {
        if slot[..CLOCK_POINT_LEN].iter().any(|byte| *byte != 0) {
            let sum = crc(&slot[..CLOCK_POINT_LEN]);
            put(slot, CLOCK_POINT_LEN, sum);
        }
    }
}

/// Of a schemas file: of each item.
pub fn fix_schemas(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(len) = u32_at(bytes, at + 2) {
        let begin = at + 10;
        let end = begin.saturating_add(len as usize);
        let Some(blob) = bytes.get(begin..end) else { break };
        let sum = crc(blob);
        put(bytes, at + 6, sum);
        at = end;
    }
}

/// Of a ring's header.
pub fn fix_ring(bytes: &mut [u8]) {
    let sum = crc_without(bytes, at::RING_STATE, at::RING_INFO, at::RING_CRC);
    put(bytes, at::RING_CRC, sum);
}

/// Of a control page.
pub fn fix_control(bytes: &mut [u8]) {
    let sum = crc_without(bytes, control::GENERATION, control::LEVELS, control::CRC);
    put(bytes, control::CRC, sum);
}

/// The header of the block that begins here, whatever its checksum is.
#[must_use]
pub fn header_of(block: &[u8]) -> Option<BlockHeader> {
    let mut copy = block.get(..block::HEADER_LEN)?.to_vec();
    fix_block(&mut copy, None);
    BlockHeader::decode(&copy).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::{self, Item};
    use crate::seeds;

    /// What the encoders made is right already; a file whose checksums were spoilt becomes what it was.
    #[test]
    fn what_was_right_stays_and_what_was_spoilt_becomes_right() {
        let segment = seeds::plain_segment();
        let begins = blocks(&segment);
        assert!(begins.len() > 4);
        let mut spoilt = segment.clone();
        for at in begins.iter().flat_map(|b| [b + 84, b + 92, b + 72]).chain([252]) {
            spoilt[at] ^= 0xff;
        }
        fix_segment(&mut spoilt);
        assert!(spoilt == segment);
        for Item { kind, bytes } in scene::parse(&seeds::plain_folder()) {
            let (fix, sums): (fn(&mut [u8]), &[usize]) = match kind {
                scene::PROCESS => (fix_process, &[176, 256 + 40]),
                scene::SCHEMAS => (fix_schemas, &[6]),
                _ => (fix_ring, &[120]),
            };
            let mut spoilt = bytes.clone();
            sums.iter().for_each(|at| spoilt[*at] ^= 0xff);
            fix(&mut spoilt);
            assert!(spoilt == bytes, "{kind}");
        }
        let page =
            tracewell_schema::format::control::ControlPage { levels: [3; 32], ..Default::default() }.encode();
        let mut spoilt = page.clone();
        spoilt[control::CRC] ^= 1;
        fix_control(&mut spoilt);
        assert!(spoilt == page);
    }
}
