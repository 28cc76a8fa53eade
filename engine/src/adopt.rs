//! Adoption: puts what dead processes left in their rings into segments, then removes the rings.
//!
//! A killed process leaves what no segment has in its ring folder, on tmpfs: a reader finds it there until the computer
//! stops. Adoption writes it where the process itself would have, as blocks of the same ring and the same positions, and
//! in this order:
//!
//! 1. *the right*: the lock that a living process holds on its process file. Who has it is the only adopter, and no
//!    process records into the folder. (A process id says nothing: it is used again, and an `exec` keeps it.)
//! 2. *segments*: written, synced, sealed. A failure removes them again: the rings stay.
//! 3. *release*: the rings' tails are moved and the rings marked free, as their process would have done.
//! 4. *removal*, unless somebody reads the rings (a shared `flock` on the process file).
//!
//! Killed before 3, the next adopter writes the same positions again, and a reader takes one of the two; killed after
//! it, only the removal is left. Nothing in a folder is trusted: files are read by `pread`, each number once and
//! checked; what makes no sense stays where it is and is told.

mod dead;
mod write;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, FlockOperation};
use tracewell_schema::format::hex;
use tracewell_schema::format::process::{PROCESS_FILE, ProcessFile, SCHEMAS_FILE};

use self::dead::Fault;
use crate::control::{Control, EnableRequest, RingRoots};
use crate::dirs::{Dirs, is_session_name, session_name};
use crate::settings::Settings;
use crate::{boot, fs, retention};

/// A folder without anything but its process file is left alone for so long: its process may be about to go on.
const YOUNG: Duration = Duration::from_secs(10);

/// A process file without content is left alone for so long: for a living process the way from making it to writing it is
/// short, and what is in the folder does not say which process that is.
const BEGUN: Duration = Duration::from_secs(60);

/// A process whose rings were adopted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Adopted {
    /// Component.
    pub component: String,
    /// Process id.
    pub pid: u32,
    /// The ring folder.
    pub folder: PathBuf,
    /// The session folder that has the events now.
    pub session: PathBuf,
    /// Events that were put into segments.
    pub events: u64,
    /// Events that the process had counted as lost.
    pub lost: u64,
    /// New segments; none if the rings had nothing more to tell.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The rings outlived a restart of the computer: their pages may be of different moments.
    pub is_unverified: bool,
    /// The ring folder is gone.
    pub is_removed: bool,
}

/// Why a folder, or a part of it, was left.
#[derive(Debug)]
#[non_exhaustive]
pub enum Why {
    /// Its process lives.
    Alive,
    /// Its process is making it.
    BeingMade,
    /// Another holds the lock of a process that is gone: a collector, or a child that the process forked.
    Busy,
    /// It belongs to another trace directory.
    Elsewhere,
    /// Somebody reads it; everything that it had is in segments.
    BeingRead,
    /// What is named makes no sense; the rest was adopted.
    Damaged(Vec<String>),
    /// It could not be read, or its segments not be written.
    Failed(io::Error),
}

/// A folder that is still there.
#[derive(Debug)]
#[non_exhaustive]
pub struct Left {
    /// The ring folder.
    pub folder: PathBuf,
    /// Component and process id, if its process file tells.
    pub process: Option<(String, u32)>,
    /// Why.
    pub why: Why,
}

/// What one look at all ring folders did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Pass {
    /// What was adopted.
    pub adopted: Vec<Adopted>,
    /// What is still there.
    pub left: Vec<Left>,
    /// Folders of processes that ended, or had no room, when they had made no more than an empty process file: nothing
    /// was ever recorded into them. They are gone.
    pub begun: Vec<PathBuf>,
    /// Places of rings that cannot be looked at, and why.
    pub refused: Vec<(PathBuf, io::Error)>,
}

