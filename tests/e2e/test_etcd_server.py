"""etcd's API of a live cluster, as its unmodified clients see it. What each call answers is compared elsewhere; here it is one cluster,
reached through each of its nodes, and its own keys are there for everybody and still its own."""
import json
import os
import signal
import subprocess
import threading
import time

import pytest

from rig import wait_for

SECTION = "etcd_server:\n  listen: '*:2379'\n"
BASE = "/db/postgres/"
WATCHED_S = 60


@pytest.fixture
def cluster(shared_rig, request):
    """Three healthy members that all serve etcd's API; those of the test before if there was one."""
    r = shared_rig(extra=SECTION)
    if r.nodes["node1"].init is None:
        r.start_all()
    r.wait_healthy()
    wait_for("all of them serve", lambda: all(is_healthy(r, node) and lists_all(r, node) for node in r.nodes.values()), 30)
    yield r
    if getattr(request.node, "failed", False):
        r.broken = True
        r.show()


def url(node):
    return f"http://{node.address}:2379"


def client(r, *argv, timeout=20, check=True, **env):
    return subprocess.run(["ip", "netns", "exec", r.namespace("client"), *argv], check=check, capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL, env=dict(os.environ, **env))


def ctl3(r, *args, nodes=None, check=True, timeout=20):
    urls = ",".join(url(node) for node in nodes or r.nodes.values())
    return client(r, "/usr/bin/etcdctl", "--endpoints", urls, *args, check=check, timeout=timeout, ETCDCTL_API="3")


def ctl2(r, *args, nodes=None, check=True, timeout=20):
    urls = ",".join(url(node) for node in nodes or r.nodes.values())
    return client(r, "/usr/bin/etcdctl", "--endpoints", urls, *args, check=check, timeout=timeout, ETCDCTL_API="2")


def curl(r, node, path, *args):
    return client(r, "curl", "-s", "-m", "10", *args, url(node) + path).stdout


def is_healthy(r, node):
    answer = client(r, "curl", "-s", "-m", "2", url(node) + "/health", check=False).stdout
    return answer.startswith('{"health":"true"')


def lists_all(r, node):
    """A member says where it serves once it is in; until then it is listed without an address, as a member of etcd that starts is."""
    listed = client(r, "curl", "-s", "-m", "2", url(node) + "/v2/members", check=False).stdout
    return all(url(n) in listed for n in r.nodes.values())


def get(r, key, node):
    return ctl3(r, "get", "--print-value-only", key, nodes=[node]).stdout.rstrip("\n")


def watching(r, *args, nodes):
    """It is ended after a while: who reads from it and is told nothing shall not wait for ever."""
    child = r.host_popen("client", ["/usr/bin/etcdctl", "--endpoints", ",".join(url(n) for n in nodes), *args], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, text=True, env=dict(os.environ, ETCDCTL_API="3"))
    end = threading.Timer(WATCHED_S, child.kill)
    end.daemon = True
    end.start()
    return child


def next_revision(r):
    """A watch from there on hears of what comes next, however late it is there."""
    return str(json.loads(ctl3(r, "get", "/", "-w", "json").stdout)["header"]["revision"] + 1)


def test_every_node_says_what_it_is(cluster):
    for node in cluster.nodes.values():
        assert json.loads(curl(cluster, node, "/version")) == {"etcdserver": "3.4.23", "etcdcluster": "3.4.0"}
        assert json.loads(curl(cluster, node, "/health")) == {"health": "true"}
        assert "etcd_server_has_leader 1" in curl(cluster, node, "/metrics")
        listed = json.loads(ctl3(cluster, "member", "list", "-w", "json", nodes=[node]).stdout)["members"]
        assert sorted(m["clientURLs"][0] for m in listed) == sorted(url(n) for n in cluster.nodes.values())


