//! Attach slots: who listens to the page, for `tracewell status`. Telling, not deciding: nothing depends on them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tracewell_schema::format::control::{self as layout, AttachSlot};

use super::Control;
use super::maps::Mapped;
use super::types::AttachedComponent;
use crate::boot;
use crate::lock::MutexGuard;

const STATE: usize = 4;
const STARTED: usize = 8;
const NAME: usize = 16;
const NAME_LEN: usize = 32;
const ERRNO: usize = 48;
const SEEN: usize = 56;

const ATTACHED: u32 = 1;
const EMITTING: u32 = 2;
const FAILED: u32 = 3;
const WRITE_FAILED: u32 = 4;

const fn at(slot: usize) -> usize {
    layout::SLOTS + slot * layout::SLOT_LEN
}

impl Control {
    /// The attached components that live, by process id.
    #[must_use]
    pub fn attached(&self) -> Vec<AttachedComponent> {
        let mut all: Vec<_> = (0..layout::SLOT_COUNT)
            .filter_map(|slot| {
                let slot = AttachSlot::decode(&self.copy(at(slot), layout::SLOT_LEN)).ok()?;
                let lives = slot.pid != 0 && boot::is_alive(slot.pid, slot.start_ticks);
                lives.then_some(AttachedComponent {
                    pid: slot.pid,
                    component: slot.component,
                    state: slot.state,
                    errno: slot.errno,
                    generation: slot.generation,
                })
            })
            .collect();
        all.sort_by_key(|c| c.pid);
        all
    }

    /// Processes other than this one that map the page without a slot, as far as this user may look, by process id:
    /// forked children, components beyond the 192nd, and commands at work. Reads all of `/proc/*/maps`.
    #[must_use]
    pub fn mapped_without_slot(&self) -> Vec<AttachedComponent> {
        let attached = self.attached();
        let (device, inode) = self.file_id;
        let mut pids = (Mapped { device, inode, path: &self.path }).processes();
        pids.retain(|pid| *pid != std::process::id() && !attached.iter().any(|c| c.pid == *pid));
        pids.sort_unstable();
        let nameless =
            |pid| AttachedComponent { pid, component: String::new(), state: 0, errno: 0, generation: 0 };
        pids.into_iter().map(nameless).collect()
    }

    /// Whether the holder of a slot has ended.
    fn is_abandoned(&self, slot: usize, holder: u32) -> bool {
        let lives = || boot::is_alive(holder, self.word(at(slot) + STARTED).load(Ordering::Acquire));
        if lives() {
            return false;
        }
        // It may have taken the slot this moment, and not have written its start yet.
        if boot::start_ticks(holder).is_some() {
            std::thread::sleep(Duration::from_millis(2));
            return !lives();
        }
        true
    }

    /// Takes an attach slot; without a free one the component works but is listed as a mapping only.
    pub(crate) fn claim_slot(&self, component: &str) {
        let Some(mut own) = self.lock_slot() else { return };
        if own.is_some() || !self.may_store() {
            return;
        }
        let pid = std::process::id();
        for slot in 0..layout::SLOT_COUNT {
            let at = at(slot);
            let holder = self.half(at).load(Ordering::Acquire);
            if holder != 0 && !self.is_abandoned(slot, holder) {
                continue;
            }
            // Whoever exchanges the pid has the slot.
            if self.half(at).compare_exchange(holder, pid, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                continue;
            }
            self.word(at + STARTED).store(boot::own_start_ticks(), Ordering::Release);
            for i in 0..NAME_LEN {
                // The last byte stays zero.
                let byte = component.as_bytes().get(i).copied().filter(|_| i + 1 < NAME_LEN).unwrap_or(0);
                self.byte(at + NAME + i).store(byte, Ordering::Relaxed);
            }
            *own = Some(slot);
            drop(own);
            self.set_slot(ATTACHED, 0);
            return;
        }
    }

