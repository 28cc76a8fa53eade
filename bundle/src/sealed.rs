//! Opening a sealed bundle: for the user who wants to see again what was given, and for support.
//!
//! Whoever opens a bundle has it from a stranger. Nothing comes out that the age format has not authenticated, names are
//! of one form only, every size is bounded, and [`SealedReader::extract`] leaves nothing unless all of it was right.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::draft::{PIECE, invalid};
use crate::keys::OwnKey;
use crate::manifest::{Entry, MANIFEST_FORMAT, MAX_MANIFEST, MAX_MEMBERS, Manifest};
use crate::payload::PayloadReader;
use crate::seal::MANIFEST;
use crate::tar::{self, BLOCK};

/// A sealed bundle, opened with a key.
pub struct SealedReader {
    reader: PayloadReader,
    manifest: Manifest,
    /// Where the header of each member begins.
    offsets: Vec<u64>,
}

impl std::fmt::Debug for SealedReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedReader").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

impl SealedReader {
    /// Reads the manifest. The members are looked at when they are asked for.
    ///
    /// # Errors
    /// If it is no sealed bundle, is sealed to other keys, or is damaged so far.
    pub fn open(file: File, key: &OwnKey) -> io::Result<Self> {
        let mut reader = PayloadReader::new(file, key)?;
        let (name, size) = next_header(&mut reader)?;
        if name != MANIFEST || size > MAX_MANIFEST {
            return Err(invalid("the file is no bundle: it does not begin with a manifest"));
        }
        let mut text = Vec::new();
        (&mut reader).take(size).read_to_end(&mut text)?;
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|e| invalid(format!("the manifest of the bundle cannot be read: {e}")))?;
        if manifest.format != MANIFEST_FORMAT {
            return Err(invalid(format!(
                "the bundle has form {}, this program knows form {MANIFEST_FORMAT}; a newer one opens it",
                manifest.format
            )));
        }
        if text.len() as u64 != size || manifest.members.len() > MAX_MEMBERS {
            return Err(invalid("the manifest of the bundle is damaged"));
        }
        let mut at = whole(size);
        let mut offsets = Vec::with_capacity(manifest.members.len());
        for entry in &manifest.members {
            offsets.push(at);
            at = at.checked_add(whole(entry.size)).ok_or_else(|| invalid("sizes that cannot be"))?;
        }
        Ok(Self { reader, manifest, offsets })
    }

    /// What is in it.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The bytes of a member; each piece is authenticated before it comes out.
    ///
    /// # Errors
    /// If there is no such member, or the bundle is damaged there.
    pub fn member(&mut self, name: &str) -> io::Result<impl Read + '_> {
        self.member_at(name, 0)
    }

    /// The bytes of a member from an offset on; none if it is shorter.
    ///
    /// # Errors
    /// As [`SealedReader::member`].
    pub fn member_at(&mut self, name: &str, offset: u64) -> io::Result<impl Read + '_> {
        let (place, entry) = self.manifest.place(name)?;
        let begin = self.offsets.get(place).copied().unwrap_or_default();
        self.reader.seek(SeekFrom::Start(begin))?;
        expect(&mut self.reader, entry)?;
        let offset = offset.min(entry.size);
        if offset != 0 {
            self.reader.seek(SeekFrom::Start(begin + BLOCK as u64 + offset))?;
        }
        Ok((&mut self.reader).take(entry.size - offset))
    }

    /// Goes through all of it: every digest, every header, and that nothing follows.
    ///
    /// # Errors
    /// At the first thing that is not as the manifest says.
    pub fn check(&mut self) -> io::Result<()> {
        self.walk(&mut |_| Ok(Box::new(io::sink())))
    }

    /// Writes all members below `target`, a folder that is made (0700) and must not exist; files have mode 0600.
    ///
    /// # Errors
    /// As [`SealedReader::check`], or if something cannot be written. Then `target` is removed again.
    pub fn extract(&mut self, target: &Path) -> io::Result<()> {
        if target.symlink_metadata().is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("{} exists; choose a folder that does not", target.display()),
            ));
        }
        let folder = tracewell::fs::create_private_dir(target)?;
        let text = serde_json::to_vec_pretty(&self.manifest)?;
        let done = tracewell::fs::create_new(&folder, MANIFEST)
            .and_then(|mut file| file.write_all(&text))
            .and_then(|()| self.walk(&mut |entry| create(target, &folder, entry)));
        if done.is_err() {
            let _ = std::fs::remove_dir_all(target);
        }
        done
    }

    fn walk(&mut self, open: &mut dyn FnMut(&Entry) -> io::Result<Box<dyn Write>>) -> io::Result<()> {
        let mut buffer = vec![0; PIECE];
        let first = self.offsets.first().copied();
        let begin = match first {
            Some(at) => at,
            None => {
                self.reader.seek(SeekFrom::Start(0))?;
                whole(next_header(&mut self.reader)?.1)
            }
        };
        self.reader.seek(SeekFrom::Start(begin))?;
        for entry in &self.manifest.members {
            expect(&mut self.reader, entry)?;
            let mut out = open(entry)?;
            let (mut hash, mut left) = (Sha256::new(), entry.size);
            while left != 0 {
                let most = buffer.len().min(usize::try_from(left).unwrap_or(PIECE));
                let piece = buffer.get_mut(..most).unwrap_or_default();
                self.reader.read_exact(piece)?;
                hash.update(&*piece);
                out.write_all(piece)?;
                left -= piece.len() as u64;
            }
            out.flush()?;
            if tracewell::schema::format::hex(&hash.finalize()) != entry.sha256 {
                return Err(invalid(format!(
                    "{}: its bytes have another digest than the manifest says",
                    entry.info.name
                )));
            }
            zeros(&mut self.reader, tar::padding(entry.size))?;
        }
        zeros(&mut self.reader, tar::END.len())?;
        if self.reader.read(&mut [0])? != 0 {
            return Err(invalid("something follows the end of the bundle"));
        }
        Ok(())
    }
}