def test_what_one_node_is_given_the_others_have(cluster):
    nodes = list(cluster.nodes.values())
    for i, writer in enumerate(nodes):
        ctl3(cluster, "put", f"/smoke/{i}", f"from {writer.name}", nodes=[writer])
        for reader in nodes:
            assert get(cluster, f"/smoke/{i}", reader) == f"from {writer.name}"
    assert ctl3(cluster, "del", "--prefix", "/smoke/", nodes=nodes[:1]).stdout.strip() == "3"
    assert ctl3(cluster, "get", "--prefix", "/smoke/", nodes=nodes[2:]).stdout == ""


def test_a_watch_on_one_node_hears_of_writes_through_another(cluster):
    nodes = list(cluster.nodes.values())
    watch = watching(cluster, "watch", "--prefix", "/heard/", "--rev", next_revision(cluster), nodes=nodes[:1])
    for i in range(20):
        ctl3(cluster, "put", f"/heard/{i}", str(i), nodes=[nodes[1 + i % 2]])
    lines = [watch.stdout.readline().strip() for _ in range(60)]
    assert lines == [word for i in range(20) for word in ("PUT", f"/heard/{i}", str(i))]
    watch.kill()


def test_a_lease_lives_as_long_as_it_is_kept_alive_through_any_node(cluster):
    nodes = list(cluster.nodes.values())
    lease = ctl3(cluster, "lease", "grant", "5", nodes=nodes[:1]).stdout.split()[1]
    ctl3(cluster, "put", "/leased", "x", "--lease", lease, nodes=nodes[1:2])
    for _ in range(3):
        time.sleep(2)
        assert f"lease {lease} keepalived" in ctl3(cluster, "lease", "keep-alive", "--once", lease, nodes=nodes[2:]).stdout
    assert get(cluster, "/leased", nodes[0]) == "x"
    wait_for("it has expired", lambda: get(cluster, "/leased", nodes[1]) == "", 10)


def test_v2_and_v3_are_one_keyspace(cluster):
    nodes = list(cluster.nodes.values())
    ctl2(cluster, "set", "/both/a", "by v2", nodes=nodes[:1])
    assert get(cluster, "/both/a", nodes[1]) == "by v2"
    ctl3(cluster, "put", "/both/b", "by v3", nodes=nodes[2:])
    assert ctl2(cluster, "get", "/both/b", nodes=nodes[:1]).stdout.strip() == "by v3"
    assert sorted(ctl2(cluster, "ls", "/both").stdout.split()) == ["/both/a", "/both/b"]
    ctl2(cluster, "rm", "--recursive", "/both")
    assert get(cluster, "/both/a", nodes[2]) == ""


