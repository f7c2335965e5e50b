#!/bin/sh
# Builds the native helpers, the testbed's and those of systems, into build/.
set -e
cd "$(dirname "$0")/.."
mkdir -p build
for source in native/*.c agents/*/native/*.c; do
  [ -e "$source" ] || continue
  gcc -O2 -Wall -Wextra -Werror -o "build/$(basename "$source" .c)" "$source"
done
