//! The tracer under test, on the public API with derived events, as any component uses it.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracewell::control::{Control, EnableRequest};
use tracewell::dirs::Dirs;
use tracewell::{Builder, Tracer, emit};
use tracewell_benches::events::{Heartbeat, Launch, Net};
use tracewell_benches::peer::machine::process_cpu;
use tracewell_benches::peer::workload::{LaunchRecord, NetRecord};
use tracewell_benches::peer::{Args, Finished, Peer};
use tracewell_benches::pending;

/// Bytes of the records of W0, W1 and W2 in a ring.
const RECORD: [u64; 3] = [16, 40, 232];
/// Capacity of a ring if nobody says otherwise.
pub(crate) const DEFAULT_RING: u64 = 4 << 20;

/// How long a producer that waits sleeps before it looks again.
const PAUSE: Duration = Duration::from_micros(20);

/// After so long without an event that arrived, what is under way does not count any more.
const STALLED: Duration = Duration::from_secs(2);

/// A trace directory and its tracer.
#[derive(Debug)]
pub(crate) struct Ours {
    pub(crate) dirs: Dirs,
    pub(crate) control: Control,
    pub(crate) tracer: Tracer,
    wait: Option<Wait>,
}

/// A producer that rather waits than loses: no more is under way than rings have room for.
#[derive(Debug)]
struct Wait {
    /// Calls that each thread has told.
    told: Vec<Padded>,
    /// Their sum.
    called: Padded,
    /// Of them, those that are in segments or were refused, as far as known.
    settled: Padded,
    /// When that was asked last, and when it changed. One asks for all: the counters take locks that the drain
    /// takes too.
    asked: Mutex<(Instant, Instant)>,
    /// Most events under way.
    limit: u64,
    /// Calls between two looks.
    every: u64,
}

/// On cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded(AtomicU64);

impl Wait {
    fn new(args: &Args) -> Self {
        let record = RECORD[usize::from(args.w.min(2))];
        let ring = args.number("ring").map_or(DEFAULT_RING, |n| n as u64);
        // Half of one ring for all together: whoever runs meanwhile, no ring gets full.
        let threads = args.threads.max(1) as u64;
        let limit = ring / 2 / record;
        let every = (limit / 4 / threads).max(64);
        Self {
            told: (0..threads).map(|_| Padded::default()).collect(),
            called: Padded::default(),
            settled: Padded::default(),
            asked: Mutex::new((Instant::now(), Instant::now())),
            limit,
            every,
        }
    }

    /// Waits until there is room.
    #[cold]
    #[inline(never)]
    fn look(&self, tracer: &Tracer) {
        let under_way = || {
            let called = self.called.0.load(Ordering::Relaxed);
            called.saturating_sub(self.settled.0.load(Ordering::Relaxed)) > self.limit
        };
        while under_way() {
            if let Ok(mut asked) = self.asked.try_lock()
                && asked.0.elapsed() > PAUSE
            {
                let stats = tracer.stats();
                let settled = stats.delivered + stats.lost_total();
                let now = Instant::now();
                if self.settled.0.swap(settled, Ordering::Relaxed) != settled {
                    asked.1 = now;
                } else if asked.1.elapsed() > STALLED {
                    // Refused, and the thread's ring is gone with its counters: the end finds out how many.
                    let missing = self.called.0.load(Ordering::Relaxed).saturating_sub(settled);
                    self.called.0.fetch_sub(missing, Ordering::Relaxed);
                }
                asked.0 = now;
            }
            if under_way() {
                std::thread::sleep(PAUSE);
            }
        }
    }
}

/// The folder of a trace in `out`, its rings where `rings` says.
pub(crate) fn dirs(args: &Args) -> Dirs {
    let dirs = Dirs::resolve(Some(&Path::new(&args.out).join("trace"))).expect("a directory");
    match args.text("rings") {
        Some(rings) => dirs.with_ring_root(PathBuf::from(rings)),
        None => dirs,
    }
}

