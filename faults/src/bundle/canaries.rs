//! Canaries of many kinds through everything that redacts: what is secret is nowhere in the sealed bundle, what is
//! personal only as its pseudonym, the same one everywhere (T-19). And how often something harmless is replaced.

mod forms;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};

use aho_corasick::AhoCorasick;
use tracewell::catalog::{ProcessStart, WebVisit};
use tracewell::control::{Control, EnableRequest};
use tracewell::dirs::Dirs;
use tracewell::{Tracer, emit};
use tracewell_bundle::redact::{Known, Level, PseudonymKey, Redacting, Redactor};
use tracewell_bundle::{Kind, SealedReader, Sink, Skipped, Source, Traces};

use super::{Bundles, info, put};
use crate::random::Random;
use crate::report::{Report, grouped};
use forms::{Canary, HARMLESS};

/// Where a canary is put; each is put into two of them.
const CARRIERS: usize = 6;
const TEXT: &str = "files/0001.txt";
const LONG: &str = "files/0002.txt";
const GREEDY: &str = "files/0003.txt";
const DOCUMENT: &str = "os/hardware.json";
const NOTE: &str = "notes/0001.txt";

/// Times that the long lines are repeated: they shall be longer than what is looked at in one piece.
const REPEATED: usize = 20;

/// Whether all that follows in its line is taken for a part of the secret.
fn takes_the_rest(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["cookie:", "authorization", "-----begin", "<password>"].iter().any(|words| text.contains(words))
}

/// The carriers of a canary.
fn carriers(number: usize) -> [usize; 2] {
    [number % CARRIERS, (number + 1 + number / CARRIERS % (CARRIERS - 1)) % CARRIERS]
}

/// The texts of one carrier.
fn texts(canaries: &[Canary], carrier: usize) -> impl Iterator<Item = &str> {
    let is_here = move |(number, _): &(usize, &Canary)| carriers(*number).contains(&carrier);
    canaries.iter().enumerate().filter(is_here).map(|(_, canary)| canary.text.as_str())
}

/// Gives the canaries to the redactor: all but those of the trace.
struct Files<'a>(&'a [Canary]);

impl Source for Files<'_> {
    fn label(&self) -> String {
        "canaries".into()
    }

    fn collect(&mut self, sink: &mut dyn Sink) -> io::Result<()> {
        let mut text = String::new();
        for one in texts(self.0, 0) {
            text.push_str("2026-11-26T10:00:00Z scanner[17]: ");
            text.push_str(one);
            text.push('\n');
        }
        put(sink, TEXT, Kind::Text, text.as_bytes())?;
        // One line of all of them, so that they lie across the borders of pieces; in another those after which the rest of
        // a line is a part of the secret.
        let (greedy, long): (Vec<&str>, Vec<&str>) = texts(self.0, 1).partition(|text| takes_the_rest(text));
        put(sink, LONG, Kind::Text, (long.join(" | ") + " | ").repeat(REPEATED).as_bytes())?;
        put(sink, GREEDY, Kind::Text, (greedy.join(" | ") + " | ").repeat(REPEATED).as_bytes())?;
        let all: Vec<&str> = texts(self.0, 2).collect();
        let (values, keys) = all.split_at(all.len() / 2);
        let keys: BTreeMap<&str, bool> = keys.iter().map(|key| (*key, true)).collect();
        let document = serde_json::json!({"format": 1, "data": {"values": values, "keys": keys}});
        put(sink, DOCUMENT, Kind::OsInformation, &serde_json::to_vec(&document)?)?;
        // Where something came from, and why something is missing.
        for (number, one) in texts(self.0, 3).enumerate() {
            if number < 200 {
                let name = format!("files/9{number:03}.txt");
                sink.member(info(&name, Kind::Text, one)?, &mut "x".as_bytes() as &mut dyn Read)?;
            }
            sink.skip(Skipped { what: one.into(), why: format!("cannot be read: {one}") });
        }
        let note = texts(self.0, 4).collect::<Vec<_>>().join("\r\n");
        put(sink, NOTE, Kind::Note, note.as_bytes())
    }
}

