//! The tracer under test, on the public API with derived events, as any component uses it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tracewell::control::{Control, EnableRequest};
use tracewell::dirs::Dirs;
use tracewell::{Builder, Clock, Tracer, WhenFull, emit};
use tracewell_benches::events::{Heartbeat, Launch, Net};
use tracewell_benches::peer::machine::process_cpu;
use tracewell_benches::peer::workload::{LaunchRecord, NetRecord};
use tracewell_benches::peer::{Args, Finished, Peer};

/// Capacity of a ring if nobody says otherwise.
pub(crate) const DEFAULT_RING: u64 = 4 << 20;

/// How long a producer of a lossless run waits for room, at most.
const PATIENCE: Duration = Duration::from_secs(60);

/// A trace directory and its tracer.
#[derive(Debug)]
pub(crate) struct Ours {
    pub(crate) dirs: Dirs,
    pub(crate) control: Control,
    pub(crate) tracer: Tracer,
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
    let builder = match args.text("wait") {
        Some("1") => builder.when_full(WhenFull::Wait(PATIENCE)),
        _ => builder,
    };
    match args.text("coarse") {
        Some("1") => builder.clock(Clock::Coarse),
        _ => builder,
    }
}

impl Ours {
    /// Attached, and off.
    pub(crate) fn off(args: &Args) -> Self {
        std::fs::create_dir_all(&args.out).expect("a folder");
        let dirs = dirs(args);
        let control = Control::open_or_create(&dirs).expect("a control page");
        let tracer = builder(args, &dirs).attach().expect("attached");
        Self { dirs, control, tracer }
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

    fn finish(self, called: u64) -> Finished {
        let (at, cpu, delivered) = self.reach();
        self.tracer.shutdown();
        if called > 0 && delivered == 0 {
            eprintln!("nothing reached a segment: {:?}", self.control.attached());
            std::process::exit(1);
        }
        let lost = called.saturating_sub(delivered);
        Finished { reached: Some((at, cpu)), lost: Some(lost) }
    }
}
