#!/bin/sh
# Debian packages of the tree as it is, into BUILD/deb: a copy of it gets agent/packaging/debian and a changelog with the version of
# agent/version.h, and is built there by debhelper. Only what has changed is compiled the next time.
#   deb.sh BUILD          PROGRAMS= names a directory of programs that are packaged as they are, without a release build
set -eu
cd "$(dirname "$0")/../.."
mkdir -p "$1/deb/src"
out=$(cd "$1/deb" && pwd)
missing=
for package in build-essential debhelper; do
    [ "$(dpkg-query -W -f '${db:Status-Abbrev}' $package 2>/dev/null)" = "ii " ] || missing="$missing $package"
done
if [ -n "$missing" ]; then
    [ "$(id -u)" = 0 ] || { echo "deb: these packages are missing:$missing: install them, then run make deb again" >&2; exit 1; }
    apt-get update -q
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing </dev/null
fi

# The guard's headers: of the installed package, or those that `make deps` has unpacked, which dpkg-buildpackage does not know of (-d).
unpacked=
if [ ! -e /usr/include/postgresql/15/server/postgres.h ]; then
    if [ -d build/deps/server-dev-15 ]; then
        unpacked=-d
        mkdir -p "$out/src/build/deps"
        cp -r -u -p build/deps/server-dev-15 "$out/src/build/deps/"
    else
        export DEB_BUILD_PROFILES="noguard ${DEB_BUILD_PROFILES:-}"
        echo "deb: without pgquorum-guard-15, which needs the headers of PostgreSQL 15's server: make guard-deps"
    fi
fi

# What is not in the tree any more goes, and what has not changed keeps its time: make goes by it.
git ls-files --cached --others --exclude-standard | while read -r file; do [ ! -e "$file" ] || echo "$file"; done > "$out/files"
(cd "$out/src" && find . -type f ! -path './build/*' ! -path './debian/*' | sed 's|^\./||') | sort > "$out/there"
sort "$out/files" | comm -13 - "$out/there" | (cd "$out/src" && xargs -r -d '\n' rm -f)
xargs -d '\n' cp --parents -u -p -t "$out/src" < "$out/files"

version=$(sed -n 's/^#define PGQUORUM_VERSION "\(.*\)"$/\1/p' agent/version.h)
[ -n "$version" ] || { echo "deb: agent/version.h has no PGQUORUM_VERSION" >&2; exit 1; }
rm -rf "$out/src/debian"
cp -r agent/packaging/debian "$out/src/debian"
cat > "$out/src/debian/changelog" <<CHANGELOG
pgquorum ($version-1) unstable; urgency=medium

  * Built from the tree of the release; its CHANGELOG.md says what is new.

 -- $(sed -n 's/^Maintainer: //p' agent/packaging/debian/control)  $(git log -1 --format=%cD)
CHANGELOG
rm -f "$out"/*.deb "$out"/*.changes "$out"/*.buildinfo
(cd "$out/src" && unset BUILD MODE; MAKEFLAGS= DEB_BUILD_OPTIONS="parallel=$(nproc) ${DEB_BUILD_OPTIONS:-}" dpkg-buildpackage -b -uc -us -nc $unpacked) > "$out/build.log" 2>&1 || {
    tail -n 30 "$out/build.log"
    echo "deb: the package was not built: $out/build.log says why" >&2
    exit 1
}
ls "$out"/*.deb
