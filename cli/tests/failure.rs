//! Full and read-only disks, rings that cannot be made, damaged settings: what, where, what to do, and nothing left.

mod support;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Place, Ran, list};

fn chmod(path: &std::path::Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn status(place: &Place) -> Value {
    serde_json::from_str(&place.run(&["status", "--json"]).ok().stdout).unwrap()
}

/// Nothing can be written into the session any more, as on a full disk: a file lies where its folder was.
fn spoil_session(place: &Place) {
    let folder = status(place)["session"]["folder"].as_str().unwrap().to_owned();
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "").unwrap();
}

#[test]
fn disable_switches_off_at_once_though_nothing_can_be_written() {
    let place = Place::new();
    place.run(&["enable"]).ok();
    spoil_session(&place);
    let begin = Instant::now();
    let mut child =
        place.command().arg("disable").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let dirs = tracewell::dirs::Dirs::resolve(Some(&place.base())).unwrap();
    let control = tracewell::control::Control::open_read_only(&dirs).unwrap().unwrap();
    while control.snapshot().is_ok() {
        assert!(begin.elapsed() < Duration::from_secs(2), "tracing is still on");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(child.wait().unwrap().success());
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    // Nothing is lost: who switched it off is in memory, and is read from there.
    let text = place.run(&["read", "--stdout"]).stdout;
    assert!(text.contains("audit.disabled"), "{text}");
}

#[test]
fn who_switched_it_on_and_how_is_in_the_trace() {
    let place = Place::new();
    place.run(&["enable", "--for", "30m", "--opt-in", "web.login"]).ok();
    let read = place.run(&["read", "--format", "json", "--event", "audit.enabled"]).ok();
    let event: Value = serde_json::from_str(read.stdout.lines().next().unwrap()).unwrap();
    let fields = &event["fields"];
    assert_eq!(fields["how"], "command_line", "{event}");
    assert_eq!(fields["uid"], rustix::process::getuid().as_raw(), "{event}");
    assert_eq!(fields["opt_ins"][0], "web.login", "{event}");
    assert!(fields["until"].is_string() && fields["scope"].is_string(), "{event}");
    assert!(fields["image_path"].as_str().unwrap().contains("tracewell"), "{event}");
}

/// Runs a command as a user for whom the directory is read-only: root may write everywhere.
fn run_reading_only(place: &Place, args: &[&str]) -> Ran {
    if !rustix::process::geteuid().is_root() {
        return place.run(args);
    }
    // That user may not be able to reach the folder of the build.
    let program = place.path("program");
    if !program.exists() {
        std::fs::copy(env!("CARGO_BIN_EXE_tracewell"), &program).unwrap();
        chmod(&program, 0o755);
    }
    let mut command = std::process::Command::new(program);
    command.uid(4242).gid(4242).current_dir(place.path("")).env("TRACEWELL_DIR", place.base());
    command.args(args).output().unwrap().into()
}

#[test]
fn what_only_reads_works_in_a_read_only_directory() {
    let place = Place::new();
    place.record(5);
    let set = |file: u32, folder: u32, owner: u32| {
        let mut all = vec![place.base()];
        while let Some(path) = all.pop() {
            if path.is_dir() {
                all.extend(list(&path));
            }
            if rustix::process::geteuid().is_root() {
                std::os::unix::fs::lchown(&path, Some(owner), Some(owner)).unwrap();
            }
            chmod(&path, if path.is_dir() { folder } else { file });
        }
    };
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::lchown(place.path(""), Some(4242), Some(4242)).unwrap();
    }
    set(0o400, 0o500, 4242);
    for args in [&["status"][..], &["purge"], &["read", "--stdout"]] {
        let ran = run_reading_only(&place, args);
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
    }
    run_reading_only(&place, &["enable"]).error(&["trace", "Permission denied", "--dir"]);
    set(0o600, 0o700, rustix::process::geteuid().as_raw());
}

#[test]
fn a_failed_command_leaves_nothing_behind() {
    let place = Place::new();
    place.run(&["watch", "--hash-list", "nowhere"]).error(&["nowhere", "--hash-list"]);
    std::fs::write(place.path("bad"), "not a hash\n").unwrap();
    place.run(&["watch", "--hash-list", "bad"]).error(&["bad", "line 1"]);
    place.run(&["watch", "--downloads", "nowhere"]).error(&["nowhere", "--downloads"]);
    place.run(&["enable", "--max-size", "1K"]).error(&["max_size", "128K"]);
    place.run(&["enable", "--opt-in", "cookies"]).error(&["opt_in", "event.name"]);
    assert!(!place.base().exists());
    let long = place.path("new").join("x".repeat(300));
    place.run(&["enable", "--dir", long.to_str().unwrap()]).error(&["too long"]);
    assert!(!place.path("new").exists(), "the folder above was made on the way");
    // Where the settings cannot be written, nothing is switched on and what was there stays as it was.
    place.run(&["enable", "--level", "warn"]).ok();
    place.run(&["disable"]).ok();
    let before = list(&place.base());
    std::fs::remove_file(place.base().join("settings.toml")).unwrap();
    std::fs::create_dir(place.base().join("settings.toml")).unwrap();
    place.run(&["enable", "--defaults"]).error(&["settings.toml", "cannot be written"]);
    assert_eq!(status(&place)["enabled"], false);
    assert_eq!(list(&place.base()), before);
    assert_eq!(list(&place.base().join("sessions")).len(), 1, "no empty session");
}

