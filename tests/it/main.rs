//! Integration tests: real processes, real files, real kills.

mod batches;
mod coarse;
mod decoder;
mod files;
mod forks;
mod hostile;
mod kill;
mod loads;
mod off;
mod scenes;
mod session;
mod signals;
mod stuck;
mod switch;
