//! `collect`: puts what dead processes left in their rings into segments; once, or as a service.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;
use tracewell::adopt::{self, Adopted, Pass, Why};

use crate::explain::count;
use crate::output::{Failure, Out, advice, note, number, safe, size};
use crate::place::{Place, unusable};
use crate::{INCOMPLETE, OK, args, expiry, interrupt, os};

/// Between two looks whether somebody asked to stop.
const TICK: Duration = Duration::from_millis(50);

/// How often a service deletes what is older than it may be.
const EXPIRY: Duration = Duration::from_secs(3600);

/// Why a folder is gone of which nothing was adopted.
const ONLY_BEGUN: &str = "its process ended before it could record anything";

/// `tracewell collect`.
pub(crate) fn collect(dir: Option<&Path>, args: &args::Collect, out: &mut Out) -> Result<u8, Failure> {
    if let Some(args::CollectWhat::Os(what)) = &args.what {
        return os::collect(what, out);
    }
    let place = Place::resolve(dir)?;
    interrupt::catch().map_err(|e| Failure::new(format!("signals cannot be caught: {e}")))?;
    let mut teller = Teller { json: args.json, is_service: !args.once, told: HashMap::new() };
    if args.once {
        if !place.check()? {
            return teller.nothing(out).map(|()| OK);
        }
        let pass = look(&place)?;
        teller.tell(&pass, out)?;
        return outcome(&pass);
    }
    let mut expiry_due = Instant::now();
    loop {
        // Its trace directory may come later.
        if place.check()? {
            teller.tell(&look(&place)?, out)?;
            out.flush()?;
            if Instant::now() >= expiry_due {
                expiry::quietly(&place);
                expiry_due = Instant::now() + EXPIRY;
            }
        }
        let next = Instant::now() + args.every;
        while Instant::now() < next {
            if interrupt::asked() {
                return Ok(OK);
            }
            std::thread::sleep(TICK.min(next.saturating_duration_since(Instant::now())));
        }
        if interrupt::asked() {
            return Ok(OK);
        }
    }
}

fn look(place: &Place) -> Result<Pass, Failure> {
    adopt::pass(&place.dirs, &mut interrupt::asked).map_err(|e| unusable(place.dirs.base(), &e))
}

/// The exit code of one look.
fn outcome(pass: &Pass) -> Result<u8, Failure> {
    let failed = pass.left.iter().filter_map(|left| match &left.why {
        Why::Failed(e) => Some(format!("{} was not adopted: {e}{}", left.folder.display(), advice(e))),
        _ => None,
    });
    let refused = pass.refused.iter().map(|(path, e)| {
        format!("rings may also lie in {}, which cannot be looked at: {e}{}", path.display(), advice(e))
    });
    let problems: Vec<_> = failed.chain(refused).collect();
    if !problems.is_empty() {
        return Err(Failure::Message(problems));
    }
    let is_damaged = pass.left.iter().any(|left| matches!(left.why, Why::Damaged(_)));
    Ok(if is_damaged { INCOMPLETE } else { OK })
}

/// Says what was done; a service says of each folder only once why it stays.
struct Teller {
    json: bool,
    is_service: bool,
    told: HashMap<PathBuf, &'static str>,
}

impl Teller {
    fn nothing(&self, out: &mut Out) -> Result<(), Failure> {
        if self.json { Ok(()) } else { out.line("Nothing was ever recorded; there is nothing to adopt.") }
    }

