//! Trace segments: decoded block by block, personal fields replaced, and encoded again. What comes out is a segment like
//! any other: every reader takes it, and its counts and holes are those of the original.
//!
//! Records change their lengths, so positions in the ring do too: they are counted anew, with the same holes.

use std::collections::HashMap;
use std::io::{self, Read};
use std::net::IpAddr;

use tracewell::schema::Privacy;
use tracewell::schema::decode::Reader;
use tracewell::schema::format::block::{self, BlockHeader, BlockKind, Codec, Unpacker, compress_block};
use tracewell::schema::format::crc;
use tracewell::schema::format::process::SchemaItems;
use tracewell::schema::format::record::{FLAG_REDUCED, HEADER_LEN, KIND_EVENT, KIND_PAD, Records};
use tracewell::schema::format::ring::RingCounters;
use tracewell::schema::format::segment::{self, SegmentHeader};
use tracewell::schema::limits::{MAX_BLOCK_RAW, MAX_RECORD, MAX_VALUE};
use tracewell::schema::schema::{FieldType, Schema};

use super::Redactor;

/// The bit of a length word that says that the value was cut.
const CUT: u16 = 0x8000;

/// Old and new positions of rings, from segment to segment: by process and ring, the ends of what was seen.
pub(super) type Positions = HashMap<([u8; 16], u32), (u64, u64)>;

/// Gives a segment with everything replaced.
pub(super) struct SegmentStream<'a, R: Read> {
    redactor: &'a mut Redactor,
    positions: &'a mut Positions,
    from: R,
    process: [u8; 16],
    schemas: HashMap<u16, Schema>,
    unpacker: Unpacker,
    stored: Vec<u8>,
    raw: Vec<u8>,
    blocks: u64,
    ready: Vec<u8>,
    given: usize,
    is_begun: bool,
    is_ended: bool,
    /// What was wrong with it, if it could not be read to its end.
    pub(super) damage: &'a mut Option<String>,
}

impl<'a, R: Read> SegmentStream<'a, R> {
    pub(super) fn new(
        redactor: &'a mut Redactor,
        positions: &'a mut Positions,
        damage: &'a mut Option<String>,
        from: R,
    ) -> Self {
        Self {
            redactor,
            positions,
            from,
            process: [0; 16],
            schemas: HashMap::new(),
            unpacker: Unpacker::default(),
            stored: Vec::new(),
            raw: Vec::new(),
            blocks: 0,
            ready: Vec::new(),
            given: 0,
            is_begun: false,
            is_ended: false,
            damage,
        }
    }

    /// Makes the next piece ready.
    fn next(&mut self) -> io::Result<()> {
        self.ready.clear();
        self.given = 0;
        if !self.is_begun {
            self.is_begun = true;
            return self.header();
        }
        let mut bytes = [0; block::HEADER_LEN];
        let read = fill(&mut self.from, &mut bytes)?;
        if read == 0 {
            self.is_ended = true;
            return Ok(());
        }
        let header = match BlockHeader::decode(bytes.get(..read).unwrap_or_default()) {
            Ok(header) => header,
            Err(e) => return self.stop(e.what),
        };
        self.stored.resize(usize::try_from(header.padded_len()).unwrap_or(0), 0);
        if fill(&mut self.from, &mut self.stored)? < header.stored_len as usize {
            return self.stop("the last block is cut");
        }
        if self.block(header).is_none() {
            return self.stop("a block is damaged");
        }
        Ok(())
    }

    fn stop(&mut self, what: &str) -> io::Result<()> {
        // What follows cannot be looked into, and so is not given.
        *self.damage = Some(what.to_owned());
        self.is_ended = true;
        Ok(())
    }

