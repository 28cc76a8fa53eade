//! The paths: what a child does before, between and after its marks.

use std::time::{Duration, Instant};

use tracewell::control::EnableRequest;
use tracewell::{Clock, WhenFull};
use tracewell_schema::format::record::HEADER_LEN;
use tracewell_schema::{Event, Reduction};

use super::child::{Child, Lane, Mark, fork, join, mark, stepped};
use super::events::{Bulk, CHOSEN_FIELD, OPTIONAL_FIELD, SHY};
use super::page::Expect::{Any, Delivered, Full, Nothing, TooBig};

/// A path by name.
pub(super) struct Path {
    pub(super) name: &'static str,
    pub(super) run: fn(&Child),
}

macro_rules! paths {
    ($($name:literal => $run:expr),* $(,)?) => {
        /// All of them.
        pub(super) const PATHS: &[Path] = &[$(Path { name: $name, run: $run }),*];
    };
}

/// Length of the text of a [`Bulk`] whose record has this length.
const fn text_of(record: usize) -> usize {
    record - HEADER_LEN - <Bulk<'_> as Event>::FIXED_LEN
}

/// A text whose record takes 4 KiB in the ring.
const BIG: usize = text_of(4096);

fn frozen(work: impl FnOnce()) {
    mark(Mark::Freeze, 0);
    work();
}

fn stepped_all(work: impl FnOnce()) {
    mark(Mark::StepAll, 0);
    work();
    mark(Mark::Free, 0);
}

/// A thread of its own, to its end.
fn thread(work: impl FnOnce() + Send + 'static) {
    std::thread::spawn(work).join().expect("a thread");
}

fn flush(lane: &Lane) {
    while lane.tracer.flush().is_err() {}
}

fn wait_until(mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(120), "it does not come to that");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Fills the ring of this thread to the last 4 KiB, while the drain stands still.
fn fill(lane: &Lane) {
    for _ in 0..15 {
        lane.bulk(BIG, Delivered);
    }
}

fn options(request: EnableRequest) -> impl Fn(&Child) -> Lane {
    move |child| child.ready_with(request.clone(), child.builder())
}

fn opted() -> EnableRequest {
    EnableRequest { opt_in: vec![SHY.into(), OPTIONAL_FIELD.into()], ..EnableRequest::default() }
}

fn ring_files(child: &Child) -> usize {
    let folders = std::fs::read_dir(child.dirs.ring_root()).into_iter().flatten().flatten();
    folders.map(|f| std::fs::read_dir(f.path()).map_or(0, Iterator::count)).sum()
}

fn segments(child: &Child, end: &str) -> usize {
    let sessions = std::fs::read_dir(child.dirs.sessions()).into_iter().flatten().flatten();
    let files = sessions.flat_map(|s| std::fs::read_dir(s.path()).into_iter().flatten().flatten());
    files.filter(|f| f.file_name().to_string_lossy().ends_with(end)).count()
}

/// Length of the segment that is written to.
fn open_bytes(child: &Child) -> u64 {
    let sessions = std::fs::read_dir(child.dirs.sessions()).into_iter().flatten().flatten();
    let files = sessions.flat_map(|s| std::fs::read_dir(s.path()).into_iter().flatten().flatten());
    let open = files.filter(|f| f.file_name().to_string_lossy().ends_with("open"));
    open.map(|f| f.metadata().map_or(0, |m| m.len())).sum()
}

/// Which file is the first session's segment.
fn sealed_inode(child: &Child) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let sessions = std::fs::read_dir(child.dirs.sessions()).into_iter().flatten().flatten();
    let mut files = sessions.flat_map(|s| std::fs::read_dir(s.path()).into_iter().flatten().flatten());
    let sealed = files.find(|f| f.file_name().to_string_lossy().ends_with("seg"));
    sealed.map_or(0, |f| f.metadata().map_or(0, |m| m.ino()))
}

