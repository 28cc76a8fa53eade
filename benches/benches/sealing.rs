//! Sealing a bundle beside the command `age` on the same bytes: `cargo bench -p tracewell-benches --bench sealing`.
//!
//! Sealing decrypts the draft, computes the digest of the file and encrypts; `age` only encrypts. Both write a file into
//! the same folder; the two take turns.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use tracewell_bundle::{DraftWriter, Kind, MemberInfo, MemberName, OwnKey, Sink, Store, Terms};

/// Bytes that look like nothing: neither side is helped by zeros.
struct Noise {
    state: u64,
    left: u64,
}

impl Read for Noise {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = into.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        for piece in into[..len].chunks_mut(8) {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            piece.copy_from_slice(&self.state.to_le_bytes()[..piece.len()]);
        }
        self.left -= len as u64;
        Ok(len)
    }
}

const SEGMENT: u64 = 64 << 20;

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const USAGE: &str =
        "usage: cargo bench -p tracewell-benches --bench sealing -- [--bytes N] [--reps N] [--dir FOLDER]";
    // `cargo test` runs it, too, and without optimizing: nothing is measured then.
    if !std::env::args().any(|arg| arg == "--bench") {
        println!("{USAGE}");
        return Ok(());
    }
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let (mut bytes, mut reps, mut place) = (1_u64 << 30, 5, None::<PathBuf>);
    while let Some(arg) = args.next() {
        let value = args.next().ok_or(USAGE)?;
        match arg.as_str() {
            "--bytes" => bytes = value.parse()?,
            "--reps" => reps = value.parse()?,
            "--dir" => place = Some(value.into()),
            other => return Err(format!("{other}: no such option").into()),
        }
    }
    let mut builder = tempfile::Builder::new();
    builder.permissions(std::fs::Permissions::from_mode(0o700));
    let dir = place.map_or_else(|| builder.tempdir(), |place| builder.tempdir_in(place))?;
    let base = dir.path().join("base");
    let key = OwnKey::load_or_create(&base)?;
    let other = OwnKey::load_or_create(&dir.path().join("support"))?.public();
    let store = Store::new(&base);
    let folder = store.create(jiff::Timestamp::now())?;
    let plain = dir.path().join("plain");
    let mut copy = File::create(&plain)?;
    let mut draft = DraftWriter::new(folder.fd()?, &key, Terms::default())?;
    for (number, at) in (0..bytes).step_by(SEGMENT as usize).enumerate() {
        let noise = || Noise { state: at + 1, left: SEGMENT.min(bytes - at) };
        let info = MemberInfo {
            name: MemberName::new(format!("trace/0001/{number:08}.twseg"))?,
            kind: Kind::Segment,
            origin: "noise".into(),
            personal: [].into(),
        };
        draft.member(info, &mut noise())?;
        io::copy(&mut noise(), &mut copy)?;
    }
    draft.finish()?;
    copy.flush()?;
    let out = dir.path().join("out.age");
    let age = |out: &Path| -> Result<f64, Box<dyn std::error::Error>> {
        let begun = Instant::now();
        let mut command = Command::new("age");
        command.args(["-r", &other.to_string(), "-r", &key.public().to_string(), "-o"]).arg(out).arg(&plain);
        let status = command.status().map_err(|e| format!("age: {e}; install the package age"))?;
        if !status.success() {
            return Err(format!("age ended with {status}").into());
        }
        Ok(begun.elapsed().as_secs_f64())
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..reps {
        let begun = Instant::now();
        folder.seal(&key, &[&other, &key.public()], jiff::Timestamp::now(), &mut |_| ())?;
        ours.push(begun.elapsed().as_secs_f64());
        folder.unseal()?;
        theirs.push(age(&out)?);
        std::fs::remove_file(&out)?;
    }
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    let rate = |time: f64| bytes as f64 / time / 1e6;
    println!("{bytes} bytes, {reps} times each, medians");
    println!("bundle sealed   {:7.3} s  {:6.0} MB/s", ours, rate(ours));
    println!("age alone       {:7.3} s  {:6.0} MB/s", theirs, rate(theirs));
    println!("sealing reaches {:.0} % of the speed of age (goal: 60 %)", 100.0 * theirs / ours);
    Ok(())
}
