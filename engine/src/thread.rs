//! A thread's side of its rings: the producer slot that `emit!` works on, and how threads come, go and fork.
//!
//! * `CURRENT` is a thread-local without destructor (a load, where one with a destructor costs a call): it points
//!   to the slot of the tracer that this thread used last. `OWNED` has the destructor, and is touched only by a
//!   thread's first emit.
//! * Slots lie in pages that the kernel wipes in a forked child (`MADV_WIPEONFORK`): the child finds epoch 0, which
//!   matches no tracer, and takes the cold path; no emit of a child ever writes into its parent's ring.
//! * A slot's epoch is `BUSY` while its thread is inside an emit, which makes an emit exclusive on its thread: a
//!   second one, from a signal handler or an allocator, finds an epoch that matches no tracer, and is refused and
//!   counted on the cold path.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::io;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::clock::Stamp;
use crate::fork::own_pid;
use crate::lock::Mutex;
use crate::ring::gate;
use crate::ring::{Ring, life};
use crate::state::State;

/// What `emit!` works on. Two cache lines of their own, written by one thread only.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Producer {
    /// The session of the process state that the pointers below belong to; 0 = none. They may be followed only
    /// after this was set to `BUSY` *and then* its former value was found to be the tracer's epoch (see
    /// `state.rs`, "Closing").
    pub(crate) epoch: AtomicU64,
    /// How records are stamped.
    pub(crate) stamp: Cell<Stamp>,
    /// Where the tail was when the drain was woken for the present backlog, plus one; 0 if it was not.
    pub(crate) woken: Cell<u64>,
    pub(crate) head: Cell<u64>,
    pub(crate) limit: Cell<u64>,
    pub(crate) mask: Cell<u64>,
    pub(crate) data: Cell<*mut u8>,
    pub(crate) words: Cell<*const AtomicU64>,
    pub(crate) events: Cell<*const AtomicU8>,
    pub(crate) ring: Cell<*const Ring>,
    /// The process state; it lives as long as its epoch may be used.
    pub(crate) state: Cell<*const State>,
    /// Losses by reason that loss records have told so far.
    pub(crate) told: Cell<u64>,
}

thread_local! {
    static CURRENT: Cell<*const Producer> = const { Cell::new(std::ptr::null()) };
    /// Set while this thread is on a cold path, or is one of our own threads: emits are refused.
    static REFUSE: Cell<u32> = const { Cell::new(0) };
    /// Set when this thread's slots are gone: emits of later destructors are refused.
    static ENDED: Cell<bool> = const { Cell::new(false) };
    /// Set when `OWNED` is used: to touch it the first time registers its destructor, which allocates.
    static HAS_OWNED: Cell<bool> = const { Cell::new(false) };
    /// Depth of `signal_scope` guards.
    static SIGNAL: Cell<u32> = const { Cell::new(0) };
    static OWNED: RefCell<Owned> = const { RefCell::new(Owned { slots: Vec::new() }) };
}

/// The slot that this thread used last, or null.
#[inline(always)]
pub(crate) fn current() -> *const Producer {
    CURRENT.get()
}

/// The slots of this thread, one a tracer; dropped when the thread ends.
struct Owned {
    slots: Vec<OwnedSlot>,
}

struct OwnedSlot {
    producer: NonNull<Producer>,
    ring: Arc<Ring>,
    epoch: u64,
    pid: u32,
}

impl Drop for Owned {
    fn drop(&mut self) {
        // Emits from destructors that run after this one find no slot and no way to make one.
        CURRENT.set(std::ptr::null());
        ENDED.set(true);
        for slot in self.slots.drain(..) {
            retire(slot);
        }
    }
}

fn retire(slot: OwnedSlot) {
    if slot.pid != own_pid() {
        // Inherited through fork: ring and slot belong to the parent.
        std::mem::forget(slot.ring);
        return;
    }
    release(slot.producer);
    // SAFETY: the slot came from `take_slot` and only this thread writes it; it is unmapped never.
    let producer = unsafe { slot.producer.as_ref() };
    producer.epoch.store(0, Ordering::Relaxed);
    producer.ring.set(std::ptr::null());
    life::end(&slot.ring.thread_gone);
    // So that the next thread finds the ring free.
    slot.ring.wake_drain();
    give_slot(slot.producer);
}

/// Makes sure that this thread does not go on with a slot that another thread may get next.
fn release(slot: NonNull<Producer>) {
    if CURRENT.get() == slot.as_ptr() {
        CURRENT.set(std::ptr::null());
    }
}

/// Adds a guard that refuses emits of this thread while it lives.
pub(crate) struct Refusal(());

impl Refusal {
    /// `None` if emits are refused already: then a cold path is under way on this thread.
    pub(crate) fn enter() -> Option<Self> {
        if ENDED.get() { None } else { Self::enter_at_exit() }
    }

    /// As [`Refusal::enter`]. When the process exits, the slots of the thread that ends it are gone already.
    pub(crate) fn enter_at_exit() -> Option<Self> {
        if REFUSE.get() != 0 {
            return None;
        }
        REFUSE.set(1);
        Some(Self(()))
    }

    /// For our own threads: they never emit.
    pub(crate) fn forever() {
        REFUSE.set(1);
    }
}

impl Drop for Refusal {
    fn drop(&mut self) {
        REFUSE.set(0);
    }
}

