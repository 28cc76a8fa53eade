//! `enable` and `disable`.

use std::collections::BTreeMap;
use std::path::Path;

use tracewell::catalog::{AuditDisabled, AuditEnabled};
use tracewell::control::{Control, EnableRequest, SessionInfo};
use tracewell::dirs::Dirs;
use tracewell::settings::Settings;
use tracewell::{Category, Level, Timestamp, Tracer, emit};
use tracewell_schema::{Reduction, catalog};

use crate::OK;
use crate::args::{self, Lasting, Reduce};
use crate::explain::scope;
use crate::output::{Failure, Out, note, safe, size, time};
use crate::place::{Place, unusable};

/// The command itself, as the component that tells who switched tracing on and off.
pub(crate) const OWN_COMPONENT: &str = "tracewell";

/// `tracewell enable`.
pub(crate) fn enable(dir: Option<&Path>, args: &args::Enable, out: &mut Out) -> Result<u8, Failure> {
    let place = Place::resolve(dir)?;
    let dirs = &place.dirs;
    if std::fs::symlink_metadata(dirs.base()).is_ok() {
        Place::check(&place)?;
    }
    let before = Settings::load(dirs).map_err(|e| Failure::of_lines(&e))?;
    let settings = chosen(if args.defaults { Settings::default() } else { before.clone() }, args);
    let request = request(&settings)?;
    if request.levels.iter().all(|l| *l == 0) {
        return Err(Failure::new(
            "these settings switch every category off; use `tracewell disable` for that",
        ));
    }
    let control = place.make_control()?;
    let was_on = control.snapshot().is_ok();
    // Saved before anything is switched on, and put back if that fails: never on with other settings than are kept.
    settings.save(dirs).map_err(|e| Failure::of_lines(&e))?;
    let session = control.enable(dirs, &request).map_err(|e| {
        let _ = before.save(dirs);
        unusable(dirs.base(), &e)
    })?;
    audit_enabled(dirs, &request, &session);
    print(dirs, &request, &session, was_on, out)?;
    notes(&settings);
    Ok(OK)
}

/// The settings with what the arguments say.
fn chosen(mut settings: Settings, args: &args::Enable) -> Settings {
    if let Some(level) = args.level {
        level.name().clone_into(&mut settings.level);
    }
    if !args.categories.is_empty() {
        settings.categories.clear();
        settings.only = args.categories.iter().all(|c| c.category.is_some());
        for chosen in &args.categories {
            let level = match chosen.level {
                None => settings.level.clone(),
                Some(level) => level.map_or("off", Level::name).to_owned(),
            };
            match chosen.category {
                Some(category) => drop(settings.categories.insert(category.name().to_owned(), level)),
                None => settings.level = level,
            }
        }
    } else if args.level.is_some() {
        // A level alone is meant for everything.
        settings.categories.clear();
        settings.only = false;
    }
    match &args.duration {
        Some(Lasting::Forever) => settings.duration.clear(),
        Some(Lasting::Text(text)) => settings.duration.clone_from(text),
        None => {}
    }
    if let Some(max_size) = &args.max_size {
        settings.max_size.clone_from(max_size);
    }
    if !args.opt_in.is_empty() {
        settings.opt_in = args.opt_in.iter().filter(|n| *n != "none").cloned().collect();
    }
    if !args.reduce.is_empty() {
        let fields = args.reduce.iter().filter_map(|r| match r {
            Reduce::None => None,
            Reduce::Field(name, reduction) => Some((name.clone(), reduction.to_string())),
        });
        settings.reduce = fields.collect::<BTreeMap<_, _>>();
    }
    settings
}

fn request(settings: &Settings) -> Result<EnableRequest, Failure> {
    let mut request = settings.to_request().map_err(|e| Failure::of_lines(&e))?;
    // Who switched tracing on and off is part of every trace, unless that was switched off by name.
    let audit = &mut request.levels[Category::Audit as usize];
    if !settings.categories.contains_key(Category::Audit.name()) {
        *audit = (*audit).max(Level::Error as u8);
    }
    let others = Category::ALL.iter().filter(|c| **c != Category::Audit);
    if others.map(|c| request.levels[*c as usize]).all(|l| l == 0) {
        request.levels = [0; 32];
    }
    Ok(request)
}

