//! Copying a database that other processes use, through SQLite's online backup, into memory.
//!
//! It is opened for reading only, and so that nothing is made or changed beside it:
//!
//! * In rollback mode SQLite's lock keeps writers out while it is copied, which takes as long as copying so many bytes in
//!   memory. A journal that a crash left is not rolled back, which would change the file: the database is left out.
//! * In log mode (`-wal`) writers are not held up. The index of the log (`-shm`) is opened for reading only; where nobody
//!   uses it, SQLite makes its own one in memory and leaves the log as it is.
//! * In log mode with neither log nor index there is nobody who uses it, and SQLite would have to make both files. So it is
//!   opened as one that does not change, and copied again if it did.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, Error, OpenFlags, ffi};

use super::MAX_DATABASE;
use super::guard::{Budget, empty, guard, image};

/// How long somebody may hold a lock.
const BUSY: Duration = Duration::from_secs(5);
/// How long is waited before a lock is tried again.
const PAUSE: Duration = Duration::from_millis(1);
/// How long all of it may take.
const WHOLE: Duration = Duration::from_secs(60);

/// Copies a database into memory. `held` is the file that was found at the path; another one is refused.
///
/// # Errors
/// In words for the user: it is locked, damaged, too large, or takes too long.
pub(crate) fn copy(path: &Path, held: &File, most: u64) -> Result<Vec<u8>, String> {
    let held = held.try_clone().map_err(|e| e.to_string())?;
    let path = path.to_owned();
    let (done, result) = mpsc::channel();
    // A file beside it that is exchanged for a pipe can hold SQLite up for ever: not us.
    let work = move || {
        let _ = done.send(Copying { path: &path, held: &held, most: most.min(MAX_DATABASE) }.copy());
    };
    std::thread::Builder::new().name("tracewell-sqlite".into()).spawn(work).map_err(|e| e.to_string())?;
    result.recv_timeout(WHOLE + BUSY).unwrap_or_else(|_| Err("copying it took too long".into()))
}

struct Copying<'a> {
    path: &'a Path,
    held: &'a File,
    most: u64,
}

/// Why a copy was not made, and whether to try again.
struct Failed {
    why: String,
    again: bool,
}

fn never(why: impl Into<String>) -> Failed {
    Failed { why: why.into(), again: false }
}

