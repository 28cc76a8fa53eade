#!/usr/bin/env bash
# Sanitizers, on the nightly toolchain and without suppressions: `thread` runs engine/tests/race and the engine's
# own tests, with a standard library that is instrumented too (ThreadSanitizer bears no threads in forked children, so not
# tests/); `address` runs the tests of engine, schema, reader and tests. Without a word: both.
# RACE_SECONDS is how long each program of `thread` runs.
set -euo pipefail
cd "$(dirname "$0")/.."
which="${1:-both}"
case "$which" in
  thread | address | both) ;;
  *) echo "usage: ci/sanitize.sh [thread|address]" >&2; exit 2 ;;
esac
toolchain=nightly
if ! rustup toolchain list | grep -q "^$toolchain"; then
  rustup toolchain install "$toolchain" --profile minimal || {
    echo "ci/sanitize.sh: the sanitizers need the nightly toolchain, which rustup could not install;" \
      "where it is missing nothing here can be checked" >&2
    exit 1
  }
fi
target=$(rustc "+$toolchain" -vV | sed -n 's/^host: //p')
export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=line-tables-only
built="${CARGO_TARGET_DIR:-target}"
if [ "$which" != address ]; then
  rustup component list --toolchain "$toolchain" | grep -q '^rust-src (installed)' ||
    rustup component add rust-src --toolchain "$toolchain"
  # `--target`: build scripts and macros are compiled without the sanitizer. SIGBUS is the engine's to handle.
  TSAN_OPTIONS="handle_sigbus=0 halt_on_error=1" \
    RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer --cfg tsan" \
    cargo "+$toolchain" test -Zbuild-std --no-fail-fast -p tracewell --lib --tests --target "$target" \
    --target-dir "$built/tsan"
fi
if [ "$which" != thread ]; then
  # Whether code runs in a signal handler is read from the stack, which must be the thread's own, not a heap of
  # AddressSanitizer's; and SIGBUS is the engine's to handle.
  # What a forked child forgets on purpose, its parent's state, would be told as leaks.
  ASAN_OPTIONS="detect_stack_use_after_return=0:handle_sigbus=0:detect_leaks=0" RUSTFLAGS="-Zsanitizer=address" \
    cargo "+$toolchain" test --no-fail-fast -p tracewell -p tracewell-schema -p tracewell-reader -p tracewell-tests \
    --lib --bins --tests --target "$target" --target-dir "$built/asan"
fi
