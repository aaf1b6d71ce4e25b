#!/bin/sh
# Runs every fuzz harness for some seconds, two at a time. Usage: run_fuzz.sh SECONDS PROGRAM...
set -u
seconds=$1
shift
run() {
    corpus=build/fuzz/corpus.$(basename "$1")
    mkdir -p "$corpus"
    if "$1" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=2048 -artifact_prefix="build/fuzz/" "$corpus" \
        > "$1.log" 2>&1 </dev/null; then
        echo "ok     $(basename "$1"): $(sed -n 's/^Done \([0-9]*\) runs.*/\1 inputs/p' "$1.log")"
    else
        echo "FAILED $(basename "$1"), from $1.log:"
        tail -n 30 "$1.log"
        touch build/fuzz/failed
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
if [ -e build/fuzz/failed ]; then
    exit 1
fi
