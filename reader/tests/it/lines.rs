//! A whole trace as lines: the same on any number of threads.

use std::io::{self, Write};
use std::path::Path;

use tracewell_reader::render::json::JsonRenderer;
use tracewell_reader::render::text::TextRenderer;
use tracewell_reader::{Filter, Form, Progress, ReadError, Summary, Trace, write_trace_files_on};
use tracewell_schema::SchemaRef;
use tracewell_schema::format::block::BlockKind;
use tracewell_schema::format::process::encode_schema_payload_item;

use crate::synth::{STEP, Segment, loss, text_step};

const FORMS: [Form; 2] = [Form::Text { local: false }, Form::Json];

/// Text that does not compress.
fn noise(seed: &mut u64, len: usize) -> Vec<u8> {
    let mut next = || {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        b' ' + (*seed >> 32) as u8 % 95
    };
    (0..len).map(|_| next()).collect()
}

/// Three processes of two rings each, with losses, a hole, blocks that are there twice and one that is damaged.
fn write_session(dir: &Path) {
    let mut seed = 88_172_645_463_325_252;
    for pid in 1..=3 {
        let mut segment = Segment::new("scanner", pid, 1);
        let mut from = [0; 2];
        let mut sequence = [0; 2];
        for block in 0..40_u64 {
            let ring = (block % 2) as usize;
            let number = |n| (block * 40 + n) * 1000 + u64::from(pid);
            let mut records: Vec<u8> = (0..40)
                .flat_map(|n| text_step(n, number(n), &noise(&mut seed, 120 + n as usize * 9)))
                .collect();
            records.extend(loss(number(40), 2));
            // A hole: events that nobody has.
            if block == 11 {
                sequence[ring] += 5;
            }
            for _ in 0..if block == 20 { 2 } else { 1 } {
                segment.data(1 + ring as u32, from[ring], sequence[ring], &records);
            }
            from[ring] += records.len() as u64;
            sequence[ring] += 40;
        }
        segment.end();
        if pid == 2 {
            let at = segment.payload_of(9) + 77;
            segment.bytes[at] ^= 1;
        }
        segment.write(dir);
    }
}

fn one_by_one(trace: &Trace, form: Form) -> (String, Summary) {
    let (mut out, mut text, mut json) = (String::new(), TextRenderer::new(false), JsonRenderer::new());
    let summary = trace.read(&Filter::default(), |item| {
        match form {
            Form::Text { .. } => text.push(&mut out, item),
            Form::Json => json.push(&mut out, item),
        }
        Ok::<(), ReadError>(())
    });
    (out, summary.unwrap())
}

fn told(summary: &Summary) -> serde_json::Value {
    serde_json::to_value(summary).unwrap()
}

#[test]
fn threads_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    write_session(dir.path());
    let trace = Trace::open(&[dir.path().to_owned()], &[]).unwrap();
    for form in FORMS {
        let (expected, summary) = one_by_one(&trace, form);
        assert!(expected.contains("missing") && expected.contains("lost") && summary.damaged.len() == 1);
        assert!(trace.bytes() > 1 << 20, "too small to be worth a thread: {}", trace.bytes());
        for threads in [1, 2, 3, 8, 0] {
            let (mut out, mut progress) = (Vec::new(), Vec::new());
            let read = trace.write_lines(&Filter::default(), form, threads, &mut out, |p: Progress| {
                progress.push((p.events, p.done, p.total));
            });
            assert!(out == expected.as_bytes(), "{form:?} on {threads} threads");
            assert_eq!(told(&read.unwrap()), told(&summary));
            assert!(progress.is_sorted());
            assert_eq!(progress.last(), Some(&(summary.shown, trace.bytes(), trace.bytes())));
        }
    }
}

