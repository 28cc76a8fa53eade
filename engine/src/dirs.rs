//! Where things lie.
//!
//! ```text
//! BASE/control            the control page
//! BASE/settings.toml      what the user chose
//! BASE/ring-roots         every RINGS that components of this BASE have used
//! BASE/sessions/NAME/     one folder of segments a session; a file `keep` in it keeps it
//! BASE/bundles/NAME/      what was prepared for support; BASE/keys/ the user's key for it (bundle/)
//! BASE/dumps/             memory dumps of components (bundle/)
//! BASE/audit.jsonl        what commands did; BASE/clock.json how far the clock has come (bundle/)
//! RINGS/COMPONENT-PID-..  one ring folder a process, on tmpfs
//! ```
//!
//! BASE: what the caller gives, else `TRACEWELL_DIR`, else `/var/lib/tracewell` for root, else
//! `$XDG_STATE_HOME/tracewell` or `~/.local/state/tracewell`. RINGS: `tracewell` below `TRACEWELL_RING_DIR`, else `/run`
//! for root, else `$XDG_RUNTIME_DIR`; where that is no tmpfs, `/dev/shm/tracewell-UID`; then a name made of BASE, so
//! that two bases never mix. A process with more rights than its caller (set-uid) ignores the environment.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use tracewell_schema::format::hex;

use crate::fs;

/// The directories of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dirs {
    base: PathBuf,
    ring_root: PathBuf,
    usual: Vec<PathBuf>,
}

/// Why no directory can be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum DirError {
    /// Neither a home nor a state directory is known.
    NoHome,
    /// The directory cannot be made or used.
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl fmt::Display for DirError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHome => f.write_str(
                "no trace directory is known: give --dir, or set TRACEWELL_DIR, XDG_STATE_HOME or HOME",
            ),
            Self::Unusable { path, source } => write!(
                f,
                "the trace directory {} cannot be used: {source}; choose another with --dir or TRACEWELL_DIR",
                path.display()
            ),
        }
    }
}

impl std::error::Error for DirError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoHome => None,
            Self::Unusable { source, .. } => Some(source),
        }
    }
}

/// Where values come from: the environment, or a test.
type Env<'a> = &'a dyn Fn(&str) -> Option<PathBuf>;

/// A variable of the environment; none of a caller with fewer rights.
fn env(name: &str) -> Option<PathBuf> {
    if crate::fork::is_privileged() {
        return None;
    }
    std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from)
}

fn base_of(given: Option<&Path>, uid: u32, env: Env<'_>) -> Result<PathBuf, DirError> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    if let Some(path) = env("TRACEWELL_DIR") {
        return Ok(path);
    }
    if uid == 0 {
        return Ok("/var/lib/tracewell".into());
    }
    env("XDG_STATE_HOME")
        .filter(|p| p.is_absolute())
        .or_else(|| env("HOME").filter(|p| p.is_absolute()).map(|h| h.join(".local/state")))
        .map(|state| state.join("tracewell"))
        .ok_or(DirError::NoHome)
}

/// The name of a base among the ring roots of a place.
fn ring_root_name(base: &Path) -> String {
    let hash = blake3::hash(base.as_os_str().as_encoded_bytes());
    hex(&hash.as_bytes()[..8])
}

fn ring_root_of(base: &Path, uid: u32, env: Env<'_>) -> PathBuf {
    let name = ring_root_name(base);
    let runtime = env("TRACEWELL_RING_DIR")
        .or_else(|| if uid == 0 { Some("/run".into()) } else { env("XDG_RUNTIME_DIR") })
        .filter(|r| r.is_absolute() && fs::is_tmpfs(r));
    // Never on a disk: a store into a mapped page would wait for it.
    let root = match runtime {
        Some(runtime) => runtime.join("tracewell"),
        None => PathBuf::from(format!("/dev/shm/tracewell-{uid}")),
    };
    root.join(name)
}

