//! The component that has secrets. It makes each when it needs it and wipes it at once, so that whatever is found
//! afterwards was kept by somebody else.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use clap::Args;
use tracewell::catalog::{DetectionUrl, DownloadFinished, DownloadStarted, MessageMail};
use tracewell::{Event, Tracer, emit};

use crate::random::Random;

/// What a marker is in.
pub(super) const SECRET: u64 = 1;
pub(super) const PUBLIC: u64 = 2;
/// Kept in memory on purpose.
pub(super) const KEPT: u64 = 3;
/// Secrets of one round: six of the event here, four of the catalog's.
pub(super) const FIELDS: u64 = 10;
/// Whose turn it is.
const IDLE: u32 = 0;
const EMIT: u32 = 1;
const END: u32 = 2;
/// Length of a marker.
const MARKER: usize = 16;

/// Bytes that every canary of a kind has in it, and nothing else in the world.
pub(super) struct Marker([u8; MARKER]);

impl Marker {
    pub(super) fn new(seed: u64, kind: u64) -> Self {
        let mut marker = [0; MARKER];
        fill(&mut marker, seed, kind);
        Self(marker)
    }

    /// Where it is.
    pub(super) fn find(&self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(next) = bytes.get(at..)?.iter().position(|b| *b == self.0[0]) {
            at += next;
            if bytes.get(at..at + MARKER) == Some(&self.0[..]) {
                return Some(at);
            }
            at += 1;
        }
        None
    }
}

#[inline(never)]
fn fill(out: &mut [u8], seed: u64, kind: u64) {
    let mut random = Random::new(seed ^ kind.wrapping_mul(0xD6E8_FEB8_6659_FD93));
    for byte in out {
        *byte = b'a' + (random.next() % 26) as u8;
    }
}

/// What the canaries look like; `#` is where the marker goes.
const SHAPES: [&str; 25] = [
    "#",
    "hunter2-#",
    "Bearer #",
    "Basic #==",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIi#.c2ln",
    "AKIA#",
    "ghp_#",
    "xoxb-1-#",
    "sk_live_#",
    "session=#; Path=/; HttpOnly",
    "-----BEGIN PRIVATE KEY-----\nMIIE#\n-----END PRIVATE KEY-----",
    "https://user:#@example.com/",
    "https://example.com/?token=#&x=1",
    "postgres://root:#@db/x",
    "4111 1111 #",
    "DE89 3704 #",
    "#@example.com",
    "host-#.lan",
    "C:\\Users\\#\\secret.docx",
    "/home/#/.ssh/id_ed25519",
    "{\"password\":\"#\"}",
    "<password>#</password>",
    "PIN # end",
    "\u{202e}#\u{7}",
    "a long one: ................................................................................................ #",
];

/// A text with a marker in it, of which nothing is left when it is dropped.
struct Canary {
    bytes: [u8; 256],
    len: usize,
}

impl Canary {
    const fn empty() -> Self {
        Self { bytes: [0; 256], len: 0 }
    }

    /// In place: what is moved leaves a copy behind.
    #[inline(never)]
    fn make(&mut self, seed: u64, kind: u64, number: u64) -> &str {
        let shape = SHAPES[(number % SHAPES.len() as u64) as usize].as_bytes();
        for byte in shape {
            if *byte == b'#' {
                let end = self.len + MARKER;
                fill(&mut self.bytes[self.len..end], seed, kind);
                self.len = end;
            } else {
                self.bytes[self.len] = *byte;
                self.len += 1;
            }
        }
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        std::hint::black_box(&mut self.bytes).fill(0);
        std::hint::black_box(&self.bytes);
    }
}

#[derive(Event)]
#[event(
    name = "custom.secrets",
    category = "custom",
    level = "info",
    text = "{label}: {password} {token} {blob} {account} {phone} {notes}"
)]
struct Secrets<'a> {
    /// Known to everybody.
    #[field(public)]
    label: &'a str,
    /// Secret.
    #[field(secret)]
    password: &'a str,
    /// Secret, if there is one.
    #[field(secret)]
    token: Option<&'a str>,
    /// Secret bytes.
    #[field(secret)]
    blob: &'a [u8],
    /// The user wants no more of it than a keyed hash.
    #[field(personal)]
    account: &'a str,
    /// The user wants nothing of it.
    #[field(personal)]
    phone: &'a str,
    /// The user has not enabled it.
    #[field(personal, opt_in)]
    notes: &'a str,
}

