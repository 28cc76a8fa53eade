//! Tests of the whole: a real server, real certificates.

mod send;
mod server;
