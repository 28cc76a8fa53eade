//! Plausible values for tests and demonstrations: one instance of every event, the same for the same seed.
//!
//! The events of one seed tell one story: a file is downloaded, launched, connects, is detected, and is decided about.
//! All names and addresses are those reserved for examples (example.com, 192.0.2.0/24, 2001:db8::/32).

mod daily;
mod system;
mod threat;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::event::Event;
use crate::{CorrelationId, Id128, ProcessKey, Timestamp};

/// Is shown events of different types.
pub trait Visitor {
    /// Is called for each event.
    fn event<E: Event + std::fmt::Debug>(&mut self, event: &E);
}

/// Shows one instance of every event of the catalog; other seeds give other values.
pub fn visit_samples(seed: u64, visitor: &mut impl Visitor) {
    let mut numbers = Numbers(seed);
    let story = Story::new(&mut numbers);
    threat::visit(&story, &mut numbers, visitor);
    system::visit(&story, &mut numbers, visitor);
    daily::visit(&story, &mut numbers, visitor);
}

pub use visit_samples as visit;

/// A generator of numbers, the same for the same seed.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: u32) -> u32 {
        (self.next() % u64::from(n)) as u32
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.next() as u8)
    }

    fn id(&mut self) -> Id128 {
        Id128(self.bytes())
    }

    fn chance(&mut self) -> bool {
        self.below(2) == 1
    }

    /// The value, or none.
    fn maybe<T>(&mut self, value: T) -> Option<T> {
        self.chance().then_some(value)
    }

    fn pick<T: Copy, const N: usize>(&mut self, of: [T; N]) -> T {
        of[self.below(N as u32) as usize]
    }

    /// The first items of a list; how many differs.
    fn some<'a, T>(&mut self, of: &'a [T]) -> &'a [T] {
        let len = self.below(of.len() as u32 + 1) as usize;
        of.get(..len).unwrap_or(of)
    }
}

/// What the events of one seed have in common.
struct Story {
    correlation: CorrelationId,
    parent_correlation: CorrelationId,
    /// The downloaded program as a process.
    process_key: ProcessKey,
    pid: u32,
    /// The browser, which downloads and launches it.
    browser_key: ProcessKey,
    browser_pid: u32,
    browser: &'static str,
    user: &'static str,
    uid: u32,
    host: &'static str,
    file_name: &'static str,
    path: String,
    url: String,
    sha256: [u8; 32],
    certificate_id: [u8; 32],
    size: u64,
    begun: Timestamp,
    detection_id: Id128,
    connection_id: Id128,
    visit_id: Id128,
    v4: IpAddr,
    v6: IpAddr,
    local: SocketAddr,
    remote: SocketAddr,
    took: Duration,
}

/// 2026-11-24 00:00 UTC.
const DAY: i64 = 1_795_478_400_000_000_000;

impl Story {
    fn new(n: &mut Numbers) -> Self {
        let user = n.pick(["alex", "sam", "kim"]);
        let file_name =
            n.pick(["invoice.pdf.exe", "setup-1.4.sh", "holiday photos.zip", "tool.AppImage", "größe.elf"]);
        let host = n.pick(["downloads.example.com", "cdn.example.net", "www.example.org"]);
        let v4 = IpAddr::V4(Ipv4Addr::new(192, 0, 2, n.next() as u8));
        let v6 = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n.next() as u16));
        let own_v6 = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0x10));
        let (own, other) =
            if n.chance() { (IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)), v4) } else { (own_v6, v6) };
        Self {
            correlation: CorrelationId(n.next() | 1),
            parent_correlation: CorrelationId(n.next() | 1),
            process_key: ProcessKey(n.bytes()),
            pid: 2000 + n.below(30_000),
            browser_key: ProcessKey(n.bytes()),
            browser_pid: 1000 + n.below(1000),
            browser: n.pick(["/usr/lib/firefox/firefox", "/usr/bin/chromium", "/opt/browser/browser"]),
            user,
            uid: 1000 + n.below(3),
            host,
            file_name,
            path: format!("/home/{user}/Downloads/{file_name}"),
            url: format!("https://{host}/files/{}", file_name.replace(' ', "%20")),
            sha256: n.bytes(),
            certificate_id: n.bytes(),
            size: 1000 + u64::from(n.below(5_000_000)),
            begun: Timestamp(DAY + i64::from(n.below(86_000_000)) * 1_000_000),
            detection_id: n.id(),
            connection_id: n.id(),
            visit_id: n.id(),
            v4,
            v6,
            local: SocketAddr::new(own, 40_000 + n.below(9000) as u16),
            remote: SocketAddr::new(other, 443),
            took: Duration::from_micros(50 + u64::from(n.below(900_000))),
        }
    }

    /// A moment of the story, so many ms after its begin.
    fn after(&self, ms: i64) -> Timestamp {
        Timestamp(self.begun.0 + ms * 1_000_000)
    }
}
