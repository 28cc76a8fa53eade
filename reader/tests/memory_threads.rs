//! Memory does not grow with the trace, on several threads neither. A binary of its own, since it measures the whole process.

#[path = "it/synth.rs"]
#[allow(dead_code)]
mod synth;

use synth::{Segment, text_step};
use tracewell_reader::{Filter, Form, Trace};

/// The most memory this process has had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn lines_of_a_trace_larger_than_memory_may_be_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut segment = Segment::new("scanner", 7, 1);
    let text = vec![b'x'; 3_000];
    let block: Vec<u8> = (0..300).flat_map(|n| text_step(n, n, &text)).collect();
    let blocks = 300;
    for n in 0..blocks {
        segment.data(1, n * block.len() as u64, n * 300, &block);
    }
    let path = segment.end().write(dir.path());
    let raw = blocks * block.len() as u64;
    assert!(raw > 250 << 20);
    let trace = Trace::open(&[path], &[]).unwrap();
    let before = peak();
    let threads = 4;
    let form = Form::Text { local: false };
    let summary = trace.write_lines(&Filter::default(), form, threads, std::io::sink(), |_| {}).unwrap();
    assert_eq!((summary.events, summary.is_complete()), (blocks * 300, true));
    let grown = peak() - before;
    assert!(grown < 48 << 10, "{grown} KiB for {raw} bytes on {threads} threads");
}
