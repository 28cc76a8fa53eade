//! What the engine writes, read by columns: every value is the one that reading event by event gives.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tracewell::control::EnableRequest;
use tracewell::{Tracer, WhenFull, emit};
use tracewell_reader::{Filter, Item, Part, Summary, Trace};
use tracewell_schema::catalog::{self, sample};
use tracewell_schema::format::block::{self, BlockHeader, BlockKind, Codec};
use tracewell_schema::format::segment;
use tracewell_schema::{Event, Reduction};
use tracewell_tests::{Numbered, Place, text_of};

/// By process, ring and number: time, type, values.
type Seen = BTreeMap<(usize, u32, u64), (i64, String, Vec<String>)>;

fn by_event(trace: &Trace) -> (Seen, Summary) {
    let mut seen = Seen::new();
    let Ok(summary) = trace.read(&Filter::default(), |item| {
        if let Item::Event(event) = item {
            let values = event.values.iter().map(|field| {
                let field = field.unwrap();
                format!("{:?} {:?}", field.value, field.reduction)
            });
            let key = (event.process_index, event.ring, event.sequence);
            seen.insert(key, (event.time, event.schema.name.clone(), values.collect()));
        }
        Ok::<(), std::convert::Infallible>(())
    });
    (seen, summary)
}

/// With the number of batches.
fn by_column(trace: &Trace) -> (Seen, Summary, usize) {
    let (mut seen, mut batches) = (Seen::new(), 0);
    let Ok(summary) = trace.batches(&Filter::default(), |part| {
        if let Part::Batch(batch) = part {
            batches += 1;
            assert_eq!(batch.broken(), []);
            for (row, time) in batch.times.iter().enumerate() {
                let values = batch.columns().map(|c| format!("{:?} {:?}", c.value(row), c.reduction));
                let key = (batch.process_index, batch.ring, batch.sequence(row).unwrap());
                seen.insert(key, (*time, batch.schema.name.clone(), values.collect()));
            }
        }
        Ok::<(), std::convert::Infallible>(())
    });
    (seen, summary, batches)
}

/// Returns how many events there are, and in how many batches.
fn check(place: &Place) -> (usize, usize) {
    let trace = Trace::open(&[place.dirs.base().to_owned()], &[]).unwrap();
    let ((events, one), (columns, other, batches)) = (by_event(&trace), by_column(&trace));
    let differs = events.iter().find(|(key, event)| columns.get(*key) != Some(event));
    assert_eq!(differs, None, "columns: {:?}", differs.and_then(|(key, _)| columns.get(key)));
    assert_eq!(events.len(), columns.len());
    assert_eq!(serde_json::to_value(&one).unwrap(), serde_json::to_value(&other).unwrap());
    assert!(one.is_complete() && one.law_open == 0, "{}", one.to_text());
    (events.len(), batches)
}

struct Emit<'a>(&'a Tracer, usize);

impl sample::Visitor for Emit<'_> {
    fn event<E: Event + std::fmt::Debug>(&mut self, event: &E) {
        self.0.emit(event);
        self.1 += 1;
    }
}

/// Every event of the catalog, in blocks of many types and with what `request` keeps of the values.
fn reading(request: &EnableRequest) {
    let place = Place::new();
    place.enable_with(request);
    let tracer = Tracer::builder("bench").dir(place.dirs.base()).attach().unwrap();
    let mut emitter = Emit(&tracer, 0);
    for seed in 0..300 {
        sample::visit(seed, &mut emitter);
    }
    let emitted = emitter.1;
    tracer.shutdown();
    let (events, batches) = check(&place);
    // Opt-in events are off in one of them.
    assert!(events > emitted / 2 && batches > 20, "{events} of {emitted} in {batches}");
}

#[test]
fn every_event_of_the_catalog() {
    reading(&EnableRequest { levels: [5; 32], ..EnableRequest::default() });
}

#[test]
fn every_event_with_values_reduced() {
    let all = [Reduction::Keyed, Reduction::Length, Reduction::Drop, Reduction::Prefix { n: 3, m: 20 }];
    let mut names = Vec::new();
    for event in catalog::all() {
        names.extend(event.fields.iter().map(|field| format!("{}.{}", event.name, field.name)));
    }
    let some = names.into_iter().step_by(2).take(120);
    let reduce: Vec<_> = some.zip(all.into_iter().cycle()).collect();
    reading(&EnableRequest { levels: [5; 32], reduce, ..EnableRequest::default() });
}

/// How the data blocks of all segments below a folder are stored.
fn codecs(dir: &Path, found: &mut Vec<Codec>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            codecs(&path, found);
        } else if path.extension().is_some_and(|e| e == "twseg") {
            let bytes = std::fs::read(&path).unwrap();
            let mut at = segment::HEADER_LEN;
            while at < bytes.len() {
                let header = BlockHeader::decode(&bytes[at..]).unwrap();
                if header.kind == BlockKind::Data {
                    found.push(header.codec);
                }
                at += block::HEADER_LEN + header.padded_len() as usize;
            }
        }
    }
}

#[test]
fn segments_written_in_haste_and_packed() {
    let place = Place::new();
    place.enable();
    let wait = WhenFull::Wait(Duration::from_secs(60));
    let tracer = Tracer::builder("bench").dir(place.dirs.base()).when_full(wait).attach().unwrap();
    std::thread::scope(|scope| {
        for lane in 0..2 {
            let tracer = &tracer;
            scope.spawn(move || {
                let texts: Vec<String> = (0..50).map(text_of).collect();
                for number in 0..60_000 {
                    emit!(tracer, Numbered { lane, number, text: &texts[number as usize % 50] });
                }
            });
        }
    });
    tracer.flush().unwrap();
    tracer.shutdown();
    // On a busy machine all of it was stored in haste, and nothing is packed before it is calm.
    let _ = tracewell::testing::pack_now(&place.dirs);
    let mut stored = Vec::new();
    codecs(place.dirs.base(), &mut stored);
    assert!(stored.iter().all(|codec| matches!(codec, Codec::Columns | Codec::ColumnsLz4)), "{stored:?}");
    assert!(stored.contains(&Codec::ColumnsLz4), "{stored:?}");
    let (events, batches) = check(&place);
    assert_eq!((events, batches), (120_000, stored.len()), "a batch for each block");
}
