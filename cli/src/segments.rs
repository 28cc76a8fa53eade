//! Segments without their events: names, sizes, and what the block headers and counters say. Reading a whole trace to
//! say how large it is would take too long.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{CWD, Mode, OFlags};
use tracewell::retention::KEEP_FILE;
use tracewell_schema::decode::Reader;
use tracewell_schema::format::block::{BlockHeader, BlockKind, HEADER_LEN, decompress_block};
use tracewell_schema::format::process::ProcessIdentity;
use tracewell_schema::format::ring::RingCounters;
use tracewell_schema::format::segment::{self, FileName, SegmentHeader, parse_file_name};

/// A segment file.
#[derive(Clone, Debug)]
pub(crate) struct SegmentFile {
    pub(crate) path: PathBuf,
    pub(crate) name: FileName,
    pub(crate) bytes: u64,
}

/// A session's folder.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) path: PathBuf,
    pub(crate) name: String,
    pub(crate) segments: Vec<SegmentFile>,
    /// Entries that are no segments.
    pub(crate) others: usize,
    /// The user keeps it.
    pub(crate) is_kept: bool,
    /// When a segment was changed last.
    pub(crate) changed: Option<SystemTime>,
    /// When the folder was made, as far as the file system tells.
    made: SystemTime,
}

impl Session {
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.bytes).sum()
    }
}

/// All sessions, the oldest first. Links are not followed; a missing folder has none.
pub(crate) fn sessions(folder: &Path) -> io::Result<Vec<Session>> {
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut all = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            all.push(session(&entry.path())?);
        }
    }
    // By the time in the name; of sessions of the same second by when the folder was made.
    all.sort_by(|a: &Session, b: &Session| {
        let key = |s: &Session| (s.name.get(..19).map(str::to_owned), s.made);
        key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
    });
    Ok(all)
}

fn session(path: &Path) -> io::Result<Session> {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let meta = std::fs::symlink_metadata(path)?;
    let made = meta.created().or_else(|_| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let mut session = Session {
        path: path.to_owned(),
        name,
        segments: Vec::new(),
        others: 0,
        is_kept: false,
        changed: None,
        made,
    };
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        // Of the entry itself, not of what a link points to.
        let Ok(meta) = entry.metadata() else { continue };
        if entry.file_name() == KEEP_FILE {
            session.is_kept = true;
            continue;
        }
        match entry.file_name().to_str().and_then(parse_file_name) {
            Some(name) if meta.is_file() => {
                session.changed = session.changed.max(meta.modified().ok());
                let bytes = meta.blocks() * 512;
                session.segments.push(SegmentFile { path: entry.path(), name, bytes: bytes.max(meta.len()) });
            }
            _ => session.others += 1,
        }
    }
    // Of an empty one the folder itself.
    session.changed = session.changed.or_else(|| meta.modified().ok());
    session.segments.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(session)
}

/// What the headers of a segment say.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) identity: ProcessIdentity,
    /// Events in data blocks.
    pub(crate) events: u64,
    /// Last counters of each ring.
    pub(crate) counters: BTreeMap<u32, RingCounters>,
    /// Bytes up to the end of the last block that is whole.
    pub(crate) used: u64,
}

/// Reads headers and counters up to the first thing that is not as it should be; `None` if that is the start.
pub(crate) fn facts(path: &Path) -> Option<Facts> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(CWD, path, flags, Mode::empty()).ok()?);
    let mut start = [0; segment::HEADER_LEN];
    file.read_exact_at(&mut start, 0).ok()?;
    let header = SegmentHeader::decode(&start).ok()?;
    let at = segment::HEADER_LEN as u64;
    let mut facts = Facts { identity: header.identity, events: 0, counters: BTreeMap::new(), used: at };
    let (mut stored, mut raw) = (Vec::new(), Vec::new());
    let mut bytes = [0; HEADER_LEN];
    while file.read_exact_at(&mut bytes, facts.used).is_ok() {
        let Ok(block) = BlockHeader::decode(&bytes) else { break };
        match block.kind {
            BlockKind::Data => facts.events += u64::from(block.events),
            BlockKind::Counters => {
                // The header's decode has bounded the length.
                stored.resize(block.stored_len as usize, 0);
                let read = file.read_exact_at(&mut stored, facts.used + HEADER_LEN as u64).is_ok();
                if read && decompress_block(&block, &stored, &mut raw).is_ok() {
                    add_counters(&mut facts.counters, &raw);
                }
            }
            _ => {}
        }
        facts.used += HEADER_LEN as u64 + block.padded_len();
    }
    Some(facts)
}

fn add_counters(all: &mut BTreeMap<u32, RingCounters>, payload: &[u8]) {
    let mut reader = Reader::new(payload);
    while !reader.rest().is_empty() {
        let Ok(counters) = RingCounters::decode(&mut reader) else { return };
        all.insert(counters.ring, counters);
    }
}

/// Segments below what the user named: files, sessions, trace directories.
pub(crate) fn below(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for path in paths {
        if path.is_file() {
            all.push(path.clone());
        } else if let Ok(session) = session(path) {
            all.extend(session.segments.into_iter().map(|s| s.path));
            for folder in [path.clone(), path.join("sessions")] {
                all.extend(
                    sessions(&folder)
                        .unwrap_or_default()
                        .into_iter()
                        .flat_map(|s| s.segments)
                        .map(|s| s.path),
                );
            }
        }
    }
    all
}
