//! A second decoder, in Python, written from the text of FORMAT.md alone, reads the same bytes and finds the same.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value as Json;
use tracewell::control::EnableRequest;
use tracewell::{Event, FieldEnum, FieldFlags, Tracer, emit};
use tracewell_reader::render::json::JsonRenderer;
use tracewell_reader::{Filter, Item, Summary};
use tracewell_schema::catalog::{self, sample};
use tracewell_schema::format::block::{BlockHeader, BlockKind, Codec, compress_columns};
use tracewell_schema::format::clock::ClockPoint;
use tracewell_schema::format::columns::{Encoder, Layout};
use tracewell_schema::format::process::encode_schema_payload_item;
use tracewell_schema::format::record::{KIND_EVENT, LossReason, RecordHeader};
use tracewell_schema::format::ring::RingInfo;
use tracewell_schema::format::segment::SegmentHeader;
use tracewell_schema::format::{crc, hex};
use tracewell_schema::{CorrelationId, Id128, ProcessKey, Reduction, Timestamp, TypeRef};
use tracewell_tests::Place;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/decoder/tracewell_decode.py");
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../schema/FORMAT.md");

/// What the script prints.
fn decode(paths: &[&Path]) -> Vec<Json> {
    let out = match Command::new("python3").arg("-B").arg(SCRIPT).args(paths).output() {
        Ok(out) => out,
        Err(error) => panic!("python3 cannot be run ({error}): install the package python3"),
    };
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Process and ring of a line.
fn ring_of(line: &Json) -> (String, u64) {
    (line["process"].as_str().unwrap().to_owned(), line["ring"].as_u64().unwrap())
}

fn of_kind<'a>(lines: &'a [Json], kind: &str) -> Vec<&'a Json> {
    lines.iter().filter(|line| line["kind"] == kind).collect()
}

#[derive(FieldEnum, Clone, Copy, Debug)]
#[repr(u32)]
enum Kind {
    One = 1,
    #[value("the \"second\" <>")]
    Two = 0x1_0002,
}

#[derive(FieldFlags, Clone, Copy, Debug)]
#[flags(HIDDEN = 1, READ_ONLY = 2, BOTH = 3, SYSTEM = 0x8000)]
struct Attributes(u16);

/// Every type.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "custom.every", category = "custom", level = "debug", text = "{text}")]
struct Every<'a> {
    #[field(public)]
    truth: bool,
    #[field(public)]
    u8: u8,
    #[field(public)]
    u16: u16,
    #[field(public)]
    u32: u32,
    #[field(public)]
    u64: u64,
    #[field(public)]
    i8: i8,
    #[field(public)]
    i16: i16,
    #[field(public)]
    i32: i32,
    #[field(public)]
    i64: i64,
    #[field(public)]
    f64: f64,
    #[field(personal, max = 20)]
    text: &'a str,
    #[field(personal, max = 20)]
    bytes: &'a [u8],
    #[field(public)]
    hash: [u8; 32],
    #[field(personal)]
    ip: IpAddr,
    #[field(personal)]
    v4: Ipv4Addr,
    #[field(personal)]
    v6: Ipv6Addr,
    #[field(personal)]
    socket: SocketAddr,
    #[field(public)]
    time: Timestamp,
    #[field(public)]
    duration: Duration,
    #[field(public)]
    kind: Kind,
    #[field(public)]
    attributes: Attributes,
    #[field(public)]
    maybe_number: Option<u32>,
    #[field(personal, max = 20)]
    maybe_text: Option<&'a str>,
    #[field(personal)]
    maybe_socket: Option<SocketAddr>,
    #[field(public)]
    maybe_kind: Option<Kind>,
    #[field(public)]
    numbers: &'a [i64],
    #[field(personal, max = 60)]
    texts: &'a [&'a str],
    #[field(personal)]
    blobs: &'a [&'a [u8]],
    #[field(personal)]
    ips: &'a [IpAddr],
    #[field(personal)]
    sockets: &'a [SocketAddr],
    #[field(public)]
    kinds: &'a [Kind],
    #[field(public)]
    process: ProcessKey,
    #[field(public)]
    id: Id128,
    #[field(public)]
    correlation: CorrelationId,
    #[field(secret)]
    word: &'a str,
    #[field(secret)]
    maybe_word: Option<&'a str>,
}

/// Longer than a record may be in a small ring.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "custom.big", category = "custom", level = "info", text = "{bytes}")]
struct Big<'a> {
    #[field(public, max = 32767)]
    bytes: &'a [u8],
    #[field(public, max = 32767)]
    more: &'a [u8],
}

