//! Everything that belongs together: processes, their schemas and clocks, their rings and blocks.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracewell_schema::decode::Reader;
use tracewell_schema::format::block::{BlockKind, FLAG_RECOVERED, FLAG_UNVERIFIED};
use tracewell_schema::format::clock::ClockPoint;
use tracewell_schema::format::columns::Layout;
use tracewell_schema::format::process::{ProcessIdentity, SchemaItems, folder_name};
use tracewell_schema::format::ring::{RingCounters, RingInfo};
use tracewell_schema::{DecodeError, Schema};

use crate::batches::{Form, forms};
use crate::clock::{ClockMap, slope_of};
use crate::error::ReadError;
use crate::filter::Filter;
use crate::item::Item;
use crate::load::Loader;
use crate::merge::merge;
use crate::pool::Ahead;
use crate::render::buffer::{Buffer, Literal};
use crate::render::program::Program;
use crate::render::template::Template;
use crate::render::{json, text};
use crate::ring::{self, Leftover};
use crate::segment::{self, Found};
use crate::source::{self, Input, ReadAt};
use crate::summary::{Damage, Summary};

/// Most clock points that are kept of one process.
const MAX_POINTS: usize = 1 << 20;

/// Most blocks of one trace: what is beyond is reported, not read.
const MAX_BLOCKS: usize = 8 << 20;
/// Most ring folders that a collector is kept from removing while they are read.
const MAX_HOLDS: usize = 256;
/// Most bytes that are copied from the rings of running processes.
const MAX_COPIED: u64 = 512 << 20;

/// A process of the trace.
#[derive(Debug)]
pub struct ProcessInfo {
    /// Who it is.
    pub identity: ProcessIdentity,
    /// It still runs, as far as its lock says.
    pub is_alive: bool,
    /// Its schemas by event index, with their sentences taken apart.
    pub(crate) schemas: Vec<Option<Arc<Described>>>,
    pub(crate) points: Vec<ClockPoint>,
    pub(crate) clock: ClockMap,
    /// Lowest number of its segments, if any was read.
    pub(crate) first_segment: Option<u32>,
}

/// A schema and its sentence.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) schema: Schema,
    /// Length of the fixed part of its events.
    pub(crate) fixed_len: usize,
    pub(crate) template: Template,
    pub(crate) program: Program,
    /// How a block of columns has its values, and how they are handed out.
    pub(crate) layout: Layout,
    pub(crate) forms: Vec<Form>,
}

/// Where a block's bytes are.
#[derive(Debug)]
pub(crate) enum Source {
    Segment { segment: u32, stored_len: u32, events: u32, offset: u64 },
    Ring(Box<Leftover>),
}

/// A block: of a segment, or what was left in a ring.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) sequence: u64,
    /// Ticks of its first event, if that is known without reading it.
    pub(crate) first_ticks: Option<u64>,
    /// It is of a ring of another boot.
    pub(crate) is_unverified: bool,
    pub(crate) source: Source,
}

/// A block of which only a part was written, at the end of an unsealed segment.
#[derive(Debug)]
pub(crate) struct TornBlock {
    pub(crate) to: u64,
    /// Number of the ring's events up to its end.
    pub(crate) sequence_after: u64,
}

/// A ring: one thread's events.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    pub(crate) info: RingInfo,
    pub(crate) counters: Option<RingCounters>,
    /// The counters are the last there will be.
    pub(crate) ended: bool,
    pub(crate) blocks: Vec<Block>,
    pub(crate) torn: Vec<TornBlock>,
    /// The process ended without closing it.
    pub(crate) killed: bool,
    /// What was left in it, or its counters, are of another boot.
    pub(crate) is_unverified: bool,
    /// What names it in each line, `scanner[7:101 main] `, and in each JSON object.
    pub(crate) text_head: Literal,
    pub(crate) json_head: Literal,
}

/// A trace that was found and indexed; events are read by [`Trace::read`].
#[derive(Debug)]
pub struct Trace {
    pub(crate) processes: Vec<ProcessInfo>,
    pub(crate) rings: BTreeMap<(usize, u32), Ring>,
    pub(crate) segments: Vec<PathBuf>,
    /// Their lengths.
    segment_bytes: Vec<u64>,
    /// Process files of ring folders that a collector must leave until this is dropped.
    holds: Vec<File>,
    /// The bytes of its only segment, if they were handed over.
    pub(crate) given: Option<Arc<dyn ReadAt>>,
    summary: Summary,
}