/// Where rings of a base lie whatever the environment of a component was, but for what it alone can know.
fn usual_ring_roots(base: &Path, uid: u32, env: Env<'_>) -> Vec<PathBuf> {
    let name = ring_root_name(base);
    let given = ["TRACEWELL_RING_DIR", "XDG_RUNTIME_DIR"].into_iter().filter_map(env);
    let runtime = if uid == 0 { "/run".into() } else { PathBuf::from(format!("/run/user/{uid}")) };
    let mut roots: Vec<_> = given
        .chain([runtime])
        .filter(|r| r.is_absolute() && fs::is_tmpfs(r))
        .map(|r| r.join("tracewell").join(&name))
        .collect();
    roots.push(PathBuf::from(format!("/dev/shm/tracewell-{uid}")).join(name));
    roots
}

impl Dirs {
    /// The directories for a base, which need not exist; nothing is made.
    ///
    /// # Errors
    /// If no base is known or it cannot be looked at.
    pub fn resolve(given: Option<&Path>) -> Result<Self, DirError> {
        let uid = rustix::process::geteuid().as_raw();
        let base = base_of(given, uid, &env)?;
        let unusable = |source| DirError::Unusable { path: base.clone(), source };
        let absolute = std::path::absolute(&base).map_err(unusable)?;
        // Two ways to name a directory must lead to the same rings, also before it exists.
        let canonical = fs::resolve(&absolute).map_err(unusable)?;
        let ring_root = ring_root_of(&canonical, uid, &env);
        let usual = usual_ring_roots(&canonical, uid, &env);
        Ok(Self { base: canonical, ring_root, usual })
    }

    /// The same with another place for the rings.
    #[must_use]
    pub fn with_ring_root(mut self, ring_root: PathBuf) -> Self {
        self.ring_root = ring_root;
        self
    }

    /// The trace directory.
    #[must_use]
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// The control file.
    #[must_use]
    pub fn control(&self) -> PathBuf {
        self.base.join("control")
    }

    /// The settings file.
    #[must_use]
    pub fn settings(&self) -> PathBuf {
        self.base.join("settings.toml")
    }

    /// The folder of the sessions.
    #[must_use]
    pub fn sessions(&self) -> PathBuf {
        self.base.join("sessions")
    }

    /// The folder of the ring folders.
    #[must_use]
    pub fn ring_root(&self) -> &Path {
        &self.ring_root
    }

    /// Places where components with another environment may have their rings; see [`crate::control::RingRoots`].
    pub(crate) fn usual_ring_roots(&self) -> &[PathBuf] {
        &self.usual
    }

    /// Whether a place of ring folders is of this base alone by its name.
    #[must_use]
    pub fn is_own_ring_root(&self, root: &Path) -> bool {
        root.file_name().is_some_and(|name| name == ring_root_name(&self.base).as_str())
    }

    /// A session's folder: when it was enabled (UTC) and the start of its id.
    #[must_use]
    pub fn session_folder(&self, enabled_at: i64, session_id: &[u8; 16]) -> PathBuf {
        self.sessions().join(session_name(enabled_at, session_id))
    }
}

/// Name of a session's folder: `2026-11-23_17.44.36_0a1b2c3d`.
#[must_use]
pub fn session_name(enabled_at: i64, session_id: &[u8; 16]) -> String {
    let seconds = enabled_at.div_euclid(1_000_000_000);
    let (days, time) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days to civil date, proleptic Gregorian, in eras of 400 years that begin on March 1st.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (h, m, s) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year:04}-{month:02}-{day:02}_{h:02}.{m:02}.{s:02}_{}", hex(&session_id[..4]))
}

