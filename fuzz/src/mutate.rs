//! Structure-aware changes of files: a field gets a strange value, a block is doubled, taken out, moved, decoded,
//! changed and encoded again; then most of the time the checksums are put right.

use tracewell_schema::Schema;
use tracewell_schema::format::block::{
    self, BlockHeader, BlockKind, Codec, Unpacker, compress_block, compress_columns,
};
use tracewell_schema::format::columns::{Encoder, Layout};
use tracewell_schema::format::process::SchemaItems;
use tracewell_schema::format::record::{KIND_EVENT, KIND_PAD, Records};
use tracewell_schema::format::{crc, segment};

use crate::checksums::{self, blocks, header_of};
use crate::random::Random;
use crate::scene::{self, Item};

/// What the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A segment's file.
    Segment,
    /// Several files ([`scene`]).
    Scene,
    /// A control page.
    Control,
}

/// The fuzzer's own changes: bytes in `buffer`, of which `size` count; returns how many do then.
pub type Plain<'a> = &'a mut dyn FnMut(&mut [u8], usize) -> usize;

/// Changes `data[..size]`, which may become `max_size` long; returns its length.
pub fn mutate(
    kind: Option<Kind>,
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    plain: Plain<'_>,
) -> usize {
    let Some(kind) = kind else { return plain(&mut data[..max_size], size) };
    let mut random = Random(seed.into());
    let mut bytes = data[..size].to_vec();
    for _ in 0..=random.below(3) {
        change(kind, &mut bytes, max_size, &mut random, plain);
    }
    if !random.one_in(16) {
        fix(kind, &mut bytes);
    }
    let size = bytes.len().min(max_size);
    data[..size].copy_from_slice(&bytes[..size]);
    size
}

fn fix(kind: Kind, bytes: &mut Vec<u8>) {
    match kind {
        Kind::Segment => checksums::fix_segment(bytes),
        Kind::Control => checksums::fix_control(bytes),
        Kind::Scene => {
            let mut items = scene::parse(bytes);
            items.iter_mut().for_each(fix_item);
            *bytes = scene::build(&items);
        }
    }
}

fn fix_item(item: &mut Item) {
    match item.kind {
        scene::PROCESS => checksums::fix_process(&mut item.bytes),
        scene::SCHEMAS => checksums::fix_schemas(&mut item.bytes),
        scene::RING | scene::RING_FILE => checksums::fix_ring(&mut item.bytes),
        scene::SEGMENT | scene::OPEN_SEGMENT => checksums::fix_segment(&mut item.bytes),
        _ => {}
    }
}

fn change(kind: Kind, bytes: &mut Vec<u8>, most: usize, random: &mut Random, plain: Plain<'_>) {
    match kind {
        Kind::Segment => change_segment(bytes, random, plain),
        Kind::Control => any_change(bytes, most, random, plain),
        Kind::Scene => {
            let mut items = scene::parse(bytes);
            change_scene(&mut items, random, plain);
            *bytes = scene::build(&items);
        }
    }
}

fn change_scene(items: &mut Vec<Item>, random: &mut Random, plain: Plain<'_>) {
    if items.is_empty() {
        items.push(Item { kind: random.below(scene::KINDS.into()) as u8, bytes: Vec::new() });
    }
    let (one, other) = (random.below(items.len()), random.below(items.len()));
    match random.below(12) {
        0 => items.insert(other, items[one].clone()),
        1 => drop(items.remove(one)),
        2 => items.swap(one, other),
        3 => items[one].kind = random.below(scene::KINDS.into()) as u8,
        4 => items.insert(one, Item { kind: random.of(&[scene::NEXT, scene::ALIVE]), bytes: Vec::new() }),
        _ => {
            let Item { kind, bytes } = &mut items[one];
            match *kind {
                scene::SEGMENT | scene::OPEN_SEGMENT => change_segment(bytes, random, plain),
                scene::RING | scene::RING_FILE => change_ring(bytes, random, plain),
                _ => any_change(bytes, usize::MAX, random, plain),
            }
        }
    }
}

/// The fuzzer's own changes, or a strange integer somewhere.
fn any_change(bytes: &mut Vec<u8>, most: usize, random: &mut Random, plain: Plain<'_>) {
    if random.one_in(3) {
        let at = random.below(bytes.len());
        put_strange(bytes, at, random);
        return;
    }
    let size = bytes.len();
    bytes.resize((size + 256).min(most.max(size)), 0);
    let size = if bytes.is_empty() { 0 } else { plain(bytes, size) };
    bytes.truncate(size);
}

/// A strange integer of 1, 2, 4 or 8 bytes at an offset.
fn put_strange(bytes: &mut [u8], at: usize, random: &mut Random) {
    let word = random.strange().to_le_bytes();
    let width = random.of(&[1, 2, 4, 8]);
    for (to, from) in bytes.iter_mut().skip(at).zip(&word[..width]) {
        *to = *from;
    }
}

/// Where the fields of a block's header are, and of a ring's that are read.
const BLOCK_FIELDS: [usize; 14] = [4, 5, 6, 8, 12, 16, 20, 24, 32, 40, 48, 56, 64, 72];
const RING_FIELDS: [usize; 16] = [8, 12, 16, 24, 40, 48, 52, 56, 64, 72, 112, 192, 200, 256, 320, 328];

