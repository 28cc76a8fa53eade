//! Files that appear under their name only when they are whole: a failure, a kill or a full disk leaves nothing.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};

/// A file without a name yet, readable and writable by this user alone.
#[derive(Debug)]
pub(crate) struct Unnamed {
    dir: OwnedFd,
    file: File,
    /// Where the file system knows no files without a name: the name that it has until it is whole.
    partial: Option<String>,
}

impl Unnamed {
    /// Makes one in a directory.
    pub(crate) fn new(dir: OwnedFd) -> io::Result<Self> {
        let mode = Mode::RUSR | Mode::WUSR;
        match rustix::fs::openat(&dir, ".", OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, mode) {
            Ok(fd) => {
                rustix::fs::fchmod(&fd, mode)?;
                Ok(Self { dir, file: File::from(fd), partial: None })
            }
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR | rustix::io::Errno::INVAL) => {
                let name = format!(".partial-{}", random_hex(8)?);
                let file = tracewell::fs::create_new(&dir, &name)?;
                Ok(Self { dir, file, partial: Some(name) })
            }
            Err(e) => Err(e.into()),
        }
    }

    /// The file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Makes it durable and gives it its name, which must be free.
    pub(crate) fn publish(mut self, name: &str) -> io::Result<File> {
        self.file.sync_all()?;
        match self.partial.take() {
            None => {
                let path = format!("/proc/self/fd/{}", self.file.as_fd().as_raw_fd());
                rustix::fs::linkat(CWD, path, &self.dir, name, AtFlags::SYMLINK_FOLLOW)?;
            }
            Some(partial) => {
                let flags = rustix::fs::RenameFlags::NOREPLACE;
                if let Err(e) = rustix::fs::renameat_with(&self.dir, partial.as_str(), &self.dir, name, flags)
                {
                    self.partial = Some(partial);
                    return Err(e.into());
                }
            }
        }
        tracewell::fs::sync_dir(&self.dir)?;
        self.file.try_clone()
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if let Some(partial) = &self.partial {
            let _ = tracewell::fs::unlink_at(&self.dir, partial);
        }
    }
}

/// Writes a small file whole: under another name first, then in place of what was there.
pub(crate) fn replace(dir: &OwnedFd, name: &str, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;
    let partial = format!(".{name}-{}", random_hex(8)?);
    let mut file = tracewell::fs::create_new(dir, &partial)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| tracewell::fs::rename_at(dir, &partial, name));
    if written.is_err() {
        let _ = tracewell::fs::unlink_at(dir, &partial);
    }
    written?;
    tracewell::fs::sync_dir(dir)
}

/// Random bytes in hexadecimal digits.
pub(crate) fn random_hex(bytes: usize) -> io::Result<String> {
    let mut buffer = vec![0; bytes];
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|r| !r.is_empty()) {
        filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(tracewell::schema::format::hex(&buffer))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A temporary directory that is this user's alone.
    pub(crate) fn private_dir() -> tempfile::TempDir {
        let mode = std::fs::Permissions::from_mode(0o700);
        tempfile::Builder::new().permissions(mode).tempdir().unwrap()
    }

    fn open(dir: &tempfile::TempDir) -> OwnedFd {
        tracewell::fs::open_private_dir(dir.path()).unwrap()
    }

    #[test]
    fn a_file_has_no_name_until_it_is_whole() {
        let dir = private_dir();
        let unnamed = Unnamed::new(open(&dir)).unwrap();
        unnamed.file().write_all(b"whole").unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        unnamed.publish("sealed.age").unwrap();
        let path = dir.path().join("sealed.age");
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let other = Unnamed::new(open(&dir)).unwrap();
        assert!(other.publish("sealed.age").is_err(), "nothing is replaced");
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        drop(Unnamed::new(open(&dir)).unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_small_file_is_replaced_whole() {
        let dir = private_dir();
        for text in ["one", "two"] {
            replace(&open(&dir), "state.json", text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(dir.path().join("state.json")).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(random_hex(8).unwrap().len(), 16);
    }
}
