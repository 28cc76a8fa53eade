//! Reading the memory of a stopped process: what is there, and its bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::maps::{LeftOut, Mapping};
use crate::sys;

/// Bytes of a page.
pub(crate) const PAGE: u64 = 4096;

/// Reads a range; what cannot be read is zeros. Returns how many bytes those are.
///
/// # Errors
/// If the process is gone.
pub(crate) fn read(pid: u32, address: u64, buffer: &mut [u8]) -> io::Result<u64> {
    let (mut at, mut unreadable) = (0, 0);
    while at < buffer.len() {
        let here = address + at as u64;
        match sys::read_memory(pid, here, &mut buffer[at..]) {
            Ok(read) if read > 0 => at += read,
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => return Err(e),
            Ok(_) | Err(_) => {
                // A page that its file does not reach any more, or that cannot be read back from the disk.
                let rest = (PAGE - here % PAGE).min((buffer.len() - at) as u64) as usize;
                buffer[at..at + rest].fill(0);
                at += rest;
                unreadable += rest as u64;
            }
        }
    }
    Ok(unreadable)
}

/// Wipes what is between two addresses from what was read at `address`.
pub(crate) fn wipe(address: u64, buffer: &mut [u8], (from, to): (u64, u64)) {
    let place = |at: u64| (at.saturating_sub(address)).min(buffer.len() as u64) as usize;
    let (from, to) = (place(from), place(to));
    if let Some(part) = buffer.get_mut(from..to) {
        part.fill(0);
    }
}

/// What is read of a mapping: ranges, in order.
pub(crate) fn choose(
    mapping: &Mapping,
    pagemap: &File,
    gap: u64,
) -> io::Result<Result<Vec<(u64, u64)>, LeftOut>> {
    let is_file = mapping.is_file();
    if is_file && mapping.own == 0 {
        // The beginning of a program or library says which one it is.
        let is_head = mapping.offset == 0 && mapping.present != 0;
        return Ok(if is_head { Ok(vec![(mapping.start, PAGE)]) } else { Err(LeftOut::Unchanged) });
    }
    if mapping.path == b"[vdso]" {
        // The kernel's own library, the same for all: debuggers want it whole.
        return Ok(Ok(vec![(mapping.start, mapping.len())]));
    }
    if mapping.present == 0 {
        return Ok(Err(LeftOut::Unused));
    }
    let ranges = present(mapping, pagemap, gap)?;
    Ok(if ranges.is_empty() { Err(LeftOut::Unused) } else { Ok(ranges) })
}

/// The pages that are there, in memory or swapped out; ranges closer than `gap` are one. To read others would make them.
fn present(mapping: &Mapping, pagemap: &File, gap: u64) -> io::Result<Vec<(u64, u64)>> {
    const PRESENT_OR_SWAPPED: u8 = 0b1100_0000;
    const ENTRIES: u64 = 8192;
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    let mut left = mapping.present.div_ceil(PAGE);
    let mut buffer = vec![0; (ENTRIES * 8) as usize];
    let mut at = mapping.start;
    // A mapping may be a terabyte of nothing with some pages at its beginning.
    while at < mapping.end && left != 0 {
        let pages = ((mapping.end - at) / PAGE).min(ENTRIES);
        let entries = &mut buffer[..(pages * 8) as usize];
        pagemap.read_exact_at(entries, at / PAGE * 8)?;
        for entry in entries.chunks_exact(8) {
            // The last byte has the two uppermost bits.
            if entry.last().is_some_and(|b| b & PRESENT_OR_SWAPPED != 0) {
                left = left.saturating_sub(1);
                match ranges.last_mut() {
                    Some((start, len)) if at - (*start + *len) <= gap => *len = at + PAGE - *start,
                    _ => ranges.push((at, PAGE)),
                }
            }
            at += PAGE;
        }
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_is_wiped() {
        for (range, wiped) in
            [((102, 104), 2..4), ((90, 103), 0..3), ((107, 120), 7..8), ((0, 0), 0..0), ((120, 130), 0..0)]
        {
            let mut bytes = [7; 8];
            wipe(100, &mut bytes, range);
            let zeros: Vec<usize> = (0..8).filter(|i| bytes[*i] == 0).collect();
            assert_eq!(zeros, wiped.collect::<Vec<_>>(), "{range:?}");
        }
    }
}
