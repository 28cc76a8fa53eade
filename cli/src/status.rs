//! `status`: what is on, who records, where data lies. The JSON is described in cli/STATUS.md.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;
use tracewell::Category;
use tracewell::control::{Control, ROOTS_FILE, Why};
use tracewell::dirs::{Dirs, session_name};
use tracewell::settings::Settings;
use tracewell_bundle::Store;
use tracewell_schema::catalog;
use tracewell_schema::format::control::{ControlPage, name_hash};
use tracewell_schema::format::hex;
use tracewell_schema::format::record::LossReason;

use crate::elsewhere::{self, Elsewhere};
use crate::explain::{self, Silence, why_code, why_missing, why_silent};
use crate::output::{Failure, Out, advice, span};
use crate::place::{Place, unusable};
use crate::rings::{RingFolder, Rings};
use crate::segments::{self, Session};
use crate::session_end::{Fate, Recorded, begun};
use crate::tally::{Tally, tallies};
use crate::{OK, args, expiry, status_text};

/// Version of the JSON form.
const VERSION: u32 = 1;

/// Everything that `status` says.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) version: u32,
    pub(crate) dir: String,
    pub(crate) ring_dir: String,
    /// Every place where rings may lie.
    pub(crate) ring_dirs: Vec<String>,
    pub(crate) enabled: bool,
    /// Why not.
    pub(crate) off: Option<&'static str>,
    pub(crate) session: Option<SessionReport>,
    pub(crate) components: Vec<Component>,
    pub(crate) places: Vec<PlaceReport>,
    /// Bytes of all places.
    pub(crate) bytes: u64,
    /// Losses of what lies there, by reason.
    pub(crate) lost: BTreeMap<&'static str, u64>,
    #[serde(skip)]
    pub(crate) lost_counts: [u64; 8],
    pub(crate) notes: Vec<String>,
}

/// The session that is on.
#[derive(Debug, Serialize)]
pub(crate) struct SessionReport {
    pub(crate) id: String,
    pub(crate) folder: String,
    pub(crate) enabled_at: String,
    /// `None`: until it is disabled.
    pub(crate) ends_at: Option<String>,
    pub(crate) seconds_left: Option<u64>,
    pub(crate) levels: BTreeMap<&'static str, &'static str>,
    pub(crate) scope: String,
    pub(crate) opt_ins: Vec<String>,
    pub(crate) reductions: BTreeMap<String, String>,
    pub(crate) max_bytes: u64,
    pub(crate) max_age_seconds: u64,
    #[serde(skip)]
    pub(crate) ends_at_ns: Option<i64>,
}

/// A process of a component.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Component {
    pub(crate) component: String,
    pub(crate) pid: Option<u32>,
    pub(crate) attached: bool,
    pub(crate) delivers: bool,
    /// Events emitted in this session, as far as its rings tell.
    pub(crate) delivered: u64,
    pub(crate) attempted: u64,
    pub(crate) lost: u64,
    pub(crate) rings: usize,
    pub(crate) ring_bytes: u64,
    /// What keeps it from writing segments, though it records.
    pub(crate) problem: Option<String>,
    /// Why it delivers nothing: a word, and a sentence.
    pub(crate) why: Option<&'static str>,
    pub(crate) explanation: Option<String>,
}

/// A place where data lies.
#[derive(Debug, Serialize)]
pub(crate) struct PlaceReport {
    pub(crate) kind: &'static str,
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) files: usize,
    /// When it is deleted by itself, if it is: RFC 3339, UTC.
    pub(crate) deleted_at: Option<String>,
    pub(crate) note: Option<String>,
}

/// `tracewell status`.
pub(crate) fn status(dir: Option<&Path>, args: &args::Status, out: &mut Out) -> Result<u8, Failure> {
    let place = Place::resolve(dir)?;
    let control = place.look()?;
    let report = report(&place.dirs, control.as_ref(), &args.components)?;
    if args.json {
        let text = serde_json::to_string_pretty(&report).map_err(|e| Failure::new(e.to_string()))?;
        out.line(text)?;
    } else {
        status_text::print(&report, out)?;
    }
    Ok(OK)
}

