//! See [`tracewell_fuzz::targets::segment`].
#![no_main]

tracewell_fuzz::target!(segment, Some(tracewell_fuzz::mutate::Kind::Segment));
