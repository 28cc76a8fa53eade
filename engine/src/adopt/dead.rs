//! What a dead process left in its ring folder: read by ordinary reads into private memory, and checked. Every byte may
//! be a stranger's.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};

use tracewell_schema::format::process::{PROCESS_FILE, ProcessFile, SCHEMAS_FILE, SchemaItems};
use tracewell_schema::format::record::{KIND_EVENT, KIND_LOSS, LossCounts, Records};
use tracewell_schema::format::ring::{self as layout, PAGE, RingHeader};
use tracewell_schema::limits::{MAX_EVENTS, MAX_SCHEMA};
use tracewell_schema::{DecodeError, Schema};

use super::Why;
use crate::drain::BLOCK;
use crate::{fs, ring};

/// Most ring files of one process; the reader's limit too.
const MAX_RINGS: usize = 16_384;
/// Longest process file that is read, in bytes.
const MAX_PROCESS_FILE: u64 = 64 << 10;

/// Most bytes of schemas that are kept: half of what the format allows, and many times what a process has whose events
/// somebody wrote. A collector has 64 MiB for everything.
const MAX_SCHEMAS: usize = 32 << 20;
/// Index, length and checksum before a schema in its file.
const ITEM_HEAD: usize = 10;

/// A ring that has something to tell. Its file is not kept open: a process may have had more rings than a collector may
/// have files.
#[derive(Debug)]
pub(super) struct Ring {
    pub(super) name: String,
    pub(super) header: RingHeader,
    /// Device and inode of its file: what is opened again must be what was read.
    file: (u64, u64),
}

/// A ring whose file is open.
#[derive(Debug)]
pub(super) struct OpenRing<'a> {
    header: &'a RingHeader,
    file: File,
}

/// A folder's content.
#[derive(Debug)]
pub(super) struct Folder<'a> {
    /// Where it is.
    dir: &'a OwnedFd,
    pub(super) schemas: Vec<(u16, Vec<u8>)>,
    pub(super) rings: Vec<Ring>,
    /// What cannot be adopted, and why.
    pub(super) damage: Vec<String>,
}

/// Why something cannot be read.
#[derive(Debug)]
pub(super) enum Fault {
    /// It makes no sense.
    Damage(String),
    /// The collector lacks what it needs, which says nothing of the folder: nothing in it may be changed.
    Lack(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM) => Self::Lack(error),
            _ => Self::Damage(error.to_string()),
        }
    }
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        Self::Damage(error.what.to_owned())
    }
}

/// Whole records of a ring, from one position to another.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) raw: Vec<u8>,
    pub(super) events: u32,
    pub(super) first_ticks: u64,
    pub(super) last_ticks: u64,
    /// Losses that loss records tell.
    pub(super) lost: u64,
}

