//! The child's side: marks for the tracer, and emits that the oracle knows of.
#![allow(unsafe_code)]

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::time::Duration;

use tracewell::control::{Control, EnableRequest};
use tracewell::dirs::Dirs;
use tracewell::{Builder, Tracer, emit};

use super::events::{
    Bulk, Chosen, Cut, Fixed, Optional, PASSWORD, Reduced, Shy, Worded, address, host, lengths, long_text,
    mixed, words,
};
use super::page::{Expect, Oracle, Page};
use super::tracee::MARK;

/// What a mark asks of the tracer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(super) enum Mark {
    /// All threads run freely.
    Free = 0,
    /// The other threads stand still; this one runs freely.
    Freeze = 1,
    /// This thread is stepped; others only while it waits for them.
    StepThis = 2,
    /// Every thread is stepped, one at a time.
    StepAll = 3,
    /// As `StepThis`; each emit of lane 0 is interrupted by a signal, one instruction (or as many as the mark's number)
    /// later than the one before.
    Signals = 4,
}

impl Mark {
    pub(super) fn of_code(code: u64) -> Self {
        match code {
            1 => Self::Freeze,
            2 => Self::StepThis,
            3 => Self::StepAll,
            4 => Self::Signals,
            _ => Self::Free,
        }
    }
}

/// In a `StepThis`: what is to be emitted is made ready outside of it.
static STEPS_EMITS: AtomicBool = AtomicBool::new(false);

/// Steps this thread through `work`; see [`Mark::StepThis`]. What makes the texts of events is left out.
pub(super) fn stepped(work: impl FnOnce()) {
    STEPS_EMITS.store(true, Ordering::SeqCst);
    mark(Mark::StepThis, 0);
    work();
    mark(Mark::Free, 0);
    STEPS_EMITS.store(false, Ordering::SeqCst);
}

fn step_on(on: Mark) {
    if STEPS_EMITS.load(Ordering::SeqCst) {
        mark(on, 0);
    }
}

/// Tells the tracer.
#[inline(never)]
pub(super) fn mark(mark: Mark, number: u64) {
    // SAFETY: a breakpoint trap, which the tracer takes; it changes no register and no memory. (Without a tracer the
    // process ends by SIGTRAP.)
    unsafe { std::arch::asm!("int3", in("rax") MARK, in("rdi") mark as u64, in("rsi") number) };
}

/// What a path works with.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) oracle: &'static Oracle,
    pub(super) dirs: Dirs,
}

/// For the signal handler: what it emits with.
static IN_HANDLER: AtomicPtr<Lane> = AtomicPtr::new(std::ptr::null_mut());

/// A lane to emit in: one thread at a time.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub(super) tracer: Tracer,
    oracle: &'static Oracle,
    pub(super) lane: usize,
}

impl Child {
    pub(super) fn new(dir: &Path) -> Result<Self, String> {
        let oracle = Oracle::open(&dir.join("oracle"), false).map_err(|e| format!("oracle: {e}"))?;
        let dirs = Dirs::resolve(Some(&dir.join("trace"))).map_err(|e| e.to_string())?;
        let dirs = dirs.with_ring_root(dir.join("rings"));
        Ok(Self { oracle: Box::leak(Box::new(oracle)), dirs })
    }

    pub(super) fn page(&self) -> &'static Page {
        self.oracle.page()
    }

    /// A builder with the smallest rings, whose drain takes only what it must.
    pub(super) fn builder(&self) -> Builder {
        Tracer::builder("step")
            .dir(self.dirs.base())
            .ring_dir(self.dirs.ring_root())
            .ring_size(64 * 1024)
            .linger(Duration::from_secs(3600))
    }

    /// Enables everything, and this.
    pub(super) fn enable(&self, request: EnableRequest) {
        let request = EnableRequest { levels: [5; 32], ..request };
        self.control().enable(&self.dirs, &request).expect("enabled");
    }

    pub(super) fn control(&self) -> Control {
        Control::open_or_create(&self.dirs).expect("the control page")
    }

    /// Tracing is on; a tracer for lane 0.
    pub(super) fn ready(&self) -> Lane {
        self.ready_with(EnableRequest::default(), self.builder())
    }

    pub(super) fn ready_with(&self, request: EnableRequest, builder: Builder) -> Lane {
        self.enable(request);
        self.lane(&builder.attach().expect("attached"), 0)
    }

    pub(super) fn lane(&self, tracer: &Tracer, lane: usize) -> Lane {
        Lane { tracer: tracer.clone(), oracle: self.oracle, lane }
    }
}

