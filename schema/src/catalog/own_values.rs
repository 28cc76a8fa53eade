//! Each event against its own values: what is decoded is what the struct holds, as `derive(Debug)` tells it, field by
//! field. Debug knows nothing of the encoders, so that a mistake that all of them make shows.

use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::event::{Plan, Reduction};
use crate::limits::MAX_RECORD;
use crate::schema::FieldType;
use crate::value::List;
use crate::{CorrelationId, Id128, ProcessKey, Timestamp, Value, decode_event};

const KEY: [u8; 32] = [9; 32];

/// Field, variant and name, where the name is another word than the variant.
const OTHER_NAMES: [(&str, &str, &str); 6] = [
    ("network.connection.state", "Open", "opening"),
    ("network.connection.state", "Close", "closed"),
    ("network.connection.state", "Fail", "failed"),
    ("network.connection.state", "Refuse", "refused"),
    ("network.connection.state", "Listen", "listening"),
    ("process.exit.ending", "CoreDump", "signal, core dumped"),
];

/// Reads the text that `{:?}` gives.
struct Told<'t> {
    rest: &'t str,
}

impl<'t> Told<'t> {
    fn eat(&mut self, what: &str) -> bool {
        match self.rest.strip_prefix(what) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, what: &str) {
        assert!(self.eat(what), "{what:?} is not what comes: {:.80}", self.rest);
    }

    fn while_(&mut self, keep: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|c| !keep(c)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        token
    }

