//! `enable`.

use std::collections::BTreeMap;
use std::path::Path;

use tracewell::control::{EnableRequest, SessionInfo};
use tracewell::dirs::Dirs;
use tracewell::settings::Settings;
use tracewell::{Category, Level};

use crate::args::{self, Lasting, Reduce};
use crate::explain::scope;
use crate::made::Made;
use crate::output::{Failure, Out, note, safe, size, time};
use crate::place::{Place, unusable};
use crate::{OK, audit, audit_file, names, session_end};

/// `tracewell enable`.
pub(crate) fn enable(dir: Option<&Path>, args: &args::Enable, out: &mut Out) -> Result<u8, Failure> {
    let place = Place::resolve(dir)?;
    let dirs = &place.dirs;
    if std::fs::symlink_metadata(dirs.base()).is_ok() {
        Place::check(&place)?;
    }
    let before = if args.defaults {
        // Also if the former ones are damaged: this is the way out.
        Settings::default()
    } else {
        Settings::load(dirs).map_err(|e| Failure::of_lines(&e))?
    };
    let settings = chosen(before, args);
    let request = request(&settings)?;
    if request.levels.iter().all(|l| *l == 0) {
        return Err(Failure::new(
            "these settings switch every category off; use `tracewell disable` for that",
        ));
    }
    let notes = names::check(&settings.opt_in, &settings.reduce)?;
    // Nothing was made so far.
    let made = Made::before(dirs);
    let control = place.make_control()?;
    let was_on = control.snapshot().is_ok();
    // Never on with other settings than are kept: written first, in effect last.
    let prepared = settings.prepare(dirs).map_err(|e| Failure::of_lines(&e))?;
    let session = control.enable(dirs, &request).map_err(|e| unusable(dirs.base(), &e))?;
    if let Err(e) = prepared.commit() {
        let _ = control.disable();
        let _ = std::fs::remove_dir(&session.folder);
        return Err(Failure::of_lines(&e));
    }
    made.keep();
    if args.keep
        && let Some(name) = session.folder.file_name().and_then(|name| name.to_str())
        && let Err(e) = session_end::keep(&dirs.sessions(), name, true)
    {
        note(&format!("note: the session cannot be kept: {e}; try `tracewell keep`"));
    }
    let telling = audit::enabled(dirs, &request, &session);
    audit_file::note(&place, "enable", &scope(&request.levels));
    print(dirs, &request, &session, was_on, args.keep, out)?;
    out.flush()?;
    notes.iter().for_each(|line| note(line));
    telling.finish();
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

fn print(
    dirs: &Dirs,
    request: &EnableRequest,
    session: &SessionInfo,
    was_on: bool,
    is_kept: bool,
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
    out.line(if is_kept {
        "  deleted   when you say so with `tracewell purge`: you keep this session"
    } else {
        "  deleted   seven days after tracing ended, unless you keep it with `tracewell keep`"
    })?;
    if request.opt_in.is_empty() {
        out.line("  opt-ins   none: logins, cookies, contents of messages and the like are not recorded")?;
    } else {
        out.line(format_args!("  opt-ins   {}", safe(request.opt_in.join(", "))))?;
    }
    for (i, (field, reduction)) in request.reduce.iter().enumerate() {
        out.line(format_args!(
            "  {}   {} as {reduction}{}",
            if i == 0 { "reduced" } else { "       " },
            safe(field),
            if names::is_known(field) { "" } else { " (not a field of the catalog)" }
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
pub(crate) fn dir_option(dirs: &Dirs) -> String {
    let is_default = Dirs::resolve(None).is_ok_and(|d| d.base() == dirs.base());
    if is_default { String::new() } else { format!(" --dir {}", safe(dirs.base())) }
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
