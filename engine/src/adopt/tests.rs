use std::io::Write;
use std::os::unix::fs::DirBuilderExt;

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

/// A trace directory with a ring root, and a folder in that as it is when its process file is made and not written.
struct Begun {
    top: tempfile::TempDir,
    dirs: Dirs,
}

const NAME: &str = "scanner-4000000-01234567";

impl Begun {
    fn new() -> Self {
        let top = tempfile::tempdir().unwrap();
        let begun = Self { dirs: Dirs::resolve(Some(&top.path().join("trace"))).unwrap(), top };
        for path in [begun.dirs.base(), &begun.root(), &begun.folder()] {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).unwrap();
        }
        begun.make(PROCESS_FILE);
        begun
    }

    fn root(&self) -> PathBuf {
        self.top.path().join("rings")
    }

    fn folder(&self) -> PathBuf {
        self.root().join(NAME)
    }

    fn make(&self, name: &str) -> File {
        fs::create_new(fs::open_private_dir(&self.folder()).unwrap(), name).unwrap()
    }

    /// What a look does with it when its process has had `time` to go on.
    fn look(&self, time: Duration) -> Pass {
        let place = Place { begun: time, ..Place::of(&self.dirs).unwrap() };
        let root = fs::open_private_dir(&self.root()).unwrap();
        let candidate = Candidate { place: &place, root: &root, root_path: &self.root(), name: NAME };
        let mut pass = Pass::default();
        candidate.adopt(&mut pass, &mut || false);
        assert!(pass.adopted.is_empty(), "{pass:?}");
        pass
    }

    /// It stays, and why.
    #[track_caller]
    fn stays(&self, time: Duration) -> Why {
        let mut pass = self.look(time);
        assert!(pass.begun.is_empty() && self.folder().join(PROCESS_FILE).exists(), "{pass:?}");
        pass.left.pop().unwrap().why
    }
}

#[test]
fn a_folder_whose_process_file_was_never_written_goes_and_is_told_of() {
    for with_schemas in [false, true] {
        let begun = Begun::new();
        if with_schemas {
            begun.make(SCHEMAS_FILE);
        }
        let pass = begun.look(Duration::ZERO);
        assert_eq!((pass.begun, pass.left.len()), (vec![begun.folder()], 0));
        assert!(!begun.folder().exists() && begun.root().exists());
    }
}

#[test]
fn a_process_has_a_minute_to_write_its_process_file() {
    let begun = Begun::new();
    assert!(matches!(begun.stays(BEGUN), Why::BeingMade));
    assert!(BEGUN >= Duration::from_secs(60));
}

#[test]
fn an_empty_process_file_that_is_locked_has_an_owner() {
    let begun = Begun::new();
    let dir = fs::open_private_dir(&begun.folder()).unwrap();
    let owner = fs::open_existing(&dir, PROCESS_FILE, true).unwrap();
    assert!(fs::try_lock_ofd(&owner).unwrap());
    assert!(matches!(begun.stays(Duration::ZERO), Why::Busy));
}

#[test]
fn an_empty_process_file_beside_rings_or_what_is_not_ours_is_damage() {
    for other in ["ring-1", "notes"] {
        let begun = Begun::new();
        begun.make(other);
        let why = begun.stays(Duration::ZERO);
        assert!(matches!(why, Why::Damaged(_)), "{other}: {why:?}");
        assert!(begun.folder().join(other).exists());
    }
}
