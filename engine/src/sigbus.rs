//! The net under a component that must outlive what others do to its files: a handler of SIGBUS.
//!
//! Nothing that Tracewell does leads to SIGBUS: pages are there before they are used (`ring/memory.rs`), the file system is
//! asked before a store to the control page (`control.rs`; Linux 5.14), and no file is made shorter. But root, or the user himself, can cut a ring's or the control page's file while it is mapped, and the
//! next store would end the process. A component that asks for it ([`crate::Builder::survive_bus_errors`]) has a handler
//! that puts memory of its own in the place of what is gone: the ring is *broken*, its events are counted as lost; a
//! control page that is gone is all zero, so off.
//!
//! * Only addresses inside our mappings are taken, from a table of fixed size; anything else goes to the action that was
//!   there before. A handler that another library installs later comes first; it must pass on what is not its own.
//! * Async-signal-safe: atomics and system calls, no lock, no allocation, no memory but the stack.
//! * The hot path knows nothing of it.
#![allow(unsafe_code)]

use std::io;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering};

/// Mappings that can be guarded at a time: two of each ring. Beyond it a ring is as it is without the handler.
const RANGES: usize = 8192;

/// Nobody's, or not yet whole.
const UNUSED: u32 = 0;
const INTACT: u32 = 1;
/// A handler is about to put other memory there.
const REPLACING: u32 = 2;
const REPLACED: u32 = 3;

struct Range {
    state: AtomicU32,
    start: AtomicUsize,
    len: AtomicUsize,
    /// The process that maps it, 0 = its forked children too. They have no rings, and other mappings where their parent has
    /// them.
    pid: AtomicU32,
}

static TABLE: [Range; RANGES] = [const {
    Range {
        state: AtomicU32::new(UNUSED),
        start: AtomicUsize::new(0),
        len: AtomicUsize::new(0),
        pid: AtomicU32::new(0),
    }
}; RANGES];

/// A mapping in the table. Dropped before it is unmapped.
#[derive(Debug)]
pub(crate) struct Guarded {
    index: Option<usize>,
}