/// One of many words.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "custom.word", category = "custom", level = "info", text = "{word}")]
struct Word<'a> {
    #[field(public)]
    word: &'a str,
}

/// Values at their ends and between them.
fn emit_every(tracer: &Tracer, i: u64) {
    let n = [0, 1, 0x7f, 0x80, 0xffff, 1 << 31, (1 << 53) - 1, 1 << 53, (1 << 53) + 1, 1 << 63, u64::MAX]
        [(i % 11) as usize];
    let n = if i > 20 { n.wrapping_add(i) } else { n };
    let texts = [
        "",
        "caf\u{e9}",
        "\"<&>\"\\\n\t\0\u{7f}\u{2028}",
        "a text of more than twenty bytes",
        "\u{1f600}\u{5d0}",
    ];
    let text = texts[(i % 5) as usize];
    let ips: [IpAddr; 5] = [
        [192, 0, 2, 1].into(),
        "2001:db8::1:0:0:1".parse().unwrap(),
        "::".parse().unwrap(),
        "::ffff:1.2.3.4".parse().unwrap(),
        "1:0:2:3:4:5:6:7".parse().unwrap(),
    ];
    let ip = ips[(i % 5) as usize];
    let sockets = ips.map(|ip| SocketAddr::new(ip, n as u16));
    let some = (i % 4) as usize;
    let maybe = !i.is_multiple_of(3);
    let kind = if maybe { Kind::One } else { Kind::Two };
    let f = [
        0.0,
        -0.0,
        1.5,
        1e300,
        5e-324,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        0.1,
        1e16,
        123_456_789.125,
    ];
    emit!(
        tracer,
        Every {
            truth: maybe,
            u8: n as u8,
            u16: n as u16,
            u32: n as u32,
            u64: n,
            i8: n as i8,
            i16: n as i16,
            i32: n as i32,
            i64: n as i64,
            f64: f[(i % 11) as usize],
            text,
            bytes: text.as_bytes(),
            hash: [n as u8; 32],
            ip,
            v4: [1, 2, 3, n as u8].into(),
            v6: [0, 0, n as u16, 0, 0, 0, 1, 0].into(),
            socket: sockets[some],
            time: Timestamp(n as i64),
            duration: Duration::from_nanos(n),
            kind,
            attributes: Attributes(n as u16),
            maybe_number: maybe.then_some(n as u32),
            maybe_text: maybe.then_some(text),
            maybe_socket: maybe.then_some(sockets[some]),
            maybe_kind: maybe.then_some(kind),
            numbers: &[n as i64, -1, i64::MIN][..some % 4],
            texts: &texts[..some],
            blobs: &[text.as_bytes(), &[], &[0xff, 0]][..some % 4],
            ips: &ips[..some],
            sockets: &sockets[..some],
            kinds: &[kind, Kind::One, Kind::Two][..some % 4],
            process: ProcessKey([n as u8; 16]),
            id: Id128([i as u8; 16]),
            correlation: CorrelationId(n),
            word: ["", "short", "eight by", "sixteen bytes, or", "a word that has thirty-two bytes.", "x"]
                [(i % 6) as usize],
            maybe_word: maybe.then_some("hunter2"),
        }
    );
}

struct Emit<'a>(&'a Tracer);

impl sample::Visitor for Emit<'_> {
    fn event<E: Event>(&mut self, event: &E) {
        if self.0.is_enabled::<E>() {
            self.0.emit(event);
        }
    }
}

/// Opt-ins for every second opt-in field and all opt-in events; one reduction after the other for every fourth field.
fn request() -> EnableRequest {
    let reductions = [
        Reduction::Keyed,
        Reduction::Prefix { n: 5, m: 20 },
        Reduction::Length,
        Reduction::Drop,
        Reduction::HostOnly,
        Reduction::Prefix { n: 0, m: 0 },
    ];
    let (mut opt_in, mut reduce) = (Vec::new(), Vec::new());
    for schema in catalog::all() {
        opt_in.extend(schema.opt_in.then(|| schema.name.to_owned()));
        for (i, field) in schema.fields.iter().enumerate() {
            let name = format!("{}.{}", schema.name, field.name);
            if field.opt_in && i % 2 == 0 {
                opt_in.push(name.clone());
            }
            // Numbers are reduced to nothing whatever the reduction: two of them are enough.
            let is_text = !matches!(field.ty, TypeRef::Bool | TypeRef::U32 | TypeRef::U64 | TypeRef::Enum(_));
            if i % 4 == 2 && (is_text || reduce.len() < 2) && reduce.len() < 128 {
                reduce.push((name, reductions[reduce.len() % reductions.len()]));
            }
        }
    }
    assert!(opt_in.len() > 3 && opt_in.len() <= 64 && reduce.len() > 20);
    EnableRequest { levels: [5; 32], segment_bytes: 256 << 10, opt_in, reduce, ..EnableRequest::default() }
}

