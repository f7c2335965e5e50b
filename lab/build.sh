#!/bin/sh
# Builds the native helpers into build/.
set -e
cd "$(dirname "$0")/.."
mkdir -p build
for helper in nsrun linkprobe delayline clockprobe; do
  gcc -O2 -Wall -Wextra -Werror -o "build/$helper" "native/$helper.c"
done
