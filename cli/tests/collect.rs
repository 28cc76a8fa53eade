//! `collect`: what killed components left in memory comes into segments, once, and nothing else is touched.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{Place, Ran, list};
use tracewell_schema::format::block::{BlockHeader, BlockKind};
use tracewell_schema::format::process::{self, ProcessFile};
use tracewell_schema::format::ring::{self as layout, PAGE, RingHeader};
use tracewell_schema::format::segment::{self, SegmentHeader};

/// A component that emits, in a ring folder of its own.
struct Component {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Component {
    fn start(place: &Place) -> Self {
        Self::start_with(place.command())
    }

    fn start_with(mut command: Command) -> Self {
        command.args(["demo-component", "loadgen"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut component = Self { child, stdout };
        while component.emitted() == 0 {}
        component
    }

    /// How many emits have returned, as it says next.
    fn emitted(&mut self) -> u64 {
        let mut line = String::new();
        assert_ne!(self.stdout.read_line(&mut line).unwrap(), 0, "it has ended");
        line.trim_end().parse().unwrap()
    }

    fn kill(mut self) -> u32 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child.id()
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The ring folder of a process.
fn folder_of(place: &Place, pid: u32) -> Option<PathBuf> {
    let root = place.ring_root();
    let entries = std::fs::read_dir(root).ok()?;
    let mut paths = entries.map(|entry| entry.unwrap().path());
    paths.find(|path| path.file_name().unwrap().to_str().unwrap().contains(&format!("-{pid}-")))
}

/// A component that was killed, with its ring folder.
fn killed(place: &Place) -> (u32, PathBuf) {
    let pid = Component::start(place).kill();
    let folder = folder_of(place, pid).expect("a killed process leaves its rings");
    (pid, folder)
}

fn read(place: &Place) -> Ran {
    let ran = place.run(&["read", "--format", "json"]);
    assert!(ran.code == 0 || ran.code == 3, "{ran:?}");
    ran
}

/// Runs it once; what it says, as JSON.
fn collect(place: &Place, code: i32) -> Vec<Value> {
    let ran = place.run(&["collect", "--once", "--json"]);
    assert_eq!(ran.code, code, "{ran:?}");
    lines(&ran.stdout)
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn enabled() -> Place {
    let place = Place::new();
    place.run(&["enable", "--level", "trace"]).ok();
    place
}

/// Nothing is left in memory once the living have ended.
fn finish(place: &Place) {
    place.run(&["disable"]).ok();
    let root = place.ring_root();
    assert!(!root.exists(), "{:?}", list(&root));
}

#[test]
fn a_killed_component_reads_the_same_before_and_after() {
    let place = enabled();
    let (pid, folder) = killed(&place);
    let before = read(&place);
    assert_eq!(before.code, 0, "{}", before.stderr);
    assert!(before.stderr.contains("rings left by"), "{}", before.stderr);
    let said = collect(&place, 0);
    assert_eq!(said.len(), 1, "{said:?}");
    let adopted = &said[0]["adopted"];
    assert_eq!((&adopted["component"], &adopted["pid"]), (&"loadgen".into(), &pid.into()), "{said:?}");
    assert!(adopted["events"].as_u64().unwrap() > 0 && adopted["removed"] == true, "{said:?}");
    assert_eq!((&adopted["lost"], &adopted["unverified"]), (&0.into(), &false.into()), "{said:?}");
    assert!(!folder.exists());
    let after = read(&place);
    assert_same(&before.stdout, &after.stdout);
    assert_eq!(after.code, 0, "{}", after.stderr);
    assert!(after.stderr.contains("lost: none; damaged: none") && !after.stderr.contains("left by"));
    let law = |ran: &Ran| ran.stderr.split("damaged: none; ").nth(1).unwrap().trim().to_owned();
    assert_eq!(law(&before), law(&after), "the same rings add up");
    assert!(collect(&place, 0).is_empty());
    assert!(read(&place).stdout == before.stdout);
    for segment in place.segments() {
        let mode = std::fs::metadata(&segment).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", segment.display());
    }
    finish(&place);
}

#[test]
fn it_says_for_people_what_it_did() {
    let place = Place::new();
    let ran = place.run(&["collect", "--once"]).ok();
    assert!(ran.stdout.contains("nothing to adopt") && !place.base().exists(), "{ran:?}");
    place.run(&["enable", "--level", "trace"]).ok();
    let ran = place.run(&["collect", "--once"]).ok();
    assert!(ran.stdout.contains("No process left anything"), "{ran:?}");
    let (pid, _) = killed(&place);
    let ran = place.run(&["collect", "--once"]).ok();
    assert!(ran.stdout.starts_with(&format!("Adopted: loadgen pid {pid}: ")), "{ran:?}");
    assert!(ran.stdout.contains(" events (1 segment in "), "{ran:?}");
    place.run(&["collect", "--every", "1ms"]).error_of_arguments(&["10ms"]);
    finish(&place);
}

#[test]
fn a_living_component_is_not_touched() {
    let place = enabled();
    let mut living = Component::start(&place);
    let dead = killed(&place).1;
    let own = folder_of(&place, living.child.id()).unwrap();
    let files = list(&own);
    let said = collect(&place, 0);
    assert!(said.iter().any(|s| s["left"]["why"] == "alive"), "{said:?}");
    assert!(said.iter().any(|s| !s["adopted"].is_null()), "{said:?}");
    assert!(!dead.exists());
    assert_eq!(list(&own), files);
    let first = living.emitted();
    while living.emitted() < first + 6000 {
        assert_eq!(collect(&place, 0).len(), 1);
    }
    let emitted = living.emitted();
    let pid = living.kill();
    assert_eq!(collect(&place, 0).len(), 1);
    let read = place.run(&["read", "--format", "json", "--pid", &pid.to_string()]).ok();
    assert!(read.stdout.lines().count() as u64 >= emitted, "{emitted}: {}", read.stderr);
    finish(&place);
}

/// What is read is the same; else the first lines that are not.
#[track_caller]
fn assert_same(before: &str, after: &str) {
    if before != after {
        let lines = before.lines().zip(after.lines()).enumerate();
        let other: Vec<_> = lines.filter(|(_, (a, b))| a != b).take(3).collect();
        let counts = (before.lines().count(), after.lines().count());
        panic!("another trace, of {counts:?} lines: {other:#?}");
    }
}

#[test]
fn of_several_collectors_exactly_one_adopts() {
    let place = enabled();
    let components: Vec<_> = (0..6).map(|_| Component::start(&place)).collect();
    let pids: Vec<_> = components.into_iter().map(Component::kill).collect();
    let before = read(&place);
    let start = || {
        let args = ["collect", "--once", "--json"];
        place.command().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let collectors: Vec<_> = (0..4).map(|_| start()).collect();
    let mut adopters = Vec::new();
    for collector in collectors {
        let ran = Ran::from(collector.wait_with_output().unwrap()).ok();
        adopters.extend(lines(&ran.stdout).iter().filter_map(|s| s["adopted"]["pid"].as_u64()));
    }
    adopters.sort_unstable();
    let mut expected: Vec<_> = pids.iter().map(|pid| u64::from(*pid)).collect();
    expected.sort_unstable();
    assert_eq!(adopters, expected);
    let after = read(&place);
    assert_same(&before.stdout, &after.stdout);
    assert_eq!(after.code, 0, "{}", after.stderr);
    finish(&place);
}

/// Whatever the system call at which a collector is killed.
#[test]
fn a_killed_collector_loses_nothing_and_doubles_nothing() {
    let place = enabled();
    for (call, when) in [
        // The segment's blocks, its sync and its name, the release of the ring, the removal.
        ("write", 1),
        ("write", 2),
        ("fdatasync", 1),
        ("rename,renameat,renameat2", 1),
        ("fsync", 2),
        ("pwrite64", 1),
        ("pwrite64", 2),
        ("unlink,unlinkat", 1),
        ("unlink,unlinkat", 2),
        ("unlink,unlinkat", 3),
        ("unlink,unlinkat", 4),
    ] {
        let (pid, folder) = killed(&place);
        let before = read(&place);
        let inject = format!("--inject={call}:signal=KILL:when={when}");
        let mut command = Command::new("strace");
        command.args(["-f", "-o", "/dev/null", "-e"]).arg(format!("trace={call}")).arg(inject);
        command.arg(env!("CARGO_BIN_EXE_tracewell")).args(["collect", "--once", "--json"]);
        command.env("TRACEWELL_DIR", place.base()).env("TRACEWELL_RING_DIR", place.path("rings"));
        let output = command.output().expect("strace is needed: install package strace");
        assert!(!output.status.success(), "{call} {when}: it was not killed: {output:?}");
        assert!(read(&place).stdout == before.stdout, "{call} {when}: another trace");
        collect(&place, 0);
        let after = read(&place);
        assert!(after.stdout == before.stdout, "{call} {when}: another trace of {pid}");
        assert_eq!(after.code, 0, "{call} {when}: {}", after.stderr);
        assert!(!folder.join("process").exists(), "{call} {when}");
        let open: Vec<_> = place
            .segments()
            .into_iter()
            .filter(|path| path.extension().is_some_and(|e| e == "open"))
            .collect();
        let of_it = |path: &PathBuf| path.to_str().unwrap().contains(&format!("_pid{pid}_"));
        let of_it: Vec<_> = open.iter().filter(|path| of_it(path)).collect();
        assert!(of_it.len() <= 1, "{call} {when}: more than the process itself left: {of_it:?}");
    }
    // An empty folder may be that of a process that has only just begun; it says nothing to anybody.
    place.run(&["disable"]).ok();
    for left in list(&place.ring_root()) {
        std::fs::remove_dir(left).unwrap();
    }
    std::fs::remove_dir(place.ring_root()).unwrap();
}

#[test]
fn rings_of_another_environment_are_adopted() {
    let place = enabled();
    let runtime = tempfile::tempdir_in("/dev/shm").unwrap();
    let mut command = place.command();
    command.env("TRACEWELL_RING_DIR", runtime.path());
    let pid = Component::start_with(command).kill();
    let before = read(&place);
    let said = collect(&place, 0);
    assert_eq!(said[0]["adopted"]["pid"], pid, "{said:?}");
    assert!(said[0]["adopted"]["folder"].as_str().unwrap().starts_with(runtime.path().to_str().unwrap()));
    assert_same(&before.stdout, &read(&place).stdout);
    finish(&place);
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

/// The first ring file of a folder.
fn ring_of(folder: &Path) -> PathBuf {
    let mut all = list(folder);
    all.retain(|p| p.file_name().unwrap().to_str().unwrap().starts_with("ring-"));
    all.remove(0)
}

/// Runs it once within a limit that `ulimit` sets; what it says, as JSON.
fn collect_within(place: &Place, limit: &str, code: i32) -> Vec<Value> {
    let mut command = Command::new("sh");
    let script = format!("ulimit {limit}; exec \"$0\" collect --once --json");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_tracewell")]).current_dir(place.path(""));
    command.env("TRACEWELL_DIR", place.base()).env("TRACEWELL_RING_DIR", place.path("rings"));
    let ran = Ran::from(command.output().unwrap());
    assert_eq!(ran.code, code, "{ran:?}");
    lines(&ran.stdout)
}

/// Rewrites who a process file says that it is of.
fn change_identity(folder: &Path, with: impl FnOnce(&mut process::ProcessIdentity)) {
    change(&folder.join("process"), |bytes| {
        let mut file = ProcessFile::decode(bytes).unwrap();
        with(&mut file.identity);
        *bytes = file.encode();
    });
}

#[test]
fn rings_of_another_boot_are_adopted_as_unverified() {
    let place = enabled();
    let (_, folder) = killed(&place);
    let before = read(&place);
    change_identity(&folder, |identity| identity.boot_id = [7; 16]);
    let said = collect(&place, 0);
    assert_eq!(said[0]["adopted"]["unverified"], true, "{said:?}");
    let after = read(&place);
    let events = said[0]["adopted"]["events"].as_u64().unwrap();
    assert!(after.stderr.contains(&format!("{events} events are unverified")), "{}", after.stderr);
    assert_eq!(after.stdout.lines().count(), before.stdout.lines().count());
    finish(&place);
}

#[test]
fn an_id_that_was_used_again_is_no_sign_of_life() {
    let place = enabled();
    let (_, folder) = killed(&place);
    // This very process has the id now; it began at another time.
    change_identity(&folder, |identity| identity.pid = std::process::id());
    let said = collect(&place, 0);
    assert_eq!(said[0]["adopted"]["pid"], std::process::id(), "{said:?}");
    // And a process that has become another program by `exec` has let go of its rings.
    let (_, folder) = killed(&place);
    change_identity(&folder, |identity| {
        identity.pid = std::process::id();
        identity.start_ticks = tracewell::boot::own_start_ticks();
    });
    let said = collect(&place, 0);
    assert_eq!(said[0]["adopted"]["pid"], std::process::id(), "{said:?}");
    finish(&place);
}

#[test]
fn a_folder_that_is_being_made_is_left() {
    let place = enabled();
    let (_, folder) = killed(&place);
    // As it is before its process has taken the lock: no schemas and no rings yet.
    change_identity(&folder, |identity| {
        identity.pid = std::process::id();
        identity.start_ticks = tracewell::boot::own_start_ticks();
    });
    for path in list(&folder) {
        if path.file_name().unwrap() != "process" {
            std::fs::remove_file(path).unwrap();
        }
    }
    let said = collect(&place, 0);
    assert_eq!(said[0]["left"]["why"], "being_made", "{said:?}");
    assert!(folder.join("process").exists());
    place.run(&["disable"]).ok();
    place.run(&["purge", "--yes"]).ok();
    assert!(!place.ring_root().exists());
}

#[test]
fn on_a_full_disk_the_rings_stay() {
    let place = enabled();
    let (_, folder) = killed(&place);
    let before = read(&place);
    let files = place.segments();
    // A file size limit is as good as a full disk: the write that goes beyond it fails.
    for blocks in [0, 1, 4] {
        let mut command = Command::new("sh");
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" collect --once");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_tracewell")]).current_dir(place.path(""));
        command.env("TRACEWELL_DIR", place.base()).env("TRACEWELL_RING_DIR", place.path("rings"));
        let ran = Ran::from(command.output().unwrap());
        ran.error(&["was not adopted", folder.to_str().unwrap()]);
        assert!(folder.exists());
        assert_eq!(place.segments(), files, "nothing is left of it");
        assert_same(&before.stdout, &read(&place).stdout);
    }
    assert_eq!(collect(&place, 0).len(), 1);
    assert_same(&before.stdout, &read(&place).stdout);
    finish(&place);
}

#[test]
fn what_makes_no_sense_stays_and_the_rest_is_adopted() {
    let place = enabled();
    let secret = place.path("secret");
    std::fs::write(&secret, "mine").unwrap();
    let honest = killed(&place).1;
    let folders: Vec<_> = (0..8).map(|_| killed(&place).1).collect();
    let word = |bytes: &mut Vec<u8>, at: usize, value: u64| {
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    };
    change(&ring_of(&folders[0]), |bytes| bytes[50] ^= 1);
    change(&ring_of(&folders[1]), |bytes| bytes.truncate(PAGE + 100));
    change(&ring_of(&folders[2]), |bytes| word(bytes, layout::HEAD, u64::MAX));
    // Records that are none: the ring's bytes are of another process.
    change(&ring_of(&folders[3]), |bytes| bytes[PAGE..].fill(0xa5));
    let replace = |path: PathBuf, with: &dyn Fn(&Path)| {
        std::fs::remove_file(&path).unwrap();
        with(&path);
    };
    replace(ring_of(&folders[4]), &|path| symlink(&secret, path).unwrap());
    replace(ring_of(&folders[5]), &|path| {
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    });
    replace(folders[6].join("process"), &|path| symlink(&secret, path).unwrap());
    std::fs::write(folders[7].join("notes"), "not ours").unwrap();
    let said = collect(&place, 3);
    let why = |folder: &Path| {
        said.iter().find_map(|s| {
            (s["left"]["folder"] == folder.to_str().unwrap()).then(|| s["left"]["why"].as_str().unwrap())
        })
    };
    for folder in &folders {
        assert_eq!(why(folder), Some("damaged"), "{}: {said:?}", folder.display());
    }
    assert!(folders[7].join("notes").exists() && !honest.exists());
    assert_eq!(std::fs::read(&secret).unwrap(), b"mine");
    assert!(folders.iter().all(|folder| folder.exists()));
    // Again: what was adopted is not adopted twice.
    let segments = place.segments();
    let again = collect(&place, 3);
    assert!(again.iter().all(|s| s["adopted"].is_null()), "{again:?}");
    assert_eq!(place.segments(), segments);
    place.run(&["disable"]).ok();
    std::fs::remove_dir_all(place.ring_root()).unwrap();
}

#[test]
fn a_process_with_more_rings_than_files_may_be_open_is_adopted_whole() {
    const MORE: u32 = 60;
    let place = enabled();
    let (_, folder) = killed(&place);
    let bytes = std::fs::read(ring_of(&folder)).unwrap();
    let mut header = RingHeader::decode(&bytes[..PAGE]).unwrap();
    let used = bytes.iter().rposition(|b| *b != 0).unwrap() + 1;
    let dir = tracewell::fs::open_private_dir(&folder).unwrap();
    for number in 0..MORE {
        header.info.ring = 1000 + number;
        let mut file = tracewell::fs::create_new(&dir, &format!("ring-{}", 1000 + number)).unwrap();
        file.write_all(&header.encode()).unwrap();
        file.write_all(&bytes[PAGE..used]).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
    }
    let before = read(&place);
    let said = collect_within(&place, "-n 24", 0);
    assert_eq!((said.len(), &said[0]["adopted"]["removed"]), (1, &true.into()), "{said:?}");
    assert!(!folder.exists());
    let after = read(&place);
    assert_same(&before.stdout, &after.stdout);
    assert_eq!(after.code, 0, "{}", after.stderr);
    // With none left it says what is missing, and changes nothing.
    let (_, folder) = killed(&place);
    let before = read(&place);
    let script = "ulimit -n 6; exec \"$0\" collect --once";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_tracewell")]).current_dir(place.path(""));
    command.env("TRACEWELL_DIR", place.base()).env("TRACEWELL_RING_DIR", place.path("rings"));
    Ran::from(command.output().unwrap()).error(&["Too many open files", "ulimit -n"]);
    assert!(folder.exists());
    assert_same(&before.stdout, &read(&place).stdout);
    collect(&place, 0);
    finish(&place);
}

/// Memory that a collector may have, code and stacks included: in KiB, for `ulimit`.
const MEMORY: u32 = 112 << 10;

/// The first schema of a schemas file, as an item of it.
fn first_schema(folder: &Path) -> (u16, Vec<u8>) {
    let bytes = std::fs::read(folder.join("schemas")).unwrap();
    let (index, blob) = process::SchemaItems::of_file(&bytes).next().unwrap().unwrap();
    (index, process::encode_schema_item(index, blob))
}

#[test]
fn schemas_that_are_told_again_and_again_cost_no_memory() {
    let place = enabled();
    let (_, folder) = killed(&place);
    let before = read(&place);
    let (_, again) = first_schema(&folder);
    // As much as a file of schemas can be. And some that are none.
    let none = process::encode_schema_item(1023, &[]);
    change(&folder.join("schemas"), |bytes| {
        for _ in 0..(1 << 20) / none.len() {
            bytes.extend_from_slice(&none);
        }
        while bytes.len() < 64 << 20 {
            bytes.extend_from_slice(&again);
        }
    });
    let said = collect_within(&place, &format!("-v {MEMORY}"), 3);
    assert!(said[0]["adopted"]["events"].as_u64().unwrap() > 0, "{said:?}");
    let why = said[1]["left"]["explanation"].as_str().unwrap();
    assert!(why.contains("schemas: ") && why.len() < 400, "{why}");
    let after = read(&place);
    assert_same(&before.stdout, &after.stdout);
    place.run(&["disable"]).ok();
    std::fs::remove_dir_all(place.ring_root()).unwrap();
}

#[test]
fn more_schemas_than_a_collector_keeps_are_refused_and_the_rings_stay() {
    let place = enabled();
    let (_, folder) = killed(&place);
    let before = read(&place);
    // The longest there are: fields with long descriptions.
    let (_, mut blob) = first_schema(&folder);
    blob.drain(..10);
    blob.truncate(2);
    let text = |out: &mut Vec<u8>, len: u16| {
        out.extend_from_slice(&len.to_le_bytes());
        out.resize(out.len() + usize::from(len), b'x');
    };
    blob.extend_from_slice(b"\x0acustom.big\x00\x00\x00");
    text(&mut blob, 4096);
    text(&mut blob, 4096);
    blob.push(13);
    for _ in 0..13 {
        blob.extend_from_slice(b"\x01f\x01\x01\x00\x00\x00\x00\x00\x00\x00");
        text(&mut blob, 4096);
    }
    tracewell_schema::Schema::parse(&blob).unwrap();
    change(&folder.join("schemas"), |bytes| {
        for index in 100..1024 {
            bytes.extend_from_slice(&process::encode_schema_item(index, &blob));
        }
    });
    let said = collect_within(&place, &format!("-v {MEMORY}"), 3);
    assert_eq!((said.len(), &said[0]["left"]["why"]), (1, &"damaged".into()), "{said:?}");
    let why = said[0]["left"]["explanation"].as_str().unwrap();
    assert!(why.contains("schemas: more than 32 MiB"), "{why}");
    assert!(folder.exists());
    assert_same(&before.stdout, &read(&place).stdout);
    // A process may have many, within reason.
    change(&folder.join("schemas"), |bytes| {
        bytes.truncate(31 << 20);
    });
    let said = collect_within(&place, &format!("-v {MEMORY}"), 0);
    assert_eq!(said[0]["adopted"]["removed"], true, "{said:?}");
    assert_same(&before.stdout, &read(&place).stdout);
    finish(&place);
}

#[test]
fn segments_of_countless_blocks_cost_no_memory() {
    const BLOCKS: u64 = 1_000_000;
    let place = enabled();
    let (_, folder) = killed(&place);
    let before = read(&place);
    // As if the process had sealed one before: blocks without anything in them, each at another place.
    let session = list(&place.base().join("sessions")).remove(0);
    let ProcessFile { identity, .. } =
        ProcessFile::decode(&std::fs::read(folder.join("process")).unwrap()).unwrap();
    let name = segment::file_name(&identity.component, identity.pid, &identity.process_uuid, 77);
    let path = session.join(name);
    let header = SegmentHeader { file_id: [9; 16], identity, sequence: 77, created: 1 };
    let dir = tracewell::fs::open_private_dir(&session).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let mut file = std::io::BufWriter::new(tracewell::fs::create_new(&dir, name).unwrap());
    file.write_all(&header.encode()).unwrap();
    for n in 0..BLOCKS {
        let block = BlockHeader { ring: 4000, from: n, to: n, ..BlockHeader::meta(BlockKind::Data) };
        file.write_all(&block.encode()).unwrap();
    }
    file.into_inner().unwrap();
    let said = collect_within(&place, &format!("-v {MEMORY}"), 0);
    assert_eq!(said[0]["adopted"]["removed"], true, "{said:?}");
    std::fs::remove_file(&path).unwrap();
    assert_same(&before.stdout, &read(&place).stdout);
    finish(&place);
}

#[test]
fn a_process_file_that_was_never_written_is_no_damage() {
    let place = enabled();
    let (_, folder) = killed(&place);
    for path in list(&folder) {
        if path.file_name().unwrap() != "process" {
            std::fs::remove_file(path).unwrap();
        }
    }
    // As it is when its process is killed, or memory is full, before it writes: its process may be about to.
    change(&folder.join("process"), Vec::clear);
    let said = collect(&place, 0);
    assert_eq!(said[0]["left"]["why"], "being_made", "{said:?}");
    assert!(folder.join("process").exists());
    place.run(&["disable"]).ok();
    std::fs::remove_dir_all(place.ring_root()).unwrap();
}

#[test]
fn who_reads_keeps_the_rings() {
    let place = enabled();
    let (_, folder) = killed(&place);
    let before = read(&place);
    let trace = tracewell_reader::Trace::open(&[place.base()], &[place.ring_root()]).unwrap();
    let said = collect(&place, 0);
    assert_eq!(said.len(), 2, "{said:?}");
    assert_eq!(
        (&said[0]["adopted"]["removed"], &said[1]["left"]["why"]),
        (&false.into(), &"being_read".into())
    );
    let segments = place.segments();
    let again = collect(&place, 0);
    assert_eq!(again.len(), 1, "it has nothing more to tell: {again:?}");
    assert_eq!(place.segments(), segments);
    let summary = trace.read(&tracewell_reader::Filter::default(), |_| Ok::<(), std::io::Error>(())).unwrap();
    assert_eq!(summary.events as usize, before.stdout.lines().count());
    assert!(summary.is_complete(), "{summary:?}");
    drop(trace);
    collect(&place, 0);
    assert!(!folder.exists());
    assert_same(&before.stdout, &read(&place).stdout);
    finish(&place);
}

#[test]
fn rings_of_another_trace_directory_are_left() {
    let (place, other) = (enabled(), enabled());
    let runtime = tempfile::tempdir_in("/dev/shm").unwrap();
    std::fs::set_permissions(runtime.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    // Both keep their rings in the same folder.
    let dead = |place: &Place| {
        let tracer =
            tracewell::Tracer::builder("scanner").dir(place.base()).ring_dir(runtime.path()).attach();
        tracer.unwrap()
    };
    let (one, two) = (dead(&place), dead(&other));
    for tracer in [&one, &two] {
        tracewell::emit!(tracer, tracewell::catalog::ErrorRaised { module: "engine", ..Default::default() });
    }
    let said = collect(&place, 0);
    let why: Vec<_> = said.iter().map(|s| s["left"]["why"].as_str().unwrap()).collect();
    assert!(why.contains(&"alive") && why.contains(&"elsewhere"), "{said:?}");
    drop((one.guard(), two.guard()));
    for place in [&place, &other] {
        place.run(&["disable"]).ok();
    }
}

#[test]
fn as_a_service_it_adopts_whoever_dies_and_ends_when_asked() {
    let place = enabled();
    let mut service = place
        .command()
        .args(["collect", "--every", "50ms", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(service.stdout.take().unwrap());
    for _ in 0..3 {
        let component = Component::start(&place);
        let folder = folder_of(&place, component.child.id()).unwrap();
        let pid = component.kill();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(said["adopted"]["pid"], pid, "{line}");
        let begin = Instant::now();
        while folder.exists() {
            assert!(begin.elapsed() < Duration::from_secs(5));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    kill_process(Pid::from_child(&service), Signal::TERM).unwrap();
    let ended = service.wait().unwrap();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let read = read(&place);
    assert_eq!(read.code, 0, "{}", read.stderr);
    finish(&place);
}
