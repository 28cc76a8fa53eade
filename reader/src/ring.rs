//! Salvage: what a process left in its ring folder, read by ordinary reads and never written to.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::FlockOperation;
use tracewell_schema::Schema;
use tracewell_schema::format::hex;
use tracewell_schema::format::process::{
    PROCESS_FILE, ProcessFile, SCHEMAS_FILE, SchemaItems, damaged_slots,
};
use tracewell_schema::format::record::{HEADER_LEN, KIND_LOSS, KIND_PAD, Records};
use tracewell_schema::format::ring::{HEAD, PAGE, RingHeader, STATE, TAIL};
use tracewell_schema::limits::{MAX_EVENTS, MAX_RING, MAX_SCHEMA};

use crate::source;
use crate::summary::Damage;

/// Most ring files of one process.
const MAX_RINGS: usize = 16_384;
/// How much of a ring is read at once; larger than the largest record.
const WINDOW: u64 = 1 << 20;
/// Length of a loss record's payload.
const LOSS_LEN: usize = 64;
/// How often, and after which time again, a collector that removes the folder is waited for.
const HOLD_TRIES: u32 = 100;
const HOLD_PAUSE: Duration = Duration::from_millis(10);
/// How often a header that changes while it is read is read again.
const TRIES: usize = 16;

/// A ring with something that no segment has.
#[derive(Debug)]
pub(crate) struct Leftover {
    pub(crate) path: PathBuf,
    pub(crate) header: RingHeader,
    /// What was committed, from the header's tail on: of a live process only, whose drain would take it away.
    pub(crate) copy: Option<Vec<u8>>,
    /// Ticks of its first record, as far as they can be told without reading more.
    pub(crate) first_ticks: u64,
}

/// What a ring folder holds.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) process: ProcessFile,
    pub(crate) is_alive: bool,
    /// The rings are memory of this boot: a death of their process cut them, but put nothing else in them. What comes
    /// from another boot went through a loss of power, or was copied: any part of it may be older than the rest.
    pub(crate) is_of_this_boot: bool,
    pub(crate) schemas: Vec<(u16, Schema)>,
    pub(crate) rings: Vec<Leftover>,
    pub(crate) damage: Vec<Damage>,
    /// Of a dead process: keeps a collector from removing the rings until it is closed.
    pub(crate) hold: Option<File>,
}

fn damage(path: &Path, what: impl ToString) -> Damage {
    Damage { file: path.to_owned(), offset: 0, bytes: 0, events: 0, what: what.to_string() }
}

fn read_bounded(path: &Path, most: u64) -> io::Result<(File, Vec<u8>)> {
    let file = source::open(path)?;
    let mut bytes = Vec::new();
    (&file).take(most).read_to_end(&mut bytes)?;
    Ok((file, bytes))
}

