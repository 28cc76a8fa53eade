//! Reading by columns gives what reading event by event gives: whatever the types, however the blocks are stored, and
//! also where they are hostile.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use tracewell_reader::{Filter, Item, Part, ReadError, Summary, Trace};
use tracewell_schema::format::block::{BlockHeader, BlockKind, Codec, compress_block, compress_columns};
use tracewell_schema::format::columns::{Encoder, Layout};
use tracewell_schema::format::crc;
use tracewell_schema::format::process::encode_schema_payload_item;
use tracewell_schema::format::record::{FLAG_REDUCED, KIND_EVENT, LossCounts, RecordHeader, Records};
use tracewell_schema::{Schema, Value};

use crate::synth::{RingFile, STEP, Segment, loss, pad, steps, text_step, write_folder};

/// Of an event: time, type, and its values with what was kept of them, up to the first that cannot be decoded.
type Seen = BTreeMap<(usize, u32, u64), (i64, String, Vec<String>)>;

/// Losses and holes, and the summary, the damaged parts in an order of their own.
type Told = (Vec<String>, serde_json::Value);

fn told(mut others: Vec<String>, summary: &Summary) -> Told {
    others.sort();
    let mut summary = serde_json::to_value(summary).unwrap();
    let mut parts: BTreeMap<String, (u64, u64, u64)> = BTreeMap::new();
    for part in summary["damaged"].as_array().unwrap() {
        let sum = parts.entry(format!("{} {}", part["file"], part["what"])).or_default();
        sum.0 += part["bytes"].as_u64().unwrap();
        sum.1 += part["events"].as_u64().unwrap();
    }
    summary["damaged"] = serde_json::to_value(parts).unwrap();
    (others, summary)
}

fn by_event(trace: &Trace, filter: &Filter) -> (Seen, Told) {
    let (mut seen, mut others) = (Seen::new(), Vec::new());
    let summary = trace.read(filter, |item| {
        match item {
            Item::Event(event) => {
                let values = event.values.iter().map_while(Result::ok);
                let values = values.map(|f| format!("{:?} {:?}", f.value, f.reduction)).collect();
                let key = (event.process_index, event.ring, event.sequence);
                let before = seen.insert(key, (event.time, event.schema.name.clone(), values));
                assert!(before.is_none(), "{key:?} twice");
            }
            Item::Lost { time, process_index, tid, counts, .. } => {
                others.push(format!("lost {time} {process_index} {tid} {counts:?}"));
            }
            Item::Hole { time, process_index, tid, events, .. } => {
                others.push(format!("hole {time} {process_index} {tid} {events}"));
            }
            _ => unreachable!(),
        }
        Ok::<(), ReadError>(())
    });
    (seen, told(others, &summary.unwrap()))
}

fn by_column(trace: &Trace, filter: &Filter) -> (Seen, Told) {
    let (mut seen, mut others) = (Seen::new(), Vec::new());
    let summary = trace.batches(filter, |part| {
        match part {
            Part::Batch(batch) => {
                assert!(!batch.is_empty());
                let columns: Vec<_> = batch.columns().collect();
                let broken: BTreeMap<usize, usize> = batch.broken().iter().copied().collect();
                for (row, time) in batch.times.iter().enumerate() {
                    let known = broken.get(&row).copied().unwrap_or(columns.len());
                    assert!(columns.iter().skip(known).all(|column| column.is_null(row)));
                    let values = columns.iter().take(known);
                    let values = values.map(|c| format!("{:?} {:?}", c.value(row), c.reduction)).collect();
                    let sequence = batch.sequence(row).unwrap();
                    let key = (batch.process_index, batch.ring, sequence);
                    let before = seen.insert(key, (*time, batch.schema.name.clone(), values));
                    assert!(before.is_none(), "{key:?} twice");
                    assert!(row == 0 || batch.sequence(row - 1).unwrap() < sequence);
                }
                assert_eq!(batch.sequence(batch.len()), None);
            }
            Part::Lost { time, process_index, tid, counts, .. } => {
                others.push(format!("lost {time} {process_index} {tid} {counts:?}"));
            }
            Part::Hole { time, process_index, tid, events, .. } => {
                others.push(format!("hole {time} {process_index} {tid} {events}"));
            }
            _ => unreachable!(),
        }
        Ok::<(), ReadError>(())
    });
    (seen, told(others, &summary.unwrap()))
}

