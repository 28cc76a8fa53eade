//! Rings are found although the component had another environment than the command.

mod support;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Stdio};

use serde_json::Value;
use support::{Place, list};

/// A component in an environment of its own, with rings in a place that the command does not derive.
struct Elsewhere {
    child: Child,
    /// It ends when nobody reads.
    _stdout: BufReader<ChildStdout>,
    runtime: tempfile::TempDir,
}

impl Elsewhere {
    fn start(place: &Place, variable: &str) -> Self {
        let runtime = tempfile::tempdir_in("/dev/shm").unwrap();
        let mut child = place
            .command()
            .env_remove("TRACEWELL_RING_DIR")
            .env(variable, runtime.path())
            .args(["demo-component", "loadgen"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It tells after each round how many emits have returned.
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while line.trim_end().parse::<u64>().unwrap_or(0) == 0 {
            line.clear();
            assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "it has ended");
        }
        Self { child, _stdout: stdout, runtime }
    }

    /// Folders of rings that are there.
    fn rings(&self) -> Vec<PathBuf> {
        let roots = list(&self.runtime.path().join("tracewell"));
        roots.iter().flat_map(|root| list(root)).collect()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn status(place: &Place) -> Value {
    serde_json::from_str(&place.run(&["status", "--json"]).ok().stdout).unwrap()
}

#[test]
fn a_command_without_the_component_s_environment_finds_its_rings() {
    let place = Place::new();
    place.run(&["enable", "--level", "trace"]).ok();
    let mut elsewhere = Elsewhere::start(&place, "TRACEWELL_RING_DIR");
    let rings = elsewhere.rings();
    assert_eq!(rings.len(), 1);
    let path = rings[0].display().to_string();
    let report = status(&place);
    let component = report["components"].as_array().unwrap().iter().find(|c| c["component"] == "loadgen");
    assert!(component.unwrap()["rings"].as_u64().unwrap() > 0, "{report}");
    assert!(report["places"].as_array().unwrap().iter().any(|p| p["path"] == path.as_str()), "{report}");
    let kept = place.run(&["purge", "--yes"]).ok();
    assert!(kept.stdout.contains(&path) && kept.stdout.contains("records into it"), "{kept:?}");
    elsewhere.kill();
    place.run(&["disable"]).ok();
    // What only the rings have is read, and then deleted.
    let read = place.run(&["read", "--stdout", "--component", "loadgen"]).ok();
    assert!(read.stderr.contains("rings left by") || read.stderr.contains("salvaged"), "{:?}", read.stderr);
    let text = place.run(&["status"]).ok().stdout;
    assert!(text.contains(&path) && text.contains("ended before everything was in a segment"), "{text}");
    let purged = place.run(&["purge", "--yes"]).ok();
    assert!(purged.stdout.contains("of rings"), "{purged:?}");
    assert!(elsewhere.rings().is_empty() && !rings[0].exists(), "personal data is left");
}

#[test]
fn the_runtime_directory_of_a_desktop_session_is_found_too() {
    let place = Place::new();
    place.run(&["enable"]).ok();
    // Root does not use it; then this tests the usual place.
    let mut elsewhere = Elsewhere::start(&place, "XDG_RUNTIME_DIR");
    elsewhere.kill();
    place.run(&["disable"]).ok();
    place.run(&["purge", "--yes"]).ok();
    let left = status(&place);
    let places = left["places"].as_array().unwrap();
    assert!(!places.iter().any(|p| p["kind"] == "rings"), "{left}");
}

#[test]
fn a_place_that_cannot_be_looked_at_is_said() {
    let place = Place::new();
    place.record(1);
    let open = place.path("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755)).unwrap();
    let listed = place.base().join("ring-roots");
    let mut bytes = std::fs::read(&listed).unwrap();
    bytes.extend_from_slice(open.as_os_str().as_encoded_bytes());
    bytes.push(0);
    std::fs::write(&listed, bytes).unwrap();
    for command in [&["status"][..], &["read", "--stdout"], &["purge"]] {
        let ran = place.run(command).ok();
        let said = ran.stdout + &ran.stderr;
        assert!(said.contains("rings may also lie in") && said.contains("chmod 700"), "{command:?}: {said}");
    }
    place.run(&["purge", "--yes"]).error(&["rings may also lie in", open.to_str().unwrap()]);
    assert!(open.is_dir());
}

#[test]
fn the_help_names_the_variable() {
    let help = Place::new().run(&["--help"]).ok().stdout;
    assert!(help.contains("TRACEWELL_RING_DIR") && help.contains("TRACEWELL_DIR"), "{help}");
}
