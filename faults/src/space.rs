//! `faults space` (T-17): no room, and room again.
//!
//! The quick part needs no rights: the limit of a process on the length of its files (`ulimit -f`), and the budget of a
//! session. The long part fills a small tmpfs of its own from outside and frees it, files and inodes, at random.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use tracewell::{Tracer, emit};

use crate::disk::{Component, Done, Numbered, Stalls, Texts, check_sum, enable, read, text_of};
use crate::random::Random;
use crate::report::{Report, Scale, grouped};

/// Arguments of `faults space`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SpaceArgs {
    #[command(flatten)]
    scale: Scale,
    /// Fills file systems of their own; needs root and mount namespaces.
    #[arg(long)]
    mounts: bool,
    /// Within the namespace.
    #[arg(long, hide = true)]
    inside: bool,
}

/// Limits on the length of a file that are tried, bytes: less than any file needs, than a ring, than a segment.
const LIMITS: [u64; 8] = [0, 300, 6_000, 20_000, 70_000, 140_000, 300_000, 1_100_000];
/// Canaries: files in the folder of a session that are not ours, one with a name of ours.
const FOREIGN: [&str; 3] = ["notes.txt", "a_pid1_00000000_000001.twseg", "b_pid2_00000000_000001.twseg.open"];

/// What they hold: longer than a segment's header, so that each could be one by its length.
fn diary() -> String {
    "a diary, which nobody may delete; ".repeat(20)
}

/// Puts them into a folder, with the rights of a segment's file.
fn write_foreign(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    FOREIGN.iter().try_for_each(|name| {
        let mut options = std::fs::OpenOptions::new();
        let made = options.write(true).create_new(true).mode(0o600).open(folder.join(name));
        made?.write_all(diary().as_bytes())
    })
}

/// Runs the test.
pub(crate) fn run(args: &SpaceArgs) -> Result<(), String> {
    let seed = args.scale.seed();
    if args.inside {
        return inside(seed, args.scale.count_or(20));
    }
    if args.mounts {
        return in_namespace(seed, args.scale.count_or(20));
    }
    let count = args.scale.count_or(10);
    let mut totals = (0, 0, 0);
    for number in 0..count {
        let at = |violation| {
            format!("space: {violation}\nrepeat: faults space --count 1 --seed {}", seed + number)
        };
        let mut random = Random::new(seed + number);
        let (events, lost) = limited(&mut random).map_err(at)?;
        let over = budgeted(&mut random).map_err(at)?;
        totals = (totals.0 + events, totals.1 + lost, totals.2.max(over));
    }
    Report {
        test: "space (T-17)".into(),
        unit: "cycles".into(),
        count: count * 2,
        seed: Some(seed),
        result: format!(
            "{} events read, {} counted as lost, all emits accounted for; at most {} bytes beyond a budget",
            grouped(totals.0),
            grouped(totals.1),
            grouped(totals.2)
        ),
        command: format!("faults space --count {count}"),
    }
    .print();
    Ok(())
}

/// A component whose files may have only so many bytes, until the limit is lifted.
fn limited(random: &mut Random) -> Result<(u64, u64), String> {
    let tell = |error: std::io::Error| error.to_string();
    let place = tempfile::tempdir_in("/dev/shm").map_err(tell)?;
    let (base, rings) = (place.path().join("trace"), place.path().join("rings"));
    enable(&base, &rings, 1 << 20, 0)?;
    let limit = LIMITS[random.below(LIMITS.len() as u64) as usize] + random.below(256);
    let words = format!(
        "--rounds 4 --events 60 --pause 1100 --quiet-from 9 --file-limit {limit} --limit-until 2 --ring {}",
        65_536 << random.below(5)
    );
    let component = Component::of(&words, &base, &rings);
    let child = Command::new(std::env::current_exe().map_err(tell)?)
        .arg("component")
        .args(["--dir".as_ref(), base.as_os_str(), "--rings".as_ref(), rings.as_os_str()])
        .args(words.split(' '))
        .stdin(Stdio::null())
        .output()
        .map_err(tell)?;
    let out = String::from_utf8_lossy(&child.stdout);
    if !child.status.success() {
        let why = String::from_utf8_lossy(&child.stderr);
        return Err(format!(
            "with files of at most {limit} bytes the component ended with {}: {why}",
            child.status
        ));
    }
    let done: Done = serde_json::from_str(out.trim()).map_err(|error| format!("{error}: {out}"))?;
    done.waited(&Stalls::watch())?;
    if done.problem.is_some() {
        return Err(format!("with files of at most {limit} bytes: {done:?}"));
    }
    let seen = read(&[base], &[rings], &component.texts())?.unwrap_or_default();
    check_sum(&done, &seen).map_err(|what| format!("with files of at most {limit} bytes: {what}"))?;
    if done.flushes.last() != Some(&true) {
        return Err(format!("with room again the last flush fails: {done:?}"));
    }
    for lane in 0..component.threads {
        let numbers = seen.lanes.get(&lane).map_or(&[][..], |numbers| numbers);
        let last = (component.rounds - 1) * component.events..component.rounds * component.events;
        if !last.clone().all(|number| numbers.binary_search(&number).is_ok()) {
            return Err(format!(
                "with room again (limit was {limit}) lane {lane} is not whole: {done:?}\n{:?}",
                seen.summary
            ));
        }
    }
    Ok((seen.events(), seen.summary.lost_total() + done.untold))
}

