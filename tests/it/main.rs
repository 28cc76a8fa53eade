//! Integration tests: real processes, real files, real kills.

mod coarse;
mod decoder;
mod hostile;
mod kill;
mod off;
mod session;