    fn ident(&mut self) -> &'t str {
        self.while_(|c| c.is_alphanumeric() || c == '_')
    }

    /// Up to what separates values.
    fn token(&mut self) -> &'t str {
        self.while_(|c| !",)]} ".contains(c))
    }

    fn text(&mut self) -> String {
        self.expect("\"");
        let mut out = String::new();
        loop {
            let mut chars = self.rest.chars();
            let c = chars.next().expect("the end of a text");
            self.rest = chars.as_str();
            match c {
                '"' => return out,
                '\\' => {
                    let mut chars = self.rest.chars();
                    let escaped = chars.next().expect("what is escaped");
                    self.rest = chars.as_str();
                    out.push(match escaped {
                        'n' => '\n',
                        'r' => '\r',
                        't' => '\t',
                        '0' => '\0',
                        'u' => {
                            self.expect("{");
                            let code = u32::from_str_radix(self.while_(|c| c != '}'), 16).unwrap();
                            self.expect("}");
                            char::from_u32(code).unwrap()
                        }
                        other => other,
                    });
                }
                c => out.push(c),
            }
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.expect("[");
        while !self.eat("]") {
            self.eat(", ");
            out.push(self.token().parse().unwrap());
        }
        out
    }

    /// In a type with a name, as `ProcessKey([..])`.
    fn named_bytes(&mut self) -> Vec<u8> {
        assert!(!self.ident().is_empty());
        self.expect("(");
        let bytes = self.bytes();
        self.expect(")");
        bytes
    }

    fn named_number(&mut self) -> i128 {
        assert!(!self.ident().is_empty());
        self.expect("(");
        let number = self.token().parse().unwrap();
        self.expect(")");
        number
    }

    fn socket(&mut self) -> SocketAddr {
        let start = self.rest;
        if self.eat("[") {
            self.while_(|c| c != ']');
            self.expect("]");
        }
        self.while_(|c| c.is_ascii_digit() || c == '.' || c == ':');
        start[..start.len() - self.rest.len()].parse().unwrap()
    }

    fn secret(&mut self) -> Option<Vec<u8>> {
        if self.eat("None") {
            return None;
        }
        let some = self.eat("Some(");
        let bytes = if self.rest.starts_with('[') { self.bytes() } else { self.text().into_bytes() };
        if some {
            self.expect(")");
        }
        Some(bytes)
    }

    /// Reads a value of this type and, if one is given, compares it with what was decoded.
    fn check(&mut self, ty: &FieldType, value: Option<Value<'_>>, whose: &str) {
        macro_rules! same {
            ($told:expr, $pattern:pat => $value:expr) => {{
                let told = $told;
                match value {
                    None => {}
                    Some($pattern) => assert_eq!($value, told, "{whose}"),
                    other => panic!("{whose}: {other:?} is no {ty:?}"),
                }
            }};
        }
        match ty {
            FieldType::Bool => same!(self.token(), Value::Bool(v) => format!("{v}")),
            FieldType::U8 | FieldType::U16 | FieldType::U32 | FieldType::U64 => {
                same!(self.token(), Value::U(v) => format!("{v}"));
            }
            FieldType::I8 | FieldType::I16 | FieldType::I32 | FieldType::I64 => {
                same!(self.token(), Value::I(v) => format!("{v}"));
            }
            FieldType::F64 => same!(self.token(), Value::F(v) => format!("{v:?}")),
            FieldType::Str => match value {
                Some(Value::Str(text)) if text.cut => {
                    let told = self.text();
                    let (head, next) = told.as_bytes().split_at(text.bytes.len());
                    assert!(head == text.bytes && !next.is_empty(), "{whose}");
                }
                _ => same!(self.text().into_bytes(), Value::Str(text) => text.bytes),
            },
            FieldType::Bytes | FieldType::Fixed(_) => {
                same!(self.bytes(), Value::Bytes(text) => text.bytes);
            }
            FieldType::Ip => {
                let told = self.while_(|c| c.is_ascii_hexdigit() || c == '.' || c == ':');
                same!(told.parse::<IpAddr>().unwrap(), Value::Ip(ip) => ip);
            }
            FieldType::Socket => same!(self.socket(), Value::Socket(socket) => socket),
            FieldType::Time => same!(self.named_number(), Value::Time(v) => i128::from(v)),
            FieldType::Duration => {
                same!(self.token(), Value::Duration(v) => format!("{:?}", Duration::from_nanos(v)));
            }
            FieldType::Enum(_) => {
                // The name differs from the variant in what is not a letter or digit, and in case.
                let plain = |name: &str| name.to_lowercase().replace(|c: char| !c.is_alphanumeric(), "");
                let name = |v| plain(ty.enum_name(v).unwrap_or("a value without a name"));
                let told = self.ident();
                let other =
                    OTHER_NAMES.iter().find(|(field, variant, _)| (*field, *variant) == (whose, told));
                same!(plain(other.map_or(told, |(_, _, name)| name)), Value::Enum(v) => name(v));
            }
            FieldType::Flags(_) => same!(self.named_number(), Value::Flags(v) => i128::from(v)),
            FieldType::Optional(inner) => {
                if self.eat("None") {
                    assert!(matches!(value, None | Some(Value::Absent)), "{whose}: {value:?}");
                    return;
                }
                self.expect("Some(");
                self.check(inner, value, whose);
                self.expect(")");
            }
            FieldType::List(item) => self.check_list(item, value, whose),
            FieldType::Secret => {
                let told = self.secret();
                let expected = match told {
                    None => Value::Absent,
                    Some(told) => {
                        let class = match told.len() {
                            0 => 0,
                            1..8 => 1,
                            8..16 => 2,
                            16..32 => 3,
                            32..64 => 4,
                            _ => 5,
                        };
                        let hash = blake3::keyed_hash(&KEY, &told);
                        Value::Secret(class, *hash.as_bytes().first_chunk().unwrap())
                    }
                };
                assert!(value.is_none_or(|value| value == expected), "{whose}: {value:?}, not {expected:?}");
            }
            FieldType::Key128 => same!(self.named_bytes(), Value::Key128(v) => v.to_vec()),
            FieldType::Id64 => {
                let told = self.named_number();
                match value {
                    Some(Value::Absent) => assert_eq!(told, 0, "{whose}"),
                    Some(Value::Id64(v)) => assert_eq!(told, i128::from(v), "{whose}"),
                    None => {}
                    other => panic!("{whose}: {other:?}"),
                }
            }
        }
    }

    fn check_list(&mut self, item: &FieldType, value: Option<Value<'_>>, whose: &str) {
        let list = value.map(|value| match value {
            Value::List(list) => list,
            other => panic!("{whose}: {other:?} is no list"),
        });
        let mut items = list.iter().flat_map(List::iter);
        let mut left_out = 0;
        self.expect("[");
        while !self.eat("]") {
            self.eat(", ");
            let next = items.next().map(Result::unwrap);
            left_out += usize::from(next.is_none());
            self.check(item, next, whose);
        }
        assert!(items.next().is_none(), "{whose}: more items than there are");
        if let Some(list) = list {
            assert_eq!(list.cut, left_out > 0, "{whose}");
        }
    }
}

