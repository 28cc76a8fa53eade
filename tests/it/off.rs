//! Off means: no thread, no file, no mapping but the control page.

use std::os::unix::fs::PermissionsExt;

use tracewell::{Tracer, emit};
use tracewell_tests::{Numbered, Place};

fn threads() -> Vec<String> {
    std::fs::read_dir("/proc/self/task")
        .unwrap()
        .flatten()
        .filter_map(|t| std::fs::read_to_string(t.path().join("comm")).ok())
        .filter(|name| name.starts_with("tracewell-"))
        .collect()
}

fn mappings(place: &Place) -> Vec<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let ours = [place.dirs.base().display().to_string(), place.dirs.ring_root().display().to_string()];
    maps.lines().filter(|l| ours.iter().any(|o| l.contains(o.as_str()))).map(str::to_owned).collect()
}

/// In a process of its own: other tests have threads of theirs.
#[test]
fn off_costs_nothing_before_and_after() {
    let place = Place::new();
    let status =
        std::process::Command::new(env!("CARGO_BIN_EXE_offcheck")).arg(place.dirs.base()).output().unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
}

#[test]
fn everything_is_private() {
    let place = Place::new();
    place.enable();
    let tracer = Tracer::builder("private").dir(place.dirs.base()).attach().unwrap();
    emit!(tracer, Numbered { lane: 0, number: 0, text: "" });
    tracer.flush().unwrap();
    let mut checked = 0;
    let mut todo = vec![place.dirs.base().to_owned(), place.dirs.ring_root().to_owned()];
    while let Some(path) = todo.pop() {
        let meta = path.symlink_metadata().unwrap();
        let expected = if meta.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(meta.permissions().mode() & 0o7777, expected, "{}", path.display());
        checked += 1;
        if meta.is_dir() {
            todo.extend(std::fs::read_dir(&path).unwrap().flatten().map(|e| e.path()));
        }
    }
    assert!(checked >= 9, "directories, control, segment, process, schemas, ring: {checked}");
    assert!(!threads().is_empty() && mappings(&place).len() >= 2);
}
