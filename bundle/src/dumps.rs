//! Memory dumps that lie on this computer: `BASE/dumps/`, files of this user alone.
//!
//! ```text
//! 20261126-041500-scanner-4711-request-3f9a.dmp     a minidump that the user made
//! 20261126-041500-scanner-4711-crash-3f9a.dmp       one that a crash left
//! 20261126-041500-scanner-4711-request-3f9a.core    the whole memory
//! ```
//!
//! The name says everything that must be known without opening it: when, of which component and process, why.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::unnamed::{Unnamed, random_hex};

/// Name of the folder in the trace directory.
pub const DUMPS: &str = "dumps";
/// An empty file of a dump's name and this keeps it.
const KEEP_SUFFIX: &str = ".keep";

/// What a dump holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DumpKind {
    /// Threads, registers, stacks, modules.
    Mini,
    /// The whole memory.
    Full,
}

/// Why a dump was made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DumpReason {
    /// The user asked for it.
    Request,
    /// The component crashed.
    Crash,
}

/// A dump, by its name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DumpFile {
    /// Its name in the folder.
    pub name: String,
    /// When it was made, to the second.
    pub at: Timestamp,
    /// The component, or the program's name: `a-z`, `A-Z`, `0-9`, `.` and `_`, other characters are `_`.
    pub component: String,
    /// The process.
    pub pid: u32,
    /// Why.
    pub reason: DumpReason,
    /// What it holds.
    pub kind: DumpKind,
    /// Its length in bytes.
    pub len: u64,
    /// The later of what its name says and when it was written, in seconds since 1970: its age needs both.
    pub made: i64,
    /// The user keeps it.
    pub is_kept: bool,
}

impl DumpFile {
    fn keep_name(&self) -> String {
        format!("{}{KEEP_SUFFIX}", self.name)
    }

    /// Reads a name; `None` if it is not one that [`DumpWriter::publish`] gives.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (stem, kind) = match name.rsplit_once('.')? {
            (stem, "dmp") => (stem, DumpKind::Mini),
            (stem, "core") => (stem, DumpKind::Full),
            _ => return None,
        };
        let mut parts = stem.split('-');
        let mut part = || parts.next();
        let (date, time, component, pid, reason, random) =
            (part()?, part()?, part()?, part()?, part()?, part()?);
        let is_of =
            |text: &str, len, test: fn(&u8) -> bool| text.len() == len && text.bytes().all(|b| test(&b));
        let is_lower_hex = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
        if part().is_some()
            || !is_of(date, 8, u8::is_ascii_digit)
            || !is_of(time, 6, u8::is_ascii_digit)
            || !is_of(random, 4, is_lower_hex)
            || component != safe_component(component)
        {
            return None;
        }
        let at = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", format!("{date}{time}")).ok()?;
        let at = jiff::tz::TimeZone::UTC.to_timestamp(at).ok()?;
        Some(Self {
            name: name.to_owned(),
            at,
            made: at.as_second(),
            is_kept: false,
            component: component.to_owned(),
            pid: pid.parse().ok()?,
            reason: match reason {
                "request" => DumpReason::Request,
                "crash" => DumpReason::Crash,
                _ => return None,
            },
            kind,
            len: 0,
        })
    }
}

/// A component's name as a part of a file's: never empty, no separator, no longer than a component's name can be.
#[must_use]
pub fn safe_component(name: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '_' { c } else { '_' };
    let text: String = name.trim_start_matches('.').chars().take(31).map(safe).collect();
    if text.is_empty() { "_".into() } else { text }
}

/// The dumps of a trace directory.
#[derive(Clone, Debug)]
pub struct Dumps {
    path: PathBuf,
}

impl Dumps {
    /// Those below this trace directory. Nothing is made.
    #[must_use]
    pub fn new(base: &Path) -> Self {
        Self { path: base.join(DUMPS) }
    }

