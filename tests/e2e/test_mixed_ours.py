"""Patroni 4.1 and ours on our own store: every node serves it, the Patroni's by a witness beside it. PATRONI names the program."""
import pytest

import faults
import mixed
from mixed import *  # noqa: F401,F403
from mixed import leads, one_of
from rig import PATRONI

ARRANGEMENTS = {
    "one_patroni": {"patroni": ("node1",), "api": "etcd3", "extra": mixed.SERVE},
    "two_patronis": {"patroni": ("node1", "node2"), "api": "etcd", "extra": mixed.SERVE},
}
pytestmark = [pytest.mark.rest, pytest.mark.skipif(not PATRONI, reason="PATRONI names no Patroni: make e2e-rest does")]


def removal(r):
    """What somebody who means it types."""
    return r.patronictl("remove", "postgres", stdin=f"postgres\nYes I am aware\n{r.leader().name}\n")


def test_a_cluster_that_ours_leads_is_not_removed(cluster):
    """Its leader key is not for others to delete, so nothing is deleted at all."""
    leads(cluster, one_of(cluster, "ours"))
    leader, before = cluster.leader(), cluster.keys().leader_key()
    with faults.Load(cluster) as load:
        answer = removal(cluster)
        said = {"etcd3": "PermissionDenied error: 'etcdserver: permission denied'", "etcd": "is changed by it alone"}[cluster.api]
        assert said in answer.stderr, answer.stdout + answer.stderr
        after = cluster.keys().leader_key()
        load.wait_writable(10)
    assert (after["create_revision"], after["lease"]) == (before["create_revision"], before["lease"])
    assert len(cluster.members()) == 3 and cluster.keys().get("config") and cluster.keys().get("initialize")
    print(faults.verify(cluster, load, may_lose=False))
    assert cluster.leader() is leader and load.gaps()["direct"] < 5