/// Reads both ways; returns how many events that gave.
fn check(trace: &Trace, filter: &Filter) -> usize {
    let (events, columns) = (by_event(trace, filter), by_column(trace, filter));
    let differs = events.0.iter().find(|(key, event)| columns.0.get(*key) != Some(event));
    assert_eq!(differs, None, "columns: {:?}", differs.and_then(|(key, _)| columns.0.get(key)));
    assert_eq!(events.0.len(), columns.0.len());
    assert_eq!(events.1, columns.1);
    events.0.len()
}

fn open(dir: &Path) -> Trace {
    Trace::open(&[dir.to_owned()], &[]).unwrap()
}

/// How a block is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Store {
    Records,
    Columns,
    Lz4,
}

/// A data block stored as columns, if it can be.
fn add(
    segment: &mut Segment,
    schemas: &[Schema],
    store: Store,
    at: (u32, u64, u64),
    records: &[u8],
    spoil: &[u64],
) {
    let (ring, from, sequence) = at;
    let mut encoder = Encoder::default();
    let layout_of = &mut |event: u16| schemas.get(usize::from(event)).map(Layout::of_schema);
    let walk = encoder.walk(records, records.len(), layout_of);
    let (mut columns, mut stored) = (Vec::new(), Vec::new());
    let codec = if store != Store::Records && walk.is_regular && walk.len == records.len() {
        encoder.encode(records, &mut columns, &mut || {});
        for spoilt in spoil {
            let place = (spoilt >> 8) as usize % columns.len();
            columns[place] = *spoilt as u8;
        }
        match store {
            Store::Lz4 => compress_columns(&columns, &mut stored),
            _ => Codec::Columns,
        }
    } else {
        compress_block(records, &mut stored)
    };
    let stored = match codec {
        Codec::Raw => records,
        Codec::Columns => &columns,
        _ => &stored,
    };
    let ticks: Vec<u64> = Records::new(records)
        .map_while(Result::ok)
        .filter(|r| r.header.kind == KIND_EVENT)
        .map(|r| r.header.ticks)
        .collect();
    let mut header = BlockHeader {
        codec,
        ring,
        from,
        to: from + records.len() as u64,
        sequence,
        events: ticks.len() as u32,
        first_ticks: ticks.first().copied().unwrap_or(0),
        last_ticks: ticks.last().copied().unwrap_or(0),
        raw_len: records.len() as u32,
        stored_len: stored.len() as u32,
        payload_crc: crc(stored),
        ..BlockHeader::meta(BlockKind::Data)
    };
    header.file_tag.copy_from_slice(&segment.header.file_id[..8]);
    segment.blocks.push(segment.bytes.len());
    segment.bytes.extend_from_slice(&header.encode());
    segment.bytes.extend_from_slice(stored);
    segment.bytes.resize(segment.bytes.len().next_multiple_of(8), 0);
}

/// Schemas by event index, with the one of the steps at 3.
fn with_step(others: [Schema; 3]) -> Vec<Schema> {
    let mut all = others.to_vec();
    all.push(Schema::parse(&STEP.to_blob()).unwrap());
    all
}

struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A type's code, and where it has them its other bytes.
fn random_type(numbers: &mut Numbers, depth: u8) -> Vec<u8> {
    let code = 1 + numbers.below(if depth == 0 { 24 } else { 19 }) as u8;
    match code {
        13 => [&[13][..], &(1 + numbers.below(40) as u16).to_le_bytes()].concat(),
        18 => [&[18, 1, 0][..], &7_u32.to_le_bytes(), b"\x05seven"].concat(),
        19 => [&[19, 1, 0][..], &8_u64.to_le_bytes(), b"\x05eight"].concat(),
        20 | 21 => [vec![code], random_type(numbers, 1)].concat(),
        _ => vec![code],
    }
}

