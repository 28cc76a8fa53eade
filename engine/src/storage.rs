//! Where segments go: a small trait, so that tests can fail the n-th call or cut the power at any point.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::fs;

/// A place for segment files.
pub(crate) trait Storage: Send {
    /// Creates a file that must not exist and makes it the one that is appended to.
    fn create(&mut self, name: &str) -> io::Result<()>;
    /// Appends all of `bytes`. After an error the file is suspect: the caller goes on in a new one.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes what was appended survive the loss of power.
    fn sync(&mut self) -> io::Result<()>;
    /// Renames the present file and makes the new name durable.
    fn seal(&mut self, from: &str, to: &str) -> io::Result<()>;
}

/// Files of a session folder.
#[derive(Debug)]
pub(crate) struct SessionFolder {
    path: PathBuf,
    folder: Option<OwnedFd>,
    file: Option<File>,
}

impl SessionFolder {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), folder: None, file: None }
    }

    fn folder(&mut self) -> io::Result<&OwnedFd> {
        if self.folder.is_none() {
            self.folder = Some(fs::create_private_dir_all(&self.path)?);
        }
        self.folder.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Storage for SessionFolder {
    fn create(&mut self, name: &str) -> io::Result<()> {
        self.file = None;
        let made = fs::create_new(self.folder()?, name);
        if made.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
            // The folder was removed under us (a purge): make it again next time.
            self.folder = None;
        }
        self.file = Some(made?);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.as_mut().ok_or(io::ErrorKind::NotFound)?.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.as_ref().ok_or(io::ErrorKind::NotFound)?.sync_data()
    }

    fn seal(&mut self, from: &str, to: &str) -> io::Result<()> {
        let folder = self.folder()?;
        fs::rename_at(folder, from, to)?;
        rustix::fs::fsync(folder)?;
        self.file = None;
        Ok(())
    }
}
