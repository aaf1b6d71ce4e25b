"""Real Patroni members and ours in one cluster. What is here is run by test_mixed*.py: each says by ARRANGEMENTS which of the nodes are
Patroni's, of which release, and where the keys are."""
import json

import pytest

import faults
from rig import wait_for

TTL = 20  # the least that Patroni takes
TIMES = {"ttl": TTL, "loop_wait": 2, "retry_timeout": 5}
SERVE = "etcd_server:\n  listen: '*:2379'\n"


def pytest_generate_tests(metafunc):
    if "arrangement" in metafunc.fixturenames:
        metafunc.parametrize("arrangement", list(metafunc.module.ARRANGEMENTS), scope="module")


@pytest.fixture(scope="module")
def arrangement(request):
    return request.param


@pytest.fixture
def cluster(shared_rig, arrangement, request):
    """One Patroni of three comes first, two come after ours."""
    r = shared_rig(**TIMES, **request.module.ARRANGEMENTS[arrangement])
    if r.haproxy is None:
        r.haproxy = r.start_haproxy()
        first = r.nodes["node1" if len(r.patroni) == 1 else "node3"]
        if r.etcd is None:  # it takes two of them to be a store
            for node in r.nodes.values():
                node.start_voter() if node.patroni else node.start_agent()
            r.keys().wait_served(60)
        first.start_agent()
        wait_for("a first leader", r.leader, 60)
        for node in r.nodes.values():
            if node.agent_pid() is None:
                node.start_agent()
    r.wait_healthy(timeout=90)
    yield r
    if getattr(request.node, "failed", False):
        r.broken = True
        r.show()


def rows(r, answer):
    """Of `list`, what both commands have."""
    told = None if r.tells_all() else ("Member", "Host", "Role", "TL")
    return [{key: value for key, value in row.items() if told is None or key in told} for row in json.loads(answer.stdout)]


def lists_agree(r):
    try:
        return rows(r, r.ctl("list", "-f", "json", check=False)) == rows(r, r.patronictl("list", "-f", "json"))
    except ValueError:
        return False


def leads(r, wanted):
    """By a switchover, if it does not yet; it may be refused to one that has just begun to stream, which Patroni 3.0.2 does not tell."""
    def switched():
        if r.leader() is not wanted:
            r.wait_streaming(wanted)
            r.ctl("switchover", "--leader", r.leader().name, "--candidate", wanted.name, "--force", timeout=60)
            r.wait_healthy()
        return r.leader() is wanted
    wait_for(f"{wanted.name} leads", switched, 60, 2)


def one_of(r, kind):
    return next(n for n in r.nodes.values() if n.patroni == (kind == "Patroni"))


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
            answer = cluster.ctl(*args, timeout=60) if i % 2 == 0 else cluster.patronictl(*args)
            assert f'Successfully switched over to "{named.name}"' in answer.stdout, answer.stdout + answer.stderr
            load.wait_writable(30)
        result = faults.verify(cluster, load, may_lose=False)
        print(old.name, "->", named.name, result)
        assert cluster.leader() is named
    wait_for("both lists say the same", lambda: lists_agree(cluster), 30, 0.5)


@pytest.mark.parametrize("kind", ["Patroni", "ours"])
def test_lost_primary(cluster, kind):
    """Whoever takes over, the writers' record holds, and the old primary comes back."""
    leads(cluster, one_of(cluster, kind))
    result = faults.node_lost(cluster)
    print(kind, "->", cluster.leader().name, result)
    assert result["direct"] < TTL + 15


@pytest.mark.parametrize("kind", ["Patroni", "ours"])
def test_key_is_taken_from_a_running_primary(cluster, kind):
    """It serves on and takes the key again; the standbys ask it, and leave the key to it. That of ours in our own store cannot be taken."""
    leads(cluster, one_of(cluster, kind))
    old = cluster.leader()
    kept = kind == "ours" and cluster.etcd is None
    before = cluster.keys().leader_key()
    with faults.Load(cluster) as load:
        if kept:
            refused = cluster.keys().remove_leader(check=False)
            assert refused.returncode != 0, refused.stdout
            assert cluster.keys().leader_key()["create_revision"] == before["create_revision"]
        else:
            cluster.keys().remove_leader()
        wait_for("somebody has the key", lambda: cluster.keys().get("leader"), 15)
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
    cluster.isolate(old.name)  # silent, not refusing: Patroni asks it for two seconds before it decides, and ours is faster
    old.kill_node()
    assert faults.wait_new_leader(cluster, old, timeout=TTL + 20) is ahead
    cluster.heal()
    old.start_agent()
    cluster.wait_healthy(timeout=90)
    assert cluster.sql(behind, f"SELECT count(*) FROM {table}") == "100"