/// Compares a payload with what the event tells of itself.
fn check<E: Event + Debug>(event: &E, payload: &[u8], changed: bool, secrets: bool) {
    let schema = E::SCHEMA.to_schema().unwrap();
    let text = format!("{event:?}");
    let mut told = Told { rest: &text };
    assert!(!told.ident().is_empty());
    told.expect(" { ");
    let values = decode_event(&schema, payload, changed).unwrap();
    let mut count = 0;
    for field in values.iter().map(Result::unwrap) {
        let whose = format!("{}.{}", schema.name, field.schema.name);
        if count != 0 {
            told.expect(", ");
        }
        told.expect(field.schema.name.as_str());
        told.expect(": ");
        let is_secret = field.schema.ty == FieldType::Secret;
        if is_secret && !secrets {
            assert_eq!(field.value, Value::Absent, "{whose}");
        }
        // What a reduction keeps is for other tests (schema/tests/core/reductions.rs).
        let is_whole = field.reduction == Reduction::None && (secrets || !is_secret);
        told.check(&field.schema.ty, is_whole.then_some(field.value), &whose);
        count += 1;
    }
    told.expect(" }");
    assert_eq!((count, told.rest), (schema.fields.len(), ""), "{}", schema.name);
}

/// All ways to the bytes of an event.
struct OwnValues;

impl sample::Visitor for OwnValues {
    fn event<E: Event + Debug>(&mut self, event: &E) {
        let mut plain = vec![0xaa; event.encoded_len()];
        event.encode(&mut plain);
        // This way does not reduce: a reader would take the fields that the schema reduces for reduced ones.
        check(event, &unreduced::<E>(&plain), true, false);
        let short_len = event.short_len();
        if short_len <= MAX_RECORD {
            let mut short = vec![0xbb; short_len];
            event.encode_short(&mut short);
            assert_eq!(short, plain, "{}", E::SCHEMA.name);
        }
        let plan = Plan::new(E::SCHEMA, KEY, &|_| true, &|_| None);
        let mut reduced = vec![0xcc; event.reduced_len_bound()];
        let len = event.encode_reduced(&plan, &mut reduced);
        reduced.truncate(len);
        check(event, &reduced, plan.changed, true);
    }
}

/// The payload with a trailer that says of every field that it is whole.
fn unreduced<E: Event>(payload: &[u8]) -> Vec<u8> {
    let mut out = payload.to_vec();
    let count = E::SCHEMA.fields.len() as u8;
    for index in 0..count {
        out.extend_from_slice(&[index, 0]);
    }
    out.push(count);
    out
}

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
}

