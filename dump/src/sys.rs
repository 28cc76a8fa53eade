//! The system calls that no crate wraps as they are needed: ptrace with any signal (real-time ones too, which must be given
//! back), and reading another process's memory.
#![allow(unsafe_code)]

use std::io;

fn ptrace(request: libc::c_uint, tid: u32, address: usize, data: usize) -> io::Result<()> {
    // SAFETY: every request used here (see the callers in this file) takes numbers, or, for GETREGSET, a pointer to an
    // iovec that its caller keeps alive and whose buffer it describes truly.
    let done = unsafe { libc::ptrace(request, tid as libc::pid_t, address, data) };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Becomes the tracer of a thread, which goes on running. No options: if we end, it is let go.
pub(crate) fn seize(tid: u32) -> io::Result<()> {
    ptrace(libc::PTRACE_SEIZE, tid, 0, 0)
}

/// Asks a seized thread to stop.
pub(crate) fn interrupt(tid: u32) -> io::Result<()> {
    ptrace(libc::PTRACE_INTERRUPT, tid, 0, 0)
}

/// Lets a stopped thread go on, with the signal that it was about to get.
pub(crate) fn detach(tid: u32, signal: i32) -> io::Result<()> {
    ptrace(libc::PTRACE_DETACH, tid, 0, signal as usize)
}

/// A set of registers of a stopped thread; returns how many bytes the kernel gave.
#[cfg(target_arch = "x86_64")]
pub(crate) fn registers(tid: u32, set: usize, buffer: &mut [u8]) -> io::Result<usize> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    ptrace(libc::PTRACE_GETREGSET, tid, set, (&raw mut part).expose_provenance())?;
    Ok(part.iov_len)
}

/// Reads memory of another process; returns how many bytes from the start could be read.
pub(crate) fn read_memory(pid: u32, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let here = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // Never followed in this process.
    let there =
        libc::iovec { iov_base: std::ptr::without_provenance_mut(address as usize), iov_len: buffer.len() };
    // SAFETY: `here` describes `buffer`, which is ours to write for its whole length; `there` is an address of the other
    // process, which the kernel checks.
    let read =
        unsafe { libc::process_vm_readv(pid as libc::pid_t, &raw const here, 1, &raw const there, 1, 0) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}
