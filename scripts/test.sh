#!/usr/bin/env bash
# The whole test suite: builds, gets the programs the tests run, then native unit tests (with sanitizers), TypeScript unit tests and the
# integration tests. Closes with one line that counts them all. Nothing is skipped; the soak and the long fuzzing are `npm run test:soak`
# and `npm run fuzz`.
set -uo pipefail
cd "$(dirname "$0")/.."
passed=0 failed=0
add() { passed=$((passed + $1)) failed=$((failed + $2)); }

npm run -s build || { echo "the build failed" >&2; echo "0 passed, 1 failed"; exit 1; }
bash scripts/test-programs.sh || { echo "the programs for the tests could not be had" >&2; echo "0 passed, 1 failed"; exit 1; }

mkdir -p build
if npm run -s dev:configure >build/dev-configure.log 2>&1 && npm run -s dev:build >build/dev-build.log 2>&1; then
  ctest --test-dir build/dev --output-on-failure --output-junit "$PWD/build/ctest.xml" || true
  if counts=$(node -e 'const x=require("fs").readFileSync("build/ctest.xml","utf8");const n=+/tests="(\d+)"/.exec(x)[1],f=+/failures="(\d+)"/.exec(x)[1];if(!n)process.exit(1);console.log(n-f,f)'); then
    # shellcheck disable=SC2086
    add $counts
  else
    add 0 1
  fi
else
  tail -n 40 build/dev-configure.log build/dev-build.log >&2
  add 0 1
fi

for project in unit integration; do
  rm -f "build/vitest-$project.json"
  status=0
  npx --no-install vitest run --project "$project" --reporter=default --reporter=json "--outputFile.json=build/vitest-$project.json" || status=$?
  if counts=$(node -e 'const r=JSON.parse(require("fs").readFileSync(process.argv[1],"utf8"));const s=r.numPendingTests+r.numTodoTests;if(s)console.error(s+" tests were skipped");console.log(r.numPassedTests,r.numFailedTests+s+(r.numTotalTests?0:1))' "build/vitest-$project.json"); then
    # shellcheck disable=SC2086
    add $counts
    # A suite or the check for leftovers can fail without a failed test.
    if [ "$status" -ne 0 ] && [ "${counts##* }" = 0 ]; then add 0 1; fi
  else
    add 0 1
  fi
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
