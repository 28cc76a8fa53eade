//! Files and directories that are ours alone: 0600 in 0700, never through links.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};

const DIR: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::RDONLY);

fn refuse(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, what.into())
}

/// Checks that a directory is a directory of this user that nobody else may enter.
fn check_dir(fd: &OwnedFd) -> io::Result<()> {
    let stat = rustix::fs::fstat(fd)?;
    let me = rustix::process::geteuid().as_raw();
    if stat.st_uid != me {
        return Err(refuse(format!("the directory belongs to user {}, not to user {me}", stat.st_uid)));
    }
    if stat.st_mode & 0o077 != 0 {
        return Err(refuse(format!(
            "the directory has mode {:o}, so others can look in; run chmod 700 on it",
            stat.st_mode & 0o7777
        )));
    }
    Ok(())
}

/// Whether the owner of a directory on the way to ours can be trusted: root, or this user.
fn is_trusted(uid: u32) -> bool {
    if uid == 0 || uid == rustix::process::geteuid().as_raw() {
        return true;
    }
    // In a user namespace that does not map it, root itself is shown as the overflow user.
    let overflow =
        || std::fs::read_to_string("/proc/sys/kernel/overflowuid").ok()?.trim().parse::<u32>().ok();
    let maps_all = || {
        std::fs::read_to_string("/proc/self/uid_map")
            .is_ok_and(|map| map.split_ascii_whitespace().eq(["0", "0", "4294967295"]))
    };
    Some(uid) == overflow() && !maps_all()
}

/// Checks one directory on the way: nobody else may exchange what is in it.
fn check_ancestor(path: &Path, stat: &Stat) -> io::Result<()> {
    let at = path.display();
    if !is_trusted(stat.st_uid) {
        return Err(refuse(format!(
            "{at} belongs to user {}, who could exchange what is below it; use a directory of your own",
            stat.st_uid
        )));
    }
    // A group of one (same number as the user) is the user; root's group is root.
    let is_own_group = stat.st_gid == 0 || stat.st_gid == rustix::process::geteuid().as_raw();
    let others = if is_own_group { 0o002 } else { 0o022 };
    let is_sticky = stat.st_mode & libc::S_ISVTX != 0;
    if stat.st_mode & others != 0 && !is_sticky {
        return Err(refuse(format!(
            "{at} has mode {:o}, so others could exchange what is below it; run chmod go-w on it",
            stat.st_mode & 0o7777
        )));
    }
    Ok(())
}

/// Checks the directories above an absolute path; true if some are links.
fn check_way(path: &Path) -> io::Result<bool> {
    let mut has_link = false;
    let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.reverse();
    for dir in above {
        let stat = rustix::fs::statat(CWD, dir, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            check_ancestor(dir, &stat)?;
        } else if is_trusted(stat.st_uid) {
            has_link = true;
        } else {
            return Err(refuse(format!("{} is a link of user {}", dir.display(), stat.st_uid)));
        }
    }
    Ok(has_link)
}

/// The real path: of its longest part that exists, then the rest. Links are followed if root or this user put them there;
/// with another's, he would choose where our files go.
///
/// # Errors
/// If a link is another user's, or the path makes no sense.
pub(crate) fn resolve(path: &Path) -> io::Result<PathBuf> {
    /// As many as the kernel follows.
    const MOST_LINKS: usize = 40;
    let mut real = PathBuf::from("/");
    let mut links = 0;
    let mut rest: Vec<OsString> = components_reversed(path);
    while let Some(name) = rest.pop() {
        if name == ".." {
            real.pop();
            continue;
        }
        let next = real.join(&name);
        // The very link that is looked at is the one that is followed, whatever its name is given to meanwhile.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(CWD, &next, flags, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) if !rest.iter().any(|name| name == "..") => {
                real = next;
                real.extend(rest.iter().rev());
                return Ok(real);
            }
            other => other?,
        };
        let stat = rustix::fs::fstat(&fd)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            real = next;
            continue;
        }
        if !is_trusted(stat.st_uid) {
            return Err(refuse(format!("{} is a link of user {}", next.display(), stat.st_uid)));
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(rustix::io::Errno::LOOP.into());
        }
        let target = rustix::fs::readlinkat(&fd, "", Vec::new())?;
        let target = Path::new(OsStr::from_bytes(target.as_bytes()));
        if target.is_absolute() {
            real = PathBuf::from("/");
        }
        rest.extend(components_reversed(target));
    }
    Ok(real)
}

/// Names and `..` of a path, the last first.
fn components_reversed(path: &Path) -> Vec<OsString> {
    let part = |component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().rev().filter_map(part).collect()
}

