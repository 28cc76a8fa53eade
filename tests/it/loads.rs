//! Limits, memory, many threads and processes.

use std::process::Command;
use std::time::Duration;

use crate::scenes::{Read, place, play};

const FULL: usize = 0;
const NO_RING: usize = 4;

#[test]
fn a_thread_whose_new_ring_cannot_be_made_does_not_use_anothers() {
    let place = place();
    let said = play("load/no-file", &place, 60);
    let read = Read::of(&place);
    read.assert_all_of(said.get("attempts"));
    assert_eq!(read.summary.lost[NO_RING], said.get("refused"), "{:?}", read.summary);
    assert_eq!(read.summary.lost_total(), said.get("refused"));
    read.assert_lane(0, 100);
    // Lane 4 is the old thread's, lane 3 a new one's in every session: each has its own order and no other's ring.
    for lane in [3, 4] {
        assert!(read.lane(lane).into_iter().eq(2000..42_000), "lane {lane}");
    }
    let tids = |lane| read.events.iter().filter(move |e| e.lane == lane).map(|e| e.tid);
    let old = tids(4).next().unwrap();
    assert!(tids(4).chain(tids(0)).all(|tid| tid == old) && tids(3).all(|tid| tid != old));
}

#[test]
fn a_burst_that_fits_the_capacity_loses_nothing() {
    let place = place();
    let said = play("load/burst", &place, 30);
    let read = Read::of(&place);
    read.assert_all_of(said.get("attempts"));
    assert_eq!(read.summary.lost_total(), 0, "{:?}", read.summary);
    read.assert_lane(0, 100_000);
    read.assert_lane(1, 100_000);
}

#[test]
fn the_ring_of_an_idle_thread_is_small() {
    let place = place();
    let said = play("load/idle-memory", &place, 30);
    assert_eq!(said.get("rings"), 8);
    assert!(said.get("capacity_kib") >= 8 * 16 * 1024, "{}", said.get("capacity_kib"));
    for key in ["rss_kib", "blocks_kib"] {
        let kib = said.get(key);
        assert!(kib <= 8 * 300, "{key}: {kib} of 8 rings");
    }
    Read::of(&place).assert_all_of(40);
}

#[test]
fn threads_that_come_and_go_leave_nothing() {
    let place = place();
    let said = play("load/churn", &place, 60);
    let threads = said.get("threads");
    assert!(threads >= 1000, "{threads} threads");
    let (early, late) = (said.get("rings_early"), said.get("rings_late"));
    // As many as threads end while the drain looks away, on a busy machine; not more with every thread.
    assert!(late <= early.max(60) * 3 && late < threads / 8, "rings: {early}, then {late} of {threads}");
    let (early, late) = (said.get("files_early"), said.get("files_late"));
    assert!(late <= early.max(20) + 5, "descriptors: {early}, then {late}");
    let read = Read::of(&place);
    read.assert_all_of(said.get("attempts"));
    assert_eq!(read.summary.lost_total(), 0, "{:?}", read.summary);
    assert_eq!(read.summary.law_checked as u64, threads);
    let mut numbers: Vec<_> = read.events.iter().map(|e| e.number).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..threads * 2), "each once");
}

/// Starts a producer of four threads; COUNT 0 = until it is killed.
fn producer(place: &tracewell_tests::Place, name: &str, count: u64) -> std::process::Child {
    Command::new(env!("CARGO_BIN_EXE_producer"))
        .arg(place.dirs.base())
        .args(["4", "4194304"])
        .arg(place.beside(name))
        .arg(count.to_string())
        .spawn()
        .unwrap()
}

#[test]
fn four_processes_of_four_threads_and_one_is_killed() {
    let place = place();
    let mut killed = producer(&place, "killed", 0);
    let mut others: Vec<_> = (0..3).map(|i| producer(&place, &format!("other{i}"), 10_000)).collect();
    std::thread::sleep(Duration::from_millis(700));
    killed.kill().unwrap();
    killed.wait().unwrap();
    for other in &mut others {
        assert!(other.wait().unwrap().success());
    }
    let read = Read::of(&place);
    read.assert_sound();
    let s = &read.summary;
    assert_eq!((s.processes, s.rings, s.law_checked, s.law_open), (4, 16, 16, 0), "{s:?}");
    assert_eq!(s.lost_total(), s.lost[FULL]);
    let lane = |pid: u32, lane: u32| -> Vec<u64> {
        read.events.iter().filter(|e| e.pid == pid && e.lane == lane).map(|e| e.number).collect()
    };
    for pid in others.iter().map(std::process::Child::id) {
        for i in 0..4 {
            let numbers = lane(pid, i);
            assert!(numbers.is_sorted_by(|a, b| a < b));
            assert!(s.lost_total() != 0 || numbers.into_iter().eq(0..10_000), "lane {i} of {pid}");
        }
    }
    let (mut acked, mut seen) = (0, 0);
    for i in 0..4 {
        let file = std::fs::read(place.beside(&format!("killed-{i}"))).unwrap_or_default();
        let ack = file.first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b));
        let numbers = lane(killed.id(), i);
        assert!(numbers.is_sorted_by(|a, b| a < b));
        if s.lost_total() == 0 {
            let count = numbers.len() as u64;
            assert!(ack > 0 && (ack..=ack + 1).contains(&count), "{count} of {ack}");
            assert!(numbers.iter().copied().eq(0..count));
        }
        acked += ack;
        seen += numbers.len() as u64;
    }
    // Where the machine was too slow for the drain, the sums still say it to the unit.
    let all = read.events.len() as u64 + s.lost_total();
    assert!(
        (120_000 + acked..=120_000 + acked + 4).contains(&all),
        "{all}, {acked} of the killed, {seen} seen"
    );
}