/// An event as both tell it.
#[derive(Debug, PartialEq)]
struct Told {
    sequence: u64,
    ticks: u64,
    event: String,
    fields: Json,
}

type Rings = BTreeMap<(String, u64), Vec<Told>>;

/// What `tracewell read --format json` gives, by ring, and the losses of each process by reason.
fn read(place: &Place) -> (Rings, BTreeMap<String, [u64; 8]>, Summary) {
    let mut rings = Rings::new();
    let mut lost = BTreeMap::<_, [u64; 8]>::new();
    let mut renderer = JsonRenderer::new();
    let summary = place.trace().read(&Filter::default(), |item| {
        match item {
            Item::Event(event) => {
                let mut line = String::new();
                renderer.push(&mut line, item);
                let mut line: Json = serde_json::from_str(&line).unwrap();
                assert!(line.get("undecodable").is_none(), "{line}");
                let key = (hex(&event.process.identity.process_uuid), event.ring.into());
                rings.entry(key).or_default().push(Told {
                    sequence: event.sequence,
                    ticks: event.ticks,
                    event: line["event"].as_str().unwrap().to_owned(),
                    fields: line["fields"].take(),
                });
            }
            Item::Lost { process, counts, .. } => {
                let sum = lost.entry(hex(&process.identity.process_uuid)).or_default();
                sum.iter_mut().zip(counts.0).for_each(|(sum, n)| *sum += n);
            }
            _ => panic!("a hole"),
        }
        Ok::<(), std::io::Error>(())
    });
    (rings, lost, summary.unwrap())
}

#[test]
fn both_decoders_find_the_same() {
    let place = Place::new();
    place.enable_with(&request());
    let tracer = Tracer::builder("decoder").dir(place.dirs.base()).ring_size(65_536).attach().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let tracer = &tracer;
            scope.spawn(move || {
                for seed in 0..60 {
                    sample::visit(seed * 3 + thread, &mut Emit(tracer));
                    emit_every(tracer, seed);
                    if seed % 7 == thread {
                        tracer.flush().unwrap();
                    }
                }
                let big = [thread as u8; 32_767];
                emit!(tracer, Big { bytes: &big, more: &big });
                // More than the ring holds, without a pause.
                for i in 0..5000 {
                    emit_every(tracer, i);
                }
            });
        }
    });
    tracer.shutdown();
    let status = Command::new(env!("CARGO_BIN_EXE_recorder"))
        .arg(place.dirs.base())
        .args(["3", "262144", "8"])
        .status()
        .unwrap();
    assert!(!status.success(), "it kills itself");

    let lines = decode(&[place.dirs.base(), place.dirs.ring_root()]);
    let (rings, lost, summary) = read(&place);
    for kind in ["damage", "hole"] {
        assert_eq!(of_kind(&lines, kind), Vec::<&Json>::new());
    }
    assert!(summary.damaged.is_empty() && summary.missing == 0 && summary.law.is_empty(), "{summary:?}");

    // Event by event, in the order of each ring.
    let mut found = Rings::new();
    let mut events = of_kind(&lines, "event");
    for line in &events {
        found.entry(ring_of(line)).or_default().push(Told {
            sequence: line["sequence"].as_u64().unwrap(),
            ticks: line["ticks"].as_u64().unwrap(),
            event: line["event"].as_str().unwrap_or_else(|| panic!("{line}")).to_owned(),
            fields: line["fields"].clone(),
        });
    }
    assert_eq!(found.keys().collect::<Vec<_>>(), rings.keys().collect::<Vec<_>>());
    for (ring, told) in &rings {
        let other = &found[ring];
        for (a, b) in told.iter().zip(other) {
            assert_eq!(a, b, "{ring:?}");
        }
        assert_eq!(told.len(), other.len(), "{ring:?}");
        assert!(told.is_sorted_by(|a, b| a.sequence < b.sequence && a.ticks <= b.ticks), "{ring:?}");
    }

    // Nothing is missing from this test: the whole catalog, both sources, secrets, reductions, all codecs.
    let names: BTreeSet<_> = rings.values().flatten().map(|told| told.event.as_str()).collect();
    for schema in catalog::all() {
        assert!(names.contains(schema.name), "{}", schema.name);
    }
    assert!(names.contains("custom.every"));
    events.retain(|line| line["source"] == "ring");
    assert!(!events.is_empty() && summary.leftover_rings > 0, "the killed process left nothing in its rings");
    let all = rings.values().flatten().map(|told| told.fields.to_string()).collect::<String>();
    for part in ["keyed", "prefix", "length", "drop", "host_only"] {
        assert!(all.contains(&format!("{{\"reduced\":\"{part}\",\"value\":")), "{part}");
    }
    assert!(
        all.contains("\"secret_bytes\":\"8..15\"") && all.contains("{\"cut\":") && !all.contains("hunter2")
    );
    assert!(all.contains("\"NaN\"") && all.contains("\"-inf\""));
    let used = of_kind(&lines, "used")[0];
    for form in [
        "integers 0",
        "integers 1",
        "integers 2",
        "integers 3",
        "bytes 0",
        "bytes 1",
        "dictionary of one",
        "dictionary, u8",
        "order",
        "ticks, exceptions",
        "by value",
        "rest",
    ] {
        assert!(used.get(form).is_some(), "no {form}: {used}");
    }

    // Losses by reason, and the law of each ring.
    let mut sums = BTreeMap::<String, [u64; 8]>::new();
    for line in of_kind(&lines, "counters") {
        let (process, ring) = ring_of(line);
        for (sum, reason) in sums.entry(process.clone()).or_default().iter_mut().zip(LossReason::ALL) {
            *sum += line["lost"][reason.name()].as_u64().unwrap();
        }
        if ring != 0 {
            let read = line["read"].as_u64();
            assert_eq!(read, line["delivered"].as_u64(), "{line}");
            assert_eq!(read, Some(rings.get(&(process, ring)).map_or(0, Vec::len) as u64), "{line}");
            assert_eq!(line["law"], 0, "{line}");
        }
    }
    let mut total = [0; 8];
    for (process, sum) in &sums {
        assert_eq!(lost.get(process).copied().unwrap_or_default(), *sum, "{process}");
        total.iter_mut().zip(sum).for_each(|(total, n)| *total += n);
    }
    assert_eq!(total, summary.lost);
    assert!(total[LossReason::TooBig as usize] == 3 && total[LossReason::Full as usize] > 0, "{total:?}");
    let told: u64 = of_kind(&lines, "loss")
        .iter()
        .flat_map(|line| line["counts"].as_object().unwrap().values())
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert!(told > 0 && told <= total.iter().sum(), "{told}");
    assert_eq!(of_kind(&lines, "process").len(), 2);
}

