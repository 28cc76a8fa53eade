//! Segments made to do harm. Each has three events before what is wrong, and two of another ring after it.

use tracewell_schema::format::block::{BlockHeader, BlockKind, Codec, HEADER_LEN};
use tracewell_schema::format::clock::ClockPoint;
use tracewell_schema::format::crc;
use tracewell_schema::format::process::encode_schema_payload_item;
use tracewell_schema::format::record::{KIND_EVENT, KIND_PAD, RecordHeader};
use tracewell_schema::{FieldSchema, FieldType, Privacy, Reduction, Schema};

use super::synth::{STEP, Segment, info, loss, pad, record, step, steps, text_step};
use super::{Seed, hostile};
use crate::{blob, checksums};

/// Something between the good.
fn around(middle: impl FnOnce(&mut Segment)) -> Vec<u8> {
    let mut segment = Segment::new("scanner", 7, 1);
    segment.data(1, 0, 0, &steps(0..3, 9));
    middle(&mut segment);
    segment.data(2, 0, 0, &steps(0..2, 9)).end();
    segment.bytes
}

/// Where ring 1 is after the three events.
fn after() -> u64 {
    steps(0..3, 9).len() as u64
}

/// A data block of ring 1 after the three events, as one that claims one event.
fn next(raw_len: u32) -> BlockHeader {
    BlockHeader {
        ring: 1,
        from: after(),
        to: after() + u64::from(raw_len),
        sequence: 3,
        events: 1,
        first_ticks: 30,
        last_ticks: 30,
        raw_len,
        ..BlockHeader::meta(BlockKind::Data)
    }
}

/// A block as its header says, however wrong, with right checksums.
fn put(segment: &mut Segment, header: BlockHeader, stored: &[u8]) {
    segment.blocks.push(segment.bytes.len());
    let mut header = BlockHeader { payload_crc: crc(stored), ..header };
    header.file_tag.copy_from_slice(&segment.header.file_id[..8]);
    segment.bytes.extend_from_slice(&header.encode());
    segment.bytes.extend_from_slice(stored);
    segment.bytes.resize(segment.bytes.len().next_multiple_of(8), 0);
}

fn stored(codec: Codec, raw_len: u32, bytes: &[u8]) -> Vec<u8> {
    around(|s| put(s, BlockHeader { codec, stored_len: bytes.len() as u32, ..next(raw_len) }, bytes))
}

/// Changes a byte of the block of ring 1, without putting checksums right.
fn spoilt(offset: usize) -> Vec<u8> {
    let mut segment = Segment::new("scanner", 7, 1);
    segment.data(1, 0, 0, &steps(0..3, 9)).data(2, 0, 0, &steps(0..2, 9)).end();
    let at = segment.blocks[3] + offset;
    segment.bytes[at] ^= 0x40;
    segment.bytes
}

const SAYS_ALL: &str = "";

pub(super) fn seeds() -> Vec<Seed> {
    let mut all = blocks();
    all.append(&mut chains());
    all.append(&mut schemas());
    all.append(&mut texts());
    all.append(&mut clocks());
    all
}

