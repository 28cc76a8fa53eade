//! Forks, children that share the memory, and exec.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tracewell::Tracer;

use crate::oracle::QUIET;
use crate::{Stage, emit_own, emit_shared, oracle, say, stop, stopped};

/// Threads that fork.
const FORKING: u32 = 8;
/// First lane of children.
const CHILDREN: u32 = 1000;
/// Words of the oracle: losses that children know of, by themselves; children that were killed.
pub(crate) const CHILD_LOST: usize = 1;
pub(crate) const KILLED: usize = 2;
/// Events of a child.
const EVENTS: u32 = 5;

/// Eight threads fork, while others hold the tracer's locks as often as they can. Children emit and end in one of four
/// ways: as a process should, at once, killed, or with a child of their own.
pub(crate) fn forks(stage: &Stage) {
    let tracer = stage.tracer();
    let next = AtomicU32::new(CHILDREN);
    emit_own(tracer, 0);
    std::thread::scope(|scope| {
        // Locks: of the session by `flush` and `stats`, of rings and slots by first emits and thread ends, of the list of
        // tracers by those that come and go.
        let busy: Vec<_> = (0..3)
            .map(|kind| {
                scope.spawn(move || {
                    while !stopped() {
                        match kind {
                            0 => {
                                let _ = (tracer.flush(), tracer.stats());
                            }
                            1 => {
                                let _ = std::thread::spawn(move || emit_shared(QUIET + 2)).join();
                            }
                            _ => emit_own(tracer, 1),
                        }
                        std::thread::sleep(Duration::from_micros(200));
                    }
                })
            })
            .collect();
        let forking: Vec<_> = (0..FORKING)
            .map(|thread| {
                let (next, mut random) = (&next, stage.random(u64::from(thread)));
                scope.spawn(move || {
                    for _ in 0..stage.amount {
                        // From threads with a ring and without.
                        if random.below(3) != 0 {
                            emit_own(tracer, 10 + thread);
                        }
                        let lane = next.fetch_add(2, Ordering::Relaxed);
                        let kind = random.below(8);
                        wait(fork(|| child(tracer, lane, kind)), kind == 1);
                        emit_own(tracer, 10 + thread);
                    }
                })
            })
            .collect();
        for thread in forking {
            thread.join().expect("a forking thread");
        }
        stop();
        for thread in busy {
            thread.join().expect("a busy thread");
        }
    });
    say("forks", u64::from(FORKING) * stage.amount);
}

fn child(tracer: &Tracer, lane: u32, kind: u64) {
    if kind == 0 {
        // It does not emit.
        return;
    }
    (0..EVENTS).for_each(|_| emit_own(tracer, lane));
    if kind == 1 {
        oracle().word(KILLED).fetch_add(1, Ordering::Relaxed);
        let lost = tracer.stats().lost_total();
        oracle().word(CHILD_LOST).fetch_add(lost, Ordering::Relaxed);
        // SAFETY: no memory is involved.
        unsafe { libc::raise(libc::SIGKILL) };
    }
    if kind == 2 {
        wait(fork(|| child(tracer, lane + 1, 3)), false);
        (0..EVENTS).for_each(|_| emit_own(tracer, lane));
    }
    let lost = tracer.stats().lost_total();
    oracle().word(CHILD_LOST).fetch_add(lost, Ordering::Relaxed);
    if kind == 4 {
        // SAFETY: it ends at once; what it leaves is what this is about.
        unsafe { libc::_exit(0) };
    }
}

/// Forks; `work` is the child's life.
fn fork(work: impl FnOnce()) -> i32 {
    // SAFETY: what the child uses of other threads' state is what this is about; libc's own locks are reset by fork.
    match unsafe { libc::fork() } {
        0 => {
            work();
            // Not Rust's, which takes a lock of the standard library that another thread may have held at the fork.
            // SAFETY: it runs the handlers of the process's end, one of which is the tracer's.
            unsafe { libc::exit(0) };
        }
        -1 => panic!("no fork: {}", std::io::Error::last_os_error()),
        pid => pid,
    }
}

fn wait(pid: i32, is_killed: bool) {
    let mut status = 0;
    // SAFETY: `status` is written by the call, which keeps nothing.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(waited, pid, "{}", std::io::Error::last_os_error());
    assert_eq!(status, if is_killed { libc::SIGKILL } else { 0 }, "how child {pid} ended");
}

const STACK: usize = 256 * 1024;

extern "C" fn borrowed_life(lanes: *mut libc::c_void) -> libc::c_int {
    for _ in 0..20 {
        emit_shared(QUIET + lanes as usize as u32);
    }
    0
}

/// What `vfork` and `posix_spawn` make: a child in the same memory, whose parent thread waits until it ends.
fn spawn_in_place(lane: u32) {
    let mut stack = vec![0_u8; STACK];
    let top = stack.as_mut_ptr_range().end;
    // SAFETY: the stack is 16-byte aligned at its top (the allocator aligns large blocks so) and lives until the child has
    // ended, for which CLONE_VFORK waits.
    let pid = unsafe {
        libc::clone(
            borrowed_life,
            top.cast(),
            libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
            std::ptr::without_provenance_mut(lane as usize),
        )
    };
    assert!(pid > 0, "no child: {}", std::io::Error::last_os_error());
    wait(pid, false);
}

/// Children that share the memory emit on a thread with a ring, and on threads without one.
pub(crate) fn vfork(stage: &Stage) {
    let tracer = stage.tracer();
    // Before there is a session at all.
    spawn_in_place(20);
    emit_own(tracer, 0);
    for round in 0..stage.amount {
        emit_own(tracer, 0);
        spawn_in_place(21);
        emit_own(tracer, 0);
        std::thread::spawn(move || {
            spawn_in_place(22);
            emit_own(tracer, 1);
            spawn_in_place(23);
        })
        .join()
        .expect("a thread");
        if round % 16 == 0 {
            tracer.flush().expect("flushed");
        }
    }
    tracer.flush().expect("flushed");
    let stats = tracer.stats();
    say("delivered", stats.delivered);
    say("rings", stats.rings);
    say("spawned", 1 + 3 * stage.amount);
}

/// Threads emit, and the process becomes another program at any moment, which emits too.
pub(crate) fn exec(stage: &Stage) {
    let tracer = stage.tracer();
    for lane in 0..3 {
        std::thread::spawn(move || {
            loop {
                emit_own(tracer, lane);
            }
        });
    }
    let mut random = stage.random(0);
    std::thread::sleep(Duration::from_micros(20_000 + random.below(60_000)));
    let program = std::env::current_exe().expect("this program");
    let text = |bytes: &[u8]| CString::new(bytes).expect("no zero");
    let args = [
        text(program.as_os_str().as_bytes()),
        text(b"executed"),
        text(stage.base.as_os_str().as_bytes()),
        text(stage.oracle_path.as_os_str().as_bytes()),
        text(stage.seed.to_string().as_bytes()),
        text(b"1"),
    ];
    let mut pointers: Vec<_> = args.iter().map(|arg| arg.as_ptr()).collect();
    pointers.push(std::ptr::null());
    // SAFETY: the strings and the list, which ends in a null pointer, live until the call has ended this program.
    unsafe { libc::execv(args[0].as_ptr(), pointers.as_ptr()) };
    panic!("no exec: {}", std::io::Error::last_os_error());
}

pub(crate) fn executed(stage: &Stage) {
    let tracer = stage.tracer();
    for _ in 0..500 {
        emit_own(tracer, 10);
    }
}
