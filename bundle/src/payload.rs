//! Files of the age format: the header is the `age` crate's work; the payload's pieces are encrypted and authenticated here,
//! by the cipher that TLS brings along, which is more than twice as fast as the crate's own.
//!
//! The payload (<https://github.com/C2SP/C2SP/blob/main/age.md>): 16 bytes of nonce, then pieces of 64 KiB, each by
//! ChaCha20-Poly1305 with its number and whether it is the last as nonce, under a key derived from the file key. Only the last
//! piece may be shorter, and only that of an empty file empty.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use age::secrecy::ExposeSecret;
use age_core::format::{FileKey, Stanza};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf;
use zeroize::Zeroizing;

use crate::keys::{Key, OwnKey};

/// Plaintext bytes of a piece.
const PIECE: usize = 64 << 10;
const TAG: usize = 16;
const NONCE: usize = 16;
/// Most bytes of a header that are read: a stranger's file may name very many recipients.
const MAX_HEADER: usize = 64 << 10;

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// Takes note of the file key that passes by, on its way to or from a recipient.
struct Passing<'a, T> {
    inner: &'a T,
    key: &'a RefCell<Option<Zeroizing<[u8; 16]>>>,
}

impl<T> Passing<'_, T> {
    fn note(&self, file_key: &FileKey) {
        *self.key.borrow_mut() = Some(Zeroizing::new(*file_key.expose_secret()));
    }
}

impl age::Recipient for Passing<'_, age::x25519::Recipient> {
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), age::EncryptError> {
        self.note(file_key);
        self.inner.wrap_file_key(file_key)
    }
}

impl age::Identity for Passing<'_, age::x25519::Identity> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, age::DecryptError>> {
        let unwrapped = self.inner.unwrap_stanza(stanza);
        if let Some(Ok(file_key)) = &unwrapped {
            self.note(file_key);
        }
        unwrapped
    }
}

/// The key of a payload.
fn payload_key(file_key: &[u8; 16], nonce: &[u8]) -> io::Result<LessSafeKey> {
    let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, nonce).extract(file_key);
    let key = derived.expand(&[b"payload"], &CHACHA20_POLY1305);
    let key = key.map_err(|_| io::Error::other("the key of the payload cannot be derived"))?;
    Ok(LessSafeKey::new(UnboundKey::from(key)))
}

/// The nonce of a piece: its number in 11 bytes, and 1 if it is the last.
#[allow(clippy::big_endian_bytes, reason = "the age format has it so")]
fn nonce(number: u64, is_last: bool) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[3..11].copy_from_slice(&number.to_be_bytes());
    bytes[11] = is_last.into();
    Nonce::assume_unique_for_key(bytes)
}

/// Encrypts what is written to it. Without [`PayloadWriter::finish`] the file is cut.
pub(crate) struct PayloadWriter<W: Write> {
    out: W,
    key: LessSafeKey,
    number: u64,
    piece: Vec<u8>,
}

impl<W: Write> PayloadWriter<W> {
    /// Writes the header.
    pub(crate) fn new(keys: &[&Key], mut out: W) -> io::Result<Self> {
        let file_key = RefCell::new(None);
        let recipients: Vec<_> =
            keys.iter().map(|key| Passing { inner: key.recipient(), key: &file_key }).collect();
        let recipients = recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
        let encryptor =
            age::Encryptor::with_recipients(recipients).map_err(|e| io::Error::other(e.to_string()))?;
        // The crate writes the header and the nonce at once; its own writer is left, with nothing written to it.
        let mut head = Vec::new();
        drop(encryptor.wrap_output(&mut head)?);
        let file_key = file_key.into_inner().ok_or_else(|| io::Error::other("there is no recipient"))?;
        let nonce = head.len().checked_sub(NONCE).and_then(|at| head.get(at..)).unwrap_or_default();
        let key = payload_key(&file_key, nonce)?;
        out.write_all(&head)?;
        Ok(Self { out, key, number: 0, piece: Vec::with_capacity(PIECE + TAG) })
    }

    fn seal_piece(&mut self, is_last: bool) -> io::Result<()> {
        let nonce = nonce(self.number, is_last);
        let sealed = self.key.seal_in_place_append_tag(nonce, Aad::empty(), &mut self.piece);
        sealed.map_err(|_| io::Error::other("a piece cannot be encrypted"))?;
        self.out.write_all(&self.piece)?;
        self.piece.clear();
        self.number += 1;
        Ok(())
    }

    /// Writes the last piece, and gives the writer back.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.seal_piece(true)?;
        Ok(self.out)
    }
}

