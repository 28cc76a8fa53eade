//! Every reduction of every kind of field, and that a secret is nowhere in what is written.

use proptest::prelude::*;
use tracewell_schema::{Event, Plan, Reduction, Value, decode_event};

use crate::common::{Every, Values, values};

const KEY: [u8; 32] = [9; 32];

fn keyed(bytes: &[u8]) -> [u8; 16] {
    *blake3::keyed_hash(&KEY, bytes).as_bytes().first_chunk().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn sample() -> Values {
    Values {
        n: 0x0102_0304_0506_0708,
        f: 1.5,
        text: "https://u@ex.org/?q=\u{e9}".to_owned(),
        bytes: b"http://a.b/c".to_vec(),
        ip: [192, 0, 2, 77].into(),
        v4: [198, 51, 100, 77].into(),
        v6: "2001:db8:1:2::3".parse().unwrap(),
        port: 8080,
        two: true,
        maybe: true,
        numbers: vec![1, 2],
        texts: vec!["http://one.org/x".to_owned(), "two.org:80/y".to_owned()],
        blobs: vec![b"http://three.org/".to_vec()],
        ips: vec![[10, 1, 2, 3].into()],
        key: [4; 16],
        hash: [6; 32],
    }
}

/// What each field is under a reduction, as the reader decodes it.
fn reduced(v: &Values, reduction: Reduction, show: impl FnOnce(&dyn Fn(&str) -> String)) {
    v.with(|event| {
        let plan = Plan::new(Every::SCHEMA, KEY, &|_| true, &|_| Some(reduction));
        let mut out = vec![0; event.reduced_len_bound()];
        let len = event.encode_reduced(&plan, &mut out);
        let schema = Every::SCHEMA.to_schema().unwrap();
        let values = decode_event(&schema, &out[..len], plan.changed).unwrap();
        for field in values.iter() {
            assert_eq!(field.unwrap().reduction.code(), reduction.code());
        }
        show(&|name| match values.get(name).unwrap().value {
            Value::Str(t) | Value::Bytes(t) => match std::str::from_utf8(t.bytes) {
                Ok(text) if !text.contains('\0') && !text.contains('\u{4}') => text.to_owned(),
                _ => hex(t.bytes),
            },
            Value::Ip(ip) => ip.to_string(),
            Value::Socket(socket) => socket.to_string(),
            Value::IpKeyed(hash) | Value::Key128(hash) => hex(&hash),
            Value::SocketKeyed(hash, port) => format!("{}:{port}", hex(&hash)),
            Value::List(list) => list
                .iter()
                .map(|item| match item.unwrap() {
                    Value::Str(t) | Value::Bytes(t) => String::from_utf8(t.bytes.to_vec()).unwrap(),
                    Value::Ip(ip) => ip.to_string(),
                    other => format!("{other:?}"),
                })
                .collect::<Vec<_>>()
                .join(" "),
            other => format!("{other:?}"),
        });
    });
}

#[test]
fn prefix() {
    reduced(&sample(), Reduction::Prefix { n: 9, m: 32 }, |get| {
        assert_eq!(get("text"), "https://u");
        assert_eq!(get("maybe_text"), "https://u");
        assert_eq!(get("bytes"), "http://a.");
        assert_eq!(get("texts"), "http://on two.org:8");
        assert_eq!(get("blobs"), "http://th");
        assert_eq!(get("ip"), "192.0.0.0");
        assert_eq!(get("socket"), "192.0.0.0:8080");
        assert_eq!(get("v4"), "198.0.0.0");
        assert_eq!(get("v6"), "2001:db8::");
        assert_eq!(get("ips"), "10.0.0.0");
        assert_eq!(get("numbers"), "");
        assert_eq!(get("u64"), "U(0)");
        assert_eq!(get("hash"), hex(&[0; 32]));
    });
    // Characters are counted, not bytes: sixteen of them are twenty bytes.
    let v = Values { text: "\u{e9}\u{e9}\u{e9}\u{e9}abcdefghijklmnop".to_owned(), ..sample() };
    reduced(&v, Reduction::Prefix { n: 5, m: 0 }, |get| {
        assert_eq!(get("text"), "\u{e9}\u{e9}\u{e9}\u{e9}a");
        assert_eq!(get("v6"), "::");
    });
}

#[test]
fn host_only() {
    reduced(&sample(), Reduction::HostOnly, |get| {
        assert_eq!(get("text"), "ex.org");
        assert_eq!(get("maybe_text"), "ex.org");
        assert_eq!(get("bytes"), "a.b");
        assert_eq!(get("texts"), "one.org two.org");
        assert_eq!(get("blobs"), "three.org");
        assert_eq!(get("ip"), "Absent");
        assert_eq!(get("socket"), "Absent");
    });
}

#[test]
fn a_keyed_hash() {
    let v = sample();
    reduced(&v, Reduction::Keyed, |get| {
        assert_eq!(get("text"), hex(&keyed(v.text.as_bytes())[..8]));
        assert_eq!(get("maybe_text"), get("text"));
        assert_eq!(get("bytes"), hex(&keyed(&v.bytes)[..8]));
        assert_eq!(get("hash"), hex(&keyed(&v.hash)) + &hex(&[0; 16]));
        assert_eq!(get("ip"), hex(&keyed(&[192, 0, 2, 77])));
        assert_eq!(get("maybe_ip"), get("ip"));
        assert_eq!(get("v6"), hex(&keyed(&v.v6.octets())));
        assert_eq!(get("socket"), format!("{}:8080", hex(&keyed(&[192, 0, 2, 77]))));
        assert_eq!(get("process"), hex(&keyed(&v.key)));
        assert_eq!(get("texts"), "");
        assert_eq!(get("time"), "Time(0)");
        assert_eq!(get("correlation"), "Absent");
        assert_eq!(get("maybe_number"), "U(0)");
    });
}

#[test]
fn the_length() {
    // Of the whole value, also where it would have been cut.
    let v = Values { text: "\u{e9}".repeat(1000), ..sample() };
    reduced(&v, Reduction::Length, |get| {
        assert_eq!(get("text"), "2000");
        assert_eq!(get("bytes"), "12");
        assert_eq!(get("ip"), "Absent");
        assert_eq!(get("maybe_ip"), "Absent");
        assert_eq!(get("texts"), "");
        assert_eq!(get("process"), hex(&[0; 16]));
    });
}

#[test]
fn nothing() {
    for reduction in [Reduction::Drop, Reduction::Off] {
        reduced(&sample(), reduction, |get| {
            for (name, value) in [
                ("truth", "Bool(false)"),
                ("i64", "I(0)"),
                ("f64", "F(0.0)"),
                ("text", ""),
                ("bytes", ""),
                ("ip", "Absent"),
                ("socket", "Absent"),
                ("maybe_number", "Absent"),
                ("maybe_text", "Absent"),
                ("maybe_kind", "Absent"),
                ("kind", "Enum(0)"),
                ("texts", ""),
                ("ips", ""),
            ] {
                assert_eq!(get(name), value, "{name}");
            }
        });
    }
}

#[test]
fn settings_make_it_stricter_never_looser() {
    use Reduction::{Drop, HostOnly, Keyed, Length, None, Off, Prefix};
    let p = |n, m| Prefix { n, m };
    for (own, users, effective) in [
        (None, Keyed, Keyed),
        (Keyed, None, Keyed),
        (Keyed, p(8, 8), Keyed),
        (p(24, 48), p(8, 64), p(8, 48)),
        (p(24, 48), HostOnly, p(24, 48)),
        (HostOnly, Length, Length),
        (Drop, Keyed, Drop),
        (p(0, 0), Keyed, p(0, 0)),
        (Off, None, Off),
    ] {
        assert_eq!(own.stricter(users), effective, "{own} and {users}");
    }
    for text in ["none", "prefix(24, 48)", "prefix(3)", "host_only", "keyed", "length", "drop"] {
        assert_eq!(text.parse::<Reduction>().unwrap().to_string(), text);
    }
    for text in ["", "prefix", "prefix(-1)", "prefix(70000)", "prefix(1", "off", "hash"] {
        assert!(text.parse::<Reduction>().is_err(), "{text}");
    }
}

/// Nothing but secrets.
#[derive(Event)]
#[event(crate = "tracewell_schema", name = "custom.secret", category = "custom", level = "info", text = "")]
struct Secrets<'a> {
    #[field(secret)]
    word: &'a str,
    #[field(secret)]
    bytes: &'a [u8],
    #[field(secret)]
    maybe: Option<&'a str>,
}

