"""The Raft group's members: added, removed, replaced, moved; directories that are lost or old; a majority that is gone for good."""
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

import checks
import faults
from rig import Node, wait_for


def rows(cluster, *args):
    answer = cluster.ctl("raft", "members", "-f", "json", *args, check=False)
    return {row["Member"]: row for row in json.loads(answer.stdout or "[]")}


def voters(cluster):
    return sorted(name for name, row in rows(cluster).items() if row["Role"] == "voter")


def raft_files(node):
    return glob.glob(os.path.join(node.home, "raft", "raft.db*"))


def forget(node):
    """What every message about a lost, old or removed directory says to do."""
    for path in raft_files(node):
        os.remove(path)


def ended(node, words, count=1):
    """Its agent says `words` and ends."""
    wait_for(f"{node.name} says '{words}' and ends", lambda: node.log_text().count(words) >= count and node.agent_pid() is None, 20)


def stop(node):
    """In order: an agent that is started twice afterwards might have a number that PostgreSQL's lock files of before name."""
    node.kill_agent(signal.SIGTERM)
    wait_for(f"{node.name} has stopped", lambda: node.agent_pid() is None and node.postmaster_pid() is None, 60)


def joined(cluster, node, was):
    """It is a voter again, under another id than `was`, and its standby streams."""
    wait_for(f"{node.name} votes under a new id",
             lambda: rows(cluster).get(node.name, {}).get("Role") == "voter" and rows(cluster)[node.name]["Id"] != was, 40)
    cluster.wait_streaming(node)


def test_members_are_listed_by_what_the_leader_knows(cluster):
    wait_for("three voters", lambda: voters(cluster) == ["node1", "node2", "node3"], 20)
    found = rows(cluster)
    assert [row["Address"] for _, row in sorted(found.items())] == ["172.20.0.10:2380", "172.20.0.11:2380", "172.20.0.12:2380"]
    assert sum(row["Leader"] == "*" for row in found.values()) == 1
    assert all(re.fullmatch("[0-9a-f]{16}", row["Id"]) and row["Match"] > 0 for row in found.values())
    assert all(float(row["Last heard"].split()[0]) < 1 for row in found.values())


def test_removed_member_is_told_and_joins_as_a_new_one(cluster):
    node = cluster.replicas()[0]
    was = rows(cluster)[node.name]["Id"]
    with faults.Load(cluster) as load:
        answer = cluster.ctl("raft", "remove", node.name, stdin="y\n")
        assert "Removed" in answer.stdout
        ended(node, "was removed from the group")
        assert node.name not in rows(cluster)
        node.start_agent()  # a service manager does that
        ended(node, "was removed from the group", 2)
        load.wait_writable(5)
    assert load.gaps()["direct"] < 1, "its attempts disturb nobody"
    forget(node)
    node.start_agent()
    joined(cluster, node, was)
    faults.verify(cluster, load, may_lose=False)


def test_removal_that_would_cost_the_majority_is_refused(cluster):
    lost, other = cluster.replicas()
    primary = cluster.leader()
    stop(lost)
    wait_for("it is missed", lambda: float(rows(cluster)[lost.name]["Last heard"].split()[0]) > 1, 20)
    answer = cluster.ctl("raft", "remove", other.name, "--force", check=False)
    assert answer.returncode == 1 and "would lose its majority: of the 2 voters that are left, 1 are connected" in answer.stderr, answer.stderr
    answer = cluster.ctl("raft", "remove", primary.name, "--force", check=False)
    assert answer.returncode == 1 and "holds the leader key" in answer.stderr
    was = rows(cluster)[lost.name]["Id"]
    cluster.ctl("raft", "remove", lost.name, "--force")  # who is dead may go
    assert voters(cluster) == sorted([other.name, primary.name])
    answer = cluster.ctl("raft", "remove", other.name, "--force", check=False)
    assert answer.returncode == 1 and "two voters cannot lose one" in answer.stderr
    lost.start_agent()
    ended(lost, "was removed from the group")
    forget(lost)
    lost.start_agent()
    joined(cluster, lost, was)


