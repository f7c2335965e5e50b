#!/usr/bin/env bash
# Sets everything up, then runs all checks and tests.
set -euo pipefail
cd "$(dirname "$0")/.."
lab/setup.sh --with-tests --with-rigs
npm run --silent check
npm run --silent test
npm run --silent rigs
npm run --silent scenario
