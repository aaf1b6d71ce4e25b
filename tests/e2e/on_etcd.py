"""The same cluster with a real etcd as the store: the document's own patroni.yml, and its etcd on node4.

What is here is run by test_etcd2*.py and test_etcd3*.py, each of which says by STORE which of etcd's APIs it is about: in check
every kind of fault by one API or both, in check-all the other, and what takes long.
"""
import json
import os
import re
import signal
import time

import pytest

import checks
import etcd
import faults
from rig import ETCD_TIMES as TIMES
from rig import Node, wait_for


def test_bootstrap_and_commands(cluster):
    wait_for("one of three up", lambda: cluster.haproxy_states() == ["DOWN", "DOWN", "UP"], 15)
    assert cluster.sql(cluster.leader(), "SELECT 1", user="admin", password="admin") == "1"
    assert cluster.etcd.get("leader") == cluster.leader().name
    assert cluster.ctl("edit-config", "-p", "work_mem=7MB", "-s", "ttl=6", "--force").returncode == 0
    for node in cluster.nodes.values():
        wait_for("the parameter", lambda n=node: cluster.sql(n, "SHOW work_mem") == "7MB", 15)
    assert "ttl: 6" in cluster.ctl("show-config").stdout
    assert cluster.ctl("edit-config", "-s", "ttl=5", "--force").returncode == 0


def test_switchover_goes_to_the_one_that_is_named(cluster):
    for named in cluster.replicas():
        old = cluster.leader()
        with faults.Load(cluster) as load:
            answer = cluster.ctl("switchover", "--leader", old.name, "--candidate", named.name, "--force")
            assert f'Successfully switched over to "{named.name}"' in answer.stdout, answer.stdout + answer.stderr
            load.wait_writable(30)
        result = faults.verify(cluster, load, may_lose=False)
        print("switchover", result)
        assert cluster.leader() is named and result["direct"] < 5


def test_lost_node(cluster):
    result = faults.node_lost(cluster)
    print("node lost", result)
    assert result["direct"] < TIMES["ttl"] + 5


def test_quorum_strict_loses_nothing(cluster):
    cluster.ctl("edit-config", "-s", "synchronous_mode=quorum", "-s", "synchronous_mode_strict=true", "--force")
    try:
        others = sorted(n.name for n in cluster.replicas())
        wait_for("two voters", lambda: json.loads(cluster.etcd.get("sync") or "{}").get("sync_standby") == ",".join(others), 20)
        result = faults.node_lost(cluster)
        print("node lost", result)
        assert result["lost"] == 0
    finally:
        cluster.ctl("edit-config", "-s", "synchronous_mode=null", "-s", "synchronous_mode_strict=null", "--force")
    wait_for("no key", lambda: cluster.etcd.get("sync") == "", 20)


def primary_is_cut_off(cluster, cut):
    old = cluster.leader()
    inside = cluster.writer(f"inside{faults.Load.count}", old.address, read_write=False, host=old.name)
    with faults.Load(cluster) as load:
        load.writers["inside"] = inside
        cut(old)
        since = time.monotonic()
        faults.wait_new_leader(cluster, old)
        load.wait_writable(30, but=["inside"])
        cluster.heal()
    served = max(load.acknowledgements("inside")) - since
    result = faults.verify(cluster, load, may_lose=True)
    print("the old primary served for", served, result)
    assert 1 < served < TIMES["ttl"], "it may serve until S, and not longer"


def test_primary_without_etcd_stops_before_another_writes(cluster):
    primary_is_cut_off(cluster, Node.cut_from_etcd)


def test_isolated_primary_stops_before_another_writes(cluster):
    primary_is_cut_off(cluster, Node.isolate)


def test_furthest_standby_takes_over(cluster):
    """The other one has had nothing for a while and is the first to look: it must not run before it has asked."""
    old = cluster.leader()
    behind, ahead = cluster.replicas()
    cluster.sql(old, "CREATE TABLE far (n int)")
    wait_for("both have it", lambda: all(cluster.sql(n, "SELECT count(*) FROM pg_class WHERE relname = 'far'") == "1" for n in (behind, ahead)), 10)
    cluster.nft(f"add rule bridge cut links ip saddr {old.address} ip daddr {behind.address} tcp sport 5432 drop")
    cluster.sql(old, "INSERT INTO far SELECT generate_series(1, 100)")
    wait_for("one has it", lambda: cluster.sql(ahead, "SELECT count(*) FROM far") == "100", 10)
    assert cluster.sql(behind, "SELECT count(*) FROM far") == "0"
    pid = ahead.agent_pid()
    old.kill_node()
    wait_for("the key is gone", lambda: cluster.etcd.get("leader") != old.name, 15, 0.02)
    ahead.stop_for(pid, 0.4)
    assert faults.wait_new_leader(cluster, old) is ahead
    cluster.heal()
    old.start_agent()
    cluster.wait_healthy(timeout=90)
    assert cluster.sql(behind, "SELECT count(*) FROM far") == "100"


