#!/bin/sh
# Gives every fuzz harness some seconds of a processor, as many at a time as there are processors. Of a processor, not of the clock:
# what runs beside it takes nothing away. Usage: run_fuzz.sh BUILD SECONDS PROGRAM...
# Leaves the counts in BUILD/counts.fuzz as "passed failed skipped".
set -u
ticks=$(getconf CLK_TCK)

# Processor seconds of a process so far; nothing once it has ended.
used() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk -v ticks="$ticks" '$1 != "Z" {print int(($12 + $13) / ticks)}'; }

one() { # seconds, program
    name=$(basename "$2")
    corpus=build/fuzz/corpus.$name
    seeds=tests/fuzz/seeds/$name # what a harness has no chance to guess
    mkdir -p "$corpus"
    [ -d "$seeds" ] || seeds=
    "$2" -max_total_time=$(($1 * 20)) -timeout=30 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="build/fuzz/" "$corpus" \
        ${seeds:+"$seeds"} > "$2.log" 2>&1 </dev/null &
    pid=$!
    while seconds=$(used $pid) && [ -n "$seconds" ] && [ "$seconds" -lt "$1" ]; do
        sleep 0.5
    done
    kill -USR1 $pid 2>/dev/null # "end in good order"
    if wait $pid; then
        echo "ok     $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$2.log") inputs," \
            "$(grep -o 'cov: [0-9]*' "$2.log" | tail -n 1 | cut -d' ' -f2) edges, $seconds s"
    else
        echo "FAILED $name, from $2.log:"
        tail -n 30 "$2.log"
        echo x >> build/fuzz/failed
    fi
}

if [ "$1" = --one ]; then
    one "$2" "$3"
    exit 0
fi
build=$1 seconds=$2
shift 2
rm -f build/fuzz/failed
printf '%s\n' "$@" | xargs -n 1 -P "$(nproc)" "$0" --one "$seconds"
failed=$(cat build/fuzz/failed 2>/dev/null | wc -l)
mkdir -p "$build"
echo "$(($# - failed)) $failed 0" > "$build/counts.fuzz"
[ "$failed" = 0 ]
