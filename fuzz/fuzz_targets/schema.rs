//! See [`tracewell_fuzz::targets::schema`].
#![no_main]

tracewell_fuzz::target!(schema, None);
