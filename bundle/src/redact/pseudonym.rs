//! Pseudonyms: keyed, so that nobody without the key can try out whose they are; the key is random for each bundle and
//! is forgotten with its draft.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zeroize::Zeroizing;

/// Digits of a pseudonym: no vowels, so that no words come out, and nothing that looks like another.
const DIGITS: &[u8; 27] = b"23456789bcdfghjkmnpqrstvwxz";
/// Digits in a pseudonym: 8 of 27 make about 38 bits.
const LEN: usize = 8;

/// The key of a bundle's pseudonyms.
#[derive(Clone)]
pub struct PseudonymKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for PseudonymKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PseudonymKey(..)")
    }
}

impl PseudonymKey {
    /// A random one.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn random() -> std::io::Result<Self> {
        let mut key = Zeroizing::new([0; 32]);
        let mut filled = 0;
        while let Some(rest) = key.get_mut(filled..).filter(|r| !r.is_empty()) {
            filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty())?;
        }
        Ok(Self(key))
    }

    /// This one: for tests.
    #[must_use]
    pub fn of(key: [u8; 32]) -> Self {
        Self(Zeroizing::new(key))
    }

    /// The keyed hash of a value of a kind.
    pub(super) fn hash(&self, kind: &str, value: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(kind.as_bytes());
        hasher.update(&[0]);
        hasher.update(value);
        *hasher.finalize().as_bytes()
    }

    /// `user-7fkq2mxb`.
    pub(super) fn name(&self, kind: &str, value: &str) -> String {
        let hash = self.hash(kind, value.as_bytes());
        let mut number = hash.first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b));
        let mut out = String::with_capacity(kind.len() + 1 + LEN);
        out.push_str(kind);
        out.push('-');
        for _ in 0..LEN {
            out.push(char::from(DIGITS.get((number % 27) as usize).copied().unwrap_or(b'2')));
            number /= 27;
        }
        out
    }

    /// An IPv4 address in 240.0.0.0/4, which is reserved (RFC 1112); an IPv6 address in 100::/64, whose packets are
    /// discarded (RFC 6666).
    pub(super) fn ip(&self, ip: IpAddr) -> IpAddr {
        match ip {
            IpAddr::V4(v4) => {
                let hash = self.hash("ip", &v4.octets());
                let number = hash.first_chunk::<4>().map_or(0, |b| u32::from_le_bytes(*b));
                // Not 255.255.255.255, which is the broadcast.
                let number = (number & 0x0fff_ffff).min(0x0fff_fffe);
                Ipv4Addr::from(0xf000_0000 | number).into()
            }
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => match self.ip(v4.into()) {
                    IpAddr::V4(other) => other.to_ipv6_mapped().into(),
                    other => other,
                },
                None => {
                    let hash = self.hash("ip", &v6.octets());
                    let low = hash.first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b));
                    Ipv6Addr::from(0x0100_u128 << 112 | u128::from(low)).into()
                }
            },
        }
    }

    /// A user id above those of systems and people.
    pub(super) fn uid(&self, uid: u32) -> u32 {
        let hash = self.hash("uid", &uid.to_le_bytes());
        let number = hash.first_chunk::<4>().map_or(0, |b| u32::from_le_bytes(*b));
        3_000_000_000 + number % 1_000_000_000
    }
}

/// Addresses that are the same everywhere, or of no computer.
pub(super) fn says_nothing(ip: IpAddr) -> bool {
    let v4 = |ip: Ipv4Addr| ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast();
    match ip {
        IpAddr::V4(ip) => v4(ip),
        IpAddr::V6(ip) => {
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.to_ipv4_mapped().is_some_and(v4)
        }
    }
}
