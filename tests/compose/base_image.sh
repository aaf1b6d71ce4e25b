#!/bin/sh
# The image that compose/Dockerfile begins with, where no registry is there to have it from: made by debootstrap, of what Debian's own slim
# images have, under their name. Whoever has an image of that name keeps it. Needs root and debootstrap.
#   base_image.sh IMAGE SUITE
set -eu
image=$1 suite=$2
if docker image inspect "$image" >/dev/null 2>&1; then
    exit 0
fi
here=$(cd "$(dirname "$0")" && pwd)
uri=$("$here/../harness/deps.sh" uri)
work=$(mktemp -d /var/tmp/pgquorum-base-XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
echo "making $image by debootstrap"
debootstrap --variant=minbase "$suite" "$work/root" "$uri" > "$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; exit 1; }
root=$work/root
printf 'deb %s %s main\ndeb %s %s-updates main\ndeb %s-security %s-security main\n' "$uri" "$suite" "$uri" "$suite" "${uri%/}" "$suite" \
    > "$root/etc/apt/sources.list"
printf 'path-exclude /usr/share/%s/*\n' doc info locale man > "$root/etc/dpkg/dpkg.cfg.d/docker"
printf 'Apt::AutoRemove::SuggestsImportant "false";\nAcquire::Languages "none";\n' > "$root/etc/apt/apt.conf.d/docker"
rm -rf "$root"/usr/share/doc/* "$root"/usr/share/info/* "$root"/usr/share/locale/* "$root"/usr/share/man/* \
    "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/*.log
tar -C "$root" -c . | docker import -c 'CMD ["bash"]' - "$image" >/dev/null
