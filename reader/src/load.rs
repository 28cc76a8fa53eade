//! Bytes of blocks, read when they are needed.

use std::fs::File;

use crate::ring;
use crate::segment;
use crate::source;
use crate::summary::Damage;
use crate::trace::{Block, Source, Trace};

/// Reads blocks; keeps the last few files open.
pub(crate) struct Loader<'a> {
    pub(crate) trace: &'a Trace,
    files: Vec<(u32, File)>,
    buffer: Vec<u8>,
    /// Memory of blocks that have been read.
    pub(crate) spare: Vec<Vec<u8>>,
    /// Bytes of data blocks that have been read.
    done: u64,
    progress: &'a mut dyn FnMut(u64),
}

/// Most segments that are open at once.
const MAX_OPEN: usize = 64;
/// Most blocks whose memory is kept for the next.
const MAX_SPARE: usize = 16;

impl<'a> Loader<'a> {
    pub(crate) fn new(trace: &'a Trace, progress: &'a mut dyn FnMut(u64)) -> Self {
        Self { trace, files: Vec::new(), buffer: Vec::new(), spare: Vec::new(), done: 0, progress }
    }

    /// Takes back the memory of a block.
    pub(crate) fn give(&mut self, mut raw: Vec<u8>) {
        if raw.capacity() != 0 && self.spare.len() < MAX_SPARE {
            raw.clear();
            self.spare.push(raw);
        }
    }

    /// Whole records from `from` on, which lies in the block. Returns the position after them.
    pub(crate) fn load(&mut self, block: &Block, from: u64, out: &mut Vec<u8>) -> Result<u64, Damage> {
        let (segment, stored_len, events, offset) = match &block.source {
            Source::Ring(leftover) => return ring::read_window(leftover, from, out),
            Source::Segment { segment, stored_len, events, offset } => {
                (*segment, *stored_len, *events, *offset)
            }
        };
        self.done = self.done.saturating_add(stored_len.into());
        (self.progress)(self.done);
        let path = self.trace.path_of(segment);
        let damage = |what: &str| Damage {
            offset,
            bytes: stored_len.into(),
            events: events.into(),
            ..Damage::of_file(&path, what)
        };
        let at = match self.files.iter().position(|(s, _)| *s == segment) {
            Some(at) => at,
            None => {
                // It was sealed meanwhile: the same file under its last name.
                let file =
                    source::open(&path)
                        .or_else(|error| {
                            if is_open(&path) { source::open(&path.with_extension("")) } else { Err(error) }
                        })
                        .map_err(|e| damage(&e.to_string()))?;
                if self.files.len() >= MAX_OPEN {
                    self.files.remove(0);
                }
                self.files.push((segment, file));
                self.files.len() - 1
            }
        };
        let Some((_, file)) = self.files.get(at) else { return Err(damage("not open")) };
        let header = segment::read_block(file, offset, stored_len, &mut self.buffer, out)
            .map_err(|e| damage(e.what))?;
        if (header.from, header.to, header.sequence) != (block.from, block.to, block.sequence) {
            return Err(damage("the file was changed while it was read"));
        }
        Ok(block.to)
    }
}

fn is_open(path: &std::path::Path) -> bool {
    path.extension().is_some_and(|e| e == "open")
}
