use std::io::Write;

use tracewell_schema::format::process::ProcessIdentity;
use tracewell_schema::format::ring::{RingHeader, RingInfo};
use tracewell_schema::limits::MIN_RING;

use super::*;

#[test]
fn a_ring_that_was_put_in_the_place_of_another_is_not_opened() {
    let top = tempfile::tempdir().unwrap();
    let dir = fs::create_private_dir(&top.path().join("dir")).unwrap();
    let info = RingInfo { ring: 1, ..RingInfo::default() };
    let header = RingHeader { capacity: MIN_RING, state: 1, info, attempted: 1, ..RingHeader::default() };
    for name in ["ring-1", "ring-2"] {
        fs::create_new(&dir, name).unwrap().write_all(&header.encode()).unwrap();
    }
    let process = ProcessFile { identity: ProcessIdentity::default(), points: Vec::new() };
    let folder = dead::Folder::read(&dir, &["ring-1".into()], &process).unwrap();
    let ring = &folder.rings[0];
    folder.open(ring).unwrap();
    fs::rename_at(&dir, "ring-2", "ring-1").unwrap();
    assert!(matches!(folder.open(ring), Err(Fault::Damage(_))));
    fs::unlink_at(&dir, "ring-1").unwrap();
    assert!(matches!(folder.open(ring), Err(Fault::Damage(_))));
}
