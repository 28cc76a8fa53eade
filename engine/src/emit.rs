//! `emit!` and the producer's steps: reserve, encode, commit.
//!
//! The hot path is one load and a branch while the event is off. While it is on: no lock, no system call, no
//! allocation, no division; one thread-local load, the epoch check, the clock, the encoding, and the release store
//! of the head. Everything else is `#[cold]`.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracewell_schema::Event;
use tracewell_schema::format::record::{
    FLAG_REDUCED, HEADER_LEN, KIND_EVENT, KIND_LOSS, KIND_PAD, LossReason,
};
use tracewell_schema::format::ring as layout;
use tracewell_schema::limits::MAX_RECORD;

use crate::clock::Stamp;
use crate::config::WhenFull;
use crate::orphans::Orphans;
use crate::ring::Ring;
use crate::ring::cursor::{self, Cursor, Room};
use crate::ring::gate;
use crate::state::{EVENT_TABLE, State};
use crate::thread::{self, Producer};
use crate::tracer::Tracer;

/// Emits an event through a [`Tracer`]; its expression is not evaluated while the event is off.
///
/// ```
/// # use tracewell::{Tracer, emit, catalog::ErrorRaised};
/// # let tracer = Tracer::inert("scanner");
/// emit!(tracer, ErrorRaised { module: "engine", ..Default::default() });
/// ```
///
/// Never blocks (unless the component chose [`WhenFull::Wait`](crate::WhenFull)), never fails, returns nothing: what could not be recorded is counted by reason and shown by the
/// reader where it happened.
#[macro_export]
macro_rules! emit {
    // A struct literal names its type, so its fields need not be evaluated to ask whether it is on.
    ($tracer:expr, $($event:ident)::+ { $($field:tt)* } $(,)?) => {{
        let tracer: &$crate::Tracer = &$tracer;
        if tracer.is_enabled::<$($event)::+>() {
            tracer.emit_owned($($event)::+ { $($field)* });
        }
    }};
    ($tracer:expr, $event:expr $(,)?) => {{
        let tracer: &$crate::Tracer = &$tracer;
        tracer.emit_with(|| $event);
    }};
}

/// What the per-process table says of an event type.
pub(crate) const UNKNOWN: u8 = 0;
pub(crate) const PLAIN: u8 = 1;
pub(crate) const PLANNED: u8 = 2;
pub(crate) const REFUSED: u8 = 3;

/// A record of a whole loss: header and eight counts.
const LOSS_LEN: u64 = HEADER_LEN as u64 + 64;

impl Tracer {
    /// Emits the event that `make` returns, if its type is on; see [`emit!`](crate::emit).
    #[inline(always)]
    pub fn emit_with<E: Event>(&self, make: impl FnOnce() -> E) {
        if self.is_enabled::<E>() {
            self.emit_owned(make());
        }
    }

    /// Emits an event whose type is on. Prefer [`emit!`](crate::emit), which checks that first.
    #[inline]
    pub fn emit<E: Event>(&self, event: &E) {
        match self.emit_plain(event) {
            Outcome::Done => {}
            Outcome::Other(producer, epoch) => emit_other(producer, event, epoch),
            Outcome::Cold => self.emit_cold(event),
        }
    }

    /// As [`Tracer::emit`]. The event goes to memory only on the ways that are not the plain one.
    #[doc(hidden)]
    #[inline(always)]
    pub fn emit_owned<E: Event>(&self, event: E) {
        #[cold]
        #[inline(never)]
        fn other<E: Event>(producer: &Producer, event: E, epoch: u64) {
            emit_other(producer, &event, epoch);
        }
        #[cold]
        #[inline(never)]
        fn cold<E: Event>(tracer: &Tracer, event: E) {
            tracer.emit_cold(&event);
        }
        match self.emit_plain(&event) {
            Outcome::Done => {}
            Outcome::Other(producer, epoch) => other(producer, event, epoch),
            Outcome::Cold => cold(self, event),
        }
    }