/// Adopts what dead processes of a trace directory have left, until `must_stop`; then keeps to the limits of retention.
///
/// # Errors
/// If the trace directory is not this user's alone. A missing one has nothing to adopt.
pub fn pass(dirs: &Dirs, must_stop: &mut dyn FnMut() -> bool) -> io::Result<Pass> {
    let RingRoots { usable, refused, .. } = RingRoots::find(dirs);
    let mut pass = Pass { refused, ..Pass::default() };
    let place = match Place::of(dirs) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(pass),
        other => other?,
    };
    for path in usable {
        let root = match fs::open_private_dir(&path).and_then(|root| Ok((fs::names_in(&root)?, root))) {
            Ok((names, root)) => (names, root),
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => {
                pass.refused.push((path, e));
                continue;
            }
        };
        let (mut names, root) = root;
        names.sort();
        for name in names {
            if must_stop() {
                return Ok(pass);
            }
            let is_dir = rustix::fs::statat(&root, &*name, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|s| s.st_mode & libc::S_IFMT == libc::S_IFDIR);
            if is_dir {
                let folder = Candidate { place: &place, root: &root, root_path: &path, name: &name };
                folder.adopt(&mut pass, must_stop);
            }
        }
        // Only if nobody is in it.
        let _ = std::fs::remove_dir(&path);
    }
    if !pass.adopted.is_empty() {
        // What cannot be deleted now the next look, or the next component, deletes.
        let _ = retention::retain(&dirs.sessions(), &place.limits);
    }
    Ok(pass)
}

/// Where segments go, and how many.
struct Place<'a> {
    dirs: &'a Dirs,
    segment_bytes: u64,
    limits: retention::Limits,
    /// The session that is on, by its id, and when it was enabled.
    current: Option<([u8; 16], i64)>,
    /// [`BEGUN`].
    begun: Duration,
}

impl<'a> Place<'a> {
    fn of(dirs: &'a Dirs) -> io::Result<Self> {
        fs::open_private_dir(dirs.base())?;
        let page = Control::open_read_only(dirs).ok().flatten().and_then(|control| control.snapshot().ok());
        let (segment_bytes, max_total, max_age) = match &page {
            Some(page) => (page.segment_bytes, page.max_total, Duration::from_secs(page.max_age)),
            None => {
                let settings = Settings::load(dirs).and_then(|settings| settings.to_request());
                // Settings that make no sense delete nothing.
                let nothing =
                    EnableRequest { max_total: 0, max_age: Duration::ZERO, ..EnableRequest::default() };
                let request = settings.unwrap_or(nothing);
                (request.segment_bytes, request.max_total, request.max_age)
            }
        };
        Ok(Self {
            dirs,
            segment_bytes: segment_bytes.max(64 << 10),
            limits: retention::Limits { max_total, max_age },
            current: page.map(|page| (page.session_id, page.enabled_at)),
            begun: BEGUN,
        })
    }

    /// Name of the folder of a session that is there, or that is on.
    fn known_session(&self, id: &[u8; 16]) -> Option<String> {
        if let Some((current, enabled_at)) = &self.current
            && current == id
        {
            return Some(session_name(*enabled_at, id));
        }
        let sessions = fs::open_private_dir(&self.dirs.sessions()).ok()?;
        let end = format!("_{}", hex(&id[..4]));
        let names = fs::names_in(&sessions).ok()?.into_iter();
        names.filter(|name| is_session_name(name) && name.ends_with(&end)).max()
    }
}

/// A folder that may be one of rings.
struct Candidate<'a> {
    place: &'a Place<'a>,
    root: &'a OwnedFd,
    root_path: &'a Path,
    name: &'a str,
}

/// A folder of a dead process, whose lock is ours.
struct Taken {
    folder: OwnedFd,
    names: Vec<String>,
    /// Holds the lock.
    file: File,
}

/// How a folder went.
enum Gone {
    /// Its process was told of, or there was nothing to tell.
    Told,
    /// It was only begun: [`Pass::begun`].
    Begun,
}

