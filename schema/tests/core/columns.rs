//! The columns codec: what goes in comes out, whatever the records are; bytes of an enemy do no harm.

use proptest::collection::vec;
use proptest::prelude::*;
use tracewell_schema::catalog::sample::{Visitor, visit};
use tracewell_schema::format::columns::{Decoder, Encoder, Layout};
use tracewell_schema::format::record::{KIND_EVENT, KIND_LOSS, KIND_PAD, LossCounts, RecordHeader};
use tracewell_schema::{Event, Schema, SchemaRef};

/// Records as a thread writes them.
#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    schemas: Vec<&'static SchemaRef>,
    ticks: u64,
    events: u32,
}

impl Stream {
    fn put(&mut self, kind: u8, event: u16, flags: u8, payload: &[u8]) {
        let len = 16 + payload.len() as u32;
        let header = RecordHeader { len, event, kind, flags, ticks: self.ticks };
        self.bytes.extend_from_slice(&header.encode());
        self.bytes.extend_from_slice(payload);
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        self.events += u32::from(kind == KIND_EVENT);
    }

    fn index(&mut self, schema: &'static SchemaRef) -> u16 {
        let known = self.schemas.iter().position(|s| std::ptr::eq(*s, schema));
        known.unwrap_or_else(|| {
            self.schemas.push(schema);
            self.schemas.len() - 1
        }) as u16
    }

    fn pad(&mut self, len: u32) {
        let word = u64::from(len) | u64::from(KIND_PAD) << 48;
        self.bytes.extend_from_slice(&word.to_le_bytes());
        self.bytes.resize(self.bytes.len() + len as usize - 8, 0);
    }

    /// Through the codec and back; returns the columns.
    fn round_trip(&self, encoder: &mut Encoder) -> Vec<u8> {
        let walk = encoder.walk(&self.bytes, self.bytes.len(), &mut |event| {
            self.schemas.get(usize::from(event)).map(|s| Layout::of(s))
        });
        assert!(walk.is_regular);
        assert_eq!((walk.len, walk.events), (self.bytes.len(), self.events));
        let mut columns = Vec::new();
        encoder.encode(&self.bytes, &mut columns, &mut || {});
        assert!(decode(&columns, self.bytes.len()).expect("what was encoded") == self.bytes);
        columns
    }
}

fn decode(columns: &[u8], len: usize) -> Option<Vec<u8>> {
    let mut out = vec![0; len];
    Decoder::default().decode(columns, &mut out).ok().map(|()| out)
}

impl Visitor for Stream {
    fn event<E: Event>(&mut self, event: &E) {
        let index = self.index(E::SCHEMA);
        let mut payload = vec![0; event.encoded_len()];
        event.encode(&mut payload);
        self.ticks += 1 << (self.ticks % 41);
        self.put(KIND_EVENT, index, 0, &payload);
        if self.ticks.is_multiple_of(3) {
            // As with a trailer of reductions.
            payload.extend_from_slice(&[1, 4, 1]);
            self.put(KIND_EVENT, index, 1, &payload);
        }
    }
}

#[test]
fn the_catalog_comes_back() {
    let mut encoder = Encoder::default();
    for block in 0..20 {
        let mut stream = Stream::default();
        let seeds = [1, 3, 10, 40][block % 4];
        for seed in 0..seeds {
            visit(seed / 2, &mut stream);
        }
        stream.put(KIND_LOSS, 0, 0, &LossCounts([1, 2, 0, 0, 0, 0, 0, 9]).encode());
        if block % 2 == 0 {
            stream.pad(8 + 8 * block as u32);
        }
        let columns = stream.round_trip(&mut encoder);
        if seeds == 40 {
            assert!(
                columns.len() < stream.bytes.len() / 4 * 3,
                "{} of {}",
                columns.len(),
                stream.bytes.len()
            );
        }
    }
}

/// Each loss is counted, also of records that follow each other. Found by the fuzz target `columns`.
#[test]
fn losses_of_records_in_a_row_are_all_counted() {
    let mut stream = Stream::default();
    for n in 1..=5 {
        stream.put(KIND_LOSS, 0, 0, &LossCounts([n, 0, 0, 0, 0, 0, 0, 10 * n]).encode());
    }
    let walk = Encoder::default().walk(&stream.bytes, stream.bytes.len(), &mut |_| None);
    assert_eq!((walk.len, walk.events, walk.lost), (stream.bytes.len(), 0, 15 + 150));
    let most = LossCounts([u64::MAX; 8]).encode();
    stream.put(KIND_LOSS, 0, 0, &most);
    let walk = Encoder::default().walk(&stream.bytes, stream.bytes.len(), &mut |_| None);
    assert_eq!(walk.lost, u64::MAX);
}

/// A block ends where a record or a pad does, wherever its limit falls: the rest of a pad is what the last lap left.
#[test]
fn a_walk_never_ends_inside_a_record_or_a_pad() {
    let mut stream = Stream::default();
    visit(1, &mut stream);
    let pad = stream.bytes.len();
    stream.pad(88);
    let mut ends = vec![pad, pad + 88];
    let mut at = 0;
    while at < pad {
        ends.push(at);
        let len = u32::from_le_bytes(stream.bytes[at..at + 4].try_into().unwrap());
        at += (len as usize).next_multiple_of(8);
    }
    let mut encoder = Encoder::default();
    let first = ends.iter().copied().filter(|end| *end > 0).min().unwrap();
    for limit in first..=pad + 88 {
        let walk = encoder.walk(&stream.bytes, limit, &mut |event| {
            stream.schemas.get(usize::from(event)).map(|s| Layout::of(s))
        });
        assert!(walk.is_regular && ends.contains(&walk.len) && walk.len <= limit, "{walk:?} of {limit}");
    }
    // The next block is the pad alone.
    let mut rest = Stream::default();
    rest.pad(88);
    rest.round_trip(&mut encoder);
}

