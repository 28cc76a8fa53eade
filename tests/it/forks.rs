//! A forked child has rings and segments of its own, or is refused and counted; its parent goes on unharmed.

use tracewell_reader::Summary;

use crate::scenes::{Process, Read, place, play, play_to_any_end};

fn process_of(read: &Read, lane: u32) -> &Process {
    let pid = read.pid_of(lane);
    let all: Vec<_> = read.processes.iter().filter(|p| p.pid == pid).collect();
    assert_eq!(all.len(), 1, "{all:?}");
    all[0]
}

/// Lane `child` is of a child of the process of lane `parent`.
fn assert_child(read: &Read, parent: u32, child: u32) {
    let (parent, child) = (process_of(read, parent), process_of(read, child));
    assert_ne!((parent.pid, parent.uuid), (child.pid, child.uuid));
    assert_eq!(child.parent, parent.uuid);
}

fn assert_complete(summary: &Summary) {
    assert!(summary.is_complete() && summary.law_open == 0 && summary.duplicates == 0, "{summary:?}");
}

fn assert_nothing_left(place: &tracewell_tests::Place) {
    assert_eq!(std::fs::read_dir(place.dirs.ring_root()).map_or(0, Iterator::count), 0);
    for session in std::fs::read_dir(place.dirs.sessions()).unwrap().flatten() {
        for file in std::fs::read_dir(session.path()).unwrap().flatten() {
            assert!(file.path().extension().is_some_and(|e| e == "twseg"), "{file:?} is not sealed");
        }
    }
}

#[test]
fn a_child_of_a_tracer_that_had_emitted() {
    let place = place();
    play("fork/after", &place, 30);
    let read = Read::of(&place);
    read.assert_lane(0, 300);
    read.assert_lane(1, 100);
    assert_child(&read, 0, 1);
    assert_complete(&read.summary);
    assert_nothing_left(&place);
}

#[test]
fn a_child_of_a_tracer_that_had_not_emitted() {
    let place = place();
    play("fork/before", &place, 30);
    let read = Read::of(&place);
    read.assert_lane(0, 100);
    read.assert_lane(1, 100);
    assert_ne!(read.pid_of(0), read.pid_of(1));
    assert_complete(&read.summary);
    assert_nothing_left(&place);
}

#[test]
fn a_child_of_two_tracers() {
    let place = place();
    play("fork/two", &place, 30);
    let read = Read::of(&place);
    for (lane, count) in [(0, 300), (1, 100), (2, 300), (3, 100), (4, 50)] {
        read.assert_lane(lane, count);
    }
    // One process, but each tracer has a part of its own in the session.
    for (parent, child) in [(0, 1), (2, 3), (2, 4)] {
        let component = if parent == 0 { "one" } else { "two" };
        let of = |lane| {
            let pid = read.pid_of(lane);
            read.processes.iter().find(|p| p.pid == pid && p.component == component).unwrap()
        };
        assert_eq!(of(child).parent, of(parent).uuid);
    }
    assert_eq!(read.processes.len(), 5);
    assert_complete(&read.summary);
    assert_nothing_left(&place);
}

#[test]
fn disabled_forked_and_enabled_again() {
    for case in ["fork/switched", "fork/switched-at-once"] {
        let place = place();
        play(case, &place, 30);
        let read = Read::of(&place);
        read.assert_lane(1, 100);
        assert_ne!(read.pid_of(0), read.pid_of(1));
        // The parent may be told of the end of its session a moment after the next one began.
        let seen = read.lane(0);
        let lost = read.summary.lost_total();
        assert!(seen.is_sorted_by(|a, b| a < b) && seen.len() as u64 + lost == 200, "{seen:?}, {lost} lost");
        read.assert_sound();
        assert_nothing_left(&place);
    }
}

#[test]
fn children_of_a_process_with_a_thread_that_emits() {
    let place = place();
    let said = play("fork/busy", &place, 60);
    let read = Read::of(&place);
    read.assert_lane(0, said.get("lane0"));
    read.assert_lane(1, 1);
    for lane in 10..30 {
        read.assert_lane(lane, 200);
        assert_child(&read, 0, lane);
    }
    assert_complete(&read.summary);
    assert_nothing_left(&place);
}

#[test]
fn children_that_do_not_emit_leave_everything_as_it_is() {
    let place = place();
    play("fork/idle", &place, 30);
    let read = Read::of(&place);
    read.assert_lane(0, 200);
    assert_eq!(read.processes.len(), 1);
    assert_complete(&read.summary);
    assert_nothing_left(&place);
}

#[test]
fn a_child_that_is_killed_loses_nothing_that_it_emitted() {
    let place = place();
    play("fork/killed", &place, 30);
    let read = Read::of(&place);
    read.assert_lane(0, 200);
    read.assert_lane(1, 300);
    assert_child(&read, 0, 1);
    read.assert_sound();
    assert_eq!(read.summary.lost_total(), 0);
}

#[test]
fn a_grandchild() {
    let place = place();
    play("fork/grandchild", &place, 30);
    let read = Read::of(&place);
    for (lane, count) in [(0, 200), (1, 200), (2, 100)] {
        read.assert_lane(lane, count);
    }
    assert_child(&read, 0, 1);
    assert_child(&read, 1, 2);
    assert_complete(&read.summary);
    assert_nothing_left(&place);
}

#[test]
fn losses_that_are_not_told_yet_are_the_parents_alone() {
    let place = place();
    play("fork/untold", &place, 30);
    let read = Read::of(&place);
    read.assert_lane(0, 10);
    read.assert_lane(1, 10);
    read.assert_all_of(25);
}

#[test]
fn what_a_killed_parent_left_is_not_taken_for_alive() {
    let place = place();
    let said = play_to_any_end("fork/survived", &place, 30);
    let read = Read::of(&place);
    for pid in [said.get("forked"), said.get("executed")] {
        let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it lives until now");
    }
    read.assert_lane(0, 100);
    assert!(read.processes.iter().all(|p| !p.is_alive), "{:?}", read.processes);
    assert_complete(&read.summary);
}
