//! What the machine can do at most, on the same bytes.

use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

use tracewell_benches::events::{Launch, Net};
use tracewell_benches::peer::machine::{pin, rdtsc, rdtscp, ticks_per_ns};
use tracewell_benches::peer::workload::Data;
use tracewell_benches::peer::{Args, Timed, rdtsc_loop};
use tracewell_schema::Event;
use tracewell_schema::format::record::HEADER_LEN;

const BUFFER: usize = 4 << 20;
const BLOCK: usize = 256 << 10;

pub(crate) fn run(args: &Args) {
    pin(&[1]);
    let per_ns = ticks_per_ns();
    let rounds = args.number("batches").map_or(200, |n| n as usize).max(10);
    let ns = |n: usize, work: &mut dyn FnMut()| {
        let times = (0..rounds).map(|_| {
            let begun = rdtscp();
            work();
            (rdtscp() - begun) as f64 / per_ns / n as f64
        });
        Timed::new(times.collect()).median()
    };
    let level = AtomicU8::new(0);
    println!("empty_loop={:.4}", ns(100_000, &mut || (0..100_000).for_each(|_| black_box(()))));
    println!("load_branch={:.4}", ns(100_000, &mut || load_and_branch(&level, 100_000)));
    let clock = ns(1000, &mut || rdtsc_loop(1000));
    println!("rdtsc={clock:.4} tsc={clock:.4}");
    println!("rdtscp={:.4}", ns(1000, &mut || rdtscp_loop(1000)));

    let data = Data::new();
    let mut buffer = vec![1_u8; BUFFER];
    for (w, records) in [(1, records_w1(&data)), (2, records_w2(&data))] {
        let len = records[0].len();
        let mut at = 0;
        let mut copy = |clocked: bool| {
            ns(1000, &mut || {
                for record in records.iter().cycle().take(1000) {
                    at = if at + len > BUFFER { 0 } else { at };
                    let to = &mut buffer[at..at + len];
                    to.copy_from_slice(record);
                    if clocked {
                        to[8..16].copy_from_slice(&rdtsc().to_le_bytes());
                    }
                    at += len;
                }
            })
        };
        println!("copy_w{w}={:.4} clock_copy_w{w}={:.4} record_w{w}={len}", copy(false), copy(true));
        compression(w, &records, rounds, per_ns);
    }
    let mib = args.number("mib").map_or(1024, |n| n as usize);
    println!("file_write={:.1}", write_rate(&args.out, mib));
    println!("core_round_trip={:.1}", round_trip(per_ns, rounds * 100));
}

#[inline(never)]
fn rdtscp_loop(n: usize) {
    for _ in 0..n {
        black_box(rdtscp());
    }
}

#[inline(never)]
fn load_and_branch(level: &AtomicU8, n: usize) {
    for _ in 0..n {
        if level.load(Ordering::Relaxed) >= 3 {
            unlikely();
        }
        black_box(());
    }
}

#[cold]
#[inline(never)]
fn unlikely() {
    black_box(());
}

/// An event as it lies in a ring: header, fields, padding.
fn record<E: Event>(event: &E, ticks: u64) -> Vec<u8> {
    let len = HEADER_LEN + event.encoded_len();
    let mut bytes = vec![0; len.next_multiple_of(8)];
    bytes[..8].copy_from_slice(&(len as u64).to_le_bytes());
    bytes[8..16].copy_from_slice(&ticks.to_le_bytes());
    event.encode(&mut bytes[HEADER_LEN..]);
    bytes
}

fn records_w1(data: &Data) -> Vec<Vec<u8>> {
    let event = |i: usize| {
        let net = &data.nets[i];
        Net {
            source: net.src,
            destination: net.dst,
            source_port: net.sport,
            destination_port: net.dport,
            protocol: net.proto,
            bytes: net.bytes,
        }
    };
    (0..data.nets.len()).map(|i| record(&event(i), 1 << 50 | (i as u64 * 27))).collect()
}

fn records_w2(data: &Data) -> Vec<Vec<u8>> {
    let event = |i: usize| {
        let launch = &data.launches[i];
        Launch {
            pid: launch.pid,
            parent: launch.ppid,
            size: launch.size,
            sha256: launch.hash,
            path: &launch.path,
            command_line: &launch.cmd,
        }
    };
    (0..data.launches.len()).map(|i| record(&event(i), 1 << 50 | (i as u64 * 31))).collect()
}

/// MB/s of a block of such records, and how much smaller it gets.
fn compression(w: u8, records: &[Vec<u8>], rounds: usize, per_ns: f64) {
    let mut block: Vec<u8> = records.iter().cycle().flatten().copied().take(BLOCK).collect();
    // Time stamps of a real block all differ.
    let len = records[0].len();
    for (i, record) in block.chunks_exact_mut(len).enumerate() {
        record[8..16].copy_from_slice(&((1_u64 << 50) + i as u64 * 29).to_le_bytes());
    }
    let (mut packed, mut plain) = (vec![0; BLOCK * 2], vec![0; BLOCK]);
    let (mut packing, mut unpacking, mut size) = (Vec::new(), Vec::new(), 0);
    for _ in 0..rounds.min(50) {
        let begun = rdtscp();
        size = lz4_flex::block::compress_into(&block, &mut packed).expect("room");
        let between = rdtscp();
        lz4_flex::block::decompress_into(&packed[..size], &mut plain).expect("as it was packed");
        let mb = |ticks: u64| BLOCK as f64 / (ticks as f64 / per_ns) * 1000.0;
        packing.push(mb(between - begun));
        unpacking.push(mb(rdtscp() - between));
    }
    println!(
        "lz4_compress_w{w}={:.1} lz4_decompress_w{w}={:.1} lz4_ratio_w{w}={:.3}",
        Timed::new(packing).median(),
        Timed::new(unpacking).median(),
        BLOCK as f64 / size as f64,
    );
}

/// MB/s into the page cache, in pieces of 1 MiB.
fn write_rate(out: &str, mib: usize) -> f64 {
    std::fs::create_dir_all(out).expect("a folder");
    let path = Path::new(out).join("written");
    let mut file = std::fs::File::create(&path).expect("a file");
    let piece = vec![7_u8; 1 << 20];
    let begun = Instant::now();
    for _ in 0..mib {
        file.write_all(&piece).expect("written");
    }
    let rate = (mib << 20) as f64 / begun.elapsed().as_secs_f64() / 1e6;
    drop(file);
    let _ = std::fs::remove_file(path);
    rate
}

/// Ns for a cache line to go to the other processor and back.
fn round_trip(per_ns: f64, rallies: usize) -> f64 {
    let rallies = rallies as u64;
    let ball = AtomicU64::new(0);
    let wait_for = |value: u64| {
        while ball.load(Ordering::Acquire) != value {
            std::hint::spin_loop();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(&[0]);
            for i in 0..rallies {
                wait_for(2 * i + 1);
                ball.store(2 * i + 2, Ordering::Release);
            }
        });
        std::thread::sleep(std::time::Duration::from_millis(2));
        let begun = rdtscp();
        for i in 0..rallies {
            ball.store(2 * i + 1, Ordering::Release);
            wait_for(2 * i + 2);
        }
        (rdtscp() - begun) as f64 / per_ns / rallies as f64
    })
}
