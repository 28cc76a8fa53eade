//! The command, from end to end.

use std::path::Path;
use std::process::{Command, Output};

use tracewell::{Tracer, emit};
use tracewell_tests::{Numbered, Place};

fn tracewell(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tracewell"))
        .arg("--dir")
        .arg(dir)
        .args(args)
        .env_remove("TRACEWELL_DIR")
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn enable_record_status_disable_read_purge() {
    let place = Place::new();
    let base = place.dirs.base();
    let on = tracewell(base, &["enable", "--level", "debug", "--for", "10m", "--opt-in", "web.visit.path"]);
    assert!(on.status.success() && text(&on).contains("Tracing is on"), "{}", text(&on));
    let tracer = Tracer::builder("viewer").dir(base).attach().unwrap();
    for number in 0..10 {
        emit!(tracer, Numbered { lane: 1, number, text: "hello \u{1b}[31m world" });
    }
    tracer.flush().unwrap();
    let status = tracewell(base, &["status", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(json["enabled"], true);
    assert_eq!(json["events"], 10);
    let component = &json["components"].as_array().unwrap()[0];
    assert_eq!(
        (component["component"].as_str(), component["state"].as_str()),
        (Some("viewer"), Some("emitting"))
    );
    let off = tracewell(base, &["disable"]);
    assert!(off.status.success());
    tracer.shutdown();
    let read = tracewell(base, &["read", "--format", "json"]);
    assert_eq!(read.status.code(), Some(0), "{}", text(&read));
    let lines: Vec<serde_json::Value> = String::from_utf8(read.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 10);
    assert_eq!(lines[3]["fields"]["number"], 3);
    assert_eq!(lines[3]["fields"]["text"], "hello \u{1b}[31m world");
    let out = place.beside("out");
    let files = tracewell(base, &["read", "--out", out.to_str().unwrap()]);
    assert!(files.status.success(), "{}", text(&files));
    let names: Vec<String> = std::fs::read_dir(&out)
        .unwrap()
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    assert!(names.contains(&"all.trace.log".to_owned()));
    assert!(
        names.iter().any(|n| n.starts_with("viewer_20") && n.contains("_pid") && n.ends_with(".trace.log")),
        "{names:?}"
    );
    let all = std::fs::read_to_string(out.join("all.trace.log")).unwrap();
    assert_eq!(all.lines().count(), 10);
    assert!(all.contains("hello \\u{1b}[31m world") && !all.contains('\u{1b}'));
    assert!(text(&tracewell(base, &["purge"])).contains("would delete"));
    assert!(tracewell(base, &["purge", "--yes"]).status.success());
    assert_eq!(std::fs::read_dir(place.dirs.sessions()).unwrap().count(), 0);
}

#[test]
fn errors_say_what_where_and_what_to_do() {
    let place = Place::new();
    let missing = place.beside("missing");
    let foreign = place.beside("foreign.twseg");
    std::fs::write(&foreign, "not a segment at all").unwrap();
    let future = place.beside("future.twseg");
    std::fs::write(&future, [b"TWSEG\r\n\x1a".as_slice(), &[9, 0, 3, 0], &[0; 300]].concat()).unwrap();
    let open = place.beside("open");
    std::fs::create_dir(&open).unwrap();
    let base = place.dirs.base();
    let file = |p: &Path| p.to_str().unwrap().to_owned();
    for (dir, args, needle) in [
        (missing.as_path(), vec!["read".to_owned()], "enable tracing first"),
        (missing.as_path(), vec!["disable".to_owned()], "no trace directory"),
        (missing.as_path(), vec!["purge".to_owned()], "nothing to delete"),
        (base, vec!["read".to_owned(), file(&missing)], "cannot be read"),
        (base, vec!["read".to_owned(), file(&foreign)], "cannot be used"),
        (base, vec!["read".to_owned(), file(&future)], "version 9.3"),
        (base, vec!["read".to_owned(), file(&open)], "holds no trace"),
        (open.as_path(), vec!["enable".to_owned()], "chmod 700"),
        (open.as_path(), vec!["status".to_owned()], "chmod 700"),
        (base, vec!["enable".to_owned(), "--for".to_owned(), "soon".to_owned()], "30m"),
        (
            base,
            vec!["enable".to_owned(), "--category".to_owned(), "nonsense".to_owned()],
            "there are: detection",
        ),
        (base, vec!["watch".to_owned(), "--hash-list".to_owned(), file(&foreign)], "SHA-256"),
        (Path::new("/proc/nowhere"), vec!["enable".to_owned()], "cannot be used"),
    ] {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = tracewell(dir, &args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", text(&output));
        assert!(text(&output).contains(needle), "{args:?}: {}", text(&output));
    }
    assert!(!missing.exists(), "asking makes nothing");
    assert!(text(&tracewell(&missing, &["status"])).contains("Tracing is off"));
}

#[test]
fn completions_and_help() {
    let dir = Path::new("/nonexistent");
    assert!(text(&tracewell(dir, &["completions", "bash"])).contains("_tracewell"));
    assert!(text(&tracewell(dir, &["--help"])).contains("tracewell demo"));
}
