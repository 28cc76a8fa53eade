//! The scenarios of the duels: who works in the same place, and what must be so afterwards.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tracewell::retention::{Limits, retain};
use tracewell::{Tracer, WhenFull};
use tracewell_schema::format::process::{PROCESS_FILE, ProcessFile, folder_name};

use super::{Ring, Scenario};
use crate::child::{Child, End};
use crate::golden::{self, FIRST_FREE, RING_SIZE};
use crate::{oracle, stage};

/// What most scenarios have.
const USUAL: Scenario = Scenario {
    name: "",
    golden: true,
    enabled: false,
    stepped: true,
    killed: false,
    closed: false,
    may_be_gone: false,
    prepare: |_| Ok(()),
    actors: &[],
    after: |_| Ok(()),
};

/// All of them.
pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "pack-pack", killed: true, actors: &[pack, pack], after: packed, ..USUAL },
    Scenario { name: "pack-pack-read", actors: &[pack, pack, read_all], after: packed, ..USUAL },
    Scenario {
        name: "retain-retain",
        killed: true,
        may_be_gone: true,
        actors: &[retain_half, retain_half],
        after: retained,
        ..USUAL
    },
    Scenario {
        name: "pack-retain",
        killed: true,
        may_be_gone: true,
        actors: &[pack, retain_half],
        after: newest_are_left,
        ..USUAL
    },
    Scenario {
        name: "attach-attach",
        golden: false,
        closed: true,
        actors: &[attach_first, attach_second],
        after: released,
        ..USUAL
    },
    Scenario { name: "emit-emit", enabled: true, killed: true, actors: &[emit_one, emit_two], ..USUAL },
    Scenario { name: "emit-read", enabled: true, actors: &[emit_one, read_live], ..USUAL },
    Scenario { name: "fork", enabled: true, actors: &[emit_and_fork], ..USUAL },
    Scenario {
        name: "pid-reuse",
        enabled: true,
        prepare: give_folder_a_living_pid,
        actors: &[emit_one, read_all, pack],
        ..USUAL
    },
    Scenario {
        name: "stop-and-go",
        enabled: true,
        stepped: false,
        killed: true,
        actors: &[emit_many_one, emit_many_two, pack],
        ..USUAL
    },
];

fn pack(ring: &Ring) {
    let _ = tracewell::testing::pack_now(&ring.stage.dirs);
}

/// Everybody has packed, but one of two may have been refused what the other had: nothing half done is left.
fn packed(ring: &Ring) -> Result<(), String> {
    let _ = tracewell::testing::pack_now(&ring.stage.dirs);
    let left: Vec<_> =
        golden::segments(&ring.stage)?.into_keys().filter(|name| name.ends_with(".packing")).collect();
    if golden::hasty(&ring.stage)? != 0 || !left.is_empty() {
        return Err(format!("something is not packed, and {left:?} is left"));
    }
    Ok(())
}

/// Half of what the golden trace has may stay.
fn limits(ring: &Ring) -> Limits {
    Limits { max_total: ring.golden.segment_bytes() / 2, max_age: Duration::ZERO }
}

pub(super) fn retain_half(ring: &Ring) {
    retain(&ring.stage.dirs.sessions(), &limits(ring)).expect("retained");
}

pub(super) fn names(ring: &Ring) -> Result<Vec<String>, String> {
    Ok(golden::segments(&ring.stage)?.into_keys().filter(|name| !name.ends_with(".packing")).collect())
}

/// Two leave what one would have left.
fn retained(ring: &Ring) -> Result<(), String> {
    retain_half(ring);
    let left = names(ring)?;
    if left != ring.retained {
        return Err(format!("retention leaves {left:?}, alone it would leave {:?}", ring.retained));
    }
    Ok(())
}

/// Packed ones are smaller, so more may stay: but only together with all newer ones.
fn newest_are_left(ring: &Ring) -> Result<(), String> {
    let left = names(ring)?;
    if let Some(gone) = ring.retained.iter().find(|name| !left.contains(name)) {
        return Err(format!("{gone} is gone, which even retention alone would leave"));
    }
    packed(ring)
}

fn attach(ring: &Ring) -> Tracer {
    Tracer::builder("duellist")
        .dir(ring.stage.base())
        .ring_dir(ring.stage.rings())
        .ring_size(RING_SIZE)
        .when_full(WhenFull::Wait(Duration::from_secs(30)))
        .attach()
        .expect("attached")
}

fn emit(ring: &Ring, lane: usize, count: u64) {
    let tracer = attach(ring);
    ring.stage.page.emit(&tracer, &ring.golden.plan, lane, |number| number < count);
    tracer.flush().expect("flushed");
    tracer.shutdown();
}

fn emit_one(ring: &Ring) {
    emit(ring, FIRST_FREE, 200);
}

