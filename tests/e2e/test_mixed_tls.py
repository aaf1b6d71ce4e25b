"""Real Patroni members and ours in one cluster whose REST interfaces speak TLS and ask for certificates and a password: the race, failsafe mode
and Patroni's own command all go over it."""
import re
import time

import pytest

import faults
from mixed import TIMES, TTL, leads, lists_agree, one_of
from rig import PATRONI, PATRONI_DEBIAN, wait_for
from test_rest_security import CTL, FILES, USER, ask, start

TLS = FILES + USER + "  verify_client: optional\n" + CTL + "  cacert: {home}/rest-ca.crt\n"
PROGRAMS = {"3": PATRONI_DEBIAN, "4": PATRONI}
PATRONI_LEADS_ON = "continue to run as a leader because failsafe mode is enabled and all members are accessible"
OURS_LEADS_ON = "primary in failsafe mode"
pytestmark = [pytest.mark.rest, pytest.mark.skipif(not PATRONI, reason="PATRONI names no Patroni: make e2e-rest does")]


@pytest.fixture(scope="module", params=list(PROGRAMS))
def release(request):
    return request.param


@pytest.fixture
def cluster(shared_rig, release, request):
    r = shared_rig(store="etcd3", patroni=("node1",), program=PROGRAMS[release], restapi=TLS, check="check-ssl verify none",
                   dcs="    failsafe_mode: true\n", **TIMES)
    if not hasattr(r, "authority"):
        start(r)
    r.wait_healthy(timeout=90)
    yield r
    if getattr(request.node, "failed", False):
        r.broken = True
        r.show()


def says(r, *args, **how):
    answer = r.patronictl(*args, **how)
    assert answer.returncode == 0 and "Traceback" not in answer.stderr, answer.stdout + answer.stderr
    return answer.stdout


def test_patronictl_changes_members_of_either_kind(cluster):
    wait_for("both lists say the same", lambda: lists_agree(cluster), 30, 0.5)
    password = "admin:top-secret"
    for node in cluster.nodes.values():
        assert f"https://{node.address}:8008/patroni" in ask(cluster, cluster.leader(), "GET", "/cluster")[1]
        assert ask(cluster, node, "POST", "/reload")[0] == 403, "it asks for a certificate"
        assert ask(cluster, node, "POST", "/reload", who=cluster.client)[0] == 401, "and for a password"
        assert ask(cluster, node, "POST", "/reload", who=cluster.client, user=password)[0] == 202
    for node in cluster.nodes.values():
        before = cluster.sql(node, "SELECT pg_postmaster_start_time()")
        assert f"Success: restart on member {node.name}" in says(cluster, "restart", "postgres", node.name, "--force")
        wait_for(f"{node.name} is back", lambda n=node, b=before: cluster.sql(n, "SELECT pg_postmaster_start_time()") != b, 30)
        cluster.wait_healthy()
        assert re.search(f"Reload request received for member {node.name}|No changes to apply on member {node.name}",
                         says(cluster, "reload", "postgres", node.name, "--force"))
    for node in cluster.replicas():
        assert f"Success: reinitialize for member {node.name}" in says(cluster, "reinit", "postgres", node.name, "--force")
        cluster.wait_healthy(timeout=90)
    assert "paused" in says(cluster, "pause", "--wait")
    assert "resumed" in says(cluster, "resume", "--wait")
    for named in (cluster.replicas()[0], cluster.nodes["node1"]):
        if named is not cluster.leader():
            args = ("switchover", "--leader", cluster.leader().name, "--candidate", named.name, "--force")
            assert f'Successfully switched over to "{named.name}"' in says(cluster, *args)
            cluster.wait_healthy()
    patroni = cluster.nodes["node1"]
    answer = cluster.ctl("restart", "postgres", patroni.name, "--force", timeout=90)
    assert f"Success: restart on member {patroni.name}" in answer.stdout, answer.stdout + answer.stderr
    cluster.wait_healthy()


@pytest.mark.parametrize("kind", ["Patroni", "ours"])
def test_lost_primary(cluster, kind):
    """Who is left asks the others over TLS, and is believed."""
    leads(cluster, one_of(cluster, kind))
    lengths = {name: len(node.log_text()) for name, node in cluster.nodes.items()}
    result = faults.node_lost(cluster)
    print(kind, "->", cluster.leader().name, result)
    assert result["direct"] < TTL + 15
    said = {name: node.log_text()[lengths[name]:] for name, node in cluster.nodes.items()}
    if kind == "ours":
        assert re.search(r"Got response from node[23] https://172\.20\.0\.1[12]:8008/patroni: \{", said["node1"]), said["node1"]


@pytest.mark.parametrize("kind", ["ours", "Patroni"])
def test_primary_outlives_its_etcd_by_the_word_of_the_others(cluster, kind):
    leads(cluster, one_of(cluster, kind))
    leader, node4 = cluster.leader(), cluster.etcd.members["node4"]
    words = PATRONI_LEADS_ON if kind == "Patroni" else OURS_LEADS_ON
    wait_for("everybody is in the key", lambda: all(f'"{n}"' in (cluster.etcd.get("failsafe") or "") for n in cluster.nodes), 30)
    seen = leader.log_text().count(words)
    with faults.Load(cluster) as load:
        node4.kill()
        wait_for("it lives by the others' word", lambda: leader.log_text().count(words) > seen, TTL + 30)
        time.sleep(TTL)  # its lease is over by now
        load.wait_writable(10)
        node4.start()
        load.wait_writable(30)
    assert cluster.leader() is leader
    result = faults.verify(cluster, load, may_lose=False)
    print(kind, result)
    assert result["direct"] < 3
    time.sleep(TTL)  # for so long those who gave their word leave the key to it, also when it is to be switched over
