//! Where bundles are kept: `BASE/bundles/NAME/`, each a folder of this user alone.
//!
//! ```text
//! draft.age     what was collected, for the user's own key
//! struck.json   names of the members that the user struck out
//! sealed.age    the sealed bundle
//! sealed.json   its digest, length and keys
//! ```
//!
//! Consent, upload and receipt add files of their own. Whatever is missing has not happened yet.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::draft::{Draft, invalid};
use crate::keys::OwnKey;
use crate::member::MemberName;
use crate::request::Request;
use crate::seal::Sealed;
use crate::unnamed::{random_hex, replace};

const FOLDER: &str = "bundles";
const STRUCK: &str = "struck.json";
const SEALED: &str = "sealed.age";
/// The request that was accepted last, beside the bundles.
const REQUEST: &str = "request.json";
const SEALED_NOTE: &str = "sealed.json";
/// Longest of the small files, in bytes.
const MAX_NOTE: u64 = 16 << 20;

/// All bundles of a trace directory.
#[derive(Clone, Debug)]
pub struct Store {
    path: PathBuf,
}

impl Store {
    /// Those below this trace directory. Nothing is made.
    #[must_use]
    pub fn new(base: &Path) -> Self {
        Self { path: base.join(FOLDER) }
    }

    /// Makes the folder of a new bundle, named after the time: `20261125-101500-3f9a`.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(&self, now: jiff::Timestamp) -> io::Result<Folder> {
        drop(tracewell::fs::create_private_dir_all(&self.path)?);
        let name = format!("{}-{}", now.strftime("%Y%m%d-%H%M%S"), random_hex(2)?);
        let path = self.path.join(&name);
        let fd = tracewell::fs::create_private_dir(&path)?;
        Ok(Folder { name, path, fd })
    }

    /// Keeps the request that the user accepted last; returns where.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep_request(&self, request: &Request) -> io::Result<PathBuf> {
        let folder = tracewell::fs::create_private_dir_all(&self.path)?;
        replace(&folder, REQUEST, &serde_json::to_vec_pretty(request)?)?;
        Ok(self.path.join(REQUEST))
    }

    /// The request that the user accepted last.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn request(&self) -> io::Result<Option<Request>> {
        match tracewell::fs::open_private_dir(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
            Ok(folder) => note(&folder, &self.path, REQUEST),
        }
    }

    /// Removes the kept request and the folder itself, which has no bundle any more.
    ///
    /// # Errors
    /// If something in it is not ours, or cannot be removed.
    pub fn remove_rest(&self) -> io::Result<()> {
        let folder = match tracewell::fs::open_private_dir(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let partial = format!(".{REQUEST}-");
        for name in tracewell::fs::names_in(&folder)? {
            if name == REQUEST || name.starts_with(&partial) {
                tracewell::fs::unlink_at(&folder, &name)?;
            }
        }
        std::fs::remove_dir(&self.path)
    }

    /// The names of all bundles, oldest first.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn list(&self) -> io::Result<Vec<String>> {
        let folder = match tracewell::fs::open_private_dir(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut names = tracewell::fs::names_in(&folder)?;
        names.retain(|name| is_name(name));
        names.sort_unstable();
        Ok(names)
    }

    /// Opens a bundle by its name, by a beginning or end of it that only one has, or by `last`.
    ///
    /// # Errors
    /// If there is none, or more than one.
    pub fn open(&self, name: &str) -> io::Result<Folder> {
        let names = self.list()?;
        let found: Vec<&String> = match name {
            "last" => names.last().into_iter().collect(),
            exact if names.iter().any(|n| n == exact) => names.iter().filter(|n| *n == exact).collect(),
            part => names.iter().filter(|n| n.starts_with(part) || n.ends_with(part)).collect(),
        };
        match found[..] {
            [one] => {
                let path = self.path.join(one);
                let fd = tracewell::fs::open_private_dir(&path)?;
                Ok(Folder { name: one.clone(), path, fd })
            }
            [] => Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("no bundle is named {name:?}; `tracewell bundle list` shows them"),
            )),
            _ => Err(invalid(format!("{} bundles fit {name:?}; give more of the name", found.len()))),
        }
    }
}

/// Digits, letters and dashes as [`Store::create`] makes them; anything else is not ours.
fn is_name(name: &str) -> bool {
    name.len() == 20 && name.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase() || b == b'-')
}

