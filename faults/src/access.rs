//! What is opened and made, how, and what happens when somebody puts something else there (T-18).

mod canary;
mod opens;
mod part;
mod races;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use clap::Args;
use tracewell_tests::Place;

pub(crate) use part::{AttackerArgs, ComponentArgs, attack, component};

use crate::report::{Report, Scale, grouped};
use opens::{Call, TRACED};
use part::Life;

/// Exit code of a command that read something in which events were lost.
const INCOMPLETE: i32 = 3;

/// Arguments of `faults access`.
#[derive(Args)]
pub(crate) struct AccessArgs {
    #[command(flatten)]
    scale: Scale,
    /// The command `tracewell` [default: beside this program].
    #[arg(long)]
    command: Option<PathBuf>,
}

/// Runs all parts.
pub(crate) fn run(args: &AccessArgs) -> Result<(), String> {
    let (count, seed) = (args.scale.count_or(20_000), args.scale.seed());
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let command = args.command.clone().unwrap_or_else(|| own.with_file_name("tracewell"));
    if !command.is_file() {
        return Err(format!(
            "{} is missing: cargo build -p tracewell-cli, or name it with --command",
            command.display()
        ));
    }
    let tell =
        |what: String| format!("access: {what}\nrepeat with: faults access --count {count} --seed {seed}");
    off(&own).map_err(tell)?;
    let (opens, listings) = every_open(&own, &command).map_err(tell)?;
    let modes = modes(&own, &command).map_err(tell)?;
    let swapped = races::own(count / 2, seed, &command).map_err(tell)?;
    let (placed, lives) = races::others(count / 4, seed, &command).map_err(tell)?;
    let races = swapped + placed;
    let result = format!(
        "{} opens and makings checked ({} list a folder), {} files and folders 0600 and 0700 under umask 0 and a default ACL; {} names \
         swapped under ours, {} put there by another user in {} lives: nothing outside altered",
        grouped(opens),
        grouped(listings),
        grouped(modes),
        grouped(swapped),
        grouped(placed),
        grouped(lives)
    );
    let line = format!("faults access --count {count} --seed {seed}");
    Report {
        test: "access (T-18)".into(),
        unit: "races".into(),
        count: races,
        seed: Some(seed),
        result,
        command: line,
    }
    .print();
    Ok(())
}

/// Where everything of one run lies.
struct Scene {
    place: Place,
    own: PathBuf,
    command: PathBuf,
}

impl Scene {
    fn new(own: &Path, command: &Path) -> Self {
        Self { place: Place::new(), own: own.to_owned(), command: command.to_owned() }
    }

    fn component(&self, life: Life) -> Command {
        let mut command = Command::new(&self.own);
        command
            .arg("access-component")
            .arg(life.name())
            .arg(self.place.dirs.base())
            .arg(self.place.dirs.ring_root());
        command
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.command);
        command.args(args).arg("--dir").arg(self.place.dirs.base()).current_dir(self.place.beside(""));
        command
    }

    /// Everything that there is to be done, in order; a name for each.
    fn acts(&self) -> Vec<(&'static str, Command)> {
        let out = self.place.beside("out");
        let read = self.command(&["read", "--out", &out.to_string_lossy()]);
        vec![
            ("enable", self.command(&["enable", "--level", "trace"])),
            ("component", self.component(Life::Whole)),
            ("killed component", self.component(Life::Killed)),
            ("status", self.command(&["status"])),
            ("collect", self.command(&["collect", "--once"])),
            ("second killed component", self.component(Life::Killed)),
            ("read", read),
            ("json", self.command(&["read", "--format", "json"])),
            ("collect again", self.command(&["collect", "--once", "--json"])),
            ("disable", self.command(&["disable"])),
            ("settings", self.command(&["enable", "--defaults"])),
            ("disable again", self.command(&["disable"])),
            ("purge", self.command(&["purge", "--yes"])),
        ]
    }

    fn is_ours(&self, path: &Path) -> bool {
        let dirs = &self.place.dirs;
        path.starts_with(self.place.beside("")) || path.starts_with(dirs.ring_root())
    }
}

/// Runs it under strace; what it said, and its calls.
fn traced(place: &Place, command: &Command) -> Result<(Output, Vec<Call>), String> {
    let log = place.beside("strace.log");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-s", "4096", "-e", &format!("trace={TRACED}"), "-o"]).arg(&log);
    strace.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    if let Some(dir) = command.get_current_dir() {
        strace.current_dir(dir);
    }
    let output = strace.output().map_err(|e| format!("strace: {e}; install package strace"))?;
    let text = std::fs::read_to_string(&log).map_err(|e| format!("{}: {e}", log.display()))?;
    let _ = std::fs::remove_file(&log);
    let calls: Vec<_> = text.lines().filter_map(opens::parse).collect();
    if calls.is_empty() {
        return Err(format!("strace saw nothing: {output:?}"));
    }
    Ok((output, calls))
}

