//! Tells the trace who switched it on and off. A trace without that is still a trace: nothing waits for it for long.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use tracewell::catalog::{AuditDisabled, AuditEnabled, AuditMethod};
use tracewell::control::{EnableRequest, SessionInfo};
use tracewell::dirs::Dirs;
use tracewell::{Timestamp, Tracer, emit};

use crate::explain::scope;
use crate::output::note;

/// The command itself, as the component that tells who switched tracing on and off.
pub(crate) const OWN_COMPONENT: &str = "tracewell";

/// How long an emit into memory may take.
const EMIT: Duration = Duration::from_millis(250);
/// How long the segment may take. What is not in it by then stays in memory, where `read` finds it.
const WRITE: Duration = Duration::from_secs(1);

/// An event that is on its way.
#[derive(Debug)]
pub(crate) struct Telling {
    steps: Receiver<Result<(), String>>,
}

impl Telling {
    /// Emits in a thread of its own: neither a full disk nor one that hangs delays the switch.
    fn start(dirs: &Dirs, tell: impl FnOnce(&Tracer) + Send + 'static) -> Self {
        let (told, steps) = channel();
        let builder = Tracer::builder(OWN_COMPONENT).dir(dirs.base()).version(env!("CARGO_PKG_VERSION"));
        let work = move || match builder.attach() {
            Err(e) => drop(told.send(Err(e.to_string()))),
            Ok(tracer) => {
                tell(&tracer);
                let _ = told.send(Ok(()));
                tracer.shutdown();
                let _ = told.send(Ok(()));
            }
        };
        let _ = std::thread::Builder::new().name("audit".into()).spawn(work);
        Self { steps }
    }

    /// Until it is in memory; then it is part of the trace whatever happens.
    fn wait_emitted(&self) {
        match self.steps.recv_timeout(EMIT) {
            Ok(Err(problem)) => note(&format!("note: the trace does not say who did this: {problem}")),
            Ok(Ok(())) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }

    /// Until it is in a segment, but not for long.
    pub(crate) fn finish(self) {
        if matches!(self.steps.recv_timeout(WRITE), Err(RecvTimeoutError::Timeout)) {
            note(
                "note: the disk does not take what was recorded last; it waits in memory, and `tracewell read` finds \
                 it there until the computer is switched off",
            );
        }
    }
}

fn program() -> Option<String> {
    std::env::current_exe().ok().map(|p| p.to_string_lossy().into_owned())
}

/// Tells who enabled what, and how.
pub(crate) fn enabled(dirs: &Dirs, request: &EnableRequest, session: &SessionInfo) -> Telling {
    let (scope, opt_ins) = (scope(&request.levels), request.opt_in.clone());
    let until = session.expires_at.map(Timestamp);
    let telling = Telling::start(dirs, move |tracer| {
        let opt_ins: Vec<&str> = opt_ins.iter().map(String::as_str).collect();
        emit!(
            tracer,
            AuditEnabled {
                uid: rustix::process::getuid().as_raw(),
                pid: std::process::id(),
                image_path: program().as_deref(),
                how: AuditMethod::CommandLine,
                scope: &scope,
                opt_ins: &opt_ins,
                until,
                request_id: None,
            }
        );
    });
    telling.wait_emitted();
    telling
}

/// Tells who disabled it. Returns when that is in memory: tracing can be switched off now.
pub(crate) fn disabled(dirs: &Dirs) -> Telling {
    let telling = Telling::start(dirs, |tracer| {
        emit!(
            tracer,
            AuditDisabled {
                uid: rustix::process::getuid().as_raw(),
                pid: std::process::id(),
                image_path: program().as_deref(),
                reason: "the user asked for it on the command line",
            }
        );
    });
    telling.wait_emitted();
    telling
}
