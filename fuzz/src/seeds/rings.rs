//! Ring folders made to do harm. Beside the ring in question there is one with five events, which must come out.

use tracewell_schema::format::process::{ProcessFile, encode_schema_item};
use tracewell_schema::format::record::{KIND_EVENT, KIND_PAD, RecordHeader};

use super::plain::{process_item, ring_item, schemas_item};
use super::synth::{RingFile, STEP, identity, pad, points, record, step, steps, text_step};
use super::{Seed, hostile};
use crate::checksums;
use crate::scene::{self, Item};

const CAPACITY: u64 = 1 << 16;

fn good() -> RingFile {
    RingFile::new(7, 1, CAPACITY, 0, 0, &steps(0..5, 10))
}

fn beside(items: &[Item]) -> Vec<u8> {
    let all = [&[process_item(7), schemas_item(), ring_item(&good())], items].concat();
    scene::build(&all)
}

/// A ring with one event, after a change of its header's bytes.
fn changed(offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut item = ring_item(&RingFile::new(7, 2, CAPACITY, 0, 0, &step(0, 9)));
    item.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
    checksums::fix_ring(&mut item.bytes);
    beside(&[item])
}

fn positions(head: u64, tail: u64) -> Vec<u8> {
    let mut item = ring_item(&RingFile::new(7, 2, CAPACITY, 0, 0, &step(0, 9)));
    item.bytes[192..200].copy_from_slice(&head.to_le_bytes());
    item.bytes[320..328].copy_from_slice(&tail.to_le_bytes());
    beside(&[item])
}

fn with(records: &[u8]) -> Vec<u8> {
    beside(&[ring_item(&RingFile::new(7, 2, CAPACITY, 0, 0, records))])
}

fn file(bytes: &[u8]) -> Vec<u8> {
    beside(&[Item { kind: scene::RING_FILE, bytes: bytes.to_vec() }])
}

fn process(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut item = process_item(7);
    change(&mut item.bytes);
    scene::build(&[item, schemas_item(), ring_item(&good())])
}

fn schemas(bytes: Vec<u8>) -> Vec<u8> {
    scene::build(&[process_item(7), Item { kind: scene::SCHEMAS, bytes }, ring_item(&good())])
}

const SAYS_ALL: &str = "";

pub(super) fn seeds() -> Vec<Seed> {
    let mut all = headers();
    all.append(&mut contents());
    all.append(&mut processes());
    all
}

