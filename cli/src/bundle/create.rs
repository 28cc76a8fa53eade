//! `bundle create`: collects into a draft.

use tracewell_bundle::os::{OperatingSystem, Options};
use tracewell_bundle::redact::{self, Known, PseudonymKey, Redacting, Redactor};
use tracewell_bundle::{
    DraftWriter, FileGroup, FileList, Files, OwnKey, Product, ProductError, Sink, Skipped, Source, Terms,
    Traces,
};

use super::args::{Create, Level, Part};
use super::dumps::Dumps;
use super::{failed, look, sending, store};
use crate::OK;
use crate::output::{Failure, Out, note};
use crate::place::Place;

/// The product's file. None is no obstacle to preparing a bundle by hand.
pub(crate) fn product(given: Option<&std::path::Path>) -> Result<Option<Product>, Failure> {
    match Product::load(&Product::place(given)) {
        Ok(product) => Ok(Some(product)),
        Err(ProductError::Missing(_)) if given.is_none() => Ok(None),
        Err(e) => Err(Failure::of_lines(&e)),
    }
}

/// What the accepted request asks for, as arguments.
fn of_request(place: &Place, args: &Create) -> Result<Create, Failure> {
    let kept = store(place).request().map_err(|e| failed("the request", &e))?;
    let request = kept.ok_or_else(|| {
        Failure::new("no request was accepted; `tracewell request accept FILE` does, or leave out --request")
    })?;
    let mut only = Vec::new();
    for (part, asked) in [
        (Part::Os, request.operating_system),
        (Part::Trace, request.trace.is_some()),
        (Part::Files, request.product_files),
    ] {
        only.extend(asked.then_some(part));
    }
    Ok(Create {
        request: true,
        only,
        dump: request.dumps,
        full_dump: request.full_dumps,
        files: request.files,
        redact: args.redact,
        case: Some(request.case),
        product: args.product.clone(),
    })
}

pub(super) fn create(place: &Place, args: &Create, out: &mut Out) -> Result<u8, Failure> {
    let asked = if args.request { Some(of_request(place, args)?) } else { None };
    let args = asked.as_ref().unwrap_or(args);
    let product = product(args.product.as_deref())?;
    // Read before anything is made: a list that is wrong is told, not left out.
    let list = match &product {
        Some(product) if wants(args, Part::Files) => {
            FileList::of(product).map_err(|e| Failure::of_lines(&e))?
        }
        _ => FileList::default(),
    };
    let now = jiff::Timestamp::now();
    let terms = Terms {
        case: args.case.clone(),
        product: product
            .as_ref()
            .map_or_else(|| "unknown".into(), |p| format!("{} {}", p.name, p.version).trim_end().into()),
        prepared_at: now.to_string(),
        redaction: args.redact.name().into(),
        statement: product.as_ref().and_then(|p| p.statement.as_ref()).map(|s| s.version.clone()),
    };
    let base = place.dirs.base();
    let key = OwnKey::load_or_create(base).map_err(|e| failed("your own key", &e))?;
    let folder = store(place).create(now).map_err(|e| failed("the bundle's folder", &e))?;
    let filled = (|| {
        let mut draft = DraftWriter::new(folder.fd()?, &key, terms)?;
        let level = match args.redact {
            Level::None => redact::Level::None,
            Level::Standard => redact::Level::Standard,
            Level::Strict => redact::Level::Strict,
        };
        let mut redactor = Redactor::new(level, PseudonymKey::random()?, Known::of_this_computer());
        for source in &mut sources(place, args, product.as_ref(), list) {
            note(&format!("collecting {}", source.label()));
            source.collect(&mut Redacting::new(&mut redactor, &mut draft))?;
        }
        if wants(args, Part::Files) && product.as_ref().is_none_or(|product| product.files.is_none()) {
            let why = "the product names none: there is no `files` in its product.toml".to_owned();
            draft.skip(Skipped { what: "the product's files".into(), why });
        }
        draft.add_redaction(&redactor)?;
        draft.finish()
    })();
    match filled {
        Ok(manifest) => {
            sending::note(base, "bundle", &folder, &format!("{} members prepared", manifest.members.len()))?;
            look::print_manifest(folder.name(), &manifest, &folder.struck().unwrap_or_default(), out)?;
            out.line("")?;
            out.line("Nothing was sent. Look at it with `tracewell bundle view`, strike out what you do not want to")?;
            out.line("give, then `tracewell bundle seal`.")?;
            Ok(OK)
        }
        Err(e) => {
            // Nothing half-made stays.
            let _ = folder.remove();
            Err(failed("the bundle could not be prepared", &e))
        }
    }
}

fn wants(args: &Create, part: Part) -> bool {
    args.only.is_empty() && !args.request || args.only.contains(&part)
}

/// What was asked for, in the order in which it is collected.
fn sources<'a>(
    place: &'a Place,
    args: &Create,
    product: Option<&Product>,
    list: FileList,
) -> Vec<Box<dyn Source + 'a>> {
    let mut all: Vec<Box<dyn Source + 'a>> = Vec::new();
    if wants(args, Part::Os) {
        let product = product.map(|p| p.name.clone());
        all.push(Box::new(OperatingSystem::new(Options { product, ..Options::default() })));
    }
    if wants(args, Part::Trace) {
        all.push(Box::new(Traces::new(place.dirs.base())));
    }
    if !args.dump.is_empty() || !args.full_dump.is_empty() {
        all.push(Box::new(Dumps::new(place, &args.dump, &args.full_dump)));
    }
    let mut files = Files::new(place.dirs.base());
    files.ask(list.files, "the product");
    if !args.files.is_empty() {
        let by = if args.request { "support" } else { "you" };
        files.ask([FileGroup::of_patterns("asked for", &args.files)], by);
    }
    if !files.is_empty() {
        all.push(Box::new(files));
    }
    all
}
