#!/bin/sh
# Runs cmocka programs, TEST_JOBS= at a time (as many as there are processors), and adds their tests up.
# Usage: run_tests.sh BUILD NAME PROGRAM...; leaves the counts in BUILD/counts.NAME as "passed failed skipped".
# The exit status is 0 only if none failed.
set -u

one() { # BUILD/logs.NAME, program: what it said goes to a log beside its counts
    name=$(basename "$2")
    base=$1/$(basename "$(dirname "$2")").$name # two rooms may have a test of one name
    log=$base.log
    status=0
    timeout 300 "$2" >"$log" 2>&1 || status=$?
    p=$(grep -c '^\[       OK \]' "$log" || true)
    f=$(grep -c '^\[  FAILED  \] [a-z0-9_]*$' "$log" || true)
    s=$(grep -c '^\[  SKIPPED \] [a-z0-9_]*$' "$log" || true)
    # cmocka names each failed and skipped test twice: where it ran, and in the summary.
    [ "$f" -lt 2 ] || f=$(((f + 1) / 2))
    [ "$s" -lt 2 ] || s=$(((s + 1) / 2))
    if [ "$status" != 0 ] && [ "$f" = 0 ]; then
        f=1
    fi
    if [ "$f" != 0 ]; then
        text="FAILED $name (exit status $status), from $log:
$(grep -v '^\[ RUN\|^\[       OK' "$log" | tail -n 40)"
    else
        text="ok     $name: $p passed$([ "$s" = 0 ] || echo ", $s skipped")"
    fi
    echo "$text"
    echo "$p $f $s" > "$base.counts"
}

if [ "$1" = --one ]; then
    one "$2" "$3"
    exit 0
fi
build=$1 name=$2
shift 2
logs=$build/logs.$name
rm -rf "$logs"
mkdir -p "$logs"
# The rooms whose tests take long come last in the alphabet.
printf '%s\n' "$@" | sort -r | xargs -n 1 -P "${TEST_JOBS:-$(nproc)}" "$0" --one "$logs"
failed=$(($# - $(ls "$logs" | grep -c '\.counts$'))) # a program without counts was not run to its end
[ "$failed" = 0 ] || echo "FAILED: $failed programs left no counts in $logs" >&2
cat "$logs"/*.counts | awk -v failed="$failed" -v ci="${CI:-}" '
    {p += $1; f += $2; s += $3}
    END {
        f += failed
        if (ci == "true" && s > 0) {
            print "skipped tests are failures here (CI=true)" > "/dev/stderr"
            f += s
        }
        print p + 0, f + 0, s + 0
    }' > "$build/counts.$name"
[ "$(cut -d' ' -f2 "$build/counts.$name")" = 0 ]
