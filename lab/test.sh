#!/usr/bin/env bash
# Sets everything up, then runs the project's own tests; names of steps select some of them (types lint format unit labs rigs).
set -euo pipefail
cd "$(dirname "$0")/.."
lab/setup.sh --with-tests --with-rigs
exec node_modules/.bin/node lab/suite.ts "$@"
