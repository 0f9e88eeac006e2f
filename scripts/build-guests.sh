#!/usr/bin/env bash
# Compiles the guest programs of test/guests into build/guests: NAME dynamic, and where the source's `// build:` line asks for them
# NAME.static (glibc) and NAME.musl; the programs of test/support/programs that need a compiler go into build/programs. What is newer than its
# sources is left alone. Prints what it compiles; fails if one of them does not compile.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build/guests build/programs

jobs_file=$(mktemp)
trap 'rm -f "$jobs_file"' EXIT

# add OUTPUT SOURCES... -- COMMAND: a line of work unless the output is up to date
add() {
  local output=$1 stale=
  shift
  while [ "$1" != -- ]; do
    [ "$output" -nt "$1" ] || stale=1
    shift
  done
  shift
  [ -z "$stale" ] || printf '%s\0' "$*" >>"$jobs_file"
}

headers=(test/guests/*.h)
for source in test/guests/*.c test/guests/*.cc; do
  [ -e "$source" ] || continue
  name=$(basename "${source%.*}")
  flags=$(sed -n 's,^// flags: ,,p' "$source")
  build=" $(sed -n 's,^// build: ,,p' "$source") "
  case $source in
    *.cc) compiler="g++ -std=c++20" ;;
    *) compiler="gcc -std=gnu17" ;;
  esac
  common="-D_GNU_SOURCE -O1 -g -Wall -Wextra -Werror -pthread $flags"
  add "build/guests/$name" "$source" "${headers[@]}" -- "$compiler $common -o build/guests/$name $source"
  [[ $build != *" static "* ]] ||
    add "build/guests/$name.static" "$source" "${headers[@]}" -- "$compiler $common -static -o build/guests/$name.static $source"
  [[ $build != *" musl "* ]] ||
    add "build/guests/$name.musl" "$source" "${headers[@]}" -- "musl-gcc $common -static -o build/guests/$name.musl $source"
done

programs=test/support/programs
add build/programs/http-go "$programs/http.go" -- \
  "CGO_ENABLED=0 GO111MODULE=off GOCACHE=$PWD/build/programs/go-cache go build -o build/programs/http-go $programs/http.go"
add build/programs/processes-go "$programs/ids/processes.go" -- \
  "CGO_ENABLED=0 GO111MODULE=off GOCACHE=$PWD/build/programs/go-cache go build -o build/programs/processes-go $programs/ids/processes.go"
add build/programs/processes-musl "$programs/ids/processes.c" -- \
  "musl-gcc -std=gnu17 -O1 -Wall -Wextra -Werror -pthread -static -o build/programs/processes-musl $programs/ids/processes.c"
add build/programs/Processes.class "$programs/ids/Processes.java" -- "javac -d build/programs $programs/ids/Processes.java"
add build/programs/HttpServer.class "$programs/HttpServer.java" -- "javac -d build/programs $programs/HttpServer.java"
for source in "$programs"/*.c; do
  [ -e "$source" ] || continue
  name=$(basename "${source%.c}")
  flags=$(sed -n 's,^// flags: ,,p' "$source")
  add "build/programs/$name" "$source" -- "gcc -std=gnu17 -O1 -Wall -Wextra -Werror -pthread $flags -o build/programs/$name $source"
done

xargs -0 -r -P "$(nproc)" -I{} bash -c 'echo "{}"; {}' <"$jobs_file"
