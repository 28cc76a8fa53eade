//! Random identities.

/// Sixteen random bytes from the kernel.
pub(crate) fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    fill(&mut bytes);
    bytes
}

/// Thirty-two random bytes from the kernel: a session's key.
pub(crate) fn random_key() -> [u8; 32] {
    let mut bytes = [0; 32];
    fill(&mut bytes);
    bytes
}

fn fill(bytes: &mut [u8]) {
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(n) => filled += n,
            Err(rustix::io::Errno::INTR) => {}
            // The call exists since Linux 3.17; without it no key is secret, so none is made.
            Err(e) => panic!("the kernel gives no random bytes: {e}"),
        }
    }
}
