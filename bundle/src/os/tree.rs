//! Reading below a directory: the root of the system, or somebody's home. What is no regular file is never opened, and
//! nothing is read beyond a limit.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

/// Most entries of a folder that are looked at.
const MAX_ENTRIES: usize = 20_000;
/// How often a path is tried again that somebody renames meanwhile.
const TRIES: u32 = 8;

/// Whether links are followed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Links {
    /// Yes, and an absolute one begins at the tree's top: for what only the system's owner can change.
    Follow,
    /// No, nowhere in a path: for what a user could have laid out to be read by somebody who may read more.
    Refuse,
}

/// A directory; everything is addressed from it.
#[derive(Debug)]
pub(super) struct Tree {
    top: OwnedFd,
    links: Links,
    path: PathBuf,
    /// Where it lies as a user of the system would say it.
    shown: String,
}

/// What lies in a folder.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) kind: EntryKind,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum EntryKind {
    File,
    Folder,
    Link,
    Other,
}

impl EntryKind {
    fn of(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Folder,
            FileType::Symlink => Self::Link,
            _ => Self::Other,
        }
    }
}

/// The beginning of a file.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    /// There was more.
    pub(super) is_cut: bool,
    pub(super) stat: Stat,
}

impl Tree {
    /// The root of a system: `/`, or where a test has laid one out.
    pub(super) fn root(path: &Path) -> io::Result<Self> {
        let top = open(CWD, path, OFlags::DIRECTORY)?;
        Ok(Self { top, links: Links::Follow, path: path.to_owned(), shown: String::new() })
    }

    /// A home: links to it are the system's, links in it are refused.
    pub(super) fn home(&self, home: &str) -> io::Result<Self> {
        let top = self.path_fd(home, OFlags::DIRECTORY)?;
        let path = self.path.join(home.trim_start_matches('/'));
        Ok(Self { top, links: Links::Refuse, path, shown: home.trim_end_matches('/').to_owned() })
    }

    /// A directory of the real system, in which links are refused.
    pub(super) fn private(path: &Path) -> io::Result<Self> {
        let top = open(CWD, path, OFlags::DIRECTORY)?;
        let shown = path.to_string_lossy().trim_end_matches('/').to_owned();
        Ok(Self { top, links: Links::Refuse, path: path.to_owned(), shown })
    }

    /// A path of it for people.
    pub(super) fn shown(&self, path: &str) -> String {
        format!("{}/{}", self.shown, path.trim_start_matches('/'))
    }

    /// Where a path of it really is: for sockets, which are connected to by name.
    pub(super) fn real(&self, path: &str) -> PathBuf {
        self.path.join(path.trim_start_matches('/'))
    }

    /// Finds without opening.
    fn path_fd(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let path = path.trim_matches('/');
        if path.bytes().any(|b| b == 0) {
            return Err(Errno::INVAL.into());
        }
        let path = if path.is_empty() { "." } else { path };
        match self.links {
            Links::Follow => self.following(path, flags),
            Links::Refuse => self.walking(path, flags),
        }
    }

    fn following(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::PATH | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..TRIES {
            match rustix::fs::openat2(&self.top, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                // Kernels before 5.6, and sandboxes that know no such call.
                Err(Errno::NOSYS | Errno::PERM) if self.path == Path::new("/") => {
                    return open(&self.top, Path::new(path), flags);
                }
                other => return Ok(other?),
            }
        }
        Err(io::Error::other("somebody renames it again and again"))
    }

