//! One producer on cpu 1, the background on cpu 0: cost of calls in batches, switched off, one by one, and paced.

use std::hint::black_box;

use super::machine::{pin, rdtsc, rdtscp, ticks_per_ns};
use super::workload::{Data, LAUNCHES, NETS};
use super::{Args, Peer};

/// Calls of one batch.
const BATCH: usize = 1000;
/// Spinning after a batch, so that the background thread catches up.
const REST_US: f64 = 3000.0;
/// Calls between two waits of a paced producer.
const PACED: usize = 100;

/// Times in ns, sorted.
#[derive(Clone, Debug, Default)]
pub struct Timed(Vec<f64>);

impl Timed {
    /// Sorts them.
    #[must_use]
    pub fn new(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    /// The value below which this share lies; NaN if there are none.
    #[must_use]
    pub fn at(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * share) as usize).copied().unwrap_or(f64::NAN)
    }

    /// The median.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.at(0.5)
    }
}

/// Reads the clock `n` times and does nothing else.
#[inline(never)]
pub fn rdtsc_loop(n: usize) {
    let mut sum = 0_u64;
    for _ in 0..n {
        sum = sum.wrapping_add(rdtsc());
    }
    black_box(sum);
}

/// Does nothing `n` times.
#[inline(never)]
pub(crate) fn empty_loop(n: usize) {
    for _ in 0..n {
        black_box(());
    }
}

/// A peer and what it emits.
pub(crate) struct Bench<'a, P> {
    pub(crate) peer: &'a P,
    pub(crate) data: &'a Data,
    pub(crate) w: u8,
}

impl<P: Peer> Bench<'_, P> {
    /// Calls `n` times.
    #[inline(never)]
    pub(crate) fn calls(&self, from: usize, n: usize) {
        match self.w {
            0 => (0..n).for_each(|_| self.peer.w0()),
            1 => (from..from + n).for_each(|i| self.peer.w1(&self.data.nets[i & (NETS - 1)])),
            _ => (from..from + n).for_each(|i| self.peer.w2(&self.data.launches[i & (LAUNCHES - 1)])),
        }
    }

    /// Calls once for each place of `out`, between two `rdtscp`.
    #[inline(never)]
    fn each(&self, from: usize, out: &mut [u64]) {
        #[inline(always)]
        fn time(out: &mut [u64], mut call: impl FnMut(usize)) {
            for (i, ticks) in out.iter_mut().enumerate() {
                let begun = rdtscp();
                call(i);
                *ticks = rdtscp() - begun;
            }
        }
        match self.w {
            0 => time(out, |_| self.peer.w0()),
            1 => time(out, |i| self.peer.w1(&self.data.nets[(from + i) & (NETS - 1)])),
            _ => time(out, |i| self.peer.w2(&self.data.launches[(from + i) & (LAUNCHES - 1)])),
        }
    }
}

fn spin_us(us: f64, per_ns: f64) {
    let end = rdtscp() + (us * 1000.0 * per_ns) as u64;
    while rdtscp() < end {
        std::hint::spin_loop();
    }
}

fn batches(args: &Args) -> usize {
    args.number("batches").map_or(200, |n| n as usize).max(10)
}

/// Ns an item of `work`, which does `n`.
fn per_item(per_ns: f64, n: usize, work: impl FnOnce()) -> f64 {
    let begun = rdtscp();
    work();
    (rdtscp() - begun) as f64 / per_ns / n as f64
}

pub(super) fn single<P: Peer>(args: &Args) {
    pin(&[0]);
    let (data, per_ns) = (Data::new(), ticks_per_ns());
    let peer = P::init(args);
    let bench = Bench { peer: &peer, data: &data, w: args.w };
    let called = std::thread::scope(|scope| {
        let producer = scope.spawn(|| {
            pin(&[1]);
            match args.mode.as_str() {
                "batch" => batch(args, &bench, per_ns),
                "off" => off(args, &bench, per_ns),
                "tail" => tail(args, &bench, per_ns),
                _ => paced(args, &bench, per_ns),
            }
        });
        producer.join().unwrap_or_default()
    });
    let finished = peer.finish(called);
    println!("called={called} lost={}", finished.lost.unwrap_or(0));
}