impl Trace {
    /// Finds and indexes what `paths` name: trace directories, sessions, segments, ring folders; and the ring folders
    /// below `ring_roots`, which may be missing.
    ///
    /// # Errors
    /// If a place named cannot be read or holds no trace, or the only file named is foreign or of a later version.
    pub fn open(paths: &[PathBuf], ring_roots: &[PathBuf]) -> Result<Self, ReadError> {
        let mut builder = Builder::default();
        let mut errors = Vec::new();
        // Rings first: what a live drain moves meanwhile is then found in the segments.
        let places = source::find(paths, ring_roots)?;
        let mut budget = MAX_COPIED;
        let (mut folders, mut holds) = (Vec::new(), Vec::new());
        let mut seen = HashSet::new();
        for path in &places.ring_folders {
            // The same folder by another path.
            let id = std::fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
            if id.is_ok_and(|id| !seen.insert(id)) {
                continue;
            }
            match ring::read_folder(path, &mut budget) {
                Ok(None) => {}
                Ok(Some(mut folder)) => {
                    // Not every descriptor that a process may have.
                    holds.extend(folder.hold.take().filter(|_| holds.len() < MAX_HOLDS));
                    folders.push((path, folder));
                }
                // Removed by a clean end while we looked.
                Err(_) if !path.exists() => {}
                Err(damage) => builder.trace.summary.damage(damage),
            }
        }
        let found = source::find(paths, &[])?;
        for (path, error) in places.unreadable {
            builder.trace.summary.damage(Damage::of_file(&path, &error.to_string()));
        }
        for path in found.segments {
            match segment::index(&path) {
                Ok(indexed) => builder.add_indexed(path, indexed),
                // A live drain seals segments, and retention deletes them, while we look.
                Err(ReadError::Unreadable { .. })
                    if !path.exists() && path.parent().is_some_and(Path::exists) =>
                {
                    builder.add_sealed(&path);
                }
                Err(error) => match segment::unborn(&path) {
                    Some(bytes) => {
                        builder.trace.summary.torn += 1;
                        builder.trace.summary.torn_bytes += bytes;
                    }
                    None => errors.push((path, error)),
                },
            }
        }
        // A process has one ring folder, named after it. Another that says it is of the same process would put its
        // records in the place of those.
        let is_named =
            |path: &Path, folder: &ring::Folder| path.ends_with(folder_name(&folder.process.identity));
        folders.sort_by_key(|(path, folder)| !is_named(path, folder));
        let mut uuids = HashSet::new();
        for (path, folder) in folders {
            if !uuids.insert(folder.process.identity.process_uuid) {
                let what = "another ring folder of a process that has one; it is not read";
                builder.trace.summary.damage(Damage::of_file(path, what));
                continue;
            }
            let session = folder.process.identity.session_id;
            // A session that was named is read without what other sessions have in the rings.
            if places.any_session || builder.sessions.contains(&session) {
                builder.add_folder(folder);
            }
        }
        if builder.trace.processes.is_empty() && !errors.is_empty() {
            return Err(errors.swap_remove(0).1);
        }
        for (path, error) in errors {
            builder.trace.summary.damage(Damage::of_file(&path, &error.reason()));
        }
        builder.trace.holds = holds;
        Ok(builder.finish())
    }

    /// Indexes one segment whose bytes are handed over, so that it need not be a file; `name` names it in messages.
    ///
    /// # Errors
    /// If it cannot be read, is foreign or of a later version.
    pub fn open_segment(name: &Path, bytes: Arc<dyn ReadAt>) -> Result<Self, ReadError> {
        let mut builder = Builder::default();
        builder.trace.given = Some(Arc::clone(&bytes));
        builder.add_indexed(name.to_owned(), segment::index_of(name, Input::Given(bytes))?);
        Ok(builder.finish())
    }

    /// The processes of the trace.
    #[must_use]
    pub fn processes(&self) -> &[ProcessInfo] {
        &self.processes
    }