def test_etcdctl_has_its_commands(cluster):
    """Those of v3 and v2 that no other test here uses."""
    urls = sorted(url(node) for node in cluster.nodes.values())
    status = [row["Status"] for row in json.loads(ctl3(cluster, "endpoint", "status", "-w", "json").stdout)]
    assert len({s["leader"] for s in status}) == 1 and status[0]["leader"] in [s["header"]["member_id"] for s in status]
    health = ctl3(cluster, "endpoint", "health", "--cluster")
    assert sorted(line.split()[0] for line in (health.stdout + health.stderr).splitlines()) == urls
    assert ctl3(cluster, "alarm", "list").stdout == ""
    ctl3(cluster, "put", "/cmd/a", "1")
    revision = json.loads(ctl3(cluster, "put", "/cmd/a", "2", "-w", "json").stdout)["header"]["revision"]
    assert ctl3(cluster, "get", "--print-value-only", "--rev", str(revision - 1), "/cmd/a").stdout.strip() == "1"
    assert "compacted revision" in ctl3(cluster, "compact", str(revision)).stdout
    late = ctl3(cluster, "get", "--rev", str(revision - 1), "/cmd/a", check=False)
    assert late.returncode != 0 and "required revision has been compacted" in late.stderr
    locked = ctl3(cluster, "lock", "/cmd/lock", "/bin/echo", "inside").stdout
    assert locked.strip() == "inside"
    elected = watching(cluster, "elect", "/cmd/elect", "me", nodes=[cluster.nodes["node1"]])
    assert elected.stdout.readline().startswith("/cmd/elect/") and elected.stdout.readline().strip() == "me"
    seen = watching(cluster, "elect", "-l", "/cmd/elect", nodes=[cluster.nodes["node2"]])
    assert seen.stdout.readline().startswith("/cmd/elect/") and seen.stdout.readline().strip() == "me"
    elected.kill()
    seen.kill()
    ctl3(cluster, "del", "--prefix", "/cmd/")
    listed = ctl2(cluster, "member", "list").stdout
    assert listed.count("isLeader=true") == 1 and all(u in listed for u in urls)
    assert "cluster is healthy" in ctl2(cluster, "cluster-health").stdout
    ctl2(cluster, "mk", "/cmd2/a", "1")
    assert ctl2(cluster, "mk", "/cmd2/a", "1", check=False).returncode == 4
    ctl2(cluster, "update", "/cmd2/a", "2")
    ctl2(cluster, "mkdir", "/cmd2/d")
    assert ctl2(cluster, "ls", "--recursive", "--sort", "/cmd2").stdout.split() == ["/cmd2/a", "/cmd2/d"]
    ctl2(cluster, "rmdir", "/cmd2/d")
    ctl2(cluster, "set", "--ttl", "2", "/cmd2/a", "3")
    wait_for("it has expired", lambda: ctl2(cluster, "get", "/cmd2/a", check=False).returncode == 4, 6)
    ctl2(cluster, "rm", "--recursive", "/cmd2", check=False)


def test_the_clusters_own_keys_are_there_on_all_faces(cluster):
    leader = cluster.leader()
    for node in cluster.nodes.values():
        assert get(cluster, BASE + "leader", node) == leader.name
        assert ctl2(cluster, "get", BASE + "leader", nodes=[node]).stdout.strip() == leader.name
        assert sorted(ctl2(cluster, "ls", BASE + "members", nodes=[node]).stdout.split()) == [BASE + "members/" + name for name in cluster.nodes]
        assert json.loads(get(cluster, BASE + "config", node))["ttl"] == 3


def leader_key(r):
    return json.loads(ctl3(r, "get", BASE + "leader", "-w", "json").stdout)["kvs"][0]


def test_nobody_else_touches_the_leader_key(cluster):
    before = leader_key(cluster)
    lease = f"{before['lease'] & (2 ** 64 - 1):x}"
    attempts = [
        (ctl3, ("del", BASE + "leader")), (ctl3, ("put", BASE + "leader", "me")), (ctl3, ("del", "--prefix", BASE)), (ctl3, ("del", "--prefix", "")),
        (ctl3, ("lease", "revoke", lease)), (ctl3, ("lease", "keep-alive", "--once", lease)), (ctl3, ("put", "--lease", lease, "/mine", "x")),
        (ctl2, ("rm", BASE + "leader")), (ctl2, ("set", BASE + "leader", "me")), (ctl2, ("rm", "--recursive", BASE)), (ctl2, ("update", BASE + "leader", "me")),
        (ctl2, ("set", "--swap-with-value", cluster.leader().name, BASE + "leader", "me")), (ctl2, ("rmdir", BASE)),
    ]
    taken = []
    for ctl, args in attempts:
        answer = ctl(cluster, *args, check=False)
        if answer.returncode == 0:
            taken.append((ctl.__name__, args, answer.stdout))
    assert not taken
    after = leader_key(cluster)
    assert (after["create_revision"], after["mod_revision"], after["lease"]) == (before["create_revision"], before["mod_revision"], before["lease"])
    assert cluster.healthy()


def config(r):
    return json.loads(ctl3(r, "get", BASE + "config", "-w", "json").stdout)["kvs"][0]


def in_force(r, node):
    return json.loads(client(r, "curl", "-s", "-m", "5", f"http://{node.address}:8008/config").stdout or "{}")