fn emit_two(ring: &Ring) {
    emit(ring, FIRST_FREE + 1, 200);
}

fn emit_many_one(ring: &Ring) {
    emit(ring, FIRST_FREE, 6_000);
}

fn emit_many_two(ring: &Ring) {
    emit(ring, FIRST_FREE + 1, 6_000);
}

/// Both may be the first ever; the first one switches on, once both are there.
fn attach_together(ring: &Ring, own: usize) {
    let tracer = attach(ring);
    let words = &ring.stage.page.words;
    words[own].store(1, Ordering::Release);
    let wait = |word: usize| {
        while words[word].load(Ordering::Acquire) == 0 {
            std::thread::sleep(Duration::from_micros(200));
        }
    };
    wait(1 - own);
    let control = ring.stage.control().expect("the page");
    if own == 0 {
        control.enable(&ring.stage.dirs, &stage::request(&ring.golden.plan, 64 << 10)).expect("enabled");
        words[2].store(1, Ordering::Release);
    }
    wait(2);
    ring.stage.page.emit(&tracer, &ring.golden.plan, FIRST_FREE + own, |number| number < 40);
    tracer.shutdown();
}

fn attach_first(ring: &Ring) {
    attach_together(ring, 0);
}

fn attach_second(ring: &Ring) {
    attach_together(ring, 1);
}

/// One control page, and every slot of it is free again.
fn released(ring: &Ring) -> Result<(), String> {
    let attached = ring.stage.control()?.attached();
    let strays: Vec<_> = std::fs::read_dir(ring.stage.base())
        .map_err(|error| error.to_string())?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(".control"))
        .collect();
    if !attached.is_empty() || !strays.is_empty() {
        return Err(format!("{attached:?} are still attached, {strays:?} are left"));
    }
    Ok(())
}

/// Reads a place that others work in; nothing of the golden trace may be missing.
fn read_all(ring: &Ring) {
    for _ in 0..2 {
        let read = oracle::read(ring.stage.base(), ring.stage.rings(), &ring.golden.plan, ring.golden.since);
        let (seen, summary) = read.expect("read while others work");
        let damaged: Vec<_> = summary.damaged.iter().collect();
        assert!(damaged.is_empty() && summary.missing == 0, "{}", seen.summary);
        for lane in 0..6 {
            let read = seen.lanes.get(&lane).map_or(0, |numbers| numbers.len() as u64);
            assert_eq!(read, ring.stage.page.acked(lane as usize), "lane {lane}: {}", seen.summary);
        }
    }
}

/// As [`read_all`]; what was acknowledged before the reading began must be read.
fn read_live(ring: &Ring) {
    for _ in 0..3 {
        let acked = ring.stage.page.acked(FIRST_FREE);
        let read = oracle::read(ring.stage.base(), ring.stage.rings(), &ring.golden.plan, ring.golden.since);
        let (seen, summary) = read.expect("read while others work");
        assert!(summary.damaged.is_empty() && summary.missing == 0, "{}", seen.summary);
        let read = seen.lanes.get(&(FIRST_FREE as u32)).map_or(0, |numbers| numbers.len() as u64);
        assert!(read >= acked, "{read} read of {acked} that had returned before: {}", seen.summary);
    }
}

/// A process forks while it emits; both go on, the child on a lane of its own.
fn emit_and_fork(ring: &Ring) {
    let tracer = attach(ring);
    let (page, plan) = (ring.stage.page, &ring.golden.plan);
    page.emit(&tracer, plan, FIRST_FREE, |number| number < 30);
    let child = Child::start(|| {
        page.emit(&tracer, plan, FIRST_FREE + 1, |number| number < 60);
        tracer.shutdown();
    });
    page.emit(&tracer, plan, FIRST_FREE, |number| number < 90);
    assert_eq!(child.and_then(Child::wait), Ok(End::Exit(0)));
    tracer.shutdown();
}

/// The dead process's folder names a process that lives, with another start: its id was used again.
fn give_folder_a_living_pid(ring: &Ring) -> Result<(), String> {
    let rings = ring.stage.rings();
    let tell = |error: std::io::Error| format!("{}: {error}", rings.display());
    let mut given = 0;
    for entry in std::fs::read_dir(rings).map_err(tell)? {
        let folder = entry.map_err(tell)?.path();
        let path = folder.join(PROCESS_FILE);
        let mut process = ProcessFile::decode(&std::fs::read(&path).map_err(tell)?)
            .map_err(|error| format!("{}: {}", path.display(), error.what))?;
        process.identity.pid = std::process::id();
        std::fs::write(&path, process.encode()).map_err(tell)?;
        std::fs::rename(&folder, rings.join(folder_name(&process.identity))).map_err(tell)?;
        given += 1;
    }
    if given == 0 { Err("no dead process has left a folder".into()) } else { Ok(()) }
}
