//! The trace: every segment of every session, as it lies in the trace directory.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use tracewell::dirs::is_session_name;
use tracewell::schema::format::segment::parse_file_name;

use crate::member::{Kind, MemberInfo, MemberName, Personal, Sink, Skipped, Source};

/// What a trace can hold of each kind of personal data; how much is counted where it is decoded.
const KINDS: [Personal; 8] = [
    Personal::UserName,
    Personal::HostName,
    Personal::Path,
    Personal::Address,
    Personal::Url,
    Personal::Mail,
    Personal::Message,
    Personal::Program,
];

/// Gives the segments as `trace/0001/NAME.twseg`, the oldest session first. The names are those of the trace directory in
/// small letters, so that `tracewell read` takes the folder when a bundle is extracted.
#[derive(Debug)]
pub struct Traces {
    sessions: PathBuf,
}

impl Traces {
    /// Those of a trace directory.
    #[must_use]
    pub fn new(base: &Path) -> Self {
        Self { sessions: base.join("sessions") }
    }

    /// Session and file names, in order.
    fn segments(&self) -> io::Result<Vec<(String, String)>> {
        let folder = match tracewell::fs::open_private_dir(&self.sessions) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut sessions = tracewell::fs::names_in(&folder)?;
        sessions.retain(|name| is_session_name(name));
        sessions.sort_unstable();
        let mut all = Vec::new();
        for session in sessions {
            let mut names = tracewell::fs::names_in(tracewell::fs::open_private_dir_at(&folder, &session)?)?;
            names.retain(|name| parse_file_name(name).is_some());
            names.sort_unstable();
            all.extend(names.into_iter().map(|name| (session.clone(), name)));
        }
        Ok(all)
    }
}

impl Source for Traces {
    fn label(&self) -> String {
        "traces".into()
    }

    fn collect(&mut self, sink: &mut dyn Sink) -> io::Result<()> {
        let skip = |sink: &mut dyn Sink, what: &Path, why: &io::Error| {
            sink.skip(Skipped { what: what.display().to_string(), why: why.to_string() });
        };
        let segments = match self.segments() {
            Ok(segments) => segments,
            Err(e) => {
                skip(sink, &self.sessions, &e);
                return Ok(());
            }
        };
        if segments.is_empty() {
            sink.skip(Skipped { what: "traces".into(), why: "nothing was recorded".into() });
        }
        let (mut number, mut last) = (0, String::new());
        for (session, name) in segments {
            if last != session {
                number += 1;
                last.clone_from(&session);
            }
            let path = self.sessions.join(&session).join(&name);
            let opened = tracewell::fs::open_private_dir(&self.sessions)
                .and_then(|folder| tracewell::fs::open_private_dir_at(&folder, &session))
                .and_then(|folder| tracewell::fs::open_existing(&folder, &name, false))
                // What is appended meanwhile belongs to the next bundle: a segment is taken at the length it has now.
                .and_then(|file| Ok((file.metadata()?.len(), file)));
            match opened {
                Ok((len, file)) => {
                    let info = MemberInfo {
                        name: MemberName::new(format!("trace/{number:04}/{}", name.to_ascii_lowercase()))
                            .map_err(io::Error::other)?,
                        kind: Kind::Segment,
                        origin: format!("session {session}, {name}"),
                        personal: KINDS.iter().map(|kind| (*kind, 0)).collect::<BTreeMap<_, _>>(),
                    };
                    sink.member(info, &mut io::Read::take(file, len))?;
                }
                // Retention or another command removed it, or it is not ours alone.
                Err(e) => skip(sink, &path, &e),
            }
        }
        Ok(())
    }
}
