//! One of each odd thing that may lie where a reader looks.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode};
use tracewell_schema::format::process::folder_name;
use tracewell_schema::format::record::{KIND_PAD, RecordHeader};
use tracewell_schema::format::ring::{PAGE, RingHeader};
use tracewell_schema::format::segment;

use super::{Honest, file, write_folder, write_private};
use crate::goldens;

const TIB: u64 = 1 << 40;

/// What was made.
#[derive(Default)]
pub(super) struct Made {
    /// Each of these must be told.
    pub(super) told: Vec<PathBuf>,
    /// What this machine does not allow to make.
    pub(super) notes: Vec<String>,
}

impl Made {
    fn tell(&mut self, path: impl Into<PathBuf>) {
        self.told.push(path.into());
    }

    /// A FIFO, a socket, a device, a directory, a link and a sparse file, each at the path that `place` gives it.
    fn no_files(&mut self, target: &Path, place: &dyn Fn(&str) -> PathBuf) -> Result<(), String> {
        let told = |error: std::io::Error| error.to_string();
        let mode = Mode::RUSR | Mode::WUSR;
        let fifo = place("fifo");
        rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, mode, 0).map_err(|error| error.to_string())?;
        self.tell(fifo);
        let socket = place("socket");
        drop(UnixListener::bind(&socket).map_err(told)?);
        self.tell(socket);
        let device = place("device");
        // /dev/zero.
        let number = rustix::fs::makedev(1, 5);
        match rustix::fs::mknodat(CWD, &device, FileType::CharacterDevice, mode, number) {
            Ok(()) => self.tell(device),
            Err(error) => self.notes.push(format!("no device can be made here ({error})")),
        }
        let directory = place("directory");
        std::fs::create_dir(&directory).map_err(told)?;
        self.tell(directory);
        let link = place("link");
        symlink(target, &link).map_err(told)?;
        self.tell(link);
        let zero = place("zero");
        symlink("/dev/zero", &zero).map_err(told)?;
        self.tell(zero);
        let sparse = place("sparse");
        sparse_file(&sparse, &[])?;
        self.tell(sparse);
        Ok(())
    }
}

fn sparse_file(path: &Path, start: &[u8]) -> Result<(), String> {
    write_private(path, start)?;
    let file = std::fs::OpenOptions::new().write(true).open(path).map_err(|error| error.to_string())?;
    file.set_len(TIB).map_err(|error| format!("{}: {error}", path.display()))
}

/// Names that are none; each ends as the one given.
fn names(end: &str) -> Vec<Vec<u8>> {
    let long = vec![b'x'; 255 - end.len()];
    [&b"new\nline"[..], b"\x1b[2J\x1b[31m", b"\xff\xfe\x80", b"\xe2\x80\xae", b" ", b"a\rb\tc", &long]
        .iter()
        .map(|name| [name, end.as_bytes()].concat())
        .collect()
}

/// Makes everything in `dir`, where the honest ones are already.
pub(super) fn make(dir: &Path, honest: &Honest) -> Result<Made, String> {
    let mut made = Made::default();
    let own = dir.join(folder_name(&honest.process()?.identity));
    process_files(dir, &own, honest, &mut made)?;
    rings(dir, &own, honest, &mut made)?;
    segments(dir, &mut made)?;
    let linked = dir.join("linked-folder");
    symlink(&own, &linked).map_err(|error| error.to_string())?;
    made.tell(linked);
    Ok(made)
}

/// Folders whose process file is none.
fn process_files(dir: &Path, own: &Path, honest: &Honest, made: &mut Made) -> Result<(), String> {
    let process_of = |name: &str| {
        let folder = dir.join(format!("process-{name}"));
        let _ = std::fs::create_dir(&folder);
        folder.join("process")
    };
    made.no_files(&own.join("process"), &process_of)?;
    let whole = honest.process()?.encode();
    let mut later = whole.clone();
    later[8] = 9;
    let contents: [(&str, &[u8]); 5] = [
        ("empty", &[]),
        ("byte", &whole[..1]),
        ("short", &whole[..179]),
        ("zeros", &[0; 4096]),
        ("later", &later),
    ];
    for (name, bytes) in contents {
        let path = process_of(name);
        write_private(&path, bytes)?;
        // With a ring it is no folder that was only begun.
        write_private(&path.with_file_name("ring-000001"), &[1])?;
        made.tell(path);
    }
    // Another folder of the honest process, with a ring of the same id and other events.
    let twin = dir.join("a-twin");
    write_folder(&twin, &honest.ring.files)?;
    let ring = honest.ring.files.iter().find(|(name, _)| name.starts_with("ring-")).ok_or("no ring")?;
    let mut forged = ring.1.clone();
    forged[PAGE + 40] ^= 1;
    write_private(&twin.join(&ring.0), &forged)?;
    made.tell(twin);
    Ok(())
}

