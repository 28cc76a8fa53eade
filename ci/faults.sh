#!/usr/bin/env bash
# Fault tests: --quick is CI's part; --long is the long part, whose runs are added to docs/faults.md.
# A name after it runs that test alone: ci/faults.sh --quick kill
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in
  --quick) scale=0 ;;
  --long) scale=1 ;;
  *) echo "usage: ci/faults.sh --quick|--long [TEST]" >&2; exit 2 ;;
esac
only="${2:-}"
cargo build --release -p tracewell-faults -p tracewell-cli
faults="${CARGO_TARGET_DIR:-target}/release/faults"
reports=$(mktemp)
trap 'rm -f "$reports"' EXIT
# run NAME QUICK-ARGUMENTS LONG-ARGUMENTS
run() {
  if [ -n "$only" ] && [ "$only" != "$1" ]; then return; fi
  local arguments="$2"
  if [ "$scale" = 1 ]; then arguments="$3"; fi
  local begun=$SECONDS
  # shellcheck disable=SC2086 — the arguments are words
  "$faults" "$1" $arguments | tee -a "$reports"
  echo "$1: $((SECONDS - begun)) s" >&2
}
# As run, for a test that is a script: its lines of JSON are its reports.
run_script() {
  if [ -n "$only" ] && [ "$only" != "$1" ]; then return; fi
  local command="$2"
  if [ "$scale" = 1 ]; then command="$3"; fi
  local begun=$SECONDS
  bash -c "set -o pipefail; $command" | { grep '^{"test"' || true; } | tee -a "$reports"
  echo "$1: $((SECONDS - begun)) s" >&2
}
# The tests, one line each.
run access "--count 20000" "--count 1000000"
run adopt "--count 20 --seconds 40" "--count 4000 --seconds 1800"
run bits "--every 997" ""
run bundle "--every 997 --count 2000" "--count 10000"
run calls "--count 12" "--every"
run duel "--count 2000 --seconds 30" "--count 100000 --seconds 1800"
run errors "--count 200" ""
run hostile "--seconds 8" "--seconds 1800"
run kill "--count 3000 --seconds 60" "--count 100000"
run lengths "--every 97" ""
run pages "--count 2000" "--count 1000000"
run secrets "--count 1000" "--count 10000"
run_script shuttle "SCHEDULES=100000 ci/loom.sh --shuttle" "SEED=\$RANDOM\$RANDOM SCHEDULES=20000000 ci/loom.sh --shuttle"
run sigbus "--count 80" "--count 5000"
run soak "--minutes 0.5" "--minutes 60 --retained 2048"
run space "--count 5" "--count 500 --mounts"
if [ "$scale" = 1 ]; then run shutdown "" "--count 500"; fi
run storage "--count 20000" "--count 1000000"
run step "--most 15000 --whole flush,seal-by-age,thread-exit-and-drain" ""
run threads "--seconds 2" "--seconds 60 --forks 1000 --many 4096"

if [ "$scale" = 1 ] && [ "${only:-step}" = step ]; then
  # The instructions of another build are others.
  cargo build -p tracewell-faults
  "${CARGO_TARGET_DIR:-target}/debug/faults" step --most 300000 | tee -a "$reports"
fi
if [ "$scale" = 1 ]; then "$faults" ledger "$reports"; fi
