//! Ours, as a program of the protocol that the peers have (`tracewell_benches::peer`), and measures of its own.
//!
//! `bench-ours MODE W OUT [THREADS SECONDS] [key=value..]`
//!
//! Keys: `ring` and `budget` bytes, `rings` folder, `wait` (1: the producer waits for the drain rather than lose), `coarse` (1),
//! `batches`, `rate`.

mod limits;
mod own;
mod reading;
mod starting;
mod tracer;

use tracewell_benches::peer::{self, Args};

use tracer::Ours;

fn main() {
    let Some(args) = Args::from_env() else {
        eprintln!("usage: bench-ours MODE W OUT [THREADS SECONDS] [key=value..]");
        std::process::exit(2);
    };
    match args.mode.as_str() {
        "limits" => limits::run(&args),
        "text" => reading::text(&args),
        "decode" => reading::values(&args, tracewell_benches::values::by_column),
        "decode-merged" => reading::values(&args, tracewell_benches::values::by_event),
        "verify" => reading::verify(&args),
        "memory" => own::memory(&args),
        "idle" => own::idle(&args),
        "rate" => own::rate(&args),
        "threads" => own::threads(&args),
        "attach" => starting::attach(&args),
        "first" => starting::first_emit(&args),
        "spawn" => starting::spawn(&args),
        _ => {
            if !peer::measure::<Ours>(&args) {
                eprintln!("no mode {}", args.mode);
                std::process::exit(2);
            }
        }
    }
}
