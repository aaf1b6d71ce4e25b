#!/bin/sh
# Brings the headers that the guard is built with for one major version of PostgreSQL: guard_deps.sh MAJOR. Their package depends on the newest
# minor version of everything of PostgreSQL's, and to install it would upgrade, and restart, a server that is there. So it is unpacked below
# build/deps, of the server's own version where there still is one, else of the newest: a module fits every minor version of its major one.
# Needs no root, and changes nothing of the machine's.
set -eu
cd "$(dirname "$0")/../.."
major=$1
package=postgresql-server-dev-$major
to=build/deps/server-dev-$major
header=usr/include/postgresql/$major/server/postgres.h
[ ! -e "/$header" ] && [ ! -e "$to/$header" ] || exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
server=$(dpkg-query -W -f '${Version}' "postgresql-$major" 2>/dev/null || true)
fetch() { (cd "$work" && apt-get -q -o APT::Sandbox::User=root download "$1" </dev/null >"$work/said" 2>&1); }
download() { { [ -n "$server" ] && fetch "$package=$server"; } || fetch "$package"; }
download || { apt-get -q update >/dev/null 2>&1 && download; } || {
    sed 's/^/guard-deps: /' "$work/said" >&2
    echo "guard-deps: apt cannot download $package: add a source of PostgreSQL $major's packages, or install it" >&2
    exit 1
}
mkdir -p "$(dirname "$to")"
rm -rf "$to.new"
dpkg-deb -x "$work"/*.deb "$to.new"
rm -rf "$to"
mv "$to.new" "$to"
