//! What the page asks for.

use std::collections::{BTreeSet, HashSet};
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracewell_bundle::MemberName;

use crate::bundle::{Bundle, Member, Memory, Stream, lock};
use crate::events::{Walks, Wanted};
use crate::find::{Cursor, MAX_TEXT, Search};
use crate::lines::{self, Place};
use crate::overview::{is_private, members, overview};
use crate::shown::shown;
use crate::tree::Trees;

/// Bytes of a member that was made readable as a whole.
const MAX_READABLE: usize = 4 << 20;

/// The files of the page.
const FILES: [(&str, &str, &[u8]); 7] = [
    ("", "text/html; charset=utf-8", include_bytes!("../assets/page.html")),
    ("page.css", "text/css; charset=utf-8", include_bytes!("../assets/page.css")),
    ("page.js", "text/javascript; charset=utf-8", include_bytes!("../assets/page.js")),
    ("dom.js", "text/javascript; charset=utf-8", include_bytes!("../assets/dom.js")),
    ("content.js", "text/javascript; charset=utf-8", include_bytes!("../assets/content.js")),
    ("find.js", "text/javascript; charset=utf-8", include_bytes!("../assets/find.js")),
    ("icon.svg", "image/svg+xml", include_bytes!("../assets/icon.svg")),
];

/// What a request gets.
#[derive(Debug)]
pub(crate) enum Answer {
    Json(Value),
    File(&'static str, &'static [u8]),
    Error(StatusCode, String),
}

impl From<io::Error> for Answer {
    fn from(e: io::Error) -> Self {
        let status = match e.kind() {
            io::ErrorKind::NotFound => StatusCode::NOT_FOUND,
            io::ErrorKind::InvalidInput => StatusCode::BAD_REQUEST,
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::ResourceBusy => StatusCode::CONFLICT,
            io::ErrorKind::FileTooLarge | io::ErrorKind::InvalidData => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::Error(status, shown(e.to_string().as_bytes()))
    }
}

/// Answers for one bundle.
#[derive(Debug)]
pub(crate) struct Api {
    bundle: Arc<Bundle>,
    walks: Walks,
    trees: Trees,
    /// The member that was made readable last.
    readable: Mutex<Option<(usize, Arc<Memory>)>>,
    /// Members that are noted as looked at in this run.
    noted: Mutex<HashSet<usize>>,
    /// That all were searched is noted.
    noted_search: Mutex<bool>,
}

/// What a request gives besides its path.
#[derive(Debug, Default)]
struct Asked {
    member: Option<usize>,
    at: u64,
    line: Option<u64>,
    from: usize,
    is_before: bool,
    level: u8,
    component: String,
    text: String,
    pointer: String,
    form: String,
    cursor: Cursor,
}

impl Asked {
    fn parse(query: &str) -> Result<Self, Answer> {
        let mut asked = Self::default();
        let wrong = |what: &str| {
            Answer::Error(StatusCode::BAD_REQUEST, format!("{} is not as it must be", shown(what.as_bytes())))
        };
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let number = || value.parse::<u64>().map_err(|_| wrong(&key));
            let place = || value.parse::<usize>().map_err(|_| wrong(&key));
            match &*key {
                "member" => asked.member = Some(place()?),
                "at" => asked.at = number()?,
                "line" => asked.line = Some(number()?),
                "from" => asked.from = place()?,
                "before" => asked.is_before = true,
                "level" => asked.level = value.parse().map_err(|_| wrong(&key))?,
                "component" => asked.component = value.into_owned(),
                "text" if value.chars().count() <= MAX_TEXT => asked.text = value.into_owned(),
                "pointer" => asked.pointer = value.into_owned(),
                "form" => asked.form = value.into_owned(),
                "on" => asked.cursor.member = place()?,
                "on_at" => asked.cursor.at = number()?,
                "on_lines" => asked.cursor.lines = number()?,
                other => return Err(wrong(other)),
            }
        }
        Ok(asked)
    }

    fn member(&self) -> Result<usize, Answer> {
        self.member.ok_or_else(|| Answer::Error(StatusCode::BAD_REQUEST, "Which member?".into()))
    }
}

/// What is to be struck out, or taken back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Strike {
    /// A member by its place.
    member: Option<usize>,
    /// All members whose names begin with this part.
    group: Option<String>,
    struck: bool,
}

impl Api {
    pub(crate) fn new(bundle: Bundle) -> Self {
        Self {
            bundle: Arc::new(bundle),
            walks: Walks::default(),
            trees: Trees::default(),
            readable: Mutex::default(),
            noted: Mutex::default(),
            noted_search: Mutex::default(),
        }
    }

    pub(crate) fn answer(&self, is_post: bool, path: &str, query: &str, body: &[u8]) -> Answer {
        let answer = if is_post { self.post(path, body) } else { self.get(path, query) };
        answer.unwrap_or_else(|error| error)
    }

