//! The product's own list of files, which its maker ships: `files.toml`.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use tracewell::settings::parse_size;

use crate::member::Personal;
use crate::product::{Product, ProductError};

/// What a file is to the product.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FileKind {
    /// What the user chose.
    Settings,
    /// Reports that the product made.
    Reports,
    /// An internal database.
    Database,
    /// What the administrator or the maker configured.
    Configuration,
    /// What the product logs.
    Log,
    /// Something else, asked for by name.
    #[default]
    Other,
}

/// Files that belong together, and how much of them is taken.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileGroup {
    /// A name for it: `scanner-settings`.
    pub name: String,
    /// What is in these files, in words for the user.
    #[serde(default)]
    pub description: String,
    /// What they are to the product.
    #[serde(default)]
    pub kind: FileKind,
    /// The component that they belong to.
    #[serde(default)]
    pub component: String,
    /// Where they lie: absolute patterns, or ones that begin with `~/`.
    pub paths: Vec<String>,
    /// Most files.
    #[serde(default = "default_files")]
    pub max_files: usize,
    /// Largest file, in bytes.
    #[serde(default = "default_size", deserialize_with = "size")]
    pub max_size: u64,
    /// Most bytes of all these files.
    #[serde(default = "default_total", deserialize_with = "size")]
    pub max_total: u64,
    /// Which kinds of personal data they can hold.
    #[serde(default)]
    pub personal: Vec<Personal>,
    /// Only so many, those that were changed last.
    pub newest: Option<usize>,
    /// Of a file that is larger than this, only its end: so many bytes.
    #[serde(default, deserialize_with = "some_size")]
    pub tail: Option<u64>,
    /// They are `SQLite` databases. A file that begins like one is taken for one without this, too.
    #[serde(default)]
    pub sqlite: bool,
}

/// The list.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct FileList {
    /// The groups, in the order in which they are collected.
    #[serde(default)]
    pub files: Vec<FileGroup>,
}

/// Most groups of a list.
const MAX_GROUPS: usize = 1000;
/// Most patterns of a group.
const MAX_PATTERNS: usize = 100;
/// What no list can exceed: files, bytes of a file, bytes of a group.
const HARD: (usize, u64, u64) = (10_000, 1 << 30, 4 << 30);

fn default_files() -> usize {
    100
}

fn default_size() -> u64 {
    16 << 20
}

fn default_total() -> u64 {
    64 << 20
}

fn size<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    parse_size(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

fn some_size<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    size(from).map(Some)
}

impl FileGroup {
    /// A group of files that somebody asked for by patterns.
    #[must_use]
    pub fn of_patterns(name: &str, patterns: &[String]) -> Self {
        Self {
            name: name.to_owned(),
            description: String::new(),
            kind: FileKind::Other,
            component: String::new(),
            paths: patterns.to_vec(),
            max_files: 1000,
            max_size: 256 << 20,
            max_total: 1 << 30,
            personal: vec![Personal::Content],
            newest: None,
            tail: None,
            sqlite: false,
        }
    }

    fn check(&self) -> Result<(), String> {
        let (files, size, total) = HARD;
        let wrong = |what: &str| Err(format!("files {:?}: {what}", self.name));
        if self.name.is_empty() || self.name.len() > 100 || self.description.len() > 1000 {
            return wrong("a name has 1 to 100 characters, a description 1,000 at most");
        }
        if self.paths.is_empty() || self.paths.len() > MAX_PATTERNS {
            return wrong("paths must name 1 to 100 patterns");
        }
        if self.max_files > files || self.max_size > size || self.max_total > total {
            return wrong("at most 10000 files, 1G each and 4G in all can be taken");
        }
        if self.tail.is_some_and(|tail| tail > self.max_size) {
            return wrong("tail is more than max-size");
        }
        if self.tail.is_some() && self.sqlite {
            return wrong("a database has no tail");
        }
        for path in &self.paths {
            let home = Path::new("/home/user");
            if let Err(what) = super::glob::Pattern::parse(path, Some(home)) {
                return wrong(&format!("{path:?}: {what}"));
            }
        }
        Ok(())
    }
}

impl FileList {
    /// Reads the list that a product names; empty if it names none.
    ///
    /// # Errors
    /// If it cannot be read, others could write it, or something in it is wrong.
    pub fn of(product: &Product) -> Result<Self, ProductError> {
        let Some(path) = product.files.as_ref().map(|path| product.beside(path)) else {
            return Ok(Self::default());
        };
        let text = crate::product::read(&path).map_err(|e| ProductError::Unusable(path.clone(), e))?;
        Self::parse(&text).map_err(|what| ProductError::Wrong(path, what))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let list: Self = toml::from_str(text).map_err(|e| e.to_string())?;
        if list.files.len() > MAX_GROUPS {
            return Err(format!("a list has {MAX_GROUPS} groups at most"));
        }
        list.files.iter().try_for_each(FileGroup::check)?;
        Ok(list)
    }
}

/// The home folder of who calls.
pub(super) fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_with_its_defaults_and_checked() {
        let group = "[[files]]\nname = \"a\"\npaths = [\"/var/log/x/*.log\"]\n";
        let list = FileList::parse(group).unwrap();
        assert_eq!(
            (list.files[0].max_files, list.files[0].max_size, list.files[0].tail),
            (100, 16 << 20, None)
        );
        let full = format!(
            "{group}kind = \"log\"\ncomponent = \"scanner\"\nnewest = 3\ntail = \"1M\"\nmax-size = \"2M\"\n\
             max-total = \"10M\"\npersonal = [\"path\", \"user-name\"]\ndescription = \"What it did\"\n"
        );
        let full = FileList::parse(&full).unwrap().files.remove(0);
        assert_eq!((full.kind, full.newest, full.tail), (FileKind::Log, Some(3), Some(1 << 20)));
        for (bad, says) in [
            ("max-size = \"2G\"", "1G each"),
            ("max-files = 10001", "10000 files"),
            ("max-total = \"5G\"", "4G in all"),
            ("max-size = \"some\"", "no size"),
            ("tail = \"17M\"", "more than max-size"),
            ("tail = \"1M\"\nsqlite = true", "no tail"),
            ("personal = [\"soul\"]", "soul"),
            ("kind = \"virus\"", "virus"),
            ("follow-links = true", "follow-links"),
        ] {
            let error = FileList::parse(&format!("{group}{bad}\n")).unwrap_err();
            assert!(error.contains(says), "{bad}: {error}");
        }
        let relative = FileList::parse("[[files]]\nname = \"a\"\npaths = [\"../x\"]\n").unwrap_err();
        assert!(relative.contains("../x"), "{relative}");
    }
}