impl Lane {
    /// Another lane of the same tracer.
    pub(super) fn other(&self, lane: usize) -> Self {
        Self { lane, ..self.clone() }
    }

    /// The next emit's number; what comes before [`Lane::put`] is not stepped.
    fn number(&self) -> u64 {
        step_on(Mark::Freeze);
        self.oracle.page().lanes[self.lane].begun.load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn put(&self, expect: Expect, emit: impl FnOnce()) {
        let lane = &self.oracle.page().lanes[self.lane];
        step_on(Mark::StepThis);
        lane.begin(expect);
        std::sync::atomic::fence(Ordering::SeqCst);
        emit();
        std::sync::atomic::fence(Ordering::SeqCst);
        lane.end();
    }

    pub(super) fn fixed(&self, expect: Expect) {
        let number = self.number();
        let event = Fixed {
            lane: self.lane as u32,
            number,
            mixed: mixed(number),
            minus: -(number as i32),
            is_odd: number % 2 == 1,
            half: number as f64 / 2.0,
        };
        self.put(expect, || emit!(self.tracer, event));
    }

    pub(super) fn worded(&self, expect: Expect) {
        let number = self.number();
        let (first, second) = lengths(number);
        let (first, second) = (words(number, first), words(number + 1, second));
        let (lane, first, second) = (self.lane as u32, first.as_str(), second.as_str());
        self.put(expect, || emit!(self.tracer, Worded { lane, number, first, second }));
    }

    pub(super) fn bulk(&self, len: usize, expect: Expect) {
        let number = self.number();
        let text = words(number, len);
        let (lane, len, text) = (self.lane as u32, len as u32, text.as_str());
        self.put(expect, || emit!(self.tracer, Bulk { lane, number, len, text }));
    }

    pub(super) fn cut(&self, expect: Expect) {
        let number = self.number();
        let text = long_text(number);
        let (lane, text) = (self.lane as u32, text.as_str());
        self.put(expect, || emit!(self.tracer, Cut { lane, number, text }));
    }

    pub(super) fn reduced(&self, expect: Expect) {
        let number = self.number();
        let url = format!("https://user@{}:8080/a?b", host(number));
        let (lane, url, from) = (self.lane as u32, url.as_str(), address(number));
        self.put(expect, || emit!(self.tracer, Reduced { lane, number, from, url, password: PASSWORD }));
    }

    pub(super) fn chosen(&self, expect: Expect) {
        let number = self.number();
        let text = words(number, 50);
        let (lane, text) = (self.lane as u32, text.as_str());
        self.put(expect, || emit!(self.tracer, Chosen { lane, number, text }));
    }

    pub(super) fn optional(&self, expect: Expect) {
        let number = self.number();
        let text = words(number, 12);
        let (lane, extra) = (self.lane as u32, Some(text.as_str()));
        self.put(expect, || emit!(self.tracer, Optional { lane, number, extra }));
    }

    pub(super) fn shy(&self, expect: Expect) {
        let number = self.number();
        let (lane, mixed) = (self.lane as u32, mixed(number));
        self.put(expect, || emit!(self.tracer, Shy { lane, number, mixed }));
    }

    /// From now on SIGUSR1 emits in this lane.
    pub(super) fn emit_in_handler(self) {
        extern "C" fn handler(_: libc::c_int) {
            let lane = IN_HANDLER.load(Ordering::Acquire);
            // SAFETY: null, or a leaked box (below).
            if let Some(lane) = unsafe { lane.as_ref() } {
                lane.fixed(Expect::Any);
            }
        }
        IN_HANDLER.store(Box::into_raw(Box::new(self)), Ordering::Release);
        // SAFETY: an all-zero action is valid; the handler emits, which the engine allows in handlers, and works with
        // atomics; it is installed for a signal that only the tracer sends.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as extern "C" fn(libc::c_int) as usize;
            libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut());
        }
    }
}

/// Forks; the child runs `work` and ends without any clean-up.
pub(super) fn fork(work: impl FnOnce()) -> libc::pid_t {
    // SAFETY: the child goes on with what the engine allows after a fork, and leaves by `_exit`.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        work();
        // SAFETY: ends the process; nothing is touched.
        unsafe { libc::_exit(0) };
    }
    pid
}

/// Waits for a child.
pub(super) fn join(pid: libc::pid_t) {
    let mut status = 0;
    // SAFETY: `status` lives through the call.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
}
