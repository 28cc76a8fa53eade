//! `bundle`: prepares what support asked for on this computer, shows all of it, and seals it.

pub(crate) mod args;
mod create;
mod dumps;
mod look;
mod sealing;
mod sending;
mod viewing;

use std::io;
use std::path::Path;

use tracewell_bundle::{Folder, OwnKey, Store};

use crate::output::{Failure, Out, advice};
use crate::place::Place;
use args::{Bundle, BundleCommand};

pub(crate) use create::product;

/// `tracewell bundle ..`.
pub(crate) fn bundle(dir: Option<&Path>, args: &Bundle, out: &mut Out) -> Result<u8, Failure> {
    let place = Place::resolve(dir)?;
    match &args.command {
        BundleCommand::Create(create) => create::create(&place, create, out),
        BundleCommand::List => look::list(&place, out),
        BundleCommand::Show(show) => look::show(&place, show, out),
        BundleCommand::View(view) => viewing::view(&place, view, out),
        BundleCommand::Strike(strike) => look::strike(&place, strike, out),
        BundleCommand::Seal(seal) => sealing::seal(&place, seal, out),
        BundleCommand::Unseal { bundle } => sealing::unseal(&place, bundle, out),
        BundleCommand::Send(send) => sending::send(&place, send, out),
        BundleCommand::Open(open) => sealing::open(&place, open, out),
        BundleCommand::Remove(remove) => look::remove(&place, remove, out),
    }
}

/// Kinds of personal data for people.
pub(crate) fn personal_kinds(kinds: &[tracewell_bundle::Personal]) -> String {
    kinds.iter().map(|kind| kind.words()).collect::<Vec<_>>().join(", ")
}

fn store(place: &Place) -> Store {
    Store::new(place.dirs.base())
}

fn folder(place: &Place, name: &str) -> Result<Folder, Failure> {
    store(place).open(name).map_err(|e| failed("", &e))
}

/// The user's own key. Only looked for: who has none has no bundle either.
fn own_key(place: &Place) -> Result<OwnKey, Failure> {
    OwnKey::load(place.dirs.base()).map_err(|e| failed("your own key, BASE/keys/own.txt", &e))
}

fn failed(what: &str, e: &io::Error) -> Failure {
    let between = if what.is_empty() { "" } else { ": " };
    Failure::new(format!("{what}{between}{e}{}", advice(e)))
}
