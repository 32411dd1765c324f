#!/bin/sh
# Instructions per operation, under callgrind: repeatable where times are noisy. Only the measured
# loop is counted.
# usage: benches/instructions.sh OPERATION "ROW" N [OPERATIONS]
#   e.g. benches/instructions.sh request p2c 1000
#        benches/instructions.sh lookup maglev 1000
# A row is named by its whole name, as in the table; lookup, build and change are of hashing. Build
# first, with the features whose rows you want:
#   cargo build --release -p equipoise-benches --bin table --bin hash
set -eu
[ $# -ge 3 ] || { sed -n '2,10s/^# //p' "$0" >&2; exit 2; }
operation=$1 row=$2 n=$3 times=${4:-20000}
case $operation in
  lookup | build | change) program=hash threads= ;;
  *) program=table threads='--threads 1' ;;
esac
program=${TABLE:-$(dirname "$0")/../target/release/$program}
# shellcheck disable=SC2086
valgrind --tool=callgrind --callgrind-out-file="${OUT:-/dev/null}" --dump-instr=yes \
  --collect-atstart=no --toggle-collect='*row*operations*' \
  "$program" --op "$operation" --row "$row" --n "$n" $threads --count "$times" 2>&1 |
  awk -v times="$times" -v op="$operation" -v row="$row" -v n="$n" \
    '/Collected/ { printf "%-10s %-44s %6d %8.1f instructions\n", op, row, n, $NF / times; found = 1 }
     END { exit !found }'
