"""Addresses, clusters and releases that do not belong together: each is refused with one line that names both sides, and the others notice
nothing (FS-70)."""
import os
import shutil
import signal
import socket
import struct

import faults
from network import in_namespace
from rig import ADDRESS, Node, edit, wait_for


def stop(node):
    node.kill_agent(signal.SIGTERM)
    wait_for("it has stopped", lambda: node.agent_pid() is None and node.postmaster_pid() is None, 60)


def crossed(node, other):
    """It says that it is where `other` is, and listens where it was. Undone by write_config."""
    edit(node, (f"self_addr: {node.address}:2380", f"self_addr: {other.address}:2380\n  bind_addr: {node.address}:2380"))


def told(node, words, since=0):
    text = node.log_text()[since:] if os.path.exists(node.log) else ""
    return any(all(word in line for word in words) for line in text.splitlines())


def lines(node, words, since):
    return sum(all(word in line for word in words) for line in node.log_text()[since:].splitlines())


def voters(r):
    return sorted(name for name, row in r.raft_members().items() if row["Role"] in ("Leader", "Follower"))


def test_another_release(cluster):
    """What it speaks is told beside what is spoken here. First of all here: of strangers five lines a minute are written, then their number."""
    node = cluster.nodes["node1"]
    for version in (1, 3):
        since = len(node.log_text())
        with in_namespace(cluster.namespace("client")):
            connection = socket.create_connection((node.address, 2380), timeout=5)
        connection.sendall(struct.pack("<IBBH", 36, version, 1, 0) + bytes(32))
        words = [f"frame of version {version} where 2 is spoken", ADDRESS["client"]]
        wait_for("it is told", lambda w=words, s=since: told(node, w, s), 10)
        connection.close()
    assert cluster.healthy()


def test_address_of_another_living_member(cluster):
    node, other = cluster.replicas()
    stop(node)
    since = len(node.log_text())
    with faults.Load(cluster) as load:
        crossed(node, other)
        node.start_agent()
        words = [f"raft.self_addr {other.address}:2380 of '{node.name}' is where '{other.name}' answers"]
        wait_for("it is told", lambda: told(node, words + ["give this member its own address"], since), 20)
        wait_for("it has ended", lambda: node.agent_pid() is None, 20)
        load.wait_writable(10)
    assert load.gaps()["direct"] < 1, load.gaps()
    cluster.write_config(node)
    node.start_agent()
    cluster.wait_streaming(node)
    wait_for("three voters", lambda: voters(cluster) == ["node1", "node2", "node3"], 30)
    faults.verify(cluster, load, may_lose=False)


def test_address_that_is_not_of_this_host(cluster):
    """Without bind_addr it is listened on, and that cannot be."""
    node, other = cluster.replicas()
    stop(node)
    since = len(node.log_text())
    edit(node, (f"self_addr: {node.address}:2380", f"self_addr: {other.address}:2380"))
    node.start_agent()
    wait_for("it is told", lambda: told(node, [f"raft.self_addr: listening on {other.address}:2380"], since), 20)
    wait_for("it has ended", lambda: node.agent_pid() is None, 20)
    cluster.write_config(node)
    node.start_agent()
    cluster.wait_streaming(node)


def test_two_that_have_each_others_address(make_rig):
    """From the first start on: no cluster is made, and who comes second is told, by name, where the other one is; when that is mended, the other."""
    r = make_rig()
    first, second, third = r.nodes.values()
    crossed(second, third)
    crossed(third, second)
    r.start_all()
    others = {second: third, third: second}

    def was_told(node):
        return told(node, [f"{others[node].address}:2380 of '{node.name}' is where '{others[node].name}' answers: give this member its own address"])

    wait_for("one is told", lambda: was_told(second) or was_told(third), 30)
    node = second if was_told(second) else third
    wait_for("it has ended", lambda: node.agent_pid() is None, 20)
    for one in (node, others[node]):
        wait_for("it is told", lambda n=one: was_told(n), 30)
        wait_for("it has ended", lambda n=one: n.agent_pid() is None, 20)
        r.write_config(one)
        one.start_agent()
    assert first.agent_pid() is not None
    r.wait_healthy(timeout=90)


def test_member_of_another_cluster(cluster):
    """It has made a cluster of its own, and then its file names these."""
    stranger = Node(cluster, "lb")
    stranger.witness = True
    cluster.write_config(stranger, partners="")
    stranger.start_agent()
    wait_for("it leads a group of its own", lambda: told(stranger, ["the Raft member is running"]), 20)
    stranger.kill_agent(signal.SIGTERM)
    wait_for("it has stopped", lambda: stranger.agent_pid() is None, 20)
    try:
        cluster.write_config(stranger)
        since = {node.name: len(node.log_text()) for node in cluster.nodes.values()}
        with faults.Load(cluster) as load:
            stranger.start_agent()
            for node in cluster.nodes.values():
                words = ["'lb' (raft.self_addr", "is of the Raft cluster", f"'{node.name}' ({node.address}:2380) of"]
                wait_for("it is refused by name", lambda n=node, w=words: told(n, w, since[n.name]), 20)
                wait_for("and told", lambda w=words: told(stranger, ["refused by the other side", *w]), 20)
            load.wait_writable(10)
        for node in cluster.nodes.values():
            assert lines(node, ["'lb' (raft.self_addr"], since[node.name]) <= 6, "five lines a minute of strangers, and one of whom it calls"
        assert voters(cluster) == ["node1", "node2", "node3"]
        faults.verify(cluster, load, may_lose=False)
    finally:
        stranger.kill_node()
        shutil.rmtree(stranger.home)
