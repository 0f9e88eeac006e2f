#!/usr/bin/env bash
# Brings what the integration tests need: the programs they run, from the distribution's packages and only where missing, and the compiled
# guests. Debian 12 and Ubuntu 24.04, as root or with sudo. No test is skipped for want of a program: if one cannot be had, this fails.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin

# The program that shows a package is there, and the package.
wanted=(
  "gcc gcc"
  "g++ g++"
  "redis-server redis-server"
  "redis-cli redis-tools"
  "/usr/bin/python3 python3"
  "go golang-go"
  "javac default-jdk-headless"
  "nginx nginx-light"
  "musl-gcc musl-tools"
  "setpriv util-linux"
  "prlimit util-linux"
  "script bsdutils"
  "perl perl"
  "make make"
  "ps procps"
  "pgbench postgresql"
  "wrk wrk"
  "strace strace"
  "gdb gdb"
)

missing() {
  local entry
  for entry in "${wanted[@]}"; do
    command -v "${entry%% *}" >/dev/null || echo "${entry##* }"
  done | sort -u
}

packages=$(missing)
if [ -n "$packages" ]; then
  command -v apt-get >/dev/null || {
    echo "test-programs: missing and no apt-get here to install them:" $packages >&2
    exit 1
  }
  as_root=
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null && sudo -n true 2>/dev/null || {
      echo "test-programs: missing, and only root can install them: sudo apt-get install" $packages >&2
      exit 1
    }
    as_root="sudo -n"
  fi
  echo "test-programs: installing" $packages >&2
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  # A service that a package would start is kept from starting: the tests run their own.
  install="DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y --no-install-recommends $(echo $packages)"
  $as_root sh -c "$install || { apt-get update && $install; }" >"$log" 2>&1 || {
    tail -n 30 "$log" >&2
    echo "test-programs: installing" $packages "failed" >&2
    exit 1
  }
  hash -r
  packages=$(missing)
  [ -z "$packages" ] || {
    echo "test-programs: still missing after the installation:" $packages >&2
    exit 1
  }
fi

bash scripts/build-guests.sh
