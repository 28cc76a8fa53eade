//! The tracer's own threads, made so that they run in forked children too.
//!
//! A thread of the standard library takes a lock when it begins and when it ends, for the message about a stack that
//! overflowed. If another thread holds that lock at the moment of a fork, it stays locked in the child: threads that the
//! child starts then wait for ever, and whoever joins them does too. The C library resets its own locks at a fork.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// As the standard library's.
const STACK: usize = 2 << 20;

type Work = Box<dyn FnOnce() + Send>;

/// A thread that was started; to drop it is to let it run on.
#[derive(Debug)]
pub(crate) struct OwnThread<T> {
    id: libc::pthread_t,
    /// What the work returned; `None` if it panicked.
    result: Arc<OnceLock<Option<T>>>,
    is_joined: bool,
}

/// Starts a thread. `name` has at most 15 bytes.
pub(crate) fn spawn<T: Send + Sync + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<OwnThread<T>> {
    let result = Arc::new(OnceLock::new());
    let out = Arc::clone(&result);
    let name = CString::new(name)?;
    let work: Work = Box::new(move || {
        // SAFETY: the name is a string that ends with a zero and lives through the call.
        unsafe { libc::pthread_setname_np(libc::pthread_self(), name.as_ptr()) };
        // The hook of panics has said what it was.
        let _ = out.set(catch_unwind(AssertUnwindSafe(work)).ok());
    });
    let work = Box::into_raw(Box::new(work));
    // SAFETY: the attributes are initialised before they are used and destroyed after; `run` gets the pointer that
    // `Box::into_raw` made, once; if there is no thread it is taken back here.
    unsafe {
        let mut attributes = std::mem::zeroed::<libc::pthread_attr_t>();
        libc::pthread_attr_init(&raw mut attributes);
        libc::pthread_attr_setstacksize(&raw mut attributes, STACK);
        let mut id = std::mem::zeroed();
        let error = libc::pthread_create(&raw mut id, &raw const attributes, run, work.cast());
        libc::pthread_attr_destroy(&raw mut attributes);
        if error != 0 {
            drop(Box::from_raw(work));
            return Err(io::Error::from_raw_os_error(error));
        }
        Ok(OwnThread { id, result, is_joined: false })
    }
}

extern "C" fn run(work: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: `spawn` made the pointer of a box of this type for this thread alone.
    let work = unsafe { Box::from_raw(work.cast::<Work>()) };
    work();
    std::ptr::null_mut()
}

impl<T> OwnThread<T> {
    /// Whether its work is done.
    pub(crate) fn is_finished(&self) -> bool {
        self.result.get().is_some()
    }

    /// Whether this is the calling thread.
    pub(crate) fn is_current(&self) -> bool {
        // SAFETY: a thread that is not joined has its id; the calls only compare.
        unsafe { libc::pthread_equal(self.id, libc::pthread_self()) != 0 }
    }

    /// Waits for its end; `None` if it panicked.
    pub(crate) fn join(mut self) -> Option<T> {
        self.is_joined = true;
        // SAFETY: it was made joinable, and is joined once: this takes it.
        unsafe { libc::pthread_join(self.id, std::ptr::null_mut()) };
        Arc::into_inner(std::mem::take(&mut self.result)).and_then(OnceLock::into_inner).flatten()
    }
}

impl<T> OwnThread<T> {
    /// Waits for its end until `deadline`. False: it runs on.
    pub(crate) fn join_until(self, deadline: Instant) -> bool {
        while !self.is_finished() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            std::thread::sleep(left.min(Duration::from_micros(500)));
        }
        self.join();
        true
    }
}

impl<T> Drop for OwnThread<T> {
    fn drop(&mut self) {
        if !self.is_joined {
            // SAFETY: it was made joinable and is not joined; afterwards nobody has its id.
            unsafe { libc::pthread_detach(self.id) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_says_what_it_found_and_panics_alone() {
        let found = spawn("tracewell-test", || std::fs::read_to_string("/proc/thread-self/comm")).unwrap();
        assert!(!found.is_current());
        assert_eq!(found.join().unwrap().unwrap(), "tracewell-test\n");
        let failed = spawn("tracewell-test", || -> u8 { panic!("a panic that the test wants") }).unwrap();
        assert_eq!(failed.join(), None);
    }

    #[test]
    fn one_that_does_not_end_is_waited_for_until_the_deadline_only() {
        let soon = || Instant::now() + Duration::from_millis(50);
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let receiver = std::sync::Mutex::new(receiver);
        let thread = spawn("tracewell-test", move || receiver.lock().unwrap().recv()).unwrap();
        assert!(!thread.join_until(soon()));
        drop(sender);
        let thread = spawn("tracewell-test", || ()).unwrap();
        assert!(thread.join_until(Instant::now() + Duration::from_secs(60)));
    }

    #[test]
    fn one_that_is_let_go_runs_on() {
        let (sender, receiver) = std::sync::mpsc::channel();
        drop(spawn("tracewell-test", move || sender.send(7)).unwrap());
        assert_eq!(receiver.recv(), Ok(7));
    }
}
