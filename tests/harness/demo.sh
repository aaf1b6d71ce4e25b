#!/bin/sh
# A running three-node cluster to look at: three agents with PostgreSQL and, if it is installed, HAProxy, all on loopback.
# As root everything runs as user postgres from /var/lib/pgquorum-demo; otherwise under build/demo; or where DEMO_HOME says.
# Usage: demo.sh up BINDIR | down
set -eu
cd "$(dirname "$0")/../.."
if [ "$(id -u)" = 0 ]; then
    home=${DEMO_HOME:-/var/lib/pgquorum-demo}
    as() { runuser -u postgres -- "$@"; }
    own() { chown postgres:postgres "$@"; }
else
    home=${DEMO_HOME:-$(pwd)/build/demo}
    as() { "$@"; }
    own() { :; }
fi
nodes="node1 node2 node3"

# True if the pid in the file is alive and is the program that we started under it.
alive() {
    [ -s "$1" ] || return 1
    read -r pid start < "$1" || return 1
    [ -r "/proc/$pid/stat" ] && [ "$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | cut -d' ' -f20)" = "$start" ]
}
remember() { echo "$1 $(sed 's/.*) //' "/proc/$1/stat" | cut -d' ' -f20)" > "$2"; }

end() { # pid file, seconds
    if alive "$1"; then
        read -r pid start < "$1"
        kill -TERM "$pid" 2>/dev/null || true
        n=0
        while alive "$1" && [ "$n" -lt $(($2 * 10)) ]; do
            sleep 0.1
            n=$((n + 1))
        done
        if alive "$1"; then kill -KILL "$pid" 2>/dev/null || true; fi
    fi
    rm -f "$1"
}

# What is left of an instance after a crash: every process that works in a directory of the demo.
sweep() {
    for entry in /proc/[0-9]*; do
        case "$(readlink "$entry/cwd" 2>/dev/null || true)" in
        "$home"/node*/data*) kill -KILL "${entry#/proc/}" 2>/dev/null || true ;;
        esac
        if [ "$entry/exe" -ef "$home/bin/pgquorum" ] || [ "$entry/exe" -ef "$home/bin/pgquorum-fence" ]; then
            kill -KILL "${entry#/proc/}" 2>/dev/null || true
        fi
    done
}

down() {
    [ -d "$home" ] || return 0
    end "$home/haproxy.pid" 5
    for n in $nodes; do
        end "$home/$n.pid" 1 &
    done
    wait
    sweep
    rm -rf "$home"
}

# From below the kernel's ephemeral range: there no outgoing connection can take a port while its agent is down.
free_ports() {
    /usr/bin/python3 - "$1" <<'PY'
import random, socket, sys
held = {}
while len(held) < int(sys.argv[1]):
    s, port = socket.socket(), random.randrange(12000, 32000)
    try:
        s.bind(("127.0.0.1", port))
        held[port] = s
    except OSError:
        pass
print(*held)
PY
}

write_node() { # name, raft port, rest port, postgres port, raft ports of the others
    cat > "$home/$1.yml" <<YML
scope: demo
namespace: /db/
name: $1

restapi:
  listen: 127.0.0.1:$3
  connect_address: 127.0.0.1:$3

raft:
  data_dir: $home/$1/raft
  self_addr: 127.0.0.1:$2
  partner_addrs: [127.0.0.1:$5, 127.0.0.1:$6]
  password: demo-secret

bootstrap:
  dcs:
    ttl: 5
    loop_wait: 1
    retry_timeout: 2
    maximum_lag_on_failover: 1048576
    postgresql:
      use_pg_rewind: true
  initdb:
    - encoding: UTF8
    - data-checksums
  pg_hba:
    - host replication replicator 127.0.0.1/32 md5
    - host all all 127.0.0.1/32 md5
  users:
    admin:
      password: admin
      options:
        - createrole
        - createdb

postgresql:
  listen: 127.0.0.1:$4
  connect_address: 127.0.0.1:$4
  data_dir: $home/$1/data
  pgpass: $home/$1/pgpass
  authentication:
    replication:
      username: replicator
      password: rep-pass
    superuser:
      username: postgres
      password: zalando
    rewind:
      username: rewind_user
      password: rewind_password
  parameters:
    unix_socket_directories: '.'
    shared_buffers: 32MB
YML
    chmod 600 "$home/$1.yml"
    own "$home/$1.yml"
}

write_haproxy() { # port, stats port
    {
        cat <<CFG
global
    maxconn 100

defaults
    mode tcp
    retries 2
    timeout client 30m
    timeout connect 4s
    timeout server 30m
    timeout check 5s

listen stats
    mode http
    bind 127.0.0.1:$2
    stats enable
    stats uri /

listen postgres
    bind 127.0.0.1:$1
    option httpchk
    http-check expect status 200
    default-server inter 1s fall 2 rise 1 on-marked-down shutdown-sessions
CFG
        shift 2
        for n in $nodes; do
            echo "    server $n 127.0.0.1:$1 maxconn 100 check port $2"
            shift 2
        done
    } > "$home/haproxy.cfg"
}

