use tracewell_schema::format::columns::Layout;
use tracewell_schema::format::process::SchemaItems;
use tracewell_schema::limits::{MAX_EVENTS, MAX_FIELDS, MAX_SCHEMA};
use tracewell_schema::{Schema, Value, decode_event, decode_field};

use crate::blob;
use crate::bounds::{CODEC_MEMORY, bounded};

/// A schema's blob and an event of it: `u16 length, blob, payload`, its first bit saying whether it has a trailer.
/// The same bytes are also items of a schemas file and of a schemas block.
pub fn schema(data: &[u8]) -> bool {
    let Some(([a, b], rest)) = data.split_first_chunk() else { return false };
    let (bytes, payload) = rest.split_at(usize::from(u16::from_le_bytes([*a, *b])).min(rest.len()));
    bounded(CODEC_MEMORY, || {
        for items in [SchemaItems::of_file(rest), SchemaItems::of_block(rest)] {
            for (index, blob) in items.map_while(Result::ok) {
                assert!(usize::from(index) < MAX_EVENTS && blob.len() <= MAX_SCHEMA);
                let _ = Schema::parse(blob);
            }
        }
        match Schema::parse(bytes) {
            Ok(schema) => {
                assert_schema(&schema, bytes);
                assert_event(&schema, payload);
            }
            Err(error) => assert!(error.offset <= bytes.len(), "{error} of {}", bytes.len()),
        }
        2 * data.len() as u64
    });
    true
}

/// Written again by other code it is the same, byte for byte but for the bits and parts that mean nothing.
fn assert_schema(schema: &Schema, bytes: &[u8]) {
    assert!(schema.fields.len() <= MAX_FIELDS);
    let again = blob::of(schema);
    assert_eq!(again.len(), bytes.len());
    let parsed = Schema::parse(&again).expect("what was written");
    assert_eq!(blob::of(&parsed), again);
    assert_eq!(Schema { fingerprint: schema.fingerprint, ..parsed }, *schema);
    let widths: usize = schema.fields.iter().map(|field| field.ty.fixed_len()).sum();
    assert_eq!(schema.fixed_len(), widths);
    let _ = Layout::of_schema(schema);
}

/// Fields are decoded in order up to the first that cannot be, in whatever way they are asked for.
fn assert_event(schema: &Schema, payload: &[u8]) {
    let Ok(values) = decode_event(schema, payload, payload.first().is_some_and(|b| b & 1 != 0)) else {
        return;
    };
    let mut seen = 0;
    let mut at = 0;
    for (field, found) in schema.fields.iter().zip(values.iter()) {
        let Ok(found) = found else { break };
        seen += 1;
        assert_eq!(found.schema.name, field.name);
        if !matches!(found.value, Value::Str(_) | Value::Bytes(_) | Value::List(_) | Value::F(_)) {
            let alone = decode_field(&field.ty, &payload[at..], &[]).expect("it was decoded before");
            assert_eq!(alone, found.value);
        }
        if let Value::List(list) = found.value {
            // An item has at least one byte.
            assert!(list.iter().count() <= list.bytes.len());
        }
        at += field.ty.fixed_len();
    }
    assert!(seen <= schema.fields.len());
    if seen == schema.fields.len() {
        assert!(schema.fields.iter().all(|field| values.get(&field.name).is_some()));
    }
}
