//! `dump`: the components here are this test program itself, started once more with a part to play.

mod support;

use std::io::{BufRead, BufReader, Read, Write};

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use minidump::{Minidump, MinidumpModuleList, MinidumpThreadList, MinidumpThreadNames};
use support::{Place, Ran};

/// What gdb is asked for.
#[unsafe(no_mangle)]
#[used]
static TRACEWELL_KNOWN: AtomicU64 = AtomicU64::new(0);
const KNOWN: u64 = 0x0123_4567_89ab_cdef;

/// Texts that are searched for. Turned, so that they lie in no program's constants.
fn canary(name: &str) -> String {
    format!("yranac-{name}-7f3a91c4").chars().rev().collect()
}

/// Two pages of a kind of their own, filled with a canary.
fn pages(name: &str, prepare: impl FnOnce(*mut libc::c_void, usize) -> i32) {
    const LEN: usize = 8192;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping, never unmapped, of which nobody else knows.
    unsafe {
        let made = libc::mmap(std::ptr::null_mut(), LEN, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        assert_ne!(made, libc::MAP_FAILED);
        assert_eq!(prepare(made, LEN), 0, "{}", std::io::Error::last_os_error());
        turned(name, |text| std::ptr::copy_nonoverlapping(text.as_ptr(), made.cast(), text.len()));
    }
}

/// Gives a canary to a function and wipes the copy.
fn turned(name: &str, take: impl FnOnce(&[u8])) {
    let mut text = canary(name).into_bytes();
    take(&text);
    for byte in &mut text {
        // SAFETY: a byte of ours; not optimised away.
        unsafe { std::ptr::write_volatile(byte, 0) };
    }
}

/// A shared mapping of a file below the rings, without any mark.
fn ring_file(name: &str, folder: &std::path::Path) {
    let path = folder.join("ring-of-a-test");
    let file = std::fs::File::options().create_new(true).read(true).write(true).open(path).unwrap();
    file.set_len(4096).unwrap();
    let flags = libc::MAP_PRIVATE;
    use std::os::fd::AsRawFd;
    // SAFETY: a new mapping, never unmapped, of which nobody else knows.
    unsafe {
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let made = libc::mmap(std::ptr::null_mut(), 4096, prot, flags, file.as_raw_fd(), 0);
        assert_ne!(made, libc::MAP_FAILED);
        turned(name, |text| std::ptr::copy_nonoverlapping(text.as_ptr(), made.cast(), text.len()));
    }
}

/// The part of a component: emits without pause in one thread, waits in another, has canaries everywhere. Ends when its
/// standard input does, and tells how many events it emitted.
#[test]
fn part_component() {
    let Some(dir) = std::env::var_os("TRACEWELL_TEST_COMPONENT") else { return };
    TRACEWELL_KNOWN.store(KNOWN, Ordering::Relaxed);
    let rings = std::path::PathBuf::from(std::env::var_os("TRACEWELL_TEST_RINGS").unwrap());
    let tracer = tracewell::Tracer::builder("scanner").dir(dir).ring_dir(&rings).attach().unwrap();
    let guard = tracer.guard();
    let mut heap = vec![0_u8; 300_000];
    turned("heap", |text| heap[200_000..200_000 + text.len()].copy_from_slice(text));
    // SAFETY (of the calls): madvise and mlock on the new pages.
    pages("dontdump", |at, len| unsafe { libc::madvise(at, len, libc::MADV_DONTDUMP) });
    pages("locked", |at, len| unsafe { libc::mlock(at, len) });
    ring_file("ring", &rings);
    turned("event", |text| {
        let module = std::str::from_utf8(text).unwrap();
        tracewell::emit!(tracer, tracewell::catalog::ErrorRaised { module, ..Default::default() });
    });
    let stop = std::sync::atomic::AtomicBool::new(false);
    let bytes: usize = std::env::var("TRACEWELL_TEST_BYTES").map_or(0, |n| n.parse().unwrap());
    let ballast: Vec<u8> = (0..bytes).map(|i| (i / 7) as u8).collect();
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("idle-one".into())
            .spawn_scoped(scope, || {
                let mut on_stack = [0_u8; 64];
                turned("stack", |text| on_stack[..text.len()].copy_from_slice(text));
                while !stop.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(5));
                    std::hint::black_box(&mut on_stack);
                }
            })
            .unwrap();
        let emitter = std::thread::Builder::new().name("emitter".into()).spawn_scoped(scope, || {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                let event = tracewell::catalog::ErrorRaised { code: count, ..Default::default() };
                tracewell::emit!(tracer, event);
                count += 1;
                if count % 20 == 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            count
        });
        println!("ready {}", ballast.len());
        let mut rest = Vec::new();
        std::io::stdin().read_to_end(&mut rest).unwrap();
        stop.store(true, Ordering::Relaxed);
        let count = emitter.unwrap().join().unwrap();
        tracer.flush().unwrap();
        println!("emitted {count}");
    });
    std::hint::black_box((&heap, &ballast));
    drop(guard);
}

