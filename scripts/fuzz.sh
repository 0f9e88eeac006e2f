#!/usr/bin/env bash
# An hour (or SECONDS given as the first argument) of coverage-guided fuzzing of the image decoder. Needs clang with libFuzzer.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-3600}
clang=$(command -v clang++-19 || command -v clang++-14 || command -v clang++) || { echo "clang++ is needed for libFuzzer" >&2; exit 1; }
cmake -S . -B build/fuzz -DCMAKE_CXX_COMPILER="$clang" -DCMAKE_C_COMPILER="${clang/clang++/clang}" -DSTASIS_SANITIZE=address,undefined >/dev/null
cmake --build build/fuzz --target fuzz_image -j "$(nproc)"
mkdir -p build/fuzz/corpus
exec build/fuzz/fuzz_image -max_total_time="$seconds" -rss_limit_mb=2048 -max_len=65536 -artifact_prefix=build/fuzz/ build/fuzz/corpus test/images
