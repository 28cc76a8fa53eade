//! Sending a sealed bundle: the tus 1.0 resumable protocol over HTTPS, to the one address that the user agreed to.
//!
//! * Always the same bytes: the sealed file, never encrypted anew. What was begun goes on where the server says it is,
//!   also after a restart.
//! * Exactly one bundle a consent: once the last byte was sent, it is only asked whether it arrived. If the server does
//!   not know any more, a person must.
//! * The server is not trusted: what it says is checked, what it sends is bounded, and it cannot send us elsewhere.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use crate::consent::ConsentProof;
use crate::store::Folder;

const STATE: &str = "upload.json";
pub(crate) const RECEIPT: &str = "receipt.json";
const VERSION: &str = "1.0.0";
/// Longest address of an upload that is kept.
const MAX_LOCATION: usize = 4096;
/// How often a server may forget bytes that it had.
const MAX_STEPS_BACK: u32 = 10;

/// What is known of an upload that was begun.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct State {
    digest: String,
    location: String,
    /// The last bytes were on their way: from now on it is only asked, never sent to another upload.
    is_finishing: bool,
}

/// The server has it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Receipt {
    /// SHA-256 of what was sent.
    pub digest: String,
    /// Its length in bytes.
    pub len: u64,
    /// Where the server keeps it.
    pub location: String,
    /// When the server had all of it: RFC 3339, UTC.
    pub received_at: String,
}

/// Why a bundle was not sent. Nothing is lost: it can be tried again.
#[derive(Debug)]
#[non_exhaustive]
pub enum SendError {
    /// Something on this computer.
    Local(io::Error),
    /// The server could not be reached, or not be trusted, as often as it was tried.
    Unreachable(String),
    /// The server said no.
    Refused(u16, String),
    /// The server said something that cannot be.
    Lies(String),
    /// All bytes were sent, and the server does not say any more whether it has them.
    Unknown,
}

impl std::fmt::Display for SendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local(e) => write!(f, "{e}"),
            Self::Unreachable(what) => write!(
                f,
                "the server could not be reached: {what}; nothing is lost, run `tracewell bundle send` again to go on"
            ),
            Self::Refused(status, what) => {
                write!(f, "the server refused the bundle ({status}): {what}; tell support, or try again later")
            }
            Self::Lies(what) => write!(f, "the server is not to be trusted: {what}; nothing more was sent; tell support"),
            Self::Unknown => f.write_str(
                "all of the bundle was sent, but the server does not say whether it has it; ask support, with the digest, \
                 before you send it again",
            ),
        }
    }
}

impl std::error::Error for SendError {}

impl From<io::Error> for SendError {
    fn from(e: io::Error) -> Self {
        Self::Local(e)
    }
}

/// How patient sending is.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Tries without any progress.
    pub tries: u32,
    /// Wait after the first; doubled each time, at most a minute.
    pub wait: Duration,
    /// How long one answer may take.
    pub timeout: Duration,
    /// Bytes that are sent at once: what a cut connection costs at most.
    pub chunk: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self { tries: 8, wait: Duration::from_secs(1), timeout: Duration::from_secs(60), chunk: 4 << 20 }
    }
}

