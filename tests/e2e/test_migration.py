"""A running Patroni cluster moves from its etcd to ours, member by member and then to our own store, under writers; and back
(docs/migration.md)."""
import os
import signal
import time

import pytest

import faults
import mixed
from etcd import HOSTS
from rig import NODES, PATRONI, PATRONI_DEBIAN, RAFT, RAFT_ADDRESS, VOTER, command_line, wait_for

FROM = f"http://{HOSTS['node4']}:2379"
PREFIX = "/db/postgres"
TIMES = {"ttl": 20, "loop_wait": 2, "retry_timeout": 5}  # the least that Patroni takes


def stop(node):
    """As an operator stops the service: with SIGTERM, waited for."""
    node.kill_agent(signal.SIGTERM)
    wait_for(f"the agent of {node.name} is stopped", lambda: node.agent_pid() is None, 60)


def keep_state_dir(node):
    """Where its fence is found: our own store will have the same directory, so that PostgreSQL needs no restart then."""
    with open(node.config, "a") as f:
        f.write(f"\nstate_dir: {node.home}/raft\n")


def becomes(r, node, patroni):
    """The other program on the same data directory, with the same file but for what the document's says of sockets."""
    stop(node)
    node.patroni = patroni
    r.write_config(node)
    if not patroni:
        keep_state_dir(node)
    node.start_agent()
    r.wait_healthy(timeout=90)


def leads(r, wanted):
    def switched():
        if r.leader() is not wanted:
            r.wait_streaming(wanted)
            r.ctl("switchover", "--leader", r.leader().name, "--candidate", wanted.name, "--force", timeout=60, check=False)
            r.wait_healthy()
        return r.leader() is wanted
    wait_for(f"{wanted.name} leads", switched, 60, 2)


def raft_section(r, node):
    partners = ", ".join(f"{RAFT_ADDRESS[name] if r.apart else r.nodes[name].address}:2380" for name in NODES if name != node.name)
    return RAFT.format(home=node.home, raft_address=node.raft_address, partners=partners, raft="")


def raft_file(r, node):
    """What the node's file will be."""
    with open(node.config) as f:
        text = f.read()
    begin = text.index("\netcd3:\n")
    end = text.index("\nbootstrap:", begin)
    path = node.config + ".raft"
    with open(path, "w") as f:
        f.write(text[:begin] + "\n" + raft_section(r, node) + mixed.SERVE + text[end:].replace("\nstate_dir:", "\n# state_dir:"))
    return path


def store_file(r, node):
    return os.path.join(r.home, f"{node.name}-store.yml")


def start_stores(r):
    """Our own store before any agent uses it: a witness on each node, on the directory that the agent will have."""
    for node in r.nodes.values():
        with open(store_file(r, node), "w") as f:
            f.write(VOTER.format(name=node.name, store=raft_section(r, node), address=node.address, **TIMES).replace("-voter", ""))
        node.order([r.binary("pgquorum"), "witness", store_file(r, node)], store_file(r, node) + ".log")


def store_pid(r, node):
    return next((pid for pid in node.processes() if store_file(r, node) in command_line(pid)), None)


def stop_store(r, node):
    os.kill(store_pid(r, node), signal.SIGTERM)
    wait_for(f"the witness of {node.name} is stopped", lambda: store_pid(r, node) is None, 30)


def ours(r, *args, stdin="", check=True):
    """The command with the new store's file."""
    answer = r.ctl("-c", r.nodes["node1"].config + ".raft", *args, stdin=stdin, check=False, timeout=60)
    assert answer.returncode == 0 or not check, answer.stdout + answer.stderr
    return answer


def import_refused(r, words):
    answer = ours(r, "import-etcd", "--from", FROM, "--prefix", PREFIX, "--force", check=False)
    assert answer.returncode == 1 and words in answer.stderr, answer.stdout + answer.stderr


def starts_of(r):
    return {node.name: r.sql(node, "SELECT pg_postmaster_start_time()") for node in r.nodes.values()}


def fences(node):
    return [pid for pid, exe in node.processes().items() if os.path.basename(exe) == "pgquorum-fence"]


def move(r, begin, kept=True):
    """Every agent to the file that `begin` gives its node, in pause; PostgreSQL stays, and its fence where it is found (`kept`). Where it is not,
    the servers are adopted: the primary as it is, standbys are started anew to have their upstream in a file that the agent knows."""
    before, leader = starts_of(r), r.leader()
    for node in [n for n in r.nodes.values() if n is not leader] + [leader]:
        stop(node)
        begin(node)
        node.start_agent()
        wait_for(f"the agent of {node.name} answers", lambda n=node: r.http_status(n.address, "/liveness") == 200, 30)
    wait_for(f"{leader.name} has the key", lambda: r.leader() is leader, 60, 0.5)
    assert "Maintenance mode: on" in r.ctl("list").stdout
    assert "Success" in r.ctl("resume", "--wait", timeout=60).stdout
    r.wait_healthy(timeout=60)
    for node in r.nodes.values():
        if kept or node is leader:
            assert r.sql(node, "SELECT pg_postmaster_start_time()") == before[node.name], f"PostgreSQL of {node.name} was restarted"
        if kept or node is not leader:  # there the old one ends with the server that it has started
            wait_for(f"{node.name} has one fence", lambda n=node: len(fences(n)) == 1, 60)
    assert r.leader() is leader


