//! Ring folders: who still records, and what dead processes left.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tracewell::control::RingRoots;
use tracewell::dirs::Dirs;
use tracewell::fs;
use tracewell_schema::format::process::{PROCESS_FILE, ProcessFile, ProcessIdentity, SCHEMAS_FILE};
use tracewell_schema::format::ring::{PAGE, RingHeader};

use crate::output::advice;

/// Most ring files of one folder that are looked at.
const MAX_RINGS: usize = 16_384;

/// A process's ring folder.
#[derive(Debug)]
pub(crate) struct RingFolder {
    pub(crate) path: PathBuf,
    /// `None` if its process file is missing or cannot be read.
    pub(crate) identity: Option<ProcessIdentity>,
    /// Its process holds the lock.
    pub(crate) is_alive: bool,
    /// Rings in use.
    pub(crate) rings: Vec<RingHeader>,
    /// Memory that it takes.
    pub(crate) bytes: u64,
}

impl RingFolder {
    /// Bytes that no segment has.
    pub(crate) fn waiting(&self) -> u64 {
        self.rings.iter().map(|r| r.head.saturating_sub(r.tail)).sum()
    }
}

/// The ring folders of a trace directory, wherever they lie.
#[derive(Debug, Default)]
pub(crate) struct Rings {
    pub(crate) folders: Vec<RingFolder>,
    /// The places that were looked at.
    pub(crate) roots: Vec<PathBuf>,
    /// Places that cannot be looked at, and why.
    pub(crate) refused: Vec<(PathBuf, io::Error)>,
}

impl Rings {
    /// Looks at every place where components of this trace directory may have rings.
    pub(crate) fn find(dirs: &Dirs) -> Self {
        let RingRoots { usable, refused, .. } = RingRoots::find(dirs);
        let mut rings = Self { folders: Vec::new(), roots: usable, refused };
        for root in &rings.roots {
            match std::fs::read_dir(root) {
                Ok(entries) => {
                    let folders = entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
                    rings.folders.extend(folders.filter_map(|e| look(&e.path()).ok()));
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => rings.refused.push((root.clone(), e)),
            }
        }
        rings.folders.sort_by(|a, b| a.path.cmp(&b.path));
        rings
    }

    /// What is to be said of the places that cannot be looked at.
    pub(crate) fn problems(&self) -> impl Iterator<Item = String> {
        self.refused.iter().map(|(path, e)| {
            format!("rings may also lie in {}, which cannot be looked at: {e}{}", path.display(), advice(e))
        })
    }
}

fn look(path: &Path) -> io::Result<RingFolder> {
    let dir = fs::open_private_dir(path)?;
    let mut folder =
        RingFolder { path: path.to_owned(), identity: None, is_alive: false, rings: Vec::new(), bytes: 0 };
    if let Ok(mut file) = fs::open_existing(&dir, PROCESS_FILE, false) {
        folder.is_alive = fs::is_locked_ofd(&file).unwrap_or(true);
        folder.identity = identity(&mut file);
    }
    for entry in std::fs::read_dir(path)?.flatten().take(MAX_RINGS) {
        let Ok(meta) = entry.metadata() else { continue };
        folder.bytes += meta.blocks() * 512;
        if let Some(name) = entry.file_name().to_str().filter(|n| is_ring_name(n)) {
            folder.rings.extend(ring(&dir, name));
        }
    }
    Ok(folder)
}

/// The identity in a process file.
pub(crate) fn identity(file: &mut File) -> Option<ProcessIdentity> {
    let mut bytes = Vec::new();
    file.take(64 << 10).read_to_end(&mut bytes).ok()?;
    ProcessFile::decode(&bytes).ok().map(|p| p.identity)
}

fn ring(dir: &OwnedFd, name: &str) -> Option<RingHeader> {
    let mut page = [0; PAGE];
    fs::open_existing(dir, name, false).and_then(|mut f| f.read_exact(&mut page)).ok()?;
    RingHeader::decode(&page).ok()
}

/// Whether a name is one of a ring file.
pub(crate) fn is_ring_name(name: &str) -> bool {
    name.strip_prefix("ring-").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether a name is one that a ring folder can have in it.
pub(crate) fn is_own_name(name: &str) -> bool {
    name == PROCESS_FILE || name == SCHEMAS_FILE || is_ring_name(name)
}
