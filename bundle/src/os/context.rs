//! What a collector works with: the trees it may read, the time it has, and where it says what it could not have.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::tree::{Content, Entry, Tree};
use super::users::{Home, Users};

/// Most bytes of files that one collector reads.
const MAX_READ: u64 = 96 << 20;
/// Longest file that is read as a whole.
pub(super) const MAX_TEXT: u64 = 1 << 20;
/// Most problems of one collector that are kept; the others are counted.
const MAX_PROBLEMS: usize = 100;

/// Something that could not be had, and why. Never an end of the whole.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Problem {
    /// A path, a service, a part; after the name of the section.
    pub what: String,
    /// In words for the user.
    pub why: String,
}

/// The system that is looked at, the same for all collectors.
#[derive(Debug)]
pub(super) struct System {
    pub(super) root: Tree,
    pub(super) users: Users,
    /// Whether it is this computer, and not one that a test has laid out.
    pub(super) is_real: bool,
    /// The product's name.
    pub(super) product: Option<String>,
}

/// One collector's.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) system: Arc<System>,
    section: &'static str,
    problems: Mutex<(Vec<Problem>, u64)>,
    since: Instant,
    /// When it should come to an end by itself: before it is given up.
    enough: Duration,
    read: AtomicU64,
}

impl Context {
    pub(super) fn new(system: Arc<System>, section: &'static str) -> Self {
        Self {
            system,
            section,
            problems: Mutex::default(),
            since: Instant::now(),
            enough: Duration::MAX,
            read: AtomicU64::new(0),
        }
    }

    /// Its time begins.
    pub(super) fn begin(&mut self, since: Instant, each: Duration) {
        self.since = since;
        self.enough = each.mul_f64(0.8);
    }

    /// The root of the system.
    pub(super) fn root(&self) -> &Tree {
        &self.system.root
    }

    /// Whether it should give what it has.
    pub(super) fn is_late(&self) -> bool {
        self.since.elapsed() > self.enough
    }

    /// What is left of its time.
    pub(super) fn left(&self) -> Duration {
        self.enough.saturating_sub(self.since.elapsed()).max(Duration::from_millis(1))
    }

