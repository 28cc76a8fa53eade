//! The sensor on real processes, sockets and files of this machine.
//!
//! What other programs do meanwhile is recorded too, so every test looks for what it did itself.

mod connections;
mod downloads;
mod folders;
mod programs;
mod stories;
mod support;
