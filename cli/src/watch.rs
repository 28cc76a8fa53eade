//! `watch`: the sensor, until Ctrl-C.

use std::process::ExitCode;
use std::time::Instant;

use tracewell::Tracer;
use tracewell::dirs::Dirs;
use tracewell::settings::parse_duration;
use tracewell_schema::{Category, Level};
use tracewell_sensor::Sensor;

use crate::args::Watch;
use crate::{Outcome, output, signal};

pub(crate) fn watch(dirs: &Dirs, args: &Watch) -> Outcome {
    let until = match &args.duration {
        Some(text) => Some(Instant::now() + parse_duration(text).map_err(|e| format!("--for: {e}"))?),
        None => None,
    };
    let tracer = Tracer::builder("sensor").version(env!("CARGO_PKG_VERSION")).dir(dirs.base()).attach()?;
    let _guard = tracer.guard();
    let mut builder = Sensor::builder(tracer.clone())
        .download_dirs(args.downloads.clone())
        .ignore(vec![dirs.base().to_owned(), dirs.ring_root().to_owned()]);
    if let Some(list) = &args.hash_list {
        builder = builder.hash_list(list.clone());
    }
    let sensor = builder.build()?;
    let mut text = format!("Watching this machine for {}.\n", output::path(dirs.base()));
    for (what, source) in sensor.sources() {
        text.push_str(&format!("  {what}: {source}\n"));
    }
    if Category::ALL.iter().any(|c| tracer.enabled(*c, Level::Error)) {
        text.push_str("Tracing is on. Ctrl-C ends.\n");
    } else {
        text.push_str("Tracing is off: nothing is recorded until `tracewell enable`. Ctrl-C ends.\n");
    }
    eprint!("{text}");
    signal::catch();
    sensor.run(&|| signal::caught() || until.is_some_and(|t| Instant::now() >= t));
    Ok(ExitCode::SUCCESS)
}
