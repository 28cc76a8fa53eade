//! Models of what threads share: every interleaving that the memory model allows, of the very files that the engine
//! compiles. Run by `ci/loom.sh` (`RUSTFLAGS="--cfg loom" cargo test -p tracewell --test loom --release`).
//!
//! The bytes are loom cells, so an index stored or loaded with too weak an order is a reported data race.
//!
//! Two kinds of mutants must fail: the `mutant_*` tests of each model change what the model's own code does, and
//! `orders::every_order_is_needed` weakens each order, exchange and fence of the engine's files in turn.
#![cfg(loom)]

#[path = "../../src/ring/cursor.rs"]
#[allow(dead_code, unreachable_pub)]
mod cursor;
#[path = "../../src/ring/gate.rs"]
#[allow(dead_code)]
mod gate;
#[path = "../../src/ring/life.rs"]
#[allow(dead_code)]
mod life;
#[path = "../../src/orphans.rs"]
#[allow(dead_code)]
mod orphans;
#[path = "../../src/control/sequence.rs"]
#[allow(dead_code)]
mod sequence;
mod sync;
#[path = "../../src/ring/ticket.rs"]
#[allow(dead_code)]
mod ticket;

mod close;
mod grow;
mod orders;
mod reuse;
mod ring;
mod tell;

/// Checks every interleaving with at most three preemptions, or `LOOM_MAX_PREEMPTIONS`.
fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.max_branches = 10_000;
    if let Some(most) = orders::SAMPLE.get() {
        builder.max_permutations = Some(most);
    }
    builder.check(f);
}
