//! Retention: deletes the oldest segments beyond the limits.
//!
//! Only files with names of our grammar that begin as segments do, by descriptors of private folders, so that no link
//! leads elsewhere; never the newest, nor one that a living process writes or is about to seal; and a bounded number a pass, so that a
//! clock that jumps cannot delete everything at once. After it has jumped nothing goes by age while the process lives.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::fs::{AtFlags, FileType, Stat};
use tracewell_schema::format::segment::{self, SegmentHeader, parse_file_name};

use crate::dirs::is_session_name;
use crate::{boot, fs};

/// A file of this name in a session's folder keeps the session: age does not delete it, and once it has ended nothing does.
pub const KEEP_FILE: &str = "keep";
/// Most deletions of one pass.
const AT_ONCE: usize = 16;
/// An empty folder or an unsealed segment younger than this is left alone: someone may be about to write.
const QUIET: Duration = Duration::from_secs(3600);
/// Beyond what a clock is corrected by in ordinary operation: then it was wrong, and so is every age by it.
const JUMP: i64 = 3_600_000_000_000;
/// As long a living process may take to seal a segment after it began the next one.
const SEALING: Duration = Duration::from_secs(60);

/// What may stay.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of all segments, unsealed ones included; 0 = no limit.
    pub max_total: u64,
    /// Age of a segment; zero = no limit.
    pub max_age: Duration,
}

/// What a pass removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Segments.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The segments, as `SESSION/NAME`, oldest first.
    pub files: Vec<PathBuf>,
    /// Empty session folders.
    pub folders: usize,
}

/// A segment, ordered by age.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    modified: i64,
    session: Rc<str>,
    name: String,
    len: u64,
    is_open: bool,
    /// Its process has begun another one since: a failed write or sync left it as it is.
    is_left: bool,
    /// Of a session that is to be kept: only its size counts.
    is_kept: bool,
}

fn stat_of(dir: impl AsFd, name: &str) -> Option<Stat> {
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).ok()
}

fn modified(stat: &Stat) -> i64 {
    let ns = i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec);
    i64::try_from(ns).unwrap_or(i64::MAX)
}

/// What the wall clock shows, less the time since the computer started, in ns: the same but for corrections.
fn clock_offset() -> i64 {
    boot::realtime_ns().wrapping_sub(i64::try_from(boot::boottime_ns()).unwrap_or(i64::MAX))
}

/// The clock offset when this process first asked.
fn first_clock_offset() -> i64 {
    static FIRST: OnceLock<i64> = OnceLock::new();
    *FIRST.get_or_init(clock_offset)
}

/// Begins to watch for jumps of the wall clock.
pub(crate) fn watch_clock() {
    first_clock_offset();
}

impl Limits {
    /// Those that hold after the wall clock was set from one offset to another: after a jump no age is known.
    fn after(self, first: i64, now: i64) -> Self {
        let has_jumped = now.wrapping_sub(first).unsigned_abs() > JUMP.unsigned_abs();
        Self { max_age: if has_jumped { Duration::ZERO } else { self.max_age }, ..self }
    }
}

/// Whether more than `age` has gone by since `time`; a time to come is no age.
fn is_older(time: i64, now: i64, age: Duration) -> bool {
    u128::try_from(i128::from(now) - i128::from(time)).is_ok_and(|passed| passed > age.as_nanos())
}

/// The segments of a session's folder.
fn segments(folder: &OwnedFd, session: &Rc<str>, is_kept: bool, out: &mut Vec<Found>) -> io::Result<()> {
    let before = out.len();
    for name in fs::names_in(folder)? {
        let Some(parsed) = parse_file_name(&name) else { continue };
        let Some(stat) = stat_of(folder, &name) else { continue };
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
            out.push(Found {
                modified: modified(&stat),
                session: Rc::clone(session),
                name,
                len: u64::try_from(stat.st_size).unwrap_or(0),
                is_open: parsed.is_open,
                is_left: false,
                is_kept,
            });
        }
    }
    mark_left(&mut out[before..]);
    Ok(())
}

