//! One path: its child, what it shares, and the windows in which it is stepped.

use std::collections::HashMap;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child as Process, Command};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use libc::pid_t;

use super::child::Mark;
use super::image::Image;
use super::judge::{Found, Judge};
use super::page::Oracle;
use super::tracee::{Next, Step, Tracee, name_of, process_of};

/// A thread that goes on for so many instructions without waiting lets others go on.
const TURN: u64 = 50_000;

/// Most time for one path: two million instructions, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(400);

/// What was done.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    pub(super) instructions: u64,
    /// After how many of them something shared was different.
    pub(super) changes: u64,
    /// Different images, each recovered once.
    pub(super) images: u64,
    /// Not stepped to its end.
    pub(super) is_cut: bool,
}

impl Told {
    pub(super) fn add(&mut self, other: &Self) {
        self.instructions += other.instructions;
        self.changes += other.changes;
        self.images += other.images;
    }
}

/// See the module's description.
pub(super) struct Walk {
    name: String,
    process: Process,
    tracee: Tracee,
    oracle: Arc<Oracle>,
    image: Image,
    judge: Judge,
    /// Images that were recovered, by their hash.
    known: HashMap<u64, Found>,
    /// What was found in the present one.
    found: Found,
    /// Emits begun and returned, in all, when the present image was judged.
    emits: (u64, u64),
    most: u64,
    told: Told,
    /// Dropped at the end of the walk.
    _watchdog: mpsc::Sender<()>,
}

/// Kills the child, which leads a process group, and what it forked.
fn kill_all(child: u32) {
    if let Some(group) = rustix::process::Pid::from_raw(child.cast_signed()) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

/// Kills the child if the walk is not over in time: every wait of the tracer ends then.
fn watch(child: u32) -> mpsc::Sender<()> {
    let (sender, end) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        if end.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            kill_all(child);
        }
    });
    sender
}

/// Signals that interrupt emits.
struct Signals {
    every: u64,
    /// Emits of lane 0 begun so far.
    seen: u64,
    /// Of this round: how many instructions after the beginning.
    delay: u64,
    /// Instructions left until the signal of this emit.
    left: Option<u64>,
}

impl Walk {
    /// Starts the child and attaches to it.
    pub(super) fn begin(name: &str, dir: &Path, most: Option<u64>) -> io::Result<Self> {
        let oracle = Arc::new(Oracle::open(&dir.join("oracle"), true)?);
        let image = Image::new(dir, &dir.join("image"))?;
        let judge = Judge::new();
        let process = Command::new(std::env::current_exe()?)
            .args(["step", "--child", name, "--dir"])
            .arg(dir)
            .process_group(0)
            .spawn()?;
        let watchdog = watch(process.id());
        let mut walk = Self {
            _watchdog: watchdog,
            name: name.to_owned(),
            process,
            tracee: Tracee::default(),
            oracle,
            image,
            judge,
            known: HashMap::new(),
            found: Found::default(),
            emits: (0, 0),
            most: most.unwrap_or(u64::MAX),
            told: Told::default(),
        };
        let pid = walk.process.id() as pid_t;
        if let Err(error) = walk.tracee.seize(pid) {
            let _ = walk.process.kill();
            let what = format!("the child cannot be traced ({error}): ptrace must be allowed here");
            return Err(io::Error::new(error.kind(), what));
        }
        walk.oracle.page().go.store(1, Ordering::Release);
        Ok(walk)
    }

    /// Ends the child, and its children, if they still live.
    pub(super) fn kill(&mut self) {
        if !self.tracee.threads.is_empty() {
            kill_all(self.process.id());
            while !self.tracee.threads.is_empty() && self.tracee.wait(-1, true).is_ok() {}
        }
    }

    pub(super) fn told(&self) -> Told {
        Told { images: self.judge.images, ..self.told.clone() }
    }

    /// To the end of the child, or until enough is stepped.
    pub(super) fn run(&mut self) -> Result<(), String> {
        let fail = |name: &str, error: io::Error| format!("{name}: tracing: {error}");
        while !self.tracee.threads.is_empty() {
            let Some(tid) = self.tracee.wait(-1, true).map_err(|e| fail(&self.name, e))? else { break };
            if !self.tracee.is_stopped(tid) {
                continue;
            }
            let mark = self.tracee.mark(tid, true).map_err(|e| fail(&self.name, e))?;
            if let Some((code, number)) = mark {
                self.windows(tid, Mark::of_code(code), number)?;
                if self.told.is_cut {
                    return self.end();
                }
            } else {
                self.tracee.go_on(tid).map_err(|e| fail(&self.name, e))?;
            }
        }
        self.end()
    }