    /// Where they lie.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All dumps, oldest first. Other files, and links, are not ours and are not listed.
    ///
    /// # Errors
    /// If the folder is not this user's alone, or cannot be read.
    pub fn list(&self) -> io::Result<Vec<DumpFile>> {
        let folder = match tracewell::fs::open_private_dir(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let names = tracewell::fs::names_in(&folder)?;
        let mut all = Vec::new();
        for mut dump in names.iter().filter_map(|name| DumpFile::parse(name)) {
            let stat = rustix::fs::statat(&folder, dump.name.as_str(), rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
            let Ok(stat) = stat else { continue };
            if rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile {
                dump.len = u64::try_from(stat.st_size).unwrap_or(0);
                dump.made = dump.made.max(stat.st_mtime);
                dump.is_kept = names.contains(&dump.keep_name());
                all.push(dump);
            }
        }
        all.sort_by(|a, b| (a.at, &a.name).cmp(&(b.at, &b.name)));
        Ok(all)
    }

    /// Opens a dump.
    ///
    /// # Errors
    /// If it is not a file of this user alone.
    pub fn open(&self, dump: &DumpFile) -> io::Result<File> {
        tracewell::fs::open_existing(tracewell::fs::open_private_dir(&self.path)?, &dump.name, false)
    }

    /// Removes a dump, and what keeps it. Files without a name that a killed command left are gone by themselves.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(&self, dump: &DumpFile) -> io::Result<()> {
        let folder = tracewell::fs::open_private_dir(&self.path)?;
        tracewell::fs::unlink_at(&folder, &dump.name)?;
        match tracewell::fs::unlink_at(&folder, &dump.keep_name()) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    /// Keeps a dump, or lets it go as the others.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn keep(&self, dump: &DumpFile, keeps: bool) -> io::Result<()> {
        let folder = tracewell::fs::open_private_dir(&self.path)?;
        let done = if keeps {
            tracewell::fs::create_new(&folder, &dump.keep_name()).map(drop)
        } else {
            tracewell::fs::unlink_at(&folder, &dump.keep_name())
        };
        match done {
            Err(e) if !matches!(e.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => Err(e),
            _ => Ok(()),
        }
    }

    /// Begins a dump here; the folder is made if it is missing.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn create(&self) -> io::Result<DumpWriter> {
        DumpWriter::new(tracewell::fs::create_private_dir_all(&self.path)?)
    }
}

/// A dump that is being written: it has no name until it is whole, so a failure, a kill or a full disk leaves nothing.
#[derive(Debug)]
pub struct DumpWriter {
    unnamed: Unnamed,
}

impl DumpWriter {
    /// Begins one in any directory.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn new(folder: OwnedFd) -> io::Result<Self> {
        Ok(Self { unnamed: Unnamed::new(folder)? })
    }

    /// The file to write to: readable by this user alone.
    #[must_use]
    pub fn file(&self) -> &File {
        self.unnamed.file()
    }

    /// Gives it this name, which must be free, and makes it durable.
    ///
    /// # Errors
    /// If that fails; then there is no file.
    pub fn publish_as(self, name: &str) -> io::Result<()> {
        self.unnamed.publish(name).map(drop)
    }

