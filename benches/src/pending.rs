//! What the engine does not have yet, each as one function: change its body when the engine has it, nothing else.

use tracewell::{Builder, Tracer};

/// The same builder with the coarse clock; `None` while the engine has none.
///
/// To switch it on: `Some(builder.clock(tracewell::Clock::Coarse))`.
#[must_use]
pub fn coarse(builder: Builder) -> Option<Builder> {
    let _ = builder;
    None
}

/// Waits until everything that is in segments is compressed as well as it will be; called after `flush`, before
/// `shutdown`, whose return ends the measure "compression included".
///
/// Nothing to do while the drain compresses before it writes, or `shutdown` waits for what is left to compress.
pub fn settle(tracer: &Tracer) {
    let _ = tracer;
}
