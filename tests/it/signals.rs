//! Emits in signal handlers, in the allocator, and at the end of threads: whatever they interrupt, what was attempted is
//! delivered or counted, to the unit.

use crate::scenes::{Read, Said, place, place_with, play};

const NESTED: usize = 2;
const SIGNAL: usize = 3;

fn assert_all_of_it(said: &Said, read: &Read) {
    assert_eq!(said.get("forbidden"), 0, "a handler must not allocate");
    read.assert_all_of(said.get("attempts"));
}

#[test]
fn a_handler_on_a_thread_with_a_ring() {
    let place = place();
    let said = play("signal/ring", &place, 30);
    let read = Read::of(&place);
    assert_all_of_it(&said, &read);
    read.assert_lane(0, 20);
    read.assert_lane(100, 1000);
    assert_eq!(read.summary.lost_total(), 0);
}

#[test]
fn a_handler_on_a_thread_without_a_ring() {
    let place = place();
    let said = play("signal/no-ring", &place, 30);
    let read = Read::of(&place);
    assert_all_of_it(&said, &read);
    assert_eq!(read.summary.lost[SIGNAL], 1000, "{:?}", read.summary);
    assert_eq!(read.summary.lost_total(), 1000);
}

#[test]
fn a_handler_that_is_the_first_to_emit_a_type() {
    let place = place();
    let said = play("signal/unlearned", &place, 30);
    let read = Read::of(&place);
    assert_all_of_it(&said, &read);
    assert_eq!(read.summary.lost[SIGNAL], 100, "{:?}", read.summary);
    let rare: Vec<_> = read.events.iter().filter(|e| e.name == "custom.rare").map(|e| e.number).collect();
    assert!(rare.into_iter().eq(100..201));
}

#[test]
fn a_handler_that_emits_what_is_opt_in_and_reduced() {
    let on = place_with(&["custom.shy", "custom.shy.extra"]);
    let said = play("signal/opt-in", &on, 30);
    let read = Read::of(&on);
    assert_all_of_it(&said, &read);
    assert_eq!(read.summary.lost[SIGNAL], 100, "the first of its type: {:?}", read.summary);
    assert_eq!(read.events.iter().filter(|e| e.name == "custom.shy").count(), 401);
    let off = place();
    let said = play("signal/opt-in", &off, 30);
    let read = Read::of(&off);
    assert_all_of_it(&said, &read);
    assert_eq!((said.get("attempts"), read.events.len()), (10, 10));
}

#[test]
fn a_signal_scope_refuses_and_counts() {
    let place = place();
    let said = play("signal/scope", &place, 30);
    let read = Read::of(&place);
    assert_all_of_it(&said, &read);
    read.assert_lane(0, 20);
    assert_eq!(read.summary.lost[SIGNAL], 200, "{:?}", read.summary);
}

#[test]
fn a_handler_that_interrupts_emits() {
    let place = place();
    let said = play("signal/inside-emit", &place, 30);
    let read = Read::of(&place);
    assert_all_of_it(&said, &read);
    assert!(said.get("handled") > 1000, "{}", said.get("handled"));
    assert!(read.summary.lost[NESTED] > 0, "{:?}", read.summary);
    let handled = read.lane(100);
    assert!(handled.is_sorted_by(|a, b| a < b) && !handled.is_empty());
    assert_eq!(
        handled.len() as u64 + read.summary.lost[NESTED] + read.summary.lost[SIGNAL],
        said.get("handled")
    );
}

#[test]
fn a_handler_that_interrupts_the_allocator() {
    let place = place();
    let said = play("signal/inside-malloc", &place, 30);
    let read = Read::of(&place);
    assert_all_of_it(&said, &read);
    assert_eq!(read.summary.lost[SIGNAL], 400, "threads without a ring: {:?}", read.summary);
    assert!(read.lane(100).len() > 1000, "{}", read.lane(100).len());
}

#[test]
fn a_handler_that_interrupts_the_first_emit_of_a_thread() {
    let place = place();
    let said = play("signal/inside-first-emit", &place, 30);
    let read = Read::of(&place);
    assert_all_of_it(&said, &read);
    for lane in 0..60 {
        read.assert_lane(lane, 20);
    }
}

#[test]
fn an_allocator_that_emits_on_every_allocation() {
    let place = place();
    let said = play("nested/allocator", &place, 60);
    let read = Read::of(&place);
    read.assert_all_of(9000 + said.get("quiet"));
    for lane in 0..3 {
        read.assert_lane(lane, 3000);
    }
    assert!(read.lane(100).len() > 9000, "{} of {}", read.lane(100).len(), said.get("quiet"));
}

#[test]
fn a_flush_whose_allocations_emit() {
    let place = place();
    let said = play("nested/flush", &place, 30);
    let read = Read::of(&place);
    assert!(said.get("quiet") > 10);
    read.assert_lane(0, 10);
    read.assert_sound();
    let (seen, lost) = (read.lane(100).len() as u64, read.summary.lost_total());
    // What was emitted after the session's last counters is told by nobody.
    assert!(
        seen + lost <= said.get("quiet") && lost + seen > 10,
        "{seen}, {lost} lost of {}",
        said.get("quiet")
    );
}

#[test]
fn emits_in_the_arguments_of_an_emit_come_before_it() {
    let place = place();
    let said = play("nested/arguments", &place, 30);
    let read = Read::of(&place);
    assert_eq!(said.get("quiet"), 100);
    read.assert_all_of(200);
    assert_eq!(read.summary.lost_total(), 0);
    assert!(read.events.chunks(2).all(|pair| pair[0].lane == 100 && pair[1].name == "custom.outer"));
}

#[test]
fn destructors_of_a_thread_emit_or_are_counted() {
    let place = place();
    let said = play("nested/thread-end", &place, 30);
    let read = Read::of(&place);
    for lane in (0..20).filter(|lane| lane % 3 != 2) {
        read.assert_lane(lane, 20);
    }
    read.assert_all_of(14 * 20 + said.get("quiet"));
    // Those that end after the thread's slots are refused, the others are delivered.
    assert!(read.summary.lost[NESTED] > 0 && read.lane(100).len() > 10, "{:?}", read.summary);
}
