//! A disk that does not answer.

use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tracewell::Clock;
use tracewell::control::EnableRequest;
use tracewell::testing::{Storage, wrap_storage};

use crate::{Stage, emit_range, say};

static IS_STUCK: AtomicBool = AtomicBool::new(false);
/// The session whose disk it is.
static FOLDER: OnceLock<PathBuf> = OnceLock::new();

pub(crate) fn run(case: &str, stage: &Stage) {
    match case {
        "disk" => disk(stage),
        other => panic!("no case {other}"),
    }
}

/// Appends and syncs return only when the disk answers.
struct Stuck(Box<dyn Storage>);

fn wait() {
    while IS_STUCK.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl Storage for Stuck {
    fn create(&mut self, name: &str) -> io::Result<()> {
        self.0.create(name)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        wait();
        self.0.append(bytes)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        wait();
        self.0.sync()
    }

    fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    fn seal(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.0.seal(from, to)
    }

    fn settle(&mut self) -> io::Result<()> {
        wait();
        self.0.settle()
    }
}

fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// The disk of the first session answers no more; then the user begins another session, and the component ends.
fn disk(stage: &Stage) {
    wrap_storage(Box::new(|folder, inner| {
        if folder == FOLDER.get_or_init(|| folder.to_owned()) { Box::new(Stuck(inner)) } else { inner }
    }));
    let builder = tracewell::Tracer::builder("stuck").dir(&stage.base).clock(Clock::Coarse);
    let tracer = &builder.attach().expect("attached");
    emit_range(tracer, 0, 0..10);
    tracer.flush().expect("the disk answers");
    IS_STUCK.store(true, Ordering::Relaxed);
    std::thread::scope(|scope| {
        // More to do than fits between drain and segment writer.
        for _ in 0..16 {
            scope.spawn(|| tracer.flush());
            pause(30);
        }
        emit_range(tracer, 0, 10..11);
        pause(300);
        emit_range(tracer, 0, 11..12);
        let first = tracer.session();
        let request = EnableRequest { levels: [5; 32], ..EnableRequest::default() };
        let second = stage.control.enable(&stage.dirs, &request).expect("enabled");
        let begun = Instant::now();
        while tracer.session() == first && begun.elapsed() < Duration::from_secs(5) {
            pause(1);
        }
        say("until_the_session_gives_way_ms", begun.elapsed().as_millis() as u64);
        emit_range(tracer, 1, 0..10);
        say("is_of_the_second", u64::from(tracer.session().is_some_and(|id| id.0 == second.id)));
        let begun = Instant::now();
        tracer.shutdown();
        say("shutdown_ms", begun.elapsed().as_millis() as u64);
        IS_STUCK.store(false, Ordering::Relaxed);
    });
    // What was on its way is written now.
    let begun = Instant::now();
    let left = || std::fs::read_dir(stage.dirs.ring_root()).map_or(0, Iterator::count);
    while left() != 0 && begun.elapsed() < Duration::from_secs(20) {
        pause(5);
    }
    say("left", left() as u64);
}
