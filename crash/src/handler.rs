//! The signal handler, and starting the helper that it talks to.
//!
//! The handler is async-signal-safe: atomics, system calls, and one static buffer that only the first crashing thread
//! writes.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use crate::{InstallError, MAGIC, MESSAGE, READY};

/// What is handled.
const SIGNALS: [libc::c_int; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT];
/// How long the helper is waited for, in milliseconds: when it starts, and when it writes.
const START: libc::c_int = 5_000;
const WRITE: libc::c_int = 20_000;

/// Our end of the socket.
static SOCKET: AtomicI32 = AtomicI32::new(-1);
/// The thread that crashed first.
static CRASHED: AtomicI32 = AtomicI32::new(0);
/// Its report was sent, and answered or not.
static REPORTED: AtomicBool = AtomicBool::new(false);
/// The actions that were there before.
struct Actions(UnsafeCell<[libc::sigaction; SIGNALS.len()]>);
// SAFETY: each is written once, in `handle_from_now`, before the handler of its signal is installed (`install` runs once in a
// process), and only read after.
unsafe impl Sync for Actions {}
static PREVIOUS: Actions = {
    // SAFETY: all-zero actions are valid: the default action, an empty mask.
    Actions(UnsafeCell::new(unsafe { std::mem::zeroed() }))
};

/// The message, which is not on the stack: after an overflow there is little.
struct Message(UnsafeCell<[u8; MESSAGE]>);
// SAFETY: only the thread that changed CRASHED from 0 to its own number uses it (`report`), which happens once in a process.
unsafe impl Sync for Message {}
static BUFFER: Message = Message(UnsafeCell::new([0; MESSAGE]));

/// Starts the helper and installs the handler, once in a process.
pub(crate) fn install(helper: &Path, args: &[OsString]) -> Result<(), InstallError> {
    static ONCE: AtomicBool = AtomicBool::new(false);
    if ONCE.swap(true, Ordering::AcqRel) {
        return Err(InstallError::Twice);
    }
    let done = (|| {
        let (ours, theirs) = socket_pair().map_err(InstallError::Kernel)?;
        let failed = |source| InstallError::Helper { path: helper.to_owned(), source };
        let pid = start(helper, args, ours.as_raw_fd(), theirs).map_err(failed)?;
        // Where Yama restricts ptrace to children: this one process may. Elsewhere it is not known, and not needed.
        // SAFETY: takes a number and changes only who may trace this process.
        unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::c_ulong::from(pid), 0, 0, 0) };
        own_stack();
        // For ever: the handler may run at any time until the process ends.
        SOCKET.store(ours.into_raw_fd(), Ordering::Release);
        SIGNALS.iter().try_for_each(|signal| handle_from_now(*signal)).map_err(InstallError::Kernel)
    })();
    if done.is_err() && SOCKET.load(Ordering::Acquire) == -1 {
        ONCE.store(false, Ordering::Release);
    }
    done
}

fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for the two descriptors that the call writes.
    let made = unsafe {
        libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0, ends.as_mut_ptr())
    };
    if made != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so both are open and nobody else's.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// Starts the helper, which starts itself once more and ends, so that this process has no child that it does not know of.
fn start(helper: &Path, args: &[OsString], ours: i32, theirs: OwnedFd) -> io::Result<u32> {
    let mut command = Command::new(helper);
    command.args(args).stdin(Stdio::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: runs in the child before exec; close_range is a system call and touches nothing but its descriptors, of which
    // none is used any more but 0 to 2. Files that the component left open for its own children are not the helper's.
    unsafe {
        command.pre_exec(|| {
            libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as libc::c_int);
            Ok(())
        });
    }
    let mut child = command.spawn()?;
    // Our copy of its end: when it is gone, so is the connection.
    drop(command);
    let mut hello = [0; 12];
    let answered = receive(ours, &mut hello, START);
    if !answered {
        // It does not answer: it must not stay.
        let _ = child.kill();
    }
    // Where the component ignores SIGCHLD, it is gone already.
    let _ = child.wait();
    match hello.split_at(READY.len()) {
        (magic, pid) if answered && magic == READY => {
            Ok(pid.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte)))
        }
        _ => Err(io::Error::new(io::ErrorKind::TimedOut, "it did not answer")),
    }
}