/// Marks this thread as inside a signal handler until it is dropped; see [`crate::signal_scope`].
#[derive(Debug)]
pub struct SignalScope {
    slot: *const Producer,
}

pub(crate) fn signal_scope() -> SignalScope {
    SIGNAL.set(SIGNAL.get() + 1);
    // Without a current slot every emit takes the cold path, which asks `in_signal_scope`: the hot path need not.
    SignalScope { slot: CURRENT.replace(std::ptr::null()) }
}

impl Drop for SignalScope {
    fn drop(&mut self) {
        SIGNAL.set(SIGNAL.get().saturating_sub(1));
        CURRENT.set(self.slot);
    }
}

/// Whether a `signal_scope` is open on this thread.
pub(crate) fn in_signal_scope() -> bool {
    SIGNAL.get() != 0
}

/// Whether the slot's thread is inside an emit.
pub(crate) fn is_busy(slot: *const Producer) -> bool {
    // SAFETY: null, or a slot from `take_slot`; slots are never unmapped, and `epoch` is atomic.
    !slot.is_null() && gate::is_busy(unsafe { &(*slot).epoch })
}

/// The current slot, if this thread is inside an emit.
pub(crate) fn busy_slot() -> Option<&'static Producer> {
    let slot = current();
    // SAFETY: not null, so a slot of this thread; slots are never unmapped.
    is_busy(slot).then(|| unsafe { &*slot })
}

/// Makes this thread's slot for `epoch` the current one, if it has one. Async-signal-safe.
pub(crate) fn select(epoch: u64) -> Option<NonNull<Producer>> {
    if !HAS_OWNED.get() {
        return None;
    }
    OWNED
        .try_with(|owned| {
            let owned = owned.try_borrow().ok()?;
            let slot = owned.slots.iter().find(|s| s.epoch == epoch && s.pid == own_pid())?;
            CURRENT.set(slot.producer.as_ptr());
            Some(slot.producer)
        })
        .ok()
        .flatten()
}

/// Ties `ring` to this thread under `epoch` and makes it current. `None` if the thread is ending.
///
/// `is_live` says which epochs still have a process state; slots of others are given back.
pub(crate) fn adopt(
    epoch: u64,
    is_live: &dyn Fn(u64) -> bool,
    claim: impl FnOnce(NonNull<Producer>) -> Option<Arc<Ring>>,
    fill: impl FnOnce(&Producer, &Arc<Ring>),
) -> Option<NonNull<Producer>> {
    OWNED
        .try_with(|owned| {
            let mut owned = owned.try_borrow_mut().ok()?;
            let mut i = 0;
            while i < owned.slots.len() {
                if is_live(owned.slots[i].epoch) && owned.slots[i].pid == own_pid() {
                    i += 1;
                } else {
                    retire(owned.slots.swap_remove(i));
                }
            }
            HAS_OWNED.set(true);
            let producer = take_slot().ok()?;
            let Some(ring) = claim(producer) else {
                // It may be the slot that was retired just now, and current until then.
                release(producer);
                give_slot(producer);
                return None;
            };
            // SAFETY: `take_slot` gave this slot to this thread alone.
            fill(unsafe { producer.as_ref() }, &ring);
            owned.slots.push(OwnedSlot { producer, ring, epoch, pid: own_pid() });
            CURRENT.set(producer.as_ptr());
            Some(producer)
        })
        .ok()
        .flatten()
}

struct Slots(Vec<NonNull<Producer>>);
// SAFETY: the list only hands slots out; a slot on it is used by no thread.
unsafe impl Send for Slots {}

static FREE_SLOTS: Mutex<Slots> = Mutex::new(Slots(Vec::new()));
const SLAB: usize = 16 * 1024;

fn give_slot(slot: NonNull<Producer>) {
    FREE_SLOTS.lock().0.push(slot);
}

fn take_slot() -> io::Result<NonNull<Producer>> {
    // A lock held by another thread at the moment of a fork stays locked in the child for ever.
    let mut free =
        FREE_SLOTS.try_lock_for(std::time::Duration::from_millis(50)).ok_or(io::ErrorKind::WouldBlock)?;
    if let Some(slot) = free.0.pop() {
        return Ok(slot);
    }
    // SAFETY: an anonymous private mapping at an address of the kernel's choice overlaps nothing of ours.
    let slab = unsafe {
        rustix::mm::mmap_anonymous(
            null_mut(),
            SLAB,
            rustix::mm::ProtFlags::READ | rustix::mm::ProtFlags::WRITE,
            rustix::mm::MapFlags::PRIVATE,
        )
    }?;
    // SAFETY: the range is exactly the mapping made above, and a wiped page is what a fresh one is: zeros.
    unsafe { rustix::mm::madvise(slab, SLAB, rustix::mm::Advice::LinuxWipeOnFork) }?;
    let count = SLAB / size_of::<Producer>();
    for i in 0..count {
        // SAFETY: `i` is below the number of slots that fit the mapping. All-zero bytes are a valid `Producer`
        // (integers, a `Stamp` of 0, and null pointers), and mmap aligned the slab to a page.
        let slot = unsafe { NonNull::new_unchecked(slab.cast::<Producer>().add(i)) };
        free.0.push(slot);
    }
    free.0.pop().ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_two_cache_lines() {
        assert_eq!(size_of::<Producer>(), 128);
    }
}
