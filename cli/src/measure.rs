//! What one emit costs, beside what it cannot do without: reading the clock, and copying its bytes.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use tracewell::control::{Control, EnableRequest};
use tracewell::dirs::Dirs;
use tracewell::{Event, Tracer, clock, emit};
use tracewell_schema::format::record::HEADER_LEN;

/// Emits of one burst: small beside a ring, so that none is refused whatever the drain does.
const BURST: u64 = 2_000;
/// Bursts; their median counts.
const BURSTS: usize = 61;
/// Between bursts, so that the drain keeps up.
const PAUSE: Duration = Duration::from_millis(4);

/// 32 bytes of numbers, as the hot paths of a scanner have them.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "custom.measured", category = "custom", level = "info", text = "measured {a}")]
struct Measured {
    /// A number.
    #[field(public)]
    a: u64,
    /// A number.
    #[field(public)]
    b: u64,
    /// A number.
    #[field(public)]
    c: u64,
    /// A number.
    #[field(public)]
    d: u64,
}

/// Times in ns, the medians of all bursts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// One emit of 32 bytes.
    pub(crate) emit: f64,
    /// One bare clock read.
    pub(crate) clock: f64,
    /// A clock read, and a copy of as many bytes as the record has.
    pub(crate) clock_and_copy: f64,
    /// Events that were emitted.
    pub(crate) events: u64,
    /// Events that were refused.
    pub(crate) lost: u64,
}

/// Measures in a trace directory of its own.
///
/// # Errors
/// What went wrong, for a person.
pub(crate) fn measure(dir: &Path) -> Result<Cost, String> {
    let dirs = Dirs::resolve(Some(dir)).map_err(|e| e.to_string())?;
    let control = Control::open_or_create(&dirs).map_err(|e| e.to_string())?;
    control.enable(&dirs, &EnableRequest::default()).map_err(|e| e.to_string())?;
    let tracer = Tracer::builder("measure").dir(dirs.base()).attach().map_err(|e| e.to_string())?;
    let mut area = vec![0_u8; 1 << 20];
    let (mut emits, mut clocks, mut copies) = (Vec::new(), Vec::new(), Vec::new());
    // The first burst makes the ring and warms everything up.
    for burst in 0..=BURSTS {
        let times = [
            per_item(|i| emit!(tracer, Measured { a: i, b: i + 1, c: i + 2, d: i + 3 })),
            per_item(|_| {
                black_box(clock::ticks());
            }),
            copy_burst(&mut area),
        ];
        if burst != 0 {
            emits.push(times[0]);
            clocks.push(times[1]);
            copies.push(times[2]);
        }
        std::thread::sleep(PAUSE);
    }
    let flushed = tracer.flush().map_err(|e| e.to_string());
    let stats = tracer.stats();
    tracer.shutdown();
    control.disable().map_err(|e| e.to_string())?;
    flushed?;
    Ok(Cost {
        emit: median(&mut emits),
        clock: median(&mut clocks),
        clock_and_copy: median(&mut copies),
        events: stats.delivered,
        lost: stats.lost_total(),
    })
}

fn per_item(mut item: impl FnMut(u64)) -> f64 {
    let start = Instant::now();
    for i in 0..BURST {
        item(black_box(i));
    }
    start.elapsed().as_nanos() as f64 / BURST as f64
}

/// A clock read, and a copy of a record's bytes to the next place, as a ring has it.
fn copy_burst(area: &mut [u8]) -> f64 {
    const LEN: usize = HEADER_LEN + 32;
    let record = black_box([7_u8; LEN]);
    let mut places = area.chunks_exact_mut(LEN);
    per_item(|_| {
        if let Some(place) = places.next() {
            place.copy_from_slice(black_box(&record));
            if let Some((first, _)) = place.split_first_chunk_mut::<8>() {
                *first = clock::ticks().to_le_bytes();
            }
            black_box(place);
        }
    })
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
