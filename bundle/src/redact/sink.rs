//! Stands between the sources and the draft.

use std::io::{self, Read};

use super::segment::{Positions, SegmentStream};
use super::stream::TextStream;
use super::{Level, Redactor};
use crate::database::MAX_DATABASE;
use crate::draft::invalid;
use crate::member::{Kind, MemberInfo, Sink, Skipped};

/// Longest JSON document that is looked at as a whole.
const MAX_JSON: u64 = 256 << 20;

/// A sink that replaces, and passes on what is left.
pub struct Redacting<'a> {
    redactor: &'a mut Redactor,
    to: &'a mut dyn Sink,
    positions: Positions,
}

impl std::fmt::Debug for Redacting<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redacting").field("redactor", &self.redactor).finish_non_exhaustive()
    }
}

impl<'a> Redacting<'a> {
    /// Between what collects and `to`.
    pub fn new(redactor: &'a mut Redactor, to: &'a mut dyn Sink) -> Self {
        Self { redactor, to, positions: Positions::new() }
    }

    /// A database whose texts cannot be replaced is left out: it must not go as it is.
    fn database(&mut self, info: MemberInfo, content: &mut dyn Read) -> io::Result<()> {
        let mut bytes = Vec::new();
        let too_long = content.take(MAX_DATABASE + 1).read_to_end(&mut bytes)? as u64 > MAX_DATABASE;
        let replaced = match too_long {
            true => Err("it is too large to be redacted".into()),
            false => super::database::replaced(&bytes, self.redactor),
        };
        match replaced {
            Ok(bytes) => self.to.member(info, &mut bytes.as_slice()),
            Err(why) => {
                self.to.skip(Skipped { what: info.origin, why });
                Ok(())
            }
        }
    }
}

impl Sink for Redacting<'_> {
    fn member(&mut self, mut info: MemberInfo, content: &mut dyn Read) -> io::Result<()> {
        if self.redactor.level == Level::None {
            return self.to.member(info, content);
        }
        info.name.as_str().clone_into(&mut self.redactor.member);
        info.origin = self.redactor.text(&info.origin).into_owned();
        let done = match info.kind {
            Kind::OsInformation => {
                let mut text = Vec::new();
                if content.take(MAX_JSON + 1).read_to_end(&mut text)? as u64 > MAX_JSON {
                    return Err(invalid(format!("{} is longer than {MAX_JSON} bytes", info.name)));
                }
                match serde_json::from_slice(&text) {
                    Ok(mut document) => {
                        self.redactor.json(&mut document);
                        let text = serde_json::to_vec_pretty(&document)?;
                        self.to.member(info, &mut text.as_slice())
                    }
                    // The readable form of the same.
                    Err(_) => self.to.member(info, &mut TextStream::new(self.redactor, text.as_slice())),
                }
            }
            Kind::Segment => {
                let mut damage = None;
                let (name, origin) = (info.name.to_string(), info.origin.clone());
                let mut stream = SegmentStream::new(self.redactor, &mut self.positions, &mut damage, content);
                let done = self.to.member(info, &mut stream);
                drop(stream);
                if let Some(what) = damage {
                    let why = format!("{what}: what follows it cannot be redacted and was left out");
                    self.to.skip(Skipped { what: format!("the rest of {name} ({origin})"), why });
                }
                done
            }
            Kind::Text | Kind::Note => self.to.member(info, &mut TextStream::new(self.redactor, content)),
            // Memory and binary files cannot be looked into: the user was told what they can hold.
            Kind::Minidump | Kind::Core => self.to.member(info, content),
            Kind::Database => self.database(info, content),
            Kind::Binary if self.redactor.level == Level::Strict => {
                let why = "at level strict nothing is taken that cannot be redacted".to_owned();
                self.to.skip(Skipped { what: info.origin, why });
                Ok(())
            }
            Kind::Binary => self.to.member(info, content),
        };
        self.redactor.member.clear();
        done
    }

    fn skip(&mut self, skipped: Skipped) {
        let what = self.redactor.text(&skipped.what).into_owned();
        let why = self.redactor.text(&skipped.why).into_owned();
        self.to.skip(Skipped { what, why });
    }
}
