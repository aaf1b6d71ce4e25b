"""Three members of a real Patroni, whose store is three witnesses of ours on hosts of their own; all of them are named in `hosts`.

Whatever becomes of one of ours, Patroni's primary keeps its key and its clients notice nothing. Run by test_patroni_*.py, each of which
says by PROGRAM which release it is, and by API how it speaks with the store.
"""
import contextlib
import signal
import time

import pytest

import faults
from rig import NODES, wait_for

TTL = 20  # the least that Patroni takes
TURNS = [0, 1, 2]


@pytest.fixture
def cluster(shared_rig, request):
    r = shared_rig(ttl=TTL, loop_wait=2, retry_timeout=5, store=request.module.API, etcd_members=3, ours=True,
                   patroni=tuple(NODES), program=request.module.PROGRAM)
    if r.haproxy is None:
        r.start_all()
        r.haproxy = r.start_haproxy()
    r.wait_healthy(timeout=120)
    wait_for("the store is whole", r.etcd.healthy, 30)
    yield r
    if getattr(request.node, "failed", False):
        r.broken = True
        r.show()
        show_store(r)


def show_store(r):
    for member in r.etcd.members.values():
        print(f"--- {member.log}")
        with open(member.log) as f:
            print("".join(f.readlines()[-30:]))


def started(r):
    return r.sql(r.leader(), "SELECT pg_postmaster_start_time()")


@contextlib.contextmanager
def unnoticed(r):
    """What happens inside costs neither the key nor a write."""
    leader, key, since = r.leader(), r.etcd.leader_key(), started(r)
    with faults.Load(r) as load:
        yield load
        load.wait_writable(10)
    wait_for("the store is whole", r.etcd.healthy, 30)
    print(faults.verify(r, load, may_lose=False))
    after = r.etcd.leader_key()
    assert after["create_revision"] == key["create_revision"], "it was lost and made anew"
    assert r.leader() is leader and started(r) == since
    assert load.gaps()["direct"] < 5


def turn(r, i):
    return list(r.etcd.members.values())[i]


def goes_on(r, load, seconds):
    """Through it, not only before and after."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        load.wait_writable(10)
        assert r.members()[r.leader().name]["State"] == "running"
        time.sleep(1)


@pytest.mark.parametrize("i", TURNS)
def test_one_of_ours_is_killed(cluster, i):
    with unnoticed(cluster) as load:
        turn(cluster, i).kill()
        goes_on(cluster, load, 6)
        turn(cluster, i).start()
        goes_on(cluster, load, 3)


@pytest.mark.parametrize("i", TURNS)
def test_one_of_ours_hangs_for_longer_than_the_ttl(cluster, i):
    with unnoticed(cluster) as load:
        turn(cluster, i).kill(signal.SIGSTOP)
        try:
            goes_on(cluster, load, TTL + 2)
        finally:
            turn(cluster, i).kill(signal.SIGCONT)
        goes_on(cluster, load, 3)


@pytest.mark.parametrize("i", TURNS)
def test_one_of_ours_is_cut_off(cluster, i):
    with unnoticed(cluster) as load:
        cluster.isolate(turn(cluster, i).host)
        try:
            goes_on(cluster, load, TTL + 2)
        finally:
            cluster.heal()
        goes_on(cluster, load, 3)


def test_a_switchover_and_the_loss_of_the_primary(cluster):
    named = cluster.replicas()[0]
    with faults.Load(cluster) as load:
        answer = cluster.patronictl("switchover", "--leader", cluster.leader().name, "--candidate", named.name, "--force")
        assert f'Successfully switched over to "{named.name}"' in answer.stdout, answer.stdout + answer.stderr
        load.wait_writable(30)
    print(faults.verify(cluster, load, may_lose=False))
    assert cluster.leader() is named
    result = faults.node_lost(cluster)
    print(result)
    assert result["direct"] < TTL + 15


def test_without_all_of_ours_the_primary_steps_down_and_comes_back(cluster):
    old = cluster.leader()
    with faults.Load(cluster) as load:
        for member in cluster.etcd.members.values():
            member.kill()
        wait_for("it is no primary any more", lambda: cluster.http_status(old.address, "/primary") != 200, TTL + 20)
        for member in cluster.etcd.members.values():
            member.start()
        cluster.etcd.wait_served()
        load.wait_writable(TTL + 30)
    print(faults.verify(cluster, load, may_lose=True))
