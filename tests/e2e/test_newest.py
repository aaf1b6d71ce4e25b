"""The store is new and the data are not: all nodes have lost their Raft directories, and their data directories are of different age."""
import os
import shutil

import pytest

from rig import TIMES, wait_for


def of_different_age(r):
    """A primary that was left behind, the one after it, and a standby of the latter."""
    old = r.leader()
    r.sql(old, "CREATE TABLE aged (n int)")
    r.sql(old, "INSERT INTO aged SELECT generate_series(1, 100)")
    old.kill_node()
    wait_for("another one leads", lambda: r.leader() not in (None, old), 30)
    last = r.leader()
    wait_for("it writes", lambda: r.sql(last, "SELECT pg_is_in_recovery()") == "f", 30)
    standby = next(n for n in r.nodes.values() if n not in (old, last))
    r.wait_healthy(count=2)
    r.sql(last, "INSERT INTO aged SELECT generate_series(101, 200)")
    r.sql(last, "CHECKPOINT")
    wait_for("the standby has it", lambda: r.sql(standby, "SELECT count(*) FROM aged") == "200", 30)
    last.kill_node()
    standby.kill_node()
    for node in r.nodes.values():
        shutil.rmtree(os.path.join(node.home, "raft"))
    return old, last, standby


def said(node):
    """Since it was started last."""
    return node.log_text().rpartition(f"agent '{node.name}' of cluster")[2]


def begins_again(r, leader, old):
    for node in r.nodes.values():
        node.start_agent()
    r.wait_healthy(timeout=120)
    assert r.leader() == leader
    for node in r.nodes.values():
        wait_for(f"all rows on {node.name}", lambda: r.sql(node, "SELECT count(*) FROM aged") == "200", 30)
    assert "cluster takes the system identifier" not in said(old)


@pytest.fixture
def rig_of_three(make_rig):
    r = make_rig(**TIMES["raft"])
    r.start_all()
    r.wait_healthy()
    return r


def test_last_primary_leads(rig_of_three):
    r = rig_of_three
    old, last, _ = of_different_age(r)
    begins_again(r, last, old)


def test_standby_leads_where_the_last_primary_is_lost(rig_of_three):
    r = rig_of_three
    old, last, standby = of_different_age(r)
    shutil.rmtree(last.data_dir)
    begins_again(r, standby, old)
