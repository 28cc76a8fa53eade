//! The atomics of the ring protocol: the standard ones, or loom's when the models run.
//!
//! `ring/cursor.rs` names atomics only through this file, so a model cannot silently test something else.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};

#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
