//! Facts of this boot and of processes.

use std::sync::OnceLock;

use rustix::time::{ClockId, clock_gettime};

/// The kernel's boot id; zeros if it cannot be read.
pub fn boot_id() -> [u8; 16] {
    static ID: OnceLock<[u8; 16]> = OnceLock::new();
    *ID.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let digits: Vec<u8> =
            text.chars().filter_map(|c| c.to_digit(16)).filter_map(|d| u8::try_from(d).ok()).collect();
        let mut id = [0; 16];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        id
    })
}

fn ns(clock: ClockId) -> i128 {
    let t = clock_gettime(clock);
    i128::from(t.tv_sec) * 1_000_000_000 + i128::from(t.tv_nsec)
}

/// Time since boot, suspend included, ns.
pub fn boottime_ns() -> u64 {
    u64::try_from(ns(ClockId::Boottime)).unwrap_or(0)
}

/// Wall clock, ns since 1970 UTC.
pub fn realtime_ns() -> i64 {
    i64::try_from(ns(ClockId::Realtime)).unwrap_or(i64::MAX)
}

/// Start of a process in clock ticks since boot; `None` if there is no such process.
pub fn start_ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so count from its end.
    let end = stat.iter().rposition(|b| *b == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 2..)?).ok()?;
    rest.split(' ').nth(19)?.parse().ok()
}

/// Start of this process.
pub fn own_start_ticks() -> u64 {
    start_ticks(std::process::id()).unwrap_or(0)
}
