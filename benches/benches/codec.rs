//! Forms of a block, beside each other: raw, LZ4 over records, columns, columns then LZ4. Prints a table: bytes an
//! event, and medians of ns an event for writing and reading.
//!
//! `cargo bench -p tracewell-benches --bench codec [-- NAME]`

use std::hint::black_box;
use std::time::Instant;

use tracewell_benches::events::{Launch, Net, strings};
use tracewell_schema::catalog::sample::{Visitor, visit};
use tracewell_schema::format::block::{BlockHeader, Codec, Unpacker, compress_block, compress_columns};
use tracewell_schema::format::columns::{Encoder, Layout};
use tracewell_schema::format::{crc, record};
use tracewell_schema::{Event, SchemaRef};

const BLOCK: usize = 256 * 1024;

#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    schemas: Vec<&'static SchemaRef>,
    ticks: u64,
    events: usize,
    random: u64,
    step: u64,
}

impl Stream {
    fn next(&mut self) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.random >> 20
    }
}

impl Visitor for Stream {
    fn event<E: Event>(&mut self, event: &E) {
        let index = match self.schemas.iter().position(|s| s.name == E::SCHEMA.name) {
            Some(index) => index,
            None => {
                self.schemas.push(E::SCHEMA);
                self.schemas.len() - 1
            }
        };
        let len = record::HEADER_LEN + event.encoded_len();
        // As a thread in a loop: 10 ns at 2.6 GHz, with now and then an interrupt.
        let jitter = self.next();
        self.ticks += self.step + jitter % 9 + if jitter.is_multiple_of(997) { 40_000 } else { 0 };
        let header = record::RecordHeader {
            len: len as u32,
            event: index as u16,
            kind: 1,
            flags: 0,
            ticks: self.ticks,
        };
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&header.encode());
        self.bytes.resize(at + len, 0);
        event.encode(&mut self.bytes[at + record::HEADER_LEN..]);
        self.bytes.resize((at + len).next_multiple_of(8), 0);
        self.events += 1;
    }
}

/// W0: no field.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "custom.beat", category = "custom", level = "info", text = "alive")]
struct Beat {}

fn workload(name: &str) -> Stream {
    let mut stream = Stream { random: 88_172_645_463_325_252, step: 24, ..Stream::default() };
    let (paths, lines) = (strings(60), strings(100));
    let nets: Vec<Net> = (0..1024)
        .map(|_| {
            let r = stream.next();
            Net {
                source: 0x0a00_0000 | (r as u32 & 0xffff),
                destination: (r >> 8) as u32,
                source_port: 32_768 + (r >> 20) as u16 % 28_000,
                destination_port: if r & 1 == 0 { 443 } else { 53 },
                protocol: if r & 2 == 0 { 6 } else { 17 },
                bytes: stream.next() % 200_000,
            }
        })
        .collect();
    let mut i = 0_usize;
    while stream.bytes.len() < BLOCK {
        match name {
            "W0" => stream.event(&Beat {}),
            "W1" => stream.event(&nets[i % 1024]),
            "W1 random" => {
                let mut net = nets[i % 1024];
                net.destination = stream.next() as u32;
                net.bytes = stream.next() % 200_000;
                stream.event(&net);
            }
            "W2" | "W2, new pid" => {
                let k = i % 64;
                let pid = if name == "W2" { k as u32 * 7 } else { i as u32 };
                let launch = Launch {
                    pid,
                    parent: k as u32 / 4,
                    size: k as u64 * 77_777,
                    sha256: [k as u8; 32],
                    path: &paths[k],
                    command_line: &lines[k],
                };
                stream.event(&launch);
            }
            _ => {
                stream.step = 200_000;
                visit(i as u64 / 4, &mut stream);
            }
        }
        i += 1;
    }
    stream
}

/// Median of 15 times `run` takes, in ns per event.
fn time(events: usize, mut run: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..15)
        .map(|_| {
            let begun = Instant::now();
            for _ in 0..4 {
                run();
            }
            begun.elapsed().as_nanos() as f64 / 4.0 / events as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[7]
}

fn main() {
    println!(
        "| records of 256 KiB | form | bytes/event | write ns/event | read ns/event |\n| --- | --- | --- | --- | --- |"
    );
    let only = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    for name in ["W0", "W1", "W1 random", "W2", "W2, new pid", "catalog"] {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let stream = workload(name);
        let (raw, events) = (&stream.bytes[..], stream.events);
        let mut encoder = Encoder::default();
        let mut columns = Vec::new();
        let mut stored = Vec::new();
        let mut walk_and_encode = |out: &mut Vec<u8>| {
            let walk = encoder
                .walk(raw, raw.len(), &mut |e| stream.schemas.get(usize::from(e)).map(|s| Layout::of(s)));
            assert!(walk.is_regular && walk.len == raw.len());
            encoder.encode(raw, out, &mut || {});
        };
        let row = |form: &str, codec: Codec, bytes: &[u8], write: f64| {
            let header = BlockHeader {
                codec,
                raw_len: raw.len() as u32,
                stored_len: bytes.len() as u32,
                payload_crc: crc(bytes),
                ..BlockHeader::default()
            };
            let (mut unpacker, mut out) = (Unpacker::default(), Vec::new());
            let read = time(events, || unpacker.unpack(&header, bytes, &mut out).expect("sound"));
            assert!(out == raw);
            println!(
                "| {name} | {form} | {:.1} | {write:.1} | {read:.1} |",
                bytes.len() as f64 / events as f64
            );
        };
        let write = time(events, || {
            stored.clear();
            stored.extend_from_slice(black_box(raw));
        });
        row("raw", Codec::Raw, raw, write);
        let write =
            time(events, || assert!(compress_block(raw, &mut stored) == Codec::Lz4 || name == "catalog"));
        row("LZ4", Codec::Lz4, &stored, write);
        let write = time(events, || walk_and_encode(&mut columns));
        row("columns", Codec::Columns, &columns, write);
        let mut codec = Codec::Columns;
        let write = time(events, || {
            walk_and_encode(&mut columns);
            codec = compress_columns(&columns, &mut stored);
        });
        if codec == Codec::ColumnsLz4 {
            row("columns, LZ4", codec, &stored, write);
        } else {
            row("columns, LZ4 not worth it", Codec::Columns, &columns, write);
        }
    }
}
