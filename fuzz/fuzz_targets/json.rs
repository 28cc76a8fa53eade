//! See [`tracewell_fuzz::targets::json`].
#![no_main]

tracewell_fuzz::target!(json, None);
