#!/bin/sh
# Everything that `make check` runs, each step to its end whatever came before; closes with the sum of all tests.
#   check.sh BUILD [all]
# All: lint, unit tests and simulator of the sanitizer build, and the smoke of packages and compose files, too. What computes and knows no clock (simulator, fuzz harnesses,
# mutants, lint, that build) takes what the other tests, which wait for most of their time, leave of the processors.
set -u
build=$1 all=${2:-}
make="${MAKE:-make} --no-print-directory"
mkdir -p "$build"
rm -f "$build"/counts.* "$build"/*.step "$build"/*.said "$build"/*.failed
status=0

step() { # name, command...
    name=$1
    shift
    began=$(date +%s)
    echo "== $name"
    { "$@" 2>&1 || touch "$build/$name.failed"; } | tee "$build/$name.said"
    if [ ! -e "$build/$name.failed" ]; then
        [ -e "$build/counts.$name" ] || echo "1 0 0" > "$build/counts.$name"
    else
        status=1
        if [ ! -e "$build/counts.$name" ] || [ "$(cut -d' ' -f2 "$build/counts.$name")" = 0 ]; then
            echo "0 1 0" > "$build/counts.$name"
        fi
    fi
    echo "== $name took $(($(date +%s) - began)) s"
}

# Of the lowest priority, and ended with this script. A session shares the processors with others as one (sched_autogroup): what
# it is given holds for all that it starts, also later.
aside() {
    "$build/contain" 3000 /bin/sh -c 'echo $$ > "$0"; { echo 19 > /proc/self/autogroup; } 2>/dev/null || renice -n 19 $$; exec "$@"' \
        "$build/$name.pid" "$@"
}

aside_begin() { # name, command...: a step whose output is shown at its end
    name=$1
    shift
    (step "$name" aside "$@"; exit $status) > "$build/$name.step" 2>&1 &
    eval "aside_$name=$!"
}
aside_end() { # name...: nothing waits beside them any more
    for name in "$@"; do
        { echo 0 > "/proc/$(cat "$build/$name.pid")/autogroup"; } 2>/dev/null
    done
    for name in "$@"; do
        eval "wait \$aside_$name" || status=1
        cat "$build/$name.step"
    done
}

step build $make -j2 all tests
aside_begin sim $make sim
aside_begin fuzz $make -j2 fuzz
aside_begin mutants $make mutants QUICK=1
if [ "$all" = all ]; then
    aside_begin lint $make lint
    aside_begin asan $make MODE=asan -j2 asan
    aside_begin smoke $make smoke
fi
step unit $make -j2 unit
step e2e $make e2e
aside_end sim fuzz mutants
if [ "$all" = all ]; then
    aside_end lint asan smoke
    step asan_unit $make MODE=asan -j2 unit
fi
for failed in "$build"/*.failed; do # once more, where nobody has to look for it
    [ -e "$failed" ] || continue
    echo "FAILED step $(basename "$failed" .failed):"
    grep -E '^(FAILED|E  )|\*\*\*' "${failed%.failed}.said" | cut -c 1-300 | tail -n 40
done
grep -h '^AGAIN' "$build"/*.said
cat "$build"/counts.* | awk -v status=$status '
    {passed += $1; failed += $2; skipped += $3}
    END {
        if (status != 0 && failed == 0) failed = 1
        printf "%d passed, %d failed%s\n", passed, failed, (skipped > 0 ? ", " skipped " skipped" : "")
        exit (failed > 0)
    }'