fn report(dirs: &Dirs, control: Option<&Control>, asked: &[String]) -> Result<Report, Failure> {
    let settings = Settings::load(dirs);
    let page = match control {
        None => Err(Why::Off),
        Some(control) => steady(control),
    };
    let rings = Rings::find(dirs);
    let folders = &rings.folders;
    let sessions = segments::sessions(&dirs.sessions()).map_err(|e| unusable(&dirs.sessions(), &e))?;
    let page = match page {
        // Whoever notices first that the time is over switches off for good.
        Err(Why::Off) if ended_by_itself(&sessions) => Err(Why::Expired),
        other => other,
    };
    let off = page.as_ref().err().map(|why| why_code(*why));
    let tallies = tallies(&sessions, folders);
    let mut all = Tally::default();
    tallies.values().for_each(|tally| all.add(tally));
    let mut report = Report {
        version: VERSION,
        dir: dirs.base().display().to_string(),
        ring_dir: dirs.ring_root().display().to_string(),
        ring_dirs: rings.roots.iter().map(|r| r.display().to_string()).collect(),
        enabled: off.is_none(),
        off,
        session: page.as_ref().ok().map(|page| session_report(dirs, page, settings.as_ref().ok())),
        components: Vec::new(),
        places: Vec::new(),
        bytes: 0,
        lost: BTreeMap::new(),
        lost_counts: all.lost,
        notes: Vec::new(),
    };
    if let Err(error) = settings {
        report.notes.push(error.to_string());
    }
    report.notes.extend(rings.problems());
    let elsewhere = elsewhere::find(dirs);
    report.notes.extend(elsewhere.iter().map(Elsewhere::to_string));
    components(&mut report, control, page.as_ref().ok(), folders, &tallies);
    for name in asked {
        add_asked(&mut report, name, &sessions, folders, &elsewhere);
    }
    places(&mut report, dirs, &sessions, folders);
    report.bytes = report.places.iter().map(|p| p.bytes).sum();
    report.lost = LossReason::ALL.iter().zip(report.lost_counts).map(|(r, n)| (r.name(), n)).collect();
    Ok(report)
}

/// The page, once it is not being changed.
fn steady(control: &Control) -> Result<ControlPage, Why> {
    for _ in 0..50 {
        match control.snapshot() {
            Err(why) if why.is_transient() => std::thread::sleep(std::time::Duration::from_millis(2)),
            other => return other,
        }
    }
    control.snapshot()
}

/// Whether the newest session has ended because its time was over: who enabled it told the trace until when, and
/// nobody told it that it was disabled.
fn ended_by_itself(sessions: &[Session]) -> bool {
    let Some(session) = sessions.last() else { return false };
    let recorded = Recorded::of(session);
    let now = Timestamp::from_nanosecond(i128::from(tracewell::boot::realtime_ns()));
    recorded.disabled.is_none() && recorded.until.is_some_and(|until| now.is_ok_and(|now| until <= now))
}

fn session_report(dirs: &Dirs, page: &ControlPage, settings: Option<&Settings>) -> SessionReport {
    let utc = tracewell_reader::render::time::utc;
    let ends_at_ns = Some(page.expires_at).filter(|t| *t != 0);
    let left = page.expires_boottime.saturating_sub(tracewell::boot::boottime_ns()) / 1_000_000_000;
    let names = names(settings);
    let name = |hash: &u64| names.get(hash).cloned().unwrap_or_else(|| format!("unknown name {hash:016x}"));
    SessionReport {
        id: hex(&page.session_id),
        folder: dirs.session_folder(page.enabled_at, &page.session_id).display().to_string(),
        enabled_at: utc(page.enabled_at),
        ends_at: ends_at_ns.map(utc),
        seconds_left: ends_at_ns.map(|_| left),
        levels: Category::ALL
            .iter()
            .map(|c| (c.name(), explain::level_name(page.levels[*c as usize])))
            .collect(),
        scope: explain::scope(&page.levels),
        opt_ins: page.opt_ins.iter().map(name).collect(),
        reductions: page.reductions.iter().map(|r| (name(&r.name), r.reduction.to_string())).collect(),
        max_bytes: page.max_total,
        max_age_seconds: page.max_age,
        ends_at_ns,
    }
}

