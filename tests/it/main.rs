//! Integration tests: real processes, real files, real kills.

mod hostile;
mod kill;
mod off;
mod session;