fn blocks() -> Vec<Seed> {
    let seed = |name: &str, bytes, events, says| hostile("segment", name, bytes, events, says);
    let header = |change: &dyn Fn(&mut BlockHeader), bytes: &[u8]| {
        let mut header = BlockHeader { stored_len: bytes.len() as u32, ..next(32) };
        change(&mut header);
        around(|s| put(s, header, bytes))
    };
    let one = step(3, 30);
    let bomb = lz4_flex::block::compress(&vec![0; 1 << 20]);
    vec![
        seed("decoded-size-0", header(&|h| (h.raw_len, h.to, h.events) = (0, h.from, 0), &[]), 5, SAYS_ALL),
        seed(
            "decoded-size-over-1-mib",
            stored(Codec::Lz4, (1 << 20) + 1, &[0; 16]),
            5,
            "larger than a block may be",
        ),
        seed(
            "decoded-size-4-gib",
            header(&|h| (h.raw_len, h.to) = (u32::MAX, h.from + u64::from(u32::MAX)), &one),
            5,
            "larger than a block may be",
        ),
        seed("stored-size-0", stored(Codec::Lz4, 40, &[]), 5, "does not decompress"),
        seed(
            "stored-size-beyond-file",
            header(&|h| h.stored_len = 1 << 20, &one),
            3,
            "the last block is cut",
        ),
        seed(
            "stored-size-negative",
            header(&|h| h.stored_len = 0x8000_0000, &one),
            5,
            "larger than a block may be",
        ),
        seed("range-not-the-length", header(&|h| h.to += 8, &one), 5, "range of positions"),
        seed("range-backwards", header(&|h| h.to = h.from - 8, &one), 5, "range of positions"),
        seed("sequence-overflows", header(&|h| h.sequence = u64::MAX, &one), 5, "sequence overflows"),
        seed(
            "more-events-than-room",
            header(&|h| h.events = 1000, &one),
            5,
            "more events than it has room for",
        ),
        seed(
            "unknown-codec",
            {
                let mut bytes = header(&|_| {}, &one);
                let at = checksums::blocks(&bytes)[4];
                bytes[at + 5] = 9;
                checksums::fix_block(&mut bytes[at..], None);
                bytes
            },
            5,
            "unknown compression",
        ),
        seed(
            "unknown-kind",
            {
                let mut bytes = around(|s| {
                    put(s, BlockHeader { stored_len: 5, raw_len: 5, ..BlockHeader::default() }, b"later")
                });
                let at = checksums::blocks(&bytes)[4];
                bytes[at + 4] = 200;
                checksums::fix_block(&mut bytes[at..], None);
                bytes
            },
            5,
            SAYS_ALL,
        ),
        seed("ratio-bomb", stored(Codec::Lz4, 1 << 20, &bomb), 5, "record length out of range"),
        seed("ratio-beyond-lz4", stored(Codec::Lz4, 1 << 20, &bomb[..100]), 5, "does not decompress"),
        seed("lz4-offset-0", stored(Codec::Lz4, 40, &[0x14, 1, 0, 0, 0x50, 0, 0, 0, 0, 0]), 5, "decompress"),
        seed(
            "lz4-offset-beyond",
            stored(Codec::Lz4, 40, &[0x14, 1, 0xff, 0xff, 0x50, 0, 0, 0, 0, 0]),
            5,
            "decompress",
        ),
        seed(
            "lz4-overlong-literals",
            stored(Codec::Lz4, 40, &[&[0xf0][..], &[255; 60], &[9]].concat()),
            5,
            "decompress",
        ),
        seed(
            "lz4-overlong-match",
            stored(Codec::Lz4, 40, &[&[0x1f, 1, 1, 0][..], &[255; 60], &[9]].concat()),
            5,
            "decompress",
        ),
        seed("lz4-too-short", stored(Codec::Lz4, 40, &[0x10, 1]), 5, "decompress"),
        seed("nonsense-with-right-sums", stored(Codec::Raw, 40, &[0xa5; 40]), 5, "record"),
        seed("columns-nonsense", stored(Codec::Columns, 40, &[0xa5; 40]), 5, "pad is longer than the block"),
        seed(
            "columns-lz4-claims-4-gib",
            stored(Codec::ColumnsLz4, 40, &[0xff; 8]),
            5,
            "longer than they may be",
        ),
        seed(
            "sum-of-nothing",
            {
                let mut bytes = around(|s| put(s, BlockHeader { stored_len: 0, ..next(40) }, &[]));
                let at = checksums::blocks(&bytes)[4];
                bytes[at + 84] = 1;
                let sum = crc(&bytes[at..at + HEADER_LEN - 4]);
                bytes[at + HEADER_LEN - 4..at + HEADER_LEN].copy_from_slice(&sum.to_le_bytes());
                bytes
            },
            5,
            "wrong checksum",
        ),
        seed("header-right-payload-wrong", spoilt(HEADER_LEN + 20), 2, "payload has a wrong checksum"),
        seed("header-wrong-payload-right", spoilt(30), 2, "header has a wrong checksum"),
        seed(
            "length-words-at-one-place",
            {
                // 255 values whose length is told by one word: work without end if it were not refused.
                let mut columns = [&58_254_u32.to_le_bytes()[..], &[0; 4], &[1]].concat();
                columns.extend_from_slice(&[3, 0, 1, 0]);
                columns.extend_from_slice(&58_254_u32.to_le_bytes());
                columns.extend_from_slice(&[0, 1, 0, 2, 0, 255, 0]);
                columns.extend_from_slice(&[0; 510]);
                for begin in (0..58_254).step_by(256) {
                    columns.extend_from_slice(&[1, 0]);
                    columns.extend(std::iter::repeat_n(0, 256.min(58_254 - begin)));
                }
                columns.extend_from_slice(&[0, 0, 1]);
                columns.extend_from_slice(&[0; 8]);
                columns.extend_from_slice(&[0; 255]);
                let mut lz4 = (columns.len() as u32).to_le_bytes().to_vec();
                lz4.extend(lz4_flex::block::compress(&columns));
                stored(Codec::ColumnsLz4, 58_254 * 18 / 8 * 8, &lz4)
            },
            5,
            "impossible layout",
        ),
    ]
}

