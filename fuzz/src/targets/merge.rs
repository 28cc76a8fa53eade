use std::collections::HashMap;
use std::slice::from_ref;

use arbitrary::{Result, Unstructured};
use tracewell_reader::{Filter, Trace};
use tracewell_schema::format::block::{BlockHeader, BlockKind, Codec};
use tracewell_schema::format::clock::ClockPoint;
use tracewell_schema::format::process::{ClockKind, ProcessIdentity, encode_schema_payload_item};
use tracewell_schema::format::record::{KIND_EVENT, RecordHeader};
use tracewell_schema::format::ring::{RingCounters, RingInfo};
use tracewell_schema::format::segment::SegmentHeader;
use tracewell_schema::{FieldSchema, FieldType, Privacy, Reduction, Schema};

use crate::bounds::{MEMORY_PER_BYTE, READER_MEMORY, bounded};
use crate::mutate::{events_of, store};
use crate::read::{Look, Outcome, check};
use crate::{blob, checksums, place};

/// Several processes with rings whose time stamps and clock points are any: all events come out once, each ring's in its
/// order, merged by time; and filters divide them without rest.
pub fn merge(data: &[u8]) -> bool {
    let Ok(made) = make(&mut Unstructured::new(data)) else { return false };
    let dir = place::empty();
    for (number, process) in made.iter().enumerate() {
        drop(place::write(&dir.join(format!("a_pid1_00000000_{:06}.twseg", number + 1)), &process.segment));
    }
    let bytes: usize = made.iter().map(|p| p.segment.len()).sum();
    bounded(READER_MEMORY + bytes * MEMORY_PER_BYTE, || {
        if bytes == 0 {
            return 0;
        }
        let outcome = check(from_ref(&dir), &[], Look { text: true, json: false, is_honest: true });
        assert_whole(&outcome, &made);
        assert_times(&outcome, &made);
        assert_filters(&dir, &outcome, made.len() as u32);
        20 * (bytes as u64 + outcome.written)
    });
    true
}

struct Made {
    points: Vec<ClockPoint>,
    /// Ticks of each ring's events, by its id less one.
    rings: Vec<Vec<u64>>,
    segment: Vec<u8>,
}

fn numbered() -> Schema {
    Schema {
        name: "test.numbered".into(),
        category: 13,
        level: 3,
        opt_in: false,
        doc: String::new(),
        text: "{number}".into(),
        fields: vec![FieldSchema {
            name: "number".into(),
            ty: FieldType::U64,
            class: Privacy::Public,
            opt_in: false,
            reduction: Reduction::None,
            unit: String::new(),
            doc: String::new(),
        }],
        fingerprint: 0,
    }
}

/// A number of a few that are near each other, or any.
fn ticks(u: &mut Unstructured<'_>) -> Result<u64> {
    Ok(match u.int_in_range(0..=3_u8)? {
        0 => u.arbitrary()?,
        1 => u64::from(u.arbitrary::<u32>()?) << 4,
        _ => 10_000 + u64::from(u.arbitrary::<u16>()?),
    })
}

fn make(u: &mut Unstructured<'_>) -> Result<Vec<Made>> {
    (0..u.int_in_range(1..=3_u32)?).map(|pid| process(u, pid)).collect()
}

fn process(u: &mut Unstructured<'_>, pid: u32) -> Result<Made> {
    let clock = *u.choose(&[ClockKind::Tsc, ClockKind::Monotonic, ClockKind::Coarse])?;
    let points: Vec<ClockPoint> = (0..u.int_in_range(0..=5)?)
        .map(|_| {
            let at = ticks(u)?;
            let time = if u.ratio(1, 3)? { u.arbitrary()? } else { at as i64 };
            let boottime = if u.ratio(1, 3)? { u.arbitrary()? } else { at };
            Ok(ClockPoint { ticks: at, time, boottime, error: u.arbitrary()?, epoch: u.int_in_range(0..=1)? })
        })
        .collect::<Result<_>>()?;
    let rings: Vec<Vec<u64>> = (0..u.int_in_range(1..=4)?)
        .map(|_| (0..u.int_in_range(0..=12)?).map(|_| ticks(u)).collect())
        .collect::<Result<_>>()?;
    let identity = ProcessIdentity {
        process_uuid: [pid as u8 + 1; 16],
        boot_id: [u.int_in_range(0..=1)?; 16],
        pid,
        clock,
        component: "scanner".into(),
        ..ProcessIdentity::default()
    };
    let mut out =
        SegmentHeader { file_id: [pid as u8 + 1; 16], identity, sequence: 1, created: 0 }.encode().to_vec();
    block(
        &mut out,
        BlockHeader::meta(BlockKind::Schemas),
        Codec::Raw,
        &encode_schema_payload_item(0, &blob::of(&numbered())),
    );
    let encoded: Vec<u8> = points.iter().flat_map(ClockPoint::encode).collect();
    block(&mut out, BlockHeader::meta(BlockKind::Clocks), Codec::Raw, &encoded);
    let mut counters = Vec::new();
    for (ring, all) in rings.iter().enumerate() {
        let id = ring as u32 + 1;
        let info = RingInfo { ring: id, tid: id, ..RingInfo::default() };
        block(&mut out, BlockHeader::meta(BlockKind::Ring), Codec::Raw, &info.encode());
        let (mut from, mut sequence) = (0, 0);
        let mut rest = &all[..];
        while !rest.is_empty() {
            let (part, after) = rest.split_at(u.int_in_range(1..=rest.len())?);
            rest = after;
            let mut raw = Vec::new();
            for (at, ticks) in part.iter().enumerate() {
                let header = RecordHeader { len: 24, event: 0, kind: KIND_EVENT, flags: 0, ticks: *ticks };
                raw.extend_from_slice(&header.encode());
                raw.extend_from_slice(&(sequence + at as u64).to_le_bytes());
            }
            let (events, first_ticks, last_ticks) = events_of(&raw);
            let to = from + raw.len() as u64;
            let header = BlockHeader {
                ring: id,
                events,
                from,
                to,
                sequence,
                first_ticks,
                last_ticks,
                ..BlockHeader::meta(BlockKind::Data)
            };
            let codec = *u.choose(&[Codec::Raw, Codec::Lz4, Codec::Columns, Codec::ColumnsLz4])?;
            block(&mut out, header, codec, &raw);
            (from, sequence) = (to, sequence + u64::from(events));
        }
        let (attempted, delivered) = (sequence, sequence);
        let last =
            RingCounters { ring: id, is_final: true, position: from, attempted, delivered, lost: [0; 8] };
        counters.extend_from_slice(&last.encode());
    }
    block(&mut out, BlockHeader::meta(BlockKind::Counters), Codec::Raw, &counters);
    let sequence = checksums::blocks(&out).len() as u64;
    block(&mut out, BlockHeader { sequence, ..BlockHeader::meta(BlockKind::End) }, Codec::Raw, &[]);
    checksums::fix_segment(&mut out);
    Ok(Made { points, rings, segment: out })
}