    /// The hot path: the plain case.
    #[inline(always)]
    fn emit_plain<E: Event>(&self, event: &E) -> Outcome<'_> {
        let slot = thread::current();
        if slot.is_null() {
            return Outcome::Cold;
        }
        // SAFETY: not null, so `thread::adopt` or `select` set it to a slot of this very thread; slots are never
        // unmapped, and only this thread writes them.
        let producer = unsafe { &*slot };
        let Some(epoch) = self.enter(producer) else {
            // The slot is another tracer's, of a closed session, wiped by a fork, or this emit is inside another.
            return Outcome::Cold;
        };
        let index = E::slot().index();
        // More than a record may have if a value must be cut.
        let len = HEADER_LEN + event.short_len();
        let (head, stamp) = (producer.head.get(), producer.stamp.get());
        let end = head + padded(len);
        let is_plain = known(producer, index) == PLAIN
            && end <= producer.limit.get()
            && len <= MAX_RECORD
            && stamp != Stamp::Monotonic;
        if !is_plain {
            return Outcome::Other(producer, epoch);
        }
        attempt(producer);
        // SAFETY: the epoch holds (`enter`), and `[head, end)` is at or below the limit.
        let out = unsafe { claim_at(producer, head, len) };
        fetch_ahead(out);
        write_header(&mut *out, stamp, len, index, KIND_EVENT, 0);
        event.encode_short(&mut out[HEADER_LEN..]);
        commit(producer, end);
        leave(producer, epoch);
        Outcome::Done
    }

    /// Takes this thread's slot for an emit of this tracer; gives the epoch to [`leave`] with. `None` if it is not
    /// this epoch's, or taken.
    #[inline(always)]
    pub(crate) fn enter(&self, producer: &Producer) -> Option<u64> {
        gate::enter(&producer.epoch, self.epoch_word())
    }
}

/// What [`Tracer::emit_plain`] leaves to do.
enum Outcome<'a> {
    Done,
    /// Entered, but not the plain case.
    Other(&'a Producer, u64),
    /// Not entered.
    Cold,
}

/// Gives the slot back.
#[inline(always)]
fn leave(producer: &Producer, epoch: u64) {
    gate::leave(&producer.epoch, epoch);
}

/// What is not the plain case, after [`Tracer::enter`].
#[cold]
#[inline(never)]
pub(crate) fn emit_other<E: Event>(producer: &Producer, event: &E, epoch: u64) {
    let index = E::slot().index();
    if known(producer, index) == PLAIN {
        put_plain(producer, index, event);
    } else {
        put_planned(producer, event);
    }
    leave(producer, epoch);
}

/// Encodes an event as it is.
fn put_plain<E: Event>(producer: &Producer, index: u16, event: &E) {
    let len = HEADER_LEN + event.encoded_len();
    let Some(out) = reserve(producer, len) else { return };
    write_header(&mut *out, producer.stamp.get(), len, index, KIND_EVENT, 0);
    event.encode(&mut out[HEADER_LEN..]);
    commit(producer, producer.head.get() + padded(len));
}

/// Events with secrets, reductions or opt-in fields, and the first of a type.
fn put_planned<E: Event>(producer: &Producer, event: &E) {
    // SAFETY: the state whose epoch the caller found under `BUSY` lives until no thread is busy with that epoch.
    let state: &State = unsafe { &*producer.state.get() };
    let verdict = match known(producer, E::slot().index()) {
        UNKNOWN => {
            // The first of its type: locks, allocates and writes a file, which a signal handler must not do.
            if crate::signal::in_handler() {
                return count(producer, LossReason::Signal);
            }
            let _no_signal = crate::fork::FileSizeSignal::block();
            let Some(verdict) = state.learn::<E>() else { return count(producer, LossReason::Other) };
            verdict
        }
        verdict => verdict,
    };
    let index = E::slot().index();
    match verdict {
        PLAIN => put_plain(producer, index, event),
        PLANNED => {
            let Some(plan) = state.plan(index) else { return count(producer, LossReason::Other) };
            let bound = HEADER_LEN + event.reduced_len_bound();
            let Some(out) = reserve(producer, bound) else { return };
            let len = HEADER_LEN + event.encode_reduced(plan, &mut out[HEADER_LEN..]);
            let flags = if plan.changed { FLAG_REDUCED } else { 0 };
            write_header(&mut *out, producer.stamp.get(), len, index, KIND_EVENT, flags);
            commit(producer, producer.head.get() + padded(len));
        }
        _ => {}
    }
}

