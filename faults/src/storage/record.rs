//! What a real component did to its disk, call by call: recorded with strace, in the order in which the kernel saw it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is traced: everything that can change files, and what is needed to know which.
const CALLS: &str = "trace=openat,openat2,creat,mkdir,mkdirat,write,pwrite64,writev,ftruncate,truncate,fallocate,fsync,\
                     fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir,close,dup,dup2,dup3,fcntl,\
                     lseek,copy_file_range,sendfile,syncfs,sync";

/// An operation, with the paths as they are from the trace directory on.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// A directory was made.
    Mkdir(PathBuf),
    /// A file was made.
    Create(PathBuf, usize),
    /// Bytes were written.
    Write { file: usize, at: u64, bytes: Vec<u8> },
    /// The length was changed.
    Truncate { file: usize, len: u64 },
    /// The file was synced: what came before operation `begun`, if it worked.
    Sync { file: usize, begun: usize, worked: bool },
    /// A directory was.
    SyncDir { dir: PathBuf, begun: usize, worked: bool },
    /// A name was changed, or two exchanged.
    Rename { from: PathBuf, to: PathBuf, exchange: bool },
    /// A name was removed.
    Unlink(PathBuf),
    /// The component was about to emit all events below this number.
    Emit(u64),
    /// A flush answered: everything below this number is on the disk, or not.
    Flushed(u64, bool),
    /// The component has ended tracing.
    End,
}

/// Runs `command` under strace and returns what it did below `base`. `oracle` is the file of the component's own words.
pub(crate) fn record(
    command: &[String],
    inject: &[String],
    base: &Path,
    oracle: &Path,
    log: &Path,
) -> Result<Vec<Op>, String> {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-xx", "-s", "4000000", "-o"]).arg(log).args(["-e", CALLS]);
    for rule in inject {
        strace.args(["-e", rule]);
    }
    let run =
        strace.args(command).output().map_err(|e| format!("strace: {e}; install the package strace"))?;
    if !run.status.success() {
        return Err(format!(
            "the component ended with {}: {}",
            run.status,
            String::from_utf8_lossy(&run.stderr)
        ));
    }
    let text = std::fs::read_to_string(log).map_err(|e| format!("{}: {e}", log.display()))?;
    if !inject.is_empty() && !text.contains("(INJECTED)") {
        return Err(format!("nothing failed, though {} was asked for", inject.join(", ")));
    }
    let ops = Parser::new(base, oracle).parse(&text)?;
    if !ops.iter().any(|op| matches!(op, Op::Write { .. })) {
        return Err("nothing was recorded: does strace work here?".into());
    }
    Ok(ops)
}

struct Opened {
    path: PathBuf,
    file: usize,
    at: u64,
}

struct Parser<'a> {
    base: &'a Path,
    oracle: &'a Path,
    ops: Vec<Op>,
    open: HashMap<i32, Opened>,
    files: usize,
    /// Files by their present paths.
    names: HashMap<PathBuf, usize>,
    lens: Vec<u64>,
    heard: String,
}

/// The beginning of a call that other threads' calls interrupted.
struct Begun {
    text: String,
    at: usize,
}

impl<'a> Parser<'a> {
    fn new(base: &'a Path, oracle: &'a Path) -> Self {
        Self {
            base,
            oracle,
            ops: Vec::new(),
            open: HashMap::new(),
            files: 0,
            names: HashMap::new(),
            lens: Vec::new(),
            heard: String::new(),
        }
    }

    fn parse(mut self, text: &str) -> Result<Vec<Op>, String> {
        let mut begun: HashMap<&str, Begun> = HashMap::new();
        for line in text.lines() {
            let Some((pid, rest)) = line.split_once(' ') else { continue };
            let rest = rest.trim_start();
            if rest.starts_with("+++") || rest.starts_with("---") {
                continue;
            }
            if let Some(start) = rest.strip_suffix("<unfinished ...>") {
                // Its number may be another thread's before we hear of its end.
                if start.starts_with("close(") {
                    self.call(&format!("{}) = 0", start.trim_end().trim_end_matches(')')), 0)?;
                    continue;
                }
                begun.insert(pid, Begun { text: start.trim_end().to_owned(), at: self.ops.len() });
            } else if let Some(end) = rest.strip_prefix("<... ") {
                let Some(Begun { text, at }) = begun.remove(pid) else { continue };
                let tail = end.split_once(" resumed>").map_or("", |(_, tail)| tail);
                self.call(&format!("{text}{tail}"), at)?;
            } else {
                let at = self.ops.len();
                self.call(rest, at)?;
            }
        }
        Ok(self.ops)
    }