#[test]
fn damaged_settings_are_said_with_the_way_out() {
    let place = Place::new();
    place.record(1);
    let settings = place.base().join("settings.toml");
    let check = |part: &str| {
        for text in [place.run(&["status"]).ok().stdout, place.run(&["enable"]).stderr] {
            let way_out = text.contains("enable --defaults");
            assert!(text.contains("settings.toml") && text.contains(part) && way_out, "{part}: {text}");
        }
    };
    for (text, part) in [
        (&b"level = \"loud\"\n"[..], "level: "),
        (b"levle = \"info\"\n", "unknown field `levle`"),
        (b"\xff\xfe", "not UTF-8"),
    ] {
        std::fs::write(&settings, text).unwrap();
        check(part);
    }
    std::fs::remove_file(&settings).unwrap();
    symlink("/etc/passwd", &settings).unwrap();
    check("symbolic link");
    let ran = place.run(&["enable", "--defaults"]).ok();
    assert!(ran.stdout.contains("everything at level info"), "{ran:?}");
    assert!(!settings.is_symlink());
}

#[test]
fn remedies_are_said_once() {
    let place = Place::new();
    place.record(1);
    chmod(&place.base(), 0o755);
    let ran = place.run(&["status"]);
    ran.error(&["chmod 700"]);
    assert!(!ran.stderr.contains("--dir"), "{ran:?}");
    chmod(&place.base(), 0o700);
    std::fs::write(place.path("file"), "").unwrap();
    place.run(&["read", "--out", "file"]).error(&["file", "name another folder"]);
    place.run(&["read", "--format", "json", "--out", "file"]).error(&["file", "name another folder"]);
}

#[test]
fn watch_says_that_everything_was_refused() {
    let place = Place::new();
    place.run(&["enable", "--level", "trace"]).ok();
    let runtime = tempfile::tempdir_in("/dev/shm").unwrap();
    // A file where the folder of the rings should be.
    std::fs::write(runtime.path().join("tracewell"), "").unwrap();
    let child = place
        .command()
        .env("TRACEWELL_RING_DIR", runtime.path())
        .arg("watch")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    let component = loop {
        // Something for it to see.
        std::process::Command::new("sleep").arg("0.3").status().unwrap();
        let report = status(&place);
        let found =
            report["components"].as_array().unwrap().iter().find(|c| c["why"] == "ring_failed").cloned();
        if let Some(found) = found {
            break found;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{report}");
    };
    std::thread::sleep(Duration::from_millis(600));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ran: Ran = child.wait_with_output().unwrap().into();
    assert_eq!(ran.code, 3, "{ran:?}");
    let sentence = component["explanation"].as_str().unwrap();
    assert!(ran.stderr.contains(&format!("nothing was recorded: {sentence}")), "{sentence}: {ran:?}");
}

#[test]
fn purge_counts_what_it_deleted_beside_a_foreign_file() {
    let place = Place::new();
    place.record(2000);
    let session = list(&place.base().join("sessions")).remove(0);
    let segments = list(&session).len();
    std::fs::write(session.join("notes.txt"), "stays").unwrap();
    let ran = place.run(&["purge", "--yes"]);
    ran.error(&["1 file in it not made by Tracewell", "remove it by hand"]);
    assert!(ran.stdout.contains(&format!("Deleted {segments} segments (")), "{ran:?}");
    assert!(ran.stdout.contains("left 1 file.") && !ran.stdout.contains("(0 B)"), "{ran:?}");
    assert_eq!(list(&session), [session.join("notes.txt")]);
}

#[test]
fn demo_refuses_a_directory_and_names_the_place_that_is_full() {
    let place = Place::new();
    place.run(&["demo", "--dir", "x"]).error(&["demo", "--dir", "TMPDIR"]);
    let ran = place.command().arg("demo").env("TMPDIR", "/proc").output().unwrap();
    Ran::from(ran).error(&["/proc", "TMPDIR"]);
    // A file size limit of zero is as good as a full disk: no segment can be written.
    let temporary = place.path("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let mut command = std::process::Command::new("sh");
    let script = "trap '' XFSZ; ulimit -f 0; exec \"$0\" demo --seconds 1";
    command.args(["-c", script, env!("CARGO_BIN_EXE_tracewell")]).env("TMPDIR", &temporary);
    let ran = Ran::from(command.output().unwrap());
    ran.error(&["tracewell-demo-", "TMPDIR"]);
    assert!(list(&temporary).is_empty(), "nothing is left");
}
