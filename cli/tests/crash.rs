//! The crash handler, in components that crash in every way: this test program itself, started once more with a part.

mod support;

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use minidump::{Minidump, MinidumpException, MinidumpSystemInfo, MinidumpThreadNames};
use support::Place;

/// Events that a component emits before it crashes.
const EVENTS: i64 = 200;

/// A mapping whose file is then cut to nothing, and a load from it.
fn bus_error() {
    use std::os::fd::AsRawFd;
    let file = tempfile::tempfile_in("/dev/shm").unwrap();
    file.set_len(8192).unwrap();
    // SAFETY: a new mapping, never unmapped; that the load faults is what is wanted.
    unsafe {
        let made =
            libc::mmap(std::ptr::null_mut(), 8192, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0);
        file.set_len(0).unwrap();
        std::hint::black_box(std::ptr::read_volatile(made.cast::<u8>()));
    }
}

#[inline(never)]
fn deep(n: u64) -> u64 {
    let bytes = std::hint::black_box([n; 100]);
    if n == u64::MAX { 0 } else { deep(n + 1) + bytes[7] }
}

fn null() {
    // SAFETY: it faults, which is what is wanted.
    unsafe { std::ptr::write_volatile(std::ptr::without_provenance_mut::<u8>(16), 1) };
}

extern "C" fn of_before(_: libc::c_int) {
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(42) };
}

/// The part of a component that crashes.
#[test]
fn part_crash() {
    let Some(dir) = std::env::var_os("TRACEWELL_TEST_CRASH_DIR").map(PathBuf::from) else { return };
    let kind = std::env::var("TRACEWELL_TEST_CRASH").unwrap();
    let rings = PathBuf::from(std::env::var_os("TRACEWELL_TEST_RINGS").unwrap());
    let install = || {
        let builder = tracewell_crash::Builder::new("scan-ner").dir(&dir);
        builder.helper(env!("CARGO_BIN_EXE_tracewell")).install().unwrap();
    };
    if kind == "chained" {
        // SAFETY: an all-zero action is valid; the handler only ends the process.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = of_before as *const () as usize;
            libc::sigaction(libc::SIGSEGV, &raw const action, std::ptr::null_mut());
        }
    }
    let is_first = kind.ends_with("crash-handler-first");
    if is_first {
        install();
    }
    let survives = kind.starts_with("survive");
    let builder = tracewell::Tracer::builder("scan-ner").dir(&dir).ring_dir(&rings);
    let tracer = builder.survive_bus_errors(survives).attach().unwrap();
    if !is_first {
        install();
    }
    let emit =
        |code| tracewell::emit!(tracer, tracewell::catalog::ErrorRaised { code, ..Default::default() });
    (0..EVENTS).for_each(emit);
    tracer.flush().unwrap();
    if survives {
        // Somebody cuts the rings under it.
        for folder in support::list(&rings) {
            for ring in support::list(&folder).iter().filter(|p| p.to_str().unwrap().contains("/ring-")) {
                std::fs::File::options().write(true).open(ring).unwrap().set_len(0).unwrap();
            }
        }
        (0..100_000).for_each(emit);
        assert!(!dir.join("dumps").exists(), "no crash");
        if kind.starts_with("survive-then-bus") {
            bus_error();
        }
        return;
    }
    let in_thread = |name: &str, what: fn()| {
        std::thread::Builder::new().name(name.into()).spawn(what).unwrap().join().unwrap();
    };
    match kind.as_str() {
        "segv" | "chained" => in_thread("faulty", null),
        "abort" => std::process::abort(),
        "bus" => in_thread("faulty", bus_error),
        // SAFETY: instructions that fault, which is what is wanted.
        "ill" => unsafe { std::arch::asm!("ud2") },
        // SAFETY: as above.
        "fpe" => unsafe {
            std::arch::asm!("xor edx, edx", "mov eax, 1", "xor ecx, ecx", "div ecx", out("eax") _, out("ecx") _, out("edx") _);
        },
        "overflow" => in_thread("deep", || {
            std::hint::black_box(deep(0));
        }),
        "two" => {
            let both: Vec<_> = (0..2).map(|_| std::thread::spawn(null)).collect();
            both.into_iter().for_each(|t| t.join().unwrap());
        }
        "forked" => {
            // SAFETY: the child only faults.
            let child = unsafe { libc::fork() };
            if child == 0 {
                null();
            }
            // SAFETY: our child; its status is not asked for.
            unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
        }
        "none" => {}
        other => panic!("{other}"),
    }
}

/// A component's end, and the dumps that are left.
fn crash(kind: &str) -> (Place, ExitStatus, Vec<PathBuf>) {
    let place = Place::new();
    place.run(&["enable"]).ok();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "part_crash", "--nocapture", "--test-threads=1"])
        .env("TRACEWELL_TEST_CRASH", kind)
        .env("TRACEWELL_TEST_CRASH_DIR", place.base())
        .env("TRACEWELL_TEST_RINGS", place.ring_root())
        .output()
        .unwrap();
    let folder = place.base().join("dumps");
    let dumps = if folder.exists() { support::list(&folder) } else { Vec::new() };
    no_helper_stays(&place);
    (place, status.status, dumps)
}

