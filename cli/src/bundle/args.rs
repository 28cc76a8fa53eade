//! Arguments of `bundle`.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum, ValueHint};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tracewell bundle create            prepare: operating-system information, traces, the product's files
  tracewell bundle view              look at all of it in the browser, strike out what you do not want to give
  tracewell bundle seal              encrypt what is left, for support and for yourself
  tracewell bundle send              show what goes to whom, ask, and send

A bundle is named by `last`, or by the beginning or end of its name in `tracewell bundle list`.")]
pub(crate) struct Bundle {
    #[command(subcommand)]
    pub(crate) command: BundleCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BundleCommand {
    /// Prepare a bundle: collect, redact, and keep it encrypted on this computer. Nothing is sent
    Create(Create),
    /// List the bundles on this computer
    List,
    /// Say what is in a bundle, or show one member as readable text
    Show(Show),
    /// Look at a bundle in the browser, search it, and strike members out; nothing is sent by looking
    View(View),
    /// Strike members out, so that they are not sealed; or take that back
    Strike(Strike),
    /// Encrypt what is not struck out into one file, for support and for yourself
    Seal(Seal),
    /// Take the seal away, to change the bundle again
    Unseal {
        /// Which
        #[arg(default_value = "last")]
        bundle: String,
    },
    /// Show what goes to whom, ask, and send the sealed bundle over a secure channel; goes on with one that was begun
    Send(Send),
    /// Check a sealed bundle and extract its members; for support, and for you with your own key
    Open(Open),
    /// Delete a bundle
    Remove(Remove),
}

/// What can be collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Operating-system information
    Os,
    /// Traces
    Trace,
    /// The product's other files, as its manifest names them
    Files,
}

/// How much is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// Nothing is replaced
    None,
    /// Names, addresses, e-mails, tokens and keys are replaced by pseudonyms
    Standard,
    /// Paths, visited addresses and command lines too
    Strict,
}

impl Level {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Standard => "standard",
            Self::Strict => "strict",
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Collect what the request that was accepted last asks for, and nothing else
    #[arg(long, conflicts_with_all = ["only", "dump", "full_dump", "files", "case"])]
    pub(crate) request: bool,
    /// Collect only these parts
    #[arg(long, value_name = "PART,..", value_delimiter = ',', value_enum)]
    pub(crate) only: Vec<Part>,
    /// Also the memory of this component, as a minidump; may be given more than once
    #[arg(long, value_name = "COMPONENT")]
    pub(crate) dump: Vec<String>,
    /// Also the whole memory of this component: anything that it works on can be in it
    #[arg(long, value_name = "COMPONENT")]
    pub(crate) full_dump: Vec<String>,
    /// Also this file, or these files of a pattern as '/var/log/product/*.log'
    #[arg(long = "file", value_name = "GLOB")]
    pub(crate) files: Vec<String>,
    /// How much is replaced in what is collected
    #[arg(long, value_name = "LEVEL", value_enum, default_value = "standard")]
    pub(crate) redact: Level,
    /// The case number that support gave you
    #[arg(long, value_name = "CASE")]
    pub(crate) case: Option<String>,
    /// The product's file [default: $TRACEWELL_PRODUCT, else /etc/tracewell/product.toml]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) product: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// Which bundle, or the path of a sealed one
    #[arg(default_value = "last")]
    pub(crate) bundle: String,
    /// Show this member as readable text
    #[arg(long, value_name = "NAME")]
    pub(crate) member: Option<String>,
    /// The member's bytes as they are, for another program
    #[arg(long, requires = "member")]
    pub(crate) raw: bool,
    /// For programs: the manifest
    #[arg(long, conflicts_with = "member")]
    pub(crate) json: bool,
    /// Key to open a sealed bundle with [default: your own]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) identity: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The page is served on 127.0.0.1 for you alone, at an address that nobody can guess: do not pass it on. It ends with the
page's button Done, with Ctrl-C, or when it was not used for a while.")]
pub(crate) struct View {
    /// Which bundle, or the path of a sealed one
    #[arg(default_value = "last")]
    pub(crate) bundle: String,
    /// Only print the address, do not start the browser
    #[arg(long)]
    pub(crate) no_browser: bool,
    /// End after so many minutes without use
    #[arg(long, value_name = "N", default_value = "30", value_parser = clap::value_parser!(u32).range(1..=1440))]
    pub(crate) minutes: u32,
    /// Key to open a sealed bundle with [default: your own]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) identity: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Strike {
    /// Which bundle
    pub(crate) bundle: String,
    /// Members, as `bundle show` names them; `trace/*` is all that begin so
    #[arg(required = true, value_name = "MEMBER")]
    pub(crate) members: Vec<String>,
    /// Take it back: the members are given after all
    #[arg(long)]
    pub(crate) undo: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Seal {
    /// Which bundle
    #[arg(default_value = "last")]
    pub(crate) bundle: String,
    /// Seal it to this age key instead of the product's support key; may be given more than once
    #[arg(long, value_name = "age1..")]
    pub(crate) to: Vec<String>,
    /// Do not seal it to your own key too: you could not open any more what you gave
    #[arg(long)]
    pub(crate) not_for_me: bool,
    /// Also write the sealed bundle to this file
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// The product's file [default: $TRACEWELL_PRODUCT, else /etc/tracewell/product.toml]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) product: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tracewell bundle send                        shows what goes to whom, and asks
  tracewell bundle send last --consent DIGEST  for scripts: agrees to exactly the bundle with this digest")]
pub(crate) struct Send {
    /// Which bundle
    #[arg(default_value = "last")]
    pub(crate) bundle: String,
    /// Agree to sending exactly the sealed bundle with this digest, without being asked
    #[arg(long, value_name = "DIGEST")]
    pub(crate) consent: Option<String>,
    /// How often to try without any progress
    #[arg(long, value_name = "N", default_value = "8")]
    pub(crate) tries: u32,
    /// The product's file [default: $TRACEWELL_PRODUCT, else /etc/tracewell/product.toml]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) product: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Open {
    /// A sealed file, or a bundle of this computer
    pub(crate) bundle: String,
    /// Folder to make and extract to; without it the bundle is only checked
    #[arg(short, long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) output: Option<PathBuf>,
    /// Key file as age-keygen makes it [default: your own key]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) identity: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// Which
    pub(crate) bundle: String,
    /// Do it; without this it is only said
    #[arg(long)]
    pub(crate) yes: bool,
}