/// Whether a name is one of a ring file.
pub(super) fn is_ring_name(name: &str) -> bool {
    name.strip_prefix("ring-").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether a name is one that a ring folder can have in it.
pub(super) fn is_own_name(name: &str) -> bool {
    name == PROCESS_FILE || name == SCHEMAS_FILE || is_ring_name(name)
}

/// The process file's content.
pub(super) fn process(file: &File) -> Result<ProcessFile, String> {
    let mut bytes = Vec::new();
    file.take(MAX_PROCESS_FILE).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    ProcessFile::decode(&bytes).map_err(|e| e.what.to_owned())
}

impl<'a> Folder<'a> {
    /// Reads everything but the records. The process is dead: what is there does not change by itself.
    pub(super) fn read(dir: &'a OwnedFd, names: &[String], process: &ProcessFile) -> Result<Self, Why> {
        let mut found = Self { dir, schemas: Vec::new(), rings: Vec::new(), damage: Vec::new() };
        let rings: Vec<_> = names.iter().filter(|name| is_ring_name(name)).collect();
        if rings.len() > MAX_RINGS {
            found.damage.push("more rings than a process may have".into());
        }
        for name in rings.into_iter().take(MAX_RINGS) {
            match read_ring(dir, name) {
                Ok(None) => {}
                Ok(Some(left)) if left.header.process_uuid != process.identity.process_uuid => {
                    found.damage.push(format!("{name}: ring of another process"));
                }
                // Free: its counters are in a segment.
                Ok(Some(left)) if left.header.state == ring::FREE && left.header.head == left.header.tail => {
                }
                Ok(Some(left)) if left.header.info.ring == 0 => {
                    found.damage.push(format!("{name}: ring without a number"));
                }
                Ok(Some(left)) => found.rings.push(left),
                Err(Fault::Damage(what)) => found.damage.push(format!("{name}: {what}")),
                Err(Fault::Lack(e)) => return Err(Why::Failed(e)),
            }
        }
        if !found.rings.is_empty() {
            found.read_schemas()?;
        }
        Ok(found)
    }

    fn read_schemas(&mut self) -> Result<(), Why> {
        let most = (MAX_EVENTS * (MAX_SCHEMA + ITEM_HEAD)) as u64;
        let read = fs::open_existing(self.dir, SCHEMAS_FILE, false)
            .map_err(Fault::from)
            .and_then(|file| self.keep_schemas(BufReader::new(file.take(most))));
        match read {
            Ok(kept) if kept <= MAX_SCHEMAS => Ok(()),
            // Without some of them its events would make no sense: the rings stay.
            Ok(_) => {
                let what = format!("{SCHEMAS_FILE}: more than {} MiB of schemas", MAX_SCHEMAS >> 20);
                Err(Why::Damaged(vec![what]))
            }
            Err(Fault::Damage(what)) => {
                self.damage.push(format!("{SCHEMAS_FILE}: {what}"));
                Ok(())
            }
            Err(Fault::Lack(e)) => Err(Why::Failed(e)),
        }
    }

    /// Keeps the first schema of each index, as the reader does, until they are too many. How many bytes it has then.
    fn keep_schemas(&mut self, mut file: impl Read) -> Result<usize, Fault> {
        let (mut item, mut known, mut kept) = (Vec::new(), [false; MAX_EVENTS], 0);
        let (mut first, mut bad) = (None, 0_usize);
        // A kill may cut the last item; no record uses it.
        while let Some((index, blob)) = next_schema(&mut file, &mut item)? {
            let Some(is_known) = known.get_mut(usize::from(index)).filter(|is_known| !**is_known) else {
                continue;
            };
            if let Err(e) = Schema::parse(blob) {
                first.get_or_insert(e.what);
                bad += 1;
                continue;
            }
            *is_known = true;
            kept += blob.len();
            if kept > MAX_SCHEMAS {
                break;
            }
            self.schemas.push((index, blob.to_vec()));
        }
        if let Some(what) = first {
            let more = if bad == 1 { String::new() } else { format!(", and {} more", bad - 1) };
            self.damage.push(format!("{SCHEMAS_FILE}: {what}{more}"));
        }
        Ok(kept)
    }

    /// Opens the file of one of its rings.
    ///
    /// # Errors
    /// If it is not there any more, or another file has its name.
    pub(super) fn open<'r>(&self, ring: &'r Ring) -> Result<OpenRing<'r>, Fault> {
        let (file, identity) = open_ring(self.dir, &ring.name)?;
        if identity != ring.file {
            return Err(Fault::Damage("another file was put in its place".into()));
        }
        Ok(OpenRing { header: &ring.header, file })
    }
}

/// The next item of a schemas file, by itself: the file is a stranger's, and may be long. `None` after the last, and where
/// an item is cut or is none.
fn next_schema<'a>(file: &mut impl Read, item: &'a mut Vec<u8>) -> io::Result<Option<(u16, &'a [u8])>> {
    let mut head = [0; ITEM_HEAD];
    let is_there = |read: io::Result<()>| match read {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        other => other.map(|()| true),
    };
    if !is_there(file.read_exact(&mut head))? {
        return Ok(None);
    }
    let [_, _, len @ .., _, _, _, _] = head;
    let len = u32::from_le_bytes(len) as usize;
    if len > MAX_SCHEMA {
        return Ok(None);
    }
    item.clear();
    item.extend_from_slice(&head);
    item.resize(ITEM_HEAD + len, 0);
    if !is_there(file.read_exact(&mut item[ITEM_HEAD..]))? {
        return Ok(None);
    }
    Ok(SchemaItems::of_file(item).next().and_then(Result::ok))
}

