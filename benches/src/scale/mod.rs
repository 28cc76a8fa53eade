//! x
/// x
pub fn main(_: &str) {}
