//! A sealed bundle that was changed in any way is refused, and what came out before that was right (T-21).

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tracewell_bundle::{Key, Kind, OwnKey, SealedReader};

use super::{Bundles, put};
use crate::random::Random;
use crate::report::{Report, grouped};

/// Length of the file, about.
const LEN: usize = 256 << 10;
/// Plaintext bytes of a piece of the age format, and what is added to each.
const PIECE: usize = 64 << 10;
const TAG: usize = 16;

/// What went in.
struct Original {
    members: Vec<(&'static str, Vec<u8>)>,
    file: Vec<u8>,
    /// Where the pieces begin.
    payload: usize,
}

fn make(bundles: &Bundles, seed: u64, other: &Key) -> Result<Original, String> {
    let mut random = Random::new(seed);
    let members: Vec<(&str, Vec<u8>)> = [
        ("os/hardware.json", 30_000),
        ("trace/0001/a.twseg", 150_000),
        ("files/0001.txt", 1),
        ("files/0002.bin", 80_000),
    ]
    .into_iter()
    .map(|(name, len)| (name, (0..len).map(|_| random.next() as u8).collect()))
    .collect();
    let made = (|| {
        let folder = bundles.prepare(|draft| {
            members.iter().try_for_each(|(name, bytes)| put(draft, name, Kind::Binary, bytes))
        })?;
        folder.seal(&bundles.key, &[other, &bundles.key.public()], jiff::Timestamp::now(), &mut |_| ())?;
        std::fs::read(folder.sealed_path())
    })();
    let file = made.map_err(|e| format!("a bundle cannot be made: {e}"))?;
    // The header ends with the line of its authentication code; 16 bytes of nonce follow.
    let mac = file.windows(5).position(|w| w == b"\n--- ").ok_or("this is no file of age")?;
    let line = file[mac + 1..].iter().position(|b| *b == b'\n').ok_or("this is no file of age")?;
    Ok(Original { members, payload: mac + 1 + line + 1 + 16, file })
}

/// A file in memory that can be opened again and again.
struct Changed(File);

impl Changed {
    fn new(bytes: &[u8]) -> Result<Self, String> {
        let flags = rustix::fs::MemfdFlags::CLOEXEC;
        let memory = rustix::fs::memfd_create("sealed", flags).map_err(|e| e.to_string())?;
        let changed = Self(File::from(memory));
        changed.set(bytes)?;
        Ok(changed)
    }

    fn set(&self, bytes: &[u8]) -> Result<(), String> {
        let set = self.0.set_len(0).and_then(|()| self.0.write_all_at(bytes, 0));
        set.map_err(|e| e.to_string())
    }

    fn open(&self) -> Result<File, String> {
        File::open(format!("/proc/self/fd/{}", self.0.as_raw_fd())).map_err(|e| e.to_string())
    }
}

/// Compares what comes out with what went in.
struct Compared<'a> {
    left: &'a [u8],
    is_other: bool,
}

impl Write for Compared<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.left.split_at_checked(bytes.len()) {
            Some((same, left)) if same == bytes => self.left = left,
            _ => self.is_other = true,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What became of a changed file.
#[derive(Default)]
struct Judged {
    /// Bytes of members that came out before it was refused.
    released: u64,
}

/// The change is found by checking, and no byte comes out that was not put in. `apart`: opened again for each member, as
/// `show --member` does it; else by one reader, which takes a quarter of the time. An error is a violation.
fn judge(original: &Original, file: &Changed, key: &OwnKey, apart: bool) -> Result<Judged, String> {
    let mut judged = Judged::default();
    let Ok(mut reader) = SealedReader::open(file.open()?, key) else { return Ok(judged) };
    if reader.check().is_ok() {
        return Err("it was taken as whole".into());
    }
    for (name, bytes) in &original.members {
        if apart {
            reader = match SealedReader::open(file.open()?, key) {
                Ok(reader) => reader,
                Err(_) => return Ok(judged),
            };
        }
        let mut out = Compared { left: bytes, is_other: false };
        let Ok(mut member) = reader.member(name) else { continue };
        let _ = io::copy(&mut member, &mut out);
        if out.is_other {
            return Err(format!("{name}: other bytes than those sealed came out"));
        }
        judged.released += (bytes.len() - out.left.len()) as u64;
    }
    Ok(judged)
}

/// All bits and lengths, on all processors.
fn sweep(original: &Original, key: &OwnKey, every: u64) -> Result<(u64, u64, u64), String> {
    let bits = original.file.len() as u64 * 8;
    let lengths = original.file.len() as u64;
    let next = AtomicU64::new(0);
    let released = AtomicU64::new(0);
    let total = bits.div_ceil(every) + lengths.div_ceil(every);
    let begun = Instant::now();
    let one = || -> Result<(), String> {
        let file = Changed::new(&original.file)?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= total {
                return Ok(());
            }
            if number.is_multiple_of(100_000) {
                eprintln!("bundle: {} of {} after {} s", number, total, begun.elapsed().as_secs());
            }
            let (what, judged) = if number < bits.div_ceil(every) {
                let bit = number * every;
                let (at, mask) = (bit / 8, 1_u8 << (bit % 8));
                let byte = original.file[at as usize];
                file.0.write_all_at(&[byte ^ mask], at).map_err(|e| e.to_string())?;
                let judged = judge(original, &file, key, number.is_multiple_of(16));
                file.0.write_all_at(&[byte], at).map_err(|e| e.to_string())?;
                (format!("bit {bit} flipped"), judged)
            } else {
                let len = (number - bits.div_ceil(every)) * every;
                file.0.set_len(len).map_err(|e| e.to_string())?;
                let judged = judge(original, &file, key, number.is_multiple_of(16));
                file.0.write_all_at(&original.file[len as usize..], len).map_err(|e| e.to_string())?;
                (format!("cut to {len} bytes"), judged)
            };
            let judged = judged.map_err(|e| format!("{what}: {e}"))?;
            released.fetch_add(judged.released, Ordering::Relaxed);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        all.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a panic".to_owned())?)
    })?;
    Ok((bits.div_ceil(every), lengths.div_ceil(every), released.into_inner()))
}