/// A ring's file, with its device and inode.
fn open_ring(dir: &OwnedFd, name: &str) -> Result<(File, (u64, u64)), Fault> {
    // To be written to once its records are safe: the tail, as its process would have moved it.
    let file = fs::open_existing(dir, name, true)?;
    let meta = file.metadata()?;
    Ok((file, (meta.dev(), meta.ino())))
}

fn read_ring(dir: &OwnedFd, name: &str) -> Result<Option<Ring>, Fault> {
    let (file, identity) = open_ring(dir, name)?;
    // Killed between the file's creation and its allocation: nothing was ever in it.
    if file.metadata()?.len() == 0 {
        return Ok(None);
    }
    let mut page = [0; PAGE];
    file.read_exact_at(&mut page, 0)?;
    if page.iter().all(|b| *b == 0) {
        return Ok(None);
    }
    let header = RingHeader::decode(&page)?;
    Ok(Some(Ring { name: name.to_owned(), header, file: identity }))
}

#[cfg(test)]
impl Ring {
    pub(super) fn of(header: RingHeader) -> Self {
        Self { name: String::new(), header, file: (0, 0) }
    }
}

impl OpenRing<'_> {
    /// Whole records from position `from` on, as many as a block has; empty at the head.
    ///
    /// # Errors
    /// If what comes next is no record, or cannot be read.
    pub(super) fn part(&self, from: u64, part: &mut Part) -> Result<(), Fault> {
        let RingHeader { capacity, head, .. } = *self.header;
        *part = Part { raw: std::mem::take(&mut part.raw), ..Part::default() };
        let lap_end = (from & !(capacity - 1)).saturating_add(capacity);
        let to = head.min(lap_end).min(from.saturating_add(BLOCK as u64));
        let len = to.saturating_sub(from) as usize;
        part.raw.clear();
        part.raw.resize(len, 0);
        let offset = PAGE as u64 + (from & (capacity - 1));
        self.file.read_exact_at(&mut part.raw, offset)?;
        let mut end = 0;
        for record in Records::new(&part.raw) {
            let Ok(record) = record else { break };
            let next = record.offset.saturating_add((record.header.len as usize).next_multiple_of(8));
            if next > len {
                break;
            }
            end = next;
            match record.header.kind {
                KIND_EVENT => {
                    if part.events == 0 {
                        part.first_ticks = record.header.ticks;
                    }
                    part.last_ticks = record.header.ticks;
                    part.events += 1;
                }
                KIND_LOSS => {
                    let counts = LossCounts::decode(record.payload).unwrap_or_default();
                    part.lost = part.lost.saturating_add(counts.total());
                }
                _ => {}
            }
        }
        part.raw.truncate(end);
        if end == 0 && len != 0 {
            return Err(Fault::Damage(format!("what stands at position {from} is no record")));
        }
        Ok(())
    }

    /// Everything before `to` is in a segment: `sequence` event records of this claim.
    pub(super) fn release(&self, to: u64, sequence: u64) -> io::Result<()> {
        const _: () = assert!(layout::SEQUENCE_AT_TAIL == layout::TAIL + 8);
        let mut words = [0; 16];
        words[..8].copy_from_slice(&to.to_le_bytes());
        words[8..].copy_from_slice(&sequence.to_le_bytes());
        // Both at once: a kill between them would leave two that do not belong together.
        self.file.write_all_at(&words, layout::TAIL as u64)
    }

    /// Its counters are in a segment too: it has nothing more to tell.
    pub(super) fn set_free(&self) -> io::Result<()> {
        self.file.write_all_at(&ring::FREE.to_le_bytes(), layout::STATE as u64)
    }
}