/// A builder with what the command line says.
pub(crate) fn builder(args: &Args, dirs: &Dirs) -> Builder {
    let builder = Tracer::builder("bench").dir(dirs.base()).ring_dir(dirs.ring_root());
    let builder = match args.number("ring") {
        Some(ring) => builder.ring_size(ring as u64),
        None => builder,
    };
    let builder = match args.number("budget") {
        Some(budget) => builder.ring_budget(budget as u64),
        None => builder,
    };
    if args.text("coarse") != Some("1") {
        return builder;
    }
    pending::coarse(builder).unwrap_or_else(|| {
        println!("unsupported=1");
        std::process::exit(0)
    })
}

impl Ours {
    /// Attached, and off.
    pub(crate) fn off(args: &Args) -> Self {
        std::fs::create_dir_all(&args.out).expect("a folder");
        let dirs = dirs(args);
        let control = Control::open_or_create(&dirs).expect("a control page");
        let tracer = builder(args, &dirs).attach().expect("attached");
        let wait = (args.text("wait") == Some("1")).then(|| Wait::new(args));
        Self { dirs, control, tracer, wait }
    }

    /// Enables everything, without a limit of size.
    pub(crate) fn enable(&self) {
        let request = EnableRequest { levels: [5; 32], max_total: 0, ..EnableRequest::default() };
        self.control.enable(&self.dirs, &request).expect("enabled");
    }

    /// Attached, and on.
    pub(crate) fn on(args: &Args) -> Self {
        let ours = Self::off(args);
        ours.enable();
        ours
    }

    /// Returns when everything is in segments, not necessarily on the disk: when it was, and the CPU until then.
    pub(crate) fn reach(&self) -> (Instant, f64, u64) {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // A flush gives up after 10 s; the events are still being written then.
                while let Err(error) = self.tracer.flush() {
                    eprintln!("{error}");
                }
                done.store(true, Ordering::Release);
            });
            let mut last = (Instant::now(), process_cpu(), self.tracer.stats().delivered);
            loop {
                let ended = done.load(Ordering::Acquire);
                let delivered = self.tracer.stats().delivered;
                if delivered != last.2 {
                    last = (Instant::now(), process_cpu(), delivered);
                }
                if ended {
                    return last;
                }
                std::thread::sleep(Duration::from_micros(200));
            }
        })
    }
}

impl Peer for Ours {
    fn init(args: &Args) -> Self {
        Self::on(args)
    }

    #[inline(always)]
    fn w0(&self) {
        emit!(self.tracer, Heartbeat {});
    }

    #[inline(always)]
    fn w1(&self, net: &NetRecord) {
        emit!(
            self.tracer,
            Net {
                source: net.src,
                destination: net.dst,
                source_port: net.sport,
                destination_port: net.dport,
                protocol: net.proto,
                bytes: net.bytes,
            }
        );
    }

    #[inline(always)]
    fn w2(&self, launch: &LaunchRecord) {
        emit!(
            self.tracer,
            Launch {
                pid: launch.pid,
                parent: launch.ppid,
                size: launch.size,
                sha256: launch.hash,
                path: &launch.path,
                command_line: &launch.cmd,
            }
        );
    }

    fn disable(&self) {
        self.control.disable().expect("disabled");
    }

    #[inline(always)]
    fn pace(&self, thread: usize, called: u64) {
        let Some(wait) = &self.wait else { return };
        let told = &wait.told[thread % wait.told.len()].0;
        let more = called - told.load(Ordering::Relaxed);
        if more >= wait.every {
            told.store(called, Ordering::Relaxed);
            wait.called.0.fetch_add(more, Ordering::Relaxed);
            wait.look(&self.tracer);
        }
    }

    fn finish(self, called: u64) -> Finished {
        let (at, cpu, delivered) = self.reach();
        pending::settle(&self.tracer);
        self.tracer.shutdown();
        if called > 0 && delivered == 0 {
            eprintln!("nothing reached a segment: {:?}", self.control.attached());
            std::process::exit(1);
        }
        let lost = called.saturating_sub(delivered);
        Finished { reached: Some((at, cpu)), lost: Some(lost) }
    }
}
