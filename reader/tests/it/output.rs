//! Trace files and lines.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tracewell_reader::render::json::JsonRenderer;
use tracewell_reader::render::text::TextRenderer;
use tracewell_reader::{
    Filter, Progress, ReadError, Trace, Written, write_trace_files, write_trace_files_with,
};

use crate::synth::{Segment, loss, steps, text_step};

fn write_all(session: &Path, out: &Path) -> Result<Written, ReadError> {
    let trace = Trace::open(&[session.to_owned()], &[])?;
    write_trace_files(&trace, out, &Filter::default(), false, |_| {})
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[test]
fn a_line_says_it_all() {
    let dir = tempfile::tempdir().unwrap();
    let mut segment = Segment::new("scanner", 7, 1);
    let hostile = text_step(1, 2000, "a b\n\u{202e}\u{1b}[2J\"q\"\\".as_bytes());
    segment.data(1, 0, 0, &[steps(0..1, 1), loss(1500, 3), hostile].concat()).end();
    let path = segment.write(dir.path());
    let trace = Trace::open(&[path], &[]).unwrap();
    let (mut lines, mut json) = (String::new(), String::new());
    let (mut text, mut objects) = (TextRenderer::new(false), JsonRenderer::new());
    trace
        .read(&Filter::default(), |item| {
            text.push(&mut lines, item);
            objects.push(&mut json, item);
            Ok::<(), ReadError>(())
        })
        .unwrap();
    let expected = [
        "2026-11-23T17:44:36.000000000Z info  scanner[7:101 main] custom      step 0 | event=test.step path=/tmp/x",
        "2026-11-23T17:44:36.000001500Z ----- scanner[7:101] -- lost 3 events here (full 3) --",
        r#"2026-11-23T17:44:36.000002000Z info  scanner[7:101 main] custom      step 1 | event=test.step path="a b\n\u{202e}\u{1b}[2J\"q\"\\""#,
    ];
    assert_eq!(lines.lines().collect::<Vec<_>>(), expected);
    let objects: Vec<serde_json::Value> = json.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(objects[0]["ts"], "2026-11-23T17:44:36.000000000Z");
    assert_eq!(objects[0]["time_ns"], "1795455876000000000");
    assert_eq!(
        (&objects[0]["pid"], &objects[0]["tid"], &objects[0]["thread"]),
        (&7.into(), &101.into(), &"main".into())
    );
    assert_eq!((&objects[0]["category"], &objects[0]["level"]), (&"custom".into(), &"info".into()));
    assert_eq!((&objects[0]["event"], &objects[0]["component"]), (&"test.step".into(), &"scanner".into()));
    assert_eq!(objects[0]["fields"], serde_json::json!({"number": 0, "path": "/tmp/x"}));
    assert_eq!(objects[1]["event"], "tracewell.lost");
    assert_eq!(objects[1]["fields"], serde_json::json!({"full": 3, "total": 3}));
    assert_eq!(objects[2]["fields"]["path"], "a b\n\u{202e}\u{1b}[2J\"q\"\\");
}

#[test]
fn one_file_for_each_process_and_one_with_all() {
    let (session, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Segment::new("scanner", 7, 1).data(1, 0, 0, &steps(0..5, 10)).end().write(session.path());
    Segment::new("updater", 8, 1).data(1, 0, 0, &steps(0..3, 10)).end().write(session.path());
    let dir = out.path().join("new");
    let written = write_all(session.path(), &dir).unwrap();
    let expected = [
        "all.trace.log",
        "scanner_2026-11-23_17.44.36_pid7.trace.log",
        "updater_2026-11-23_17.44.36_pid8.trace.log",
    ];
    assert_eq!(names(&dir), expected);
    assert_eq!(
        (name(&written.all), written.files.iter().map(|p| name(p)).collect::<Vec<_>>()),
        (expected[0], expected[1..].to_vec())
    );
    let lines = |file: &str| fs::read_to_string(dir.join(file)).unwrap().lines().count();
    assert_eq!(expected.map(lines), [8, 5, 3]);
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    for file in expected {
        assert_eq!(fs::metadata(dir.join(file)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // Nothing is ever overwritten.
    fs::write(dir.join(expected[0]), "mine").unwrap();
    let again = write_all(session.path(), &dir).unwrap();
    assert_eq!(name(&again.all), "all-2.trace.log");
    assert_eq!(name(&again.files[0]), "scanner_2026-11-23_17.44.36_pid7-2.trace.log");
    assert_eq!(fs::read_to_string(dir.join(expected[0])).unwrap(), "mine");
    assert_eq!(names(&dir).len(), 6);
}

#[test]
fn more_processes_than_files_may_be_open() {
    let (session, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for pid in 0..250 {
        // Every process has something at every time, so that files are closed and opened again.
        Segment::new("scanner", pid, 1).data(1, 0, 0, &steps(0..4, 1000)).end().write(session.path());
    }
    let written = write_all(session.path(), out.path()).unwrap();
    assert_eq!((written.files.len(), written.summary.events), (250, 1000));
    for file in &written.files {
        assert_eq!(fs::read_to_string(file).unwrap().lines().count(), 4, "{}", file.display());
    }
    assert_eq!(names(out.path()).len(), 251);
}

#[test]
fn a_component_cannot_name_another_place() {
    let (session, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut segment = Segment::new("../../etc/x", 7, 1);
    segment.data(1, 0, 0, &steps(0..1, 1)).end();
    fs::write(session.path().join("a_pid1_00000000_000001.twseg"), &segment.bytes).unwrap();
    let written = write_all(session.path(), out.path()).unwrap();
    assert_eq!(name(&written.files[0]), "_.._etc_x_2026-11-23_17.44.36_pid7.trace.log");
    assert_eq!(written.files[0].parent().unwrap(), out.path());
}

#[test]
fn a_failure_leaves_nothing_behind() {
    let (session, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut segment = Segment::new("scanner", 7, 1);
    segment.data(1, 0, 0, &steps(0..2000, 1)).end().write(session.path());
    // A directory that cannot be: a file is in its place.
    let place = out.path().join("file");
    fs::write(&place, "").unwrap();
    let error = write_all(session.path(), &place).unwrap_err().to_string();
    assert!(error.contains(place.to_str().unwrap()) && error.contains("name a directory"), "{error}");
    // A disk that is full.
    let full = PathBuf::from("/dev/full");
    if full.exists() {
        let dir = out.path().join("out");
        fs::create_dir(&dir).unwrap();
        // The temporary name is taken by something that is not ours: it is left alone, another name is used.
        std::os::unix::fs::symlink(&full, dir.join(".all.trace.log.part")).unwrap();
        let written = write_all(session.path(), &dir).unwrap();
        assert_eq!(name(&written.all), "all-2.trace.log");
    }
}

#[test]
fn progress_ends_at_the_whole() {
    let (session, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut segment = Segment::new("scanner", 7, 1);
    segment.data(1, 0, 0, &steps(0..200, 1)).end().write(session.path());
    let trace = Trace::open(&[session.path().to_owned()], &[]).unwrap();
    let mut told = Vec::new();
    let progress = |p: Progress| told.push((p.events, p.done, p.total));
    write_trace_files_with(&trace, out.path(), &Filter::default(), true, progress).unwrap();
    assert!(told.is_sorted());
    let bytes = segment.bytes.len() as u64;
    assert_eq!(told.last(), Some(&(200, bytes, bytes)));
}
