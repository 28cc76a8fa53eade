//! A live process that rewrites its own rings, and those of one that seems dead, as fast as it can.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use clap::Args;
use rustix::fs::{CWD, FileType, Mode};
use tracewell::{Tracer, emit};
use tracewell_schema::format::process::{ProcessFile, folder_name};
use tracewell_schema::format::record::RecordHeader;
use tracewell_schema::format::ring::{
    ATTEMPTED, HEAD, LOST, PAGE, RingHeader, SEQUENCE_AT_TAIL, STATE, TAIL,
};
use tracewell_schema::limits::MAX_RING;
use tracewell_tests::Numbered;

use super::{write_folder, write_private};
use crate::goldens::{self, CAPACITY};
use crate::random::Random;

/// Arguments of a hostile peer.
#[derive(Args, Clone, Debug)]
pub(crate) struct PeerArgs {
    /// The trace directory.
    base: PathBuf,
    /// Where its ring folder comes to be.
    rings: PathBuf,
    /// A ring folder to begin with.
    template: PathBuf,
    seed: u64,
}

/// Rings that it changes, in each of two folders.
const RINGS: usize = 6;

/// Lives until it is killed.
pub(crate) fn run(args: &PeerArgs) -> Result<(), String> {
    let mut random = Random::new(args.seed);
    let builder = Tracer::builder("hostile").dir(&args.base).ring_dir(&args.rings);
    let tracer = builder.attach().map_err(|error| error.to_string())?;
    emit!(tracer, Numbered { lane: 99, number: 0, text: "alive" });
    let id = format!("-{}-", std::process::id());
    let live = std::fs::read_dir(&args.rings)
        .map_err(|error| error.to_string())?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().contains(&id))
        .ok_or("no ring folder of this process")?;
    let files = read_folder(&args.template)?;
    let (at, header) = goldens::ring_of(&files).ok_or("no ring in the template")?;
    let template = (header, files[at].1.clone());
    let schemas = files.iter().find(|(name, _)| name == "schemas").ok_or("no schemas")?.1.clone();
    // One that holds no lock, and so seems dead.
    let bytes = std::fs::read(live.join("process")).map_err(|error| error.to_string())?;
    let mut process = ProcessFile::decode(&bytes).map_err(|error| error.to_string())?;
    let uuid = process.identity.process_uuid;
    process.identity.process_uuid[0] ^= 0x55;
    process.identity.component = "seeming".into();
    let dead = args.rings.join(folder_name(&process.identity));
    let shell = [("process".to_owned(), process.encode()), ("schemas".to_owned(), schemas.clone())];
    write_folder(&dead, &shell)?;
    let folders = [(live, uuid), (dead, process.identity.process_uuid)];
    let mut rings: Vec<Ring> = Vec::new();
    for (folder, uuid) in &folders {
        for number in 0..RINGS {
            let path = folder.join(format!("ring-9{number:05}"));
            rings.push(Ring { path, uuid: *uuid, id: 1000 + number as u32, file: None });
        }
    }
    loop {
        let which = random.below(rings.len() as u64) as usize;
        let folder = &folders[which / RINGS].0;
        rings[which].change(&template, &mut random);
        if random.below(200) == 0 {
            emit!(tracer, Numbered { lane: 99, number: 0, text: "alive" });
            around(folder, &schemas, &mut random);
            if !folders[1].0.exists() {
                // A collector has adopted it: another one dies.
                write_folder(&folders[1].0, &shell)?;
                rings[RINGS..].iter_mut().for_each(|ring| ring.file = None);
            }
        }
        if random.below(3000) == 0 {
            // All at once say that they are as large as can be, and full; long enough to be looked at.
            rings.iter().for_each(|ring| ring.be_full(&template.0));
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

fn read_folder(dir: &Path) -> Result<Vec<(String, Vec<u8>)>, String> {
    let listed = std::fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let read = |path: PathBuf| Some((path.file_name()?.to_str()?.to_owned(), std::fs::read(&path).ok()?));
    Ok(listed.flatten().filter_map(|entry| read(entry.path())).collect())
}

/// Changes what lies beside the rings.
fn around(folder: &Path, schemas: &[u8], random: &mut Random) {
    let path = folder.join("schemas");
    let cut = random.below(schemas.len() as u64) as usize;
    let mut bent = schemas.to_vec();
    bent[cut] ^= 1 << random.below(8);
    let _ = match random.below(3) {
        0 => write_private(&path, &schemas[..cut]),
        1 => write_private(&path, &bent),
        _ => write_private(&path, schemas),
    };
    let odd = folder.join("ring-800000");
    let _ = std::fs::remove_file(&odd);
    let mode = Mode::RUSR | Mode::WUSR;
    let _ = match random.below(4) {
        0 => rustix::fs::mknodat(CWD, &odd, FileType::Fifo, mode, 0).map_err(|e| e.to_string()),
        1 => symlink("/dev/zero", &odd).map_err(|error| error.to_string()),
        2 => symlink(&odd, &odd).map_err(|error| error.to_string()),
        _ => write_private(&odd, &[0xff; 100]),
    };
}

/// A ring's file.
struct Ring {
    path: PathBuf,
    uuid: [u8; 16],
    id: u32,
    file: Option<File>,
}

impl Ring {
    fn header(&self, template: &RingHeader) -> RingHeader {
        let mut header = template.clone();
        header.process_uuid = self.uuid;
        header.info.ring = self.id;
        header
    }

    fn be_full(&self, template: &RingHeader) {
        let mut own = self.header(template);
        (own.capacity, own.tail, own.head) = (MAX_RING, 0, MAX_RING);
        own.info.capacity = own.capacity;
        if let Some(file) = &self.file {
            let _ = file.set_len(PAGE as u64 + MAX_RING);
            let _ = file.write_all_at(&own.encode(), 0);
        }
    }

    /// One lie, or the truth for a moment.
    fn change(&mut self, (header, bytes): &(RingHeader, Vec<u8>), random: &mut Random) {
        let mut own = self.header(header);
        let Some(file) = &self.file else {
            let _ = write_private(&self.path, &[&own.encode()[..], &bytes[PAGE..]].concat());
            self.file = OpenOptions::new().write(true).open(&self.path).ok();
            return;
        };
        let put = |bytes: &[u8], at: usize| drop(file.write_all_at(bytes, at as u64));
        match random.below(16) {
            0..=3 => {
                // Numbers, wild or nearly right.
                let words = [HEAD, ATTEMPTED, LOST, TAIL, SEQUENCE_AT_TAIL, STATE, 16, LOST + 16];
                let at = words[random.below(words.len() as u64) as usize];
                let value = match random.below(4) {
                    0 => random.next(),
                    1 => u64::MAX - random.below(64),
                    2 => random.below(2 * CAPACITY),
                    _ => header.head.wrapping_add(random.below(128)).wrapping_sub(64),
                };
                put(&value.to_le_bytes(), at);
            }
            4..=6 => {
                // A header that is right in itself, and says something else.
                own.capacity = 1 << (16 + random.below(13));
                own.info.capacity = own.capacity;
                own.tail = random.next() >> random.below(64) & !7;
                own.head = own.tail.saturating_add(random.below(own.capacity + 1) & !7);
                own.info.ring = 1000 + random.below(8) as u32;
                own.state = random.below(4) as u32;
                (own.attempted, own.sequence_at_tail) = (random.next(), random.below(1 << 40));
                put(&own.encode(), 0);
            }
            7..=9 => {
                let record = RecordHeader {
                    len: (random.next() >> (32 + random.below(32))) as u32,
                    event: random.below(40) as u16,
                    kind: random.below(5) as u8,
                    flags: random.below(4) as u8,
                    ticks: random.next() >> random.below(64),
                };
                put(&record.encode(), PAGE + (random.below(header.head.max(16)) & !7) as usize);
            }
            10 => {
                let len = random.below(2 * CAPACITY) >> random.below(17);
                let _ = file.set_len(len);
            }
            11 => drop(file.set_len(PAGE as u64 + MAX_RING)),
            12 => {
                let _ = std::fs::remove_file(&self.path);
                self.file = None;
            }
            13 => {
                let at = random.below(bytes.len() as u64) as usize;
                let mut noise = [0; 512];
                noise.iter_mut().for_each(|byte| *byte = random.next() as u8);
                put(&noise, at);
            }
            _ => {
                put(&bytes[PAGE..], PAGE);
                put(&own.encode(), 0);
            }
        }
    }
}
