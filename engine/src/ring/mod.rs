//! One thread's ring: how its records get from `emit!` to the drain.
//!
//! The protocol (who stores which index, in which order) is in `cursor.rs`, who may touch the ring in `gate.rs` and
//! `life.rs`, the bytes are in `memory.rs`. The
//! *audit boundary is this folder and `thread.rs`*: a mistake in the arithmetic of the safe code here can break
//! the facts that the unsafe blocks rely on.
//!
//! ## Life of a ring
//!
//! ```text
//!  free --claim (a thread's first emit)--> active --thread ends--> closing --drained, released--> free
//!    ^                                                                                              |
//!    +----------------------------------------------------------------------------------------------+
//! ```
//!
//! * Only the thread that claimed it writes records and the head; only the drain reads; only the segment writer
//!   moves the tail, after the block is in a file.
//! * Positions never wrap and are not reset when a ring is reused; the ring id is new for each claim.
//! * `[tail, head)` is exactly what is committed and not yet in a segment. A killed process leaves it in the file.

pub(crate) mod cursor;
pub(crate) mod gate;
pub(crate) mod life;
pub(crate) mod memory;

pub(crate) mod ticket;

pub(crate) use life::FREE;
pub(crate) use shared::{Ring, Waker};

mod shared;
