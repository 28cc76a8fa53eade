//! What is encoded is decoded: every type of field, cut values, lists.

use crate::common::{Every, Values, cut, encode, values};
use proptest::prelude::*;
use tracewell_schema::limits::MAX_RECORD;
use tracewell_schema::value::{List, Text};
use tracewell_schema::{Event, Plan, Reduction, Schema, Value, decode_event};

fn schema() -> Schema {
    Every::SCHEMA.to_schema().unwrap()
}

fn text(full: &str, max: usize) -> Text<'_> {
    Text { bytes: cut(full, max).as_bytes(), cut: full.len() > max }
}

fn list<'a>(value: Value<'a>) -> (Vec<Value<'a>>, bool) {
    match value {
        Value::List(list @ List { cut, .. }) => (list.iter().map(Result::unwrap).collect(), cut),
        other => panic!("{other:?} is no list"),
    }
}

fn check(v: &Values, payload: &[u8], reduced: bool) {
    let schema = schema();
    let got = decode_event(&schema, payload, reduced).unwrap();
    assert_eq!(got.iter().filter(Result::is_ok).count(), schema.fields.len());
    let get = |name: &str| got.get(name).unwrap().value;
    let n = v.n;
    let socket = std::net::SocketAddr::new(v.ip, v.port);
    let maybe = |value: Value<'static>| if v.maybe { value } else { Value::Absent };
    for (name, value) in [
        ("truth", Value::Bool(v.two)),
        ("u8", Value::U((n as u8).into())),
        ("u16", Value::U((n as u16).into())),
        ("u32", Value::U((n as u32).into())),
        ("u64", Value::U(n)),
        ("i8", Value::I((n as i8).into())),
        ("i16", Value::I((n as i16).into())),
        ("i32", Value::I((n as i32).into())),
        ("i64", Value::I(n as i64)),
        ("f64", Value::F(v.f)),
        ("text", Value::Str(text(&v.text, 20))),
        ("bytes", Value::Bytes(Text { bytes: &v.bytes[..v.bytes.len().min(20)], cut: v.bytes.len() > 20 })),
        ("hash", Value::Bytes(Text { bytes: &v.hash, cut: false })),
        ("ip", Value::Ip(v.ip)),
        ("v4", Value::Ip(v.v4.into())),
        ("v6", Value::Ip(v.v6.into())),
        ("socket", Value::Socket(socket)),
        ("time", Value::Time(n as i64)),
        ("duration", Value::Duration(n)),
        ("kind", Value::Enum(v.kind() as u32)),
        ("attributes", Value::Flags((n as u16).into())),
        ("maybe_number", maybe(Value::U((n as u32).into()))),
        ("maybe_text", if v.maybe { Value::Str(text(&v.text, 20)) } else { Value::Absent }),
        ("maybe_ip", maybe(Value::Ip(v.ip))),
        ("maybe_kind", maybe(Value::Enum(v.kind() as u32))),
        ("process", Value::Key128(v.key)),
        ("id", Value::Key128(v.key)),
        ("correlation", if n == 0 { Value::Absent } else { Value::Id64(n) }),
    ] {
        // Compared as text, since a double may be no number.
        assert_eq!(format!("{:?}", get(name)), format!("{value:?}"), "{name}");
    }

    let numbers: Vec<_> = v.numbers.iter().map(|n| Value::U((*n).into())).collect();
    assert_eq!(list(get("numbers")), (numbers, false));
    let ips: Vec<_> = v.ips.iter().map(|ip| Value::Ip(*ip)).collect();
    assert_eq!(list(get("ips")), (ips, false));
    let kinds = vec![Value::Enum(1), Value::Enum(v.kind() as u32)];
    assert_eq!(list(get("kinds")), (kinds, false));
    let blobs: Vec<_> = v.blobs.iter().map(|b| Value::Bytes(Text { bytes: b, cut: false })).collect();
    assert_eq!(list(get("blobs")), (blobs, false));
    // A list of at most 100 bytes ends before the first item that does not fit.
    let mut left = 100;
    let fitting = v.texts.iter().take_while(|t| match usize::checked_sub(left, t.len() + 2) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    });
    let texts: Vec<_> = fitting.map(|t| Value::Str(text(t, 1000))).collect();
    let cut = texts.len() < v.texts.len();
    assert_eq!(list(get("texts")), (texts, cut));
}

proptest! {
    #[test]
    fn every_type(v in values()) {
        v.with(|event| check(&v, &encode(event), false));
    }

    #[test]
    fn the_short_way_writes_the_same(v in values()) {
        v.with(|event| {
            let mut out = vec![0x55; event.short_len().min(MAX_RECORD)];
            if event.short_len() <= MAX_RECORD {
                event.encode_short(&mut out);
                check(&v, &out, false);
            }
        });
    }

    #[test]
    fn both_encoders_agree_where_nothing_is_reduced(v in values()) {
        v.with(|event| {
            let plan = Plan::new(Every::SCHEMA, [1; 32], &|_| true, &|_| None);
            assert!(plan.plain && !plan.changed && Every::PLAIN);
            let mut out = vec![0; event.reduced_len_bound()];
            let len = event.encode_reduced(&plan, &mut out);
            assert_eq!(&out[..len], encode(event).as_slice());
        });
    }

    #[test]
    fn a_trailer_leaves_the_other_fields_alone(v in values()) {
        v.with(|event| {
            let stricter = |name: &str| (name == "custom.every.hash").then_some(Reduction::Drop);
            let plan = Plan::new(Every::SCHEMA, [1; 32], &|_| true, &stricter);
            assert!(plan.changed && !plan.plain);
            let mut out = vec![0; event.reduced_len_bound()];
            let len = event.encode_reduced(&plan, &mut out);
            let mut dropped = v.clone();
            dropped.hash = [0; 32];
            check(&dropped, &out[..len], true);
        });
    }

    #[test]
    fn a_buffer_that_is_too_short_is_never_a_panic(v in values(), len in 0..400_usize) {
        v.with(|event| {
            let mut out = vec![0; len];
            event.encode(&mut out);
            let stricter = |_: &str| Some(Reduction::Keyed);
            let plan = Plan::new(Every::SCHEMA, [1; 32], &|_| true, &stricter);
            assert!(event.encode_reduced(&plan, &mut out) <= len);
        });
    }
}

#[test]
fn the_longest_values() {
    let long = "\u{e9}".repeat(40_000);
    let numbers = vec![7_u32; 10_000];
    let v = Values {
        n: 0,
        f: f64::NAN,
        text: long.clone(),
        bytes: long.clone().into_bytes(),
        ip: [127, 0, 0, 1].into(),
        v4: [127, 0, 0, 1].into(),
        v6: [1_u16; 8].into(),
        port: 1,
        two: true,
        maybe: true,
        numbers: Vec::new(),
        texts: vec![long],
        blobs: vec![vec![]; 100],
        ips: vec![[1, 2, 3, 4].into(); 500],
        key: [0; 16],
        hash: [0; 32],
    };
    v.with(|event| check(&v, &encode(event), false));
    v.with(|event| {
        let event = Every { numbers: &numbers, ..*event };
        let payload = encode(&event);
        let schema = schema();
        let values = decode_event(&schema, &payload, false).unwrap();
        let (items, cut) = list(values.get("numbers").unwrap().value);
        // 8,191 whole items are what fits into 32,767 bytes.
        assert_eq!((items.len(), cut), (8191, true));
    });
}
