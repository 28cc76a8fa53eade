//! The corpus: plain files to start from, and one hostile file for each thing that could go wrong with the verdict that
//! the reader must give. Made by the real encoders, always the same bytes; `seeds` writes them, a test compares them.

mod other;
mod plain;
mod rings;
mod segments;
#[path = "../../../reader/tests/it/synth.rs"]
#[allow(dead_code, missing_docs, unreachable_pub, clippy::cloned_ref_to_slice_refs)]
mod synth;

pub use plain::{plain_folder, plain_segment};

/// What the reader must say of a hostile file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Events that come out.
    pub events: u64,
    /// What stands in the summary or in the error; empty: the trace is complete.
    pub says: &'static str,
}

/// A file of the corpus.
#[derive(Clone, Debug)]
pub struct Seed {
    /// The target that begins with it.
    pub target: &'static str,
    /// Its name in the corpus.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// For targets that read a trace.
    pub verdict: Option<Verdict>,
}

/// The whole corpus.
#[must_use]
pub fn all() -> Vec<Seed> {
    [plain::seeds(), segments::seeds(), rings::seeds(), other::seeds()].concat()
}

/// A name that says what is wrong.
fn hostile(target: &'static str, name: &str, bytes: Vec<u8>, events: u64, says: &'static str) -> Seed {
    Seed { target, name: format!("hostile-{name}"), bytes, verdict: Some(Verdict { events, says }) }
}
