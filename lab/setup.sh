#!/usr/bin/env bash
# Everything netrig needs on a Debian 12 machine: packages, the pinned Node with its packages, native helpers.
# Idempotent; says what it does; needs root only where a package is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\033[1msetup:\033[0m %s\n' "$*"; }
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

# Packages of a list, one a line, where there is one.
add() { [ ! -e "$1" ] || mapfile -t -O "${#packages[@]}" packages < "$1"; }

packages=(openvswitch-switch iperf3 mgen tcpdump iproute2 ethtool procps nftables gcc g++ make python3 libc6-dev libpcap-dev)
for option in "$@"; do
  case "$option" in
    --with-tests)
      packages+=(tshark mininet chromium fonts-dejavu-core jq python3-pandas)
      for list in agents/*/debian.txt agents/*/native/debian.txt; do add "$list"; done ;;
    # Virtual machines, containers and clocks of a rig.
    --with-rigs) packages+=(qemu-system-x86 mmdebstrap squashfs-tools cpio kmod openssh-client docker.io linuxptp) ;;
    # What a system needs beside: agents/NAME/debian.txt to run, agents/NAME/native/debian.txt to be built.
    --with-*)
      system="agents/${option#--with-}"
      [ -e "$system/debian.txt" ] || { say "unknown option $option (--with-tests, --with-rigs$(for l in agents/*/debian.txt; do [ ! -e "$l" ] || printf ', --with-%s' "$(basename "$(dirname "$l")")"; done))" >&2; exit 2; }
      add "$system/debian.txt"; add "$system/native/debian.txt" ;;
    *) say "unknown option $option" >&2; exit 2 ;;
  esac
done
command -v npm >/dev/null || packages+=(npm)

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
  say "installing from Debian: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # netrig starts engines and switches of its own: packages need not start theirs.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod +x "$policy"
    trap 'as_root rm -f "$policy"' EXIT
  fi
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
  say 'Debian packages: all there'
fi

# Where the kernel has them as modules; a kernel without them is served in user space.
for module in openvswitch sch_netem; do
  as_root modprobe -q "$module" 2>/dev/null || true
done

lock=$(sha256sum package-lock.json | cut -c1-64)
if [ "$(cat node_modules/.netrig-lock 2>/dev/null || true)" != "$lock" ]; then
  say 'installing npm packages, among them the pinned Node'
  npm ci --no-audit --no-fund --loglevel=error
  echo "$lock" > node_modules/.netrig-lock
else
  say 'npm packages: up to date'
fi

say 'building the native helpers'
npm run --silent build
say "ready: ./netrig with Node $(node_modules/.bin/node --version)"