/// A block, as a segment has it.
fn put_block(out: &mut Vec<u8>, mut header: BlockHeader, raw_len: usize, stored: &[u8]) {
    header.file_tag = [7; 8];
    header.raw_len = raw_len as u32;
    header.stored_len = stored.len() as u32;
    header.payload_crc = crc(stored);
    out.extend(header.encode());
    out.extend(stored);
    out.resize(out.len().next_multiple_of(8), 0);
}

/// Blocks that are longer than those of a busy drain happen to be: a dictionary whose numbers have two bytes, and several
/// groups of ticks, in both codecs of columns.
#[test]
fn long_blocks_of_columns() {
    let mut segment =
        SegmentHeader { file_id: [7; 16], sequence: 1, ..SegmentHeader::default() }.encode().to_vec();
    let point = ClockPoint { ticks: 1, ..ClockPoint::default() }.encode();
    put_block(&mut segment, BlockHeader::meta(BlockKind::Clocks), point.len(), &point);
    let schemas = encode_schema_payload_item(0, &Word::SCHEMA.to_blob());
    put_block(&mut segment, BlockHeader::meta(BlockKind::Schemas), schemas.len(), &schemas);
    let info = RingInfo { ring: 1, capacity: 1 << 20, ..RingInfo::default() }.encode();
    put_block(&mut segment, BlockHeader::meta(BlockKind::Ring), info.len(), &info);
    let word = |i: usize| format!("the word with number {}", i * i % 1009 % 400);
    let mut records = Vec::new();
    for i in 0..1500 {
        let word = word(i);
        let event = Word { word: &word };
        let mut payload = vec![0; event.encoded_len()];
        event.encode(&mut payload);
        let (len, ticks) = (16 + payload.len() as u32, (i + i / 100 * 100_000) as u64);
        records.extend(RecordHeader { len, event: 0, kind: KIND_EVENT, flags: 0, ticks }.encode());
        records.extend(payload);
        records.resize(records.len().next_multiple_of(8), 0);
    }
    let (mut encoder, mut columns, mut packed) = (Encoder::default(), Vec::new(), Vec::new());
    let walk = encoder.walk(&records, records.len(), &mut |_| Some(Layout::of(Word::SCHEMA)));
    assert!(walk.is_regular && walk.len == records.len());
    encoder.encode(&records, &mut columns, &mut || {});
    let codec = compress_columns(&columns, &mut packed);
    assert_eq!(codec, Codec::ColumnsLz4);
    let len = records.len() as u64;
    for (i, (codec, stored)) in [(Codec::Columns, &columns), (codec, &packed)].into_iter().enumerate() {
        let (from, sequence) = (i as u64 * len, i as u64 * 1500);
        let header = BlockHeader {
            codec,
            ring: 1,
            events: 1500,
            from,
            to: from + len,
            sequence,
            ..BlockHeader::meta(BlockKind::Data)
        };
        put_block(&mut segment, header, records.len(), stored);
    }
    put_block(&mut segment, BlockHeader { sequence: 5, ..BlockHeader::meta(BlockKind::End) }, 0, &[]);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("words_pid0_00000000_000001.twseg"), segment).unwrap();
    let lines = decode(&[dir.path()]);
    assert_eq!(of_kind(&lines, "damage"), Vec::<&Json>::new());
    let events = of_kind(&lines, "event");
    assert_eq!(events.len(), 3000);
    for (i, line) in events.iter().enumerate() {
        assert_eq!(line["fields"]["word"], word(i % 1500));
        assert_eq!(line["ticks"], i % 1500 + i % 1500 / 100 * 100_000);
    }
    let used = of_kind(&lines, "used")[0];
    assert!(used.get("dictionary, u16").is_some() && used["ticks, exceptions"] == 12, "{used}");
}

