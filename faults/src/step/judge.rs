//! Recovers an image with the reader and holds what it finds against the oracle.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use tracewell_reader::{Filter, Item, Summary, Trace};
use tracewell_schema::format::record::LossReason;

use super::events;
use super::page::{EMITS, Expect, LANES, Lane, Page};

/// How far a time may be from the truth, ns: the error of clock points of a child that is stopped most of the time.
const TOLERANCE: i64 = 200_000_000;

/// What the reader found in an image.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Found {
    /// Lane and number of each event, in the reader's order.
    pub(super) events: Vec<(usize, u64)>,
    lost: [u64; 8],
    /// What is wrong whatever the oracle says.
    wrong: Option<String>,
}

fn now() -> i64 {
    let passed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(passed.as_nanos()).unwrap_or(i64::MAX)
}

/// What is judged in every image of a child.
#[derive(Debug)]
pub(super) struct Judge {
    began: i64,
    /// Images that were recovered.
    pub(super) images: u64,
}

impl Judge {
    pub(super) fn new() -> Self {
        Self { began: now(), images: 0 }
    }

    /// Reads an image, as if its process had died.
    pub(super) fn recover(&mut self, trace: &Path, rings: &Path, is_opted: bool) -> Found {
        self.images += 1;
        let mut found = Found::default();
        if !trace.exists() {
            return found;
        }
        let opened = match Trace::open(&[trace.to_owned()], &[rings.to_owned()]) {
            Ok(opened) => opened,
            // A folder that is being made.
            Err(tracewell_reader::ReadError::NoTrace { .. }) => return found,
            Err(error) => {
                found.wrong = Some(format!("the image cannot be opened: {error}"));
                return found;
            }
        };
        if opened.processes().iter().any(|p| p.is_alive) {
            found.wrong = Some("the image's owner is taken for alive".into());
        }
        let until = now() + TOLERANCE;
        let mut wrong = None;
        let read = opened.read(&Filter::default(), |item| {
            match item {
                Item::Event(event) => {
                    match events::check(event, is_opted) {
                        Ok(seen) => found.events.push(seen),
                        Err(torn) => drop(wrong.get_or_insert(torn)),
                    }
                    if !(self.began - TOLERANCE..until).contains(&event.time) {
                        wrong.get_or_insert(format!("an event is dated {}, not now", event.time));
                    }
                }
                Item::Hole { events, .. } => drop(wrong.get_or_insert(format!("a hole of {events} events"))),
                _ => {}
            }
            Ok::<(), std::convert::Infallible>(())
        });
        let Ok(summary) = read;
        found.lost = summary.lost;
        found.wrong = found.wrong.take().or(wrong).or_else(|| flaw_of(&summary));
        found
    }

    /// Holds what was found against the oracle.
    pub(super) fn judge(found: &Found, page: &Page) -> Result<(), String> {
        if let Some(wrong) = &found.wrong {
            return Err(wrong.clone());
        }
        let mut next = [0_u64; LANES];
        let mut seen = vec![[0_u64; EMITS / 64]; LANES];
        for (lane, number) in &found.events {
            let (Some(next), Some(seen)) = (next.get_mut(*lane), seen.get_mut(*lane)) else {
                return Err(format!("lane {lane} is invented"));
            };
            if *number < *next {
                return Err(format!("event {number} of lane {lane} is there twice, or out of order"));
            }
            *next = number + 1;
            let Some(bits) = seen.get_mut(*number as usize / 64) else {
                return Err(format!("event {number} of lane {lane} is invented"));
            };
            *bits |= 1 << (number % 64);
        }
        let mut tally = Tally::default();
        for (at, (lane, seen)) in page.lanes.iter().zip(&seen).enumerate() {
            tally
                .add(lane, |number| seen[number as usize / 64] & (1 << (number % 64)) != 0, next[at])
                .map_err(|what| {
                    let (begun, acked) =
                        (lane.begun.load(Ordering::Relaxed), lane.acked.load(Ordering::Relaxed));
                    format!("lane {at} ({begun} begun, {acked} returned): {what}")
                })?;
        }
        tally.check(&found.lost)
    }
}

/// What losses must be counted.
#[derive(Debug, Default)]
struct Tally {
    full: u64,
    too_big: u64,
    /// Not recovered, so counted, by whatever reason.
    either: u64,
    /// Not recovered, so perhaps counted.
    any: u64,
    /// Under way, so perhaps counted.
    in_flight: u64,
}

impl Tally {
    fn add(&mut self, lane: &Lane, is_there: impl Fn(u64) -> bool, next: u64) -> Result<(), String> {
        let (begun, acked) = (lane.begun.load(Ordering::Relaxed), lane.acked.load(Ordering::Relaxed));
        if next > begun {
            return Err(format!("event {} was never emitted", next - 1));
        }
        for number in 0..begun {
            let (expect, found, returned) = (lane.expected(number), is_there(number), number < acked);
            match (expect, found) {
                (Expect::Delivered, false) if returned => {
                    return Err(format!("event {number}, whose emit had returned, is missing"));
                }
                (Expect::Full | Expect::TooBig | Expect::Nothing, true) => {
                    return Err(format!("event {number} is there, but was to be {expect:?}"));
                }
                (_, true) | (Expect::Nothing, false) => {}
                (_, false) if !returned => self.in_flight += 1,
                (Expect::Full, false) => self.full += 1,
                (Expect::TooBig, false) => self.too_big += 1,
                (Expect::Either, false) => self.either += 1,
                (Expect::Any, false) => self.any += 1,
                (Expect::Delivered, false) => {}
            }
        }
        Ok(())
    }

    fn check(&self, lost: &[u64; 8]) -> Result<(), String> {
        let total: u64 = lost.iter().sum();
        let least = self.full + self.too_big + self.either;
        let most = least + self.any + self.in_flight;
        if !(least..=most).contains(&total)
            || lost[LossReason::Full as usize] < self.full
            || lost[LossReason::TooBig as usize] < self.too_big
        {
            return Err(format!("losses counted: {lost:?}, but it must be {self:?}"));
        }
        Ok(())
    }
}

fn flaw_of(summary: &Summary) -> Option<String> {
    let is_sound = summary.damaged.is_empty()
        && summary.law.is_empty()
        && summary.missing == 0
        && summary.retired == 0
        && summary.law_open == 0
        && summary.time_went_back == 0;
    (!is_sound).then(|| {
        format!(
            "missing {}, retired {}, law {:?}, open {}, time back {}, damaged {:?}",
            summary.missing,
            summary.retired,
            summary.law,
            summary.law_open,
            summary.time_went_back,
            summary.damaged
        )
    })
}
