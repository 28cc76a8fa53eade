//! Dumps that cannot be made, or are ended half-way: the component runs on, and nothing is left.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::component::{Component, dumps, enabled, is_whole};
use crate::support::{self, Place, Ran};

#[test]
fn what_cannot_be_dumped_is_said_and_leaves_nothing() {
    let place = Place::new();
    let of = |pid: &str| -> Ran { place.run(&["dump", "--pid", pid]) };
    // Gone: a number that is no process's.
    let mut gone = Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    of(&gone.id().to_string()).error(&["no process", "tracewell status"]);
    let mut zombie = Command::new("true").spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while !std::fs::read_to_string(format!("/proc/{}/stat", zombie.id())).unwrap().contains(") Z") {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(5));
    }
    of(&zombie.id().to_string()).error(&["has ended", "parent"]);
    zombie.wait().unwrap();
    of("4000000000").error(&["no process"]);
    // A thread of the kernel, where they are seen.
    if std::fs::read_to_string("/proc/2/comm").is_ok_and(|name| name == "kthreadd\n") {
        of("2").error(&["thread of the kernel"]);
    }
    assert!(dumps(&place).is_empty() && !place.base().exists());
}

#[test]
fn a_full_disk_is_said_and_leaves_nothing_and_the_component_runs_on() {
    let place = enabled();
    let component = Component::start(&place, 0);
    // A file may not grow beyond some blocks: as a full disk, in the middle of writing.
    for kind in [&["--full"][..], &[]] {
        let mut shell = Command::new("sh");
        let own = env!("CARGO_BIN_EXE_tracewell");
        let script = format!(
            "trap '' XFSZ; ulimit -f 16; exec {own} dump --pid {} {}",
            component.pid(),
            kind.join(" ")
        );
        shell.args(["-c", &script]).env("TRACEWELL_DIR", place.base());
        let ran = Ran::from(shell.output().unwrap());
        ran.error(&["File too large", "nothing was kept"]);
        assert!(dumps(&place).is_empty());
    }
    is_whole(&place, component.end());
}

/// The state of a process and who traces it.
fn state_and_tracer(pid: u32) -> (String, String) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let of = |key: &str| text.lines().find_map(|l| l.strip_prefix(key)).unwrap().trim().to_owned();
    (of("State:"), of("TracerPid:"))
}

#[test]
fn a_dumper_that_is_killed_leaves_the_component_running_and_no_file() {
    let place = enabled();
    let component = Component::start(&place, 60_000_000);
    let mut hits = 0;
    for round in 0..40 {
        let mut dumper = place
            .command()
            .args(["dump", "--component", "scanner", "--full"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_secs(2);
        let mut was_stopped = false;
        while Instant::now() < until && dumper.try_wait().unwrap().is_none() {
            was_stopped = state_and_tracer(component.pid()).0.starts_with('t');
            if was_stopped {
                std::thread::sleep(Duration::from_micros(round * 100));
                break;
            }
        }
        dumper.kill().unwrap();
        if !dumper.wait().unwrap().success() && was_stopped {
            hits += 1;
        }
        let until = Instant::now() + Duration::from_secs(5);
        loop {
            let (state, tracer) = state_and_tracer(component.pid());
            assert!(!state.starts_with(['Z', 'X']), "it was killed too");
            if tracer == "0" && !state.starts_with(['t', 'T']) {
                break;
            }
            assert!(Instant::now() < until, "{state} traced by {tracer}");
            std::thread::sleep(Duration::from_millis(1));
        }
        for whole in dumps(&place) {
            assert!(!whole.file_name().unwrap().to_str().unwrap().starts_with('.'), "{whole:?}");
            std::fs::remove_file(whole).unwrap();
        }
    }
    assert!(hits >= 5, "it was killed while the component was stopped {hits} times");
    is_whole(&place, component.end());
}

#[test]
fn a_reader_that_goes_lets_the_component_run() {
    let place = enabled();
    let component = Component::start(&place, 0);
    let request = tracewell_dump::Request { pid: component.pid(), ..Default::default() };
    let mut core = tracewell_dump::core(&request).unwrap();
    let mut some = [0; 100];
    core.read_exact(&mut some).unwrap();
    drop(core);
    let (state, tracer) = state_and_tracer(component.pid());
    assert!(tracer == "0" && !state.starts_with(['t', 'T']), "{state} traced by {tracer}");
    // One that has other numbers than it had.
    let other = tracewell_dump::Request { started: Some(1), ..request };
    assert!(tracewell_dump::minidump(&other).unwrap_err().to_string().contains("no process"));
    is_whole(&place, component.end());
}

static SIGNALS: AtomicU64 = AtomicU64::new(0);

extern "C" fn on_signal(_: libc::c_int) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

/// The part of a process that counts a real-time signal: those are queued, one for each that is sent.
#[test]
fn part_signals() {
    if std::env::var_os("TRACEWELL_TEST_SIGNALS").is_none() {
        return;
    }
    // SAFETY: an all-zero action is valid; the handler only adds to an atomic.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(libc::SIGRTMIN() + 3, &raw const action, std::ptr::null_mut());
    }
    println!("ready");
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest).unwrap();
    println!("counted {}", SIGNALS.load(Ordering::Relaxed));
}

