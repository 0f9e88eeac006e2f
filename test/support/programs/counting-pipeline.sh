#!/bin/bash
# A pipeline of bash's own making that runs for long and then says what came through: counting-pipeline.sh LINES. The sum at the end is that
# of the same pipeline without an interruption.
set -o pipefail
echo listening
seq 1 "$1" | while read -r line; do echo "$line"; done | tr 0-9 a-j | gzip -1 | gunzip | sha256sum
echo "done ${PIPESTATUS[*]}"