/// Makes the file of a member, and the folders on its way.
fn create(target: &Path, folder: &OwnedFd, entry: &Entry) -> io::Result<Box<dyn Write>> {
    let name = entry.info.name.as_str();
    let file = match name.rsplit_once('/') {
        None => tracewell::fs::create_new(folder, name)?,
        Some((parents, name)) => {
            let parent = tracewell::fs::create_private_dir_all(&target.join(parents))?;
            tracewell::fs::create_new(&parent, name)?
        }
    };
    Ok(Box::new(file))
}

/// Bytes of a member with header and padding.
fn whole(size: u64) -> u64 {
    (BLOCK as u64).saturating_add(size).saturating_add(tar::padding(size) as u64)
}

fn next_header(reader: &mut impl Read) -> io::Result<(String, u64)> {
    let mut block = [0; BLOCK];
    reader.read_exact(&mut block)?;
    let (name, size) = tar::parse(&block).ok_or_else(|| invalid("an entry that no bundle has"))?;
    Ok((name.into(), size))
}

fn expect(reader: &mut impl Read, entry: &Entry) -> io::Result<()> {
    let (name, size) = next_header(reader)?;
    if name != entry.info.name.as_str() || size != entry.size {
        return Err(invalid(format!("{}: the archive has something else in its place", entry.info.name)));
    }
    Ok(())
}

