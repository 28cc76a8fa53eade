//! FORMAT.md sections 1 and 2, byte by byte: written out by hand, so that a change of the format cannot pass unseen.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tracewell_schema::limits::MAX_SCHEMA;
use tracewell_schema::{
    CorrelationId, Event, FieldEnum, FieldFlags, FieldType, Plan, ProcessKey, Schema, Timestamp,
};

use crate::common::{Every, encode};

#[derive(FieldEnum, Clone, Copy)]
#[event(crate = "tracewell_schema")]
#[repr(u8)]
enum Kind {
    FirstOne = 1,
    #[value("2nd")]
    Second = 2,
}

#[derive(FieldFlags, Clone, Copy)]
#[event(crate = "tracewell_schema")]
#[flags(HIDDEN = 1, READ_ONLY = 0x80)]
struct Attributes(u32);

/// Short.
#[derive(Event)]
#[event(
    crate = "tracewell_schema",
    name = "custom.short",
    category = "custom",
    level = "warn",
    text = "{a}",
    opt_in
)]
struct Short<'a> {
    /// Text.
    #[field(personal, unit = "u", reduce = "prefix(3, 4)", opt_in)]
    a: &'a str,
    #[field(public)]
    kind: Option<Kind>,
    #[field(public)]
    attributes: Attributes,
    #[field(public)]
    hash: [u8; 3],
    #[field(secret)]
    word: &'a str,
    #[field(public)]
    list: &'a [u16],
}

const SHORT_BLOB: &[u8] = b"\x01\x00\x0ccustom.short\x0d\x02\x01\x06\x00Short.\x03\x00{a}\x06\
    \x01a\x0b\x02\x01\x01\x03\x00\x04\x00\x01u\x05\x00Text.\
    \x04kind\x14\x12\x02\x00\x01\x00\x00\x00\x09first_one\x02\x00\x00\x00\x032nd\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\
    \x0aattributes\x13\x02\x00\x01\0\0\0\0\0\0\0\x06hidden\x80\0\0\0\0\0\0\0\x09read_only\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\
    \x04hash\x0d\x03\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\
    \x04word\x16\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\
    \x04list\x15\x03\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00";

#[test]
fn the_bytes_of_a_schema() {
    assert_eq!(Short::SCHEMA.to_blob(), SHORT_BLOB);
    let schema = Schema::parse(SHORT_BLOB).unwrap();
    let hash = blake3::hash(SHORT_BLOB);
    assert_eq!(schema.fingerprint.to_le_bytes(), hash.as_bytes()[..8]);
    assert!(schema.opt_in && schema.fields[0].opt_in && !schema.fields[1].opt_in);
    assert_eq!(schema.fields[1].ty.enum_name(2), Some("2nd"));
    assert_eq!(schema.fields[2].ty.flag_names()[1], (0x80, "read_only".to_owned()));
    assert_eq!(schema.fields[5].ty, FieldType::List(Box::new(FieldType::U16)));
}

#[test]
fn the_fingerprint_stays() {
    // A change here makes every reader see another event: the format or the test's event was changed.
    assert_eq!(Short::SCHEMA.to_schema().unwrap().fingerprint, 0xE97F_95AA_D2A5_382E);
    assert_eq!(Every::SCHEMA.to_schema().unwrap().fingerprint, 0x3AE7_F612_1E42_AA72);
}

#[test]
fn the_bytes_of_an_event() {
    let event = Short {
        a: "caf\u{e9}",
        kind: Some(Kind::Second),
        attributes: Attributes::HIDDEN | Attributes::READ_ONLY,
        hash: [7, 8, 9],
        word: "12345678",
        list: &[1, 0x0203],
    };
    assert_eq!(Short::FIXED_LEN, 2 + 5 + 8 + 3 + 17 + 2);
    let mut plain = b"\x05\x00\x01\x02\0\0\0\x81\0\0\0\0\0\0\0\x07\x08\x09\xff".to_vec();
    plain.extend([0; 16]);
    plain.extend(b"\x04\x00caf\xc3\xa9\x01\x00\x03\x02");
    assert_eq!(encode(&event), plain);

    // Not opted in: the text is off, which the trailer says; the secret is a class and a keyed hash.
    let key = [5; 32];
    let plan = Plan::new(Short::SCHEMA, key, &|_| false, &|_| None);
    let mut out = vec![0; event.reduced_len_bound()];
    let len = event.encode_reduced(&plan, &mut out);
    let mut expected = b"\x00\x00\x01\x02\0\0\0\x81\0\0\0\0\0\0\0\x07\x08\x09\x02".to_vec();
    expected.extend(&blake3::keyed_hash(&key, b"12345678").as_bytes()[..16]);
    expected.extend(b"\x04\x00\x01\x00\x03\x02\x00\x06\x01");
    assert_eq!(&out[..len], expected);

    // Opted in: three characters, by the schema's own reduction, so without a trailer.
    let plan = Plan::new(Short::SCHEMA, key, &|name| name == "custom.short.a", &|_| None);
    let len = event.encode_reduced(&plan, &mut out);
    assert!(!plan.changed);
    assert_eq!(out[..2], [3, 0]);
    assert_eq!(&out[len - 7..len], b"caf\x01\x00\x03\x02");
}

/// Addresses and numbers.
#[derive(Event)]
#[event(crate = "tracewell_schema", name = "custom.fixed", category = "custom", level = "warn", text = "")]
struct Fixed {
    #[field(public)]
    truth: bool,
    #[field(public)]
    i16: i16,
    #[field(public)]
    f64: f64,
    #[field(public)]
    v4: IpAddr,
    #[field(public)]
    socket: SocketAddr,
    #[field(public)]
    time: Timestamp,
    #[field(public)]
    duration: Duration,
    #[field(public)]
    process: ProcessKey,
    #[field(public)]
    correlation: CorrelationId,
}

#[test]
fn the_bytes_of_fixed_fields() {
    let event = Fixed {
        truth: true,
        i16: -2,
        f64: 1.0,
        v4: [192, 0, 2, 1].into(),
        socket: "[2001:db8::5]:443".parse().unwrap(),
        time: Timestamp(-1),
        duration: Duration::from_micros(1),
        process: ProcessKey([3; 16]),
        correlation: CorrelationId(0x0102),
    };
    let mut expected = b"\x01\xfe\xff\0\0\0\0\0\0\xf0\x3f\x04\xc0\x00\x02\x01".to_vec();
    expected.extend([0; 12]);
    expected.extend(b"\x06\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x05\xbb\x01");
    expected.extend([0xff; 8]);
    expected.extend(b"\xe8\x03\0\0\0\0\0\0");
    expected.extend([3; 16]);
    expected.extend(b"\x02\x01\0\0\0\0\0\0");
    assert_eq!(encode(&event), expected);
    assert_eq!(Fixed::FIXED_LEN, expected.len());
}

#[test]
fn every_type_has_its_code() {
    let schema = Every::SCHEMA.to_schema().unwrap();
    let lens: usize = schema.fields.iter().map(|f| f.ty.fixed_len()).sum();
    assert_eq!(Every::FIXED_LEN, lens);
    assert!(Every::SCHEMA.to_blob().len() < MAX_SCHEMA);
    assert_eq!(schema.fields[4].unit, "bytes");
    assert_eq!(schema.fields[10].doc, "Text.");
}
