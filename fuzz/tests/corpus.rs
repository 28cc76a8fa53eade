//! The committed corpus: what it is, what the targets say of it, and the verdict on each hostile file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::slice::from_ref;
use std::sync::{Mutex, PoisonError};

use tracewell_fuzz::read::{Look, Outcome, check};
use tracewell_fuzz::seeds::{self, Seed};
use tracewell_fuzz::{place, scene, targets};

/// The bound of memory is one for the process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn committed() -> BTreeMap<(String, String), Vec<u8>> {
    let mut all = BTreeMap::new();
    for target in fs::read_dir(folder()).unwrap().flatten() {
        for file in fs::read_dir(target.path()).unwrap().flatten() {
            let name = (target.file_name().into_string().unwrap(), file.file_name().into_string().unwrap());
            all.insert(name, fs::read(file.path()).unwrap());
        }
    }
    all
}

#[test]
fn the_corpus_is_what_the_generator_makes_and_small() {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let committed = committed();
    for Seed { target, name, bytes, .. } in seeds::all() {
        let file = committed.get(&(target.to_owned(), name.clone()));
        assert!(
            file == Some(&bytes),
            "{target}/{name} is not what it should be: cargo run --bin seeds corpus"
        );
    }
    let total: usize = committed.values().map(Vec::len).sum();
    assert!(total < 2 << 20, "{total} bytes");
    let targets: Vec<&str> = targets::ALL.iter().map(|(name, _)| *name).collect();
    for (target, _) in committed.keys() {
        assert!(targets.contains(&target.as_str()), "{target}");
    }
}

#[test]
fn every_file_of_the_corpus_holds() {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for ((target, name), bytes) in committed() {
        let run = targets::ALL.iter().find(|(known, _)| *known == target).unwrap().1;
        println!("{target}/{name}");
        assert!(run(&bytes), "{target}/{name} is no use to its target");
    }
    place::remove();
}

fn read(seed: &Seed) -> Outcome {
    let look = Look { text: true, json: true, is_honest: false };
    match seed.target {
        "segment" => {
            let path = place::empty().join("a_pid1_00000000_000001.twseg");
            drop(place::write(&path, &seed.bytes));
            check(from_ref(&path), &[], look)
        }
        _ => {
            let written = scene::write(&scene::parse(&seed.bytes), seed.target == "trace");
            check(from_ref(&written.rings), &[], look)
        }
    }
}

#[test]
fn every_hostile_file_gets_its_verdict() {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut wrong = Vec::new();
    let mut judged = 0;
    for seed in seeds::all() {
        let Some(verdict) = seed.verdict else { continue };
        let outcome = read(&seed);
        let events = outcome.summary.as_ref().map_or(0, |s| s.shown);
        let said = outcome.error.clone().unwrap_or_else(|| outcome.summary.as_ref().unwrap().to_text());
        let is_complete = outcome.summary.is_some_and(|s| s.is_complete());
        let holds =
            if verdict.says.is_empty() { is_complete } else { !is_complete && said.contains(verdict.says) };
        // Events dated before others are told and no damage.
        let holds = holds || verdict.says == "dated before" && said.contains(verdict.says);
        if events != verdict.events || !holds {
            wrong.push(format!("{}/{}: {verdict:?}, but {events} events: {said}", seed.target, seed.name));
        }
        judged += 1;
    }
    place::remove();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(judged > 150, "{judged}");
}