#[test]
fn what_a_schema_says_is_what_the_type_says() {
    for schema in tracewell_schema::catalog::all() {
        let parsed = Schema::parse(&schema.to_blob()).unwrap();
        assert_eq!(Layout::of_schema(&parsed), Layout::of(schema), "{}", schema.name);
    }
}

#[test]
fn records_that_do_not_fit_their_schema_are_left_alone() {
    let mut stream = Stream::default();
    visit(1, &mut stream);
    let walk = Encoder::default().walk(&stream.bytes, stream.bytes.len(), &mut |_| None);
    assert!(!walk.is_regular && walk.len == stream.bytes.len() && walk.events == stream.events);
    // A length word that reaches beyond the record.
    let layout_of = |event: u16| stream.schemas.get(usize::from(event)).map(|s| Layout::of(s));
    let mut wrong = stream.bytes.clone();
    wrong[16..400].fill(0xff);
    Encoder::default().walk(&wrong, wrong.len(), &mut { layout_of });
}

#[derive(Clone, Debug)]
struct Row {
    event: u16,
    step: u64,
    fixed: [u8; 12],
    text: Vec<u8>,
    rest: usize,
}

prop_compose! {
    fn row()(event in 0u16..4, step in prop_oneof![0u64..300, any::<u64>()],
             fixed in prop_oneof![Just([7; 12]), any::<[u8; 12]>()],
             text in prop_oneof![Just(Vec::new()), Just(b"again".to_vec()), vec(any::<u8>(), 0..70)],
             rest in prop_oneof![9 => Just(0usize), 1 => 0usize..9]) -> Row {
        Row { event, step, fixed, text, rest }
    }
}

fn layout() -> Layout {
    let blob = {
        use tracewell_schema::TypeRef;
        let field = |name, ty| tracewell_schema::FieldRef {
            name,
            ty,
            class: tracewell_schema::Privacy::Public,
            opt_in: false,
            reduction: tracewell_schema::Reduction::None,
            unit: "",
            doc: "",
            max: 100,
        };
        let fields: &'static [_] = Box::leak(Box::new([
            field("a", TypeRef::U32),
            field("b", TypeRef::Str),
            field("c", TypeRef::U16),
            field("d", TypeRef::Fixed(3)),
            field("e", TypeRef::U8),
        ]));
        SchemaRef {
            name: "custom.row",
            category: tracewell_schema::Category::Custom,
            level: tracewell_schema::Level::Info,
            opt_in: false,
            doc: "",
            text: "",
            fields,
        }
    };
    Layout::of(&blob)
}

fn stream_of(rows: &[Row]) -> Stream {
    let mut stream = Stream::default();
    for row in rows {
        stream.ticks = stream.ticks.wrapping_add(row.step);
        let mut payload = row.fixed.to_vec();
        payload[4..6].copy_from_slice(&(row.text.len() as u16).to_le_bytes());
        payload.extend_from_slice(&row.text);
        payload.resize(payload.len() + row.rest, 1);
        stream.put(KIND_EVENT, row.event, 0, &payload);
    }
    stream
}

proptest! {
    #[test]
    fn any_records_come_back(rows in vec(row(), 1..600), again in 1usize..20) {
        let rows: Vec<Row> = rows.iter().cycle().take(rows.len() * again).cloned().collect();
        let stream = stream_of(&rows);
        let mut encoder = Encoder::default();
        let layout = layout();
        for _ in 0..2 {
            let walk = encoder.walk(&stream.bytes, stream.bytes.len(), &mut |_| Some(layout.clone()));
            prop_assert!(walk.is_regular);
            let mut columns = Vec::new();
            encoder.encode(&stream.bytes, &mut columns, &mut || {});
            prop_assert!(decode(&columns, stream.bytes.len()).as_deref() == Some(&stream.bytes[..]));
        }
    }

    #[test]
    fn changed_columns_do_no_harm(rows in vec(row(), 1..60), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(), longer in 0usize..40) {
        let stream = stream_of(&rows);
        let mut encoder = Encoder::default();
        let layout = layout();
        encoder.walk(&stream.bytes, stream.bytes.len(), &mut |_| Some(layout.clone()));
        let mut columns = Vec::new();
        encoder.encode(&stream.bytes, &mut columns, &mut || {});
        prop_assert!(decode(&columns[..cut.index(columns.len())], stream.bytes.len()).is_none());
        for (at, byte) in changes {
            let at = at.index(columns.len());
            columns[at] = byte;
        }
        let _ = decode(&columns, stream.bytes.len() + longer);
    }

    #[test]
    fn any_bytes_as_columns(bytes in vec(any::<u8>(), 0..400), len in 0usize..5000) {
        let _ = decode(&bytes, len);
    }

    #[test]
    fn any_bytes_as_records(bytes in vec(any::<u8>(), 0..400), limit in 0usize..500) {
        let mut encoder = Encoder::default();
        let layout = layout();
        let walk = encoder.walk(&bytes, limit, &mut |_| Some(layout.clone()));
        prop_assert!(walk.len <= bytes.len());
        if walk.is_regular && walk.len != 0 {
            let mut columns = Vec::new();
            encoder.encode(&bytes, &mut columns, &mut || {});
            prop_assert!(decode(&columns, walk.len).is_some());
        }
    }
}
