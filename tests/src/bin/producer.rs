//! A component that numbers its events and says after each emit, in a file of its own, how far it has come: the
//! oracle of the kill tests. Usage: `producer DIR THREADS RING_SIZE ACKS COUNT` (COUNT 0: until it is killed).

use std::os::unix::fs::FileExt;

use tracewell::{Tracer, emit};
use tracewell_tests::{Numbered, text_of};

fn main() {
    tracewell_tests::end_with_the_tracers_threads();
    let args: Vec<String> = std::env::args().collect();
    let number = |i: usize| args[i].parse::<u64>().expect("a number");
    let tracer = Tracer::builder("producer").dir(&args[1]).ring_size(number(3)).attach().expect("attached");
    let (threads, count) = (number(2), number(5));
    std::thread::scope(|scope| {
        for lane in 0..threads {
            let (tracer, acks) = (tracer.clone(), &args[4]);
            scope.spawn(move || {
                let ack = std::fs::File::create(format!("{acks}-{lane}")).expect("the oracle's file");
                let mut next = 0;
                while count == 0 || next < count {
                    let text = text_of(next);
                    emit!(tracer, Numbered { lane: lane as u32, number: next, text: &text });
                    next += 1;
                    ack.write_all_at(&next.to_le_bytes(), 0).expect("the oracle's file");
                }
            });
        }
    });
}