/// Checks every directory above `path`, as sshd does for its keys: with the right owner and mode of the last one
/// alone, another user could still put a different directory in its place.
fn check_ancestors(path: &Path) -> io::Result<()> {
    let absolute = std::path::absolute(path)?;
    if check_way(&absolute)?
        && let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name())
    {
        // Only root and this user can change these links, so that the real way is still the one that is opened.
        check_way(&parent.canonicalize()?.join(name))?;
    }
    Ok(())
}

/// Opens a directory that must be ours alone, and that only root and this user can have put there.
///
/// # Errors
/// If it does not exist, is a link, is not ours alone, or lies where others can exchange it.
pub fn open_private_dir(path: &Path) -> io::Result<OwnedFd> {
    check_ancestors(path)?;
    let fd = rustix::fs::openat(CWD, path, DIR, Mode::empty())?;
    check_dir(&fd)?;
    Ok(fd)
}

/// Opens a directory within one that is ours alone; it must be ours alone too.
///
/// # Errors
/// As [`open_private_dir`].
pub fn open_private_dir_at(dir: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    let fd = rustix::fs::openat(dir, name, DIR, Mode::empty())?;
    check_dir(&fd)?;
    Ok(fd)
}

/// The names in a directory, without `.` and `..`; names that are not UTF-8 cannot be ours and are left out.
///
/// # Errors
/// If it cannot be read.
pub fn names_in(dir: impl AsFd) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir)? {
        match entry?.file_name().to_str() {
            Ok("." | "..") | Err(_) => {}
            Ok(name) => names.push(name.to_owned()),
        }
    }
    Ok(names)
}

/// Makes (0700, whatever the umask) or opens a directory that must be ours alone. Its parent exists.
///
/// # Errors
/// As [`open_private_dir`], or if it cannot be made.
pub fn create_private_dir(path: &Path) -> io::Result<OwnedFd> {
    check_ancestors(path)?;
    // Mostly it is there: one look less at every part of its path when a component attaches.
    match rustix::fs::openat(CWD, path, DIR, Mode::empty()) {
        Ok(fd) => {
            check_dir(&fd)?;
            return Ok(fd);
        }
        Err(rustix::io::Errno::NOENT) => {}
        Err(e) => return Err(e.into()),
    }
    match rustix::fs::mkdirat(CWD, path, Mode::RWXU) {
        Ok(()) => {
            let fd = rustix::fs::openat(CWD, path, DIR, Mode::empty())?;
            // A default ACL or an odd umask must not decide.
            rustix::fs::fchmod(&fd, Mode::RWXU)?;
            check_dir(&fd)?;
            Ok(fd)
        }
        Err(rustix::io::Errno::EXIST) => open_private_dir(path),
        Err(e) => Err(e.into()),
    }
}

/// Makes (0700, whatever the umask) or opens a directory within one that is ours alone.
///
/// # Errors
/// As [`open_private_dir_at`], or if it cannot be made.
pub fn create_private_dir_at(dir: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    let dir = dir.as_fd();
    match rustix::fs::mkdirat(dir, name, Mode::RWXU) {
        Ok(()) => {
            let fd = rustix::fs::openat(dir, name, DIR, Mode::empty())?;
            // A default ACL or an odd umask must not decide.
            rustix::fs::fchmod(&fd, Mode::RWXU)?;
            check_dir(&fd)?;
            Ok(fd)
        }
        Err(rustix::io::Errno::EXIST) => open_private_dir_at(dir, name),
        Err(e) => Err(e.into()),
    }
}

/// As [`create_private_dir`], with missing parents (0700 too).
///
/// # Errors
/// As [`create_private_dir`].
pub fn create_private_dir_all(path: &Path) -> io::Result<OwnedFd> {
    match create_private_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let parent: PathBuf = std::path::absolute(path)?.parent().ok_or(e)?.to_owned();
            if !parent.try_exists()? {
                create_private_dir_all(&parent)?;
            }
            create_private_dir(path)
        }
        other => other,
    }
}

/// Creates a file (0600) that must not exist.
///
/// # Errors
/// If it exists or cannot be made.
pub fn create_new(dir: impl AsFd, name: &str) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let fd = rustix::fs::openat(dir, name, flags, mode)?;
    rustix::fs::fchmod(&fd, mode)?;
    Ok(File::from(fd))
}