/// Reads everything but the data of a dead process's rings; what waits in the rings of a live one is copied as long
/// as `budget` bytes last. `None` if the folder was only begun: it is made before its first ring.
pub(crate) fn read_folder(path: &Path, budget: &mut u64) -> Result<Option<Folder>, Damage> {
    let process_path = path.join(PROCESS_FILE);
    let (file, bytes) = read_bounded(&process_path, 64 << 10).map_err(|e| damage(&process_path, e))?;
    if bytes.is_empty() && !has_rings(path) {
        return Ok(None);
    }
    let process = ProcessFile::decode(&bytes).map_err(|e| damage(&process_path, e.what))?;
    // First the hold, then the look: what is seen now is not removed until it is read.
    let is_held = hold(&file);
    let is_alive = is_locked(&file);
    let (schemas, rings) = (Vec::new(), Vec::new());
    let is_of_this_boot = is_this_boot(&process.identity.boot_id);
    let mut folder =
        Folder { is_alive, is_of_this_boot, process, schemas, rings, damage: Vec::new(), hold: None };
    let owner = std::fs::symlink_metadata(path).map(|meta| meta.uid()).ok();
    folder.damage.extend(of_others(&process_path, &file, owner));
    let damaged = damaged_slots(&bytes);
    // A living one may be writing a slot.
    if damaged != 0 && !is_alive {
        let what = format!("{damaged} clock points are damaged; times may be less exact");
        folder.damage.push(damage(&process_path, what));
    }
    let Ok(entries) = std::fs::read_dir(path) else { return Ok(Some(folder)) };
    let mut names: Vec<_> = entries.flatten().filter(is_ring).map(|e| e.path()).take(MAX_RINGS + 1).collect();
    names.sort();
    if names.len() > MAX_RINGS {
        folder.damage.push(damage(path, "more rings than a process may have; the rest is not read"));
        names.truncate(MAX_RINGS);
    }
    let mut ids = HashSet::new();
    for name in names {
        match read_ring(&name, is_alive, budget, owner, &mut folder.damage) {
            // Free, or being made: nothing is in it.
            Ok(None) => {}
            Ok(Some(left)) if left.header.process_uuid != folder.process.identity.process_uuid => {
                folder.damage.push(damage(&name, "ring of another process"));
            }
            Ok(Some(left)) if !ids.insert(left.header.info.ring) => {
                folder.damage.push(damage(&name, "another file of a ring that has one; it is not read"));
            }
            Ok(Some(left)) => folder.rings.push(left),
            // A live process removes its folder at a clean end while we look.
            Err(_) if is_alive && !name.exists() => {}
            Err(e) => folder.damage.push(e),
        }
    }
    // After the rings: a schema is written before the first record that uses it.
    let schemas_path = path.join(SCHEMAS_FILE);
    let most = (MAX_EVENTS * (MAX_SCHEMA + 10)) as u64;
    match read_bounded(&schemas_path, most) {
        Ok((_, bytes)) => {
            for (index, blob) in SchemaItems::of_file(&bytes).map_while(Result::ok) {
                // A kill may cut the last item; no record uses it. One that does is reported by itself.
                match Schema::parse(blob) {
                    Ok(schema) => folder.schemas.push((index, schema)),
                    Err(e) => folder.damage.push(damage(&schemas_path, e.what)),
                }
            }
        }
        // It is made before the first ring, and removed after the last.
        Err(e) if e.kind() == io::ErrorKind::NotFound && (is_alive || !has_rings(path)) => {}
        Err(e) => folder.damage.push(damage(&schemas_path, e)),
    }
    folder.hold = (is_held && !is_alive && !folder.rings.is_empty()).then_some(file);
    Ok(Some(folder))
}

fn is_ring(entry: &std::fs::DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b"ring-")
}

fn has_rings(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|entries| entries.flatten().any(|entry| is_ring(&entry)))
}

/// Keeps a collector from removing the folder as long as the file is open. If one is about to, waits until it has: its
/// rings are in segments by then. False if that is not possible; then the rings are read as long as they are there.
fn hold(file: &File) -> bool {
    for _ in 0..HOLD_TRIES {
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => return true,
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(HOLD_PAUSE),
            Err(_) => return false,
        }
    }
    false
}

/// Damage if others than the owner of its folder own a file or may write to it: what is in it may be theirs.
fn of_others(path: &Path, file: &File, owner: Option<u32>) -> Option<Damage> {
    let meta = file.metadata().ok()?;
    if owner.is_some_and(|owner| owner != meta.uid()) {
        return Some(damage(path, format!("belongs to user {}, and its folder to another", meta.uid())));
    }
    let mode = meta.mode() & 0o7777;
    (mode & 0o022 != 0).then(|| damage(path, format!("others may have written to it: its mode is {mode:o}")))
}

fn read_ring(
    path: &Path,
    is_alive: bool,
    budget: &mut u64,
    owner: Option<u32>,
    told: &mut Vec<Damage>,
) -> Result<Option<Leftover>, Damage> {
    let file = source::open(path).map_err(|e| damage(path, e))?;
    told.extend(of_others(path, &file, owner));
    if file.metadata().is_ok_and(|meta| meta.len() > PAGE as u64 + MAX_RING) {
        told.push(damage(path, "longer than the file of a ring may be"));
    }
    let Some(header) = read_header(path, &file)? else { return Ok(None) };
    let first_ticks = first_ticks(&file, &header);
    let mut left = Leftover { path: path.to_owned(), header, copy: None, first_ticks };
    if is_alive && left.header.head != left.header.tail {
        copy(&file, &mut left, budget)?;
    }
    Ok(Some(left))
}

/// The header, as two readings in a row agree on it: the kernel's copy is not promised to be atomic, and tail and
/// sequence are two stores.
fn read_header(path: &Path, file: &File) -> Result<Option<RingHeader>, Damage> {
    // Killed between the file's creation and its allocation: nothing was ever in it.
    if file.metadata().is_ok_and(|meta| meta.len() == 0) {
        return Ok(None);
    }
    let read = |page: &mut [u8; PAGE]| file.read_exact_at(page, 0).map_err(|e| damage(path, e));
    let mut page = [0; PAGE];
    let mut again = [0; PAGE];
    read(&mut page)?;
    if is_free(&page) {
        return Ok(None);
    }
    let decode = |page: &[u8; PAGE]| RingHeader::decode(page).map_err(|e| damage(path, e.what));
    let mut header = decode(&page)?;
    for _ in 0..TRIES {
        read(&mut again)?;
        let now = decode(&again)?;
        let agree = now.tail == header.tail && now.sequence_at_tail == header.sequence_at_tail;
        // The head of a busy ring never stands still: the later one of two that begin alike is as good.
        header = now;
        if agree {
            break;
        }
    }
    Ok(Some(header))
}