paths! {
    "emit-fixed" => |child| {
        let lane = child.ready();
        lane.fixed(Delivered);
        stepped(|| (0..4).for_each(|_| lane.fixed(Delivered)));
    },
    "emit-strings" => |child| {
        let lane = child.ready();
        lane.worded(Delivered);
        stepped(|| (0..10).for_each(|_| lane.worded(Delivered)));
    },
    "emit-large" => |child| {
        let lane = child.ready();
        lane.bulk(10, Delivered);
        stepped(|| [700, 5000].into_iter().for_each(|len| lane.bulk(len, Delivered)));
    },
    "emit-cut" => |child| {
        let lane = child.ready();
        lane.cut(Delivered);
        stepped(|| (0..4).for_each(|_| lane.cut(Delivered)));
    },
    "emit-reduced" => |child| {
        let lane = child.ready();
        lane.reduced(Delivered);
        stepped(|| (0..2).for_each(|_| lane.reduced(Delivered)));
    },
    "emit-reduced-by-the-user" => |child| {
        let reduce = vec![(CHOSEN_FIELD.into(), Reduction::Prefix { n: 5, m: 0 })];
        let lane = options(EnableRequest { reduce, ..EnableRequest::default() })(child);
        lane.chosen(Delivered);
        stepped(|| (0..3).for_each(|_| lane.chosen(Delivered)));
    },
    "emit-opt-in" => |child| {
        child.page().opted.store(1, std::sync::atomic::Ordering::SeqCst);
        let lane = options(opted())(child);
        lane.shy(Delivered);
        lane.optional(Delivered);
        stepped(|| {
            lane.shy(Delivered);
            lane.optional(Delivered);
        });
    },
    "emit-opt-in-off" => |child| {
        let lane = child.ready();
        lane.optional(Delivered);
        stepped(|| {
            lane.shy(Nothing);
            lane.optional(Delivered);
        });
    },
    "emit-coarse" => |child| {
        let lane = child.ready_with(EnableRequest::default(), child.builder().clock(Clock::Coarse));
        lane.fixed(Delivered);
        stepped(|| (0..3).for_each(|_| lane.worded(Delivered)));
    },
    "emit-two-tracers" => |child| {
        let one = child.ready();
        let two = child.lane(&child.builder().attach().expect("attached"), 1);
        one.fixed(Delivered);
        two.fixed(Delivered);
        stepped(|| (0..2).for_each(|_| {
            one.fixed(Delivered);
            two.worded(Delivered);
        }));
    },
    "emit-off" => |child| {
        let lane = child.ready();
        lane.fixed(Delivered);
        frozen(|| child.control().disable().expect("off"));
        stepped(|| (0..3).for_each(|_| lane.fixed(Nothing)));
    },
    "emit-in-a-signal-scope" => |child| {
        let lane = child.ready();
        lane.fixed(Delivered);
        stepped(|| {
            let scope = tracewell::signal_scope();
            lane.fixed(Any);
            drop(scope);
            lane.fixed(Delivered);
        });
    },
    "emit-in-a-handler" => |child| {
        let lane = child.ready_with(EnableRequest::default(), child.builder().ring_size(128 * 1024));
        lane.fixed(Delivered);
        lane.other(1).fixed(Delivered);
        lane.other(1).emit_in_handler();
        mark(Mark::Signals, if cfg!(debug_assertions) { 13 } else { 1 });
        while child.page().more.load(std::sync::atomic::Ordering::SeqCst) != 0 {
            lane.worded(Delivered);
        }
        mark(Mark::Free, 0);
    },
    "first-of-type" => |child| {
        let lane = child.ready();
        lane.fixed(Delivered);
        stepped(|| lane.worded(Delivered));
    },
    "first-of-type-reduced" => |child| {
        let lane = child.ready();
        lane.fixed(Delivered);
        stepped(|| lane.reduced(Delivered));
    },
    "first-of-thread" => |child| {
        let lane = child.ready();
        lane.fixed(Delivered);
        thread(move || stepped(|| lane.other(1).fixed(Delivered)));
    },
    "first-of-thread-in-a-handler" => |child| {
        let lane = child.ready();
        lane.fixed(Delivered);
        lane.other(1).emit_in_handler();
        thread(move || {
            mark(Mark::Signals, if cfg!(debug_assertions) { 4001 } else { 307 });
            lane.fixed(Delivered);
            mark(Mark::Free, 0);
        });
    },
    "first-of-session" => |child| {
        let lane = child.ready();
        stepped(|| lane.fixed(Delivered));
        lane.fixed(Delivered);
    },
    "wrap-with-pad" => |child| {
        let lane = child.ready();
        frozen(|| fill(&lane));
        mark(Mark::Free, 0);
        flush(&lane);
        frozen(|| lane.bulk(text_of(4096 - 128), Delivered));
        stepped(|| (0..3).for_each(|_| lane.bulk(100, Delivered)));
    },
    "wrap-exactly" => |child| {
        let lane = child.ready();
        frozen(|| fill(&lane));
        mark(Mark::Free, 0);
        flush(&lane);
        frozen(|| lane.bulk(text_of(4096 - 256), Delivered));
        stepped(|| (0..3).for_each(|_| lane.bulk(text_of(128), Delivered)));
    },
    "half-full" => |child| {
        let lane = child.ready();
        frozen(|| {
            (0..7).for_each(|_| lane.bulk(BIG, Delivered));
            lane.bulk(text_of(4096 - 256), Delivered);
        });
        stepped(|| (0..4).for_each(|_| lane.bulk(text_of(120), Delivered)));
    },
    "full" => |child| {
        let lane = child.ready();
        frozen(|| {
            fill(&lane);
            lane.bulk(text_of(4096 - 256), Delivered);
        });
        stepped(|| {
            (0..2).for_each(|_| lane.bulk(text_of(128), Delivered));
            (0..3).for_each(|_| lane.bulk(text_of(128), Full));
        });
    },
    "loss-record" => |child| {
        let lane = child.ready();
        frozen(|| {
            fill(&lane);
            lane.bulk(BIG, Delivered);
            (0..3).for_each(|_| lane.bulk(BIG, Full));
        });
        mark(Mark::Free, 0);
        flush(&lane);
        stepped(|| {
            lane.worded(Delivered);
            lane.worded(Delivered);
        });
    },
    "loss-record-and-pad" => |child| {
        let lane = child.ready();
        frozen(|| {
            fill(&lane);
            lane.bulk(text_of(4096 - 256), Delivered);
            lane.bulk(BIG, Full);
        });
        mark(Mark::Free, 0);
        flush(&lane);
        stepped(|| {
            lane.bulk(600, Delivered);
            lane.worded(Delivered);
        });
    },
    "too-big" => |child| {
        let lane = child.ready();
        lane.bulk(10, Delivered);
        stepped(|| {
            lane.bulk(32_767, TooBig);
            lane.fixed(Delivered);
        });
    },
    "growth" => |child| {
        let lane = child.ready_with(EnableRequest::default(), child.builder().ring_size(512 * 1024));
        lane.fixed(Delivered);
        frozen(|| (0..21).for_each(|_| lane.bulk(3 * BIG, Delivered)));
        stepped(|| (0..2).for_each(|_| lane.bulk(500, Delivered)));
    },
    "growth-by-the-drain" => |child| {
        let lane = child.ready_with(EnableRequest::default(), child.builder().ring_size(512 * 1024));
        lane.fixed(Delivered);
        frozen(|| (0..12).for_each(|_| lane.bulk(3 * BIG, Delivered)));
        stepped_all(|| flush(&lane));
    },
    "wait" => |child| {
        let builder = child.builder().when_full(WhenFull::Wait(Duration::from_secs(60)));
        let lane = child.ready_with(EnableRequest::default(), builder);
        frozen(|| {
            fill(&lane);
            lane.bulk(text_of(4096 - 256), Delivered);
        });
        stepped_all(|| (0..3).for_each(|_| lane.bulk(text_of(128), Delivered)));
    },
    "thread-exit" => |child| {
        let lane = child.ready();
        lane.fixed(Delivered);
        thread(move || {
            lane.other(1).fixed(Delivered);
            mark(Mark::StepThis, 0);
        });
    },
    "thread-exit-and-drain" => |child| {
        let lane = child.ready();
        lane.fixed(Delivered);
        let own = lane.other(1);
        thread(move || {
            own.worded(Delivered);
            mark(Mark::Freeze, 0);
            mark(Mark::StepAll, 0);
        });
        flush(&lane);
        mark(Mark::Free, 0);
    },
    "ring-reuse" => |child| {
        let lane = child.ready();
        lane.fixed(Delivered);
        for number in 1..4 {
            let own = lane.other(number);
            if number == 3 {
                flush(&lane);
                flush(&lane);
            }
            let files = ring_files(child);
            let is_last = number == 3;
            thread(move || {
                if is_last {
                    stepped(|| own.worded(Delivered));
                }
                own.worded(Delivered);
            });
            assert!(!is_last || ring_files(child) == files, "a new ring was made");
        }
    },
    "drain-of-two-threads" => |child| {
        let lane = child.ready();
        lane.fixed(Delivered);
        let own = lane.other(1);
        let (told, wait) = std::sync::mpsc::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || {
            (0..3).for_each(|_| own.worded(Delivered));
            let _ = ready.send(());
            let _ = wait.recv();
        });
        let _ = is_ready.recv();
        (0..3).for_each(|_| lane.worded(Delivered));
        stepped_all(|| flush(&lane));
        drop(told);
        let _ = other.join();
    },
    "drain-over-the-end-of-a-lap" => |child| {
        let lane = child.ready();
        frozen(|| fill(&lane));
        mark(Mark::Free, 0);
        flush(&lane);
        frozen(|| (0..3).for_each(|_| lane.bulk(2000, Delivered)));
        stepped_all(|| flush(&lane));
    },
    "flush" => |child| {
        let lane = child.ready();
        (0..5).for_each(|_| lane.worded(Delivered));
        stepped_all(|| flush(&lane));
        lane.fixed(Delivered);
        stepped_all(|| flush(&lane));
    },
    "flush-of-losses" => |child| {
        let lane = child.ready();
        frozen(|| {
            fill(&lane);
            lane.bulk(BIG, Delivered);
            lane.bulk(BIG, Full);
        });
        stepped_all(|| {
            flush(&lane);
            lane.fixed(Delivered);
            flush(&lane);
        });
    },
    "rotation" => |child| {
        let lane = options(EnableRequest { segment_bytes: 64 * 1024, ..EnableRequest::default() })(child);
        while open_bytes(child) < 50 * 1024 {
            (0..5).for_each(|_| lane.bulk(BIG, Delivered));
            flush(&lane);
        }
        // What does not fit: the next block begins another segment.
        frozen(|| (0..9).for_each(|_| lane.bulk(BIG, Delivered)));
        stepped_all(|| {
            flush(&lane);
            lane.fixed(Delivered);
            flush(&lane);
        });
        assert!(segments(child, "seg") >= 1, "nothing was sealed");
    },
    "seal-by-age" => |child| {
        let age = Duration::from_secs(1);
        let lane = options(EnableRequest { segment_age: age, ..EnableRequest::default() })(child);
        lane.worded(Delivered);
        flush(&lane);
        stepped_all(|| wait_until(|| segments(child, "seg") == 1));
        lane.worded(Delivered);
    },
    "close" => |child| {
        let lane = child.ready();
        (0..3).for_each(|_| lane.worded(Delivered));
        stepped_all(|| {
            // Returns after ten seconds, which are over before the end where each instruction is a stop.
            lane.tracer.shutdown();
            wait_until(|| ring_files(child) == 0);
        });
    },
    "close-after-flush" => |child| {
        let lane = child.ready();
        (0..3).for_each(|_| lane.worded(Delivered));
        flush(&lane);
        lane.worded(Delivered);
        stepped_all(|| {
            drop(lane);
            wait_until(|| ring_files(child) == 0);
        });
    },
    "exit" => |child| {
        let lane = child.ready();
        (0..3).for_each(|_| lane.worded(Delivered));
        child.page().done.store(1, std::sync::atomic::Ordering::SeqCst);
        mark(Mark::StepAll, 0);
        std::process::exit(0);
    },
    "attach" => |child| {
        mark(Mark::StepThis, 0);
        let tracer = child.builder().attach().expect("attached");
        mark(Mark::Free, 0);
        child.lane(&tracer, 0).fixed(Nothing);
    },
    "attach-beside-another" => |child| {
        let lane = child.ready();
        lane.fixed(Delivered);
        mark(Mark::StepThis, 0);
        let tracer = child.builder().attach().expect("attached");
        mark(Mark::Free, 0);
        child.lane(&tracer, 1).fixed(Delivered);
    },
    "enable" => |child| {
        let lane = child.lane(&child.builder().attach().expect("attached"), 0);
        lane.fixed(Nothing);
        stepped(|| child.enable(EnableRequest::default()));
        lane.fixed(Delivered);
    },
    "enable-again" => |child| {
        let lane = child.ready();
        lane.fixed(Delivered);
        stepped_all(|| {
            child.enable(EnableRequest { segment_bytes: 1 << 20, ..EnableRequest::default() });
            wait_until(|| ring_files(child) == 0);
            lane.fixed(Delivered);
        });
    },
    "disable" => |child| {
        let lane = child.ready();
        (0..3).for_each(|_| lane.worded(Delivered));
        stepped_all(|| {
            child.control().disable().expect("off");
            lane.fixed(Nothing);
            wait_until(|| ring_files(child) == 0);
            lane.fixed(Nothing);
        });
    },
    "expiry" => |child| {
        let duration = Some(Duration::from_millis(300));
        let lane = options(EnableRequest { duration, ..EnableRequest::default() })(child);
        lane.worded(Delivered);
        stepped_all(|| {
            wait_until(|| ring_files(child) == 0);
            lane.fixed(Nothing);
        });
    },
    "pack" => |child| {
        let lane = child.ready();
        frozen(|| (0..12).for_each(|_| lane.bulk(BIG, Delivered)));
        mark(Mark::Free, 0);
        flush(&lane);
        lane.tracer.shutdown();
        let before = sealed_inode(child);
        let next = child.lane(&child.builder().attach().expect("attached"), 1);
        next.fixed(Delivered);
        stepped_all(|| wait_until(|| ![0, before].contains(&sealed_inode(child))));
    },
    "fork" => |child| {
        let lane = child.ready();
        (0..2).for_each(|_| lane.worded(Delivered));
        let own = lane.other(1);
        mark(Mark::StepThis, 0);
        let pid = fork(move || own.fixed(Any));
        mark(Mark::Free, 0);
        join(pid);
        lane.fixed(Delivered);
    },
    "first-in-a-forked-child" => |child| {
        let lane = child.ready();
        (0..2).for_each(|_| lane.worded(Delivered));
        let own = lane.other(1);
        join(fork(move || {
            stepped(|| own.fixed(Delivered));
            own.fixed(Delivered);
        }));
    },
    "end-of-a-forked-child" => |child| {
        let lane = child.ready();
        (0..2).for_each(|_| lane.worded(Delivered));
        let own = lane.other(1);
        join(fork(move || {
            own.fixed(Delivered);
            stepped_all(|| own.tracer.shutdown());
        }));
    },
    "emit-after-the-end-of-a-thread" => |child| {
        let lane = child.ready();
        lane.fixed(Delivered);
        let own = lane.other(1);
        thread(move || {
            std::thread_local! {
                static LATE: std::cell::RefCell<Option<Late>> = const { std::cell::RefCell::new(None) };
            }
            struct Late(Lane);
            impl Drop for Late {
                fn drop(&mut self) {
                    self.0.fixed(Any);
                }
            }
            LATE.with(|late| *late.borrow_mut() = Some(Late(own.clone())));
            own.fixed(Delivered);
            mark(Mark::StepThis, 0);
        });
    },
}