struct Component {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Component {
    fn start(place: &Place, bytes: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "part_component", "--nocapture", "--test-threads=1"])
            .env("TRACEWELL_TEST_COMPONENT", place.base())
            .env("TRACEWELL_TEST_RINGS", place.ring_root())
            .env("TRACEWELL_TEST_BYTES", bytes.to_string())
            .env("TRACEWELL_TEST_SECRET", canary("environment"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut component = Self { child, lines };
        component.line("ready ");
        component
    }

    /// The rest of the next line that begins so.
    fn line(&mut self, start: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "it ended before {start:?}");
            // The test harness writes into the same line.
            if let Some(at) = line.find(start) {
                return line[at + start.len()..].trim().to_owned();
            }
        }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it; how many events it emitted.
    fn end(mut self) -> u64 {
        drop(self.child.stdin.take());
        let count = self.line("emitted ").parse().unwrap();
        assert!(self.child.wait().unwrap().success());
        count
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn enabled() -> Place {
    let place = Place::new();
    // Where rings lie must be there before a test's own file is put beside them.
    place.run(&["enable"]).ok();
    std::fs::create_dir_all(place.ring_root()).unwrap();
    for folder in [place.ring_root().parent().unwrap(), &place.ring_root()] {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
    place
}

/// The dumps that lie in the trace directory.
fn dumps(place: &Place) -> Vec<std::path::PathBuf> {
    if place.base().join("dumps").exists() { support::list(&place.base().join("dumps")) } else { Vec::new() }
}

fn has(bytes: &[u8], name: &str) -> bool {
    let text = canary(name).into_bytes();
    bytes.windows(text.len()).any(|window| window == text)
}

/// A future that is ready at once, as those of the processor are without symbol servers.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

/// What `minidump-stackwalk` makes of it.
fn walked(bytes: Vec<u8>) -> minidump_processor::ProcessState {
    let dump = Minidump::read(bytes).unwrap();
    let symbols = minidump_unwind::Symbolizer::new(minidump_unwind::simple_symbol_supplier(Vec::new()));
    now(minidump_processor::process_minidump(&dump, &symbols)).unwrap()
}

/// The names of the threads of a process.
fn threads_of(pid: u32) -> Vec<(u32, String)> {
    let mut all: Vec<(u32, String)> = support::list(std::path::Path::new(&format!("/proc/{pid}/task")))
        .iter()
        .map(|path| {
            let tid = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
            (tid, std::fs::read_to_string(path.join("comm")).unwrap().trim_end().to_owned())
        })
        .collect();
    all.sort();
    all
}

/// The events of the emitter are all there.
fn is_whole(place: &Place, emitted: u64) {
    let read = place.run(&["read", "--stdout", "--event", "error.raised"]);
    // One more with a canary.
    assert_eq!((read.code, read.stdout.lines().count() as u64), (0, emitted + 1), "{}", read.stderr);
    assert!(read.stdout.contains(&canary("event")));
}

#[test]
fn a_minidump_has_the_threads_and_no_ring_no_key_no_heap() {
    let place = enabled();
    let component = Component::start(&place, 0);
    let said = place.run(&["dump", "--component", "scanner"]).ok().stdout;
    assert!(said.contains("stopped for ") && said.contains("Nothing was sent"), "{said}");
    let all = dumps(&place);
    assert_eq!(all.len(), 1);
    let meta = std::fs::metadata(&all[0]).unwrap();
    assert_eq!(meta.mode() & 0o7777, 0o600);
    assert_eq!(std::fs::metadata(place.base().join("dumps")).unwrap().mode() & 0o7777, 0o700);
    let bytes = std::fs::read(&all[0]).unwrap();
    for name in ["dontdump", "locked", "ring", "heap", "event", "environment"] {
        assert!(!has(&bytes, name), "{name}");
    }
    assert!(has(&bytes, "stack"), "the stacks are what it is for");
    // Only stacks and some code: nothing that they point to.
    let dump = Minidump::read(bytes.clone()).unwrap();
    let list = dump.get_stream::<MinidumpThreadList<'_>>().unwrap();
    for range in dump.get_memory().unwrap().iter() {
        let start = range.base_address();
        let is_stack = list.threads.iter().any(|t| t.raw.stack.start_of_memory_range == start);
        assert!(is_stack || range.size() <= 256, "{start:x} {}", range.size());
    }
    // Every thread with its name, as the system says and as the stack walker does.
    let names = dump.get_stream::<MinidumpThreadNames>().unwrap();
    let mut told: Vec<(u32, String)> = list
        .threads
        .iter()
        .map(|t| (t.raw.thread_id, names.get_name(t.raw.thread_id).unwrap().into_owned()))
        .collect();
    told.sort();
    assert_eq!(told, threads_of(component.pid()));
    assert!(told.iter().any(|(_, name)| name == "emitter"));
    let state = walked(bytes);
    assert_eq!(state.threads.len(), told.len());
    let idle = state.threads.iter().find(|t| t.thread_name.as_deref() == Some("idle-one")).unwrap();
    let modules: Vec<&str> =
        idle.frames.iter().filter_map(|f| f.module.as_ref()).map(|m| m.name.as_str()).collect();
    let own = std::env::current_exe().unwrap();
    assert!(modules.iter().any(|m| m.contains("libc.so")), "{modules:?}");
    assert!(modules.contains(&own.to_str().unwrap()), "{modules:?}");
    let list = dump.get_stream::<MinidumpModuleList>().unwrap();
    let program = list.iter().next().unwrap();
    assert_eq!(program.name, own.to_str().unwrap(), "the program is first");
    use minidump::Module;
    assert!(program.code_identifier().is_some_and(|id| !id.to_string().trim_matches('0').is_empty()));
    // As text.
    let name = all[0].file_name().unwrap().to_str().unwrap();
    let shown = place.run(&["dump", "--show", name]).ok().stdout;
    for part in [
        "minidump of scanner",
        "idle-one",
        "libc.so.6+0x",
        "build id",
        "stack of thread",
        "left out on purpose",
        "rings",
        "marked not to be dumped",
        "locked, as secrets are",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    is_whole(&place, component.end());
}

/// What gdb says to these commands.
fn gdb(core: &std::path::Path, commands: &[&str]) -> String {
    let mut gdb = Command::new("gdb");
    gdb.args(["-q", "-batch", "-nx", "-iex", "set debuginfod enabled off", "-iex", "set auto-load off"]);
    for command in commands {
        gdb.args(["-ex", command]);
    }
    let output = gdb.arg(std::env::current_exe().unwrap()).arg(core).output().expect("gdb is installed");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn gdb_opens_a_full_dump_which_has_the_heap_and_no_ring_and_no_key() {
    let place = enabled();
    let component = Component::start(&place, 3_000_000);
    let core = place.path("scanner.core");
    let pid = component.pid().to_string();
    let said = place.run(&["dump", "--pid", &pid, "--full", "-o", core.to_str().unwrap()]).ok().stdout;
    for part in
        ["stopped for ", "rings", "marked not to be dumped", "locked, as secrets are", "as in their files"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(std::fs::metadata(&core).unwrap().mode() & 0o7777, 0o600);
    let bytes = std::fs::read(&core).unwrap();
    for name in ["dontdump", "locked", "ring", "environment"] {
        assert!(!has(&bytes, name), "{name}");
    }
    for name in ["heap", "stack"] {
        assert!(has(&bytes, name), "{name}");
    }
    let threads = threads_of(component.pid());
    let told = gdb(
        &core,
        &[
            "info threads",
            "print/x *(unsigned long *)&TRACEWELL_KNOWN",
            "thread apply all bt 3",
            "info sharedlibrary",
        ],
    );
    assert!(told.contains(&format!("{KNOWN:#x}")), "{told}");
    let is_row = |l: &&str| {
        l.trim_start_matches(['*', ' ']).starts_with(|c: char| c.is_ascii_digit()) && l.contains("(LWP ")
    };
    assert_eq!(told.lines().filter(is_row).count(), threads.len(), "{told}");
    for (tid, _) in &threads {
        assert!(told.contains(&format!("LWP {tid}")), "{tid}: {told}");
    }
    assert!(told.contains("libc.so.6"), "{told}");
    for problem in
        ["truncated", "not in executable format", "Failed to read", "warning: core file may not match"]
    {
        assert!(!told.contains(problem), "{told}");
    }
    let shown = place.run(&["dump", "--show", core.to_str().unwrap()]).ok().stdout;
    for part in
        ["whole memory of scanner", "emitter", "rsp", "libc.so.6+0x", "left out on purpose", "shared files"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    is_whole(&place, component.end());
}

#[test]
fn dumps_are_listed_named_and_purged_and_nothing_is_replaced() {
    let place = enabled();
    assert!(place.run(&["dump", "--list"]).ok().stdout.contains("no dumps"));
    let (one, two) = (Component::start(&place, 0), Component::start_second(&place));
    let both = [one.pid().to_string(), two.pid().to_string()];
    place.run(&["dump", "--component", "scanner"]).error(&["2 processes", &both[0], &both[1], "--pid"]);
    place.run(&["dump", "--component", "nobody"]).error(&["nobody", "not attached", "tracewell status"]);
    place.run(&["dump", "--component", "other", "--pid", &both[0]]).error(&["is component scanner"]);
    place.run(&["dump"]).error_of_arguments(&["--component", "--list"]);
    place.run(&["dump", "--pid", &both[0]]).ok();
    place.run(&["dump", "--component", "scanner", "--pid", &both[1], "--full"]).ok();
    let listed = place.run(&["dump", "--list"]).ok().stdout;
    for part in ["scanner process", "minidump", "whole memory", "on request", &both[0], &both[1]] {
        assert!(listed.contains(part), "{part}: {listed}");
    }
    let file = place.path("mine.dmp");
    for target in [file.clone(), place.path("link.dmp")] {
        let to = target.to_str().unwrap();
        std::fs::write(&file, "precious").unwrap();
        let _ = std::os::unix::fs::symlink(&file, place.path("link.dmp"));
        place.run(&["dump", "--pid", &both[0], "-o", to]).error(&["exists", "another name"]);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    }
    place
        .run(&["dump", "--pid", &both[0], "-o", place.path("no/such/x.dmp").to_str().unwrap()])
        .error(&["no/such"]);
    let status = place.run(&["status", "--json"]).ok().stdout;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert!(status["places"].as_array().unwrap().iter().any(|p| p["kind"] == "dumps" && p["files"] == 2));
    assert!(place.run(&["audit"]).ok().stdout.lines().filter(|l| l.contains("  dump ")).count() >= 2);
    (one.end(), two.end());
    place.run(&["disable"]).ok();
    let would = place.run(&["purge"]).ok().stdout;
    assert!(would.contains("2 memory dumps") && would.contains(".core"), "{would}");
    assert_eq!(dumps(&place).len(), 2);
    place.run(&["purge", "--yes"]).ok();
    assert!(dumps(&place).is_empty());
}

impl Component {
    /// The file beside the rings is there already.
    fn start_second(place: &Place) -> Self {
        std::fs::remove_file(place.ring_root().join("ring-of-a-test")).unwrap();
        Self::start(place, 0)
    }
}

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

#[test]
fn a_signal_on_its_way_is_not_lost() {
    // A real-time one, which not every wrapper of ptrace knows, sent again and again while dumps are made.
    let mut child = Command::new("python3")
        .args(["-c", "import signal,sys,threading\nn=[0]\ndef h(*a): n[0]+=1\nsignal.signal(signal.SIGRTMIN+3,h)\nprint('ready',flush=True)\nfor l in sys.stdin: pass\nprint(n[0],flush=True)"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    let pid = child.id();
    let request = tracewell_dump::Request { pid, ..Default::default() };
    let rounds = 200;
    std::thread::scope(|scope| {
        let dumper =
            scope.spawn(|| (0..rounds).for_each(|_| drop(tracewell_dump::minidump(&request).unwrap())));
        let mut sent = 0;
        while !dumper.is_finished() {
            // SAFETY: a number of a child that has not been waited for.
            unsafe { libc::kill(pid as i32, libc::SIGRTMIN() + 3) };
            sent += 1;
            std::thread::sleep(Duration::from_micros(700));
        }
        assert!(sent > 50);
    });
    std::thread::sleep(Duration::from_millis(100));
    let pending = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(
        pending.lines().any(|l| l.starts_with("ShdPnd:") && l.ends_with("0000000000000000")),
        "{pending}"
    );
    child.stdin.take().unwrap().write_all(b"x\n").unwrap();
    line.clear();
    lines.read_line(&mut line).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(line.trim().parse::<u64>().unwrap() > 50, "{line}");
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

#[test]
fn a_bundle_takes_dumps_without_a_file_of_them() {
    let place = enabled();
    let component = Component::start(&place, 3_000_000);
    let created = place
        .run(&[
            "bundle",
            "create",
            "--only",
            "trace",
            "--dump",
            "scanner",
            "--full-dump",
            "scanner",
            "--dump",
            "nobody",
        ])
        .ok();
    for part in
        ["dump/0001.dmp", "dump/0002.core", "content of memory", "a minidump of nobody", "stopped for"]
    {
        assert!(created.stdout.contains(part), "{part}: {created:?}");
    }
    assert!(!created.stdout.contains("does not collect it yet: a minidump"));
    assert!(dumps(&place).is_empty());
    let text = place.run(&["bundle", "show", "--member", "dump/0001.dmp"]).ok().stdout;
    for part in ["minidump of scanner", "idle-one", "libc.so.6+0x", "stack of thread"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let text = place.run(&["bundle", "show", "--member", "dump/0002.core"]).ok().stdout;
    for part in ["whole memory of scanner", "emitter", "[heap]", "rings"] {
        assert!(text.contains(part) || part == "[heap]", "{part}: {text}");
    }
    let core = place.path("member.core");
    let file = std::fs::File::create(&core).unwrap();
    let done = place
        .command()
        .args(["bundle", "show", "--member", "dump/0002.core", "--raw"])
        .stdout(file)
        .status()
        .unwrap();
    assert!(done.success());
    let told = gdb(&core, &["print/x *(unsigned long *)&TRACEWELL_KNOWN"]);
    assert!(told.contains(&format!("{KNOWN:#x}")), "{told}");
    let bytes = std::fs::read(&core).unwrap();
    assert!(has(&bytes, "heap") && !has(&bytes, "ring") && !has(&bytes, "locked"));
    // Nothing of it can be read in what lies on the disk.
    std::fs::remove_file(&core).unwrap();
    for file in support::list(&place.base().join("bundles")).iter().flat_map(|folder| support::list(folder)) {
        assert!(!has(&std::fs::read(&file).unwrap(), "heap"), "{file:?}");
    }
    is_whole(&place, component.end());
}