proptest! {
    #[test]
    fn a_secret_is_nowhere(word in "[a-zA-Z0-9]{6,80}", drop: bool) {
        let event = Secrets { word: &word, bytes: word.as_bytes(), maybe: Some(&word) };
        const { assert!(!Secrets::PLAIN) };
        let plan = Plan::new(Secrets::SCHEMA, KEY, &|_| true, &|_| drop.then_some(Reduction::Drop));
        let mut out = vec![0; event.reduced_len_bound()];
        let len = event.encode_reduced(&plan, &mut out);
        let mut plain = vec![0; event.encoded_len()];
        event.encode(&mut plain);
        for bytes in [&out, &plain] {
            for piece in word.as_bytes().windows(6) {
                prop_assert!(!bytes.windows(6).any(|w| w == piece));
            }
        }
        let schema = Secrets::SCHEMA.to_schema().unwrap();
        let class = match word.len() { 0..8 => 1, 8..16 => 2, 16..32 => 3, 32..64 => 4, _ => 5 };
        let expected = if drop { Value::Absent } else { Value::Secret(class, keyed(word.as_bytes())) };
        for field in decode_event(&schema, &out[..len], plan.changed).unwrap().iter() {
            prop_assert_eq!(field.unwrap().value, expected);
        }
        for field in decode_event(&schema, &plain, false).unwrap().iter() {
            prop_assert_eq!(field.unwrap().value, Value::Absent);
        }
    }

    #[test]
    fn the_bound_holds(v in values(), n in any::<u16>(), m in any::<u16>(), code in 0..7_u8) {
        let reduction = Reduction::from_code(code, n, m).unwrap();
        v.with(|event| {
            let plan = Plan::new(Every::SCHEMA, KEY, &|_| true, &|_| Some(reduction));
            let bound = event.reduced_len_bound();
            // More room than the bound changes nothing: the bound was enough.
            let (mut exact, mut roomy) = (vec![0; bound], vec![0; bound + 100]);
            let (a, b) = (event.encode_reduced(&plan, &mut exact), event.encode_reduced(&plan, &mut roomy));
            assert_eq!(exact[..a], roomy[..b]);
            let schema = Every::SCHEMA.to_schema().unwrap();
            let values = decode_event(&schema, &exact[..a], plan.changed).unwrap();
            assert_eq!(values.iter().filter(Result::is_ok).count(), schema.fields.len());
        });
    }
}
