//! A draft: what was collected, encrypted to the user's own key, before anything is struck out or sealed.
//!
//! One age file. Inside: the members one after the other, the manifest as JSON, its length (8 bytes, little-endian) and
//! [`MAGIC`]. The age format can be read from any place, so a member is shown without reading those before it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;

use sha2::{Digest, Sha256};

use crate::keys::OwnKey;
use crate::manifest::{Entry, MANIFEST_FORMAT, MAX_MANIFEST, MAX_MEMBER, MAX_MEMBERS, Manifest, Terms};
use crate::member::{Kind, MemberInfo, MemberName, Sink, Skipped};
use crate::payload::{PayloadReader, PayloadWriter};
use crate::redact::Redactor;
use crate::unnamed::{Unnamed, random_hex};

/// The last bytes of a draft.
const MAGIC: &[u8; 8] = b"TWDRAFT1";
/// The member that maps pseudonyms back. It stays in the draft: no bundle is sealed with it.
pub const PRIVATE_MAP: &str = "private/pseudonyms.json";
/// Name of the file.
pub(crate) const FILE: &str = "draft.age";
/// Bytes that are read at once.
pub(crate) const PIECE: usize = 256 << 10;

pub(crate) fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// Writes a draft. Dropped before [`DraftWriter::finish`], it leaves nothing.
pub struct DraftWriter {
    unnamed: Unnamed,
    out: PayloadWriter<File>,
    names: BTreeSet<MemberName>,
    manifest: Manifest,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for DraftWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DraftWriter").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

impl DraftWriter {
    /// Begins one in a bundle's folder.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn new(folder: OwnedFd, key: &OwnKey, terms: Terms) -> io::Result<Self> {
        let unnamed = Unnamed::new(folder)?;
        let out = PayloadWriter::new(&[&key.public()], unnamed.file().try_clone()?)?;
        let manifest = Manifest {
            format: MANIFEST_FORMAT,
            id: random_hex(16)?,
            terms,
            members: Vec::new(),
            skipped: Vec::new(),
            struck: Vec::new(),
            replaced: std::collections::BTreeMap::new(),
        };
        Ok(Self { unnamed, out, names: BTreeSet::new(), manifest, buffer: vec![0; PIECE] })
    }

    /// Adds what the redactor did: how often it replaced what, member by member (`notes/redaction.json`), and from each
    /// pseudonym back to what it stands for ([`PRIVATE_MAP`]), which is never sealed.
    ///
    /// # Errors
    /// If the draft cannot be written.
    pub fn add_redaction(&mut self, redactor: &Redactor) -> io::Result<()> {
        let report = redactor.report();
        self.manifest.replaced = report.kinds.iter().map(|(kind, n)| ((*kind).to_owned(), *n)).collect();
        let text = serde_json::to_vec_pretty(&serde_json::json!({
            "level": redactor.level().name(),
            "replaced": report.kinds,
            "by_member": report.members,
            "note": "Patterns are a net, not a promise: look at every member before you give it.",
        }))?;
        let note = |name: &str, origin: &str| {
            Ok::<_, io::Error>(MemberInfo {
                name: MemberName::new(name).map_err(io::Error::other)?,
                kind: Kind::Note,
                origin: origin.into(),
                personal: std::collections::BTreeMap::new(),
            })
        };
        self.member(
            note("notes/redaction.json", "what was replaced, how often, where")?,
            &mut text.as_slice(),
        )?;
        if !redactor.map().is_empty() {
            let map = serde_json::to_vec_pretty(redactor.map())?;
            self.member(
                note(PRIVATE_MAP, "for you alone: who is behind each pseudonym")?,
                &mut map.as_slice(),
            )?;
        }
        Ok(())
    }

    /// What is in it so far.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Ends it: only now the file gets its name.
    ///
    /// # Errors
    /// If it cannot be written, or there is a draft already.
    pub fn finish(mut self) -> io::Result<Manifest> {
        let manifest = serde_json::to_vec(&self.manifest)?;
        self.out.write_all(&manifest)?;
        self.out.write_all(&(manifest.len() as u64).to_le_bytes())?;
        self.out.write_all(MAGIC)?;
        self.out.finish()?;
        self.unnamed.publish(FILE)?;
        Ok(self.manifest)
    }
}