    /// A lock held by another thread at the moment of a fork stays locked in the child for ever.
    fn lock_slot(&self) -> Option<MutexGuard<'_, Option<usize>>> {
        self.slot.try_lock_for(Duration::from_millis(50))
    }

    /// The slot, if it is this process's: a forked child has its parent's number.
    fn own_slot(&self) -> Option<usize> {
        let slot = self.slot.try_lock().and_then(|s| *s)?;
        (self.half(at(slot)).load(Ordering::Relaxed) == std::process::id()).then_some(slot)
    }

    fn set_slot(&self, state: u32, errno: i32) {
        if let Some(slot) = self.own_slot().filter(|_| self.may_store()) {
            self.half(at(slot) + ERRNO).store(errno.unsigned_abs(), Ordering::Relaxed);
            self.half(at(slot) + STATE).store(state, Ordering::Release);
            self.store_seen(slot);
        }
    }

    fn store_seen(&self, slot: usize) {
        let seen = self.word(layout::GENERATION).load(Ordering::Relaxed);
        self.word(at(slot) + SEEN).store(seen, Ordering::Relaxed);
    }

    /// Writes down which change of the page this component knows.
    pub(super) fn tell_seen(&self) {
        if let Some(slot) = self.own_slot().filter(|_| self.may_store()) {
            self.store_seen(slot);
        }
    }

    pub(crate) fn set_slot_attached(&self) {
        self.set_slot(ATTACHED, 0);
    }

    pub(crate) fn set_slot_emitting(&self) {
        self.set_slot(EMITTING, 0);
    }

    pub(crate) fn set_slot_failed(&self, errno: i32) {
        self.set_slot(FAILED, errno);
    }

    /// The segment writer cannot write; what is recorded meanwhile waits in memory. [`Control::set_slot_emitting`] ends
    /// it.
    pub(crate) fn set_slot_write_failed(&self, errno: i32) {
        self.set_slot(WRITE_FAILED, errno);
    }

    /// In a forked child: the slot is the parent's.
    pub(crate) fn forget_slot_after_fork(&self) {
        if let Some(mut slot) = self.slot.try_lock() {
            *slot = None;
        }
    }

    pub(crate) fn release_slot(&self) {
        if let Some(slot) = self.lock_slot().and_then(|mut own| own.take()) {
            self.free(slot);
        }
    }

    fn free(&self, slot: usize) {
        let at = at(slot);
        if self.half(at).load(Ordering::Relaxed) == std::process::id() && self.may_store() {
            self.half(at + STATE).store(0, Ordering::Relaxed);
            self.word(at + STARTED).store(0, Ordering::Relaxed);
            self.half(at).store(0, Ordering::Release);
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // Not `lock`: in a forked child another thread of the parent may hold it for ever.
        if let Some(slot) = self.slot.get_mut().take() {
            self.free(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::control;
    use super::*;

    #[test]
    fn attached_components_are_listed_while_they_live() {
        let (_dir, dirs, control) = control();
        control.claim_slot("scanner");
        let other = Control::open(&dirs).unwrap().unwrap();
        other.claim_slot("a-name-that-is-longer-than-the-31-bytes");
        let listed = control.attached();
        let names: Vec<_> = listed.iter().map(|c| c.component.as_str()).collect();
        assert_eq!(names, ["scanner", "a-name-that-is-longer-than-the-"]);
        assert!(listed.iter().all(|c| c.pid == std::process::id() && c.state == 1));
        other.set_slot_failed(libc::ENOSPC);
        let failed = &control.attached()[1];
        assert_eq!((failed.state, failed.errno), (3, libc::ENOSPC as u32));
        other.set_slot_write_failed(libc::EROFS);
        let failed = &control.attached()[1];
        assert_eq!((failed.state, failed.errno), (4, libc::EROFS as u32));
        other.set_slot_emitting();
        assert_eq!((control.attached()[1].state, control.attached()[1].errno), (2, 0));
        drop(other);
        assert_eq!(control.attached().len(), 1, "dropping releases the slot");
        control.release_slot();
        assert!(control.attached().is_empty());
    }

    #[test]
    fn processes_without_a_slot_are_found_by_their_mapping() {
        // A process of its own that maps the page and waits for the end of its input.
        if let Some(base) = std::env::var_os("TRACEWELL_TEST_MAP") {
            let dirs = crate::dirs::Dirs::resolve(Some(base.as_ref())).unwrap();
            let _control = Control::open(&dirs).unwrap().unwrap();
            std::io::stdin().read_line(&mut String::new()).unwrap();
            return;
        }
        let (_dir, dirs, control) = control();
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "control::slots::tests::processes_without_a_slot_are_found_by_their_mapping"])
            .env("TRACEWELL_TEST_MAP", dirs.base())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let begin = std::time::Instant::now();
        while control.mapped_without_slot().is_empty() && begin.elapsed().as_secs() < 20 {
            std::thread::sleep(Duration::from_millis(20));
        }
        let found = control.mapped_without_slot();
        assert!(control.attached().is_empty());
        assert_eq!(control.status().attached, found);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(found.iter().map(|c| c.pid).collect::<Vec<_>>(), [child.id()]);
        assert!(control.mapped_without_slot().is_empty());
    }

    #[test]
    fn slots_of_the_dead_are_taken_again() {
        let (_dir, _dirs, control) = control();
        for slot in 0..layout::SLOT_COUNT {
            // Of this id, but of another start: an earlier process.
            control.half(at(slot)).store(std::process::id(), Ordering::Relaxed);
            control.word(at(slot) + STARTED).store(1, Ordering::Relaxed);
        }
        assert!(control.attached().is_empty());
        control.claim_slot("scanner");
        assert_eq!(control.attached().len(), 1);
    }

    #[test]
    fn with_every_slot_taken_a_component_does_without() {
        let (_dir, _dirs, control) = control();
        for slot in 0..layout::SLOT_COUNT {
            control.half(at(slot)).store(std::process::id(), Ordering::Relaxed);
            control.word(at(slot) + STARTED).store(boot::own_start_ticks(), Ordering::Relaxed);
        }
        control.claim_slot("scanner");
        assert!(control.slot.lock().is_none());
        control.set_slot_failed(5);
        control.release_slot();
    }

    #[test]
    fn a_lock_that_nobody_will_release_is_not_waited_for() {
        let (_dir, _dirs, control) = control();
        control.claim_slot("scanner");
        let held = control.slot.lock();
        let begun = std::time::Instant::now();
        control.forget_slot_after_fork();
        control.claim_slot("scanner");
        control.set_slot_emitting();
        control.release_slot();
        assert!(begun.elapsed() < Duration::from_secs(5));
        drop(held);
        assert_eq!(control.attached()[0].state, 1);
    }

    #[test]
    fn a_child_leaves_the_slot_of_its_parent_alone() {
        let (_dir, dirs, control) = control();
        let child = Control::open(&dirs).unwrap().unwrap();
        control.half(at(0)).store(1, Ordering::Relaxed);
        control.word(at(0) + STARTED).store(boot::start_ticks(1).unwrap_or(0), Ordering::Relaxed);
        *child.slot.lock() = Some(0);
        child.set_slot_emitting();
        drop(child);
        assert_eq!(control.half(at(0)).load(Ordering::Relaxed), 1);
        assert_eq!(control.half(at(0) + STATE).load(Ordering::Relaxed), 0);
    }
}
