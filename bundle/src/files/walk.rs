//! Finding files by a pattern and opening them: folder by folder, never through a link, nothing but regular files, and
//! only what was looked at before.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::glob::{Part, Pattern, fits};

/// Which file it is, whatever its name: device and number.
pub(super) type Identity = (u64, u64);

/// How far is looked for one pattern.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Names that are looked at.
    pub(super) names: u32,
    /// Files that are found.
    pub(super) found: usize,
    /// Folders below each other.
    pub(super) depth: usize,
    /// Time.
    pub(super) time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { names: 200_000, found: 10_000, depth: 32, time: Duration::from_secs(10) }
    }
}

/// A file that was found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) identity: Identity,
    /// When it was changed last: seconds and nanoseconds.
    pub(super) changed: (i64, i64),
}

/// What a pattern led to.
#[derive(Debug, Default)]
pub(super) struct Finding {
    pub(super) found: BTreeMap<PathBuf, Found>,
    /// What was met and left out, and why.
    pub(super) skipped: Vec<(PathBuf, String)>,
    /// Why not everything was looked at.
    pub(super) cut: Option<String>,
}

/// Folders that are never looked into, whatever leads there.
pub(super) type Never<'a> = &'a [(Identity, &'static str)];

struct Walk<'a> {
    limits: Limits,
    never: Never<'a>,
    until: Instant,
    names: u32,
    finding: Finding,
}

/// Looks for what fits a pattern.
pub(super) fn find(pattern: &Pattern, limits: Limits, never: Never<'_>) -> Finding {
    let until = Instant::now() + limits.time;
    let mut walk = Walk { limits, never, until, names: 0, finding: Finding::default() };
    match rustix::fs::open("/", FOLDER, Mode::empty()) {
        Ok(root) => walk.folder(&root, Path::new("/"), &pattern.parts, 0),
        Err(e) => walk.skip(Path::new("/"), e.to_string()),
    }
    walk.finding
}

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::RDONLY);

impl Walk<'_> {
    fn skip(&mut self, path: &Path, why: impl Into<String>) {
        // Bounded as what is found is.
        if self.finding.skipped.len() < self.limits.found {
            self.finding.skipped.push((path.to_owned(), why.into()));
        }
    }

    /// Whether to go on.
    fn goes_on(&mut self) -> bool {
        let why = if self.finding.found.len() >= self.limits.found {
            format!("more than {} files fit", self.limits.found)
        } else if self.names >= self.limits.names {
            format!("there are more than {} names to look at", self.limits.names)
        } else if Instant::now() >= self.until {
            format!("looking took longer than {} s", self.limits.time.as_secs())
        } else {
            return true;
        };
        self.finding.cut.get_or_insert(why);
        false
    }

    fn folder(&mut self, folder: &OwnedFd, at: &Path, parts: &[Part], depth: usize) {
        let Some((part, rest)) = parts.split_first() else { return };
        if !self.goes_on() {
            return;
        }
        if depth > self.limits.depth {
            self.finding
                .cut
                .get_or_insert(format!("folders lie deeper than {} below each other", self.limits.depth));
            return;
        }
        match part {
            Part::Name(name) => self.entry(folder, at, name, rest, depth),
            Part::Fitting(pieces) => {
                for name in self.names(folder, at) {
                    if fits(pieces, &name) {
                        self.entry(folder, at, &name, rest, depth);
                    }
                }
            }
            Part::Folders => {
                self.folder(folder, at, rest, depth);
                for name in self.names(folder, at) {
                    if name.as_bytes().first() != Some(&b'.') {
                        self.below(folder, at, &name, parts, depth);
                    }
                }
            }
        }
    }

    /// The names of a folder, in order.
    fn names(&mut self, folder: &OwnedFd, at: &Path) -> Vec<OsString> {
        let mut names = Vec::new();
        let listed = (|| {
            for entry in rustix::fs::Dir::read_from(folder)? {
                let entry = entry?;
                let name = entry.file_name().to_bytes();
                if name == b"." || name == b".." {
                    continue;
                }
                self.names += 1;
                if !self.goes_on() {
                    break;
                }
                names.push(OsStr::from_bytes(name).to_owned());
            }
            Ok::<_, Errno>(())
        })();
        if let Err(e) = listed {
            self.skip(at, e.to_string());
        }
        names.sort_unstable();
        names
    }

    /// A name that fits: the file that is looked for, or a folder on the way.
    fn entry(&mut self, folder: &OwnedFd, at: &Path, name: &OsStr, rest: &[Part], depth: usize) {
        if !rest.is_empty() {
            return self.below(folder, at, name, rest, depth);
        }
        if !self.goes_on() {
            return;
        }
        let path = at.join(name);
        match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {}
            Err(e) => self.skip(&path, e.to_string()),
            Ok(stat) => match no_file(&stat) {
                // A folder is no file, and nobody expected it to be.
                Some(_) if is_folder(&stat) => {}
                Some(what) => self.skip(&path, what),
                None => {
                    let changed = (stat.st_mtime, stat.st_mtime_nsec.cast_signed());
                    self.finding.found.insert(path, Found { identity: identity(&stat), changed });
                }
            },
        }
    }

    /// Goes on in a folder below.
    fn below(&mut self, folder: &OwnedFd, at: &Path, name: &OsStr, parts: &[Part], depth: usize) {
        if !self.goes_on() {
            return;
        }
        let path = at.join(name);
        let stat = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return,
            Err(e) => return self.skip(&path, e.to_string()),
            Ok(stat) => stat,
        };
        if is_link(&stat) {
            return self.skip(&path, "it is a link; name the real place instead");
        }
        if !is_folder(&stat) {
            return;
        }
        let opened = open_beneath(folder, name, FOLDER).map_err(|e| e.to_string()).and_then(|below| {
            let stat = rustix::fs::fstat(&below).map_err(|e| e.to_string())?;
            match self.never.iter().find(|(never, _)| *never == identity(&stat)) {
                Some((_, why)) => Err((*why).to_owned()),
                None => no_real_files(&below).map(|()| below),
            }
        });
        match opened {
            Ok(below) => self.folder(&below, &path, parts, depth + 1),
            Err(why) => self.skip(&path, why),
        }
    }
}

