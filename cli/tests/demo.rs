//! `demo` and `watch`, as a user runs them.

mod support;

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use support::{Place, list};

#[test]
fn the_whole_path_in_one_command() {
    let place = Place::new();
    let temporary = place.path("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let output = place.command().args(["demo", "--seconds", "4"]).env("TMPDIR", &temporary).output().unwrap();
    let ran: support::Ran = output.into();
    let ran = ran.ok();
    for part in
        ["SIGKILL", "Lost: none", "bytes per event", "bare clock read", "Trace files:", "all.trace.log"]
    {
        assert!(ran.stdout.contains(part), "{part}: {ran:?}");
    }
    for category in ["detection", "download", "process", "network", "web", "message", "audit", "custom"] {
        assert!(ran.stdout.contains(&format!("\n  {category} (")), "{category}: {ran:?}");
    }
    assert!(ran.stdout.contains("yes the EICAR test file"), "the sensor saw the download: {ran:?}");
    let left = list(&list(&temporary)[0]);
    assert_eq!(left.len(), 1, "only the trace files stay: {left:?}");
    assert!(left[0].join("all.trace.log").is_file());
}

#[test]
fn watch_records_and_ends_on_a_signal() {
    let place = Place::new();
    place.run(&["enable"]).ok();
    let downloads = place.path("downloads");
    std::fs::create_dir(&downloads).unwrap();
    let mut child = place
        .command()
        .args(["watch", "--downloads", downloads.to_str().unwrap()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().contains("Ctrl-C"));
    std::thread::sleep(Duration::from_millis(500));
    std::fs::write(downloads.join("eicar.com"), tracewell_sensor::eicar()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let text = place.run(&["read", "--stdout", "--component", "sensor"]).stdout;
        if text.contains("detection.object") && text.contains("download.finished") {
            break;
        }
        assert!(Instant::now() < deadline, "{text}");
        std::thread::sleep(Duration::from_millis(200));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(lines.any(|l| l.starts_with("Ended;") && l.contains("lost: none")));
    place.run(&["disable"]).ok();
    assert!(list(&place.ring_root()).is_empty(), "nothing is left behind");
    place.run(&["read", "--out", "o"]).ok();
}

#[test]
fn watch_says_what_it_cannot_use() {
    let place = Place::new();
    place.run(&["watch", "--downloads", "nowhere"]).error(&["nowhere", "--downloads"]);
    place.run(&["watch", "--hash-list", "nowhere"]).error(&["nowhere", "SHA-256"]);
}