def test_leader_of_the_group_is_removed(cluster):
    """The one that leads is no primary: the primary's node is stopped for a moment."""
    primary = cluster.leader()
    wait_for("the primary's node leads", lambda: cluster.raft_leader() == primary.name, 20)
    answer = cluster.ctl("switchover", "--leader", primary.name, "--force")
    assert "Successfully switched over" in answer.stdout
    was = rows(cluster)[primary.name]["Id"]
    cluster.ctl("raft", "remove", primary.name, "--force")  # which still leads the group, or has just given that away
    assert primary.name not in rows(cluster)
    ended(primary, "was removed from the group")
    forget(primary)
    primary.start_agent()
    joined(cluster, primary, was)


def test_member_that_moves_is_found(cluster):
    """Its Raft port, which no other member's file names; and back."""
    node = cluster.replicas()[0]
    was = rows(cluster)[node.name]["Id"]
    for port in ("2390", "2380"):
        node.kill_agent()
        with open(node.config) as f:
            text = f.read()
        with open(node.config, "w") as f:
            f.write(re.sub(rf"(self_addr: {node.address}):\d+", rf"\1:{port}", text))
        node.start_agent()
        wait_for("the new address is known", lambda p=port: rows(cluster)[node.name]["Address"] == f"{node.address}:{p}", 20)
        wait_for("it is heard", lambda: float(rows(cluster)[node.name]["Last heard"].split()[0]) < 1, 20)
    assert rows(cluster)[node.name]["Id"] == was
    cluster.wait_healthy()


def test_old_copy_of_a_directory_is_refused(cluster):
    node = cluster.replicas()[0]
    was = rows(cluster)[node.name]["Id"]
    copy = os.path.join(node.home, "copy")
    node.kill_node()
    shutil.copytree(os.path.join(node.home, "raft"), copy, ignore=shutil.ignore_patterns("run", "state"))
    node.start_agent()
    cluster.wait_streaming(node)
    with faults.Load(cluster) as load:
        time.sleep(3)
        stop(node)
        forget(node)
        for path in glob.glob(os.path.join(copy, "raft.db*")):
            shutil.copy(path, os.path.join(node.home, "raft"))
            shutil.chown(os.path.join(node.home, "raft", os.path.basename(path)), "postgres", "postgres")
        node.start_agent()
        ended(node, "old copy")
        load.wait_writable(5)
    assert any("old copy" in other.log_text() for other in cluster.nodes.values() if other is not node)  # whom it met first
    forget(node)
    node.start_agent()
    joined(cluster, node, was)
    faults.verify(cluster, load, may_lose=False)


def test_wiped_directory_votes_only_when_it_is_taken_in_again(cluster):
    """The primary is cut off, and of the two that are left one has lost its vote: nobody may lead, and nothing is lost."""
    primary = cluster.leader()
    wiped, _ = cluster.replicas()
    was = rows(cluster)[wiped.name]["Id"]
    with faults.Load(cluster) as load:
        wiped.kill_node()
        shutil.rmtree(os.path.join(wiped.home, "raft"))
        primary.isolate()
        wiped.start_agent()
        wait_for("it waits", lambda: "waiting for the Raft group" in wiped.log_text(), 20)
        time.sleep(8)
        assert cluster.leader() is None, "neither of them was elected"
        cluster.heal()
        load.wait_writable(30)
    joined(cluster, wiped, was)
    groups = {re.search("Raft group: ([0-9a-f]+)", cluster.ctl("raft", "status").stdout)[1]}
    assert len(groups) == 1
    faults.verify(cluster, load, may_lose=False)


