//! Benchmarks: what they emit, what they are measured with, and two programs that measure all of it.
//!
//! * [`peer`]: the protocol that ours and the other tracers and loggers share.
//! * [`compare`]: ours, the machine's limits and every peer in one run, as a table of ratios.
//! * [`scale`]: ours over threads, rates and ring sizes, as plots.

pub mod child;
pub mod compare;
pub mod events;
pub mod peer;
pub mod plot;
pub mod scale;
pub mod stage;
pub mod values;

pub use events::{Launch, Rig, net, strings};
