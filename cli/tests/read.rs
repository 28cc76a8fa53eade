//! `read`, and what every command says about places that it cannot use.

mod support;

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use serde_json::Value;
use support::{Place, list};

#[test]
fn text_files_and_their_summary() {
    let place = Place::new();
    place.record(100);
    let ran = place.run(&["read", "--out", "out"]).ok();
    assert!(ran.stderr.contains("lost: none"), "{ran:?}");
    let names: Vec<_> = ran.stdout.lines().collect();
    assert_eq!(names.len(), list(&place.path("out")).len());
    let all = std::fs::read_to_string(place.path("out/all.trace.log")).unwrap();
    assert_eq!(all.lines().filter(|l| l.contains("error.raised")).count(), 100);
    assert!(
        all.contains("audit.enabled") && all.contains("everything at level info"),
        "who switched it on is in the trace"
    );
    assert!(all.contains("\\u{1b}[31m") && !all.contains('\u{1b}'), "nothing steers the terminal");
    let own = names.iter().find(|n| n.contains("scanner_")).unwrap();
    assert!(own.ends_with(&format!("_pid{}.trace.log", std::process::id())), "{own}");
    let mode = std::fs::metadata(place.path("out")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    place.run(&["read", "--out", "out"]).error(&["all.trace.log", "not overwritten", "--out"]);
    // Without --out: a folder named by the time.
    place.run(&["read", "--last", "--component", "scanner"]).ok();
    assert!(list(&place.path("")).iter().any(|p| p.to_string_lossy().contains("tracewell-trace-2")));
}

#[test]
fn json_is_one_object_a_line() {
    let place = Place::new();
    place.record(50);
    let ran = place.run(&["read", "--format", "json", "--component", "scanner"]).ok();
    let events: Vec<Value> = ran.stdout.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert_eq!(events.len(), 50);
    for (i, event) in events.iter().enumerate() {
        assert_eq!((&event["event"], &event["category"]), (&"error.raised".into(), &"error".into()));
        assert_eq!((&event["component"], &event["pid"]), (&"scanner".into(), &std::process::id().into()));
        assert_eq!(event["fields"]["code"], i);
        assert!(event["ts"].as_str().unwrap().ends_with('Z'));
    }
    place.run(&["read", "--format", "json", "--out", "j"]).ok();
    let file = std::fs::read_to_string(place.path("j/all.trace.jsonl")).unwrap();
    assert_eq!(file.lines().filter(|l| l.contains("error.raised")).count(), 50);
    assert_eq!(list(&place.path("j")).len(), 1, "nothing half-written");
}

#[test]
fn filters() {
    let place = Place::new();
    place.record(20);
    let count =
        |args: &[&str]| place.run(&[&["read", "--stdout"], args].concat()).ok().stdout.lines().count();
    assert_eq!(count(&["--event", "error.raised"]), 20);
    assert_eq!(count(&["--category", "audit"]), 2);
    assert_eq!(count(&["--category", "network"]), 0);
    assert_eq!(count(&["--since", "1h", "--category", "error"]), 20);
    assert_eq!(count(&["--until", "2001-01-01T00:00:00Z"]), 0);
    assert_eq!(count(&["--pid", &std::process::id().to_string()]), 20);
    place.run(&["read", "--stdout", "--since", "yesterday"]).error(&["--since", "yesterday", "10m"]);
}

#[test]
fn a_session_a_segment_and_several() {
    let place = Place::new();
    place.record(7);
    let session = list(&place.base().join("sessions")).remove(0);
    let segments = place.segments();
    let scanner = segments.iter().find(|s| s.to_string_lossy().contains("scanner")).unwrap();
    for path in [&place.base(), &session, scanner] {
        let ran = place.run(&["read", "--stdout", "--component", "scanner", path.to_str().unwrap()]).ok();
        assert_eq!(ran.stdout.lines().count(), 7, "{path:?} {ran:?}");
    }
}

#[test]
fn what_was_lost_or_damaged_has_its_own_exit_code() {
    let place = Place::new();
    place.record(5000);
    let segments = place.segments();
    let scanner = segments.iter().find(|s| s.to_string_lossy().contains("scanner")).unwrap();
    let bytes = std::fs::read(scanner).unwrap();
    let copy = place.path("cut.twseg");
    std::fs::write(&copy, &bytes[..bytes.len() - 200]).unwrap();
    let ran = place.run(&["read", "--stdout", copy.to_str().unwrap()]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stderr.contains("damaged") && ran.stderr.contains("cut.twseg"), "{ran:?}");
}

#[test]
fn bad_input_is_an_error_that_says_what_and_what_to_do() {
    let place = Place::new();
    place.run(&["read"]).error(&["holds no trace", "tracewell enable"]);
    for command in [&["status"][..], &["disable"], &["purge"], &["read"]] {
        let ran = place.run(&[command, &["--dir", "nowhere"]].concat());
        ran.error(&["nowhere", "does not exist"]);
    }
    place.run(&["read", "nowhere"]).error(&["nowhere", "cannot be read"]);
    for command in [&["status"][..], &["disable"], &["enable"], &["purge", "--yes"], &["read"], &["watch"]] {
        place.run(&[command, &["--dir", "/etc"]].concat()).error(&["/etc", "--dir"]);
        place.run(&[command, &["--dir", "/etc/passwd"]].concat()).error(&["/etc/passwd"]);
    }
    place.run(&["read", "/etc"]).error(&["/etc", "holds no trace"]);
    place.run(&["read", "/etc/passwd"]).error(&["/etc/passwd", "cannot be used"]);
    assert!(!place.path("nowhere").exists());
}

#[test]
fn truncated_foreign_and_future_files() {
    let place = Place::new();
    place.record(3);
    let bytes = std::fs::read(&place.segments()[0]).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        std::fs::write(place.path(name), bytes).unwrap();
        place.run(&["read", "--out", "o", name])
    };
    file("short.twseg", &bytes[..20]).error(&["short.twseg", "cannot be used"]);
    file("empty.twseg", &[]).error(&["empty.twseg"]);
    let mut future = bytes.clone();
    future[8] = 9;
    file("future.twseg", &future).error(&["future.twseg", "version 9.", "newer"]);
    assert!(!place.path("o").exists(), "nothing half-written");
    // A control page of a later version is not changed.
    let control = place.base().join("control");
    let mut page = std::fs::read(&control).unwrap();
    page[8] = 9;
    std::fs::write(&control, &page).unwrap();
    for command in [&["status"][..], &["enable"], &["disable"]] {
        place.run(command).error(&["control", "version 9.", "newer"]);
    }
    assert_eq!(std::fs::read(&control).unwrap(), page);
    std::fs::write(&control, [0; 100]).unwrap();
    place.run(&["enable"]).error(&["control", "100 bytes"]);
    std::fs::write(&control, [b'x'; 16384]).unwrap();
    place.run(&["enable"]).error(&["control", "not written by Tracewell"]);
}

