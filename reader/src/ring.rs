//! Salvage: what a process left in its ring folder, read by ordinary reads and never written to.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tracewell_schema::Schema;
use tracewell_schema::format::process::{PROCESS_FILE, ProcessFile, SCHEMAS_FILE, SchemaItems};
use tracewell_schema::format::ring::{PAGE, RingHeader};
use tracewell_schema::limits::{MAX_EVENTS, MAX_SCHEMA};

use crate::source;
use crate::summary::Damage;

/// Most ring files of one process.
const MAX_RINGS: usize = 16_384;

/// A ring with something that no segment has.
#[derive(Debug)]
pub(crate) struct Leftover {
    pub(crate) path: PathBuf,
    pub(crate) header: RingHeader,
}

/// What a ring folder holds.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) process: ProcessFile,
    pub(crate) is_alive: bool,
    pub(crate) schemas: Vec<(u16, Schema)>,
    pub(crate) rings: Vec<Leftover>,
    pub(crate) damage: Vec<Damage>,
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

/// Reads everything but the rings' data.
pub(crate) fn read_folder(path: &Path) -> Result<Folder, Damage> {
    let process_path = path.join(PROCESS_FILE);
    let (file, bytes) = read_bounded(&process_path, 64 << 10).map_err(|e| damage(&process_path, e))?;
    let process = ProcessFile::decode(&bytes).map_err(|e| damage(&process_path, e))?;
    let mut folder = Folder {
        is_alive: is_locked(&file),
        process,
        schemas: Vec::new(),
        rings: Vec::new(),
        damage: Vec::new(),
    };
    let schemas_path = path.join(SCHEMAS_FILE);
    let most = (MAX_EVENTS * (MAX_SCHEMA + 10)) as u64;
    match read_bounded(&schemas_path, most) {
        Ok((_, bytes)) => {
            for item in SchemaItems::of_file(&bytes) {
                let parsed = item.and_then(|(index, blob)| Ok((index, Schema::parse(blob)?)));
                match parsed {
                    Ok(schema) => folder.schemas.push(schema),
                    // A kill may cut the last item; no record uses it. A record that does is reported by itself.
                    Err(_) => break,
                }
            }
        }
        Err(e) => folder.damage.push(damage(&schemas_path, e)),
    }
    let Ok(entries) = std::fs::read_dir(path) else { return Ok(folder) };
    let mut names: Vec<_> = entries
        .flatten()
        .take(MAX_RINGS)
        .filter(|e| e.file_name().to_str().is_some_and(|n| n.starts_with("ring-")))
        .map(|e| e.path())
        .collect();
    names.sort();
    for path in names {
        match read_header(&path) {
            // A ring that is being made has no header yet and nothing in it.
            Ok(None) => {}
            Ok(Some(header)) if header.state == 0 && header.head == header.tail => {}
            Ok(Some(header)) if header.process_uuid != folder.process.identity.process_uuid => {
                folder.damage.push(damage(&path, "ring of another process"));
            }
            Ok(Some(header)) => folder.rings.push(Leftover { path, header }),
            // A live drain removes rings while we look.
            Err(_) if folder.is_alive && !path.exists() => {}
            Err(e) => folder.damage.push(e),
        }
    }
    Ok(folder)
}

fn read_header(path: &Path) -> Result<Option<RingHeader>, Damage> {
    let file = source::open(path).map_err(|e| damage(path, e))?;
    let mut page = [0; PAGE];
    file.read_exact_at(&mut page, 0).map_err(|e| damage(path, e))?;
    if page.iter().all(|b| *b == 0) {
        return Ok(None);
    }
    RingHeader::decode(&page).map(Some).map_err(|e| damage(path, e))
}

/// Copies the committed bytes of a ring, `[tail, head)`. What a live drain released meanwhile is dropped from the
/// front, for it is in a segment: the result says from which position on the bytes are.
pub(crate) fn read_data(leftover: &Leftover, out: &mut Vec<u8>) -> Result<(u64, u64), Damage> {
    let header = &leftover.header;
    let fail = |what: &dyn ToString| damage(&leftover.path, what.to_string());
    let file = source::open(&leftover.path).map_err(|e| fail(&e))?;
    let len = header.head - header.tail;
    // At most MAX_RING: the header's decode has checked capacity, head and tail.
    out.clear();
    out.resize(usize::try_from(len).map_err(|e| fail(&e))?, 0);
    let mask = header.capacity - 1;
    let first = (header.capacity - (header.tail & mask)).min(len);
    let (one, two) = out.split_at_mut_checked(first as usize).ok_or_else(|| fail(&"ring is cut"))?;
    file.read_exact_at(one, PAGE as u64 + (header.tail & mask)).map_err(|e| fail(&e))?;
    file.read_exact_at(two, PAGE as u64).map_err(|e| fail(&e))?;
    let tail = match read_header(&leftover.path) {
        // Another claim of the ring: everything of ours was released.
        Ok(Some(now)) if now.info.ring != header.info.ring => header.head,
        Ok(Some(now)) => now.tail.clamp(header.tail, header.head),
        Ok(None) | Err(_) => header.tail,
    };
    Ok((header.tail, tail))
}

/// Whether a live process holds the folder's lock. The lock itself cannot be asked for without unsafe code, but the
/// kernel lists it: by device and inode in `/proc/locks`.
fn is_locked(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    let Ok(meta) = file.metadata() else { return false };
    let (major, minor) = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
    let id = format!(" {major:02x}:{minor:02x}:{} ", meta.ino());
    std::fs::read_to_string("/proc/locks")
        .is_ok_and(|locks| locks.lines().any(|line| line.contains("OFDLCK") && line.contains(&id)))
}