/// Opens a file that must be a regular file of this user, with one name, that nobody else can read.
///
/// # Errors
/// If it is not.
pub fn open_existing(dir: impl AsFd, name: &str, write: bool) -> io::Result<File> {
    let access = if write { OFlags::RDWR } else { OFlags::RDONLY };
    let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, name, flags, Mode::empty()).map_err(|e| match e {
        rustix::io::Errno::LOOP => {
            refuse("it is a symbolic link; put the file itself there, or remove the link")
        }
        other => other.into(),
    })?;
    let stat = rustix::fs::fstat(&fd)?;
    let me = rustix::process::geteuid().as_raw();
    if stat.st_mode & libc::S_IFMT != libc::S_IFREG {
        return Err(refuse("it is no regular file; remove it"));
    }
    if stat.st_uid != me && stat.st_uid != 0 {
        return Err(refuse(format!("the file belongs to user {}", stat.st_uid)));
    }
    if stat.st_nlink != 1 || stat.st_mode & 0o077 != 0 {
        return Err(refuse(format!(
            "the file has mode {:o} and {} names; it must have mode 600 (run chmod 600 on it) and one name",
            stat.st_mode & 0o7777,
            stat.st_nlink
        )));
    }
    Ok(File::from(fd))
}

/// Removes a file.
///
/// # Errors
/// If it cannot be removed.
pub fn unlink_at(dir: impl AsFd, name: &str) -> io::Result<()> {
    Ok(rustix::fs::unlinkat(dir, name, AtFlags::empty())?)
}

/// Renames a file within a directory.
///
/// # Errors
/// If it cannot be renamed.
pub fn rename_at(dir: impl AsFd, from: &str, to: &str) -> io::Result<()> {
    let dir = dir.as_fd();
    Ok(rustix::fs::renameat(dir, from, dir, to)?)
}

/// Makes the names in a directory survive the loss of power.
///
/// # Errors
/// If they cannot be written.
pub fn sync_dir(dir: impl AsFd) -> io::Result<()> {
    Ok(rustix::fs::fsync(dir)?)
}

