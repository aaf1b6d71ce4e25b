#!/bin/sh
# A root of a clean Debian with systemd, as a container: nothing of what is done in it reaches BASE or the machine. To be called in
# mount namespaces of its own; `boot` in namespaces of processes, network, cgroups, IPC and host name, too.
#   root.sh make  BASE RELEASE URI                makes BASE
#   root.sh run   BASE WORK CACHE COMMAND...      with the machine's network, packages are kept in CACHE
#   root.sh boot  BASE WORK                       systemd as process 1, nothing but loopback
set -eu
what=$1 base=$2
if [ "$what" = make ]; then
    [ ! -e "$base/../made" ] || exit 0
    rm -rf "$base"
    mkdir -p "$base"
    debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,ca-certificates "$3" "$base" "$4"
    touch "$base/../made"
    exit 0
fi

work=$3
root=$work/root
mount --make-rprivate /
mkdir -p "$work/upper" "$work/work" "$root"
mount -t overlay overlay -o "lowerdir=$base,upperdir=$work/upper,workdir=$work/work" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for node in null:3 zero:5 full:7 random:8 urandom:9; do
    mknod -m 666 "$root/dev/${node%:*}" c 1 "${node#*:}"
done
mknod -m 666 "$root/dev/tty" c 5 0
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"

if [ "$what" = run ]; then
    mkdir -p "$4"
    mount --bind "$4" "$root/var/cache/apt/archives"
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    shift 4
    exec chroot "$root" "$@"
fi
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
ip link set lo up
for address in 192.0.2.11 192.0.2.12 192.0.2.13; do # of agent/packaging/pgquorum.yml
    ip address add "$address/32" dev lo
done
cd "$root"
pivot_root . mnt
exec chroot . /bin/sh -c 'umount -l /mnt; exec env -i container=pgquorum PATH=/usr/sbin:/usr/bin:/sbin:/bin /sbin/init' </dev/null
