#!/usr/bin/env bash
# All tests. No test is skipped: what a test needs and is missing makes it fail, with the package to install.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test --workspace --all-targets --no-fail-fast
cargo test --workspace --doc
ci/loom.sh
