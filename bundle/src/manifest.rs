//! What a bundle says of itself.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

use crate::member::{MemberInfo, MemberName, Skipped};

/// Version of the manifest's form.
pub const MANIFEST_FORMAT: u32 = 1;
/// Most members of a bundle.
pub const MAX_MEMBERS: usize = 100_000;
/// Longest manifest, in bytes.
pub const MAX_MANIFEST: u64 = 64 << 20;
/// Largest member, in bytes: what a header of the tar format can say.
pub const MAX_MEMBER: u64 = (8 << 30) - 1;

/// What holds for the whole bundle, decided when it is prepared.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Terms {
    /// The case that support gave it, if any.
    pub case: Option<String>,
    /// Name and version of the product.
    pub product: String,
    /// When it was prepared: RFC 3339, UTC.
    pub prepared_at: String,
    /// How it was redacted: `none`, `standard` or `strict`.
    pub redaction: String,
    /// Version of the privacy statement that holds for it.
    pub statement: Option<String>,
}

/// A member as the manifest lists it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Entry {
    /// What it is.
    #[serde(flatten)]
    pub info: MemberInfo,
    /// Its length in bytes.
    pub size: u64,
    /// SHA-256 of its bytes, in hexadecimal digits.
    pub sha256: String,
}

/// The table of contents: `manifest.json`, the first member of a sealed bundle.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Manifest {
    /// [`MANIFEST_FORMAT`].
    pub format: u32,
    /// A random number that names the bundle: 32 hexadecimal digits.
    pub id: String,
    /// What holds for all of it.
    #[serde(flatten)]
    pub terms: Terms,
    /// The members, in their order.
    pub members: Vec<Entry>,
    /// What was asked for and could not be had.
    pub skipped: Vec<Skipped>,
    /// Members that the user struck out. Support sees that, and how many, and nothing of them but the name.
    pub struck: Vec<MemberName>,
    /// What was replaced: how often, by kind.
    pub replaced: BTreeMap<String, u64>,
}

impl Manifest {
    /// The entry of a member.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.members.iter().find(|entry| entry.info.name.as_str() == name)
    }

    /// The entry of a member, and its place among them.
    pub(crate) fn place(&self, name: &str) -> io::Result<(usize, &Entry)> {
        let mut all = self.members.iter().enumerate();
        all.find(|(_, entry)| entry.info.name.as_str() == name).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("the bundle has no member {name:?}"))
        })
    }

    /// Bytes of all members.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.members.iter().map(|entry| entry.size).fold(0, u64::saturating_add)
    }

    /// The same without the members that are struck out, and without what is for the user alone.
    #[must_use]
    pub fn without(&self, struck: &std::collections::BTreeSet<MemberName>) -> Self {
        let mut left = self.clone();
        let is_private = |entry: &Entry| entry.info.name.as_str().starts_with("private/");
        left.members.retain(|entry| !struck.contains(&entry.info.name) && !is_private(entry));
        left.struck = struck.iter().filter(|name| self.find(name.as_str()).is_some()).cloned().collect();
        left
    }
}
