#!/bin/sh
# A host of two programs: Patroni, and beside it this node's part of the store, which goes on until Patroni has ended: it has its key to give back.
#   patroni-and-witness.sh PATRONI_FILE WITNESS_FILE
set -u
asked=

# In place of a shell. WITNESS_* are its PATRONI_*; those of the host are for Patroni alone. No value is on a command line.
become_witness() {
    for name in $(env | sed -n 's/^\(PATRONI_[A-Z0-9_]*\)=.*/\1/p'); do
        unset "$name"
    done
    for name in $(env | sed -n 's/^WITNESS_\([A-Z0-9_]*\)=.*/\1/p'); do
        eval "export PATRONI_$name=\$WITNESS_$name"
    done
    exec pgquorum witness "$1"
}

# A witness that ends (a disk error) is started again; until then the other two are the store.
keep_witness() {
    ended=
    trap 'ended=yes; kill -TERM "$witness" 2>/dev/null' TERM
    while [ -z "$ended" ]; do
        (trap - TERM; become_witness "$1") &
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
