#!/bin/sh
# A host of two programs: Patroni, and beside it this node's part of the store, which goes on until Patroni has ended: it has its key to give back.
#   patroni-and-witness.sh PATRONI_FILE WITNESS_FILE
set -u
asked=

# A witness that ends (a disk error) is started again; until then the other two are the store. PATRONI_* is for Patroni alone.
keep_witness() {
    ended=
    trap 'ended=yes; kill -TERM "$witness" 2>/dev/null' TERM
    while [ -z "$ended" ]; do
        env -i PATH="$PATH" LANG="${LANG:-C}" $(env | sed -n 's/^WITNESS_/PATRONI_/p') pgquorum witness "$1" &
        witness=$!
        wait "$witness"
        status=$?
        [ -n "$ended" ] || { echo "the witness has ended with $status, and is started again in a second"; sleep 1; }
    done
    wait "$witness"
}

keep_witness "$2" &
keeper=$!
patroni "$1" &
patroni=$!
trap 'asked=yes; kill -TERM "$patroni" 2>/dev/null' TERM INT
wait "$patroni"
status=$?
while [ -n "$asked" ] && kill -0 "$patroni" 2>/dev/null; do # a signal ends wait before Patroni has ended
    wait "$patroni"
    status=$?
done
kill -TERM "$keeper"
wait "$keeper"
exit "$status"