fn chains() -> Vec<Seed> {
    let seed = |name: &str, bytes, events, says| hostile("segment", name, bytes, events, says);
    let cut = |to: usize| {
        let mut bytes = super::plain_segment();
        bytes.truncate(to);
        bytes
    };
    let whole = super::plain_segment();
    let changed = |at: usize, value: u8| {
        let mut bytes = super::plain_segment();
        bytes[at] = value;
        let sum = crc(&bytes[..252]);
        bytes[252..256].copy_from_slice(&sum.to_le_bytes());
        bytes
    };
    let mut all = vec![
        seed("empty-file", Vec::new(), 0, "segment header is cut"),
        seed("one-byte", vec![0x54], 0, "segment header is cut"),
        seed("header-only", cut(256), 0, "end of the segment is missing"),
        seed("wrong-magic", changed(0, 0), 0, "not a segment"),
        seed("major-2", changed(8, 2), 0, "2.0"),
        seed("minor-200", changed(10, 200), 12, "lost: 4"),
        seed("wrong-header-length", changed(12, 8), 0, "header of another length"),
        seed("unknown-clock", changed(16 + 16 + 48 + 16, 9), 0, "unknown clock"),
        seed("component-not-utf8", changed(16 + 16 + 48 + 24, 0xff), 0, "not UTF-8"),
        seed("trailing-garbage", [&whole[..], &[0x77; 1000]].concat(), 12, "damaged: "),
        seed("two-segments-in-one-file", [&whole[..], &whole].concat(), 12, "no block begins here"),
        seed(
            "two-other-segments-in-one-file",
            {
                let mut other = Segment::new("updater", 8, 1);
                other.data(1, 0, 0, &steps(0..4, 9)).end();
                [&whole[..], &other.bytes].concat()
            },
            12,
            "no block begins here",
        ),
        seed(
            "block-of-another-file",
            around(|s| {
                put(s, BlockHeader { stored_len: 32, ..next(32) }, &step(3, 30));
                let at = s.blocks[4];
                s.bytes[at + 72] ^= 1;
                let sum = crc(&s.bytes[at..at + 92]);
                s.bytes[at + 92..at + 96].copy_from_slice(&sum.to_le_bytes());
            }),
            5,
            "block of another file",
        ),
        seed(
            "blocks-out-of-order",
            {
                let mut segment = Segment::new("scanner", 7, 1);
                segment.data(1, after(), 3, &steps(3..6, 9)).data(1, 0, 0, &steps(0..3, 9)).end();
                segment.bytes
            },
            6,
            SAYS_ALL,
        ),
        seed(
            "duplicate-range",
            around(|s| {
                s.data(1, 0, 0, &steps(0..3, 9));
            }),
            5,
            SAYS_ALL,
        ),
        seed(
            "duplicate-range-other-content",
            around(|s| {
                s.data(1, 0, 0, &steps(7..10, 9));
            }),
            5,
            SAYS_ALL,
        ),
        seed(
            "overlapping-range",
            around(|s| {
                s.data(1, step(0, 0).len() as u64, 1, &steps(1..5, 9));
            }),
            7,
            SAYS_ALL,
        ),
        seed(
            "hole-in-range",
            around(|s| {
                s.data(1, after() + 400, 13, &steps(13..15, 9));
            }),
            7,
            "missing: 10",
        ),
        seed(
            "range-at-the-end-of-all",
            around(|s| {
                let raw = step(3, 30);
                let from = u64::MAX - raw.len() as u64;
                put(
                    s,
                    BlockHeader {
                        from,
                        to: u64::MAX,
                        stored_len: raw.len() as u32,
                        ..next(raw.len() as u32)
                    },
                    &raw,
                );
            }),
            6,
            "bytes are missing before this",
        ),
        seed(
            "sequence-backwards",
            around(|s| {
                s.data(1, after(), 1, &steps(3..5, 9));
            }),
            7,
            SAYS_ALL,
        ),
        seed(
            "two-ends",
            around(|s| {
                s.end();
            }),
            5,
            SAYS_ALL,
        ),
        seed(
            "end-counts-wrong",
            around(|s| put(s, BlockHeader { sequence: 1 << 32, ..BlockHeader::meta(BlockKind::End) }, &[])),
            5,
            "another number of blocks",
        ),
        seed(
            "many-empty-blocks",
            around(|s| {
                (0..300).for_each(|_| {
                    s.meta(BlockKind::Clocks, &[]);
                })
            }),
            5,
            SAYS_ALL,
        ),
        seed(
            "many-empty-data-blocks",
            around(|s| {
                (0..200).for_each(|_| {
                    s.data(1, after(), 3, &[]);
                })
            }),
            5,
            SAYS_ALL,
        ),
        seed(
            "every-second-block-spoilt",
            around(|s| {
                for _ in 0..200 {
                    s.meta(BlockKind::Clocks, &[]);
                    let at = s.bytes.len() - 1;
                    s.bytes[at] ^= 1;
                    s.meta(BlockKind::Clocks, &[]);
                }
            }),
            5,
            "header has a wrong checksum",
        ),
        seed("of-another-machine", changed(16 + 16 + 20, 0x99), 12, "lost: 4"),
    ];
    for (name, bytes, says) in [
        ("record-length-0", record_of(0), "record length out of range"),
        ("record-length-7", record_of(7), "record length out of range"),
        ("record-length-8", record_of(8), "record length out of range"),
        ("record-length-15", record_of(15), "record length out of range"),
        ("record-longer-than-block", record_of(33), "record is cut"),
        ("record-length-16-mib", record_of((1 << 24) - 1), "record length out of range"),
        ("record-length-4-gib", record_of(u32::MAX), "record length out of range"),
        ("record-of-unknown-kind", record(77, 3, 30, &[0; 24]), "unknown kind of record"),
        ("pad-beyond-block", pad_of(4096), "record is cut"),
        ("pad-of-0", pad_of(0), "pad record with a bad length"),
        ("pad-of-12", pad_of(12), "pad record with a bad length"),
    ] {
        all.push(seed(
            name,
            around(|s| {
                s.data(1, after(), 3, &bytes);
            }),
            5,
            says,
        ));
    }
    all.push(seed(
        "endless-pads",
        around(|s| {
            s.data(1, after(), 3, &pad(8).repeat(2000));
        }),
        5,
        SAYS_ALL,
    ));
    all.push(seed(
        "payload-is-a-record",
        around(|s| {
            s.data(1, after(), 3, &text_step(3, 30, &step(9, 31)));
        }),
        6,
        SAYS_ALL,
    ));
    all.push(seed(
        "loss-record-cut",
        around(|s| {
            s.data(1, after(), 3, &record(2, 0, 30, &[9; 20]));
        }),
        5,
        SAYS_ALL,
    ));
    all.push(seed(
        "loss-counts-of-all",
        around(|s| {
            s.data(1, after(), 3, &[loss(30, u64::MAX), loss(31, u64::MAX)].concat());
        }),
        5,
        "lost: 18446744073709551615",
    ));
    all
}