/// Bytes of all segments of a trace directory.
fn bytes_of(base: &Path) -> u64 {
    let sessions = std::fs::read_dir(base.join("sessions")).into_iter().flatten().flatten();
    sessions
        .flat_map(|session| std::fs::read_dir(session.path()).into_iter().flatten().flatten())
        .filter(|file| !FOREIGN.iter().any(|name| file.file_name() == *name))
        .filter_map(|file| file.metadata().ok())
        .map(|meta| meta.len())
        .sum()
}

/// Bytes that a segment may be longer than asked: what is written at once, and the end.
const AT_ONCE: u64 = 600 << 10;

/// A session with a budget, watched: how far it went beyond.
fn budgeted(random: &mut Random) -> Result<u64, String> {
    let place = tempfile::tempdir_in("/dev/shm").map_err(|error| error.to_string())?;
    let (base, rings) = (place.path().join("trace"), place.path().join("rings"));
    let (segment, budget) = (65_536 << random.below(2), 400_000 + random.below(600_000));
    let folder = enable(&base, &rings, segment, budget)?;
    write_foreign(&folder).map_err(|error| error.to_string())?;
    let component = Component::of("--rounds 30 --events 40 --ring 262144 --wait --pause 5", &base, &rings);
    let (stop, most) = (AtomicBool::new(false), AtomicU64::new(0));
    let done = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                most.fetch_max(bytes_of(&base), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let done = component.run();
        stop.store(true, Ordering::Relaxed);
        done
    });
    let seen = read(std::slice::from_ref(&base), &[rings], &component.texts())?.unwrap_or_default();
    if seen.events() + seen.summary.retired != component.all() || seen.summary.retired == 0 {
        return Err(format!(
            "{} events, {} retired of {}",
            seen.events(),
            seen.summary.retired,
            component.all()
        ));
    }
    if done.flushes.contains(&false) {
        return Err(format!("a flush failed: {done:?}"));
    }
    check_foreign(&folder)?;
    let (most, last) = (most.into_inner(), bytes_of(&base));
    if last > budget || most > budget + segment + AT_ONCE {
        return Err(format!(
            "a budget of {budget} bytes in segments of {segment}: {most} at most, {last} at the end"
        ));
    }
    Ok(most.saturating_sub(budget))
}

fn check_foreign(folder: &Path) -> Result<(), String> {
    for name in FOREIGN {
        if std::fs::read_to_string(folder.join(name)).ok() != Some(diary()) {
            return Err(format!("the foreign file {name} is gone"));
        }
    }
    Ok(())
}

/// Runs the inner part where mounts are nobody else's.
fn in_namespace(seed: u64, count: u64) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let status = Command::new("unshare")
        .args(["-m", "--propagation", "private"])
        .arg(program)
        .args(["space", "--inside", "--count", &count.to_string(), "--seed", &seed.to_string()])
        .status()
        .map_err(|error| format!("unshare: {error}; install util-linux"))?;
    if status.success() { Ok(()) } else { Err("space: needs root and mount namespaces, or see above".into()) }
}

fn mount(place: &Path, options: &str) -> Result<(), String> {
    let done = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(place).status();
    if done.is_ok_and(|status| status.success()) {
        Ok(())
    } else {
        Err(format!("cannot mount a tmpfs with {options}"))
    }
}