impl Candidate<'_> {
    fn path(&self) -> PathBuf {
        self.root_path.join(self.name)
    }

    fn adopt(&self, pass: &mut Pass, must_stop: &mut dyn FnMut() -> bool) {
        let mut process = None;
        let mut adopted = None;
        let done = self.try_adopt(&mut process, &mut adopted, must_stop);
        pass.adopted.extend(adopted);
        let why = match done {
            Ok(Gone::Told) => return,
            Ok(Gone::Begun) => {
                pass.begun.push(self.path());
                return;
            }
            // Its process, or another collector, has removed it meanwhile.
            Err(Why::Failed(e))
                if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::Interrupted) =>
            {
                return;
            }
            Err(why) => why,
        };
        pass.left.push(Left { folder: self.path(), process, why });
    }

    fn try_adopt(
        &self,
        process: &mut Option<(String, u32)>,
        adopted: &mut Option<Adopted>,
        must_stop: &mut dyn FnMut() -> bool,
    ) -> Result<Gone, Why> {
        let folder = fs::open_private_dir_at(self.root, self.name)?;
        let file = match fs::open_existing(&folder, PROCESS_FILE, true) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return self.remove_shell(&folder).map(|()| Gone::Told);
            }
            other => other?,
        };
        let dead = match dead::process(&file) {
            Ok(dead) => dead,
            Err(_) if file.metadata()?.len() == 0 => return self.remove_begun(folder, file),
            Err(_) if self.may_be_making_it(&file) => return Err(Why::BeingMade),
            Err(what) => return Err(Why::Damaged(vec![format!("{PROCESS_FILE}: {what}")])),
        };
        let who = &dead.identity;
        *process = Some((who.component.clone(), who.pid));
        let session = self.place.known_session(&who.session_id);
        if session.is_none() && !self.place.dirs.is_own_ring_root(self.root_path) {
            return Err(Why::Elsewhere);
        }
        let is_same_boot = who.boot_id == boot::boot_id();
        let lives = is_same_boot && boot::is_alive(who.pid, who.start_ticks);
        // A process takes the lock before it makes its file of schemas.
        let has_schemas = rustix::fs::statat(&folder, SCHEMAS_FILE, AtFlags::SYMLINK_NOFOLLOW).is_ok();
        if !has_schemas && (lives || is_young(&file)) {
            return Err(Why::BeingMade);
        }
        if !fs::try_lock_ofd(&file)? {
            return Err(if lives { Why::Alive } else { Why::Busy });
        }
        // Another had the lock before, and removed everything.
        if rustix::fs::fstat(&file).map_err(io::Error::from)?.st_nlink == 0 {
            return Ok(Gone::Told);
        }
        let names = fs::names_in(&folder)?;
        let taken = Taken { folder, names, file };
        let rings = dead::Folder::read(&taken.folder, &taken.names, &dead)?;
        let session = session.unwrap_or_else(|| session_name(who.attached, &who.session_id));
        let result = adopted.insert(Adopted {
            component: who.component.clone(),
            pid: who.pid,
            folder: self.path(),
            session: self.place.dirs.sessions().join(session),
            events: 0,
            lost: 0,
            segments: 0,
            bytes: 0,
            is_unverified: !is_same_boot,
            is_removed: false,
        });
        let mut damage = rings.damage.clone();
        let done = self
            .move_rings(&dead, &rings, result, &mut damage, must_stop)
            .map_err(Why::from)
            .and_then(|()| if damage.is_empty() { self.remove(&taken) } else { Err(Why::Damaged(damage)) });
        result.is_removed = done.is_ok();
        if done.is_err() && result.segments == 0 {
            // Nothing has changed.
            *adopted = None;
        }
        done.map(|()| Gone::Told)
    }

    /// Into segments, then out of the rings.
    fn move_rings(
        &self,
        process: &ProcessFile,
        folder: &dead::Folder<'_>,
        result: &mut Adopted,
        damage: &mut Vec<String>,
        must_stop: &mut dyn FnMut() -> bool,
    ) -> io::Result<()> {
        if folder.rings.is_empty() {
            return Ok(());
        }
        let sessions = fs::create_private_dir_all(&self.place.dirs.sessions())?;
        let name = result.session.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let session = fs::create_private_dir_at(&sessions, name)?;
        fs::sync_way(&result.session)?;
        let bytes = self.place.segment_bytes;
        let mut written = write::write(&session, process, folder, result.is_unverified, bytes, must_stop)?;
        // From here on everything is safe in segments; a kill leaves it twice.
        for (ring, at) in folder.rings.iter().zip(&mut written.rings) {
            let file = match folder.open(ring) {
                Ok(file) => file,
                Err(Fault::Damage(what)) => {
                    at.damage.get_or_insert_with(|| format!("{}: {what}", ring.name));
                    continue;
                }
                Err(Fault::Lack(e)) => return Err(e),
            };
            file.release(at.to, at.sequence)?;
            if at.damage.is_none() {
                file.set_free()?;
                result.lost += ring.header.lost.iter().fold(0_u64, |sum, n| sum.saturating_add(*n));
            }
        }
        damage.extend(written.rings.into_iter().filter_map(|at| at.damage));
        (result.events, result.segments, result.bytes) = (written.events, written.segments, written.bytes);
        Ok(())
    }

    /// Removes the folder, in which nothing is left to be told.
    fn remove(&self, taken: &Taken) -> Result<(), Why> {
        let Taken { folder, names, file } = taken;
        let foreign = names.iter().filter(|name| !dead::is_own_name(name)).count();
        if foreign != 0 {
            return Err(Why::Damaged(vec![format!("{foreign} files in it were not made by Tracewell")]));
        }
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(Why::BeingRead),
            Err(e) => return Err(Why::Failed(e.into())),
        }
        // Killed after the process file, it leaves what no process makes without one: see `remove_shell`.
        for name in names.iter().filter(|name| *name != PROCESS_FILE && *name != SCHEMAS_FILE) {
            fs::unlink_at(folder, name)?;
        }
        fs::unlink_at(folder, PROCESS_FILE)?;
        if names.iter().any(|name| name == SCHEMAS_FILE) {
            fs::unlink_at(folder, SCHEMAS_FILE)?;
        }
        rustix::fs::unlinkat(self.root, self.name, AtFlags::REMOVEDIR).map_err(io::Error::from)?;
        Ok(())
    }

    /// A folder without a process file: of a process or a collector that was killed at the worst moment, or of a process
    /// that is about to write it.
    fn remove_shell(&self, folder: &OwnedFd) -> Result<(), Why> {
        let names = fs::names_in(folder)?;
        if names == [SCHEMAS_FILE] {
            fs::unlink_at(folder, SCHEMAS_FILE)?;
        } else if !names.is_empty() {
            return Err(Why::Damaged(vec!["it has no process file".into()]));
        }
        let is_young = rustix::fs::fstat(folder).is_ok_and(|stat| age_of(&stat) < YOUNG);
        if names.is_empty() && (is_young || self.pid_is_taken()) {
            return Err(Why::BeingMade);
        }
        // Fails if something is in it now.
        Ok(rustix::fs::unlinkat(self.root, self.name, AtFlags::REMOVEDIR).map_err(io::Error::from)?)
    }

    /// A folder whose process file has nothing in it: its process was killed, or had no room, before it wrote it.
    fn remove_begun(&self, folder: OwnedFd, file: File) -> Result<Gone, Why> {
        // Rings are made long after the process file is written: it was emptied.
        if fs::names_in(&folder)?.iter().any(|name| dead::is_ring_name(name)) {
            return Err(Why::Damaged(vec![format!("{PROCESS_FILE}: it is empty, but there are rings")]));
        }
        let stat = || rustix::fs::fstat(&file).map_err(io::Error::from);
        if age_of(&stat()?) < self.place.begun {
            return Err(Why::BeingMade);
        }
        if !fs::try_lock_ofd(&file)? {
            return Err(Why::Busy);
        }
        // Until the lock was ours its process may have gone on, or another collector have removed it.
        let now = stat()?;
        if now.st_nlink == 0 {
            return Ok(Gone::Told);
        }
        if now.st_size != 0 {
            return Err(Why::BeingMade);
        }
        let names = fs::names_in(&folder)?;
        self.remove(&Taken { folder, names, file }).map(|()| Gone::Begun)
    }

    fn may_be_making_it(&self, file: &File) -> bool {
        is_young(file) && self.pid_is_taken()
    }

    /// Whether the process that the folder's name tells is there.
    fn pid_is_taken(&self) -> bool {
        let pid = self.name.rsplit('-').nth(1).and_then(|pid| pid.parse().ok());
        pid.is_some_and(|pid| boot::start_ticks(pid).is_some())
    }
}

impl From<io::Error> for Why {
    fn from(error: io::Error) -> Self {
        // Refused by us: it is not what it should be.
        if error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none() {
            return Self::Damaged(vec![error.to_string()]);
        }
        Self::Failed(error)
    }
}

fn is_young(file: &File) -> bool {
    rustix::fs::fstat(file).is_ok_and(|stat| age_of(&stat) < YOUNG)
}

/// Since the last change of the file's place or content; zero if that lies ahead.
fn age_of(stat: &rustix::fs::Stat) -> Duration {
    let changed = i128::from(stat.st_ctime) * 1_000_000_000 + i128::from(stat.st_ctime_nsec);
    let age = i128::from(boot::realtime_ns()) - changed;
    Duration::from_nanos(u64::try_from(age).unwrap_or(0))
}

#[cfg(test)]
mod tests;