fn batch<P: Peer>(args: &Args, bench: &Bench<'_, P>, per_ns: f64) -> u64 {
    let (n, warm) = (batches(args), batches(args) / 10);
    let (mut calls, mut clocks, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..n + warm {
        let clock = per_item(per_ns, BATCH, || rdtsc_loop(BATCH));
        let call = per_item(per_ns, BATCH, || bench.calls(i * BATCH, BATCH));
        if i >= warm {
            calls.push(call);
            clocks.push(clock);
            ratios.push(call / clock);
        }
        spin_us(REST_US, per_ns);
    }
    let calls = Timed::new(calls);
    println!(
        "ns={:.3} min={:.3} p90={:.3} tsc={:.3} ratio={:.4}",
        calls.median(),
        calls.at(0.0),
        calls.at(0.9),
        Timed::new(clocks).median(),
        Timed::new(ratios).median(),
    );
    ((n + warm) * BATCH) as u64
}

fn off<P: Peer>(args: &Args, bench: &Bench<'_, P>, per_ns: f64) -> u64 {
    let n = if batches(args) < 200 { 100_000 } else { 1_000_000 };
    bench.peer.disable();
    let (mut calls, mut empties, mut over) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..batches(args) {
        let empty = per_item(per_ns, n, || empty_loop(n));
        let call = per_item(per_ns, n, || bench.calls(i * n, n));
        calls.push(call);
        empties.push(empty);
        over.push(call - empty);
    }
    println!(
        "ns={:.4} empty={:.4} over={:.4} tsc={:.3}",
        Timed::new(calls).median(),
        Timed::new(empties).median(),
        Timed::new(over).median(),
        per_item(per_ns, 100_000, || rdtsc_loop(100_000)),
    );
    0
}

fn tail<P: Peer>(args: &Args, bench: &Bench<'_, P>, per_ns: f64) -> u64 {
    let (n, warm) = (batches(args), batches(args) / 10);
    let pairs = (0..2001).map(|_| {
        let begun = rdtscp();
        (rdtscp() - begun) as f64
    });
    let overhead = Timed::new(pairs.collect()).median();
    let mut ticks = vec![1_u64; n * BATCH];
    let mut clocks = Vec::new();
    for i in 0..warm {
        bench.each(i * BATCH, &mut ticks[..BATCH]);
        spin_us(REST_US, per_ns);
    }
    for (i, batch) in ticks.chunks_mut(BATCH).enumerate() {
        clocks.push(per_item(per_ns, BATCH, || rdtsc_loop(BATCH)));
        bench.each(i * BATCH, batch);
        spin_us(REST_US, per_ns);
    }
    let times = Timed::new(ticks.iter().map(|&t| (t as f64 - overhead) / per_ns).collect());
    println!(
        "p50={:.1} p99={:.1} p999={:.1} max={:.0} overhead={:.1} tsc={:.3}",
        times.at(0.5),
        times.at(0.99),
        times.at(0.999),
        times.at(1.0),
        overhead / per_ns,
        Timed::new(clocks).median(),
    );
    ((n + warm) * BATCH) as u64
}

/// Bursts of [`PACED`] calls at `rate` calls a second for `secs`, while the background thread works all the time.
fn paced<P: Peer>(args: &Args, bench: &Bench<'_, P>, per_ns: f64) -> u64 {
    let rate = args.number("rate").unwrap_or(5e6);
    let step = (PACED as f64 / rate * 1e9 * per_ns) as u64;
    let mut due = rdtscp();
    let end = due + (args.secs * 1e9 * per_ns) as u64;
    let (mut calls, mut clocks, mut i) = (Vec::new(), Vec::new(), 0);
    while due < end {
        while rdtscp() < due {
            std::hint::spin_loop();
        }
        // The pair of clock reads around a burst is in both, so that it drops out of their difference.
        calls.push(per_item(per_ns, PACED, || bench.calls(i * PACED, PACED)));
        if i % 16 == 0 {
            clocks.push(per_item(per_ns, PACED, || rdtsc_loop(PACED)));
        }
        due += step;
        i += 1;
    }
    let mean = calls.iter().sum::<f64>() / calls.len() as f64;
    let behind = rdtscp().saturating_sub(end) as f64 / per_ns / 1e9;
    let (calls, clock) = (Timed::new(calls), Timed::new(clocks).median());
    let ns = calls.median();
    println!(
        "ns={ns:.3} mean={mean:.3} p99={:.3} tsc={clock:.3} ratio={:.4} behind_s={behind:.4}",
        calls.at(0.99),
        ns / clock,
    );
    (i * PACED) as u64
}