    /// Gives it a name that says what it is; returns that.
    ///
    /// # Errors
    /// If that fails; then there is no file.
    pub fn publish(
        self,
        at: Timestamp,
        component: &str,
        pid: u32,
        reason: DumpReason,
        kind: DumpKind,
    ) -> io::Result<String> {
        let (component, random) = (safe_component(component), random_hex(2)?);
        let reason = match reason {
            DumpReason::Request => "request",
            DumpReason::Crash => "crash",
        };
        let end = match kind {
            DumpKind::Mini => "dmp",
            DumpKind::Full => "core",
        };
        let name = format!("{}-{component}-{pid}-{reason}-{random}.{end}", at.strftime("%Y%m%d-%H%M%S"));
        self.publish_as(&name)?;
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn names_say_what_a_dump_is_and_nothing_else_is_one() {
        let name = "20261126-041500-scan_ner.x-4711-crash-3f9a.dmp";
        let dump = DumpFile::parse(name).unwrap();
        assert_eq!(dump.at.to_string(), "2026-11-26T04:15:00Z");
        assert_eq!((dump.component.as_str(), dump.pid), ("scan_ner.x", 4711));
        assert_eq!((dump.reason, dump.kind), (DumpReason::Crash, DumpKind::Mini));
        for bad in [
            "",
            "core",
            "x.dmp",
            "20261126-041500-scanner-4711-crash-3f9a.txt",
            "20261126-041500-scanner-4711-crash-3f9a-1.dmp",
            "20261326-041500-scanner-4711-crash-3f9a.dmp",
            "20261126-041500-scanner-x-crash-3f9a.dmp",
            "20261126-041500-scanner-4711-other-3f9a.dmp",
            "20261126-041500-..-4711-crash-3f9a.dmp",
            "20261126-041500-scanner-4711-crash-3F9A.dmp",
        ] {
            assert_eq!(DumpFile::parse(bad), None, "{bad}");
        }
        assert_eq!(safe_component("../a b-c/\u{1b}"), "/a_b_c__".replace('/', "_"));
        assert_eq!(safe_component(""), "_");
    }

    #[test]
    fn a_dump_appears_whole_and_private_and_goes() {
        let dir = crate::unnamed::tests::private_dir();
        let dumps = Dumps::new(dir.path());
        assert!(dumps.list().unwrap().is_empty() && !dumps.path().exists());
        let at: Timestamp = "2026-11-26T04:15:00Z".parse().unwrap();
        for (second, reason) in
            [(at, DumpReason::Crash), ("2026-11-25T00:00:00Z".parse().unwrap(), DumpReason::Request)]
        {
            let writer = dumps.create().unwrap();
            writer.file().write_all(b"12345").unwrap();
            let before = std::fs::read_dir(dumps.path()).unwrap().count();
            let name = writer.publish(second, "scan-ner", 7, reason, DumpKind::Full).unwrap();
            assert_eq!(std::fs::read_dir(dumps.path()).unwrap().count(), before + 1);
            let mode = std::fs::metadata(dumps.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        drop(dumps.create().unwrap());
        std::fs::write(dumps.path().join("notes.txt"), "not ours").unwrap();
        let listed = dumps.list().unwrap();
        assert_eq!(listed.len(), 2);
        assert_eq!((listed[0].reason, listed[1].reason), (DumpReason::Request, DumpReason::Crash));
        assert_eq!((listed[1].len, listed[1].component.as_str()), (5, "scan_ner"));
        assert_eq!(dumps.open(&listed[1]).unwrap().metadata().unwrap().len(), 5);
        dumps.keep(&listed[0], true).unwrap();
        dumps.keep(&listed[1], true).unwrap();
        dumps.keep(&listed[1], false).unwrap();
        let kept: Vec<bool> = dumps.list().unwrap().iter().map(|dump| dump.is_kept).collect();
        assert_eq!(kept, [true, false]);
        std::os::unix::fs::symlink(
            "notes.txt",
            dumps.path().join("20261126-041500-scanner-1-crash-00ff.dmp"),
        )
        .unwrap();
        assert_eq!(dumps.list().unwrap().len(), 2, "a link is none");
        std::fs::remove_file(dumps.path().join("20261126-041500-scanner-1-crash-00ff.dmp")).unwrap();
        for dump in &listed {
            dumps.remove(dump).unwrap();
        }
        assert_eq!(std::fs::read_dir(dumps.path()).unwrap().count(), 1, "what kept one goes with it");
        assert!(dumps.list().unwrap().is_empty() && dumps.path().join("notes.txt").exists());
    }
}
