//! Looking: what is in a bundle, and each member of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use tracewell_bundle::{Draft, Kind, Manifest, MemberName, OwnKey, Personal, SealedReader};

use super::args::{Remove, Show, Strike};
use super::{failed, folder, own_key, sending, store};
use crate::OK;
use crate::explain::count;
use crate::output::{Failure, Out, number, safe, size};
use crate::place::Place;

/// A bundle as it can be looked at: the draft, or a sealed one.
pub(super) enum Looked {
    Draft(Box<Draft>),
    Sealed(Box<SealedReader>),
}

impl Looked {
    pub(super) fn manifest(&self) -> &Manifest {
        match self {
            Self::Draft(draft) => draft.manifest(),
            Self::Sealed(sealed) => sealed.manifest(),
        }
    }

    pub(super) fn member(&mut self, name: &str) -> std::io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Self::Draft(draft) => Box::new(draft.member(name)?),
            Self::Sealed(sealed) => Box::new(sealed.member(name)?),
        })
    }
}

/// The key to open with: a file, or the user's own.
pub(super) fn key(place: &Place, identity: Option<&Path>) -> Result<OwnKey, Failure> {
    match identity {
        None => own_key(place),
        Some(path) => File::open(path)
            .and_then(|file| OwnKey::parse(&mut file.take(64 << 10)))
            .map_err(|e| failed(&path.display().to_string(), &e)),
    }
}

/// A sealed file by its path, if the name is one.
pub(super) fn sealed_at(name: &str) -> Option<&Path> {
    let path = Path::new(name);
    (name.contains('/') || path.extension().is_some()).then_some(path)
}

/// Opens a sealed file, or a bundle of this computer.
pub(super) fn open(
    place: &Place,
    name: &str,
    identity: Option<&Path>,
) -> Result<(String, Looked, BTreeSet<MemberName>), Failure> {
    let key = key(place, identity)?;
    if let Some(path) = sealed_at(name) {
        let opened = File::open(path).and_then(|file| SealedReader::open(file, &key));
        let sealed = opened.map_err(|e| failed(&path.display().to_string(), &e))?;
        return Ok((name.to_owned(), Looked::Sealed(Box::new(sealed)), BTreeSet::new()));
    }
    let folder = folder(place, name)?;
    let draft = folder.draft(&key).map_err(|e| failed(folder.name(), &e))?;
    let struck = folder.struck().map_err(|e| failed(folder.name(), &e))?;
    Ok((folder.name().to_owned(), Looked::Draft(Box::new(draft)), struck))
}

pub(super) fn list(place: &Place, out: &mut Out) -> Result<u8, Failure> {
    let names = store(place).list().map_err(|e| failed("the bundles", &e))?;
    if names.is_empty() {
        out.line("There are no bundles. `tracewell bundle create` prepares one.")?;
        return Ok(OK);
    }
    let key = own_key(place)?;
    for name in names {
        let folder = folder(place, &name)?;
        let state = match folder.sealed() {
            Ok(Some(sealed)) => format!("sealed, {}", size(sealed.len)),
            Ok(None) => match folder.draft(&key) {
                Ok(draft) => {
                    let members = count(draft.manifest().members.len() as u64, "member");
                    format!("prepared, {members}, {}", size(draft.manifest().total()))
                }
                Err(e) => format!("damaged: {e}"),
            },
            Err(e) => format!("damaged: {e}"),
        };
        out.line(format_args!("{name}  {state}"))?;
    }
    Ok(OK)
}

fn kinds(all: &BTreeMap<Personal, u64>) -> String {
    let each = |(kind, count): (&Personal, &u64)| match count {
        0 => kind.words().to_owned(),
        n => format!("{} {}", number(*n), kind.words()),
    };
    all.iter().map(each).collect::<Vec<_>>().join(", ")
}

