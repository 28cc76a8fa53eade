//! What can go wrong, one variant for each thing that a caller can do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::dirs::DirError;

/// Why a component could not attach. It is unharmed: an inert tracer does nothing.
#[derive(Debug)]
#[non_exhaustive]
pub enum AttachError {
    /// The name is empty, longer than 31 bytes, or has characters other than `A-Za-z0-9._-`.
    Component {
        /// The name given.
        name: String,
    },
    /// The ring size is not a power of two from 64 KiB to 256 MiB.
    RingSize {
        /// The size given.
        bytes: u64,
    },
    /// The trace directory cannot be used.
    Dir(DirError),
    /// The control page cannot be mapped.
    Control {
        /// The control file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Component { name } => write!(
                f,
                "component name {name:?} cannot be used: give 1 to 31 characters of A-Z a-z 0-9 . _ -"
            ),
            Self::RingSize { bytes } => write!(
                f,
                "ring size {bytes} cannot be used: give a power of two from 65536 to 268435456 bytes"
            ),
            Self::Dir(e) => e.fmt(f),
            Self::Control { path, source } => {
                write!(f, "cannot use the control page {}: {source}{}", path.display(), remedy(source))
            }
        }
    }
}

/// What to do about a control page that cannot be made or mapped, if the error itself does not say it.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        _ if error.raw_os_error().is_none() => "",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; make room, or let TRACEWELL_DIR name another directory"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; let TRACEWELL_DIR name a directory that this user may write"
        }
        _ => "; check that the directory and the file belong to this user, with modes 700 and 600",
    }
}

impl std::error::Error for AttachError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Dir(e) => Some(e),
            Self::Control { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<DirError> for AttachError {
    fn from(e: DirError) -> Self {
        Self::Dir(e)
    }
}

/// Why a flush did not do what it promises. The events are still in the rings, and are tried again.
#[derive(Debug)]
#[non_exhaustive]
pub enum FlushError {
    /// The segment could not be written or synced.
    Io {
        /// What the segment writer met.
        message: String,
    },
    /// Ten seconds were not enough.
    Timeout,
    /// Called in a forked child before its first emit, or on one of the tracer's own threads.
    NotHere,
}

impl fmt::Display for FlushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { message } => {
                write!(f, "events stay in their rings, the segment cannot be written: {message}")
            }
            Self::Timeout => {
                f.write_str("events stay in their rings, the segment was not written within 10 s")
            }
            Self::NotHere => f.write_str("flush was called where no drain can serve it"),
        }
    }
}

impl std::error::Error for FlushError {}

/// Why a session could not be begun in this process.
#[derive(Debug)]
pub(crate) struct StateError {
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

impl StateError {
    pub(crate) fn folder(path: &Path, source: io::Error) -> Self {
        Self { path: path.to_owned(), source }
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_its_remedy_and_has_it_once() {
        let text = |source| AttachError::Control { path: "/x/control".into(), source }.to_string();
        assert!(text(io::Error::from_raw_os_error(libc::ENOSPC)).contains("make room"));
        assert!(text(io::Error::from_raw_os_error(libc::EROFS)).contains("may write"));
        let own = text(io::Error::other("it has mode 755; run chmod 700 on it"));
        assert!(own.ends_with("chmod 700 on it"), "{own}");
    }
}