    /// The child is at its end, or cut off: what is left of it is judged as it lies there, too.
    fn end(&mut self) -> Result<(), String> {
        let oracle = Arc::clone(&self.oracle);
        let page = oracle.page();
        if !self.told.is_cut && (page.done.load(Ordering::SeqCst) == 0 || self.tracee.killed_by.is_some()) {
            return Err(format!(
                "{}: the child did not come to its end (signal {:?})",
                self.name, self.tracee.killed_by
            ));
        }
        if self.told.instructions == 0 {
            return Err(format!("{}: nothing was stepped", self.name));
        }
        self.kill();
        let is_opted = page.opted.load(Ordering::SeqCst) != 0;
        let dir = self.image.trace().parent().and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
        for _ in 0..2 {
            let found = self.judge.recover(&dir.join("trace"), &dir.join("rings"), is_opted);
            Judge::judge(&found, page).map_err(|what| format!("{}, after its end: {what}", self.name))?;
        }
        Ok(())
    }

    /// From a mark to the next that lets all run freely.
    fn windows(&mut self, tid: pid_t, mut mark: Mark, mut number: u64) -> Result<(), String> {
        let name = self.name.clone();
        let fail = |error: io::Error| format!("{name}: tracing: {error}");
        while mark != Mark::Free {
            self.tracee.stop_all().map_err(fail)?;
            let next = if mark == Mark::Freeze {
                self.run_alone(tid).map_err(fail)?
            } else {
                self.step_window(tid, mark, number)?
            };
            let Some((next, with)) = next else { break };
            (mark, number) = (next, with);
        }
        if self.told.is_cut {
            return Ok(());
        }
        for tid in self.tracee.stopped() {
            self.tracee.go_on(tid).map_err(fail)?;
        }
        Ok(())
    }

    /// Lets one thread run to its next mark; all others stand still. `None` if it ends before.
    fn run_alone(&mut self, tid: pid_t) -> io::Result<Option<(Mark, u64)>> {
        while self.tracee.threads.contains_key(&tid) {
            self.tracee.go_on(tid)?;
            while self.tracee.threads.contains_key(&tid) && !self.tracee.is_stopped(tid) {
                self.tracee.wait(tid, true)?;
            }
            if self.tracee.is_stopped(tid)
                && let Some((code, number)) = self.tracee.mark(tid, true)?
            {
                return Ok(Some((Mark::of_code(code), number)));
            }
        }
        Ok(None)
    }

    /// Steps until the thread comes to its next mark, or ends; where all are stepped, until any thread comes to one.
    fn step_window(&mut self, main: pid_t, mark: Mark, every: u64) -> Result<Option<(Mark, u64)>, String> {
        let name = self.name.clone();
        let fail = |error: io::Error| format!("{name}: tracing: {error}");
        let oracle = Arc::clone(&self.oracle);
        let page = oracle.page();
        let mut signals = (mark == Mark::Signals).then(|| {
            page.more.store(1, Ordering::SeqCst);
            let seen = page.lanes[0].begun.load(Ordering::SeqCst);
            Signals { every, seen, delay: 0, left: None }
        });
        let process = process_of(main);
        let changed = self.image.rescan().map_err(fail)?;
        self.look(changed, main, 0)?;
        let (mut tid, mut turn) = (main, 0_u64);
        let mut calls = false;
        loop {
            let is_over = mark != Mark::StepAll && !self.tracee.threads.contains_key(&main);
            if is_over || self.tracee.threads.is_empty() {
                return Ok(None);
            }
            // Who else came out of a call?
            if calls {
                while self.tracee.wait(-1, false).map_err(fail)?.is_some() {}
            }
            let is_selfish = mark != Mark::StepAll;
            if is_selfish && self.tracee.is_stopped(main) {
                tid = main;
            } else if !self.tracee.is_stopped(tid) || turn >= TURN {
                turn = 0;
                let stopped = self.tracee.stopped();
                let after = stopped.iter().find(|t| **t > tid).or(stopped.first());
                match after {
                    Some(next) => tid = *next,
                    None => {
                        self.tracee.wait(-1, true).map_err(fail)?;
                        continue;
                    }
                }
            }
            let place = Tracee::place(tid).map_err(fail)?;
            let next = self.tracee.next(tid, place).map_err(fail)?;
            if next == Next::Break {
                let Some((code, number)) = self.tracee.mark(tid, false).map_err(fail)? else {
                    return Err(format!("{}: a breakpoint that is no mark at {place:#x}", self.name));
                };
                Tracee::pass_mark(tid).map_err(fail)?;
                if tid == main || mark == Mark::StepAll {
                    return Ok(Some((Mark::of_code(code), number)));
                }
                continue;
            }
            if let Some(signals) = &mut signals
                && tid == main
                && self.must_signal(signals)
            {
                Tracee::signal(process, main, libc::SIGUSR1).map_err(fail)?;
            }
            self.tracee.came_back = false;
            let step = self.tracee.step(tid, next).map_err(fail)?;
            self.told.instructions += 1;
            turn += 1;
            let is_call = matches!(next, Next::Call | Next::AfterCall) || step != Step::Done;
            // A thread that waits may come out of its call at any time; it does nothing before it is stepped.
            calls = is_call || calls && self.tracee.stopped().len() < self.tracee.threads.len();
            let changed = if is_call { self.image.rescan() } else { self.image.compare() }.map_err(fail)?;
            self.look(changed, tid, place)?;
            if self.told.instructions >= self.most {
                self.told.is_cut = true;
                return Ok(None);
            }
        }
    }

