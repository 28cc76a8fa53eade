//! Checks in `/proc/self` that a tracer that is off has nothing but the mapped control page: before tracing is enabled,
//! and again after it was disabled.

use std::path::Path;
use std::time::{Duration, Instant};

use tracewell::control::{Control, EnableRequest};
use tracewell::dirs::Dirs;
use tracewell::{Tracer, emit};
use tracewell_tests::Numbered;

fn check(dirs: &Dirs, when: &str) -> Result<(), String> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    if threads != 1 {
        return Err(format!("{when}: {threads} threads"));
    }
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for line in maps.lines() {
        let path = line.split_whitespace().nth(5).unwrap_or_default();
        let is_ours = path.starts_with(&*dirs.base().to_string_lossy())
            || path.starts_with(&*dirs.ring_root().to_string_lossy());
        if is_ours && path != dirs.control().to_string_lossy() {
            return Err(format!("{when}: mapped {line}"));
        }
    }
    for fd in std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten() {
        let target = std::fs::read_link(fd.path()).unwrap_or_default();
        if target.starts_with(dirs.ring_root()) || target.starts_with(dirs.sessions()) {
            return Err(format!("{when}: open {}", target.display()));
        }
    }
    if dirs.ring_root().exists() && std::fs::read_dir(dirs.ring_root()).map_or(0, Iterator::count) != 0 {
        return Err(format!("{when}: something is left in {}", dirs.ring_root().display()));
    }
    Ok(())
}

fn main() {
    let base = std::env::args().nth(1).expect("a directory");
    let dirs = Dirs::resolve(Some(Path::new(&base))).expect("a directory");
    let tracer = Tracer::builder("offcheck").dir(&base).attach().expect("attached");
    let emit = |number| emit!(tracer, Numbered { lane: 0, number, text: "" });
    emit(0);
    check(&dirs, "before").expect("nothing but the control page");
    let control = Control::open(&dirs).expect("the page").expect("the page");
    control.enable(&dirs, &EnableRequest { levels: [5; 32], ..EnableRequest::default() }).expect("enabled");
    emit(1);
    assert!(check(&dirs, "while on").is_err(), "this check can fail");
    tracer.flush().expect("flushed");
    control.disable().expect("disabled");
    let begun = Instant::now();
    let mut last = Ok(());
    while begun.elapsed() < Duration::from_secs(3) {
        emit(2);
        last = check(&dirs, "after");
        if last.is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    last.expect("nothing but the control page");
}
