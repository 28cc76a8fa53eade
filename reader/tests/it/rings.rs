//! Ring folders of dead and living processes.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::{fs, thread};

use tracewell_reader::{Filter, Summary};

use crate::synth::{RingFile, Seen, Segment, events, pad, read, read_with, step, steps, write_folder};

const CAPACITY: u64 = 1 << 16;

fn read_both(session: &Path, root: &Path) -> (Vec<Seen>, Summary) {
    read_with(&[session.to_owned()], &[root.to_owned()], &Filter::default()).unwrap()
}

#[test]
fn a_killed_process_is_read_from_segment_and_ring_together() {
    let (session, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b, c) = (steps(0..10, 1000), steps(10..20, 1000), steps(20..30, 1000));
    // The second block was written but not released, the third only begun.
    let mut segment = Segment::new("scanner", 7, 1);
    let len = a.len() as u64;
    segment.data(1, 0, 0, &a).data(1, len, 10, &b).data(1, 2 * len, 20, &c);
    segment.bytes.truncate(segment.bytes.len() - 20);
    segment.write_open(session.path());
    let mut ring = RingFile::new(7, 1, CAPACITY, len, 10, &[b, c].concat());
    // Killed inside an emit: one is attempted that the head does not cover.
    ring.header.attempted += 1;
    write_folder(root.path(), "scanner", 7, &[ring]);
    let (seen, summary) = read_both(session.path(), root.path());
    assert_eq!(seen, events(7, 1, 0..30));
    assert!(summary.is_complete(), "{summary:?}");
    assert_eq!((summary.torn, summary.leftover_rings, summary.law_checked), (1, 1, 1));
}

#[test]
fn what_was_being_made_when_its_process_was_killed_is_nothing() {
    let root = tempfile::tempdir().unwrap();
    let mut given = RingFile::new(7, 2, CAPACITY, 640, 0, &[]);
    given.header.state = 0;
    let rings = [RingFile::new(7, 1, CAPACITY, 0, 0, &steps(0..5, 10)), given];
    let folder = write_folder(root.path(), "scanner", 7, &rings);
    // A ring that is given to another thread: half of its identity is the new one's.
    let path = folder.join("ring-000001");
    let mut bytes = fs::read(&path).unwrap();
    bytes[48..64].fill(0x55);
    fs::write(&path, &bytes).unwrap();
    // A new one: of its header there is only the magic.
    bytes[8..].fill(0);
    fs::write(folder.join("ring-000002"), &bytes).unwrap();
    // A process that came no further than to make its first file.
    let other = write_folder(root.path(), "other", 8, &[]);
    fs::write(other.join("process"), b"").unwrap();
    fs::remove_file(other.join("schemas")).unwrap();
    let (seen, summary) = read(root.path());
    assert_eq!(seen, events(7, 1, 0..5));
    assert!(summary.is_complete() && summary.law_checked == 1, "{summary:?}");
    // Before its first ring, or after its last, a folder has no schemas. With something in a ring it must.
    let third = write_folder(root.path(), "third", 9, &[]);
    fs::remove_file(third.join("schemas")).unwrap();
    assert!(read(root.path()).1.is_complete());
    fs::remove_file(folder.join("schemas")).unwrap();
    assert!(!read(root.path()).1.is_complete());
}

