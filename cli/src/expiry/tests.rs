use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use tracewell::control::EnableRequest;
use tracewell::{Tracer, emit};
use tracewell_bundle::{DraftWriter, OwnKey, Store, Terms};

use super::*;
use crate::session_end::keep;

const DAY: i64 = 86_400;

/// A trace directory with sessions that real components recorded.
struct Trace {
    dir: tempfile::TempDir,
    place: Place,
}

impl Trace {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("trace");
        drop(tracewell::fs::create_private_dir_all(&base).unwrap());
        std::fs::write(base.join("audit.jsonl"), "").unwrap();
        std::fs::remove_file(base.join("audit.jsonl")).unwrap();
        Self { place: Place::resolve(Some(&base)).unwrap(), dir }
    }

    fn base(&self) -> PathBuf {
        self.place.dirs.base().to_owned()
    }

    fn tracer(&self) -> Tracer {
        let tracer = Tracer::builder("scanner")
            .dir(self.base())
            .ring_dir(self.dir.path().join("rings"))
            .attach()
            .unwrap();
        emit!(tracer, tracewell::catalog::ErrorRaised { code: 7, ..Default::default() });
        tracer
    }

    /// A session that begins now; what ends it is the caller's to say.
    fn enable(&self) -> (tracewell::control::Control, String) {
        let control = self.place.make_control().unwrap();
        let session = control.enable(&self.place.dirs, &EnableRequest::default()).unwrap();
        (control, session.folder.file_name().unwrap().to_str().unwrap().to_owned())
    }

    /// A session that has begun and ended.
    fn session(&self) -> String {
        let (control, name) = self.enable();
        self.tracer().shutdown();
        control.disable().unwrap();
        name
    }

    fn has(&self, session: &str) -> bool {
        self.base().join("sessions").join(session).exists()
    }

    /// The clock of this computer, so many days later.
    fn pass(&self, days: i64) -> Passed {
        self.pass_at(&later(days), false)
    }

    fn pass_at(&self, now: &Now, believe: bool) -> Passed {
        pass(&self.place, now, believe).unwrap_or_else(|e| panic!("{e:?}"))
    }
}

/// So many days later, after a restart of the computer.
fn later(days: i64) -> Now {
    Now { wall: Now::real().wall + days * DAY, boot_id: format!("after {days}"), boottime: 60 }
}

#[test]
fn a_trace_goes_seven_days_after_tracing_ended_unless_it_is_kept() {
    let trace = Trace::new();
    let (ended, kept) = (trace.session(), trace.session());
    let sessions = trace.base().join("sessions");
    keep(&sessions, &kept, true).unwrap();
    assert_eq!(trace.pass(6), Passed::default());
    let passed = trace.pass(8);
    assert!(passed.gone.unwrap().contains("1 session") && passed.problems.is_empty());
    assert!(!trace.has(&ended) && trace.has(&kept));
    let audit = tracewell_bundle::audit::read(&trace.base()).unwrap();
    assert!(audit.entries.iter().any(|e| e.what == "delete" && e.detail.contains(&ended)), "{audit:?}");
    assert_eq!(trace.pass(60), Passed::default());
    keep(&sessions, &kept, false).unwrap();
    assert!(trace.pass(61).gone.is_some() && !trace.has(&kept));
}

#[test]
fn what_is_on_or_written_stays_however_old_it_is() {
    let trace = Trace::new();
    let (control, on) = trace.enable();
    let tracer = trace.tracer();
    tracer.flush().unwrap();
    assert_eq!(trace.pass(30), Passed::default());
    // Over, but the process has not closed it yet: it holds its rings as long as it does not emit or look.
    let other = trace.enable().1;
    assert_eq!(trace.pass(31), Passed::default());
    assert!(trace.has(&on) && trace.has(&other));
    tracer.shutdown();
    control.disable().unwrap();
    let gone = trace.pass(32).gone.unwrap();
    assert!(gone.contains("2 sessions"), "{gone}");
}

#[test]
fn a_session_whose_end_was_planned_later_ended_when_the_next_began() {
    let trace = Trace::new();
    let name = trace.session();
    let path = trace.base().join("sessions").join(&name);
    let find = || crate::segments::sessions(&trace.base().join("sessions")).unwrap().remove(0);
    let now = Now::real().timestamp();
    let fate = |next: i64| Fate::of(&find(), Timestamp::from_second(now.as_second() + next).ok(), now);
    let Fate::Goes(at) = Fate::of(&find(), None, now) else { panic!("it has ended") };
    assert!((at.duration_since(now).as_secs() - 7 * DAY).abs() < 60);
    // The next session began an hour later: that long it may have been on.
    assert!(matches!(fate(3600), Fate::Goes(at) if at.duration_since(now).as_secs() > 7 * DAY + 3500));
    // Both witnesses: files that look old do not make it old, nor does a name.
    for file in std::fs::read_dir(&path).unwrap().flatten() {
        std::fs::File::open(file.path()).unwrap().set_modified(UNIX_EPOCH + Duration::from_secs(1)).unwrap();
    }
    assert_eq!(trace.pass(0), Passed::default());
    assert!(matches!(Fate::of(&find(), None, now), Fate::Goes(_)));
    let old = trace.base().join("sessions/2020-01-01_00.00.00_00000000");
    std::fs::rename(&path, &old).unwrap();
    for file in std::fs::read_dir(&old).unwrap().flatten() {
        std::fs::File::open(file.path()).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
    }
    assert_eq!(trace.pass(0), Passed::default());
    // Times to come: nobody knows how old it is.
    for file in std::fs::read_dir(&old).unwrap().flatten() {
        let ahead = std::time::SystemTime::now() + Duration::from_secs(400 * DAY.unsigned_abs());
        std::fs::File::open(file.path()).unwrap().set_modified(ahead).unwrap();
    }
    assert_eq!(Fate::of(&find(), None, now), Fate::Unknown);
}