fn random_schema(numbers: &mut Numbers, name: &str) -> (Vec<u8>, Schema) {
    let mut blob = vec![1, 0, name.len() as u8];
    blob.extend_from_slice(name.as_bytes());
    blob.extend_from_slice(&[13, 1 + numbers.below(5) as u8, 0, 0, 0, 0, 0]);
    let fields = numbers.below(9) as u8;
    blob.push(fields);
    for field in 0..fields {
        blob.extend_from_slice(&[2, b'f', b'0' + field]);
        blob.extend_from_slice(&random_type(numbers, 0));
        blob.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    let schema = Schema::parse(&blob).unwrap();
    (blob, schema)
}

/// A payload by the schema; some have bytes that are no value.
fn random_payload(numbers: &mut Numbers, schema: &Schema, is_wild: bool) -> Vec<u8> {
    use tracewell_schema::FieldType as T;
    let (mut fixed, mut variable) = (Vec::new(), Vec::new());
    for field in &schema.fields {
        let (mut is_there, ty) = match &field.ty {
            T::Optional(inner) => {
                let present = numbers.below(if is_wild { 3 } else { 2 }) as u8;
                fixed.push(present);
                (present == 1, inner.as_ref())
            }
            other => (true, other),
        };
        is_there |= is_wild && numbers.one_in(8);
        let width = ty.fixed_len();
        let few = numbers.below(4) as u8;
        let start = fixed.len();
        match ty {
            _ if !is_there => fixed.resize(start + width, 0),
            T::Bool => fixed.push(numbers.below(if is_wild { 3 } else { 2 }) as u8),
            T::Str | T::Bytes | T::List(_) => {
                let len = numbers.below(if numbers.0 & 64 == 0 { 4 } else { 60 }) as u16;
                let cut = if numbers.one_in(9) { 0x8000 } else { 0 };
                fixed.extend_from_slice(&(len | cut).to_le_bytes());
                variable.resize(variable.len() + usize::from(len), b'a' + few);
            }
            T::Ip | T::Socket => {
                let kinds = [0, 4, 6, 0x4b, 1];
                fixed.push(kinds[numbers.below(if is_wild { 5 } else { 4 }) as usize]);
                fixed.resize(start + width, few);
            }
            T::Secret => {
                fixed.push([0, 3, 255][numbers.below(3) as usize]);
                fixed.resize(start + width, few);
            }
            _ if numbers.0 & 0x300 == 0 => {
                fixed.extend((0..width).map(|_| numbers.next() as u8));
            }
            _ => fixed.resize(start + width, few),
        }
    }
    fixed.extend_from_slice(&variable);
    fixed
}

fn random_record(numbers: &mut Numbers, ticks: u64, schemas: &[Schema], is_wild: bool) -> Vec<u8> {
    if numbers.one_in(20) {
        return loss(ticks, numbers.below(4));
    }
    let event = match is_wild && numbers.one_in(60) {
        // A type that has no schema.
        true => 5,
        false => numbers.below(4) as u16,
    };
    let schema = schemas.get(usize::from(event)).unwrap_or(&schemas[0]);
    let has_bad_values = is_wild && numbers.one_in(5);
    let mut payload = random_payload(numbers, schema, has_bad_values);
    let mut flags = 0;
    if numbers.one_in(4) {
        flags = FLAG_REDUCED;
        let pairs = numbers.below(2) as u8;
        for _ in 0..pairs {
            payload.extend_from_slice(&[numbers.below(3) as u8, numbers.below(8) as u8]);
        }
        payload.push(if is_wild && numbers.one_in(9) { 200 } else { pairs });
    } else if is_wild && numbers.one_in(30) {
        payload.extend_from_slice(b"of a later version");
    }
    if is_wild && numbers.one_in(50) {
        payload.truncate(numbers.below(payload.len() as u64 + 1) as usize);
    }
    let len = (16 + payload.len()) as u32;
    let mut out = RecordHeader { len, event, kind: KIND_EVENT, flags, ticks }.encode().to_vec();
    out.extend_from_slice(&payload);
    out.resize(out.len().next_multiple_of(8), 0);
    out
}

/// A session of two rings, in blocks that are stored in all ways.
fn write_random(dir: &Path, seed: u64, is_wild: bool) {
    let mut numbers = Numbers(seed);
    let mut segment = Segment::new("scanner", 7, 1);
    let mut random = |name: &str| {
        let (blob, schema) = random_schema(&mut numbers, name);
        (blob, schema)
    };
    let (a, b, c) = (random("test.a"), random("test.b"), random("test.c"));
    for (index, (blob, _)) in [&a, &b, &c].into_iter().enumerate() {
        segment.meta(BlockKind::Schemas, &encode_schema_payload_item(index as u16, blob));
    }
    let schemas = with_step([a.1, b.1, c.1]);
    let (mut from, mut sequence, mut ticks) = ([0; 2], [0; 2], 1_000_000);
    for _ in 0..numbers.below(8) {
        let ring = numbers.below(2) as usize;
        let is_wild_block = is_wild && numbers.one_in(2);
        let mut records: Vec<u8> = Vec::new();
        let kinds = 1 + numbers.below(4) as usize;
        for _ in 0..numbers.below(60) {
            ticks += numbers.below(1000);
            let late = if numbers.one_in(30) { 5_000 } else { 0 };
            let some = schemas.get(..kinds.max(4)).unwrap();
            records.extend(random_record(&mut numbers, ticks - late, some, is_wild_block));
        }
        if numbers.one_in(3) {
            records.extend(pad(8 * (1 + numbers.below(4) as u32)));
        }
        let store = [Store::Records, Store::Columns, Store::Lz4][numbers.below(3) as usize];
        let spoil: Vec<u64> =
            (0..if is_wild_block { numbers.below(3) } else { 0 }).map(|_| numbers.next()).collect();
        // A hole, or a block that begins before the last one ends.
        if is_wild && numbers.one_in(6) {
            sequence[ring] += 3;
        }
        let twice = if is_wild && numbers.one_in(6) { 2 } else { 1 };
        for _ in 0..twice {
            add(
                &mut segment,
                &schemas,
                store,
                (1 + ring as u32, from[ring], sequence[ring]),
                &records,
                &spoil,
            );
        }
        let events =
            Records::new(&records).map_while(Result::ok).filter(|r| r.header.kind == KIND_EVENT).count();
        sequence[ring] += events as u64;
        from[ring] += records.len() as u64;
        if is_wild && numbers.one_in(8) {
            let from_start = numbers.below(from[ring].max(1)) / 8 * 8;
            from[ring] = from[ring].min(from_start.max(from[ring] / 2 / 8 * 8));
        }
    }
    segment.end();
    if is_wild && numbers.one_in(4) {
        let at = numbers.below(segment.bytes.len() as u64) as usize;
        segment.bytes[at] ^= 1 << numbers.below(8);
    }
    segment.write(dir);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn columns_have_what_events_have(seed: u64) {
        let dir = tempfile::tempdir().unwrap();
        write_random(dir.path(), seed, false);
        check(&open(dir.path()), &Filter::default());
    }

    #[test]
    fn hostile_columns_have_what_hostile_events_have(seed: u64) {
        let dir = tempfile::tempdir().unwrap();
        write_random(dir.path(), seed, true);
        if let Ok(trace) = Trace::open(&[dir.path().to_owned()], &[]) {
            check(&trace, &Filter::default());
        }
    }
}

/// Blocks of steps as columns, a loss among them.
fn write_steps(dir: &Path, store: Store) -> u64 {
    let step = Schema::parse(&STEP.to_blob()).unwrap();
    let schemas = vec![step; 4];
    let mut segment = Segment::new("scanner", 7, 1);
    let mut from = 0;
    for block in 0..10_u64 {
        let numbers = block * 100..(block + 1) * 100;
        let mut records = steps(numbers, 1000);
        if block == 4 {
            records.extend(loss(499_999, 6));
        }
        add(&mut segment, &schemas, store, (1, from, block * 100), &records, &[]);
        from += records.len() as u64;
    }
    segment.counters(1, 1000, 6).end().write(dir);
    from
}

#[test]
fn slices_have_the_values_of_all_events() {
    for store in [Store::Records, Store::Columns, Store::Lz4] {
        let dir = tempfile::tempdir().unwrap();
        write_steps(dir.path(), store);
        let trace = open(dir.path());
        assert_eq!(check(&trace, &Filter::default()), 1000);
        let (mut sum, mut texts, mut lost) = (0, 0, 0);
        let summary = trace.batches(&Filter::default(), |part| {
            match part {
                Part::Batch(batch) => {
                    let number = batch.column("number").unwrap();
                    assert!(number.nulls.is_empty());
                    sum += number.values.u64s().unwrap().iter().sum::<u64>();
                    assert!(number.values.u32s().is_none() && batch.column("other").is_none());
                    let paths = batch.column("path").unwrap().values.strings().unwrap();
                    texts += paths.iter().filter(|path| *path == b"/tmp/x").count();
                    assert_eq!(paths.get(batch.len()), b"");
                    assert_eq!(batch.column("path").unwrap().value(batch.len()), Value::Absent);
                    assert_eq!(paths.ids().is_some(), store != Store::Records);
                }
                Part::Lost { counts, .. } => lost += counts.total(),
                other => panic!("{other:?}"),
            }
            Ok::<(), ReadError>(())
        });
        let summary = summary.unwrap();
        assert_eq!((sum, texts, lost), (499_500, 1000, 6));
        assert_eq!((summary.events, summary.lost_total(), summary.law.len()), (1000, 6, 0));
    }
}

#[test]
fn filters_and_times_in_the_middle_of_a_block() {
    let dir = tempfile::tempdir().unwrap();
    write_steps(dir.path(), Store::Columns);
    let trace = open(dir.path());
    let at = |ticks: i64| Some(crate::synth::START + ticks);
    let default = Filter::default;
    let filters = [
        (Filter { since: at(150_000), ..default() }, 850),
        (Filter { since: at(150_000), until: at(420_500), ..default() }, 271),
        (Filter { until: at(-5), ..default() }, 0),
        (Filter { events: vec!["test.other".into()], ..default() }, 0),
        (Filter { events: vec!["test.step".into()], ..default() }, 1000),
        (Filter { pids: vec![8], ..default() }, 0),
        (Filter { level: 2, ..default() }, 0),
    ];
    for (filter, events) in filters {
        assert_eq!(check(&trace, &filter), events, "{filter:?}");
    }
}

#[test]
fn an_error_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    write_steps(dir.path(), Store::Columns);
    let mut calls = 0;
    let ended = open(dir.path()).batches(&Filter::default(), |_| {
        calls += 1;
        Err::<(), &str>("enough")
    });
    assert_eq!((ended.err(), calls), (Some("enough"), 1));
}

