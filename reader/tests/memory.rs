//! Memory does not grow with the trace. A binary of its own, since it measures the whole process.

#[path = "it/synth.rs"]
#[allow(dead_code)]
mod synth;

use synth::{Segment, text_step};
use tracewell_reader::{Filter, ReadError, Trace};

/// The most memory this process has had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_trace_larger_than_memory_may_be_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut segment = Segment::new("scanner", 7, 1);
    let text = vec![b'x'; 30_000];
    let block: Vec<u8> = (0..30).flat_map(|n| text_step(n, n, &text)).collect();
    let blocks = 400;
    for n in 0..blocks {
        segment.data(1, n * block.len() as u64, n * 30, &block);
    }
    let path = segment.end().write(dir.path());
    let raw = blocks * block.len() as u64;
    assert!(raw > 300 << 20);
    let before = peak();
    let trace = Trace::open(&[path], &[]).unwrap();
    let summary = trace.read(&Filter::default(), |_| Ok::<(), ReadError>(())).unwrap();
    assert_eq!((summary.events, summary.is_complete()), (blocks * 30, true));
    let grown = peak() - before;
    assert!(grown < 16 << 10, "{grown} KiB for {raw} bytes");
}