/// Helpers end with their component.
fn no_helper_stays(place: &Place) {
    let base = place.base();
    let is_helper = |path: &PathBuf| {
        let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("crash-watch") && line.contains(base.to_str().unwrap())
    };
    let until = Instant::now() + Duration::from_secs(10);
    while let Some(left) = support::list(std::path::Path::new("/proc")).iter().find(|path| is_helper(path)) {
        assert!(Instant::now() < until, "{left:?} is left");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The one dump: reason, and name of the thread that crashed.
fn of_dump(path: &PathBuf) -> (String, String) {
    let dump = Minidump::read(std::fs::read(path).unwrap()).unwrap();
    let system = dump.get_stream::<MinidumpSystemInfo>().unwrap();
    let exception = dump.get_stream::<MinidumpException<'_>>().unwrap();
    let names = dump.get_stream::<MinidumpThreadNames>().unwrap();
    let tid = exception.get_crashing_thread_id();
    assert!(exception.context(&system, None).is_some());
    (exception.get_crash_reason(system.os, system.cpu).to_string(), names.get_name(tid).unwrap().into_owned())
}

#[test]
fn every_kind_of_crash_leaves_a_dump_and_ends_the_process_as_before() {
    for (kind, signal, reason, thread) in [
        ("segv", libc::SIGSEGV, "SIGSEGV", Some("faulty")),
        ("abort", libc::SIGABRT, "SIGABRT", None),
        ("bus", libc::SIGBUS, "SIGBUS", Some("faulty")),
        ("ill", libc::SIGILL, "SIGILL", None),
        ("fpe", libc::SIGFPE, "SIGFPE", None),
        // Rust's own handler comes after ours and ends it by abort.
        ("overflow", libc::SIGABRT, "SIGSEGV", Some("deep")),
    ] {
        let (place, status, dumps) = crash(kind);
        assert_eq!(status.signal(), Some(signal), "{kind}: {status:?}");
        assert_eq!(dumps.len(), 1, "{kind}: {dumps:?}");
        let (told, name) = of_dump(&dumps[0]);
        assert!(told.contains(reason), "{kind}: {told}");
        assert!(thread.is_none_or(|thread| thread == name), "{kind}: {name}");
        let listed = place.run(&["dump", "--list"]).ok().stdout;
        for part in ["crash", "scan_ner", "minidump"] {
            assert!(listed.contains(part), "{kind}: {listed}");
        }
        let shown =
            place.run(&["dump", "--show", dumps[0].file_name().unwrap().to_str().unwrap()]).ok().stdout;
        for part in [reason, "crashed here", "scan-ner"] {
            assert!(shown.contains(part), "{kind}: {shown}");
        }
        // Where it crashed, not where the handler was.
        let crashed = shown.lines().skip_while(|l| !l.contains("crashed here")).nth(1).unwrap();
        let program = std::env::current_exe().unwrap();
        let program = program.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(crashed.contains(&program) || kind == "abort", "{kind}: {crashed}");
        // What it emitted before is all there.
        let read = place.run(&["read", "--stdout", "--event", "error.raised"]);
        assert_eq!((read.code, read.stdout.lines().count() as i64), (0, EVENTS), "{kind}: {}", read.stderr);
        assert!(place.run(&["audit"]).ok().stdout.contains("crash of scan-ner"), "{kind}");
    }
}

#[test]
fn handlers_of_before_come_after_ours() {
    let (_place, status, dumps) = crash("chained");
    assert_eq!((status.code(), dumps.len()), (Some(42), 1), "{status:?}");
    let (_place, status, dumps) = crash("two");
    assert_eq!((status.signal(), dumps.len()), (Some(libc::SIGSEGV), 1), "two at a time: {status:?}");
    let (_place, status, dumps) = crash("none");
    assert_eq!((status.code(), dumps.len()), (Some(0), 0), "{status:?}");
}

#[test]
fn a_forked_child_that_crashes_is_dumped_as_itself() {
    let yama = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    let (_place, status, dumps) = crash("forked");
    assert_eq!(status.code(), Some(0), "{status:?}");
    // Yama lets the helper look at the parent alone.
    let expected = usize::from(matches!(yama.trim(), "" | "0") || rustix::process::geteuid().is_root());
    assert_eq!(dumps.len(), expected);
}

#[test]
fn a_ring_that_is_cut_is_no_crash_whichever_handler_came_first() {
    for order in ["engine-first", "crash-handler-first"] {
        let (_place, status, dumps) = crash(&format!("survive-{order}"));
        assert_eq!((status.code(), dumps.len()), (Some(0), 0), "{order}: {status:?}");
        let (_place, status, dumps) = crash(&format!("survive-then-bus-{order}"));
        assert_eq!(status.signal(), Some(libc::SIGBUS), "{order}: {status:?}");
        assert_eq!(dumps.len(), 1, "{order}");
        assert!(of_dump(&dumps[0]).0.contains("SIGBUS"), "{order}");
    }
}

#[test]
fn without_a_helper_it_is_said_and_nothing_is_installed() {
    let place = Place::new();
    for helper in ["/no/such/tracewell", "/bin/true"] {
        let builder = tracewell_crash::Builder::new("scanner").dir(place.base()).helper(helper);
        let error = builder.install().unwrap_err().to_string();
        assert!(error.contains(helper) && error.contains("Builder::helper"), "{error}");
    }
    place.run(&["crash-watch", "--component=x"]).error(&["not by hand"]);
}
