//! Each thread has a ring of its own; the reader merges them by time.

use tracewell::catalog::UiAction;
use tracewell::{Tracer, emit};

fn main() {
    let tracer = Tracer::attach("threads");
    let _guard = tracer.guard();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let tracer = tracer.clone();
            scope.spawn(move || {
                for _ in 0..1000 {
                    emit!(tracer, UiAction::default());
                }
            });
        }
    });
    println!("{:?}", tracer.flush());
}
