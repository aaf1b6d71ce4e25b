#!/bin/sh
# pgquorum on Debian 13, with PostgreSQL 17: `make deps`, `make all`, the unit tests and some of the end-to-end tests, in a root of its
# own. Needs root, and debootstrap.
#   debian13.sh BUILD [PART OF AN END-TO-END TEST'S NAME: those, and no unit tests]
# The root is kept in BUILD/debian13: only what has changed is compiled the next time.
set -eu
build=$1
units=unit part="bootstrap or rejoin or monitoring or logical or methods"
if [ -n "${2:-}" ]; then
    units="" part=$2
fi
root=$build/debian13/root
if [ "$(id -u)" != 0 ]; then
    echo "skipped: another root directory needs root"
    exit 0
fi

# A root that was cut off while it was made is made anew.
if [ ! -e "$build/debian13/made" ]; then
    rm -rf "$build/debian13"
    mkdir -p "$build/debian13"
    echo "making a root of Debian 13 in $root"
    debootstrap --variant=minbase --include=git,make,ca-certificates trixie "$root" "$(tests/harness/deps.sh uri)" \
        > "$build/debian13/debootstrap.log" 2>&1 || { tail -n 20 "$build/debian13/debootstrap.log"; exit 1; }
    touch "$build/debian13/made"
fi

# The tree as it is; what is not there any more goes.
mkdir -p "$root/src"
find "$root/src" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
git ls-files -z --cached --others --exclude-standard | xargs -0 sh -c 'for f; do [ ! -e "$f" ] || printf "%s\0" "$f"; done' files |
    tar -c --null -T - | tar -x -C "$root/src"

# Mounts of its own, which end with it: /run is where namespaces of networks get their names.
exec "$build/contain" 3000 /usr/bin/unshare -m /bin/sh -euc '
    root=$1 units=$2 part=$3
    mount --make-rprivate /
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/run"
    cp /etc/resolv.conf /etc/hosts "$root/etc/"
    exec chroot "$root" sh -euc "
        cd /src
        make deps </dev/null >/deps.log 2>&1 || { tail -n 20 /deps.log; exit 1; }
        make -j2 all
        /usr/lib/postgresql/17/bin/postgres --version
        status=0
        [ -z \"\$0\" ] || make -j2 \$0 || status=1
        make e2e T=\"\$1\" || status=1
        exit \$status" "$units" "$part"' debian13 "$root" "$units" "$part"