/// A folder of a process of its own, whose rings are none, or lie.
fn rings(dir: &Path, own: &Path, honest: &Honest, made: &mut Made) -> Result<(), String> {
    let mut process = honest.process()?;
    process.identity.process_uuid = [0xee; 16];
    let folder = dir.join(folder_name(&process.identity));
    let schemas = file(&honest.ring, "schemas")?.to_vec();
    write_folder(&folder, &[("process".into(), process.encode()), ("schemas".into(), schemas)])?;
    let (_, template) = goldens::ring_of(&honest.ring.files).ok_or("no ring")?;
    let whole = file(&honest.ring, "ring-")?;
    let data = &whole[PAGE..];
    let honest_ring =
        own.join(&honest.ring.files[goldens::ring_of(&honest.ring.files).ok_or("no ring")?.0].0);
    made.no_files(&honest_ring, &|name| folder.join(format!("ring-{name}")))?;
    let hard = folder.join("ring-hard-link");
    std::fs::hard_link(&honest_ring, &hard).map_err(|error| error.to_string())?;
    made.tell(hard);
    let mut id = 0;
    let mut put = |name: &OsStr, change: &dyn Fn(&mut RingHeader), data: &[u8]| -> Result<PathBuf, String> {
        id += 1;
        let mut header = template.clone();
        header.process_uuid = process.identity.process_uuid;
        header.info.ring = id;
        change(&mut header);
        let path = folder.join(name);
        write_private(&path, &[&header.encode()[..], data].concat())?;
        Ok(path)
    };
    type Change = dyn Fn(&mut RingHeader);
    let lies: [(&str, &Change); 14] = [
        ("capacity-0", &|header| header.capacity = 0),
        ("capacity-1", &|header| header.capacity = 1),
        ("capacity-3", &|header| header.capacity = 98_304),
        ("capacity-63", &|header| header.capacity = 1 << 63),
        ("head-before-tail", &|header| header.tail = header.head + 8),
        ("head-beyond", &|header| header.head = header.capacity + 8),
        ("head-max", &|header| header.head = u64::MAX),
        ("both-max", &|header| (header.head, header.tail) = (u64::MAX, u64::MAX - 64)),
        ("tail-unaligned", &|header| header.tail = 3),
        ("tail-inside", &|header| header.tail = 8),
        ("head-more", &|header| header.head = header.capacity),
        ("attempted-max", &|header| header.attempted = u64::MAX),
        ("sequence-max", &|header| header.sequence_at_tail = u64::MAX - 1),
        ("other-uuid", &|header| header.process_uuid = [1; 16]),
    ];
    for (name, change) in lies {
        let path = put(OsStr::new(&format!("ring-{name}")), change, data)?;
        // Numbers that do not add up are told as such, without a file.
        if !matches!(name, "attempted-max" | "sequence-max") {
            made.tell(path);
        }
    }
    let pad = RecordHeader { len: 8, kind: KIND_PAD, ..RecordHeader::default() }.encode();
    let lengths = [0_u32, 7, 8, 15, 65_529, (1 << 24) - 1, u32::MAX];
    let records = lengths
        .map(|len| (format!("ring-length-{len}"), RecordHeader { len, kind: 1, ..RecordHeader::default() }));
    let kinds = [0, 4, 255]
        .map(|kind| (format!("ring-kind-{kind}"), RecordHeader { len: 64, kind, ..RecordHeader::default() }));
    for (name, record) in records.into_iter().chain(kinds) {
        let mut lying = data.to_vec();
        lying[..16].copy_from_slice(&record.encode());
        made.tell(put(OsStr::new(&name), &|_| {}, &lying)?);
    }
    let pads = pad[..8].repeat(data.len() / 8);
    made.tell(put(OsStr::new("ring-pads"), &|header| header.head = header.capacity, &pads)?);
    // The first by name is as good as the other, and is read.
    put(OsStr::new("ring-same-id-1"), &|header| header.info.ring = 1000, data)?;
    made.tell(put(OsStr::new("ring-same-id-2"), &|header| header.info.ring = 1000, data)?);
    for name in names("") {
        let name = [b"ring-", &name[..name.len().min(250)]].concat();
        let path = folder.join(OsStr::from_bytes(&name));
        write_private(&path, b"no ring at all")?;
        made.tell(path);
    }
    let open = put(OsStr::new("ring-mode-666"), &|_| {}, data)?;
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o666)).map_err(|e| e.to_string())?;
    made.tell(open);
    let foreign = put(OsStr::new("ring-owner"), &|_| {}, data)?;
    match std::os::unix::fs::chown(&foreign, Some(12_345), None) {
        Ok(()) => made.tell(foreign),
        Err(error) => made.notes.push(format!("no file can be given away here ({error})")),
    }
    Ok(())
}

/// Files that call themselves segments.
fn segments(dir: &Path, made: &mut Made) -> Result<(), String> {
    let folder = dir.join("segments");
    let honest = std::fs::read_dir(&folder)
        .map_err(|error| error.to_string())?
        .flatten()
        .find(|entry| entry.file_type().is_ok_and(|ty| ty.is_file() && !ty.is_fifo()))
        .ok_or("no honest segment")?
        .path();
    let bytes = std::fs::read(&honest).map_err(|error| error.to_string())?;
    made.no_files(&honest, &|name| folder.join(format!("{name}_pid1_00000000_000001.twseg")))?;
    let mut later = bytes.clone();
    later[8] = 9;
    let contents: [(&str, &[u8]); 5] = [
        ("empty", &[]),
        ("byte", &bytes[..1]),
        ("short", &bytes[..segment::HEADER_LEN - 1]),
        ("zeros", &[0; 4096]),
        ("later", &later),
    ];
    for (name, bytes) in contents {
        let path = folder.join(format!("{name}_pid1_00000000_000001.twseg"));
        write_private(&path, bytes)?;
        made.tell(path);
    }
    // A whole header, of another process, and then nothing for a terabyte.
    let mut header = segment::SegmentHeader::decode(&bytes).map_err(|error| error.to_string())?;
    header.identity.process_uuid = [0xdd; 16];
    let path = folder.join("terabyte_pid1_00000000_000001.twseg");
    sparse_file(&path, &header.encode())?;
    made.tell(path);
    for name in names(".twseg") {
        let path = folder.join(OsStr::from_bytes(&name));
        write_private(&path, &bytes)?;
        made.tell(path);
    }
    Ok(())
}
