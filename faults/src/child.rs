//! Child processes that are forked, not started: the supervisor has one thread, so that a child may do everything,
//! and a fork costs a tenth of a start.
#![allow(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, waitpid};

/// Exit code of a child that panicked.
const PANICKED: i32 = 101;

/// Forks a child that does `work` and then exits in order; it is told to die with its parent.
fn fork(work: impl FnOnce()) -> Result<Pid, String> {
    let parent = rustix::process::getpid();
    // SAFETY: the supervisor has one thread, so no lock is held by a thread that the child lacks. A victim that forks
    // has the engine's threads beside its own: that the engine copes with it is what is tested, and the C library's
    // allocator does.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(format!("fork: {}", std::io::Error::last_os_error()));
    }
    if let Some(pid) = Pid::from_raw(pid) {
        return Ok(pid);
    }
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let is_orphan = rustix::process::getppid() != Some(parent);
    if !is_orphan && catch_unwind(AssertUnwindSafe(work)).is_ok() {
        std::process::exit(0);
    }
    // Not `exit`: what the supervisor registered to be done at its end is not the child's.
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(PANICKED) }
}

/// A child that is killed and waited for at the latest when this is dropped.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    is_waited: bool,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By SIGKILL.
    Killed,
    /// By itself, with this code.
    Exit(i32),
    /// By another signal.
    Signal(i32),
}

impl End {
    fn of(status: WaitStatus) -> Option<Self> {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Some(Self::Exit(code)),
            (_, Some(libc::SIGKILL)) => Some(Self::Killed),
            (_, Some(signal)) => Some(Self::Signal(signal)),
            _ => None,
        }
    }

    /// As an error, unless it was killed or ended in order.
    pub(crate) fn check(self) -> Result<Self, String> {
        match self {
            Self::Killed | Self::Exit(0) => Ok(self),
            other => Err(format!("a child ended by itself: {other:?}")),
        }
    }
}

impl Child {
    /// Forks a child that does `work` and then exits in order. It dies with its parent.
    pub(crate) fn start(work: impl FnOnce()) -> Result<Self, String> {
        fork(work).map(|pid| Self { pid, is_waited: false })
    }

    /// Leaves the waiting to another.
    pub(crate) fn hand_over(mut self) -> Pid {
        self.is_waited = true;
        self.pid
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let _ = kill_process(self.pid, signal);
    }

    /// Kills it and waits until every thread of it is gone, which is when its locks are free.
    pub(crate) fn kill(self) -> Result<End, String> {
        self.signal(Signal::KILL);
        self.wait()
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Result<End, String> {
        loop {
            match waitpid(Some(self.pid), WaitOptions::empty()) {
                Ok(Some((_, status))) => {
                    if let Some(end) = End::of(status) {
                        self.is_waited = true;
                        return Ok(end);
                    }
                }
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(format!("waitpid: {error}")),
            }
        }
    }

    /// Whether it has ended, without waiting. It stays to be waited for.
    pub(crate) fn has_ended(&self) -> bool {
        let options = rustix::process::WaitIdOptions::EXITED
            | rustix::process::WaitIdOptions::NOHANG
            | rustix::process::WaitIdOptions::NOWAIT;
        matches!(rustix::process::waitid(rustix::process::WaitId::Pid(self.pid), options), Ok(Some(_)))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.is_waited {
            self.signal(Signal::KILL);
            let _ = waitpid(Some(self.pid), WaitOptions::empty());
        }
    }
}