#[test]
fn a_signal_on_its_way_is_not_lost() {
    // A real-time one, which not every wrapper of ptrace knows, sent again and again while dumps are made.
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "refused::part_signals", "--nocapture", "--test-threads=1"])
        .env("TRACEWELL_TEST_SIGNALS", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line_with = |part: &str| {
        let mut line = String::new();
        while !line.contains(part) {
            line.clear();
            assert_ne!(lines.read_line(&mut line).unwrap(), 0);
        }
        line.split(part).nth(1).unwrap().trim().to_owned()
    };
    line_with("ready");
    let pid = child.id();
    let request = tracewell_dump::Request { pid, ..Default::default() };
    let sent = std::thread::scope(|scope| {
        let dumper = scope.spawn(|| (0..200).for_each(|_| drop(tracewell_dump::minidump(&request).unwrap())));
        let mut sent = 0_u64;
        while !dumper.is_finished() {
            // SAFETY: a number of a child that has not been waited for.
            sent += u64::from(unsafe { libc::kill(pid as i32, libc::SIGRTMIN() + 3) } == 0);
            std::thread::sleep(Duration::from_micros(20));
        }
        sent
    });
    drop(child.stdin.take());
    assert_eq!(line_with("counted").parse::<u64>().unwrap(), sent);
    assert!(sent > 500, "{sent}");
    assert!(child.wait().unwrap().success());
}

#[test]
fn another_users_process_is_refused_with_advice() {
    let place = Place::new();
    let theirs = place.path("theirs");
    std::fs::create_dir(&theirs).unwrap();
    for (folder, mode) in [(place.path(""), 0o755), (theirs.clone(), 0o777)] {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let command = place.path("tracewell");
    std::fs::copy(env!("CARGO_BIN_EXE_tracewell"), &command).unwrap();
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    // SAFETY: takes nothing.
    let is_root = unsafe { libc::geteuid() } == 0;
    // As root: a user without rights asks for root's; else we ask for root's first process.
    let pid = if is_root { child.id() } else { 1 };
    let line = format!("exec {} dump --pid {pid} -o {}", command.display(), theirs.join("x.dmp").display());
    let mut shell = Command::new(if is_root { "setpriv" } else { "env" });
    if is_root {
        shell.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    shell.args(["sh", "-c", &line]).env("TRACEWELL_DIR", theirs.join("none"));
    let ran = Ran::from(shell.output().unwrap());
    child.kill().unwrap();
    child.wait().unwrap();
    ran.error(&["belongs to user 0", "as root"]);
    assert_eq!(support::list(&theirs), Vec::<std::path::PathBuf>::new());
}