fn record_of(len: u32) -> Vec<u8> {
    let mut bytes = step(3, 30);
    bytes[..4].copy_from_slice(&len.to_le_bytes());
    bytes
}

fn pad_of(len: u32) -> Vec<u8> {
    let mut bytes = RecordHeader { len, kind: KIND_PAD, ..RecordHeader::default() }.encode().to_vec();
    bytes.resize(40, 0);
    bytes
}

fn field(name: &str, ty: FieldType) -> FieldSchema {
    let (class, reduction) = (Privacy::Public, Reduction::None);
    FieldSchema {
        name: name.into(),
        ty,
        class,
        opt_in: false,
        reduction,
        unit: String::new(),
        doc: String::new(),
    }
}

pub(super) fn schema(text: &str, fields: Vec<FieldSchema>) -> Schema {
    let (name, doc, text) = ("test.hostile".to_owned(), String::new(), text.to_owned());
    Schema { name, category: 13, level: 3, opt_in: false, doc, text, fields, fingerprint: 0 }
}

/// An event, number 9, of a type with this blob.
fn typed(blob: &[u8], payload: &[u8]) -> Vec<u8> {
    around(|s| {
        s.meta(BlockKind::Schemas, &encode_schema_payload_item(9, blob));
        s.data(1, after(), 3, &record(KIND_EVENT, 9, 30, payload));
    })
}