    fn header(&mut self) -> io::Result<()> {
        let mut bytes = [0; segment::HEADER_LEN];
        let read = fill(&mut self.from, &mut bytes)?;
        match SegmentHeader::decode(bytes.get(..read).unwrap_or_default()) {
            Ok(mut header) => {
                self.process = header.identity.process_uuid;
                header.identity.uid = self.redactor.uid(header.identity.uid);
                self.ready.extend_from_slice(&header.encode());
                Ok(())
            }
            Err(e) => self.stop(e.what),
        }
    }

    /// Looks into a block and makes what becomes of it ready. `None` if it is damaged.
    fn block(&mut self, mut header: BlockHeader) -> Option<()> {
        if header.kind == BlockKind::End {
            header.sequence = self.blocks;
            self.put(&header, &[]);
            return Some(());
        }
        let mut raw = std::mem::take(&mut self.raw);
        let unpacked = self.unpacker.unpack(&header, &self.stored, &mut raw);
        self.raw = raw;
        unpacked.ok()?;
        match header.kind {
            BlockKind::Data => return self.data(header),
            BlockKind::Schemas => {
                for item in SchemaItems::of_block(&self.raw) {
                    let (index, blob) = item.ok()?;
                    self.schemas.insert(index, Schema::parse(blob).ok()?);
                }
            }
            BlockKind::Counters => {
                let raw = std::mem::take(&mut self.raw);
                let mut reader = Reader::new(&raw);
                let mut out = Vec::with_capacity(raw.len());
                while !reader.rest().is_empty() {
                    let mut counters = RingCounters::decode(&mut reader).ok()?;
                    if let Some((old, new)) = self.positions.get(&(self.process, counters.ring)) {
                        // Wrapping: a position behind what was seen is as far behind in the new count.
                        counters.position = new.wrapping_add(counters.position.wrapping_sub(*old));
                    }
                    out.extend_from_slice(&counters.encode());
                }
                self.raw = out;
            }
            _ => {}
        }
        self.store(header)
    }

    fn data(&mut self, mut header: BlockHeader) -> Option<()> {
        let place = (self.process, header.ring);
        let (old, new) = *self.positions.entry(place).or_insert((header.from, header.from));
        if header.from < old {
            // Written twice: readers would leave it out too.
            return Some(());
        }
        let raw = std::mem::take(&mut self.raw);
        let mut out = Vec::with_capacity(raw.len() + raw.len() / 4);
        let done = self.records(&raw, &mut out);
        self.raw = raw;
        done?;
        if out.len() > MAX_BLOCK_RAW {
            return None;
        }
        let from = new.checked_add(header.from - old)?;
        let old_end = header.to;
        (header.from, header.to) = (from, from.checked_add(out.len() as u64)?);
        self.positions.insert(place, (old_end, header.to));
        self.raw = out;
        self.store(header)
    }