impl<W: Write> Write for PayloadWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full piece waits until something follows it: the last one is another.
        if self.piece.len() == PIECE && !bytes.is_empty() {
            self.seal_piece(false)?;
        }
        let taken = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Decrypts a file, from any place. Nothing comes out of a piece before all of it was authenticated.
pub(crate) struct PayloadReader {
    file: File,
    key: LessSafeKey,
    /// Where the pieces begin, and how many bytes they have together.
    begin: u64,
    sealed_len: u64,
    /// The piece that is at hand.
    number: Option<u64>,
    piece: Vec<u8>,
    /// Place in the plaintext.
    at: u64,
}

impl PayloadReader {
    /// Opens a file with a key.
    pub(crate) fn new(file: File, key: &OwnKey) -> io::Result<Self> {
        let mut head = Vec::new();
        (&file).take(MAX_HEADER as u64).read_to_end(&mut head)?;
        // The header ends with the line that authenticates it.
        let mac = head.windows(5).position(|w| w == b"\n--- ").map(|at| at + 1);
        let line =
            mac.and_then(|mac| head.get(mac..)?.iter().position(|b| *b == b'\n').map(|len| mac + len + 1));
        let begin = line.ok_or_else(|| invalid("it is no file of the age format"))?;
        let nonce = head.get(begin..begin + NONCE).ok_or_else(|| invalid("it is cut within its header"))?;
        let damaged =
            |e| invalid(format!("it is no file of the age format, or damaged at its beginning: {e}"));
        let decryptor = age::Decryptor::new_buffered(head.as_slice()).map_err(damaged)?;
        let file_key = RefCell::new(None);
        let identity = Passing { inner: key.identity(), key: &file_key };
        let opened = decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity));
        drop(opened.map_err(|e| match e {
            age::DecryptError::NoMatchingKeys => io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it is sealed to other keys than this one; use -i with yours",
            ),
            other => invalid(format!("damaged: {other}")),
        })?);
        let file_key = file_key.into_inner().ok_or_else(|| invalid("damaged: it has no file key"))?;
        let key = payload_key(&file_key, nonce)?;
        let begin = (begin + NONCE) as u64;
        let sealed_len = file.metadata()?.len().saturating_sub(begin);
        if sealed_len < TAG as u64 {
            return Err(invalid("it is cut within its header"));
        }
        Ok(Self { file, key, begin, sealed_len, number: None, piece: Vec::new(), at: 0 })
    }

    /// Pieces.
    fn pieces(&self) -> u64 {
        self.sealed_len.div_ceil((PIECE + TAG) as u64)
    }

    /// Bytes of plaintext, if the last piece is right.
    fn len(&self) -> u64 {
        self.sealed_len.saturating_sub(self.pieces() * TAG as u64)
    }

    /// Has a piece at hand, authenticated.
    fn load(&mut self, number: u64) -> io::Result<()> {
        if self.number == Some(number) {
            return Ok(());
        }
        self.number = None;
        let from = number * (PIECE + TAG) as u64;
        let len = (self.sealed_len - from).min((PIECE + TAG) as u64);
        self.piece.resize(usize::try_from(len).unwrap_or_default(), 0);
        let read = self.file.read_exact_at(&mut self.piece, self.begin + from);
        read.map_err(|e| io::Error::new(e.kind(), format!("a piece of the file cannot be read: {e}")))?;
        let is_last = number + 1 == self.pieces();
        let opened = self.key.open_in_place(nonce(number, is_last), Aad::empty(), &mut self.piece);
        let opened = opened.map(|plain| plain.len());
        let len = opened.map_err(|_| {
            self.piece.fill(0);
            invalid(format!("it is damaged or cut: piece {number} is not as it was encrypted"))
        })?;
        if len == 0 && number != 0 {
            return Err(invalid("it is damaged: an empty piece follows others"));
        }
        self.piece.truncate(len);
        self.number = Some(number);
        Ok(())
    }
}

impl Read for PayloadReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        // At the end the last piece was authenticated: else a file that was cut would only look shorter.
        let number = (self.at / PIECE as u64).min(self.pieces() - 1);
        self.load(number)?;
        let within = usize::try_from(self.at - number * PIECE as u64).unwrap_or(usize::MAX);
        let rest = self.piece.get(within..).unwrap_or_default();
        let len = rest.len().min(out.len());
        for (to, from) in out.iter_mut().zip(rest) {
            *to = *from;
        }
        self.at += len as u64;
        Ok(len)
    }
}

