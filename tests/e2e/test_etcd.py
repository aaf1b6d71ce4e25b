"""The same cluster with a real etcd as the store: the document's own patroni.yml, and its etcd on node4."""
import signal
import threading
import time

import pytest

import checks
import faults
from rig import wait_for

TIMES = {"ttl": 6, "loop_wait": 2, "retry_timeout": 2}
DIALECTS = ["etcd", "etcd3"]


def started(make_rig, store, **settings):
    r = make_rig(store=store, **dict(TIMES, **settings))
    r.start_all()
    r.start_haproxy()
    r.wait_healthy()
    return r


class Under:
    """Load, with a writer on the old primary's own host that is cut off, or not, with it."""

    def __init__(self, rig):
        self.rig, self.old = rig, rig.leader()

    def __enter__(self):
        inside = self.rig.writer(f"inside{faults.Load.count + 1}", self.old.address, read_write=False)
        self.load = faults.Load(self.rig)
        self.load.__enter__()
        self.load.writers["inside"] = inside
        return self

    def __exit__(self, *what):
        self.load.__exit__(*what)


def stopped_before_the_other(load, old):
    """The last write on the old primary came before the first one anywhere else: seconds between them."""
    entries = [e for h in load.histories.values() for e in h if e["result"] == "ok" and e["begin"] > load.began]
    first = min(e["end"] for e in entries if e["node"] != old.address)
    last = max((e["end"] for e in entries if e["node"] == old.address), default=0)
    assert last < first, f"{old.name} wrote until {last - first} s after another had begun"
    return first - last


@pytest.mark.parametrize("store", DIALECTS)
def test_life_on_etcd(make_rig, store):
    """Bootstrap, the statistics page, switchovers to the one that is named, the loss of a node, a diverged primary, the commands."""
    r = started(make_rig, store)
    wait_for("one of three up", lambda: r.haproxy_states() == ["DOWN", "DOWN", "UP"], 15)
    assert r.sql(r.leader(), "SELECT 1", user="admin", password="admin") == "1"
    assert r.etcd.get("leader") == r.leader().name
    for _ in range(2):
        old, named = r.leader(), r.replicas()[-1]
        with faults.Load(r) as load:
            answer = r.ctl("switchover", "--leader", old.name, "--candidate", named.name, "--force")
            assert f'Successfully switched over to "{named.name}"' in answer.stdout, answer.stdout + answer.stderr
            load.wait_writable(30)
        result = faults.verify(r, load, may_lose=False)
        print("switchover", result)
        assert r.leader() is named and result["direct"] < 5
    result = faults.node_lost(r)
    print("node lost", result)
    assert result["direct"] < TIMES["ttl"] + 5
    assert r.ctl("edit-config", "-p", "work_mem=7MB", "-s", "ttl=5", "--force").returncode == 0
    for node in r.nodes.values():
        wait_for("the parameter", lambda n=node: r.sql(n, "SHOW work_mem") == "7MB", 15)
    assert "ttl: 5" in r.ctl("show-config").stdout
    old, replicas = r.leader(), r.replicas()
    r.sql(old, "CREATE TABLE branch (n int)")
    r.nft(*[f"add rule bridge cut links ip saddr {old.address} ip daddr {n.address} tcp sport 5432 drop" for n in replicas])
    r.sql(old, "INSERT INTO branch SELECT generate_series(1, 1000)")
    old.kill_node()
    r.heal()
    faults.wait_new_leader(r, old)
    old.start_agent()
    r.wait_healthy(timeout=90)
    assert "rewind" in old.log_text()
    assert r.sql(old, "SELECT count(*) FROM branch") == r.sql(r.leader(), "SELECT count(*) FROM branch")


@pytest.mark.parametrize("store", DIALECTS)
def test_primary_cut_off_stops_before_another_writes(make_rig, store):
    r = started(make_rig, store)
    for cut in ("cut_from_etcd", "isolate"):
        with Under(r) as under:
            getattr(under.old, cut)()
            faults.wait_new_leader(r, under.old)
            under.load.wait_writable(30, but=["inside"])
            r.heal()
        print(cut, stopped_before_the_other(under.load, under.old), faults.verify(r, under.load, may_lose=True))


