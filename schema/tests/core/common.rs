//! An event with a field of every type, and its values as a test thinks of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tracewell_schema::{CorrelationId, Event, FieldEnum, FieldFlags, Id128, ProcessKey, Timestamp};

#[derive(FieldEnum, Clone, Copy, Debug)]
#[event(crate = "tracewell_schema")]
#[repr(u32)]
pub(crate) enum Kind {
    One = 1,
    #[value("the second")]
    Two = 0x1_0002,
}

#[derive(FieldFlags, Clone, Copy, Debug)]
#[event(crate = "tracewell_schema")]
#[flags(HIDDEN = 1, READ_ONLY = 2, SYSTEM = 0x8000)]
pub(crate) struct Attributes(pub(crate) u16);

/// Every type.
#[derive(Event, Clone, Copy, Debug)]
#[event(
    crate = "tracewell_schema",
    name = "custom.every",
    category = "custom",
    level = "debug",
    text = "{text} and {{{bytes}}}"
)]
pub(crate) struct Every<'a> {
    #[field(public)]
    pub(crate) truth: bool,
    #[field(public)]
    pub(crate) u8: u8,
    #[field(public)]
    pub(crate) u16: u16,
    #[field(public)]
    pub(crate) u32: u32,
    #[field(public, unit = "bytes")]
    pub(crate) u64: u64,
    #[field(public)]
    pub(crate) i8: i8,
    #[field(public)]
    pub(crate) i16: i16,
    #[field(public)]
    pub(crate) i32: i32,
    #[field(public)]
    pub(crate) i64: i64,
    #[field(public)]
    pub(crate) f64: f64,
    /// Text.
    #[field(personal, max = 20)]
    pub(crate) text: &'a str,
    #[field(personal, max = 20)]
    pub(crate) bytes: &'a [u8],
    #[field(public)]
    pub(crate) hash: [u8; 32],
    #[field(personal)]
    pub(crate) ip: IpAddr,
    #[field(personal)]
    pub(crate) v4: Ipv4Addr,
    #[field(personal)]
    pub(crate) v6: Ipv6Addr,
    #[field(personal)]
    pub(crate) socket: SocketAddr,
    #[field(public)]
    pub(crate) time: Timestamp,
    #[field(public)]
    pub(crate) duration: Duration,
    #[field(public)]
    pub(crate) kind: Kind,
    #[field(public)]
    pub(crate) attributes: Attributes,
    #[field(public)]
    pub(crate) maybe_number: Option<u32>,
    #[field(personal, max = 20)]
    pub(crate) maybe_text: Option<&'a str>,
    #[field(personal)]
    pub(crate) maybe_ip: Option<IpAddr>,
    #[field(public)]
    pub(crate) maybe_kind: Option<Kind>,
    #[field(public)]
    pub(crate) numbers: &'a [u32],
    #[field(personal, max = 100)]
    pub(crate) texts: &'a [&'a str],
    #[field(personal)]
    pub(crate) blobs: &'a [&'a [u8]],
    #[field(personal)]
    pub(crate) ips: &'a [IpAddr],
    #[field(public)]
    pub(crate) kinds: &'a [Kind],
    #[field(public)]
    pub(crate) process: ProcessKey,
    #[field(public)]
    pub(crate) id: Id128,
    #[field(public)]
    pub(crate) correlation: CorrelationId,
}

/// The values of an [`Every`].
#[derive(Clone, Debug)]
pub(crate) struct Values {
    pub(crate) n: u64,
    pub(crate) f: f64,
    pub(crate) text: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) ip: IpAddr,
    pub(crate) v4: Ipv4Addr,
    pub(crate) v6: Ipv6Addr,
    pub(crate) port: u16,
    pub(crate) two: bool,
    pub(crate) maybe: bool,
    pub(crate) numbers: Vec<u32>,
    pub(crate) texts: Vec<String>,
    pub(crate) blobs: Vec<Vec<u8>>,
    pub(crate) ips: Vec<IpAddr>,
    pub(crate) key: [u8; 16],
    pub(crate) hash: [u8; 32],
}

impl Values {
    pub(crate) fn kind(&self) -> Kind {
        if self.two { Kind::Two } else { Kind::One }
    }

    /// Calls with the event.
    pub(crate) fn with<R>(&self, call: impl FnOnce(&Every<'_>) -> R) -> R {
        let texts: Vec<&str> = self.texts.iter().map(String::as_str).collect();
        let blobs: Vec<&[u8]> = self.blobs.iter().map(Vec::as_slice).collect();
        let n = self.n;
        call(&Every {
            truth: self.two,
            u8: n as u8,
            u16: n as u16,
            u32: n as u32,
            u64: n,
            i8: n as i8,
            i16: n as i16,
            i32: n as i32,
            i64: n as i64,
            f64: self.f,
            text: &self.text,
            bytes: &self.bytes,
            hash: self.hash,
            ip: self.ip,
            v4: self.v4,
            v6: self.v6,
            socket: SocketAddr::new(self.ip, self.port),
            time: Timestamp(n as i64),
            duration: Duration::from_nanos(n),
            kind: self.kind(),
            attributes: Attributes(n as u16),
            maybe_number: self.maybe.then_some(n as u32),
            maybe_text: self.maybe.then_some(&self.text),
            maybe_ip: self.maybe.then_some(self.ip),
            maybe_kind: self.maybe.then_some(self.kind()),
            numbers: &self.numbers,
            texts: &texts,
            blobs: &blobs,
            ips: &self.ips,
            kinds: &[Kind::One, self.kind()],
            process: ProcessKey(self.key),
            id: Id128(self.key),
            correlation: CorrelationId(n),
        })
    }
}

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
}

prop_compose! {
    pub(crate) fn values()(
        (n, f, two, maybe, port) in (any::<u64>(), any::<f64>(), any::<bool>(), any::<bool>(), any::<u16>()),
        text in ".{0,30}",
        bytes in vec(any::<u8>(), 0..30),
        (ip, v4, v6) in (ip(), any::<[u8; 4]>(), any::<[u8; 16]>()),
        numbers in vec(any::<u32>(), 0..5),
        texts in vec(".{0,12}", 0..8),
        blobs in vec(vec(any::<u8>(), 0..10), 0..5),
        ips in vec(ip(), 0..4),
        key in any::<[u8; 16]>(),
        hash in any::<[u8; 32]>(),
    ) -> Values {
        Values {
            n, f, text, bytes, ip, v4: v4.into(), v6: v6.into(), port, two, maybe, numbers, texts, blobs, ips, key, hash,
        }
    }
}

/// The plain payload.
pub(crate) fn encode<E: Event>(event: &E) -> Vec<u8> {
    let mut out = vec![0xaa; event.encoded_len()];
    event.encode(&mut out);
    out
}

/// At most `max` bytes of a text, whole characters.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    let mut len = text.len().min(max);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    &text[..len]
}
