//! Launches, ends and modules as events: the threads that may take their time to hash.

use std::collections::HashSet;
use std::fs::File;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tracewell::catalog::{ModuleImage, ModuleLoad, ProcessExit, ProcessStart};
use tracewell::{CorrelationId, Id128, ProcessKey, Timestamp, emit};

use crate::facts::{self, FileFacts, HashCache};
use crate::image;
use crate::maps::Mapped;
use crate::queue::{Exit, Job, Jobs, Start};
use crate::shared::Shared;

/// Images of one session that are remembered.
const MAX_IMAGES: usize = 200_000;

/// What the threads that hash have in common.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    hashes: HashCache,
    /// The session, and the images that were told in it.
    images: Mutex<(Option<Id128>, HashSet<[u8; 32]>)>,
}

impl Memory {
    /// Whether an image was not told in this session yet; then it is from now on.
    fn is_new(&self, shared: &Shared, hash: [u8; 32], tell: bool) -> bool {
        let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        // Asked for under the lock: one thread's older answer must not undo another's newer one.
        let session = shared.tracer.session();
        if session.is_none() {
            return false;
        }
        if images.0 != session {
            *images = (session, HashSet::new());
        }
        if images.1.len() >= MAX_IMAGES || images.1.contains(&hash) {
            return false;
        }
        if tell {
            images.1.insert(hash);
        }
        true
    }

    /// An image was not told after all.
    fn forget(&self, hash: [u8; 32]) {
        self.images.lock().unwrap_or_else(PoisonError::into_inner).1.remove(&hash);
    }
}

struct Recorder<'a> {
    shared: &'a Shared,
    memory: &'a Memory,
}

/// Records until the watcher has ended and everything that it handed over is done.
pub(crate) fn record(shared: &Shared, memory: &Memory, jobs: &Jobs) {
    let recorder = Recorder { shared, memory };
    jobs.each(|job| match job {
        Job::Start(start) => recorder.start(&start),
        Job::Exit(exit) => recorder.exit(&exit),
        Job::Modules { pid, key, correlation, modules } => {
            for module in &modules {
                recorder.module(pid, key, correlation, module);
            }
        }
    });
}

fn texts(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

impl Recorder<'_> {
    fn start(&self, start: &Start) {
        let tracer = &self.shared.tracer;
        if !tracer.is_enabled::<ProcessStart>() && !tracer.is_enabled::<ModuleImage>() {
            return;
        }
        let (snapshot, known) = (&start.snapshot, &start.known);
        let program = snapshot.program.as_ref();
        let file = program.and_then(|p| p.file.as_ref());
        let facts = file.zip(program).and_then(|(file, p)| facts::of_file(file, &p.path).ok());
        let sha256 = file.and_then(|file| self.memory.hashes.get(file, &|| self.shared.is_stopped()));
        let names = texts(&snapshot.environment);
        let cwd = snapshot.working_directory.as_ref().map(|c| c.to_string_lossy());
        let parent = start.parent.as_ref();
        emit!(
            self.shared.tracer,
            ProcessStart {
                process_key: known.key,
                pid: snapshot.pid,
                parent_key: parent.and_then(|p| p.key),
                parent_pid: Some(known.parent).filter(|p| *p != 0),
                image_path: &known.path,
                parent_path: parent.and_then(|p| some(&p.path)),
                command_line: snapshot.command_line.as_deref(),
                working_directory: cwd.as_deref(),
                environment_names: &names,
                uid: snapshot.uid,
                session: snapshot.session,
                login_uid: snapshot.login_uid,
                capabilities: snapshot.capabilities,
                cgroup: snapshot.cgroup.as_deref(),
                seccomp: snapshot.seccomp,
                no_new_privileges: snapshot.no_new_privileges,
                traced_by: snapshot.traced_by,
                started: start.launched.unwrap_or_else(Timestamp::now),
                launch: start.launch,
                size: facts.as_ref().map(|f| f.size),
                created: facts.as_ref().and_then(|f| f.created),
                modified: facts.as_ref().and_then(|f| f.modified),
                attributes: facts.as_ref().map(|f| f.attributes),
                sha256,
                correlation: known.correlation,
                parent_correlation: known.parent_correlation,
                ..Default::default()
            }
        );
        if let (Some(hash), Some(file), Some(facts)) = (sha256, file, &facts) {
            self.image(&known.path, file, hash, facts, known.correlation);
        }
    }

    /// Facts of an image, once for each hash and session.
    fn image(&self, path: &str, file: &File, hash: [u8; 32], facts: &FileFacts, correlation: CorrelationId) {
        if !self.shared.tracer.is_enabled::<ModuleImage>() {
            return;
        }
        if !self.memory.is_new(self.shared, hash, false) {
            return;
        }
        // Read again: what is told of the image is told of just the bytes whose hash stands beside it.
        let stop = || self.shared.is_stopped();
        let Ok(Some(digest)) = facts::digest(file, image::MAX_IMAGE, &stop) else { return };
        // Looked into before it is marked as told: a session may begin meanwhile.
        let looked = image::facts(&digest.start);
        if !self.memory.is_new(self.shared, digest.sha256, true) {
            return;
        }
        let lost = || self.shared.tracer.stats().lost;
        let before = lost();
        image::report(&self.shared.tracer, path, &looked, digest.sha256, facts, correlation);
        // Refused, as one session ended and this one began, or for want of room: to be told with the next launch.
        if lost() != before {
            self.memory.forget(digest.sha256);
        }
    }

    fn exit(&self, exit: &Exit) {
        let known = &exit.known;
        let lifetime = known.started.and_then(|s| u64::try_from(exit.ended.0 - s.0).ok());
        emit!(
            self.shared.tracer,
            ProcessExit {
                process_key: known.key,
                pid: exit.pid,
                image_path: if known.path.is_empty() { &known.name } else { &known.path },
                ending: exit.ending,
                exit_code: exit.code,
                signal: exit.signal,
                ended: exit.ended,
                lifetime: lifetime.map(Duration::from_nanos),
                correlation: known.correlation,
            }
        );
    }

    fn module(&self, pid: u32, key: ProcessKey, correlation: CorrelationId, module: &Mapped) {
        let tracer = &self.shared.tracer;
        if !tracer.is_enabled::<ModuleLoad>() && !tracer.is_enabled::<ModuleImage>() {
            return;
        }
        let file = module.file.as_ref();
        let sha256 = file.and_then(|file| self.memory.hashes.get(file, &|| self.shared.is_stopped()));
        emit!(
            self.shared.tracer,
            ModuleLoad {
                process_key: Some(key),
                pid,
                path: &module.path,
                base: module.base,
                mapped: module.size,
                load: module.load,
                sha256,
                correlation,
                ..Default::default()
            }
        );
        if let (Some(hash), Some(file)) = (sha256, file)
            && let Ok(facts) = facts::of_file(file, module.path.as_ref())
        {
            self.image(&module.path, file, hash, &facts, correlation);
        }
    }
}