start_agent() { # name
    # The shell round runuser stays, too: everything of it goes to the log, or a caller's pipe would never end.
    (cd "$home" && as setsid "$home/bin/pgquorum" "$home/$1.yml") </dev/null >> "$home/$1.log" 2>&1 &
    pid=$(agent_pid "$1")
    remember "$pid" "$home/$1.pid"
}

# The demo that is there: what was killed of it is started again. Returns if nothing of it lives.
again() {
    missing=""
    for n in $nodes; do
        alive "$home/$n.pid" || missing="$missing $n"
    done
    [ "$missing" != " node1 node2 node3" ] || return 0
    for n in $missing; do
        echo "The agent of $n is started again."
        start_agent "$n"
    done
    wait_healthy
    echo "The demo is running (make demo-down ends it):"
    show
    exit 0
}

up() {
    bin=$1
    if [ -f "$home/ports" ]; then
        again
        echo "Cleaning up after an earlier demo that did not end well."
        down
    fi
    mkdir -p "$home/bin"
    cp "$bin/pgquorum" "$bin/pgquorum-fence" "$home/bin/"
    # shellcheck disable=SC2046
    set -- $(free_ports 11)
    echo "$@" > "$home/ports"
    for n in $nodes; do
        mkdir -p -m 0700 "$home/$n"
    done
    write_node node1 "$1" "$4" "$7" "$2" "$3"
    write_node node2 "$2" "$5" "$8" "$1" "$3"
    write_node node3 "$3" "$6" "$9" "$1" "$2"
    write_haproxy "${10}" "${11}" "$7" "$4" "$8" "$5" "$9" "$6"
    own "$home" "$home"/node?
    for n in $nodes; do
        start_agent "$n"
    done
    haproxy=$(command -v haproxy || true)
    [ -n "$haproxy" ] || { [ ! -x /usr/sbin/haproxy ] || haproxy=/usr/sbin/haproxy; }
    if [ -n "$haproxy" ]; then
        setsid "$haproxy" -db -f "$home/haproxy.cfg" </dev/null >> "$home/haproxy.log" 2>&1 &
        remember $! "$home/haproxy.pid"
    fi
    wait_healthy
    show
}

# runuser stays as the parent of the program it starts: the agent is the process that has the file as its argument.
agent_pid() {
    n=0
    while [ "$n" -lt 50 ]; do
        for entry in /proc/[0-9]*; do
            if [ "$entry/exe" -ef "$home/bin/pgquorum" ] && # without a process for each one that there is
                tr '\0' ' ' < "$entry/cmdline" 2>/dev/null | grep -q "$1.yml \$"; then
                echo "${entry#/proc/}"
                return
            fi
        done
        sleep 0.1
        n=$((n + 1))
    done
    echo "The agent of $1 did not start; its log is $home/$1.log:" >&2
    tail -n 5 "$home/$1.log" >&2
    exit 1
}

streaming() { as "$home/bin/pgquorum" -c "$home/node1.yml" list -f json 2>/dev/null | grep -o '"State": "streaming"' | wc -l; }

wait_healthy() {
    n=0
    while [ "$n" -lt 120 ]; do
        if [ "$(streaming)" = 2 ]; then
            return
        fi
        sleep 0.5
        n=$((n + 1))
    done
    echo "Not healthy after 60 s. The logs: $home/node1.log $home/node2.log $home/node3.log" >&2
    exit 1
}

show() {
    # shellcheck disable=SC2046
    set -- $(cat "$home/ports")
    as "$home/bin/pgquorum" -c "$home/node1.yml" list
    leader=$(as "$home/bin/pgquorum" -c "$home/node1.yml" list -f json 2>/dev/null | tr '{' '\n' |
        sed -n 's/.*"Member": "\([^"]*\)".*"Role": "Leader".*/\1/p')
    hosts="127.0.0.1:$7,127.0.0.1:$8,127.0.0.1:$9"
    echo
    echo "Connect to the primary, wherever it is:"
    echo "  psql 'postgres://postgres:zalando@$hosts/postgres?target_session_attrs=read-write'"
    if alive "$home/haproxy.pid"; then
        echo "  psql 'postgres://postgres:zalando@127.0.0.1:${10}/postgres'      (HAProxy; its page: http://127.0.0.1:${11}/)"
    fi
    echo
    echo "Then try:"
    echo "  watch -n 0.5 $home/bin/pgquorum -c $home/node1.yml list"
    echo "  $home/bin/pgquorum -c $home/node1.yml switchover --force"
    echo "  kill -9 \$(head -n 1 $home/${leader:-node1}/data/postmaster.pid)       (kill the primary and watch)"
    echo "  kill -9 \$(cut -d' ' -f1 $home/${leader:-node1}.pid)       (kill its agent; make demo starts it again)"
    echo "  $home/bin/pgquorum -c $home/node1.yml explain"
    echo "  make demo-down                     (removes all of it)"
}

case "${1:-}" in
up) up "$2" ;;
down) down || true ;;
*) echo "usage: demo.sh up BINDIR | down" >&2; exit 2 ;;
esac