/// The bytes that FORMAT.md shows, as the files that they are.
#[test]
fn the_samples_of_the_document_are_a_trace() {
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("scanner-4321-70726f63");
    std::fs::create_dir(&folder).unwrap();
    let (mut segment, mut ring) = (Vec::new(), Vec::new());
    for part in document.split("```hex ").skip(1) {
        let (name, rest) = part.split_once('\n').unwrap();
        let mut bytes = Vec::new();
        for line in rest.split("```").next().unwrap().lines() {
            let left = line.split('|').next().unwrap().trim();
            match left.strip_prefix("00 x ") {
                Some(n) => bytes.resize(bytes.len() + n.parse::<usize>().unwrap(), 0),
                None => bytes.extend(left.split(' ').map(|h| u8::from_str_radix(h, 16).unwrap())),
            }
        }
        match name {
            "process_file" => std::fs::write(folder.join("process"), bytes).unwrap(),
            "schemas_item" => std::fs::write(folder.join("schemas"), bytes).unwrap(),
            "ring_header" => ring = bytes,
            "segment_header" => segment = bytes,
            _ if name.starts_with("block_") => segment.extend(bytes),
            _ => {}
        }
    }
    ring.resize(4096 + 65_536, 0);
    std::fs::write(folder.join("ring-000001"), ring).unwrap();
    std::fs::write(dir.path().join("scanner_pid4321_70726f63_000001.twseg"), segment).unwrap();

    let lines = decode(&[dir.path()]);
    assert_eq!(of_kind(&lines, "damage"), Vec::<&Json>::new());
    let events = of_kind(&lines, "event");
    assert_eq!(events.len(), 28);
    for (i, line) in events.iter().enumerate() {
        assert_eq!(line["sequence"], i);
        let fields = &line["fields"];
        assert_eq!(fields["number"], 69_999 - i as u64 % 7);
        assert_eq!(fields["token"]["secret_bytes"], "8..15");
        match i % 7 {
            4 => assert_eq!(fields["host"]["reduced"], "keyed"),
            even => assert_eq!(fields["host"], ["example.com", "example.net"][even % 2]),
        }
    }
    let counters = of_kind(&lines, "counters");
    assert_eq!((counters.len(), &counters[0]["law"], &counters[0]["read"]), (1, &0.into(), &28.into()));
    assert_eq!(of_kind(&lines, "loss").len(), 4);
    let process = of_kind(&lines, "process")[0];
    assert_eq!((&process["resolution"], &process["clocks"]), (&4_000_000.into(), &2.into()));

    // And the other decoder finds the same number.
    let trace = tracewell_reader::Trace::open(&[dir.path().to_owned()], &[]).unwrap();
    let summary = trace.read(&Filter::default(), |_| Ok::<(), std::io::Error>(())).unwrap();
    assert_eq!((summary.events, summary.lost_total()), (28, 17));
    assert!(summary.damaged.is_empty() && summary.law.is_empty() && summary.law_checked == 1, "{summary:?}");
}