/// The page has hashes of names; these are the names that are known.
fn names(settings: Option<&Settings>) -> HashMap<u64, String> {
    let mut names = Vec::new();
    for schema in catalog::all() {
        names.push(schema.name.to_owned());
        names.extend(schema.fields.iter().map(|f| format!("{}.{}", schema.name, f.name)));
    }
    if let Some(settings) = settings {
        names.extend(settings.opt_in.iter().chain(settings.reduce.keys()).cloned());
    }
    names.into_iter().map(|name| (name_hash(&name), name)).collect()
}

fn components(
    report: &mut Report,
    control: Option<&Control>,
    page: Option<&ControlPage>,
    folders: &[RingFolder],
    tallies: &HashMap<[u8; 16], Tally>,
) {
    let Some(control) = control else { return };
    for attached in control.status().attached {
        let own = |f: &&RingFolder| {
            let session = page.map(|p| p.session_id);
            let identity = f.identity.as_ref();
            f.is_alive
                && identity.is_some_and(|i| {
                    i.pid == attached.pid
                        && (attached.component.is_empty() || i.component == attached.component)
                        && Some(i.session_id) == session
                })
        };
        let mut component = Component {
            // Without a slot nothing but the mapping is known.
            component: if attached.component.is_empty() { "?".into() } else { attached.component.clone() },
            pid: Some(attached.pid),
            attached: true,
            ..Component::default()
        };
        let mut tally = Tally::default();
        for folder in folders.iter().filter(own) {
            component.rings += folder.rings.iter().filter(|r| r.state != 0).count();
            component.ring_bytes += folder.bytes;
            let uuid = folder.identity.as_ref().map(|i| i.process_uuid).unwrap_or_default();
            tally.add(tallies.get(&uuid).unwrap_or(&Tally::default()));
        }
        component.attempted = tally.attempted;
        component.delivered = tally.delivered;
        component.lost = tally.lost.iter().sum();
        let folder = report.session.as_ref().map_or(report.dir.as_str(), |s| s.folder.as_str());
        component.problem =
            (attached.state == 4).then(|| explain::write_failed(folder, attached.errno.max(1)));
        component.delivers = page.is_some() && component.delivered != 0;
        if !component.delivers {
            let (why, explanation) = why_silent(&Silence {
                off: report.off,
                levels: page.map(|p| &p.levels),
                ring_errno: if attached.state == 3 { attached.errno.max(1) } else { 0 },
                unwritable: component.problem.as_deref(),
                attempted: component.attempted,
                lost: tally.lost,
            });
            component.why = Some(why);
            component.explanation = Some(explanation);
        }
        report.components.push(component);
    }
}

/// A component that the user asked for by name and that is not attached.
fn add_asked(
    report: &mut Report,
    name: &str,
    sessions: &[Session],
    folders: &[RingFolder],
    elsewhere: &[Elsewhere],
) {
    if report.components.iter().any(|c| c.component == name) {
        return;
    }
    let (why, mut explanation) = why_missing(name, elsewhere);
    let dead = folders.iter().filter(|f| !f.is_alive).filter_map(|f| f.identity.as_ref());
    let mut pids: BTreeSet<u32> = dead.filter(|i| i.component == name).map(|i| i.pid).collect();
    let earlier = sessions.iter().flat_map(|s| &s.segments).filter(|s| s.name.component == name);
    pids.extend(earlier.map(|s| s.name.pid));
    if let Some(pid) = pids.last() {
        explanation += &format!("; it was here as process {pid}, which has ended");
    }
    report.components.push(Component {
        component: name.to_owned(),
        why: Some(why),
        explanation: Some(explanation),
        ..Component::default()
    });
}