def test_diverged_primary_rejoins_by_rewind(cluster):
    faults.diverged(cluster)


def test_etcd_is_killed_for_longer_than_the_ttl(cluster):
    node4 = cluster.etcd.members["node4"]

    def back():
        if node4.process.poll() is not None:
            node4.start()
    result = faults.without_majority(cluster, node4.kill, back)
    print("etcd killed", result)
    assert result["served"] < TIMES["ttl"]


def key_is_taken(cluster, how):
    with faults.Load(cluster) as load:
        how()
        wait_for("somebody has the key", lambda: cluster.etcd.get("leader"), 15)
        load.wait_writable(30)
    print(faults.verify(cluster, load, may_lose=True))
    assert "ttl" in cluster.etcd.get("config")


def test_everything_is_wiped(cluster):
    key_is_taken(cluster, cluster.etcd.wipe)


def test_key_is_removed(cluster):
    key_is_taken(cluster, cluster.etcd.remove_leader)


def test_lease_of_the_key_is_revoked(cluster):
    key_is_taken(cluster, cluster.etcd.revoke_leader)


@pytest.fixture
def failsafe(cluster):
    cluster.ctl("edit-config", "-s", "failsafe_mode=true", "--force")
    names = set(cluster.nodes)
    wait_for("the key names everybody", lambda: set(json.loads(cluster.etcd.get("failsafe") or "{}")) == names, 15)
    wait_for("everybody has heard of it", lambda: all(failsafe_known(cluster, n, names) for n in cluster.nodes.values()), 15)
    yield cluster
    cluster.settle()
    cluster.ctl("edit-config", "-s", "failsafe_mode=false", "--force")


def failsafe_known(r, node, names):
    status, body = r.http(node.address, "/failsafe")
    return status == 200 and set(json.loads(body)) == names


def served_without_a_break(r, load, old, since, pause):
    """Nobody has stopped, nobody has taken over."""
    assert r.leader() is old
    for route, writer in load.writers.items():
        assert checks.gap(checks.read(writer), since) < pause, route


def test_failsafe_mode_outlives_etcd(failsafe):
    """All members together are the store for as long as etcd is away."""
    old, node4 = failsafe.leader(), failsafe.etcd.members["node4"]
    with faults.Load(failsafe) as load:
        since = time.monotonic()
        node4.kill()
        time.sleep(3 * TIMES["ttl"])
        assert json.loads(failsafe.http(old.address, "/patroni")[1])["failsafe_mode_is_active"]
        node4.start()
        # Not "the key is there": started again, a v2 shows the old ones for half a second before they end.
        wait_for("the primary goes by the store again",
                 lambda: "failsafe_mode_is_active" not in json.loads(failsafe.http(old.address, "/patroni")[1]), 30)
        assert failsafe.etcd.get("leader") == old.name
        failsafe.wait_healthy()
        served_without_a_break(failsafe, load, old, since, 1)
    print("failsafe, etcd away", faults.verify(failsafe, load, may_lose=False))


def test_failsafe_mode_ends_with_the_first_member_that_is_silent(failsafe):
    """The others see the key run out and do not take it, until one of them dies: then the primary stops, and the last one leads."""
    old = failsafe.leader()
    dies, stays = failsafe.replicas()
    inside = failsafe.writer(f"failsafe{faults.Load.count}", old.address, read_write=False, host=old.name)
    with faults.Load(failsafe) as load:
        load.writers["inside"] = inside
        since = time.monotonic()
        old.cut_from_etcd()
        wait_for("the key runs out", lambda: not failsafe.etcd.get("leader"), 15)
        time.sleep(2 * TIMES["ttl"])
        assert not failsafe.etcd.get("leader")
        load.wait_writable(5)
        for route, writer in load.writers.items():
            assert checks.gap(checks.read(writer), since) < 1, route
        dies.kill_node()
        wait_for("the last one leads", lambda: failsafe.etcd.get("leader") == stays.name, 30)
        load.wait_writable(30, but=["inside"])
        failsafe.heal()
        dies.start_agent()
    print("failsafe, a member dies", faults.verify(failsafe, load, may_lose=True))


