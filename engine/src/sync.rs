//! The atomics of the protocols that models run.
//!
//! `ring/{cursor,gate,life,ticket}.rs`, `control/sequence.rs` and `orphans.rs` name atomics only through this file. The
//! models (`engine/tests/loom/`, `engine/tests/shuttle.rs`) compile those very files with a `sync` of their own, so a
//! model cannot silently test something else.

pub(crate) use crate::fork::own_pid;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};

/// The cheap half of an asymmetric barrier: the compiler keeps the order. The other half, paid by whoever looks from
/// another thread, is `fork::full_barrier`, which makes the processor keep it too. In models both are full fences.
#[inline(always)]
pub(crate) fn light_barrier() {
    std::sync::atomic::compiler_fence(Ordering::SeqCst);
}