/// What is kept of a sealed bundle beside it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SealedNote {
    /// SHA-256 of the file: what consent is given for.
    pub digest: String,
    /// Its length in bytes.
    pub len: u64,
    /// SHA-256 of the manifest inside.
    pub manifest_sha256: String,
    /// The public keys that can open it.
    pub keys: Vec<String>,
    /// The bundle's id.
    pub id: String,
    /// When it was sealed: RFC 3339, UTC.
    pub sealed_at: String,
}

/// The folder of one bundle.
#[derive(Debug)]
pub struct Folder {
    name: String,
    path: PathBuf,
    fd: OwnedFd,
}

impl Folder {
    /// The bundle's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of all its files, as far as they can be seen.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let entries = std::fs::read_dir(&self.path).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum()
    }

    /// The folder, for files of its own.
    ///
    /// # Errors
    /// If no descriptor is left.
    pub fn fd(&self) -> io::Result<OwnedFd> {
        self.fd.try_clone()
    }

    /// The draft.
    ///
    /// # Errors
    /// See [`Draft::open`].
    pub fn draft(&self, key: &OwnKey) -> io::Result<Draft> {
        Draft::open(&self.fd, key)
    }

    /// The members that the user struck out.
    ///
    /// # Errors
    /// If the list cannot be read: better no bundle than one with what was struck out.
    pub fn struck(&self) -> io::Result<BTreeSet<MemberName>> {
        Ok(self.note(STRUCK)?.unwrap_or_default())
    }

    /// Keeps what the user struck out. A bundle that is sealed does not change any more.
    ///
    /// # Errors
    /// If it is sealed or another command changes it right now, or the list cannot be written.
    pub fn set_struck(&self, struck: &BTreeSet<MemberName>) -> io::Result<()> {
        self.change_struck(|all| all.clone_from(struck)).map(|_| ())
    }

    /// Changes the list of what the user struck out, as it is at this moment; returns the new one.
    ///
    /// # Errors
    /// As [`Folder::set_struck`].
    pub fn change_struck(
        &self,
        change: impl FnOnce(&mut BTreeSet<MemberName>),
    ) -> io::Result<BTreeSet<MemberName>> {
        let _alone = self.lock()?;
        let mut struck = self.struck()?;
        change(&mut struck);
        self.put_struck(&struck)?;
        Ok(struck)
    }

    /// Held while the bundle is changed or sealed: what is struck out while it is sealed would be in it all the same.
    fn lock(&self) -> io::Result<OwnedFd> {
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, ".", flags, rustix::fs::Mode::empty())?;
        match rustix::fs::flock(&fd, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(fd),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!(
                    "bundle {} is being sealed or changed by another command; try again when it has ended",
                    self.name
                ),
            )),
            Err(e) => Err(e.into()),
        }
    }

    fn put_struck(&self, struck: &BTreeSet<MemberName>) -> io::Result<()> {
        if self.sealed()?.is_some() {
            return Err(io::Error::new(
                io::ErrorKind::ReadOnlyFilesystem,
                format!(
                    "bundle {} is sealed and does not change any more; `tracewell bundle unseal {0}` first",
                    self.name
                ),
            ));
        }
        self.put_note(STRUCK, struck)
    }

    /// Seals the draft for these keys.
    ///
    /// # Errors
    /// See [`crate::seal()`]; if it is sealed already.
    pub fn seal(
        &self,
        key: &OwnKey,
        keys: &[&crate::Key],
        now: jiff::Timestamp,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> io::Result<(Sealed, SealedNote)> {
        let _alone = self.lock()?;
        let mut draft = self.draft(key)?;
        let sealed = crate::seal(&mut draft, &self.struck()?, keys, self.fd()?, SEALED, progress)?;
        let note = SealedNote {
            digest: sealed.digest.clone(),
            len: sealed.len,
            manifest_sha256: sealed.manifest_sha256.clone(),
            keys: keys.iter().map(ToString::to_string).collect(),
            id: draft.manifest().id.clone(),
            sealed_at: now.to_string(),
        };
        if let Err(e) = self.put_note(SEALED_NOTE, &note) {
            let _ = tracewell::fs::unlink_at(&self.fd, SEALED);
            return Err(e);
        }
        Ok((sealed, note))
    }

    /// What was sealed, if it was.
    ///
    /// # Errors
    /// If the note on it cannot be read.
    pub fn sealed(&self) -> io::Result<Option<SealedNote>> {
        self.note(SEALED_NOTE)
    }

    /// The sealed file, opened.
    ///
    /// # Errors
    /// If there is none.
    pub fn sealed_file(&self) -> io::Result<std::fs::File> {
        tracewell::fs::open_existing(&self.fd, SEALED, false)
    }

    /// Where the sealed file lies.
    #[must_use]
    pub fn sealed_path(&self) -> PathBuf {
        self.path.join(SEALED)
    }

    /// Takes the seal away, so that the draft can be changed and sealed anew. Whoever calls this has made sure that no
    /// consent is given for it.
    ///
    /// # Errors
    /// If the files cannot be removed.
    pub fn unseal(&self) -> io::Result<()> {
        for name in [SEALED_NOTE, SEALED] {
            match tracewell::fs::unlink_at(&self.fd, name) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        tracewell::fs::sync_dir(&self.fd)
    }

    /// Removes the bundle with all that belongs to it.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub fn remove(self) -> io::Result<()> {
        for name in tracewell::fs::names_in(&self.fd)? {
            tracewell::fs::unlink_at(&self.fd, &name)?;
        }
        std::fs::remove_dir(&self.path)
    }

    /// A small JSON file of the bundle; `None` if there is none.
    ///
    /// # Errors
    /// If it is not ours alone, too long, or not of its form.
    pub fn note<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        note(&self.fd, &self.path, name)
    }

    /// Writes a small JSON file of the bundle, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn put_note<T: Serialize>(&self, name: &str, note: &T) -> io::Result<()> {
        replace(&self.fd, name, &serde_json::to_vec_pretty(note)?)
    }
}

