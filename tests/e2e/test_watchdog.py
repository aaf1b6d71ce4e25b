"""A watchdog device behind the fence: it runs where the primary is, resets a node whose agent and fence both stand still, and
nobody else."""
import errno
import json
import os
import signal
import time

import pytest

import checks
import faults
import watchdogs
from rig import wait_for

TTL = 10  # a timeout of 2 s


@pytest.fixture
def make_watched(request):
    made = []

    def make(**settings):
        r = watchdogs.Rig(os.path.abspath(os.environ.get("BUILD", "build/debug")), ttl=TTL, **settings)
        made.append(r)
        r.start_all()
        r.start_haproxy()
        r.wait_healthy()
        return r

    yield make
    for r in made:
        try:
            if getattr(request.node, "failed", False):
                r.show()
        finally:
            r.close()


def running(r):
    return [name for name, node in r.nodes.items() if node.watchdog.running]


def fired(r):
    return [name for name, node in r.nodes.items() if node.watchdog.fired]


def tells(r, node, key):
    try:
        _, body = r.http(node.rest_address, "/patroni")
        return json.loads(body).get(key)
    except (OSError, ValueError, TypeError):
        return None


def metric(r, node, name):
    _, body = r.http(node.rest_address, "/metrics")
    text = body if isinstance(body, str) else body.decode()
    return next(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name + "{"))


def runs_alone_on(r, node, timeout=20):
    wait_for(f"the watchdog of {node.name} runs alone", lambda: running(r) == [node.name], timeout)


def test_it_runs_where_the_primary_is_and_fires_at_nothing_ordinary(make_watched):
    r = make_watched()
    first = r.leader()
    runs_alone_on(r, first)
    assert first.watchdog.timeout == 2 and first.watchdog.opens == 1
    assert metric(r, first, "pgquorum_watchdog_armed") == 1 and metric(r, r.replicas()[0], "pgquorum_watchdog_armed") == 0

    # The agent is killed, and comes back.
    postmaster = first.postmaster_pid()
    first.kill_agent()
    wait_for("the agent is gone", lambda: first.agent_pid() is None, 10)
    time.sleep(1)
    first.start_agent()
    r.wait_healthy()
    assert first.postmaster_pid() == postmaster and first.watchdog.opens == 1 and running(r) == [first.name]

    # The postmaster is killed, and started in place.
    first.kill_postmaster()
    wait_for("another postmaster", lambda: first.postmaster_pid() not in (None, postmaster), 20)
    r.wait_healthy()
    runs_alone_on(r, first)

    # In pause there is none, and after it there is.
    r.ctl("pause", "--wait")
    wait_for("no watchdog runs", lambda: running(r) == [], 20)
    first.kill_agent(signal.SIGTERM)
    wait_for("the agent is gone", lambda: first.agent_pid() is None, 20)
    time.sleep(3)
    first.start_agent()
    r.wait_healthy()
    assert running(r) == []
    r.ctl("resume", "--wait")
    runs_alone_on(r, first)

    # A switchover takes it along.
    r.ctl("switchover", "--leader", first.name, "--candidate", r.replicas()[0].name, "--force")
    wait_for("another leader", lambda: r.leader() not in (None, first), 30)
    r.wait_healthy()
    second = r.leader()
    runs_alone_on(r, second)

    # Its node loses the others: stopped by its fence, and the device after that.
    second.isolate()
    wait_for("another leader", lambda: r.leader() not in (None, second), 4 * TTL)
    assert not second.watchdog.running
    r.settle()
    third = r.leader()
    runs_alone_on(r, third)

    # The fence is killed: the next one stops what it has left running.
    third.watchdog.opens = 0
    os.kill(third.fence_pid(), signal.SIGKILL)
    wait_for("the agent has ended", lambda: third.agent_pid() is None, 10)
    third.start_agent()
    r.settle()
    runs_alone_on(r, r.leader())

    # An agent that is told to stop leaves nothing running.
    last = r.leader()
    last.kill_agent(signal.SIGTERM)
    wait_for("agent and fence are gone", lambda: not last.processes(), 30)
    assert not last.watchdog.running
    r.settle()
    assert fired(r) == []


