#!/usr/bin/env bash
# Guard against regressions that noise cannot trip: instructions of emit, drain and decode under callgrind, against
# ci/instructions.txt. More than 4 % above it fails; `ci/instructions.sh --write` takes the present counts over.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v valgrind >/dev/null || { echo "valgrind is missing: apt-get install valgrind" >&2; exit 1; }
cargo build --release -q -p tracewell-benches --bin counted
program="${CARGO_TARGET_DIR:-target}/release/counted"
out=$(mktemp -d)
trap 'rm -r "$out"' EXIT
# Name of the function, operations.
measures="emit_off:1000 emit_w0:1000 emit_w1:1000 emit_w2:1000 encode:1000 decode:1000 text:3003"
: > "$out/counts"
for measure in $measures; do
  name=${measure%:*}
  valgrind --tool=callgrind --toggle-collect="*count_${name}*" --callgrind-out-file="$out/$name" \
    "$program" >"$out/log" 2>&1 || { cat "$out/log" >&2; exit 1; }
  total=$(awk '/^(summary|totals):/ { n = $2 } END { print n }' "$out/$name")
  [ "${total:-0}" -gt 0 ] || { echo "nothing was counted for $name" >&2; exit 1; }
  awk -v name="$name" -v total="$total" -v n="${measure#*:}" 'BEGIN { printf "%s %.1f\n", name, total / n }' >> "$out/counts"
done
if [ "${1:-}" = --write ]; then
  cp "$out/counts" ci/instructions.txt
fi
awk '
  NR == FNR { before[$1] = $2; next }
  {
    ratio = before[$1] ? $2 / before[$1] : 99
    verdict = ratio > 1.04 ? "MORE" : ratio < 0.96 ? "less: ci/instructions.sh --write" : "ok"
    printf "%-16s %8.1f instructions an operation, %8.1f before: %s\n", $1, $2, before[$1], verdict
    bad += ratio > 1.04
  }
  END { exit bad > 0 }
' ci/instructions.txt "$out/counts"