#[test]
fn places_that_cannot_be_written() {
    let place = Place::new();
    place.record(3);
    // Not even root can make a folder there.
    place.run(&["enable", "--dir", "/proc/trace"]).error(&["/proc/trace"]);
    place.run(&["read", "--out", "/proc/trace"]).error(&["/proc/trace", "cannot be written"]);
    place
        .run(&["read", "--format", "json", "--out", "/proc/trace"])
        .error(&["/proc/trace", "cannot be written"]);
    std::fs::set_permissions(place.base(), std::fs::Permissions::from_mode(0o755)).unwrap();
    place.run(&["status"]).error(&["mode 755", "chmod 700"]);
    std::fs::set_permissions(place.base(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ran = place.command().args(["read", "--stdout"]).stdout(full).output().unwrap();
    assert_eq!(ran.status.code(), Some(2));
    assert!(String::from_utf8(ran.stderr).unwrap().contains("standard output cannot be written"));
}

#[test]
fn a_closed_pipe_is_no_error() {
    let place = Place::new();
    place.record(50_000);
    let mut child = place
        .command()
        .args(["read", "--stdout"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 100]).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn hostile_names_are_printed_as_text() {
    let place = Place::new();
    let ran = place.run(&["read", "a\u{1b}[31mb\nc"]);
    ran.error(&["a\\u{1b}[31mb\\nc"]);
    assert!(!ran.stderr.contains('\u{1b}'));
}
