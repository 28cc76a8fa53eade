//! What a bundle is made of.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};

/// Longest name of a member, in bytes.
const MAX_NAME: usize = 99;

/// The name of a member: one to three parts of `a-z`, `0-9`, `-`, `_` and `.`, joined by `/`, none of which begins
/// with a dot. Made by us, never taken from what is collected: `os/report.json`, `trace/0001.twseg`, `files/0007.txt`.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct MemberName(String);

/// A name that no member may have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NameError(String);

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no name of a bundle member", self.0)
    }
}

impl std::error::Error for NameError {}

impl MemberName {
    /// Checks a name.
    ///
    /// # Errors
    /// If it is not of the form above.
    pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
        let name = name.into();
        let part = |part: &str| {
            let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
            !part.is_empty() && !part.starts_with('.') && part.bytes().all(allowed)
        };
        let parts = name.split('/').count();
        if name.len() <= MAX_NAME && parts <= 3 && name.split('/').all(part) {
            Ok(Self(name))
        } else {
            Err(NameError(name))
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for MemberName {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        Self::new(name)
    }
}

impl From<MemberName> for String {
    fn from(name: MemberName) -> Self {
        name.0
    }
}

/// What a member is, which says how it is shown.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// Operating-system information, as JSON.
    OsInformation,
    /// A trace segment.
    Segment,
    /// A minidump of a process.
    Minidump,
    /// The whole memory of a process, as an ELF core.
    Core,
    /// Another file: text.
    Text,
    /// Another file: a `SQLite` database.
    Database,
    /// Another file that is no text.
    Binary,
    /// Made for the bundle itself: notes on what was skipped, the redaction report.
    Note,
}

impl Kind {
    /// In words for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::OsInformation => "operating system",
            Self::Segment => "trace",
            Self::Minidump => "minidump",
            Self::Core => "whole memory",
            Self::Text => "text",
            Self::Database => "database",
            Self::Binary => "binary",
            Self::Note => "note",
        }
    }
}

/// A kind of personal data, as the privacy document names them.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Personal {
    /// Names of users of the computer.
    UserName,
    /// Names of computers.
    HostName,
    /// Paths below home directories, and names of the user's own files.
    Path,
    /// IP and hardware addresses.
    Address,
    /// Visited addresses and search words.
    Url,
    /// E-mail addresses and names of correspondents.
    Mail,
    /// Who writes to whom in messengers.
    Message,
    /// Command lines and names of started programs.
    Program,
    /// Serial numbers and other identifiers of devices.
    Device,
    /// The content of memory: anything may be in it.
    Memory,
    /// The content of files: anything may be in it.
    Content,
}

impl Personal {
    /// In words for people, more than one of it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::UserName => "user names",
            Self::HostName => "computer names",
            Self::Path => "paths",
            Self::Address => "addresses",
            Self::Url => "visited addresses",
            Self::Mail => "mail addresses",
            Self::Message => "correspondents",
            Self::Program => "programs and command lines",
            Self::Device => "device numbers",
            Self::Memory => "content of memory",
            Self::Content => "content of files",
        }
    }
}

/// What is said of a member before its bytes.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct MemberInfo {
    /// Its name in the bundle.
    pub name: MemberName,
    /// What it is.
    pub kind: Kind,
    /// Where it came from, in words for the user: a path, a component, a collector. Redacted as the content is.
    pub origin: String,
    /// Which kinds of personal data it can hold, and how many of each are known to be in it (0: not counted).
    pub personal: BTreeMap<Personal, u64>,
}

/// Something that was asked for and is not in the bundle.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Skipped {
    /// What: a path, a component, a collector.
    pub what: String,
    /// Why, in words for the user.
    pub why: String,
}

/// Takes what sources give.
pub trait Sink {
    /// Takes a member whole. The name must not have been used before.
    ///
    /// # Errors
    /// If its content cannot be read to the end or the draft cannot be written: the bundle is not made.
    fn member(&mut self, info: MemberInfo, content: &mut dyn Read) -> io::Result<()>;

    /// Notes something that is left out. The user and support see the list.
    fn skip(&mut self, skipped: Skipped);
}

/// Gives members: one of the operating-system collectors, the traces, the dumps, the other files.
pub trait Source {
    /// What it collects, for progress and messages: `operating-system information`.
    fn label(&self) -> String;

    /// Gives everything to the sink. What cannot be had is skipped with a reason, and is no error.
    ///
    /// # Errors
    /// Only the sink's.
    fn collect(&mut self, sink: &mut dyn Sink) -> io::Result<()>;
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Takes members into memory.
    #[derive(Default)]
    pub(crate) struct Kept {
        pub(crate) members: Vec<(MemberInfo, Vec<u8>)>,
        pub(crate) skipped: Vec<Skipped>,
    }

    impl Sink for Kept {
        fn member(&mut self, info: MemberInfo, content: &mut dyn Read) -> io::Result<()> {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            self.members.push((info, bytes));
            Ok(())
        }

        fn skip(&mut self, skipped: Skipped) {
            self.skipped.push(skipped);
        }
    }

    #[test]
    fn names_are_of_one_form_only() {
        for good in ["manifest.json", "os/report.json", "trace/0001.twseg", "a/b/c_d-e.f"] {
            assert_eq!(MemberName::new(good).unwrap().as_str(), good);
        }
        let long = "a".repeat(100);
        for bad in
            ["", "/", "../x", "a/../b", ".a", "a//b", "/a", "a/", "A", "a b", "a\0", "a/b/c/d", "ä", &long]
        {
            assert!(MemberName::new(bad).is_err(), "{bad:?}");
        }
    }
}