fn zeros(reader: &mut impl Read, len: usize) -> io::Result<()> {
    let mut block = [0; 2 * BLOCK];
    let place = block.get_mut(..len).unwrap_or_default();
    reader.read_exact(place)?;
    if place.iter().any(|b| *b != 0) {
        return Err(invalid("bytes between two members"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::MemberName;
    use crate::draft::Draft;
    use crate::draft::tests::{MEMBERS, bytes_of, draft, folder};
    use crate::seal::{Sealed, seal};

    fn sealed(struck: &[&str]) -> (tempfile::TempDir, OwnKey, Sealed) {
        let (dir, key, _) = draft();
        let mut draft = Draft::open(&folder(&dir), &key).unwrap();
        let struck: BTreeSet<_> = struck.iter().map(|n| MemberName::new(*n).unwrap()).collect();
        let (mut last, public) = (0, key.public());
        let sealed =
            seal(&mut draft, &struck, &[&public], folder(&dir), "sealed.age", &mut |done| last = done)
                .unwrap();
        let kept = MEMBERS.iter().filter(|(n, _)| !struck.iter().any(|s| s.as_str() == *n));
        assert_eq!(last, kept.map(|(_, len)| *len as u64).sum::<u64>());
        (dir, key, sealed)
    }

    fn open(dir: &tempfile::TempDir, key: &OwnKey) -> io::Result<SealedReader> {
        SealedReader::open(File::open(dir.path().join("sealed.age")).unwrap(), key)
    }

    #[test]
    fn what_was_not_struck_comes_out() {
        let (dir, key, sealed) = sealed(&["files/0001.txt"]);
        let file = std::fs::read(dir.path().join("sealed.age")).unwrap();
        assert_eq!(sealed.len, file.len() as u64);
        assert_eq!(sealed.digest, tracewell::schema::format::hex(&Sha256::digest(&file)));
        let mut bundle = open(&dir, &key).unwrap();
        bundle.check().unwrap();
        assert_eq!(bundle.manifest().struck, [MemberName::new("files/0001.txt").unwrap()]);
        assert!(bundle.member("files/0001.txt").is_err());
        let mut read = Vec::new();
        bundle.member("trace/0001.twseg").unwrap().read_to_end(&mut read).unwrap();
        assert_eq!(read, bytes_of("trace/0001.twseg", 300_000));
        for at in [1, 65_536, 299_999, 300_000, u64::MAX] {
            let mut part = Vec::new();
            bundle.member_at("trace/0001.twseg", at).unwrap().read_to_end(&mut part).unwrap();
            let from = usize::try_from(at).unwrap_or(usize::MAX).min(read.len());
            assert_eq!(part, read[from..], "{at}");
        }
        let target = dir.path().join("out");
        bundle.extract(&target).unwrap();
        assert_eq!(std::fs::read(target.join("os/report.json")).unwrap(), bytes_of("os/report.json", 70_000));
        assert!(!target.join("files/0001.txt").exists() && target.join("files/0002.txt").exists());
        assert!(bundle.extract(&target).unwrap_err().to_string().contains("exists"));
    }

    #[test]
    fn every_cut_and_change_is_noticed_and_leaves_nothing() {
        let (dir, key, _) = sealed(&["trace/0001.twseg"]);
        let path = dir.path().join("sealed.age");
        let good = std::fs::read(&path).unwrap();
        let target = dir.path().join("out");
        let refused = |bytes: &[u8], what: String| {
            std::fs::write(&path, bytes).unwrap();
            let opened = open(&dir, &key).and_then(|mut bundle| bundle.extract(&target));
            assert!(opened.is_err(), "{what}");
            assert!(!target.exists(), "{what}");
        };
        for len in (0..good.len()).step_by(997).chain(good.len() - 20..good.len()) {
            refused(&good[..len], format!("cut to {len}"));
        }
        for at in (0..good.len()).step_by(499) {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << (at % 8);
            refused(&bytes, format!("byte {at}"));
        }
        refused(&[good.as_slice(), b"x"].concat(), "longer".into());
    }

    #[test]
    fn an_empty_bundle_is_a_bundle() {
        let names = MEMBERS.map(|(name, _)| name);
        let (dir, key, _) = sealed(&names);
        let mut bundle = open(&dir, &key).unwrap();
        assert!(bundle.manifest().members.is_empty());
        bundle.check().unwrap();
    }

    #[test]
    fn without_keys_nothing_is_sealed() {
        let (dir, key, _) = draft();
        let mut draft = Draft::open(&folder(&dir), &key).unwrap();
        assert!(seal(&mut draft, &BTreeSet::new(), &[], folder(&dir), "sealed.age", &mut |_| ()).is_err());
        assert!(!dir.path().join("sealed.age").exists());
    }
}