/// The same, of a schema.
fn event(schema: &Schema, payload: &[u8]) -> Vec<u8> {
    typed(&blob::of(schema), payload)
}

fn list_of(n: usize, item: &[u8]) -> Vec<u8> {
    [&((n * item.len()) as u16).to_le_bytes()[..], &item.repeat(n)].concat()
}

fn schemas() -> Vec<Seed> {
    let seed = |name: &str, bytes, events, says| hostile("segment", name, bytes, events, says);
    let small = |types: &[u8]| {
        let mut blob = b"\x01\x00\x06t.host\x0d\x01\x00\x00\x00\x00\x00\x01\x01f".to_vec();
        blob.extend_from_slice(types);
        blob.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        blob
    };
    let many =
        |n: usize, ty: &FieldType| (0..n).map(|i| field(&format!("f{i}"), ty.clone())).collect::<Vec<_>>();
    let masks: Vec<(u64, String)> = (0..64).map(|i| (1, format!("{i:->255}"))).collect();
    let values: Vec<(u32, String)> = (0..1024).map(|i| (i, String::new())).collect();
    let placeholders = "{a}".repeat(1365);
    let unknown = |blob: &[u8], says| (typed(blob, &[0; 8]), 5, says);
    let mut all = Vec::new();
    for (name, (bytes, events, says)) in [
        ("schema-of-version-2", unknown(&[2, 0, 0, 0], "later version")),
        ("schema-empty", unknown(&[], "bytes end too early")),
        ("schema-over-64-kib", unknown(&[0; (64 << 10) + 1], "schema out of range")),
        (
            "schema-says-255-fields-has-1",
            unknown(
                &{
                    let mut b = small(&[1]);
                    b[14] = 255;
                    b
                },
                "bytes end too early",
            ),
        ),
        ("schema-nested-1000", unknown(&small(&[20; 1000]), "nested too deep")),
        ("schema-optional-of-optional", unknown(&small(&[20, 20, 1]), "cannot be in one")),
        ("schema-list-of-secret", unknown(&small(&[21, 22]), "cannot be in one")),
        ("schema-fixed-of-0", unknown(&small(&[13, 0, 0]), "impossible length")),
        ("schema-unknown-type", unknown(&small(&[99]), "unknown type of field")),
        ("schema-enum-of-65535-has-0", unknown(&small(&[18, 0xff, 0xff]), "more named values")),
        (
            "schema-flags-of-65",
            (
                event(&schema("", vec![field("a", FieldType::Flags(vec![(1, String::new()); 65]))]), &[0; 8]),
                5,
                "more named values",
            ),
        ),
        (
            "schema-enum-of-1025",
            (
                event(
                    &schema("", vec![field("a", FieldType::Enum(vec![(1, String::new()); 1025]))]),
                    &[0; 4],
                ),
                5,
                "more named values",
            ),
        ),
        (
            "schema-missing",
            (
                around(|s| {
                    s.data(1, after(), 3, &record(KIND_EVENT, 9, 30, &[0; 8]));
                }),
                5,
                "its schema is missing",
            ),
        ),
        (
            "schema-index-65535",
            (
                around(|s| {
                    s.data(1, after(), 3, &record(KIND_EVENT, 0xffff, 30, &[0; 8]));
                }),
                5,
                "its schema is missing",
            ),
        ),
        (
            "schema-index-1024",
            (
                around(|s| {
                    s.meta(BlockKind::Schemas, &encode_schema_payload_item(1024, &STEP.to_blob()));
                }),
                5,
                "schema out of range",
            ),
        ),
        (
            "schema-after-use",
            (
                around(|s| {
                    s.data(1, after(), 3, &record(KIND_EVENT, 9, 30, &[0; 8]));
                    s.meta(BlockKind::Schemas, &encode_schema_payload_item(9, &small(&[5])));
                }),
                6,
                SAYS_ALL,
            ),
        ),
        (
            "schema-twice-other-body",
            (
                around(|s| {
                    s.meta(BlockKind::Schemas, &encode_schema_payload_item(9, &small(&[5])));
                    s.meta(BlockKind::Schemas, &encode_schema_payload_item(9, &small(&[11])));
                    s.data(1, after(), 3, &record(KIND_EVENT, 9, 30, &7_u64.to_le_bytes()));
                }),
                6,
                SAYS_ALL,
            ),
        ),
        (
            "event-shorter-than-its-schema",
            (event(&schema("", many(9, &FieldType::U64)), &[0; 8]), 5, "shorter than its schema"),
        ),
        ("event-with-bool-7", (typed(&small(&[1]), &[7]), 6, SAYS_ALL)),
        ("event-length-word-beyond", (typed(&small(&[11]), &[0xff, 0x7f]), 6, SAYS_ALL)),
        (
            "event-trailer-missing",
            (
                around(|s| {
                    let mut bytes = step(3, 30);
                    bytes[7] = 1;
                    bytes[31] = 0xff;
                    s.data(1, after(), 3, &bytes);
                }),
                5,
                "trailer is longer",
            ),
        ),
        (
            "fields-255-of-1024",
            (event(&schema("", many(63, &FieldType::Fixed(1024))), &vec![0x5a; 63 * 1024]), 6, SAYS_ALL),
        ),
        (
            "fields-255-named-alike",
            (event(&schema("{a}", vec![field("a", FieldType::U8); 255]), &[1; 255]), 6, SAYS_ALL),
        ),
        (
            "placeholders-1365-of-a-long-text",
            (
                event(&schema(&placeholders, vec![field("a", FieldType::Str)]), &list_of(32_000, b"x")),
                6,
                SAYS_ALL,
            ),
        ),
        (
            "placeholders-1365-of-a-list-of-flags",
            (
                event(
                    &schema(
                        &placeholders,
                        vec![field("a", FieldType::List(Box::new(FieldType::Flags(masks.clone()))))],
                    ),
                    &list_of(4095, &[0xff; 8]),
                ),
                6,
                SAYS_ALL,
            ),
        ),
        (
            "lists-of-flags-with-long-names",
            (
                event(
                    &schema("", vec![field("a", FieldType::List(Box::new(FieldType::Flags(masks))))]),
                    &list_of(4095, &[0xff; 8]),
                ),
                6,
                SAYS_ALL,
            ),
        ),
        (
            "list-of-enum-with-1024-names",
            (
                event(
                    &schema(
                        &placeholders,
                        vec![field("a", FieldType::List(Box::new(FieldType::Enum(values))))],
                    ),
                    &list_of(8191, &[0xff; 4]),
                ),
                6,
                SAYS_ALL,
            ),
        ),
        (
            "text-percent-n",
            (
                event(
                    &schema("%n%s%2147483648d %1$*2$d {0} {a:?} {a!r} {{a}", vec![field("a", FieldType::U8)]),
                    &[1],
                ),
                6,
                SAYS_ALL,
            ),
        ),
        ("text-names-no-field", (event(&schema("{x} {} {", Vec::new()), &[]), 6, SAYS_ALL)),
    ] {
        all.push(seed(name, bytes, events, says));
    }
    all
}