fn headers() -> Vec<Seed> {
    let seed = |name: &str, bytes, events, says| hostile("ring", name, bytes, events, says);
    let header = RingFile::new(7, 2, CAPACITY, 0, 0, &steps(0..5, 10)).header.encode();
    let word = |n: u64| n.to_le_bytes();
    vec![
        seed("ring-empty", file(&[]), 5, SAYS_ALL),
        seed("ring-of-1-byte", file(&[0x54]), 5, "fill whole buffer"),
        seed("ring-header-only", file(&header), 5, "the file of the ring is cut"),
        seed("ring-header-cut", file(&header[..300]), 5, "fill whole buffer"),
        seed("ring-all-zero", file(&[0; 4096]), 5, SAYS_ALL),
        seed("ring-wrong-magic", changed(0, b"XXRING\r\n"), 5, "not a ring"),
        seed("ring-other-endian", changed(0, b"\n\rGNIRWT"), 5, "not a ring"),
        seed("ring-of-version-2", changed(8, &[2, 0]), 5, "later version"),
        seed("ring-of-version-0", changed(8, &[0, 0]), 5, "later version"),
        seed("ring-page-size", changed(12, &[0, 0, 1, 0]), 5, "another page size"),
        seed("ring-capacity-0", changed(16, &word(0)), 5, "impossible capacity"),
        seed("ring-capacity-1", changed(16, &word(1)), 5, "impossible capacity"),
        seed("ring-capacity-no-power", changed(16, &word(CAPACITY + 8)), 5, "impossible capacity"),
        seed("ring-capacity-2-63", changed(16, &word(1 << 63)), 5, "impossible capacity"),
        seed("ring-capacity-max", changed(16, &word(u64::MAX)), 5, "impossible capacity"),
        seed("ring-capacity-256-mib", changed(16, &word(256 << 20)), 6, SAYS_ALL),
        seed("ring-of-another-process", changed(24, &[0xaa; 16]), 5, "ring of another process"),
        seed(
            "ring-wrong-sum",
            {
                let mut item = ring_item(&RingFile::new(7, 2, CAPACITY, 0, 0, &step(0, 9)));
                item.bytes[50] ^= 1;
                beside(&[item])
            },
            5,
            "wrong checksum",
        ),
        seed("ring-head-before-tail", positions(8, 48), 5, "contradict each other"),
        seed("ring-more-than-capacity", positions(CAPACITY + 8, 0), 5, "contradict each other"),
        seed("ring-head-max", positions(u64::MAX, 0), 5, "contradict each other"),
        seed("ring-tail-max", positions(0, u64::MAX), 5, "contradict each other"),
        seed("ring-head-and-tail-max", positions(u64::MAX, u64::MAX), 5, SAYS_ALL),
        seed("ring-at-the-end-of-all", positions(u64::MAX, u64::MAX - 31), 5, "damaged"),
        seed("ring-tail-unaligned", positions(28, 4), 5, "damaged"),
        seed("ring-state-77", changed(40, &[77, 0, 0, 0]), 6, SAYS_ALL),
        seed("ring-sequence-max", changed(328, &word(u64::MAX)), 6, "does not add up"),
        seed("ring-attempted-max", changed(200, &word(u64::MAX)), 6, "does not add up"),
        seed("ring-lost-max", changed(256, &word(u64::MAX)), 6, "lost: 18446744073709551615"),
        seed("ring-thread-name-not-utf8", changed(80, &[0xff]), 5, "not UTF-8"),
        seed("ring-thread-name-escape", changed(80, b"\x1b[31m\n"), 6, SAYS_ALL),
        seed(
            "ring-cut-behind-its-header",
            {
                let mut bytes = header.to_vec();
                bytes.extend_from_slice(&steps(0..2, 10));
                file(&bytes)
            },
            7,
            "the file of the ring is cut",
        ),
    ]
}

fn contents() -> Vec<Seed> {
    let seed = |name: &str, bytes, events, says| hostile("ring", name, bytes, events, says);
    let of = |len: u32| {
        let mut bytes = step(0, 9);
        bytes[..4].copy_from_slice(&len.to_le_bytes());
        with(&bytes)
    };
    let pad_of = |len: u32| {
        let mut bytes = RecordHeader { len, kind: KIND_PAD, ..RecordHeader::default() }.encode().to_vec();
        bytes.resize(40, 0);
        with(&bytes)
    };
    let twice = ring_item(&RingFile::new(7, 2, CAPACITY, 0, 0, &steps(0..3, 9)));
    vec![
        seed("ring-record-length-0", of(0), 5, "no record where one should be"),
        seed("ring-record-length-7", of(7), 5, "no record where one should be"),
        seed("ring-record-length-8", of(8), 5, "no record where one should be"),
        seed("ring-record-beyond-head", of(33), 5, "no record where one should be"),
        seed("ring-record-16-mib", of((1 << 24) - 1), 5, "no record where one should be"),
        seed(
            "ring-record-of-unknown-kind",
            with(&record(9, 3, 9, &[0; 24])),
            5,
            "no record where one should be",
        ),
        seed("ring-pad-of-0", pad_of(0), 5, "no record where one should be"),
        seed("ring-pad-beyond-head", pad_of(4096), 5, "no record where one should be"),
        seed("ring-endless-pads", with(&pad(8).repeat(1000)), 5, "pad record before the end of its lap"),
        seed("ring-full-of-pads", with(&pad(8).repeat(8192)), 5, "pad record before the end of its lap"),
        seed("ring-all-zero-but-header", with(&[0; 4096]), 5, "no record where one should be"),
        seed("ring-record-in-a-record", with(&text_step(0, 9, &step(9, 31))), 6, SAYS_ALL),
        seed("ring-schema-unknown", with(&record(KIND_EVENT, 900, 9, &[0; 8])), 5, "its schema is missing"),
        seed("ring-schema-65535", with(&record(KIND_EVENT, 0xffff, 9, &[0; 8])), 5, "its schema is missing"),
        seed(
            "ring-times-decreasing",
            with(&[step(0, 900), step(1, 0), step(2, u64::MAX), step(3, 1)].concat()),
            9,
            "dated before",
        ),
        seed("ring-twice", beside(&[twice.clone(), twice]), 8, "another file of a ring that has one"),
        seed(
            "ring-twice-other-content",
            beside(&[
                ring_item(&RingFile::new(7, 2, CAPACITY, 0, 0, &steps(0..3, 9))),
                ring_item(&RingFile::new(7, 2, CAPACITY, 32, 1, &steps(7..12, 9))),
            ]),
            8,
            "another file of a ring that has one",
        ),
        seed(
            "ring-generation-back",
            beside(&[
                ring_item(&RingFile::new(7, 2, CAPACITY, 4000, 100, &steps(100..103, 9))),
                ring_item(&RingFile::new(7, 2, CAPACITY, 0, 0, &steps(0..3, 9))),
            ]),
            8,
            "another file of a ring that has one",
        ),
    ]
}

