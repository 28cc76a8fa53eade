//! The events that everybody emits: the same records, from the same seed, as in `peers/wl.h`.

/// Different network records.
pub const NETS: usize = 1024;
/// Different launches.
pub const LAUNCHES: usize = 64;

/// What W1 says.
#[derive(Clone, Copy, Debug)]
pub struct NetRecord {
    /// Address.
    pub src: u32,
    /// Address.
    pub dst: u32,
    /// Port.
    pub sport: u16,
    /// Port.
    pub dport: u16,
    /// Protocol.
    pub proto: u8,
    /// Bytes.
    pub bytes: u64,
}

/// What W2 says.
#[derive(Clone, Debug)]
pub struct LaunchRecord {
    /// Process.
    pub pid: u32,
    /// Its parent.
    pub ppid: u32,
    /// Size of the image.
    pub size: u64,
    /// Its hash, for those that have arrays.
    pub hash: [u8; 32],
    /// The same in 64 characters, for those that have not.
    pub sha: String,
    /// Path of 60 characters.
    pub path: String,
    /// Command line of 100 characters.
    pub cmd: String,
}

/// All records.
#[derive(Clone, Debug)]
pub struct Data {
    /// W1, from [`NETS`] different ones.
    pub nets: Vec<NetRecord>,
    /// W2, from [`LAUNCHES`] different ones.
    pub launches: Vec<LaunchRecord>,
}

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn text(&mut self, len: usize, alphabet: &[u8]) -> String {
        (0..len).map(|_| char::from(alphabet[(self.next() % alphabet.len() as u64) as usize])).collect()
    }
}

impl Data {
    /// The records, always the same.
    #[must_use]
    pub fn new() -> Self {
        let mut rng = Rng(88_172_645_463_325_252);
        let nets = (0..NETS).map(|_| net(&mut rng)).collect();
        let launches = (0..LAUNCHES).map(|_| launch(&mut rng)).collect();
        Self { nets, launches }
    }
}

impl Default for Data {
    fn default() -> Self {
        Self::new()
    }
}

fn net(rng: &mut Rng) -> NetRecord {
    let r = rng.next();
    NetRecord {
        src: 0x0a00_0000 | (r & 0xffff) as u32,
        dst: (r >> 16) as u32,
        sport: (32_768 + (r >> 48) % 28_000) as u16,
        dport: if r & 1 == 1 { 443 } else { 53 },
        proto: if r & 2 == 2 { 6 } else { 17 },
        bytes: rng.next() % 200_000,
    }
}

fn launch(rng: &mut Rng) -> LaunchRecord {
    const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz/_-.0123";
    let pid = 1000 + (rng.next() % 30_000) as u32;
    let size = rng.next() % 10_000_000;
    let sha = rng.text(64, b"0123456789abcdef");
    let (mut path, mut cmd) = (rng.text(60, ALPHABET), rng.text(100, ALPHABET));
    path.replace_range(0..1, "/");
    cmd.replace_range(0..1, "/");
    let hash = std::array::from_fn(|i| u8::from_str_radix(&sha[2 * i..2 * i + 2], 16).unwrap_or(0));
    LaunchRecord { pid, ppid: pid / 16, size, hash, sha, path, cmd }
}
