//! For a component's own tests: what did it emit?
//!
//! ```no_run
//! use tracewell::{emit, catalog::ErrorRaised, testing};
//!
//! let capture = testing::capture("scanner");
//! emit!(capture.tracer(), ErrorRaised { code: 7, ..Default::default() });
//! let events = capture.events();
//! assert_eq!(events[0].name, "error.raised");
//! assert_eq!(events[0].fields["code"], "7");
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tracewell_schema::format::block::{BlockHeader, BlockKind, HEADER_LEN, decompress_block};
use tracewell_schema::format::process::SchemaItems;
use tracewell_schema::format::record::{FLAG_REDUCED, KIND_EVENT, Records};
use tracewell_schema::format::{hex, segment};
use tracewell_schema::{Schema, Value, decode_event};

use crate::Tracer;
use crate::control::{Control, EnableRequest};
use crate::dirs::Dirs;
#[doc(hidden)]
pub use crate::storage::Storage;

/// A tracer of its own directory with everything enabled, at the finest level.
#[derive(Debug)]
pub struct Capture {
    tracer: Tracer,
    control: Control,
    folder: PathBuf,
    base: PathBuf,
}

/// An event that was emitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedEvent {
    /// Full name.
    pub name: String,
    /// Its fields, as text; absent ones are left out. Secrets are `secret CLASS HASH`.
    pub fields: BTreeMap<String, String>,
}

/// Begins to capture what a component emits. Opt-in events and fields stay off; see [`capture_with`].
///
/// # Panics
/// If no temporary directory can be made.
#[must_use]
pub fn capture(component: &str) -> Capture {
    capture_with(component, &[])
}

/// As [`capture`], with opt-in events and fields by full name.
///
/// # Panics
/// As [`capture`].
#[must_use]
pub fn capture_with(component: &str, opt_in: &[&str]) -> Capture {
    let name = format!("tracewell-test-{}", hex(&crate::uuid::random()[..8]));
    let base = std::env::temp_dir().join(name);
    let dirs = Dirs::resolve(Some(&base)).expect("a temporary directory");
    let tracer = Tracer::builder(component).dir(&base).attach().expect("a private temporary directory");
    let control = Control::open_or_create(&dirs).expect("the control page just made");
    let opt_in = opt_in.iter().map(|s| (*s).to_owned()).collect();
    let request = EnableRequest { levels: [5; 32], opt_in, ..EnableRequest::default() };
    let session = control.enable(&dirs, &request).expect("the directory just made");
    Capture { tracer, control, folder: session.folder, base: dirs.base().to_owned() }
}

impl Capture {
    /// The tracer to emit with.
    #[must_use]
    pub fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// Everything emitted so far, thread by thread.
    ///
    /// # Panics
    /// If the trace cannot be written or read: then the test cannot say anything.
    #[must_use]
    pub fn events(&self) -> Vec<CapturedEvent> {
        self.tracer.flush().expect("the trace is written");
        let mut names: Vec<_> = std::fs::read_dir(&self.folder)
            .expect("the session's folder")
            .flatten()
            .map(|entry| entry.path())
            .collect();
        names.sort();
        let mut blocks = Vec::new();
        for path in names {
            read_segment(&std::fs::read(path).expect("a segment"), &mut blocks);
        }
        blocks.sort_by_key(|(ring, sequence, _)| (*ring, *sequence));
        blocks.into_iter().flat_map(|(.., events)| events).collect()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.tracer.shutdown();
        let _ = self.control.disable();
        let _ = std::fs::remove_dir_all(&self.base);
    }
}

/// For the fault tests: packs every segment that was stored in haste, now, where a tender waits for a calm second.
/// Tells how many it packed.
#[doc(hidden)]
#[must_use]
pub fn pack_now(dirs: &Dirs) -> usize {
    let found = crate::pack::find(&dirs.sessions(), &mut || false);
    found.iter().filter(|candidate| crate::pack::pack(candidate, &mut || false).is_ok()).count()
}