fn texts() -> Vec<Seed> {
    let text = |text: &[u8]| {
        around(|s| {
            s.data(1, after(), 3, &text_step(3, 30, text));
        })
    };
    let mut all: Vec<Seed> = [
        ("text-escape", &b"\x1b[2J\x1b[31m\x1bc"[..]),
        ("text-osc-dcs", b"\x1b]0;title\x07\x1b]52;c;aGk=\x07\x1bP1$r0m\x1b\\\x1b^x\x1b\\"),
        ("text-c1", b"\xc2\x9b2J\xc2\x9d0;x\xc2\x9c\xc2\x90\x9b\x9d"),
        ("text-bidi", "\u{202e}\u{2066}\u{200f}\u{61c}gpj.exe".as_bytes()),
        ("text-tags", "\u{e0001}\u{e0041}\u{e007f}\u{fe0f}\u{200b}\u{feff}".as_bytes()),
        ("text-nul", b"\0a\0"),
        ("text-lone-continuations", b"\x80\xbf\xc3\xe2\x80\xf0\x9f\x98"),
        ("text-overlong", b"\xc0\xaf\xe0\x80\xaf\xf0\x80\x80\xaf\xc1\x9b"),
        ("text-surrogates", b"\xed\xa0\xbd\xed\xb8\x80"),
        ("text-line-separators", "\u{2028}\u{2029}\u{85}".as_bytes()),
        ("text-formula", b"=cmd|' /C calc'!A0"),
        ("text-script", b"<script>alert(1)</script>]]>&lt;"),
        ("text-forged-line", b"x\r\n2026-11-23T17:44:36.000000000Z info  forged[1:1] ui          x"),
        ("text-quotes", b"\" | event=x \"] \\\" \\"),
    ]
    .iter()
    .map(|(name, bytes)| hostile("segment", name, text(bytes), 6, SAYS_ALL))
    .collect();
    let mut ring = info(1);
    ring.thread_name = "\u{1b}[31m] \u{202e}x".into();
    all.push(hostile(
        "segment",
        "thread-name-escape",
        around(|s| {
            s.meta(BlockKind::Ring, &ring.encode());
        }),
        5,
        SAYS_ALL,
    ));
    let mut bytes = super::plain_segment();
    bytes[16 + 16 + 72..][..9].copy_from_slice(b"\x1b]0;x\x07\r\n\x7f");
    checksums::fix_segment(&mut bytes);
    all.push(hostile("segment", "component-name-escape", bytes, 12, "lost: 4"));
    all
}

