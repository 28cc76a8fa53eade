//! A collector beside hostile processes: it adopts what the honest dead have left, all of it, whatever the others do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use tracewell::adopt::{self, Why};
use tracewell_reader::Trace;
use tracewell_schema::format::process::folder_name;
use tracewell_tests::Place;

use super::{Honest, MIB, Peers, Totals, each_line, write_folder};
use crate::goldens;
use crate::memory::peak_of;
use crate::random::Random;

/// Most memory of a pass: adoption reads a ring by blocks.
const MOST: u64 = 64 * MIB;
/// Honest processes that die before each pass.
const DEAD: u64 = 3;
/// After so many passes everything is read, and removed.
const READ_EVERY: u64 = 20;

/// What honest processes left, by their ids: must be read as long as it was not removed.
type Left = BTreeSet<[u8; 16]>;

/// Runs it for a while.
pub(super) fn run(honest: &Honest, totals: &mut Totals, seed: u64, time: Duration) -> Result<(), String> {
    let place = Place::new();
    place.enable();
    let template = place.beside("template");
    write_folder(&template, &honest.ring.files)?;
    let lines = lines_of(&template)?.into_values().next().ok_or("no events")?;
    let mut random = Random::new(seed);
    let mut peers = Peers::default();
    for _ in 0..2 {
        peers.start(&place, place.dirs.ring_root(), &template, random.next())?;
    }
    // Until both have their folders.
    let begun = Instant::now();
    while folders_in(place.dirs.ring_root()) < 4 {
        peers.check()?;
        if begun.elapsed() > Duration::from_secs(30) {
            return Err("the hostile processes do not begin".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let begun = Instant::now();
    let (mut passes, mut adopted, mut hostile, mut left_alone, mut peak) = (0, 0, 0_u64, 0_u64, 0);
    let mut left = Left::new();
    while begun.elapsed() < time || passes % READ_EVERY != 0 {
        let mut waiting = Vec::new();
        for _ in 0..DEAD {
            waiting.push(die(honest, place.dirs.ring_root(), &mut random, &mut left)?);
        }
        let call = std::panic::AssertUnwindSafe(|| adopt::pass(&place.dirs, &mut || false));
        let (caught, most) = peak_of(|| std::panic::catch_unwind(call));
        let pass = caught.map_err(|_| "the collector panicked".to_owned())?;
        let pass = pass.map_err(|error| format!("the collector gave up: {error}"))?;
        totals.add_other();
        passes += 1;
        peak = peak.max(most);
        if most > MOST {
            return Err(format!("a pass of the collector had {most} bytes, more than {MOST}"));
        }
        for folder in &waiting {
            let found = pass.adopted.iter().find(|one| one.folder == *folder);
            if !found.is_some_and(|one| one.is_removed && one.events == lines.len() as u64) {
                return Err(format!("{} of an honest process: {found:?} of {pass:?}", folder.display()));
            }
        }
        adopted += waiting.len() as u64;
        hostile += (pass.adopted.len() - waiting.len()) as u64;
        left_alone += pass.left.len() as u64;
        // The living keep what is theirs, whatever they write into it.
        if pass.left.iter().filter(|one| matches!(one.why, Why::Alive)).count() < 2 {
            return Err(format!("not both living ones were left alone: {pass:?}"));
        }
        if passes % READ_EVERY == 0 {
            let found = lines_of(place.dirs.base())?;
            if let Some(uuid) = left.iter().find(|uuid| found.get(*uuid) != Some(&lines)) {
                let count = found.get(uuid).map_or(0, Vec::len);
                return Err(format!("{count} of {} events of an honest process, adopted", lines.len()));
            }
            left.clear();
            // The living make theirs again.
            let _ = std::fs::remove_dir_all(place.dirs.sessions());
        }
        peers.check()?;
    }
    if hostile == 0 {
        return Err("nothing of a hostile process was ever adopted: nothing was tried".into());
    }
    totals.notes.push(format!(
        "{passes} passes of a collector within {} MiB, {adopted} honest processes adopted and each read, {hostile} \
         times a hostile one, {left_alone} times one left",
        peak / MIB
    ));
    Ok(())
}

fn folders_in(root: &Path) -> usize {
    std::fs::read_dir(root).map_or(0, Iterator::count)
}

/// An honest process dies: its folder.
fn die(
    honest: &Honest,
    root: &Path,
    random: &mut Random,
    left: &mut Left,
) -> Result<std::path::PathBuf, String> {
    let mut process = honest.process()?;
    let uuid = (u128::from(random.next()) << 64 | u128::from(random.next())).to_le_bytes();
    process.identity.process_uuid = uuid;
    let (at, mut header) = goldens::ring_of(&honest.ring.files).ok_or("no ring")?;
    header.process_uuid = uuid;
    let mut files = honest.ring.files.clone();
    files[at].1[..goldens::RING_HEADER].copy_from_slice(&header.encode());
    for (name, bytes) in &mut files {
        if name == "process" {
            *bytes = process.encode();
        }
    }
    let folder = root.join(folder_name(&process.identity));
    write_folder(&folder, &files)?;
    left.insert(uuid);
    Ok(folder)
}

/// The lines of each process below a path.
fn lines_of(path: &Path) -> Result<BTreeMap<[u8; 16], Vec<String>>, String> {
    let trace = Trace::open(&[path.to_owned()], &[]).map_err(|error| error.to_string())?;
    let mut lines = BTreeMap::<_, Vec<_>>::new();
    each_line(&trace, |uuid, line| lines.entry(*uuid).or_default().push(line.to_owned()))
        .map_err(|error| error.to_string())?;
    Ok(lines)
}
