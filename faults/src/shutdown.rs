//! `faults shutdown` (T-5): a real file system is shut down under a component, without its log, and comes back.
//!
//! ext4 and XFS on a loop file; the ioctl that drops everything that is not on the disk (what a loss of power does, but
//! for the order in the drive); then the file system is mounted again and recovers. What flushes covered must be there.
//! Needs root, loop devices, mount namespaces, e2fsprogs and xfsprogs.

use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Args;

use crate::disk::{Component, Done, enable, read};
use crate::random::Random;
use crate::report::{Report, Scale, grouped};

/// Arguments of `faults shutdown`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ShutdownArgs {
    #[command(flatten)]
    scale: Scale,
    /// Within the namespace.
    #[arg(long, hide = true)]
    inside: bool,
}

/// Runs the test.
pub(crate) fn run(args: &ShutdownArgs) -> Result<(), String> {
    let (seed, count) = (args.scale.seed(), args.scale.count_or(20));
    if args.inside {
        return inside(seed, count);
    }
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let status = Command::new("unshare")
        .args(["-m", "--propagation", "private"])
        .arg(program)
        .args(["shutdown", "--inside", "--count", &count.to_string(), "--seed", &seed.to_string()])
        .status()
        .map_err(|error| format!("unshare: {error}; install util-linux"))?;
    if status.success() {
        Ok(())
    } else {
        Err("shutdown: see above; it needs root and mount namespaces".into())
    }
}

fn command(program: &str, words: &[&str]) -> Result<(), String> {
    let done = Command::new(program).args(words).stdin(Stdio::null()).output();
    let done = done.map_err(|error| format!("{program}: {error}; install e2fsprogs, xfsprogs and mount"))?;
    if done.status.success() {
        return Ok(());
    }
    Err(format!("{program} {}: {}", words.join(" "), String::from_utf8_lossy(&done.stderr)))
}

/// Shuts the file system at `place` down, without a flush of its log.
#[allow(unsafe_code)]
fn shut_down(place: &Path) -> Result<(), String> {
    /// `FS_IOC_SHUTDOWN`, which is `XFS_IOC_GOINGDOWN` too.
    const SHUTDOWN: libc::Ioctl = 0x8004_587D;
    let without_log: u32 = 2;
    let dir = std::fs::File::open(place).map_err(|error| error.to_string())?;
    // SAFETY: the call reads one u32 at the pointer, which lives through it; the descriptor is open.
    let rc = unsafe { libc::ioctl(dir.as_raw_fd(), SHUTDOWN, &raw const without_log) };
    if rc == 0 { Ok(()) } else { Err(format!("shutdown: {}", std::io::Error::last_os_error())) }
}

fn inside(seed: u64, count: u64) -> Result<(), String> {
    let mut totals = (0, 0, 0);
    for (kind, mkfs) in [("ext4", &["-q", "-F"][..]), ("xfs", &["-q", "-f"][..])] {
        let place = tempfile::tempdir().map_err(|error| error.to_string())?;
        let (image, top) = (place.path().join("image"), place.path().join("top"));
        let (image, top_name) = (image.display().to_string(), top.display().to_string());
        std::fs::create_dir(&top).map_err(|error| error.to_string())?;
        let file = std::fs::File::create(&image).map_err(|error| error.to_string())?;
        file.set_len(320 << 20).map_err(|error| error.to_string())?;
        command(&format!("mkfs.{kind}"), &[mkfs, &[image.as_str()]].concat())?;
        for number in 0..count {
            command("mount", &["-t", kind, "-o", "loop", &image, &top_name])?;
            let cycle = one(&top, number, &image, kind, &mut Random::new(seed + number));
            let _ = command("umount", &["-l", &top_name]);
            let (events, covered, survived) = cycle.map_err(|violation| {
                format!(
                    "shutdown, {kind}: {violation}\nrepeat: faults shutdown --count 1 --seed {}",
                    seed + number
                )
            })?;
            totals = (totals.0 + events, totals.1 + covered, totals.2 + survived);
        }
    }
    Report {
        test: "shutdown (T-5)".into(),
        unit: "shutdowns".into(),
        count: count * 2,
        seed: Some(seed),
        result: format!(
            "ext4 and XFS: all of {} events that a flush covered are among the {} read; {} components alive",
            grouped(totals.1),
            grouped(totals.0),
            grouped(totals.2)
        ),
        command: format!("faults shutdown --count {count}"),
    }
    .print();
    Ok(())
}

