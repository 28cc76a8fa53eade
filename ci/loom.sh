#!/usr/bin/env bash
# Models of what threads share: every interleaving of the loom models, and random schedules of a whole process (shuttle);
# and mutants that must fail. --shuttle runs the schedules alone (SCHEDULES, SEED); --long allows loom more preemptions.
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in
  "") ;;
  --shuttle) only_shuttle=1 ;;
  --long) export LOOM_MAX_PREEMPTIONS=5 ;;
  *) echo "usage: ci/loom.sh [--shuttle|--long]" >&2; exit 2 ;;
esac
if [ -z "${only_shuttle:-}" ]; then
  CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom" RUSTFLAGS="--cfg loom" \
    cargo test -p tracewell --release --test loom
fi
CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom" RUSTFLAGS="--cfg shuttle" \
  cargo test -p tracewell --release --test shuttle -- --show-output