def test_a_value_that_does_not_parse_is_reported_and_not_obeyed(cluster):
    good = get(cluster, BASE + "config", cluster.nodes["node1"])
    before = leader_key(cluster)
    for nonsense in ("{", '{"citus": {"group": 1}}', '{"standby_cluster": {"port": 0}}', "[1]"):
        marks = {node.name: len(node.log_text()) for node in cluster.nodes.values()}
        ctl3(cluster, "put", BASE + "config", "--", nonsense)
        for node in cluster.nodes.values():
            wait_for(f"{node.name} reports it", lambda n=node: "key config in the store: " in n.log_text()[marks[n.name]:], 5)
    time.sleep(4)  # longer than the ttl
    assert cluster.healthy() and leader_key(cluster)["create_revision"] == before["create_revision"]
    ctl3(cluster, "put", BASE + "config", good)
    foreign = {"failover": "}", "status": "?", "history": "?", "members/node9": "?", "reports/node9": "?", "sync": "?"}
    for key, value in foreign.items():
        ctl3(cluster, "put", BASE + key, value)
    for node in cluster.nodes.values():
        for key in foreign:
            wait_for(f"{node.name} reports {key}", lambda n=node, k=key: f"key {k} in the store: " in n.log_text(), 5)
    time.sleep(4)
    assert cluster.healthy() and leader_key(cluster)["create_revision"] == before["create_revision"]
    for key in ("failover", "members/node9", "reports/node9", "sync"):
        ctl3(cluster, "del", BASE + key)
    cluster.wait_healthy()


def test_a_configuration_written_by_compare_and_set_is_obeyed(cluster):
    now = config(cluster)
    value = json.loads(get(cluster, BASE + "config", cluster.nodes["node1"]))

    def swap(revision, ttl):
        text = json.dumps(dict(value, ttl=ttl))
        quoted = text.replace('"', '\\"')
        lines = f'mod("{BASE}config") = "{revision}"\n\nput {BASE}config "{quoted}"\n\n\n'
        return subprocess.run(["ip", "netns", "exec", cluster.namespace("client"), "/usr/bin/etcdctl", "--endpoints", url(cluster.nodes["node2"]), "txn"],
                              input=lines, check=True, capture_output=True, text=True, timeout=20, env=dict(os.environ, ETCDCTL_API="3")).stdout

    assert swap(now["mod_revision"] - 1, 7).startswith("FAILURE")
    assert in_force(cluster, cluster.leader())["ttl"] == 3
    assert swap(now["mod_revision"], 6).startswith("SUCCESS")
    for node in cluster.nodes.values():
        wait_for("it is in force", lambda n=node: in_force(cluster, n).get("ttl") == 6, 5)
    text = get(cluster, BASE + "config", cluster.nodes["node3"])
    ctl2(cluster, "set", "--swap-with-value", text, BASE + "config", json.dumps(value))
    for node in cluster.nodes.values():
        wait_for("the old one is in force", lambda n=node: in_force(cluster, n).get("ttl") == 3, 5)
    cluster.wait_healthy()


def test_the_loss_of_the_raft_leaders_node_is_short(cluster):
    leader = cluster.nodes[wait_for("somebody leads the group", cluster.raft_leader, 20)]
    rest = [node for node in cluster.nodes.values() if node is not leader]
    ctl3(cluster, "put", "/before", "1", nodes=rest[:1])
    began = time.monotonic()
    leader.kill_node()
    for node in rest:
        wait_for("writes go on", lambda n=node: ctl3(cluster, "put", "/after", n.name, nodes=[n], check=False).returncode == 0, 10)
    assert time.monotonic() - began < 6
    assert get(cluster, "/before", rest[1]) == "1"
    urls = ctl3(cluster, "put", "/again", "1")  # told of all three, one of which is dead
    assert urls.stdout.strip() == "OK"
    leader.start_agent()
    cluster.wait_healthy(timeout=90)
    wait_for("it serves again", lambda: is_healthy(cluster, leader), 20)
    assert get(cluster, "/after", leader) == rest[1].name


