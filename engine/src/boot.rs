//! Facts of this boot and of processes.

use std::io::Read as _;
use std::sync::OnceLock;

use rustix::time::{ClockId, clock_gettime};

/// The kernel's boot id; zeros if it cannot be read.
pub fn boot_id() -> [u8; 16] {
    static ID: OnceLock<[u8; 16]> = OnceLock::new();
    *ID.get_or_init(|| {
        parse_id(&std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default())
    })
}

fn parse_id(text: &str) -> [u8; 16] {
    let digits: Vec<u8> =
        text.chars().filter_map(|c| c.to_digit(16)).filter_map(|d| u8::try_from(d).ok()).collect();
    let mut id = [0; 16];
    for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair[0] << 4 | pair[1];
    }
    id
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

/// What `/proc/PID/stat` says, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: u8,
    threads: u64,
    start_ticks: u64,
}

fn parse_stat(stat: &[u8]) -> Option<Stat> {
    // The name in parentheses may hold anything, so count from its end.
    let end = stat.iter().rposition(|b| *b == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 2..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    // Fields 20 and 22 of the file; `next` took field 3.
    let threads = fields.nth(16)?.parse().ok()?;
    let start_ticks = fields.nth(1)?.parse().ok()?;
    Some(Stat { state, threads, start_ticks })
}

fn stat(pid: u32) -> Option<Stat> {
    let mut file = std::fs::File::open(format!("/proc/{pid}/stat")).ok()?;
    // 52 numbers and a name of 64 bytes at most. The kernel gives all of it to one read.
    let mut text = [0; 2048];
    let len = file.read(&mut text).ok()?;
    parse_stat(text.get(..len)?)
}

/// Start of a process in clock ticks since boot; `None` if there is no such process.
pub fn start_ticks(pid: u32) -> Option<u64> {
    stat(pid).map(|s| s.start_ticks)
}

/// Start of this process.
pub fn own_start_ticks() -> u64 {
    start_ticks(std::process::id()).unwrap_or(0)
}

/// Whether the process with this id and start (as [`start_ticks`]) still runs. A zombie does not; a process whose
/// first thread has ended does.
pub fn is_alive(pid: u32, started: u64) -> bool {
    stat(pid).is_some_and(|s| s.start_ticks == started && (s.threads > 1 || !matches!(s.state, b'Z' | b'X')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let tail = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 7 0 98765 1 2 3";
        let stat = parse_stat(format!("12 (a) R 1 (b) {tail}").as_bytes());
        assert_eq!(stat, Some(Stat { state: b'S', threads: 7, start_ticks: 98_765 }));
        assert_eq!(parse_stat(b"12 (a"), None);
        assert_eq!(parse_stat(b"12 (a)"), None);
        assert_eq!(parse_stat(b"12 (a) S 1"), None);
    }

    #[test]
    fn ids_are_read_with_their_dashes() {
        assert_eq!(parse_id("00010203-0405-0607-0809-0a0b0c0d0e0f\n")[..4], [0, 1, 2, 3]);
        assert_eq!(parse_id(""), [0; 16]);
        assert_ne!(boot_id(), [0; 16]);
    }

    #[test]
    fn processes_live_until_they_have_ended() {
        let own = own_start_ticks();
        assert!(own > 0 && is_alive(std::process::id(), own));
        assert!(!is_alive(std::process::id(), own + 1), "another process with this id");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let started = start_ticks(child.id()).unwrap();
        // Not waited for: it becomes a zombie.
        for _ in 0..500 {
            if !is_alive(child.id(), started) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert!(!is_alive(child.id(), started));
        child.wait().unwrap();
        assert!(boottime_ns() > 0 && realtime_ns() > 0);
    }
}
