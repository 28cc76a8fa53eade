//! A trace directory that was made once and is laid down again before every try, with what its oracle said.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tracewell_schema::format::block::{self, BlockHeader, FLAG_HASTY};
use tracewell_schema::format::segment::parse_file_name;

use crate::child::{Child, End};
use crate::oracle::Plan;
use crate::random::Random;
use crate::stage::{self, Stage};

/// Lanes of the golden trace are below; those of a try from here on.
pub(crate) const FIRST_FREE: usize = 16;
/// Capacity of its rings.
pub(crate) const RING_SIZE: u64 = 64 << 10;

/// Files and folders, by their path below the stage.
#[derive(Debug)]
pub(crate) struct Golden {
    files: Vec<(PathBuf, Vec<u8>, SystemTime)>,
    folders: Vec<PathBuf>,
    lanes: Vec<[u64; 3]>,
    pub(crate) plan: Plan,
    /// Before it, nothing was emitted, UTC ns.
    pub(crate) since: i64,
}

/// Files of others, which nobody may touch; the last ones look like ours.
const CANARIES: &[&str] = &[
    "notes.txt",
    "sessions/notes.txt",
    "sessions/2026-01-01_00.00.00_00000000/diary.twseg",
    "sessions/2026-01-01_00.00.00_00000000/a_pid1_00000000_000001.twseg",
    "sessions/2026-01-01_00.00.00_00000000/a_pid1_00000000_000002.twseg.packed",
];
const CANARY: &[u8] =
    b"this is the diary of somebody else and it is longer than a header, so that it could be one. \
    this is the diary of somebody else and it is longer than a header, so that it could be one. \
    this is the diary of somebody else and it is longer than a header, so that it could be one.\n";

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<std::fs::File> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    Ok(file)
}

fn make_folder(path: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().mode(0o700).recursive(true).create(path)
}

impl Golden {
    /// A directory with nothing of ours in it.
    pub(crate) fn empty(stage: &Stage, plan: Plan) -> Result<Self, String> {
        stage.clear()?;
        let since = tracewell::boot::realtime_ns();
        Self::take(stage, plan, since)
    }

    /// Two sessions of a process that stored some blocks in haste, and what a killed process left in its rings.
    pub(crate) fn make(stage: &Stage, seed: u64) -> Result<Self, String> {
        let mut random = Random::new(seed);
        let plan = Plan { large: 0, ..Plan::of(&mut random) };
        for _ in 0..50 {
            stage.clear()?;
            let since = tracewell::boot::realtime_ns();
            let control = stage.control()?;
            for (session, lanes) in [(0, [0, 1]), (1, [2, 3]), (2, [4, 5])] {
                let request = stage::request(&plan, 64 << 10);
                control.enable(&stage.dirs, &request).map_err(|error| format!("enable: {error}"))?;
                let dies = session == 2;
                let end = Child::start(|| produce(stage, &plan, &lanes, dies))?.wait()?;
                let expected = if dies { End::Killed } else { End::Exit(0) };
                if end != expected {
                    return Err(format!("the golden trace: {end:?}"));
                }
            }
            control.disable().map_err(|error| format!("disable: {error}"))?;
            drop(control);
            if hasty(stage)? >= 2 {
                return Self::take(stage, plan, since);
            }
        }
        Err("no segment was stored in haste, in 50 tries".into())
    }

    fn take(stage: &Stage, plan: Plan, since: i64) -> Result<Self, String> {
        let tell = |error: std::io::Error| format!("the golden trace: {error}");
        let top = stage.beside("");
        let mut golden =
            Self { files: Vec::new(), folders: Vec::new(), lanes: stage.page.save(), plan, since };
        let mut open = vec![stage.base().to_owned(), stage.rings().to_owned()];
        while let Some(folder) = open.pop() {
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            golden.folders.push(folder.strip_prefix(&top).map_err(|e| e.to_string())?.to_owned());
            for entry in entries {
                let path = entry.map_err(tell)?.path();
                if path.is_dir() {
                    open.push(path);
                    continue;
                }
                let meta = std::fs::metadata(&path).map_err(tell)?;
                let bytes = std::fs::read(&path).map_err(tell)?;
                let below = path.strip_prefix(&top).map_err(|e| e.to_string())?.to_owned();
                golden.files.push((below, bytes, meta.modified().map_err(tell)?));
            }
        }
        golden.folders.sort();
        Ok(golden)
    }

