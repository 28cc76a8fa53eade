//! The first event in three lines. Run `tracewell enable` first, then `tracewell read`.

use tracewell::catalog::ErrorRaised;
use tracewell::{Tracer, emit};

fn main() {
    let tracer = Tracer::attach("hello");
    let _guard = tracer.guard();
    emit!(
        tracer,
        ErrorRaised { module: "greeter", operation: Some("say hello"), code: 7, ..Default::default() }
    );
}
