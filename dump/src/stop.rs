//! Stopping all threads of a process, and letting them go.

use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitOptions, waitpid};

use crate::process::{explain, threads};
use crate::{DumpError, sys};

/// How long threads that wait inside the kernel are waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// `__WALL`: threads too.
const ALL: u32 = 0x4000_0000;

/// A process whose threads are stopped. Belongs to the thread that made it: the kernel takes tracing by thread, and if this
/// one ends, all go on.
pub(crate) struct Stopped {
    pub(crate) pid: u32,
    since: Instant,
    /// Number, and the signal that it was about to get.
    stopped: Vec<(u32, i32)>,
    /// Seized, and still running because they wait inside the kernel.
    running: Vec<u32>,
    is_over: bool,
}

/// Stops a process.
pub(crate) fn stop(pid: u32) -> Result<Stopped, DumpError> {
    let mut this =
        Stopped { pid, since: Instant::now(), stopped: Vec::new(), running: Vec::new(), is_over: false };
    let mut seen = HashSet::new();
    let mut first_error: Option<io::Error> = None;
    loop {
        // A thread that runs may make another one: until none is new.
        let new: Vec<u32> = threads(pid)
            .map_err(|_| DumpError::Gone { pid })?
            .into_iter()
            .filter(|tid| seen.insert(*tid))
            .collect();
        if new.is_empty() {
            break;
        }
        for tid in new {
            match sys::seize(tid).and_then(|()| sys::interrupt(tid)) {
                Ok(()) => this.running.push(tid),
                Err(e) => {
                    first_error.get_or_insert(e);
                }
            }
        }
        this.wait();
    }
    if !this.stopped.is_empty() {
        return Ok(this);
    }
    match first_error {
        _ if !this.running.is_empty() => Err(DumpError::NotStopped { pid }),
        Some(e) => Err(explain(pid, &e)),
        None => Err(DumpError::Gone { pid }),
    }
}

impl Stopped {
    /// Waits until those that were asked have stopped.
    fn wait(&mut self) {
        let until = Instant::now() + PATIENCE;
        while !self.running.is_empty() {
            let stopped = &mut self.stopped;
            self.running.retain(|tid| match state(*tid) {
                State::Running => true,
                State::Gone => false,
                State::Stopped(signal) => {
                    stopped.push((*tid, signal));
                    false
                }
            });
            if self.running.is_empty() || Instant::now() > until {
                return;
            }
            std::thread::sleep(Duration::from_micros(20));
        }
    }

    /// The threads that are stopped, the main one first.
    pub(crate) fn threads(&self) -> Vec<u32> {
        let mut all: Vec<u32> = self.stopped.iter().map(|(tid, _)| *tid).collect();
        all.sort_unstable_by_key(|tid| (*tid != self.pid, *tid));
        all
    }

    /// Lets it go on; how long it was stopped.
    pub(crate) fn resume(mut self) -> Duration {
        self.let_go();
        self.since.elapsed()
    }

    fn let_go(&mut self) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        for (tid, signal) in &self.stopped {
            // One that was killed meanwhile is gone.
            let _ = sys::detach(*tid, *signal);
        }
        for tid in &self.running {
            // It cannot be let go before it stops. When this thread ends, the kernel does it.
            if let State::Stopped(signal) = state(*tid) {
                let _ = sys::detach(*tid, signal);
            }
        }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.let_go();
    }
}

enum State {
    Running,
    Gone,
    Stopped(i32),
}

fn state(tid: u32) -> State {
    let Some(pid) = Pid::from_raw(tid.cast_signed()) else { return State::Gone };
    let options = WaitOptions::NOHANG | WaitOptions::from_bits_retain(ALL);
    match waitpid(Some(pid), options) {
        Ok(None) | Err(rustix::io::Errno::INTR) => State::Running,
        Err(_) => State::Gone,
        Ok(Some((_, status))) => match status.stopping_signal() {
            None => State::Gone,
            // An event of ptrace's, ours, is in the upper bits; anything else is a signal on its way to the thread.
            Some(_) if status.as_raw() >> 16 != 0 => State::Stopped(0),
            Some(signal) => State::Stopped(signal),
        },
    }
}
