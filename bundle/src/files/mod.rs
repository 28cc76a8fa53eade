//! Other files: settings, reports, databases, configuration and logs, as the product's list names them, and what support
//! or the user asks for by patterns.
//!
//! Never through links, nothing but regular files, at most as much as the list allows, and whatever is left out is
//! listed with the reason. A database is copied through `SQLite` itself, so that one in use is copied consistently.

mod glob;
mod list;
mod walk;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

pub use list::{FileGroup, FileKind, FileList};

use crate::database;
use crate::member::{Kind, MemberInfo, MemberName, Personal, Sink, Skipped, Source};
use glob::Pattern;
use walk::{Found, Identity, Limits, Opened};

/// Bytes of a file that say whether it is text.
const HEAD: u64 = 64 << 10;
/// Most files of a bundle.
const MAX_FILES: usize = 20_000;
/// Most bytes of all of them.
const MAX_TOTAL: u64 = 8 << 30;
/// Most entries of the list of what is left out.
const MAX_SKIPPED: usize = 5000;

/// Gives the files as `files/0001.txt`, `.db` or `.bin`, and what is known of each as `notes/files.json`.
#[derive(Debug, Default)]
pub struct Files {
    asked: Vec<(FileGroup, String)>,
    never: Vec<(Identity, &'static str)>,
    limits: Limits,
}

/// What is said of each file.
#[derive(Debug, serde::Serialize)]
struct Said {
    member: String,
    /// The group that it was found by, and what the group says of it.
    group: String,
    description: String,
    kind: FileKind,
    component: String,
    asked_by: String,
    path: String,
    size: u64,
    changed: String,
    owner: u32,
    mode: String,
    copied: &'static str,
}

impl Files {
    /// None so far. `base` is the trace directory: what lies there is no other file, and the user's key least of all.
    #[must_use]
    pub fn new(base: &Path) -> Self {
        let never = walk::folder_identity(base).map(|it| (it, "it is the trace directory itself"));
        Self { never: never.into_iter().collect(), ..Self::default() }
    }

    /// Also these, asked for by somebody: `the product`, `support`, `you`.
    pub fn ask(&mut self, groups: impl IntoIterator<Item = FileGroup>, by: &str) {
        self.asked.extend(groups.into_iter().map(|group| (group, by.to_owned())));
    }

    /// Whether nothing was asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }
}

impl Source for Files {
    fn label(&self) -> String {
        "files".into()
    }

    fn collect(&mut self, sink: &mut dyn Sink) -> io::Result<()> {
        let mut taking = Taking { sink, taken: BTreeSet::new(), said: Vec::new(), bytes: 0, skipped: 0 };
        for (group, by) in &self.asked {
            taking.group(group, by, self.limits, &self.never)?;
        }
        if taking.skipped > MAX_SKIPPED {
            let what = format!("{} more", taking.skipped - MAX_SKIPPED);
            taking.sink.skip(Skipped { what, why: "the list of what is left out is full".into() });
        }
        if !taking.said.is_empty() {
            let info = MemberInfo {
                name: MemberName::new("notes/files.json").map_err(io::Error::other)?,
                kind: Kind::Note,
                origin: "what is known of each file".into(),
                personal: BTreeMap::from([(Personal::Path, 0)]),
            };
            let text = serde_json::to_vec_pretty(&taking.said)?;
            sink.member(info, &mut text.as_slice())?;
        }
        Ok(())
    }
}

struct Taking<'a> {
    sink: &'a mut dyn Sink,
    taken: BTreeSet<Identity>,
    said: Vec<Said>,
    bytes: u64,
    skipped: usize,
}

