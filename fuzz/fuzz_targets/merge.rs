//! See [`tracewell_fuzz::targets::merge`].
#![no_main]

tracewell_fuzz::target!(merge, None);