pub(super) fn identity(stat: &Stat) -> Identity {
    (stat.st_dev, stat.st_ino)
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn is_link(stat: &Stat) -> bool {
    kind(stat) == FileType::Symlink
}

fn is_folder(stat: &Stat) -> bool {
    kind(stat) == FileType::Directory
}

/// What it is, if it is no regular file.
fn no_file(stat: &Stat) -> Option<&'static str> {
    Some(match kind(stat) {
        FileType::RegularFile => return None,
        FileType::Symlink => "it is a link; name the file itself instead",
        FileType::Directory => "it is a folder",
        FileType::Fifo => "it is a pipe, not a file",
        FileType::Socket => "it is a socket, not a file",
        FileType::CharacterDevice | FileType::BlockDevice => "it is a device, not a file",
        FileType::Unknown => "it is no file",
    })
}

/// File systems whose files are the kernel's answers (proc, sysfs, debugfs, tracefs, cgroup 1 and 2, securityfs, devpts,
/// bpf, efivarfs, pstore, configfs, selinuxfs, binfmt_misc): other than files they have effects, no end, or secrets.
const KERNEL: [u32; 13] = [
    0x9fa0,
    0x6265_6572,
    0x6462_6720,
    0x7472_6163,
    0x0027_e0eb,
    0x6367_7270,
    0x7363_6673,
    0x1cd1,
    0xcafe_4a11,
    0xde5e_81e4,
    0x6165_676c,
    0x6265_6570,
    0xf97c_ff8c,
];

fn no_real_files(fd: &OwnedFd) -> Result<(), String> {
    match rustix::fs::fstatfs(fd) {
        // The field has another width on other machines; the numbers have 32 bits.
        Ok(stat) if KERNEL.iter().any(|magic| u64::from(*magic) == stat.f_type as u64 & 0xffff_ffff) => {
            Err("what lies there are no files, but the kernel's answers".into())
        }
        Ok(_) => Ok(()),
        Err(e) => Err(e.to_string()),
    }
}

/// Opens one name in a folder, never through a link of any kind.
fn open_beneath(
    folder: impl AsFd,
    name: impl rustix::path::Arg + Copy,
    flags: OFlags,
) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(&folder, name, flags, Mode::empty(), resolve) {
        // A kernel before 5.6, or a filter that knows no such call: one name at a time needs none of this.
        Err(Errno::NOSYS | Errno::PERM) => rustix::fs::openat(folder, name, flags, Mode::empty()),
        other => other,
    }
}

/// A file that is open for reading, and what is known of it.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) stat: Stat,
}

/// Opens a file that was found, if it still is that one.
///
/// It is held before it is looked at, without being opened, and what is held is what is opened: nobody can put a device
/// or another's file in between. Root does not take a file that has a second name, unless it belongs to whom its folder
/// belongs to: whoever may write the folder could have put another's file there.
pub(super) fn open(path: &Path, found: &Found) -> Result<Opened, String> {
    open_as(path, found, rustix::process::geteuid().is_root())
}

fn open_as(path: &Path, found: &Found, is_root: bool) -> Result<Opened, String> {
    let told = |e: Errno| io::Error::from(e).to_string();
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err("no file".into()) };
    let mut folder = rustix::fs::open("/", OFlags::PATH | FOLDER, Mode::empty()).map_err(told)?;
    for part in parent.iter().skip(1) {
        folder = open_beneath(&folder, part, OFlags::PATH | OFlags::DIRECTORY).map_err(told)?;
    }
    let held = open_beneath(&folder, name, OFlags::PATH).map_err(told)?;
    let stat = rustix::fs::fstat(&held).map_err(told)?;
    if let Some(what) = no_file(&stat) {
        return Err(what.into());
    }
    if identity(&stat) != found.identity {
        return Err("it was exchanged for another file meanwhile".into());
    }
    no_real_files(&held)?;
    if is_root && stat.st_nlink > 1 && rustix::fs::fstat(&folder).map_err(told)?.st_uid != stat.st_uid {
        return Err(format!(
            "it has {} names and belongs to another user than its folder does, so it may be that user's",
            stat.st_nlink
        ));
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, format!("/proc/self/fd/{}", held.as_raw_fd()), flags, Mode::empty())
        .map_err(told)?;
    let stat = rustix::fs::fstat(&file).map_err(told)?;
    Ok(Opened { file: File::from(file), stat })
}

/// What a folder is, to leave it out wherever it is met.
pub(super) fn folder_identity(path: &Path) -> Option<Identity> {
    rustix::fs::stat(path).ok().filter(is_folder).map(|stat| identity(&stat))
}
