#!/bin/sh
# The document's deployment as containers. Usage: compose.sh up MODE | down | env
#   MODE: self-contained (WITNESS=1: two nodes and a witness), etcd-backed, etcd-serving.
# SUBNET= another network than 172.20.0.0/16, PUBLISH= another address than 127.0.0.1 for the ports, BASE= and PG_MAJOR= another base image: as
# given once, they stay in compose/.env until `down`, and what the data hangs on is not changed before that. COMPOSE= another command than docker-compose, or `docker compose` where there is no such.
set -eu
cd "$(dirname "$0")"
project=pgquorum
given="PUBLISH BASE PG_MAJOR PGQUORUM_IMAGE PATRONI_IMAGE ETCD_IMAGE HAPROXY_IMAGE"
kept="SUBNET NET MODE WITNESS $given"

fail() {
    echo "compose: $*" >&2
    exit 1
}

engine() {
    command -v docker >/dev/null || fail "docker is not installed: on Debian, apt-get install docker.io docker-compose"
    docker info >/dev/null 2>&1 || fail "the Docker engine does not answer: is it started, and may this user reach it? ($(docker info 2>&1 | tail -n 1))"
    if [ -n "${COMPOSE:-}" ]; then
        $COMPOSE version >/dev/null 2>&1 || fail "COMPOSE=$COMPOSE is no command that answers to 'version'"
    elif command -v docker-compose >/dev/null; then
        COMPOSE=docker-compose
    elif docker compose version >/dev/null 2>&1; then
        COMPOSE="docker compose"
    else
        fail "neither docker-compose nor 'docker compose' is installed: on Debian, apt-get install docker-compose"
    fi
}

random() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }

# Passwords, made once; what compose reads by itself.
make_env() {
    [ ! -e .env ] || return 0
    (umask 077 && {
        echo "# Made by compose.sh; git ignores it. Passwords of the clusters that are made from now on: their volumes have them."
        echo "COMPOSE_PROJECT_NAME=$project"
        for name in SUPERUSER REPLICATION REWIND ADMIN RAFT; do
            echo "${name}_PASSWORD=$(random)"
        done
    } > .env.new)
    mv .env.new .env
}

value() { sed -n "s/^$1=//p" .env; }
keep() { # name, value
    (umask 077 && { grep -v "^$1=" .env; [ -z "$2" ] || echo "$1=$2"; } > .env.new)
    mv .env.new .env
}

# What data that is there hangs on: the members know each other by their addresses, a data directory is of one version of PostgreSQL, and its
# indexes are sorted as the C library of the image sorts.
there() {
    case $1 in
    SUBNET)
        there=$(value SUBNET)
        [ -n "$there" ] || there=$(docker network inspect -f '{{range .IPAM.Config}}{{.Subnet}}{{end}}' "${project}_hosts" 2>/dev/null) || there=
        echo "${there:-172.20.0.0/16}" ;;
    BASE) there=$(value BASE); echo "${there:-debian:bookworm-slim}" ;;
    PG_MAJOR) there=$(value PG_MAJOR); echo "${there:-15}" ;;
    esac
}