#[test]
fn a_kill_between_the_two_stores_of_a_release_is_no_hole() {
    let (session, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (steps(0..10, 1000), steps(10..20, 1000));
    let mut segment = Segment::new("scanner", 7, 1);
    segment.data(1, 0, 0, &a);
    segment.write_open(session.path());
    // The sequence is that after the block, the tail still the one before it.
    let mut ring = RingFile::new(7, 1, CAPACITY, 0, 0, &[a, b].concat());
    ring.header.sequence_at_tail = 10;
    write_folder(root.path(), "scanner", 7, &[ring]);
    let (seen, summary) = read_both(session.path(), root.path());
    assert_eq!(seen, events(7, 1, 0..20));
    assert!(summary.is_complete() && summary.law_checked == 1, "{summary:?}");
}

#[test]
fn a_second_one_under_way_cannot_be() {
    let root = tempfile::tempdir().unwrap();
    let mut ring = RingFile::new(7, 1, CAPACITY, 0, 0, &steps(0..5, 10));
    ring.header.attempted += 2;
    write_folder(root.path(), "scanner", 7, &[ring]);
    let (seen, summary) = read(root.path());
    assert_eq!(seen, events(7, 1, 0..5));
    assert_eq!(summary.law.len(), 1);
}

#[test]
fn a_range_over_the_end_of_the_lap() {
    let root = tempfile::tempdir().unwrap();
    let one = step(0, 10);
    let tail = 5 * CAPACITY - 2 * one.len() as u64 - 24;
    let records = [one, step(1, 20), pad(24), step(2, 30), step(3, 40)].concat();
    let folder = write_folder(root.path(), "scanner", 7, &[RingFile::new(7, 1, CAPACITY, tail, 0, &records)]);
    let (seen, summary) = read(&folder);
    assert_eq!(seen, events(7, 1, 0..4));
    assert!(summary.is_complete(), "{summary:?}");
}

#[test]
fn a_large_ring_is_read_in_parts() {
    let root = tempfile::tempdir().unwrap();
    let n = 100_000;
    let records = steps(0..n, 10);
    assert!(records.len() > 3 << 20);
    write_folder(root.path(), "scanner", 7, &[RingFile::new(7, 1, 8 << 20, 7 << 20, 0, &records)]);
    let (seen, summary) = read(root.path());
    assert_eq!(seen, events(7, 1, 0..n));
    assert!(summary.is_complete(), "{summary:?}");
    assert_eq!((summary.duplicates, summary.missing), (0, 0));
}

#[test]
fn a_gap_before_a_ring_is_a_hole() {
    let (session, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let a = steps(0..10, 1000);
    Segment::new("scanner", 7, 1).data(1, 0, 0, &a).write_open(session.path());
    let ring = RingFile::new(7, 1, CAPACITY, 4096, 15, &steps(15..20, 1000));
    write_folder(root.path(), "scanner", 7, &[ring]);
    let (seen, summary) = read_both(session.path(), root.path());
    assert_eq!(seen, [events(7, 1, 0..10), vec![Seen::Hole(7, 101, 5)], events(7, 1, 15..20)].concat());
    assert_eq!(summary.missing, 5);
}

#[test]
fn damaged_rings_are_named_and_the_others_read() {
    let root = tempfile::tempdir().unwrap();
    let rings = [1, 2, 3, 4].map(|ring| RingFile::new(7, ring, CAPACITY, 0, 0, &steps(0..5, 10)));
    let folder = write_folder(root.path(), "scanner", 7, &rings);
    let change = |ring: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = fs::read(folder.join(ring)).unwrap();
        change(&mut bytes);
        fs::write(folder.join(ring), bytes).unwrap();
    };
    change("ring-000000", &|bytes| bytes[50] ^= 1);
    // Head far beyond what a ring can hold.
    change("ring-000001", &|bytes| bytes[197] ^= 1);
    change("ring-000002", &|bytes| bytes.truncate(4096 + 100));
    fs::write(folder.join("ring-000009"), [0; 4096]).unwrap();
    let (seen, summary) = read(root.path());
    let found: Vec<_> = seen.into_iter().filter(|s| matches!(s, Seen::Event(..))).collect();
    // Of the ring that was cut, what was before the cut.
    let of_ring =
        |id| found.iter().filter(move |s| matches!(s, Seen::Event(_, ring, _) if *ring == id)).cloned();
    assert_eq!(of_ring(3).collect::<Vec<_>>(), events(7, 3, 0..3));
    assert_eq!(of_ring(4).collect::<Vec<_>>(), events(7, 4, 0..5));
    assert_eq!(found.len(), 8);
    assert_eq!(summary.damaged.len(), 3, "{:?}", summary.damaged);
}

#[test]
fn a_second_file_of_a_ring_and_one_too_long_are_told() {
    let root = tempfile::tempdir().unwrap();
    // Of the same claim, with other events: only the first by name is read.
    let rings = [0..5, 2..9].map(|range| RingFile::new(7, 1, CAPACITY, 0, 0, &steps(range, 10)));
    let folder = write_folder(root.path(), "scanner", 7, &rings);
    // A hole of a terabyte behind it costs whoever makes it nothing.
    let long = fs::File::options().write(true).open(folder.join("ring-000000")).unwrap();
    long.set_len(1 << 40).unwrap();
    let (seen, summary) = read(root.path());
    assert_eq!(seen, events(7, 1, 0..5));
    let told: Vec<_> = summary.damaged.iter().map(|damage| damage.file.file_name().unwrap()).collect();
    assert_eq!(told, ["ring-000000", "ring-000001"], "{:?}", summary.damaged);
}

#[test]
fn reading_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let ring = RingFile::new(7, 1, CAPACITY, 64, 1, &steps(1..50, 10));
    let folder = write_folder(root.path(), "scanner", 7, &[ring]);
    let state = || -> Vec<_> {
        let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        files
            .into_iter()
            .map(|p| (fs::metadata(&p).unwrap().modified().unwrap(), fs::read(&p).unwrap(), p))
            .collect()
    };
    let before = state();
    let first = read(root.path());
    let second = read(root.path());
    assert_eq!(first.0, second.0);
    assert_eq!(first.0, events(7, 1, 1..50));
    assert_eq!((first.1.retired, first.1.is_complete()), (1, true));
    assert!(before == state());
}

