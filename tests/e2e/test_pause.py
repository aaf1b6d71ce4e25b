"""Maintenance mode: PostgreSQL is the operator's, and there is one writer throughout (docs/consensus.md, rule 12)."""
import os
import signal
import time

import pytest

import faults
from rig import wait_for

LONGER = 2.5  # than a ttl, in ttls


def metric(rig, node, name):
    body = rig.http(node.address, "/metrics")[1]
    return next((float(line.rsplit(" ", 1)[1]) for line in body.splitlines() if line.startswith(name)), None)


def postmaster(node):
    """Whoever has started it; None: nothing runs."""
    try:
        with open(os.path.join(node.data_dir, "postmaster.pid")) as f:
            return int(f.readline())
    except OSError:
        return None


def started(rig, node):
    return rig.sql(node, "SELECT pg_postmaster_start_time()")


def pause(rig):
    answer = rig.ctl("pause", "--wait")
    assert "cluster management is paused" in answer.stdout
    assert "Maintenance mode: on" in rig.ctl("list").stdout
    leader = rig.leader()
    assert metric(rig, leader, "pgquorum_fence_armed") == 0
    return leader


def resume(rig):
    answer = rig.ctl("resume", "--wait")
    assert "cluster management is resumed" in answer.stdout
    assert "Maintenance mode" not in rig.ctl("list").stdout
    assert metric(rig, rig.leader(), "pgquorum_fence_armed") == 1


def is_unchanged(rig, leader, start):
    assert rig.leader() is leader
    assert started(rig, leader) == start, "PostgreSQL was restarted"


def by_hand(node, *argv):
    """As the operator, in the node."""
    node.order(list(argv), os.path.join(node.home, "by_hand.log"))


def pg_ctl(node, *argv):
    """Of the version that runs there."""
    by_hand(node, "/bin/sh", "-c", f'exec "$(dirname "$(cut -d" " -f1 {node.data_dir}/postmaster.opts)")"/pg_ctl -D {node.data_dir} "$@"', "sh", *argv)


def start_by_hand(node):
    """With the options that it had."""
    by_hand(node, "/bin/sh", "-c", f"eval exec $(cat {node.data_dir}/postmaster.opts)")


def state(rig, node):
    row = rig.members().get(node.name, {})
    return row.get("Role"), row.get("State")


@pytest.fixture
def paused(cluster):
    yield cluster
    cluster.ctl("resume", check=False)


def test_store_without_majority_and_agents_killed(paused):
    rig = paused
    ttl = rig.settings["ttl"]
    leader = pause(rig)
    start = started(rig, leader)
    others = rig.replicas()
    with faults.Load(rig) as load:
        for node in others:
            node.kill_agent()  # and with them the store's majority
        time.sleep(LONGER * ttl)
        assert rig.http_status(leader.address, "/primary") == 200
        assert rig.http_status(leader.address, "/liveness") == 200
        leader.kill_agent()
        stopped_unheard(rig, others[0])
        time.sleep(LONGER * ttl)
        for node in rig.nodes.values():
            node.start_agent()
        rig.wait_healthy()
        load.wait_writable(30, but=["haproxy"])
    is_unchanged(rig, leader, start)
    assert load.gaps()["direct"] < 1, "somebody was interrupted"
    resume(rig)
    is_unchanged(rig, leader, start)
    faults.verify(rig, load, may_lose=False)
    faults.verify(rig, resumed_is_fenced(rig), may_lose=True)


def stopped_unheard(rig, standby):
    """Its new agent hears nobody, and goes by what the one before knew of the pause."""
    pid = postmaster(standby)
    standby.start_agent()
    wait_for("the agent knows what runs there", lambda: "replica" in rig.http(standby.address, "/patroni")[1], 20)
    standby.kill_agent(signal.SIGTERM)
    wait_for(f"{standby.name} has no agent", lambda: standby.agent_pid() is None, 20)
    assert postmaster(standby) == pid and standby.fence_pid()


def resumed_is_fenced(rig):
    """The old rules hold again."""
    old = rig.leader()
    with faults.Load(rig) as load:
        old.kill_agent(signal.SIGSTOP)
        pid = old.agent_pid()
        faults.wait_new_leader(rig, old)
        load.wait_writable(30)
        os.kill(pid, signal.SIGCONT)
    return load


@pytest.mark.rest
def test_agents_are_stopped_and_started_in_order(paused):
    rig = paused
    leader = pause(rig)
    start = started(rig, leader)
    pids = {node.name: postmaster(node) for node in rig.nodes.values()}
    with faults.Load(rig) as load:
        for node in rig.nodes.values():
            node.kill_agent(signal.SIGTERM)
        for node in rig.nodes.values():
            wait_for(f"{node.name} has no agent", lambda n=node: n.agent_pid() is None, 20)
        time.sleep(LONGER * rig.settings["ttl"])
        assert {node.name: postmaster(node) for node in rig.nodes.values()} == pids
        assert all(node.fence_pid() for node in rig.nodes.values())
        for node in rig.nodes.values():
            node.start_agent()
        rig.wait_healthy()
        load.wait_writable(30)
    is_unchanged(rig, leader, start)
    assert load.gaps()["direct"] < 1
    resume(rig)
    is_unchanged(rig, leader, start)
    faults.verify(rig, load, may_lose=False)


