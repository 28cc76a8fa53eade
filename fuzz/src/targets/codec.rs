use tracewell_schema::format::block::{BlockHeader, BlockKind, Codec, Unpacker, decompress_block};
use tracewell_schema::format::crc;
use tracewell_schema::format::record::{KIND_EVENT, KIND_LOSS, Records};
use tracewell_schema::limits::MAX_BLOCK_RAW;

use crate::bounds::{CODEC_MEMORY, bounded};

/// A block's payload, decoded whatever it is: `u8 codec, u24 decoded length, stored bytes`. The checksum is right.
pub fn codec(data: &[u8]) -> bool {
    let Some(([code, a, b, c], stored)) = data.split_first_chunk() else { return false };
    let codec = [Codec::Raw, Codec::Lz4, Codec::Columns, Codec::ColumnsLz4][usize::from(code % 4)];
    let raw_len = u32::from_le_bytes([*a, *b, *c, 0]) % (MAX_BLOCK_RAW as u32 + 1);
    let header = BlockHeader {
        codec,
        stored_len: stored.len() as u32,
        raw_len,
        to: raw_len.into(),
        payload_crc: crc(stored),
        ..BlockHeader::meta(BlockKind::Data)
    };
    bounded(CODEC_MEMORY, || {
        let mut out = Vec::new();
        let decoded = decompress_block(&header, stored, &mut out);
        // Memory that was used before makes no difference.
        let (mut unpacker, mut again) = (Unpacker::default(), vec![0xee; 100]);
        for _ in 0..2 {
            assert_eq!(unpacker.unpack(&header, stored, &mut again), decoded);
            assert!(decoded.is_err() || again == out, "decoded twice");
        }
        if decoded.is_ok() {
            assert_eq!(out.len(), raw_len as usize);
            if codec == Codec::Columns {
                assert_records(stored, &out);
            }
        }
        3 * (data.len() + out.len()) as u64
    });
    true
}

/// What columns decode to are as many whole records as they say, and the pad record that they say.
fn assert_records(columns: &[u8], raw: &[u8]) {
    let word =
        |at: usize| u32::from_le_bytes(*columns[at..].first_chunk().expect("columns have a header")) as usize;
    let (count, pad) = (word(0), word(4));
    let (mut found, mut end) = (0, 0);
    for record in Records::new(&raw[..raw.len() - pad]) {
        match record {
            Ok(record) => {
                assert!(matches!(record.header.kind, KIND_EVENT | KIND_LOSS));
                (found, end) = (found + 1, record.offset + (record.header.len as usize).next_multiple_of(8));
            }
            // Of a later version: nothing is promised of it.
            Err(error) if error.what == "unknown kind of record" => return,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((found, end), (count, raw.len() - pad));
    if pad != 0 {
        let last = Records::new(&raw[end..]).next().expect("a pad").expect("a whole pad");
        assert_eq!(last.header.len as usize, pad);
    }
}