    fn walking(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let mut parts = path.split('/').filter(|p| !p.is_empty() && *p != ".").peekable();
        let mut at = open(&self.top, Path::new("."), OFlags::DIRECTORY)?;
        while let Some(part) = parts.next() {
            if part == ".." {
                return Err(Errno::INVAL.into());
            }
            let flags = if parts.peek().is_some() { OFlags::DIRECTORY } else { flags };
            at = match open(&at, Path::new(part), flags | OFlags::NOFOLLOW) {
                Ok(next) if kind_of(&next)? == FileType::Symlink => return Err(is_link()),
                Ok(next) => next,
                Err(e) => {
                    let stat = rustix::fs::statat(&at, part, AtFlags::SYMLINK_NOFOLLOW);
                    let found_link =
                        stat.is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Symlink);
                    return Err(if found_link { is_link() } else { e });
                }
            };
        }
        Ok(at)
    }

    /// A regular file, open for reading.
    pub(super) fn open(&self, path: &str) -> io::Result<(File, Stat)> {
        let found = self.path_fd(path, OFlags::empty())?;
        let stat = rustix::fs::fstat(&found)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            FileType::Directory => return Err(Errno::ISDIR.into()),
            _ => return Err(io::Error::other("it is no regular file, and was not opened")),
        }
        // What was found is what is opened, whoever changes the path meanwhile.
        let by_number = format!("/proc/self/fd/{}", found.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = rustix::fs::open(by_number, flags, Mode::empty())?;
        Ok((File::from(file), stat))
    }

    /// The first `max` bytes of a file.
    pub(super) fn read(&self, path: &str, max: u64) -> io::Result<Content> {
        let (file, stat) = self.open(path)?;
        let mut bytes = Vec::new();
        file.take(max + 1).read_to_end(&mut bytes)?;
        let is_cut = bytes.len() as u64 > max;
        bytes.truncate(usize::try_from(max).unwrap_or(usize::MAX));
        Ok(Content { bytes, is_cut, stat })
    }

    /// What is in a folder, by name; and whether there was more.
    pub(super) fn list(&self, path: &str) -> io::Result<(Vec<Entry>, bool)> {
        let found = self.path_fd(path, OFlags::DIRECTORY)?;
        let folder = rustix::fs::openat(
            &found,
            ".",
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK,
            Mode::empty(),
        )?;
        let mut all = Vec::new();
        for entry in rustix::fs::Dir::read_from(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if all.len() == MAX_ENTRIES {
                all.sort_unstable();
                return Ok((all, true));
            }
            let kind = match entry.file_type() {
                FileType::Unknown => {
                    let stat = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW);
                    stat.map_or(FileType::Unknown, |s| FileType::from_raw_mode(s.st_mode))
                }
                known => known,
            };
            // A name that is no UTF-8 cannot be asked for again, but it is seen.
            all.push(Entry { name: name.to_string_lossy().into_owned(), kind: EntryKind::of(kind) });
        }
        all.sort_unstable();
        Ok((all, false))
    }

    /// What is said of a file, of a link itself.
    pub(super) fn stat(&self, path: &str) -> io::Result<Stat> {
        let (folder, name) = split(path);
        let folder = self.path_fd(folder, OFlags::DIRECTORY)?;
        Ok(rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// What is said of a file where links lead, if they are followed.
    pub(super) fn stat_target(&self, path: &str) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(self.path_fd(path, OFlags::empty())?)?)
    }

    /// Where a link points.
    pub(super) fn link(&self, path: &str) -> io::Result<String> {
        let (folder, name) = split(path);
        let folder = self.path_fd(folder, OFlags::DIRECTORY)?;
        let target = rustix::fs::readlinkat(&folder, name, Vec::new())?;
        Ok(target.to_string_lossy().into_owned())
    }

    /// Whether there is such a path.
    pub(super) fn has(&self, path: &str) -> bool {
        self.path_fd(path, OFlags::empty()).is_ok()
    }

    /// An extended attribute of a regular file, if it has it; at most 4 KiB of it.
    pub(super) fn attribute(&self, path: &str, name: &str) -> Option<String> {
        let (file, _) = self.open(path).ok()?;
        let mut value = vec![0; 4096];
        let len = rustix::fs::fgetxattr(&file, name, value.as_mut_slice()).ok()?;
        value.truncate(len);
        Some(String::from_utf8_lossy(&value).trim_end_matches('\0').to_owned())
    }

    /// Size and free room of the file system at a path.
    pub(super) fn space(&self, path: &str) -> io::Result<rustix::fs::StatVfs> {
        Ok(rustix::fs::fstatvfs(self.path_fd(path, OFlags::empty())?)?)
    }
}

/// A path's folder and last part.
fn split(path: &str) -> (&str, &str) {
    let path = path.trim_end_matches('/');
    path.rsplit_once('/').unwrap_or(("", path))
}

fn is_link() -> io::Error {
    io::Error::other("it is a link, or lies behind one, and was not followed")
}

fn open(at: impl AsFd, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(at, path, flags | OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

fn kind_of(fd: &OwnedFd) -> io::Result<FileType> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_stay_in_the_tree_or_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        std::fs::create_dir_all(at("etc")).unwrap();
        std::fs::create_dir_all(at("usr/lib")).unwrap();
        std::fs::create_dir_all(at("home/a/real")).unwrap();
        std::fs::write(at("usr/lib/os-release"), "NAME=x\n").unwrap();
        std::fs::write(at("home/a/real/file"), "mine").unwrap();
        symlink("../usr/lib/os-release", at("etc/os-release")).unwrap();
        symlink("/usr/lib/os-release", at("etc/absolute")).unwrap();
        symlink("../../../../../../../etc/passwd", at("etc/outside")).unwrap();
        symlink("/usr/lib/os-release", at("home/a/planted")).unwrap();
        symlink("real", at("home/a/folder")).unwrap();
        let root = Tree::root(dir.path()).unwrap();
        for path in ["/etc/os-release", "etc/absolute"] {
            assert_eq!(root.read(path, 100).unwrap().bytes, b"NAME=x\n", "{path}");
        }
        assert_eq!(root.read("/etc/outside", 100).unwrap_err().kind(), io::ErrorKind::NotFound);
        let home = root.home("/home/a").unwrap();
        assert_eq!(home.read("real/file", 2).unwrap().bytes, b"mi");
        assert!(home.read("real/file", 2).unwrap().is_cut && !home.read("real/file", 4).unwrap().is_cut);
        for path in ["planted", "folder/file"] {
            assert!(home.read(path, 100).unwrap_err().to_string().contains("link"), "{path}");
        }
        assert!(home.list("folder").unwrap_err().to_string().contains("link"));
        assert!(home.read("../a/real/file", 100).is_err() && !home.has("../../etc"));
        assert_eq!(home.link("planted").unwrap(), "/usr/lib/os-release");
        assert_eq!(home.shown("real/file"), "/home/a/real/file");
        let names: Vec<_> = home.list("").unwrap().0.into_iter().map(|e| (e.name, e.kind)).collect();
        assert_eq!(
            names,
            [
                ("folder".into(), EntryKind::Link),
                ("planted".into(), EntryKind::Link),
                ("real".into(), EntryKind::Folder)
            ]
        );
    }

    #[test]
    fn what_could_block_or_act_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        symlink("/dev/zero", dir.path().join("zero")).unwrap();
        for tree in [Tree::root(dir.path()).unwrap(), Tree::private(dir.path()).unwrap()] {
            for name in ["fifo", "socket"] {
                assert!(tree.read(name, 10).unwrap_err().to_string().contains("no regular file"), "{name}");
            }
            assert!(tree.read("zero", 10).is_err());
        }
        // A device of the real root: found, and still not opened.
        let root = Tree::root(Path::new("/")).unwrap();
        assert!(root.read("/dev/null", 10).unwrap_err().to_string().contains("no regular file"));
    }
}
