#!/usr/bin/env bash
# Sets everything up, then runs every shipped topology until it is decided, rigs and benches (--help says more).
set -euo pipefail
cd "$(dirname "$0")/.."
lab/setup.sh --with-tests --with-rigs
exec node_modules/.bin/node lab/nightly.ts "$@"
