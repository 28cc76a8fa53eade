//! What a fork and the end of the process need from the C library and the kernel.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::Once;
use std::sync::atomic::{AtomicI32, Ordering};

/// Descriptors with a liveness lock; a forked child closes them, or the lock would outlive its owner.
static LOCKED: [AtomicI32; 64] = [const { AtomicI32::new(-1) }; 64];

/// Registers a lock's descriptor for closing in children.
pub(crate) fn remember(file: &File) {
    static HANDLER: Once = Once::new();
    HANDLER.call_once(|| {
        // SAFETY: the handler is async-signal-safe (atomics and close), as a fork handler must be.
        unsafe { libc::pthread_atfork(None, None, Some(close_in_child)) };
    });
    for slot in &LOCKED {
        if slot.compare_exchange(-1, file.as_raw_fd(), Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            return;
        }
    }
}

/// The opposite of [`remember`], before the file is closed.
pub(crate) fn forget(file: &File) {
    for slot in &LOCKED {
        let _ = slot.compare_exchange(file.as_raw_fd(), -1, Ordering::AcqRel, Ordering::Relaxed);
    }
}

extern "C" fn close_in_child() {
    for slot in &LOCKED {
        let fd = slot.swap(-1, Ordering::Relaxed);
        if fd >= 0 {
            // SAFETY: the descriptor belongs to a `State` that this child never uses nor drops (`tracer.rs` forgets
            // states of another process id), so nobody closes it a second time.
            unsafe { libc::close(fd) };
        }
    }
}

/// Makes every thread of this process pass a full memory barrier. False if the kernel will not.
pub(crate) fn full_barrier() -> bool {
    const GLOBAL: libc::c_int = 1;
    const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;
    let call = |command: libc::c_int| {
        // SAFETY: membarrier takes no pointers; it changes nothing but the order of memory accesses.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
    };
    (call(REGISTER_PRIVATE_EXPEDITED) && call(PRIVATE_EXPEDITED)) || call(GLOBAL)
}

/// Has `handler` called when the process exits in the ordinary way.
pub(crate) fn at_exit(handler: extern "C" fn()) {
    static ONCE: Once = Once::new();
    // SAFETY: the handler is a plain function that lives as long as the program.
    ONCE.call_once(|| unsafe {
        libc::atexit(handler);
    });
}

/// Blocks every signal on the calling thread: the product's handlers run on the product's threads. But for SIGBUS: a fault
/// on a thread that blocks it ends the process whatever handler there is.
pub(crate) fn block_all_signals() {
    // SAFETY: the set is filled by sigfillset before it is used; the mask changed is this thread's own.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&raw mut set);
        libc::sigdelset(&raw mut set, libc::SIGBUS);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
    }
}

/// Lets the calling thread run as the process's main thread does: a thread of ours inherits processors and priority from
/// whichever thread happened to emit first, which may be bound to one processor or run in real time.
pub(crate) fn run_as_the_process_does() {
    let main = rustix::process::getpid();
    if let Ok(processors) = rustix::thread::sched_getaffinity(Some(main)) {
        let _ = rustix::thread::sched_setaffinity(None, &processors);
    }
    // SAFETY: an all-zero parameter is valid for the ordinary policy, and only read; 0 is the calling thread.
    unsafe {
        let none = std::mem::zeroed::<libc::sched_param>();
        libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const none);
    }
}

/// Takes (`take`) or asks for an exclusive lock on a whole file. True: taken, or another holds it.
pub(crate) fn ofd_lock(fd: std::os::fd::RawFd, take: bool) -> std::io::Result<bool> {
    // SAFETY: an all-zero flock is a valid value: from 0 to the end of the file.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    let command = if take { libc::F_OFD_SETLK } else { libc::F_OFD_GETLK };
    // SAFETY: the descriptor is open (the caller borrows its file) and `lock` is a flock that lives through the call.
    let rc = unsafe { libc::fcntl(fd, command, &raw mut lock) };
    if rc < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(take || lock.l_type != libc::F_UNLCK as libc::c_short)
}

/// Whether this process has more rights than its caller, so that the environment is not to be trusted.
pub(crate) fn is_privileged() -> bool {
    // SAFETY: getauxval only reads the auxiliary vector.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Keeps SIGXFSZ away from the calling thread while it lives: a file that would grow beyond the process's limit
/// (`ulimit -f`) is then an error, as on a full disk, where the signal's default is to end the process.
#[derive(Debug)]
pub(crate) struct FileSizeSignal {
    before: libc::sigset_t,
}

impl FileSizeSignal {
    /// `None` if it is blocked already, or cannot be.
    pub(crate) fn block() -> Option<Self> {
        // SAFETY: both sets are filled before they are read; the mask changed is this thread's own.
        unsafe {
            let mut before = std::mem::zeroed::<libc::sigset_t>();
            let set = file_size_set();
            let rc = libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, &raw mut before);
            let is_new = rc == 0 && libc::sigismember(&raw const before, libc::SIGXFSZ) == 0;
            is_new.then_some(Self { before })
        }
    }
}

fn file_size_set() -> libc::sigset_t {
    // SAFETY: an all-zero set is valid, and is filled by the two calls.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGXFSZ);
        set
    }
}

impl Drop for FileSizeSignal {
    fn drop(&mut self) {
        // SAFETY: the sets are whole; nothing waits, as the time is zero; the mask is the one that this thread had.
        unsafe {
            let none = std::mem::zeroed::<libc::timespec>();
            let set = file_size_set();
            // The kernel sends it to the thread that wrote. It was not blocked before, so one that waits is ours.
            while libc::sigtimedwait(&raw const set, std::ptr::null_mut(), &raw const none) > 0 {}
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, std::ptr::null_mut());
        }
    }
}
