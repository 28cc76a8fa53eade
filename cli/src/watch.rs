//! `watch`: the sensor, in this terminal.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracewell::Tracer;
use tracewell::control::Control;
use tracewell::dirs::Dirs;
use tracewell_sensor::Sensor;

use crate::output::{Failure, Out, note, number, safe};
use crate::place::{Place, unusable};
use crate::{OK, args, explain, interrupt};

/// Name of the component.
pub(crate) const COMPONENT: &str = "sensor";

/// A sensor that records into these directories.
pub(crate) fn sensor(
    dirs: &Dirs,
    downloads: Vec<PathBuf>,
    hash_list: Option<PathBuf>,
) -> Result<(Tracer, Sensor), Failure> {
    for folder in &downloads {
        let error = match std::fs::metadata(folder) {
            Ok(meta) if meta.is_dir() => continue,
            Ok(_) => std::io::Error::from(std::io::ErrorKind::NotADirectory),
            Err(e) => e,
        };
        return Err(Failure::new(format!(
            "the download folder {} cannot be watched: {error}; name an existing folder with --downloads",
            folder.display()
        )));
    }
    let tracer = Tracer::builder(COMPONENT)
        .dir(dirs.base())
        .version(env!("CARGO_PKG_VERSION"))
        .attach()
        .map_err(|e| Failure::new(e.to_string()))?;
    let ignore = vec![dirs.base().to_owned(), dirs.ring_root().to_owned()];
    let mut builder = Sensor::builder(tracer.clone()).download_dirs(downloads).ignore(ignore);
    if let Some(list) = hash_list {
        builder = builder.hash_list(list);
    }
    let sensor = builder.build().map_err(|e| Failure::new(e.to_string()))?;
    Ok((tracer, sensor))
}

/// `tracewell watch`.
pub(crate) fn watch(dir: Option<&Path>, args: &args::Watch, out: &mut Out) -> Result<u8, Failure> {
    let place = Place::resolve(dir)?;
    if std::fs::symlink_metadata(place.dirs.base()).is_ok() {
        place.control()?;
    }
    let (tracer, sensor) = sensor(&place.dirs, args.downloads.clone(), args.hash_list.clone())?;
    let guard = tracer.guard();
    interrupt::catch().map_err(|e| Failure::new(format!("signals cannot be caught: {e}")))?;
    let control = Control::open_or_create(&place.dirs).map_err(|e| unusable(place.dirs.base(), &e))?;
    out.line(format_args!("Watching as component {COMPONENT}, pid {}. Ctrl-C ends it.", std::process::id()))?;
    for (what, how) in sensor.sources() {
        out.line(format_args!("  {what:<10} {}", safe(how)))?;
    }
    out.flush()?;
    let state = std::cell::RefCell::new(State::default());
    sensor.run(&|| {
        state.borrow_mut().look(&control, &tracer);
        interrupt::asked()
    });
    let lost = tracer.stats();
    drop(guard);
    out.line(format_args!(
        "Ended; {} events of the last session had been written, lost: {}.",
        number(lost.delivered),
        explain::losses(&lost.lost)
    ))?;
    Ok(OK)
}

/// Says when tracing goes on or off, and when something is lost.
#[derive(Default)]
struct State {
    looked: Option<Instant>,
    is_on: Option<bool>,
    lost: u64,
}

impl State {
    fn look(&mut self, control: &Control, tracer: &Tracer) {
        if self.looked.is_some_and(|t| t.elapsed() < Duration::from_millis(500)) {
            return;
        }
        self.looked = Some(Instant::now());
        let page = control.snapshot();
        if page.as_ref().is_err_and(|why| why.is_transient()) {
            return;
        }
        if self.is_on.replace(page.is_ok()) != Some(page.is_ok()) {
            match &page {
                Ok(page) => note(&format!("tracing is on: {}", explain::scope(&page.levels))),
                Err(why) => {
                    note(&format!("tracing is off ({why}); run `tracewell enable` in another terminal"))
                }
            }
        }
        let stats = tracer.stats();
        if stats.lost_total() > self.lost {
            note(&format!("lost so far: {}", explain::losses(&stats.lost)));
        }
        self.lost = stats.lost_total();
    }
}
