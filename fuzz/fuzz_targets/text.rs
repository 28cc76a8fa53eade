//! See [`tracewell_fuzz::targets::text`].
#![no_main]

tracewell_fuzz::target!(text, None);