fn inside(seed: u64, count: u64) -> Result<(), String> {
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut totals = (0, 0);
    for number in 0..count {
        let mut random = Random::new(seed + number);
        let (size, inodes) = (1 + random.below(64), 60 + random.below(200));
        mount(place.path(), &format!("mode=700,size={size}m,nr_inodes={inodes}"))?;
        let cycle = filled(place.path(), &mut random);
        let _ = Command::new("umount").arg("-l").arg(place.path()).status();
        let (events, lost) = cycle.map_err(|violation| {
            format!(
                "space, {size} MiB, {inodes} inodes: {violation}\nrepeat: faults space --mounts --count 1 --seed {}",
                seed + number
            )
        })?;
        totals = (totals.0 + events, totals.1 + lost);
    }
    Report {
        test: "space on a full tmpfs (T-17)".into(),
        unit: "cycles".into(),
        count,
        seed: Some(seed),
        result: format!(
            "{} events read, {} counted as lost, all emits accounted for, 0 foreign files deleted",
            grouped(totals.0),
            grouped(totals.1)
        ),
        command: format!("faults space --mounts --count {count}"),
    }
    .print();
    Ok(())
}

/// One life on a file system that is filled and freed.
fn filled(place: &Path, random: &mut Random) -> Result<(u64, u64), String> {
    let tell = |error: std::io::Error| error.to_string();
    let (base, rings) = (place.join("trace"), place.join("rings"));
    let folder = enable(&base, &rings, 65_536, 0)?;
    write_foreign(&folder).map_err(tell)?;
    let tracer = Tracer::builder("full")
        .dir(&base)
        .ring_dir(&rings)
        .ring_size(1 << 20)
        .linger(Duration::from_millis(10))
        .attach()
        .map_err(|error| error.to_string())?;
    let (mut number, mut slowest) = (0_u64, Duration::ZERO);
    let mut burst = |count: u64| {
        for _ in 0..count {
            let text = text_of(0, number, 900);
            let begun = Instant::now();
            emit!(tracer, Numbered { lane: 0, number, text: &text });
            slowest = slowest.max(begun.elapsed());
            number += 1;
        }
    };
    let mut fillers = Vec::new();
    for step in 0..12 {
        burst(random.below(200));
        if random.below(3) != 0 {
            let path = place.join(format!("filler-{step}"));
            if random.below(4) == 0 {
                // Inodes.
                let _ = std::fs::create_dir(&path);
                for n in 0..300 {
                    if std::fs::write(path.join(n.to_string()), "").is_err() {
                        break;
                    }
                }
            } else if let Ok(mut file) = std::fs::File::create(&path) {
                let most = random.below(64 << 20) as usize;
                let part = vec![1; 1 << 16];
                for _ in 0..most / part.len() {
                    if file.write_all(&part).is_err() {
                        break;
                    }
                }
            }
            fillers.push(path);
        } else if let Some(path) = fillers.pop() {
            let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir_all(&path));
        }
        std::thread::sleep(Duration::from_millis(random.below(30)));
    }
    for path in fillers {
        let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir_all(&path));
    }
    // A first emit that failed is tried again after a second.
    std::thread::sleep(Duration::from_millis(1100));
    burst(20);
    let freed = tracer.flush();
    let first = number_after(&freed, number)?;
    tracer.shutdown();
    let done = Done { emitted: vec![number], untold: tracer.stats().lost_total(), ..Done::default() };
    let seen = read(std::slice::from_ref(&base), &[rings], &Texts::new(1, number, 900))?.unwrap_or_default();
    check_sum(&done, &seen)?;
    check_foreign(&folder)?;
    let numbers = seen.lanes.get(&0).map_or(&[][..], |numbers| numbers);
    if !(first..number).all(|number| numbers.binary_search(&number).is_ok()) {
        return Err(format!("with room again the last events are not there: {:?}", seen.summary));
    }
    if Stalls::watch().is_beyond(slowest, Duration::from_millis(1500)) {
        return Err(format!("an emit took {slowest:?}"));
    }
    Ok((seen.events(), seen.summary.lost_total() + done.untold))
}

/// The first of the last burst, if the flush after it worked.
fn number_after(freed: &Result<(), tracewell::FlushError>, number: u64) -> Result<u64, String> {
    match freed {
        Ok(()) => Ok(number - 20),
        Err(error) => Err(format!("with room again a flush fails: {error}")),
    }
}