/// Whether a name is one that [`session_name`] makes.
#[must_use]
pub fn is_session_name(name: &str) -> bool {
    let form = b"dddd-dd-dd_dd.dd.dd_xxxxxxxx";
    name.len() == form.len()
        && name.bytes().zip(form).all(|(byte, kind)| match kind {
            b'd' => byte.is_ascii_digit(),
            b'x' => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            other => byte == *other,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_env(_: &str) -> Option<PathBuf> {
        None
    }

    #[test]
    fn the_base_is_given_or_chosen_or_the_usual_place() {
        let all = |name: &str| Some(PathBuf::from(format!("/env/{name}")));
        let xdg = |name: &str| all(name).filter(|_| name != "TRACEWELL_DIR");
        let home = |name: &str| all(name).filter(|_| name == "HOME");
        let base = |given: Option<&str>, uid, env: Env<'_>| base_of(given.map(Path::new), uid, env).unwrap();
        assert_eq!(base(Some("/given"), 0, &all), Path::new("/given"));
        assert_eq!(base(None, 1000, &all), Path::new("/env/TRACEWELL_DIR"));
        assert_eq!(base(None, 0, &xdg), Path::new("/var/lib/tracewell"));
        assert_eq!(base(None, 1000, &xdg), Path::new("/env/XDG_STATE_HOME/tracewell"));
        assert_eq!(base(None, 1000, &home), Path::new("/env/HOME/.local/state/tracewell"));
        let error = base_of(None, 1000, &no_env).unwrap_err().to_string();
        assert!(error.contains("--dir") && error.contains("TRACEWELL_DIR"), "{error}");
    }

    #[test]
    fn rings_lie_on_tmpfs_only() {
        let base = Path::new("/var/lib/tracewell");
        let shm = |name: &str| (name == "TRACEWELL_RING_DIR").then(|| PathBuf::from("/dev/shm"));
        let disk = |name: &str| (name == "TRACEWELL_RING_DIR").then(|| PathBuf::from("/proc"));
        let runtime = |name: &str| (name == "XDG_RUNTIME_DIR").then(|| PathBuf::from("/dev/shm"));
        let name = ring_root_of(base, 1000, &no_env);
        let name = name.strip_prefix("/dev/shm/tracewell-1000").unwrap();
        assert_eq!(name.to_str().unwrap().len(), 16);
        assert_eq!(ring_root_of(base, 1000, &shm), Path::new("/dev/shm/tracewell").join(name));
        assert_eq!(ring_root_of(base, 1000, &disk), Path::new("/dev/shm/tracewell-1000").join(name));
        assert_eq!(ring_root_of(base, 1000, &runtime), Path::new("/dev/shm/tracewell").join(name));
        assert_ne!(ring_root_of(Path::new("/other"), 1000, &no_env).file_name(), Some(name.as_os_str()));
        // Whatever the environment of a component: who looks without one tries what is usual.
        let usual = usual_ring_roots(base, 1000, &runtime);
        assert!(usual.contains(&ring_root_of(base, 1000, &runtime)));
        assert!(usual.contains(&ring_root_of(base, 1000, &no_env)));
    }

    #[test]
    fn only_names_of_sessions_are_taken_for_such() {
        assert!(is_session_name(&session_name(1_795_455_876_000_000_000, &[0xab; 16])));
        assert!(is_session_name(&session_name(0, &[0; 16])));
        for name in ["", "keep", "2026-11-23_17.44.36_ABABABAB", "2026-11-23_17.44.36_abababab2", "..", "é"]
        {
            assert!(!is_session_name(name), "{name}");
        }
    }

    #[test]
    fn a_relative_directory_is_taken_from_here() {
        let dirs = Dirs::resolve(Some(Path::new("some/where"))).unwrap();
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        assert_eq!(dirs.base(), here.join("some/where"));
        assert_eq!(dirs.sessions(), dirs.base().join("sessions"));
        assert!(!dirs.base().exists());
    }

    #[test]
    fn a_session_is_named_by_its_time() {
        let id = [0xab; 16];
        assert_eq!(session_name(0, &id), "1970-01-01_00.00.00_abababab");
        assert_eq!(session_name(1_795_455_876_000_000_000, &id), "2026-11-23_17.44.36_abababab");
        assert_eq!(session_name(951_782_400_000_000_000, &id), "2000-02-29_00.00.00_abababab");
    }

    #[test]
    fn two_names_of_a_directory_lead_to_the_same_rings() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("link")).unwrap();
        let a = Dirs::resolve(Some(&dir.path().join("x"))).unwrap();
        let b = Dirs::resolve(Some(&dir.path().join("link/x"))).unwrap();
        assert_eq!(a, b);
        assert!(fs::is_tmpfs(Path::new("/dev/shm")));
    }
}