impl Sink for DraftWriter {
    fn member(&mut self, info: MemberInfo, content: &mut dyn Read) -> io::Result<()> {
        if self.names.len() >= MAX_MEMBERS {
            return Err(invalid(format!("a bundle has {MAX_MEMBERS} members at most")));
        }
        if info.name.as_str() == crate::seal::MANIFEST || !self.names.insert(info.name.clone()) {
            return Err(invalid(format!("two members named {}", info.name)));
        }
        let (mut size, mut hash) = (0_u64, Sha256::new());
        loop {
            let read = match content.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            let bytes = self.buffer.get(..read).unwrap_or_default();
            size += read as u64;
            if size > MAX_MEMBER {
                return Err(invalid(format!("{} is larger than {MAX_MEMBER} bytes", info.name)));
            }
            hash.update(bytes);
            self.out.write_all(bytes)?;
        }
        let sha256 = tracewell::schema::format::hex(&hash.finalize());
        self.manifest.members.push(Entry { info, size, sha256 });
        Ok(())
    }

    fn skip(&mut self, skipped: Skipped) {
        self.manifest.skipped.push(skipped);
    }
}

/// A draft that can be looked at.
pub struct Draft {
    reader: PayloadReader,
    manifest: Manifest,
    /// Where each member begins, in the order of the manifest.
    offsets: Vec<u64>,
}

impl std::fmt::Debug for Draft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Draft").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

impl Draft {
    /// Opens the draft in a bundle's folder.
    ///
    /// # Errors
    /// If there is none, it is damaged or cut, or sealed to another key.
    pub fn open(folder: &OwnedFd, key: &OwnKey) -> io::Result<Self> {
        let mut reader = PayloadReader::new(tracewell::fs::open_existing(folder, FILE, false)?, key)?;
        let cut = || invalid("the draft is cut or damaged at its end; prepare it again");
        let end = reader.seek(SeekFrom::End(0))?;
        let trailer = end.checked_sub(16).ok_or_else(cut)?;
        reader.seek(SeekFrom::Start(trailer))?;
        let (mut len, mut magic) = ([0; 8], [0; 8]);
        reader.read_exact(&mut len)?;
        reader.read_exact(&mut magic)?;
        let len = u64::from_le_bytes(len);
        let begin = trailer.checked_sub(len).ok_or_else(cut)?;
        if &magic != MAGIC || len > MAX_MANIFEST {
            return Err(cut());
        }
        reader.seek(SeekFrom::Start(begin))?;
        let mut text = Vec::new();
        (&mut reader).take(len).read_to_end(&mut text)?;
        let manifest: Manifest = serde_json::from_slice(&text)?;
        let mut at = 0_u64;
        let mut offsets = Vec::with_capacity(manifest.members.len());
        for entry in &manifest.members {
            offsets.push(at);
            at = at.checked_add(entry.size).ok_or_else(cut)?;
        }
        if at != begin || manifest.format != MANIFEST_FORMAT {
            return Err(cut());
        }
        Ok(Self { reader, manifest, offsets })
    }

