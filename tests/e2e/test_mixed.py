"""Real Patroni members and ours in one cluster, on one etcd. PATRONI names a Patroni of 4.1; make e2e-rest installs one and names it.

Not below /tmp: a node has one of its own.
"""
import json
import os
import subprocess

import pytest

import faults
from rig import PATRONI, wait_for

ARRANGEMENTS = {
    "one_patroni": {"store": "etcd3", "patroni": ("node1",)},
    "two_patronis": {"store": "etcd", "patroni": ("node1", "node2")},
    "one_patroni_v2": {"store": "etcd", "patroni": ("node1",)},
    "two_patronis_v3": {"store": "etcd3", "patroni": ("node1", "node2")},
}
pytestmark = [pytest.mark.rest, pytest.mark.skipif(not PATRONI, reason="PATRONI names no Patroni: make e2e-rest does")]
NAMES = os.environ.get("MIXED", "one_patroni two_patronis").split()
TTL = 20  # the least that Patroni takes


@pytest.fixture(scope="module", params=NAMES)
def arrangement(request):
    return request.param


@pytest.fixture
def cluster(shared_rig, arrangement, request):
    r = shared_rig(ttl=TTL, loop_wait=2, retry_timeout=5, **ARRANGEMENTS[arrangement])
    if r.haproxy is None:
        r.haproxy = r.start_haproxy()
        first = r.nodes["node1" if arrangement.startswith("one") else "node3"]
        first.start_agent()
        wait_for("a first leader", lambda: r.leader() is first, 60)
        for node in r.nodes.values():
            if node is not first:
                node.start_agent()
    r.wait_healthy(timeout=90)
    yield r
    if getattr(request.node, "failed", False):
        r.broken = True
        r.show()


def patronictl(r, *args, timeout=60):
    argv = ["ip", "netns", "exec", r.namespace("client"), PATRONI + "ctl", "-c", r.nodes["node1"].config, *args]
    return subprocess.run(argv, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)


def lists_agree(r):
    ours, theirs = r.ctl("list", "-f", "json", check=False), patronictl(r, "list", "-f", "json")
    try:
        return json.loads(ours.stdout) == json.loads(theirs.stdout)
    except ValueError:
        return False


def leads(r, wanted):
    """By a switchover, if it does not yet."""
    if r.leader() is not wanted:
        r.ctl("switchover", "--leader", r.leader().name, "--candidate", wanted.name, "--force", timeout=60)
        r.wait_healthy()
    assert r.leader() is wanted


def test_lists_agree(cluster):
    wait_for("both lists say the same", lambda: lists_agree(cluster), 30, 0.5)


def test_switchover_in_every_direction(cluster):
    """Twice round: from ours to Patroni and back, by either command, always to the one that is named."""
    names = list(cluster.nodes)
    for i in range(2 * len(names)):
        old = cluster.leader()
        named = cluster.nodes[names[(names.index(old.name) + (1 if i < len(names) else 2)) % len(names)]]
        args = ("switchover", "--leader", old.name, "--candidate", named.name, "--force")
        with faults.Load(cluster) as load:
            answer = cluster.ctl(*args, timeout=60) if i % 2 == 0 else patronictl(cluster, *args)
            assert f'Successfully switched over to "{named.name}"' in answer.stdout, answer.stdout + answer.stderr
            load.wait_writable(30)
        result = faults.verify(cluster, load, may_lose=False)
        print(old.name, "->", named.name, result)
        assert cluster.leader() is named


@pytest.mark.parametrize("kind", ["Patroni", "ours"])
def test_lost_primary(cluster, kind):
    """Whoever takes over, the writers' record holds, and the old primary comes back."""
    leads(cluster, next(n for n in cluster.nodes.values() if n.patroni == (kind == "Patroni")))
    result = faults.node_lost(cluster)
    print(kind, "->", cluster.leader().name, result)
    assert result["direct"] < TTL + 15


@pytest.mark.parametrize("kind", ["Patroni", "ours"])
def test_key_is_taken_from_a_running_primary(cluster, kind):
    """It serves on and takes the key again; the standbys ask it, and leave the key to it."""
    leads(cluster, next(n for n in cluster.nodes.values() if n.patroni == (kind == "Patroni")))
    old = cluster.leader()
    with faults.Load(cluster) as load:
        cluster.etcd.remove_leader()
        wait_for("somebody has the key", lambda: cluster.etcd.get("leader"), 15)
        load.wait_writable(30)
    print(kind, faults.verify(cluster, load, may_lose=False))
    assert cluster.leader() is old


@pytest.mark.parametrize("kind", ["Patroni", "ours"])
def test_standby_that_is_ahead_takes_over(cluster, kind):
    """It is of the named kind, and the other one, of the other kind if there is such a standby, is behind."""
    old = next(n for n in cluster.nodes.values()
               if sum(m.patroni == (kind == "Patroni") for m in cluster.nodes.values() if m is not n) == 1
               or all(m.patroni == (kind == "Patroni") for m in cluster.nodes.values() if m is not n))
    leads(cluster, old)
    ahead = next(n for n in cluster.replicas() if n.patroni == (kind == "Patroni"))
    behind = next(n for n in cluster.replicas() if n is not ahead)
    table = f"far_{kind.lower()}"
    cluster.sql(old, f"CREATE TABLE {table} (n int)")
    wait_for("both have it", lambda: all(cluster.sql(n, f"SELECT count(*) FROM pg_class WHERE relname = '{table}'") == "1"
                                         for n in (behind, ahead)), 15)
    cluster.nft(f"add rule bridge cut links ip saddr {old.address} ip daddr {behind.address} tcp sport 5432 drop")
    cluster.sql(old, f"INSERT INTO {table} SELECT generate_series(1, 100)")
    wait_for("one has it", lambda: cluster.sql(ahead, f"SELECT count(*) FROM {table}") == "100", 10)
    assert cluster.sql(behind, f"SELECT count(*) FROM {table}") == "0"
    old.kill_node()
    assert faults.wait_new_leader(cluster, old, timeout=TTL + 20) is ahead
    cluster.heal()
    old.start_agent()
    cluster.wait_healthy(timeout=90)
    assert cluster.sql(behind, f"SELECT count(*) FROM {table}") == "100"