    /// Calls `each` for every event that the filter wants, and every loss and hole, merged by time.
    ///
    /// # Errors
    /// What `each` returns.
    pub fn read<E>(
        &self,
        filter: &Filter,
        each: impl FnMut(&Item<'_>) -> Result<(), E>,
    ) -> Result<Summary, E> {
        self.read_with_progress(filter, |_, _| {}, each)
    }

    /// As [`Trace::read`]; `progress` is told from time to time how many bytes are done, and of how many.
    ///
    /// # Errors
    /// What `each` returns.
    pub fn read_with_progress<E>(
        &self,
        filter: &Filter,
        mut progress: impl FnMut(u64, u64),
        each: impl FnMut(&Item<'_>) -> Result<(), E>,
    ) -> Result<Summary, E> {
        let total = self.bytes();
        let mut told = |done: u64| progress(done.min(total), total);
        let summary = self.merge(filter, &mut told, None, each)?;
        progress(total, total);
        Ok(summary)
    }

    /// As [`Trace::read`]; `told` is told the bytes done, `ahead` reads what comes next.
    pub(crate) fn merge<E>(
        &self,
        filter: &Filter,
        told: &mut dyn FnMut(u64),
        ahead: Option<&dyn Ahead>,
        each: impl FnMut(&Item<'_>) -> Result<(), E>,
    ) -> Result<Summary, E> {
        merge(Loader::new(self, told, ahead), filter, self.summary.clone(), each)
    }

    /// What indexing found.
    pub(crate) const fn summary(&self) -> &Summary {
        &self.summary
    }

    /// How long a segment was when it was indexed.
    pub(crate) fn bytes_of(&self, segment: u32) -> Option<u64> {
        self.segment_bytes.get(segment as usize).copied()
    }

    pub(crate) fn path_of(&self, segment: u32) -> PathBuf {
        self.segments.get(segment as usize).cloned().unwrap_or_default()
    }

    /// Bytes of all segments, for a progress bar.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.summary.bytes
    }
}

struct Builder {
    trace: Trace,
    by_uuid: HashMap<[u8; 16], usize>,
    sessions: HashSet<[u8; 16]>,
    blocks: usize,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            trace: Trace {
                processes: Vec::new(),
                rings: BTreeMap::new(),
                segments: Vec::new(),
                segment_bytes: Vec::new(),
                holds: Vec::new(),
                given: None,
                summary: Summary::default(),
            },
            by_uuid: HashMap::new(),
            sessions: HashSet::new(),
            blocks: 0,
        }
    }
}

impl Builder {
    /// Processes in an order that follows from who they are, not from where they were found: it decides between events of one
    /// time, which must come out the same from rings and from the segments that those become.
    fn order_processes(&mut self) {
        let trace = &mut self.trace;
        let mut processes: Vec<_> = std::mem::take(&mut trace.processes).into_iter().enumerate().collect();
        processes.sort_by(|(_, a), (_, b)| {
            let who = |i: &ProcessIdentity| (i.pid, i.process_uuid);
            a.identity.component.cmp(&b.identity.component).then(who(&a.identity).cmp(&who(&b.identity)))
        });
        let places: HashMap<usize, usize> =
            processes.iter().enumerate().map(|(place, (found, _))| (*found, place)).collect();
        trace.processes = processes.into_iter().map(|(_, process)| process).collect();
        let rings = std::mem::take(&mut trace.rings).into_iter();
        trace.rings =
            rings.filter_map(|((process, id), ring)| Some(((*places.get(&process)?, id), ring))).collect();
        self.by_uuid.clear();
    }

    fn process(&mut self, identity: &ProcessIdentity) -> usize {
        let processes = &mut self.trace.processes;
        *self.by_uuid.entry(identity.process_uuid).or_insert_with(|| {
            processes.push(ProcessInfo {
                identity: identity.clone(),
                is_alive: false,
                schemas: Vec::new(),
                points: Vec::new(),
                clock: ClockMap::default(),
                first_segment: None,
            });
            processes.len() - 1
        })
    }

    fn add_schema(&mut self, process: usize, index: u16, schema: Schema) {
        let Some(info) = self.trace.processes.get_mut(process) else { return };
        let index = usize::from(index);
        if info.schemas.len() <= index {
            info.schemas.resize_with(index + 1, || None);
        }
        if let Some(entry) = info.schemas.get_mut(index)
            && entry.is_none()
        {
            let template = Template::parse(&schema);
            let fixed_len = schema.fixed_len();
            let (layout, forms) = forms(&schema);
            *entry = Some(Arc::new(Described {
                program: Program::new(&schema, &template),
                schema,
                fixed_len,
                template,
                layout,
                forms,
            }));
        }
    }

    fn add_points(&mut self, process: usize, points: Vec<ClockPoint>) {
        if let Some(info) = self.trace.processes.get_mut(process) {
            let room = MAX_POINTS.saturating_sub(info.points.len());
            info.points.extend(points.into_iter().take(room));
        }
    }

