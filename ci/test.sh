#!/usr/bin/env bash
# All tests. No test is skipped: what a test needs and is missing makes it fail, with the package to install.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ ! -d tests/tus/node_modules ]; then npm ci --no-audit --no-fund --prefix tests/tus; fi
cargo test --workspace --all-targets --no-fail-fast
cargo test --workspace --doc
ci/loom.sh