    /// A path below the base, from the base on.
    fn below(&self, path: &Path) -> Option<PathBuf> {
        path.strip_prefix(self.base).ok().map(Path::to_owned)
    }

    /// The path of a call's directory and name arguments.
    fn path(&self, dir: &str, name: &str) -> PathBuf {
        let name = PathBuf::from(String::from_utf8_lossy(&unquote(name)).into_owned());
        if name.is_absolute() { name } else { annotated(dir).unwrap_or_default().join(name) }
    }

    fn call(&mut self, text: &str, begun: usize) -> Result<(), String> {
        let Some((name, rest)) = text.split_once('(') else { return Ok(()) };
        let Some((arguments, result)) = rest.rsplit_once(" = ") else { return Ok(()) };
        let arguments = split(arguments.trim_end().trim_end_matches(')'));
        let argument = |at: usize| arguments.get(at).map_or("", String::as_str);
        let worked = !result.trim_start().starts_with('-') && !result.trim_start().starts_with('?');
        let value: i64 = number(result);
        match name {
            "openat" if worked => {
                let path = self.path(argument(0), argument(1));
                let Some(below) = self.below(&path) else {
                    // The oracle lies beside it.
                    self.open.remove(&(value as i32));
                    return Ok(());
                };
                let flags = argument(2);
                if flags.contains("O_DIRECTORY") || flags.contains("O_PATH") {
                    return Ok(());
                }
                let file = match self.names.get(&below) {
                    Some(file) => *file,
                    None if flags.contains("O_CREAT") => {
                        let file = self.files;
                        self.files += 1;
                        self.lens.push(0);
                        self.names.insert(below.clone(), file);
                        self.ops.push(Op::Create(below.clone(), file));
                        file
                    }
                    None => return Err(format!("a file that nobody made: {text}")),
                };
                if flags.contains("O_TRUNC") || flags.contains("O_APPEND") {
                    return Err(format!("not modelled: {text}"));
                }
                self.open.insert(value as i32, Opened { path: below, file, at: 0 });
            }
            "close" => {
                self.open.remove(&(number(argument(0)) as i32));
            }
            "write" | "pwrite64" => {
                let bytes = unquote(argument(1));
                let fd = number(argument(0)) as i32;
                if annotated(argument(0)).as_deref() == Some(self.oracle) {
                    self.heard.push_str(&String::from_utf8_lossy(&bytes));
                    self.listen();
                } else if worked && let Some(open) = self.open.get_mut(&fd) {
                    let bytes = bytes.get(..value as usize).ok_or("a cut argument")?.to_vec();
                    let at = if name == "write" { open.at } else { number(argument(3)) as u64 };
                    if name == "write" {
                        open.at += bytes.len() as u64;
                    }
                    let file = open.file;
                    if let Some(len) = self.lens.get_mut(file) {
                        *len = (*len).max(at + bytes.len() as u64);
                    }
                    self.ops.push(Op::Write { file, at, bytes });
                }
            }
            "lseek" if worked => {
                if let Some(open) = self.open.get_mut(&(number(argument(0)) as i32)) {
                    open.at = value as u64;
                }
            }
            "ftruncate" | "fallocate" if worked => {
                let at = if name == "ftruncate" { 1 } else { 3 };
                if let Some(open) = self.open.get(&(number(argument(0)) as i32)) {
                    let (file, len) = (open.file, number(argument(at)) as u64);
                    let before = self.lens.get(file).copied().unwrap_or(0);
                    if name == "ftruncate" || len > before {
                        self.lens.iter_mut().skip(file).take(1).for_each(|l| *l = len);
                        self.ops.push(Op::Truncate { file, len });
                    }
                }
            }
            "fsync" | "fdatasync" => {
                let fd = number(argument(0)) as i32;
                if let Some(open) = self.open.get(&fd) {
                    self.ops.push(Op::Sync { file: open.file, begun, worked });
                } else if let Some(dir) = annotated(argument(0)).and_then(|path| self.below(&path)) {
                    self.ops.push(Op::SyncDir { dir, begun, worked });
                } else if let Some(path) = annotated(argument(0))
                    && self.base.starts_with(&path)
                {
                    // Above the base, which this model takes as there.
                }
            }
            "mkdirat" | "mkdir" if worked => {
                let path = if name == "mkdir" {
                    PathBuf::from(String::from_utf8_lossy(&unquote(argument(0))).into_owned())
                } else {
                    self.path(argument(0), argument(1))
                };
                if let Some(below) = self.below(&path).filter(|path| !path.as_os_str().is_empty()) {
                    self.ops.push(Op::Mkdir(below));
                }
            }
            "rename" | "renameat" | "renameat2" if worked => {
                let (from, to) = if name == "rename" {
                    (self.path("", argument(0)), self.path("", argument(1)))
                } else {
                    (self.path(argument(0), argument(1)), self.path(argument(2), argument(3)))
                };
                let (Some(from), Some(to)) = (self.below(&from), self.below(&to)) else { return Ok(()) };
                let exchange = argument(4).contains("RENAME_EXCHANGE");
                let moved = self.names.remove(&from);
                let other = self.names.remove(&to);
                if exchange {
                    self.names.extend(other.map(|file| (from.clone(), file)));
                }
                self.names.extend(moved.map(|file| (to.clone(), file)));
                for open in self.open.values_mut() {
                    if open.path == from {
                        open.path.clone_from(&to);
                    }
                }
                self.ops.push(Op::Rename { from, to, exchange });
            }
            "unlink" | "unlinkat" | "rmdir" if worked => {
                let path = match name {
                    "unlinkat" => self.path(argument(0), argument(1)),
                    _ => self.path("", argument(0)),
                };
                if let Some(below) = self.below(&path) {
                    self.names.remove(&below);
                    self.ops.push(Op::Unlink(below));
                }
            }
            "openat2" | "creat" | "writev" | "truncate" | "link" | "linkat" | "dup" | "dup2" | "dup3"
            | "copy_file_range" | "sendfile" | "sync" | "syncfs"
                if worked
                    && arguments.iter().any(|a| annotated(a).is_some_and(|p| self.below(&p).is_some())) =>
            {
                return Err(format!("not modelled: {text}"));
            }
            _ => {}
        }
        Ok(())
    }

