//! Ours over threads, rates and ring sizes; see `docs/performance.md`.

fn main() {
    tracewell_benches::scale::main(env!("CARGO_BIN_EXE_bench-ours"));
}
