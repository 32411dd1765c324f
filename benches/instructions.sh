#!/bin/sh
# Instructions per operation, under callgrind: repeatable where times are noisy. Only the measured
# loop is counted.
# usage: benches/instructions.sh OPERATION "ROW" N [OPERATIONS]
#   e.g. benches/instructions.sh request p2c 1000
# A row is named by its whole name, as in the table. Build first:
#   cargo build --release -p equipoise-benches --bin table
set -eu
[ $# -ge 3 ] || { sed -n '2,7s/^# //p' "$0" >&2; exit 2; }
operation=$1 row=$2 n=$3 times=${4:-20000}
table=${TABLE:-$(dirname "$0")/../target/release/table}
valgrind --tool=callgrind --callgrind-out-file="${OUT:-/dev/null}" --dump-instr=yes \
  --collect-atstart=no --toggle-collect='*row*operations*' \
  "$table" --op "$operation" --row "$row" --n "$n" --threads 1 --count "$times" 2>&1 |
  awk -v times="$times" -v op="$operation" -v row="$row" -v n="$n" \
    '/Collected/ { printf "%-10s %-44s %6d %8.1f instructions\n", op, row, n, $NF / times; found = 1 }
     END { exit !found }'