@pytest.mark.parametrize("store", DIALECTS)
def test_the_furthest_standby_takes_over(make_rig, store):
    """The other one has had nothing for a while, and hears of the end first: it must not run before it has asked."""
    r = started(make_rig, store)
    old = r.leader()
    behind, ahead = r.replicas()
    r.sql(old, "CREATE TABLE far (n int)")
    wait_for("both have it", lambda: all(r.sql(n, "SELECT count(*) FROM far") == "0" for n in (behind, ahead)), 10)
    r.nft(f"add rule bridge cut links ip saddr {old.address} ip daddr {behind.address} tcp sport 5432 drop")
    r.sql(old, "INSERT INTO far SELECT generate_series(1, 100)")
    wait_for("one has it", lambda: r.sql(ahead, "SELECT count(*) FROM far") == "100", 10)
    assert r.sql(behind, "SELECT count(*) FROM far") == "0"
    pid = ahead.agent_pid()
    old.kill_node()
    wait_for("the key is gone", lambda: r.etcd.get("leader") == "", 15)
    ahead.stop_for(pid, 0.4)
    assert faults.wait_new_leader(r, old) is ahead
    r.heal()
    old.start_agent()
    r.wait_healthy(timeout=90)
    assert r.sql(behind, "SELECT count(*) FROM far") == "100"


@pytest.mark.parametrize("store", DIALECTS)
def test_etcd_goes_and_comes_back(make_rig, store):
    """Killed for longer than the ttl; wiped; the leader key deleted; its lease revoked."""
    r = started(make_rig, store)
    node4 = r.etcd.members["node4"]

    def back():
        if node4.process.poll() is not None:
            node4.start()
    result = faults.without_majority(r, node4.kill, back)
    print("etcd killed", result)
    assert result["served"] < TIMES["ttl"]
    for fault in [r.etcd.wipe, lambda: r.etcd.remove("leader")] + ([r.etcd.revoke_leader] if store == "etcd3" else []):
        with faults.Load(r) as load:
            fault()
            wait_for("somebody has the key", lambda: r.etcd.get("leader"), 15)
            load.wait_writable(30)
        print(fault.__name__, faults.verify(r, load, may_lose=True))
    assert "ttl" in r.etcd.get("config")


def test_etcd_of_three(make_rig):
    """The member in use dies, the leader moves, the leader stops for longer than the ttl: whatever it answers then, it is late."""
    r = started(make_rig, "etcd3", etcd_members=3)
    with faults.Load(r) as load:
        for fault in (one_member_dies, leader_moves, leader_stops, ttl_changes):
            since = time.monotonic()
            leader = r.leader()
            fault(r)
            load.wait_writable(30)
            print(fault.__name__, {route: checks.gap(checks.read(w), since) for route, w in load.writers.items()})
            if fault is not leader_stops:
                assert r.leader() is leader, f"{fault.__name__}: a failover"
    faults.verify(r, load, may_lose=True)


def one_member_dies(r):
    for member in r.etcd.members.values():
        member.kill()
        time.sleep(1.5)
        member.start()
        wait_for("etcd has a leader and all members", lambda: r.etcd.healthy(), 20)


def leader_moves(r):
    for _ in range(2):
        r.etcd.move_leader()
        time.sleep(1)


def leader_stops(r):
    """The one that is etcd's leader, for longer than the ttl: it wakes up as an old leader that may revoke, or renew, a lease."""
    member = r.etcd.leader()
    member.kill(signal.SIGSTOP)
    timer = threading.Timer(TIMES["ttl"] + 2, lambda: member.kill(signal.SIGCONT))
    timer.start()
    timer.join()
    wait_for("etcd has a leader and all members", lambda: r.etcd.healthy(), 20)


def ttl_changes(r):
    for ttl in (10, 5):
        assert r.ctl("edit-config", "-s", f"ttl={ttl}", "--force").returncode == 0
        wait_for("the lease has the new ttl", lambda t=ttl: r.etcd.leader_ttl() == t, 15)
