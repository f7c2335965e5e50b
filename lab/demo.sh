#!/usr/bin/env bash
# Sets everything up, then runs the Gatekeeper experiment (receiver side, short form, about two minutes).
set -euo pipefail
cd "$(dirname "$0")/.."
lab/setup.sh
exec ./netrig run topologies/gatekeeper-cells.yaml --filter rx "$@"