#[test]
fn a_segment_that_is_cut_and_what_its_ring_still_has() {
    let dir = tempfile::tempdir().unwrap();
    let from = write_steps(dir.path(), Store::Lz4);
    // What the ring has begins in the last block: that part is not read twice.
    let records = steps(950..1200, 1000);
    let tail = from - steps(950..1000, 1000).len() as u64;
    let ring = RingFile::new(7, 1, 1 << 16, tail, 950, &records);
    let folder = write_folder(&dir.path().join("rings"), "scanner", 7, &[ring]);
    let trace = Trace::open(&[dir.path().to_owned(), folder], &[]).unwrap();
    assert_eq!(check(&trace, &Filter::default()), 1200);
}

#[test]
fn rows_of_which_something_else_was_kept_are_batches_of_their_own() {
    for store in [Store::Records, Store::Columns] {
        let dir = tempfile::tempdir().unwrap();
        let mut segment = Segment::new("scanner", 7, 1);
        let schemas = vec![Schema::parse(&STEP.to_blob()).unwrap(); 4];
        let reduced = |ticks: u64, trailer: &[u8]| {
            let mut record = text_step(ticks, ticks, b"");
            let len = 16 + 10 + trailer.len();
            record.truncate(26);
            record.extend_from_slice(trailer);
            record[..4].copy_from_slice(&(len as u32).to_le_bytes());
            record[7] = FLAG_REDUCED;
            record.resize(len.next_multiple_of(8), 0);
            record
        };
        let uniform: Vec<u8> = (0..50).flat_map(|n| reduced(n, &[1, 5, 1])).collect();
        let mixed: Vec<u8> = (50..100).flat_map(|n| reduced(n, &[1, 5 + (n % 2) as u8, 1])).collect();
        add(&mut segment, &schemas, store, (1, 0, 0), &uniform, &[]);
        add(&mut segment, &schemas, store, (1, uniform.len() as u64, 50), &mixed, &[]);
        segment.end().write(dir.path());
        let trace = open(dir.path());
        assert_eq!(check(&trace, &Filter::default()), 100);
        let mut sizes = Vec::new();
        let read = trace.batches(&Filter::default(), |part| {
            if let Part::Batch(batch) = part {
                sizes.push((batch.len(), batch.column("path").unwrap().reduction));
            }
            Ok::<(), ReadError>(())
        });
        read.unwrap();
        use tracewell_schema::Reduction::{Drop, Off};
        assert_eq!(sizes, [(50, Drop), (25, Drop), (25, Off)]);
    }
}

#[test]
fn losses_in_all_forms() {
    let dir = tempfile::tempdir().unwrap();
    let mut segment = Segment::new("scanner", 7, 1);
    let schemas = vec![Schema::parse(&STEP.to_blob()).unwrap(); 4];
    let mut records = Vec::new();
    for n in 0..40 {
        records.extend(text_step(n, n * 10, b"x"));
        records.extend(crate::synth::record(
            2,
            0,
            n * 10 + 1,
            &LossCounts([n, 1, 0, 0, 0, 0, n % 3, 0]).encode(),
        ));
    }
    add(&mut segment, &schemas, Store::Columns, (1, 0, 0), &records, &[]);
    segment.end().write(dir.path());
    assert_eq!(check(&open(dir.path()), &Filter::default()), 40);
}
