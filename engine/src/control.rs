//! The control page: what the user has switched on, mapped by every attached component.
//!
//! Writers change it under a lock (`control.lock`): generation odd, levels to zero, body, checksum, levels,
//! generation even. A component's hot path loads one level byte. Everything else is read as a whole and checked
//! (generation, checksum, boot, expiry) before a ring is made; whatever is wrong with it means *off*.
#![allow(unsafe_code)]

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use tracewell_schema::format::control as layout;

use crate::dirs::Dirs;
use crate::lock::Mutex;
use crate::sigbus::Guarded;
use crate::{fs, uuid};

mod lock;
mod maps;
mod opt_in;
mod page;
pub(crate) mod roots;
mod sequence;
mod slots;
mod types;

pub use roots::{ROOTS_FILE, RingRoots};
pub use types::{AttachedComponent, ControlStatus, EnableRequest, SessionInfo, Why};

const FILE: &str = "control";

/// The mapped control page.
#[derive(Debug)]
pub struct Control {
    /// Before the mapping, so that it is dropped before it.
    _guard: Guarded,
    map: MmapRaw,
    folder: OwnedFd,
    path: PathBuf,
    /// Device and inode.
    file_id: (u64, u64),
    /// False: only looked at.
    writable: bool,
    slot: Mutex<Option<usize>>,
}

