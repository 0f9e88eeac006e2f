#!/usr/bin/env bash
# Formats the native sources in place; with --check only reports.
set -euo pipefail
cd "$(dirname "$0")/.."
tool=$(command -v clang-format-19 || command -v clang-format)
mapfile -t files < <(git ls-files 'native/*.cc' 'native/*.h' 'test/guests/*.c' 'test/guests/*.h' 'test/guests/*.cc')
if [ "${1:-}" = --check ]; then exec "$tool" --dry-run --Werror "${files[@]}"; fi
exec "$tool" -i "${files[@]}"
