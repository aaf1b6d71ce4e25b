#!/bin/sh
# Runs every fuzz harness for some seconds, two at a time. Usage: run_fuzz.sh BUILD SECONDS PROGRAM...
# Leaves the counts in BUILD/counts.fuzz as "passed failed skipped".
set -u
build=$1 seconds=$2
shift 2
run() {
    corpus=build/fuzz/corpus.$(basename "$1")
    seeds=tests/fuzz/seeds/$(basename "$1") # what a harness has no chance to guess
    mkdir -p "$corpus"
    [ -d "$seeds" ] || seeds=
    if "$1" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=2048 -artifact_prefix="build/fuzz/" "$corpus" \
        ${seeds:+"$seeds"} \
        > "$1.log" 2>&1 </dev/null; then
        echo "ok     $(basename "$1"): $(sed -n 's/^Done \([0-9]*\) runs.*/\1 inputs/p' "$1.log")"
    else
        echo "FAILED $(basename "$1"), from $1.log:"
        tail -n 30 "$1.log"
        echo x >> build/fuzz/failed
    fi
}
rm -f build/fuzz/failed
n=0
for program in "$@"; do
    run "$program" &
    n=$((n + 1))
    [ $((n % 2)) != 0 ] || wait
done
wait
failed=$(cat build/fuzz/failed 2>/dev/null | wc -l)
mkdir -p "$build"
echo "$(($# - failed)) $failed 0" > "$build/counts.fuzz"
[ "$failed" = 0 ]