    /// Replaces in the records of a block.
    fn records(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Option<()> {
        for record in Records::new(raw) {
            let record = record.ok()?;
            let (mut header, payload) = (record.header, record.payload);
            if header.kind == KIND_PAD {
                // Nothing of a former lap stays behind it.
                let start = raw.get(record.offset..)?.get(..8)?;
                out.extend_from_slice(start);
                out.resize(out.len() + header.len as usize - 8, 0);
                continue;
            }
            let begun = out.len();
            out.resize(begun + HEADER_LEN, 0);
            if header.kind == KIND_EVENT {
                // Without its schema nobody can tell what is in it.
                let schema = self.schemas.remove(&header.event)?;
                let done = self.payload(&schema, payload, header.flags & FLAG_REDUCED != 0, out);
                self.schemas.insert(header.event, schema);
                done?;
            } else {
                out.extend_from_slice(payload);
            }
            let len = out.len() - begun;
            if len > MAX_RECORD {
                return None;
            }
            header.len = u32::try_from(len).ok()?;
            out.get_mut(begun..begun + HEADER_LEN)?.copy_from_slice(&header.encode());
            out.resize(begun + len.next_multiple_of(8), 0);
        }
        Some(())
    }

    /// Replaces in one event.
    fn payload(&mut self, schema: &Schema, payload: &[u8], reduced: bool, out: &mut Vec<u8>) -> Option<()> {
        let (fixed, rest) = payload.split_at_checked(schema.fixed_len())?;
        let (mut fixed, mut variable) = (Reader::new(fixed), Reader::new(rest));
        let mut tail = Vec::new();
        for field in &schema.fields {
            let is_personal = field.class == Privacy::Personal;
            self.value(&field.name, &field.ty, is_personal, &mut fixed, &mut variable, out, &mut tail)?;
        }
        out.extend_from_slice(&tail);
        if reduced {
            // The trailer. Other bytes after the values are of a schema that is not this one, and are not given.
            let rest = variable.rest();
            let len = usize::from(*rest.last()?) * 2 + 1;
            out.extend_from_slice(rest.get(rest.len().checked_sub(len)?..)?);
        }
        Some(())
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "a value has a fixed and a variable part, and both are copied"
    )]
    fn value(
        &mut self,
        name: &str,
        ty: &FieldType,
        is_personal: bool,
        fixed: &mut Reader<'_>,
        variable: &mut Reader<'_>,
        out: &mut Vec<u8>,
        tail: &mut Vec<u8>,
    ) -> Option<()> {
        match ty {
            FieldType::Optional(inner) => {
                let present = fixed.u8().ok()?;
                out.push(present);
                if present == 0 {
                    fixed.take(inner.fixed_len()).ok()?;
                    out.resize(out.len() + inner.fixed_len(), 0);
                    return Some(());
                }
                self.value(name, inner, is_personal, fixed, variable, out, tail)
            }
            FieldType::Str | FieldType::Bytes => {
                let word = fixed.u16().ok()?;
                let bytes = variable.take(usize::from(word & !CUT)).ok()?;
                let (new, was_cut) = self.bytes(name, ty, is_personal, bytes);
                tail.extend_from_slice(&new);
                out.extend_from_slice(&length_word(new.len(), word & CUT != 0 || was_cut));
                Some(())
            }
            FieldType::List(item) => {
                let word = fixed.u16().ok()?;
                let bytes = variable.take(usize::from(word & !CUT)).ok()?;
                let mut items = Reader::new(bytes);
                let (mut list, mut was_cut) = (Vec::new(), word & CUT != 0);
                while !items.rest().is_empty() {
                    let (mut form, mut text) = (Vec::new(), Vec::new());
                    // The bytes of an item follow its fixed form, so both come from one reader.
                    let mut start = Reader::new(items.take(item.fixed_len()).ok()?);
                    self.value(name, item, is_personal, &mut start, &mut items, &mut form, &mut text)?;
                    if list.len() + form.len() + text.len() > MAX_VALUE {
                        was_cut = true;
                        break;
                    }
                    list.extend_from_slice(&form);
                    list.extend_from_slice(&text);
                }
                out.extend_from_slice(&length_word(list.len(), was_cut));
                tail.extend_from_slice(&list);
                Some(())
            }
            FieldType::Ip | FieldType::Socket => {
                let mut form: [u8; 17] = fixed.array().ok()?;
                if is_personal {
                    self.address(&mut form);
                }
                out.extend_from_slice(&form);
                if matches!(ty, FieldType::Socket) {
                    out.extend_from_slice(&fixed.u16().ok()?.to_le_bytes());
                }
                Some(())
            }
            FieldType::U32 if is_personal => {
                let number = fixed.u32().ok()?;
                out.extend_from_slice(&self.redactor.uid(number).to_le_bytes());
                Some(())
            }
            FieldType::Fixed(_) | FieldType::Key128 if is_personal => {
                let bytes = fixed.take(ty.fixed_len()).ok()?;
                let hash = self.redactor.key.hash(name, bytes);
                self.redactor.count("hash");
                out.extend(hash.iter().chain(std::iter::repeat(&0)).take(bytes.len()));
                Some(())
            }
            // Times, sizes and the like; a number that is personal is not given at all.
            _ => {
                let bytes = fixed.take(ty.fixed_len()).ok()?;
                let is_number = matches!(
                    ty,
                    FieldType::U64 | FieldType::I64 | FieldType::I32 | FieldType::F64 | FieldType::Id64
                );
                if is_personal && is_number {
                    self.redactor.count("number");
                    out.resize(out.len() + bytes.len(), 0);
                } else {
                    out.extend_from_slice(bytes);
                }
                Some(())
            }
        }
    }

