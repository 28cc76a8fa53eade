//! Consent: the user's yes to sending exactly this sealed bundle, to exactly this address, under exactly this version
//! of the privacy statement. [`ConsentProof`] is what sending takes, and only a look at the files can make one.

use std::fs::File;
use std::io::{self, Read, Seek};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::draft::{PIECE, invalid};
use crate::product::{Product, Server};
use crate::store::Folder;

const FILE: &str = "consent.json";

/// What the user agreed to.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Consent {
    /// SHA-256 of the sealed file.
    pub digest: String,
    /// Where it may be sent.
    pub url: String,
    /// Version of the privacy statement.
    pub statement: Option<String>,
    /// When: RFC 3339, UTC.
    pub given_at: String,
    /// The user's number.
    pub uid: u32,
}

/// Proof that the user agreed to sending these very bytes. Used up by sending.
#[derive(Debug)]
pub struct ConsentProof {
    pub(crate) consent: Consent,
    pub(crate) file: File,
    pub(crate) len: u64,
    pub(crate) id: String,
    pub(crate) server: Server,
}

impl Folder {
    /// Keeps the user's yes. `digest` is what the user saw, or passed in a script: it must be that of the sealed file as
    /// it is now.
    ///
    /// # Errors
    /// If the bundle is not sealed, the digest is another one, or the product names no address.
    pub fn consent(&self, digest: &str, product: &Product, now: jiff::Timestamp) -> io::Result<()> {
        let sealed =
            self.sealed()?.ok_or_else(|| invalid(format!("bundle {} is not sealed yet", self.name())))?;
        let server = product.server.as_ref().ok_or_else(|| no_server(product))?;
        if digest != sealed.digest {
            return Err(invalid(format!(
                "the consent is for {digest}, but bundle {} has the digest {}: look at it again",
                self.name(),
                sealed.digest
            )));
        }
        let consent = Consent {
            digest: sealed.digest,
            url: server.url.clone(),
            statement: product.statement.as_ref().map(|s| s.version.clone()),
            given_at: now.to_string(),
            uid: rustix::process::getuid().as_raw(),
        };
        self.put_note(FILE, &consent)
    }

    /// What the user agreed to, if they did.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn consented(&self) -> io::Result<Option<Consent>> {
        self.note(FILE)
    }

    /// Takes the consent back: nothing more is sent.
    ///
    /// # Errors
    /// If the note cannot be removed.
    pub fn withdraw(&self) -> io::Result<()> {
        match tracewell::fs::unlink_at(self.fd()?, FILE) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// The proof: the sealed file is read whole, and must be what was agreed to, for the address and the statement that
    /// the product names today.
    ///
    /// # Errors
    /// If there is no consent, or anything is not what it was given for.
    pub fn proof(&self, product: &Product) -> io::Result<ConsentProof> {
        let denied = |what: String| io::Error::new(io::ErrorKind::PermissionDenied, what);
        let consent = self
            .consented()?
            .ok_or_else(|| denied(format!("nobody agreed to sending bundle {}", self.name())))?;
        let sealed =
            self.sealed()?.ok_or_else(|| invalid(format!("bundle {} is not sealed", self.name())))?;
        let server = product.server.clone().ok_or_else(|| no_server(product))?;
        if consent.url != server.url {
            return Err(denied(format!(
                "you agreed to {}, the product now names {}",
                consent.url, server.url
            )));
        }
        let statement = product.statement.as_ref().map(|s| s.version.clone());
        if consent.statement != statement {
            return Err(denied(
                "the privacy statement has changed since you agreed; look at it, and agree again".into(),
            ));
        }
        let mut file = self.sealed_file()?;
        let (digest, len) = digest(&mut file)?;
        if digest != consent.digest || digest != sealed.digest {
            return Err(denied(format!(
                "the sealed file of bundle {} is not the one that you agreed to",
                self.name()
            )));
        }
        file.rewind()?;
        Ok(ConsentProof { consent, file, len, id: sealed.id, server })
    }
}

fn no_server(product: &Product) -> io::Error {
    invalid(format!("{} names no server to send bundles to", product.path.display()))
}

fn digest(file: &mut File) -> io::Result<(String, u64)> {
    let (mut hash, mut len, mut piece) = (Sha256::new(), 0, vec![0; PIECE]);
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok((tracewell::schema::format::hex(&hash.finalize()), len)),
            Ok(read) => {
                hash.update(piece.get(..read).unwrap_or_default());
                len += read as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
