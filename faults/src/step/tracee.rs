//! The traced child: all its threads, attached, stopped and stepped.
#![allow(unsafe_code)]

use std::collections::{BTreeMap, HashMap};
use std::io;

use libc::{c_int, pid_t};

/// A mark of the child: `int3` with this in `rax`, the code in `rdi` and a number in `rsi`.
pub(super) const MARK: u64 = 0x7472_6163_6577_656c;

/// What a thread executes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// `int3`
    Break,
    /// `syscall`
    Call,
    /// What comes after one: the thread may be about to make the call again.
    AfterCall,
    /// Anything else.
    Other,
}

/// A thread as the tracer knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thread {
    /// Stopped; this signal is to be delivered when it goes on.
    Stopped(c_int),
    /// Stopped inside a call, which goes on, or begins again, with the next step.
    Midway,
    /// On its own: freely, or in a call of which it was stepped into.
    Away,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// One instruction is done.
    Done,
    /// It waits in the kernel.
    Blocked,
    /// It has ended.
    Gone,
}

/// All threads of the child, and of its children.
#[derive(Debug, Default)]
pub(super) struct Tracee {
    pub(super) threads: BTreeMap<pid_t, Thread>,
    /// What the instructions are, by address: code does not change.
    code: HashMap<u64, Next>,
    /// Some thread came out of a call since this was last taken.
    pub(super) came_back: bool,
    /// A process ended by a signal.
    pub(super) killed_by: Option<c_int>,
}

fn check(rc: libc::c_long) -> io::Result<libc::c_long> {
    if rc == -1 { Err(io::Error::last_os_error()) } else { Ok(rc) }
}

fn request(what: libc::c_uint, tid: pid_t, data: u64) -> io::Result<libc::c_long> {
    // SAFETY: these requests take no address of ours: data is a number (options, a signal), the address is unused.
    check(unsafe { libc::ptrace(what, tid, 0_usize, data as usize) })
}

impl Tracee {
    /// Attaches to a process with one thread.
    pub(super) fn seize(&mut self, pid: pid_t) -> io::Result<()> {
        let options = libc::PTRACE_O_TRACECLONE
            | libc::PTRACE_O_TRACEFORK
            | libc::PTRACE_O_TRACEVFORK
            | libc::PTRACE_O_EXITKILL;
        request(libc::PTRACE_SEIZE, pid, options as u64)?;
        self.threads.insert(pid, Thread::Away);
        Ok(())
    }

    /// The stopped threads.
    pub(super) fn stopped(&self) -> Vec<pid_t> {
        self.threads.iter().filter(|(_, t)| **t != Thread::Away).map(|(tid, _)| *tid).collect()
    }

    pub(super) fn is_stopped(&self, tid: pid_t) -> bool {
        self.threads.get(&tid).is_some_and(|t| *t != Thread::Away)
    }

