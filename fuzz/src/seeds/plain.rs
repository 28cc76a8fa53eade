//! Files as an engine writes them: what the fuzzer begins with.

use tracewell_schema::Event;
use tracewell_schema::catalog::sample::{Visitor, visit};
use tracewell_schema::format::block::{BlockHeader, BlockKind, Codec, compress_block, compress_columns};
use tracewell_schema::format::columns::{Encoder, Layout};
use tracewell_schema::format::process::{ProcessFile, encode_schema_item, encode_schema_payload_item};
use tracewell_schema::format::record::{FLAG_REDUCED, KIND_EVENT, RecordHeader};
use tracewell_schema::{Schema, SchemaRef};

use super::Seed;
use super::synth::{RingFile, STEP, Segment, identity, loss, pad, points, steps};
use crate::checksums;
use crate::mutate::{events_of, store};
use crate::scene::{self, Item};

/// One process, two rings, all kinds of blocks, sealed.
#[must_use]
pub fn plain_segment() -> Vec<u8> {
    let mut segment = Segment::new("scanner", 7, 1);
    let records = [steps(0..5, 9), loss(50, 4)].concat();
    segment.data(1, 0, 0, &records).data(2, 0, 0, &[steps(0..3, 11), pad(24)].concat());
    segment.data(1, records.len() as u64, 5, &steps(5..9, 9));
    segment.counters(1, 9, 4).counters(2, 3, 0).end();
    segment.bytes
}

/// A ring, as an item of a scene: its header, and what is between tail and head.
pub(super) fn ring_item(ring: &RingFile) -> Item {
    let header = &ring.header;
    let mut bytes = header.encode()[..scene::RING_HEADER].to_vec();
    let len = header.head.wrapping_sub(header.tail).min(header.capacity);
    bytes.extend((0..len).map(|i| ring.data[(header.tail.wrapping_add(i) % header.capacity) as usize]));
    Item { kind: scene::RING, bytes }
}

pub(super) fn process_item(pid: u32) -> Item {
    Item {
        kind: scene::PROCESS,
        bytes: ProcessFile { identity: identity("scanner", pid), points: points() }.encode(),
    }
}

pub(super) fn schemas_item() -> Item {
    Item { kind: scene::SCHEMAS, bytes: encode_schema_item(3, &STEP.to_blob()) }
}

/// The ring folder of a killed process with two rings, the second over the end of its lap.
#[must_use]
pub fn plain_folder() -> Vec<u8> {
    let one = RingFile::new(7, 1, 1 << 16, 0, 0, &[steps(0..6, 9), loss(60, 0)].concat());
    let lap = steps(0..2, 9).len() as u64;
    let two = RingFile::new(
        7,
        2,
        1 << 16,
        (3 << 16) - lap - 16,
        0,
        &[steps(0..2, 9), pad(16), steps(2..5, 9)].concat(),
    );
    scene::build(&[process_item(7), schemas_item(), ring_item(&one), ring_item(&two)])
}

/// A segment with every event of the catalog, by one codec.
struct Catalog {
    schemas: Vec<&'static SchemaRef>,
    records: Vec<u8>,
    ticks: u64,
}

impl Visitor for Catalog {
    fn event<E: Event>(&mut self, event: &E) {
        let known = self.schemas.iter().position(|s| std::ptr::eq(*s, E::SCHEMA));
        let index = known.unwrap_or_else(|| {
            self.schemas.push(E::SCHEMA);
            self.schemas.len() - 1
        });
        let mut payload = vec![0; event.encoded_len()];
        event.encode(&mut payload);
        self.ticks += 1 << (self.ticks % 23);
        let mut flags = 0;
        if self.ticks.is_multiple_of(5) {
            flags = FLAG_REDUCED;
            payload.extend_from_slice(&[0, 5, 1]);
        }
        let len = (16 + payload.len()) as u32;
        let header = RecordHeader { len, event: index as u16, kind: KIND_EVENT, flags, ticks: self.ticks };
        self.records.extend_from_slice(&header.encode());
        self.records.extend_from_slice(&payload);
        self.records.resize(self.records.len().next_multiple_of(8), 0);
    }
}

fn catalog(seed: u64) -> Catalog {
    let mut catalog = Catalog { schemas: Vec::new(), records: Vec::new(), ticks: 1 };
    visit(seed, &mut catalog);
    catalog
}

/// `codec` and what the catalog's records are stored as.
fn stored(catalog: &Catalog, codec: Codec) -> Vec<u8> {
    let (mut encoder, mut columns, mut out) = (Encoder::default(), Vec::new(), Vec::new());
    let raw = &catalog.records;
    encoder.walk(raw, raw.len(), &mut |event| catalog.schemas.get(usize::from(event)).map(|s| Layout::of(s)));
    encoder.encode(raw, &mut columns, &mut || {});
    match codec {
        Codec::Raw => raw.clone(),
        Codec::Lz4 => {
            compress_block(raw, &mut out);
            out
        }
        Codec::Columns => columns,
        Codec::ColumnsLz4 => {
            compress_columns(&columns, &mut out);
            out
        }
    }
}

