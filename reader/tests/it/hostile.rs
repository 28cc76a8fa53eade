//! Bytes made to do harm: with right checksums, so that they come far.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use tracewell_reader::render::json::JsonRenderer;
use tracewell_reader::render::text::TextRenderer;
use tracewell_reader::{Filter, ReadError, Trace};
use tracewell_schema::format::block::{BlockHeader, BlockKind};
use tracewell_schema::format::crc;
use tracewell_schema::format::process::encode_schema_payload_item;

use crate::synth::{RingFile, STEP, Segment, info, loss, steps, write_folder};

/// Reads and renders everything; every JSON line must be JSON, every text line printable.
fn read_all(paths: &[PathBuf]) {
    let Ok(trace) = Trace::open(paths, &[]) else { return };
    let (mut text, mut json) = (TextRenderer::new(false), JsonRenderer::new());
    let mut out = String::new();
    let summary = trace.read(&Filter::default(), |item| {
        out.clear();
        text.push(&mut out, item);
        assert!(out.ends_with('\n') && !out[..out.len() - 1].contains(|c: char| c.is_control()), "{out:?}");
        out.clear();
        json.push(&mut out, item);
        if let tracewell_reader::Item::Event(event) = item {
            let _ = event.has_text("x");
        }
        serde_json::from_str::<serde_json::Value>(&out).unwrap_or_else(|e| panic!("{e}: {out}"));
        Ok::<(), ReadError>(())
    });
    let summary = summary.unwrap();
    assert!(!summary.to_text().contains('\u{1b}'));
    serde_json::to_string(&summary).unwrap();
}

fn change(bytes: &mut Vec<u8>, changes: &[(usize, u8)], cut: Option<usize>) {
    for (at, value) in changes {
        let len = bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(at % len) {
            *byte = *value;
        }
    }
    if let Some(cut) = cut {
        bytes.truncate(cut % (bytes.len() + 1));
    }
}

