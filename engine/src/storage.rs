//! Where segments go: a small trait, so that tests can fail the n-th call or cut the power at any point.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::fs;
use crate::tend::{Tender, ToSeal};

/// A place for segment files.
pub(crate) trait Storage: Send {
    /// Creates a file that must not exist and makes it the one that is appended to.
    fn create(&mut self, name: &str) -> io::Result<()>;
    /// Appends all of `bytes`. After an error the end of the file is suspect.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Cuts the present file to its first `len` bytes.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
    /// Makes what was appended to the present file survive the loss of power.
    fn sync(&mut self) -> io::Result<()>;
    /// Removes the present file.
    fn remove(&mut self, name: &str);
    /// Syncs the present file, renames it and makes the new name durable; maybe later.
    fn seal(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Waits until everything that is to be sealed is, and tells the first failure since the last call.
    fn settle(&mut self) -> io::Result<()>;
}

/// Files of a session folder. Sealing, which waits for the disk, is left to the tender.
#[derive(Debug)]
pub(crate) struct SessionFolder {
    path: PathBuf,
    folder: Option<OwnedFd>,
    file: Option<File>,
    tender: Tender,
}

impl SessionFolder {
    pub(crate) fn new(path: &Path, tender: Tender) -> Self {
        Self { path: path.to_owned(), folder: None, file: None, tender }
    }

    fn folder(&mut self) -> io::Result<&OwnedFd> {
        if self.folder.is_none() {
            self.folder = Some(fs::create_private_dir_all(&self.path)?);
        }
        self.folder.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn file(&mut self) -> io::Result<&mut File> {
        self.file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
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
        self.file()?.write_all(bytes)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        use std::io::{Seek, SeekFrom};
        let file = self.file()?;
        file.set_len(len)?;
        file.seek(SeekFrom::Start(len)).map(drop)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file()?.sync_data()
    }

    fn remove(&mut self, name: &str) {
        self.file = None;
        if let Ok(folder) = self.folder() {
            let _ = fs::unlink_at(folder, name);
        }
    }

    fn seal(&mut self, from: &str, to: &str) -> io::Result<()> {
        let folder = self.folder()?.try_clone()?;
        let file = self.file.take().ok_or(io::ErrorKind::NotFound)?;
        self.tender.seal(ToSeal { folder, file, from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    fn settle(&mut self) -> io::Result<()> {
        self.tender.settle()
    }
}