/// Sends what the proof is for. `base` is the folder of `product.toml`, from where the certificates' path counts.
///
/// # Errors
/// See [`SendError`].
pub fn send(
    folder: &Folder,
    proof: ConsentProof,
    base: &Path,
    patience: Patience,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Receipt, SendError> {
    if let Some(receipt) = folder.note::<Receipt>(RECEIPT)?
        && receipt.digest == proof.consent.digest
    {
        return Ok(receipt);
    }
    let agent = agent(&proof, base, patience)?;
    let mut upload = Upload { folder, proof, agent, patience, steps_back: 0 };
    upload.run(progress)
}

/// The receipt of a bundle that was sent.
///
/// # Errors
/// If it cannot be read.
pub fn receipt(folder: &Folder) -> io::Result<Option<Receipt>> {
    folder.note(RECEIPT)
}

/// Whether an upload of the bundle was begun.
///
/// # Errors
/// If that cannot be read.
pub fn is_begun(folder: &Folder) -> io::Result<bool> {
    Ok(folder.note::<State>(STATE)?.is_some())
}

fn agent(proof: &ConsentProof, base: &Path, patience: Patience) -> Result<Agent, SendError> {
    let roots = match &proof.server.roots {
        None => RootCerts::PlatformVerifier,
        Some(path) => {
            let path = base.join(path);
            let told = |e: String| SendError::Local(io::Error::other(format!("{}: {e}", path.display())));
            let pem = std::fs::read(&path).map_err(|e| told(e.to_string()))?;
            let mut certificates: Vec<Certificate<'static>> = Vec::new();
            for item in parse_pem(&pem) {
                if let PemItem::Certificate(certificate) = item.map_err(|e| told(e.to_string()))? {
                    certificates.push(certificate);
                }
            }
            if certificates.is_empty() {
                return Err(told("no certificate in it".into()));
            }
            RootCerts::Specific(Arc::new(certificates))
        }
    };
    let config = Agent::config_builder()
        .https_only(true)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_response_header_size(64 << 10)
        .timeout_connect(Some(patience.timeout))
        .timeout_recv_response(Some(patience.timeout))
        .timeout_send_body(Some(patience.timeout * 10))
        .user_agent(concat!("tracewell/", env!("CARGO_PKG_VERSION")))
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .allow_non_standard_methods(true)
        .build();
    Ok(config.new_agent())
}

/// What one exchange with the server came to.
enum Step {
    /// The server has so many bytes.
    At(u64),
    /// The upload does not exist (any more).
    Gone,
    /// Try again later.
    Later(String),
}

struct Upload<'a> {
    folder: &'a Folder,
    proof: ConsentProof,
    agent: Agent,
    patience: Patience,
    steps_back: u32,
}