/// While nothing is enabled a component makes no file, no thread and no socket.
fn off(own: &Path) -> Result<(), String> {
    let scene = Scene::new(own, Path::new(""));
    let listing = |place: &Place| tree(&place.beside(""));
    let before = listing(&scene.place);
    let (output, calls) = traced(&scene.place, &scene.component(Life::Off))?;
    if !output.status.success() {
        return Err(format!("off: {}", String::from_utf8_lossy(&output.stderr)));
    }
    if let Some(call) = calls.iter().find(|call| call.makes() || call.makes_thread_or_socket()) {
        return Err(format!("while nothing is enabled: {call:?}"));
    }
    if listing(&scene.place) != before || scene.place.dirs.ring_root().exists() {
        return Err(format!("while nothing is enabled something was made: {:?}", listing(&scene.place)));
    }
    Ok(())
}

/// All paths below a folder, without following links.
fn tree(top: &Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![top.to_owned()]);
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

/// Every open and every making of a component, the command and a collector is safe by itself.
fn every_open(own: &Path, command: &Path) -> Result<(u64, u64), String> {
    let scene = Scene::new(own, command);
    let (mut checked, mut listings, mut faults) = (0, 0, Vec::new());
    for (name, act) in scene.acts() {
        let (output, calls) = traced(&scene.place, &act)?;
        let is_killed = name.contains("killed");
        if !matches!(output.status.code(), Some(0 | INCOMPLETE)) && !is_killed {
            return Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        for call in calls.iter().filter(|call| !call.path.as_os_str().is_empty()) {
            checked += 1;
            listings += u64::from(scene.is_ours(&call.path) && call.is_listing());
            faults.extend(call.fault(scene.is_ours(&call.path)).map(|fault| format!("{name}: {fault}")));
        }
        let has_socket = calls.iter().any(|call| call.name.starts_with("socket"));
        if has_socket {
            return Err(format!("{name} makes a socket"));
        }
    }
    if faults.is_empty() {
        return Ok((checked, listings));
    }
    faults.sort();
    Err(format!("{} of {checked} calls:\n{}", faults.len(), faults.join("\n")))
}

/// Modes under a umask of 0 and with a default ACL that gives everything to another user.
fn modes(own: &Path, command: &Path) -> Result<u64, String> {
    let scene = Scene::new(own, command);
    let top = scene.place.beside("");
    let mut looked = 0;
    // The folder of all rings is shared with other tests: the rings go below one of this test.
    let rings = tempfile::tempdir_in("/dev/shm").map_err(|e| e.to_string())?;
    let scene = Scene { place: with_rings(scene.place, rings.path()), ..scene };
    for dir in [&top, &rings.path().to_owned()] {
        let acl =
            Command::new("setfacl").args(["-d", "-m", "u:65534:rwx,g::rwx,o::rwx,m::rwx"]).arg(dir).status();
        match acl {
            Ok(status) if status.success() => {}
            Ok(status) => return Err(format!("setfacl on {}: {status}", dir.display())),
            Err(e) => return Err(format!("setfacl: {e}; install package acl")),
        }
    }
    for (name, mut act) in scene.acts() {
        let mut open = Command::new("sh");
        open.args(["-c", "umask 0; exec \"$0\" \"$@\""]).arg(act.get_program()).args(act.get_args());
        if let Some(dir) = act.get_current_dir() {
            open.current_dir(dir);
        }
        act = open;
        let output = act.stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
        if !matches!(output.status.code(), Some(0 | INCOMPLETE)) && !name.contains("killed") {
            return Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        for dir in [scene.place.dirs.base().to_owned(), scene.place.beside("out"), rings.path().to_owned()] {
            for path in tree(&dir) {
                let Ok(meta) = std::fs::symlink_metadata(&path) else { continue };
                let expected = if meta.is_dir() { 0o700 } else { 0o600 };
                if meta.permissions().mode() & 0o7777 != expected {
                    return Err(format!("{name}: {} has mode {:o}", path.display(), meta.mode()));
                }
                looked += 1;
            }
        }
        looked += others_cannot(scene.place.dirs.base(), &scene.place.beside("out"), name)?;
    }
    Ok(looked)
}

/// The user whom the default ACL names can read nothing of it.
fn others_cannot(base: &Path, out: &Path, name: &str) -> Result<u64, String> {
    let mut looked = 0;
    for path in tree(base).into_iter().chain(tree(out)).take(20) {
        let kind = if path.is_dir() { "ls" } else { "cat" };
        let mut other = Command::new(kind);
        other.arg(&path).uid(65_534).gid(65_534).current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
        if other.status().map_err(|e| e.to_string())?.success() {
            return Err(format!("{name}: another user can read {}", path.display()));
        }
        looked += 1;
    }
    Ok(looked)
}

fn with_rings(mut place: Place, rings: &Path) -> Place {
    place.dirs = place.dirs.clone().with_ring_root(rings.join("rings"));
    place
}