#[derive(Args)]
pub(crate) struct ComponentArgs {
    dir: PathBuf,
    rings: PathBuf,
    #[arg(long)]
    seed: u64,
    #[arg(long)]
    count: u64,
}

#[inline(never)]
fn emit_one(tracer: &Tracer, seed: u64, number: u64) {
    let (mut public, mut secret) = (Canary::empty(), Canary::empty());
    let label = public.make(seed, PUBLIC, number);
    let text = secret.make(seed, SECRET, number);
    emit!(
        tracer,
        Secrets {
            label,
            password: text,
            token: (number.is_multiple_of(2)).then_some(text),
            blob: text.as_bytes(),
            account: text,
            phone: text,
            notes: text,
        }
    );
    // The catalog's own secrets.
    let some = Some(text);
    emit!(tracer, MessageMail { password: some, ..Default::default() });
    emit!(tracer, DetectionUrl { query: some, ..Default::default() });
    emit!(tracer, DownloadStarted { query: some, ..Default::default() });
    emit!(tracer, DownloadFinished { query: some, ..Default::default() });
}

/// Does what it is told, one line at a time.
pub(crate) fn component(args: &ComponentArgs) -> Result<(), String> {
    let tracer = Tracer::builder("keeper")
        .dir(&args.dir)
        .ring_dir(&args.rings)
        .linger(Duration::from_secs(3600))
        .attach()
        .map_err(|e| e.to_string())?;
    let mut kept = vec![0; MARKER];
    fill(&mut kept, args.seed, KEPT);
    let turn = AtomicU32::new(IDLE);
    let done = std::thread::scope(|scope| {
        // A thread of its own emits and then spins where it is, so that what an emit leaves on a stack stays there.
        let (turn, emitter, seed, count) = (&turn, &tracer, args.seed, args.count);
        scope.spawn(move || {
            while turn.load(Ordering::Acquire) != END {
                if turn.load(Ordering::Acquire) == EMIT {
                    for number in 0..count {
                        emit_one(emitter, seed, number);
                    }
                    turn.store(IDLE, Ordering::Release);
                }
                std::hint::spin_loop();
            }
        });
        let served = serve(&tracer, args, &|| {
            turn.store(EMIT, Ordering::Release);
            while turn.load(Ordering::Acquire) == EMIT {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        turn.store(END, Ordering::Release);
        served
    });
    std::hint::black_box(&kept);
    done
}

fn serve(tracer: &Tracer, args: &ComponentArgs, emit_all: &dyn Fn()) -> Result<(), String> {
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| e.to_string())?;
        match line.as_str() {
            "emit" | "again" => emit_all(),
            "flush" => tracer.flush().map_err(|e| e.to_string())?,
            // A thread panics while it has secrets and an event of them in its hands, and another after it emitted.
            "panic" => {
                let (seed, tracer) = (args.seed, tracer.clone());
                let panicked = std::thread::spawn(move || {
                    let mut secret = Canary::empty();
                    let text = secret.make(seed, SECRET, 3);
                    emit!(
                        tracer,
                        Secrets {
                            label: "panics",
                            password: text,
                            token: Some(text),
                            blob: panicking(),
                            account: text,
                            phone: text,
                            notes: text,
                        }
                    );
                });
                if panicked.join().is_ok() {
                    return Err("it did not panic".into());
                }
            }
            other => return Err(format!("{other:?}?")),
        }
        println!("{line}");
        std::io::stdout().flush().map_err(|e| e.to_string())?;
    }
    Ok(())
}

fn panicking() -> &'static [u8] {
    if std::hint::black_box(true) {
        panic!("in the middle of an event");
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_found_and_wiped() {
        for number in 0..SHAPES.len() as u64 {
            let mut canary = Canary::empty();
            let text = canary.make(7, SECRET, number).as_bytes();
            assert!(Marker::new(7, SECRET).find(text).is_some(), "{number}");
            assert!(Marker::new(7, PUBLIC).find(text).is_none());
        }
        assert_eq!(Marker::new(7, SECRET).find(b"nothing of it"), None);
    }
}
