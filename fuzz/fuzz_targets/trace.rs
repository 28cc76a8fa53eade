//! See [`tracewell_fuzz::targets::trace`].
#![no_main]

tracewell_fuzz::target!(trace, Some(tracewell_fuzz::mutate::Kind::Scene));
