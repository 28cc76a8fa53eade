//! The protocol of the benchmarks, compiled from their own source: the same loops, records and output as ours.

#[path = "../../../src/peer/mod.rs"]
pub mod peer;

pub use peer::workload::{LaunchRecord, NetRecord};
pub use peer::{Args, Finished, Peer, main};
