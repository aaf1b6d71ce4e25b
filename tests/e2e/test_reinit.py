"""A standby is copied anew on request, and nothing is removed that should stay (docs/operations.md)."""
import os

import pytest

import faults
from rest import SCOPE, document, rest
from rig import wait_for

ON_EITHER_STORE = True


def mark(node):
    """A file that a copy does not bring back."""
    path = os.path.join(node.data_dir, "of_before")
    with open(path, "w") as f:
        f.write("x")
    return path


def state(rig, node):
    try:
        return document(rig, node)["state"]
    except Exception:
        return None


def test_damaged_standby_under_a_writer(cluster):
    rig = cluster
    leader, node = rig.leader(), rig.replicas()[0]
    with faults.Load(rig) as load:
        marker = mark(node)
        os.unlink(os.path.join(node.data_dir, "global", "pg_filenode.map"))
        node.kill_postmaster()
        wait_for("it cannot start", lambda: "global/pg_filenode.map" in node.log_text(), 30)
        answer = rig.ctl("reinit", SCOPE, node.name, "--force", "--wait", timeout=120)
        assert f"Success: reinitialize for member {node.name}" in answer.stdout, answer.stdout
        assert f"Reinitialize is completed on: {node.name}\n" in answer.stdout, answer.stdout
        rig.wait_healthy()
        assert not os.path.exists(marker)
        load.wait_writable(30)
    assert rig.leader() is leader
    assert "data directory: remove begins: data=1" in node.log_text() and "allowed=reinitialize" in node.log_text()
    print("reinit", faults.verify(rig, load, may_lose=False))


def test_former_primary_that_cannot_be_rewound(cluster):
    """Its agent was started since, twice, and nothing that the rules do for it takes back what an earlier run may have promised."""
    rig = cluster
    rig.ctl("edit-config", "-s", "postgresql.use_pg_rewind=false", "--force")
    try:
        old = faults.die_apart(rig, "apart")
        for start in range(2):
            stuck = old.log_text().count("pg_rewind is not possible here")
            old.start_agent()
            wait_for("it stays as it is", lambda: old.log_text().count("pg_rewind is not possible here") > stuck, 60)
            if start == 0:
                old.kill_node()
        answer = rig.ctl("reinit", SCOPE, old.name, "--force", "--wait", timeout=120)
        assert f"Reinitialize is completed on: {old.name}\n" in answer.stdout, answer.stdout
        rig.wait_healthy()
        assert "allowed=reinitialize" in old.log_text()
        assert rig.sql(old, "SELECT count(*) FROM apart") == "0"
    finally:
        rig.heal()
        rig.ctl("edit-config", "-s", "postgresql.use_pg_rewind=true", "--force")


def test_a_running_standby_in_pause(cluster):
    rig = cluster
    node, marker = rig.replicas()[1], mark(rig.replicas()[1])
    assert "paused" in rig.ctl("pause", "--wait").stdout
    try:
        assert rest(rig, node, "POST", "/reinitialize", {"from_leader": True}) == (200, "reinitialize started")
        wait_for("the copy", lambda: not os.path.exists(marker) and state(rig, node) == "running", 60)
        rig.wait_streaming(node)
    finally:
        assert "resumed" in rig.ctl("resume", "--wait").stdout
    rig.wait_healthy()


def test_refused_on_the_leader(cluster):
    rig = cluster
    leader = rig.leader()
    marker = mark(leader)
    for body in ({}, {"force": True}):
        assert rest(rig, leader, "POST", "/reinitialize", body) == (503, "this member is the leader: it is not reinitialized")
    answer = rig.ctl("reinit", SCOPE, leader.name, "--force", check=False)
    assert answer.returncode == 1 and f"member '{leader.name}' is no replica" in answer.stderr, answer.stderr
    assert os.path.exists(marker) and rig.sql(leader, "SELECT 1") == "1"
    os.unlink(marker)


@pytest.mark.rest
def test_by_force_while_a_copy_runs(cluster):
    rig = cluster
    node = rig.replicas()[0]
    rig.ctl("edit-config", "-s", 'postgresql.basebackup=[{"max-rate": "1M"}]', "--force")
    wait_for("the setting", lambda: '"max-rate": "1M"' in rig.ctl("show-config").stdout or "max-rate: 1M" in rig.ctl("show-config").stdout, 10)
    began = node.log_text().count("data directory: clone begins")
    try:
        assert rest(rig, node, "POST", "/reinitialize") == (200, "reinitialize started")
        wait_for("the copy begins", lambda: node.log_text().count("data directory: clone begins") == began + 1, 30)
        wait_for("it is told", lambda: state(rig, node) == "creating replica", 10)
        assert rest(rig, node, "POST", "/reinitialize") == (503, "creating replica already in progress")
        assert rest(rig, node, "POST", "/restart") == (503, "creating replica already in progress")
        wait_for("it is told how far it is", lambda: 0 < document(rig, node).get("copy", {}).get("percent", 0) < 100, 30)
        copy = document(rig, node)["copy"]
        assert 0 < copy["bytes"] < copy["total_bytes"], copy
        assert "pgquorum_copy_percent{" in rest(rig, node, "GET", "/metrics")[1]
        assert "a copy is being made: " in rig.ctl("explain", node.name).stdout
    finally:
        rig.ctl("edit-config", "-s", "postgresql.basebackup=null", "--force")
    assert rest(rig, node, "POST", "/reinitialize", {"force": True}) == (200, "reinitialize started")
    wait_for("another copy begins", lambda: node.log_text().count("data directory: clone begins") == began + 2, 30)
    rig.wait_healthy()
    assert "data directory: clone has ended: failed" in node.log_text()
    assert "copy" not in document(rig, node) and "pgquorum_copy_percent{" not in rest(rig, node, "GET", "/metrics")[1]
    assert " kB (" not in node.log_text()


def test_refused_without_a_leader(cluster):
    """And nothing is removed of the last one that has the data."""
    rig = cluster
    leader, standbys = rig.leader(), rig.replicas()
    markers = [mark(node) for node in standbys]
    rig.ctl("edit-config", "-s", "pause=true", "--force")
    try:
        rig.ctl("pause", "--wait", check=False)
        leader.kill_node()
        node = standbys[0]
        wait_for("nobody leads", lambda: rest(rig, node, "POST", "/reinitialize")[1] == "the cluster has no leader: nothing to be copied from"
                 if "Leader" not in {row.get("Role") for row in rig.members().values()} else False, 60)
        assert all(os.path.exists(marker) for marker in markers)
    finally:
        leader.boot()
        leader.start_agent()
        rig.ctl("resume", check=False)
    for marker in markers:
        os.unlink(marker)
    rig.wait_healthy()
