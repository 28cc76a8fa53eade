//! No plaintext of a bundle is on a disk at any moment: every write of every command, seen by strace (T-21).

use std::path::Path;
use std::process::Command;

use aho_corasick::AhoCorasick;
use tracewell::catalog::ProcessStart;
use tracewell::control::{Control, EnableRequest};
use tracewell::dirs::Dirs;
use tracewell::{Tracer, emit};

use super::{Bundles, command};
use crate::random::Random;
use crate::report::{Report, grouped};

/// Canaries of each of the two carriers.
const CANARIES: u64 = 200;
/// Calls by which bytes come to a file, or from one (`read`, which shows that the search is not blind).
const CALLS: &str = "read,pread64,readv,write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg,sendfile,splice,tee,\
    vmsplice,copy_file_range,mmap,process_vm_writev,io_uring_setup,memfd_create";

fn canary(random: &mut Random) -> String {
    format!("cnry{:016x}{:08x}", random.next(), random.next() as u32)
}

/// A trace and a text file with canaries in it. The canaries of both.
fn fill(bundles: &Bundles, file: &Path, seed: u64) -> Result<[Vec<String>; 2], String> {
    let mut random = Random::new(seed);
    let mut some = || (0..CANARIES).map(|_| canary(&mut random)).collect::<Vec<_>>();
    let canaries = [some(), some()];
    let dirs = Dirs::resolve(Some(&bundles.base())).map_err(|e| e.to_string())?;
    let control = Control::open_or_create(&dirs).map_err(|e| e.to_string())?;
    let request = EnableRequest { levels: [5; 32], ..EnableRequest::default() };
    control.enable(&dirs, &request).map_err(|e| e.to_string())?;
    let tracer = Tracer::builder("scanner").dir(bundles.base()).attach().map_err(|e| e.to_string())?;
    for canary in &canaries[0] {
        emit!(
            tracer,
            ProcessStart { image_path: "/usr/bin/x", command_line: Some(canary), ..Default::default() }
        );
    }
    tracer.shutdown();
    control.disable().map_err(|e| e.to_string())?;
    let _ = std::fs::remove_dir_all(dirs.ring_root());
    std::fs::write(file, canaries[1].join("\n")).map_err(|e| format!("{}: {e}", file.display()))?;
    Ok(canaries)
}

/// What was seen of one command.
#[derive(Default)]
struct Seen {
    written: u64,
    /// Canaries in what was read from files, and in what was written to the standard output.
    read: u64,
    shown: u64,
}

/// Goes through the calls of one command. A canary in a file, or a way to one that cannot be seen, is a violation.
fn look(log: &str, canaries: &AhoCorasick, seen: &mut Seen) -> Result<(), String> {
    for line in log.lines() {
        let rest = line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        let Some((name, args)) = rest.split_once('(') else { continue };
        // `4</path>`; what is in memory is `4</memfd:x>(deleted)`.
        let target = args.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(to, _)| to);
        let is_device =
            ["/dev/null", "/dev/tty", "/dev/pts/"].iter().any(|device| target.starts_with(device));
        let is_file = target.starts_with('/') && !target.starts_with("/memfd:") && !is_device;
        let hits = || canaries.find_iter(args).count() as u64;
        match name {
            "read" | "pread64" | "readv" => seen.read += hits(),
            // Of a sealed bundle to where the user wants it.
            "copy_file_range" if target.ends_with("/sealed.age") => seen.written += 1,
            // The target of these is not told first, or no bytes are shown.
            "sendfile" | "splice" | "tee" | "vmsplice" | "copy_file_range" | "process_vm_writev"
            | "io_uring_setup" => {
                return Err(format!("bytes went a way that is not looked at: {line}"));
            }
            "mmap" if args.contains("MAP_SHARED") && args.contains("PROT_WRITE") && args.contains("</") => {
                return Err(format!("a file is mapped to be written: {line}"));
            }
            "mmap" => {}
            _ if is_file => {
                seen.written += 1;
                if hits() != 0 {
                    let call: String = line.chars().take(300).collect();
                    return Err(format!("plaintext was written to {target}: {call}"));
                }
            }
            _ if args.starts_with("1<") => seen.shown += hits(),
            _ => {}
        }
    }
    Ok(())
}