    /// Whether a signal is to come before the next instruction; tells the child when no emit is longer any more.
    fn must_signal(&self, signals: &mut Signals) -> bool {
        let oracle = Arc::clone(&self.oracle);
        let page = oracle.page();
        let lane = &page.lanes[0];
        let (begun, acked) = (lane.begun.load(Ordering::SeqCst), lane.acked.load(Ordering::SeqCst));
        if begun != signals.seen {
            signals.seen = begun;
            signals.left = Some(signals.delay);
            signals.delay += signals.every;
        }
        match signals.left {
            Some(_) if acked == begun => {
                signals.left = None;
                page.more.store(0, Ordering::SeqCst);
                false
            }
            Some(0) => {
                signals.left = None;
                true
            }
            Some(left) => {
                signals.left = Some(left - 1);
                false
            }
            None => false,
        }
    }

    /// Judges the present image, if it or the oracle's say has changed.
    fn look(&mut self, changed: bool, tid: pid_t, place: u64) -> Result<(), String> {
        let oracle = Arc::clone(&self.oracle);
        let page = oracle.page();
        let sum = |of: fn(&super::page::Lane) -> u64| page.lanes.iter().map(of).sum::<u64>();
        let emits = (sum(|l| l.begun.load(Ordering::SeqCst)), sum(|l| l.acked.load(Ordering::SeqCst)));
        if !changed && emits == self.emits {
            return Ok(());
        }
        self.emits = emits;
        if changed {
            self.told.changes += 1;
            let is_opted = page.opted.load(Ordering::SeqCst) != 0;
            self.found = match self.known.get(&self.image.hash) {
                Some(known) => known.clone(),
                None => {
                    let found = self.judge.recover(&self.image.trace(), &self.image.rings(), is_opted);
                    self.known.insert(self.image.hash, found.clone());
                    found
                }
            };
        }
        Judge::judge(&self.found, page).map_err(|what| {
            format!(
                "{}: after instruction {} of thread {:?}, at {}: {what}",
                self.name,
                self.told.instructions,
                name_of(tid),
                place_in_file(tid, place),
            )
        })
    }
}

/// An address as offset in its file, for a disassembler.
fn place_in_file(tid: pid_t, place: u64) -> String {
    let maps = std::fs::read_to_string(format!("/proc/{tid}/maps")).unwrap_or_default();
    let mut first: Option<(&str, u64)> = None;
    for line in maps.lines() {
        let file = line.split_whitespace().nth(5).unwrap_or_default();
        let Some((from, to)) = line.split_whitespace().next().and_then(|range| range.split_once('-')) else {
            continue;
        };
        let number = |text| u64::from_str_radix(text, 16).unwrap_or(0);
        if first.is_none_or(|(name, _)| name != file) {
            first = Some((file, number(from)));
        }
        if (number(from)..number(to)).contains(&place)
            && let Some((file, base)) = first
        {
            return format!("{:#x} in {file}", place - base);
        }
    }
    format!("{place:#x}")
}
