"""A data node that is a client of the Raft group: two members with PostgreSQL and a witness vote, the third node with PostgreSQL does not. What
holds for its lease is what holds for a member's."""
import glob
import os
import re
import signal
import time

import pytest

import faults
from rig import ADDRESS, Node, borrowed, wait_for

VOTERS = ["lb", "node1", "node2"]
MEMBERS = ", ".join(f"{ADDRESS[name]}:2380" for name in VOTERS)


def add_voter(r):
    """node1, node2 and a witness on the load balancer's host are the group; node3 is its client."""
    r.voter = Node(r, "lb")
    r.voter.witness = True
    for node in [*r.nodes.values(), r.voter]:
        r.write_config(node, partners=MEMBERS)
    r.voter.end = r.voter.kill_node
    r.remotes.append(r.voter)  # ends with the others


@pytest.fixture
def group(shared_rig, request):
    r = shared_rig(clients=("node3",))
    if not hasattr(r, "voter"):
        add_voter(r)
    if r.voter.agent_pid() is None:
        r.voter.start_agent()
    yield from borrowed(r, request)


def client_of(r):
    return r.nodes["node3"]


def lead(r, node):
    """`node` is the primary."""
    if r.leader() is not node:
        answer = r.ctl("switchover", "--leader", r.leader().name, "--candidate", node.name, "--force")
        assert "Successfully switched over" in answer.stdout, answer.stdout + answer.stderr
        r.wait_healthy()
    assert r.leader() is node
    r.settle()


def metric(r, node, name):
    _, text = r.http(node.rest_address, "/metrics")
    found = re.search(rf"^{name}{{.*}} (\S+)$", text, re.M)
    return float(found[1]) if found else None


def member_of(r):
    """The member that the client is connected to, by its log."""
    address = re.findall(r"is a client of the member at (\S+):2380", client_of(r).log_text())[-1]
    return next(node for node in [*r.nodes.values(), r.voter] if node.address == address)


def test_it_streams_and_has_no_vote(group):
    node = client_of(group)
    assert sorted(group.raft_members()) == VOTERS
    assert group.members()["node3"]["Role"] in ("Replica", "Leader")
    assert not glob.glob(os.path.join(node.home, "**", "raft.db*"), recursive=True)
    told = group.ctl_at(node, "raft", "status").stdout
    assert "node3 is a client of this group" in told and "172.20.0.10:2380" in told, told
    assert metric(group, node, "pgquorum_raft_client_connected") == 1
    assert metric(group, node, "pgquorum_raft_leader") is None
    assert metric(group, group.nodes["node1"], "pgquorum_raft_client_connected") is None
    assert group.ctl_at(node, "list").returncode == 0


def test_switchover_to_it_and_back(group):
    node = client_of(group)
    lead(group, group.nodes["node1"])
    for candidate in (node, group.nodes["node1"]):
        with faults.Load(group) as load:
            answer = group.ctl("switchover", "--leader", group.leader().name, "--candidate", candidate.name, "--force")
            assert "Successfully switched over" in answer.stdout, answer.stdout + answer.stderr
            load.wait_writable(30)
        assert group.leader() is candidate
        faults.verify(group, load, may_lose=False)


def test_primary_is_lost_and_it_takes_over(group):
    """The other member may not."""
    old, other = group.nodes["node1"], group.nodes["node2"]
    lead(group, old)
    with open(other.config) as f:
        text = f.read()
    try:
        with open(other.config, "w") as f:
            f.write(text.replace("nofailover: false", "nofailover: true"))
        group.ctl("reload", "postgres", "node2", "--force")
        wait_for("its tag is published", lambda: "nofailover" in str(group.members()["node2"].get("Tags")), 20)
        result = faults.node_lost(group)
    finally:
        with open(other.config, "w") as f:
            f.write(text)
        group.ctl("reload", "postgres", "node2", "--force")
    assert group.leader() is client_of(group)
    print(result)


def test_it_leads_and_its_node_is_lost(group):
    lead(group, client_of(group))
    print(faults.node_lost(group))
    assert group.leader() is not client_of(group)


def test_it_leads_and_is_cut_off_from_all(group):
    """Demoted before another one leads: no two writers."""
    lead(group, client_of(group))
    print(faults.isolated(group))


