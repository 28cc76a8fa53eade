//! What a bundle is as a whole, and the list of its members.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use serde_json::{Value, json};
use tracewell_bundle::{Entry, Kind, MemberName, Personal};

use crate::bundle::Bundle;
use crate::shown::shown;
use crate::tree::MAX_DOCUMENT;

/// Members that are listed at once.
const MAX_LISTED: usize = 300;
/// Things that are not in the bundle, of those that are listed.
const MAX_SKIPPED: usize = 500;

fn text(text: &str) -> String {
    shown(text.as_bytes())
}

/// Whether a member is for the user alone, whatever is struck out.
pub(crate) fn is_private(entry: &Entry) -> bool {
    entry.info.name.as_str().starts_with("private/")
}

/// The forms in which a member can be looked at, the best first.
pub(crate) fn forms(entry: &Entry) -> Vec<&'static str> {
    let is_json = entry.info.name.as_str().ends_with(".json") && entry.size <= MAX_DOCUMENT;
    match entry.info.kind {
        Kind::OsInformation | Kind::Note if is_json => vec!["tables", "lines", "bytes"],
        Kind::Text if is_json => vec!["lines", "tables", "bytes"],
        Kind::OsInformation | Kind::Note | Kind::Text => vec!["lines", "bytes"],
        Kind::Segment => vec!["events", "bytes"],
        Kind::Minidump | Kind::Core | Kind::Database => vec!["summary", "bytes"],
        _ => vec!["bytes"],
    }
}

/// The first part of a member's name, which groups it with others.
fn group(entry: &Entry) -> &str {
    entry.info.name.as_str().split('/').next().unwrap_or_default()
}

/// The whole.
pub(crate) fn overview(bundle: &Bundle) -> io::Result<Value> {
    let (manifest, struck) = (bundle.manifest(), bundle.struck()?);
    let mut groups: BTreeMap<&str, [u64; 4]> = BTreeMap::new();
    let mut personal: BTreeMap<Personal, [u64; 2]> = BTreeMap::new();
    let (mut members, mut bytes) = (0_u64, 0_u64);
    for entry in &manifest.members {
        let is_struck = struck.contains(&entry.info.name);
        let [all, all_bytes, out, private] = groups.entry(group(entry)).or_default();
        *all += 1;
        *all_bytes = all_bytes.saturating_add(entry.size);
        *out += u64::from(is_struck);
        *private += u64::from(is_private(entry));
        if is_struck || is_private(entry) {
            continue;
        }
        members += 1;
        bytes = bytes.saturating_add(entry.size);
        for (kind, count) in &entry.info.personal {
            let [of_members, sum] = personal.entry(*kind).or_default();
            *of_members += 1;
            *sum = sum.saturating_add(*count);
        }
    }
    let terms = &manifest.terms;
    let closed = bundle.is_open().err();
    let groups: Vec<_> = groups
        .iter()
        .map(|(name, [all, bytes, out, private])| {
            json!({ "name": name, "members": all, "bytes": bytes, "struck": out, "private": private == all })
        })
        .collect();
    let personal: Vec<_> = personal
        .iter()
        .map(|(kind, [members, count])| json!({ "what": kind.words(), "members": members, "count": count }))
        .collect();
    let skipped: Vec<_> = manifest
        .skipped
        .iter()
        .take(MAX_SKIPPED)
        .map(|skipped| json!({ "what": text(&skipped.what), "why": text(&skipped.why) }))
        .collect();
    let replaced: Vec<_> =
        manifest.replaced.iter().map(|(kind, n)| json!({ "what": text(kind), "count": n })).collect();
    Ok(json!({
        "name": text(bundle.name()),
        "case": terms.case.as_deref().map(text),
        "product": text(&terms.product),
        "prepared_at": text(&terms.prepared_at),
        "redaction": text(&terms.redaction),
        "statement": terms.statement.as_deref().map(text),
        "closed": closed,
        "all": manifest.members.len(),
        "members": members,
        "bytes": bytes,
        "struck": manifest.members.iter().filter(|e| struck.contains(&e.info.name)).count(),
        "struck_before": manifest.struck.iter().take(MAX_SKIPPED).map(MemberName::as_str).collect::<Vec<_>>(),
        "groups": groups,
        "personal": personal,
        "replaced": replaced,
        "skipped": skipped,
        "more_skipped": manifest.skipped.len().saturating_sub(MAX_SKIPPED),
    }))
}

/// Members from a place in the manifest on, of those whose name or origin has the text.
pub(crate) fn members(bundle: &Bundle, from: usize, wanted: &str) -> io::Result<Value> {
    let struck = bundle.struck()?;
    let wanted = wanted.to_lowercase();
    let fits = |entry: &Entry| {
        wanted.is_empty()
            || entry.info.name.as_str().contains(&wanted)
            || entry.info.origin.to_lowercase().contains(&wanted)
            || entry.info.kind.words().contains(&wanted)
    };
    let mut all = bundle.manifest().members.iter().enumerate().skip(from).filter(|(_, entry)| fits(entry));
    let listed: Vec<_> = all.by_ref().take(MAX_LISTED).map(|(place, e)| member(place, e, &struck)).collect();
    Ok(json!({ "members": listed, "next": all.next().map(|(place, _)| place) }))
}

fn member(place: usize, entry: &Entry, struck: &BTreeSet<MemberName>) -> Value {
    let personal: Vec<_> = entry
        .info
        .personal
        .iter()
        .map(|(kind, count)| json!({ "what": kind.words(), "count": count }))
        .collect();
    json!({
        "place": place,
        "name": entry.info.name.as_str(),
        "group": group(entry),
        "kind": entry.info.kind.words(),
        "origin": text(&entry.info.origin),
        "size": entry.size,
        "sha256": text(&entry.sha256),
        "personal": personal,
        "struck": struck.contains(&entry.info.name),
        "private": is_private(entry),
        "forms": forms(entry),
    })
}
