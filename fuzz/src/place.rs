//! Where files are put for the reader to read: one directory for each process, used again for each input.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Names the directory in which the places are; `ci/fuzz.sh` gives one on tmpfs and removes it at the end.
const VARIABLE: &str = "TRACEWELL_FUZZ_DIR";

/// A directory of this process and this thread's name, empty.
///
/// # Panics
/// If it cannot be made.
#[must_use]
pub fn empty() -> PathBuf {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    let root = ROOT.get_or_init(|| {
        let root = std::env::var_os(VARIABLE).map_or_else(std::env::temp_dir, PathBuf::from);
        root.join(format!("tracewell-fuzz-{}", std::process::id()))
    });
    let thread = format!("{:?}", std::thread::current().id());
    let dir = root.join(thread.replace(|c: char| !c.is_ascii_alphanumeric(), ""));
    match fs::read_dir(&dir) {
        Ok(entries) => entries.flatten().for_each(|entry| {
            let path = entry.path();
            let is_dir = entry.file_type().is_ok_and(|t| t.is_dir());
            if is_dir { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("a file of ours");
        }),
        Err(_) => make(&dir),
    }
    dir
}

/// Makes a directory of this user alone.
///
/// # Panics
/// If it cannot be made.
pub fn make(dir: &Path) {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).expect("a directory");
}

/// Writes a file of this user alone; what was there is gone.
///
/// # Panics
/// If it cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> File {
    let mut options = File::options();
    let file = options.read(true).write(true).create(true).truncate(true).mode(0o600).open(path);
    let mut file = file.expect("a file");
    file.write_all(bytes).expect("room");
    file
}

/// Removes what this process made.
pub fn remove() {
    let dir = empty();
    if let Some(root) = dir.parent() {
        let _ = fs::remove_dir_all(root);
    }
}
