//! What `ci/instructions.sh` counts the instructions of, under callgrind: one function for each measure, called once
//! with a fixed number of operations.

use std::hint::black_box;

use tracewell::control::{Control, EnableRequest};
use tracewell::dirs::Dirs;
use tracewell::{Clock, Tracer, emit};
use tracewell_benches::events::{Heartbeat, Launch, Net, strings};
use tracewell_reader::render::text::TextRenderer;
use tracewell_reader::{Filter, Item, Trace};
use tracewell_schema::Event;
use tracewell_schema::format::block::{BlockHeader, Codec, Unpacker};
use tracewell_schema::format::columns::{Encoder, Layout};
use tracewell_schema::format::{crc, record};

/// Operations of each measure.
const N: u64 = 1000;

#[inline(never)]
fn count_emit_w0(tracer: &Tracer) {
    for _ in 0..N {
        emit!(tracer, Heartbeat {});
    }
}

#[inline(never)]
fn count_emit_w1(tracer: &Tracer, nets: &[Net]) {
    // The linker would make one function of it and the next.
    black_box("on");
    count_loop(tracer, nets);
}

#[inline(never)]
fn count_emit_off(tracer: &Tracer, nets: &[Net]) {
    black_box(());
    count_loop(tracer, nets);
}

#[inline(always)]
fn count_loop(tracer: &Tracer, nets: &[Net]) {
    for net in nets {
        let Net { source, destination, source_port, destination_port, protocol, bytes } = *net;
        emit!(tracer, Net { source, destination, source_port, destination_port, protocol, bytes });
    }
}

#[inline(never)]
fn count_emit_w2(tracer: &Tracer, paths: &[String], lines: &[String]) {
    for i in 0..N {
        let k = i as usize % 64;
        emit!(
            tracer,
            Launch {
                pid: i as u32,
                parent: 1,
                size: i,
                sha256: [k as u8; 32],
                path: &paths[k],
                command_line: &lines[k],
            }
        );
    }
}

#[inline(never)]
fn count_encode(encoder: &mut Encoder, records: &[u8], columns: &mut Vec<u8>) {
    encoder.walk(records, records.len(), &mut |_| Some(Layout::of(Net::SCHEMA)));
    encoder.encode(records, columns, &mut || {});
}

#[inline(never)]
fn count_decode(unpacker: &mut Unpacker, header: &BlockHeader, stored: &[u8], out: &mut Vec<u8>) {
    unpacker.unpack(header, stored, out).expect("sound");
}

#[inline(never)]
fn count_text(trace: &Trace) -> usize {
    let (mut renderer, mut out, mut bytes) = (TextRenderer::new(false), String::new(), 0);
    let each = |item: &Item<'_>| {
        out.clear();
        renderer.push(&mut out, item);
        bytes += out.len();
        Ok::<(), std::io::Error>(())
    };
    trace.read(&Filter::default(), each).expect("read");
    bytes
}

fn nets() -> Vec<Net> {
    (0..N)
        .map(|i| Net {
            source: 0x0a00_0000 | (i as u32 % 200),
            destination: (i as u32 % 200).wrapping_mul(0x9e37_79b9),
            source_port: 32_768 + i as u16 % 200,
            destination_port: 443,
            protocol: 6,
            bytes: i % 200 * 777,
        })
        .collect()
}

/// Records of W1 as a thread writes them.
fn records(nets: &[Net]) -> Vec<u8> {
    let mut out = Vec::new();
    for (i, net) in nets.iter().enumerate() {
        let len = record::HEADER_LEN + net.encoded_len();
        let ticks = i as u64 * 26 + i as u64 % 7;
        let header = record::RecordHeader { len: len as u32, event: 0, kind: 1, flags: 0, ticks };
        let at = out.len();
        out.extend_from_slice(&header.encode());
        out.resize(at + len, 0);
        net.encode(&mut out[at + record::HEADER_LEN..]);
        out.resize((at + len).next_multiple_of(8), 0);
    }
    out
}

fn main() {
    let dir = tempfile::tempdir().expect("a folder");
    let attach = |name: &str, clock: Clock| {
        let dirs = Dirs::resolve(Some(&dir.path().join(name))).expect("a directory");
        let tracer = Tracer::builder("counted").dir(dirs.base()).clock(clock).attach().expect("attached");
        let control = Control::open_or_create(&dirs).expect("a page");
        (dirs, tracer, control)
    };
    let enable = |dirs: &Dirs, control: &Control| {
        let request = EnableRequest { levels: [5; 32], ..EnableRequest::default() };
        control.enable(dirs, &request).expect("enabled");
    };
    let (nets, paths, lines) = (nets(), strings(60), strings(100));
    let (_, off, _off) = attach("off", Clock::Precise);
    count_emit_off(black_box(&off), &nets);
    // The coarse clock, since valgrind's processor has no time stamp counter that can be trusted; reading one is two
    // instructions more than copying the published time.
    let (dirs, tracer, control) = attach("on", Clock::Coarse);
    enable(&dirs, &control);
    // The first of a thread and of a type.
    emit!(tracer, Heartbeat {});
    emit!(tracer, nets[0]);
    emit!(
        tracer,
        Launch { pid: 0, parent: 0, size: 0, sha256: [0; 32], path: &paths[0], command_line: &lines[0] }
    );
    count_emit_w0(&tracer);
    count_emit_w1(&tracer, &nets);
    tracer.flush().expect("flushed");
    count_emit_w2(&tracer, &paths, &lines);
    tracer.shutdown();

    let records = records(&nets);
    let (mut encoder, mut columns, mut out) = (Encoder::default(), Vec::new(), Vec::new());
    count_encode(&mut encoder, &records, &mut columns);
    let header = BlockHeader {
        codec: Codec::Columns,
        raw_len: records.len() as u32,
        stored_len: columns.len() as u32,
        payload_crc: crc(&columns),
        ..BlockHeader::default()
    };
    count_decode(&mut Unpacker::default(), &header, &columns, &mut out);
    assert!(out == records, "what was encoded is decoded");
    let trace = Trace::open(&[dirs.base().to_owned()], &[]).expect("a trace");
    assert!(count_text(&trace) > 100_000, "lines were rendered");
}
