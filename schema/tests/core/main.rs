//! The event model against FORMAT.md: bytes, round trips, reductions, hostile input.

mod bytes;
mod columns;
mod common;
mod format_samples;
mod hostile;
mod privacy;
mod reductions;
mod round_trip;