/// Nobody's, with nothing in it: its counters are in a segment. What else the page says is half written if its process
/// was killed while it made the ring or gave it to a thread.
fn is_free(page: &[u8; PAGE]) -> bool {
    let word = |at: usize| page.get(at..at + 8);
    page.get(STATE..STATE + 4) == Some(&[0; 4]) && word(HEAD) == word(TAIL)
}

/// Ticks of the first record, or of the one after a first pad; 0 if there are none.
fn first_ticks(file: &File, header: &RingHeader) -> u64 {
    let mask = header.capacity - 1;
    let mut position = header.tail;
    for _ in 0..2 {
        let mut bytes = [0; HEADER_LEN];
        // Where a pad of eight bytes ends the file, or the file was cut, the rest is zeros.
        let Ok(_) = source::read_at(file, &mut bytes, PAGE as u64 + (position & mask)) else { return 0 };
        let [.., kind, _, t0, t1, t2, t3, t4, t5, t6, t7] = bytes;
        if kind != KIND_PAD {
            return u64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7]);
        }
        position = (position | mask).saturating_add(1);
    }
    0
}

/// Copies what waits in a live process's ring. The drain may release, and the producer overwrite, the front of it
/// meanwhile: what is before the tail that is seen afterwards is dropped, for it is in a segment.
fn copy(file: &File, left: &mut Leftover, budget: &mut u64) -> Result<(), Damage> {
    let header = &mut left.header;
    let len = header.head - header.tail;
    if len > *budget {
        let what =
            "more waits in the rings of running processes than is copied; read again when they have ended";
        return Err(Damage { bytes: len, ..damage(&left.path, what) });
    }
    let mut bytes = Vec::new();
    read_range(file, header, header.tail, header.head, &mut bytes).map_err(|e| damage(&left.path, e))?;
    let now = match read_header(&left.path, file) {
        // Another claim of the ring: everything of this one was released.
        Ok(Some(now)) if now.info.ring != header.info.ring => header.head,
        Ok(Some(now)) => {
            header.sequence_at_tail = now.sequence_at_tail;
            now.tail
        }
        // Free meanwhile: all was released.
        Ok(None) => header.head,
        Err(damage) => return Err(damage),
    };
    let gone = now.clamp(header.tail, header.head) - header.tail;
    bytes.drain(..usize::try_from(gone).unwrap_or(usize::MAX).min(bytes.len()));
    bytes.shrink_to_fit();
    header.tail += gone;
    *budget -= bytes.len() as u64;
    left.copy = Some(bytes);
    Ok(())
}

/// The bytes of positions `from..to`, which lie in one lap or go over its end once; fewer if the file was cut.
fn read_range(file: &File, header: &RingHeader, from: u64, to: u64, out: &mut Vec<u8>) -> io::Result<()> {
    // At most MAX_RING: the header's decode has checked capacity, head and tail. And no more than the file has.
    let has = file.metadata()?.len().saturating_sub(PAGE as u64);
    let len = to.saturating_sub(from).min(header.capacity).min(has);
    let offset = from & (header.capacity - 1);
    let first = (header.capacity - offset).min(len);
    out.clear();
    out.resize(usize::try_from(len).map_err(io::Error::other)?, 0);
    let (one, two) = out
        .split_at_mut_checked(usize::try_from(first).map_err(io::Error::other)?)
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut there = source::read_at(file, one, PAGE as u64 + offset)?;
    if there == one.len() {
        there += source::read_at(file, two, PAGE as u64)?;
    }
    out.truncate(there);
    Ok(())
}

/// Where the records of a leftover, from position `from` to `to`, end to make sense, and why. What lies in a ring has
/// no checksum: whatever else proves a record is asked.
pub(crate) fn first_wrong(
    left: &Leftover,
    bytes: &[u8],
    from: u64,
    to: u64,
) -> Option<(usize, &'static str)> {
    if !from.is_multiple_of(8) {
        return Some((0, "tail of a ring is no place of a record"));
    }
    let mut at = 0;
    for record in Records::new(bytes) {
        let Ok(record) = record else { return Some((at, "no record where one should be")) };
        let len = u64::from(record.header.len).next_multiple_of(8);
        let lap = left.header.capacity - (from.saturating_add(at as u64) & (left.header.capacity - 1));
        match record.header.kind {
            _ if len > lap => return Some((at, "record goes over the end of its lap")),
            KIND_PAD if len != lap => return Some((at, "pad record before the end of its lap")),
            KIND_LOSS if record.payload.len() != LOSS_LEN => {
                return Some((at, "loss record of another length"));
            }
            _ => {}
        }
        at = record.offset + usize::try_from(len).unwrap_or(usize::MAX);
    }
    // A window that ends with a whole record ends at its padding.
    (from.saturating_add(at as u64) < to).then_some((at, "the file of the ring is cut"))
}

