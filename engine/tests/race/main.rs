//! Real threads on real processors under ThreadSanitizer. Run by `ci/sanitize.sh`, which compiles with `--cfg tsan` on the
//! nightly toolchain, the standard library too. Two programs, in which any report fails:
//!
//! * `protocol`: the very files that the engine compiles, with plain bytes between them, and threads that share nothing
//!   else: a report here names the order that is too weak.
//! * `engine`: the whole engine, emitting, draining, flushing, with threads that come and go.
//!
//! And `mutant`, which is `protocol` with the commit stored Relaxed, must be reported.
#![cfg_attr(not(tsan), allow(unused))]

#[cfg(tsan)]
mod engine;
#[cfg(tsan)]
mod protocol;

#[cfg(tsan)]
#[path = "../../src/ring/cursor.rs"]
#[allow(dead_code, unreachable_pub)]
mod cursor;
#[cfg(tsan)]
#[path = "../../src/ring/gate.rs"]
#[allow(dead_code)]
mod gate;
#[cfg(tsan)]
#[path = "../../src/ring/life.rs"]
mod life;
#[cfg(tsan)]
#[path = "../../src/orphans.rs"]
mod orphans;
#[cfg(tsan)]
#[path = "../../src/control/sequence.rs"]
mod sequence;
#[cfg(tsan)]
mod sync {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};

    /// As in the engine.
    #[inline(always)]
    pub(crate) fn light_barrier() {
        std::sync::atomic::compiler_fence(Ordering::SeqCst);
    }

    /// No process of these forks.
    pub(crate) fn own_pid() -> u32 {
        std::process::id()
    }
}
#[cfg(tsan)]
#[path = "../../src/ring/ticket.rs"]
mod ticket;

/// Seconds that each program runs, unless `RACE_SECONDS` says otherwise.
const SECONDS: u64 = 12;

#[cfg(not(tsan))]
fn main() {
    println!("race: nothing to do without ThreadSanitizer; run ci/sanitize.sh");
}

#[cfg(tsan)]
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let seconds =
        std::env::var("RACE_SECONDS").map_or(SECONDS, |text| text.parse().expect("RACE_SECONDS=number"));
    let time = std::time::Duration::from_secs(seconds);
    match args.get(1).map(String::as_str) {
        Some("protocol") => protocol::run(time, false),
        Some("mutant") => protocol::run(time, true),
        Some("engine") => engine::run(time, std::path::Path::new(&args[2])),
        _ => judge(),
    }
}

/// Runs the three programs and judges their reports.
#[cfg(tsan)]
fn judge() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let reports = |name: &str| {
        let log = place.path().join(name);
        let status = std::process::Command::new(std::env::current_exe().expect("this program"))
            .arg(name)
            .arg(place.path())
            .env("TSAN_OPTIONS", format!("exitcode=0 history_size=4 log_path={}", log.display()))
            .status()
            .expect("started");
        assert!(status.success(), "{name}: {status}");
        let files = std::fs::read_dir(place.path()).expect("the place").flatten();
        let own = files.filter(|file| file.file_name().to_string_lossy().starts_with(&format!("{name}.")));
        own.map(|file| std::fs::read_to_string(file.path()).expect("a report")).collect::<String>()
    };
    let protocol = reports("protocol");
    assert!(!protocol.contains("WARNING: ThreadSanitizer"), "protocol:\n{protocol}");
    let mutant = reports("mutant");
    assert!(mutant.contains("ThreadSanitizer: data race"), "a commit stored Relaxed was not noticed");
    let engine = reports("engine");
    assert!(!engine.contains("WARNING: ThreadSanitizer"), "engine:\n{engine}");
    println!(
        "race: no report of the protocol, {} of its mutant, none of the engine",
        mutant.matches("WARNING: ThreadSanitizer").count(),
    );
}