@pytest.mark.rest
def test_fourth_member_is_added(make_rig):
    r = make_rig()
    r.start_all()
    r.wait_healthy()
    fourth = Node(r, "lb")  # a host that nobody's file names; its own names the three
    r.write_config(fourth)
    fourth.start_agent()
    try:
        wait_for("it votes", lambda: voters(r) == ["lb", "node1", "node2", "node3"], 60)
        r.wait_healthy(count=4, timeout=60)
        lost = r.replicas()[0]
        lost.kill_node()
        wait_for("it is missed", lambda: float(rows(r)[lost.name]["Last heard"].split()[0]) > 1, 20)
        answer = r.ctl("raft", "remove", lost.name, "--force")
        assert "Removed" in answer.stdout
        assert len(voters(r)) == 3
        old = r.nodes[next(name for name, row in r.members().items() if row["Role"] == "Leader")]
        old.kill_node()  # of three, one: the fourth counts
        wait_for("another one leads", lambda: any(row["Role"] == "Leader" and name != old.name for name, row in r.members().items()), 30)
    except BaseException:
        print(fourth.log_text()[-4000:])
        raise
    finally:
        fourth.kill_node()


@pytest.mark.rest
@pytest.mark.parametrize("mode", ["asynchronous", "quorum"])
def test_majority_that_is_lost_for_good_is_recovered(make_rig, mode):
    r = make_rig()
    r.start_all()
    r.start_haproxy()
    r.wait_healthy()
    if mode == "quorum":
        r.ctl("edit-config", "--force", "-s", "synchronous_mode=quorum", "-s", "synchronous_mode_strict=true")
        wait_for("both standbys are in the quorum", lambda: sum(row["Role"] == "Quorum Standby" for row in r.members().values()) == 2, 30)
    primary, left = r.leader(), r.replicas()[0]
    others = [node for node in r.nodes.values() if node is not left]
    answer = r.recover(left)
    assert answer.returncode == 1 and "stop the agent" in answer.stderr, answer.stderr
    with faults.Load(r) as load:
        load.wait_writable(10)
    wait_for("the standby has caught up", lambda: faults.has_caught_up(r, left), 30)
    left.kill_node()
    answer = r.recover(left)
    assert answer.returncode == 1 and "has a leader" in answer.stderr, answer.stderr
    for node in sorted(others, key=lambda node: node is primary):
        stop(node)

    answer = r.recover(left, "Postgres")
    assert answer.returncode == 1 and "nothing was changed" in answer.stderr
    answer = r.recover(left)
    assert answer.returncode == 0 and "Recovered: group" in answer.stdout, answer.stderr
    left.start_agent()
    wait_for("it is alone", lambda: voters_at(r, left) == [left.name], 20)
    time.sleep(8)  # more than two ttl: it does not lead by itself
    assert "nobody is promoted before" in left.log_text()
    assert all(row["Role"] != "Leader" for row in members_at(r, left).values())

    for node in others:  # the old majority comes back: it meets the new group, and stops
        node.start_agent()
    for node in others:
        ended(node, "recovered from ours")
    answer = r.ctl_at(left, "failover", "--candidate", left.name, "--force")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    wait_for("it leads", lambda: members_at(r, left).get(left.name, {}).get("Role") == "Leader", 30)
    for node in others:
        forget(node)
        node.start_agent()
    r.wait_healthy(timeout=120)
    wait_for("three voters", lambda: voters(r) == ["node1", "node2", "node3"], 60)
    missing, phantom = checks.lost(r, r.leader(), load.histories)
    assert not any(missing.values()) and not any(phantom.values()), (missing, phantom)
    with faults.Load(r) as again:
        again.wait_writable(20)
    faults.verify(r, again, may_lose=False)
    assert "recovered" not in str(r.ctl("show-config").stdout)


def members_at(r, node):
    answer = r.ctl_at(node, "list", "-f", "json")
    return {row["Member"]: row for row in json.loads(answer.stdout)} if answer.returncode == 0 else {}


def voters_at(r, node):
    answer = r.ctl_at(node, "raft", "members", "-f", "json")
    return sorted(row["Member"] for row in json.loads(answer.stdout or "[]") if row["Role"] == "voter")