    fn add_folder(&mut self, folder: ring::Folder) {
        let process = self.process(&folder.process.identity);
        if let Some(info) = self.trace.processes.get_mut(process) {
            info.is_alive = folder.is_alive;
        }
        self.add_points(process, folder.process.points);
        for (index, schema) in folder.schemas {
            self.add_schema(process, index, schema);
        }
        for damage in folder.damage {
            self.trace.summary.damage(damage);
        }
        for leftover in folder.rings {
            self.add_leftover(process, leftover, folder.is_alive, !folder.is_of_this_boot);
        }
    }

    fn add_leftover(&mut self, process: usize, leftover: Leftover, is_alive: bool, is_unverified: bool) {
        let header = &leftover.header;
        let ring = self.trace.rings.entry((process, header.info.ring)).or_default();
        ring.info = header.info.clone();
        ring.is_unverified |= is_unverified;
        if !is_alive {
            let inside = header.lost[2].saturating_add(header.lost[3]);
            ring.counters = Some(RingCounters {
                ring: header.info.ring,
                is_final: true,
                position: header.head,
                attempted: header.attempted.saturating_add(inside),
                // Not told by a ring: what is missing shows in the law.
                delivered: 0,
                lost: header.lost,
            });
            ring.ended = true;
            ring.killed = true;
        }
        if header.head != header.tail {
            self.trace.summary.leftover_rings += 1;
            let (from, to, sequence) = (header.tail, header.head, header.sequence_at_tail);
            let first_ticks = Some(leftover.first_ticks);
            let source = Source::Ring(Box::new(leftover));
            ring.blocks.push(Block { from, to, sequence, first_ticks, is_unverified, source });
        }
    }

    /// A segment that was sealed between listing and opening.
    fn add_sealed(&mut self, path: &Path) {
        if path.extension().is_some_and(|e| e == "open") {
            let sealed = path.with_extension("");
            if let Ok(indexed) = segment::index(&sealed) {
                self.add_indexed(sealed, indexed);
            }
        }
    }

    fn add_indexed(&mut self, path: PathBuf, indexed: segment::Indexed) {
        match indexed {
            segment::Indexed::Whole(index) => self.add_segment(path, *index),
            segment::Indexed::Begun(bytes) => {
                self.trace.summary.torn += 1;
                self.trace.summary.torn_bytes += bytes;
            }
        }
    }

    fn add_segment(&mut self, path: PathBuf, index: segment::Index) {
        let process = self.process(&index.header.identity);
        let number = self.trace.segments.len();
        let bytes = index.bytes;
        let summary = &mut self.trace.summary;
        summary.segments += 1;
        summary.bytes += index.bytes;
        for damage in index.damage {
            summary.damage(damage);
        }
        summary.more_damaged += index.more_damaged;
        let identity = &index.header.identity;
        self.sessions.insert(identity.session_id);
        if let Some(info) = self.trace.processes.get_mut(process) {
            let number = index.header.sequence;
            info.first_segment = Some(info.first_segment.map_or(number, |first| first.min(number)));
        }
        if let Some(torn) = &index.torn {
            self.add_torn(process, torn);
        }
        let (mut scratch, mut raw) = (segment::Scratch::default(), Vec::new());
        for Found { header, offset } in index.blocks {
            let damage = |what: &str| Damage {
                offset,
                bytes: header.stored_len.into(),
                events: header.events.into(),
                ..Damage::of_file(&path, what)
            };
            if header.kind == BlockKind::Data {
                self.blocks += 1;
                if self.blocks > MAX_BLOCKS {
                    self.trace
                        .summary
                        .damage(damage("more blocks than one reading can have; name fewer files"));
                    break;
                }
                // A block without bytes has nothing to read.
                if header.from == header.to {
                    continue;
                }
                let is_unverified = header.flags & FLAG_UNVERIFIED != 0;
                let ring = self.trace.rings.entry((process, header.ring)).or_default();
                ring.is_unverified |= is_unverified;
                let segment = u32::try_from(number).unwrap_or(u32::MAX);
                let (stored_len, events) = (header.stored_len, header.events);
                ring.blocks.push(Block {
                    from: header.from,
                    to: header.to,
                    sequence: header.sequence,
                    first_ticks: (events != 0).then_some(header.first_ticks),
                    is_unverified,
                    source: Source::Segment { segment, stored_len, events, offset },
                });
            } else if header.kind != BlockKind::Unknown && header.kind != BlockKind::End {
                let read =
                    segment::read_block(&index.file, offset, header.stored_len, &mut scratch, &mut raw)
                        .and_then(|read| {
                            let killed = read.flags & FLAG_RECOVERED != 0;
                            self.add_meta(process, read.kind, killed, &raw)
                        });
                if let Err(error) = read {
                    self.trace.summary.damage(damage(error.what));
                }
            }
        }
        self.trace.segments.push(path);
        self.trace.segment_bytes.push(bytes);
    }