def test_etcd_that_asks_for_certificates(make_rig, request):
    """TLS both ways: bootstrap, the loss of a node, and who has no certificate is told so."""
    r = make_rig(store=request.module.STORE, etcd_tls=True, **TIMES)
    r.start_all()
    r.start_haproxy()
    r.wait_healthy()
    result = faults.node_lost(r)
    print("node lost, TLS", result)
    assert result["direct"] < TIMES["ttl"] + 5
    own = r.nodes["node1"].config
    with open(own) as f:
        text = re.sub(r"\n  (cert|key): .*", "", f.read())
    r.nodes["node1"].config = os.path.join(r.home, "stranger.yml")
    with open(r.nodes["node1"].config, "w") as f:
        f.write(text)
    answer = r.ctl("list", check=False)
    r.nodes["node1"].config = own
    assert answer.returncode == 1 and "172.20.0.13:2379" in answer.stderr and "certificate" in answer.stderr, answer.stdout + answer.stderr


def test_etcd_that_asks_for_a_password_over_tls(make_rig):
    """Bootstrap, tokens that etcd has forgotten, the loss of a node; who has another password is told so. (v2 checks the password with
    each request, which keeps a machine busy: that is tested in tests/unit/agent_dcs.)"""
    r = make_rig(store="etcd3", etcd_tls=True, etcd_user=True, **TIMES)
    by_url, apart = r.nodes["node2"], r.nodes["node3"]
    say_in_one_url(by_url)
    with open(apart.config, "a") as f:
        f.write("\nstate_dir: /data/own/state\n")
    r.start_all()
    r.start_haproxy()
    r.wait_healthy()
    own = os.path.join(apart.home, "disk", "own", "state")
    assert {"run", "state"} <= set(os.listdir(own)) and "pg_service.conf" in os.listdir(os.path.join(own, "state"))
    assert os.listdir(os.path.join(apart.home, "user")) == [] and os.listdir(os.path.join(by_url.home, "user")) == [".pgquorum"]
    with faults.Load(r) as load:
        leader = r.leader()
        r.etcd.restart()
        time.sleep(TIMES["ttl"] + 2)
        load.wait_writable(5)
        assert r.leader() is leader
    result = faults.node_lost(r)
    print("node lost, TLS and a password", result)
    assert result["direct"] < TIMES["ttl"] + 5
    own = r.nodes["node1"].config
    with open(own) as f:
        text = re.sub(r"\n  password: .*", "\n  password: another", f.read(), count=1)
    r.nodes["node1"].config = os.path.join(r.home, "stranger.yml")
    with open(r.nodes["node1"].config, "w") as f:
        f.write(text)
    answer = r.ctl("list", check=False)
    r.nodes["node1"].config = own
    assert answer.returncode == 1 and "authentication failed" in answer.stderr, answer.stdout + answer.stderr


def say_in_one_url(node):
    """In place of `host`, `protocol`, `username` and `password`."""
    with open(node.config) as f:
        text = f.read()
    text, count = re.subn(r"\n  (protocol|username|password|host): (https|" + etcd.USER + r"|[^\n]*2379[^\n]*|" + re.escape(etcd.PASSWORD) + ")(?=\n)", "", text)
    assert count == 4, text
    url = f"https://{etcd.USER}:{etcd.PASSWORD}@172.20.0.13:2379"
    with open(node.config, "w") as f:
        f.write(text.replace("\netcd3:\n", f"\netcd3:\n  url: {url}\n"))


def test_etcd_of_three(make_rig):
    """The member in use dies, the leader moves, the leader stops for longer than the ttl: whatever it answers then, it is late."""
    r = make_rig(store="etcd3", etcd_members=3, **TIMES)
    r.settle()
    with faults.Load(r) as load:
        for fault in (one_member_dies, leader_moves, leader_stops, ttl_changes):
            since = time.monotonic()
            leader = wait_for("a leader with its member key", r.leader, 10)  # etcd's old leader may have revoked that key's lease
            fault(r)
            load.wait_writable(30)
            print(fault.__name__, {route: checks.gap(checks.read(w), since) for route, w in load.writers.items()})
            if fault is not leader_stops:
                assert r.leader() is leader, f"{fault.__name__}: a failover"
    faults.verify(r, load, may_lose=True)


def one_member_dies(r):
    for member in r.etcd.members.values():
        member.kill()
        time.sleep(1)
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
    time.sleep(TIMES["ttl"] + 1)
    member.kill(signal.SIGCONT)
    wait_for("etcd has a leader and all members", lambda: r.etcd.healthy(), 20)


def ttl_changes(r):
    for ttl in (10, 5):
        assert r.ctl("edit-config", "-s", f"ttl={ttl}", "--force").returncode == 0
        wait_for("the lease has the new ttl", lambda t=ttl: r.etcd.leader_ttl() == t, 15)