/// The trace with the canaries of its carrier: in a command line, and in the parts of an address that was visited.
fn record(bundles: &Bundles, canaries: &[Canary]) -> Result<(), String> {
    let dirs = Dirs::resolve(Some(&bundles.base())).map_err(|e| e.to_string())?;
    let control = Control::open_or_create(&dirs).map_err(|e| e.to_string())?;
    let request = EnableRequest { levels: [5; 32], ..EnableRequest::default() };
    control.enable(&dirs, &request).map_err(|e| e.to_string())?;
    let builder = Tracer::builder("scanner").dir(bundles.base()).ring_size(4 << 20);
    let tracer = builder.attach().map_err(|e| e.to_string())?;
    for (number, text) in texts(canaries, 5).enumerate() {
        emit!(
            tracer,
            ProcessStart { image_path: "/usr/bin/x", command_line: Some(text), ..Default::default() }
        );
        let referrer = Some(text);
        emit!(
            tracer,
            WebVisit {
                host: "x.example",
                path: Some(text),
                query: Some(text),
                referrer,
                ..Default::default()
            }
        );
        if number % 100 == 0 {
            tracer.flush().map_err(|e| e.to_string())?;
        }
    }
    tracer.shutdown();
    control.disable().map_err(|e| e.to_string())?;
    let _ = std::fs::remove_dir_all(dirs.ring_root());
    Ok(())
}

/// What a bundle holds in plain, once it is sealed: each member as it is and, if it is a trace, as text.
struct Opened {
    members: BTreeMap<String, String>,
    map: BTreeMap<String, String>,
    replaced: BTreeMap<String, u64>,
}

fn opened(bundles: &Bundles, canaries: &[Canary], level: Level, key: [u8; 32]) -> io::Result<Opened> {
    let known = Known::new(
        canaries.iter().filter(|c| c.kind == "known-user").map(|c| c.needle.as_str()),
        canaries.iter().filter(|c| c.kind == "known-host").map(|c| c.needle.as_str()),
    );
    let mut redactor = Redactor::new(level, PseudonymKey::of(key), known);
    let folder = bundles.prepare(|draft| {
        let mut through = Redacting::new(&mut redactor, draft);
        Files(canaries).collect(&mut through)?;
        Traces::new(&bundles.base()).collect(&mut through)?;
        draft.add_redaction(&redactor)
    })?;
    folder.seal(&bundles.key, &[&bundles.key.public()], jiff::Timestamp::now(), &mut |_| ())?;
    let mut reader = SealedReader::open(File::open(folder.sealed_path())?, &bundles.key)?;
    reader.check()?;
    let manifest = reader.manifest().clone();
    let mut members = BTreeMap::from([("manifest.json".to_owned(), serde_json::to_string(&manifest)?)]);
    for entry in &manifest.members {
        let (name, mut bytes) = (entry.info.name.to_string(), Vec::new());
        reader.member(&name)?.read_to_end(&mut bytes)?;
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        if entry.info.kind == Kind::Segment {
            let mut readable = Vec::new();
            tracewell_bundle::write_readable(Kind::Segment, &mut bytes.as_slice(), &mut readable)?;
            text.push_str(&String::from_utf8_lossy(&readable));
        }
        members.insert(name, text);
    }
    let replaced = manifest.replaced.clone();
    folder.remove()?;
    Ok(Opened { members, map: redactor.map().clone(), replaced })
}

/// Which needles are in which members.
fn hits(opened: &Opened, needles: &[&str]) -> Result<Vec<BTreeSet<String>>, String> {
    let finder = AhoCorasick::new(needles).map_err(|e| e.to_string())?;
    let mut out = vec![BTreeSet::new(); needles.len()];
    for (name, text) in &opened.members {
        // Overlapping: one needle may begin another.
        for hit in finder.find_overlapping_iter(text) {
            out[hit.pattern().as_usize()].insert(name.clone());
        }
    }
    Ok(out)
}