fn places(report: &mut Report, dirs: &Dirs, sessions: &[Session], folders: &[RingFolder]) {
    let files =
        [("control", dirs.control()), ("settings", dirs.settings()), ("roots", dirs.base().join(ROOTS_FILE))];
    for (kind, path) in files {
        match std::fs::symlink_metadata(&path) {
            Ok(meta) => report.places.push(PlaceReport {
                kind,
                path: path.display().to_string(),
                bytes: meta.blocks() * 512,
                files: 1,
                deleted_at: None,
                note: None,
            }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => report.notes.push(format!("{}: {e}{}", path.display(), advice(&e))),
        }
    }
    let current = report.session.as_ref().map(|s| s.folder.clone());
    let now = Timestamp::now();
    for (place, session) in sessions.iter().enumerate() {
        let path = session.path.display().to_string();
        let mut notes = Vec::new();
        let mut deleted_at = None;
        let is_on = Some(&path) == current.as_ref();
        if is_on {
            notes.push("the session that is on".to_owned());
        }
        let next = sessions.get(place + 1).and_then(|next| begun(&next.name));
        match Fate::of(session, next, now) {
            Fate::Kept => notes.push("kept".into()),
            _ if is_on => notes.push("deleted seven days after tracing ended".into()),
            Fate::Goes(at) => {
                deleted_at = Some(at.to_string());
                notes.push(goes(at, now));
            }
            Fate::Unknown => notes.push("its times lie in the future: `tracewell purge` deletes it".into()),
        }
        if session.others != 0 {
            notes.push(format!("{} files that are not ours", session.others));
        }
        report.places.push(PlaceReport {
            kind: "session",
            path,
            bytes: session.bytes(),
            files: session.segments.len(),
            deleted_at,
            note: (!notes.is_empty()).then(|| notes.join("; ")),
        });
    }
    prepared(report, dirs, now);
    for folder in folders {
        let who =
            folder.identity.as_ref().map_or_else(String::new, |i| format!("{} pid {}", i.component, i.pid));
        let note = if folder.is_alive {
            format!("in memory; {who} records into it")
        } else {
            let of = if who.is_empty() { "an unknown process".to_owned() } else { who };
            format!(
                "in memory; left by {of}, which ended before everything was in a segment: `tracewell read` shows it, \
                 `tracewell purge` removes it"
            )
        };
        report.places.push(PlaceReport {
            kind: "rings",
            path: folder.path.display().to_string(),
            bytes: folder.bytes,
            files: folder.rings.len(),
            deleted_at: None,
            note: Some(format!("{note}; {} bytes not yet in a segment", folder.waiting())),
        });
    }
}

/// What was made of traces, and memory of components.
fn prepared(report: &mut Report, dirs: &Dirs, now: Timestamp) {
    let store = Store::new(dirs.base());
    let bundles = store
        .list()
        .and_then(|names| names.iter().map(|name| store.open(name)).collect::<Result<Vec<_>, _>>());
    match bundles {
        Err(e) => report.notes.push(format!("the bundles cannot be looked at: {e}{}", advice(&e))),
        Ok(bundles) => {
            for bundle in bundles {
                let due = bundle.due().ok().map(|due| due.at);
                report.places.push(PlaceReport {
                    kind: "bundle",
                    path: bundle.path().display().to_string(),
                    bytes: bundle.bytes(),
                    files: 1,
                    deleted_at: due.map(|at| at.to_string()),
                    note: due.map(|at| goes(at, now)),
                });
            }
        }
    }
    let dumps = tracewell_bundle::dumps::Dumps::new(dirs.base());
    match dumps.list() {
        Err(e) => report.notes.push(format!("the dumps cannot be looked at: {e}{}", advice(&e))),
        Ok(all) => {
            for dump in all {
                let at = expiry::dump_goes(dump.made).filter(|_| !dump.is_kept);
                report.places.push(PlaceReport {
                    kind: "dump",
                    path: dumps.path().join(&dump.name).display().to_string(),
                    bytes: dump.len,
                    files: 1,
                    deleted_at: at.map(|at| at.to_string()),
                    note: Some(at.map_or_else(|| "kept".into(), |at| goes(at, now))),
                });
            }
        }
    }
}

/// When something goes, in words.
fn goes(at: Timestamp, now: Timestamp) -> String {
    let left = at.duration_since(now).as_secs();
    if left <= 0 {
        return "deleted with the next command".into();
    }
    format!("deleted in {}", span(left.unsigned_abs()))
}

/// Name of the folder of the session that is on.
pub(crate) fn current_session(control: &Control) -> Option<String> {
    steady(control).ok().map(|page| session_name(page.enabled_at, &page.session_id))
}