fn change_ring(bytes: &mut Vec<u8>, random: &mut Random, plain: Plain<'_>) {
    let word = |bytes: &[u8], at: usize| {
        bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b))
    };
    match random.below(6) {
        0 => put_strange(bytes, random.of(&RING_FIELDS), random),
        1 => {
            // Head and tail that fit each other, with more or less between them.
            let (at, len) = (word(bytes, 320), bytes.len().saturating_sub(scene::RING_HEADER) as u64);
            let tail = if random.one_in(2) { at } else { random.strange() & !7 };
            let head =
                tail.wrapping_add(if random.one_in(2) { len } else { random.below(70_000) as u64 & !7 });
            if bytes.len() >= scene::RING_HEADER {
                bytes[320..328].copy_from_slice(&tail.to_le_bytes());
                bytes[192..200].copy_from_slice(&head.to_le_bytes());
            }
        }
        2 => {
            let mut data = bytes.split_off(bytes.len().min(scene::RING_HEADER));
            change_records(&mut data, random, plain);
            bytes.append(&mut data);
        }
        _ => {
            let at = if random.one_in(2) { 0 } else { bytes.len().min(scene::RING_HEADER) };
            let mut data = bytes.split_off(at);
            any_change(&mut data, usize::MAX, random, plain);
            bytes.append(&mut data);
        }
    }
}

/// Records: one is doubled, taken out, moved, or a field of its header changed.
fn change_records(data: &mut Vec<u8>, random: &mut Random, plain: Plain<'_>) {
    let begins: Vec<(usize, usize)> = Records::new(data)
        .map_while(Result::ok)
        .map(|r| (r.offset, (r.offset + (r.header.len as usize).next_multiple_of(8)).min(data.len())))
        .collect();
    if begins.is_empty() || random.one_in(5) {
        return any_change(data, usize::MAX, random, plain);
    }
    let (begin, end) = random.of(&begins);
    match random.below(6) {
        0 => {
            let copy = data[begin..end].to_vec();
            let at = random.of(&begins).0;
            data.splice(at..at, copy);
        }
        1 => drop(data.drain(begin..end)),
        2 => put_strange(data, begin, random),
        3 => put_strange(data, begin + random.of(&[4, 6, 7]), random),
        4 => put_strange(data, begin + 8, random),
        _ => {
            let mut payload = data[(begin + 16).min(end)..end].to_vec();
            let most = payload.len() + 64;
            any_change(&mut payload, most, random, plain);
            let len = (16 + payload.len()) as u32;
            payload.resize(payload.len().next_multiple_of(8), 0);
            if end - begin >= 16 {
                data.splice(begin + 16..end, payload);
                if !random.one_in(4) {
                    data[begin..begin + 4].copy_from_slice(&len.to_le_bytes());
                }
            }
        }
    }
}

fn change_segment(bytes: &mut Vec<u8>, random: &mut Random, plain: Plain<'_>) {
    let begins = blocks(bytes);
    if begins.is_empty() || random.one_in(8) {
        return any_change(bytes, usize::MAX, random, plain);
    }
    let index = random.below(begins.len());
    let begin = begins[index];
    let end = begins.get(index + 1).copied().unwrap_or(bytes.len());
    let at = random.of(&begins);
    match random.below(12) {
        0 => put_strange(bytes, begin + random.of(&BLOCK_FIELDS), random),
        1 => {
            let copy = bytes[begin..end].to_vec();
            bytes.splice(at..at, copy);
        }
        2 => drop(bytes.drain(begin..end)),
        3 => bytes.truncate(begin + random.below(end - begin)),
        4 => {
            let field = random.of(&BLOCK_FIELDS);
            if let Some(from) = bytes.get(at + field..at + field + 8).map(<[u8]>::to_vec)
                && let Some(to) = bytes.get_mut(begin + field..begin + field + 8)
            {
                to.copy_from_slice(&from);
            }
        }
        5 => put_strange(bytes, random.below(segment::HEADER_LEN), random),
        6 => {
            // The stored bytes, and the length that is said of them.
            let mut stored = bytes[(begin + block::HEADER_LEN).min(end)..end].to_vec();
            any_change(&mut stored, usize::MAX, random, plain);
            let len = stored.len() as u32;
            stored.resize(stored.len().next_multiple_of(8), 0);
            if end - begin >= block::HEADER_LEN {
                bytes.splice(begin + block::HEADER_LEN..end, stored);
                bytes[begin + 8..begin + 12].copy_from_slice(&len.to_le_bytes());
            }
        }
        _ => {
            if let Some(new) = change_payload(bytes, begin, end, random, plain) {
                bytes.splice(begin..end, new);
                if !random.one_in(4) {
                    chain(bytes);
                }
            }
        }
    }
}