impl Seek for PayloadReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => {
                self.load(self.pieces() - 1)?;
                self.len().checked_add_signed(by)
            }
        };
        self.at = place.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> (tempfile::TempDir, OwnKey) {
        let dir = crate::unnamed::tests::private_dir();
        let key = OwnKey::load_or_create(&dir.path().join("base")).unwrap();
        (dir, key)
    }

    fn ours(key: &OwnKey, plain: &[u8]) -> Vec<u8> {
        let mut out = PayloadWriter::new(&[&key.public()], Vec::new()).unwrap();
        for part in plain.chunks(10_007) {
            out.write_all(part).unwrap();
        }
        out.finish().unwrap()
    }

    fn reader(dir: &tempfile::TempDir, key: &OwnKey, bytes: &[u8]) -> io::Result<PayloadReader> {
        let path = dir.path().join("file.age");
        std::fs::write(&path, bytes).unwrap();
        PayloadReader::new(File::open(path).unwrap(), key)
    }

    const LENGTHS: [usize; 9] = [0, 1, 100, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 7, 300_000];

    #[test]
    fn the_crate_opens_what_we_wrote_and_we_what_it_wrote() {
        let (dir, key) = key();
        for len in LENGTHS {
            let plain: Vec<u8> = (0..len).map(|i| (i * 7 + i / 251) as u8).collect();
            let sealed = ours(&key, &plain);
            let decryptor = age::Decryptor::new_buffered(sealed.as_slice()).unwrap();
            let identity: &dyn age::Identity = key.identity();
            let mut read = Vec::new();
            decryptor.decrypt(std::iter::once(identity)).unwrap().read_to_end(&mut read).unwrap();
            assert!(read == plain, "{len}");
            let public = key.public();
            let recipient: &dyn age::Recipient = public.recipient();
            let mut theirs = Vec::new();
            let encryptor = age::Encryptor::with_recipients(std::iter::once(recipient)).unwrap();
            let mut writer = encryptor.wrap_output(&mut theirs).unwrap();
            writer.write_all(&plain).unwrap();
            writer.finish().unwrap();
            for bytes in [&theirs, &sealed] {
                let mut read = Vec::new();
                reader(&dir, &key, bytes).unwrap().read_to_end(&mut read).unwrap();
                assert!(read == plain, "{len}");
            }
        }
    }

    #[test]
    fn any_place_is_read() {
        let (dir, key) = key();
        let plain: Vec<u8> = (0..300_000_u32).map(|i| (i % 251) as u8).collect();
        let mut reader = reader(&dir, &key, &ours(&key, &plain)).unwrap();
        assert_eq!(reader.seek(SeekFrom::End(0)).unwrap(), 300_000);
        for at in [299_999, 0, 65_535, 65_536, 131_071, 7] {
            reader.seek(SeekFrom::Start(at)).unwrap();
            let mut two = [0; 2];
            let read = reader.read(&mut two).unwrap();
            assert_eq!(two[..read], plain[at as usize..][..read]);
        }
        for beyond in [300_000, 400_000, u64::MAX] {
            reader.seek(SeekFrom::Start(beyond)).unwrap();
            assert_eq!(reader.read(&mut [0; 9]).unwrap(), 0);
        }
    }

    #[test]
    fn what_was_changed_moved_or_cut_does_not_come_out() {
        let (dir, key) = key();
        let plain: Vec<u8> = (0..3 * PIECE).map(|i| (i % 241) as u8).collect();
        let sealed = ours(&key, &plain);
        let begin = sealed.len() - 3 * (PIECE + TAG);
        let piece = |number: usize| begin + number * (PIECE + TAG)..begin + (number + 1) * (PIECE + TAG);
        let all = |bytes: &[u8]| {
            let mut read = Vec::new();
            let result = reader(&dir, &key, bytes).and_then(|mut r| r.read_to_end(&mut read));
            assert!(read.as_slice() == &plain[..read.len()], "only what was sealed");
            result
        };
        assert_eq!(all(&sealed).unwrap(), plain.len());
        for cut in [begin, begin + 15, begin + 16, piece(0).end, piece(1).end, sealed.len() - 1] {
            assert!(all(&sealed[..cut]).is_err(), "{cut}");
        }
        for (a, b) in [(0, 1), (1, 2), (0, 2)] {
            let mut swapped = sealed.clone();
            swapped.splice(piece(a), sealed[piece(b)].to_vec());
            swapped.splice(piece(b), sealed[piece(a)].to_vec());
            assert!(all(&swapped).is_err());
        }
        for at in [begin - 1, begin - NONCE, begin, piece(1).end - 1, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(all(&changed).is_err(), "{at}");
        }
        let mut longer = sealed.clone();
        longer.extend([0; TAG]);
        assert!(all(&longer).is_err());
    }
}
