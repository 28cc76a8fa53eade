use arbitrary::{Result, Unstructured};
use tracewell_schema::Schema;
use tracewell_schema::format::block::{
    BlockHeader, BlockKind, Codec, Unpacker, compress_block, compress_columns,
};
use tracewell_schema::format::columns::{Encoder, Layout};
use tracewell_schema::format::crc;
use tracewell_schema::format::record::{FLAG_REDUCED, KIND_EVENT, KIND_LOSS, KIND_PAD, RecordHeader};
use tracewell_schema::limits::MAX_RECORD;

use crate::bounds::bounded;
use crate::generate;

/// Most bytes of the records of one input.
const MOST: usize = 96 << 10;

/// Records that an engine could write, through all codecs and back: the same bytes, whichever codec it was.
pub fn columns(data: &[u8]) -> bool {
    let mut u = Unstructured::new(data);
    let Ok(schemas) = schemas(&mut u) else { return false };
    // An encoder remembers things from block to block.
    let (mut encoder, mut unpacker) = (Encoder::default(), Unpacker::default());
    while !u.is_empty() {
        let Ok((raw, events, lost)) = records(&mut u, &schemas) else { break };
        bounded(16 << 20, || round_trip(&raw, events, lost, &schemas, &mut encoder, &mut unpacker));
    }
    true
}

fn schemas(u: &mut Unstructured<'_>) -> Result<Vec<Schema>> {
    (0..u.int_in_range(1..=4)?).map(|_| generate::schema(u)).collect()
}

fn put(out: &mut Vec<u8>, header: RecordHeader, payload: &[u8]) {
    let header = RecordHeader { len: (16 + payload.len()) as u32, ..header };
    out.extend_from_slice(&header.encode());
    out.extend_from_slice(payload);
    out.resize(out.len().next_multiple_of(8), 0);
}

/// Records, how many events are among them, and what their loss records tell.
fn records(u: &mut Unstructured<'_>, schemas: &[Schema]) -> Result<(Vec<u8>, u32, u64)> {
    let (mut raw, mut events, mut lost, mut ticks) = (Vec::new(), 0, 0_u64, u.arbitrary::<u64>()?);
    for _ in 0..u.int_in_range(1..=40)? {
        ticks = ticks.wrapping_add(match u.int_in_range(0..=4_u8)? {
            0 => u.arbitrary()?,
            1 => u.arbitrary::<u32>()?.into(),
            _ => u.arbitrary::<u8>()?.into(),
        });
        if u.ratio(1, 20)? {
            let mut counts = [0_u8; 64];
            counts[0] = u.arbitrary()?;
            lost += u64::from(counts[0]);
            put(&mut raw, RecordHeader { kind: KIND_LOSS, ticks, ..RecordHeader::default() }, &counts);
            continue;
        }
        let index = u.choose_index(schemas.len())?;
        let mut payload = generate::payload(u, &schemas[index], true)?;
        let mut flags = 0;
        if u.ratio(1, 8)? {
            flags = FLAG_REDUCED;
            payload.extend_from_slice(&[0, 4, 1]);
        } else if u.ratio(1, 16)? {
            // What a later version of the schema appends.
            let more = u.int_in_range(0..=8)?;
            payload.extend_from_slice(u.bytes(more.min(u.len()))?);
        }
        let header = RecordHeader { event: index as u16, kind: KIND_EVENT, flags, ticks, len: 0 };
        let size = (16 + payload.len()).next_multiple_of(8);
        let times = if u.ratio(1, 4)? { u.int_in_range(1..=700)? } else { 1 };
        for _ in 0..times {
            if raw.len() + size > MOST || 16 + payload.len() > MAX_RECORD {
                break;
            }
            put(&mut raw, header, &payload);
            events += 1;
        }
    }
    if u.ratio(1, 3)? {
        let len = 8 * u.int_in_range(1..=500_u32)?;
        raw.extend_from_slice(&(u64::from(len) | u64::from(KIND_PAD) << 48).to_le_bytes());
        raw.resize(raw.len() + len as usize - 8, 0);
    }
    Ok((raw, events, lost))
}

fn round_trip(
    raw: &[u8],
    events: u32,
    lost: u64,
    schemas: &[Schema],
    encoder: &mut Encoder,
    unpacker: &mut Unpacker,
) -> u64 {
    let walk =
        encoder.walk(raw, raw.len(), &mut |event| schemas.get(usize::from(event)).map(Layout::of_schema));
    assert!(walk.is_regular, "records that are regular");
    assert_eq!((walk.len, walk.events, walk.lost), (raw.len(), events, lost));
    let (mut columns, mut packed, mut lz4) = (Vec::new(), Vec::new(), Vec::new());
    encoder.encode(raw, &mut columns, &mut || {});
    let mut forms: Vec<(Codec, &[u8])> = vec![(Codec::Raw, raw), (Codec::Columns, &columns)];
    if compress_block(raw, &mut lz4) == Codec::Lz4 {
        forms.push((Codec::Lz4, &lz4));
    }
    if compress_columns(&columns, &mut packed) == Codec::ColumnsLz4 {
        forms.push((Codec::ColumnsLz4, &packed));
    }
    for (codec, stored) in &forms {
        let header = BlockHeader {
            codec: *codec,
            stored_len: stored.len() as u32,
            raw_len: raw.len() as u32,
            to: raw.len() as u64,
            payload_crc: crc(stored),
            ..BlockHeader::meta(BlockKind::Data)
        };
        assert_eq!(BlockHeader::decode(&header.encode()).as_ref(), Ok(&header));
        let mut out = Vec::new();
        unpacker.unpack(&header, stored, &mut out).unwrap_or_else(|e| panic!("{codec:?}: {e}"));
        assert!(out == raw, "{codec:?} gives other bytes back");
    }
    (raw.len() * 2 * forms.len()) as u64
}