def test_a_stop_sends_clients_elsewhere(cluster):
    leader = cluster.leader()
    node = next(n for n in cluster.nodes.values() if n is not leader)
    start = next_revision(cluster)
    watch = watching(cluster, "watch", "/moved", "--rev", start, nodes=[node])
    both = watching(cluster, "watch", "/moved", "--rev", start, nodes=[node, leader])
    time.sleep(1)  # both are there by then; the second one hears of it all the same
    os.kill(node.agent_pid(), signal.SIGTERM)
    wait_for("it has ended", lambda: node.agent_pid() is None, 20)
    assert "left open" not in node.log_text() and "in time" not in node.log_text()
    ctl3(cluster, "put", "/moved", "on", nodes=[leader])
    assert [both.stdout.readline().strip() for _ in range(3)] == ["PUT", "/moved", "on"]
    watch.kill()
    both.kill()
    node.start_agent()
    cluster.wait_healthy(timeout=60)


def test_users_are_asked_for(make_rig):
    r = make_rig(witnesses=("node1", "node2", "node3"), extra=SECTION + "  authentication: {username: patroni, password: s3cret}\n")
    r.start_all()
    nodes = list(r.nodes.values())
    wait_for("all of them serve", lambda: all(is_healthy(r, node) for node in nodes), 30)
    refused = ctl3(r, "get", "/x", check=False)
    assert refused.returncode != 0 and "user name is empty" in refused.stderr
    assert ctl3(r, "--user", "patroni:wrong", "get", "/x", check=False).returncode != 0
    assert ctl3(r, "--user", "patroni:s3cret", "put", "/x", "1").stdout.strip() == "OK"
    assert ctl3(r, "--user", "patroni:s3cret", "get", "--print-value-only", "/x", nodes=nodes[1:2]).stdout.strip() == "1"
    assert json.loads(curl(r, nodes[0], "/v2/keys/x"))["errorCode"] == 110
    assert json.loads(curl(r, nodes[0], "/v2/keys/x", "-u", "patroni:s3cret"))["node"]["value"] == "1"
    token = json.loads(curl(r, nodes[0], "/v3/auth/authenticate", "-d", '{"name":"patroni","password":"s3cret"}'))["token"]
    asked = curl(r, nodes[2], "/v3/kv/range", "-H", f"Authorization: {token}", "-d", '{"key":"L3g="}')  # good on another node
    assert json.loads(asked)["count"] == "1"


def test_witnesses_alone_are_a_store(make_rig):
    r = make_rig(witnesses=("node1", "node2", "node3"), extra=SECTION)
    r.start_all()
    nodes = list(r.nodes.values())
    wait_for("all of them serve", lambda: all(is_healthy(r, node) for node in nodes), 30)
    ctl3(r, "put", "/a", "1")
    nodes[0].kill_node()
    wait_for("the other two go on", lambda: ctl3(r, "put", "/a", "2", nodes=nodes[1:], check=False).returncode == 0, 15)
    assert get(r, "/a", nodes[2]) == "2"


def test_a_node_that_serves_no_more_is_not_named(make_rig):
    r = make_rig(witnesses=("node1", "node2", "node3"), extra=SECTION)
    r.start_all()
    first, *others = r.nodes.values()
    wait_for("all of them serve", lambda: all(is_healthy(r, node) for node in r.nodes.values()), 30)

    def named():
        listed = json.loads(curl(r, others[0], "/v2/members"))["members"]
        return sorted(member_url for member in listed for member_url in member["clientURLs"])

    wait_for("each is named", lambda: named() == sorted(url(node) for node in r.nodes.values()), 10)
    first.kill_node()
    assert url(first) in named()  # it may come back
    r.write_config(first, extra="")
    first.start_agent()
    wait_for("it is not named any more", lambda: named() == sorted(url(node) for node in others), 20)
