use std::slice::from_ref;

use arbitrary::{Result, Unstructured};
use tracewell_schema::format::block::{BlockHeader, BlockKind, HEADER_LEN};
use tracewell_schema::format::process::{ClockKind, ProcessIdentity, encode_schema_payload_item};
use tracewell_schema::format::record::{KIND_EVENT, KIND_LOSS, RecordHeader};
use tracewell_schema::format::ring::RingInfo;
use tracewell_schema::format::segment::SegmentHeader;
use tracewell_schema::limits::{MAX_RECORD, MAX_SCHEMA};

use crate::bounds::{MEMORY_PER_BYTE, READER_MEMORY, bounded};
use crate::mutate::events_of;
use crate::read::{Look, check};
use crate::{blob, checksums, generate, place};

/// Hostile events of hostile types, as lines of text.
pub fn text(data: &[u8]) -> bool {
    render(data, Look { text: true, json: false, is_honest: false })
}

/// The same as lines of JSON.
pub fn json(data: &[u8]) -> bool {
    render(data, Look { text: false, json: true, is_honest: false })
}

fn render(data: &[u8], look: Look) -> bool {
    let Ok(segment) = segment(&mut Unstructured::new(data)) else { return false };
    let path = place::empty().join("a_pid1_00000000_000001.twseg");
    drop(place::write(&path, &segment));
    bounded(READER_MEMORY + segment.len() * MEMORY_PER_BYTE, || {
        let outcome = check(from_ref(&path), &[], look);
        assert!(outcome.error.is_none(), "{:?}", outcome.error);
        6 * (segment.len() as u64 + outcome.written)
    });
    true
}

/// Appends a block whose checksums are to be put right.
fn block(out: &mut Vec<u8>, header: BlockHeader, payload: &[u8]) {
    let len = payload.len() as u32;
    out.extend_from_slice(&BlockHeader { stored_len: len, raw_len: len, ..header }.encode());
    out.extend_from_slice(payload);
    out.resize(out.len().next_multiple_of(8), 0);
}

/// A segment with events that have everything a terminal or a parser could stumble over.
fn segment(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let identity = ProcessIdentity {
        component: generate::text(u, 31)?,
        version: generate::text(u, 31)?,
        pid: u.arbitrary()?,
        clock: ClockKind::Monotonic,
        ..ProcessIdentity::default()
    };
    let mut out = SegmentHeader { identity, sequence: 1, ..SegmentHeader::default() }.encode().to_vec();
    let schemas: Vec<_> = (0..u.int_in_range(1..=3)?).map(|_| generate::schema(u)).collect::<Result<_>>()?;
    for (index, schema) in schemas.iter().enumerate() {
        let blob = blob::of(schema);
        if blob.len() <= MAX_SCHEMA {
            block(
                &mut out,
                BlockHeader::meta(BlockKind::Schemas),
                &encode_schema_payload_item(index as u16, &blob),
            );
        }
    }
    let info =
        RingInfo { ring: 1, tid: u.arbitrary()?, thread_name: generate::text(u, 31)?, ..RingInfo::default() };
    block(&mut out, BlockHeader::meta(BlockKind::Ring), &info.encode());
    let mut records = Vec::new();
    for _ in 0..u.int_in_range(1..=5)? {
        let index = u.choose_index(schemas.len())?;
        let mut payload = generate::payload(u, &schemas[index], false)?;
        let flags = u8::from(u.ratio(1, 4)?);
        if flags != 0 {
            let pairs = u.int_in_range(0..=4_u8)?;
            for _ in 0..pairs {
                payload.extend_from_slice(&[u.int_in_range(0..=10)?, u.int_in_range(0..=7)?]);
            }
            payload.push(pairs);
        }
        if u.ratio(1, 6)? {
            payload.truncate(u.choose_index(payload.len() + 1)?);
        }
        let kind = if u.ratio(1, 10)? { KIND_LOSS } else { KIND_EVENT };
        let len = 16 + payload.len();
        if len > MAX_RECORD || records.len() + len > 256 << 10 {
            continue;
        }
        let ticks = u.arbitrary()?;
        let header = RecordHeader { len: len as u32, event: index as u16, kind, flags, ticks };
        records.extend_from_slice(&header.encode());
        records.extend_from_slice(&payload);
        records.resize(records.len().next_multiple_of(8), 0);
    }
    let (events, first_ticks, last_ticks) = events_of(&records);
    let to = records.len() as u64;
    let sequence = if u.ratio(1, 8)? { u.arbitrary::<u32>()?.into() } else { 0 };
    let header = BlockHeader {
        ring: 1,
        events,
        first_ticks,
        last_ticks,
        to,
        sequence,
        ..BlockHeader::meta(BlockKind::Data)
    };
    block(&mut out, header, &records);
    debug_assert!(out.len() >= 256 + HEADER_LEN);
    checksums::fix_segment(&mut out);
    Ok(out)
}
