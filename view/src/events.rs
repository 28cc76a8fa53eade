//! Traces as rows of a table. A thread reads the trace on and waits with the next page, so that going on costs no more
//! than the page; it is not kept for long.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use regex::bytes::Regex;
use serde::Serialize;
use tracewell_reader::render::escape::Escaped;
use tracewell_reader::render::json::JsonRenderer;
use tracewell_reader::render::text::TextRenderer;
use tracewell_reader::{EventRef, Filter, Item, ReadAt, Trace};
use tracewell_schema::{Category, Level, Privacy};

use crate::bundle::{Bundle, Member, lock};
use crate::shown::shown;

/// Most rows of a page.
pub(crate) const ROWS: usize = 500;
/// Most bytes of a page.
const BYTES: usize = 1 << 20;
/// After this a page is handed out with what it has.
const SLICE: Duration = Duration::from_millis(400);
/// A thread whose next page nobody asks for ends after this.
const UNWANTED: Duration = Duration::from_secs(60);
/// Threads that wait with a page.
const MAX_WALKS: usize = 2;

/// What is wanted of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Least severe level; 0 = any.
    pub(crate) level: u8,
    /// Only of this component; empty = any.
    pub(crate) component: String,
    /// Only rows with this text, in small letters or large; empty = any.
    pub(crate) text: String,
    /// Most rows of a page.
    pub(crate) most: usize,
}

/// One row.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Row {
    /// Its number in the member, from 0.
    pub(crate) n: u64,
    pub(crate) time: String,
    pub(crate) level: &'static str,
    pub(crate) component: String,
    pub(crate) pid: u32,
    pub(crate) tid: u32,
    pub(crate) thread: String,
    pub(crate) category: String,
    pub(crate) event: String,
    /// What happened, as a sentence.
    pub(crate) text: String,
    /// Name, value and privacy class.
    pub(crate) fields: Vec<(String, String, &'static str)>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) unverified: bool,
}

/// Rows of a table.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Events {
    pub(crate) rows: Vec<Row>,
    /// The number of the row to go on from; none at the end.
    pub(crate) next: Option<u64>,
    /// Bytes that were read, of [`Events::size`].
    pub(crate) done: u64,
    pub(crate) size: u64,
    pub(crate) components: Vec<String>,
    /// What is not as it should be, told at the end.
    pub(crate) note: Option<String>,
}

/// Case of letters does not matter. An error can only be that the text is far too long.
pub(crate) fn finder(text: &str) -> io::Result<Regex> {
    regex::bytes::RegexBuilder::new(&regex::escape(text))
        .case_insensitive(true)
        .build()
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the text to look for is too long"))
}

#[derive(Debug)]
struct Walk {
    place: usize,
    wanted: Wanted,
    next: u64,
    pages: Receiver<io::Result<Events>>,
    stop: Arc<AtomicBool>,
    begun: Instant,
}

impl Drop for Walk {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The traces that are being read.
#[derive(Debug, Default)]
pub(crate) struct Walks(Mutex<Vec<Walk>>);

impl Walks {
    /// The page of a member's rows from number `from` on.
    pub(crate) fn page(
        &self,
        bundle: &Arc<Bundle>,
        place: usize,
        from: u64,
        wanted: &Wanted,
    ) -> io::Result<Events> {
        let walk = {
            let mut walks = lock(&self.0);
            walks.retain(|walk| walk.begun.elapsed() < UNWANTED);
            let known = walks.iter().position(|w| (w.place, w.next) == (place, from) && w.wanted == *wanted);
            known.map(|at| walks.swap_remove(at))
        };
        let mut walk = match walk {
            Some(walk) => walk,
            None => begin(bundle, place, from, wanted)?,
        };
        let page = match walk.pages.recv_timeout(UNWANTED) {
            Ok(page) => page?,
            Err(RecvTimeoutError::Timeout) => return Err(io::Error::other("the trace takes too long")),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other("the trace cannot be read to its end"));
            }
        };
        if let Some(next) = page.next {
            walk.next = next;
            walk.begun = Instant::now();
            let mut walks = lock(&self.0);
            if walks.len() >= MAX_WALKS {
                walks.remove(0);
            }
            walks.push(walk);
        }
        Ok(page)
    }
}