/// Pushes canaries through, and searches for them.
pub(super) fn run(seed: u64, count: u64) -> Result<(), String> {
    let repeat = format!("faults bundle --part canaries --count {count} --seed {seed}");
    let tell = |what: String| format!("bundle: {what}\nrepeat with: {repeat}");
    let mut random = Random::new(seed);
    let canaries: Vec<Canary> = (0..count).map(|number| Canary::new(number as usize, &mut random)).collect();
    let bundles = Bundles::new()?;
    record(&bundles, &canaries)?;
    let needles: Vec<&str> = canaries.iter().map(|canary| canary.needle.as_str()).collect();
    let mut open = |level| {
        let mut key = [0; 32];
        key.iter_mut().for_each(|byte| *byte = random.next() as u8);
        opened(&bundles, &canaries, level, key).map_err(|e| tell(format!("a bundle: {e}")))
    };
    // The search is not blind: where nothing is replaced, all of them are found.
    for (canary, found) in canaries.iter().zip(hits(&open(Level::None)?, &needles)?) {
        if found.is_empty() {
            return Err(tell(format!("{:?} is not found where nothing is replaced", canary.text)));
        }
    }
    let standard = open(Level::Standard)?;
    let mut misses = BTreeMap::<&str, (u64, &str, String)>::new();
    for (canary, found) in canaries.iter().zip(hits(&standard, &needles)?) {
        if let Some(member) = found.first() {
            let miss = misses.entry(canary.kind).or_insert((0, &canary.text, member.clone()));
            miss.0 += 1;
        }
    }
    if !misses.is_empty() {
        return Err(tell(format!("were not replaced, by kind, with one of each: {misses:#?}")));
    }
    // Personal ones: one pseudonym, in each text that they were in.
    let back: BTreeMap<&str, &str> =
        standard.map.iter().map(|(pseudonym, value)| (value.as_str(), pseudonym.as_str())).collect();
    let mut personal = Vec::new();
    for (number, canary) in canaries.iter().enumerate().filter(|(_, canary)| !canary.is_secret) {
        let pseudonym = back.get(canary.needle.as_str()).copied();
        let pseudonym =
            pseudonym.ok_or_else(|| tell(format!("{:?} has no pseudonym in the map", canary.needle)))?;
        personal.push((number, pseudonym));
    }
    let pseudonyms: Vec<&str> = personal.iter().map(|(_, pseudonym)| *pseudonym).collect();
    for ((number, pseudonym), found) in personal.iter().zip(hits(&standard, &pseudonyms)?) {
        for carrier in carriers(*number) {
            let is_there = match carrier {
                0 => found.contains(TEXT),
                1 => found.contains(LONG),
                2 => found.contains(DOCUMENT),
                3 => found.contains("manifest.json"),
                4 => found.contains(NOTE),
                _ => found.iter().any(|name| name.starts_with("trace/")),
            };
            if !is_there {
                let text = &canaries[*number].text;
                return Err(tell(format!("{pseudonym} is not where {text:?} was (carrier {carrier})")));
            }
        }
    }
    // Another bundle has other pseudonyms, all of them.
    let other = open(Level::Strict)?;
    if let Some(same) = pseudonyms.iter().find(|pseudonym| other.map.contains_key(**pseudonym)) {
        return Err(tell(format!("two bundles have the pseudonym {same}")));
    }
    if let Some(found) = hits(&other, &needles)?.iter().position(|found| !found.is_empty()) {
        return Err(tell(format!("{:?} is in a bundle of level strict", canaries[found].text)));
    }
    let kinds: BTreeSet<&str> = canaries.iter().map(|canary| canary.kind).collect();
    let total: u64 = standard.replaced.values().sum();
    Report {
        test: "bundle canaries (T-19)".into(),
        unit: "canaries".into(),
        count,
        seed: Some(seed),
        result: format!(
            "{} kinds, each in two of {CARRIERS} places ({} replacements): {} secrets nowhere; {} personal values only as \
             pseudonyms, one each, others in another bundle. Harmless texts replaced: {}",
            kinds.len(),
            grouped(total),
            grouped(count - personal.len() as u64),
            grouped(personal.len() as u64),
            harmless(&mut random)
        ),
        command: repeat,
    }
    .print();
    Ok(())
}

/// How often something harmless is replaced, of a thousand of each form.
fn harmless(random: &mut Random) -> String {
    const EACH: u64 = 1000;
    let mut redactor =
        Redactor::new(Level::Standard, PseudonymKey::of([1; 32]), Known::new(["mmustermann"], ["falcon-17"]));
    let (mut all, mut told) = (0, Vec::new());
    for (form, make) in HARMLESS {
        let replaced = (0..EACH)
            .filter(|_| {
                let text = make(random);
                redactor.text(&text) != text
            })
            .count();
        all += replaced;
        if replaced != 0 {
            told.push(format!("{form} {:.1} %", replaced as f64 * 100.0 / EACH as f64));
        }
    }
    let rate = all as f64 * 100.0 / (HARMLESS.len() as u64 * EACH) as f64;
    format!("{rate:.2} % of {} forms ({})", HARMLESS.len(), told.join(", "))
}