    /// Whole lines of the oracle.
    fn listen(&mut self) {
        while let Some((line, rest)) = self.heard.split_once('\n') {
            let words: Vec<&str> = line.split(' ').collect();
            let upto = words.get(1).and_then(|word| word.parse().ok()).unwrap_or(0);
            match words.first() {
                Some(&"emit") => self.ops.push(Op::Emit(upto)),
                Some(&"flushed") => self.ops.push(Op::Flushed(upto, words.get(2) == Some(&"ok"))),
                _ => self.ops.push(Op::End),
            }
            self.heard = rest.to_owned();
        }
    }
}

/// The number at the start of a text.
fn number(text: &str) -> i64 {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(text.len());
    text.get(..end).and_then(|digits| digits.parse().ok()).unwrap_or(-1)
}

/// The path that strace tells of a descriptor, `7</path>`.
fn annotated(argument: &str) -> Option<PathBuf> {
    let (_, rest) = argument.split_once('<')?;
    let path = rest.strip_suffix('>').or(rest.split_once(">(").map(|(path, _)| path))?;
    Some(PathBuf::from(String::from_utf8_lossy(&unescape(path.as_bytes())).into_owned()))
}

/// A call's arguments; commas in strings and descriptors do not part them.
fn split(text: &str) -> Vec<String> {
    let (mut out, mut current, mut quoted, mut depth) = (Vec::new(), String::new(), false, 0);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                current.push(c);
                current.extend(chars.next());
                continue;
            }
            '"' => quoted = !quoted,
            '<' | '{' | '[' if !quoted => depth += 1,
            '>' | '}' | ']' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                out.push(std::mem::take(&mut current).trim().to_owned());
                continue;
            }
            _ => {}
        }
        current.push(c);
    }
    out.push(current.trim().to_owned());
    out
}

/// The bytes of a string argument.
fn unquote(argument: &str) -> Vec<u8> {
    let inner = argument.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or("");
    unescape(inner.as_bytes())
}

fn unescape(text: &[u8]) -> Vec<u8> {
    let digit = |c: u8| (c as char).to_digit(16).unwrap_or(0) as u8;
    let mut out = Vec::with_capacity(text.len() / 4);
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        match (first, tail) {
            (b'\\', [b'x', high, low, tail @ ..]) => {
                out.push(digit(*high) << 4 | digit(*low));
                rest = tail;
            }
            (byte, tail) => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    out
}
