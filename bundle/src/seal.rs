//! Sealing: from the draft to one file for the vendor's key, without what was struck out, in one stream.
//!
//! Three threads pass pieces on: one decrypts the draft, one encrypts, one computes the digest and writes. No
//! plaintext leaves memory.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use sha2::{Digest, Sha256};

use crate::draft::{Draft, PIECE, invalid};
use crate::keys::Key;
use crate::manifest::Manifest;
use crate::member::MemberName;
use crate::payload::PayloadWriter;
use crate::tar;
use crate::unnamed::Unnamed;

/// Name of the manifest in a sealed bundle.
pub(crate) const MANIFEST: &str = "manifest.json";
/// Pieces on their way between two threads.
const ON_THE_WAY: usize = 8;

/// What was sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// SHA-256 of the sealed file, in hexadecimal digits: what consent is given for.
    pub digest: String,
    /// Its length in bytes.
    pub len: u64,
    /// Its table of contents.
    pub manifest_sha256: String,
}

/// Seals a draft into `name` in `folder`, which must not exist.
///
/// `progress` is told how many bytes of the members are done.
///
/// # Errors
/// If there are no keys, the draft cannot be read, or the file not be written. Then there is no file.
pub fn seal(
    draft: &mut Draft,
    struck: &BTreeSet<MemberName>,
    keys: &[&Key],
    folder: OwnedFd,
    name: &str,
    progress: &mut (dyn FnMut(u64) + Send),
) -> io::Result<Sealed> {
    if keys.is_empty() {
        return Err(invalid("there is no key to seal the bundle to"));
    }
    let manifest = draft.manifest().without(struck);
    let text = serde_json::to_vec_pretty(&manifest)?;
    let manifest_sha256 = tracewell::schema::format::hex(&Sha256::digest(&text));
    let unnamed = Unnamed::new(folder)?;
    let (plain, to_encrypt) = bounded::<Vec<u8>>(ON_THE_WAY);
    let (cipher, to_write) = bounded::<Vec<u8>>(ON_THE_WAY);
    let (digest, len) = thread::scope(|scope| {
        let writing = scope.spawn(|| write(&unnamed, &to_write));
        let encrypting = scope.spawn(|| encrypt(keys, &to_encrypt, cipher));
        let read = archive(draft, &manifest, &text, plain, progress);
        let encrypted = encrypting.join().map_err(|_| io::Error::other("the encrypting thread ended"));
        let written = writing.join().map_err(|_| io::Error::other("the writing thread ended"));
        // The cause first: when one ends, those before it find that nobody takes their pieces.
        let written = written??;
        encrypted??;
        read?;
        Ok::<_, io::Error>(written)
    })?;
    unnamed.publish(name)?;
    Ok(Sealed { digest, len, manifest_sha256 })
}

/// Gives the archive in pieces.
fn archive(
    draft: &mut Draft,
    manifest: &Manifest,
    text: &[u8],
    out: Sender<Vec<u8>>,
    progress: &mut (dyn FnMut(u64) + Send),
) -> io::Result<()> {
    let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the sealed file could not be written");
    let name = MemberName::new(MANIFEST).map_err(io::Error::other)?;
    let mut piece = Vec::with_capacity(PIECE);
    piece.extend_from_slice(&tar::header(&name, text.len() as u64));
    piece.extend_from_slice(text);
    piece.resize(piece.len() + tar::padding(text.len() as u64), 0);
    let mut done = 0;
    for entry in &manifest.members {
        piece.extend_from_slice(&tar::header(&entry.info.name, entry.size));
        let mut left = entry.size;
        let mut content = draft.member(entry.info.name.as_str())?;
        while left != 0 {
            if piece.len() >= PIECE {
                out.send(std::mem::replace(&mut piece, Vec::with_capacity(PIECE))).map_err(gone)?;
            }
            let begun = piece.len();
            piece.resize((begun + usize::try_from(left).unwrap_or(PIECE)).min(PIECE.max(begun + 1)), 0);
            let place = piece.get_mut(begun..).unwrap_or_default();
            content.read_exact(place)?;
            let read = place.len() as u64;
            left -= read;
            done += read;
            progress(done);
        }
        piece.resize(piece.len() + tar::padding(entry.size), 0);
    }
    piece.extend_from_slice(&tar::END);
    out.send(piece).map_err(gone)
}

fn encrypt(keys: &[&Key], from: &Receiver<Vec<u8>>, to: Sender<Vec<u8>>) -> io::Result<()> {
    let mut out = PayloadWriter::new(keys, Pieces { to, piece: Vec::with_capacity(PIECE) })?;
    let mut ended = false;
    for piece in from {
        ended = piece.ends_with(&tar::END);
        out.write_all(&piece)?;
    }
    if !ended {
        return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the draft could not be read to its end"));
    }
    let mut pieces = out.finish()?;
    pieces.flush()?;
    // An empty piece says that this was all.
    pieces.to.send(Vec::new()).map_err(|_| io::ErrorKind::BrokenPipe.into())
}

/// Passes what is written to it on in pieces.
struct Pieces {
    to: Sender<Vec<u8>>,
    piece: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE + (66 << 10)));
        self.to.send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

fn write(unnamed: &Unnamed, from: &Receiver<Vec<u8>>) -> io::Result<(String, u64)> {
    let (mut hash, mut len, mut file) = (Sha256::new(), 0, unnamed.file());
    for piece in from {
        if piece.is_empty() {
            return Ok((tracewell::schema::format::hex(&hash.finalize()), len));
        }
        hash.update(&piece);
        file.write_all(&piece)?;
        len += piece.len() as u64;
    }
    Err(io::Error::new(io::ErrorKind::BrokenPipe, "the bundle was not encrypted to its end"))
}
