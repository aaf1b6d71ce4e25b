#!/bin/sh
# Runs cmocka programs, TEST_JOBS= at a time (three for each processor: they wait for most of their time), in the order given, and
# adds their tests up. Usage: run_tests.sh BUILD NAME PROGRAM...; leaves the counts in BUILD/counts.NAME as "passed failed skipped".
# A second run of one BUILD and NAME waits for the first: they would remove each other's logs.
# A program that failed runs once more with nothing beside it, and that is told: some watch clocks. What a sanitizer has found stays.
# What a program starts ends with it, also when this runner is killed (contain.c). The exit status is 0 only if none failed.
set -u

one() { # BUILD, NAME, program: what it said goes to a log beside its counts
    name=$(basename "$3")
    base=$1/logs.$2/$(basename "$(dirname "$3")").$name # two rooms may have a test of one name
    log=$base.log
    status=0
    "$1/contain" 600 "$3" </dev/null >"$log" 2>&1 || status=$?
    p=$(grep -c '^\[       OK \]' "$log" || true)
    f=$(grep -c '^\[  FAILED  \] [a-z0-9_]*$' "$log" || true)
    s=$(grep -c '^\[  SKIPPED \] [a-z0-9_]*$' "$log" || true)
    # cmocka names each failed and skipped test twice: where it ran, and in the summary.
    [ "$f" -lt 2 ] || f=$(((f + 1) / 2))
    [ "$s" -lt 2 ] || s=$(((s + 1) / 2))
    # Each group says that it ended: a program that runs none, or leaves in the middle of one with status 0, has passed nothing.
    # Debian 13's cmocka has the group's name in both lines.
    begun=$(grep -cE '^\[==========\] (.+: )?Running ' "$log" || true)
    ended=$(grep -cE '^\[==========\] (.+: )?[0-9]* test\(s\) run\.' "$log" || true)
    if [ "${begun:-0}" = 0 ] || [ "$begun" != "$ended" ]; then
        [ "$status" != 0 ] || status="0, and no end of its tests"
    fi
    if [ "$status" != 0 ] && [ "${f:-0}" = 0 ]; then
        f=1
    fi
    if [ "$f" != 0 ]; then
        text="FAILED $name (exit status $status), from $log:
$(grep -v '^\[ RUN\|^\[       OK' "$log" | tail -n 40)"
    else
        text="ok     $name: $p passed$([ "$s" = 0 ] || echo ", $s skipped"), $(sed -n 's/^contain: //p' "$log")"
    fi
    echo "$text"
    echo "$p $f $s" > "$base.counts"
}

if [ "$1" = --one ]; then
    one "$2" "$3" "$4"
    exit 0
fi
build=$1 name=$2
shift 2
[ $# -gt 0 ] || { echo "run_tests.sh: there is no such test" >&2; exit 1; }
logs=$build/logs.$name
mkdir -p "$build"
exec 9>"$build/lock.$name"
flock -n 9 || { echo "run_tests.sh: another run is under way in $build: waiting for its end" >&2; flock 9; }
rm -rf "$logs"
mkdir -p "$logs"
printf '%s\n' "$@" | xargs -n 1 -P "${TEST_JOBS:-$((3 * $(nproc)))}" "$0" --one "$build" "$name" 9>&-
for counts in $(awk '$2 > 0 {print FILENAME}' "$logs"/*.counts); do
    log=${counts%.counts}.log
    program=$(printf '%s\n' "$@" | grep "/$(basename "$log" .log | tr . /)\$")
    if ! grep -qE 'Sanitizer|runtime error' "$log" && [ -n "$program" ]; then
        mv "$log" "${log%.log}.first.log"
        echo "AGAIN  $(basename "$program"), with nothing beside it:"
        "$0" --one "$build" "$name" "$program" 9>&-
    fi
done
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