/// Marks the unsealed segments after which their process has begun another one; all are of one folder.
fn mark_left(all: &mut [Found]) {
    if !all.iter().any(|found| found.is_open) {
        return;
    }
    let mut newest = HashMap::new();
    for parsed in all.iter().filter_map(|found| parse_file_name(&found.name)) {
        let last = newest.entry((parsed.pid, parsed.uuid8)).or_insert(0);
        *last = parsed.sequence.max(*last);
    }
    for found in all.iter_mut().filter(|found| found.is_open) {
        found.is_left = parse_file_name(&found.name)
            .is_some_and(|own| newest.get(&(own.pid, own.uuid8)).is_some_and(|last| *last > own.sequence));
    }
}

/// The first bytes of a file that is a segment indeed, whatever its version.
fn head_of(folder: &OwnedFd, found: &Found) -> Option<[u8; segment::HEADER_LEN]> {
    use std::os::unix::fs::FileExt;
    let mut head = [0; segment::HEADER_LEN];
    let mut read = || fs::open_existing(folder, &found.name, false)?.read_exact_at(&mut head, 0);
    // A tender may have put the packed one in its place while we looked, once: then what we opened has no name now.
    read().or_else(|_| read()).ok()?;
    SegmentHeader::version_of(&head).map(|_| head)
}

/// Whether a file is a segment, and nobody writes it.
fn may_go(folder: &OwnedFd, found: &Found, now: i64) -> bool {
    let Some(head) = head_of(folder, found) else { return false };
    if !found.is_open || found.is_left && is_older(found.modified, now, SEALING) {
        return true;
    }
    // Left by a killed process. Its id says little where processes do not see each other (containers), hence the age.
    is_older(found.modified, now, QUIET)
        && SegmentHeader::decode(&head).is_ok_and(|header| {
            let writer = &header.identity;
            writer.boot_id != boot::boot_id() || !boot::is_alive(writer.pid, writer.start_ticks)
        })
}

/// Deletes what is beyond the limits below a folder of sessions, at most 16 files a pass. What vanishes meanwhile was
/// deleted by another.
///
/// # Errors
/// If the folder cannot be read or is not this user's alone.
pub fn retain(sessions: &Path, limits: &Limits) -> io::Result<Removed> {
    let limits = limits.after(first_clock_offset(), clock_offset());
    let top = fs::open_private_dir(sessions)?;
    let now = boot::realtime_ns();
    let mut removed = Removed::default();
    let mut names = fs::names_in(&top)?;
    names.retain(|name| is_session_name(name));
    names.sort();
    // The newest session is or may be the present one; its folder stays, also if it is empty.
    let newest_session = names.last().cloned();
    let (mut all, mut empty) = (Vec::new(), Vec::new());
    for name in names {
        let Ok(folder) = fs::open_private_dir_at(&top, &name) else { continue };
        let is_kept = stat_of(&folder, KEEP_FILE).is_some();
        if is_kept && Some(&name) != newest_session.as_ref() {
            continue;
        }
        let before = all.len();
        let is_read = segments(&folder, &Rc::from(name.as_str()), is_kept, &mut all).is_ok();
        let is_quiet = rustix::fs::fstat(&folder).is_ok_and(|s| is_older(modified(&s), now, QUIET));
        if is_read && is_quiet && all.len() == before {
            empty.push(name);
        }
    }
    all.sort();
    // A file that only has the name of a segment does not count as the newest.
    let is_sealed = |found: &Found| {
        let folder = fs::open_private_dir_at(&top, &found.session);
        !found.is_open && folder.is_ok_and(|folder| head_of(&folder, found).is_some())
    };
    if let Some(newest) = all.iter().rposition(is_sealed) {
        let kept = all.remove(newest);
        removed = delete(&top, &all, kept.len, &limits, now, &mut empty);
    }
    for name in empty.iter().filter(|name| Some(*name) != newest_session.as_ref()).take(AT_ONCE) {
        // Fails, as it should, if something is in it.
        if rustix::fs::unlinkat(&top, name, AtFlags::REMOVEDIR).is_ok() {
            removed.folders += 1;
        }
    }
    Ok(removed)
}