/// Makes the names of a directory and of the private ones above it, which may be as new, survive the loss of power.
///
/// # Errors
/// If they cannot be written.
pub fn sync_way(path: &Path) -> io::Result<()> {
    for above in std::path::absolute(path)?.ancestors().skip(1) {
        let dir = match rustix::fs::openat(CWD, above, DIR & !OFlags::NOFOLLOW, Mode::empty()) {
            Ok(dir) => dir,
            // It was not made by us, who may not even look into it.
            Err(rustix::io::Errno::ACCESS) => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        sync_dir(&dir)?;
        if check_dir(&dir).is_err() {
            break;
        }
    }
    Ok(())
}

/// Whether a directory lies on tmpfs.
#[must_use]
pub fn is_tmpfs(path: &Path) -> bool {
    const TMPFS_MAGIC: i128 = 0x0102_1994;
    rustix::fs::statfs(path).is_ok_and(|s| i128::from(s.f_type) == TMPFS_MAGIC)
}

/// Bytes free for this user.
///
/// # Errors
/// If the file system does not tell.
pub fn free_bytes(dir: impl AsFd) -> io::Result<u64> {
    let stat = rustix::fs::fstatvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Takes the liveness lock: exclusive, on the whole file, belonging to the open file description, so that neither
/// another close in this process nor an exec keeps or drops it wrongly. False if another holds it.
///
/// # Errors
/// If the file system knows no such locks.
pub fn try_lock_ofd(file: &File) -> io::Result<bool> {
    match crate::fork::ofd_lock(file.as_raw_fd(), true) {
        Ok(_) => Ok(true),
        Err(e) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Whether another open file description holds the liveness lock.
///
/// # Errors
/// If the file system knows no such locks.
pub fn is_locked_ofd(file: &File) -> io::Result<bool> {
    crate::fork::ofd_lock(file.as_raw_fd(), false)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_made_is_private_whatever_the_umask() {
        // The umask belongs to the process, and other tests make files: a process of its own.
        if std::env::var_os("TRACEWELL_TEST_UMASK").is_none() {
            for umask in ["000", "022", "077"] {
                let test = std::process::Command::new(std::env::current_exe().unwrap())
                    .args(["--exact", "fs::tests::what_is_made_is_private_whatever_the_umask"])
                    .env("TRACEWELL_TEST_UMASK", umask)
                    .output()
                    .unwrap();
                assert!(test.status.success(), "umask {umask}: {}", String::from_utf8_lossy(&test.stdout));
            }
            return;
        }
        let top = tempfile::tempdir().unwrap();
        let umask = u32::from_str_radix(&std::env::var("TRACEWELL_TEST_UMASK").unwrap(), 8).unwrap();
        rustix::process::umask(Mode::from_raw_mode(umask));
        let path = top.path().join("a/b");
        let dir = create_private_dir_all(&path).unwrap();
        create_new(&dir, "f").unwrap();
        assert_eq!((mode(&path), mode(&top.path().join("a")), mode(&path.join("f"))), (0o700, 0o700, 0o600));
    }

    #[test]
    fn directories_that_are_not_ours_alone_are_refused() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("dir");
        create_private_dir(&dir).unwrap();
        create_private_dir(&dir).unwrap();
        symlink(&dir, top.path().join("link")).unwrap();
        assert!(open_private_dir(&top.path().join("link")).is_err(), "a link");
        chmod(&dir, 0o750);
        let error = open_private_dir(&dir).unwrap_err().to_string();
        assert!(error.contains("750") && error.contains("chmod 700"), "{error}");
        std::fs::write(top.path().join("file"), "").unwrap();
        assert!(create_private_dir(&top.path().join("file")).is_err());
    }

    #[test]
    fn a_way_that_others_can_change_is_refused() {
        let top = tempfile::tempdir().unwrap();
        let open = top.path().join("open");
        create_private_dir_all(&open.join("dir")).unwrap();
        chmod(&open, 0o777);
        let error = open_private_dir(&open.join("dir")).unwrap_err().to_string();
        assert!(error.contains("777") && error.contains("open"), "{error}");
        assert!(create_private_dir(&open.join("new")).is_err() && !open.join("new").exists());
        // Also if a link of ours leads there.
        symlink(&open, top.path().join("link")).unwrap();
        assert!(open_private_dir(&top.path().join("link/dir")).is_err());
        chmod(&open, 0o1777);
        open_private_dir(&open.join("dir")).unwrap();
        open_private_dir(&top.path().join("link/dir")).unwrap();
        if rustix::process::geteuid().is_root() {
            chmod(&open, 0o755);
            std::os::unix::fs::chown(&open, Some(4242), Some(4242)).unwrap();
            let error = open_private_dir(&open.join("dir")).unwrap_err().to_string();
            assert!(error.contains("4242"), "{error}");
        }
    }

    #[test]
    fn files_that_are_not_ours_alone_are_refused() {
        let top = tempfile::tempdir().unwrap();
        let dir = create_private_dir(&top.path().join("dir")).unwrap();
        let at = |name: &str| top.path().join("dir").join(name);
        create_new(&dir, "f").unwrap();
        assert_eq!(create_new(&dir, "f").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        open_existing(&dir, "f", true).unwrap();
        symlink(at("f"), at("link")).unwrap();
        assert!(open_existing(&dir, "link", false).is_err(), "a link");
        assert!(create_new(&dir, "link").is_err(), "a link in the way");
        std::fs::hard_link(at("f"), at("second")).unwrap();
        assert!(open_existing(&dir, "f", false).is_err(), "two names");
        unlink_at(&dir, "second").unwrap();
        chmod(&at("f"), 0o640);
        assert!(open_existing(&dir, "f", false).is_err(), "others can read it");
        rustix::fs::mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert!(open_existing(&dir, "pipe", false).is_err(), "a pipe, and without waiting for a writer");
        assert_eq!(open_existing(&dir, "none", false).unwrap_err().kind(), io::ErrorKind::NotFound);
        let mut names = names_in(&dir).unwrap();
        names.sort();
        assert_eq!(names, ["f", "link", "pipe"]);
    }

    #[test]
    fn a_path_is_followed_through_links_of_the_trusted_only() {
        let top = tempfile::tempdir().unwrap();
        let real = top.path().canonicalize().unwrap();
        std::fs::create_dir_all(real.join("a/b")).unwrap();
        symlink("a", real.join("relative")).unwrap();
        symlink(real.join("a/b"), real.join("absolute")).unwrap();
        symlink("loop", real.join("loop")).unwrap();
        for (path, expected) in [
            ("a/b", Some("a/b")),
            ("relative/b", Some("a/b")),
            ("absolute/../x/y", Some("a/x/y")),
            ("absolute/new/one", Some("a/b/new/one")),
            ("none/../a", None),
            ("loop", None),
        ] {
            let found = resolve(&real.join(path)).ok();
            assert_eq!(found, expected.map(|e| real.join(e)), "{path}");
        }
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::lchown(real.join("relative"), Some(4242), Some(4242)).unwrap();
            let error = resolve(&real.join("relative/b")).unwrap_err().to_string();
            assert!(error.contains("a link of user 4242"), "{error}");
        }
    }

    #[test]
    fn a_lock_belongs_to_one_opening_and_ends_with_it() {
        let top = tempfile::tempdir().unwrap();
        let dir = create_private_dir(&top.path().join("dir")).unwrap();
        let first = create_new(&dir, "f").unwrap();
        let second = open_existing(&dir, "f", true).unwrap();
        assert!(!is_locked_ofd(&second).unwrap());
        assert!(try_lock_ofd(&first).unwrap());
        assert!(is_locked_ofd(&second).unwrap() && !try_lock_ofd(&second).unwrap());
        // Closing another opening of the same file would end a POSIX lock.
        drop(open_existing(&dir, "f", true).unwrap());
        assert!(is_locked_ofd(&second).unwrap());
        drop(first);
        // A child of another test may hold the descriptor until its exec.
        for _ in 0..500 {
            if try_lock_ofd(&second).unwrap() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("the lock outlived its file");
    }
}
