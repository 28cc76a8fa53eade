//! The control page: what the user has switched on, mapped by every attached component.
//!
//! Writers change it under a lock (`control.lock`): levels to zero, generation odd, body, checksum, generation
//! even, levels last. A component's hot path loads one level byte. Everything else is read as a whole and checked
//! (generation, checksum, boot, expiry) before a ring is made; whatever is wrong with it means *off*.
#![allow(unsafe_code)]

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
use std::time::{Duration, Instant};

use memmap2::{MmapOptions, MmapRaw};
use parking_lot::Mutex;
use tracewell_schema::Reduction;
use tracewell_schema::format::control::{
    self as layout, AttachSlot, ControlPage, NamedReduction, Verdict, name_hash,
};

use crate::dirs::Dirs;
use crate::{boot, fs, uuid};

const LOCK_FILE: &str = "control.lock";
const FILE: &str = "control";

/// Why the page means off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nothing is enabled.
    Off,
    /// Its time is over.
    Expired,
    /// It was written before the last boot.
    OtherBoot,
    /// It is damaged, or of another version.
    Damaged,
    /// It is being changed at this moment.
    Changing,
}

impl Why {
    /// Asking again in a moment may give another answer.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Changing)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Expired => "its time is over",
            Self::OtherBoot => "it was enabled before the last start of the computer",
            Self::Damaged => "the control page is damaged; `tracewell disable` makes a new one",
            Self::Changing => "it is being changed",
        })
    }
}

/// What to enable.
#[derive(Clone, Debug)]
pub struct EnableRequest {
    /// Level by category number; 0 = off.
    pub levels: [u8; 32],
    /// When it ends by itself.
    pub duration: Option<Duration>,
    /// Most bytes of all segments.
    pub max_total: u64,
    /// Bytes of one segment.
    pub segment_bytes: u64,
    /// Age of one segment.
    pub segment_age: Duration,
    /// Age of the oldest segment.
    pub max_age: Duration,
    /// Opt-in events and fields, by full name.
    pub opt_in: Vec<String>,
    /// Stricter reductions, by full name of the field.
    pub reduce: Vec<(String, Reduction)>,
}

impl Default for EnableRequest {
    /// Everything at level info, until disabled, 1 GiB in segments of 16 MiB, a week.
    fn default() -> Self {
        Self {
            levels: [3; 32],
            duration: None,
            max_total: 1 << 30,
            segment_bytes: 16 << 20,
            segment_age: Duration::from_secs(3600),
            max_age: Duration::from_secs(7 * 86_400),
            opt_in: Vec::new(),
            reduce: Vec::new(),
        }
    }
}

/// A session that was begun.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// Its id.
    pub id: [u8; 16],
    /// Its folder.
    pub folder: PathBuf,
    /// When it ends by itself, UTC ns.
    pub expires_at: Option<i64>,
}

/// A component that is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedComponent {
    /// Process id.
    pub pid: u32,
    /// Component name; empty if only the mapping was found.
    pub component: String,
    /// 1 attached, 2 emitting, 3 could not make a ring.
    pub state: u32,
    /// Error number of the failure.
    pub errno: u32,
}

/// The mapped control page.
#[derive(Debug)]
pub struct Control {
    map: MmapRaw,
    folder: OwnedFd,
    slot: Mutex<Option<usize>>,
}