    fn get(&self, path: &str, query: &str) -> Result<Answer, Answer> {
        if let Some((_, kind, bytes)) = FILES.iter().find(|(name, ..)| *name == path) {
            return Ok(Answer::File(kind, bytes));
        }
        let asked = Asked::parse(query)?;
        let place = Place { at: asked.at, line: asked.line };
        match path {
            "api/bundle" => Ok(Answer::Json(overview(&self.bundle)?)),
            "api/members" => Ok(Answer::Json(members(&self.bundle, asked.from, &asked.text)?)),
            "api/lines" => {
                let member = self.look(asked.member()?)?;
                let bytes = self.bytes(member, &asked.form)?;
                let page = if asked.is_before { lines::page_before } else { lines::page };
                json(page(&*bytes, place)?)
            }
            "api/bytes" => {
                let member = self.look(asked.member()?)?;
                json(lines::hex(&Member::open(&self.bundle, member)?, asked.at, asked.is_before)?)
            }
            "api/events" => {
                let member = self.look(asked.member()?)?;
                let wanted = Wanted {
                    level: asked.level,
                    component: asked.component,
                    text: asked.text,
                    most: crate::events::ROWS,
                };
                json(self.walks.page(&self.bundle, member, asked.at, &wanted)?)
            }
            "api/tables" => {
                let member = self.look(asked.member()?)?;
                Ok(Answer::Json(self.trees.part(&self.bundle, member, &asked.pointer, asked.from)?))
            }
            "api/find" => self.find(&asked),
            _ => Err(Answer::Error(StatusCode::NOT_FOUND, "Nothing is here.".into())),
        }
    }

    fn post(&self, path: &str, body: &[u8]) -> Result<Answer, Answer> {
        if path != "api/strike" {
            return Err(Answer::Error(StatusCode::NOT_FOUND, "Nothing is here.".into()));
        }
        let wrong =
            |e: serde_json::Error| Answer::Error(StatusCode::BAD_REQUEST, shown(e.to_string().as_bytes()));
        let strike: Strike = serde_json::from_slice(body).map_err(wrong)?;
        let mut names: BTreeSet<MemberName> = BTreeSet::new();
        if let Some(place) = strike.member {
            names.insert(self.bundle.entry(place)?.info.name.clone());
        }
        if let Some(group) = &strike.group {
            let start = format!("{group}/");
            let all = self.bundle.manifest().members.iter();
            let fits =
                all.filter(|e| e.info.name.as_str() == group || e.info.name.as_str().starts_with(&start));
            names.extend(fits.filter(|e| !is_private(e)).map(|e| e.info.name.clone()));
        }
        if names.is_empty() {
            return Err(Answer::Error(StatusCode::BAD_REQUEST, "Which member?".into()));
        }
        self.bundle.strike(names, strike.struck)?;
        Ok(Answer::Json(overview(&self.bundle)?))
    }

    /// Notes that a member is looked at, once in a run; what cannot be noted is not shown.
    fn look(&self, member: usize) -> io::Result<usize> {
        let name = &self.bundle.entry(member)?.info.name;
        let mut noted = lock(&self.noted);
        if !noted.contains(&member) {
            self.bundle.note(name.as_str())?;
            noted.insert(member);
        }
        Ok(member)
    }

    /// The bytes of a member, or what was made of them.
    fn bytes(&self, member: usize, form: &str) -> io::Result<Arc<dyn tracewell_reader::ReadAt>> {
        if form != "summary" {
            return Ok(Arc::new(Member::open(&self.bundle, member)?));
        }
        let mut last = lock(&self.readable);
        if let Some((_, readable)) = last.as_ref().filter(|(place, _)| *place == member) {
            return Ok(Arc::<Memory>::clone(readable));
        }
        let kind = self.bundle.entry(member)?.info.kind;
        let bytes = Member::open(&self.bundle, member)?;
        let mut out = Bounded(Vec::new());
        let written = tracewell_bundle::write_readable(kind, &mut Stream { bytes: &bytes, at: 0 }, &mut out);
        match written {
            Err(_) if out.0.len() >= MAX_READABLE => out.0.extend_from_slice(b"\nThere is more of it.\n"),
            other => other?,
        }
        let readable = Arc::new(Memory(out.0));
        *last = Some((member, Arc::clone(&readable)));
        Ok(readable)
    }

    fn find(&self, asked: &Asked) -> Result<Answer, Answer> {
        if asked.text.trim().is_empty() {
            return Err(Answer::Error(StatusCode::BAD_REQUEST, "Which text?".into()));
        }
        match asked.member {
            Some(member) => drop(self.look(member)?),
            None => {
                // Not what was looked for: that is personal too.
                let mut noted = lock(&self.noted_search);
                if !*noted {
                    self.bundle.note("all members were searched")?;
                    *noted = true;
                }
            }
        }
        let search =
            Search { bundle: &self.bundle, walks: &self.walks, text: &asked.text, only: asked.member };
        json(search.slice(asked.cursor)?)
    }
}

fn json(value: impl Serialize) -> Result<Answer, Answer> {
    serde_json::to_value(value).map(Answer::Json).map_err(|e| io::Error::from(e).into())
}

/// Takes so many bytes and no more.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = MAX_READABLE.saturating_sub(self.0.len());
        if room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(room);
        self.0.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
