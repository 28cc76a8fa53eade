use tracewell_schema::catalog::ErrorRaised;

use super::*;
use crate::control::EnableRequest;
use crate::dirs::Dirs;
use crate::emit;

#[test]
fn dropping_the_last_clone_ends_the_session_also_while_the_drain_looks_at_the_tracer() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("trace");
    let rings = tempfile::tempdir_in("/dev/shm").unwrap();
    let root = rings.path().canonicalize().unwrap().join("rings");
    let tracer = Tracer::builder("scanner").dir(&base).ring_dir(&root).attach().unwrap();
    let dirs = Dirs::resolve(Some(&base)).unwrap();
    let control = Control::open(&dirs).unwrap().unwrap();
    let session = control.enable(&dirs, &EnableRequest::default()).unwrap();
    emit!(tracer, ErrorRaised::default());
    let clone = tracer.clone();
    // As the drain does, which may be stopped just then.
    let held = Arc::clone(&tracer.inner);
    drop(tracer);
    assert!(root.exists(), "a clone lives");
    drop(clone);
    assert!(!root.exists(), "rings are left");
    let names = crate::fs::names_in(crate::fs::open_private_dir(&session.folder).unwrap()).unwrap();
    assert!(names.len() == 1 && names[0].ends_with(".twseg"), "{names:?}");
    assert!(control.attached().is_empty());
    drop(held);
}