impl Guarded {
    /// Takes note of a mapping of whole pages. It must be replaceable by zeros as long as this value lives.
    /// `is_inherited` says that forked children have it too.
    pub(crate) fn new(start: *const u8, len: usize, is_inherited: bool) -> Self {
        let index = TABLE.iter().position(|range| {
            range.len.load(Ordering::Relaxed) == 0
                && range.len.compare_exchange(0, len, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        });
        if let Some(range) = index.and_then(|index| TABLE.get(index)) {
            range.start.store(start.addr(), Ordering::Relaxed);
            let pid = if is_inherited { 0 } else { std::process::id() };
            range.pid.store(pid, Ordering::Relaxed);
            // Release: a handler that finds it intact finds where it is.
            range.state.store(INTACT, Ordering::Release);
        }
        Self { index }
    }

    /// Whether other memory is, or is about to be, where the file was.
    pub(crate) fn is_replaced(&self) -> bool {
        let range = self.index.and_then(|index| TABLE.get(index));
        range.is_some_and(|range| range.state.load(Ordering::Acquire) != INTACT)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // No thread uses the mapping any more, so none is in a handler because of it.
        if let Some(range) = self.index.and_then(|index| TABLE.get(index)) {
            range.state.store(UNUSED, Ordering::Release);
            range.len.store(0, Ordering::Release);
        }
    }
}

/// The action that was there before: its function, and whether it takes three arguments.
static PREVIOUS: AtomicUsize = AtomicUsize::new(libc::SIG_DFL);
static PREVIOUS_FLAGS: AtomicI32 = AtomicI32::new(0);

/// A component of this process asked to survive.
static IS_ASKED: AtomicBool = AtomicBool::new(false);

/// For a handler of SIGBUS (`BUS_ADRERR`) that was installed after ours and comes first: puts memory of our own in the place
/// of the mapping that `address` is in, if it is one of ours and a component asked to survive
/// ([`crate::Builder::survive_bus_errors`]). False: it is somebody else's fault. Async-signal-safe.
pub fn repair_bus_error(address: usize) -> bool {
    IS_ASKED.load(Ordering::Relaxed) && TABLE.iter().any(|range| range.repair(address))
}

/// Installs the handler, once in a process.
///
/// # Errors
/// If the kernel refuses.
pub(crate) fn install() -> io::Result<()> {
    static ONCE: Once = Once::new();
    IS_ASKED.store(true, Ordering::Relaxed);
    let mut result = Ok(());
    ONCE.call_once(|| {
        // SAFETY: all-zero actions are valid (default action, empty mask). The handler has the signature that
        // SA_SIGINFO asks for and lives as long as the program; what it does is async-signal-safe (see the module).
        let done = unsafe {
            let mut before: libc::sigaction = std::mem::zeroed();
            let mut ours: libc::sigaction = std::mem::zeroed();
            ours.sa_sigaction = handle as *const () as usize;
            ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigfillset(&raw mut ours.sa_mask);
            let asked = libc::sigaction(libc::SIGBUS, std::ptr::null(), &raw mut before);
            // Before ours can run.
            PREVIOUS.store(before.sa_sigaction, Ordering::Relaxed);
            PREVIOUS_FLAGS.store(before.sa_flags, Ordering::Release);
            asked == 0 && libc::sigaction(libc::SIGBUS, &raw const ours, std::ptr::null_mut()) == 0
        };
        if !done {
            result = Err(io::Error::last_os_error());
        }
    });
    result
}

extern "C" fn handle(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel gives a handler with SA_SIGINFO a siginfo that is valid while it runs; for a code above 0 of
    // SIGBUS the address is set. errno is this thread's own.
    let (code, at, errno) = unsafe { ((*info).si_code, (*info).si_addr().addr(), libc::__errno_location()) };
    // SAFETY: as above.
    let before = unsafe { *errno };
    let is_ours = code == libc::BUS_ADRERR && TABLE.iter().any(|range| range.repair(at));
    if !is_ours {
        pass_on(signal, code, info, context);
    }
    // SAFETY: as above.
    unsafe { *errno = before };
}

impl Range {
    /// If `at` is in it: puts zeros in its place, or waits until another thread has. False if it cannot help.
    fn repair(&self, at: usize) -> bool {
        if self.state.load(Ordering::Acquire) == UNUSED {
            return false;
        }
        let (start, len) = (self.start.load(Ordering::Relaxed), self.len.load(Ordering::Relaxed));
        // SAFETY: getpid takes nothing and changes nothing.
        let pid = unsafe { libc::getpid() }.cast_unsigned();
        let owner = self.pid.load(Ordering::Relaxed);
        if at.wrapping_sub(start) >= len || (owner != 0 && owner != pid) {
            return false;
        }
        match self.state.compare_exchange(INTACT, REPLACING, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => {
                let done = replace(start, len);
                self.state.store(REPLACED, Ordering::Release);
                done
            }
            Err(REPLACING) => {
                while self.state.load(Ordering::Acquire) == REPLACING {
                    // SAFETY: takes nothing and changes nothing.
                    unsafe { libc::sched_yield() };
                }
                true
            }
            // Memory of our own does not fault: not for us.
            Err(_) => false,
        }
    }
}

/// Maps zeros over `[start, start + len)`, which is one of our mappings or a part of one.
fn replace(start: usize, len: usize) -> bool {
    let start = std::ptr::with_exposed_provenance_mut::<libc::c_void>(start);
    // SAFETY: the range is whole pages of a mapping of ours, which its owner keeps while it is in the table
    // (`Guarded::new`) and reads and writes as plain bytes, for which zeros are valid. mmap and madvise are system calls.
    unsafe {
        let flags = libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let made = libc::mmap(start, len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        if made == libc::MAP_FAILED {
            return false;
        }
        // As the ring was.
        libc::madvise(start, len, libc::MADV_DONTDUMP);
    }
    true
}

/// Does what would have been done without us.
fn pass_on(signal: libc::c_int, code: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let flags = PREVIOUS_FLAGS.load(Ordering::Acquire);
    let previous = PREVIOUS.load(Ordering::Relaxed);
    // Sent by a process, not by a fault.
    let is_sent = code <= 0;
    match previous {
        libc::SIG_IGN if is_sent => {}
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: an all-zero action is the default one. The fault happens again when we return, and a signal that
            // was sent is sent again; either ends the process as it should.
            unsafe {
                let default: libc::sigaction = std::mem::zeroed();
                libc::sigaction(signal, &raw const default, std::ptr::null_mut());
                if is_sent {
                    libc::raise(signal);
                }
            }
        }
        address if flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: the kernel said that this is the address of a handler, and with this flag it has this signature.
            let handler = unsafe {
                std::mem::transmute::<
                    usize,
                    extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void),
                >(address)
            };
            handler(signal, info, context);
        }
        address => {
            // SAFETY: the kernel said that this is the address of a handler; without the flag it has this signature.
            let handler = unsafe { std::mem::transmute::<usize, extern "C" fn(libc::c_int)>(address) };
            handler(signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::sync::atomic::AtomicU64;

    use memmap2::MmapOptions;

    use super::*;

    /// A mapping of two pages whose file is then cut to nothing.
    fn cut() -> memmap2::MmapRaw {
        let file = tempfile::tempfile_in("/dev/shm").unwrap();
        file.set_len(8192).unwrap();
        let map = MmapOptions::new().map_raw(&file).unwrap();
        file.set_len(0).unwrap();
        map
    }

    fn load(map: &memmap2::MmapRaw) -> u64 {
        // SAFETY: aligned and inside the mapping; that it may fault is what is tested.
        unsafe { AtomicU64::from_ptr(map.as_mut_ptr().cast()) }.load(Ordering::Relaxed)
    }

    #[test]
    fn zeros_take_the_place_of_a_file_that_was_cut() {
        install().unwrap();
        let map = cut();
        let guarded = Guarded::new(map.as_ptr(), 8192, false);
        assert!(!guarded.is_replaced());
        assert_eq!(load(&map), 0);
        assert!(guarded.is_replaced());
    }

    #[test]
    fn a_fault_elsewhere_ends_the_process_as_before() {
        if std::env::var_os("TRACEWELL_TEST_BUS").is_some() {
            install().unwrap();
            let map = cut();
            // Of this table, but no longer.
            drop(Guarded::new(map.as_ptr(), 8192, false));
            load(&map);
            return;
        }
        let ended = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sigbus::tests::a_fault_elsewhere_ends_the_process_as_before"])
            .env("TRACEWELL_TEST_BUS", "1")
            .output()
            .unwrap();
        assert_eq!(ended.status.signal(), Some(libc::SIGBUS), "{ended:?}");
    }
}
