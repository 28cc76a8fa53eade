//! Retention: deletes the oldest sealed segments beyond the limits.
//!
//! Only files with names of our grammar, only sealed ones, never the newest, and a bounded number a pass, so that a
//! clock that jumps cannot delete everything at once.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tracewell_schema::format::segment::parse_file_name;

/// Most deletions of one pass.
const AT_ONCE: usize = 16;

/// What may stay.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of all sealed segments; 0 = no limit.
    pub max_total: u64,
    /// Age of a segment; zero = no limit.
    pub max_age: Duration,
}

/// What a pass removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Segments.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Deletes what is beyond the limits below a folder of sessions. What vanishes meanwhile was deleted by another.
///
/// # Errors
/// If the folder cannot be read.
pub fn retain(sessions: &Path, limits: &Limits) -> io::Result<Removed> {
    let mut all: Vec<(SystemTime, PathBuf, u64)> = Vec::new();
    for session in std::fs::read_dir(sessions)?.flatten() {
        if !session.file_type().is_ok_and(|t| t.is_dir()) {
            continue;
        }
        for file in std::fs::read_dir(session.path())?.flatten() {
            let ours = file.file_name().to_str().and_then(parse_file_name).is_some_and(|name| !name.is_open);
            // Of the entry itself, not of what a link points to.
            let Ok(meta) = file.metadata() else { continue };
            if ours && meta.is_file() {
                all.push((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), file.path(), meta.len()));
            }
        }
    }
    all.sort();
    let mut total: u64 = all.iter().map(|(.., len)| len).sum();
    let mut removed = Removed::default();
    let now = SystemTime::now();
    let newest = all.len().saturating_sub(1);
    for (modified, path, len) in all.into_iter().take(newest).take(AT_ONCE) {
        let too_much = limits.max_total != 0 && total > limits.max_total;
        let too_old =
            !limits.max_age.is_zero() && now.duration_since(modified).is_ok_and(|age| age > limits.max_age);
        if !too_much && !too_old {
            break;
        }
        if std::fs::remove_file(&path).is_ok() {
            removed.segments += 1;
            removed.bytes += len;
        }
        total -= len;
        // The session's folder goes with its last segment.
        if let Some(folder) = path.parent() {
            let _ = std::fs::remove_dir(folder);
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_and_nothing_foreign() {
        let dir = tempfile::tempdir().unwrap();
        let session = dir.path().join("s");
        std::fs::create_dir(&session).unwrap();
        for i in 1..=4 {
            std::fs::write(session.join(format!("a_pid1_00000000_{i:06}.twseg")), [0; 100]).unwrap();
            std::thread::sleep(Duration::from_millis(15));
        }
        std::fs::write(session.join("notes.txt"), [0; 1000]).unwrap();
        std::fs::write(session.join("a_pid1_00000000_000009.twseg.open"), [0; 1000]).unwrap();
        let limits = Limits { max_total: 250, max_age: Duration::ZERO };
        assert_eq!(retain(dir.path(), &limits).unwrap(), Removed { segments: 2, bytes: 200 });
        assert!(!session.join("a_pid1_00000000_000002.twseg").exists());
        assert!(session.join("a_pid1_00000000_000003.twseg").exists());
        assert!(session.join("notes.txt").exists());
        assert!(session.join("a_pid1_00000000_000009.twseg.open").exists());
        let limits = Limits { max_total: 1, max_age: Duration::ZERO };
        retain(dir.path(), &limits).unwrap();
        assert!(session.join("a_pid1_00000000_000004.twseg").exists(), "the newest stays");
    }
}