/// What the process table says of the event type with this index.
#[inline(always)]
fn known(producer: &Producer, index: u16) -> u8 {
    let index = usize::from(index) % EVENT_TABLE;
    // SAFETY: `events` points to the table of EVENT_TABLE entries of the process state whose epoch the caller has
    // checked under `BUSY`, so it is not freed meanwhile; the index is below EVENT_TABLE.
    unsafe { &*producer.events.get().add(index) as &AtomicU8 }.load(Ordering::Acquire)
}

/// A header word of the producer's ring.
#[inline(always)]
fn word(producer: &Producer, offset: usize) -> &AtomicU64 {
    // SAFETY: `words` is the start of the ring's header page, mapped while the epoch that the caller checked under
    // `busy` lives; `offset` is one of the layout's constants, aligned and inside that page.
    unsafe { &*producer.words.get().add(offset / 8) }
}

#[inline(always)]
fn cursor(producer: &Producer) -> Cursor<'_> {
    Cursor::new(word(producer, layout::HEAD), word(producer, layout::TAIL))
}

fn capacity(producer: &Producer) -> u64 {
    producer.mask.get() + 1
}

const fn padded(len: usize) -> u64 {
    (len as u64 + 7) & !7
}

/// How far before its use a line of the ring is asked for: some hundred nanoseconds at full speed.
const AHEAD: usize = 6144;
/// Bytes of a record for which that is done.
const MOST_AHEAD: usize = 512;