#[test]
fn rings_of_other_sessions_stay_out_of_a_session_that_was_named() {
    let (session, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Segment::new("scanner", 7, 1).data(1, 0, 0, &steps(0..3, 10)).write_open(session.path());
    let folder =
        write_folder(root.path(), "updater", 8, &[RingFile::new(8, 1, CAPACITY, 0, 0, &steps(0..3, 10))]);
    assert_eq!(read_both(session.path(), root.path()).0.len(), 6);
    let process = folder.join("process");
    let mut bytes = fs::read(&process).unwrap();
    bytes[16 + 32] ^= 1;
    let crc = tracewell_schema::format::crc(&bytes[..176]);
    bytes[176..180].copy_from_slice(&crc.to_le_bytes());
    fs::write(&process, bytes).unwrap();
    assert_eq!(read_both(session.path(), root.path()).0, events(7, 1, 0..3));
}

/// Holds the lock as a living component does, until it is dropped.
struct Holder(std::process::Child);

impl Holder {
    fn of(file: &Path) -> Self {
        let program = "import fcntl,struct,sys\nf=open(sys.argv[1],'r+b')\n\
            fcntl.fcntl(f,fcntl.F_OFD_SETLK,struct.pack('hhqqi4x',fcntl.F_WRLCK,0,0,0,0))\n\
            print('held',flush=True)\nsys.stdin.read()";
        let mut child = Command::new("python3")
            .args(["-c", program])
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is needed to hold a lock: install package python3");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_living_process_is_read_but_its_last_counts_are_open() {
    let root = tempfile::tempdir().unwrap();
    let mut ring = RingFile::new(7, 1, CAPACITY, 0, 0, &steps(0..5, 10));
    ring.header.attempted += 100;
    let folder = write_folder(root.path(), "scanner", 7, &[ring]);
    let holder = Holder::of(&folder.join("process"));
    let (seen, summary) = read(root.path());
    assert_eq!(seen, events(7, 1, 0..5));
    assert_eq!((summary.law_checked, summary.law_open), (0, 1));
    assert!(summary.is_complete());
    drop(holder);
    let (_, summary) = read(root.path());
    assert_eq!((summary.law_checked, summary.law.len()), (1, 1));
}

/// A producer that overwrites and a drain that releases, while the ring is read again and again.
#[test]
fn a_ring_that_moves_while_it_is_copied_gives_no_torn_record() {
    use std::os::unix::fs::FileExt;
    use std::sync::atomic::{AtomicBool, Ordering};
    let root = tempfile::tempdir().unwrap();
    let folder = write_folder(root.path(), "scanner", 7, &[RingFile::new(7, 1, CAPACITY, 0, 0, &[])]);
    let _holder = Holder::of(&folder.join("process"));
    let file = fs::OpenOptions::new().write(true).open(folder.join("ring-000000")).unwrap();
    let stop = AtomicBool::new(false);
    let len = step(0, 0).len() as u64;
    assert_eq!(CAPACITY % len, 0, "a lap holds whole records");
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut head, mut tail) = (0_u64, 0_u64);
            while !stop.load(Ordering::Relaxed) {
                if head - tail >= CAPACITY / 2 {
                    tail += CAPACITY / 4;
                    let words = [tail.to_le_bytes(), (tail / len).to_le_bytes()].concat();
                    file.write_all_at(&words, 320).unwrap();
                }
                let number = head / len;
                file.write_all_at(&step(number, number), 4096 + head % CAPACITY).unwrap();
                head += len;
                file.write_all_at(&head.to_le_bytes(), 192).unwrap();
            }
        });
        for _ in 0..300 {
            let (seen, summary) = read(root.path());
            let Some(Seen::Event(_, _, first)) = seen.first() else { continue };
            assert_eq!(seen, events(7, 1, *first..first + seen.len() as u64));
            assert_eq!(summary.retired, *first);
            assert!(summary.is_complete(), "{summary:?}");
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// A process that had written no segment yet was found after all that had; in segments it is found in its place.
#[test]
fn events_of_one_time_come_in_the_same_order_from_rings_and_from_segments() {
    let (records, other) = (steps(0..20, 10), steps(0..20, 10));
    let (session, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Segment::new("scanner", 8, 1).data(1, 0, 0, &other).end().write(session.path());
    write_folder(root.path(), "scanner", 7, &[RingFile::new(7, 1, CAPACITY, 0, 0, &records)]);
    let (before, _) = read_both(session.path(), root.path());
    Segment::new("scanner", 7, 1).data(1, 0, 0, &records).end().write(session.path());
    let (after, _) = read(session.path());
    assert_eq!((before.len(), &before), (40, &after));
    let first: Vec<_> = before.iter().take(2).cloned().collect();
    assert_eq!(first, [Seen::Event(7, 1, 0), Seen::Event(8, 1, 0)], "of one time");
}