fn catalog_segment(seed: u64, codec: Codec) -> Vec<u8> {
    let catalog = catalog(seed);
    let mut segment = Segment::new("catalog", 9, 1);
    for (index, schema) in catalog.schemas.iter().enumerate() {
        segment.meta(BlockKind::Schemas, &encode_schema_payload_item(index as u16, &schema.to_blob()));
    }
    // Number 3 was that of another type.
    segment.bytes.drain(segment.blocks[0]..segment.blocks[1]);
    let (events, first_ticks, last_ticks) = events_of(&catalog.records);
    let stored = stored(&catalog, codec);
    let len = catalog.records.len() as u64;
    let header = BlockHeader {
        ring: 1,
        events,
        first_ticks,
        last_ticks,
        codec,
        to: len,
        ..BlockHeader::meta(BlockKind::Data)
    };
    let header = BlockHeader { stored_len: stored.len() as u32, raw_len: len as u32, ..header };
    segment.bytes.extend_from_slice(&header.encode());
    segment.bytes.extend_from_slice(&stored);
    segment.bytes.resize(segment.bytes.len().next_multiple_of(8), 0);
    let sequence = segment.blocks.len() as u64;
    segment.block(BlockHeader { sequence, ..BlockHeader::meta(BlockKind::End) }, &[]);
    checksums::fix_segment(&mut segment.bytes);
    segment.bytes
}

pub(super) const CODECS: [(Codec, &str); 4] = [
    (Codec::Raw, "raw"),
    (Codec::Lz4, "lz4"),
    (Codec::Columns, "columns"),
    (Codec::ColumnsLz4, "columns-lz4"),
];

fn seed(target: &'static str, name: impl Into<String>, bytes: Vec<u8>) -> Seed {
    Seed { target, name: name.into(), bytes, verdict: None }
}

pub(super) fn seeds() -> Vec<Seed> {
    let mut all = vec![seed("segment", "plain", plain_segment()), seed("ring", "plain", plain_folder())];
    for (number, (codec, name)) in CODECS.into_iter().enumerate() {
        all.push(seed("segment", format!("catalog-{name}"), catalog_segment(number as u64, codec)));
        let catalog = catalog(number as u64);
        let mut bytes = (catalog.records.len() as u32).to_le_bytes().to_vec();
        bytes.rotate_right(1);
        bytes[0] = number as u8;
        bytes.extend_from_slice(&stored(&catalog, codec));
        all.push(seed("codec", format!("catalog-{name}"), bytes));
        // Small ones, which the fuzzer changes more quickly.
        let raw = [steps(0..4, 9), loss(40, 2), pad(16)].concat();
        let file = Segment::new("scanner", 7, 1).bytes;
        let (codec, stored) = store(&file, codec, &raw);
        let [a, b, c, _] = (raw.len() as u32).to_le_bytes();
        all.push(seed("codec", format!("steps-{name}"), [&[codec as u8, a, b, c][..], &stored].concat()));
    }
    for schema in tracewell_schema::catalog::all() {
        let blob = schema.to_blob();
        let payload = vec![0; Schema::parse(&blob).map_or(0, |s| s.fixed_len())];
        let len = (blob.len() as u16).to_le_bytes();
        all.push(seed("schema", format!("catalog-{}", schema.name), [&len[..], &blob, &payload].concat()));
    }
    all.push(seed("trace", "plain", trace()));
    all
}

/// A killed process: its segment cut in the third block, which is in the ring, as the second is; beside it another's.
fn trace() -> Vec<u8> {
    let (a, b, c) = (steps(0..10, 1000), steps(10..20, 1000), steps(20..30, 1000));
    let mut segment = Segment::new("scanner", 7, 1);
    let len = a.len() as u64;
    segment.data(1, 0, 0, &a).data(1, len, 10, &b).data(1, 2 * len, 20, &c);
    segment.bytes.truncate(segment.bytes.len() - 20);
    let ring = RingFile::new(7, 1, 1 << 16, len, 10, &[b, c].concat());
    let mut other = Segment::new("updater", 8, 1);
    other.data(1, 0, 0, &steps(0..4, 700)).counters(1, 4, 0).end();
    let item = |kind, bytes| Item { kind, bytes };
    scene::build(&[
        item(scene::OPEN_SEGMENT, segment.bytes),
        item(scene::SEGMENT, other.bytes),
        process_item(7),
        schemas_item(),
        ring_item(&ring),
        item(scene::NEXT, Vec::new()),
        process_item(8),
        item(scene::ALIVE, Vec::new()),
        schemas_item(),
        ring_item(&RingFile::new(8, 2, 1 << 16, 0, 0, &steps(0..3, 800))),
    ])
}
