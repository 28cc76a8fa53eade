//! Locks that a forked child can use.
//!
//! A child has its parent's memory and one of its threads. A lock that another thread held stays locked in the child for
//! ever; one that was free must be free there, whoever waited for it before. The standard library's locks are one word, of
//! which the kernel knows nothing, so this holds. `parking_lot` keeps those who wait in a table of the process, and hands a
//! lock over to one that waits: in a child that is a thread that does not exist.
//!
//! A panic while a lock is held poisons nothing: what these locks guard is whole after every statement.

use std::sync::{PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// As `std::sync::MutexGuard`.
pub(crate) type MutexGuard<'a, T> = std::sync::MutexGuard<'a, T>;

/// As `std::sync::Mutex`, without poison.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T: ?Sized>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }
}

impl<T: ?Sized> Mutex<T> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(guard)) => Some(guard.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The lock, if it is free at some time soon. Asks again and again, for what could wake it may not exist.
    pub(crate) fn try_lock_for(&self, most: Duration) -> Option<MutexGuard<'_, T>> {
        let begun = Instant::now();
        let mut pause = Duration::from_micros(5);
        loop {
            if let Some(guard) = self.try_lock() {
                return Some(guard);
            }
            if begun.elapsed() >= most {
                return None;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(1));
        }
    }
}

/// As `std::sync::Condvar`, without poison.
#[derive(Debug, Default)]
pub(crate) struct Condvar(std::sync::Condvar);

impl Condvar {
    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// Also whether the time was up.
    pub(crate) fn wait_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Instant,
    ) -> (MutexGuard<'a, T>, bool) {
        let left = deadline.saturating_duration_since(Instant::now());
        let (guard, result) = self.0.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner);
        (guard, result.timed_out())
    }
}