def frozen(r, load, old, inside):
    load.writers["inside"] = inside
    agent, fence = old.agent_pid(), old.fence_pid()
    os.kill(agent, signal.SIGSTOP)
    os.kill(fence, signal.SIGSTOP)
    return time.monotonic()


def test_stopped_agent_and_fence_are_reset_before_another_leads(make_watched):
    """FS-20: nothing of this node can end its PostgreSQL any more."""
    r = make_watched(mode="automatic")
    old = r.leader()
    runs_alone_on(r, old)
    inside = r.writer("inside", old.address, read_write=False)
    with faults.Load(r) as load:
        began = frozen(r, load, old, inside)
        wait_for("the node is reset", lambda: old.watchdog.fired, TTL)
        assert old.watchdog.fired_at - began < TTL * 0.9
        new = faults.wait_new_leader(r, old)
        load.writers["fresh"] = r.writer("fresh", new.address, read_write=False)
        load.wait_writable(30, but=("inside",))
        old.start_agent()
        r.settle()
    assert not checks.two_writers(load.histories.values())
    assert fired(r) == [old.name]


@pytest.mark.rest
def test_without_it_the_same_gives_two_writers(make_watched):
    """The control: what passes here proves nothing above."""
    r = make_watched(mode="off")
    old = r.leader()
    inside = r.writer("inside", old.address, read_write=False)
    with faults.Load(r) as load:
        frozen(r, load, old, inside)
        new = faults.wait_new_leader(r, old)
        load.writers["fresh"] = r.writer("fresh", new.address, read_write=False)
        time.sleep(3)
        os.kill(old.agent_pid(), signal.SIGCONT)
        os.kill(old.fence_pid(), signal.SIGCONT)
    assert checks.two_writers(load.histories.values())
    assert [n.watchdog.opens for n in r.nodes.values()] == [0, 0, 0]


def test_required_and_unusable_leads_nobody(make_watched):
    r = make_watched()
    old = r.leader()
    runs_alone_on(r, old)
    # It fails while it runs: another one leads. The others cannot have theirs but one.
    left = r.replicas()[0]
    for node in r.replicas()[1:]:
        os.chmod(node.watchdog.path, 0)
        wait_for(f"{node.name} says so", lambda node=node: tells(r, node, "watchdog_failed") is True, 20)
        assert metric(r, node, "pgquorum_watchdog_failed") == 1
    old.watchdog.pet_error = errno.EIO
    wait_for("the one that has a watchdog leads", lambda: r.leader() is left, 60)
    runs_alone_on(r, left)
    r.wait_healthy()
    assert tells(r, left, "watchdog_failed") is None
    assert "cannot be petted" in old.log_text()
    # With none at all there is no primary, until there is one.
    old.watchdog.pet_error = 0
    os.chmod(old.watchdog.path, 0)
    wait_for(f"{old.name} says so", lambda: tells(r, old, "watchdog_failed") is True, 20)
    left.watchdog.pet_error = errno.EIO
    wait_for("nobody leads", lambda: r.leader() is None, 60)
    time.sleep(TTL + 3)
    assert r.leader() is None
    os.chmod(old.watchdog.path, 0o777)
    wait_for("it leads again", lambda: r.leader() is old, 60)
    left.watchdog.pet_error = 0
    r.settle()
    assert fired(r) == []


@pytest.mark.rest
def test_not_required_it_changes_nothing(make_watched):
    r = make_watched(mode="automatic")
    old = r.leader()
    runs_alone_on(r, old)
    for node in r.nodes.values():
        node.watchdog.open_error = watchdogs.NO_DEVICE
    old.kill_node()
    wait_for("another leader", lambda: r.leader() not in (None, old), 4 * TTL)
    new = r.leader()
    assert new.watchdog.opens == 0 and "another process has it" in new.log_text()
    assert tells(r, new, "watchdog_failed") is None
    old.start_agent()
    r.settle()
