#!/bin/sh
# The chaos suite (docs/safety.md). Needs root.
#   run_chaos.sh BUILD [--only FS-24,FS-26] [--mode asq] [--seed N] [--soak HOURS] ...
# Each run is a process in a mount namespace of its own, below contain: whatever ends it ends all that it has started, and its mounts
# and loop devices with that. This script waits for that, and removes what has names.
set -u
build=$1
shift
[ "$(id -u)" = 0 ] || { echo "chaos: network namespaces, loop devices and cgroups need root: run it as root" >&2; exit 1; }
tests/harness/sweep.sh
/usr/bin/python3 tests/chaos/run.py "$build" "$@" </dev/null &
runner=$!
trap 'kill -TERM $runner' INT TERM HUP
status=0
wait $runner || status=$?
# A trapped signal ends the first wait, not the runner.
while kill -0 $runner 2>/dev/null; do
    wait $runner || status=$?
done
tests/harness/sweep.sh
exit $status