impl Taking<'_> {
    fn skip(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.skipped += 1;
        if self.skipped <= MAX_SKIPPED {
            self.sink.skip(Skipped { what: what.into(), why: why.into() });
        }
    }

    fn group(
        &mut self,
        group: &FileGroup,
        by: &str,
        limits: Limits,
        never: walk::Never<'_>,
    ) -> io::Result<()> {
        let home = list::home();
        let mut all: BTreeMap<PathBuf, Found> = BTreeMap::new();
        for path in &group.paths {
            let pattern = match Pattern::parse(path, home.as_deref()) {
                Ok(pattern) => pattern,
                Err(what) => {
                    self.skip(format!("files {path}"), what);
                    continue;
                }
            };
            let finding = walk::find(&pattern, limits, never);
            let is_none = finding.found.is_empty() && finding.skipped.is_empty() && finding.cut.is_none();
            if is_none {
                self.skip(format!("files {path}"), "there are none");
            }
            if let Some(why) = finding.cut {
                self.skip(format!("files {path}: not all of them"), why);
            }
            for (path, why) in finding.skipped {
                self.skip(path.display().to_string(), why);
            }
            all.extend(finding.found);
        }
        let mut all: Vec<(PathBuf, Found)> = all.into_iter().collect();
        if let Some(newest) = group.newest {
            all.sort_by_key(|(_, found)| std::cmp::Reverse(found.changed));
            if all.len() > newest {
                let older = all.split_off(newest);
                self.skip(
                    format!("{} older files of {}", older.len(), group.name),
                    "only the newest are taken",
                );
            }
        }
        let (mut files, mut bytes) = (0, 0);
        for (path, found) in all {
            if self.taken.contains(&found.identity) {
                continue;
            }
            if files >= group.max_files || self.said.len() >= MAX_FILES {
                self.skip(path.display().to_string(), "as many files as may be taken are in it");
                continue;
            }
            let left = group.max_total.saturating_sub(bytes).min(MAX_TOTAL.saturating_sub(self.bytes));
            match self.file(group, by, &path, &found, left)? {
                Ok(taken) => {
                    (files, bytes) = (files + 1, bytes + taken);
                    self.bytes += taken;
                    self.taken.insert(found.identity);
                }
                Err(why) => self.skip(path.display().to_string(), why),
            }
        }
        Ok(())
    }

    /// Takes one file; the bytes that were taken, or why it was left out.
    fn file(
        &mut self,
        group: &FileGroup,
        by: &str,
        path: &Path,
        found: &Found,
        left: u64,
    ) -> io::Result<Result<u64, String>> {
        let Opened { mut file, stat } = match walk::open(path, found) {
            Ok(opened) => opened,
            Err(why) => return Ok(Err(why)),
        };
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let most = group.max_size.min(left);
        let too_large = |size: u64| {
            let of = if size > group.max_size { "a file may have" } else { "are left of what may be taken" };
            format!(
                "it has {size} bytes, and {} {of}",
                if size > group.max_size { group.max_size } else { left }
            )
        };
        let head = match head(&mut file) {
            Ok(head) => head,
            Err(e) => return Ok(Err(e.to_string())),
        };
        let what = database::look(&head);
        if let Some(of) = what.side_file() {
            return Ok(Err(format!("it is a part of a database ({of}), which is copied whole")));
        }
        if group.sqlite || what == database::Looks::Database {
            if what != database::Looks::Database {
                return Ok(Err("it is no SQLite database, or encrypted".into()));
            }
            if size > most {
                return Ok(Err(too_large(size)));
            }
            let image = match database::copy(path, &file, most) {
                Ok(image) => image,
                Err(why) => return Ok(Err(why)),
            };
            let len = image.len() as u64;
            self.member(group, by, path, &stat, Kind::Database, "through SQLite", &mut image.as_slice())?;
            return Ok(Ok(len));
        }
        let kind = if is_text(&head) { Kind::Text } else { Kind::Binary };
        let tail = group.tail.map(|tail| tail.min(most)).filter(|tail| size > *tail && kind == Kind::Text);
        if tail.is_none() && size > most {
            return Ok(Err(too_large(size)));
        }
        // What is appended meanwhile is not taken: a file has the length that it had when it was looked at.
        let (begin, copied) = match tail {
            Some(tail) => (size - tail, "only its end"),
            None => (0, "whole"),
        };
        let mut bounded = match Bounded::new(file, begin, size - begin) {
            Ok(bounded) => bounded,
            Err(e) => return Ok(Err(e.to_string())),
        };
        self.member(group, by, path, &stat, kind, copied, &mut bounded)?;
        if let Some(e) = bounded.error {
            self.skip(format!("the rest of {}", path.display()), format!("it could not be read: {e}"));
        }
        Ok(Ok(bounded.given))
    }

    #[expect(clippy::too_many_arguments, reason = "all that is said of a member")]
    fn member(
        &mut self,
        group: &FileGroup,
        by: &str,
        path: &Path,
        stat: &rustix::fs::Stat,
        kind: Kind,
        copied: &'static str,
        content: &mut dyn Read,
    ) -> io::Result<()> {
        let ending = match kind {
            Kind::Database => "db",
            Kind::Text => "txt",
            _ => "bin",
        };
        let name = format!("files/{:04}.{ending}", self.said.len() + 1);
        let path = path.display().to_string();
        let info = MemberInfo {
            name: MemberName::new(name.as_str()).map_err(io::Error::other)?,
            kind,
            origin: path.clone(),
            personal: group.personal.iter().map(|kind| (*kind, 0)).collect(),
        };
        self.sink.member(info, content)?;
        let changed = jiff::Timestamp::from_second(stat.st_mtime).map(|t| t.to_string()).unwrap_or_default();
        self.said.push(Said {
            member: name,
            group: group.name.clone(),
            description: group.description.clone(),
            kind: group.kind,
            component: group.component.clone(),
            asked_by: by.to_owned(),
            path,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            changed,
            owner: stat.st_uid,
            mode: format!("{:o}", stat.st_mode & 0o7777),
            copied,
        });
        Ok(())
    }
}