/// Offset in the file of a position.
pub(crate) const fn offset_of(left: &Leftover, position: u64) -> u64 {
    PAGE as u64 + (position & (left.header.capacity - 1))
}

/// Whole records of a leftover from position `from` on, at most a window of them. Returns the position after them.
pub(crate) fn read_window(left: &Leftover, from: u64, out: &mut Vec<u8>) -> Result<u64, Damage> {
    let header = &left.header;
    let to = header.head.min(from.saturating_add(WINDOW));
    if let Some(copy) = &left.copy {
        out.clear();
        let skip = usize::try_from(from - header.tail).unwrap_or(usize::MAX);
        let rest = copy.get(skip..).unwrap_or_default();
        let len = usize::try_from(to - from).unwrap_or(usize::MAX).min(rest.len());
        out.extend_from_slice(rest.get(..len).unwrap_or_default());
    } else {
        source::open(&left.path)
            .and_then(|file| read_range(&file, header, from, to, out))
            .map_err(|e| Damage { bytes: header.head - from, ..damage(&left.path, e) })?;
    }
    if to == header.head {
        return Ok(to);
    }
    let mut end = 0;
    for record in Records::new(out).map_while(Result::ok) {
        let next = record.offset + (record.header.len as usize).next_multiple_of(8);
        if next > out.len() {
            break;
        }
        end = next;
    }
    if end == 0 {
        // Not even one record: the bytes make no sense, and whoever reads them says so.
        return Ok(header.head);
    }
    out.truncate(end);
    Ok(from + end as u64)
}

/// Whether this is the id of this machine's boot, as far as the kernel tells it.
fn is_this_boot(id: &[u8; 16]) -> bool {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .is_ok_and(|text| text.trim_end().replace('-', "") == hex(id))
}

/// Whether a live process holds the folder's lock. Where the file system knows no locks it is taken as alive: then its
/// rings are read all the same, and only their last counts stay unchecked. (`/proc/locks` would not do: it is read a page
/// at a time, and of what changes meanwhile some is left out.)
fn is_locked(file: &File) -> bool {
    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    let asked = fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock));
    asked.is_err() || libc::c_int::from(lock.l_type) != libc::F_UNLCK
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(capacity: u64) -> RingHeader {
        RingHeader { capacity, head: capacity, tail: 0, ..RingHeader::default() }
    }

    #[test]
    fn no_more_memory_is_taken_than_the_file_has_bytes() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"some", PAGE as u64).unwrap();
        file.set_len(PAGE as u64 + 4096).unwrap();
        let header = full(MAX_RING);
        let mut out = Vec::new();
        for (from, len) in [(0, 4096), (1096, 3000), (4096, 0), (MAX_RING - 10, 0)] {
            read_range(&file, &header, from, from + MAX_RING, &mut out).unwrap();
            assert_eq!(out.len(), len, "from {from}");
            assert!(out.capacity() <= 8192, "{} bytes", out.capacity());
        }
        // Once around.
        let header = full(4096);
        read_range(&file, &header, 4000, 4100, &mut out).unwrap();
        assert!(out.len() == 100 && out.ends_with(b"some"));
    }

    #[test]
    fn what_was_copied_is_handed_out_by_windows() {
        let record = tracewell_schema::format::record::RecordHeader {
            len: 64,
            kind: tracewell_schema::format::record::KIND_EVENT,
            ..Default::default()
        };
        let mut one = record.encode().to_vec();
        one.resize(64, 0);
        let bytes = one.repeat(3 << 14);
        let header = full(bytes.len() as u64);
        let left = Leftover { path: PathBuf::new(), header, copy: Some(bytes), first_ticks: 0 };
        let (mut at, mut out, mut windows) = (0, Vec::new(), 0);
        while at < left.header.head {
            let next = read_window(&left, at, &mut out).unwrap();
            assert!(out.len() as u64 == next - at && next - at <= WINDOW);
            (at, windows) = (next, windows + 1);
        }
        assert_eq!((at, windows), (3 << 20, 3));
    }
}