    /// What is in it.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The bytes of a member. They were authenticated piece by piece when they come out.
    ///
    /// # Errors
    /// If there is no such member or the draft cannot be read.
    pub fn member(&mut self, name: &str) -> io::Result<impl Read + '_> {
        self.member_at(name, 0)
    }

    /// The bytes of a member from an offset on; none if it is shorter.
    ///
    /// # Errors
    /// As [`Draft::member`].
    pub fn member_at(&mut self, name: &str, offset: u64) -> io::Result<impl Read + '_> {
        let (place, entry) = self.manifest.place(name)?;
        let begin = self.offsets.get(place).copied().unwrap_or_default();
        let offset = offset.min(entry.size);
        let left = entry.size - offset;
        self.reader.seek(SeekFrom::Start(begin + offset))?;
        Ok((&mut self.reader).take(left))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn info(name: &str) -> MemberInfo {
        MemberInfo {
            name: MemberName::new(name).unwrap(),
            kind: Kind::Text,
            origin: "a test".into(),
            personal: [(crate::Personal::Content, 0)].into(),
        }
    }

    pub(crate) fn bytes_of(name: &str, len: usize) -> Vec<u8> {
        name.bytes().cycle().take(len).collect()
    }

    pub(crate) const MEMBERS: [(&str, usize); 4] = [
        ("os/report.json", 70_000),
        ("files/0001.txt", 0),
        ("files/0002.txt", 1),
        ("trace/0001.twseg", 300_000),
    ];

    pub(crate) fn draft() -> (tempfile::TempDir, OwnKey, Manifest) {
        let dir = crate::unnamed::tests::private_dir();
        let key = OwnKey::load_or_create(&dir.path().join("base")).unwrap();
        let terms = Terms { redaction: "standard".into(), ..Terms::default() };
        let mut writer = DraftWriter::new(folder(&dir), &key, terms).unwrap();
        for (name, len) in MEMBERS {
            writer.member(info(name), &mut bytes_of(name, len).as_slice()).unwrap();
        }
        writer.skip(Skipped { what: "dumps".into(), why: "not asked for".into() });
        let manifest = writer.finish().unwrap();
        (dir, key, manifest)
    }

    pub(crate) fn folder(dir: &tempfile::TempDir) -> OwnedFd {
        tracewell::fs::open_private_dir(dir.path()).unwrap()
    }

    #[test]
    fn what_was_put_in_comes_out_in_any_order() {
        let (dir, key, manifest) = draft();
        let mut draft = Draft::open(&folder(&dir), &key).unwrap();
        assert_eq!(draft.manifest(), &manifest);
        for (name, len) in MEMBERS.into_iter().rev().chain(MEMBERS) {
            let mut read = Vec::new();
            draft.member(name).unwrap().read_to_end(&mut read).unwrap();
            assert_eq!(read, bytes_of(name, len));
            let hash = tracewell::schema::format::hex(&Sha256::digest(&read));
            assert_eq!(draft.manifest().find(name).unwrap().sha256, hash);
        }
        assert!(draft.member("files/0003.txt").is_err());
        let whole = bytes_of("os/report.json", 70_000);
        for at in [0, 1, 65_535, 65_536, 69_999, 70_000, 70_001, u64::MAX] {
            let mut read = Vec::new();
            draft.member_at("os/report.json", at).unwrap().read_to_end(&mut read).unwrap();
            let from = usize::try_from(at).unwrap_or(usize::MAX).min(whole.len());
            assert_eq!(read, whole[from..], "{at}");
        }
    }

    #[test]
    fn nothing_in_the_file_can_be_read_without_the_key() {
        let (dir, _key, _) = draft();
        let file = std::fs::read(dir.path().join(FILE)).unwrap();
        for needle in ["report.json", "manifest", "TWDRAFT", "files/0002"] {
            assert!(!file.windows(needle.len()).any(|w| w == needle.as_bytes()), "{needle}");
        }
        let other = OwnKey::load_or_create(&dir.path().join("other")).unwrap();
        let error = Draft::open(&folder(&dir), &other).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
    }

    #[test]
    fn names_are_used_once_and_an_abandoned_draft_leaves_nothing() {
        let dir = crate::unnamed::tests::private_dir();
        let key = OwnKey::load_or_create(&dir.path().join("base")).unwrap();
        let mut writer = DraftWriter::new(folder(&dir), &key, Terms::default()).unwrap();
        writer.member(info("a"), &mut "x".as_bytes()).unwrap();
        for twice in ["a", "manifest.json"] {
            assert!(writer.member(info(twice), &mut "x".as_bytes()).is_err());
        }
        drop(writer);
        assert!(!dir.path().join(FILE).exists());
    }

    #[test]
    fn a_cut_or_changed_draft_is_refused() {
        let (dir, key, _) = draft();
        let path = dir.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        for len in [0, 1, 100, 200, 65_536, 131_072, whole.len() - 65_552, whole.len() - 1] {
            std::fs::write(&path, &whole[..len]).unwrap();
            assert!(Draft::open(&folder(&dir), &key).is_err(), "{len}");
        }
        for at in [10, 150, whole.len() - 1, whole.len() - 20] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(&path, &changed).unwrap();
            assert!(Draft::open(&folder(&dir), &key).is_err(), "{at}");
        }
    }
}
