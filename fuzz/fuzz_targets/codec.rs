//! See [`tracewell_fuzz::targets::codec`].
#![no_main]

tracewell_fuzz::target!(codec, None);