/// Something to put between the segment writer and the files of the session in this folder.
#[doc(hidden)]
pub type WrapStorage = Box<dyn Fn(&Path, Box<dyn Storage>) -> Box<dyn Storage> + Send + Sync>;

static WRAP: OnceLock<WrapStorage> = OnceLock::new();

/// For fault tests: every session of this process that begins from now on writes through what `wrap` returns. Once in a
/// process.
#[doc(hidden)]
pub fn wrap_storage(wrap: WrapStorage) {
    let _ = WRAP.set(wrap);
}

/// Where a session's segments go.
pub(crate) fn storage_for(folder: &Path, storage: Box<dyn Storage>) -> Box<dyn Storage> {
    match WRAP.get() {
        Some(wrap) => wrap(folder, storage),
        None => storage,
    }
}

fn read_segment(bytes: &[u8], out: &mut Vec<(u32, u64, Vec<CapturedEvent>)>) {
    let mut schemas: BTreeMap<u16, Schema> = BTreeMap::new();
    let (mut at, mut raw) = (segment::HEADER_LEN, Vec::new());
    while let Some(header) = bytes.get(at..).and_then(|b| BlockHeader::decode(b).ok()) {
        let stored = bytes.get(at + HEADER_LEN..).unwrap_or_default();
        if decompress_block(&header, stored, &mut raw).is_err() {
            break;
        }
        match header.kind {
            BlockKind::Schemas => {
                for (index, blob) in SchemaItems::of_block(&raw).flatten() {
                    schemas.extend(Schema::parse(blob).ok().map(|schema| (index, schema)));
                }
            }
            BlockKind::Data => {
                let events = Records::new(&raw)
                    .flatten()
                    .filter(|record| record.header.kind == KIND_EVENT)
                    .filter_map(|record| {
                        let schema = schemas.get(&record.header.event)?;
                        let reduced = record.header.flags & FLAG_REDUCED != 0;
                        let values = decode_event(schema, record.payload, reduced).ok()?;
                        let fields = values
                            .iter()
                            .flatten()
                            .filter(|f| f.value != Value::Absent)
                            .map(|f| (f.schema.name.clone(), text_of(&f.value, &f.schema.ty)))
                            .collect();
                        Some(CapturedEvent { name: schema.name.clone(), fields })
                    })
                    .collect();
                out.push((header.ring, header.sequence, events));
            }
            _ => {}
        }
        at += HEADER_LEN + header.padded_len() as usize;
    }
}

fn text_of(value: &Value<'_>, ty: &tracewell_schema::FieldType) -> String {
    match value {
        Value::Bool(v) => v.to_string(),
        Value::U(v) | Value::Duration(v) => v.to_string(),
        Value::I(v) | Value::Time(v) => v.to_string(),
        Value::F(v) => v.to_string(),
        Value::Str(text) => String::from_utf8_lossy(text.bytes).into_owned(),
        Value::Bytes(bytes) => hex(bytes.bytes),
        Value::Ip(ip) => ip.to_string(),
        Value::IpKeyed(hash) => format!("keyed {}", hex(hash)),
        Value::Socket(socket) => socket.to_string(),
        Value::SocketKeyed(hash, port) => format!("keyed {}:{port}", hex(hash)),
        Value::Enum(v) => ty.enum_name(*v).map_or_else(|| v.to_string(), str::to_owned),
        Value::Flags(bits) => {
            let names: Vec<_> =
                ty.flag_names().iter().filter(|(m, _)| bits & m == *m).map(|(_, n)| n.as_str()).collect();
            names.join("|")
        }
        Value::List(list) => {
            let items: Vec<_> = list.iter().flatten().map(|v| text_of(&v, list.item)).collect();
            items.join(",")
        }
        Value::Secret(class, hash) => format!("secret {class} {}", hex(hash)),
        Value::Key128(key) => hex(key),
        Value::Id64(id) => format!("{id:016x}"),
        _ => String::new(),
    }
}
