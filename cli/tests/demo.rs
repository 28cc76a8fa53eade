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
    // Whether the sensor has seen everything depends on how busy the computer is; the exit code must say it.
    if ran.stdout.contains("\n  NO ") {
        assert!(ran.code == 3 && ran.stderr.contains("the sensor did not see"), "{ran:?}");
    } else {
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    for part in
        ["SIGKILL", "Lost: none", "bytes per event", "bare clock read", "Trace files:", "all.trace.log"]
    {
        assert!(ran.stdout.contains(part), "{part}: {ran:?}");
    }
    for category in ["detection", "download", "process", "network", "web", "message", "audit", "custom"] {
        assert!(ran.stdout.contains(&format!("\n  {category} (")), "{category}: {ran:?}");
    }
    assert!(ran.stdout.contains("yes the EICAR test file"), "the sensor saw the download: {ran:?}");
    let folder = list(&temporary).remove(0);
    assert!(ran.stdout.contains(&format!("\nRemove it: rm -r {}\n", folder.display())), "{ran:?}");
    assert_eq!(
        skeleton(&readme_block()),
        skeleton(&ran.stdout),
        "README.md shows another output; run the demo again"
    );
    let left = list(&folder);
    assert_eq!(left.len(), 1, "only the trace files stay: {left:?}");
    assert!(left[0].join("all.trace.log").is_file());
}

/// What README.md shows as the output of the demo.
fn readme_block() -> String {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let shown = readme.split("```text\n").find(|block| block.starts_with("A private directory")).unwrap();
    shown.split("```").next().unwrap().to_owned()
}

/// The lines of a demo without what differs from run to run and from computer to computer: the lines of the trace,
/// numbers, sizes, paths, and how well the sensor can see.
fn skeleton(output: &str) -> Vec<String> {
    let own = |line: &&str| {
        !line.starts_with("    ") && !line.starts_with("  source of") && !line.contains("(a debug build")
    };
    output.lines().filter(own).map(stable).collect()
}

fn stable(line: &str) -> String {
    let line = line.replacen("  NO ", "  yes", 1);
    let line = line.split(" of report.pdf").next().unwrap_or_default();
    let mut out = String::new();
    for word in line.split(' ') {
        let word = if word.starts_with('/') { "PATH" } else { word };
        let mut in_number = false;
        for c in word.chars() {
            let is_number = c.is_ascii_digit() || (in_number && (c == ',' || c == '.'));
            if is_number && !in_number {
                out.push('#');
            } else if !is_number {
                out.push(c);
            }
            in_number = is_number;
        }
        out.push(' ');
    }
    for unit in ["# B", "# KiB", "# MiB", "# GiB"] {
        out = out.replace(unit, "SIZE");
    }
    out.trim_end().to_owned()
}

#[test]
fn with_the_defaults_watch_says_what_it_does_not_record_and_how_to() {
    let place = Place::new();
    place.run(&["enable"]).ok();
    let mut child =
        place.command().arg("watch").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let off = lines.find(|l| l.contains("NOT recorded")).unwrap();
    assert!(off.contains("network connections") && off.contains("loaded modules"), "{off}");
    let command = lines.next().unwrap();
    let command = command.split("tracewell ").nth(1).unwrap();
    place.run(&command.split_whitespace().collect::<Vec<_>>()).ok();
    assert!(lines.next().is_some_and(|l| l.contains("tracing is on")), "the new session is noticed");
    // One terminal watches; in another a program starts and a connection is opened.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let _connection = std::net::TcpStream::connect(address).unwrap();
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        std::process::Command::new("sleep").arg("0.31").status().unwrap();
        let text = place.run(&["read", "--stdout", "--component", "sensor"]).stdout;
        let seen = |event: &str, part: &str| text.lines().any(|l| l.contains(event) && l.contains(part));
        if seen("process.start", "sleep 0.31")
            && seen("network.connection", &address.to_string())
            && text.contains("module.load")
        {
            break;
        }
        assert!(Instant::now() < deadline, "{text}");
    }
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!lines.any(|l| l.contains("NOT recorded")), "everything is on now");
}

#[test]
fn watch_says_that_tracing_is_off_and_what_to_enable() {
    let place = Place::new();
    let mut child =
        place.command().arg("watch").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "nothing is recorded: tracing is off; run `tracewell enable`");
    assert!(
        lines.next().unwrap().contains("tracewell enable --category all=info,module=debug,network=debug")
    );
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
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
    assert!(!place.ring_root().exists(), "nothing is left behind");
    place.run(&["read", "--out", "o"]).ok();
}

#[test]
fn watch_says_what_it_cannot_use() {
    let place = Place::new();
    place.run(&["watch", "--downloads", "nowhere"]).error(&["nowhere", "--downloads"]);
    place.run(&["watch", "--hash-list", "nowhere"]).error(&["nowhere", "SHA-256"]);
}
