//! `request`: what support asks for, in plain words; the user agrees to all of it, some, or nothing.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueHint};
use tracewell::{Category, Level};
use tracewell_bundle::request::{Request, Verified};
use tracewell_bundle::{Product, Store};

use crate::args::{CategoryLevel, Enable, Lasting};
use crate::bundle::personal_kinds;
use crate::output::{Failure, Out, advice, safe};
use crate::place::Place;
use crate::{OK, audit_file, enable};

#[derive(Debug, clap::Args)]
pub(crate) struct RequestArgs {
    #[command(subcommand)]
    pub(crate) command: RequestCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RequestCommand {
    /// Say in plain words what a request asks for, and what personal data that can contain. Nothing is done
    Show(RequestFile),
    /// Agree to a request, or to a part of it: switches tracing on as asked, and remembers the rest for
    /// `tracewell bundle create --request`
    #[command(after_help = "\
Examples:
  tracewell request accept case.request                       shows it, and asks
  tracewell request accept case.request --without dump:scanner --without trace")]
    Accept(Accept),
}

#[derive(Debug, clap::Args)]
pub(crate) struct RequestFile {
    /// The file that support sent
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// The product's file [default: $TRACEWELL_PRODUCT, else /etc/tracewell/product.toml]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) product: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Accept {
    #[command(flatten)]
    pub(crate) file: RequestFile,
    /// Strike this item out; may be given more than once
    #[arg(long, value_name = "ITEM")]
    pub(crate) without: Vec<String>,
    /// Do not ask; for scripts of the user's own
    #[arg(long)]
    pub(crate) yes: bool,
}

/// `tracewell request ..`.
pub(crate) fn request(dir: Option<&Path>, args: &RequestArgs, out: &mut Out) -> Result<u8, Failure> {
    match &args.command {
        RequestCommand::Show(file) => {
            let (verified, product) = load(file)?;
            print(&verified, &verified.request, &product, out)?;
            out.line("")?;
            out.line("Nothing was done. `tracewell request accept` agrees to it, --without ITEM to less.")?;
            Ok(OK)
        }
        RequestCommand::Accept(accept) => accept_it(dir, accept, out),
    }
}

fn load(file: &RequestFile) -> Result<(Verified, Product), Failure> {
    let product =
        Product::load(&Product::place(file.product.as_deref())).map_err(|e| Failure::of_lines(&e))?;
    let verified = Verified::load(&file.file, &product, jiff::Timestamp::now())
        .map_err(|e| Failure::of_lines(&format!("{}: {e}", file.file.display())))?;
    Ok((verified, product))
}

fn print(verified: &Verified, request: &Request, product: &Product, out: &mut Out) -> Result<(), Failure> {
    out.line(format_args!("Support of {} asks, for case {}:", safe(&product.name), safe(&request.case)))?;
    if !request.reason.is_empty() {
        out.line(format_args!("  \"{}\"", safe(&request.reason)))?;
    }
    for item in request.items() {
        out.line("")?;
        out.line(format_args!("  {}", safe(&item.name)))?;
        out.line(format_args!("    {}", safe(&item.what)))?;
        if !item.personal.is_empty() {
            out.line(format_args!("    can contain: {}", personal_kinds(&item.personal)))?;
        }
    }
    if request.items().is_empty() {
        out.line("  nothing")?;
    }
    out.line("")?;
    if let Some(statement) = &request.statement {
        out.line(format_args!("  statement  version {}", safe(statement)))?;
    }
    out.line(format_args!("  expires    {}", request.expires))?;
    out.line(format_args!("  signed     {}", safe(&verified.comment)))?;
    out.line("  Everything is prepared on this computer. Nothing is sent before you have seen it and agreed.")
}

fn accept_it(dir: Option<&Path>, args: &Accept, out: &mut Out) -> Result<u8, Failure> {
    let (verified, product) = load(&args.file)?;
    let request = verified.request.without(&args.without).map_err(|name| {
        Failure::new(format!("the request has no item {name:?}; `tracewell request show` lists them"))
    })?;
    print(&verified, &request, &product, out)?;
    if request.items().is_empty() {
        out.line("Everything is struck out; nothing was done.")?;
        return Ok(OK);
    }
    out.flush()?;
    if !args.yes && !confirmed()? {
        out.line("Nothing was done.")?;
        return Ok(OK);
    }
    let place = Place::resolve(dir)?;
    let items: Vec<String> = request.items().into_iter().map(|item| item.name).collect();
    let detail = format!("case {}: {} accepted, request {}", request.case, items.join(", "), verified.digest);
    audit_file::note(&place, "request", &detail);
    if let Some(trace) = &request.trace {
        let level = |name: &str| Level::ALL.iter().copied().find(|l| l.name() == name);
        let categories = trace
            .categories
            .iter()
            .map(|(category, name)| CategoryLevel {
                category: Category::ALL.iter().copied().find(|c| c.name() == category),
                level: Some(level(name)),
            })
            .collect();
        let enable = Enable {
            level: None,
            categories,
            duration: Some(Lasting::Text(trace.duration.clone())),
            max_size: None,
            opt_in: if trace.opt_in.is_empty() { vec!["none".into()] } else { trace.opt_in.clone() },
            reduce: Vec::new(),
            keep: false,
            defaults: false,
        };
        out.line("")?;
        enable::enable(dir, &enable, out)?;
    }
    let kept = Store::new(place.dirs.base())
        .keep_request(&request)
        .map_err(|e| Failure::new(format!("the request cannot be kept: {e}{}", advice(&e))))?;
    out.line("")?;
    out.line(format_args!("Accepted, kept as {}.", safe(&kept)))?;
    out.line("When the problem has shown itself: `tracewell bundle create --request`.")?;
    Ok(OK)
}

/// Asks on the terminal. Whoever has none must say --yes.
fn confirmed() -> Result<bool, Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::new(
            "there is no terminal to ask on; look at the request with `tracewell request show`, then add --yes",
        ));
    }
    let mut err = std::io::stderr().lock();
    let _ = write!(err, "Do you agree to this? [y/N] ");
    let _ = err.flush();
    let mut line = String::new();
    let _ = stdin.lock().read_line(&mut line);
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}
