//! The reader on traces that are made byte for byte: whole, cut, damaged, hostile.
#![allow(unreachable_pub, clippy::cloned_ref_to_slice_refs)]

mod batches;
mod hostile;
mod lines;
mod output;
mod rings;
mod segments;
mod synth;
mod terminal;
