#!/bin/sh
# What runs of end-to-end tests that were killed have left: their processes ended with them (contain), and so did their mounts; their
# namespaces and directories did not. Names have the pid.
gone() { ! [ -d "/proc/$1" ]; }
for left in $(ip netns list 2>/dev/null | grep -o '^pgq[0-9]*-[^ ]*'); do
    pid=${left#pgq}
    gone "${pid%%-*}" && ip netns delete "$left"
done
for left in $(ls -d /etc/netns/pgq[0-9]*-* 2>/dev/null); do
    pid=${left#/etc/netns/pgq}
    gone "${pid%%-*}" && rm -rf "$left"
done
for left in $(ls -d /var/tmp/pgquorum-*-[0-9]*-* 2>/dev/null | grep -E '/pgquorum-(e2e|store|compare)-[0-9]+-[^.]*$'); do
    pid=${left#*-*-}
    gone "${pid%%-*}" || continue
    # Memory, or below it small file systems (disk.py), perhaps a frozen one: those first.
    for mounted in $(grep -oE " $left(/[^ ]*)? " /proc/mounts | tac); do
        fsfreeze -u "$mounted" 2>/dev/null
        umount -l "$mounted"
    done
    rm -rf "$left"
done
# Two at once would both make the directory of named namespaces.
[ "$(id -u)" != 0 ] || { ip netns add "pgq$$" && ip netns delete "pgq$$"; }