/// Receives a message; false if none came. Async-signal-safe.
fn receive(socket: i32, to: &mut [u8], millis: libc::c_int) -> bool {
    let mut poll = libc::pollfd { fd: socket, events: libc::POLLIN, revents: 0 };
    // SAFETY: `poll` is one valid entry, `to` is ours to write for its whole length; both calls fail cleanly if the descriptor
    // is not open.
    unsafe {
        libc::poll(&raw mut poll, 1, millis) == 1
            && libc::recv(socket, to.as_mut_ptr().cast(), to.len(), libc::MSG_DONTWAIT) > 0
    }
}

/// Gives the calling thread an alternate stack if it has none. It is kept for ever.
fn own_stack() {
    const LEN: usize = 64 << 10;
    // SAFETY: all-zero is a valid stack_t to be written; sigaltstack and mmap are given valid places; the memory is never
    // unmapped, so it is there as long as the thread. The lowest page is a guard.
    unsafe {
        let mut now: libc::stack_t = std::mem::zeroed();
        if libc::sigaltstack(std::ptr::null(), &raw mut now) != 0 || now.ss_flags & libc::SS_DISABLE == 0 {
            return;
        }
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let made = libc::mmap(std::ptr::null_mut(), LEN, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        if made == libc::MAP_FAILED {
            return;
        }
        libc::mprotect(made, 4096, libc::PROT_NONE);
        let stack =
            libc::stack_t { ss_sp: made.cast::<u8>().add(4096).cast(), ss_flags: 0, ss_size: LEN - 4096 };
        libc::sigaltstack(&raw const stack, std::ptr::null_mut());
    }
}

fn handle_from_now(signal: libc::c_int) -> io::Result<()> {
    let place = SIGNALS.iter().position(|s| *s == signal).unwrap_or(0);
    // SAFETY: all-zero actions are valid (default action, empty mask). The handler has the signature that SA_SIGINFO asks
    // for and lives as long as the program; what it does is async-signal-safe (see the module). PREVIOUS: see there.
    let done = unsafe {
        let mut before: libc::sigaction = std::mem::zeroed();
        let mut ours: libc::sigaction = std::mem::zeroed();
        ours.sa_sigaction = handle as *const () as usize;
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigfillset(&raw mut ours.sa_mask);
        let asked = libc::sigaction(signal, std::ptr::null(), &raw mut before);
        // Before ours can run.
        (&mut *PREVIOUS.0.get())[place] = before;
        asked == 0 && libc::sigaction(signal, &raw const ours, std::ptr::null_mut()) == 0
    };
    if done { Ok(()) } else { Err(io::Error::last_os_error()) }
}

extern "C" fn handle(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel gives a handler with SA_SIGINFO a siginfo that is valid while it runs; errno is this thread's own.
    let (code, errno) = unsafe { ((*info).si_code, libc::__errno_location()) };
    // SAFETY: as above.
    let before = unsafe { *errno };
    let is_fault = code > 0;
    let at = if is_fault && signal != libc::SIGABRT {
        // SAFETY: as above; for a fault (a code above 0) of these signals the address is set.
        unsafe { (*info).si_addr().addr() }
    } else {
        0
    };
    let is_repaired = signal == libc::SIGBUS && code == libc::BUS_ADRERR && tracewell::repair_bus_error(at);
    if !is_repaired {
        // SAFETY: takes nothing and changes nothing.
        let tid = unsafe { libc::gettid() };
        match CRASHED.compare_exchange(0, tid, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => {
                report(tid, signal, code, at as u64, context);
                step_back(signal);
                REPORTED.store(true, Ordering::Release);
            }
            // A handler after ours crashed, or ended the process by abort.
            Err(first) if first == tid => {}
            // The first one's report must be whole before the process ends by ours.
            Err(_) => wait_for_report(),
        }
        pass_on(signal, code, info, context);
    }
    // SAFETY: as above.
    unsafe { *errno = before };
}

/// Takes our handler away from all signals but this one, whose turn it still is: there is nothing more to report, and a
/// handler after ours that ends the process by abort must not come back to us, on an alternate stack that is nearly full.
fn step_back(but: libc::c_int) {
    // SAFETY: written before any handler was installed, see `Actions`.
    let previous = unsafe { &*PREVIOUS.0.get() };
    for (signal, before) in SIGNALS.into_iter().zip(previous).filter(|(signal, _)| *signal != but) {
        // SAFETY: an all-zero action is valid and is written by the call; `before` was given by the kernel.
        unsafe {
            let mut now: libc::sigaction = std::mem::zeroed();
            let asked = libc::sigaction(signal, std::ptr::null(), &raw mut now);
            // Somebody who came after us stays, and passes on to us.
            if asked == 0 && now.sa_sigaction == handle as *const () as usize {
                libc::sigaction(signal, before, std::ptr::null_mut());
            }
        }
    }
}

fn wait_for_report() {
    let pause = libc::timespec { tv_sec: 0, tv_nsec: 10_000_000 };
    for _ in 0..WRITE / 10 {
        if REPORTED.load(Ordering::Acquire) {
            return;
        }
        // SAFETY: `pause` is a valid time; what is left is not asked for.
        unsafe { libc::nanosleep(&raw const pause, std::ptr::null_mut()) };
    }
}

/// Tells the helper, and waits until it is done.
fn report(tid: i32, signal: i32, code: i32, at: u64, context: *mut libc::c_void) {
    let socket = SOCKET.load(Ordering::Acquire);
    // SAFETY: only the thread that crashed first is here, once (`handle`).
    let message = unsafe { &mut *BUFFER.0.get() };
    // SAFETY: takes nothing and changes nothing.
    let pid = unsafe { libc::getpid() };
    message[..8].copy_from_slice(MAGIC);
    for (place, number) in [pid, tid, signal, code].into_iter().enumerate() {
        message[8 + place * 4..12 + place * 4].copy_from_slice(&number.to_le_bytes());
    }
    message[24..32].copy_from_slice(&at.to_le_bytes());
    registers(context, &mut message[32..]);
    // SAFETY: the message is initialised and lives for ever; a helper that is gone is an error, not a signal.
    let sent = unsafe { libc::send(socket, message.as_ptr().cast(), message.len(), libc::MSG_NOSIGNAL) };
    let mut done = [0; 8];
    if sent > 0 {
        receive(socket, &mut done, WRITE);
    }
}

/// The registers of the signal's context, in the order of `user_regs_struct`, then those for floating point.
#[cfg(target_arch = "x86_64")]
fn registers(context: *mut libc::c_void, to: &mut [u8]) {
    /// Where each is in the context; -1: it is not.
    const ORDER: [i32; 27] = [
        libc::REG_R15,
        libc::REG_R14,
        libc::REG_R13,
        libc::REG_R12,
        libc::REG_RBP,
        libc::REG_RBX,
        libc::REG_R11,
        libc::REG_R10,
        libc::REG_R9,
        libc::REG_R8,
        libc::REG_RAX,
        libc::REG_RCX,
        libc::REG_RDX,
        libc::REG_RSI,
        libc::REG_RDI,
        -1,
        libc::REG_RIP,
        -1,
        libc::REG_EFL,
        libc::REG_RSP,
        -1,
        -1,
        -1,
        -1,
        -1,
        -1,
        -1,
    ];
    const FLOAT: usize = 512;
    // SAFETY: the kernel gives a handler with SA_SIGINFO a ucontext that is valid while it runs.
    let machine = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext };
    let of =
        |place: i32| usize::try_from(place).ok().and_then(|at| machine.gregs.get(at)).copied().unwrap_or(0);
    // cs, gs, fs and ss, 16 bits each.
    let segments = of(libc::REG_CSGSFS);
    for (place, (from, to)) in ORDER.iter().zip(to.chunks_exact_mut(8)).enumerate() {
        let value = match place {
            17 => segments & 0xffff,
            20 => segments >> 48 & 0xffff,
            _ => of(*from),
        };
        to.copy_from_slice(&value.to_le_bytes());
    }
    if !machine.fpregs.is_null() {
        // SAFETY: if it is not null it points to the state that the kernel saved beside the context, of which the first 512
        // bytes are always there on x86_64.
        let float = unsafe { std::slice::from_raw_parts(machine.fpregs.cast::<u8>(), FLOAT) };
        to[27 * 8..].copy_from_slice(float);
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn registers(_context: *mut libc::c_void, _to: &mut [u8]) {}

/// Does what would have been done without us.
fn pass_on(signal: libc::c_int, code: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let place = SIGNALS.iter().position(|s| *s == signal).unwrap_or(0);
    // SAFETY: written before this handler was installed, see `Actions`.
    let (previous, flags) = unsafe {
        let before = &(&*PREVIOUS.0.get())[place];
        (before.sa_sigaction, before.sa_flags)
    };
    // Sent by a process, or by abort; not by a fault.
    let is_sent = code <= 0;
    match previous {
        libc::SIG_IGN if is_sent => {}
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: an all-zero action is the default one. The fault happens again when we return, and a signal that was
            // sent is sent again; either ends the process as it should.
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
