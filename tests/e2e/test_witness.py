"""Two nodes with PostgreSQL and one that only votes; and nodes that only vote."""
import os
import signal
import subprocess
import time

import pytest

import checks
import faults
from rig import wait_for

WITNESS = "node3"


@pytest.fixture
def pair(shared_rig, request):
    """Two data nodes and a witness, ttl 3, with HAProxy; those of the test before if there was one."""
    r = shared_rig(witnesses=(WITNESS,))
    if r.haproxy is None:
        r.start_all()
        r.haproxy = r.start_haproxy()
    r.wait_healthy(count=2)
    wait_for("all three are in the group", lambda: all(is_connected(r, name) for name in r.nodes), 30)
    yield r
    if getattr(request.node, "failed", False):
        r.broken = True
        r.show()


def data_nodes(r):
    return [node for node in r.nodes.values() if not node.witness]


def other(r, node):
    return next(n for n in data_nodes(r) if n is not node)


def check(r, load, may_lose):
    r.wait_healthy(count=2, timeout=90)
    assert not checks.two_writers(load.histories.values())
    for node in data_nodes(r):
        wait_for("the standby has caught up", lambda n=node: faults.has_caught_up(r, n), 30)
        missing, phantom = checks.lost(r, node, load.histories)
        assert not any(phantom.values()), phantom
        assert may_lose or not any(missing.values()), missing


def voters(r):
    return sorted(name for name, row in r.raft_members().items() if row["Role"] in ("Leader", "Follower", "Voter"))


def is_connected(r, name):
    return r.raft_members().get(name, {}).get("State") == "running"


def test_a_witness_votes_and_is_no_member(pair):
    assert sorted(pair.members()) == ["node1", "node2"]
    assert voters(pair) == ["node1", "node2", "node3"]
    witness = pair.nodes[WITNESS]
    assert [os.path.basename(exe) for exe in witness.processes().values()] == ["pgquorum"], "no fence, no postgres"
    statuses = {path: pair.http_status(witness.address, path) for path in ("/liveness", "/readiness", "/metrics", "/primary", "/replica", "/", "/patroni")}
    assert statuses == {"/liveness": 200, "/readiness": 200, "/metrics": 200, "/primary": 503, "/replica": 503, "/": 503, "/patroni": 503}
    wait_for("one of three up", lambda: pair.haproxy_states() == ["DOWN", "DOWN", "UP"], 15)


def open_files(pid):
    """How many it may have: the soft limit, and the hard one."""
    with open(f"/proc/{pid}/limits", encoding="ascii") as f:
        line = next(line for line in f if line.startswith("Max open files"))
    return tuple(int(word) for word in line.split()[3:5])


def test_clients_leave_open_files_to_the_rest(pair):
    """A service may open 1024, and as many clients alone may come: then nobody could ask PostgreSQL, or another member."""
    for node in pair.nodes.values():
        soft, hard = open_files(node.agent_pid())
        assert soft == min(4096, hard), node.name


def test_nothing_makes_it_the_leader(pair):
    answer = pair.ctl("failover", "--candidate", WITNESS, "--force", check=False)
    assert answer.returncode != 0
    answer = pair.ctl("switchover", "--candidate", WITNESS, "--force", check=False)
    assert answer.returncode != 0
    assert pair.leader().name in ("node1", "node2")


def test_raft_leadership_goes_to_the_primary(pair):
    """Also from the witness: it leads, once both agents were away."""
    wait_for("the primary's node leads the Raft group", lambda: pair.raft_leader() == pair.leader().name, 20)
    primary = pair.leader()
    pid = primary.agent_pid()
    os.kill(pid, signal.SIGSTOP)  # for less than the lease: somebody else leads the group then
    time.sleep(1.5)
    os.kill(pid, signal.SIGCONT)
    wait_for("it leads again", lambda: pair.raft_leader() == pair.leader().name, 20)


@pytest.mark.parametrize("lost", ["primary", "standby", "witness"])
def test_any_one_may_be_lost(pair, lost):
    primary = pair.leader()
    victim = {"primary": primary, "standby": other(pair, primary), "witness": pair.nodes[WITNESS]}[lost]
    with faults.Load(pair) as load:
        victim.kill_node()
        if lost == "primary":
            faults.wait_new_leader(pair, primary)
        load.wait_writable(30)
        time.sleep(3)  # longer than the ttl: without a majority the primary would be stopped by now
        load.wait_writable(5)
    if lost != "primary":
        assert pair.leader() is primary
        assert load.gaps()["direct"] < 2, "nobody noticed"
    else:
        assert load.gaps()["direct"] < 6
    victim.start_agent()
    wait_for("it is back in the group", lambda: is_connected(pair, victim.name), 30)
    check(pair, load, may_lose=lost == "primary")


