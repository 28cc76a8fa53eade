//! Several files in one input: `u8 kind, u24 length, bytes` each, the last cut where the input ends.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tracewell_schema::format::process::{PROCESS_FILE, SCHEMAS_FILE};
use tracewell_schema::format::ring::{PAGE, SEQUENCE_AT_TAIL, TAIL};
use tracewell_schema::limits::{MAX_RING, MIN_RING};

use crate::place;

/// A process file.
pub const PROCESS: u8 = 0;
/// A schemas file.
pub const SCHEMAS: u8 = 1;
/// A ring: [`RING_HEADER`] bytes of its header, then what stands from its tail on.
pub const RING: u8 = 2;
/// A ring's file, as it is.
pub const RING_FILE: u8 = 3;
/// A sealed segment.
pub const SEGMENT: u8 = 4;
/// One that is not sealed.
pub const OPEN_SEGMENT: u8 = 5;
/// From here on the ring folder of another process.
pub const NEXT: u8 = 6;
/// The process still runs.
pub const ALIVE: u8 = 7;
/// Kinds.
pub const KINDS: u8 = 8;

/// Bytes of a ring's header that are not always zero.
pub const RING_HEADER: usize = SEQUENCE_AT_TAIL + 8;

/// Most files of an input.
const MOST: usize = 64;

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// [`PROCESS`] and so on.
    pub kind: u8,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Takes an input apart.
#[must_use]
pub fn parse(mut data: &[u8]) -> Vec<Item> {
    let mut items = Vec::new();
    while let Some(([kind, a, b, c], rest)) = data.split_first_chunk() {
        let len = u32::from_le_bytes([*a, *b, *c, 0]) as usize;
        let (bytes, rest) = rest.split_at(len.min(rest.len()));
        items.push(Item { kind: kind % KINDS, bytes: bytes.to_vec() });
        data = rest;
        if items.len() == MOST {
            break;
        }
    }
    items
}

/// Puts it together again.
#[must_use]
pub fn build(items: &[Item]) -> Vec<u8> {
    let mut out = Vec::new();
    for Item { kind, bytes } in items {
        let [a, b, c, ..] = (bytes.len() as u32).to_le_bytes();
        out.extend_from_slice(&[*kind, a, b, c]);
        out.extend_from_slice(bytes);
    }
    out
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    bytes.get(offset..).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b))
}

/// Where a ring's data begins in its file, and how much its file has: as the engine lays it out, if that is possible.
fn layout(header: &[u8]) -> (u64, u64) {
    match u64_at(header, 16) {
        capacity if capacity.is_power_of_two() && (MIN_RING..=MAX_RING).contains(&capacity) => {
            (u64_at(header, TAIL) & (capacity - 1), capacity)
        }
        _ => (0, 0),
    }
}

fn write_ring(path: &Path, bytes: &[u8]) {
    let (header, data) = bytes.split_at(bytes.len().min(RING_HEADER));
    let file = place::write(path, header);
    let (at, capacity) = layout(header);
    // A hole where nothing is: the file costs what is in it.
    file.set_len(PAGE as u64 + capacity.max(data.len() as u64)).expect("room");
    let data = &data[..data.len().min(if capacity == 0 { usize::MAX } else { capacity as usize })];
    let first = if capacity == 0 { data.len() } else { data.len().min((capacity - at) as usize) };
    file.write_all_at(&data[..first], PAGE as u64 + at).expect("room");
    file.write_all_at(&data[first..], PAGE as u64).expect("room");
}

/// Where the files of an input are.
#[derive(Debug)]
pub struct Written {
    /// A trace directory.
    pub base: PathBuf,
    /// Its rings.
    pub rings: PathBuf,
    /// Bytes of all files, holes not counted.
    pub bytes: u64,
    /// Holds the locks of the processes that run.
    _locks: Vec<File>,
}

/// Locks a file as a running process does.
#[allow(unsafe_code)]
fn lock(path: &Path) -> Option<File> {
    let file = File::options().read(true).write(true).open(path).ok()?;
    let whole = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    // SAFETY: the descriptor is open and the structure is whole, which both were made here; the call only reads it.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const whole) };
    (done == 0).then_some(file)
}

/// Writes the files of an input; `with_segments` segments too.
///
/// # Panics
/// If they cannot be written.
#[must_use]
pub fn write(items: &[Item], with_segments: bool) -> Written {
    let dir = place::empty();
    let (base, rings) = (dir.join("trace"), dir.join("rings"));
    let session = base.join("sessions").join("session");
    place::make(&session);
    place::make(&rings);
    let mut written = Written { base, rings, bytes: 0, _locks: Vec::new() };
    let folder = |number: usize| written.rings.join(format!("scanner-{number}-00000000"));
    let (mut number, mut alive) = (0, Vec::new());
    for (place, item) in items.iter().enumerate() {
        let inside = |name: &str| {
            fs::create_dir_all(folder(number)).expect("a directory");
            folder(number).join(name)
        };
        match item.kind {
            PROCESS => drop(place::write(&inside(PROCESS_FILE), &item.bytes)),
            SCHEMAS => drop(place::write(&inside(SCHEMAS_FILE), &item.bytes)),
            RING => write_ring(&inside(&format!("ring-{place:06}")), &item.bytes),
            RING_FILE => drop(place::write(&inside(&format!("ring-{place:06}")), &item.bytes)),
            SEGMENT | OPEN_SEGMENT if with_segments => {
                let end = if item.kind == SEGMENT { "twseg" } else { "twseg.open" };
                drop(place::write(&session.join(format!("a_pid1_00000000_{place:06}.{end}")), &item.bytes));
            }
            NEXT => number += 1,
            ALIVE => alive.push(folder(number).join(PROCESS_FILE)),
            _ => {}
        }
    }
    written.bytes = items.iter().map(|item| item.bytes.len() as u64).sum();
    written._locks = alive.iter().filter_map(|path| lock(path)).collect();
    written
}