    fn segments(&self) -> impl Iterator<Item = u64> {
        let is_segment =
            |path: &Path| path.file_name().and_then(|n| n.to_str()).and_then(parse_file_name).is_some();
        self.files.iter().filter(move |file| is_segment(&file.0)).map(|file| file.1.len() as u64)
    }

    /// Bytes of its segments.
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.segments().sum()
    }

    /// How many it has.
    pub(crate) fn segment_count(&self) -> usize {
        self.segments().count()
    }

    /// Lays it down, with the files of others, and takes the oracle back to it.
    pub(crate) fn lay_down(&self, stage: &Stage) -> Result<(), String> {
        stage.clear()?;
        let tell = |error: std::io::Error| format!("laying down the trace: {error}");
        for folder in &self.folders {
            make_folder(&stage.beside("").join(folder)).map_err(tell)?;
        }
        for (path, bytes, modified) in &self.files {
            let file = write(&stage.beside("").join(path), bytes).map_err(tell)?;
            file.set_modified(*modified).map_err(tell)?;
        }
        for name in CANARIES {
            let path = stage.base().join(name);
            make_folder(path.parent().unwrap_or(&path)).map_err(tell)?;
            let file = write(&path, CANARY).map_err(tell)?;
            file.set_modified(SystemTime::UNIX_EPOCH).map_err(tell)?;
        }
        stage.page.restore(&self.lanes);
        Ok(())
    }
}

/// What belongs to others is as it was. `purge` deletes what has a segment's name, whatever is in it.
pub(crate) fn check_canaries(stage: &Stage, purged: bool) -> Result<(), String> {
    let is_ours = |name: &str| name.rsplit('/').next().and_then(parse_file_name).is_some();
    for name in CANARIES.iter().filter(|name| !purged || !is_ours(name)) {
        let bytes = std::fs::read(stage.base().join(name));
        if bytes.as_ref().map_or(true, |bytes| bytes != CANARY) {
            return Err(format!("{name}, which belongs to somebody else, was changed or deleted: {bytes:?}"));
        }
    }
    Ok(())
}

/// Removes them, so that a reader does not complain of what looks like a segment and is none.
pub(crate) fn take_canaries_away(stage: &Stage) -> Result<(), String> {
    for name in CANARIES {
        stage::remove_file(&stage.base().join(name))?;
    }
    Ok(())
}

/// Sealed segments whose end says that some block was stored in haste.
pub(crate) fn hasty(stage: &Stage) -> Result<usize, String> {
    let segments = segments(stage)?;
    let is_hasty = |bytes: &Vec<u8>| {
        let end = bytes.len().checked_sub(block::HEADER_LEN).and_then(|at| bytes.get(at..));
        end.and_then(|end| BlockHeader::decode(end).ok()).is_some_and(|end| end.flags & FLAG_HASTY != 0)
    };
    Ok(segments.iter().filter(|(name, bytes)| name.ends_with(".twseg") && is_hasty(bytes)).count())
}

/// Everything in the folders of sessions.
pub(crate) fn segments(stage: &Stage) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let mut all = BTreeMap::new();
    for session in std::fs::read_dir(stage.dirs.sessions()).into_iter().flatten().flatten() {
        for file in std::fs::read_dir(session.path()).into_iter().flatten().flatten() {
            let name = format!("{}/{}", session.file_name().display(), file.file_name().display());
            let bytes = std::fs::read(file.path()).map_err(|error| format!("{name}: {error}"))?;
            if bytes != CANARY {
                all.insert(name, bytes);
            }
        }
    }
    Ok(all)
}

/// Emits in bursts from two threads, then ends the session or dies.
fn produce(stage: &Stage, plan: &Plan, lanes: &[usize; 2], dies: bool) {
    assert!(lanes.iter().all(|lane| *lane < FIRST_FREE));
    let tracer = tracewell::Tracer::builder("golden")
        .dir(stage.base())
        .ring_dir(stage.rings())
        .ring_size(RING_SIZE)
        .when_full(tracewell::WhenFull::Wait(std::time::Duration::from_secs(5)))
        .attach()
        .expect("attached");
    std::thread::scope(|scope| {
        for lane in lanes {
            let tracer = &tracer;
            scope.spawn(move || stage.page.emit(tracer, plan, *lane, |number| number < 1_500));
        }
    });
    if dies {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
    tracer.shutdown();
}