/// Deletes from `all`, oldest first, what is beyond the limits. Folders that it emptied are added to `emptied`.
fn delete(
    top: &OwnedFd,
    all: &[Found],
    kept: u64,
    limits: &Limits,
    now: i64,
    emptied: &mut Vec<String>,
) -> Removed {
    let mut removed = Removed::default();
    let mut total = all.iter().fold(kept, |sum, found| sum.saturating_add(found.len));
    for found in all {
        let too_much = limits.max_total != 0 && total > limits.max_total;
        let too_old = !limits.max_age.is_zero() && is_older(found.modified, now, limits.max_age);
        if removed.segments == AT_ONCE || !(too_much || too_old) {
            break;
        }
        if found.is_kept && !too_much {
            continue;
        }
        let folder = match fs::open_private_dir_at(top, &found.session) {
            Ok(folder) => folder,
            Err(e) => {
                // Another component deleted what was in it, and then the folder.
                if e.kind() == io::ErrorKind::NotFound {
                    total = total.saturating_sub(found.len);
                }
                continue;
            }
        };
        if !may_go(&folder, found, now) {
            // Another component deleted it; what does not count any more must not cost a younger one.
            if stat_of(&folder, &found.name).is_none() {
                total = total.saturating_sub(found.len);
            }
            continue;
        }
        match fs::unlink_at(&folder, &found.name) {
            Ok(()) => {
                removed.segments += 1;
                removed.bytes += found.len;
                removed.files.push(Path::new(&*found.session).join(&found.name));
            }
            // Another component deleted it.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(_) => continue,
        }
        total = total.saturating_sub(found.len);
        if fs::names_in(&folder).is_ok_and(|names| names.is_empty()) {
            emptied.push(found.session.to_string());
        }
    }
    removed
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::SystemTime;

    use tracewell_schema::format::process::ProcessIdentity;

    use super::*;

    const OLD: &str = "2026-11-01_00.00.00_00000000";
    const NEW: &str = "2026-11-02_00.00.00_00000000";

    struct Sessions(tempfile::TempDir);

    impl Sessions {
        fn new() -> Self {
            let sessions = Self(tempfile::tempdir().unwrap());
            for name in [OLD, NEW] {
                fs::create_private_dir_all(&sessions.path().join(name)).unwrap();
            }
            sessions
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("sessions")
        }

        /// A file of 300 bytes that begins as a segment.
        fn file(&self, session: &str, name: &str, hours: u64, identity: ProcessIdentity) -> PathBuf {
            use std::io::Write;
            let folder = fs::open_private_dir(&self.path().join(session)).unwrap();
            let mut file = fs::create_new(&folder, name).unwrap();
            let header = SegmentHeader { identity, ..SegmentHeader::default() };
            file.write_all(&header.encode()).unwrap();
            file.write_all(&[0; 44]).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(hours * 3600)).unwrap();
            self.path().join(session).join(name)
        }

        fn segment(&self, session: &str, number: u32, hours: u64) -> PathBuf {
            let name = segment::file_name("a", 1, &[0; 16], number);
            self.file(session, &name, hours, ProcessIdentity::default())
        }

        fn retain(&self, max_total: u64, max_hours: u64) -> Removed {
            let limits = Limits { max_total, max_age: Duration::from_secs(max_hours * 3600) };
            retain(&self.path(), &limits).unwrap()
        }
    }

    #[test]
    fn the_oldest_go_first_and_the_newest_stays() {
        let sessions = Sessions::new();
        let all: Vec<_> = (1..=4).map(|i| sessions.segment(NEW, i, u64::from(10 - i))).collect();
        assert_eq!(sessions.retain(0, 0), Removed::default(), "no limits");
        let removed = sessions.retain(700, 0);
        assert_eq!((removed.segments, removed.bytes), (2, 600));
        assert!(removed.files[0].ends_with("a_pid1_00000000_000001.twseg"));
        assert!(!all[0].exists() && !all[1].exists() && all[2].exists());
        assert_eq!(sessions.retain(1, 1).segments, 1);
        assert!(all[3].exists(), "the newest");
    }

    #[test]
    fn a_kept_session_goes_by_no_age_and_after_its_end_by_nothing() {
        let sessions = Sessions::new();
        let keep = |session: &str| std::fs::write(sessions.path().join(session).join(KEEP_FILE), "").unwrap();
        let ended = sessions.segment(OLD, 1, 100);
        let all: Vec<_> = (2..=5).map(|i| sessions.segment(NEW, i, u64::from(90 - i))).collect();
        keep(OLD);
        keep(NEW);
        assert_eq!(sessions.retain(0, 50).segments, 0);
        // The disk has an end: of the session that is on the oldest go beyond the size; those of the ended one do not count.
        assert_eq!(sessions.retain(900, 50).segments, 1);
        assert!(ended.exists() && !all[0].exists() && all[1].exists());
        std::fs::remove_file(sessions.path().join(OLD).join(KEEP_FILE)).unwrap();
        assert_eq!(sessions.retain(0, 50).segments, 1);
        assert!(!ended.exists() && all[1].exists());
    }

    #[test]
    fn by_age_a_bounded_number_a_pass() {
        let sessions = Sessions::new();
        for i in 1..=40 {
            sessions.segment(NEW, i, 100);
        }
        sessions.segment(NEW, 41, 1);
        let counts: Vec<_> = (0..4).map(|_| sessions.retain(0, 50).segments).collect();
        assert_eq!(counts, [16, 16, 8, 0]);
        assert!(is_older(0, 2_000_000_000, Duration::from_secs(1)));
        assert!(!is_older(i64::MAX, 0, Duration::ZERO), "a time to come is no age");
    }

    #[test]
    fn after_the_clock_has_jumped_nothing_goes_by_age() {
        let limits = Limits { max_total: 7, max_age: Duration::from_secs(9) };
        let hour = 3_600_000_000_000;
        for (now, max_age) in [(0, 9), (hour, 9), (-hour, 9), (hour + 1, 0), (-hour - 1, 0), (i64::MIN, 0)] {
            let left = limits.after(0, now);
            assert_eq!((left.max_total, left.max_age), (7, Duration::from_secs(max_age)), "{now}");
        }
        assert!((clock_offset() - first_clock_offset()).abs() < JUMP, "a clock that runs does not jump");
    }

    #[test]
    fn what_another_has_deleted_meanwhile_costs_no_younger_one() {
        let sessions = Sessions::new();
        for (session, number) in [(OLD, 1), (OLD, 2), (NEW, 3), (NEW, 4), (NEW, 5)] {
            sessions.segment(session, number, u64::from(20 - number));
        }
        let top = fs::open_private_dir(&sessions.path()).unwrap();
        let mut all = Vec::new();
        for session in [OLD, NEW] {
            let folder = fs::open_private_dir_at(&top, session).unwrap();
            segments(&folder, &Rc::from(session), false, &mut all).unwrap();
        }
        // Another one deletes a whole session and a segment of the next, after we have looked.
        std::fs::remove_dir_all(sessions.path().join(OLD)).unwrap();
        std::fs::remove_file(sessions.path().join(NEW).join(&all[2].name)).unwrap();
        let limits = Limits { max_total: 600, max_age: Duration::ZERO };
        let removed = delete(&top, &all, 0, &limits, boot::realtime_ns(), &mut Vec::new());
        assert_eq!(removed.segments, 0, "the two that are left are within the limits");
    }

    #[test]
    fn nothing_foreign_is_touched() {
        let sessions = Sessions::new();
        let foreign = sessions.path().join(NEW).join("a_pid1_00000000_000001.twseg");
        std::fs::write(&foreign, "my diary, long enough to be read".repeat(10)).unwrap();
        let other = sessions.file(NEW, "notes.twseg", 90, ProcessIdentity::default());
        // A folder that has another name, and a link that has one of ours.
        let elsewhere = tempfile::tempdir().unwrap();
        symlink(elsewhere.path(), sessions.path().join("2026-10-01_00.00.00_00000000")).unwrap();
        fs::create_private_dir(&sessions.path().join("keep")).unwrap();
        let kept = sessions.segment("keep", 1, 90);
        std::fs::rename(sessions.segment(NEW, 7, 90), elsewhere.path().join("a_pid1_00000000_000007.twseg"))
            .unwrap();
        sessions.segment(NEW, 8, 1);
        assert_eq!(sessions.retain(1, 1).segments, 0);
        assert!(foreign.exists() && other.exists() && kept.exists());
        assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 1);
    }

    #[test]
    fn unsealed_segments_go_only_when_their_process_has_gone() {
        let sessions = Sessions::new();
        let living = ProcessIdentity {
            boot_id: boot::boot_id(),
            pid: std::process::id(),
            start_ticks: boot::own_start_ticks(),
            ..ProcessIdentity::default()
        };
        let dead = ProcessIdentity { start_ticks: living.start_ticks + 1, ..living.clone() };
        let written = sessions.file(NEW, "a_pid1_00000000_000009.twseg.open", 9, living);
        let left = sessions.file(NEW, "a_pid1_00000000_000002.twseg.open", 8, dead.clone());
        let just_left = sessions.file(NEW, "a_pid1_00000000_000003.twseg.open", 0, dead);
        sessions.segment(NEW, 4, 7);
        assert_eq!(sessions.retain(1, 0).segments, 1);
        assert!(written.exists() && !left.exists() && just_left.exists());
    }

    #[test]
    fn what_a_living_process_left_unsealed_long_ago_goes_and_what_it_writes_stays() {
        let sessions = Sessions::new();
        let living = || ProcessIdentity {
            boot_id: boot::boot_id(),
            pid: std::process::id(),
            start_ticks: boot::own_start_ticks(),
            ..ProcessIdentity::default()
        };
        let open = |number: u32| format!("{}.open", segment::file_name("a", 1, &[0; 16], number));
        let left = sessions.file(NEW, &open(1), 3, living());
        let to_be_sealed = sessions.file(NEW, &open(2), 0, living());
        let written = sessions.file(NEW, &open(3), 2, living());
        let of_another = segment::file_name("a", 1, &[1; 16], 9);
        sessions.file(NEW, &of_another, 1, ProcessIdentity::default());
        assert_eq!(sessions.retain(1, 0).segments, 1);
        assert!(!left.exists() && to_be_sealed.exists() && written.exists());
    }

    #[test]
    fn empty_folders_go_but_not_the_present_one() {
        let sessions = Sessions::new();
        let empty = "2026-10-30_00.00.00_00000000";
        let fresh = "2026-10-31_00.00.00_00000000";
        for name in [empty, fresh] {
            fs::create_private_dir(&sessions.path().join(name)).unwrap();
        }
        let folder = std::fs::File::open(sessions.path().join(empty)).unwrap();
        folder.set_modified(SystemTime::now() - Duration::from_secs(7200)).unwrap();
        sessions.segment(OLD, 1, 9);
        sessions.segment(NEW, 2, 1);
        let removed = sessions.retain(300, 0);
        assert_eq!((removed.segments, removed.folders), (1, 2));
        let mut left = fs::names_in(fs::open_private_dir(&sessions.path()).unwrap()).unwrap();
        left.sort();
        assert_eq!(left, [fresh, NEW], "a folder that was made just now may get its first segment");
    }
}
