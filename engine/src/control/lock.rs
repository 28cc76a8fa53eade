//! Who changes the page: one at a time.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::fs;

const NAME: &str = "control.lock";
const PATIENCE: Duration = Duration::from_secs(2);

/// The right to change the page, until it is dropped.
#[derive(Debug)]
pub(super) struct ChangeLock(File);

impl ChangeLock {
    /// `None` if another has it.
    pub(super) fn try_take(folder: &OwnedFd) -> io::Result<Option<Self>> {
        let file = match fs::open_existing(folder, NAME, true) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => match fs::create_new(folder, NAME) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => fs::open_existing(folder, NAME, true)?,
                other => other?,
            },
            other => other?,
        };
        Ok(fs::try_lock_ofd(&file)?.then_some(Self(file)))
    }

    /// Waits up to two seconds.
    pub(super) fn take(folder: &OwnedFd) -> io::Result<Self> {
        Self::take_within(folder, PATIENCE)
    }

    /// Waits up to some time.
    pub(super) fn take_within(folder: &OwnedFd, patience: Duration) -> io::Result<Self> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(lock) = Self::try_take(folder)? {
                return Ok(lock);
            }
            if Instant::now() > deadline {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "another command is changing the settings; try again",
                ));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for ChangeLock {
    fn drop(&mut self) {
        // Closing is not enough: a child forked meanwhile has the same open file description and would keep the
        // lock as long as it lives.
        // SAFETY: an all-zero flock is a valid value: from 0 to the end of the file.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        lock.l_type = libc::F_UNLCK as libc::c_short;
        lock.l_whence = libc::SEEK_SET as libc::c_short;
        // SAFETY: `self.0` keeps the descriptor open; `lock` is a flock that lives through the call.
        unsafe { libc::fcntl(self.0.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
    }
}