    fn add_torn(&mut self, process: usize, torn: &segment::Torn) {
        let summary = &mut self.trace.summary;
        summary.torn += 1;
        summary.torn_bytes = summary.torn_bytes.saturating_add(torn.bytes);
        if let Some(header) = torn.header.as_ref().filter(|h| h.kind == BlockKind::Data) {
            self.trace.rings.entry((process, header.ring)).or_default().torn.push(TornBlock {
                to: header.to,
                sequence_after: header.sequence.saturating_add(header.events.into()),
            });
        }
    }

    /// `killed`: a collector tells it of a process that could not end by itself.
    fn add_meta(
        &mut self,
        process: usize,
        kind: BlockKind,
        killed: bool,
        payload: &[u8],
    ) -> Result<(), DecodeError> {
        let mut reader = Reader::new(payload);
        match kind {
            BlockKind::Schemas => {
                for item in SchemaItems::of_block(payload) {
                    let (index, blob) = item?;
                    self.add_schema(process, index, Schema::parse(blob)?);
                }
            }
            BlockKind::Clocks => self.add_points(process, ClockPoint::decode_all(payload)?),
            BlockKind::Ring => {
                while !reader.rest().is_empty() {
                    let info = RingInfo::decode(&mut reader)?;
                    let id = info.ring;
                    self.trace.rings.entry((process, id)).or_default().info = info;
                }
            }
            BlockKind::Counters => {
                while !reader.rest().is_empty() {
                    let counters = RingCounters::decode(&mut reader)?;
                    let ring = self.trace.rings.entry((process, counters.ring)).or_default();
                    let is_newer = ring.counters.as_ref().is_none_or(|c| {
                        (c.is_final, c.attempted, c.position)
                            <= (counters.is_final, counters.attempted, counters.position)
                    });
                    if is_newer && (counters.is_final || !ring.ended) {
                        ring.ended |= counters.is_final;
                        ring.killed |= killed;
                        ring.counters = Some(counters);
                    }
                }
            }
            BlockKind::Data | BlockKind::End | BlockKind::Unknown => {}
        }
        Ok(())
    }

    fn finish(mut self) -> Trace {
        self.order_processes();
        let trace = &mut self.trace;
        // Every process of a boot has the same counter: the longest series tells its rate best.
        let mut slopes: HashMap<[u8; 16], (u64, f64)> = HashMap::new();
        for process in &trace.processes {
            if let Some((span, slope)) = slope_of(&process.points) {
                let best = slopes.entry(process.identity.boot_id).or_insert((span, slope));
                if span > best.0 {
                    *best = (span, slope);
                }
            }
        }
        for process in &mut trace.processes {
            let points = std::mem::take(&mut process.points);
            let slope = slopes.get(&process.identity.boot_id).map(|(_, slope)| *slope);
            process.clock = ClockMap::new(process.identity.clock, points, slope);
            let (error, coarse) = (&mut trace.summary.clock_error, &mut trace.summary.coarse_resolution);
            *error = (*error).max(process.clock.error);
            *coarse = (*coarse).max(process.identity.resolution);
        }
        let mut buffer = Buffer::new();
        let mut literal = |push: &dyn Fn(&mut Buffer)| {
            buffer.clear();
            push(&mut buffer);
            Literal::new(&buffer.as_text())
        };
        for ((process, _), ring) in &mut trace.rings {
            let (tid, name) = (ring.info.tid, &ring.info.thread_name);
            if let Some(process) = trace.processes.get(*process) {
                ring.text_head = literal(&|out| text::push_source(out, process, tid, name));
                ring.json_head = literal(&|out| json::push_source(out, process, tid, name));
            }
            // Of two blocks that begin at the same place the longer one first: the other is a duplicate. But what is left
            // in the ring comes after a block of a segment: the writer stores sequence and tail one after the other, so
            // that a kill between the two leaves the next tail's sequence beside the tail before it.
            ring.blocks
                .sort_by_key(|b| (b.from, matches!(b.source, Source::Ring(_)), std::cmp::Reverse(b.to)));
        }
        trace.summary.unverified_rings = trace.rings.values().filter(|ring| ring.is_unverified).count();
        trace.summary.processes = trace.processes.len();
        trace.summary.rings = trace.rings.keys().filter(|(_, ring)| *ring != 0).count();
        self.trace
    }
}