/// Asks for the lines that records will be written to soon. The drain has read them on another core, from where they
/// come back slowly: without this the stores of a record of 232 bytes wait half its time.
#[inline(always)]
fn fetch_ahead(record: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        let mut at = 0;
        while at < record.len().min(MOST_AHEAD) {
            // SAFETY: a prefetch reads and writes nothing, and an address that is not mapped does nothing.
            unsafe { _mm_prefetch::<_MM_HINT_ET0>(record.as_ptr().wrapping_add(AHEAD + at).cast()) };
            at += 64;
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = record;
}

/// Counts an attempt, before anything else is done for it.
#[inline(always)]
fn attempt(producer: &Producer) {
    // Only this thread stores it, so a load and a store are an addition; nobody needs an order.
    let attempted = word(producer, layout::ATTEMPTED);
    attempted.store(attempted.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// `len` bytes at `head`.
///
/// # Safety
/// The caller has entered an epoch that holds, and `head + len` is at or below the producer's limit, or `make_room`
/// has just made this room.
#[inline(always)]
#[expect(clippy::mut_from_ref, reason = "the bytes are the ring's, not the producer's; see SAFETY")]
unsafe fn claim_at(producer: &Producer, head: u64, len: usize) -> &mut [u8] {
    let at = head & producer.mask.get();
    // SAFETY: the data area has `mask + 1` bytes and stays mapped while the epoch lives. `head + len` is at or below
    // the limit, which `cursor::limit` and `place` keep at or below the end of the lap, of the free space and of what
    // is ready, so the bytes are inside the area and the drain does not read them before the commit. `BUSY` keeps a
    // second reservation of this thread out.
    unsafe { std::slice::from_raw_parts_mut(producer.data.get().add(at as usize), len) }
}

/// `len` bytes at the head that nobody else reads or writes until [`commit`].
#[expect(clippy::mut_from_ref, reason = "the bytes are the ring's, not the producer's; see `claim_at`")]
fn reserve(producer: &Producer, len: usize) -> Option<&mut [u8]> {
    attempt(producer);
    if producer.head.get() + padded(len) > producer.limit.get() || len > MAX_RECORD {
        make_room(producer, len)?;
    }
    // SAFETY: the caller has entered; the room was there or has been made.
    Some(unsafe { claim_at(producer, producer.head.get(), len) })
}

#[inline(always)]
fn write_header(out: &mut [u8], stamp: Stamp, len: usize, event: u16, kind: u8, flags: u8) {
    let word = len as u64 | u64::from(event) << 32 | u64::from(kind) << 48 | u64::from(flags) << 56;
    if let Some((first, rest)) = out.split_first_chunk_mut::<8>() {
        *first = word.to_le_bytes();
        if let Some((second, _)) = rest.split_first_chunk_mut::<8>() {
            *second = stamp.ticks().to_le_bytes();
        }
    }
}

/// Publishes everything before `end`.
#[inline(always)]
fn commit(producer: &Producer, end: u64) {
    cursor(producer).commit(end);
    producer.head.set(end);
}

/// The cached limit does not suffice: look at the tail, pad to the next lap, wake the drain, tell losses; or
/// count a loss.
#[cold]
#[inline(never)]
fn make_room(producer: &Producer, len: usize) -> Option<()> {
    let capacity = capacity(producer);
    // SAFETY: the ring is alive while this thread owns its slot (`OwnedSlot::ring`).
    if unsafe { &*producer.ring.get() }.is_broken() {
        // Counted: the attempt is, and what a broken ring does not deliver is lost (`Ring::counters`).
        producer.limit.set(0);
        return None;
    }
    if len > MAX_RECORD || padded(len) > capacity / 2 {
        count(producer, LossReason::TooBig);
        return None;
    }
    tell_losses(producer);
    if place(producer, padded(len)) || wait_for_room(producer, padded(len)) {
        return Some(());
    }
    count(producer, LossReason::Full);
    None
}

/// For components that chose to wait: sleeps until there is room, the time is over, or the session ends.
fn wait_for_room(producer: &Producer, size: u64) -> bool {
    // SAFETY: the state whose epoch the caller found under `BUSY` lives until no thread is busy with that epoch.
    let state: &State = unsafe { &*producer.state.get() };
    let WhenFull::Wait(most) = state.config.when_full else { return false };
    let deadline = Instant::now() + most;
    while Instant::now() < deadline && !state.retired.load(Ordering::Relaxed) {
        producer.woken.set(0);
        wake(producer, cursor(producer).released());
        std::thread::sleep(Duration::from_micros(50));
        if place(producer, size) {
            return true;
        }
    }
    false
}

/// Makes `size` contiguous bytes at the head free, or returns false.
fn place(producer: &Producer, size: u64) -> bool {
    let capacity = capacity(producer);
    let head = producer.head.get();
    let tail = cursor(producer).released();
    // SAFETY: the ring is alive while this thread owns its slot (`OwnedSlot::ring`).
    let ring: &Ring = unsafe { &*producer.ring.get() };
    // A ring that is not whole yet is grown by the drain, which is woken early for it.
    if head.wrapping_sub(tail) > capacity / 2 || cursor::wants_growth(head, ring.ready(), capacity) {
        wake(producer, tail);
    } else {
        producer.woken.set(0);
    }
    let end = match cursor::room(head, tail, capacity, size) {
        Room::Here => head + size,
        Room::AfterPad(pad) => head + pad + size,
        Room::Full => {
            producer.limit.set(head);
            return false;
        }
    };
    if end > ring.ready() && ring.ready() < capacity && !ring.grow(end.min(capacity)) {
        producer.limit.set(head);
        return false;
    }
    if let Room::AfterPad(pad) = cursor::room(head, tail, capacity, size) {
        write_pad(producer, pad);
    }
    let head = producer.head.get();
    let limit = cursor::limit(head, tail, capacity, ring.ready(), producer.woken.get() != 0);
    // The record asked for has room even if a mark lies before its end.
    producer.limit.set(limit.max(head + size));
    true
}

/// Wakes the drain, once for each place of the tail: it may have looked at this ring since, and gone to sleep.
fn wake(producer: &Producer, tail: u64) {
    if producer.woken.replace(tail.wrapping_add(1)) != tail.wrapping_add(1) {
        // SAFETY: the ring is alive while this thread owns its slot (`OwnedSlot::ring`).
        let ring: &Ring = unsafe { &*producer.ring.get() };
        ring.wake_drain();
    }
}

/// Fills the rest of the lap, `pad` bytes (a multiple of 8, at least 8), with a pad record.
fn write_pad(producer: &Producer, pad: u64) {
    let at = producer.head.get() & producer.mask.get();
    let word = pad | u64::from(KIND_PAD) << 48;
    // SAFETY: `pad` bytes remain in the lap and are free (`cursor::room` said AfterPad), so the eight bytes at the
    // head are inside the data area and not read by the drain before the commit; the head is 8-byte aligned.
    unsafe { producer.data.get().add(at as usize).cast::<u64>().write(word.to_le()) };
    commit(producer, producer.head.get() + pad);
}

/// Puts a loss record into the stream if losses happened since the last one and there is room.
fn tell_losses(producer: &Producer) {
    // SAFETY: as in `wake`.
    let ring: &Ring = unsafe { &*producer.ring.get() };
    // Nested attempts are not in `attempted`, which the interrupted emit was about to store: readers add them.
    let nested = ring.interrupted.swap(0, Ordering::Relaxed);
    if nested != 0 {
        word(producer, layout::LOST + LossReason::Nested as usize * 8).fetch_add(nested, Ordering::Relaxed);
    }
    let mut counts = [0_u64; 8];
    let mut total = 0;
    for (reason, count) in counts.iter_mut().enumerate() {
        *count = word(producer, layout::LOST + reason * 8).load(Ordering::Relaxed);
        total += *count;
    }
    if total == producer.told.get() {
        return;
    }
    let Some(mut told) = ring.told.try_lock() else { return };
    if !place(producer, LOSS_LEN) {
        return;
    }
    let at = producer.head.get() & producer.mask.get();
    // SAFETY: `place` made LOSS_LEN contiguous bytes free at the head; see `reserve`.
    let out =
        unsafe { std::slice::from_raw_parts_mut(producer.data.get().add(at as usize), LOSS_LEN as usize) };
    write_header(&mut *out, producer.stamp.get(), LOSS_LEN as usize, 0, KIND_LOSS, 0);
    for ((count, before), bytes) in
        counts.iter().zip(told.iter_mut()).zip(out[HEADER_LEN..].chunks_exact_mut(8))
    {
        bytes.copy_from_slice(&(count - *before).to_le_bytes());
        *before = *count;
    }
    producer.told.set(total);
    commit(producer, producer.head.get() + LOSS_LEN);
}

/// Counts one loss; the next emit of this thread tells it in the stream.
#[cold]
fn count(producer: &Producer, reason: LossReason) {
    // `reserve` has counted the attempt already; those in handlers are not in the header's count (FORMAT.md section 5).
    if !matches!(reason, LossReason::Full | LossReason::TooBig | LossReason::Signal) {
        attempt(producer);
    }
    word(producer, layout::LOST + reason as usize * 8).fetch_add(1, Ordering::Relaxed);
    producer.limit.set(0);
}

/// An emit inside an emit of the same thread, whose slot this is.
#[cold]
#[inline(never)]
pub(crate) fn refuse_nested(producer: &Producer, orphans: &Orphans) {
    let ring = producer.ring.get();
    if ring.is_null() {
        return orphans.count(LossReason::Nested);
    }
    // SAFETY: the ring is alive while this thread owns its slot (`OwnedSlot::ring`); a slot without owner has a
    // null pointer. The count lies beside the mapping, which may be gone if the session was closed just now.
    unsafe { &*ring }.interrupted.fetch_add(1, Ordering::Relaxed);
    producer.limit.set(0);
}

/// Points a fresh slot at its ring.
pub(crate) fn fill(producer: &Producer, ring: &std::sync::Arc<Ring>, state: &State) {
    let head = ring.cursor().committed();
    producer.woken.set(0);
    producer.stamp.set(state.stamp);
    producer.head.set(head);
    producer.limit.set(cursor::limit(head, head, ring.capacity(), ring.ready(), false));
    producer.mask.set(ring.capacity() - 1);
    producer.told.set(0);
    producer.data.set(ring.memory().data());
    producer.words.set(std::ptr::from_ref(ring.memory().word(0)));
    producer.events.set(state.events_table());
    producer.state.set(std::ptr::from_ref(state));
    producer.ring.set(std::sync::Arc::as_ptr(ring));
    producer.epoch.store(state.epoch, Ordering::Relaxed);
}
