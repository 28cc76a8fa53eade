#!/usr/bin/env bash
# Fuzzing, T-15. --quick: replays the committed corpus and fuzzes each target for FUZZ_SECONDS (20); --long SECONDS: as
# long for each, and adds the runs to docs/faults.md. Names after it run those targets alone:
#   ci/fuzz.sh --quick segment ring        ci/fuzz.sh --long 3600 codec
# FUZZ_JOBS targets run at a time (as many as there are processors), FUZZ_SANITIZER is address (the default) or none,
# FUZZ_SEED the first seed; a target that is named twice runs twice, each with a seed of its own. What a target found is kept
# in fuzz/work/TARGET, and what broke it in fuzz/artifacts. FUZZ_PROGRAMS is a folder of targets that were built elsewhere,
# for a machine without a compiler: nothing is built then, and the reports are only printed.
set -euo pipefail
cd "$(dirname "$0")/.."
usage() { echo "usage: ci/fuzz.sh --quick [TARGET...] | --long SECONDS [TARGET...]" >&2; exit 2; }
mode="${1:-}"
case "$mode" in
  --quick) seconds="${FUZZ_SECONDS:-20}"; shift ;;
  --long) seconds="${2:-}"; shift 2 || usage ;;
  *) usage ;;
esac
[[ "$seconds" =~ ^[0-9]+$ ]] || usage
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for file in fuzz/fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi

sanitizer="${FUZZ_SANITIZER:-address}"
# Files of the targets: on tmpfs if there is room, and gone at the end.
place=$(mktemp -d -p /dev/shm tracewell-fuzz-XXXXXX 2>/dev/null || mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  rm -rf "$place"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
export TRACEWELL_FUZZ_DIR="$place"

build() {
  # Set-up: a C++ compiler for libFuzzer, and a nightly compiler for the instrumentation.
  if ! command -v c++ >/dev/null; then
    apt-get update
    apt-get install -y g++
  fi
  nightly=nightly-x86_64-unknown-linux-gnu
  toolchain="+$nightly"
  if ! { command -v rustup >/dev/null && rustup toolchain list | grep -q "^$nightly"; }; then
    if [ "$mode" = --quick ] && [ -z "${FUZZ_SANITIZER:-}" ]; then
      # The instrumentation alone needs no nightly compiler.
      echo "there is no $nightly: fuzzed without a sanitizer" >&2
      sanitizer=none
    elif [ "$sanitizer" = address ]; then
      command -v rustup >/dev/null || { echo "rustup is missing: it installs $nightly" >&2; exit 1; }
      rustup toolchain install "$nightly" --profile minimal --no-self-update
    fi
  fi
  if [ "$sanitizer" = none ]; then toolchain=""; fi

  # The corpus is what its generator makes, every target holds on it, every hostile file gets its verdict.
  target_dir="${CARGO_TARGET_DIR:-target}/fuzz"
  mkdir -p "$target_dir"
  target_dir=$(cd "$target_dir" && pwd)
  CARGO_PROFILE_DEV_DEBUG=0 cargo test --quiet --manifest-path fuzz/Cargo.toml --target-dir "$target_dir" --locked >&2

  # Instrumented as cargo-fuzz does it, by plain cargo.
  flags="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
  flags+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
  flags+=" -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0"
  case "$sanitizer" in
    address) flags+=" -Zsanitizer=address" ;;
    none) ;;
    *) echo "FUZZ_SANITIZER is address or none" >&2; exit 2 ;;
  esac
  RUSTFLAGS="$flags" cargo ${toolchain:+"$toolchain"} build --quiet --release --manifest-path fuzz/Cargo.toml --locked \
    --features libfuzzer --target x86_64-unknown-linux-gnu --target-dir "$target_dir/$sanitizer" \
    $(printf -- '--bin %s ' "${targets[@]}") >&2
  programs="$target_dir/$sanitizer/x86_64-unknown-linux-gnu/release"
}
programs="${FUZZ_PROGRAMS:-}"
if [ -z "$programs" ]; then build; fi

reports=$(mktemp -p "$place")
seed="${FUZZ_SEED:-$((RANDOM * 32768 + RANDOM + 1))}"
# The longest input of each: what has room for everything that it can say, and no more.
longest() {
  case "$1" in
    columns | json | merge | text | settings) echo 4096 ;;
    control) echo 16384 ;;
    trace | ring) echo 65536 ;;
    *) echo 32768 ;;
  esac
}
# Leaks are none of what is looked for, and the sanitizer looks for them after every input.
export ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=1:${ASAN_OPTIONS:-}"
# fuzz TARGET SEED
fuzz() {
  local target="$1" seed="$2" log="$place/$1-$2.log" program="$programs/$1"
  mkdir -p "fuzz/work/$target" "fuzz/artifacts/$target"
  local options=(-timeout=30 -rss_limit_mb=2048 -print_final_stats=1 "-max_len=$(longest "$target")"
    "-artifact_prefix=fuzz/artifacts/$target/")
  local dictionary="fuzz/$target.dict"
  [ ! -f "$dictionary" ] || options+=("-dict=$dictionary")
  if ! "$program" "${options[@]}" -runs=0 "fuzz/corpus/$target" >"$log" 2>&1 ||
    ! "$program" "${options[@]}" "-max_total_time=$seconds" "-seed=$seed" \
      "fuzz/work/$target" "fuzz/corpus/$target" >"$log" 2>&1; then
    tail -n 60 "$log" >&2
    echo "$target: does not hold (seed $seed); the input is in fuzz/artifacts/$target: $target fuzz/artifacts/$target/FILE" >&2
    return 1
  fi
  local count rate covered
  count=$(awk '/^stat::number_of_executed_units:/ { print $2 }' "$log")
  rate=$(awk '/^stat::average_exec_per_sec:/ { print $2 }' "$log")
  covered=$(grep -o 'cov: [0-9]* ft: [0-9]* corp: [0-9]*' "$log" | tail -n 1)
  [ "${count:-0}" -gt 0 ] || { tail -n 60 "$log" >&2; echo "$target: nothing was executed" >&2; return 1; }
  local plan="T-15"
  case "$target" in text | json | settings) plan="T-15, T-20" ;; esac
  local command="ci/fuzz.sh --long $seconds $target"
  [ "$sanitizer" = address ] || command="FUZZ_SANITIZER=$sanitizer $command"
  printf '{"test":"fuzz %s (%s)","unit":"executions","count":%d,"seed":%d,"result":"%s","command":"FUZZ_SEED=%d %s"}\n' \
    "$target" "$plan" "$count" "$seed" "0 findings; $rate a second, $covered" "$seed" "$command" | tee -a "$reports"
}

jobs="${FUZZ_JOBS:-$(nproc)}"
failed=0
for target in "${targets[@]}"; do
  [ -f "fuzz/fuzz_targets/$target.rs" ] || { echo "there is no target $target" >&2; exit 2; }
  if [ ${#pids[@]} -ge "$jobs" ]; then
    wait "${pids[0]}" || failed=1
    pids=("${pids[@]:1}")
  fi
  [ -x "$programs/$target" ] || { echo "$programs has no program $target: build it first" >&2; exit 2; }
  fuzz "$target" "$seed" &
  pids+=($!)
  seed=$((seed + 1))
done
for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
pids=()
[ "$failed" = 0 ] || exit 1
if [ "$mode" = --long ] && [ -z "${FUZZ_PROGRAMS:-}" ]; then
  cargo run --quiet --release -p tracewell-faults --bin faults -- ledger "$reports" >&2
fi
