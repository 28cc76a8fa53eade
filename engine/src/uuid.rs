//! Random identities and keys.

use std::io::{self, Read};

/// Sixteen random bytes: an id. Never fails, because attaching never does.
pub(crate) fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    if fill(&mut bytes).is_err() {
        bytes = derived();
    }
    bytes
}

/// Thirty-two secret bytes: a session's key.
///
/// # Errors
/// If the kernel gives none: a key that can be guessed would reveal what it hashes.
pub(crate) fn random_key() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    fill(&mut bytes)?;
    Ok(bytes)
}

fn fill(bytes: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty()) {
            Ok(n) => filled += n,
            Err(rustix::io::Errno::INTR) => {}
            // A strict seccomp filter; the device gives the same.
            Err(_) => return std::fs::File::open("/dev/urandom")?.read_exact(bytes),
        }
    }
    Ok(())
}

/// Unique, though not secret: what tells this call from every other.
fn derived() -> [u8; 16] {
    static CALLS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let mut hasher = blake3::Hasher::new();
    hasher.update(&crate::boot::boot_id());
    hasher.update(&std::process::id().to_le_bytes());
    hasher.update(&crate::boot::own_start_ticks().to_le_bytes());
    hasher.update(&crate::boot::boottime_ns().to_le_bytes());
    hasher.update(&CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_le_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_alike() {
        assert_ne!(random(), random());
        assert_ne!(random_key().unwrap(), random_key().unwrap());
        assert_ne!(derived(), derived());
        assert_ne!(random(), [0; 16]);
    }
}