    /// Goes through many: ends, and says so, when time is up.
    pub(super) fn in_time<'c, T: 'c>(
        &'c self,
        what: &'c str,
        all: impl IntoIterator<Item = T> + 'c,
    ) -> impl Iterator<Item = T> + 'c {
        let mut told = false;
        all.into_iter().take_while(move |_| {
            if self.is_late() && !told {
                told = true;
                self.problem(what, "time was up; the rest was left out");
            }
            !told
        })
    }

    /// Notes that something of other users could not be had.
    pub(super) fn refused(&self, what: &str, of: &str) {
        let why = if rustix::process::geteuid().is_root() {
            format!("permission denied: even root may not see {of} here")
        } else {
            format!("permission denied: to see {of}, run it as root")
        };
        self.problem(what, &why);
    }

    /// Notes what could not be had.
    pub(super) fn problem(&self, what: &str, why: &str) {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        let (kept, more) = &mut *problems;
        if kept.len() < MAX_PROBLEMS {
            kept.push(Problem { what: format!("{}: {what}", self.section), why: why.to_owned() });
        } else {
            *more += 1;
        }
    }

    /// As [`Context::problem`], of an error; says what to do if it is one of permission.
    pub(super) fn error(&self, what: &str, error: &io::Error) {
        let why = match error.kind() {
            io::ErrorKind::PermissionDenied => "permission denied: only its owner or root sees it".to_owned(),
            io::ErrorKind::NotFound => "not found".to_owned(),
            _ => error.to_string(),
        };
        self.problem(what, &why);
    }

    pub(super) fn take_problems(&self) -> Vec<Problem> {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        let (kept, more) = std::mem::take(&mut *problems);
        let mut kept = kept;
        if more != 0 {
            kept.push(Problem { what: self.section.into(), why: format!("and {more} more problems") });
        }
        kept
    }

    fn count(&self, bytes: u64) -> io::Result<()> {
        if self.read.fetch_add(bytes, Ordering::Relaxed) > MAX_READ {
            return Err(io::Error::other("the collector has read enough; it was left out"));
        }
        Ok(())
    }

    /// The beginning of a file. A missing one is no problem worth a word, everything else is.
    pub(super) fn read(&self, tree: &Tree, path: &str, max: u64) -> Option<Content> {
        let read = self.count(0).and_then(|()| tree.read(path, max));
        match read {
            Ok(content) => {
                let _ = self.count(content.bytes.len() as u64);
                if content.is_cut {
                    self.problem(&tree.shown(path), &format!("only its first {max} bytes were looked at"));
                }
                Some(content)
            }
            Err(e) if is_absent(&e) => None,
            Err(e) => {
                self.error(&tree.shown(path), &e);
                None
            }
        }
    }

    /// A text file of the system. Bytes that are no UTF-8 become U+FFFD.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        self.text_of(self.root(), path)
    }

    /// A text file of a tree.
    pub(super) fn text_of(&self, tree: &Tree, path: &str) -> Option<String> {
        self.read(tree, path, MAX_TEXT).map(|c| String::from_utf8_lossy(&c.bytes).into_owned())
    }

    /// A value that the kernel gives as a small file: trimmed, `None` if it is empty or there is none. Drivers answer
    /// many of them with an error where the hardware has no such thing: that is no problem.
    pub(super) fn value(&self, path: &str) -> Option<String> {
        match self.root().read(path, 4096) {
            Ok(content) => {
                let text = String::from_utf8_lossy(&content.bytes).trim_matches(['\0', '\n', ' ']).to_owned();
                (!text.is_empty()).then_some(text)
            }
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                self.error(path, &e);
                None
            }
            Err(_) => None,
        }
    }

    /// The lines of one that has several.
    pub(super) fn lines(&self, path: &str) -> Option<Vec<String>> {
        self.value(path).map(|text| text.lines().map(|line| line.trim().replace('\t', " ")).collect())
    }

    /// The same as a number.
    pub(super) fn number(&self, path: &str) -> Option<i64> {
        self.value(path)?.parse().ok()
    }

    /// What is in a folder of the system; nothing if there is none.
    pub(super) fn list(&self, path: &str) -> Vec<Entry> {
        self.list_of(self.root(), path)
    }

    /// What is in a folder of a tree.
    pub(super) fn list_of(&self, tree: &Tree, path: &str) -> Vec<Entry> {
        match tree.list(path) {
            Ok((entries, is_cut)) => {
                if is_cut {
                    self.problem(&tree.shown(path), "it has more entries than are looked at");
                }
                entries
            }
            Err(e) if is_absent(&e) => Vec::new(),
            Err(e) => {
                self.error(&tree.shown(path), &e);
                Vec::new()
            }
        }
    }

    /// The first of these that there is; a problem if there is none.
    pub(super) fn first_of<'p>(&self, paths: &[&'p str], what: &str) -> Option<&'p str> {
        let found = paths.iter().find(|path| self.root().has(path)).copied();
        if found.is_none() {
            self.problem(&paths.join(", "), &format!("not found: {what}"));
        }
        found
    }

    /// The homes that may be looked into.
    pub(super) fn homes(&self) -> &[Home] {
        for (user, why) in &self.system.users.closed {
            self.problem(&format!("the home of {user}"), why);
        }
        &self.system.users.homes
    }

    /// A user's name by number.
    pub(super) fn user(&self, uid: u32) -> Option<&str> {
        self.system.users.name(uid)
    }
}

/// There is none, or the kernel has no such thing.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use super::*;

    /// Of a system that is laid out below a directory.
    pub(in super::super) fn context(root: &Path) -> Context {
        let tree = Tree::root(root).unwrap();
        let users = Users::of(&tree, root == Path::new("/"));
        let is_real = root == Path::new("/");
        let system = System { root: tree, users, is_real, product: Some("Example Security".into()) };
        Context::new(Arc::new(system), "test")
    }

    #[test]
    fn problems_are_kept_up_to_a_number_and_the_rest_counted() {
        let context = context(Path::new("/"));
        for i in 0..250 {
            context.problem("x", &i.to_string());
        }
        let all = context.take_problems();
        assert_eq!((all.len(), all[100].why.as_str()), (101, "and 150 more problems"));
    }

    #[test]
    fn what_is_absent_is_no_problem_and_what_is_refused_is() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("long"), "x".repeat(3000)).unwrap();
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        let context = context(dir.path());
        assert!(context.text("/none").is_none() && context.list("/none/of/it").is_empty());
        assert!(context.take_problems().is_empty());
        assert!(context.text("/folder").is_none());
        assert_eq!(context.read(context.root(), "/long", 2000).unwrap().bytes.len(), 2000);
        let problems = context.take_problems();
        assert!(problems[0].what.ends_with("/folder"), "{problems:?}");
        assert!(problems[1].why.contains("only its first 2000 bytes"), "{problems:?}");
    }

    #[test]
    fn time_that_is_up_is_said() {
        let mut context = context(Path::new("/"));
        assert_eq!(context.in_time("numbers", 0..5).count(), 5);
        context.begin(Instant::now().checked_sub(Duration::from_secs(9)).unwrap(), Duration::from_secs(10));
        assert_eq!(context.in_time("numbers", 0..5).count(), 0);
        assert!(context.take_problems()[0].why.contains("time was up"));
    }
}
