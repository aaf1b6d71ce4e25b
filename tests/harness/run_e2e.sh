#!/bin/sh
# End-to-end tests: run_e2e.sh BUILD [PART OF A TEST'S NAME]. Leaves the counts in BUILD/counts.e2e as "passed failed skipped".
set -u
build=$1 part=${2:-}
log=$build/e2e.log
BUILD=$build /usr/bin/python3 -m pytest -q -rs ${part:+-k "$part"} -p no:cacheprovider tests/e2e < /dev/null > "$log" 2>&1
status=$?
tail -n 60 "$log"
count() { grep -oE "[0-9]+ $1" "$log" | tail -n 1 | cut -d' ' -f1; }
passed=$(count passed) failed=$(count failed) errors=$(count error) skipped=$(count skipped)
failed=$((${failed:-0} + ${errors:-0}))
[ "$status" = 0 ] || [ "$failed" != 0 ] || failed=1
if [ "${CI:-}" = true ] && [ "${skipped:-0}" != 0 ]; then
    failed=$((failed + skipped))
fi
echo "${passed:-0} $failed ${skipped:-0}" > "$build/counts.e2e"
[ "$failed" = 0 ]