fn clocks() -> Vec<Seed> {
    let seed = |name: &str, bytes, events, says| hostile("segment", name, bytes, events, says);
    let point = |ticks, time, boottime| ClockPoint { ticks, time, boottime, error: 5, epoch: 0 };
    let with = |points: &[ClockPoint]| {
        let encoded: Vec<u8> = points.iter().flat_map(ClockPoint::encode).collect();
        around(|s| {
            s.meta(BlockKind::Clocks, &encoded);
        })
    };
    let stamps = |stamps: &[u64]| {
        let records: Vec<u8> = stamps.iter().zip(3..).flat_map(|(ticks, n)| step(n, *ticks)).collect();
        around(|s| {
            s.data(1, after(), 3, &records);
        })
    };
    vec![
        seed("clock-slope-0", with(&[point(5, 100, 7), point(5_000, 100, 7)]), 5, SAYS_ALL),
        seed("clock-slope-negative", with(&[point(5, i64::MAX, 9), point(5_000, i64::MIN, 3)]), 5, SAYS_ALL),
        seed("clock-slope-endless", with(&[point(5, 0, 0), point(6, i64::MAX, u64::MAX)]), 5, SAYS_ALL),
        seed(
            "clock-unordered",
            with(&[point(50, 500, 50), point(5, 50, 5), point(20, 200, 20)]),
            5,
            SAYS_ALL,
        ),
        seed("clock-duplicate", with(&[point(5, 1, 1), point(5, 2, 2), point(5, i64::MIN, 3)]), 5, SAYS_ALL),
        seed(
            "clock-cut",
            around(|s| {
                s.meta(BlockKind::Clocks, &[1; 41]);
            }),
            5,
            "bytes end too early",
        ),
        seed("times-0-and-max", stamps(&[0, u64::MAX, 0, u64::MAX - 1]), 9, SAYS_ALL),
        seed("times-decreasing", stamps(&[900, 800, 700, 600, 0]), 10, "dated before"),
        seed(
            "many-rings-at-one-time",
            around(|s| {
                for ring in 3..100 {
                    s.data(ring, 0, 0, &step(0, 9));
                }
            }),
            102,
            SAYS_ALL,
        ),
        seed(
            "block-header-lies-about-time",
            around(|s| {
                let raw = step(3, 30);
                put(
                    s,
                    BlockHeader {
                        first_ticks: u64::MAX,
                        stored_len: raw.len() as u32,
                        ..next(raw.len() as u32)
                    },
                    &raw,
                );
            }),
            6,
            SAYS_ALL,
        ),
    ]
}
