#!/bin/sh
# Runs cmocka programs one after the other and adds their tests up. Usage: run_tests.sh BUILD NAME PROGRAM...
# Leaves the counts in BUILD/counts.NAME as "passed failed skipped"; the exit status is 0 only if none failed.
set -u
build=$1 name=$2
shift 2
passed=0 failed=0 skipped=0
for program in "$@"; do
    log=$build/$(basename "$program").log
    status=0
    timeout 300 "$program" >"$log" 2>&1 || status=$?
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
        echo "FAILED $(basename "$program") (exit status $status), from $log:"
        grep -v '^\[ RUN\|^\[       OK' "$log" | tail -n 40
    else
        echo "ok     $(basename "$program"): $p passed$([ "$s" = 0 ] || echo ", $s skipped")"
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
if [ "${CI:-}" = true ] && [ "$skipped" != 0 ]; then
    echo "skipped tests are failures here (CI=true)"
    failed=$((failed + skipped))
fi
echo "$passed $failed $skipped" > "$build/counts.$name"
[ "$failed" = 0 ]