#[test]
fn a_clock_that_jumped_deletes_nothing_at_once() {
    let trace = Trace::new();
    let name = trace.session();
    assert_eq!(trace.pass(0), Passed::default());
    let passed = trace.pass(400);
    assert!(
        passed.gone.is_none() && passed.problems[0].contains("jumped ahead") && trace.has(&name),
        "{passed:?}"
    );
    // Set right again; nothing was lost. Then it jumps again, and runs for a week.
    assert_eq!(trace.pass(1), Passed::default());
    assert!(trace.pass(500).gone.is_none());
    assert!(trace.pass(506).gone.is_none() && trace.has(&name));
    assert!(trace.pass(508).gone.is_some() && !trace.has(&name));
    // In one run of the computer the time since its start says that it is no week.
    let trace = Trace::new();
    let name = trace.session();
    let real = Now::real();
    trace.pass_at(&real, false);
    let set = Now { wall: real.wall + 30 * DAY, boottime: real.boottime + 60, ..real };
    assert!(trace.pass_at(&set, false).gone.is_none() && trace.has(&name));
    // Somebody who knows says that it is right.
    assert!(trace.pass_at(&set, true).gone.is_some() && !trace.has(&name));
}

#[test]
fn dumps_and_bundles_go_in_their_time() {
    const OLD: &str = "20200102-000000-scanner-2-request-00fe.dmp";
    const KEPT: &str = "20200103-000000-scanner-3-crash-00fd.dmp";
    let trace = Trace::new();
    trace.session();
    let folder = trace.base().join("dumps");
    drop(tracewell::fs::create_private_dir(&folder).unwrap());
    for name in
        [OLD, KEPT, "20990101-000000-scanner-1-crash-00ff.dmp", "20200101-000000-scanner-1-crash-00ff.dmp"]
    {
        std::fs::write(folder.join(name), "memory").unwrap();
    }
    let dumps = tracewell_bundle::dumps::Dumps::new(&trace.base());
    dumps.keep(&tracewell_bundle::dumps::DumpFile::parse(KEPT).unwrap(), true).unwrap();
    // Both witnesses: an old file with a name that says otherwise stays, and so does a new one with an old name.
    assert_eq!(trace.pass(0), Passed::default());
    let elsewhere = trace.dir.path().join("precious");
    std::fs::write(&elsewhere, "stays").unwrap();
    std::os::unix::fs::symlink(&elsewhere, folder.join("20200104-000000-scanner-4-crash-00fc.dmp")).unwrap();
    let store = Store::new(&trace.base());
    let key = OwnKey::load_or_create(&trace.base()).unwrap();
    let bundle = store.create(jiff::Timestamp::now()).unwrap();
    DraftWriter::new(bundle.fd().unwrap(), &key, Terms::default()).unwrap().finish().unwrap();
    let gone = trace.pass(8).gone.unwrap();
    assert!(gone.contains("2 dumps") && !gone.contains("bundle"), "{gone}");
    assert!(folder.join("20990101-000000-scanner-1-crash-00ff.dmp").exists());
    assert!(!folder.join(OLD).exists() && folder.join(KEPT).exists() && elsewhere.exists());
    assert_eq!(trace.pass(29), Passed::default());
    assert!(trace.pass(31).gone.unwrap().contains("1 bundle"));
    assert!(store.list().unwrap().is_empty());
}

#[test]
fn what_a_dead_process_left_in_memory_goes_with_its_session() {
    let trace = Trace::new();
    let (control, name) = trace.enable();
    let tracer = trace.tracer();
    tracer.flush().unwrap();
    let rings = crate::rings::Rings::find(&trace.place.dirs);
    let folder = rings.folders[0].path.clone();
    // A copy of its folder, without the lock: as after a kill.
    let left = folder.with_file_name("scanner-1-00000001");
    drop(tracewell::fs::create_private_dir(&left).unwrap());
    for entry in std::fs::read_dir(&folder).unwrap().flatten() {
        let to = left.join(entry.file_name());
        std::fs::copy(entry.path(), &to).unwrap();
    }
    tracer.shutdown();
    control.disable().unwrap();
    assert_eq!(trace.pass(6), Passed::default());
    assert!(left.exists());
    let gone = trace.pass(8).gone.unwrap();
    assert!(gone.contains("1 ring folder") && !left.exists() && !trace.has(&name), "{gone}");
}