/// The beginning of a file.
fn head(file: &mut File) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.take(HEAD).read_to_end(&mut head)?;
    file.rewind()?;
    Ok(head)
}

/// Whether bytes are text: UTF-8, or one of the older one-byte codes, without the control characters that no text has.
fn is_text(head: &[u8]) -> bool {
    let is_odd = |b: &u8| b.is_ascii_control() && !b"\t\n\r\x0c\x1b\x08".contains(b);
    if head.iter().any(is_odd) {
        return false;
    }
    match std::str::from_utf8(head) {
        Ok(_) => true,
        // A character that the end of the piece cuts.
        Err(e) if e.error_len().is_none() => true,
        Err(_) => head.iter().filter(|b| !b.is_ascii()).count() * 10 < head.len() * 3,
    }
}

/// A part of a file. What cannot be read ends it, and is told: one bad sector must not cost the bundle.
struct Bounded {
    file: File,
    left: u64,
    given: u64,
    error: Option<io::Error>,
}

impl Bounded {
    /// From `begin` on, or from the first line that begins after it.
    fn new(mut file: File, begin: u64, len: u64) -> io::Result<Self> {
        let mut skipped = 0;
        if begin != 0 {
            // Also the byte before: a line may begin exactly there.
            file.seek(SeekFrom::Start(begin - 1))?;
            let mut piece = Vec::new();
            (&mut file).take(HEAD.min(len)).read_to_end(&mut piece)?;
            skipped = piece.iter().position(|b| *b == b'\n').unwrap_or(0) as u64;
        }
        file.seek(SeekFrom::Start(begin + skipped))?;
        Ok(Self { file, left: len.saturating_sub(skipped), given: 0, error: None })
    }
}

impl Read for Bounded {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = out.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let Some(out) = out.get_mut(..most).filter(|out| !out.is_empty()) else { return Ok(0) };
        let read = match self.file.read(out) {
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Err(e),
            Err(e) => {
                self.error = Some(e);
                self.left = 0;
                return Ok(0);
            }
        };
        self.left -= read as u64;
        self.given += read as u64;
        Ok(read)
    }
}
