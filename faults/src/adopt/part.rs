//! The processes of a round: producers that are killed, and collectors that are.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tracewell::dirs::Dirs;
use tracewell::{Tracer, WhenFull, adopt, emit};
use tracewell_tests::{Numbered, text_of};

/// Lanes of one producer: its number times this is its first.
pub(super) const LANES: u32 = 16;

/// A producer: emits, and says after each emit, in a file of its own, how far it has come.
#[derive(Args)]
pub(crate) struct ProducerArgs {
    dir: PathBuf,
    rings: PathBuf,
    acks: PathBuf,
    #[arg(long)]
    number: u32,
    #[arg(long)]
    threads: u32,
    #[arg(long)]
    ring_size: u64,
    /// Events of a thread, which then ends; 0: until it is killed.
    #[arg(long, default_value_t = 0)]
    each: u64,
    /// Microseconds between two emits.
    #[arg(long, default_value_t = 0)]
    pause: u64,
}

/// Where a lane says how far it has come.
pub(super) fn ack_file(acks: &std::path::Path, lane: u32) -> PathBuf {
    acks.join(format!("lane-{lane}"))
}

/// Runs a producer until it is killed.
pub(crate) fn produce(args: &ProducerArgs) -> Result<(), String> {
    let tracer = Tracer::builder("producer")
        .dir(&args.dir)
        .ring_dir(&args.rings)
        .ring_size(args.ring_size)
        .when_full(WhenFull::Wait(Duration::from_secs(10)))
        .attach()
        .map_err(|e| e.to_string())?;
    // Threads that end and new ones: rings are closed, freed and used again.
    let mut generation = 0;
    loop {
        std::thread::scope(|scope| -> Result<(), String> {
            for thread in 0..args.threads {
                let lane = args.number * LANES + (generation * args.threads + thread) % LANES;
                let ack = File::options()
                    .read(true)
                    .write(true)
                    .create(true)
                    .truncate(false)
                    .open(ack_file(&args.acks, lane));
                let ack = ack.map_err(|e| e.to_string())?;
                let tracer = &tracer;
                scope.spawn(move || lane_of(args, tracer, lane, &ack));
            }
            Ok(())
        })?;
        generation += 1;
    }
}

fn lane_of(args: &ProducerArgs, tracer: &Tracer, lane: u32, ack: &File) {
    let mut word = [0; 8];
    // A lane that an earlier thread of this process had goes on where that stopped.
    let mut next = ack.read_exact_at(&mut word, 0).map_or(0, |()| u64::from_le_bytes(word));
    let end = if args.each == 0 { u64::MAX } else { next + args.each };
    while next < end {
        let text = text_of(next);
        emit!(tracer, Numbered { lane, number: next, text: &text });
        next += 1;
        let _ = ack.write_all_at(&next.to_le_bytes(), 0);
        if args.pause != 0 {
            std::thread::sleep(Duration::from_micros(args.pause));
        }
    }
}

/// A collector: one look, or one after the other until it is killed.
#[derive(Args)]
pub(crate) struct CollectorArgs {
    dir: PathBuf,
    rings: PathBuf,
    #[arg(long)]
    once: bool,
}

/// Runs a collector; says each adoption in a line.
pub(crate) fn collect(args: &CollectorArgs) -> Result<(), String> {
    let dirs = Dirs::resolve(Some(&args.dir)).map_err(|e| e.to_string())?.with_ring_root(args.rings.clone());
    loop {
        let pass = adopt::pass(&dirs, &mut || false).map_err(|e| e.to_string())?;
        for adopted in &pass.adopted {
            eprintln!("adopted {} {}", adopted.pid, adopted.events);
        }
        for left in &pass.left {
            match &left.why {
                adopt::Why::Damaged(_) | adopt::Why::Failed(_) => {
                    return Err(format!("{}: {:?}", left.folder.display(), left.why));
                }
                _ => {}
            }
        }
        if args.once {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
