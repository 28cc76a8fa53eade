//! The audit file: what was done with a user's data, one line each, never changed. Every line has the digest of the one
//! before it, so that a change or a gap shows. Whoever may write the file can write a new one; it is evidence against
//! mistakes and other users, not against the user or root.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::draft::invalid;

/// Name of the file in the trace directory.
pub const AUDIT_FILE: &str = "audit.jsonl";
/// Longest line, in bytes.
const MAX_LINE: u64 = 16 << 10;

/// One line.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct AuditEntry {
    /// When: RFC 3339, UTC.
    pub at: String,
    /// Who, by number.
    pub uid: u32,
    /// What was done: `enable`, `disable`, `request`, `bundle`, `view`, `seal`, `consent`, `send`, `receipt`, `delete`, `dump`.
    pub what: String,
    /// To what, and how.
    pub detail: String,
    /// Digest of the line before; zeros for the first.
    pub before: String,
    /// Digest of this line: SHA-256 over the others, each followed by a line end.
    pub digest: String,
}

impl AuditEntry {
    fn sum(&self) -> String {
        let mut hash = Sha256::new();
        for part in [&self.before, &self.at, &self.uid.to_string(), &self.what, &self.detail] {
            hash.update(part.as_bytes());
            hash.update(b"\n");
        }
        tracewell::schema::format::hex(&hash.finalize())
    }
}

/// What the audit file holds, and whether it is whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Audit {
    /// Its lines.
    pub entries: Vec<AuditEntry>,
    /// The number of the first line, from 1, that does not follow from the one before it.
    pub broken_at: Option<usize>,
}

/// Adds a line, durably.
///
/// # Errors
/// If the file cannot be written. What was to be noted should not be done then, if it can wait.
pub fn append(base: &Path, what: &str, detail: &str) -> io::Result<()> {
    let folder = tracewell::fs::create_private_dir_all(base)?;
    let mut file = match tracewell::fs::open_existing(&folder, AUDIT_FILE, true) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => match tracewell::fs::create_new(&folder, AUDIT_FILE)
        {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                tracewell::fs::open_existing(&folder, AUDIT_FILE, true)?
            }
            other => other?,
        },
        other => other?,
    };
    // Two commands at once: one after the other.
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)?;
    let mut entry = AuditEntry {
        at: jiff::Timestamp::now().to_string(),
        uid: rustix::process::getuid().as_raw(),
        what: what.to_owned(),
        detail: detail.chars().take(2000).collect(),
        before: last_digest(&mut file)?,
        digest: String::new(),
    };
    entry.digest = entry.sum();
    let mut line = serde_json::to_vec(&entry)?;
    line.push(b'\n');
    file.seek(SeekFrom::End(0))?;
    file.write_all(&line)?;
    file.sync_data()
}

fn last_digest(file: &mut File) -> io::Result<String> {
    let len = file.seek(SeekFrom::End(0))?;
    if len == 0 {
        return Ok("0".repeat(64));
    }
    file.seek(SeekFrom::Start(len.saturating_sub(MAX_LINE)))?;
    let mut tail = Vec::new();
    file.take(MAX_LINE).read_to_end(&mut tail)?;
    if tail.pop() != Some(b'\n') {
        // A line that a kill or a full disk cut: what comes after it must not join it.
        file.seek(SeekFrom::End(0))?;
        file.write_all(b"\n")?;
        return Ok("0".repeat(64));
    }
    let line = tail.rsplit(|b| *b == b'\n').next().unwrap_or_default();
    let last: Option<AuditEntry> = serde_json::from_slice(line).ok();
    Ok(last.map_or_else(|| "0".repeat(64), |entry| entry.digest))
}

/// Reads the file and checks the chain.
///
/// # Errors
/// If it cannot be read. A chain that is broken is no error, but told.
pub fn read(base: &Path) -> io::Result<Audit> {
    let opened = tracewell::fs::open_private_dir(base)
        .and_then(|folder| tracewell::fs::open_existing(&folder, AUDIT_FILE, false));
    let file = match opened {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Audit::default()),
        other => other?,
    };
    let (mut audit, mut before) = (Audit::default(), "0".repeat(64));
    let mut reader = BufReader::new(file);
    for number in 1.. {
        let mut line = Vec::new();
        (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            break;
        }
        if number > 10_000_000 {
            return Err(invalid("the audit file has more lines than it can have"));
        }
        match serde_json::from_slice::<AuditEntry>(&line) {
            Ok(entry) => {
                if entry.before != before || entry.digest != entry.sum() {
                    audit.broken_at.get_or_insert(number);
                }
                before.clone_from(&entry.digest);
                audit.entries.push(entry);
            }
            Err(_) => {
                audit.broken_at.get_or_insert(number);
            }
        }
    }
    Ok(audit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_and_gap_shows() {
        let dir = crate::unnamed::tests::private_dir();
        assert_eq!(read(dir.path()).unwrap(), Audit::default());
        for i in 0..5 {
            append(dir.path(), "enable", &format!("number {i} \"x\"\n")).unwrap();
        }
        let audit = read(dir.path()).unwrap();
        assert_eq!((audit.entries.len(), audit.broken_at), (5, None));
        let path = dir.path().join(AUDIT_FILE);
        let whole = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = whole.lines().collect();
        let without = |gone: usize| {
            let left: Vec<&str> =
                lines.iter().enumerate().filter(|(i, _)| *i != gone).map(|(_, l)| *l).collect();
            left.join("\n") + "\n"
        };
        for gone in 0..4 {
            std::fs::write(&path, without(gone)).unwrap();
            assert_eq!(read(dir.path()).unwrap().broken_at, Some(gone + 1));
        }
        std::fs::write(&path, whole.replace("number 2", "number 7")).unwrap();
        assert_eq!(read(dir.path()).unwrap().broken_at, Some(3));
        // A line that was cut does not take the next one with it.
        std::fs::write(&path, &whole[..whole.len() - 10]).unwrap();
        append(dir.path(), "disable", "after a cut line").unwrap();
        let audit = read(dir.path()).unwrap();
        assert_eq!((audit.entries.len(), audit.broken_at), (5, Some(5)));
    }

    #[test]
    fn many_write_at_once() {
        let dir = crate::unnamed::tests::private_dir();
        std::thread::scope(|scope| {
            for t in 0..4 {
                let base = dir.path();
                scope.spawn(move || (0..25).for_each(|i| append(base, "view", &format!("{t} {i}")).unwrap()));
            }
        });
        let audit = read(dir.path()).unwrap();
        assert_eq!((audit.entries.len(), audit.broken_at), (100, None));
    }
}