/// What a block's payload decodes to, changed, and stored again in some way. None if it cannot be decoded.
fn change_payload(
    file: &[u8],
    begin: usize,
    end: usize,
    random: &mut Random,
    plain: Plain<'_>,
) -> Option<Vec<u8>> {
    let mut header = header_of(&file[begin..end])?;
    let stored = file.get(begin + block::HEADER_LEN..end)?;
    header.payload_crc = crc(stored.get(..header.stored_len as usize)?);
    let mut raw = Vec::new();
    Unpacker::default().unpack(&header, stored, &mut raw).ok()?;
    if header.kind == BlockKind::Data {
        change_records(&mut raw, random, plain);
    } else {
        any_change(&mut raw, usize::MAX, random, plain);
    }
    if raw.len() > 64 << 10 {
        return None;
    }
    let codec = random.of(&[Codec::Raw, Codec::Lz4, Codec::Columns, Codec::ColumnsLz4]);
    let (codec, stored) = store(file, codec, &raw);
    (header.codec, header.raw_len, header.stored_len) = (codec, raw.len() as u32, stored.len() as u32);
    header.to = header.from.saturating_add(raw.len() as u64);
    if !random.one_in(4) {
        (header.events, header.first_ticks, header.last_ticks) = events_of(&raw);
    }
    header.payload_crc = crc(&stored);
    let mut out = header.encode().to_vec();
    out.extend_from_slice(&stored);
    out.resize(out.len().next_multiple_of(8), 0);
    Some(out)
}

/// Number, first and last ticks of the event records.
#[must_use]
pub fn events_of(raw: &[u8]) -> (u32, u64, u64) {
    let ticks: Vec<u64> = Records::new(raw)
        .map_while(Result::ok)
        .filter(|r| r.header.kind == KIND_EVENT)
        .map(|r| r.header.ticks)
        .collect();
    (ticks.len() as u32, ticks.first().copied().unwrap_or(0), ticks.last().copied().unwrap_or(0))
}

/// Stores a payload by a codec, or as it is if that is not possible.
#[must_use]
pub fn store(file: &[u8], codec: Codec, raw: &[u8]) -> (Codec, Vec<u8>) {
    let mut out = Vec::new();
    match codec {
        Codec::Raw => {}
        Codec::Lz4 => {
            if compress_block(raw, &mut out) == Codec::Lz4 {
                return (Codec::Lz4, out);
            }
        }
        Codec::Columns | Codec::ColumnsLz4 => {
            let mut layouts: Vec<(u16, Layout)> = Vec::new();
            for begin in blocks(file) {
                let Some(header) = header_of(&file[begin..]).filter(|h| h.kind == BlockKind::Schemas) else {
                    continue;
                };
                let payload = file.get(begin + block::HEADER_LEN..).unwrap_or_default();
                let mut decoded = Vec::new();
                let header = BlockHeader {
                    payload_crc: payload.get(..header.stored_len as usize).map_or(0, crc),
                    ..header
                };
                if Unpacker::default().unpack(&header, payload, &mut decoded).is_ok() {
                    let schemas = SchemaItems::of_block(&decoded).map_while(Result::ok);
                    layouts
                        .extend(schemas.filter_map(|(i, blob)| {
                            Some((i, Layout::of_schema(&Schema::parse(blob).ok()?)))
                        }));
                }
            }
            let mut encoder = Encoder::default();
            let walk = encoder.walk(raw, raw.len(), &mut |event| {
                layouts.iter().find(|(index, _)| *index == event).map(|(_, layout)| layout.clone())
            });
            let is_pad_last = !Records::new(raw).map_while(Result::ok).any(|r| r.header.kind == KIND_PAD)
                || walk.len == raw.len();
            if walk.is_regular && walk.len == raw.len() && is_pad_last && !raw.is_empty() {
                let mut columns = Vec::new();
                encoder.encode(raw, &mut columns, &mut || {});
                let chosen = compress_columns(&columns, &mut out);
                return if chosen == Codec::ColumnsLz4 && codec == chosen {
                    (chosen, out)
                } else {
                    (Codec::Columns, columns)
                };
            }
        }
    }
    (Codec::Raw, raw.to_vec())
}

/// Lets the ranges and numbers of each ring's data blocks follow each other, and the end name the number of blocks.
fn chain(bytes: &mut [u8]) {
    let begins = blocks(bytes);
    let mut rings: Vec<(u32, u64, u64)> = Vec::new();
    for (number, begin) in begins.iter().enumerate() {
        let Some(mut header) = header_of(&bytes[*begin..]) else { continue };
        match header.kind {
            BlockKind::End => header.sequence = number as u64,
            BlockKind::Data => {
                let len = header.to - header.from;
                match rings.iter_mut().find(|(ring, ..)| *ring == header.ring) {
                    Some((_, to, sequence)) => {
                        (header.from, header.sequence) = (*to, *sequence);
                        (*to, *sequence) =
                            (to.saturating_add(len), sequence.saturating_add(header.events.into()));
                        header.to = *to;
                    }
                    None => rings.push((
                        header.ring,
                        header.to,
                        header.sequence.saturating_add(header.events.into()),
                    )),
                }
            }
            _ => continue,
        }
        bytes[*begin..*begin + block::HEADER_LEN].copy_from_slice(&header.encode());
    }
}
