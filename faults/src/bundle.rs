//! Bundles: what is sealed lets nothing changed through (T-21), nothing of it is ever on a disk in plain, and what is
//! secret or personal is not in it (T-19).

mod canaries;
mod harm;
mod plain;

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use clap::{Args, ValueEnum};
use tracewell_bundle::{DraftWriter, Folder, Kind, MemberInfo, MemberName, OwnKey, Sink, Store, Terms};

use crate::report::Scale;

/// Parts of the test.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Part {
    /// Every bit and every length of a sealed bundle, and other harm.
    Harm,
    /// Every write of the commands, under strace.
    Plain,
    /// Canaries through the redaction.
    Canaries,
}

/// Arguments of `faults bundle`.
#[derive(Args)]
pub(crate) struct BundleArgs {
    #[command(flatten)]
    scale: Scale,
    /// Only this part.
    #[arg(long, value_enum)]
    part: Option<Part>,
    /// Of the bits and of the lengths, each so many-th.
    #[arg(long, default_value = "1")]
    every: u64,
    /// The command `tracewell` [default: beside this program].
    #[arg(long)]
    command: Option<std::path::PathBuf>,
}

/// Runs the parts.
pub(crate) fn run(args: &BundleArgs) -> Result<(), String> {
    let wanted = |part| args.part.is_none_or(|only| only == part);
    let seed = args.scale.seed();
    if wanted(Part::Harm) {
        harm::run(seed, args.every.max(1))?;
    }
    if wanted(Part::Plain) {
        plain::run(seed, args.command.as_deref())?;
    }
    if wanted(Part::Canaries) {
        canaries::run(seed, args.scale.count_or(1000))?;
    }
    Ok(())
}

/// A place for bundles, and its own key.
struct Bundles {
    dir: tempfile::TempDir,
    key: OwnKey,
    store: Store,
}

impl Bundles {
    fn new() -> Result<Self, String> {
        let dir = crate::goldens::temporary()?;
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700))
            .map_err(|e| e.to_string())?;
        let base = dir.path().join("base");
        let key = OwnKey::load_or_create(&base).map_err(|e| format!("the own key: {e}"))?;
        Ok(Self { key, store: Store::new(&base), dir })
    }

    fn base(&self) -> std::path::PathBuf {
        self.dir.path().join("base")
    }

    /// A folder whose draft `fill` fills.
    fn prepare(
        &self,
        fill: impl FnOnce(&mut DraftWriter) -> std::io::Result<()>,
    ) -> Result<Folder, std::io::Error> {
        let folder = self.store.create(jiff::Timestamp::now())?;
        let mut draft = DraftWriter::new(folder.fd()?, &self.key, Terms::default())?;
        fill(&mut draft)?;
        draft.finish()?;
        Ok(folder)
    }
}

/// What a member is called, and that it is a text of a user.
fn info(name: &str, kind: Kind, origin: &str) -> std::io::Result<MemberInfo> {
    Ok(MemberInfo {
        name: MemberName::new(name).map_err(std::io::Error::other)?,
        kind,
        origin: origin.into(),
        personal: [].into(),
    })
}

/// Puts bytes into a sink.
fn put(sink: &mut dyn Sink, name: &str, kind: Kind, mut bytes: &[u8]) -> std::io::Result<()> {
    sink.member(info(name, kind, name)?, &mut bytes as &mut dyn Read)
}

/// Where the command is.
fn command(given: Option<&Path>) -> Result<std::path::PathBuf, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let command = given.map_or_else(|| own.with_file_name("tracewell"), Path::to_owned);
    if command.is_file() {
        return Ok(command);
    }
    Err(format!("{} is missing: cargo build -p tracewell-cli, or name it with --command", command.display()))
}
