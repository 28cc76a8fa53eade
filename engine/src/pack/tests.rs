use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use tracewell_schema::format::block::decompress_block;
use tracewell_schema::format::process::ProcessIdentity;
use tracewell_schema::format::segment::SegmentHeader;

use super::*;

const SESSION: &str = "2026-11-01_00.00.00_00000000";
const BLOCKS: u32 = 12;

struct Sessions {
    dir: tempfile::TempDir,
    folder: OwnedFd,
}

impl Sessions {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = fs::create_private_dir_all(&dir.path().join("sessions").join(SESSION)).unwrap();
        Self { dir, folder }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("sessions")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(SESSION).join(name)
    }

    fn names(&self) -> Vec<String> {
        let mut names = fs::names_in(&self.folder).unwrap();
        names.sort();
        names
    }

    /// A sealed segment of an hour ago; blocks that compress and blocks that do not, some of them in haste.
    fn segment(&self, number: u32) -> Candidate {
        let header = SegmentHeader { identity: ProcessIdentity::default(), ..SegmentHeader::default() };
        let mut bytes = header.encode().to_vec();
        let mut random = 12_345_u64;
        for i in 0..BLOCKS {
            let raw: Vec<u8> = (0..3000_u32)
                .map(|n| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    if i % 3 == 2 { (random >> 56) as u8 } else { (n / 100 + i) as u8 }
                })
                .collect();
            let mut block = BlockHeader::meta(BlockKind::Data);
            block.flags = if i % 4 == 3 { 0 } else { FLAG_HASTY };
            (block.ring, block.events, block.from, block.to) =
                (1, 1, u64::from(i) * 3000, u64::from(i + 1) * 3000);
            (block.raw_len, block.stored_len, block.payload_crc) = (3000, 3000, crc(&raw));
            bytes.extend_from_slice(&block.encode());
            bytes.extend_from_slice(&raw);
        }
        let mut end = BlockHeader::meta(BlockKind::End);
        (end.flags, end.sequence, end.payload_crc) = (FLAG_HASTY, BLOCKS.into(), crc(&[]));
        bytes.extend_from_slice(&end.encode());
        let name = segment::file_name("a", 1, &[0; 16], number);
        let mut file = fs::create_new(&self.folder, &name).unwrap();
        file.write_all(&bytes).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
        Candidate { folder: self.path().join(SESSION).into(), name }
    }

    /// What a reader gets: ranges and decoded payloads up to the end block.
    fn contents(&self, candidate: &Candidate) -> Vec<(u64, u64, Vec<u8>)> {
        let bytes = std::fs::read(self.file(&candidate.name)).unwrap();
        let (mut at, mut contents) = (segment::HEADER_LEN, Vec::new());
        loop {
            let header = BlockHeader::decode(&bytes[at..]).unwrap();
            let mut raw = Vec::new();
            decompress_block(&header, &bytes[at + block::HEADER_LEN..], &mut raw).unwrap();
            at += block::HEADER_LEN + header.padded_len() as usize;
            if header.kind == BlockKind::End {
                assert_eq!((at, header.sequence), (bytes.len(), contents.len() as u64));
                return contents;
            }
            contents.push((header.from, header.to, raw));
        }
    }

    fn modified(&self, candidate: &Candidate) -> SystemTime {
        std::fs::metadata(self.file(&candidate.name)).unwrap().modified().unwrap()
    }

    fn len(&self, candidate: &Candidate) -> u64 {
        std::fs::metadata(self.file(&candidate.name)).unwrap().len()
    }
}

#[test]
fn a_packed_segment_is_the_same_but_smaller() {
    let sessions = Sessions::new();
    let segment = sessions.segment(1);
    let before = (sessions.contents(&segment), sessions.modified(&segment));
    let len = sessions.len(&segment);
    let found = find(&sessions.path(), &mut || false);
    assert_eq!(found.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), [segment.name.as_str()]);
    pack(&segment, &mut || false).unwrap();
    assert_eq!((sessions.contents(&segment), sessions.modified(&segment)), before);
    assert!(sessions.len(&segment) < len * 2 / 3, "{} of {len}", sessions.len(&segment));
    assert!(!is_hasty(&segment) && find(&sessions.path(), &mut || false).is_empty(), "once is enough");
    assert_eq!(sessions.names(), [segment.name.as_str()]);
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(sessions.file(&segment.name)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_stop_at_any_block_leaves_the_segment_as_it_was() {
    let sessions = Sessions::new();
    let segment = sessions.segment(1);
    let before = std::fs::read(sessions.file(&segment.name)).unwrap();
    for stop_at in 0..=BLOCKS {
        let mut looks = 0;
        let error = pack(&segment, &mut || {
            looks += 1;
            looks > stop_at
        });
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::Interrupted);
        assert!(std::fs::read(sessions.file(&segment.name)).unwrap() == before, "stopped at {stop_at}");
        assert_eq!(sessions.names(), [segment.name.as_str()]);
        assert!(is_hasty(&segment), "it will be tried again");
    }
    pack(&segment, &mut || false).unwrap();
}

