//! Crash handler of a component: if it crashes, a minidump is left in the trace directory (`tracewell dump --list`), written
//! by a process of its own.
//!
//! ```no_run
//! if let Err(e) = tracewell_crash::install("scanner") {
//!     eprintln!("no crash dumps: {e}");
//! }
//! ```
//!
//! A process that has crashed cannot be trusted with anything. So a helper (`tracewell crash-watch`) is started when the
//! handler is installed, with nothing but a socket and the names of the component and the trace directory. The handler
//! sends it a message of fixed form (the thread, the signal, the registers), waits until the helper says that it is done
//! (20 seconds at most), and passes the signal on to the handler that was there before, or to the default action. The
//! helper stops the process by ptrace and writes the dump; rings and secrets are left out as in every dump. It ends when
//! the component does.
//!
//! * SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGABRT (also of `panic = "abort"`) are handled, once in a process: a second crash, in the
//!   handlers after ours, goes straight on.
//! * A stack overflow needs an alternate stack. Rust's threads have one, the thread that installs the handler gets one; a
//!   thread made by other means must have its own (`sigaltstack`), else the process ends without a dump.
//! * It goes with `tracewell::Builder::survive_bus_errors` in either order: a fault that the engine repairs is no crash.
//! * A forked child has its parent's handler and is dumped too, where the kernel lets the helper (Yama allows it the parent
//!   only).
//! * The handler allocates nothing, takes no lock, and uses less than a KiB of the stack.
#![deny(unsafe_code)]

mod handler;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of the message that the handler sends: [`MAGIC`], number of the process, of the thread, signal, code (4 bytes each), address
/// (8), general registers in the order of `user_regs_struct` (27 of 8), floating-point registers (512).
pub const MESSAGE: usize = 32 + 27 * 8 + 512;
/// The message's first bytes.
pub const MAGIC: &[u8; 8] = b"TWCRASH1";
/// What the helper sends first, followed by its number (4 bytes).
pub const READY: &[u8; 8] = b"TWREADY1";
/// What the helper sends when the dump is written, or cannot be.
pub const DONE: &[u8; 8] = b"TWDONE01";

/// Why there will be no crash dumps. The component is as it was.
#[derive(Debug)]
#[non_exhaustive]
pub enum InstallError {
    /// It is installed already.
    Twice,
    /// Only x86_64 so far.
    Architecture,
    /// No `tracewell` lies beside the program or in the usual places.
    NoHelper,
    /// The trace directory cannot be used.
    Dir(String),
    /// The helper could not be started.
    Helper {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel refused a handler, or a socket.
    Kernel(io::Error),
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Twice => f.write_str("the crash handler is installed already"),
            Self::Architecture => f.write_str("crash dumps are written on x86_64 only so far"),
            Self::NoHelper => f.write_str(
                "the command `tracewell`, which writes crash dumps, lies neither beside the program nor in /usr/bin, \
                 /usr/local/bin or /usr/libexec; name it with Builder::helper",
            ),
            Self::Dir(why) => f.write_str(why),
            Self::Helper { path, source } => write!(
                f,
                "{} could not be started as the writer of crash dumps: {source}; name another with Builder::helper",
                path.display()
            ),
            Self::Kernel(source) => write!(f, "the crash handler could not be installed: {source}"),
        }
    }
}

impl std::error::Error for InstallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Helper { source, .. } | Self::Kernel(source) => Some(source),
            _ => None,
        }
    }
}

/// Installs the handler with the usual directories.
///
/// # Errors
/// See [`InstallError`].
pub fn install(component: &str) -> Result<(), InstallError> {
    Builder::new(component).install()
}

/// How the handler is installed.
#[derive(Clone, Debug)]
pub struct Builder {
    component: String,
    dir: Option<PathBuf>,
    helper: Option<PathBuf>,
}

impl Builder {
    /// For a component of this name.
    #[must_use]
    pub fn new(component: &str) -> Self {
        Self { component: component.to_owned(), dir: None, helper: None }
    }

    /// The trace directory, if it is not the usual one.
    #[must_use]
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = Some(dir.as_ref().to_owned());
        self
    }

    /// The command `tracewell`, if it lies neither beside the program nor in the usual places.
    #[must_use]
    pub fn helper(mut self, path: impl AsRef<Path>) -> Self {
        self.helper = Some(path.as_ref().to_owned());
        self
    }

    /// Starts the helper and installs the handler.
    ///
    /// # Errors
    /// See [`InstallError`].
    pub fn install(self) -> Result<(), InstallError> {
        if cfg!(not(target_arch = "x86_64")) {
            return Err(InstallError::Architecture);
        }
        let dirs = tracewell::dirs::Dirs::resolve(self.dir.as_deref())
            .map_err(|e| InstallError::Dir(e.to_string()))?;
        let helper = match self.helper {
            Some(path) => path,
            None => usual_helper().ok_or(InstallError::NoHelper)?,
        };
        let mut component = OsString::from("--component=");
        component.push(&self.component);
        let args = ["--dir".into(), dirs.base().into(), "crash-watch".into(), component];
        handler::install(&helper, &args)
    }
}

/// `tracewell` beside the program, or in the usual places. Never by PATH: a program with more rights than its caller would
/// start what the caller likes.
fn usual_helper() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().map(|exe| exe.with_file_name("tracewell"));
    let usual = ["/usr/bin/tracewell", "/usr/local/bin/tracewell", "/usr/libexec/tracewell"];
    beside.into_iter().chain(usual.map(PathBuf::from)).find(|path| path.is_file())
}
