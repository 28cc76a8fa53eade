//! What one thread tells another outside the rings: the control page, counts without a ring, tickets of `flush`.

use loom::sync::Arc;
use loom::sync::atomic::AtomicU64 as Plain64;
use loom::thread;
use tracewell_schema::format::record::LossReason;

use crate::cursor::Cursor;
use crate::orphans::Orphans;
use crate::sync::{AtomicU64, Ordering};
use crate::{model, sequence, ticket};

type Change = fn(&AtomicU64, &dyn Fn(u64));

/// A page of two words is changed twice while another process reads it.
fn page(change: Change) {
    let generation = Arc::new(AtomicU64::new(0));
    let body = Arc::new([Plain64::new(0), Plain64::new(0)]);
    let (g, b) = (Arc::clone(&generation), Arc::clone(&body));
    let writer = thread::spawn(move || {
        for _ in 0..2 {
            change(&g, &|generation| b.iter().for_each(|word| word.store(generation, Ordering::Relaxed)));
        }
    });
    let mut newest = 0;
    for _ in 0..2 {
        let words = || [body[0].load(Ordering::Relaxed), body[1].load(Ordering::Relaxed)];
        if let Some([first, second]) = sequence::read(&generation, words) {
            assert_eq!(first, second, "half a change");
            assert!(first >= newest, "an older page");
            newest = first;
        }
    }
    writer.join().unwrap();
    assert_eq!(generation.load(Ordering::Relaxed), 4);
}

/// Losses without a ring: two threads count, the writer takes.
fn untold() {
    let orphans = Arc::new(Orphans::default());
    let told = Arc::new(std::array::from_fn::<_, 8, _>(|_| AtomicU64::new(0)));
    let counting: Vec<_> = (0..2)
        .map(|_| {
            let (orphans, told) = (Arc::clone(&orphans), Arc::clone(&told));
            thread::spawn(move || {
                orphans.count(LossReason::Nested);
                // `State::count_orphan`, of whoever finds no ring.
                told[LossReason::Nested as usize].fetch_add(1, Ordering::Relaxed);
            })
        })
        .collect();
    orphans.take(&told);
    orphans.take(&told);
    for thread in counting {
        thread.join().unwrap();
    }
    orphans.take(&told);
    assert_eq!(told[LossReason::Nested as usize].load(Ordering::Relaxed), 4);
    assert_eq!(orphans.untold(), [0; 8]);
}

/// Two threads emit and flush; whoever is told that its ticket is served has its event in a block.
fn flushes(ask: fn(&AtomicU64) -> u64, heads_first: bool) {
    let asked = Arc::new(AtomicU64::new(0));
    let heads = Arc::new([0, 1].map(|_| (AtomicU64::new(0), AtomicU64::new(0))));
    let flushing: Vec<_> = (0..2)
        .map(|lane| {
            let (asked, heads) = (Arc::clone(&asked), Arc::clone(&heads));
            thread::spawn(move || {
                Cursor::new(&heads[lane].0, &heads[lane].1).commit(8);
                ask(&asked)
            })
        })
        .collect();
    let look = || [0, 1].map(|lane: usize| Cursor::new(&heads[lane].0, &heads[lane].1).committed());
    let mut served = Vec::new();
    for _ in 0..2 {
        let early = heads_first.then(look);
        let ticket = ticket::newest(&asked);
        served.push((ticket, early.unwrap_or_else(look)));
    }
    let tickets: Vec<_> = flushing.into_iter().map(|thread| thread.join().unwrap()).collect();
    for (lane, ticket) in tickets.into_iter().enumerate() {
        if let Some((_, seen)) = served.iter().find(|(served, _)| *served >= ticket) {
            assert_eq!(seen[lane], 8, "flush of lane {lane} returned without its event");
        }
    }
}

pub(crate) fn control_page() {
    model(|| page(|generation, write| sequence::change(generation, write)));
}

pub(crate) fn without_a_ring() {
    model(untold);
}

pub(crate) fn flush() {
    model(|| flushes(ticket::ask, false));
}

#[test]
fn a_page_is_never_read_half_changed() {
    control_page();
}

#[test]
fn losses_without_a_ring_are_told_once() {
    without_a_ring();
}

#[test]
fn a_flush_covers_what_came_before_it() {
    flush();
}

#[test]
#[should_panic]
fn mutant_a_change_that_is_never_odd() {
    model(|| {
        page(|generation, write| {
            let after = generation.load(Ordering::Relaxed) + 2;
            write(after);
            generation.store(after, Ordering::Release);
        });
    });
}

#[test]
#[should_panic]
fn mutant_the_rings_before_the_ticket() {
    model(|| flushes(ticket::ask, true));
}

#[test]
#[should_panic]
fn mutant_one_ticket_for_two() {
    model(|| {
        flushes(
            |asked| {
                let ticket = asked.load(Ordering::Acquire) + 1;
                asked.store(ticket, Ordering::Release);
                ticket
            },
            false,
        );
    });
}