impl Control {
    /// Maps the page, making the directory (0700) and the file (0600, zero = off) if they are missing.
    ///
    /// # Errors
    /// If they cannot be made, are not this user's alone, or the file has another length than a page.
    pub fn open_or_create(dirs: &Dirs) -> io::Result<Self> {
        let folder = fs::create_private_dir_all(dirs.base())?;
        let file = match fs::open_existing(&folder, FILE, true) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Self::create(&folder)?,
            other => other?,
        };
        Self::map(folder, &file, dirs)
    }

    /// Maps the page if it exists.
    ///
    /// # Errors
    /// If it exists but is not this user's alone, or has another length than a page.
    pub fn open(dirs: &Dirs) -> io::Result<Option<Self>> {
        let missing = |e: io::Error| if e.kind() == io::ErrorKind::NotFound { Ok(None) } else { Err(e) };
        let folder = match fs::open_private_dir(dirs.base()) {
            Ok(folder) => folder,
            Err(e) => return missing(e),
        };
        match fs::open_existing(&folder, FILE, true) {
            Ok(file) => Self::map(folder, &file, dirs).map(Some),
            Err(e) => missing(e),
        }
    }

    /// Looks at the page if it exists, also where this user may not write it or the file system is read-only. It cannot
    /// be changed through this.
    ///
    /// # Errors
    /// As [`Control::open`].
    pub fn open_read_only(dirs: &Dirs) -> io::Result<Option<Self>> {
        let missing = |e: io::Error| if e.kind() == io::ErrorKind::NotFound { Ok(None) } else { Err(e) };
        let opened = fs::open_private_dir(dirs.base())
            .and_then(|folder| fs::open_existing(&folder, FILE, false).map(|file| (folder, file)));
        let (folder, file) = match opened {
            Ok(both) => both,
            Err(e) => return missing(e),
        };
        let meta = Self::check_len(&file)?;
        // SAFETY: the file is this user's alone (checked) and is never made shorter by us. The mapping is private: it
        // shows what others store, as no page of it is ever stored to by us (`writable` is false), and a store would
        // reach nobody. Like the shared mapping it is only read by atomic loads, which read-only memory may not have.
        let map = unsafe { MmapOptions::new().len(layout::FILE_LEN).map_copy(&file) }?;
        Ok(Some(Self::of(map.into(), folder, &meta, dirs, false)))
    }

    /// Makes the file whole under another name first: nobody ever maps a short page.
    fn create(folder: &OwnedFd) -> io::Result<File> {
        let name = format!(".control-{}", tracewell_schema::format::hex(&uuid::random()[..8]));
        let file = fs::create_new(folder, &name)?;
        // Another component may have made it meanwhile: the first one stays.
        let placed = Self::reserve(&file).and_then(|()| {
            let flags = rustix::fs::RenameFlags::NOREPLACE;
            Ok(rustix::fs::renameat_with(folder, name.as_str(), folder, FILE, flags)?)
        });
        match placed {
            Ok(()) => Ok(file),
            Err(e) => {
                let _ = fs::unlink_at(folder, &name);
                if e.kind() == io::ErrorKind::AlreadyExists {
                    fs::open_existing(folder, FILE, true)
                } else {
                    Err(e)
                }
            }
        }
    }

    /// Gives the file its length, and its blocks where the file system can: a store to a page without one would end
    /// the process (SIGBUS) on a full disk.
    fn reserve(file: &File) -> io::Result<()> {
        use rustix::io::Errno;
        match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, layout::FILE_LEN as u64) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) => {
                use std::os::unix::fs::FileExt;
                file.write_all_at(&vec![0; layout::FILE_LEN], 0)
            }
            Err(e) => Err(e.into()),
        }
    }

    fn check_len(file: &File) -> io::Result<Metadata> {
        let meta = file.metadata()?;
        if meta.len() != layout::FILE_LEN as u64 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "the file has {} bytes instead of {}; remove it, and tracing is off",
                    meta.len(),
                    layout::FILE_LEN
                ),
            ));
        }
        Ok(meta)
    }

    fn map(folder: OwnedFd, file: &File, dirs: &Dirs) -> io::Result<Self> {
        let meta = Self::check_len(file)?;
        let map = MmapOptions::new().len(layout::FILE_LEN).map_raw(file)?;
        Ok(Self::of(map, folder, &meta, dirs, true))
    }

    fn of(map: MmapRaw, folder: OwnedFd, meta: &Metadata, dirs: &Dirs, writable: bool) -> Self {
        let file_id = (meta.dev(), meta.ino());
        let guard = Guarded::new(map.as_ptr(), layout::FILE_LEN, true);
        Self { _guard: guard, map, folder, path: dirs.control(), file_id, writable, slot: Mutex::new(None) }
    }

    fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= layout::FILE_LEN);
        // SAFETY: aligned and inside the mapping (asserted; `map` checked the length), which lives as long as `self`.
        // The file is never made shorter by us, and nobody else can open it (0600 in 0700). All access is atomic.
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().add(offset).cast()) }
    }

    fn half(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= layout::FILE_LEN);
        // SAFETY: as in `word`.
        unsafe { AtomicU32::from_ptr(self.map.as_mut_ptr().add(offset).cast()) }
    }

    fn byte(&self, offset: usize) -> &AtomicU8 {
        assert!(offset < layout::FILE_LEN);
        // SAFETY: as in `word`.
        unsafe { AtomicU8::from_ptr(self.map.as_mut_ptr().add(offset)) }
    }

    /// The enabled levels by category: 32 bytes, mapped as long as `self` lives.
    pub(crate) fn levels(&self) -> *const AtomicU8 {
        std::ptr::from_ref(self.byte(layout::LEVELS))
    }

    /// The enabled level of a category by number, 0 = off: one relaxed load, unchecked against the rest of the page.
    #[inline]
    #[must_use]
    pub fn level(&self, category: u8) -> u8 {
        self.byte(layout::LEVELS + usize::from(category) % layout::CATEGORIES).load(Ordering::Relaxed)
    }

    /// Whether stores to the page would go well now. After its pages were written to the disk the next store asks the file
    /// system, and where that has failed meanwhile (shut down or read-only after an error, full and copying on write) the
    /// kernel ends the process by SIGBUS. Here it only says so; the pages that it makes ready stay so until they are written
    /// again, which is seconds later. Linux before 5.14 cannot say: then yes, as without asking.
    fn may_store(&self) -> bool {
        use rustix::io::Errno;
        if !self.writable {
            return false;
        }
        let at = self.map.as_mut_ptr().cast();
        // SAFETY: the range is the whole mapping, which lives as long as `self`; the call changes no byte of it.
        let ready =
            unsafe { rustix::mm::madvise(at, layout::FILE_LEN, rustix::mm::Advice::LinuxPopulateWrite) };
        matches!(ready, Ok(()) | Err(Errno::INVAL | Errno::NOSYS | Errno::PERM))
    }

    fn copy(&self, from: usize, len: usize) -> Vec<u8> {
        (from..from + len).map(|i| self.byte(i).load(Ordering::Relaxed)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    pub(super) fn control() -> (tempfile::TempDir, Dirs, Control) {
        let dir = tempfile::tempdir().unwrap();
        let dirs = Dirs::resolve(Some(&dir.path().join("trace"))).unwrap();
        let control = Control::open_or_create(&dirs).unwrap();
        (dir, dirs, control)
    }

    fn chmod(path: &std::path::Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn opening_makes_one_private_file_and_asking_makes_none() {
        let top = tempfile::tempdir().unwrap();
        let dirs = Dirs::resolve(Some(&top.path().join("trace"))).unwrap();
        assert!(Control::open(&dirs).unwrap().is_none());
        assert!(!dirs.base().exists());
        let _control = Control::open_or_create(&dirs).unwrap();
        let names: Vec<_> = std::fs::read_dir(dirs.base()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, [FILE]);
        let meta = std::fs::metadata(dirs.control()).unwrap();
        assert_eq!((meta.len(), meta.permissions().mode() & 0o777), (layout::FILE_LEN as u64, 0o600));
    }

    #[test]
    fn who_only_looks_needs_no_right_to_write_and_sees_every_change() {
        let (_dir, dirs, control) = control();
        chmod(&dirs.control(), 0o400);
        let seen = Control::open_read_only(&dirs).unwrap().unwrap();
        assert_eq!(seen.snapshot(), Err(Why::Off));
        let session = control.enable(&dirs, &EnableRequest::default()).unwrap();
        assert_eq!(seen.snapshot().unwrap().session_id, session.id);
        for refused in [seen.disable(), seen.enable(&dirs, &EnableRequest::default()).map(drop)] {
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::ReadOnlyFilesystem);
        }
        seen.claim_slot("scanner");
        assert!(!seen.expire_if_due() && control.attached().is_empty());
        assert_eq!(control.snapshot().unwrap().session_id, session.id);
        control.disable().unwrap();
        assert_eq!(seen.snapshot(), Err(Why::Off));
        std::fs::remove_file(dirs.control()).unwrap();
        assert!(Control::open_read_only(&dirs).unwrap().is_none());
    }

    #[test]
    fn components_that_start_together_share_one_page() {
        let top = tempfile::tempdir().unwrap();
        let dirs = Dirs::resolve(Some(&top.path().join("trace"))).unwrap();
        let pages: Vec<_> = std::thread::scope(|scope| {
            let all: Vec<_> =
                (0..8).map(|_| scope.spawn(|| Control::open_or_create(&dirs).unwrap().file_id)).collect();
            all.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(pages.iter().all(|id| *id == pages[0]));
        assert_eq!(std::fs::read_dir(dirs.base()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_not_ours_alone_is_refused() {
        let (_dir, dirs, control) = control();
        drop(control);
        chmod(&dirs.control(), 0o644);
        assert!(Control::open(&dirs).is_err());
        std::fs::remove_file(dirs.control()).unwrap();
        let elsewhere = tempfile::NamedTempFile::new().unwrap();
        elsewhere.as_file().set_len(layout::FILE_LEN as u64).unwrap();
        symlink(elsewhere.path(), dirs.control()).unwrap();
        assert!(Control::open(&dirs).is_err() && Control::open_or_create(&dirs).is_err());
        std::fs::remove_file(dirs.control()).unwrap();
        std::fs::write(dirs.control(), [0; 100]).unwrap();
        chmod(&dirs.control(), 0o600);
        let error = Control::open(&dirs).unwrap_err().to_string();
        assert!(error.contains("100 bytes") && error.contains("remove it"), "{error}");
        chmod(dirs.base(), 0o755);
        assert!(Control::open_or_create(&dirs).is_err(), "others may look in");
    }

    #[test]
    fn a_truncated_page_means_off() {
        let (_dir, dirs, control) = control();
        control.enable(&dirs, &EnableRequest::default()).unwrap();
        drop(control);
        let file = std::fs::OpenOptions::new().write(true).open(dirs.control()).unwrap();
        file.set_len(4096).unwrap();
        let tracer = crate::Tracer::builder("scanner").dir(dirs.base()).attach();
        assert!(tracer.is_err(), "and `Tracer::attach` is inert");
    }
}
