//! Bundles to look at.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tracewell_bundle::{
    DraftWriter, Folder, Kind, MemberInfo, MemberName, OwnKey, Personal, Sink, Skipped, Store, Terms,
};
use tracewell_view::{Bundle, End, Limits, Server};

/// A trace directory with bundles.
pub(crate) struct Base {
    dir: tempfile::TempDir,
}

impl Base {
    pub(crate) fn new() -> Self {
        let mode = std::fs::Permissions::from_mode(0o700);
        Self { dir: tempfile::Builder::new().permissions(mode).tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Prepares a bundle.
    pub(crate) fn draft(&self, fill: impl FnOnce(&mut DraftWriter)) -> Folder {
        let key = OwnKey::load_or_create(self.path()).unwrap();
        let folder = Store::new(self.path()).create("2026-11-26T09:30:00Z".parse().unwrap()).unwrap();
        let terms = Terms {
            case: Some("2026-004711".into()),
            product: "Example Security 7.2".into(),
            prepared_at: "2026-11-26T09:30:00Z".into(),
            redaction: "standard".into(),
            statement: Some("2026-03".into()),
        };
        let mut writer = DraftWriter::new(folder.fd().unwrap(), &key, terms).unwrap();
        fill(&mut writer);
        writer.finish().unwrap();
        folder
    }

    pub(crate) fn key(&self) -> OwnKey {
        OwnKey::load(self.path()).unwrap()
    }

    pub(crate) fn folder(&self) -> Folder {
        Store::new(self.path()).open("last").unwrap()
    }

    pub(crate) fn serve(&self, limits: Limits) -> Served {
        let bundle = Bundle::of_folder(self.folder(), self.key(), self.path().into()).unwrap();
        Served::new(bundle, limits)
    }

    /// What the audit file says was looked at.
    pub(crate) fn viewed(&self) -> Vec<String> {
        let audit = tracewell_bundle::audit::read(self.path()).unwrap();
        assert_eq!(audit.broken_at, None);
        audit.entries.into_iter().filter(|e| e.what == "view").map(|e| e.detail).collect()
    }
}

/// A server that runs.
pub(crate) struct Served {
    pub(crate) url: String,
    pub(crate) once: Option<String>,
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
    thread: Option<std::thread::JoinHandle<End>>,
}

impl Served {
    pub(crate) fn new(bundle: Bundle, limits: Limits) -> Self {
        let server = Server::new(bundle, limits).unwrap();
        let (url, once) = (server.url(), server.url_for_once().unwrap());
        let stop = std::sync::Arc::<std::sync::atomic::AtomicBool>::default();
        let asked = std::sync::Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            server.run(|| asked.load(std::sync::atomic::Ordering::Relaxed)).unwrap()
        });
        Self { url, once, stop, thread: Some(thread) }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap().split('/').next().unwrap()
    }

    /// `/SECRET/`.
    pub(crate) fn path(&self) -> &str {
        &self.url["http://".len() + self.address().len()..]
    }

    pub(crate) fn end(mut self) -> End {
        self.thread.take().unwrap().join().unwrap()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(std::thread::JoinHandle::is_finished)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub(crate) fn put(
    sink: &mut dyn Sink,
    name: &str,
    kind: Kind,
    origin: &str,
    personal: &[(Personal, u64)],
    mut content: impl Read,
) {
    let info = MemberInfo {
        name: MemberName::new(name).unwrap(),
        kind,
        origin: origin.into(),
        personal: personal.iter().copied().collect(),
    };
    sink.member(info, &mut content).unwrap();
}

/// Records events of one component, and returns its segments.
pub(crate) fn record(emit: impl FnOnce(&tracewell::Tracer)) -> (tracewell_tests::Place, Vec<PathBuf>) {
    let place = tracewell_tests::Place::new();
    place.enable();
    let tracer = tracewell::Tracer::builder("scanner")
        .dir(place.dirs.base())
        .ring_dir(place.dirs.ring_root())
        .attach()
        .unwrap();
    {
        let _guard = tracer.guard();
        emit(&tracer);
    }
    tracer.flush().unwrap();
    drop(tracer);
    let mut segments = Vec::new();
    for session in std::fs::read_dir(place.dirs.sessions()).unwrap() {
        for file in std::fs::read_dir(session.unwrap().path()).unwrap() {
            segments.push(file.unwrap().path());
        }
    }
    segments.sort();
    assert!(!segments.is_empty());
    (place, segments)
}

/// Emits every event of the catalog.
pub(crate) struct Samples<'a>(pub(crate) &'a tracewell::Tracer);

impl tracewell_schema::catalog::sample::Visitor for Samples<'_> {
    fn event<E: tracewell::Event + std::fmt::Debug>(&mut self, event: &E) {
        self.0.emit(event);
    }
}

