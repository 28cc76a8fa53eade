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

    let mut sessions = std::collections::BTreeSet::new();
    for _ in 0..2 {
        place.run(&["enable"]).ok();
        let known: Vec<_> = std::fs::read_dir(place.base().join("sessions")).unwrap().flatten().collect();
        let session = known
            .into_iter()
            .map(|e| e.path())
            .max_by_key(|p| std::fs::metadata(p).unwrap().modified().unwrap());
        let session = session.unwrap();
        assert!(sessions.insert(session.clone()));
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
            assert!(Instant::now() < deadline, "{:?}", images());
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