/// The table of contents for people.
pub(super) fn print_manifest(
    name: &str,
    manifest: &Manifest,
    struck: &BTreeSet<MemberName>,
    out: &mut Out,
) -> Result<(), Failure> {
    let terms = &manifest.terms;
    out.line(format_args!("Bundle {}, prepared {}", safe(name), safe(&terms.prepared_at)))?;
    out.line(format_args!("  product    {}", safe(&terms.product)))?;
    if let Some(case) = &terms.case {
        out.line(format_args!("  case       {}", safe(case)))?;
    }
    out.line(format_args!("  redaction  {}", safe(&terms.redaction)))?;
    if !manifest.replaced.is_empty() {
        let each = |(kind, n): (&String, &u64)| format!("{} {}", number(*n), safe(kind));
        let all: Vec<String> = manifest.replaced.iter().map(each).collect();
        out.line(format_args!("  replaced   {}", all.join(", ")))?;
    }
    if let Some(statement) = &terms.statement {
        out.line(format_args!("  statement  {}", safe(statement)))?;
    }
    let kept = manifest.without(struck);
    let members = count(kept.members.len() as u64, "member");
    out.line(format_args!("{members}, {}:", size(kept.total())))?;
    for entry in &manifest.members {
        let mark = if struck.contains(&entry.info.name) { "struck out" } else { entry.info.kind.words() };
        let name = entry.info.name.as_str();
        out.line(format_args!(
            "  {name:<28} {:>10}  {mark:<16}  {}",
            size(entry.size),
            safe(&entry.info.origin)
        ))?;
        if !entry.info.personal.is_empty() {
            out.line(format_args!("  {:<28} {:>10}  can hold: {}", "", "", kinds(&entry.info.personal)))?;
        }
    }
    if !manifest.struck.is_empty() {
        out.line(format_args!(
            "{} struck out before it was sealed",
            count(manifest.struck.len() as u64, "member")
        ))?;
    }
    if !manifest.skipped.is_empty() {
        out.line("Not in it:")?;
        for skipped in &manifest.skipped {
            out.line(format_args!("  {}: {}", safe(&skipped.what), safe(&skipped.why)))?;
        }
    }
    Ok(())
}

pub(super) fn show(place: &Place, args: &Show, out: &mut Out) -> Result<u8, Failure> {
    let (name, mut looked, struck) = open(place, &args.bundle, args.identity.as_deref())?;
    let Some(member) = &args.member else {
        if args.json {
            let text = serde_json::to_string_pretty(&looked.manifest().without(&struck))
                .map_err(|e| Failure::new(e.to_string()))?;
            out.line(text)?;
        } else {
            print_manifest(&name, looked.manifest(), &struck, out)?;
        }
        return Ok(OK);
    };
    let entry = looked.manifest().find(member).map(|entry| entry.info.kind);
    let base = place.dirs.base();
    if sealed_at(&args.bundle).is_none() {
        tracewell_bundle::audit::append(base, "view", &format!("bundle {name}: {member}"))
            .map_err(|e| failed("the audit file", &e))?;
    }
    let mut content = looked.member(member).map_err(|e| failed(&name, &e))?;
    if args.raw {
        std::io::copy(&mut content, out).map_err(|e| failed(member, &e))?;
        return Ok(OK);
    }
    let kind = entry.unwrap_or(Kind::Binary);
    match tracewell_bundle::write_readable(kind, &mut content, out) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Err(Failure::Pipe),
        other => other.map(|()| OK).map_err(|e| failed(member, &e)),
    }
}

pub(super) fn strike(place: &Place, args: &Strike, out: &mut Out) -> Result<u8, Failure> {
    let folder = folder(place, &args.bundle)?;
    let key = own_key(place)?;
    let draft = folder.draft(&key).map_err(|e| failed(folder.name(), &e))?;
    let mut names = BTreeSet::new();
    for pattern in &args.members {
        let fits = |name: &str| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == pattern,
        };
        let found: Vec<&MemberName> =
            draft.manifest().members.iter().map(|e| &e.info.name).filter(|n| fits(n.as_str())).collect();
        if found.is_empty() {
            return Err(Failure::new(format!(
                "the bundle has no member {pattern:?}; `tracewell bundle show {}` lists them",
                folder.name()
            )));
        }
        names.extend(found.into_iter().cloned());
    }
    let change = |struck: &mut BTreeSet<MemberName>| match args.undo {
        true => struck.retain(|name| !names.contains(name)),
        false => struck.extend(names),
    };
    let struck = folder.change_struck(change).map_err(|e| failed(folder.name(), &e))?;
    let kept = draft.manifest().without(&struck);
    out.line(format_args!(
        "{} struck out, {} left ({})",
        count(struck.len() as u64, "member"),
        count(kept.members.len() as u64, "member"),
        size(kept.total())
    ))?;
    Ok(OK)
}

pub(super) fn remove(place: &Place, args: &Remove, out: &mut Out) -> Result<u8, Failure> {
    let folder = folder(place, &args.bundle)?;
    let name = folder.name().to_owned();
    if args.yes {
        sending::note(place.dirs.base(), "delete", &folder, "removed by the user")?;
        folder.remove().map_err(|e| failed(&name, &e))?;
        out.line(format_args!("Bundle {name} was deleted."))?;
    } else {
        out.line(format_args!("Bundle {name} would be deleted; add --yes to do it."))?;
    }
    Ok(OK)
}
