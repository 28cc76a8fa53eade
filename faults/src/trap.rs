//! Processes whose threads stop at every system call, before and after it (ptrace), so that a test can kill or hold
//! them there.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::io;

use rustix::process::Pid;

/// A stop of a thread at a system call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    pub(crate) tid: i32,
    /// Which of the processes started: its place in the order of [`Herd::start`]; descendants count as it.
    pub(crate) actor: usize,
    /// Number of the call.
    pub(crate) call: u64,
    /// Before the call, not after it.
    pub(crate) is_entry: bool,
}

/// What happened next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// A thread stopped; it stays stopped until [`Herd::resume`].
    Stop(Stop),
    /// A process that was started has ended, with all its threads. The wait status.
    Ended { status: i32 },
    /// Nothing now: [`Herd::poll`] only.
    Nothing,
}

#[derive(Clone, Copy, Debug)]
struct Thread {
    actor: usize,
    is_inside: bool,
    /// The first stop, which is none of a call, has been seen.
    has_begun: bool,
}

/// Traced processes.
#[derive(Debug, Default)]
pub(crate) struct Herd {
    threads: BTreeMap<i32, Thread>,
    /// Process ids by place.
    roots: Vec<(i32, bool)>,
    /// New threads that stopped before their parent told of them.
    early: Vec<i32>,
}