#[test]
fn a_damaged_segment_stays_as_it_is() {
    let sessions = Sessions::new();
    let segment = sessions.segment(1);
    let path = sessions.file(&segment.name);
    let whole = std::fs::read(&path).unwrap();
    for at in [segment::HEADER_LEN + 3, segment::HEADER_LEN + block::HEADER_LEN + 77, whole.len() - 50] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(pack(&segment, &mut || false).is_err());
        assert!(std::fs::read(&path).unwrap() == bytes);
        assert_eq!(sessions.names().len(), 1);
    }
    std::fs::write(&path, &whole[..whole.len() - 100]).unwrap();
    assert!(!is_hasty(&segment) && pack(&segment, &mut || false).is_err());
    assert_eq!(sessions.names().len(), 1);
}

#[test]
fn a_segment_deleted_meanwhile_does_not_come_back() {
    for at in 0..=BLOCKS {
        let sessions = Sessions::new();
        let segment = sessions.segment(1);
        let mut looks = 0;
        let packed = pack(&segment, &mut || {
            if looks == at {
                fs::unlink_at(&sessions.folder, &segment.name).unwrap();
            }
            looks += 1;
            false
        });
        assert!(packed.is_err() && sessions.names().is_empty(), "{:?}", sessions.names());
    }
    // Nor if it was deleted before.
    let sessions = Sessions::new();
    let segment = sessions.segment(1);
    fs::unlink_at(&sessions.folder, &segment.name).unwrap();
    assert!(pack(&segment, &mut || false).is_err() && sessions.names().is_empty());
}

#[test]
fn what_a_killed_packer_left_goes_at_the_next_start() {
    let sessions = Sessions::new();
    let segment = sessions.segment(1);
    let before = sessions.contents(&segment);
    let left = format!("{}{PACKING_SUFFIX}", segment.name);
    let gone = format!("{}{PACKING_SUFFIX}", segment::file_name("a", 1, &[0; 16], 9));
    for name in [left.as_str(), gone.as_str(), "notes.packing"] {
        fs::create_new(&sessions.folder, name).unwrap().write_all(b"half").unwrap();
    }
    assert_eq!(find(&sessions.path(), &mut || false).len(), 1);
    assert_eq!(sessions.names(), [segment.name.as_str(), "notes.packing"], "what is ours, and nothing else");
    // Also one that was left since.
    fs::create_new(&sessions.folder, &left).unwrap().write_all(b"half").unwrap();
    pack(&segment, &mut || false).unwrap();
    assert_eq!(sessions.contents(&segment), before);
    assert_eq!(sessions.names(), [segment.name.as_str(), "notes.packing"]);
}

#[test]
fn while_one_packs_others_leave_it_alone() {
    let sessions = Sessions::new();
    let segment = sessions.segment(1);
    let before = sessions.contents(&segment);
    let temporary = format!("{}{PACKING_SUFFIX}", segment.name);
    pack(&segment, &mut || {
        assert_eq!(pack(&segment, &mut || false).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(find(&sessions.path(), &mut || false).len(), 1);
        assert!(sessions.file(&temporary).exists(), "its file stays");
        false
    })
    .unwrap();
    assert_eq!(sessions.contents(&segment), before);
    assert_eq!(sessions.names(), [segment.name.as_str()]);
}

#[test]
fn many_tenders_of_the_same_segments_do_no_harm() {
    let sessions = Sessions::new();
    let before = sessions.contents(&sessions.segment(1));
    let deadline = std::time::Instant::now() + Duration::from_secs(2);
    for round in 2.. {
        if std::time::Instant::now() > deadline {
            break;
        }
        let segment = sessions.segment(round);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for tender in 0..4_u32 {
                let (sessions, done) = (&sessions, &done);
                scope.spawn(move || {
                    let mut tries = 0;
                    while !done.load(Ordering::Relaxed) {
                        for candidate in find(&sessions.path(), &mut || false) {
                            let mut looks = 0;
                            tries += 1;
                            // Most are told to stop in the middle, where a part is written.
                            let stop_at = if tries > 3 { u32::MAX } else { tender * 3 + tries };
                            let packed = pack(&candidate, &mut || {
                                looks += 1;
                                looks > stop_at
                            });
                            if packed.is_ok() {
                                done.store(true, Ordering::Relaxed);
                            }
                        }
                    }
                });
            }
        });
        assert!(!is_hasty(&segment));
        assert!(sessions.contents(&segment) == before, "round {round}");
        let names = sessions.names();
        assert!(names.iter().all(|name| !name.ends_with(PACKING_SUFFIX)), "{names:?}");
    }
}
