//! The column of time stamps: differences from record to record, in groups of 256, each as wide as most of the
//! group needs; the few that are wider (an interrupt, a pause) are exceptions.

use super::integers::{pack, unpack};
use crate::decode::Reader;
use crate::error::DecodeError;

const GROUP: usize = 256;
/// Bytes of an exception: place in the group, value.
const EXCEPTION: usize = 1 + 8;

/// Writes the differences.
pub(super) fn encode(differences: &[u64], out: &mut Vec<u8>) {
    for group in differences.chunks(GROUP) {
        let width = best_width(group);
        let limit = greatest(width);
        let wide = if width == 8 { 0 } else { group.iter().filter(|d| **d > limit).count() };
        out.push(width as u8);
        // At most GROUP - 1 are wider than the width that was chosen.
        out.push(wide as u8);
        pack(group.iter().copied(), width, out);
        if wide != 0 {
            for (place, difference) in group.iter().enumerate().filter(|(_, d)| **d > limit) {
                out.push(place as u8);
                out.extend_from_slice(&difference.to_le_bytes());
            }
        }
    }
}

fn best_width(group: &[u64]) -> usize {
    let mut wider = [0_usize; 3];
    for difference in group {
        for (count, width) in wider.iter_mut().zip([1, 2, 4]) {
            *count += usize::from(*difference > greatest(width));
        }
    }
    let mut best = (8, 8 * group.len());
    for (count, width) in wider.into_iter().zip([1, 2, 4]) {
        let cost = width * group.len() + count * EXCEPTION;
        if cost < best.1 && count < GROUP {
            best = (width, cost);
        }
    }
    best.0
}

const fn greatest(width: usize) -> u64 {
    match width {
        1 => 0xff,
        2 => 0xffff,
        4 => 0xffff_ffff,
        _ => u64::MAX,
    }
}

/// Reads `count` differences.
pub(super) fn decode(reader: &mut Reader<'_>, count: usize, out: &mut Vec<u64>) -> Result<(), DecodeError> {
    out.clear();
    while out.len() < count {
        let start = out.len();
        let len = GROUP.min(count - start);
        let (width, wide) = (usize::from(reader.u8()?), reader.u8()?);
        unpack(reader, len, width, out)?;
        for _ in 0..wide {
            let place = start + usize::from(reader.u8()?);
            let difference = reader.u64()?;
            match out.get_mut(place) {
                Some(slot) => *slot = difference,
                None => return Err(reader.error("time stamp outside of its group")),
            }
        }
    }
    Ok(())
}
