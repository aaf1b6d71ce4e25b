#!/bin/sh
# Everything that `make check` runs, each step to its end whatever came before; closes with the sum of all tests.
# Usage: check.sh BUILD
set -u
build=$1
make="${MAKE:-make} --no-print-directory"
mkdir -p "$build"
rm -f "$build"/counts.*
status=0
step() { # name, command...
    name=$1
    shift
    began=$(date +%s)
    echo "== $name"
    if "$@"; then
        [ -e "$build/counts.$name" ] || echo "1 0 0" > "$build/counts.$name"
    else
        status=1
        if [ ! -e "$build/counts.$name" ] || [ "$(cut -d' ' -f2 "$build/counts.$name")" = 0 ]; then
            echo "0 1 0" > "$build/counts.$name"
        fi
    fi
    echo "== $name took $(($(date +%s) - began)) s"
}
step build $make -j2 all
step unit $make -j2 unit
step sim $make sim
step fuzz $make -j2 fuzz
step e2e $make e2e
cat "$build"/counts.* | awk -v status=$status '
    {passed += $1; failed += $2; skipped += $3}
    END {
        if (status != 0 && failed == 0) failed = 1
        printf "%d passed, %d failed%s\n", passed, failed, (skipped > 0 ? ", " skipped " skipped" : "")
        exit (failed > 0)
    }'
