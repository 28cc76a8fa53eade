//! Values of secret fields, pushed through everything, are nowhere afterwards (T-19).

mod core;
mod part;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use clap::Args;
use tracewell::control::EnableRequest;
use tracewell_schema::Reduction;
use tracewell_tests::Place;

pub(crate) use part::{ComponentArgs, component};

use crate::report::{Report, Scale, grouped};
use part::{KEPT, Marker, PUBLIC, SECRET};

/// Arguments of `faults secrets`.
#[derive(Args)]
pub(crate) struct SecretsArgs {
    #[command(flatten)]
    scale: Scale,
    /// The command `tracewell` [default: beside this program].
    #[arg(long)]
    command: Option<PathBuf>,
}

/// What is searched, and what was searched so far.
struct Search {
    secret: Marker,
    public: Marker,
    bytes: u64,
    places: u64,
}

impl Search {
    /// The secret is not there. True if what is public is.
    fn look(&mut self, bytes: &[u8], at: &str) -> Result<bool, String> {
        self.bytes += bytes.len() as u64;
        self.places += 1;
        match self.secret.find(bytes) {
            Some(offset) => Err(format!("a secret is in {at}, at byte {offset}")),
            None => Ok(self.public.find(bytes).is_some()),
        }
    }

    /// All files below a folder. True if what is public is in one of them.
    fn look_below(&mut self, top: &Path) -> Result<bool, String> {
        let mut has_public = false;
        let mut open = vec![top.to_owned()];
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(&dir).map_err(|e| format!("{}: {e}", dir.display()))?.flatten() {
                let path = entry.path();
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    open.push(path);
                    continue;
                }
                let bytes = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
                has_public |= self.look(&bytes, &path.display().to_string())?;
            }
        }
        Ok(has_public)
    }
}

/// The component, which does one step for each line that it is told.
struct Component {
    child: Child,
    stdin: ChildStdin,
    said: BufReader<std::process::ChildStdout>,
}

impl Component {
    fn start(place: &Place, seed: u64, count: u64, stderr: &Path) -> Result<Self, String> {
        let own = std::env::current_exe().map_err(|e| e.to_string())?;
        let stderr = std::fs::File::create(stderr).map_err(|e| e.to_string())?;
        let mut command = Command::new(own);
        command.arg("secrets-component").arg(place.dirs.base()).arg(place.dirs.ring_root());
        command.args(["--seed", &seed.to_string(), "--count", &count.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().map_err(|e| e.to_string())?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        match (stdin, stdout) {
            (Some(stdin), Some(stdout)) => Ok(Self { child, stdin, said: BufReader::new(stdout) }),
            _ => Err("no pipes".into()),
        }
    }

    /// Has it do the next step, and waits until it is done.
    fn step(&mut self, what: &str) -> Result<(), String> {
        use std::io::Write;
        writeln!(self.stdin, "{what}").map_err(|e| format!("{what}: {e}"))?;
        let mut line = String::new();
        self.said.read_line(&mut line).map_err(|e| e.to_string())?;
        if line.trim_end() == what {
            Ok(())
        } else {
            Err(format!("asked to {what}, the component said {line:?}"))
        }
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Pushes canaries through, and searches.
pub(crate) fn run(args: &SecretsArgs) -> Result<(), String> {
    let (count, seed) = (args.scale.count_or(1000), args.scale.seed());
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let command = args.command.clone().unwrap_or_else(|| own.with_file_name("tracewell"));
    if !command.is_file() {
        return Err(format!(
            "{} is missing: cargo build -p tracewell-cli, or name it with --command",
            command.display()
        ));
    }
    let mut search =
        Search { secret: Marker::new(seed, SECRET), public: Marker::new(seed, PUBLIC), bytes: 0, places: 0 };
    let tell =
        |what: String| format!("secrets: {what}\nrepeat with: faults secrets --count {count} --seed {seed}");
    let found = one(&mut search, seed, count, &command).map_err(tell)?;
    let result = format!(
        "0 secrets in {} places ({} MiB): rings, segments, text, JSON, control files, output, a core dump of {} MiB \
         without its {} rings",
        grouped(search.places),
        grouped(search.bytes >> 20),
        grouped(found.core_bytes >> 20),
        found.rings
    );
    let line = format!("faults secrets --count {count} --seed {seed}");
    Report {
        test: "secrets (T-19)".into(),
        unit: "canaries".into(),
        count: count * part::FIELDS,
        seed: Some(seed),
        result,
        command: line,
    }
    .print();
    Ok(())
}

struct Found {
    core_bytes: u64,
    rings: usize,
}

fn one(search: &mut Search, seed: u64, count: u64, command: &Path) -> Result<Found, String> {
    let place = Place::new();
    let reduce = vec![
        ("custom.secrets.account".to_owned(), Reduction::Keyed),
        ("custom.secrets.phone".to_owned(), Reduction::Drop),
    ];
    place.enable_with(&EnableRequest {
        levels: [5; 32],
        segment_bytes: 64 << 10,
        reduce,
        ..EnableRequest::default()
    });
    let stderr = place.beside("stderr");
    let mut component = Component::start(&place, seed, count, &stderr)?;
    component.step("emit")?;
    let rings = place.dirs.ring_root().to_owned();
    let needed = |found: bool, what: &str| {
        if found { Ok(()) } else { Err(format!("the search is blind: nothing public is in {what}")) }
    };
    needed(search.look_below(&rings)?, "the rings")?;
    let mapped = core::ring_mappings(component.child.id(), &rings)?;
    let core_bytes =
        core::dump(component.child.id(), &place.beside("core"), &mapped, search, &Marker::new(seed, KEPT))?;
    component.step("flush")?;
    component.step("panic")?;
    needed(search.look_below(&place.dirs.sessions())?, "the segments")?;
    component.step("again")?;
    for act in [
        &["status", "--json"][..],
        &["read", "--stdout"],
        &["read", "--format", "json"],
        &["collect", "--once", "--json"],
    ] {
        let output = Command::new(command)
            .args(act)
            .arg("--dir")
            .arg(place.dirs.base())
            .stdin(Stdio::null())
            .output()
            .map_err(|e| e.to_string())?;
        if !matches!(output.status.code(), Some(0 | 3)) {
            return Err(format!("{act:?}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        let found = search.look(&output.stdout, &format!("the output of {act:?}"))?;
        if act[0] == "read" {
            needed(found, "what is read")?;
        }
        search.look(&output.stderr, &format!("the errors of {act:?}"))?;
    }
    // Killed with its rings full, then adopted.
    component.step("again")?;
    let _ = component.child.kill();
    let _ = component.child.wait();
    needed(search.look_below(&rings)?, "the rings of the dead")?;
    let pass = tracewell::adopt::pass(&place.dirs, &mut || false).map_err(|e| e.to_string())?;
    if pass.adopted.is_empty() {
        return Err(format!("nothing was adopted: {pass:?}"));
    }
    needed(search.look_below(place.dirs.base())?, "the trace directory")?;
    let said = std::fs::read(&stderr).map_err(|e| e.to_string())?;
    search.look(&said, "the component's errors")?;
    Ok(Found { core_bytes, rings: mapped.len() })
}
