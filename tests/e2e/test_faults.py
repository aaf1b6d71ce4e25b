"""Faults under write load: what was acknowledged is there, once, and there are never two writers at a time."""
import calendar
import os
import re
import signal
import time

import pytest

import checks
import faults
from rig import wait_for


def test_checkers_catch_a_cluster_without_its_fence(unfenced):
    """The positive control: a stopped agent, and nothing that ends its primary. What passes here checks nothing."""
    r = unfenced
    old = r.leader()
    pid = old.agent_pid()
    inside = r.writer("inside", old.address, read_write=False)
    with faults.Load(r) as load:
        faults.hangs_unfenced(r, load, old, inside)
        os.kill(pid, signal.SIGCONT)
    assert checks.two_writers(load.histories.values())
    missing, _ = checks.lost(r, r.leader(), load.histories)
    assert any(missing.values()), "what the old primary acknowledged meanwhile is not on the new one's branch"


@pytest.mark.parametrize("fault", list(faults.FAULTS))
def test_fault_loses_nothing_it_may_not_and_heals(cluster, fault):
    result = faults.FAULTS[fault](cluster)
    print(fault, result)
    assert result["direct"] < 15 and result["haproxy"] < 15


def logged(node, words, since=0.0):
    """When the agent of `node` wrote the first line with `words`, seconds of the epoch; None before that."""
    for line in node.log_text().splitlines():
        match = re.match(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) ", line)
        if match and words in line:
            at = calendar.timegm(time.strptime(match[1], "%Y-%m-%d %H:%M:%S")) + int(match[2]) / 1000
            if at >= since:
                return at
    return None


def test_standby_whose_fence_stands_still_is_not_promoted(cluster):
    """Nothing would end a primary there in time."""
    old = cluster.leader()
    fences = {node: node.fence_pid() for node in cluster.replicas()}
    for pid in fences.values():
        os.kill(pid, signal.SIGSTOP)
    try:
        wait_for("it is known", lambda: all("stands still" in node.log_text() for node in fences), 20)
        old.kill_node()
        wait_for("neither runs for the key", lambda: all("not running for the key: the fence does not answer" in node.log_text() for node in fences), 20)
        assert cluster.leader() in (None, old)
    finally:
        first = next(iter(fences))
        os.kill(fences[first], signal.SIGCONT)
    wait_for("the one whose fence answers leads", lambda: cluster.leader() is first, 20)
    for pid in fences.values():
        os.kill(pid, signal.SIGCONT)
    old.start_agent()
    cluster.settle()


def gives_the_lease_away(cluster, old, fence):
    """Under load, while `fence` stands still: (the load, how long it took from there on)."""
    with faults.Load(cluster) as load:
        began = time.monotonic()
        os.kill(fence, signal.SIGSTOP)
        faults.wait_new_leader(cluster, old)
        took = time.monotonic() - began
        load.wait_writable(30)
    assert "the fence does not answer: another node is better" in old.log_text()
    # Known after some 3 s, one ttl (3 s) of patience, a shutdown, a promotion; and two looks of the test.
    assert took < 15, took
    return load, took


def test_leader_whose_fence_stands_still_gives_the_lease_away(cluster):
    """Nothing but its agent would end it in time. It stops in order, so nothing is lost; and it comes back when its fence answers again."""
    old = cluster.leader()
    fence, agent = old.fence_pid(), old.agent_pid()
    try:
        load, took = gives_the_lease_away(cluster, old, fence)
    finally:
        os.kill(fence, signal.SIGCONT)
    wait_for("its fence answers", lambda: "the fence answers again" in old.log_text(), 20)
    result = faults.verify(cluster, load, may_lose=False)
    print("silent fence", result, "another one led after", took)
    assert (old.fence_pid(), old.agent_pid()) == (fence, agent)
    assert cluster.leader() is not old


def test_fence_that_is_never_woken_is_ended_and_replaced(cluster):
    """The agent ends it when nothing of PostgreSQL is left, and itself; its unit starts it again, with another fence."""
    old = cluster.leader()
    fence, agent = old.fence_pid(), old.agent_pid()
    load, _ = gives_the_lease_away(cluster, old, fence)
    wait_for("the fence is ended, and the agent ends", lambda: old.fence_pid() is None and old.agent_pid() != agent, 60)
    assert "ending the fence (process" in old.log_text()
    cluster.settle()  # which starts the agent, as the unit would
    faults.verify(cluster, load, may_lose=False)
    assert old.fence_pid() not in (None, fence)
    assert cluster.leader() is not old


def test_sigterm_stops_postgresql_and_releases_the_key(cluster):
    old = cluster.leader()
    others = [n for n in cluster.nodes.values() if n is not old]
    wait_for("Raft leadership where the primary is", lambda: cluster.raft_leader() == old.name, 30)
    with faults.Load(cluster) as load:
        began = time.time()
        old.kill_agent(signal.SIGTERM)
        faults.wait_new_leader(cluster, old)
        load.wait_writable(30)
    wait_for("nothing is left", lambda: not [e for e in old.processes().values() if "postgres" in e or "pgquorum" in e], 10)
    released = logged(old, "told to stop: nothing runs any more", began)
    taken = [logged(n, "the leader key names", began) - released for n in others]
    old.start_agent()
    result = faults.verify(cluster, load, may_lose=False)
    print("sigterm", result, "the key was taken again after", taken)
    assert max(taken) < 0.45, "the others had to elect a Raft leader first, which takes at least 0.5 s"
    assert result["direct"] < 3
