#!/bin/sh
# End-to-end tests, E2E_JOBS= files at a time (one more than there are processors: they wait for most of their time): each has
# clusters of its own. Also the part of the chaos suite that belongs to check, and the tests of its checkers and of the compose files, which
# need nothing but Python.
#   run_e2e.sh BUILD check|rest|all [PART OF A TEST'S NAME]
# What failed is run once more when nothing runs beside it: these tests watch clocks, on machines that have other things to do. It is
# told when that goes well, and counts as passed; two writers, and writes that are lost, are never a matter of time and stay.
# Leaves the counts in BUILD/counts.e2e as "passed failed skipped", what each file said in BUILD/logs.e2e.
set -u
never_again='two writers|lost (acknowledged )?writes|acknowledged writes are lost|acknowledged, and not there'

one() { # BUILD, WHICH, PART, file
    base=$1/logs.e2e/$(basename "$4" .py)
    log=$base.log
    case $2 in
    check) marked="not rest" ;;
    rest) marked=rest ;;
    all) marked= ;;
    esac
    status=0
    BUILD=$1 "$1/contain" 3000 /usr/bin/python3 -m pytest -q -rs --durations=0 --durations-min=1 ${marked:+-m "$marked"} ${3:+-k "$3"} \
        -p no:cacheprovider "$4" </dev/null >"$log" 2>&1 || status=$?
    count() { grep -oE "[0-9]+ $1" "$log" | tail -n 1 | cut -d' ' -f1; }
    passed=$(count passed) failed=$(count failed) errors=$(count error) skipped=$(count skipped)
    failed=$((${failed:-0} + ${errors:-0}))
    [ "$status" != 5 ] || status=0 # none of its tests was asked for
    [ "$status" = 0 ] || [ "$failed" != 0 ] || failed=1
    echo "${passed:-0} $failed ${skipped:-0}" > "$base.counts"
    if [ "$failed" != 0 ]; then
        echo "FAILED $(basename "$4"), from $log:
$(grep -E '^(E  |FAILED|ERROR|[^ ]+\.py:[0-9]+: )' "$log" | cut -c 1-300 | tail -n 30)
what its end says:
$(tail -n 60 "$log")"
    elif [ "${passed:-0}${skipped:-0}" != 00 ]; then
        echo "ok     $(basename "$4"): ${passed:-0} passed$([ "${skipped:-0}" = 0 ] || echo ", $skipped skipped"), $(sed -n 's/^contain: //p' "$log")"
        grep '^SKIPPED' "$log"
    fi
}

if [ "$1" = --one ]; then
    one "$2" "$3" "$4" "$5"
    exit 0
fi
build=$1 which=$2 part=${3:-}
jobs=${E2E_JOBS:-$(($(nproc) + 1))}
# What is synced costs processors, too: data is in memory (network.py) where there are 3 GiB of it for each file, or as E2E_MEMORY= says.
if [ -z "${E2E_MEMORY+said}" ] && [ "$(awk '/^MemAvailable:/ {print int($2 / 1048576)}' /proc/meminfo)" -ge $((3 * jobs)) ]; then
    export E2E_MEMORY=1
fi
logs=$build/logs.e2e
rm -rf "$logs"
mkdir -p "$logs"
tests/harness/sweep.sh
# Those that take longest come first.
files=$(for file in mixed_tls mixed_ours mixed_3 mixed patroni_4_v3 patroni_3_v3 patroni_4_v2 patroni_3_v2 patroni_secured raft_client reexec rest_security faults \
    watchdog etcd3 sync disks etcd2 restarts migration members restart_request etcd_server names standby_cluster adoption logical witness; do echo "tests/e2e/test_$file.py"; done; ls tests/chaos/test_*.py tests/e2e/test_*.py tests/chaos/checkers/test_*.py tests/compose/test_files.py tests/compose/test_script.py)
files=$(echo "$files" | awk '!seen[$0]++')
echo "$files" | xargs -n 1 -P "$jobs" "$0" --one "$build" "$which" "$part"
for counts in $(awk '$2 > 0 {print FILENAME}' "$logs"/*.counts); do
    log=${counts%.counts}.log
    file=$(echo "$files" | grep "/$(basename "$log" .log)\.py$")
    if grep -qE "^E .*($never_again)" "$log" || [ "$(echo "$file" | wc -l)" != 1 ]; then
        continue
    fi
    mv "$log" "${log%.log}.first.log"
    echo "AGAIN  $(basename "$file"), with nothing beside it:"
    "$0" --one "$build" "$which" "$part" "$file"
done
failed=$(($(echo "$files" | wc -l) - $(ls "$logs" | grep -c '\.counts$'))) # a file without counts was not run to its end
[ "$failed" = 0 ] || echo "FAILED: $failed files left no counts in $logs" >&2
cat "$logs"/*.counts | awk -v failed="$failed" -v ci="${CI:-}" '
    {p += $1; f += $2; s += $3}
    END {print p + 0, f + failed + (ci == "true" ? s : 0), s + 0}' > "$build/counts.e2e"
[ "$(cut -d' ' -f2 "$build/counts.e2e")" = 0 ]