@pytest.mark.rest
def test_restarted_by_hand_and_fenced_after_the_pause(paused):
    rig = paused
    leader = pause(rig)
    start, pid = started(rig, leader), postmaster(leader)
    with faults.Load(rig) as load:
        pg_ctl(leader, "-m", "fast", "-w", "restart")
        wait_for("another postmaster", lambda: postmaster(leader) not in (None, pid), 20)
        load.wait_writable(30)
        wait_for("it is seen", lambda: state(rig, leader) == ("Leader", "running"), 20)
        assert started(rig, leader) != start
        again = started(rig, leader)
        resume(rig)
        is_unchanged(rig, leader, again)
        load.wait_writable(30)
    faults.verify(rig, load, may_lose=False)
    faults.verify(rig, resumed_is_fenced(rig), may_lose=True)


@pytest.mark.rest
def test_stopped_by_hand_stays_so_and_starts_by_hand(paused):
    rig = paused
    leader = pause(rig)
    with faults.Load(rig) as load:
        pg_ctl(leader, "-m", "fast", "stop")
        wait_for("it is seen", lambda: state(rig, leader)[1] in ("stopped", "crashed"), 20)
        time.sleep(LONGER * rig.settings["ttl"])
        assert postmaster(leader) is None and rig.leader() is leader
        assert rig.http_status(leader.address, "/primary") == 503
        start_by_hand(leader)
        load.wait_writable(30)
        wait_for("it leads", lambda: state(rig, leader) == ("Leader", "running"), 20)
        pg_ctl(leader, "-m", "fast", "stop")
        wait_for("it is down", lambda: postmaster(leader) is None, 20)
        rig.ctl("resume")
        load.wait_writable(30)
    assert rig.leader() is leader and leader.postmaster_pid() is not None
    faults.verify(rig, load, may_lose=False)


@pytest.mark.rest
def test_switchover_to_a_named_candidate(paused):
    rig = paused
    leader = pause(rig)
    candidate = rig.replicas()[0]
    assert "Switchover is possible only to a specific candidate" in rig.ctl("switchover", "--force").stdout
    with faults.Load(rig) as load:
        answer = rig.ctl("switchover", "--leader", leader.name, "--candidate", candidate.name, "--force")
        assert "Successfully switched over" in answer.stdout, answer.stdout + answer.stderr
        load.wait_writable(30)
        rig.wait_healthy()
        assert rig.leader() is candidate
        wait_for("the new one is unfenced", lambda: metric(rig, candidate, "pgquorum_fence_armed") == 0, 10)
    faults.verify(rig, load, may_lose=False)
    resume(rig)
    assert rig.leader() is candidate


@pytest.mark.rest
def test_dead_leader_is_passed_over_by_name_alone(paused):
    rig = paused
    ttl = rig.settings["ttl"]
    leader = pause(rig)
    candidate = rig.replicas()[0]
    with faults.Load(rig) as load:
        leader.kill_node()
        time.sleep(LONGER * ttl)
        assert rig.leader() is None
        rig.ctl("resume")
        time.sleep(LONGER * ttl)
        assert rig.leader() is None, "it may still run, for all that anybody knows"
        answer = rig.ctl("failover", "--candidate", candidate.name, "--force")
        assert "Successfully failed over" in answer.stdout, answer.stdout + answer.stderr
        assert f"'{leader.name}' was paused" in answer.stderr
        load.wait_writable(30)
    assert rig.leader() is candidate
    leader.start_agent()
    faults.verify(rig, load, may_lose=True)


@pytest.mark.rest
@pytest.mark.parametrize("store", ["etcd3", "etcd"])
def test_on_etcd(make_rig, store):
    rig = make_rig(store=store, ttl=5)
    rig.start_all()
    rig.start_haproxy()
    rig.wait_healthy()
    leader = pause(rig)
    start = started(rig, leader)
    with faults.Load(rig) as load:
        for member in rig.etcd.members.values():
            member.kill()
        time.sleep(LONGER * rig.settings["ttl"])
        assert rig.http_status(leader.address, "/primary") == 200
        for member in rig.etcd.members.values():
            member.start()
        wait_for("the key is taken again", lambda: rig.leader() is leader, 30)
        load.wait_writable(30)
        resume(rig)
    is_unchanged(rig, leader, start)
    assert load.gaps()["direct"] < 1
    faults.verify(rig, load, may_lose=False)