impl Control {
    /// Maps the page, making the directory (0700) and the file (0600, zero = off) if they are missing.
    ///
    /// # Errors
    /// If they cannot be made or are not this user's alone.
    pub fn open_or_create(dirs: &Dirs) -> io::Result<Self> {
        let folder = fs::create_private_dir_all(dirs.base())?;
        let file = match fs::open_existing(&folder, FILE, true) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Self::create(&folder)?,
            other => other?,
        };
        Self::map(folder, &file)
    }

    /// Maps the page if it exists.
    ///
    /// # Errors
    /// If it exists but is not this user's alone.
    pub fn open(dirs: &Dirs) -> io::Result<Option<Self>> {
        let missing = |e: io::Error| if e.kind() == io::ErrorKind::NotFound { Ok(None) } else { Err(e) };
        let folder = match fs::open_private_dir(dirs.base()) {
            Ok(folder) => folder,
            Err(e) => return missing(e),
        };
        match fs::open_existing(&folder, FILE, true) {
            Ok(file) => Self::map(folder, &file).map(Some),
            Err(e) => missing(e),
        }
    }

    /// Makes the file whole under another name first: nobody ever maps a short page.
    fn create(folder: &OwnedFd) -> io::Result<File> {
        let name = format!(".control-{}", tracewell_schema::format::hex(&uuid::random()[..8]));
        let file = fs::create_new(folder, &name)?;
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, layout::FILE_LEN as u64)
            .or_else(|_| rustix::fs::ftruncate(&file, layout::FILE_LEN as u64))?;
        // Another component may have made it meanwhile: the first one stays.
        let linked = rustix::fs::renameat_with(
            folder,
            name.as_str(),
            folder,
            FILE,
            rustix::fs::RenameFlags::NOREPLACE,
        );
        match linked {
            Ok(()) => Ok(file),
            Err(rustix::io::Errno::EXIST) => {
                fs::unlink_at(folder, &name)?;
                fs::open_existing(folder, FILE, true)
            }
            Err(e) => {
                let _ = fs::unlink_at(folder, &name);
                Err(e.into())
            }
        }
    }

    fn map(folder: OwnedFd, file: &File) -> io::Result<Self> {
        if file.metadata()?.len() != layout::FILE_LEN as u64 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the file has a wrong length; remove it, and tracing is off",
            ));
        }
        let map = MmapOptions::new().len(layout::FILE_LEN).map_raw(file)?;
        Ok(Self { map, folder, slot: Mutex::new(None) })
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

    fn copy(&self, from: usize, len: usize) -> Vec<u8> {
        (from..from + len).map(|i| self.byte(i).load(Ordering::Relaxed)).collect()
    }

    /// The page as a whole, checked: valid now, in this boot, not expired, something enabled.
    ///
    /// # Errors
    /// Why it means off.
    pub fn snapshot(&self) -> Result<ControlPage, Why> {
        let page = self.read()?;
        match page.verdict(&boot::boot_id(), boot::boottime_ns()) {
            Verdict::On => Ok(page),
            Verdict::Off => Err(Why::Off),
            Verdict::Expired => Err(Why::Expired),
            Verdict::OtherBoot => Err(Why::OtherBoot),
        }
    }

    /// The page as a whole, whatever it means.
    ///
    /// # Errors
    /// If it is damaged or being changed.
    pub fn read(&self) -> Result<ControlPage, Why> {
        for _ in 0..100 {
            // A sequence lock: Acquire, so that the body is read after the first look at the generation; the fence
            // orders the body's loads before the second look.
            let before = self.word(layout::GENERATION).load(Ordering::Acquire);
            let bytes = self.copy(0, layout::PAGE_LEN);
            fence(Ordering::Acquire);
            let after = self.word(layout::GENERATION).load(Ordering::Relaxed);
            if before % 2 == 0 && before == after {
                return ControlPage::decode(&bytes).map_err(|_| Why::Damaged);
            }
            std::hint::spin_loop();
        }
        Err(Why::Changing)
    }

    /// Whether an opt-in event or field was enabled by name.
    #[must_use]
    pub fn opted_in(&self, name: &str) -> bool {
        self.snapshot().is_ok_and(|page| page.opt_ins.contains(&name_hash(name)))
    }

    fn lock(&self) -> io::Result<File> {
        let file = match fs::open_existing(&self.folder, LOCK_FILE, true) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => fs::create_new(&self.folder, LOCK_FILE)
                .or_else(|_| fs::open_existing(&self.folder, LOCK_FILE, true))?,
            other => other?,
        };
        let deadline = Instant::now() + Duration::from_secs(2);
        while !fs::try_lock_ofd(&file)? {
            if Instant::now() > deadline {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "another command is changing the settings; try again",
                ));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(file)
    }

    /// Writes a page. The caller holds the lock.
    fn publish(&self, mut page: ControlPage) {
        for i in 0..layout::CATEGORIES {
            self.byte(layout::LEVELS + i).store(0, Ordering::Relaxed);
        }
        let generation = self.word(layout::GENERATION).load(Ordering::Relaxed) & !1;
        self.word(layout::GENERATION).store(generation + 1, Ordering::Relaxed);
        // A reader that sees part of the new body also sees the odd generation.
        fence(Ordering::Release);
        page.generation = generation + 2;
        let bytes = page.encode();
        let skip = layout::GENERATION..layout::BODY;
        for (i, byte) in bytes.iter().enumerate().filter(|(i, _)| !skip.contains(i)) {
            self.byte(i).store(*byte, Ordering::Relaxed);
        }
        // Release: the new body is visible before the even generation. The levels are part of the checksum, so they
        // are stored before it; a component that sees one validates the page before it makes a ring.
        for (i, level) in page.levels.iter().enumerate() {
            self.byte(layout::LEVELS + i).store(*level, Ordering::Release);
        }
        self.word(layout::GENERATION).store(page.generation, Ordering::Release);
    }

    /// Begins a session: new id, new key. Running components begin to record within milliseconds.
    ///
    /// # Errors
    /// If the session's folder cannot be made, or another command holds the lock.
    pub fn enable(&self, dirs: &Dirs, request: &EnableRequest) -> io::Result<SessionInfo> {
        let _lock = self.lock()?;
        let now = boot::realtime_ns();
        let session_id = uuid::random();
        let lasts =
            request.duration.map(|d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX / 4).min(u64::MAX / 4));
        let folder = dirs.session_folder(now, &session_id);
        fs::create_private_dir_all(&folder)?;
        let page = ControlPage {
            generation: 0,
            levels: request.levels,
            boot_id: boot::boot_id(),
            session_id,
            enabled_at: now,
            expires_boottime: lasts.map_or(0, |d| boot::boottime_ns() + d),
            expires_at: lasts.map_or(0, |d| now.saturating_add(i64::try_from(d).unwrap_or(i64::MAX))),
            key: uuid::random_key(),
            max_total: request.max_total,
            segment_bytes: request.segment_bytes,
            segment_age: request.segment_age.as_secs(),
            max_age: request.max_age.as_secs(),
            opt_ins: request.opt_in.iter().map(|name| name_hash(name)).collect(),
            reductions: request
                .reduce
                .iter()
                .map(|(name, reduction)| NamedReduction { name: name_hash(name), reduction: *reduction })
                .collect(),
        };
        let expires_at = Some(page.expires_at).filter(|t| *t != 0);
        self.publish(page);
        Ok(SessionInfo { id: session_id, folder, expires_at })
    }

    /// Switches everything off, and forgets the session's key.
    ///
    /// # Errors
    /// If another command holds the lock.
    pub fn disable(&self) -> io::Result<()> {
        let _lock = self.lock()?;
        let generation = self.word(layout::GENERATION).load(Ordering::Relaxed);
        self.publish(ControlPage { generation, ..ControlPage::default() });
        Ok(())
    }

    /// Switches off what has expired or is of another boot; any component may. True if it did.
    pub fn expire_if_due(&self) -> bool {
        match self.snapshot() {
            Err(Why::Expired | Why::OtherBoot) => self.disable().is_ok(),
            _ => false,
        }
    }

    /// The attached components, and processes that only map the page.
    #[must_use]
    pub fn attached(&self) -> Vec<AttachedComponent> {
        let mut all: Vec<_> = (0..layout::SLOT_COUNT)
            .filter_map(|slot| {
                let bytes = self.copy(layout::SLOTS + slot * layout::SLOT_LEN, layout::SLOT_LEN);
                let slot = AttachSlot::decode(&bytes).ok()?;
                let is_alive = slot.pid != 0 && boot::start_ticks(slot.pid) == Some(slot.start_ticks);
                is_alive.then_some(AttachedComponent {
                    pid: slot.pid,
                    component: slot.component,
                    state: slot.state,
                    errno: slot.errno,
                })
            })
            .collect();
        all.sort_by_key(|c| c.pid);
        all
    }

    /// Takes an attach slot; without a free one the component works but is not listed.
    pub(crate) fn claim_slot(&self, component: &str) {
        let mut own = self.slot.lock();
        if own.is_some() {
            return;
        }
        let pid = std::process::id();
        for slot in 0..layout::SLOT_COUNT {
            let at = layout::SLOTS + slot * layout::SLOT_LEN;
            let holder = self.half(at).load(Ordering::Acquire);
            let is_dead = || {
                let started = self.word(at + 8).load(Ordering::Relaxed);
                boot::start_ticks(holder) != Some(started)
            };
            if holder != 0 && !is_dead() {
                continue;
            }
            // Whoever exchanges the pid has the slot.
            if self.half(at).compare_exchange(holder, pid, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                continue;
            }
            self.word(at + 8).store(boot::own_start_ticks(), Ordering::Relaxed);
            for i in 0..32 {
                let byte = component.as_bytes().get(i).copied().filter(|_| i < 31).unwrap_or(0);
                self.byte(at + 16 + i).store(byte, Ordering::Relaxed);
            }
            self.half(at + 48).store(0, Ordering::Relaxed);
            self.half(at + 4).store(1, Ordering::Release);
            *own = Some(slot);
            return;
        }
    }

    fn set_slot(&self, state: u32, errno: i32) {
        if let Some(slot) = self.slot.try_lock().and_then(|s| *s) {
            let at = layout::SLOTS + slot * layout::SLOT_LEN;
            self.half(at + 48).store(errno.unsigned_abs(), Ordering::Relaxed);
            self.half(at + 4).store(state, Ordering::Release);
        }
    }

    pub(crate) fn set_slot_attached(&self) {
        self.set_slot(1, 0);
    }

    pub(crate) fn set_slot_emitting(&self) {
        self.set_slot(2, 0);
    }

    pub(crate) fn set_slot_failed(&self, errno: i32) {
        self.set_slot(3, errno);
    }

    /// In a forked child: the slot is the parent's.
    pub(crate) fn forget_slot_after_fork(&self) {
        if let Some(mut slot) = self.slot.try_lock() {
            *slot = None;
        }
    }

    pub(crate) fn release_slot(&self) {
        if let Some(slot) = self.slot.lock().take() {
            let at = layout::SLOTS + slot * layout::SLOT_LEN;
            self.half(at + 4).store(0, Ordering::Relaxed);
            self.half(at).store(0, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control() -> (tempfile::TempDir, Dirs, Control) {
        let dir = tempfile::tempdir().unwrap();
        let dirs = Dirs::resolve(Some(&dir.path().join("trace"))).unwrap();
        let control = Control::open_or_create(&dirs).unwrap();
        (dir, dirs, control)
    }

    #[test]
    fn off_by_default_on_by_request_off_again() {
        let (_dir, dirs, control) = control();
        assert_eq!(control.snapshot(), Err(Why::Off));
        let session = control.enable(&dirs, &EnableRequest::default()).unwrap();
        assert!(session.folder.is_dir());
        let page = control.snapshot().unwrap();
        assert_eq!((page.session_id, page.levels), (session.id, [3; 32]));
        let other = Control::open(&dirs).unwrap().unwrap();
        assert_eq!(other.snapshot().unwrap(), page);
        control.disable().unwrap();
        assert_eq!(other.snapshot(), Err(Why::Off));
        assert_eq!(other.read().unwrap().key, [0; 32], "the key is gone");
    }

    #[test]
    fn every_flipped_bit_of_the_page_means_off_or_changes_nothing() {
        let (_dir, dirs, control) = control();
        control.enable(&dirs, &EnableRequest::default()).unwrap();
        let page = control.snapshot().unwrap();
        for bit in 0..layout::PAGE_LEN * 8 {
            control.byte(bit / 8).fetch_xor(1 << (bit % 8), Ordering::Relaxed);
            match control.snapshot() {
                Ok(read) => {
                    assert_eq!(ControlPage { generation: page.generation, ..read }, page, "bit {bit}")
                }
                Err(why) => assert!(matches!(why, Why::Damaged | Why::Changing), "bit {bit}: {why}"),
            }
            control.byte(bit / 8).fetch_xor(1 << (bit % 8), Ordering::Relaxed);
        }
    }

    #[test]
    fn it_ends_by_itself() {
        let (_dir, dirs, control) = control();
        let request = EnableRequest { duration: Some(Duration::from_millis(30)), ..EnableRequest::default() };
        control.enable(&dirs, &request).unwrap();
        assert!(control.snapshot().is_ok());
        std::thread::sleep(Duration::from_millis(40));
        assert_eq!(control.snapshot(), Err(Why::Expired));
        assert!(control.expire_if_due());
        assert_eq!(control.snapshot(), Err(Why::Off));
    }

    #[test]
    fn what_is_not_ours_alone_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let (_dir, dirs, control) = control();
        drop(control);
        std::fs::set_permissions(dirs.control(), std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Control::open(&dirs).is_err());
        std::fs::remove_file(dirs.control()).unwrap();
        let elsewhere = tempfile::NamedTempFile::new().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), dirs.control()).unwrap();
        assert!(Control::open(&dirs).is_err());
        std::fs::remove_file(dirs.control()).unwrap();
        std::fs::write(dirs.control(), [0; 100]).unwrap();
        std::fs::set_permissions(dirs.control(), std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(Control::open(&dirs).is_err(), "a short page");
        std::fs::set_permissions(dirs.base(), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(Control::open_or_create(&dirs).is_err(), "others may look in");
    }

    #[test]
    fn attached_components_are_listed_while_they_live() {
        let (_dir, _dirs, control) = control();
        control.claim_slot("scanner");
        let listed = control.attached();
        assert_eq!(listed.len(), 1);
        assert_eq!((listed[0].component.as_str(), listed[0].pid), ("scanner", std::process::id()));
        control.release_slot();
        assert!(control.attached().is_empty());
    }
}
