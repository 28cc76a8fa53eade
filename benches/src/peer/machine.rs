//! The machine: time stamp counter, pinning, CPU time. The only unsafe code of the benchmarks.

use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// The time stamp counter, as it comes: the floor of every clocked emit.
#[inline(always)]
#[must_use]
pub fn rdtsc() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: RDTSC exists on every x86_64 processor and touches no memory.
    return unsafe { std::arch::x86_64::_rdtsc() };
    #[cfg(not(target_arch = "x86_64"))]
    nanoseconds(ClockId::Monotonic)
}

/// The time stamp counter after everything before it has been executed: what a single call is measured with.
#[inline(always)]
#[must_use]
pub fn rdtscp() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        let mut cpu = 0;
        // SAFETY: RDTSCP exists on every x86_64 processor since 2008 and writes only `cpu`, which is ours.
        unsafe { std::arch::x86_64::__rdtscp(&raw mut cpu) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    nanoseconds(ClockId::Monotonic)
}

/// Ticks of the counter in a nanosecond, measured for 50 ms.
#[must_use]
pub fn ticks_per_ns() -> f64 {
    let (begun, first) = (Instant::now(), rdtscp());
    while begun.elapsed() < Duration::from_millis(50) {}
    (rdtscp() - first) as f64 / begun.elapsed().as_nanos() as f64
}

/// How many processors this process may use.
#[must_use]
pub fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Pins the running thread, and those that it will start, to these processors. What does not exist is left out.
pub fn pin(cpus: &[usize]) {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        set.set(cpu);
    }
    // Without the right to, or without these processors, figures are worse, never wrong.
    let _ = sched_setaffinity(None, &set);
}

/// CPU seconds of all threads of this process, the ended ones included.
#[must_use]
pub fn process_cpu() -> f64 {
    nanoseconds(ClockId::ProcessCPUTime) as f64 / 1e9
}

/// CPU seconds of the running thread.
#[must_use]
pub fn thread_cpu() -> f64 {
    nanoseconds(ClockId::ThreadCPUTime) as f64 / 1e9
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