impl Upload<'_> {
    fn run(&mut self, progress: &mut dyn FnMut(u64, u64)) -> Result<Receipt, SendError> {
        let state = self.folder.note::<State>(STATE)?;
        let mut state = state.filter(|state| state.digest == self.proof.consent.digest);
        // Only bytes that the server never had before are progress: one that answers and takes nothing must not keep us.
        let (mut failures, mut known, mut best) = (0, None::<u64>, 0);
        loop {
            let step = match (&mut state, known) {
                (None, _) => match self.create()? {
                    Ok(location) => {
                        let begun = State {
                            digest: self.proof.consent.digest.clone(),
                            location,
                            is_finishing: false,
                        };
                        // Before a byte of it is sent: after a crash this very upload goes on.
                        self.folder.put_note(STATE, &begun)?;
                        state = Some(begun);
                        Step::At(0)
                    }
                    Err(later) => Step::Later(later),
                },
                (Some(state), None) => self.ask(state)?,
                (Some(_), Some(at)) if at == self.proof.len => break,
                (Some(state), Some(at)) => self.give(state, at)?,
            };
            match step {
                Step::At(at) => {
                    if at > best {
                        (failures, best) = (0, at);
                    }
                    known = Some(at);
                    progress(at, self.proof.len);
                }
                Step::Gone if state.as_ref().is_some_and(|s| s.is_finishing) => {
                    return Err(SendError::Unknown);
                }
                Step::Gone => {
                    failures += 1;
                    if failures >= self.patience.tries {
                        return Err(SendError::Unreachable("it forgets what was sent".into()));
                    }
                    (state, known) = (None, None);
                }
                Step::Later(what) => {
                    failures += 1;
                    if failures >= self.patience.tries {
                        return Err(SendError::Unreachable(what));
                    }
                    self.wait(failures);
                    // It is asked how far it came: the answer may have been lost after the bytes arrived.
                    known = None;
                }
            }
        }
        let location = state.map(|s| s.location).unwrap_or_default();
        let receipt = Receipt {
            digest: self.proof.consent.digest.clone(),
            len: self.proof.len,
            location,
            received_at: jiff::Timestamp::now().to_string(),
        };
        self.folder.put_note(RECEIPT, &receipt)?;
        Ok(receipt)
    }

    fn wait(&self, failures: u32) {
        let most = self.patience.wait.saturating_mul(1 << failures.min(10)).min(Duration::from_secs(60));
        // Half of it by chance, so that many clients do not come back at once.
        let chance = crate::unnamed::random_hex(4).ok().and_then(|hex| u32::from_str_radix(&hex, 16).ok());
        let chance = chance.unwrap_or(u32::MAX / 2);
        let share = f64::from(chance) / f64::from(u32::MAX);
        std::thread::sleep(most.mul_f64(0.5 + share / 2.0));
    }

    /// Asks the server for a place. The outer error is final.
    fn create(&self) -> Result<Result<String, String>, SendError> {
        let metadata = format!(
            "sha256 {},id {}",
            base64(self.proof.consent.digest.as_bytes()),
            base64(self.proof.id.as_bytes())
        );
        let answer = self
            .agent
            .post(&self.proof.server.url)
            .header("Tus-Resumable", VERSION)
            .header("Upload-Length", self.proof.len.to_string())
            .header("Upload-Metadata", metadata)
            .send_empty();
        let answer = match self.judge(answer)? {
            Ok(answer) => answer,
            Err(later) => return Ok(Err(later)),
        };
        if answer.status() != StatusCode::CREATED {
            return Err(refused(answer));
        }
        let location = text(&answer, "location")
            .ok_or_else(|| SendError::Lies("it took the bundle, but does not say where".into()))?;
        Ok(Ok(self.same_origin(&location)?))
    }

    /// A place on the same server: absolute, or relative to the address that the user agreed to.
    fn same_origin(&self, location: &str) -> Result<String, SendError> {
        let url = &self.proof.server.url;
        let lies = || {
            SendError::Lies(format!(
                "it wants the bundle sent elsewhere: {:?}",
                location.get(..200).unwrap_or(location)
            ))
        };
        let is_plain = location.len() <= MAX_LOCATION && location.bytes().all(|b| b.is_ascii_graphic());
        if !is_plain {
            return Err(lies());
        }
        let rest = url.get("https://".len()..).unwrap_or_default();
        let origin_len = "https://".len() + rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let origin = url.get(..origin_len).unwrap_or_default();
        if location.contains("://") || location.starts_with("//") {
            let path = location.strip_prefix(origin).ok_or_else(lies)?;
            if !path.starts_with('/') {
                return Err(lies());
            }
            return Ok(location.to_owned());
        }
        if location.starts_with('/') {
            return Ok(format!("{origin}{location}"));
        }
        let folder = url
            .rfind('/')
            .filter(|at| *at >= origin_len)
            .map_or(origin, |at| url.get(..at).unwrap_or(origin));
        Ok(format!("{folder}/{location}"))
    }

    /// Asks how many bytes the server has.
    fn ask(&mut self, state: &State) -> Result<Step, SendError> {
        let answer = self.agent.head(&state.location).header("Tus-Resumable", VERSION).call();
        let answer = match self.judge(answer)? {
            Ok(answer) => answer,
            Err(later) => return Ok(Step::Later(later)),
        };
        match answer.status() {
            StatusCode::OK | StatusCode::NO_CONTENT => {
                if let Some(len) = text(&answer, "upload-length")
                    && len.parse() != Ok(self.proof.len)
                {
                    return Err(SendError::Lies(format!("it calls the bundle {len:?} bytes long")));
                }
                self.offset(&answer, None).map(Step::At)
            }
            StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::FORBIDDEN => Ok(Step::Gone),
            _ => Err(refused(answer)),
        }
    }

    /// Sends the next bytes.
    fn give(&mut self, state: &mut State, at: u64) -> Result<Step, SendError> {
        let left = self.proof.len - at;
        let len = left.min(self.patience.chunk.max(1) as u64);
        if len == left && !state.is_finishing {
            state.is_finishing = true;
            self.folder.put_note(STATE, state)?;
        }
        let mut piece = vec![0; usize::try_from(len).unwrap_or(self.patience.chunk)];
        self.proof.file.seek(SeekFrom::Start(at))?;
        self.proof.file.read_exact(&mut piece)?;
        let answer = self
            .agent
            .patch(&state.location)
            .header("Tus-Resumable", VERSION)
            .header("Upload-Offset", at.to_string())
            .header("Content-Type", "application/offset+octet-stream")
            .send(&piece);
        let answer = match self.judge(answer)? {
            Ok(answer) => answer,
            Err(later) => return Ok(Step::Later(later)),
        };
        match answer.status() {
            StatusCode::NO_CONTENT | StatusCode::OK => {
                self.offset(&answer, Some((at, at + len))).map(Step::At)
            }
            // It has another number of bytes than we thought.
            StatusCode::CONFLICT => {
                self.step_back()?;
                Ok(Step::Later("the server is not where it was".into()))
            }
            StatusCode::LOCKED => Ok(Step::Later("the server is busy with a former try".into())),
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(Step::Gone),
            _ => Err(refused(answer)),
        }
    }

    fn step_back(&mut self) -> Result<(), SendError> {
        self.steps_back += 1;
        if self.steps_back > MAX_STEPS_BACK {
            return Err(SendError::Lies("again and again it has other bytes than it said".into()));
        }
        Ok(())
    }

    /// The offset in an answer; after sending it must lie between what was there and what was sent.
    fn offset(&mut self, answer: &Response<Body>, sent: Option<(u64, u64)>) -> Result<u64, SendError> {
        let said = text(answer, "upload-offset").unwrap_or_default();
        let lies = || SendError::Lies(format!("it says that it has {said:?} of {} bytes", self.proof.len));
        let digits = !said.is_empty() && said.len() <= 19 && said.bytes().all(|b| b.is_ascii_digit());
        let at: u64 = if digits { said.parse().map_err(|_| lies())? } else { return Err(lies()) };
        if at > self.proof.len || sent.is_some_and(|(_, end)| at > end) {
            return Err(lies());
        }
        if sent.is_some_and(|(begin, _)| at <= begin) {
            self.step_back()?;
        }
        Ok(at)
    }

    /// Errors on the way and of the server's side are tried again; a connection that cannot be trusted is not.
    fn judge(
        &self,
        answer: Result<Response<Body>, ureq::Error>,
    ) -> Result<Result<Response<Body>, String>, SendError> {
        match answer {
            Ok(answer) if answer.status().is_redirection() => {
                Err(SendError::Lies("it wants the bundle sent elsewhere (a redirect)".into()))
            }
            Ok(answer)
                if answer.status().is_server_error() || answer.status() == StatusCode::TOO_MANY_REQUESTS =>
            {
                Ok(Err(format!("it answers {}", answer.status())))
            }
            Ok(answer) => Ok(Ok(answer)),
            Err(error) => {
                let what = error.to_string();
                let is_untrusted = matches!(error, ureq::Error::Rustls(_) | ureq::Error::Tls(_))
                    || what.contains("certificate")
                    || what.contains("CertificateError");
                if is_untrusted {
                    return Err(SendError::Unreachable(format!(
                        "its certificate is not to be trusted ({what}); check the clock of this computer, and whether \
                         something stands between it and the server"
                    )));
                }
                Ok(Err(what))
            }
        }
    }
}

fn text(answer: &Response<Body>, header: &str) -> Option<String> {
    answer.headers().get(header)?.to_str().ok().map(|text| text.trim().to_owned())
}

fn refused(answer: Response<Body>) -> SendError {
    let status = answer.status().as_u16();
    let mut said = Vec::new();
    let _ = answer.into_body().into_reader().take(500).read_to_end(&mut said);
    SendError::Refused(status, String::from_utf8_lossy(&said).trim().to_owned())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().enumerate().fold(0_u32, |word, (i, b)| word | u32::from(*b) << (16 - 8 * i));
        for place in 0..4 {
            let digit = (word >> (18 - 6 * place) & 63) as usize;
            out.push(if place <= chunk.len() { char::from(DIGITS[digit]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_base64() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
