//! Integration tests: real processes, real files, real kills.

mod cli;
mod hostile;
mod kill;
mod off;
mod session;