/// Tells the trace who switched it on. A trace without it is still a trace: errors do not matter.
fn audit_enabled(dirs: &Dirs, request: &EnableRequest, session: &SessionInfo) {
    let opt_ins: Vec<&str> = request.opt_in.iter().map(String::as_str).collect();
    audit(dirs, |tracer| {
        emit!(
            tracer,
            AuditEnabled {
                uid: rustix::process::geteuid().as_raw(),
                pid: std::process::id(),
                image_path: program().as_deref(),
                scope: &scope(&request.levels),
                opt_ins: &opt_ins,
                until: session.expires_at.map(Timestamp),
                ..Default::default()
            }
        );
    });
}

fn audit(dirs: &Dirs, tell: impl FnOnce(&Tracer)) {
    let attached =
        Tracer::builder(OWN_COMPONENT).dir(dirs.base()).version(env!("CARGO_PKG_VERSION")).attach();
    if let Ok(tracer) = attached {
        let _guard = tracer.guard();
        tell(&tracer);
    }
}

fn program() -> Option<String> {
    std::env::current_exe().ok().map(|p| p.to_string_lossy().into_owned())
}

fn print(
    dirs: &Dirs,
    request: &EnableRequest,
    session: &SessionInfo,
    was_on: bool,
    out: &mut Out,
) -> Result<(), Failure> {
    out.line(if was_on {
        "Tracing was on; that session has ended and a new one has begun."
    } else {
        "Tracing is on."
    })?;
    out.line(format_args!("  records   {}", scope(&request.levels)))?;
    match session.expires_at {
        Some(at) => out.line(format_args!("  until     {}, or `tracewell disable`", time(at)))?,
        None => out.line("  until     `tracewell disable`")?,
    }
    out.line(format_args!("  into      {}", safe(&session.folder)))?;
    out.line(format_args!("            and, while components run, memory below {}", safe(dirs.ring_root())))?;
    let most = if request.max_total == 0 {
        "no limit of size".to_owned()
    } else {
        format!("at most {} of all sessions", size(request.max_total))
    };
    let days = request.max_age.as_secs() / 86_400;
    out.line(format_args!("  keeps     {most}, {days} days; the oldest goes first"))?;
    if request.opt_in.is_empty() {
        out.line("  opt-ins   none: logins, cookies, contents of messages and the like are not recorded")?;
    } else {
        out.line(format_args!("  opt-ins   {}", safe(request.opt_in.join(", "))))?;
    }
    for (i, (field, reduction)) in request.reduce.iter().enumerate() {
        out.line(format_args!(
            "  {}   {} as {reduction}",
            if i == 0 { "reduced" } else { "       " },
            safe(field)
        ))?;
    }
    out.line(
        "  privacy   only this user can read it, and nothing leaves this computer; secrets are never stored",
    )?;
    let option = dir_option(dirs);
    out.line(format_args!("  stop      tracewell disable{option}"))?;
    out.line(format_args!("  look      tracewell status{option}, tracewell read{option}"))
}

/// The `--dir` that later commands need too.
fn dir_option(dirs: &Dirs) -> String {
    let is_default = Dirs::resolve(None).is_ok_and(|d| d.base() == dirs.base());
    if is_default { String::new() } else { format!(" --dir {}", safe(dirs.base())) }
}

