//! Bytes of an enemy: never a panic, and an error that says where.

use proptest::collection::vec;
use proptest::prelude::*;
use tracewell_schema::limits::MAX_SCHEMA;
use tracewell_schema::{Event, FieldType, Schema, Value, decode_event};

use crate::common::{Every, encode, values};

/// Decodes everything that can be decoded.
fn walk(schema: &Schema, payload: &[u8], reduced: bool) {
    let Ok(values) = decode_event(schema, payload, reduced) else { return };
    let mut fields = 0;
    for field in values.iter().map_while(Result::ok) {
        fields += 1;
        assert!(values.get(&field.schema.name).is_some());
        match field.value {
            // An item has at least one byte, so a list of n bytes has at most n items.
            Value::List(list) => assert!(list.iter().count() <= list.bytes.len()),
            Value::Enum(n) => drop(field.schema.ty.enum_name(n).map(str::len)),
            Value::Flags(_) => assert!(field.schema.ty.flag_names().len() <= MAX_SCHEMA),
            _ => {}
        }
    }
    assert!(fields <= schema.fields.len());
}

proptest! {
    #[test]
    fn any_bytes_as_a_schema(bytes in vec(any::<u8>(), 0..2000)) {
        let _ = Schema::parse(&bytes);
    }

    #[test]
    fn a_schema_with_some_bytes_changed(changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(), payload in vec(any::<u8>(), 0..1000), reduced: bool) {
        let mut blob = Every::SCHEMA.to_blob();
        for (at, byte) in changes {
            let at = at.index(blob.len());
            blob[at] = byte;
        }
        if let Ok(schema) = Schema::parse(&blob) {
            walk(&schema, &payload, reduced);
        }
        let error = Schema::parse(&blob[..cut.index(blob.len())]).unwrap_err();
        prop_assert!(error.offset <= blob.len());
    }

    #[test]
    fn any_bytes_as_an_event(payload in vec(any::<u8>(), 0..2000), reduced: bool) {
        walk(&Every::SCHEMA.to_schema().unwrap(), &payload, reduced);
    }

    #[test]
    fn an_event_with_some_bytes_changed(v in values(), reduced: bool,
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>()) {
        let mut payload = v.with(|event| encode(event));
        for (at, byte) in changes {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        let schema = Every::SCHEMA.to_schema().unwrap();
        walk(&schema, &payload, reduced);
        walk(&schema, &payload[..cut.index(payload.len())], reduced);
    }
}

#[test]
fn a_cut_event_shows_what_is_there() {
    let schema = Every::SCHEMA.to_schema().unwrap();
    let error = decode_event(&schema, &[0; 10], false).unwrap_err();
    assert_eq!(error.to_string(), "event is shorter than its schema says (at byte 10)");
    // The variable part is missing: the fields before it are there, the first that needs it is an error, then it ends.
    let mut payload = vec![0; Every::FIXED_LEN];
    let text_at: usize =
        schema.fields.iter().take_while(|f| f.name != "text").map(|f| f.ty.fixed_len()).sum();
    payload[text_at] = 5;
    let values = decode_event(&schema, &payload, false).unwrap();
    let fields: Vec<_> = values.iter().collect();
    assert_eq!(fields.len(), 11);
    assert!(fields[..10].iter().all(Result::is_ok) && fields[10].is_err());
    assert_eq!(values.get("i64").unwrap().value, Value::I(0));
    assert!(values.get("text").is_none() && values.get("hash").is_none());
}

#[test]
fn schemas_that_are_refused() {
    let blob = Every::SCHEMA.to_blob();
    for (change, what) in [((0, 2), "later version"), ((2, 255), "bytes end too early")] {
        let mut blob = blob.clone();
        blob[change.0] = change.1;
        let error = Schema::parse(&blob[..100]).unwrap_err();
        assert!(error.what.contains(what), "{error}");
    }
    let mut longer = blob.clone();
    longer.push(0);
    assert!(Schema::parse(&longer).unwrap_err().what.contains("follow"));
    longer.resize(MAX_SCHEMA + 1, 0);
    assert!(Schema::parse(&longer).unwrap_err().what.contains("longer"));
    // Optional of optional, list of secret, and types without end.
    for types in [&[20, 20, 1][..], &[21, 22], &[20, 21, 1], &[20; 200], &[13, 0, 0], &[13, 1, 4], &[25]] {
        let mut blob = b"\x01\x00\x01n\x0d\x01\x00\x00\x00\x00\x00\x01\x01f".to_vec();
        blob.extend(types);
        blob.extend([1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert!(Schema::parse(&blob).is_err(), "{types:?}");
    }
    let mut fine = b"\x01\x00\x01n\x0d\x01\x00\x00\x00\x00\x00\x01\x01f\x0d\x00\x04".to_vec();
    fine.extend([1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(Schema::parse(&fine).unwrap().fields[0].ty, FieldType::Fixed(1024));
}
