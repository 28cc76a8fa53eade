//! `read`: a trace as readable files, or as lines on standard output.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use tracewell::dirs::Dirs;
use tracewell_reader::render::json::JsonRenderer;
use tracewell_reader::render::text::TextRenderer;
use tracewell_reader::{Filter, Summary, Trace, write_trace_files};

use crate::args::{Format, Read};
use crate::{Failure, Outcome, output};

fn ns(time: Option<jiff::Timestamp>) -> Option<i64> {
    time.map(|t| i64::try_from(t.as_nanosecond()).unwrap_or(i64::MAX))
}

pub(crate) fn filter(args: &Read) -> Filter {
    Filter {
        categories: args.category.iter().map(|c| *c as u8).collect(),
        level: args.level.map_or(0, |l| l as u8),
        components: args.component.clone(),
        pids: args.pid.clone(),
        events: args.event.clone(),
        since: ns(args.since),
        until: ns(args.until),
    }
}

pub(crate) fn read(dirs: &Dirs, args: &Read) -> Outcome {
    let (paths, rings) = if args.paths.is_empty() {
        if !dirs.base().is_dir() {
            return Err(format!(
                "there is no trace directory {}; enable tracing first, or name a trace",
                output::path(dirs.base())
            )
            .into());
        }
        (vec![dirs.base().to_owned()], vec![dirs.ring_root().to_owned()])
    } else {
        // A trace directory's rings lie elsewhere, at a place made of its name.
        let rings = args
            .paths
            .iter()
            .filter(|p| p.join("control").exists())
            .filter_map(|p| Dirs::resolve(Some(p)).ok())
            .map(|d| d.ring_root().to_owned())
            .collect();
        (args.paths.clone(), rings)
    };
    let trace = Trace::open(&paths, &rings)?;
    let filter = filter(args);
    let summary = match (args.format, args.stdout) {
        (Format::Json, _) => stream(&trace, &filter, Renderer::Json(JsonRenderer::new()))?,
        (Format::Text, true) => {
            stream(&trace, &filter, Renderer::Text(Box::new(TextRenderer::new(args.local))))?
        }
        (Format::Text, false) => files(&trace, &filter, args)?,
    };
    eprint!("{}", summary.to_text());
    Ok(if summary.is_complete() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

enum Renderer {
    Text(Box<TextRenderer>),
    Json(JsonRenderer),
}

fn stream(trace: &Trace, filter: &Filter, mut renderer: Renderer) -> Result<Summary, Failure> {
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut line = String::new();
    let summary = trace.read(filter, |item| {
        line.clear();
        match &mut renderer {
            Renderer::Text(text) => text.push(&mut line, item),
            Renderer::Json(json) => json.push(&mut line, item),
        }
        out.write_all(line.as_bytes())
    })?;
    out.flush()?;
    Ok(summary)
}

fn files(trace: &Trace, filter: &Filter, args: &Read) -> Result<Summary, Failure> {
    let dir = args.out.clone().unwrap_or_else(|| {
        let now = tracewell::boot::realtime_ns();
        PathBuf::from(format!(
            "tracewell-trace-{}",
            tracewell_reader::render::time::for_file_name(now, args.local)
        ))
    });
    // Hidden where standard error is no terminal.
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{spinner} {human_pos} events, {per_sec}")?);
    let written = write_trace_files(trace, &dir, filter, args.local, |events| bar.set_position(events));
    bar.finish_and_clear();
    let written = written?;
    let mut text = format!("{}\n", output::path(&written.all));
    for file in &written.files {
        text.push_str(&format!("{}\n", output::path(file)));
    }
    output::print(&text)?;
    Ok(written.summary)
}
