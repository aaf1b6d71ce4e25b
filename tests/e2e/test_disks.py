"""A server that hangs, and disks that take no writes: the key goes where another node is better, and nothing acknowledged is lost."""
import json
import os
import signal
import time

import pytest

import checks
import faults
from disks import Disks
from rig import wait_for


def trouble(node):
    status, body = node.rig.http(node.address, "/patroni")
    return json.loads(body).get("trouble", "") if status is not None else None


def listed(rig, words):
    return words in rig.ctl("list").stdout


def test_hung_postmaster_is_killed_and_started_in_place(cluster):
    """Its sessions go on, nobody new gets in, and it does not hear SIGQUIT."""
    old = cluster.leader()
    postmaster = old.postmaster_pid()
    with faults.Load(cluster) as load:
        os.kill(postmaster, signal.SIGSTOP)
        stopped = time.monotonic()
        wait_for("the trouble is told", lambda: "no new connection" in (trouble(old) or ""), 15)
        assert listed(cluster, "answers no new connection"), cluster.ctl("list").stdout
        wait_for("another postmaster", lambda: old.postmaster_pid() not in (None, postmaster), 30)
        took = time.monotonic() - stopped
        load.wait_writable(30)
    assert cluster.leader() is old, "restarted in place"
    result = faults.verify(cluster, load, may_lose=False)
    print("hung", result, "another postmaster after", took)
    assert result["direct"] < 15 and took < 20
    wait_for("the trouble is over", lambda: trouble(old) == "", 15)


@pytest.fixture
def disked(make_rig):
    """Three healthy members, each with its data directory and its pg_wal on small file systems of their own."""
    r = make_rig()
    disks = Disks(r)
    try:
        r.start_all()
        r.haproxy = r.start_haproxy()
        r.wait_healthy()
        r.disks = disks
        yield r
    finally:
        for disk in [*disks.data.values(), *disks.wal.values()]:
            disk.thaw()
        for node in r.nodes.values():
            node.kill_node()
        disks.close()


def is_serving(rig, node, started):
    return rig.leader() is node and rig.sql(node, "SELECT pg_postmaster_start_time()") == started


def test_stalled_disk_costs_the_key_and_a_hiccup_does_not(disked):
    """FS-59: REST answers all the while, nobody acknowledges when the disk is back, and the node comes back by itself."""
    old = disked.leader()
    disk = disked.disks.data[old.name]
    started = disked.sql(old, "SELECT pg_postmaster_start_time()")
    disk.freeze()
    time.sleep(0.5)
    disk.thaw()
    time.sleep(3)
    assert is_serving(disked, old, started), "half a second of a disk is no failure"

    inside = disked.writer("inside", old.address, read_write=False)
    with faults.Load(disked) as load:
        load.writers["inside"] = inside
        wait_for("the client on the old primary writes", lambda: load.acknowledged(inside), 30)
        disk.freeze()
        frozen = time.monotonic()
        wait_for("the trouble is told", lambda: "does not answer writes" in (trouble(old) or ""), 10)
        new = faults.wait_new_leader(disked, old)
        took = time.monotonic() - frozen
        load.wait_writable(30, but=["inside"])
        assert listed(disked, "does not answer writes")
        assert disked.http_status(old.address, "/primary") == 503 and disked.http_status(old.address, "/liveness") in (200, 503)
        while time.monotonic() < frozen + 22:  # it has been given up by any measure
            assert disked.http_status(old.address, "/primary") == 503, "REST hangs with the disk"
            time.sleep(1)
        thawed = time.monotonic()
        disk.thaw()
        disked.wait_healthy(timeout=90)
        late = [e for e in checks.read(inside) if e["result"] == "ok" and e["node"] == old.address and e["end"] > thawed]
    assert disked.leader() is new
    result = faults.verify(disked, load, may_lose=True)
    print("stalled", result, "another leader after", took, "acknowledged by the old one after its disk was back:", len(late))
    assert not [e for e in late if e["begin"] < thawed and e["end"] > thawed], late
    assert took < 15
