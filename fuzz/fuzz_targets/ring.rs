//! See [`tracewell_fuzz::targets::ring`].
#![no_main]

tracewell_fuzz::target!(ring, Some(tracewell_fuzz::mutate::Kind::Scene));