fn note<T: DeserializeOwned>(folder: &OwnedFd, path: &Path, name: &str) -> io::Result<Option<T>> {
    let file = match tracewell::fs::open_existing(folder, name, false) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut text = Vec::new();
    file.take(MAX_NOTE).read_to_end(&mut text)?;
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|e| invalid(format!("{}: {e}", path.join(name).display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draft::DraftWriter;
    use crate::draft::tests::{bytes_of, info};
    use crate::{SealedReader, Sink, Terms};

    #[test]
    fn a_bundle_is_prepared_struck_sealed_and_removed() {
        let dir = crate::unnamed::tests::private_dir();
        let store = Store::new(dir.path());
        assert!(store.list().unwrap().is_empty() && store.open("last").is_err());
        let now: jiff::Timestamp = "2026-11-25T10:15:00Z".parse().unwrap();
        let folder = store.create(now).unwrap();
        assert!(folder.name().starts_with("20261125-101500-"));
        let key = OwnKey::load_or_create(dir.path()).unwrap();
        let mut draft = DraftWriter::new(folder.fd().unwrap(), &key, Terms::default()).unwrap();
        for name in ["a.txt", "b.txt"] {
            draft.member(info(name), &mut bytes_of(name, 100).as_slice()).unwrap();
        }
        draft.finish().unwrap();
        let struck = BTreeSet::from([MemberName::new("a.txt").unwrap()]);
        folder.set_struck(&struck).unwrap();
        let public = key.public();
        let mut refused = Vec::new();
        let (sealed, note) = folder
            .seal(&key, &[&public], now, &mut |_| {
                refused.push(store.open("last").unwrap().set_struck(&BTreeSet::new()).unwrap_err());
            })
            .unwrap();
        assert!(refused.iter().all(|e| e.kind() == io::ErrorKind::ResourceBusy), "{refused:?}");
        assert!(!refused.is_empty() && folder.struck().unwrap() == struck, "while it is sealed it stays");
        assert_eq!((note.digest.clone(), note.keys.clone()), (sealed.digest, vec![public.to_string()]));
        assert!(folder.set_struck(&BTreeSet::new()).is_err(), "it is sealed");
        assert!(folder.seal(&key, &[&public], now, &mut |_| ()).is_err(), "and not sealed twice");
        for part in [folder.name(), "last", "20261125"] {
            assert_eq!(store.open(part).unwrap().sealed().unwrap(), Some(note.clone()));
        }
        let mut opened = SealedReader::open(folder.sealed_file().unwrap(), &key).unwrap();
        opened.check().unwrap();
        assert_eq!(opened.manifest().members.len(), 1);
        folder.unseal().unwrap();
        assert!(folder.sealed().unwrap().is_none());
        folder.set_struck(&BTreeSet::new()).unwrap();
        let second = store.create(now).unwrap();
        assert!(store.open("20261125").unwrap_err().to_string().contains("2 bundles"));
        second.remove().unwrap();
        folder.remove().unwrap();
        assert!(store.list().unwrap().is_empty());
    }
}