    fn tell(&mut self, pass: &Pass, out: &mut Out) -> Result<(), Failure> {
        for adopted in &pass.adopted {
            if self.json {
                out.line(adopted_json(adopted))?;
            } else {
                out.line(adopted_text(adopted))?;
            }
        }
        for folder in &pass.begun {
            if self.json {
                let folder = folder.display().to_string();
                out.line(
                    json!({"removed": {"folder": folder, "why": "only_begun", "explanation": ONLY_BEGUN}}),
                )?;
            } else {
                out.line(format_args!("Removed: {} ({ONLY_BEGUN})", safe(folder)))?;
            }
        }
        let mut told = HashMap::new();
        for left in &pass.left {
            let code = code(&left.why);
            told.insert(left.folder.clone(), code);
            if self.is_service && (code == "alive" || self.told.get(&left.folder) == Some(&code)) {
                continue;
            }
            if self.json {
                let (component, pid) = left.process.clone().unzip();
                let why = sentence(&left.why);
                out.line(
                    json!({"left": {"folder": left.folder.display().to_string(), "component": component,
                    "pid": pid, "why": code, "explanation": why}}),
                )?;
            } else {
                let who = left
                    .process
                    .as_ref()
                    .map_or_else(String::new, |(component, pid)| format!("{} pid {pid}, ", safe(component)));
                out.line(format_args!("Left: {who}{} ({})", safe(&left.folder), safe(sentence(&left.why))))?;
            }
        }
        if self.is_service {
            for (path, e) in &pass.refused {
                told.insert(path.clone(), "refused");
                if self.told.get(path) != Some(&"refused") {
                    note(&format!(
                        "rings may also lie in {}, which cannot be looked at: {e}{}",
                        path.display(),
                        advice(e)
                    ));
                }
            }
        }
        self.told = told;
        let is_empty = pass.adopted.is_empty() && pass.begun.is_empty() && pass.left.is_empty();
        if !self.is_service && !self.json && is_empty {
            out.line("No process left anything in its rings.")?;
        }
        Ok(())
    }
}

fn adopted_text(adopted: &Adopted) -> String {
    let mut text =
        format!("Adopted: {} pid {}: {}", safe(&adopted.component), adopted.pid, events(adopted.events));
    if adopted.lost != 0 {
        text += &format!("; it had lost {}", number(adopted.lost));
    }
    if adopted.segments != 0 {
        let segments = count(adopted.segments as u64, "segment");
        text += &format!(" ({segments} in {}, {})", safe(&adopted.session), size(adopted.bytes));
    }
    if adopted.is_unverified {
        text += "; unverified: the rings outlived a restart of the computer";
    }
    text
}

fn events(n: u64) -> String {
    if n == 1 { "1 event".into() } else { format!("{} events", number(n)) }
}

fn adopted_json(adopted: &Adopted) -> serde_json::Value {
    json!({"adopted": {
        "component": adopted.component,
        "pid": adopted.pid,
        "folder": adopted.folder.display().to_string(),
        "session": adopted.session.display().to_string(),
        "events": adopted.events,
        "lost": adopted.lost,
        "segments": adopted.segments,
        "bytes": adopted.bytes,
        "unverified": adopted.is_unverified,
        "removed": adopted.is_removed,
    }})
}

/// One word for a program.
fn code(why: &Why) -> &'static str {
    match why {
        Why::Alive => "alive",
        Why::BeingMade => "being_made",
        Why::Busy => "busy",
        Why::Elsewhere => "elsewhere",
        Why::BeingRead => "being_read",
        Why::Damaged(_) => "damaged",
        _ => "failed",
    }
}

fn sentence(why: &Why) -> String {
    match why {
        Why::Alive => "its process records into it".into(),
        Why::BeingMade => "its process is making it".into(),
        Why::Busy => "another collector adopts it, or a child that its process forked is still there".into(),
        Why::Elsewhere => "of another trace directory; collect that".into(),
        Why::BeingRead => "adopted, but somebody reads it; it is removed at the next look".into(),
        Why::Damaged(what) => {
            let first: Vec<_> = what.iter().take(3).map(String::as_str).collect();
            let more = what.len().saturating_sub(first.len());
            let more = if more == 0 { String::new() } else { format!(", and {more} more") };
            format!(
                "{}{more}; what could be was adopted, `tracewell read` shows the rest, `tracewell purge` removes it",
                first.join(", ")
            )
        }
        Why::Failed(e) => format!("{e}{}", advice(e)),
        _ => "unknown".into(),
    }
}