    /// Takes note of one change of state of `which` (-1: of any); `None` if there is none now, or no child any more.
    pub(super) fn wait(&mut self, which: pid_t, is_patient: bool) -> io::Result<Option<pid_t>> {
        let mut status = 0;
        let flags = libc::__WALL | if is_patient { 0 } else { libc::WNOHANG };
        let tid = loop {
            // SAFETY: `status` is a c_int that lives through the call.
            let tid = unsafe { libc::waitpid(which, &raw mut status, flags) };
            if tid >= 0 {
                break tid;
            }
            match io::Error::last_os_error() {
                e if e.kind() == io::ErrorKind::Interrupted => {}
                e if e.raw_os_error() == Some(libc::ECHILD) => {
                    self.threads.clear();
                    return Ok(None);
                }
                e => return Err(e),
            }
        };
        if tid == 0 {
            return Ok(None);
        }
        if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
            if libc::WIFSIGNALED(status) {
                self.killed_by = Some(libc::WTERMSIG(status));
            }
            self.threads.remove(&tid);
            self.came_back = true;
            return Ok(Some(tid));
        }
        let (signal, event) = (libc::WSTOPSIG(status), status >> 16);
        match event {
            0 => {
                let deliver = if signal == libc::SIGTRAP { 0 } else { signal };
                self.threads.insert(tid, Thread::Stopped(deliver));
                self.came_back = true;
            }
            libc::PTRACE_EVENT_STOP => {
                self.threads.insert(tid, Thread::Midway);
            }
            // A clone or fork. The new thread tells of itself.
            _ => {
                self.threads.insert(tid, Thread::Midway);
                let mut born = 0_u64;
                // SAFETY: the request writes one unsigned long, to `born`.
                let asked = unsafe { libc::ptrace(libc::PTRACE_GETEVENTMSG, tid, 0_usize, &raw mut born) };
                check(asked)?;
                self.threads.entry(born as pid_t).or_insert(Thread::Away);
            }
        }
        Ok(Some(tid))
    }

    /// Lets a stopped thread go on.
    pub(super) fn go_on(&mut self, tid: pid_t) -> io::Result<()> {
        self.resume(libc::PTRACE_CONT, tid)
    }

    fn resume(&mut self, how: libc::c_uint, tid: pid_t) -> io::Result<()> {
        let signal = match self.threads.get(&tid) {
            Some(Thread::Stopped(signal)) => *signal,
            Some(Thread::Midway) => 0,
            _ => return Ok(()),
        };
        self.threads.insert(tid, Thread::Away);
        match request(how, tid, signal as u64) {
            // Killed meanwhile: `wait` will say so.
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Stops every thread that runs freely.
    pub(super) fn stop_all(&mut self) -> io::Result<()> {
        loop {
            let away: Vec<pid_t> =
                self.threads.iter().filter(|(_, t)| **t == Thread::Away).map(|(tid, _)| *tid).collect();
            if away.is_empty() {
                return Ok(());
            }
            for tid in away {
                // One that has ended, or is not there yet, is found by `wait`.
                let _ = request(libc::PTRACE_INTERRUPT, tid, 0);
                while self.threads.get(&tid) == Some(&Thread::Away) {
                    self.wait(-1, true)?;
                }
            }
        }
    }

    /// A register of a stopped thread.
    fn register(tid: pid_t, number: c_int) -> io::Result<u64> {
        // SAFETY: PEEKUSER takes an offset into the kernel's own structure and returns the word there. Its result may
        // be -1 in earnest: the error number decides.
        unsafe {
            *libc::__errno_location() = 0;
            let word = libc::ptrace(libc::PTRACE_PEEKUSER, tid, number as usize * 8, 0_usize);
            match *libc::__errno_location() {
                0 => Ok(word as u64),
                errno => Err(io::Error::from_raw_os_error(errno)),
            }
        }
    }

    /// Where a stopped thread is.
    pub(super) fn place(tid: pid_t) -> io::Result<u64> {
        Self::register(tid, libc::RIP)
    }

    fn bytes_at(tid: pid_t, address: u64) -> io::Result<[u8; 8]> {
        // SAFETY: as in `register`; the address is one of the tracee, checked by the kernel.
        unsafe {
            *libc::__errno_location() = 0;
            let word = libc::ptrace(libc::PTRACE_PEEKTEXT, tid, address as usize, 0_usize);
            match *libc::__errno_location() {
                0 => Ok(word.to_le_bytes()),
                errno => Err(io::Error::from_raw_os_error(errno)),
            }
        }
    }

    /// What a stopped thread executes next.
    pub(super) fn next(&mut self, tid: pid_t, place: u64) -> io::Result<Next> {
        if let Some(known) = self.code.get(&place) {
            return Ok(*known);
        }
        const CALL: [u8; 2] = [0x0f, 0x05];
        let next = match Self::bytes_at(tid, place)? {
            [0xcc, ..] => Next::Break,
            bytes if bytes.starts_with(&CALL) => Next::Call,
            _ if Self::bytes_at(tid, place.wrapping_sub(2)).is_ok_and(|b| b.starts_with(&CALL)) => {
                Next::AfterCall
            }
            _ => Next::Other,
        };
        self.code.insert(place, next);
        Ok(next)
    }

    /// Code and number of the mark at which a thread stands, or has just stopped.
    pub(super) fn mark(&mut self, tid: pid_t, is_after: bool) -> io::Result<Option<(u64, u64)>> {
        if Self::register(tid, libc::RAX)? != MARK {
            return Ok(None);
        }
        let place = Self::place(tid)?.wrapping_sub(is_after.into());
        if self.next(tid, place)? != Next::Break {
            return Ok(None);
        }
        Ok(Some((Self::register(tid, libc::RDI)?, Self::register(tid, libc::RSI)?)))
    }

    /// Moves a thread that stands at a mark behind it.
    pub(super) fn pass_mark(tid: pid_t) -> io::Result<()> {
        let place = Self::place(tid)?.wrapping_add(1);
        // SAFETY: POKEUSER writes the given word into the kernel's copy of the thread's registers.
        check(unsafe { libc::ptrace(libc::PTRACE_POKEUSER, tid, libc::RIP as usize * 8, place as usize) })?;
        Ok(())
    }

    /// Sends a signal to one thread; it is delivered with its next step.
    pub(super) fn signal(pid: pid_t, tid: pid_t, signal: c_int) -> io::Result<()> {
        // SAFETY: tgkill takes numbers only.
        check(unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, signal) }).map(drop)
    }

    /// Whether a call of a stopped thread was interrupted, so that the kernel begins it again, whatever instruction seems to
    /// be next. (A stop ends a call that waits, and a thread that was stepped into that call has a trap at its end.)
    fn begins_again(tid: pid_t) -> io::Result<bool> {
        // ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK: not for programs, so not in libc.
        let is_interrupted = matches!(Self::register(tid, libc::RAX)?.cast_signed(), -514..=-512 | -516);
        Ok(is_interrupted && Self::register(tid, libc::ORIG_RAX)?.cast_signed() >= 0)
    }

    /// Steps a stopped thread over one instruction.
    pub(super) fn step(&mut self, tid: pid_t, next: Next) -> io::Result<Step> {
        loop {
            let is_call = next == Next::Call
                || self.threads.get(&tid) == Some(&Thread::Midway)
                || next == Next::AfterCall && Self::begins_again(tid)?;
            self.resume(libc::PTRACE_SINGLESTEP, tid)?;
            if is_call {
                if !self.wait_for_call(tid)? {
                    return Ok(Step::Blocked);
                }
            } else {
                while self.threads.get(&tid) == Some(&Thread::Away) {
                    if self.wait(tid, true)?.is_none() {
                        break;
                    }
                }
            }
            match self.threads.get(&tid) {
                None => return Ok(Step::Gone),
                Some(Thread::Away) => return Ok(Step::Blocked),
                // The signal's handler begins with the next step.
                Some(Thread::Stopped(signal)) if *signal != 0 => {}
                Some(Thread::Midway) => {}
                Some(Thread::Stopped(_)) => return Ok(Step::Done),
            }
        }
    }

    /// Waits for a thread to come out of a call. False if it waits in it for something else.
    fn wait_for_call(&mut self, tid: pid_t) -> io::Result<bool> {
        let (mut looks, mut asleep) = (0_u32, 0_u32);
        while self.threads.get(&tid) == Some(&Thread::Away) {
            if self.wait(-1, false)?.is_some() {
                continue;
            }
            looks += 1;
            if looks < 20 {
                std::thread::yield_now();
                continue;
            }
            asleep = if is_asleep(tid) { asleep + 1 } else { 0 };
            if asleep >= 3 {
                return Ok(false);
            }
            std::thread::sleep(std::time::Duration::from_micros(30));
        }
        Ok(true)
    }
}

/// Whether a thread sleeps in the kernel.
fn is_asleep(tid: pid_t) -> bool {
    std::fs::read_to_string(format!("/proc/{tid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('S')))
}

/// The thread's name.
pub(super) fn name_of(tid: pid_t) -> String {
    std::fs::read_to_string(format!("/proc/{tid}/comm"))
        .map_or_else(|_| "gone".into(), |s| s.trim_end().to_owned())
}

/// The process that a thread belongs to.
pub(super) fn process_of(tid: pid_t) -> pid_t {
    let status = std::fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    line.and_then(|n| n.trim().parse().ok()).unwrap_or(tid)
}