/// Events of so many rings, or of so large blocks, that a batch cannot share all the blocks it has records of.
#[test]
fn rings_that_take_turns_share_their_blocks_or_are_copied() {
    for (rings, count, texts) in [(70_u32, 500_u64, 12_usize), (8, 500, 1300)] {
        let dir = tempfile::tempdir().unwrap();
        let mut segment = Segment::new("scanner", 7, 1);
        let infos: Vec<_> = (3..=rings).flat_map(|ring| crate::synth::info(ring).encode()).collect();
        segment.meta(BlockKind::Ring, &infos);
        let mut seed = 3;
        let mut from = vec![0; rings as usize + 1];
        for block in 0..2 {
            for ring in 1..=rings {
                let time = |n: u64| (block * count + n) * 1000 + u64::from(ring);
                let records: Vec<u8> =
                    (0..count).flat_map(|n| text_step(time(n), time(n), &noise(&mut seed, texts))).collect();
                let from = &mut from[ring as usize];
                segment.data(ring, *from, block * count, &records);
                *from += records.len() as u64;
            }
        }
        let trace = Trace::open(&[segment.end().write(dir.path())], &[]).unwrap();
        for form in FORMS {
            let (expected, summary) = one_by_one(&trace, form);
            assert_eq!(summary.events, u64::from(rings) * 2 * count);
            assert!(trace.bytes() > 1 << 20, "too small to be worth a thread");
            let mut out = Vec::new();
            trace.write_lines(&Filter::default(), form, 3, &mut out, |_| {}).unwrap();
            assert!(out == expected.as_bytes(), "{form:?} of {rings} rings");
        }
    }
}

#[test]
fn trace_files_are_the_same_on_any_number_of_threads() {
    let (session, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_session(session.path());
    let trace = Trace::open(&[session.path().to_owned()], &[]).unwrap();
    let files = [1, 2, 5].map(|threads| {
        let dir = out.path().join(threads.to_string());
        let written = write_trace_files_on(&trace, &dir, &Filter::default(), false, threads, |_| {}).unwrap();
        let paths = [vec![written.all], written.files].concat();
        paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(files[0].len(), 4);
    assert_eq!(files[0][0], one_by_one(&trace, FORMS[0]).0);
    assert!(files[1] == files[0] && files[2] == files[0]);
}

/// Fails after some bytes.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let n = bytes.len().min(self.0);
        self.0 -= n;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_error_of_the_output_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    write_session(dir.path());
    let trace = Trace::open(&[dir.path().to_owned()], &[]).unwrap();
    for threads in [1, 2, 6] {
        for room in [0, 1, 700_000, 1_500_000] {
            let result = trace.write_lines(&Filter::default(), FORMS[0], threads, Full(room), |_| {});
            assert_eq!(
                result.unwrap_err().kind(),
                io::ErrorKind::StorageFull,
                "{threads} threads, {room} bytes"
            );
        }
    }
}

/// A sentence that shows a long text many times over.
static ECHO: SchemaRef = SchemaRef {
    text: "{path}{path}{path}{path}{path}{path}{path}{path}{path}{path}{path}{path}{path}{path}{path}",
    ..STEP
};

#[test]
fn events_of_which_a_few_bytes_make_much_text() {
    let dir = tempfile::tempdir().unwrap();
    let mut segment = Segment::new("scanner", 7, 1);
    segment.blocks.clear();
    segment.bytes.truncate(256);
    let blob = ECHO.to_blob();
    segment.meta(BlockKind::Schemas, &encode_schema_payload_item(3, &blob));
    segment
        .meta(BlockKind::Clocks, &crate::synth::points().iter().flat_map(|p| p.encode()).collect::<Vec<_>>());
    segment.meta(BlockKind::Ring, &crate::synth::info(1).encode());
    let mut seed = 7;
    let mut from = 0;
    for block in 0..5 {
        let records: Vec<u8> =
            (0..12).flat_map(|n| text_step(n, block * 12 + n, &noise(&mut seed, 30_000))).collect();
        segment.data(1, from, block * 12, &records);
        from += records.len() as u64;
    }
    let path = segment.end().write(dir.path());
    let trace = Trace::open(&[path], &[]).unwrap();
    let (expected, summary) = one_by_one(&trace, FORMS[0]);
    assert!(summary.events == 60 && expected.len() > 5 << 20, "{}", expected.len());
    for threads in [1, 2, 4] {
        let mut out = Vec::new();
        trace.write_lines(&Filter::default(), FORMS[0], threads, &mut out, |_| {}).unwrap();
        assert!(out == expected.as_bytes(), "on {threads} threads");
    }
}