/// One life, one shutdown, one recovery: events read, events covered, components that lived on.
fn one(
    top: &Path,
    number: u64,
    image: &str,
    kind: &str,
    random: &mut Random,
) -> Result<(u64, u64, u64), String> {
    let tell = |error: std::io::Error| error.to_string();
    let memory = tempfile::tempdir_in("/dev/shm").map_err(tell)?;
    let (base, rings, oracle) =
        (top.join(format!("trace-{number}")), memory.path().join("rings"), memory.path().join("oracle"));
    // Its removal may be undone by the shutdown; hence the number.
    if let Some(before) = number.checked_sub(1) {
        let _ = std::fs::remove_dir_all(top.join(format!("trace-{before}")));
    }
    let makes = random.below(2) == 0;
    if !makes {
        enable(&base, &rings, 65_536, 0)?;
    }
    // Mostly it dies with the power; sometimes it lives on, and must.
    let lives = random.below(4) == 0;
    let rounds = if lives { 1000 } else { 40 };
    let mut words = format!("--rounds {rounds} --events 20 --pause 4 --quiet-from {rounds}");
    if makes {
        words += " --segment 65536";
    }
    let component = Component::of(&words, &base, &rings);
    let mut child = Command::new(std::env::current_exe().map_err(tell)?)
        .arg("component")
        .args(["--dir".as_ref(), base.as_os_str(), "--rings".as_ref(), rings.as_os_str()])
        .args(["--oracle".as_ref(), oracle.as_os_str()])
        .args(words.split(' '))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(tell)?;
    std::thread::sleep(Duration::from_micros(random.below(700_000)));
    if lives && random.below(2) == 0 {
        // What is mapped is on the disk: the next store to it asks the file system, which is gone.
        rustix::fs::syncfs(std::fs::File::open(top).map_err(tell)?).map_err(|e| tell(e.into()))?;
    }
    shut_down(top)?;
    if lives {
        // A disk that is gone fails every flush after ten seconds; what it has to show is that it is alive.
        std::thread::sleep(Duration::from_millis(500));
        if let Some(status) = child.try_wait().map_err(tell)? {
            return Err(format!("the component ended with {status}"));
        }
    }
    child.kill().map_err(tell)?;
    let ended = child.wait_with_output().map_err(tell)?;
    let _: Option<Done> = serde_json::from_slice(&ended.stdout).ok();
    let top_name = top.display().to_string();
    command("umount", &[&top_name])?;
    command("mount", &["-t", kind, "-o", "loop", image, &top_name])?;
    let said = std::fs::read_to_string(&oracle).unwrap_or_default();
    let (mut covered, mut told, mut emitted) = (Vec::new(), 0, 0);
    for line in said.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let upto: u64 = words.get(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        match words[..] {
            ["emit", _] => emitted = upto,
            ["flushed", _, "ok"] => {
                covered.extend(told..upto);
                told = upto;
            }
            ["flushed", ..] => told = upto,
            _ => {}
        }
    }
    let seen = read(&[base], &[], &component.texts())?.unwrap_or_default();
    for lane in 0..component.threads {
        let numbers = seen.lanes.get(&lane).map_or(&[][..], |numbers| numbers);
        if let Some(number) = covered.iter().find(|number| numbers.binary_search(number).is_err()) {
            return Err(format!(
                "event {number} of lane {lane} is gone, and a flush had covered it: {:?}",
                seen.summary
            ));
        }
        if numbers.last().is_some_and(|last| *last >= emitted) {
            return Err(format!("lane {lane} has events that were not emitted: {numbers:?}"));
        }
    }
    let s = &seen.summary;
    let gaps: u64 = seen.lanes.values().map(|n| n.last().map_or(0, |last| last + 1 - n.len() as u64)).sum();
    if s.missing + s.retired < gaps {
        return Err(format!("{gaps} events are missing between others: {s:?}"));
    }
    Ok((seen.events(), covered.len() as u64 * u64::from(component.threads), lives.into()))
}
