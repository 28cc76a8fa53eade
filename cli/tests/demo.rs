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

/// Events of the sensor, as the command reads them.
fn events(place: &Place) -> Vec<serde_json::Value> {
    let args = ["read", "--stdout", "--format", "json", "--component", "sensor"];
    let text = place.run(&args).stdout;
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Waits for an event whose fields have these values.
#[track_caller]
fn wait_for(place: &Place, event: &str, fields: &[(&str, &str)]) -> serde_json::Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    loop {
        let found = events(place).into_iter().find(|e| {
            e["event"] == event && fields.iter().all(|(name, value)| text(&e["fields"][name]) == *value)
        });
        if let Some(found) = found {
            return found["fields"].clone();
        }
        assert!(Instant::now() < deadline, "no {event} with {fields:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A `watch` that ends with the test.
struct Watch(std::process::Child);

impl Watch {
    fn start(place: &Place) -> Self {
        let downloads = place.path("downloads");
        std::fs::create_dir(&downloads).unwrap();
        // As a user may type it.
        let mut command = place.command();
        command.args(["watch", "--downloads", "downloads/../downloads"]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.next().unwrap().contains("Ctrl-C"));
        std::thread::spawn(move || lines.for_each(drop));
        Self(child)
    }

    /// Seconds of processor time that it has used, in ticks.
    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields = stat.rsplit(')').next().unwrap().split_ascii_whitespace();
        fields.skip(11).take(2).map(|n| n.parse::<u64>().unwrap()).sum()
    }

    fn end(mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        assert_eq!(self.0.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a program until the sensor has told of it: from then on it sees everything.
fn until_it_sees(place: &Place) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !events(place).iter().any(|e| e["event"] == "process.start") {
        assert!(Instant::now() < deadline, "the sensor does not begin");
        assert!(std::process::Command::new("sleep").arg("0.2").status().unwrap().success());
    }
}

#[test]
fn a_program_and_a_connection_are_in_the_trace_with_the_right_fields() {
    let place = Place::new();
    place.run(&["enable", "--level", "trace"]).ok();
    let watch = Watch::start(&place);
    until_it_sees(&place);
    let mut program = std::process::Command::new("sleep").arg("123.25").spawn().unwrap();
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let server = listener.local_addr().unwrap().to_string();
    let client = std::net::TcpStream::connect(&server).unwrap();
    let end = client.local_addr().unwrap().to_string();
    let own = std::process::id().to_string();
    let own_path = std::env::current_exe().unwrap();

    let start = wait_for(&place, "process.start", &[("pid", &program.id().to_string())]);
    let path = std::fs::read_link(format!("/proc/{}/exe", program.id())).unwrap();
    assert_eq!(start["image_path"], path.to_str().unwrap());
    assert_eq!(start["command_line"], "sleep 123.25");
    assert_eq!(start["parent_pid"].to_string(), own);
    assert_eq!(start["parent_path"], own_path.to_str().unwrap());
    let image = wait_for(&place, "module.image", &[("sha256", start["sha256"].as_str().unwrap())]);
    assert_eq!(image["size"], start["size"]);
    let sum = std::process::Command::new("sha256sum").arg(&path).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap();
    assert_eq!(start["sha256"], sum.split_whitespace().next().unwrap());

    let made = wait_for(&place, "network.connection", &[("local", &end), ("state", "established")]);
    assert_eq!(made["remote"], server.as_str());
    assert_eq!((made["direction"].as_str(), made["family"].as_str()), (Some("outbound"), Some("ipv4")));
    assert_eq!(made["protocol"], 6);
    assert_eq!(made["pid"].to_string(), own);
    assert_eq!(made["image_path"], own_path.to_str().unwrap());
    assert_eq!(made["process_key"], start["parent_key"]);
    drop((client, listener));
    wait_for(&place, "network.connection", &[("local", &end), ("state", "closed")]);
    program.kill().unwrap();
    program.wait().unwrap();
    let exit = wait_for(&place, "process.exit", &[("process_key", start["process_key"].as_str().unwrap())]);
    assert_eq!(exit["correlation"], start["correlation"]);
    watch.end();
}

#[test]
fn each_session_has_the_images_and_while_nothing_is_on_the_sensor_rests() {
    let place = Place::new();
    place.run(&["enable"]).ok();
    place.run(&["disable"]).ok();
    let watch = Watch::start(&place);
    let run = || {
        assert!(std::process::Command::new("sleep").arg("0.2").status().unwrap().success());
    };
    // What runs while tracing is off costs next to nothing, and is forgotten.
    run();
    let before = watch.ticks();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        assert!(std::process::Command::new("true").status().unwrap().success());
    }
    let (used, passed) = (watch.ticks() - before, began.elapsed().as_millis() as u64 / 10);
    assert!(used * 100 < passed * 10, "{used} of {passed} ticks");

    let sessions = || list(&place.base().join("sessions"));
    for _ in 0..2 {
        let before = sessions();
        place.run(&["enable"]).ok();
        let session = sessions().into_iter().find(|s| !before.contains(s)).unwrap();
        let images = || {
            let output = place.run(&["read", "--stdout", "--format", "json", session.to_str().unwrap()]);
            let lines =
                output.stdout.lines().filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok());
            let images = lines.filter(|e| e["event"] == "module.image");
            images.map(|e| e["fields"]["sha256"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let sleep = std::process::Command::new("sh")
            .args(["-c", "sha256sum \"$(command -v sleep)\""])
            .output()
            .unwrap();
        let sleep = String::from_utf8(sleep.stdout).unwrap()[..64].to_owned();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !images().contains(&sleep) {
            if Instant::now() >= deadline {
                // Told elsewhere, or refused?
                let all = place.run(&["read", "--stdout", "--format", "json"]);
                let of_it: Vec<_> = all.stdout.lines().filter(|line| line.contains(&sleep)).take(3).collect();
                panic!("{:?} without {sleep}; of all: {of_it:#?} {}", images(), all.stderr);
            }
            run();
        }
        run();
        let mut all = images();
        all.sort();
        let len = all.len();
        all.dedup();
        assert_eq!(all.len(), len, "once for each hash and session");
        place.run(&["disable"]).ok();
    }
    watch.end();
}
