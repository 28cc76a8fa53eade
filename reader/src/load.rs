//! Bytes of blocks, read when they are needed.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use tracewell_schema::format::block::BlockHeader;

use crate::pool::{Ahead, Load};
use crate::ring as leftover;
use crate::segment;
use crate::source::{self, Input};
use crate::summary::Damage;
use crate::trace::{Block, Source, Trace};

/// Reads blocks; keeps the last few files open.
pub(crate) struct Loader<'a> {
    pub(crate) trace: &'a Trace,
    files: Vec<(u32, Input)>,
    scratch: segment::Scratch,
    /// Segments that were packed since they were indexed, as they are now; `None` if that does not explain it.
    packed: HashMap<u32, Option<Vec<segment::Found>>>,
    /// Memory of blocks that have been read.
    spare: Vec<Vec<u8>>,
    /// Bytes of blocks that tracks have loaded and not given back.
    pub(crate) held: usize,
    /// Bytes of data blocks that have been read.
    done: u64,
    progress: &'a mut dyn FnMut(u64),
    ahead: Option<&'a dyn Ahead>,
}

/// Most segments that are open at once.
const MAX_OPEN: usize = 64;
/// Most blocks of a ring that are read ahead.
const DEPTH: usize = 3;
/// Most blocks whose memory is kept for the next.
pub(crate) const MAX_SPARE: usize = 16;

impl<'a> Loader<'a> {
    pub(crate) fn new(
        trace: &'a Trace,
        progress: &'a mut dyn FnMut(u64),
        ahead: Option<&'a dyn Ahead>,
    ) -> Self {
        Self {
            trace,
            files: Vec::new(),
            scratch: segment::Scratch::default(),
            packed: HashMap::new(),
            spare: Vec::new(),
            held: 0,
            done: 0,
            progress,
            ahead,
        }
    }

    /// Takes back the memory of a block.
    pub(crate) fn give(&mut self, mut raw: Vec<u8>) {
        if raw.capacity() != 0 && self.spare.len() < MAX_SPARE {
            raw.clear();
            self.spare.push(raw);
        }
    }

    /// Takes back the memory of a block, unless records of it are still to be rendered.
    pub(crate) fn give_shared(&mut self, raw: Option<Arc<Vec<u8>>>) {
        if let Some(raw) = raw.and_then(|raw| Arc::try_unwrap(raw).ok()) {
            self.give(raw);
        }
    }

    /// Memory for a block.
    pub(crate) fn spare(&mut self) -> Vec<u8> {
        self.spare.pop().or_else(|| self.ahead?.spare()).unwrap_or_default()
    }

    /// Whole records from `from` on, which lies in the block of ring `ring`. Returns the position after them.
    pub(crate) fn load(
        &mut self,
        block: &Block,
        ring: u32,
        from: u64,
        out: &mut Vec<u8>,
    ) -> Result<u64, Damage> {
        let (segment, stored_len, events, offset) = match &block.source {
            Source::Ring(leftover) => return leftover::read_window(leftover, from, out),
            Source::Segment { segment, stored_len, events, offset } => {
                (*segment, *stored_len, *events, *offset)
            }
        };
        self.count(stored_len);
        let path = self.trace.path_of(segment);
        let damage = |what: &str| Damage {
            offset,
            bytes: stored_len.into(),
            events: events.into(),
            ..Damage::of_file(&path, what)
        };
        let header = match self.ahead.and_then(|ahead| ahead.take((segment, offset))) {
            Some((read, raw)) => {
                self.give(std::mem::replace(out, raw));
                read
            }
            None => {
                let file = self.file(segment).map_err(|e| damage(&e.to_string()))?;
                segment::read_block(&file, offset, stored_len, &mut self.scratch, out)
            }
        };
        let wrong = match header {
            Ok(header) if is_block(&header, block, ring) => return Ok(block.to),
            Ok(_) => "the file was changed while it was read",
            Err(error) => error.what,
        };
        // It may have been packed since it was indexed: the same records, in other places.
        self.load_packed(segment, block, ring, out).ok_or_else(|| damage(wrong)).map(|()| block.to)
    }

    /// Reads a block where it is now in a segment that was packed meanwhile.
    fn load_packed(&mut self, segment: u32, block: &Block, ring: u32, out: &mut Vec<u8>) -> Option<()> {
        if !self.packed.contains_key(&segment) {
            // At most one look for each segment, however many of its blocks are wrong.
            self.files.retain(|(s, _)| *s != segment);
            // What was handed over is no file that may have been packed.
            let path = self.trace.given.is_none().then(|| self.trace.path_of(segment));
            let index = match path.as_deref().map(segment::index) {
                Some(Ok(segment::Indexed::Whole(index))) => Some(*index),
                _ => None,
            };
            let was = self.trace.bytes_of(segment);
            let is_other = |index: &segment::Index| Some(index.bytes) != was;
            self.packed.insert(segment, index.filter(is_other).map(|index| index.blocks));
        }
        let blocks = self.packed.get(&segment)?.as_ref()?;
        let found = blocks.iter().find(|found| is_block(&found.header, block, ring))?;
        let (offset, stored_len) = (found.offset, found.header.stored_len);
        let file = self.file(segment).ok()?;
        let header = segment::read_block(&file, offset, stored_len, &mut self.scratch, out).ok()?;
        is_block(&header, block, ring).then_some(())
    }

    /// Takes note that a block was read.
    pub(crate) fn count(&mut self, stored_len: u32) {
        self.done = self.done.saturating_add(stored_len.into());
        (self.progress)(self.done);
    }

    /// A segment's file.
    pub(crate) fn file(&mut self, segment: u32) -> io::Result<Input> {
        if let Some(given) = &self.trace.given {
            return Ok(Input::Given(Arc::clone(given)));
        }
        if let Some((_, file)) = self.files.iter().find(|(s, _)| *s == segment) {
            return Ok(file.clone());
        }
        let path = self.trace.path_of(segment);
        // It was sealed meanwhile: the same file under its last name.
        let file = source::open(&path).or_else(|error| {
            if is_open(&path) { source::open(&path.with_extension("")) } else { Err(error) }
        })?;
        if self.files.len() >= MAX_OPEN {
            self.files.remove(0);
        }
        let file = Input::File(file.into());
        self.files.push((segment, file.clone()));
        Ok(file)
    }

    /// Has the next few blocks of a ring read ahead, if there is somebody to do it.
    pub(crate) fn foresee(&mut self, blocks: &[Block]) {
        let Some(ahead) = self.ahead else { return };
        for block in blocks.iter().take(DEPTH) {
            let Source::Segment { segment, stored_len, offset, .. } = &block.source else { return };
            let place = (*segment, *offset);
            if ahead.has_room(place)
                && let Ok(file) = self.file(*segment)
            {
                let raw = self.spare();
                ahead.ask(Load { place, file, stored_len: *stored_len, raw });
            }
        }
    }

    /// A block that may have been foreseen is not needed.
    pub(crate) fn forget(&mut self, block: &Block) {
        if let (Some(ahead), Source::Segment { segment, offset, .. }) = (self.ahead, &block.source)
            && let Some((_, raw)) = ahead.take((*segment, *offset))
        {
            self.give(raw);
        }
    }
}

/// Whether it is the block that was indexed.
pub(crate) fn is_block(header: &BlockHeader, block: &Block, ring: u32) -> bool {
    header.ring == ring && (header.from, header.to, header.sequence) == (block.from, block.to, block.sequence)
}

fn is_open(path: &std::path::Path) -> bool {
    path.extension().is_some_and(|e| e == "open")
}