fn begin(bundle: &Arc<Bundle>, place: usize, from: u64, wanted: &Wanted) -> io::Result<Walk> {
    let member = Arc::new(Member::open(bundle, place)?);
    let (send, pages) = sync_channel(1);
    let stop = Arc::new(AtomicBool::new(false));
    let mut run = Run {
        out: Output {
            send,
            stop: Arc::clone(&stop),
            since: Instant::now(),
            page: Events::default(),
            bytes: 0,
        },
        level: wanted.level,
        component: wanted.component.clone(),
        text: if wanted.text.is_empty() { None } else { Some(finder(&wanted.text)?) },
        most: wanted.most.clamp(1, ROWS),
        from,
        number: 0,
        line: TextRenderer::new(false),
        json: JsonRenderer::new(),
        buffer: String::new(),
        done: 0,
    };
    std::thread::Builder::new().name("trace".into()).spawn(move || {
        if let Err(e) = run.read(&member) {
            let _ = run.out.give(Err(e));
        }
    })?;
    let wanted = wanted.clone();
    Ok(Walk { place, wanted, next: from, pages, stop, begun: Instant::now() })
}

/// Nobody wants the rest.
struct Stopped;

struct Output {
    send: SyncSender<io::Result<Events>>,
    stop: Arc<AtomicBool>,
    /// When the present page was begun.
    since: Instant,
    page: Events,
    bytes: usize,
}