/// A bundle as a user would have it: traces, settings, what the system says of itself; redacted.
pub(crate) fn realistic(base: &Base) -> Folder {
    use tracewell_bundle::redact::{Known, Level, PseudonymKey, Redacting, Redactor};
    let (_place, segments) = record(|tracer| {
        for seed in 0..40 {
            tracewell_schema::catalog::sample::visit(seed, &mut Samples(tracer));
        }
    });
    let known = Known::new(["alex", "sam", "kim"], ["workstation-7"]);
    base.draft(|draft| {
        let mut redactor = Redactor::new(Level::Standard, PseudonymKey::random().unwrap(), known);
        {
            let mut sink = Redacting::new(&mut redactor, draft);
            let sink: &mut dyn Sink = &mut sink;
            let system = serde_json::json!({
                "format": 1, "group": "network", "collected_at": "2026-11-26T09:29:58Z",
                "errors": [{ "what": "firewall rules", "why": "only root may see them" }],
                "personal_fields": [
                    { "path": "/data/host_name", "kind": "host" },
                    { "path": "/data/listening/*/user", "kind": "user" },
                    { "path": "/data/listening/*/path", "kind": "path" },
                ],
                "data": {
                    "host_name": "workstation-7",
                    "interfaces": [
                        { "name": "enp3s0", "state": "up", "address": "192.0.2.17", "mtu": 1500 },
                        { "name": "wlp2s0", "state": "down", "address": "192.0.2.44", "mtu": 1500 },
                        { "name": "lo", "state": "up", "address": "127.0.0.1", "mtu": 65536 },
                    ],
                    "resolver": { "servers": ["192.0.2.1", "2001:db8::53"], "search": ["example.org"] },
                    "listening": (0..14).map(|n| serde_json::json!({
                        "port": 20 + n * 61, "protocol": "tcp", "process": (["sshd", "cupsd", "scanner"][n % 3]),
                        "user": if n % 3 == 2 { "sam" } else { "root" }, "path": "/home/sam/bin/scanner",
                    })).collect::<Vec<_>>(),
                },
            });
            let personal = [(Personal::Address, 6), (Personal::HostName, 1), (Personal::UserName, 5)];
            put(sink, "os/network.json", Kind::OsInformation, "network, ports and connections", &personal, system.to_string().as_bytes());
            let packages = serde_json::json!({
                "format": 1, "group": "packages", "collected_at": "2026-11-26T09:29:59Z", "errors": [],
                "personal_fields": [],
                "data": { "packages": (0..700).map(|n| serde_json::json!({
                    "name": format!("package-{n}"), "version": format!("{}.{}.{}", n % 9, n % 13, n % 7), "from": "distribution",
                })).collect::<Vec<_>>() },
            });
            put(sink, "os/packages.json", Kind::OsInformation, "installed packages", &[], packages.to_string().as_bytes());
            for (number, path) in segments.iter().enumerate() {
                let personal = [(Personal::UserName, 120), (Personal::Path, 640), (Personal::Url, 160), (Personal::Mail, 80)];
                put(sink, &segment_name(path, number + 1), Kind::Segment, "session of 26 November, scanner", &personal, std::fs::File::open(path).unwrap());
            }
            let log: String = (0..4000)
                .map(|n| format!("2026-11-26 09:{:02}:{:02} scanner[{}]: checked /home/sam/Documents/report-{n}.odt for sam: clean\n", n / 60 % 60, n % 60, 4200 + n % 3))
                .collect();
            let personal = [(Personal::Path, 4000), (Personal::UserName, 4000)];
            put(sink, "files/0001.txt", Kind::Text, "/var/log/example-security/scanner.log", &personal, log.as_bytes());
            let settings = "[scan]\narchives = true\nexclude = /home/sam/Videos\n\n[update]\nserver = https://updates.example.com\n";
            put(sink, "files/0002.txt", Kind::Text, "/etc/example-security/settings.conf", &[(Personal::Path, 1)], settings.as_bytes());
            let bytes: Vec<u8> = (0..40_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
            put(sink, "files/0003.bin", Kind::Binary, "/var/lib/example-security/cache.bin", &[(Personal::Content, 0)], bytes.as_slice());
        }
        skip(draft, "a minidump of scanner", "it was not running");
        skip(draft, "/var/log/example-security/old.log", "larger than 64 MiB");
        draft.add_redaction(&redactor).unwrap();
    })
}

pub(crate) fn segment_name(path: &Path, number: usize) -> String {
    format!("trace/{number:04}/{}", path.file_name().unwrap().to_str().unwrap().to_ascii_lowercase())
}

pub(crate) fn skip(draft: &mut DraftWriter, what: &str, why: &str) {
    draft.skip(Skipped { what: what.into(), why: why.into() });
}