# --- networks: a.b.c.d/n as first and last number ---
range() {
    echo "$1" | awk -F '[./]' 'NF == 5 {
        size = 2 ^ (32 - $5); n = (($1 * 256 + $2) * 256 + $3) * 256 + $4
        first = n - n % size; printf "%.0f %.0f\n", first, first + size - 1}'
}
overlap() { # two networks
    # shellcheck disable=SC2046
    set -- $(range "$1") $(range "$2")
    [ $# = 4 ] && [ "$1" -le "$4" ] && [ "$3" -le "$2" ]
}
# Who has a part of the network already: networks of the engine, and what the host knows a way to.
taken_by() {
    for id in $(docker network ls -q --filter driver=bridge); do
        name=$(docker network inspect -f '{{.Name}}' "$id") || continue
        [ "$name" != "${project}_hosts" ] || continue
        for other in $(docker network inspect -f '{{range .IPAM.Config}}{{.Subnet}} {{end}}' "$id"); do
            ! overlap "$1" "$other" || { echo "the network '$name' of the engine ($other)"; return; }
        done
    done
    [ -z "$(docker network ls -q --filter "name=^${project}_hosts\$")" ] || return 0
    command -v ip >/dev/null || return 0
    ip -4 route 2>/dev/null | while read -r route rest; do
        case $route in
        default) continue ;;
        */*) ;;
        *) route=$route/32 ;;
        esac
        ! overlap "$1" "$route" || { echo "a route of this host: $route $rest"; break; }
    done
}
choose_network() {
    subnet=${SUBNET:-$(there SUBNET)}
    echo "$subnet" | grep -qE '^([0-9]{1,3}\.){3}0/(1[6-9]|2[0-4])$' ||
        fail "SUBNET=$subnet is not a network for the five hosts: give a.b.c.0/16 to a.b.c.0/24, such as 10.99.0.0/16"
    by=$(taken_by "$subnet")
    [ -z "$by" ] || fail "$subnet is taken by $by: give another one, such as make compose SUBNET=10.99.0.0/16"
    keep SUBNET "$subnet"
    keep NET "${subnet%.*}"
}

# --- the cluster ---
files() { # mode, witness
    printf -- '-f %s.yml' "$1"
    [ -z "$2" ] || printf -- ' -f witness.yml'
}
compose() {
    # shellcheck disable=SC2046
    $COMPOSE $(files "$mode" "$witness") "$@"
}
node() { # name, command...
    name=$1
    shift
    compose exec -T "$name" "$@" </dev/null
}
# A query by way of HAProxy. The password goes by standard input: command lines, here and in the container, are everybody's to read.
query() {
    superuser_password | compose exec -T node1 sh -c 'read -r PGPASSWORD; export PGPASSWORD
        exec psql -XAt "host=node5 port=5000 user=postgres dbname=postgres connect_timeout=3" -c "$1" </dev/null' query "$1"
}
list() { # more arguments
    case $mode in
    etcd-serving) node "$1" patronictl -c /etc/patroni/patroni.yml list $2 $3 ;;
    *) node "$1" pgquorum -c /etc/patroni/patroni.yml list $2 $3 ;;
    esac
}
superuser_password() {
    case $mode in
    etcd-backed) sed -n '/superuser:/,/password:/s/.*password: //p' document/patroni.yml ;;
    *) value SUPERUSER_PASSWORD ;;
    esac
}
data_nodes() { [ -z "$witness" ] && echo 3 || echo 2; }
# A leader, every other one behind it, and a session by way of HAProxy that may write. Patroni says running where others say streaming.
healthy() {
    rows=$(list node1 -f json 2>/dev/null) || return 1
    [ "$(echo "$rows" | grep -oE '"State": "(running|streaming)"' | wc -l)" = "$(data_nodes)" ] || return 1
    [ "$(echo "$rows" | grep -oE '"Role": "Leader"' | wc -l)" = 1 ] || return 1
    [ "$(query 'SELECT pg_is_in_recovery()' 2>/dev/null)" = f ]
}
wait_healthy() {
    end=$(($(date +%s) + 180))
    until healthy; do
        if [ "$(date +%s)" -gt "$end" ]; then
            compose ps >&2
            fail "not healthy after 180 s: see $COMPOSE $(files "$mode" "$witness") logs, in the directory compose"
        fi
        sleep 0.5
    done
}

show() {
    list node1 "" ""
    at=$(value PUBLISH)
    at=${at:-127.0.0.1}
    password=$(superuser_password)
    net=$(value NET)
    echo
    echo "Connect to the primary, wherever it is:"
    echo "  psql 'postgres://postgres:$password@$at:5000/postgres'      (HAProxy; its page: http://$at:7000/)"
    [ "$mode" = etcd-backed ] || echo "  psql 'postgres://postgres:$password@$at:5001/postgres'      (a standby, to read)"
    echo "  psql 'postgres://postgres:$password@$net.10,$net.11,$net.12/postgres?target_session_attrs=read-write'      (without HAProxy, from this host)"
    echo "REST of the nodes: http://$at:8008/patroni, http://$at:8009/patroni, http://$at:8010/patroni"
    echo
    echo "In the directory compose, $COMPOSE $(files "$mode" "$witness") ps and the like. make compose-down removes everything, the data too."
}

# The mode of what is there, also of what was started without this script; nothing if nothing is.
mode_there() {
    there=$(value MODE)
    [ -n "$there" ] || there=$(docker ps -a --filter "label=com.docker.compose.project=$project" --format '{{.Label "pgquorum.mode"}}' | head -n 1)
    echo "$there"
}

refuse_changes() {
    for name in SUBNET BASE PG_MAJOR; do
        eval "wanted=\${$name:-}"
        [ -z "$wanted" ] || [ "$wanted" = "$(there $name)" ] ||
            fail "$name=$wanted: what is there was made with $name=$(there $name), and its data hangs on that. Leave $name out to go on with it; to begin anew, make compose-down first (it removes the data: pg_dumpall before)"
    done
}

up() {
    mode=$1 witness=
    [ -e "$mode.yml" ] && [ "$mode" != witness ] || fail "MODE=$mode is none of self-contained, etcd-backed, etcd-serving"
    [ -z "${WITNESS:-}" ] || [ "$mode" = self-contained ] || fail "WITNESS=1 goes with MODE=self-contained only"
    make_env
    running=$(mode_there)
    if [ -n "$running" ] && [ "$running" != "$mode" ]; then
        fail "MODE=$running is there, with its data: make compose-down first"
    fi
    witness=${WITNESS:-$(value WITNESS)}
    [ -z "$running" ] || [ "$witness" = "$(value WITNESS)" ] || fail "it is there without a witness: make compose-down first"
    [ -z "$running" ] || refuse_changes
    choose_network
    for name in $given; do
        eval "value=\${$name:-}"
        [ -z "$value" ] || keep "$name" "$value"
    done
    keep MODE "$mode"
    keep WITNESS "$witness"
    compose build
    compose up -d
    wait_healthy
    show
}

down() {
    [ -e .env ] || return 0
    mode=$(mode_there) witness=$(value WITNESS)
    [ -n "$mode" ] || return 0
    compose down -t 2 -v --remove-orphans # the data goes anyway
    for name in $kept; do
        keep "$name" ""
    done
}

case "${1:-}" in
up) engine; up "${2:-self-contained}" ;;
down) engine; down ;;
env) make_env ;;
*) echo "usage: compose.sh up MODE | down | env" >&2; exit 2 ;;
esac
