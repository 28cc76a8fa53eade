//! `kill -9` at a random moment loses nothing that was committed.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use tracewell_reader::{Filter, Item, Summary};
use tracewell_schema::Value;
use tracewell_tests::{Place, text_of};

/// Reads everything: for each lane the numbers in the order in which the reader gives them; texts are checked.
pub(crate) fn lanes(place: &Place) -> (BTreeMap<u32, Vec<u64>>, Summary) {
    let mut lanes: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    let summary = place
        .trace()
        .read(&Filter::default(), |item| {
            if let Item::Event(event) = item {
                let number = |name| match event.values.get(name).map(|f| f.value) {
                    Some(Value::U(n)) => n,
                    other => panic!("{name}: {other:?}"),
                };
                let Some(Value::Str(text)) = event.values.get("text").map(|f| f.value) else { panic!() };
                assert_eq!(text.bytes, text_of(number("number")).as_bytes(), "a torn event");
                lanes.entry(number("lane") as u32).or_default().push(number("number"));
            }
            Ok::<(), std::io::Error>(())
        })
        .unwrap();
    (lanes, summary)
}

fn kill_once(threads: u32, ring_size: u64, after: Duration) {
    let place = Place::new();
    place.enable();
    let acks = place.beside("ack");
    let mut child = Command::new(env!("CARGO_BIN_EXE_producer"))
        .arg(place.dirs.base())
        .args([threads.to_string(), ring_size.to_string()])
        .arg(&acks)
        .arg("0")
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    let (lanes, summary) = lanes(&place);
    assert!(summary.damaged.is_empty() && summary.law.is_empty() && summary.missing == 0, "{summary:?}");
    let (mut all_acked, mut all_seen) = (0, 0);
    for lane in 0..threads {
        let file = std::fs::read(format!("{}-{lane}", acks.display())).unwrap_or_default();
        let acked = file.first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b));
        let seen = lanes.get(&lane).cloned().unwrap_or_default();
        assert!(seen.is_sorted_by(|a, b| a < b), "order, or twice");
        if summary.lost_total() == 0 {
            // All that returned; at most one more.
            assert!(
                seen.len() as u64 == acked || seen.len() as u64 == acked + 1,
                "{} of {acked}",
                seen.len()
            );
            assert!(seen.iter().enumerate().all(|(i, n)| *n == i as u64));
        }
        all_acked += acked;
        all_seen += seen.len() as u64;
    }
    // Where the machine was too busy for the drain: delivered and counted as lost make up all, to the unit.
    let accounted = all_seen + summary.lost_total();
    assert!((all_acked..=all_acked + u64::from(threads)).contains(&accounted), "{accounted} of {all_acked}");
    // Reading is idempotent and changes nothing.
    let (again, second) = self::lanes(&place);
    assert_eq!((again, second.events), (lanes, summary.events));
}

#[test]
fn nothing_committed_is_lost_by_kill_9() {
    // Some before anything reached a segment, some after several drains.
    for (i, millis) in [3_u64, 11, 40, 90, 170, 333, 700, 1200, 1500].into_iter().enumerate() {
        kill_once(1 + (i as u32 % 4), 4 << 20, Duration::from_millis(millis));
    }
}

#[test]
fn clean_exit_leaves_only_sealed_segments() {
    let place = Place::new();
    place.enable();
    let status = Command::new(env!("CARGO_BIN_EXE_producer"))
        .arg(place.dirs.base())
        .args(["4", "1048576"])
        .arg(place.beside("ack"))
        .arg("5000")
        .status()
        .unwrap();
    assert!(status.success());
    let (lanes, summary) = lanes(&place);
    assert!(summary.is_complete(), "{summary:?}");
    assert_eq!(summary.law_checked, 4);
    assert!(lanes.values().all(|numbers| numbers.iter().copied().eq(0..5000)));
    assert_eq!(std::fs::read_dir(place.dirs.ring_root()).map_or(0, Iterator::count), 0);
}
