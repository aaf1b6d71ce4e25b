"""A cluster whose Raft connections are mutual TLS, and whose etcd listeners ask for certificates: it lives as any other, and gets
new certificates while it runs."""
import os
import signal
import subprocess

import pytest

import faults
from certificates import Authority, put
from rig import wait_for

RAFT = "  certfile: {home}/raft.crt\n  keyfile: {home}/raft.key\n  cafile: {home}/raft-ca.crt\n"
ETCD_SERVER = "\netcd_server:\n  listen: '*:2379'\n" + RAFT + "  client_cert_auth: true\n"


def believe(rig, *authorities):
    for node in rig.nodes.values():
        put("".join(a.text() for a in authorities), os.path.join(node.home, "raft-ca.crt"))


def sign_all(rig, authority):
    for node in rig.nodes.values():
        authority.sign(node.name, os.path.join(node.home, "raft.key"), os.path.join(node.home, "raft.crt"), [node.address])


@pytest.fixture
def secured(make_rig):
    """Three healthy members with certificates of one authority, and HAProxy."""
    r = make_rig(raft=RAFT + ETCD_SERVER)
    r.authority = Authority(r.home, "authority")
    believe(r, r.authority)
    sign_all(r, r.authority)
    r.start_all()
    r.start_haproxy()
    r.wait_healthy()
    return r


def raft_status(rig, **changes):
    """`raft status` with node1's file, changed so."""
    node = rig.nodes["node1"]
    own, path = node.config, os.path.join(rig.home, "operator.yml")
    try:
        node.config = path
        rig.write_config(node, **changes)
        return rig.ctl("raft", "status", check=False)
    finally:
        node.config = own


def etcdctl(rig, version, *argv, who=None):
    """etcd's own client, from the host of the clients, with the certificate of `who`."""
    names = ("--cacert", "--cert", "--key") if version == 3 else ("--ca-file", "--cert-file", "--key-file")
    files = [rig.authority.certificate] + ([f"{who}.crt", f"{who}.key"] if who else [])
    endpoints = ",".join(f"https://{node.address}:2379" for node in rig.nodes.values())
    given = [word for pair in zip(names, files) for word in pair]
    return subprocess.run(["ip", "netns", "exec", rig.namespace("client"), "env", f"ETCDCTL_API={version}", "etcdctl", "--endpoints",
                           endpoints, *given, *argv], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL, check=False)


def test_members_operators_and_clients_over_tls(secured):
    faults.switchover(secured)
    answer = raft_status(secured)
    assert answer.returncode == 0 and "node3" in answer.stdout, answer.stdout + answer.stderr
    answer = raft_status(secured, raft="")
    assert answer.returncode != 0
    assert "raft.certfile is set here and not on the side that calls" in answer.stdout + answer.stderr
    stranger, leaf = Authority(secured.home, "stranger"), os.path.join(secured.home, "leaf-of")
    stranger.sign("node1", leaf + "-stranger.key", leaf + "-stranger.crt")
    answer = raft_status(secured, raft=f"  certfile: {leaf}-stranger.crt\n  keyfile: {leaf}-stranger.key\n  cafile: {stranger.certificate}\n")
    assert answer.returncode != 0
    assert "is not signed by an authority of" in answer.stdout + answer.stderr

    secured.authority.sign("a client", leaf + "-client.key", leaf + "-client.crt")
    put_it = etcdctl(secured, 3, "put", "/over", "tls", who=leaf + "-client")
    assert put_it.stdout == "OK\n", put_it.stderr
    assert etcdctl(secured, 2, "get", "--quorum", "/over", who=leaf + "-client").stdout == "tls\n"
    health = etcdctl(secured, 3, "endpoint", "health", who=leaf + "-client")
    assert (health.stdout + health.stderr).count("is healthy") == 3, health.stdout + health.stderr
    for who in (None, leaf + "-stranger"):
        assert etcdctl(secured, 3, "--command-timeout=2s", "get", "/over", who=who).returncode != 0
    assert secured.healthy()


def read_again(rig, counts):
    """Every agent has read its files again since `counts` were taken; one is asked, the others find out."""
    first = next(iter(rig.nodes.values()))
    first.kill_agent(signal.SIGHUP)
    for name, node in rig.nodes.items():
        wait_for(f"{name} reads its certificates again", lambda n=node, c=counts[name]: loads(n) > c, 20)


def loads(node):
    return node.log_text().count("raft: certificates were read again")


def test_certificates_are_rotated_while_it_runs(secured):
    """Authority and all: nobody is restarted, nobody loses the lease, and afterwards the old ones open nothing."""
    old, new = secured.authority, Authority(secured.home, "next")
    leader = secured.leader()
    agents = {name: node.agent_pid() for name, node in secured.nodes.items()}
    stale = os.path.join(secured.home, "stale")
    old.sign("node1", stale + ".key", stale + ".crt")
    with faults.Load(secured) as load:
        for step in (lambda: believe(secured, old, new), lambda: sign_all(secured, new), lambda: believe(secured, new)):
            counts = {name: loads(node) for name, node in secured.nodes.items()}
            step()
            read_again(secured, counts)
        assert secured.leader().name == leader.name
        load.wait_writable(10)
    gaps = faults.verify(secured, load, may_lose=False)
    assert gaps["direct"] < 1, gaps
    assert agents == {name: node.agent_pid() for name, node in secured.nodes.items()}
    for node in secured.nodes.values():
        assert "stay in use" not in node.log_text()
    answer = raft_status(secured, raft=f"  certfile: {stale}.crt\n  keyfile: {stale}.key\n  cafile: {old.certificate}\n")
    assert answer.returncode != 0, answer.stdout
    replica = secured.replicas()[0]  # connections anew, with the new ones
    replica.kill_agent()
    replica.start_agent()
    faults.switchover(secured)
