"""A data node that is a client of the Raft group (test_raft_client.py), where the group knows certificates and no password: it lives as over
plain text, gets new certificates while it leads, and its program is exchanged under it."""
import os
import shutil
import signal

import pytest

import faults
from certificates import Authority, put
from rig import borrowed, edit, wait_for
from test_client import asked, file_of
from test_client_tls import operator
from test_raft_client import add_voter, client_of, lead, member_of, metric
from test_tls import RAFT, loads

NEW = "0.2.0"


def everybody(r):
    return [*r.nodes.values(), r.voter]


def believe(r, *authorities):
    for node in everybody(r):
        put("".join(a.text() for a in authorities), os.path.join(node.home, "raft-ca.crt"))


def sign(r, authority, node, name=None):
    """A client has no address that a certificate could bear."""
    addresses = [] if node is client_of(r) else [node.address]
    authority.sign(name or node.name, os.path.join(node.home, "raft.key"), os.path.join(node.home, "raft.crt"), addresses)


def read_again(r):
    """Those that are read by now are of the files as they are."""
    for node in everybody(r):
        count = loads(node) if node is not client_of(r) else None
        node.kill_agent(signal.SIGHUP)
        if count is not None:
            wait_for(f"{node.name} reads its certificates again", lambda n=node, c=count: loads(n) > c, 20)


def follow(r, authority):
    """From now on the operator is one of this authority's."""
    r.authority = authority
    r.operator = operator(r, "operator")


def operators(r, *args, check=True, timeout=30):
    answer = asked(r, file_of(r, r.operator, [node for node in everybody(r) if node is not client_of(r)]), *args)
    assert answer.returncode == 0 or not check, answer.stdout + answer.stderr
    return answer


@pytest.fixture
def group(shared_rig, request):
    r = shared_rig(clients=("node3",), raft=RAFT)
    if not hasattr(r, "voter"):
        add_voter(r)
        follow(r, Authority(r.home, "authority"))
        believe(r, r.authority)
        for node in everybody(r):
            sign(r, r.authority, node)
            edit(node, ("  password: raft-secret\n", ""))
        r.ctl = lambda *args, **how: operators(r, *args, **how)  # every other host of the test is a stranger
    if r.voter.agent_pid() is None:
        r.voter.start_agent()
    yield from borrowed(r, request)


def test_switchover_to_it_and_back(group):
    node = client_of(group)
    lead(group, group.nodes["node1"])
    assert metric(group, node, "pgquorum_raft_client_connected") == 1
    for candidate in (node, group.nodes["node1"]):
        with faults.Load(group) as load:
            group.ctl("switchover", "--leader", group.leader().name, "--candidate", candidate.name, "--force")
            load.wait_writable(30)
        assert group.leader() is candidate
        faults.verify(group, load, may_lose=False)


def test_it_leads_and_its_member_is_gone(group):
    """A handshake more, and the lease is kept."""
    node = client_of(group)
    lead(group, node)
    member, postmaster = member_of(group), node.postmaster_pid()
    with faults.Load(group) as load:
        member.kill_node()
        wait_for("it has gone to another one", lambda: member_of(group) is not member, 20)
        assert group.leader() is node and node.postmaster_pid() == postmaster
        load.wait_writable(10)
        member.start_agent()
    assert load.gaps()["direct"] < 1, load.gaps()
    faults.verify(group, load, may_lose=False)


def test_certificates_are_rotated_while_it_leads(group):
    """Authority and all, and afterwards its connections are made anew with them."""
    node, old, new = client_of(group), group.authority, Authority(group.home, "next")
    lead(group, node)
    agent, postmaster = node.agent_pid(), node.postmaster_pid()
    with faults.Load(group) as load:
        believe(group, old, new)
        read_again(group)
        for one in everybody(group):
            sign(group, new, one)
        follow(group, new)
        read_again(group)
        believe(group, new)
        read_again(group)
        member = member_of(group)
        member.kill_agent()
        wait_for("it has gone to another one", lambda: member_of(group) is not member, 20)
        member.start_agent()
        assert group.leader() is node
        load.wait_writable(10)
    assert load.gaps()["direct"] < 1, load.gaps()
    faults.verify(group, load, may_lose=False)
    assert (node.agent_pid(), node.postmaster_pid()) == (agent, postmaster)
    assert "stay in use" not in node.log_text()


@pytest.mark.parametrize("who, words", [("stranger", "is not signed by an authority of"), ("node9", "does not have the name of 'node3'")])
def test_one_whose_certificate_is_not_its_own_is_let_in_when_it_has_its_own(group, who, words):
    """Of another authority, or with another one's name."""
    node = client_of(group)
    lead(group, group.nodes["node1"])
    logs = {one.name: len(one.log_text()) for one in everybody(group)}
    if who == "stranger":
        stranger = Authority(group.home, who)
        sign(group, stranger, node)
        put(group.authority.text() + stranger.text(), os.path.join(node.home, "raft-ca.crt"))  # it believes it itself, else it would not start
    else:
        sign(group, group.authority, node, name=who)
    try:
        node.kill_agent()
        wait_for("the agent has ended", lambda: node.agent_pid() is None, 10)
        node.start_agent()
        wait_for("it is told why", lambda: any(words in one.log_text()[logs[one.name]:] for one in everybody(group)), 20)
        assert metric(group, node, "pgquorum_raft_client_connected") == 0
        assert group.leader() is group.nodes["node1"]
    finally:
        sign(group, group.authority, node)
        believe(group, group.authority)
    wait_for("it is connected", lambda: metric(group, node, "pgquorum_raft_client_connected") == 1, 20)
    group.wait_healthy()


@pytest.mark.parametrize("name", ["node3", "node1"])
def test_it_is_exchanged_in_place(group, next_release, name):
    """As the leader, and as a standby: its lease and its connections are made by the new program, with the certificate that is there now."""
    node = client_of(group)
    lead(group, group.nodes[name])
    before = (node.agent_pid(), node.fence_pid(), node.postmaster_pid())
    build = os.path.abspath(os.environ.get("BUILD", "build/debug"))

    def install(directory):
        shutil.copy(os.path.join(directory, "pgquorum"), group.binary("pgquorum") + ".new")
        os.rename(group.binary("pgquorum") + ".new", group.binary("pgquorum"))

    install(next_release)
    try:
        sign(group, group.authority, node)
        with faults.Load(group) as load:
            told = group.ctl("reexec", "postgres", node.name, "--force").stdout
            load.wait_writable(30)
    finally:
        install(build)
    assert f"was executed anew, version {NEW} after" in told, told
    assert (node.agent_pid(), node.fence_pid(), node.postmaster_pid()) == before
    assert group.leader() is group.nodes[name]
    assert load.gaps()["direct"] < 1, load.gaps()
    faults.verify(group, load, may_lose=False)
    assert "was executed anew" in group.ctl("reexec", "postgres", node.name, "--force").stdout  # and back
    assert (node.agent_pid(), node.fence_pid(), node.postmaster_pid()) == before
