//! The reader on traces that are made byte for byte: whole, cut, damaged, hostile.

mod hostile;
mod output;
mod rings;
mod segments;
mod synth;
