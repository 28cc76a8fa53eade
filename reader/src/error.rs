//! Errors that end reading. What only costs a part of the trace is a [`crate::Damage`] instead.

use std::fmt;
use std::io;
use std::path::PathBuf;

use tracewell_schema::format::segment::{MAJOR, MINOR};

/// Why nothing could be read, or the output not be written.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// A place that was named cannot be read.
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A place that was named holds no trace.
    NoTrace {
        /// Which.
        path: PathBuf,
    },
    /// The only thing named is of a later version.
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: (u16, u16),
    },
    /// The file named cannot be used.
    Foreign {
        /// Which.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// Output cannot be written.
    Output {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ReadError {
    /// Why, without the place.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Unreadable { source, .. } | Self::Output { source, .. } => source.to_string(),
            Self::NoTrace { .. } => "holds no trace".to_owned(),
            Self::Version { found, .. } => {
                let (major, minor) = found;
                format!(
                    "has format version {major}.{minor}, this reader knows {MAJOR}.{MINOR}; use a newer tracewell"
                )
            }
            Self::Foreign { what, .. } => what.clone(),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, source } => write!(
                f,
                "{} cannot be read: {source}; check that it exists and belongs to this user",
                path.display()
            ),
            Self::NoTrace { path } => write!(
                f,
                "{} holds no trace; name a trace directory, a session, a .twseg file or a ring folder",
                path.display()
            ),
            Self::Version { path, .. } => {
                write!(f, "{} {}", path.display(), self.reason())
            }
            Self::Foreign { path, what } => {
                write!(f, "{} cannot be used: {what}; name a file that tracewell wrote", path.display())
            }
            Self::Output { path, source } => write!(
                f,
                "{} cannot be written: {source}; name a directory of this user with room",
                path.display()
            ),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { source, .. } | Self::Output { source, .. } => Some(source),
            _ => None,
        }
    }
}
