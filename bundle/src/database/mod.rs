//! `SQLite` databases: copied while they are in use, shown as text, and opened so that a hostile one does no harm.
//!
//! A database exists here only in memory: no function of this module writes a file, and none changes the database that is
//! copied.

mod copy;
mod guard;
mod show;

#[cfg(test)]
mod tests;

pub(crate) use copy::copy;
pub(crate) use guard::{Budget, Table, columns, empty, image, opened, quoted, tables};
pub(crate) use show::write_tables;

/// Largest database that is copied or shown, in bytes: it is in memory several times.
pub(crate) const MAX_DATABASE: u64 = 128 << 20;

/// What a file is, by its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looks {
    /// A database.
    Database,
    /// The write-ahead log of one.
    Log,
    /// The index of such a log, which is in shared memory while it is used.
    Index,
    /// The rollback journal of one.
    Journal,
    /// Something else.
    Other,
}

impl Looks {
    /// What it is, if it belongs to a database without being one.
    pub(crate) fn side_file(self) -> Option<&'static str> {
        match self {
            Self::Log => Some("its log"),
            Self::Index => Some("the index of its log"),
            Self::Journal => Some("its journal"),
            Self::Database | Self::Other => None,
        }
    }
}

/// Looks at the beginning of a file.
pub(crate) fn look(head: &[u8]) -> Looks {
    let starts = |magic: &[u8]| head.starts_with(magic);
    if starts(b"SQLite format 3\0") {
        Looks::Database
    } else if starts(&[0x37, 0x7f, 0x06, 0x82]) || starts(&[0x37, 0x7f, 0x06, 0x83]) {
        Looks::Log
    } else if starts(&[0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7]) {
        Looks::Journal
    } else if starts(&3_007_000_u32.to_le_bytes()) && head.len() >= 136 {
        Looks::Index
    } else {
        Looks::Other
    }
}
