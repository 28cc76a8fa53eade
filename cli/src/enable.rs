//! `enable` and `disable`.

use std::fmt::Write as _;
use std::process::ExitCode;

use tracewell::control::Control;
use tracewell::dirs::Dirs;
use tracewell::settings::Settings;
use tracewell_reader::render::time::utc;
use tracewell_schema::{Category, Level};

use crate::args::Enable;
use crate::{Failure, Outcome, output};

fn open(dirs: &Dirs) -> Result<Control, Failure> {
    Control::open_or_create(dirs).map_err(|e| {
        format!(
            "the trace directory {} cannot be used: {e}; choose another with --dir",
            output::path(dirs.base())
        )
        .into()
    })
}

/// Settings with what was asked for now.
fn settings(dirs: &Dirs, args: &Enable) -> Result<Settings, Failure> {
    let mut settings = Settings::load(dirs)?;
    if let Some(level) = &args.level {
        settings.level.clone_from(level);
        if args.category.is_empty() {
            settings.only = false;
            settings.categories.clear();
        }
    }
    if !args.category.is_empty() {
        settings.only = true;
        settings.categories.clear();
        for item in &args.category {
            let (name, level) = item.split_once('=').unwrap_or((item, &settings.level));
            settings.categories.insert(name.to_owned(), level.to_owned());
        }
    }
    settings.duration = args.duration.clone().unwrap_or_default();
    if let Some(size) = &args.max_size {
        settings.max_size.clone_from(size);
    }
    if !args.opt_in.is_empty() {
        settings.opt_in.clone_from(&args.opt_in);
    }
    for item in &args.reduce {
        let (field, reduction) = item.split_once('=').ok_or_else(|| {
            format!("--reduce {item:?}: write FIELD=REDUCTION, as process.start.command_line=length")
        })?;
        settings.reduce.insert(field.to_owned(), reduction.to_owned());
    }
    Ok(settings)
}

pub(crate) fn enable(dirs: &Dirs, args: &Enable) -> Outcome {
    let settings = settings(dirs, args)?;
    let request = settings.to_request()?;
    let control = open(dirs)?;
    settings.save(dirs)?;
    let session = control
        .enable(dirs, &request)
        .map_err(|e| format!("tracing cannot be enabled in {}: {e}", output::path(dirs.base())))?;
    let mut text = String::from("Tracing is on.\n");
    let on: Vec<_> = Category::ALL
        .iter()
        .filter_map(|c| Level::from_u8(*request.levels.get(*c as usize)?).map(|l| format!("{c}={l}")))
        .collect();
    let _ = writeln!(text, "  recorded  {}", on.join(", "));
    if settings.opt_in.is_empty() {
        text.push_str(
            "  opt-in    none: no logins, cookies, message subjects and addresses, paths of visited URLs\n",
        );
    } else {
        let _ = writeln!(text, "  opt-in    {}", settings.opt_in.join(", "));
    }
    for (field, reduction) in &settings.reduce {
        let _ = writeln!(text, "  reduced   {field}: {reduction}");
    }
    match session.expires_at {
        Some(time) => _ = writeln!(text, "  until     {}", utc(time)),
        None => text.push_str("  until     you run `tracewell disable`\n"),
    }
    let _ = writeln!(text, "  where     {} (only you can read it)", output::path(&session.folder));
    let _ = writeln!(text, "  at most   {}", settings.max_size);
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn disable(dirs: &Dirs) -> Outcome {
    let opened = Control::open(dirs)
        .map_err(|e| format!("the trace directory {} cannot be used: {e}", output::path(dirs.base())))?;
    let Some(control) = opened else {
        return Err(format!(
            "there is no trace directory {}; tracing was never enabled there",
            output::path(dirs.base())
        )
        .into());
    };
    control.disable().map_err(|e| format!("tracing cannot be disabled: {e}"))?;
    output::print("Tracing is off. `tracewell read` shows what was recorded.\n")?;
    Ok(ExitCode::SUCCESS)
}
