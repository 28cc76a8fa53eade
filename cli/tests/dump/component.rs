//! The component that is dumped, and what is known of it from outside.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::support::{self, Place};

/// What gdb is asked for.
#[unsafe(no_mangle)]
#[used]
pub(crate) static TRACEWELL_KNOWN: AtomicU64 = AtomicU64::new(0);
pub(crate) const KNOWN: u64 = 0x0123_4567_89ab_cdef;

/// Texts that are searched for. Turned, so that they lie in no program's constants.
pub(crate) fn canary(name: &str) -> String {
    format!("yranac-{name}-7f3a91c4").chars().rev().collect()
}

/// Two pages of a kind of their own, filled with a canary.
pub(crate) fn pages(name: &str, prepare: impl FnOnce(*mut libc::c_void, usize) -> i32) {
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
pub(crate) fn turned(name: &str, take: impl FnOnce(&[u8])) {
    let mut text = canary(name).into_bytes();
    take(&text);
    for byte in &mut text {
        // SAFETY: a byte of ours; not optimised away.
        unsafe { std::ptr::write_volatile(byte, 0) };
    }
}

/// A shared mapping of a file below the rings, without any mark.
pub(crate) fn ring_file(name: &str, folder: &std::path::Path) {
    let path = folder.join("ring-of-a-test");
    let file = std::fs::File::options().create_new(true).read(true).write(true).open(&path).unwrap();
    // The mapping keeps its path.
    std::fs::remove_file(path).unwrap();
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
    // SAFETY: on new pages, whose content it does not change.
    pages("dontdump", |at, len| unsafe { libc::madvise(at, len, libc::MADV_DONTDUMP) });
    // SAFETY: as above.
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

pub(crate) struct Component {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Component {
    pub(crate) fn start(place: &Place, bytes: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "component::part_component", "--nocapture", "--test-threads=1"])
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
    pub(crate) fn line(&mut self, start: &str) -> String {
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

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it; how many events it emitted.
    pub(crate) fn end(mut self) -> u64 {
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

pub(crate) fn enabled() -> Place {
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
pub(crate) fn dumps(place: &Place) -> Vec<std::path::PathBuf> {
    if place.base().join("dumps").exists() { support::list(&place.base().join("dumps")) } else { Vec::new() }
}

pub(crate) fn has(bytes: &[u8], name: &str) -> bool {
    let text = canary(name).into_bytes();
    bytes.windows(text.len()).any(|window| window == text)
}

/// The names of the threads of a process.
pub(crate) fn threads_of(pid: u32) -> Vec<(u32, String)> {
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
pub(crate) fn is_whole(place: &Place, emitted: u64) {
    let read = place.run(&["read", "--stdout", "--event", "error.raised"]);
    // One more with a canary.
    assert_eq!((read.code, read.stdout.lines().count() as u64), (0, emitted + 1), "{}", read.stderr);
    assert!(read.stdout.contains(&canary("event")));
}