/// Runs the commands of a bundle's life, and looks at each of their calls.
pub(super) fn run(seed: u64, given: Option<&Path>) -> Result<(), String> {
    let repeat = format!("faults bundle --part plain --seed {seed}");
    let tell = |what: String| format!("bundle: {what}\nrepeat with: {repeat}");
    let command = command(given)?;
    let bundles = Bundles::new()?;
    let (file, log) = (bundles.dir.path().join("settings.txt"), bundles.dir.path().join("strace"));
    let canaries = fill(&bundles, &file, seed).map_err(tell)?;
    let finder = AhoCorasick::new(canaries.iter().flatten()).map_err(|e| e.to_string())?;
    let (file, sealed) =
        (file.display().to_string(), bundles.dir.path().join("given.age").display().to_string());
    let support = Bundles::new()?.key.public().to_string();
    let mut members = vec![vec!["bundle", "show"]];
    let create = vec!["bundle", "create", "--redact", "none", "--only", "trace,files", "--file", &file];
    let life = [
        vec!["bundle", "strike", "last", "notes/*"],
        vec!["bundle", "seal", "--to", &support],
        vec!["bundle", "unseal"],
        vec!["bundle", "seal", "--to", &support, "--output", &sealed],
        vec!["bundle", "open", &sealed],
        vec!["bundle", "list"],
        vec!["bundle", "remove", "last", "--yes"],
    ];
    let mut seen = Seen::default();
    let mut traced = |args: &[&str]| -> Result<String, String> {
        let mut strace = Command::new("strace");
        strace
            .args(["-f", "-y", "-s", "4000000", "-e", &format!("trace={CALLS}"), "-o"])
            .arg(&log)
            .arg(&command);
        strace.arg("--dir").arg(bundles.base()).args(args).env("TRACEWELL_PRODUCT", "/nonexistent");
        let ended = strace.output().map_err(|e| format!("strace: {e}; install the package strace"))?;
        if !ended.status.success() {
            return Err(format!(
                "{args:?} ended with {}: {}",
                ended.status,
                String::from_utf8_lossy(&ended.stderr)
            ));
        }
        let calls = std::fs::read(&log).map_err(|e| e.to_string())?;
        look(&String::from_utf8_lossy(&calls), &finder, &mut seen).map_err(|e| format!("{args:?}: {e}"))?;
        Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
    };
    traced(&create).map_err(tell)?;
    let manifest: serde_json::Value =
        serde_json::from_str(&traced(&["bundle", "show", "--json"]).map_err(tell)?)
            .map_err(|e| tell(format!("the manifest: {e}")))?;
    let names: Vec<String> = manifest["members"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|member| Some(member["name"].as_str()?.to_owned()))
        .collect();
    for name in &names {
        members.push(vec!["bundle", "show", "--member", name]);
        members.push(vec!["bundle", "show", "--member", name, "--raw"]);
    }
    for args in members.iter().chain(&life) {
        traced(args).map_err(tell)?;
    }
    // The search is not blind: all of it was read, and all of it was shown, as text and (but for what compression cut) raw.
    let all = 2 * CANARIES;
    // Draft, notes, audit and two sealed files at least were written.
    if seen.written < 20 {
        return Err(tell(format!("only {} writes to files were seen: the search is blind", seen.written)));
    }
    if seen.read < all || seen.shown < all + all / 2 {
        return Err(tell(format!(
            "of {all} canaries {} were seen to be read and {} to be shown: the search is blind",
            seen.read, seen.shown
        )));
    }
    Report {
        test: "bundle plaintext (T-21)".into(),
        unit: "writes".into(),
        count: seen.written,
        seed: Some(seed),
        result: format!(
            "{} commands under strace (create, show of {} members, strike, seal, unseal, open, remove); {all} canaries read {} \
             times and shown {} times; none in a write to a file",
            members.len() + life.len() + 2,
            names.len(),
            grouped(seen.read),
            grouped(seen.shown)
        ),
        command: repeat,
    }
    .print();
    Ok(())
}