fn request(what: u32, pid: i32, data: usize) -> io::Result<()> {
    // SAFETY: these requests take numbers only, or a pointer to a value that the caller keeps alive; the kernel checks
    // that `pid` is a thread that we trace.
    let rc = unsafe { libc::ptrace(what, pid, std::ptr::null_mut::<c_void>(), data as *mut c_void) };
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Lets the calling process, a fresh child, be traced by its parent, and waits until the parent says go.
pub(crate) fn submit() {
    let _ = request(libc::PTRACE_TRACEME, 0, 0);
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
}

impl Herd {
    /// Takes a child that has called [`submit`] or will do so at once, and lets it run to its first call.
    pub(crate) fn start(&mut self, pid: Pid) -> Result<usize, String> {
        let pid = pid.as_raw_nonzero().get();
        let mut status = 0;
        // SAFETY: waitpid writes the status to a local.
        if unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) } != pid || !libc::WIFSTOPPED(status) {
            return Err(format!("the child did not stop to be traced (status {status:x})"));
        }
        let options = libc::PTRACE_O_TRACESYSGOOD
            | libc::PTRACE_O_TRACECLONE
            | libc::PTRACE_O_TRACEFORK
            | libc::PTRACE_O_TRACEVFORK
            | libc::PTRACE_O_TRACEEXEC
            | libc::PTRACE_O_EXITKILL;
        let tell = |error: io::Error| format!("ptrace is not permitted here: {error}");
        request(libc::PTRACE_SETOPTIONS, pid, options as usize).map_err(tell)?;
        let actor = self.roots.len();
        self.roots.push((pid, true));
        self.threads.insert(pid, Thread { actor, is_inside: false, has_begun: true });
        request(libc::PTRACE_SYSCALL, pid, 0).map_err(tell)?;
        Ok(actor)
    }

    /// Lets a stopped thread go on to its next call.
    pub(crate) fn resume(&self, tid: i32) {
        // It may have been killed meanwhile.
        let _ = request(libc::PTRACE_SYSCALL, tid, 0);
    }

    /// Kills a process that was started; its end is told as an event.
    pub(crate) fn kill(&self, actor: usize) {
        if let Some((pid, true)) = self.roots.get(actor) {
            // SAFETY: a signal to a process that we have started and not yet waited for.
            unsafe { libc::kill(*pid, libc::SIGKILL) };
        }
    }

    /// Whether a process that was started still runs.
    pub(crate) fn is_running(&self, actor: usize) -> bool {
        self.roots.get(actor).is_some_and(|root| root.1)
    }

    /// Processes that were started.
    pub(crate) fn len(&self) -> usize {
        self.roots.len()
    }

    /// Threads that have not ended, stopped ones included.
    pub(crate) fn running(&self) -> usize {
        self.threads.len()
    }

    /// Whether a thread has not ended.
    pub(crate) fn has(&self, tid: i32) -> bool {
        self.threads.contains_key(&tid)
    }

    /// Waits for what happens next.
    pub(crate) fn next(&mut self) -> Result<Event, String> {
        loop {
            match self.look(0)? {
                Event::Nothing => {}
                event => return Ok(event),
            }
        }
    }

    /// As [`Herd::next`], without waiting.
    pub(crate) fn poll(&mut self) -> Result<Event, String> {
        self.look(libc::WNOHANG)
    }

    fn look(&mut self, flags: i32) -> Result<Event, String> {
        loop {
            let mut status = 0;
            // SAFETY: waitpid writes the status to a local.
            let tid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | flags) };
            if tid == 0 {
                return Ok(Event::Nothing);
            }
            if tid < 0 {
                let error = io::Error::last_os_error();
                if error.raw_os_error() == Some(libc::EINTR) {
                    continue;
                }
                return Err(format!("waitpid: {error}"));
            }
            if let Some(event) = self.sort(tid, status) {
                return Ok(event);
            }
        }
    }

    /// What a wait status means; what is no stop at a call goes on at once.
    fn sort(&mut self, tid: i32, status: i32) -> Option<Event> {
        if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
            self.threads.remove(&tid);
            let actor = self.roots.iter().position(|root| *root == (tid, true))?;
            self.roots[actor].1 = false;
            return Some(Event::Ended { status });
        }
        let signal = libc::WSTOPSIG(status);
        let event = status >> 16;
        if event == libc::PTRACE_EVENT_CLONE
            || event == libc::PTRACE_EVENT_FORK
            || event == libc::PTRACE_EVENT_VFORK
        {
            let mut new = 0_u64;
            // SAFETY: GETEVENTMSG writes one long to a local that outlives the call.
            unsafe {
                libc::ptrace(
                    libc::PTRACE_GETEVENTMSG,
                    tid,
                    std::ptr::null_mut::<c_void>(),
                    (&raw mut new).cast::<c_void>(),
                );
            }
            let actor = self.threads.get(&tid).map_or(0, |thread| thread.actor);
            self.threads.insert(new as i32, Thread { actor, is_inside: false, has_begun: false });
            if let Some(at) = self.early.iter().position(|early| *early == new as i32) {
                self.early.swap_remove(at);
                self.begin(new as i32);
            }
            self.resume(tid);
            return None;
        }
        let Some(thread) = self.threads.get_mut(&tid) else {
            // A new thread, of which its parent has not told yet.
            self.early.push(tid);
            return None;
        };
        if !thread.has_begun {
            self.begin(tid);
            return None;
        }
        if signal == libc::SIGTRAP | 0x80 {
            thread.is_inside = !thread.is_inside;
            let (actor, is_entry) = (thread.actor, thread.is_inside);
            return Some(Event::Stop(Stop { tid, actor, call: call_of(tid), is_entry }));
        }
        if event == libc::PTRACE_EVENT_EXEC {
            // The stop after the exec call follows.
            self.resume(tid);
            return None;
        }
        // A signal of its own: it gets it, but not the trap of an event.
        let passed = if signal == libc::SIGTRAP { 0 } else { signal as usize };
        let _ = request(libc::PTRACE_SYSCALL, tid, passed);
        None
    }

    fn begin(&mut self, tid: i32) {
        if let Some(thread) = self.threads.get_mut(&tid) {
            thread.has_begun = true;
        }
        self.resume(tid);
    }

    /// Kills everything that still runs, and waits for it.
    pub(crate) fn end(&mut self) -> Result<(), String> {
        for tid in self.threads.keys() {
            // SAFETY: a signal to threads that we trace, descendants of our children included.
            unsafe { libc::kill(*tid, libc::SIGKILL) };
        }
        // Killed threads stop no more, but those that were about to.
        while self.roots.iter().any(|root| root.1) || !self.threads.is_empty() {
            match self.look(0) {
                Ok(Event::Stop(stop)) => self.resume(stop.tid),
                Ok(_) => {}
                // Nobody is left.
                Err(_) => break,
            }
        }
        self.threads.clear();
        self.roots.clear();
        self.early.clear();
        Ok(())
    }
}

impl Drop for Herd {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Number of the system call at which a thread has stopped.
fn call_of(tid: i32) -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: all-zero registers are a valid value.
        let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
        // SAFETY: GETREGS fills the registers, a local that outlives the call.
        let rc = unsafe {
            libc::ptrace(
                libc::PTRACE_GETREGS,
                tid,
                std::ptr::null_mut::<c_void>(),
                (&raw mut registers).cast::<c_void>(),
            )
        };
        if rc < 0 { u64::MAX } else { registers.orig_rax }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = tid;
        u64::MAX
    }
}
