"""early_failover: a node that gives no sign of life loses its lease before the lease has ended, and no acknowledged write with it."""
import time

import pytest

import faults
from network import wait_for

TTL = 3.0


@pytest.fixture
def early(cluster):
    faults.in_strict_mode(cluster, early="true")
    yield cluster


def said(node, text, since=0):
    return node.log_text()[since:].count(text)


@pytest.mark.parametrize("fault", ["node_lost", "isolated"])
def test_a_silent_node_loses_its_lease_early(early, fault):
    old = early.leader()
    before = {n.name: len(n.log_text()) for n in early.nodes.values()}
    result = faults.FAULTS[fault](early)
    print(fault, result)
    assert result["lost"] == 0
    assert result["direct"] < TTL - 0.5, "the lease has run to its end"
    assert any(said(n, f"ending the lease of '{old.name}'", before[n.name]) for n in early.nodes.values())


@pytest.mark.rest
@pytest.mark.parametrize("fault", ["node_lost", "isolated"])
def test_one_synchronous_standby_is_enough_together_with_the_raft_leader(cluster, fault):
    """Its first commits wait for the old primary until the other standby has taken that one's place: the lease is over early, not the gap."""
    faults.in_strict_mode(cluster, early="true", mode="on")
    old = cluster.leader()
    before = {n.name: len(n.log_text()) for n in cluster.nodes.values()}
    result = faults.FAULTS[fault](cluster)
    print(fault, result)
    assert result["lost"] == 0
    assert any(said(n, f"ending the lease of '{old.name}'", before[n.name]) for n in cluster.nodes.values())


@pytest.mark.rest
def test_without_it_the_lease_is_waited_for(cluster):
    faults.in_strict_mode(cluster)
    before = {n.name: len(n.log_text()) for n in cluster.nodes.values()}
    result = faults.FAULTS["node_lost"](cluster)
    print(result)
    assert result["lost"] == 0
    assert result["direct"] > TTL - 0.5
    assert not any(said(n, "ending the lease of", before[n.name]) for n in cluster.nodes.values())


def timeline(r):
    return r.sql(r.leader(), "SELECT timeline_id FROM pg_control_checkpoint()")


def test_a_false_alarm_is_taken_back(early):
    """One standby is cut from the primary, the other one is not: its report stays alone."""
    r = early
    leader, standby = r.leader(), r.replicas()[0]
    then = timeline(r)
    before = {n.name: len(n.log_text()) for n in r.nodes.values()}
    with faults.Load(r) as load:
        r.cut(leader.name, [standby.name])
        wait_for("it has reported", lambda: said(standby, "report: reporting timeline", before[standby.name]), 20)
        time.sleep(1.5)
        r.heal()
        wait_for("it has taken the report back", lambda: said(standby, "(withdraw_report)", before[standby.name]), 20)
        r.wait_streaming(standby)
        load.wait_writable(10)
    assert r.leader() is leader and timeline(r) == then
    assert not any(said(n, "ending the lease of", before[n.name]) for n in r.nodes.values())
    faults.verify(r, load, may_lose=False)


def test_a_primary_that_both_lose_only_for_a_moment_goes_on(early):
    r = early
    leader = r.leader()
    before = {n.name: len(n.log_text()) for n in r.nodes.values()}
    with faults.Load(r) as load:
        r.isolate(leader.name)
        time.sleep(0.3)
        r.heal()
        load.wait_writable(10)
    assert r.leader() is leader
    assert not any(said(n, "ending the lease of", before[n.name]) for n in r.nodes.values())
    faults.verify(r, load, may_lose=False)


def test_it_is_refused_outside_strict_mode(cluster):
    faults.configure(cluster, synchronous_mode="off", synchronous_mode_strict="null", early_failover="null")
    answer = cluster.ctl("edit-config", "-s", "early_failover=true", "--force", check=False)
    assert answer.returncode != 0
    assert "early_failover: only with synchronous_mode on or quorum and synchronous_mode_strict" in answer.stdout + answer.stderr
