//! A component that records the whole catalog from several threads, again and again, and kills itself while what it
//! recorded last is still in its rings. Usage: `recorder DIR THREADS RING_SIZE SEEDS`.

use std::sync::Barrier;

use tracewell::Tracer;
use tracewell_schema::Event;
use tracewell_schema::catalog::sample;

struct Emit<'a>(&'a Tracer);

impl sample::Visitor for Emit<'_> {
    fn event<E: Event>(&mut self, event: &E) {
        if self.0.is_enabled::<E>() {
            self.0.emit(event);
        }
    }
}

fn main() {
    tracewell_tests::end_with_the_tracers_threads();
    let args: Vec<String> = std::env::args().collect();
    let number = |i: usize| args[i].parse::<u64>().expect("a number");
    let tracer = Tracer::builder("recorder").dir(&args[1]).ring_size(number(3)).attach().expect("attached");
    let (threads, seeds) = (number(2), number(4));
    let barrier = Barrier::new(threads as usize);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (tracer, barrier) = (&tracer, &barrier);
            scope.spawn(move || {
                for seed in 0..seeds {
                    sample::visit(seed * threads + thread, &mut Emit(tracer));
                    std::thread::yield_now();
                }
                // Most of it is in segments by now; then some more, of which much is not when the end comes.
                if barrier.wait().is_leader() {
                    tracer.flush().expect("flushed");
                }
                barrier.wait();
                sample::visit(thread, &mut Emit(tracer));
                if barrier.wait().is_leader() {
                    sample::visit(thread, &mut Emit(tracer));
                    let _ = rustix::process::kill_process(
                        rustix::process::getpid(),
                        rustix::process::Signal::KILL,
                    );
                }
            });
        }
    });
}
