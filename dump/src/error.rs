//! What can go wrong, each with what to do about it.

use std::fmt;
use std::io;

/// Why there is no dump. The process is as it was.
#[derive(Debug)]
#[non_exhaustive]
pub enum DumpError {
    /// There is no such process, or another one has its number by now.
    Gone {
        /// Which.
        pid: u32,
    },
    /// It ended while it was looked at.
    Ended {
        /// Which.
        pid: u32,
    },
    /// It has ended already and only waits for its parent.
    Zombie {
        /// Which.
        pid: u32,
    },
    /// A thread of the kernel has no memory of its own.
    Kernel {
        /// Which.
        pid: u32,
    },
    /// A process cannot stop itself.
    Own,
    /// The kernel does not let us look at it.
    Denied {
        /// Which.
        pid: u32,
        /// Why, and what to do.
        why: String,
    },
    /// It did not stop: all its threads wait in the kernel.
    NotStopped {
        /// Which.
        pid: u32,
    },
    /// Dumps are not made on this kind of processor.
    Architecture,
    /// Something else.
    Io {
        /// What was done.
        what: String,
        /// What came of it.
        source: io::Error,
    },
}

impl DumpError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        |source| Self::Io { what, source }
    }
}

impl fmt::Display for DumpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone { pid } => {
                write!(f, "there is no process {pid} any more; `tracewell status` shows which components run")
            }
            Self::Ended { pid } => {
                write!(f, "process {pid} ended while it was dumped; nothing was kept")
            }
            Self::Zombie { pid } => {
                write!(f, "process {pid} has ended and has no memory any more (it waits for its parent)")
            }
            Self::Kernel { pid } => {
                write!(f, "process {pid} is a thread of the kernel and has no memory of its own to dump")
            }
            Self::Own => f.write_str("a process cannot dump itself; name another one"),
            Self::Denied { pid, why } => write!(f, "the memory of process {pid} cannot be read: {why}"),
            Self::NotStopped { pid } => write!(
                f,
                "process {pid} did not stop within 2 s, because its threads wait inside the kernel (for a disk or a network \
                 file system); try again"
            ),
            Self::Architecture => f.write_str(
                "memory dumps are made on x86_64 only so far; `gcore` of package gdb makes one on this computer",
            ),
            Self::Io { what, source } => write!(f, "{what}: {source}"),
        }
    }
}

impl std::error::Error for DumpError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<DumpError> for io::Error {
    fn from(e: DumpError) -> Self {
        let kind = match &e {
            DumpError::Denied { .. } => io::ErrorKind::PermissionDenied,
            DumpError::Gone { .. } | DumpError::Zombie { .. } => io::ErrorKind::NotFound,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, e.to_string())
    }
}