/// Pieces left out, doubled and swapped; bytes put in and added; another header; thousands of recipients.
fn others(original: &Original, seed: u64) -> Vec<(String, Vec<u8>)> {
    let mut random = Random::new(seed);
    let (head, payload) = original.file.split_at(original.payload);
    let pieces: Vec<&[u8]> = payload.chunks(PIECE + TAG).collect();
    let mut all = Vec::new();
    let mut add = |what: String, pieces: &[&[u8]]| all.push((what, [head, &pieces.concat()].concat()));
    for at in 0..pieces.len() {
        let mut changed = pieces.clone();
        changed.remove(at);
        add(format!("piece {at} left out"), &changed);
        let mut changed = pieces.clone();
        changed.insert(at, pieces[at]);
        add(format!("piece {at} doubled"), &changed);
        for other in at + 1..pieces.len() {
            let mut changed = pieces.clone();
            changed.swap(at, other);
            add(format!("pieces {at} and {other} swapped"), &changed);
        }
    }
    add("a byte added".into(), &[&pieces[..], &[&[0]]].concat());
    add("an empty last piece added".into(), &[&pieces[..], &[&[0; TAG]]].concat());
    for _ in 0..100 {
        let at = random.below(original.file.len() as u64) as usize;
        let mut changed = original.file.clone();
        changed.insert(at, random.next() as u8);
        all.push((format!("a byte put in at {at}"), changed));
    }
    // A line of the header twice, as its authentication would have to notice; ten thousand of them.
    let text = String::from_utf8_lossy(head);
    if let Some(first) = text.find("-> ") {
        let end = text[first + 3..].find("-> ").map_or(head.len(), |at| first + 3 + at);
        for times in [2, 10_000] {
            let recipient = head[first..end].repeat(times);
            let changed = [&head[..first], &recipient, &head[end..], payload].concat();
            all.push((format!("a recipient {times} times"), changed));
        }
    }
    all.push(("nothing".into(), Vec::new()));
    all.push(("zeros".into(), vec![0; original.file.len()]));
    all
}

/// Does harm, and judges.
pub(super) fn run(seed: u64, every: u64) -> Result<(), String> {
    let repeat = format!("faults bundle --part harm --every {every} --seed {seed}");
    let tell = |what: String| format!("bundle: {what}\nrepeat with: {repeat}");
    let bundles = Bundles::new()?;
    let stranger = Bundles::new()?;
    let original = make(&bundles, seed, &stranger.key.public())?;
    if original.file.len() < LEN {
        return Err(format!("the file has only {} bytes", original.file.len()));
    }
    // The judge is not blind: unchanged, it is taken as whole by both.
    let whole = Changed::new(&original.file)?;
    for key in [&bundles.key, &stranger.key] {
        let checked = SealedReader::open(whole.open()?, key).and_then(|mut reader| reader.check());
        checked.map_err(|e| tell(format!("unchanged, it is refused: {e}")))?;
    }
    let third = Bundles::new()?;
    if SealedReader::open(whole.open()?, &third.key).is_ok() {
        return Err(tell("a key that it was not sealed to opens it".into()));
    }
    let others = others(&original, seed);
    for (what, bytes) in &others {
        whole.set(bytes)?;
        let begun = Instant::now();
        judge(&original, &whole, &bundles.key, true).map_err(|e| tell(format!("{what}: {e}")))?;
        if begun.elapsed().as_secs() > 10 {
            return Err(tell(format!("{what}: judged only after {:?}", begun.elapsed())));
        }
    }
    let (bits, lengths, released) = sweep(&original, &bundles.key, every).map_err(tell)?;
    Report {
        test: "bundle harm (T-21)".into(),
        unit: "changed bundles".into(),
        count: bits + lengths + others.len() as u64,
        seed: Some(seed),
        result: format!(
            "a bundle of {} bytes: {} flipped bits, {} lengths, {} others (pieces, bytes, recipients): all refused; \
             {} MiB came out before that, each byte as sealed",
            grouped(original.file.len() as u64),
            grouped(bits),
            grouped(lengths),
            others.len(),
            grouped(released >> 20)
        ),
        command: repeat,
    }
    .print();
    Ok(())
}
