//! What a fork and the end of the process need from the C library and the kernel.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::Once;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering};

/// Descriptors with a liveness lock; a forked child closes them, or the lock would outlive its owner.
static LOCKED: [AtomicI32; 64] = [const { AtomicI32::new(-1) }; 64];

/// Where [`own_pid`] is kept: a page that the kernel wipes in a forked child, but not in a child that shares the memory.
static OWN_PID: AtomicPtr<AtomicU32> = AtomicPtr::new(std::ptr::null_mut());
/// Where there is no such page.
static NO_PAGE: AtomicU32 = AtomicU32::new(0);

/// The id of the process whose memory this is. A child of `vfork` or `posix_spawn`, which runs in its parent's memory
/// until it executes another program, sees its parent's here, and its own in `std::process::id`.
///
/// No lock, no allocation; a system call the first time in a process.
pub(crate) fn own_pid() -> u32 {
    let known = OWN_PID.load(Ordering::Acquire);
    let word = if known.is_null() { own_pid_page() } else { known };
    // SAFETY: `NO_PAGE`, or the start of a page that is mapped for ever and used as this atomic only.
    let word = unsafe { &*word };
    if std::ptr::eq(word, &NO_PAGE) {
        return std::process::id();
    }
    match word.load(Ordering::Relaxed) {
        0 => {
            let pid = std::process::id();
            word.store(pid, Ordering::Relaxed);
            pid
        }
        pid => pid,
    }
}

/// Whether this code runs in a child that shares its parent's memory: what it would begin ends with it.
pub(crate) fn is_guest() -> bool {
    own_pid() != std::process::id()
}

#[cold]
fn own_pid_page() -> *mut AtomicU32 {
    const PAGE: usize = 4096;
    let none = (&raw const NO_PAGE).cast_mut();
    // SAFETY: an anonymous private mapping at an address of the kernel's choice overlaps nothing of ours.
    let made = unsafe {
        rustix::mm::mmap_anonymous(
            std::ptr::null_mut(),
            PAGE,
            rustix::mm::ProtFlags::READ | rustix::mm::ProtFlags::WRITE,
            rustix::mm::MapFlags::PRIVATE,
        )
    };
    let page = made.ok().filter(|page| {
        // SAFETY: the range is exactly the mapping made above, and a wiped page is what a fresh one is: zeros.
        unsafe { rustix::mm::madvise(*page, PAGE, rustix::mm::Advice::LinuxWipeOnFork) }.is_ok()
    });
    let page = page.map_or(none, |page| page.cast::<AtomicU32>());
    match OWN_PID.compare_exchange(std::ptr::null_mut(), page, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => page,
        // Another thread was first; its page stays, and this one is a page that nobody uses.
        Err(first) => first,
    }
}

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

/// Whether a forked child would close a descriptor of this number.
#[cfg(test)]
pub(crate) fn is_remembered(fd: std::os::fd::RawFd) -> bool {
    LOCKED.iter().any(|slot| slot.load(Ordering::Relaxed) == fd)
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
/// whichever thread happened to emit first, which may be bound to one processor, run in real time, or be the least urgent.
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
    take_short_turns();
}

/// Asks the scheduler for short turns: a thread of ours then waits less for its next one while all processors are busy, and
/// gets no more of them in all. Linux before 6.12 takes no notice.
fn take_short_turns() {
    /// Version 0 of the kernel's `struct sched_attr`.
    #[repr(C)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        /// Of the ordinary policy: the length of a turn in ns.
        runtime: u64,
        deadline: u64,
        period: u64,
    }
    let ask = |nice| {
        let attributes = Attributes {
            size: size_of::<Attributes>() as u32,
            policy: libc::SCHED_OTHER as u32,
            flags: 0,
            nice,
            priority: 0,
            runtime: 100_000,
            deadline: 0,
            period: 0,
        };
        // SAFETY: the kernel reads `size` bytes of the attributes, which live through the call; 0 is the calling thread.
        unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) == 0 }
    };
    // The call sets the nice value too. To go below the thread's own may be refused: then that stays.
    let main = rustix::process::getpriority_process(Some(rustix::process::getpid()));
    if !main.is_ok_and(ask) {
        let _ = rustix::process::getpriority_process(None).map(ask);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forked_child_has_a_process_id_of_its_own() {
        assert_eq!((own_pid(), is_guest()), (std::process::id(), false));
        // SAFETY: the child uses an atomic and a system call, and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let is_right = own_pid() == std::process::id() && !is_guest();
            // SAFETY: as above.
            unsafe { libc::_exit(i32::from(!is_right)) };
        }
        let mut status = 0;
        // SAFETY: `status` is written by the call, which keeps nothing.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
    }

    #[test]
    fn a_thread_gets_the_nice_value_of_the_process_or_if_that_is_refused_keeps_its_own() {
        use rustix::process::{getpid, getpriority_process, setpriority_process};
        let of_process = getpriority_process(Some(getpid())).unwrap();
        let own = of_process + 7;
        let (got, may_rise) = std::thread::spawn(move || {
            setpriority_process(None, own).unwrap();
            run_as_the_process_does();
            let got = getpriority_process(None).unwrap();
            (got, setpriority_process(None, of_process).is_ok())
        })
        .join()
        .unwrap();
        assert_eq!(got, if may_rise { of_process } else { own });
    }

    #[test]
    fn a_lock_that_is_free_in_a_forked_child_stays_usable_whoever_waited_for_it() {
        use std::sync::atomic::{AtomicBool, Ordering};
        use std::time::Duration;
        if std::env::var_os("TRACEWELL_TEST_FORK").is_none() {
            // In a process of its own: children would keep the locks of other tests' files for a moment.
            let name =
                "fork::tests::a_lock_that_is_free_in_a_forked_child_stays_usable_whoever_waited_for_it";
            let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
            let ended = alone.args(["--exact", name]).env("TRACEWELL_TEST_FORK", "1").output().unwrap();
            let is_run = String::from_utf8_lossy(&ended.stdout).contains("1 passed");
            assert!(ended.status.success() && is_run, "{ended:?}");
            return;
        }
        let (lock, over) = (crate::lock::Mutex::new(()), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        let held = lock.lock();
                        std::thread::sleep(Duration::from_micros(50));
                        drop(held);
                        // So that it is free until one that waits has woken up.
                        std::thread::sleep(Duration::from_micros(100));
                    }
                });
            }
            let ended = (0..200).map(|_| {
                std::thread::sleep(Duration::from_micros(30));
                // SAFETY: the child uses a lock, which is what this is about, and system calls, and ends.
                let child = unsafe { libc::fork() };
                if child == 0 {
                    // SAFETY: a system call. If the child hangs, a signal ends it, and its status says so.
                    unsafe { libc::alarm(10) };
                    if lock.try_lock().is_some() {
                        (0..3).for_each(|_| drop(lock.lock()));
                    }
                    // SAFETY: as above.
                    unsafe { libc::_exit(0) };
                }
                let mut status = 0;
                // SAFETY: `status` is written by the call, which keeps nothing.
                assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
                status
            });
            let ended: Vec<_> = ended.filter(|status| *status != 0).collect();
            over.store(true, Ordering::Relaxed);
            assert!(ended.is_empty(), "{ended:?}");
        });
    }
}