fn socket() -> impl Strategy<Value = SocketAddr> {
    (ip(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

fn option<T: Strategy>(inner: T) -> impl Strategy<Value = Option<T::Value>> {
    proptest::option::of(inner)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_samples_of_any_seed_are_found_again(seed in any::<u64>()) {
        sample::visit(seed, &mut OwnValues);
    }
}

proptest! {
    #[test]
    fn a_launch_is_found_again(
        (process, parent, keys) in (any::<Option<[u8; 16]>>(), any::<Option<[u8; 16]>>(), vec(any::<[u8; 16]>(), 0..6)),
        (pid, parent_pid, uid, size, capabilities) in any::<(u32, Option<u32>, Option<u32>, Option<u64>, Option<u64>)>(),
        (image, parent_path, line) in (".{0,40}", option(".{0,40}"), option(".{0,300}")),
        repeat in prop_oneof![9 => Just(1_usize), 1 => Just(200)],
        names in vec(".{0,12}", 0..5),
        (directory, user, container) in (option(".{0,9}"), option(".{0,9}"), option(".{0,9}")),
        (session, seccomp, privileges, traced) in any::<(Option<u32>, Option<u8>, Option<bool>, Option<u32>)>(),
        (started, created, sha256) in any::<(i64, Option<i64>, Option<[u8; 32]>)>(),
        (namespaces, attributes, correlation, parent_correlation) in any::<(Option<u32>, Option<u32>, u64, u64)>(),
    ) {
        let line = line.map(|line| line.repeat(repeat));
        let ancestor_keys: Vec<_> = keys.into_iter().map(ProcessKey).collect();
        let environment_names: Vec<_> = names.iter().map(String::as_str).collect();
        sample::Visitor::event(&mut OwnValues, &ProcessStart {
            process_key: process.map(ProcessKey),
            pid,
            parent_key: parent.map(ProcessKey),
            parent_pid,
            ancestor_keys: &ancestor_keys,
            image_path: &image,
            parent_path: parent_path.as_deref(),
            command_line: line.as_deref(),
            working_directory: directory.as_deref(),
            environment_names: &environment_names,
            uid,
            user: user.as_deref(),
            session,
            capabilities,
            namespaces: namespaces.map(Namespaces),
            container: container.as_deref(),
            seccomp,
            no_new_privileges: privileges,
            traced_by: traced,
            started: Timestamp(started),
            size,
            created: created.map(Timestamp),
            attributes: attributes.map(FileAttributes),
            sha256,
            correlation: CorrelationId(correlation),
            parent_correlation: CorrelationId(parent_correlation),
            ..ProcessStart::default()
        });
    }

    #[test]
    fn a_connection_is_found_again(
        (id, key, certificate) in any::<([u8; 16], Option<[u8; 16]>, Option<[u8; 32]>)>(),
        (local, remote) in (option(socket()), option(socket())),
        (host, sni) in (option(".{0,30}"), option(".{0,30}")),
        (protocol, sent, received) in any::<(u8, Option<u64>, Option<u64>)>(),
        (round_trip, ended) in any::<(Option<u64>, Option<i64>)>(),
        tls_version in proptest::sample::select(vec![None, Some(TlsVersion::Ssl30), Some(TlsVersion::Tls13)]),
        correlation in any::<u64>(),
    ) {
        sample::Visitor::event(&mut OwnValues, &NetworkConnection {
            connection_id: Id128(id),
            process_key: key.map(ProcessKey),
            protocol,
            local,
            remote,
            remote_host: host.as_deref(),
            bytes_sent: sent,
            bytes_received: received,
            ended: ended.map(Timestamp),
            round_trip: round_trip.map(Duration::from_nanos),
            tls_version,
            sni: sni.as_deref(),
            certificate_id: certificate,
            correlation: CorrelationId(correlation),
            ..NetworkConnection::default()
        });
    }
}

/// What is empty or absent, too.
#[test]
fn the_default_of_an_event_is_found_again() {
    use sample::Visitor;
    let mut own = OwnValues;
    own.event(&ProcessStart::default());
    own.event(&ProcessExit::default());
    own.event(&NetworkConnection::default());
    own.event(&NetworkDns::default());
    own.event(&MessageMail::default());
    own.event(&WebCookies::default());
    own.event(&WebLogin::default());
    own.event(&DetectionObject::default());
    own.event(&DownloadFinished::default());
    own.event(&CertificateSeen::default());
    own.event(&ErrorRaised::default());
}

/// By hand, so that not even Debug is trusted.
#[test]
fn values_written_by_hand() {
    let event = NetworkConnection {
        connection_id: Id128([0x11; 16]),
        process_key: Some(ProcessKey([0x22; 16])),
        pid: Some(4321),
        image_path: Some("/usr/bin/fetch"),
        uid: Some(1000),
        user: None,
        protocol: 6,
        family: AddressFamily::Ipv6,
        local: Some("192.0.2.7:50000".parse().unwrap()),
        remote: Some("[2001:db8::5]:443".parse().unwrap()),
        remote_host: Some("example.com"),
        bytes_sent: Some(1 << 40),
        bytes_received: Some(0),
        packets_sent: Some(3),
        started: Some(Timestamp(-1)),
        round_trip: Some(Duration::from_micros(12_345)),
        tls_version: Some(TlsVersion::Tls13),
        certificate_id: Some([0x33; 32]),
        correlation: CorrelationId(0xfeed),
        ..NetworkConnection::default()
    };
    let text = |text: &'static str| Value::Str(crate::value::Text { bytes: text.as_bytes(), cut: false });
    let mut payload = vec![0; event.encoded_len()];
    event.encode(&mut payload);
    let schema = NetworkConnection::SCHEMA.to_schema().unwrap();
    let values = decode_event(&schema, &payload, false).unwrap();
    for (name, expected) in [
        ("connection_id", Value::Key128([0x11; 16])),
        ("process_key", Value::Key128([0x22; 16])),
        ("pid", Value::U(4321)),
        ("image_path", text("/usr/bin/fetch")),
        ("uid", Value::U(1000)),
        ("user", Value::Absent),
        ("protocol", Value::U(6)),
        ("family", Value::Enum(6)),
        ("local", Value::Socket("192.0.2.7:50000".parse().unwrap())),
        ("remote", Value::Socket("[2001:db8::5]:443".parse().unwrap())),
        ("remote_host", text("example.com")),
        ("bytes_sent", Value::U(1 << 40)),
        ("bytes_received", Value::U(0)),
        ("packets_sent", Value::U(3)),
        ("packets_received", Value::Absent),
        ("started", Value::Time(-1)),
        ("ended", Value::Absent),
        ("round_trip", Value::Duration(12_345_000)),
        ("tls_version", Value::Enum(5)),
        ("cipher", Value::Absent),
        ("certificate_id", Value::Bytes(crate::value::Text { bytes: &[0x33; 32], cut: false })),
        ("correlation", Value::Id64(0xfeed)),
        ("parent_correlation", Value::Absent),
    ] {
        assert_eq!(values.get(name).unwrap().value, expected, "{name}");
    }
}