impl Output {
    fn give(&mut self, page: io::Result<Events>) -> Result<(), Stopped> {
        let (mut page, since) = (page, Instant::now());
        loop {
            match self.send.try_send(page) {
                Ok(()) => break,
                Err(TrySendError::Full(back)) => page = back,
                Err(TrySendError::Disconnected(_)) => return Err(Stopped),
            }
            if self.stop.load(Ordering::Relaxed) || since.elapsed() > UNWANTED {
                return Err(Stopped);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.since = Instant::now();
        Ok(())
    }
}

struct Run {
    out: Output,
    level: u8,
    component: String,
    text: Option<Regex>,
    most: usize,
    from: u64,
    number: u64,
    line: TextRenderer,
    json: JsonRenderer,
    buffer: String,
    done: u64,
}

impl Run {
    fn read(&mut self, member: &Arc<Member>) -> io::Result<()> {
        let bytes: Arc<dyn ReadAt> = Arc::<Member>::clone(member);
        let name = Path::new(member.name());
        let trace = Trace::open_segment(name, bytes).map_err(|e| io::Error::other(e.reason()))?;
        let mut components: Vec<_> =
            trace.processes().iter().map(|p| shown_text(&p.identity.component)).collect();
        components.sort_unstable();
        components.dedup();
        self.out.page = Events { size: trace.bytes(), components, ..Events::default() };
        let done = std::cell::Cell::new(0);
        let read = trace.read_with_progress(
            &Filter::default(),
            |now, _| done.set(now),
            |item| {
                self.done = done.get();
                self.item(item)
            },
        );
        let Ok(summary) = read else { return Ok(()) };
        let mut page = std::mem::take(&mut self.out.page);
        page.done = page.size;
        page.note = (!summary.is_complete()).then(|| shown_lines(&summary.to_text()));
        let _ = self.out.give(Ok(page));
        Ok(())
    }

    fn item(&mut self, item: &Item<'_>) -> Result<(), Stopped> {
        let number = self.number;
        self.number += 1;
        if number.is_multiple_of(1024) {
            if self.out.stop.load(Ordering::Relaxed) {
                return Err(Stopped);
            }
            if number > self.from && self.out.since.elapsed() > SLICE {
                self.hand_out(number)?;
            }
        }
        if number < self.from || !self.is_wanted(item) {
            return Ok(());
        }
        if self.out.page.rows.len() >= self.most || self.out.bytes >= BYTES {
            self.hand_out(number)?;
        }
        if let Some(row) = self.row(number, item) {
            self.out.bytes +=
                row.text.len() + row.fields.iter().map(|f| f.0.len() + f.1.len()).sum::<usize>();
            self.out.page.rows.push(row);
        }
        Ok(())
    }

    fn hand_out(&mut self, next: u64) -> Result<(), Stopped> {
        let mut page = std::mem::take(&mut self.out.page);
        self.out.page = Events { size: page.size, components: page.components.clone(), ..Events::default() };
        self.out.bytes = 0;
        (page.next, page.done) = (Some(next), self.done.min(page.size));
        self.out.give(Ok(page))
    }

    fn is_wanted(&mut self, item: &Item<'_>) -> bool {
        let (level, component) = match item {
            Item::Event(event) => (event.schema.level, &event.process.identity.component),
            // Loss is told whatever is wanted of the rest.
            Item::Lost { process, .. } | Item::Hole { process, .. } => (0, &process.identity.component),
            _ => return false,
        };
        if (self.level != 0 && level > self.level)
            || (!self.component.is_empty() && shown_text(component) != self.component)
        {
            return false;
        }
        let Some(text) = &self.text else { return true };
        self.buffer.clear();
        self.line.push(&mut self.buffer, item);
        text.is_match(self.buffer.as_bytes())
    }

    fn row(&mut self, n: u64, item: &Item<'_>) -> Option<Row> {
        self.buffer.clear();
        self.json.push(&mut self.buffer, item);
        let json: serde_json::Value = serde_json::from_str(&self.buffer).ok()?;
        let text = |key: &str| json.get(key).and_then(|v| v.as_str()).map(shown_text).unwrap_or_default();
        let number = |key: &str| json.get(key).and_then(serde_json::Value::as_u64).unwrap_or_default() as u32;
        let fields = json.get("fields").and_then(serde_json::Value::as_object);
        let class = |name: &str| match item {
            Item::Event(event) => class_of(event, name),
            _ => "",
        };
        let mut all: Vec<_> = fields
            .into_iter()
            .flatten()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (shown_text(name), value_text(value), class(name)))
            .collect();
        if let Item::Event(event) = item {
            let order = |name: &str| event.schema.fields.iter().position(|f| f.name == name);
            all.sort_by_key(|(name, ..)| order(name));
        }
        if let Some(why) = json.get("undecodable").and_then(|v| v.as_str()) {
            all.push(("cannot be decoded".into(), shown_text(why), ""));
        }
        Some(Row {
            n,
            time: text("ts"),
            level: level_of(item),
            component: text("component"),
            pid: number("pid"),
            tid: number("tid"),
            thread: text("thread"),
            category: text("category"),
            event: text("event"),
            text: self.sentence(item),
            fields: all,
            unverified: json.get("unverified").is_some(),
        })
    }

    fn sentence(&mut self, item: &Item<'_>) -> String {
        match item {
            Item::Event(event) => {
                self.buffer.clear();
                self.line.push_body(&mut self.buffer, event);
                let category = Category::from_u8(event.schema.category)
                    .map_or_else(String::new, |c| format!("{:<11} ", c.name()));
                let text = self.buffer.strip_prefix(&category).unwrap_or(&self.buffer);
                let end =
                    text.find(&format!(" | event={}", Escaped(&event.schema.name))).unwrap_or(text.len());
                text.get(..end).unwrap_or(text).trim_end().to_owned()
            }
            Item::Lost { counts, .. } => {
                format!("{} events were not recorded here", counts.total())
            }
            Item::Hole { events, .. } => {
                format!("{events} events are missing here: their block is damaged or gone")
            }
            _ => String::new(),
        }
    }
}

fn level_of(item: &Item<'_>) -> &'static str {
    match item {
        Item::Event(event) => Level::from_u8(event.schema.level).map_or("unknown", Level::name),
        _ => "warn",
    }
}

fn class_of(event: &EventRef<'_>, name: &str) -> &'static str {
    match event.schema.fields.iter().find(|field| field.name == name).map(|field| field.class) {
        Some(Privacy::Personal) => "personal",
        Some(Privacy::Secret) => "secret",
        _ => "",
    }
}

fn shown_text(text: &str) -> String {
    shown(text.as_bytes())
}

fn shown_lines(text: &str) -> String {
    text.lines().map(shown_text).collect::<Vec<_>>().join("\n")
}

/// A value as it stands in a cell.
fn value_text(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::Null => "-".into(),
        Value::Bool(is) => if *is { "yes" } else { "no" }.into(),
        Value::Number(n) => n.to_string(),
        Value::String(text) => shown_text(text),
        Value::Array(items) if items.is_empty() => "none".into(),
        Value::Array(items) => items.iter().map(value_text).collect::<Vec<_>>().join(", "),
        Value::Object(parts) => {
            let part =
                |(key, value): (&String, &Value)| format!("{}: {}", shown_text(key), value_text(value));
            parts.iter().map(part).collect::<Vec<_>>().join(", ")
        }
    }
}
