//! The segment writer on a storage whose n-th call fails: whatever fails, what was released is in the files, and what a
//! sync covered survives the loss of power.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use tracewell_schema::format::crc;

use super::*;

/// Length of a block's range.
const RANGE: u64 = 400;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Create,
    Append,
    Truncate,
    Sync,
    Seal,
    Settle,
}

#[derive(Clone, Default)]
struct File {
    bytes: Vec<u8>,
    /// What is there after a loss of power.
    durable: Vec<u8>,
    /// A sync has failed: the kernel has forgotten what it could not write, and later ones say that all is well.
    forgot: bool,
}

#[derive(Default)]
struct Inner {
    files: BTreeMap<String, File>,
    present: Option<String>,
    to_seal: Vec<(String, String)>,
    calls: usize,
    /// Which calls fail.
    failing: BTreeSet<usize>,
    failed: Vec<Call>,
    errno: i32,
}

#[derive(Clone, Default)]
struct Disk(Arc<Mutex<Inner>>);

impl Inner {
    fn call(&mut self, call: Call) -> io::Result<()> {
        self.calls += 1;
        if !self.failing.contains(&self.calls) {
            return Ok(());
        }
        self.failed.push(call);
        Err(io::Error::from_raw_os_error(self.errno))
    }

    fn file(&mut self) -> io::Result<&mut File> {
        let name = self.present.as_ref().ok_or(io::ErrorKind::NotFound)?;
        self.files.get_mut(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn sync(file: &mut File) {
    if !file.forgot {
        file.durable.clone_from(&file.bytes);
    }
}

impl Storage for Disk {
    fn create(&mut self, name: &str) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.present = None;
        disk.call(Call::Create)?;
        assert!(disk.files.insert(name.to_owned(), File::default()).is_none(), "{name} exists");
        disk.present = Some(name.to_owned());
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        let called = disk.call(Call::Append);
        // A part is written before the disk is full.
        let some = if called.is_err() { &bytes[..bytes.len() / 2 + 1] } else { bytes };
        disk.file()?.bytes.extend_from_slice(some);
        called
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.call(Call::Truncate)?;
        disk.file()?.bytes.truncate(len as usize);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        let called = disk.call(Call::Sync);
        let file = disk.file()?;
        file.forgot |= called.is_err();
        sync(file);
        called
    }

    fn remove(&mut self, name: &str) {
        let mut disk = self.0.lock().unwrap();
        disk.present = None;
        disk.files.remove(name);
    }

    fn seal(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.call(Call::Seal)?;
        disk.present = None;
        disk.to_seal.push((from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn settle(&mut self) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        let called = disk.call(Call::Settle);
        for (from, to) in std::mem::take(&mut disk.to_seal) {
            let mut file = disk.files.remove(&from).unwrap();
            file.forgot |= called.is_err();
            sync(&mut file);
            disk.files.insert(if called.is_err() { from } else { to }, file);
        }
        called
    }
}

struct Fixed;

impl Context for Fixed {
    fn clock_points(&self) -> Vec<ClockPoint> {
        vec![ClockPoint::default()]
    }

    fn schemas(&self, _from: usize) -> (Vec<u8>, usize) {
        (vec![1, 0, 4, 0, 0, 0, 9, 9, 9, 9], 1)
    }

    fn counters(&self) -> Vec<RingCounters> {
        vec![RingCounters::default()]
    }
}

/// The ranges of the whole blocks of a file, and whether it has its end.
fn blocks_of(bytes: &[u8]) -> (Vec<(u64, u64)>, bool, usize) {
    let (mut ranges, mut at) = (Vec::new(), segment::HEADER_LEN);
    let (mut has_clock, mut has_ring, mut has_schema, mut count) = (false, false, false, 0);
    if bytes.len() < at {
        return (ranges, false, 0);
    }
    assert!(SegmentHeader::decode(&bytes[..at]).is_ok());
    while let Some(header) = bytes.get(at..).and_then(|b| BlockHeader::decode(b).ok()) {
        let end = at + block::HEADER_LEN + header.padded_len() as usize;
        let stored = at + block::HEADER_LEN..at + block::HEADER_LEN + header.stored_len as usize;
        if bytes.len() < end || crc(&bytes[stored.clone()]) != header.payload_crc {
            break;
        }
        at = end;
        match header.kind {
            BlockKind::Clocks => has_clock = true,
            BlockKind::Ring => has_ring = true,
            BlockKind::Schemas => has_schema = true,
            BlockKind::Data => {
                assert!(has_clock && has_ring && has_schema, "a segment stands alone");
                assert_eq!(&bytes[stored], payload(header.from), "the records of this range");
                ranges.push((header.from, header.to));
            }
            BlockKind::End => {
                assert_eq!(header.sequence, count);
                return (ranges, true, at);
            }
            _ => {}
        }
        count += 1;
    }
    (ranges, false, at)
}

fn payload(from: u64) -> Vec<u8> {
    (0..RANGE).map(|n| (from / RANGE + n) as u8).collect()
}

/// The segment writer with what the writer's thread does around it.
struct Rig {
    disk: Disk,
    writer: SegmentWriter<Disk>,
    next: u64,
    released: u64,
    /// A flush has said that what was released before may be gone with the power.
    excused: u64,
    tries: u32,
    told: u32,
}

impl Rig {
    fn new(failing: &[usize], errno: i32) -> Self {
        let disk = Disk::default();
        disk.0.lock().unwrap().failing = failing.iter().copied().collect();
        disk.0.lock().unwrap().errno = errno;
        let rotation = Rotation { bytes: 3000, age: Duration::from_secs(3600) };
        let writer = SegmentWriter::new(disk.clone(), ProcessIdentity::default(), rotation);
        Self { disk, writer, next: 0, released: 0, excused: 0, tries: 0, told: 0 }
    }

    fn persist(&mut self, mut work: impl FnMut(&mut SegmentWriter<Disk>) -> io::Result<()>) {
        for _ in 0..6 {
            self.tries += 1;
            if work(&mut self.writer).and_then(|()| self.writer.commit()).is_ok() {
                return;
            }
            self.writer.abandon();
            self.check();
        }
        panic!("no try succeeds");
    }

    /// Some blocks in one go, then their release.
    fn write(&mut self, count: u64) {
        let from = self.next;
        self.next += count * RANGE;
        let to = self.next;
        let info = RingInfo { ring: 1, ..RingInfo::default() };
        let block = |from| {
            let header = BlockHeader {
                ring: 1,
                events: 4,
                from,
                to: from + RANGE,
                raw_len: RANGE as u32,
                ..BlockHeader::meta(BlockKind::Data)
            };
            (header, payload(from))
        };
        let blocks: Vec<_> = (from..to).step_by(RANGE as usize).map(block).collect();
        let mut safe = 0;
        self.persist(|writer| {
            let blocks = blocks.iter().map(|(header, stored)| (header, &info, stored.as_slice()));
            writer.write_blocks(blocks, &mut safe, &Fixed)
        });
        self.released = to;
        self.check();
    }

    fn flush(&mut self) {
        self.persist(|writer| writer.write_counters(&[RingCounters::default()], &Fixed));
        let synced = self.writer.sync();
        self.take_note(synced);
        self.check();
    }

    fn take_note(&mut self, synced: io::Result<()>) {
        if synced.is_err() {
            self.told += 1;
            self.excused = self.released;
        }
        let durable = self.ranges(|file| &file.durable);
        for from in (self.excused..self.released).step_by(RANGE as usize) {
            assert!(durable.contains(&from), "{from} was said to survive the loss of power");
        }
    }

    fn seal(&mut self) {
        self.persist(|writer| writer.seal(&Fixed));
        self.check();
    }

    fn close(&mut self) {
        self.seal();
        let settled = self.writer.settle();
        self.take_note(settled);
    }

    fn ranges(&self, bytes: impl Fn(&File) -> &Vec<u8>) -> BTreeSet<u64> {
        let disk = self.disk.0.lock().unwrap();
        disk.files.values().flat_map(|file| blocks_of(bytes(file)).0).map(|(from, _)| from).collect()
    }

    /// Data blocks in all files, also those of the same range.
    fn blocks(&self) -> u64 {
        let disk = self.disk.0.lock().unwrap();
        disk.files.values().map(|file| blocks_of(&file.bytes).0.len() as u64).sum()
    }

    /// After a kill at this moment.
    fn check(&self) {
        let there = self.ranges(|file| &file.bytes);
        for from in (0..self.released).step_by(RANGE as usize) {
            assert!(there.contains(&from), "{from} was released and is in no file");
        }
    }

    fn check_files(&self) {
        let disk = self.disk.0.lock().unwrap();
        for (name, file) in &disk.files {
            let (ranges, has_end, len) = blocks_of(&file.bytes);
            assert!(file.bytes.len() > segment::HEADER_LEN, "{name} has {} bytes", file.bytes.len());
            assert!(ranges.is_sorted_by(|a, b| a.1 <= b.0), "{name}: {ranges:?}");
            if !name.ends_with(segment::OPEN_SUFFIX) {
                assert!(has_end && len == file.bytes.len(), "{name} is sealed but not whole");
            }
        }
    }
}

fn run(failing: &[usize], errno: i32) -> Rig {
    let mut rig = Rig::new(failing, errno);
    for round in 0..9 {
        rig.write(1 + round % 3);
        if round % 3 == 1 {
            rig.flush();
        }
        // By age, or by what is asked for.
        if round == 4 {
            rig.seal();
        }
        rig.persist(|writer| writer.note_clocks(&Fixed));
    }
    // More than a segment at once, and more than the writer gathers.
    rig.write(20);
    rig.flush();
    rig.write(1);
    rig.close();
    rig.check();
    rig.check_files();
    rig
}

#[test]
fn without_failures_everything_is_there_once() {
    let rig = run(&[], 0);
    assert_eq!(rig.blocks() * RANGE, rig.released);
    let disk = rig.disk.0.lock().unwrap();
    assert!(disk.files.len() > 5 && disk.files.keys().all(|name| name.ends_with(".twseg")));
    assert_eq!((rig.told, disk.failed.len()), (0, 0));
}

#[test]
fn any_one_call_fails() {
    let calls = run(&[], 0).disk.0.lock().unwrap().calls;
    let mut kinds = Vec::new();
    for errno in [libc::ENOSPC, libc::EIO] {
        for n in 1..=calls {
            let rig = run(&[n], errno);
            let failed = rig.disk.0.lock().unwrap().failed.clone();
            assert_eq!(failed.len(), 1, "call {n}");
            assert_eq!(rig.blocks() * RANGE, rig.released, "call {n}: {failed:?}: some range is there twice");
            // Whatever was not synced is told once, and nothing else is.
            let must_be_told = matches!(failed[0], Call::Sync | Call::Settle);
            assert_eq!(rig.told, u32::from(must_be_told), "call {n}: {failed:?}");
            kinds.extend(failed);
        }
    }
    for kind in [Call::Create, Call::Append, Call::Sync, Call::Seal, Call::Settle] {
        assert!(kinds.contains(&kind), "{kind:?}");
    }
}

#[test]
fn what_is_done_about_a_failure_fails_too() {
    let calls = run(&[], 0).disk.0.lock().unwrap().calls;
    let mut kinds = Vec::new();
    for n in 1..=calls {
        for failing in [&[n, n + 1][..], &[n, n + 2], &[n, n + 1, n + 2], &[n, n + 3]] {
            let rig = run(failing, libc::ENOSPC);
            kinds.extend(rig.disk.0.lock().unwrap().failed.iter().copied());
        }
    }
    assert!(kinds.contains(&Call::Truncate));
}

#[test]
fn a_failed_write_leaves_nothing_of_itself() {
    // Call 1 creates the first file, call 2 writes to it.
    let mut rig = Rig::new(&[2], libc::ENOSPC);
    rig.write(2);
    let disk = rig.disk.0.lock().unwrap();
    assert_eq!(disk.files.len(), 1, "the first file had nothing to keep");
    assert_eq!(blocks_of(&disk.files.values().next().unwrap().bytes).0.len(), 2);
    drop(disk);
    // Later ones are cut to what is whole: no range is there twice.
    let mut rig = Rig::new(&[3], libc::ENOSPC);
    rig.write(1);
    rig.write(1);
    let disk = rig.disk.0.lock().unwrap();
    let all: Vec<_> = disk.files.values().flat_map(|file| blocks_of(&file.bytes).0).collect();
    assert_eq!((disk.files.len(), all.as_slice()), (2, &[(0, RANGE), (RANGE, 2 * RANGE)][..]));
}

/// A process that emitted nothing for weeks.
struct Quiet;

impl Context for Quiet {
    fn clock_points(&self) -> Vec<ClockPoint> {
        vec![ClockPoint::default(); 30_000]
    }

    fn schemas(&self, _from: usize) -> (Vec<u8>, usize) {
        (Vec::new(), 0)
    }

    fn counters(&self) -> Vec<RingCounters> {
        Vec::new()
    }
}

#[test]
fn however_many_clock_points_there_are_no_block_is_too_long() {
    let disk = Disk::default();
    let rotation = Rotation { bytes: u64::MAX, age: Duration::MAX };
    let mut writer = SegmentWriter::new(disk.clone(), ProcessIdentity::default(), rotation);
    writer.write_counters(&[], &Quiet).unwrap();
    writer.seal(&Quiet).unwrap();
    let inner = disk.0.lock().unwrap();
    let bytes = &inner.files.values().next().unwrap().bytes;
    let (mut at, mut points) = (segment::HEADER_LEN, 0);
    while at < bytes.len() {
        let header = BlockHeader::decode(&bytes[at..]).unwrap();
        if header.kind == BlockKind::Clocks {
            points += header.raw_len as usize / ClockPoint::default().encode().len();
        }
        at += block::HEADER_LEN + header.padded_len() as usize;
    }
    assert_eq!(points, 60_000);
}

#[test]
fn a_segment_is_aged_by_its_first_block() {
    let disk = Disk::default();
    let rotation = Rotation { bytes: u64::MAX, age: Duration::from_millis(30) };
    let mut writer = SegmentWriter::new(disk.clone(), ProcessIdentity::default(), rotation);
    assert!(!writer.is_aged());
    let begun = Instant::now();
    while !writer.is_aged() {
        // What is written meanwhile does not make it younger.
        writer.write_counters(&[RingCounters::default()], &Fixed).unwrap();
        writer.commit().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
    assert!(begun.elapsed() >= Duration::from_millis(30));
    writer.seal(&Fixed).unwrap();
    assert!(!writer.is_aged());
    writer.settle().unwrap();
    assert!(disk.0.lock().unwrap().files.keys().all(|name| name.ends_with(".twseg")));
}