fn processes() -> Vec<Seed> {
    let seed = |name: &str, bytes, events, says| hostile("ring", name, bytes, events, says);
    let step_item = encode_schema_item(3, &STEP.to_blob());
    let mut spoilt = step_item.clone();
    spoilt[6] ^= 1;
    let mut long = step_item.clone();
    long[2..6].copy_from_slice(&u32::MAX.to_le_bytes());
    let fixed = |at: usize, bytes: &'static [u8]| {
        process(move |b| {
            b[at..at + bytes.len()].copy_from_slice(bytes);
            checksums::fix_process(b);
        })
    };
    let alive = {
        let alive = Item { kind: scene::ALIVE, bytes: Vec::new() };
        scene::build(&[process_item(7), alive, schemas_item(), ring_item(&good())])
    };
    let foreign = ProcessFile { identity: identity("scanner", 8), points: points() }.encode();
    vec![
        seed("process-empty", process(Vec::clear), 0, "bytes end too early"),
        seed("process-of-1-byte", process(|b| b.truncate(1)), 0, "bytes end too early"),
        seed("process-cut", process(|b| b.truncate(200)), 5, "64 clock points are damaged"),
        seed("process-wrong-magic", process(|b| b[0] = 0), 0, "not a process file"),
        seed("process-of-version-2", process(|b| b[8] = 2), 0, "later version"),
        seed("process-wrong-sum", process(|b| b[20] ^= 1), 0, "wrong checksum"),
        seed("process-unknown-clock", fixed(16 + 64, &[9]), 0, "unknown clock"),
        seed("process-name-escape", fixed(16 + 72, b"\x1b]0;x\x07\n\x7f"), 5, SAYS_ALL),
        seed("process-boot-id-zero", fixed(16 + 16, &[0; 16]), 5, "unverified"),
        seed("process-boot-id-foreign", fixed(16 + 16, &[0xbb; 16]), 5, "unverified"),
        seed("process-clock-slots-strange", fixed(256, &[0xff; 40]), 5, SAYS_ALL),
        seed("process-of-another-ring", process(|b| *b = foreign), 0, "ring of another process"),
        seed("process-locked-by-somebody", alive, 5, SAYS_ALL),
        seed("schemas-empty", schemas(Vec::new()), 0, "its schema is missing"),
        seed("schemas-cut", schemas(step_item[..step_item.len() - 1].to_vec()), 0, "its schema is missing"),
        seed("schemas-wrong-sum", schemas(spoilt), 0, "its schema is missing"),
        seed("schemas-length-4-gib", schemas(long), 0, "its schema is missing"),
        seed(
            "schemas-index-1024",
            schemas(encode_schema_item(1024, &STEP.to_blob())),
            0,
            "its schema is missing",
        ),
        seed("schemas-torn-after-whole", schemas([&step_item[..], &step_item[..20]].concat()), 5, SAYS_ALL),
        seed(
            "schemas-twice-other-body",
            schemas([&step_item[..], &encode_schema_item(3, b"\x01\x00")].concat()),
            5,
            "bytes end too early",
        ),
    ]
}
