//! Where segments go: a small trait, so that tests can fail the n-th call or cut the power at any point.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::fs;
use crate::tend::{Tender, ToSeal};

/// A place for segment files.
///
/// # Errors
/// Every call may fail; what it was to do may then be done in part.
#[allow(clippy::missing_errors_doc)]
pub trait Storage: Send {
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
    folder: Option<Arc<OwnedFd>>,
    file: Option<File>,
    /// The present file's name survives the loss of power.
    is_named: bool,
    names: Arc<Names>,
    tender: Tender,
}

/// The way to the files of a session: a file that is synced is lost with its name, and that with its folder's.
#[derive(Debug)]
#[cfg_attr(test, derive(Default))]
pub(crate) struct Names {
    path: PathBuf,
    /// The names of the folder and of those above it survive.
    is_way_synced: AtomicBool,
}

impl Names {
    /// The session's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.path
    }

    /// Makes the names of all files in the folder survive the loss of power.
    pub(crate) fn sync(&self, folder: &OwnedFd) -> io::Result<()> {
        fs::sync_dir(folder)?;
        if !self.is_way_synced.load(Ordering::Acquire) {
            fs::sync_way(&self.path)?;
            self.is_way_synced.store(true, Ordering::Release);
        }
        Ok(())
    }
}

impl Storage for Box<dyn Storage> {
    fn create(&mut self, name: &str) -> io::Result<()> {
        (**self).create(name)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        (**self).append(bytes)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        (**self).truncate(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        (**self).sync()
    }

    fn remove(&mut self, name: &str) {
        (**self).remove(name);
    }

    fn seal(&mut self, from: &str, to: &str) -> io::Result<()> {
        (**self).seal(from, to)
    }

    fn settle(&mut self) -> io::Result<()> {
        (**self).settle()
    }
}

impl SessionFolder {
    pub(crate) fn new(path: &Path, tender: Tender) -> Self {
        let names = Names { path: path.to_owned(), is_way_synced: AtomicBool::new(false) };
        let (path, names) = (path.to_owned(), Arc::new(names));
        Self { path, folder: None, file: None, is_named: false, names, tender }
    }

    fn folder(&mut self) -> io::Result<&Arc<OwnedFd>> {
        if self.folder.is_none() {
            self.folder = Some(Arc::new(fs::create_private_dir_all(&self.path)?));
            self.names.is_way_synced.store(false, Ordering::Release);
        }
        self.folder.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn file(&mut self) -> io::Result<&mut File> {
        self.file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Storage for SessionFolder {
    fn create(&mut self, name: &str) -> io::Result<()> {
        (self.file, self.is_named) = (None, false);
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
        self.file()?.sync_data()?;
        if !self.is_named {
            let names = Arc::clone(&self.names);
            names.sync(self.folder()?)?;
            self.is_named = true;
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) {
        self.file = None;
        if let Ok(folder) = self.folder() {
            let _ = fs::unlink_at(folder, name);
        }
    }

    fn seal(&mut self, from: &str, to: &str) -> io::Result<()> {
        let folder = Arc::clone(self.folder()?);
        let file = self.file.take().ok_or(io::ErrorKind::NotFound)?;
        let names = Arc::clone(&self.names);
        self.tender.seal(ToSeal { folder, names, file, from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    fn settle(&mut self) -> io::Result<()> {
        self.tender.settle()
    }
}
