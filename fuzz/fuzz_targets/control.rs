//! See [`tracewell_fuzz::targets::control`].
#![no_main]

tracewell_fuzz::target!(control, Some(tracewell_fuzz::mutate::Kind::Control));