    fn bytes(&mut self, name: &str, ty: &FieldType, is_personal: bool, bytes: &[u8]) -> (Vec<u8>, bool) {
        let text = String::from_utf8_lossy(bytes);
        let mut new = match ty {
            FieldType::Str if is_personal => self.redactor.field(name, &text).into_owned().into_bytes(),
            // Public text is a component's own words; what slipped into them is found by its form.
            FieldType::Str => self.redactor.text(&text).into_owned().into_bytes(),
            _ if is_personal && !bytes.is_empty() => {
                let hash = self.redactor.key.hash(name, bytes);
                self.redactor.count("hash");
                hash.get(..8).unwrap_or_default().to_vec()
            }
            _ => bytes.to_vec(),
        };
        let is_long = new.len() > MAX_VALUE;
        if is_long {
            let mut end = MAX_VALUE;
            while end > 0 && new.get(end).is_some_and(|b| b & 0xc0 == 0x80) {
                end -= 1;
            }
            new.truncate(end);
        }
        (new, is_long)
    }

    /// An address in its fixed form.
    fn address(&mut self, form: &mut [u8; 17]) {
        let [kind, bytes @ ..] = form;
        let ip: IpAddr = match (*kind, bytes.first_chunk::<4>()) {
            (4, Some(v4)) => (*v4).into(),
            (6, _) => (*bytes).into(),
            // Absent, or a keyed hash already.
            _ => return,
        };
        match self.redactor.ip(ip) {
            IpAddr::V4(v4) => {
                if let Some(place) = bytes.first_chunk_mut::<4>() {
                    *place = v4.octets();
                }
            }
            IpAddr::V6(v6) => *bytes = v6.octets(),
        }
    }

    /// Makes the block of `self.raw` ready.
    fn store(&mut self, mut header: BlockHeader) -> Option<()> {
        let raw = std::mem::take(&mut self.raw);
        let mut stored = Vec::new();
        header.codec = compress_block(&raw, &mut stored);
        if header.codec == Codec::Raw {
            stored.extend_from_slice(&raw);
        }
        header.flags &= !block::FLAG_HASTY;
        header.raw_len = u32::try_from(raw.len()).ok()?;
        header.stored_len = u32::try_from(stored.len()).ok()?;
        header.payload_crc = crc(&stored);
        self.put(&header, &stored);
        self.raw = raw;
        Some(())
    }

    fn put(&mut self, header: &BlockHeader, stored: &[u8]) {
        self.blocks += 1;
        self.ready.extend_from_slice(&header.encode());
        self.ready.extend_from_slice(stored);
        self.ready.resize(self.ready.len().next_multiple_of(8), 0);
    }
}

impl<R: Read> Read for SegmentStream<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.given == self.ready.len() {
            if self.is_ended {
                return Ok(0);
            }
            self.next()?;
        }
        let rest = self.ready.get(self.given..).unwrap_or_default();
        let n = rest.len().min(out.len());
        for (place, byte) in out.iter_mut().zip(rest) {
            *place = *byte;
        }
        self.given += n;
        Ok(n)
    }
}

fn length_word(len: usize, cut: bool) -> [u8; 2] {
    (len.min(MAX_VALUE) as u16 | if cut { CUT } else { 0 }).to_le_bytes()
}

/// Reads until the buffer is full or the file ends.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|r| !r.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}
