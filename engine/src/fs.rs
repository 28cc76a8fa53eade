//! Files and directories that are ours alone: 0600 in 0700, never through links.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};

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

/// Opens a directory that must be ours alone.
///
/// # Errors
/// If it does not exist, is a link, or is not ours alone.
pub fn open_private_dir(path: &Path) -> io::Result<OwnedFd> {
    let fd = rustix::fs::openat(CWD, path, DIR, Mode::empty())?;
    check_dir(&fd)?;
    Ok(fd)
}

/// Makes (0700, whatever the umask) or opens a directory that must be ours alone. Its parent exists.
///
/// # Errors
/// As [`open_private_dir`], or if it cannot be made.
pub fn create_private_dir(path: &Path) -> io::Result<OwnedFd> {
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

/// As [`create_private_dir`], with missing parents (0700 too).
///
/// # Errors
/// As [`create_private_dir`].
pub fn create_private_dir_all(path: &Path) -> io::Result<OwnedFd> {
    match create_private_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).ok_or(e)?;
            if !parent.exists() {
                create_private_dir_all(parent)?;
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
    let fd = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&fd)?;
    let me = rustix::process::geteuid().as_raw();
    if stat.st_mode & libc::S_IFMT != libc::S_IFREG {
        return Err(refuse("not a regular file"));
    }
    if stat.st_uid != me && stat.st_uid != 0 {
        return Err(refuse(format!("the file belongs to user {}", stat.st_uid)));
    }
    if stat.st_nlink != 1 || stat.st_mode & 0o077 != 0 {
        return Err(refuse(format!(
            "the file has mode {:o} and {} names; it must have mode 600 and one name",
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
