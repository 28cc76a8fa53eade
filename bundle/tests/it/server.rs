//! A real tus server behind TLS on 127.0.0.1: tests/tus.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// An authority, and a certificate of it.
pub(crate) struct Certificates {
    pub(crate) roots: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// A certificate authority.
pub(crate) struct Authority {
    pub(crate) pem: String,
    pub(crate) issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// One that vouches for itself, or for which `above` does; `change` can make it another than the usual.
    pub(crate) fn new(
        name: &str,
        above: Option<&Issuer<'_, KeyPair>>,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = match above {
            Some(above) => params.signed_by(&key, above).unwrap(),
            None => params.self_signed(&key).unwrap(),
        };
        Self { pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }
}

impl Certificates {
    /// Makes them for `name`; `change` can make the server's bad.
    pub(crate) fn new(folder: &Path, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let authority = Authority::new("authority", None, |_| ());
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &authority.issuer).unwrap().pem();
        Self::write(folder, &authority.pem, &certificate, &key)
    }

    /// Writes them: whom the client trusts, what the server shows, and its key.
    pub(crate) fn write(folder: &Path, roots: &str, certificates: &str, key: &KeyPair) -> Self {
        let made = Self {
            roots: folder.join("roots.pem"),
            certificate: folder.join("server.pem"),
            key: folder.join("server.key"),
        };
        std::fs::write(&made.roots, roots).unwrap();
        std::fs::write(&made.certificate, certificates).unwrap();
        std::fs::write(&made.key, key.serialize_pem()).unwrap();
        made
    }
}

fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/tus").join(name)
}

/// The server; ends with its owner.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts it; `cuts` percent of the requests are cut.
    pub(crate) fn start(folder: &Path, certificates: &Certificates, cuts: u32, seed: u64) -> Self {
        let modules = program("node_modules");
        assert!(modules.exists(), "the test server is not installed: run `npm ci --prefix tests/tus`");
        let uploads = folder.join("uploads");
        std::fs::create_dir_all(&uploads).unwrap();
        let mut command = Command::new("node");
        command
            .arg(program("server.mjs"))
            .args([&uploads, &certificates.certificate, &certificates.key])
            .args([cuts.to_string(), seed.to_string()]);
        Self::spawn(command)
    }

    /// One that does not keep to the protocol: tests/tus/liar.mjs.
    pub(crate) fn liar(certificates: &Certificates, lie: &str) -> Self {
        let mut command = Command::new("node");
        command.arg(program("liar.mjs")).args([&certificates.certificate, &certificates.key]).arg(lie);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node is installed");
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        out.read_line(&mut first).unwrap();
        let port = first.trim().strip_prefix("port ").expect("a port").parse().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                into.lock().unwrap().push(line);
            }
        });
        Self { child, port, lines }
    }

    pub(crate) fn lines(&self, start: &str) -> Vec<String> {
        self.lines.lock().unwrap().iter().filter(|line| line.starts_with(start)).cloned().collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
