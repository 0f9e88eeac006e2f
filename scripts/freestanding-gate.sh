#!/usr/bin/env bash
# What runs inside other people's processes must stand alone: no undefined symbols, no dynamic relocations, no TLS, no interpreter, no
# executable stack, the runtime inside its window, and a build id.
set -euo pipefail
cd "$(dirname "$0")/.."
file=${1:-build/Release/stasis-runtime}
fail() { echo "freestanding gate: $file: $*" >&2; exit 1; }
[ -f "$file" ] || fail "missing; run npm run build first"
[ -z "$(nm -u "$file")" ] || fail "undefined symbols: $(nm -u "$file" | tr '\n' ' ')"
! readelf -rW "$file" | grep -q 'R_X86_64' || fail "it has relocations"
! readelf -lW "$file" | grep -qE '^ +(TLS|INTERP|DYNAMIC) ' || fail "it has a TLS, INTERP or DYNAMIC segment"
readelf -lW "$file" | grep -E '^ +GNU_STACK' | grep -qv ' RWE ' || fail "its stack is executable"
readelf -nW "$file" | grep -q 'Build ID' || fail "it has no build id"
while read -r _ _ address _ _ bytes flags; do
  begin=$((address)) end=$((address + bytes))
  [ "$begin" -ge $((0x7e9000000000)) ] && [ "$end" -le $((0x7e9001000000)) ] || fail "the segment at $address leaves the window"
  [[ $flags != *W*E* ]] || fail "the segment at $address is writable and executable"
done < <(readelf -lW "$file" | grep -E '^ +LOAD ')
! objdump -d --no-show-raw-insn "$file" | grep -qE '%(x|y|z)mm[0-9]' || fail "it uses vector registers, which it does not save"
echo "freestanding gate: $file passes"
