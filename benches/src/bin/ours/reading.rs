//! From the file to text, to values, and to the proof that all is there.

use std::io::Write;
use std::path::PathBuf;

use tracewell_benches::peer::Args;
use tracewell_reader::render::text::TextRenderer;
use tracewell_reader::{Filter, Summary, Trace};

use crate::tracer::dirs;

fn open(args: &Args) -> Trace {
    let dirs = dirs(args);
    let rings: Vec<PathBuf> = args.text("rings").map(PathBuf::from).into_iter().collect();
    Trace::open(&[dirs.base().to_owned()], &rings).expect("a trace")
}

fn tell(summary: &Summary) {
    println!(
        "events={} lost={} missing={} complete={} law_checked={}",
        summary.events,
        summary.lost_total(),
        summary.missing,
        u8::from(summary.is_complete()),
        summary.law_checked,
    );
}

/// Renders everything to /dev/null.
pub(crate) fn text(args: &Args) {
    let mut null = std::fs::File::create("/dev/null").expect("/dev/null");
    let (mut renderer, mut out) = (TextRenderer::new(false), String::new());
    let summary = open(args).read(&Filter::default(), |item| {
        renderer.push(&mut out, item);
        if out.len() >= 64 << 10 {
            null.write_all(out.as_bytes())?;
            out.clear();
        }
        Ok::<(), std::io::Error>(())
    });
    null.write_all(out.as_bytes()).expect("written");
    tell(&summary.expect("read"));
}

/// Visits every value of every event, by columns or event by event.
pub(crate) fn values(args: &Args, visit: fn(&Trace) -> (u64, Summary)) {
    let (sum, summary) = visit(&open(args));
    println!("sum={sum:016x}");
    tell(&summary);
}

/// What the reader says of the trace.
pub(crate) fn verify(args: &Args) {
    let Ok(summary) = open(args).read(&Filter::default(), |_| Ok::<(), std::convert::Infallible>(()));
    tell(&summary);
}
