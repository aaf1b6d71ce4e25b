#!/bin/sh
# Installs what pgquorum needs to build, test and run on Debian 12 or 13. Starts no service, now or at boot, creates no PostgreSQL cluster
# (Debian's package would, on port 5432) and leaves existing ones alone. Usage: deps.sh [check | install [build] | source | uri].
# `build`: what compiles the programs, and nothing that tests them.
set -eu
cd "$(dirname "$0")/../.."
raft_version=0.22.1
raft_sha256=7e45b6f24f3671c9bfd5b146814493f87cb2e560712bd469c1f5969a4b94291a
cache=build/deps
policy=/usr/sbin/policy-rc.d
settings=/etc/postgresql-common/createcluster.d/pgquorum.conf
release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
case $release in
trixie) postgresql=postgresql-17 ;;
*) release=bookworm postgresql=postgresql-15 ;;
esac
packages="gcc libc6-dev make pkg-config libuv1-dev libsqlite3-dev libpq-dev libyaml-dev libjansson-dev libssl-dev libhttp-parser-dev
  libcurl4-openssl-dev libnghttp2-dev uthash-dev"
only=${2:-}
[ "$only" = build ] || packages="$packages openssl libcmocka-dev $postgresql haproxy clang libclang-rt-dev clang-format cppcheck spin wrk iproute2 nftables
  procps util-linux mount e2fsprogs python3 python3-venv python3-pytest python3-psycopg2 python3-yaml curl sqlite3 zsh etcd-server etcd-client patroni python3-etcd ca-certificates gpgv debootstrap"

installed() { [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null)" = "ii " ]; }
missing() {
    for p in $packages; do
        installed "$p" || printf '%s ' "$p"
    done
    case "$(dpkg-query -W -f '${Version}' libraft-dev 2>/dev/null || true)" in
    "$raft_version"-*) ;;
    *) printf 'libraft-dev ' ;;
    esac
}
# The machine's own Debian source: address and key, from either format of apt's source lists.
debian_source() {
    # A file's end ends its last paragraph, with an empty line or without.
    for file in /etc/apt/sources.list.d/*.sources; do
        [ ! -r "$file" ] || { cat "$file"; echo; }
    done | awk '
        /^URIs:/ {uri = $2} /^Suites:/ {suites = $0} /^Signed-By:/ {key = $2}
        /^$/ {if (suites ~ /'"$release"'( |$)/) {print uri, key; exit} suites = ""; key = ""}'
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
        sed -nE 's/^deb( \[[^]]*\])? +([^ ]+) +'"$release"' +.*/\2/p' | head -n 1
}
source_uri() { debian_source | head -n 1 | cut -d' ' -f1; }
source_key() {
    key=$(debian_source | head -n 1 | cut -s -d' ' -f2)
    echo "${key:-/usr/share/keyrings/debian-archive-keyring.gpg}"
}

# Debian 13 has the library that is wanted; for Debian 12 it is in its backports.
add_backports() {
    [ "$release" = bookworm ] || return 0
    if apt-cache madison libraft-dev 2>/dev/null | grep -q " $raft_version-"; then
        return
    fi
    uri=$(source_uri)
    [ -n "$uri" ] || { echo "deps: no Debian source of $release in /etc/apt: add one, then run make deps again" >&2; exit 1; }
    printf 'Types: deb\nURIs: %s\nSuites: bookworm-backports\nComponents: main\nSigned-By: %s\n' \
        "$uri" "$(source_key)" > /etc/apt/sources.list.d/pgquorum-backports.sources
    apt-get update -q
}

install_packages() {
    todo=$(missing)
    [ -n "$todo" ] || [ -e "$settings" ] || return 0
    if [ "$(id -u)" != 0 ]; then
        if command -v sudo >/dev/null 2>&1; then
            exec sudo "$(pwd)/tests/harness/deps.sh" install $only
        fi
        echo "deps: these packages are missing: $todo" >&2
        echo "deps: run this as root, then go on: $(pwd)/tests/harness/deps.sh install $only" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    # No cluster and no running service come with the packages. That is taken back however this ends; the settings file says what
    # has to be, for a run that was killed and left it.
    new=$(echo "$todo" $(sed -n 's/^# new: //p' "$settings" 2>/dev/null))
    made_policy=$(sed -n 's/^# policy: //p' "$settings" 2>/dev/null || true)
    trap clean_up EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    [ -e "$policy" ] || made_policy=yes
    mkdir -p "$(dirname "$settings")"
    printf 'create_main_cluster = false\n# new: %s\n# policy: %s\n' "$new" "$made_policy" > "$settings"
    if [ -n "$made_policy" ]; then
        printf '#!/bin/sh\nexit 101\n' > "$policy"
        chmod 755 "$policy"
    fi
    apt-get update -q
    add_backports
    plain=$(echo "$todo" | tr ' ' '\n' | grep -vx libraft-dev | tr '\n' ' ')
    # shellcheck disable=SC2086
    [ -z "$(echo $plain)" ] || apt-get install -q -y --no-install-recommends $plain </dev/null
    case "$todo" in
    *libraft-dev*)
        from=$([ "$release" != bookworm ] || echo "-t bookworm-backports")
        # shellcheck disable=SC2086
        apt-get install -q -y --no-install-recommends $from libraft-dev </dev/null
        ;;
    esac
}

# Nor does the next boot start what has come now, if not all of it came; what was there before stays as it was.
clean_up() {
    for pair in etcd-server:etcd haproxy:haproxy patroni:patroni; do
        case " $new " in
        *" ${pair%:*} "*) ! installed "${pair%:*}" || update-rc.d "${pair#*:}" disable >/dev/null || true ;; # of systemd, too
        esac
    done
    [ -z "$made_policy" ] || rm -f "$policy"
    rm -f "$settings"
}

# The engine's source, for sanitizer builds and RAFT_SRC: a private apt configuration, nothing of the machine's is touched.
fetch_source() {
    [ ! -f "$cache/raft-$raft_version/src/raft.c" ] || return 0
    uri=$(source_uri)
    key=$(source_key)
    work=$(pwd)/$cache/apt
    mkdir -p "$work/lists/partial" "$work/cache"
    echo "deb-src [signed-by=$key] $uri trixie main" > "$work/sources.list"
    set -- -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$work/lists" \
        -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root -q
    (cd "$work" && apt-get "$@" update && apt-get "$@" --tar-only source "raft=$raft_version-1") || {
        echo "deps: the source of libraft $raft_version could not be had from Debian 13; sanitizer builds need it" >&2
        exit 1
    }
    echo "$raft_sha256  $work/raft_$raft_version.orig.tar.gz" | sha256sum -c - >/dev/null
    tar xzf "$work/raft_$raft_version.orig.tar.gz" -C "$cache"
    rm -rf "$work"
}

case "${1:-install}" in
check) [ -z "$(missing)" ] ;;
install) install_packages ;;
source) fetch_source ;;
uri) source_uri ;;
*) echo "usage: deps.sh [check | install [build] | source | uri]" >&2; exit 2 ;;
esac
