#!/bin/sh
# Installs what the guard is built with for one major version of PostgreSQL: guard_deps.sh MAJOR. Those headers come with the newest minor
# version of the server, and apt would upgrade a server that is there along with them. So they are asked for in its own version, and whatever
# would change another package is not done: UPGRADE=1 allows it.
set -eu
major=$1
package=postgresql-server-dev-$major
version() { dpkg-query -W -f '${db:Status-Abbrev}${Version}\n' "$1" 2>/dev/null | sed -n 's/^ii *//p'; }
[ -z "$(version "$package")" ] || exit 0
[ "$(id -u)" = 0 ] || { echo "guard-deps: $package is missing: install it, as root" >&2; exit 1; }
apt-get update -q
wanted=$package
server=$(version "postgresql-$major")
if [ -n "$server" ] && apt-cache madison "$package" | cut -d'|' -f2 | tr -d ' ' | grep -qxF "$server"; then
    wanted="$package=$server"
fi
upgrades=$(apt-get install -s --no-install-recommends "$wanted" | sed -n 's/^Inst \([^ ]*\) \[.*/\1/p' | tr '\n' ' ')
if [ -n "$upgrades" ] && [ "${UPGRADE:-}" != 1 ]; then
    echo "guard-deps: installing $wanted would upgrade, and may restart, what is in use here: $upgrades" >&2
    echo "guard-deps: nothing was changed; upgrade those first, or allow it: make guard-deps PG=$major UPGRADE=1" >&2
    exit 1
fi
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$wanted" </dev/null
