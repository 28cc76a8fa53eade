//! Programs that are launched and end.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use sha2::Digest;
use tracewell::testing::CapturedEvent;

use crate::support::{Running, text};

fn sha256(path: &Path) -> String {
    let hash: [u8; 32] = sha2::Sha256::digest(std::fs::read(path).unwrap()).into();
    hash.iter().map(|b| format!("{b:02x}")).collect()
}

/// A copy of a program of its own: other bytes, other hash.
fn copy(running: &Running, of: &str, name: &str) -> std::path::PathBuf {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    let path = running.path(name);
    let found =
        std::env::split_paths(&std::env::var_os("PATH").unwrap()).map(|d| d.join(of)).find(|p| p.is_file());
    let mut bytes = std::fs::read(found.unwrap()).unwrap();
    bytes.extend_from_slice(name.as_bytes());
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(&bytes).unwrap();
    file.set_permissions(PermissionsExt::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_program_is_told_with_its_path_hash_command_line_and_parent() {
    let running = Running::start();
    let program = copy(&running, "sleep", "snooze");
    let mut child = Command::new(&program).arg("100").spawn().unwrap();
    let pid = child.id().to_string();
    let start = running.wait_for("process.start", "image_path", text(&program));
    let modules = running.until("no modules", |events| {
        let of_it = |e: &&CapturedEvent| e.name == "module.load" && e.fields["pid"] == pid;
        let modules: Vec<_> = events.iter().filter(of_it).cloned().collect();
        modules.iter().any(|m| m.fields["path"].contains("libc")).then_some(modules)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let exit = running.wait_for("process.exit", "pid", &pid);
    assert_eq!(start.fields["pid"], pid);
    assert_eq!(start.fields["sha256"], sha256(&program));
    assert_eq!(start.fields["command_line"], format!("{} 100", text(&program)));
    assert_eq!(start.fields["parent_pid"], std::process::id().to_string());
    assert_eq!(start.fields["parent_path"], std::env::current_exe().unwrap().to_str().unwrap());
    let boot = tracewell::boot::boot_id();
    let own = tracewell::ProcessKey::new(&boot, std::process::id(), tracewell::boot::own_start_ticks());
    assert_eq!(start.fields["parent_key"], own.to_string());
    assert_eq!(start.fields["size"], std::fs::metadata(&program).unwrap().len().to_string());
    assert!(start.fields["attributes"].contains("executable"));
    assert_eq!(exit.fields["process_key"], start.fields["process_key"]);
    assert_eq!(exit.fields["image_path"], text(&program));
    if running.uses("the kernel's process connector") {
        assert_eq!((exit.fields["ending"].as_str(), exit.fields["signal"].as_str()), ("signal", "9"));
    }
    // From its creation, as the kernel tells it, not from when it was seen.
    let lifetime: i64 = exit.fields["lifetime"].parse().unwrap();
    let ended: i64 = exit.fields["ended"].parse().unwrap();
    let started: i64 = start.fields["started"].parse().unwrap();
    assert!((ended - started - lifetime).abs() < 1_000_000_000, "{start:?} {exit:?}");
    let image = running.wait_for("module.image", "sha256", &sha256(&program));
    assert_eq!(image.fields["path"], text(&program));
    assert_eq!(image.fields["mode"].split('|').count(), 7, "{}", image.fields["mode"]);
    assert!(image.fields.contains_key("machine") && !image.fields.contains_key("signature_state"));
    assert!(modules.iter().all(|m| m.fields["process_key"] == start.fields["process_key"]));
}

#[test]
fn the_path_of_one_program_never_stands_beside_the_hash_of_another() {
    let running = Running::start();
    let programs = [copy(&running, "sh", "shell-a"), copy(&running, "sh", "shell-b")];
    let hashes: HashMap<_, _> = programs.iter().map(|p| (text(p).to_owned(), sha256(p))).collect();
    // Each launches the other in its place, 300 times.
    let script = running.path("loop");
    let [a, b] = programs.each_ref().map(|p| text(p));
    let body = format!(
        "[ \"$1\" -gt 0 ] || exit 0\nif [ \"$2\" = a ]; then exec {b} $0 $(($1-1)) b; else exec {a} $0 $(($1-1)) a; fi\n"
    );
    std::fs::write(&script, body).unwrap();
    for _ in 0..2 {
        assert!(Command::new(&programs[0]).arg(&script).args(["300", "a"]).status().unwrap().success());
    }
    std::fs::write(running.downloads().join("end"), "x").unwrap();
    let mut last = Command::new("sleep").arg("0.321").spawn().unwrap();
    running.wait_for("process.start", "command_line", "sleep 0.321");
    last.wait().unwrap();
    let (mut seen, mut whole) = (0, 0);
    for event in running.events() {
        match event.name.as_str() {
            "process.start" => {
                let Some(hash) = hashes.get(&event.fields["image_path"]) else { continue };
                seen += 1;
                assert!(event.fields.get("sha256").is_none_or(|h| h == hash), "{event:?}");
                let letter = &event.fields["image_path"][event.fields["image_path"].len() - 1..];
                if let Some(line) = event.fields.get("command_line") {
                    assert!(
                        line.starts_with(&event.fields["image_path"]) && line.ends_with(letter),
                        "{event:?}"
                    );
                    whole += 1;
                }
            }
            "module.image" => {
                let hash = hashes.get(&event.fields["path"]);
                assert!(hash.is_none_or(|h| *h == event.fields["sha256"]), "{event:?}");
            }
            _ => {}
        }
    }
    assert!(!running.uses("the kernel's process connector") || seen > 100 && whole > 0, "{seen} {whole}");
}

#[test]
fn a_copy_of_a_process_is_launched_before_it_ends_and_no_key_is_zero() {
    let running = Running::start();
    if !running.uses("the kernel's process connector") {
        eprintln!("without the process connector copies that end at once are not seen; nothing to test");
        return;
    }
    let out = Command::new("sh").args(["-c", "(exit 117); sleep 0.4 & wait; exit 115"]).status().unwrap();
    assert_eq!(out.code(), Some(115));
    let end = running.wait_for("process.exit", "exit_code", "115");
    let copy = running.wait_for("process.exit", "exit_code", "117");
    assert_eq!(copy.fields["ending"], "exit code");
    let starts = running.with("process.start", "process_key", &copy.fields["process_key"]);
    assert_eq!(starts.len(), 1, "{starts:?}");
    assert_eq!(starts[0].fields["launch"], "fork");
    assert_eq!(starts[0].fields["parent_key"], end.fields["process_key"]);
    assert_eq!(starts[0].fields["image_path"], end.fields["image_path"]);
    // What launches a program is told once, with it.
    let sleep = running.wait_for("process.start", "command_line", "sleep 0.4");
    assert_eq!(running.with("process.start", "pid", &sleep.fields["pid"]).len(), 1);
    for event in running.events() {
        for (name, value) in &event.fields {
            let is_key = name.ends_with("_key") || name.ends_with("_id") && value.len() == 32;
            assert!(!is_key || value.bytes().any(|b| b != b'0'), "{name} of {event:?}");
        }
    }
}

#[test]
fn programs_that_end_at_once_are_told_or_counted() {
    let running = Running::start();
    if !running.uses("the kernel's process connector") {
        eprintln!("without the process connector programs that end at once are not seen; nothing to test");
        return;
    }
    let mut pids = Vec::new();
    for _ in 0..30 {
        let mut child = Command::new("true").spawn().unwrap();
        pids.push(child.id().to_string());
        child.wait().unwrap();
    }
    let own = std::process::id().to_string();
    running.until("not all were told", |events| {
        let of = |name: &str, pid: &String| {
            events.iter().find(|e| e.name == name && e.fields.get("pid") == Some(pid)).cloned()
        };
        for pid in &pids {
            let (start, exit) = (of("process.start", pid)?, of("process.exit", pid)?);
            assert_eq!(start.fields["parent_pid"], own);
            assert_eq!(exit.fields.get("process_key"), start.fields.get("process_key"));
        }
        Some(())
    });
    let nameless = running.with("process.start", "image_path", "(ended at once)").len()
        + running.with("process.start", "image_path", "true").len();
    if nameless != 0 {
        running.wait_for("error.raised", "operation", "read the path of a program");
    }
}