def to_our_store(r, kept=True):
    """From the old etcd into the Raft group of the members, without a restart of the primary."""
    for node in r.nodes.values():
        raft_file(r, node)
    start_stores(r)
    wait_for("our own store has a leader", lambda: "Leader" in ours(r, "raft", "status", check=False).stdout, 30)
    import_refused(r, "is not paused")
    assert "Success" in r.ctl("pause", "--wait", timeout=60).stdout
    answer = ours(r, "import-etcd", "--from", FROM, "--prefix", PREFIX, "--dry-run")
    assert "| config" in answer.stdout and "Dry run: nothing was sent" in answer.stdout
    answer = ours(r, "import-etcd", "--from", FROM, "--prefix", PREFIX, stdin="y\n")
    assert "keys of cluster postgres were copied" in answer.stdout, answer.stdout
    answer = ours(r, "import-etcd", "--from", "etcd3://" + FROM[len("http://"):], "--force")  # once more: nothing is lost by it
    assert "there already" in answer.stdout, answer.stdout

    def begin(node):
        stop_store(r, node)
        os.replace(node.config, node.config + ".etcd")
        os.replace(node.config + ".raft", node.config)

    move(r, begin, kept)


PROGRAMS = [pytest.param(PATRONI_DEBIAN, id="3.0.2"), pytest.param(PATRONI, id="4.1", marks=pytest.mark.rest)]


@pytest.mark.parametrize("program", PROGRAMS)
def test_patroni_on_etcd_becomes_ours_on_its_own_store(make_rig, program):
    if not program:
        pytest.skip("PATRONI names no Patroni: make e2e-rest does")
    r = make_rig(store="etcd3", patroni=tuple(NODES), program=program, **TIMES)
    r.start_all()
    r.haproxy = r.start_haproxy()
    r.wait_healthy(timeout=120)
    r.ctl("edit-config", "-q", "-s", "maximum_lag_on_failover=7777777", "--force")
    with faults.Load(r) as load:
        old = r.leader()
        standbys = [n for n in r.nodes.values() if n is not old]
        becomes(r, standbys[0], patroni=False)
        becomes(r, standbys[0], patroni=True)  # the way back from the first step
        for node in standbys:
            becomes(r, node, patroni=False)
        leads(r, standbys[0])  # the one switchover
        load.wait_writable(30)
        becomes(r, old, patroni=False)
        becomes(r, standbys[1], patroni=True)  # the way back from the second: as from the first
        becomes(r, standbys[1], patroni=False)
        assert r.leader() is standbys[0]
        to_our_store(r)
        load.wait_writable(30)
        for member in r.etcd.members.values():
            member.kill()  # nobody needs it any more
        time.sleep(TIMES["ttl"] + 2)
        load.wait_writable(10)
        assert r.leader() is standbys[0]
    print(faults.verify(r, load, may_lose=False), load.gaps())
    assert "maximum_lag_on_failover: 7777777" in r.ctl("show-config").stdout
    faults.switchover(r)


@pytest.mark.rest
@pytest.mark.parametrize("kept", [True, False], ids=["state_dir", "no_state_dir"])
def test_ours_goes_back_from_its_own_store_to_etcd(make_rig, kept):
    """By the listener of our store, which looks like an etcd; the old keys in the real one have to be removed by hand before."""
    r = make_rig(store="etcd3", ttl=5, loop_wait=1, retry_timeout=2)
    for node in r.nodes.values() if kept else ():
        keep_state_dir(node)
    r.start_all()
    r.haproxy = r.start_haproxy()
    r.wait_healthy()
    with faults.Load(r) as load:
        to_our_store(r, kept)
        load.wait_writable(30)
        r.ctl("edit-config", "-q", "-s", "maximum_lag_on_failover=7777777", "--force")
        r.ctl("pause", "--wait", timeout=60)
        back = ("-d", f"etcd3://{HOSTS['node4']}:2379/db/", "import-etcd", "--from", "http://172.20.0.10:2379", "--force")
        wait_for("the lease in the old store is over", lambda: not r.etcd.get("leader"), 15)
        answer = r.ctl(*back, check=False)
        assert answer.returncode == 1 and "a cluster of this name has been led in the new store" in answer.stderr, answer.stdout + answer.stderr
        r.etcd.ctl("del", "--prefix", PREFIX + "/")
        assert "keys of cluster postgres were copied" in r.ctl(*back).stdout
        move(r, lambda node: os.replace(node.config + ".etcd", node.config), kept)
        load.wait_writable(30)
    print(faults.verify(r, load, may_lose=False), load.gaps())
    assert "maximum_lag_on_failover: 7777777" in r.ctl("show-config").stdout
    faults.switchover(r)


@pytest.mark.rest
@pytest.mark.parametrize("program", PROGRAMS)
def test_instances_that_patroni_has_left_running_are_adopted(make_rig, program):
    """As from Patroni's own raft, or where nobody wants the old keys: an empty group finds a running primary and its standbys."""
    if not program:
        pytest.skip("PATRONI names no Patroni: make e2e-rest does")
    r = make_rig(store="etcd3", patroni=tuple(NODES), program=program, **TIMES)
    r.start_all()
    r.haproxy = r.start_haproxy()
    r.wait_healthy(timeout=120)
    with faults.Load(r) as load:
        r.ctl("pause", "--wait", timeout=60)
        leader, before = r.leader(), starts_of(r)
        for node in r.nodes.values():
            stop(node)
            node.patroni = False
            r.write_config(node)
            os.replace(raft_file(r, node), node.config)
        for node in r.nodes.values():
            node.start_agent()
        wait_for(f"{leader.name} has the key", lambda: r.leader() is leader, 60, 0.5)
        r.wait_healthy(timeout=90)
        load.wait_writable(30)
        assert starts_of(r)[leader.name] == before[leader.name], "the primary was restarted"
    print(faults.verify(r, load, may_lose=False), load.gaps())
    faults.switchover(r)
