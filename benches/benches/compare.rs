//! Ours, the machine's limits and every peer that is installed, in one run; see `docs/performance.md`.

fn main() {
    tracewell_benches::compare::main(env!("CARGO_BIN_EXE_bench-ours"));
}
