# A PostgreSQL server from initdb to its end: clients, a parallel query, a backend that another one ends. postgres.sh DIRECTORY PORT.
# Prints "id N" for each id it sees.
set -eu
directory=$1 port=$2
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
[ -x "$bin/initdb" ] || bin=$(pg_config --bindir)
export PGHOST=$directory PGPORT=$port PGUSER=tester PGDATABASE=postgres

"$bin/initdb" -D "$directory/data" -U tester -A trust --no-sync >"$directory/initdb.log" 2>&1 || { cat "$directory/initdb.log"; exit 1; }
"$bin/postgres" -D "$directory/data" -p "$port" -k "$directory" -h '' -c fsync=off -c shared_buffers=16MB >"$directory/server.log" 2>&1 &
server=$!
trap 'kill -QUIT $server 2>/dev/null; tail -n 20 "$directory/server.log"' EXIT
for _ in $(seq 300); do "$bin/pg_isready" -q && break; sleep 0.1; done
query() { "$bin/psql" -XAtq -c "$1"; }

[ "$(head -n 1 "$directory/data/postmaster.pid")" = "$server" ]
echo "id $server"
query "select 'id ' || pid from pg_stat_activity"
"$bin/pgbench" -i -s 1 -q >/dev/null 2>&1
"$bin/pgbench" -c 4 -j 2 -t 100 -n >"$directory/pgbench.log" 2>&1 || { cat "$directory/pgbench.log"; exit 1; }
grep -q 'processed: 400/400' "$directory/pgbench.log"
plan=$("$bin/psql" -XAtq -c "set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0;
  explain (analyze, costs off) select count(*) from pgbench_accounts" )
echo "$plan" | grep -q 'Workers Launched: [1-9]'

"$bin/psql" -XAtq -c "select pg_sleep(60)" >/dev/null 2>&1 &
client=$!
for _ in $(seq 300); do
  victim=$(query "select pid from pg_stat_activity where query like 'select pg_sleep(60)%'")
  [ -n "$victim" ] && break
  sleep 0.1
done
echo "id $victim"
[ "$(query "select pg_terminate_backend($victim)")" = t ]
! wait $client
"$bin/pg_ctl" -D "$directory/data" -m fast stop >/dev/null
wait $server
trap - EXIT
echo PASS