impl Copying<'_> {
    fn copy(&self) -> Result<Vec<u8>, String> {
        let until = Instant::now() + BUSY;
        loop {
            match self.once() {
                Ok(bytes) => return Ok(bytes),
                Err(failed) if failed.again && Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(failed) => return Err(failed.why),
            }
        }
    }

    /// A file beside the database; its length, if it is there.
    fn beside(&self, ending: &str) -> Result<Option<u64>, Failed> {
        let mut path = self.path.as_os_str().to_owned();
        path.push(ending);
        match std::fs::symlink_metadata(PathBuf::from(path)) {
            Ok(meta) if meta.is_file() => Ok(Some(meta.len())),
            Ok(meta) => {
                let what = if meta.file_type().is_fifo() { "a pipe" } else { "no regular file" };
                Err(never(format!("the file {ending} beside it is {what}")))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(never(format!("the file {ending} beside it: {e}"))),
        }
    }

    fn once(&self) -> Result<Vec<u8>, Failed> {
        let before = self.held.metadata().map_err(|e| never(e.to_string()))?;
        let (log, index) = (self.beside("-wal")?, self.beside("-shm")?);
        self.beside("-journal")?;
        self.small_enough(before.len().saturating_add(log.unwrap_or(0)))?;
        let mut versions = [0; 2];
        std::os::unix::fs::FileExt::read_exact_at(self.held, &mut versions, 18)
            .map_err(|e| never(e.to_string()))?;
        let nobody_uses_it = versions == [2, 2] && index.is_none();
        if nobody_uses_it && log.is_some_and(|len| len != 0) {
            return Err(never(
                "its log lies beside it without the log's index; the program that it belongs to puts that right when it \
                 opens it",
            ));
        }
        if nobody_uses_it {
            let age = std::time::SystemTime::now()
                .duration_since(before.modified().unwrap_or(std::time::UNIX_EPOCH));
            // A change in the same tick of the clock would not show.
            if age.is_ok_and(|age| age < Duration::from_millis(100)) {
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        let source = self.open(nobody_uses_it)?;
        let copied = self.from(&source)?;
        if nobody_uses_it {
            let after = self.held.metadata().map_err(|e| never(e.to_string()))?;
            let of = |m: &std::fs::Metadata| (m.len(), m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec());
            if of(&before) != of(&after) {
                return Err(Failed { why: "it was changed while it was copied".into(), again: true });
            }
        }
        drop(source);
        checked(copied)
    }

    fn small_enough(&self, bytes: u64) -> Result<(), Failed> {
        if bytes > self.most {
            return Err(never(format!(
                "it has {bytes} bytes with its log, more than the {} that may be taken",
                self.most
            )));
        }
        Ok(())
    }

    /// Opens it, and makes sure that it is the file that is held.
    fn open(&self, immutable: bool) -> Result<Connection, Failed> {
        let identity = |meta: &std::fs::Metadata| (meta.dev(), meta.ino());
        let held = identity(&self.held.metadata().map_err(|e| never(e.to_string()))?);
        let count = || {
            let mut same = 0_usize;
            for entry in std::fs::read_dir("/proc/self/fd")?.flatten() {
                same += usize::from(std::fs::metadata(entry.path()).is_ok_and(|m| identity(&m) == held));
            }
            Ok(same)
        };
        let before = count().map_err(|e: std::io::Error| never(e.to_string()))?;
        let how = if immutable { "immutable=1" } else { "readonly_shm=1" };
        let uri = format!("file:{}?mode=ro&{how}", escaped(self.path));
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NOFOLLOW
            | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(uri, flags).map_err(|e| failed(&e))?;
        if count().map_err(|e| never(e.to_string()))? <= before {
            return Err(never("it was exchanged for another file meanwhile"));
        }
        guard(&mut connection, Budget(WHOLE)).map_err(|e| failed(&e))?;
        // Often, since writers that follow closely on each other leave little room between them.
        let patient = |tries: i32| {
            std::thread::sleep(PAUSE);
            PAUSE.saturating_mul(tries.unsigned_abs()) < BUSY
        };
        connection.busy_handler(Some(patient)).map_err(|e| failed(&e))?;
        Ok(connection)
    }

    /// One state of it: what is committed when it begins.
    fn from(&self, source: &Connection) -> Result<Connection, Failed> {
        let told = |e: Error| failed(&e);
        // From here on it is one state; the backup takes part in what was begun.
        source.execute_batch("BEGIN").map_err(told)?;
        let number = |sql: &str| source.query_row(sql, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs);
        number("SELECT count(*) FROM main.sqlite_schema").map_err(told)?;
        let pages = number("PRAGMA main.page_count").map_err(told)?;
        let size = number("PRAGMA main.page_size").map_err(told)?;
        self.small_enough(pages.saturating_mul(size))?;
        let mut copied = empty(Budget(WHOLE)).map_err(told)?;
        let backup = Backup::new(source, &mut copied).map_err(told)?;
        match backup.step(-1).map_err(told)? {
            StepResult::Done => {}
            StepResult::Busy | StepResult::Locked => {
                return Err(Failed { why: LOCKED.into(), again: true });
            }
            _ => return Err(Failed { why: "it could not be copied whole".into(), again: true }),
        }
        drop(backup);
        Ok(copied)
    }
}

const LOCKED: &str = "another program has it locked; try again when that has ended";

/// The bytes of a copy that is sound.
fn checked(copied: Connection) -> Result<Vec<u8>, Failed> {
    let sound: String =
        copied.query_row("PRAGMA main.quick_check(1)", [], |row| row.get(0)).map_err(|e| failed(&e))?;
    if sound != "ok" {
        return Err(never("it is damaged"));
    }
    image(copied).map_err(|e| failed(&e))
}

/// An error of SQLite in words for the user.
fn failed(error: &Error) -> Failed {
    let code = error.sqlite_error().map_or(0, |e| e.extended_code);
    match code & 0xff {
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => Failed { why: LOCKED.into(), again: true },
        ffi::SQLITE_CORRUPT => never("it is damaged"),
        ffi::SQLITE_NOTADB => never("it is no SQLite database, or encrypted"),
        ffi::SQLITE_INTERRUPT => never("copying it took too long"),
        ffi::SQLITE_NOMEM => never("there is not enough memory for it"),
        ffi::SQLITE_TOOBIG => never("something in it is larger than can be"),
        ffi::SQLITE_READONLY if code == ffi::SQLITE_READONLY_ROLLBACK => never(
            "it was left in the middle of a change; the program that it belongs to puts that right when it opens it",
        ),
        // Its index was just made or removed by who uses it.
        ffi::SQLITE_READONLY | ffi::SQLITE_CANTOPEN => {
            Failed { why: format!("SQLite cannot open it ({error})"), again: true }
        }
        _ => never(format!("SQLite cannot read it ({error})")),
    }
}

/// A path as a part of a URI.
fn escaped(path: &Path) -> String {
    let mut out = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' => out.push(char::from(*byte)),
            b if b.is_ascii_alphanumeric() => out.push(char::from(*b)),
            b => out.push_str(&format!("%{b:02x}")),
        }
    }
    out
}