@pytest.mark.parametrize("how", ["killed", "stopped", "cut"])
def test_it_leads_and_its_member_is_gone(group, how):
    """It goes to another one and keeps its lease."""
    node = client_of(group)
    lead(group, node)
    member = member_of(group)
    postmaster = node.postmaster_pid()
    with faults.Load(group) as load:
        if how == "killed":
            member.kill_node()
        elif how == "stopped":
            pid = member.agent_pid()
            os.kill(pid, signal.SIGSTOP)
        else:  # it lives, and reaches the other members no more; the client still reaches it
            group.cut(member.name, [name for name in VOTERS if name != member.name])
        time.sleep(2 * group.settings["ttl"])
        assert group.leader() is node and node.postmaster_pid() == postmaster
        load.wait_writable(10)
        if how == "stopped":
            os.kill(pid, signal.SIGCONT)
        group.heal()
        if member.agent_pid() is None:
            member.start_agent()
    assert load.gaps()["direct"] < 1, load.gaps()
    faults.verify(group, load, may_lose=False)


def test_it_leads_and_the_majority_is_gone(group):
    lead(group, client_of(group))
    result = faults.store_stopped(group)
    assert result["served"] < group.settings["ttl"]


@pytest.mark.parametrize("early", ["null", "true"])
def test_strict_mode_loses_nothing(group, early):
    """A lease of a client is not ended early: no member can tell whether it is silent."""
    lead(group, client_of(group))
    print(faults.strict(faults.isolated, early)(group))
    assert "deposes" not in "".join(node.log_text() for node in group.nodes.values())


def test_it_leads_and_its_agent_is_killed(group):
    lead(group, client_of(group))
    print(faults.agent_killed(group))


def test_it_leads_and_its_agent_is_lost(group):
    lead(group, client_of(group))
    print(faults.agent_lost(group))


def test_paused_it_keeps_what_it_has(group):
    node = client_of(group)
    lead(group, node)
    group.ctl("pause", "--wait")
    try:
        agent = node.agent_pid()
        postmaster = node.postmaster_pid()
        node.kill_agent()
        wait_for("the agent is gone", lambda: node.agent_pid() != agent, 10)
        time.sleep(group.settings["ttl"] + 1)
        assert node.postmaster_pid() == postmaster
        node.start_agent()
        wait_for("it leads again", lambda: group.leader() is node, 20)
        assert node.postmaster_pid() == postmaster
    finally:
        group.ctl("resume", "--wait")
    group.wait_healthy()


def test_a_members_name_is_refused(group):
    """One line that says where the other one is; nobody is disturbed."""
    node = client_of(group)
    lead(group, group.nodes["node1"])
    node.kill_agent(signal.SIGTERM)
    wait_for("it has stopped", lambda: node.agent_pid() is None and node.postmaster_pid() is None, 30)
    with open(node.config) as f:
        text = f.read()
    try:
        with open(node.config, "w") as f:
            f.write(text.replace("name: node3\n", "name: node2\n"))
        node.start_agent()
        wait_for("it is told", lambda: "'node2' at 172.20.0.12" in node.log_text() and "the name of the Raft member at 172.20.0.11:2380" in node.log_text(), 20)
        assert group.leader() is group.nodes["node1"]
        node.kill_node()
    finally:
        with open(node.config, "w") as f:
            f.write(text)
    node.start_agent()
    group.wait_healthy()


def test_a_member_whose_address_was_forgotten_does_not_start(group):
    member = group.nodes["node2"]
    lead(group, group.nodes["node1"])
    member.kill_agent(signal.SIGTERM)
    wait_for("it has stopped", lambda: member.agent_pid() is None and member.postmaster_pid() is None, 30)
    with open(member.config) as f:
        text = f.read()
    try:
        with open(member.config, "w") as f:
            f.write(re.sub(r"  self_addr: .*\n", "", text))
        member.start_agent()
        wait_for("it says why", lambda: "holds the log and the vote of a member of the group" in member.log_text(), 20)
        wait_for("it has ended", lambda: member.agent_pid() is None, 10)
    finally:
        with open(member.config, "w") as f:
            f.write(text)
    member.start_agent()
    group.wait_healthy()
