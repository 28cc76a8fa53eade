//! Is this thread inside a signal handler?
//!
//! Asked only on the cold path, before a thread's first ring is made: making one allocates and locks, which a
//! handler must not do. (An emit of a thread that has its ring does neither.)
//!
//! A handler runs with its own signal blocked, so a thread that blocks no handled signal is not in one. Otherwise
//! the stack decides: the kernel puts the address of the handler's *restorer* (known from `rt_sigaction`) and the
//! interrupted context on it. The stack is read by the kernel (`process_vm_readv`), which stops at unmapped
//! pages; nothing here allocates or locks. A handler installed with `SA_NODEFER` is not noticed: wrap its body in
//! [`crate::signal_scope`].
#![allow(unsafe_code)]

/// How far up the stack a signal frame is looked for.
#[cfg(target_arch = "x86_64")]
const DEPTH: usize = 256 * 1024;

/// True if a signal frame is on this thread's stack. Async-signal-safe.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
pub(crate) fn in_handler() -> bool {
    let mut restorers = [0_usize; 8];
    let found = blocked_restorers(&mut restorers);
    found != 0 && stack_has_frame(&restorers[..found])
}

/// On other processors only `signal_scope` tells.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn in_handler() -> bool {
    false
}

/// The kernel's `struct sigaction` on x86_64 (asm/signal.h).
#[cfg(target_arch = "x86_64")]
#[repr(C)]
struct KernelAction {
    handler: usize,
    flags: u64,
    restorer: usize,
    mask: u64,
}

/// The distinct restorers of the handled signals that this thread blocks.
#[cfg(target_arch = "x86_64")]
fn blocked_restorers(out: &mut [usize; 8]) -> usize {
    let mut mask = 0_u64;
    // SAFETY: with a null set the call only writes the 8 bytes of the present mask.
    let rc =
        unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, 0_usize, &raw mut mask, 8_usize) };
    if rc != 0 {
        return 0;
    }
    let mut found = 0;
    for signal in 1..=64_i32 {
        if mask & (1 << (signal - 1)) == 0 {
            continue;
        }
        let mut action = KernelAction { handler: 0, flags: 0, restorer: 0, mask: 0 };
        // SAFETY: with a null new action the call only writes the present one, whose layout is the kernel's.
        let rc = unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, 0_usize, &raw mut action, 8_usize) };
        let handled = rc == 0 && action.handler > 1 && action.restorer != 0;
        if handled && !out[..found].contains(&action.restorer) && found < out.len() {
            out[found] = action.restorer;
            found += 1;
        }
    }
    found
}

/// Looks for `restorer` followed by a plausible `struct ucontext` (asm/ucontext.h, asm/sigcontext.h).
#[cfg(target_arch = "x86_64")]
fn stack_has_frame(restorers: &[usize]) -> bool {
    /// Words from the return address to the word with cs, gs, fs and ss: ucontext begins at 1; flags, link, three
    /// words of stack_t, then 16 registers, rip, eflags.
    const SELECTORS: usize = 1 + 5 + 16 + 2;
    const CHUNK: usize = 512;
    let mut words = [0_usize; CHUNK];
    let mut at = words.as_ptr() as usize & !7;
    let end = at + DEPTH;
    while at < end {
        let Some(read) = read_own(at, &mut words) else { return false };
        let Some(usable) = read.checked_sub(SELECTORS + 1).filter(|n| *n > 0) else { return false };
        for i in 0..usable {
            let frame = &words[i..];
            let user_code = frame[SELECTORS] & 0xffff == 0x33;
            if restorers.contains(&frame[0]) && frame[1] <= 0xff && frame[2] == 0 && user_code {
                return true;
            }
        }
        at += usable * 8;
    }
    false
}

/// Copies words of this process's own memory through the kernel; the count read, `None` if nothing is there.
#[cfg(target_arch = "x86_64")]
fn read_own(at: usize, out: &mut [usize]) -> Option<usize> {
    // By pages, so that the end of the stack costs only the page beyond it.
    let len = (4096 - (at & 4095) + 3 * 4096).min(size_of_val(out));
    let local = libc::iovec { iov_base: out.as_mut_ptr().cast(), iov_len: len };
    let page_end = 4096 - (at & 4095);
    let mut remote = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; 5];
    let (mut start, mut left, mut count) = (at, len, 0);
    while left > 0 {
        let n = left.min(if count == 0 { page_end } else { 4096 });
        remote[count] = libc::iovec { iov_base: start as *mut libc::c_void, iov_len: n };
        (start, left, count) = (start + n, left - n, count + 1);
    }
    // SAFETY: the local vector is `out` with its own length; the remote ones are only read, by the kernel, which
    // answers with a short count where nothing is mapped. At most five pieces: `len` spans at most four pages
    // and a part. No libc state is touched.
    let read = unsafe {
        libc::syscall(
            libc::SYS_process_vm_readv,
            libc::getpid(),
            &raw const local,
            1_usize,
            remote.as_ptr(),
            count,
            0_usize,
        )
    };
    usize::try_from(read).ok().filter(|n| *n >= 8).map(|n| n / 8)
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    static SEEN: AtomicU32 = AtomicU32::new(0);

    extern "C" fn handler(_: libc::c_int) {
        SEEN.store(1 + u32::from(in_handler()), Ordering::SeqCst);
    }

    #[test]
    fn a_handler_is_noticed_and_ordinary_code_is_not() {
        assert!(!in_handler());
        // SAFETY: the handler is async-signal-safe (atomics and system calls), and SIGUSR2 is used by nobody else
        // in this test binary.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as extern "C" fn(libc::c_int) as usize;
            libc::sigaction(libc::SIGUSR2, &action, std::ptr::null_mut());
            libc::raise(libc::SIGUSR2);
        }
        assert_eq!(SEEN.load(Ordering::SeqCst), 2, "inside the handler");
        assert!(!in_handler(), "after the handler");
        // A thread that blocks a handled signal is not in a handler for that.
        // SAFETY: the set is initialised by sigemptyset; the mask is this thread's own and restored.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, libc::SIGUSR2);
            libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
            assert!(!in_handler());
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
        }
    }
}