fn block(out: &mut Vec<u8>, header: BlockHeader, codec: Codec, raw: &[u8]) {
    let (codec, stored) = store(out, codec, raw);
    let header = BlockHeader { codec, stored_len: stored.len() as u32, raw_len: raw.len() as u32, ..header };
    let begin = out.len();
    out.extend_from_slice(&header.encode());
    out.extend_from_slice(&stored);
    out.resize(out.len().next_multiple_of(8), 0);
    // Those that are added later look at it.
    checksums::fix_block(&mut out[begin..], None);
}

/// Everything once, each ring in its order, and nothing to complain about.
fn assert_whole(outcome: &Outcome, made: &[Made]) {
    let summary = outcome.summary.as_ref().expect("a trace");
    assert!(summary.is_complete(), "{summary:?}");
    let all: usize = made.iter().flat_map(|p| &p.rings).map(Vec::len).sum();
    assert_eq!((summary.events, outcome.events.len()), (all as u64, all));
    let mut next: HashMap<(usize, u32), u64> = HashMap::new();
    for (process, ring, sequence, _, number) in &outcome.events {
        let expected = next.entry((*process, *ring)).or_default();
        assert_eq!((*sequence, *number), (*expected, Some(*expected)));
        *expected += 1;
    }
}

/// Between two points of one epoch a time is that of exact interpolation; at a point it is the point's.
fn assert_times(outcome: &Outcome, made: &[Made]) {
    for (process, ring, sequence, time, _) in &outcome.events {
        let Made { points, rings, .. } = &made[*process];
        let ticks = rings[*ring as usize - 1][*sequence as usize];
        let before = points.iter().filter(|p| p.ticks <= ticks).max_by_key(|p| p.ticks);
        let after = points.iter().filter(|p| p.ticks > ticks).min_by_key(|p| p.ticks);
        let (Some(a), Some(b)) = (before, after) else { continue };
        let is_single = |p: &ClockPoint| points.iter().filter(|q| q.ticks == p.ticks).count() == 1;
        if a.epoch != b.epoch || !is_single(a) || !is_single(b) {
            continue;
        }
        // Twice as wide as the numbers: spans are below 2^64 and differences below 2^65.
        let (ns, span) = (i128::from(b.time) - i128::from(a.time), i128::from(b.ticks - a.ticks));
        if ns.unsigned_abs() > i64::MAX as u128 {
            continue;
        }
        let part = i128::from(ticks - a.ticks);
        let moved = (ns * part).div_euclid(span);
        let exact = i128::from(a.time) + moved;
        // Over decades a slope of 63 bits is off by a nanosecond or two.
        let most = 1 + (moved.abs() >> 61);
        assert!(
            (i128::from(*time) - exact).abs() <= most,
            "{time} for {ticks}, exact {exact}, between {a:?} and {b:?}"
        );
    }
}

/// What one filter leaves out another lets through.
fn assert_filters(dir: &std::path::Path, outcome: &Outcome, processes: u32) {
    let trace = Trace::open(&[dir.to_owned()], &[]).expect("it could be opened before");
    let shown = |filter: &Filter| {
        let mut n = 0_u64;
        let summary = trace.read(filter, |item| {
            if let tracewell_reader::Item::Event(event) = item {
                assert!(filter.wants(event));
                n += 1;
            }
            Ok::<(), std::convert::Infallible>(())
        });
        let Ok(summary) = summary;
        assert_eq!(summary.shown, n);
        assert_eq!(summary.events, outcome.events.len() as u64);
        n
    };
    let all = outcome.events.len() as u64;
    if let Some((.., time, _)) = outcome.events.get(outcome.events.len() / 2) {
        let since = Filter { since: Some(*time), ..Filter::default() };
        let until = Filter { until: time.checked_sub(1), ..Filter::default() };
        let before = if time.checked_sub(1).is_some() { shown(&until) } else { 0 };
        assert_eq!(shown(&since) + before, all, "before and since {time}");
    }
    let by_pid: u64 = (0..processes).map(|pid| shown(&Filter { pids: vec![pid], ..Filter::default() })).sum();
    assert_eq!(by_pid, all);
    let named =
        Filter { events: vec!["test.numbered".into()], level: 3, categories: vec![13], ..Filter::default() };
    assert_eq!(shown(&named), all);
    assert_eq!(shown(&Filter { level: 2, ..Filter::default() }), 0);
    assert_eq!(shown(&Filter { components: vec!["other".into()], ..Filter::default() }), 0);
}
