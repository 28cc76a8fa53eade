//! `watch`: the sensor, in this terminal.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracewell::control::Control;
use tracewell::dirs::Dirs;
use tracewell::{Stats, Tracer};
use tracewell_schema::format::record::LossReason;
use tracewell_sensor::Sensor;

use crate::enable::dir_option;
use crate::made::Made;
use crate::output::{Failure, Out, note, number, safe};
use crate::place::Place;
use crate::{INCOMPLETE, OK, args, coverage, explain, interrupt};

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
        place.look()?;
    }
    if let Some(list) = &args.hash_list {
        check_hash_list(list)?;
    }
    let made = Made::before(&place.dirs);
    let (tracer, sensor) = sensor(&place.dirs, args.downloads.clone(), args.hash_list.clone())?;
    made.keep();
    let guard = tracer.guard();
    interrupt::catch().map_err(|e| Failure::new(format!("signals cannot be caught: {e}")))?;
    let control = place.look()?.ok_or_else(|| {
        Failure::new(format!("{} was removed; start `tracewell watch` again", place.dirs.control().display()))
    })?;
    out.line(format_args!("Watching as component {COMPONENT}, pid {}. Ctrl-C ends it.", std::process::id()))?;
    for (what, how) in sensor.sources() {
        out.line(format_args!("  {what:<10} {}", safe(how)))?;
    }
    out.flush()?;
    let state = std::cell::RefCell::new(State::new(&place.dirs));
    sensor.run(&|| {
        state.borrow_mut().look(&control, &tracer);
        interrupt::asked()
    });
    let mut state = state.into_inner();
    state.look_again(&control, &tracer);
    let stats = tracer.stats();
    drop(guard);
    out.line(format_args!(
        "Ended; {} events of the last session had been written, lost: {}.",
        number(stats.delivered),
        explain::losses(&stats.lost)
    ))?;
    let Some(sentence) = state.all_refused(&stats) else { return Ok(OK) };
    out.flush()?;
    note(&format!("nothing was recorded: {sentence}"));
    Ok(INCOMPLETE)
}

/// Before anything is made.
fn check_hash_list(list: &Path) -> Result<(), Failure> {
    let opened = std::fs::File::open(list).and_then(|file| file.metadata());
    let error = match opened {
        Ok(meta) if meta.is_dir() => std::io::Error::from(std::io::ErrorKind::IsADirectory),
        Ok(_) => return Ok(()),
        Err(e) => e,
    };
    Err(Failure::new(format!(
        "the list of hashes {} cannot be read: {error}; name a file with one SHA-256 a line with --hash-list",
        list.display()
    )))
}

/// Says when tracing goes on or off, what is off, and when something is lost or cannot be written.
struct State {
    folder: String,
    option: String,
    looked: Option<Instant>,
    /// The session that was told of last; `Some(None)`: none was on.
    session: Option<Option<[u8; 16]>>,
    lost: u64,
    /// Some ring was made: something could be recorded.
    recorded: bool,
    /// The last thing that was said of a failure.
    failure: Option<String>,
}

impl State {
    fn new(dirs: &Dirs) -> Self {
        Self {
            folder: dirs.sessions().display().to_string(),
            option: dir_option(dirs),
            looked: None,
            session: None,
            lost: 0,
            recorded: false,
            failure: None,
        }
    }

    fn look(&mut self, control: &Control, tracer: &Tracer) {
        if self.looked.is_some_and(|t| t.elapsed() < Duration::from_millis(500)) {
            return;
        }
        self.look_again(control, tracer);
    }

    fn look_again(&mut self, control: &Control, tracer: &Tracer) {
        self.looked = Some(Instant::now());
        let page = control.snapshot();
        if page.as_ref().is_err_and(|why| why.is_transient()) {
            return;
        }
        // Also another session: it may have other levels.
        let session = page.as_ref().ok().map(|page| page.session_id);
        if self.session.replace(session) != Some(session) {
            match &page {
                Ok(page) => self.tell_on(&page.levels),
                Err(why) => {
                    note(&format!("nothing is recorded: {}", explain::off_sentence(explain::why_code(*why))));
                    note(&format!(
                        "  to record all that is seen here, in another terminal: {}",
                        coverage::command_for_everything(&self.option)
                    ));
                }
            }
        }
        let stats = tracer.stats();
        self.recorded |= stats.rings != 0 || stats.delivered != 0;
        if stats.lost_total() > self.lost {
            note(&format!("lost so far: {}", explain::losses(&stats.lost)));
        }
        self.lost = stats.lost_total();
        let own = control.attached().into_iter().find(|c| c.pid == std::process::id());
        let failure = own.and_then(|own| match own.state {
            3 => Some(explain::ring_failed(own.errno.max(1))),
            4 => Some(explain::write_failed(&self.folder, own.errno.max(1))),
            _ => None,
        });
        if failure.is_some() && failure != self.failure {
            note(failure.as_deref().unwrap_or_default());
        }
        self.failure = failure.or_else(|| self.failure.take());
    }

    fn tell_on(&self, levels: &[u8; 32]) {
        note(&format!("tracing is on: {}", explain::scope(levels)));
        if let Some((what, command)) = coverage::missing(levels, &self.option) {
            note(&format!("  NOT recorded at these levels: {what}"));
            note(&format!("  to record them too, in another terminal: {command}"));
        }
    }

    /// Why nothing could be recorded, if something was to be and all of it was refused.
    fn all_refused(&self, stats: &Stats) -> Option<String> {
        let refused = LossReason::ALL.iter().zip(stats.lost).any(|(r, n)| *r == LossReason::NoRing && n != 0);
        let sentence = || {
            self.failure.clone().unwrap_or_else(|| {
                format!("everything that it emitted was refused ({})", explain::losses(&stats.lost))
            })
        };
        (refused && !self.recorded).then(sentence)
    }
}
