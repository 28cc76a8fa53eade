//! `bundle view`: the command around the page. The page itself is tried in view/tests.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use support::Place;

/// A running `bundle view`, and the address that it printed.
struct View {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    url: String,
}

impl View {
    fn start(place: &Place, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut command = place.command();
        command.args(["bundle", "view"]).args(args).env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
        let mut child = command.envs(env.iter().copied()).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut url = String::new();
        while !url.trim().starts_with("http://127.0.0.1:") {
            url.clear();
            assert_ne!(out.read_line(&mut url).unwrap(), 0, "it ended without an address");
        }
        Self { child, out, url: url.trim().to_owned() }
    }

    fn request(&self, method: &str, path: &str, body: &str) -> String {
        let (address, base) = self.url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "{method} /{base}{path} HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// Its exit code and what else it said.
    fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

#[test]
fn a_bundle_is_looked_at_struck_and_seen_struck_by_the_other_commands() {
    let place = Place::new();
    place.record(300);
    place.run(&["bundle", "create", "--only", "trace"]).ok();
    let view = View::start(&place, &[], &[]);
    let members: serde_json::Value = serde_json::from_str(&view.request("GET", "api/members", "")).unwrap();
    let trace = &members["members"][0];
    let name = trace["name"].as_str().unwrap();
    assert!(name.starts_with("trace/0001/"), "{members}");
    let events = view.request("GET", "api/events?member=0", "");
    assert!(events.contains("error.raised") && !events.contains('\u{1b}'));
    let kept = place.run(&["bundle", "show"]).ok().stdout;
    assert!(!kept.contains("struck out"));
    view.request("POST", "api/strike", r#"{"member":0,"struck":true}"#);
    let shown = place.run(&["bundle", "show"]).ok().stdout;
    assert!(shown.lines().any(|line| line.contains(name) && line.contains("struck out")), "{shown}");
    // And the other way round.
    place.run(&["bundle", "strike", "last", name, "--undo"]).ok();
    let members = view.request("GET", "api/members", "");
    assert!(!members.contains("\"struck\":true"), "{members}");
    view.request("POST", "api/done", "{}");
    let (code, said) = view.end();
    assert_eq!(code, Some(0));
    assert!(said.contains("Done.") && said.contains("Nothing was sent"), "{said}");
    let audit = place.run(&["audit"]).ok().stdout;
    assert_eq!(
        audit.lines().filter(|line| line.contains("view") && line.contains(name)).count(),
        1,
        "{audit}"
    );
}

#[test]
fn a_sealed_file_can_be_looked_at_with_its_key_only() {
    let (user, other) = (Place::new(), Place::new());
    user.record(10);
    user.run(&["bundle", "create"]).ok();
    other.run(&["bundle", "create"]).ok();
    let sealed = user.path("sealed.age");
    let text = std::fs::read_to_string(user.base().join("keys/own.txt")).unwrap();
    let key = text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    user.run(&["bundle", "seal", "--to", key, "--not-for-me", "-o", sealed.to_str().unwrap()]).ok();
    let sealed = sealed.to_str().unwrap();
    other.run(&["bundle", "view", sealed]).error(&["other keys"]);
    let view = View::start(&user, &[sealed], &[]);
    assert!(view.request("GET", "api/bundle", "").contains("sealed file"));
    // Ctrl-C.
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&view.child),
        rustix::process::Signal::INT,
    )
    .unwrap();
    let (code, said) = view.end();
    assert!(code == Some(0) && said.contains("Ended."), "{code:?} {said}");
    user.run(&["bundle", "view", "nonsense"]).error(&["nonsense"]);
    user.run(&["bundle", "view", "--minutes", "0"]).error_of_arguments(&["--minutes"]);
}

#[test]
fn the_browser_is_started_with_an_address_for_one_use_only() {
    let place = Place::new();
    place.record(10);
    place.run(&["bundle", "create"]).ok();
    // A browser that notes how it was started.
    let bin = place.path("bin");
    std::fs::create_dir(&bin).unwrap();
    let script =
        format!("#!/bin/sh\necho \"$# $1\" > {0}.part && mv {0}.part {0}\n", place.path("started").display());
    std::fs::write(bin.join("xdg-open"), script).unwrap();
    std::fs::set_permissions(bin.join("xdg-open"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let desktop = [("PATH", path.as_str()), ("DISPLAY", ":7"), ("SUDO_UID", "")];
    let view = View::start(&place, &[], &desktop);
    let begun = Instant::now();
    while !place.path("started").exists() {
        assert!(begun.elapsed() < Duration::from_secs(20), "no browser was started");
        std::thread::sleep(Duration::from_millis(20));
    }
    let started = std::fs::read_to_string(place.path("started")).unwrap();
    let address = started.trim().strip_prefix("1 ").unwrap();
    let secret = view.url.trim_end_matches('/').rsplit('/').next().unwrap();
    assert!(!address.contains(secret), "the secret is in no argument");
    let own = std::fs::read(format!("/proc/{}/cmdline", view.child.id())).unwrap();
    assert!(!String::from_utf8_lossy(&own).contains(secret));
    let host = view.url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let once = address.strip_prefix("http://").unwrap().strip_prefix(host).unwrap();
    for status in ["303", "410"] {
        let mut stream = TcpStream::connect(host).unwrap();
        write!(stream, "GET {once} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    view.request("POST", "api/done", "{}");
    assert_eq!(view.end().0, Some(0));
    // Not if it is not wanted, nor without a desktop.
    std::fs::remove_file(place.path("started")).unwrap();
    for (args, env) in [(&["--no-browser"][..], &desktop[..]), (&[], &desktop[..1])] {
        let view = View::start(&place, args, env);
        view.request("POST", "api/done", "{}");
        assert_eq!(view.end().0, Some(0));
        assert!(!place.path("started").exists());
    }
}