/// What the user may not have meant.
fn notes(settings: &Settings) {
    let all = catalog::all();
    let find = |name: &str| {
        let event = all.iter().find(|s| s.name == name || name.starts_with(&format!("{}.", s.name)))?;
        let rest = name.strip_prefix(event.name).and_then(|rest| rest.strip_prefix('.'));
        let field = event.fields.iter().find(|f| Some(f.name) == rest);
        Some((event, field))
    };
    for name in &settings.opt_in {
        match find(name) {
            None => note(&format!("note: {name} is not in the catalog; it is taken as a component's own")),
            Some((event, None)) if event.name == name && event.opt_in => {}
            Some((_, Some(field))) if field.opt_in => {}
            Some((event, None)) if event.name != name => {
                note(&format!("note: {} has no field of the name {name}", event.name));
            }
            Some(_) => note(&format!("note: {name} needs no opt-in")),
        }
    }
    for (name, reduction) in &settings.reduce {
        match find(name) {
            Some((_, Some(field))) => {
                let asked: Result<Reduction, _> = reduction.parse();
                if asked.is_ok_and(|asked| field.reduction.stricter(asked) != asked) {
                    note(&format!(
                        "note: {name} stays {}, which keeps less than {reduction}",
                        field.reduction
                    ));
                }
            }
            Some((event, None)) => note(&format!("note: {} has no field of the name {name}", event.name)),
            None => note(&format!("note: {name} is not in the catalog; it is taken as a component's own")),
        }
    }
}

/// `tracewell disable`.
pub(crate) fn disable(dir: Option<&Path>, out: &mut Out) -> Result<u8, Failure> {
    let place = Place::resolve(dir)?;
    let Some(control) = place.control()? else {
        out.line("Tracing was not on.")?;
        return Ok(OK);
    };
    let was_on = control.snapshot().is_ok();
    if was_on {
        audit_disabled(&place.dirs);
    }
    switch_off(&control, &place.dirs)?;
    if was_on {
        out.line("Tracing is off.")?;
    } else {
        out.line("Tracing was not on.")?;
    }
    let option = dir_option(&place.dirs);
    out.line(format_args!(
        "What was recorded stays in {}; `tracewell read{option}` shows it, `tracewell purge{option}` deletes it.",
        safe(place.dirs.base())
    ))?;
    Ok(OK)
}

fn audit_disabled(dirs: &Dirs) {
    audit(dirs, |tracer| {
        emit!(
            tracer,
            AuditDisabled {
                uid: rustix::process::geteuid().as_raw(),
                pid: std::process::id(),
                image_path: program().as_deref(),
                reason: "the user asked for it",
            }
        );
    });
}

fn switch_off(control: &Control, dirs: &Dirs) -> Result<(), Failure> {
    control.disable().map_err(|e| unusable(&dirs.control(), &e))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command};

    fn after(settings: Settings, line: &str) -> Settings {
        let args = Args::parse_from(["tracewell", "enable"].into_iter().chain(line.split_whitespace()));
        let Command::Enable(enable) = args.command else { panic!("not enable") };
        chosen(settings, &enable)
    }

    #[test]
    fn arguments_change_only_what_they_name() {
        let kept = after(
            Settings::default(),
            "--for 30m --max-size 2G --category network=debug,web --opt-in web.login",
        );
        assert_eq!((kept.duration.as_str(), kept.max_size.as_str(), kept.only), ("30m", "2G", true));
        assert_eq!(kept.categories["network"], "debug");
        assert_eq!(kept.categories["web"], "info");
        let again = after(kept.clone(), "");
        assert_eq!(again, kept);
        let more = after(kept, "--level debug --for forever --opt-in none");
        assert_eq!((more.level.as_str(), more.only, more.categories.len()), ("debug", false, 0));
        assert!(more.duration.is_empty() && more.opt_in.is_empty());
        let all = after(Settings::default(), "--category all=warn,network=trace");
        assert_eq!((all.level.as_str(), all.only), ("warn", false));
    }

    #[test]
    fn a_trace_of_some_categories_still_says_who_wanted_it() {
        let levels = request(&after(Settings::default(), "--category network")).unwrap().levels;
        assert_eq!(levels[Category::Audit as usize], Level::Error as u8);
        assert_eq!(levels[Category::Web as usize], 0);
        let none = request(&after(Settings::default(), "--category network=off")).unwrap().levels;
        assert_eq!(none, [0; 32]);
    }
}
