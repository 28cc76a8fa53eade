//! See [`tracewell_fuzz::targets::columns`].
#![no_main]

tracewell_fuzz::target!(columns, None);
