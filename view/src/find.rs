//! Searching: in slices, each of which says where to go on, so that no request takes long and one can be given up.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tracewell_bundle::Kind;
use tracewell_reader::ReadAt;

use crate::bundle::{Bundle, Member, read_full};
use crate::events::{Walks, Wanted, finder};
use crate::lines::begin_of_line;
use crate::shown::{piece_begin, piece_end, shown};

/// Longest text that is looked for, in characters.
pub(crate) const MAX_TEXT: usize = 200;
/// How long a slice takes, about.
const SLICE: Duration = Duration::from_millis(400);
/// Most places of a slice.
const MAX_HITS: usize = 100;
/// Bytes that are looked at as a whole.
const WINDOW: usize = 256 << 10;
/// Bytes before and after a place that are shown with it.
const AROUND: usize = 80;

/// Where a search goes on.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Cursor {
    /// The member, by its place in the manifest.
    pub(crate) member: usize,
    /// Offset in it; of a trace, the number of the row.
    pub(crate) at: u64,
    /// Lines before that offset.
    pub(crate) lines: u64,
}

/// A place where the text was found.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Hit {
    pub(crate) member: usize,
    /// Which form of the member shows it: `lines`, `events`, `bytes`.
    pub(crate) form: &'static str,
    /// Where a page that shows it begins.
    pub(crate) at: u64,
    /// The number of its line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u64>,
    pub(crate) before: String,
    pub(crate) found: String,
    pub(crate) after: String,
}

/// What a slice gave.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Found {
    pub(crate) hits: Vec<Hit>,
    /// None: all is searched.
    pub(crate) next: Option<Cursor>,
    /// Members that could not be searched, and why.
    pub(crate) errors: Vec<(usize, String)>,
}

/// A search.
pub(crate) struct Search<'a> {
    pub(crate) bundle: &'a Arc<Bundle>,
    pub(crate) walks: &'a Walks,
    pub(crate) text: &'a str,
    /// Only this member.
    pub(crate) only: Option<usize>,
}

impl Search<'_> {
    /// Goes on from a place.
    pub(crate) fn slice(&self, from: Cursor) -> io::Result<Found> {
        let regex = finder(self.text)?;
        let begun = Instant::now();
        let (mut found, mut at) = (Found::default(), from);
        let members = self.bundle.manifest().members.len();
        while at.member < members && self.only.is_none_or(|only| only == at.member) {
            let searched = match self.bundle.entry(at.member)?.info.kind {
                Kind::Segment => self.trace(at, &mut found),
                kind => self.bytes(at, is_text(kind), &regex, begun, &mut found),
            };
            let next = searched.unwrap_or_else(|e| {
                found.errors.push((at.member, shown(e.to_string().as_bytes())));
                None
            });
            at = next.unwrap_or(Cursor { member: at.member + 1, at: 0, lines: 0 });
            if found.hits.len() >= MAX_HITS || begun.elapsed() > SLICE {
                break;
            }
        }
        let is_done = at.member >= members || self.only.is_some_and(|only| only != at.member);
        found.next = (!is_done).then_some(at);
        Ok(found)
    }

    /// The next rows of a trace.
    fn trace(&self, from: Cursor, found: &mut Found) -> io::Result<Option<Cursor>> {
        let most = MAX_HITS.saturating_sub(found.hits.len()).max(1);
        let wanted = Wanted { text: self.text.to_owned(), most, ..Wanted::default() };
        let page = self.walks.page(self.bundle, from.member, from.at, &wanted)?;
        found.hits.extend(page.rows.into_iter().map(|row| Hit {
            member: from.member,
            form: "events",
            at: row.n,
            line: None,
            before: format!("{} {} {} ", row.time.get(..19).unwrap_or_default(), row.component, row.event),
            found: String::new(),
            after: row.text,
        }));
        Ok(page.next.map(|at| Cursor { at, ..from }))
    }

    fn bytes(
        &self,
        from: Cursor,
        is_text: bool,
        regex: &regex::bytes::Regex,
        begun: Instant,
        found: &mut Found,
    ) -> io::Result<Option<Cursor>> {
        let member = Member::open(self.bundle, from.member)?;
        let size = member.size()?;
        // What begins in a window ends in it: a character has four bytes at most, in capitals too.
        let overlap = 4 * self.text.chars().count();
        let mut window = vec![0; WINDOW + overlap];
        let mut at = from;
        while at.at < size {
            let n = read_full(&member, &mut window, at.at)?;
            let bytes = window.get(..n).unwrap_or_default();
            let is_last = at.at + n as u64 >= size || n == 0;
            let end = if is_last { n } else { n.min(WINDOW) };
            let mut counted = 0;
            for place in regex.find_iter(bytes) {
                // It begins in the next window.
                if place.start() >= end {
                    break;
                }
                let lines = newlines(bytes.get(counted..place.start()));
                (counted, at.lines) = (place.start(), at.lines + lines);
                found.hits.push(hit(&member, at, is_text, bytes, place.range())?);
                if found.hits.len() >= MAX_HITS {
                    let next = place.end().max(place.start() + 1);
                    at.lines += newlines(bytes.get(counted..next));
                    return Ok(Some(Cursor { at: at.at + next as u64, ..at }));
                }
            }
            at.lines += newlines(bytes.get(counted..end));
            at.at += end as u64;
            if is_last {
                break;
            }
            if begun.elapsed() > SLICE {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }
}

/// Whether a member is shown as lines.
pub(crate) const fn is_text(kind: Kind) -> bool {
    matches!(kind, Kind::OsInformation | Kind::Text | Kind::Note)
}

fn newlines(bytes: Option<&[u8]>) -> u64 {
    bytes.map_or(0, |bytes| memchr::memchr_iter(b'\n', bytes).count() as u64)
}

/// Where the line of a hit begins, which is nearly always in sight.
fn begin(member: &Member, window: u64, bytes: &[u8], start: usize) -> io::Result<u64> {
    let near = start.saturating_sub(AROUND);
    match memchr::memrchr(b'\n', bytes.get(near..start).unwrap_or_default()) {
        Some(end) => Ok(window + (near + end + 1) as u64),
        None => begin_of_line(member, window + start as u64),
    }
}

fn hit(
    member: &Member,
    window: Cursor,
    is_text: bool,
    bytes: &[u8],
    place: std::ops::Range<usize>,
) -> io::Result<Hit> {
    let offset = window.at + place.start as u64;
    let before = bytes.get(place.start.saturating_sub(AROUND)..place.start).unwrap_or_default();
    let before = before.rsplit(|b| *b == b'\n').next().unwrap_or_default();
    let cut = if before.len() == AROUND { piece_begin(before) } else { 0 };
    let after = bytes.get(place.end..).unwrap_or_default();
    let after = after.split(|b| *b == b'\n' || *b == b'\r').next().unwrap_or_default();
    let after = after.get(..piece_end(after, AROUND)).unwrap_or_default();
    Ok(Hit {
        member: window.member,
        form: if is_text { "lines" } else { "bytes" },
        at: if is_text { begin(member, window.at, bytes, place.start)? } else { offset },
        line: is_text.then_some(window.lines + 1),
        before: shown(before.get(cut..).unwrap_or_default()),
        found: shown(bytes.get(place).unwrap_or_default()),
        after: shown(after),
    })
}
