//! See [`tracewell_fuzz::targets::settings`].
#![no_main]

tracewell_fuzz::target!(settings, None);