def test_it_leaves_in_order_and_loses_its_directory(pair):
    witness = pair.nodes[WITNESS]
    pid = witness.agent_pid()
    with faults.Load(pair) as load:
        os.kill(pid, signal.SIGTERM)
        wait_for("it has ended", lambda: witness.agent_pid() is None, 10)
        subprocess.run(["rm", "-rf", os.path.join(witness.home, "raft")], check=True)
        witness.start_agent()
        wait_for("a new one took its place", lambda: is_connected(pair, WITNESS) and voters(pair) == ["node1", "node2", "node3"], 60)
    assert load.gaps()["direct"] < 2
    check(pair, load, may_lose=False)
    assert "left open" not in witness.log_text()


def alone(node):
    """The file of a witness without partners."""
    with open(node.config) as f:
        lines = [line for line in f.read().splitlines() if "partner_addrs" not in line]
    with open(node.config, "w") as f:
        f.write("\n".join(lines) + "\n")


def run_witness(r, node):
    with open(node.log, "a") as log:
        return r.host_popen(node.name, [r.binary("pgquorum"), "witness", node.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def test_one_alone_makes_a_group_and_says_so(make_rig):
    r = make_rig(witnesses=("node1", "node2", "node3"))
    node = r.nodes["node1"]
    alone(node)
    for _ in range(2):  # from nothing, and again with what it has stored
        witness = run_witness(r, node)
        wait_for("it leads", lambda: r.raft_leader() == "node1", 20)
        witness.send_signal(signal.SIGTERM)
        assert witness.wait(10) == 0
    assert "its loss is the loss of the group" in node.log_text()
    assert "left open" not in node.log_text()


DYING = """
import fcntl, os, socket, sys, time
lock = open(sys.argv[1], "a+")
fcntl.flock(lock, fcntl.LOCK_EX)
if sys.argv[2] == "named":
    lock.truncate(0)
    lock.write(f"{os.getpid()}\\n")
    lock.flush()
ports = [socket.create_server(("0.0.0.0", port)) for port in (2380, 8008)]
print("has it", flush=True)
if sys.argv[2] == "named":
    time.sleep(0.5)
    fcntl.flock(lock, fcntl.LOCK_UN)  # a process that ends lets go of one thing after the other
time.sleep(60)
"""


@pytest.mark.parametrize("holder", ["nobody", "named"])
def test_one_that_dies_is_waited_for(make_rig, holder):
    """As after SIGKILL, while a thread of it is in the middle of a sync: directory and ports are its own for a while."""
    r = make_rig(witnesses=("node1", "node2", "node3"))
    node = r.nodes["node1"]
    alone(node)
    lock = os.path.join(node.home, "raft", "lock")
    os.makedirs(os.path.dirname(lock), mode=0o700, exist_ok=True)
    dying = r.host_popen("node1", ["/usr/bin/python3", "-c", DYING, lock, holder], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert dying.stdout.readline() == b"has it\n"
    witness = run_witness(r, node)
    time.sleep(0.7)
    dying.kill()
    dying.wait()
    wait_for("it leads", lambda: r.raft_leader() == "node1", 20)
    witness.send_signal(signal.SIGTERM)
    assert witness.wait(10) == 0
    assert "waiting for up to 2 s" in node.log_text()


def test_one_that_stays_is_told(make_rig):
    r = make_rig(witnesses=("node1", "node2", "node3"))
    node = r.nodes["node1"]
    alone(node)
    first = run_witness(r, node)
    wait_for("it leads", lambda: r.raft_leader() == "node1", 20)
    second = run_witness(r, node)
    assert second.wait(10) == 1
    assert f"process {first.pid} has" in node.log_text()
    assert first.poll() is None


@pytest.mark.parametrize("what,line", [("restapi", "restapi.listen"), ("raft", "2380"), ("etcd_server", "etcd_server.listen")])
def test_a_port_that_is_taken_ends_the_start_with_one_line(make_rig, what, line):
    r = make_rig(witnesses=("node1", "node2", "node3"), extra="etcd_server:\n  listen: '*:2379'\n")
    node = r.nodes["node1"]
    alone(node)
    port = {"restapi": 8008, "raft": 2380, "etcd_server": 2379}[what]
    code = f"import socket,time\ns=socket.create_server(('0.0.0.0',{port}))\ntime.sleep(60)"
    taker = r.host_popen("node1", ["/usr/bin/python3", "-c", code], stdin=subprocess.DEVNULL)
    wait_for("the port is taken", lambda: str(port) in listening(r, "node1"), 10)
    witness = run_witness(r, node)
    assert witness.wait(10) == 1
    errors = [text for text in node.log_text().splitlines() if " ERROR: " in text or "ERROR" in text.split()[:4]]
    assert len(errors) == 1 and line in errors[0], node.log_text()
    assert "left open" not in node.log_text()
    taker.kill()


def listening(r, host):
    return subprocess.run(["ip", "netns", "exec", r.namespace(host), "ss", "-Hltn"], check=True, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL).stdout