fn changes() -> impl Strategy<Value = Vec<(usize, u8)>> {
    prop::collection::vec((any::<usize>(), prop_oneof![any::<u8>(), Just(0), Just(0xff), Just(0x80)]), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn changed_segments(changes in changes(), cut in prop::option::of(any::<usize>()), open: bool) {
        let dir = tempfile::tempdir().unwrap();
        let mut segment = Segment::new("scanner", 7, 1);
        segment.data(1, 0, 0, &steps(0..5, 9)).data(2, 0, 0, &loss(3, 4)).counters(1, 5, 0).end();
        change(&mut segment.bytes, &changes, cut);
        let path = if open { segment.write_open(dir.path()) } else { segment.write(dir.path()) };
        read_all(&[path]);
    }

    #[test]
    fn changed_payloads_with_right_checksums(
        kind in 1..6_u8,
        changes in changes(),
        cut in prop::option::of(any::<usize>()),
        words in prop::array::uniform6(prop_oneof![0..100_u64, any::<u64>(), Just(u64::MAX)]),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut segment = Segment::new("scanner", 7, 1);
        let counters = tracewell_schema::format::ring::RingCounters::default();
        let (kind, mut payload) = match kind {
            1 => (BlockKind::Data, [steps(0..5, 9), loss(3, 4)].concat()),
            2 => (BlockKind::Schemas, encode_schema_payload_item(3, &STEP.to_blob())),
            3 => (BlockKind::Clocks, crate::synth::points().iter().flat_map(|p| p.encode()).collect()),
            4 => (BlockKind::Ring, info(1).encode()),
            _ => (BlockKind::Counters, counters.encode()),
        };
        change(&mut payload, &changes, cut);
        let [from, sequence, first_ticks, last_ticks, lost, events] = words;
        let header = BlockHeader {
            ring: 1,
            from,
            to: from.saturating_add(payload.len() as u64),
            sequence,
            first_ticks,
            last_ticks,
            lost,
            events: events as u32 % 8,
            ..BlockHeader::meta(kind)
        };
        segment.block(header, &payload).data(1, 4096, 7, &steps(0..5, 9)).end();
        read_all(&[segment.write(dir.path())]);
    }

    #[test]
    fn changed_ring_folders(
        header in changes(),
        data in changes(),
        process in changes(),
        words in prop::array::uniform6(prop_oneof![0..70_000_u64, any::<u64>()]),
        cut in prop::option::of(any::<usize>()),
    ) {
        let root = tempfile::tempdir().unwrap();
        let mut ring = RingFile::new(7, 1, 1 << 16, 65_000, 3, &steps(0..40, 9));
        change(&mut ring.data, &data, None);
        let [head, tail, sequence, attempted, reserved, lost] = words;
        let folder = write_folder(root.path(), "scanner", 7, &[ring]);
        let path = folder.join("ring-000000");
        let mut bytes = fs::read(&path).unwrap();
        if sequence % 2 == 0 {
            bytes[192..200].copy_from_slice(&head.to_le_bytes());
            bytes[320..328].copy_from_slice(&tail.to_le_bytes());
        }
        bytes[200..208].copy_from_slice(&attempted.to_le_bytes());
        bytes[208..216].copy_from_slice(&reserved.to_le_bytes());
        bytes[256..264].copy_from_slice(&lost.to_le_bytes());
        bytes[328..336].copy_from_slice(&sequence.to_le_bytes());
        for (at, value) in header {
            bytes[48 + at % 72] = value;
        }
        let sum = crc(&[&bytes[..40], &bytes[48..120]].concat());
        bytes[120..124].copy_from_slice(&sum.to_le_bytes());
        if let Some(cut) = cut {
            bytes.truncate(cut % (bytes.len() + 1));
        }
        fs::write(&path, bytes).unwrap();
        let path = folder.join("process");
        let mut bytes = fs::read(&path).unwrap();
        for (at, value) in process {
            bytes[16 + at % 160] = value;
        }
        let sum = crc(&bytes[..176]);
        bytes[176..180].copy_from_slice(&sum.to_le_bytes());
        fs::write(&path, bytes).unwrap();
        read_all(&[folder]);
    }

    #[test]
    fn changed_schemas_decode_what_they_find(changes in changes(), payload in prop::collection::vec(any::<u8>(), 0..200)) {
        let dir = tempfile::tempdir().unwrap();
        let mut catalog = Blobs(Vec::new());
        tracewell_schema::catalog::sample::visit(1, &mut catalog);
        let mut segment = Segment::new("scanner", 7, 1);
        let mut records = Vec::new();
        for (index, mut blob) in catalog.0.into_iter().enumerate() {
            change(&mut blob, &changes, None);
            let index = index as u16 + 10;
            segment.meta(BlockKind::Schemas, &encode_schema_payload_item(index, &blob));
            let mut record = crate::synth::record(1, index, 5, &payload);
            record[7] = (index % 2) as u8;
            records.extend(record);
        }
        segment.data(1, 0, 0, &records).end();
        read_all(&[segment.write(dir.path())]);
    }
}

struct Blobs(Vec<Vec<u8>>);

impl tracewell_schema::catalog::sample::Visitor for Blobs {
    fn event<E: tracewell_schema::Event>(&mut self, _: &E) {
        self.0.push(E::SCHEMA.to_blob());
    }
}

#[test]
fn a_lying_clock_and_a_lying_header_keep_the_order_within_a_ring() {
    let dir = tempfile::tempdir().unwrap();
    let mut segment = Segment::new("scanner", 7, 1);
    let far = crate::synth::step(0, u64::MAX);
    segment.data(1, 0, 0, &far).data(1, far.len() as u64, 1, &steps(1..4, 10)).data(
        2,
        0,
        0,
        &steps(0..4, 1000),
    );
    segment.end();
    let (seen, _) = crate::synth::read(&segment.write(dir.path()));
    use crate::synth::events;
    assert_eq!(seen, [events(7, 2, 0..4), events(7, 1, 0..4)].concat());
}
