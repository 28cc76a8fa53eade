//! What the help shows works as it is shown; completions offer what there is.

mod support;

use std::os::unix::fs::PermissionsExt;

use support::Place;

const COMMANDS: [&str; 10] =
    ["", "enable", "disable", "status", "read", "watch", "demo", "collect", "collect os", "purge"];

/// The lines below "Examples:", without what is said of them.
fn examples(place: &Place, command: &str) -> Vec<String> {
    let args: Vec<_> = command.split_whitespace().chain(["--help"]).collect();
    let help = place.run(&args).ok().stdout;
    let after = help.split("Examples:\n").nth(1).unwrap_or_default();
    let lines = after.lines().take_while(|l| !l.trim().is_empty());
    lines
        .map(str::trim)
        .filter(|l| l.starts_with("tracewell "))
        .map(|l| l.split("  ").next().unwrap_or_default().trim().to_owned())
        .collect()
}

/// A folder of programs: ours, which ends by itself where it would run on, and stand-ins for what may be missing.
fn programs(place: &Place) -> std::path::PathBuf {
    let bin = place.path("bin");
    std::fs::create_dir(&bin).unwrap();
    let own = env!("CARGO_BIN_EXE_tracewell");
    // In the foreground: else `timeout` signals the whole group too, and a second interrupt means to end at once.
    let script = format!(
        "case \" $* \" in *\" watch \"*|*\" --every \"*) exec timeout --foreground --preserve-status -s INT 2 {own} \"$@\";; esac\nexec {own} \"$@\"\n"
    );
    for (name, body) in [("tracewell", script.as_str()), ("less", "exec cat\n"), ("jq", "exec cat\n")] {
        std::fs::write(bin.join(name), format!("#!/bin/sh\n{body}")).unwrap();
        std::fs::set_permissions(bin.join(name), std::fs::Permissions::from_mode(0o700)).unwrap();
    }
    bin
}

#[test]
fn every_example_of_the_help_does_what_it_says() {
    let place = Place::new();
    let bin = programs(&place);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    for folder in ["Downloads", "Desktop"] {
        std::fs::create_dir(place.path(folder)).unwrap();
    }
    std::fs::write(place.path("bad.sha256"), format!("{}\n", "0".repeat(64))).unwrap();
    place.record(3);
    let mut count = 0;
    for command in COMMANDS {
        for example in examples(&place, command) {
            count += 1;
            // tests/demo.rs runs it.
            if example == "tracewell demo" {
                continue;
            }
            let output = std::process::Command::new("sh")
                .args(["-c", &example])
                .current_dir(place.path(""))
                .env("PATH", &path)
                .env("HOME", place.path(""))
                .env("TRACEWELL_DIR", place.base())
                .env("TRACEWELL_RING_DIR", place.path("rings"))
                .output()
                .unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(0), "{example}: {stderr}");
            assert!(!stderr.contains("note:"), "{example} has not the effect that it shows: {stderr}");
            // The examples that show how to watch record all that is seen.
            if example.contains("&&") {
                assert!(!stderr.contains("NOT recorded"), "{example}: {stderr}");
            }
        }
    }
    assert!(count >= 20, "{count} examples");
}

#[test]
fn a_reduction_of_the_help_reduces() {
    let place = Place::new();
    let reduces = examples(&place, "enable").into_iter().find(|e| e.contains("--reduce")).unwrap();
    let args: Vec<_> = reduces.split_whitespace().skip(1).collect();
    place.run(&[&args[..], &["--level", "trace"]].concat()).ok();
    let tracer = place.tracer("sensor");
    let remote: std::net::SocketAddr = "203.0.113.77:4711".parse().unwrap();
    tracewell::emit!(
        tracer,
        tracewell::catalog::NetworkConnection { remote: Some(remote), ..Default::default() }
    );
    tracer.flush().unwrap();
    let text = place.run(&["read", "--stdout", "--component", "sensor"]).ok().stdout;
    assert!(text.contains("network.connection") && !text.contains("203.0.113"), "{text}");
}

#[test]
fn a_mistyped_field_is_an_error_and_nothing_is_switched_on() {
    let place = Place::new();
    place.run(&["enable", "--reduce", "network.connection.remote_address=keyed"]).error(&[
        "remote_address",
        "did you mean network.connection.remote?",
        "image_path",
    ]);
    place.run(&["enable", "--opt-in", "message.mail.subjct"]).error(&["message.mail.subject"]);
    place.run(&["enable", "--reduce", "network.connection=keyed"]).error(&["is an event", "remote"]);
    assert!(!place.base().exists(), "a failed command leaves nothing behind");
    // An event that the catalog does not know may be a component's own: possible, and said plainly.
    let ran = place.run(&["enable", "--reduce", "network.conection.remote=keyed"]).ok();
    assert!(ran.stdout.contains("not a field of the catalog"), "{ran:?}");
    assert!(ran.stderr.contains("network.connection.remote, that is NOT in effect"), "{ran:?}");
}

#[test]
fn completions_offer_values_and_nothing_hidden() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.run(&["completions", shell]).ok().stdout;
        assert!(script.contains("tracewell") && script.contains("opt-in"), "{shell}");
        assert!(!script.contains("demo-component") && !script.contains("loadgen"), "{shell}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = place.run(&["completions", shell]).ok().stdout;
        for value in ["debug", "network", "certificate", "all"] {
            assert!(script.contains(value), "{shell}: {value}");
        }
    }
    let bash = place.run(&["completions", "bash"]).ok().stdout;
    assert!(bash.contains("error warn info debug trace"), "levels after --level");
    let help = place.run(&["--help"]).ok().stdout;
    assert!(help.contains("Examples:") && !help.contains("demo-component"), "{help}");
}
