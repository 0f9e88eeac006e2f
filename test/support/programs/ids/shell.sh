# Processes of a shell: its own ids and its children's, pipelines, jobs without a terminal, traps. Prints "id N" for each id it sees.
# With ROUNDS, a directory, it does all this again for each file that appears there: 1, 2 and so on, until one says "last".
set -u
check() { "$@" || { echo "FAIL line ${BASH_LINENO[0]}: $*"; exit 1; }; }

work() {
  echo "id $$"
  echo "id $PPID"
  echo "id $(exec sh -c 'echo $PPID')"
  check [ "$(sh -c 'echo $PPID')" = $$ ]
  ( echo "id $BASHPID"; [ "$BASHPID" != $$ ] ) || exit 1

  check [ "$(seq 1 20000 | sort -rn | head -n 1 | cat)" = 20000 ]
  false | true | (exit 3)
  check [ "${PIPESTATUS[*]}" = "1 0 3" ]
  check [ "$(cat <(echo one) <(echo two) | tr '\n' ' ')" = "one two " ]

  sleep 30 &
  sleeper=$!
  echo "id $sleeper"
  check kill -0 $sleeper
  check [ "$(jobs -p)" = $sleeper ]
  check [ "$(ps -o pid= -p $sleeper | tr -d ' ')" = $sleeper ]
  check [ -d /proc/$sleeper ]
  check kill -TERM %%
  wait $sleeper
  check [ $? = 143 ]
  check [ ! -e /proc/$sleeper ]
  kill -0 $sleeper 2>/dev/null && { echo "FAIL an ended process is alive"; exit 1; }

  children=()
  for i in 1 2 3 4 5; do
    (exit $i) &
    children+=($!)
  done
  sum=0
  for pid in "${children[@]}"; do wait "$pid"; sum=$((sum + $?)); done
  check [ $sum = 15 ]

  trapped=
  trap 'trapped=yes' USR1
  sh -c "kill -USR1 $$"
  check [ "$trapped" = yes ]

  coproc doubler { while read -r n; do echo $((n * 2)); done; }
  echo "id $doubler_PID"
  echo 21 >&"${doubler[1]}"
  read -r answer <&"${doubler[0]}"
  check [ "$answer" = 42 ]
  kill "$doubler_PID"
  wait "$doubler_PID"

  env -i /bin/sh -c 'echo "id $$"'
}

# Waits without a child.
await_round() {
  echo "ready $1"
  while [ ! -s "$ROUNDS/$1" ]; do :; done
  read -r word <"$ROUNDS/$1"
}

word=last
own="$$ $PPID $BASHPID"
for ((round = 1; ; round++)); do
  [ -z "${ROUNDS-}" ] || await_round $round
  check [ "$own" = "$$ $PPID $BASHPID" ]
  work
  [ "$word" != last ] || break
done
echo PASS
