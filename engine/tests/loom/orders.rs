//! Every order, exchange and fence of the modelled files is weakened in turn, and some model must fail.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic;

use crate::sync::{Site, take_seen, weaken};
use crate::{close, grow, reuse, ring, tell};

thread_local! {
    /// Interleavings after which a model stops, if any.
    pub(crate) static SAMPLE: Cell<Option<usize>> = const { Cell::new(None) };
}

const MODELS: [(&str, fn()); 14] = [
    ("ring::laps", ring::laps),
    ("ring::pads", ring::pads),
    ("reuse::hand_over", reuse::hand_over),
    ("reuse::told_once", reuse::told_once),
    ("reuse::seen_active", reuse::seen_active),
    ("close::while_emitting", close::while_emitting),
    ("close::closed_by_membarrier", close::closed_by_membarrier),
    ("close::as_it_begins", close::as_it_begins),
    ("close::while_beginning", close::while_beginning),
    ("close::while_the_next_begins", close::while_the_next_begins),
    ("grow::first_lap", grow::first_lap),
    ("tell::control_page", tell::control_page),
    ("tell::without_a_ring", tell::without_a_ring),
    ("tell::flush", tell::flush),
];

/// Those that no thread of the process needs, by file and line of code.
const FOR_OTHERS: [(&str, &str, &str); 1] = [(
    "life.rs",
    "state.store(CLOSING, Ordering::Release);",
    "readers of the file alone look at it, in another process",
)];

/// The line of code at a site.
fn code(site: Site) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(site.file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines().nth(site.line as usize - 1).unwrap_or_default().trim().to_owned()
}

/// Whether a model holds, in a thread of its own: one that fails may leave anything behind.
fn holds(model: fn(), weak: Option<Site>, sample: Option<usize>) -> (bool, Vec<Site>) {
    let thread = std::thread::spawn(move || {
        SAMPLE.set(sample);
        weaken(weak);
        let outcome = panic::catch_unwind(model);
        (outcome.is_ok(), take_seen().into_iter().collect())
    });
    thread.join().expect("a model's thread")
}

#[test]
fn every_order_is_needed() {
    let loud = panic::take_hook();
    let mut sites = BTreeMap::<Site, Vec<&(&str, fn())>>::new();
    for model in &MODELS {
        let (held, seen) = holds(model.1, None, Some(2000));
        assert!(held, "{} fails", model.0);
        for site in seen {
            sites.entry(site).or_default().push(model);
        }
    }
    // The failures to come are asked for.
    panic::set_hook(Box::new(|_| {}));
    let mut unneeded = Vec::new();
    for (site, models) in &sites {
        let failing = models.iter().find(|(_, model)| !holds(*model, Some(*site), None).0);
        let code = code(*site);
        match failing {
            Some((name, _)) => println!("{}:{} `{code}`: {name}", site.file, site.line),
            None => unneeded.push((*site, code)),
        }
    }
    panic::set_hook(loud);
    unneeded.retain(|(site, code)| {
        !FOR_OTHERS.iter().any(|(file, line, _)| site.file.ends_with(file) && code == line)
    });
    assert!(unneeded.is_empty(), "no model fails without: {unneeded:#?}");
    assert!(sites.len() >= 20, "{} sites of the engine's files were met", sites.len());
}
