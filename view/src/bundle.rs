//! The bundle that is looked at: the draft of this computer, or a sealed file.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracewell_bundle::{Draft, Entry, Folder, Manifest, MemberName, OwnKey, SealedReader};
use tracewell_reader::ReadAt;

/// Readers that are kept open for the next request.
const MAX_KEPT: usize = 4;

/// What holds although a thread that held the lock has panicked: it is only replaced whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
enum Kept {
    Folder(Folder),
    File(File),
}

enum Reader {
    Draft(Box<Draft>),
    Sealed(Box<SealedReader>),
}

/// A bundle with the key that opens it.
pub struct Bundle {
    name: String,
    kept: Kept,
    key: OwnKey,
    manifest: Arc<Manifest>,
    readers: Mutex<Vec<Reader>>,
    /// Where what is looked at is noted; none for the file of somebody else.
    audit: Option<PathBuf>,
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bundle").field("name", &self.name).field("kept", &self.kept).finish_non_exhaustive()
    }
}

impl Bundle {
    /// A bundle of this computer. What is looked at is noted in the audit file of the trace directory `base`.
    ///
    /// # Errors
    /// If its draft cannot be opened.
    pub fn of_folder(folder: Folder, key: OwnKey, base: PathBuf) -> io::Result<Self> {
        let name = folder.name().to_owned();
        Self::new(name, Kept::Folder(folder), key, Some(base))
    }

    /// A sealed file, which `name` names on the page.
    ///
    /// # Errors
    /// If it is no bundle that this key opens.
    pub fn of_file(name: String, file: File, key: OwnKey) -> io::Result<Self> {
        Self::new(name, Kept::File(file), key, None)
    }

    fn new(name: String, kept: Kept, key: OwnKey, audit: Option<PathBuf>) -> io::Result<Self> {
        let reader = open(&kept, &key)?;
        let manifest = Arc::new(match &reader {
            Reader::Draft(draft) => draft.manifest().clone(),
            Reader::Sealed(sealed) => sealed.manifest().clone(),
        });
        Ok(Self { name, kept, key, manifest, readers: Mutex::new(vec![reader]), audit })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The entry of a member by its place in the manifest.
    pub(crate) fn entry(&self, place: usize) -> io::Result<&Entry> {
        let none = || io::Error::new(io::ErrorKind::NotFound, "the bundle has no such member");
        self.manifest.members.get(place).ok_or_else(none)
    }

    /// What is struck out now.
    pub(crate) fn struck(&self) -> io::Result<BTreeSet<MemberName>> {
        match &self.kept {
            Kept::Folder(folder) => folder.struck(),
            Kept::File(_) => Ok(BTreeSet::new()),
        }
    }

    /// Whether members can still be struck out; else why not.
    pub(crate) fn is_open(&self) -> Result<(), &'static str> {
        match &self.kept {
            Kept::File(_) => Err("This is a sealed file: it does not change any more."),
            Kept::Folder(folder) => match folder.sealed() {
                Ok(None) => Ok(()),
                Ok(Some(_)) => {
                    Err("The bundle is sealed and does not change any more. `tracewell bundle unseal` first.")
                }
                Err(_) => Err("Whether the bundle is sealed cannot be read."),
            },
        }
    }

    /// Strikes members out, or takes that back; returns what is struck out then.
    pub(crate) fn strike(
        &self,
        names: BTreeSet<MemberName>,
        is_struck: bool,
    ) -> io::Result<BTreeSet<MemberName>> {
        match &self.kept {
            Kept::Folder(folder) => folder.change_struck(|struck| match is_struck {
                true => struck.extend(names),
                false => struck.retain(|name| !names.contains(name)),
            }),
            Kept::File(_) => Err(io::Error::new(
                io::ErrorKind::ReadOnlyFilesystem,
                "This is a sealed file: it does not change any more.",
            )),
        }
    }

    /// Notes in the audit file what is looked at.
    pub(crate) fn note(&self, what: &str) -> io::Result<()> {
        let Some(base) = &self.audit else { return Ok(()) };
        tracewell_bundle::audit::append(base, "view", &format!("bundle {}: {what}", self.name))
    }

    fn reader(&self) -> io::Result<Reader> {
        let kept = lock(&self.readers).pop();
        kept.map_or_else(|| open(&self.kept, &self.key), Ok)
    }

    fn give(&self, reader: Reader) {
        let mut readers = lock(&self.readers);
        if readers.len() < MAX_KEPT {
            readers.push(reader);
        }
    }
}

fn open(kept: &Kept, key: &OwnKey) -> io::Result<Reader> {
    Ok(match kept {
        Kept::Folder(folder) => Reader::Draft(Box::new(folder.draft(key)?)),
        Kept::File(file) => {
            // The same file, with a place in it of its own.
            let file = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
            Reader::Sealed(Box::new(SealedReader::open(file, key)?))
        }
    })
}

/// The bytes of a member, read where they are asked for.
pub(crate) struct Member {
    bundle: Arc<Bundle>,
    name: MemberName,
    size: u64,
    reader: Mutex<Option<Reader>>,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("name", &self.name).field("size", &self.size).finish_non_exhaustive()
    }
}

impl Member {
    pub(crate) fn open(bundle: &Arc<Bundle>, place: usize) -> io::Result<Self> {
        let entry = bundle.entry(place)?;
        Ok(Self {
            name: entry.info.name.clone(),
            size: entry.size,
            reader: Mutex::new(Some(bundle.reader()?)),
            bundle: Arc::clone(bundle),
        })
    }

    pub(crate) fn name(&self) -> &str {
        self.name.as_str()
    }
}

impl ReadAt for Member {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut reader = lock(&self.reader);
        match reader.as_mut() {
            Some(Reader::Draft(draft)) => draft.member_at(self.name.as_str(), offset)?.read(buffer),
            Some(Reader::Sealed(sealed)) => sealed.member_at(self.name.as_str(), offset)?.read(buffer),
            None => Err(io::Error::other("the bundle is not open")),
        }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(reader) = lock(&self.reader).take() {
            self.bundle.give(reader);
        }
    }
}

/// Bytes in memory, for what was made readable.
#[derive(Debug)]
pub(crate) struct Memory(pub(crate) Vec<u8>);

impl ReadAt for Memory {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let mut rest = self.0.get(from..).unwrap_or_default();
        rest.read(buffer)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}

/// Fills as much of the buffer as there is; short only at the end.
pub(crate) fn read_full(bytes: &dyn ReadAt, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match bytes.read_at(rest, offset.saturating_add(done as u64)) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// Reads from the beginning on, for what takes a stream.
pub(crate) struct Stream<'a> {
    pub(crate) bytes: &'a dyn ReadAt,
    pub(crate) at: u64,
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.bytes.read_at(buffer, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}
