#!/usr/bin/env bash
# Models of the ring protocol: every interleaving, and mutants that must fail.
set -euo pipefail
cd "$(dirname "$0")/.."
CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom" RUSTFLAGS="--cfg loom" \
  cargo test -p tracewell --release --test loom
