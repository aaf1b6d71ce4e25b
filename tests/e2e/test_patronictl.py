"""Debian's own `patronictl` on a cluster that has no Patroni: it reads the keys through our listener, and asks our members by REST. What each
verb says, and what it does (docs/rest-api.md)."""
import datetime
import json
import os
import re
import subprocess

import pytest

from rest import SCOPE, document
from rig import ADDRESS, HERE, NODES, PYTHON, wait_for

SECTION = "etcd_server:\n  listen: '*:2379'\n"
TIMES = {"ttl": 20, "loop_wait": 1, "retry_timeout": 5}  # nobody is lost here, so the lease may be a long one
FILE = "scope: postgres\nnamespace: /db/\n{api}:\n  hosts: {hosts}\n"


@pytest.fixture
def cluster(shared_rig, request):
    """Three healthy members that all serve etcd's API; those of the test before if there was one."""
    r = shared_rig(extra=SECTION, **TIMES)
    for api in ("etcd3", "etcd"):
        with open(file_for(r, api), "w") as f:
            f.write(FILE.format(api=api, hosts=",".join(ADDRESS[name] + ":2379" for name in NODES)))
    if r.nodes["node1"].init is None:
        r.start_all()
        r.loaded = r.host_popen("client", [PYTHON, "-P", os.path.join(HERE, "patronictl_loaded.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    r.wait_healthy(timeout=120)
    wait_for("the leader knows who streams from it", lambda: len(document(r, r.leader()).get("replication", [])) == 2, 30)
    r.keys().wait_served(30)
    yield r
    if getattr(request.node, "failed", False):
        r.broken = True
        r.show()


def file_for(r, api):
    return os.path.join(r.home, f"patronictl-{api}.yml")


def asked(r, *args, api="etcd3", stdin="", **env):
    child = r.loaded
    child.stdin.write(json.dumps({"args": ["-c", file_for(r, api), *args], "stdin": stdin, "env": env}) + "\n")
    child.stdin.flush()
    answer = subprocess.CompletedProcess(args, *json.loads(child.stdout.readline()))
    print("patronictl", *args, "->", answer.returncode, answer.stdout, answer.stderr[-500:])
    return answer


def says(r, *args, **how):
    """What it prints, of an order that it is content with."""
    answer = asked(r, *args, **how)
    assert answer.returncode == 0 and "Traceback" not in answer.stderr, answer.stderr
    return answer.stdout


def refuses(r, text, *args, **how):
    """An error of patronictl itself: nothing was asked for."""
    answer = asked(r, *args, **how)
    assert answer.returncode == 1 and text in answer.stderr, (answer.returncode, answer.stdout, answer.stderr)


def listed(r, *args):
    return {row["Member"]: row for row in json.loads(says(r, "list", "-f", "json", *args))}


def config(r):
    return json.loads(r.http(r.leader().rest_address, "/config")[1])


def started(r, node):
    return r.sql(node, "SELECT pg_postmaster_start_time()")


def starts(r):
    return {node.name: started(r, node) for node in r.nodes.values()}


def restarted(r, before):
    """Names of those whose PostgreSQL is another one than before."""
    return sorted(name for name, now in starts(r).items() if now != before[name])


def at(seconds):
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return when.replace(microsecond=0)


def names(nodes):
    return sorted(node.name for node in nodes)


def test_an_operators_day(cluster):
    """One of each kind: what reads, what asks a member, what writes the store, what moves the primary."""
    old, named = cluster.leader(), cluster.replicas()[0]
    rows = listed(cluster)
    assert {name: row["Role"] for name, row in rows.items()} == {n: "Leader" if n == old.name else "Replica" for n in NODES}
    before = starts(cluster)
    assert f"Success: restart on member {named.name}\n" in says(cluster, "restart", SCOPE, named.name, "--force")
    assert restarted(cluster, before) == [named.name]
    text = says(cluster, "edit-config", "-p", "work_mem=7MB", "--force")
    assert "\n+    work_mem: 7MB\n" in text and text.endswith("Configuration changed\n")
    wait_for("it is in force", lambda: all(cluster.sql(n, "SHOW work_mem") == "7MB" for n in cluster.nodes.values()), 20)
    assert says(cluster, "pause", "--wait").endswith("Success: cluster management is paused\n")
    assert says(cluster, "resume", "--wait").endswith("Success: cluster management is resumed\n")
    cluster.wait_healthy()
    text = says(cluster, "switchover", "--leader", old.name, "--candidate", named.name, "--force")
    assert f'Successfully switched over to "{named.name}"' in text
    cluster.wait_healthy()
    assert cluster.leader() is named


@pytest.mark.rest
@pytest.mark.parametrize("api", ["etcd3", "etcd"])
def test_what_only_reads(cluster, api):
    leader = cluster.leader()
    pretty = says(cluster, "list", "-e", api=api)
    assert pretty.startswith("+ Cluster: postgres ")
    for column in ("Member", "Host", "Role", "State", "TL", "Lag in MB", "Pending restart", "Scheduled restart", "Tags"):
        assert f"| {column} " in pretty, column
    rows = listed(cluster, "-e")
    for name, row in rows.items():
        assert (row["Cluster"], row["Host"], row["State"]) == ("postgres", ADDRESS[name], "running"), row
        assert row.get("Lag in MB", 0) == 0, row
    assert len({row["TL"] for row in rows.values()}) == 1
    tree = says(cluster, "topology", api=api)
    members = re.findall(r"^\| (\+? ?node\d) ", tree, re.M)
    assert members == [leader.name] + ["+ " + name for name in NODES if name != leader.name], tree
    assert says(cluster, "dsn", api=api) == f"host={leader.address} port=5432\n"
    replicas = {f"host={n.address} port=5432\n" for n in cluster.replicas()}
    assert says(cluster, "dsn", "-r", "replica", api=api) in replicas
    versions = says(cluster, "version", SCOPE, api=api).splitlines()
    ours, server = document(cluster, leader)["patroni"]["version"], cluster.sql(leader, "SHOW server_version").split()[0]
    assert sorted(versions[2:]) == [f"{name}: Patroni {ours} PostgreSQL {server}" for name in NODES], versions
    history = json.loads(says(cluster, "history", "-f", "json", api=api))
    assert [list(row.values())[:3] for row in history] == [line[:3] for line in json.loads(cluster.http(leader.rest_address, "/history")[1])]
    shown = says(cluster, "show-config", api=api)
    assert "\nttl: 20\n" in shown and "loop_wait: 1\n" in shown, shown


@pytest.mark.rest
def test_restart_by_role_version_and_time_limit(cluster):
    leader, before = cluster.leader(), starts(cluster)
    text = says(cluster, "restart", SCOPE, "-r", "replica", "--force", "--timeout", "60")
    assert all(f"Success: restart on member {n.name}\n" in text for n in cluster.replicas()), text
    assert restarted(cluster, before) == names(cluster.replicas())
    cluster.wait_healthy()
    before = starts(cluster)
    text = says(cluster, "restart", SCOPE, "--force", "--pg-version", "9.6.1")
    for name in NODES:
        assert f"Failed: restart for member {name}, status code=503, (restart conditions are not satisfied" in text, text
    text = says(cluster, "restart", SCOPE, leader.name, "--force", "--timeout", "soon")
    assert f"Failed: restart for member {leader.name}, status code=400, (" in text, text
    text = says(cluster, "restart", SCOPE, "--force", "--pending")
    assert text.count("status code=503, (restart conditions are not satisfied") == 3, text
    assert restarted(cluster, before) == []
    text = says(cluster, "restart", SCOPE, leader.name, stdin="now\ny\n99.1\n")
    assert f"Success: restart on member {leader.name}\n" in text and restarted(cluster, before) == [leader.name]
    cluster.wait_healthy()
    assert cluster.leader() is leader
    before = starts(cluster)
    assert says(cluster, "restart", SCOPE, "-r", "replica", "--any", "--force").count("Success: restart on member ") == 1
    assert len(restarted(cluster, before)) == 1


@pytest.mark.rest
def test_restart_of_those_that_wait_for_it(cluster):
    old = cluster.sql(cluster.leader(), "SHOW max_connections")
    try:
        says(cluster, "edit-config", "-p", f"max_connections={int(old) + 20}", "--force")
        wait_for("all wait", lambda: all(row.get("Pending restart") == "*" for row in listed(cluster).values()), 30, 0.5)
        for role, count in (("replica", 2), ("leader", 1)):
            text = says(cluster, "restart", SCOPE, "-r", role, "--pending", "--force")
            assert text.count("Success: restart on member ") == count, text
            cluster.wait_healthy()
        assert all(cluster.sql(n, "SHOW max_connections") == str(int(old) + 20) for n in cluster.nodes.values())
        wait_for("nobody waits", lambda: not any("Pending restart" in row for row in listed(cluster).values()), 30, 0.5)
    finally:
        cluster.ctl("edit-config", "-s", "postgresql.parameters.max_connections=null", "--force")
        leader = cluster.leader()
        cluster.ctl("restart", SCOPE, leader.name, "--force", timeout=120)
        cluster.wait_healthy()
        cluster.ctl("restart", SCOPE, *names(cluster.replicas()), "--force", timeout=120)
        cluster.wait_healthy()


@pytest.mark.rest
def test_restart_at_a_time_and_flush_of_it(cluster):
    node, other = cluster.replicas()
    before, far = starts(cluster), at(3600)
    text = says(cluster, "restart", SCOPE, node.name, "--force", "--scheduled", far.isoformat(), "--pg-version", "99.1")
    assert f"Success: restart scheduled on member {node.name}\n" in text
    wait_for("it is in the list", lambda: listed(cluster)[node.name].get("Scheduled restart") == f"{far.isoformat()} if version < 99.1", 10, 0.5)
    text = says(cluster, "restart", SCOPE, node.name, "--scheduled", far.isoformat(), stdin="y\n\n")
    assert f"Failed: another restart is already scheduled on member {node.name}\n" in text
    later = at(7200)
    text = says(cluster, "restart", SCOPE, node.name, "--force", "--scheduled", later.isoformat())
    assert f"Success: restart scheduled on member {node.name}\n" in text, "with --force it takes the place of the other"
    wait_for("the other is in the list", lambda: listed(cluster)[node.name].get("Scheduled restart") == later.isoformat(), 10, 0.5)
    text = says(cluster, "restart", SCOPE, other.name, "--force", "--scheduled", at(-60).isoformat())
    assert f"Failed: restart for member {other.name}, status code=422, (" in text, text
    text = says(cluster, "flush", SCOPE, "restart", "--force")
    assert f"Success: flush scheduled restart for member {node.name}\n" in text
    assert f"No scheduled restart for member {other.name}\n" in text
    wait_for("it is in the list no more", lambda: "Scheduled restart" not in listed(cluster)[node.name], 10, 0.5)
    assert restarted(cluster, before) == []
    when = at(5)
    assert "Success: restart scheduled" in says(cluster, "restart", SCOPE, node.name, "--force", "--scheduled", when.isoformat())
    wait_for("it was restarted", lambda: restarted_now(cluster, node, before), 30)
    assert datetime.datetime.now(datetime.timezone.utc) >= when
    cluster.wait_healthy()
    assert restarted(cluster, before) == [node.name]


def restarted_now(r, node, before):
    try:
        return started(r, node) != before[node.name]
    except subprocess.SubprocessError:
        return False


@pytest.mark.rest
def test_reload(cluster):
    """A member's own file is read again; the others are not asked."""
    node = cluster.replicas()[0]
    with open(node.config) as f:
        text = f.read()
    try:
        with open(node.config, "w") as f:
            f.write(text.replace("  parameters:\n", "  parameters:\n    log_min_duration_statement: 4321\n").replace("noloadbalance: false", "noloadbalance: true"))
        said = says(cluster, "reload", SCOPE, node.name, stdin="y\n")
        assert said.endswith(f"Reload request received for member {node.name} and will be processed within 1 seconds\n"), said
        wait_for("the parameter", lambda: cluster.sql(node, "SHOW log_min_duration_statement") == "4321ms", 20)
        wait_for("the tag", lambda: listed(cluster)[node.name].get("Tags") == {"noloadbalance": True}, 20, 0.5)
    finally:
        with open(node.config, "w") as f:
            f.write(text)
        said = says(cluster, "reload", SCOPE, "--force")
    assert said.count("Reload request received for member ") == 3, said
    wait_for("as it was", lambda: cluster.sql(node, "SHOW log_min_duration_statement") == "-1" and "Tags" not in listed(cluster)[node.name], 20, 0.5)


@pytest.mark.rest
def test_reinit(cluster):
    leader, node = cluster.leader(), cluster.replicas()[0]
    marker = os.path.join(node.data_dir, "of_before")
    with open(marker, "w") as f:
        f.write("x")
    refuses(cluster, "No replica among provided members", "reinit", SCOPE, leader.name, "--force")
    said = says(cluster, "reinit", SCOPE, node.name, "--wait", stdin="y\n")
    assert f"Success: reinitialize for member {node.name}\n" in said
    assert f"Waiting for reinitialize to complete on: {node.name}\nReinitialize is completed on: {node.name}\n" in said
    assert not os.path.exists(marker), "it was told to be complete before it had begun"
    cluster.wait_streaming(node)
    assert cluster.leader() is leader


@pytest.mark.rest
@pytest.mark.parametrize("api", ["etcd3", "etcd"])
def test_config_is_edited(cluster, api):
    before = config(cluster)
    text = says(cluster, "edit-config", "-s", "maximum_lag_on_failover=2097152", "-p", "log_lock_waits=on", "--force", api=api)
    assert "-maximum_lag_on_failover: 1048576\n+maximum_lag_on_failover: 2097152\n" in text and text.endswith("Configuration changed\n")
    assert config(cluster)["maximum_lag_on_failover"] == 2097152 and config(cluster)["postgresql"]["parameters"]["log_lock_waits"] is True
    wait_for("in force", lambda: all(cluster.sql(n, "SHOW log_lock_waits") == "on" for n in cluster.nodes.values()), 20)
    patch = "postgresql:\n  parameters:\n    log_lock_waits: null\n"
    assert says(cluster, "edit-config", "-q", "--apply", "-", "--force", stdin=patch, api=api) == "Configuration changed\n"
    wait_for("out of force", lambda: all(cluster.sql(n, "SHOW log_lock_waits") == "off" for n in cluster.nodes.values()), 20)
    editor = os.path.join(cluster.home, "editor")
    script(editor, "sed -i s/^ttl:.*/ttl:\\ 24/ $1")
    assert says(cluster, "edit-config", "--force", api=api, EDITOR=editor).endswith("Configuration changed\n")
    assert config(cluster)["ttl"] == 24 and "\nttl: 24\n" in says(cluster, "show-config", api=api)
    path = os.path.join(cluster.home, "config.json")
    with open(path, "w") as f:
        json.dump(before, f)
    assert says(cluster, "edit-config", "--replace", path, "--force", api=api).endswith("Configuration changed\n")
    assert config(cluster) == before


@pytest.mark.rest
@pytest.mark.parametrize("api", ["etcd3", "etcd"])
def test_config_is_edited_by_two_at_once(cluster, api):
    """The second to write is told, and what the first wrote stays."""
    editor = os.path.join(cluster.home, "editor")
    script(editor, f"{cluster.binary('pgquorum')} -c {cluster.nodes['node1'].config} edit-config -q -s maximum_lag_on_failover=3145728 --force </dev/null\n"
                   "sed -i s/^ttl:.*/ttl:\\ 24/ $1")
    try:
        refuses(cluster, "Config modification aborted due to concurrent changes", "edit-config", "--force", api=api, EDITOR=editor)
        assert (config(cluster)["ttl"], config(cluster)["maximum_lag_on_failover"]) == (20, 3145728)
    finally:
        says(cluster, "edit-config", "-s", "maximum_lag_on_failover=1048576", "--force", api=api)


@pytest.mark.rest
def test_config_that_is_wrong_is_stored_and_does_no_harm(cluster):
    """patronictl writes past the members, so nobody refuses; each member says what it made of it."""
    nodes, was = cluster.nodes.values(), cluster.sql(cluster.leader(), "SHOW work_mem")
    says(cluster, "edit-config", "-s", "maximum_lag_on_failover=much", "-p", "work_mem=lots", "--force")
    try:
        wait_for("all of them say so", lambda: all("work_mem" in document(cluster, n).get("configuration_error", "") for n in nodes), 30)
        assert all('key config in the store: maximum_lag_on_failover is "much", taken as 1048576 (the default)' in n.log_text() for n in nodes)
        assert all(cluster.sql(n, "SHOW work_mem") == was for n in nodes) and cluster.healthy()
    finally:
        says(cluster, "edit-config", "-s", "maximum_lag_on_failover=1048576", "-s", "postgresql.parameters.work_mem=null", "--force")
    wait_for("nothing is wrong any more", lambda: not any("configuration_error" in document(cluster, n) for n in nodes), 30)


def script(path, text):
    with open(path, "w") as f:
        f.write(f"#!/bin/sh -e\n{text}\n")
    os.chmod(path, 0o755)


@pytest.mark.rest
def test_pause(cluster):
    leader = cluster.leader()
    refuses(cluster, "Cluster is not paused", "resume")
    said = says(cluster, "pause", "--wait")
    assert said == "'pause' request sent, waiting until it is recognized by all nodes\nSuccess: cluster management is paused\n", said
    try:
        wait_for("all of them say so", lambda: all(document(cluster, n).get("pause") is True for n in cluster.nodes.values()), 20)
        refuses(cluster, "Cluster is already paused", "pause")
        assert says(cluster, "list").endswith("\n Maintenance mode: on\n")
        refuses(cluster, "Can't schedule switchover in the paused state", "switchover", "--scheduled", at(60).isoformat(), "--force")
        refuses(cluster, "Can't schedule restart in the paused state", "restart", SCOPE, "--scheduled", at(60).isoformat(), "--force")
        said = says(cluster, "switchover", "--force")
        assert "Switchover failed, details: 400, Switchover is possible only to a specific candidate in a paused state" in said, said
        leader.kill_postmaster()
        wait_for("nobody takes over", lambda: cluster.http_status(leader.rest_address, "/primary") == 503, 20)
        assert cluster.leader() is leader
    finally:
        said = says(cluster, "resume", "--wait")
    assert said == "'resume' request sent, waiting until it is recognized by all nodes\nSuccess: cluster management is resumed\n", said
    wait_for("none of them says so", lambda: not any("pause" in document(cluster, n) for n in cluster.nodes.values()), 20)
    cluster.wait_healthy()


def leads(r, old, named):
    r.wait_healthy()
    assert r.leader() is named
    r.wait_streaming(old)


@pytest.mark.rest
def test_switchover_asked_for_in_words(cluster):
    old, named = cluster.leader(), cluster.replicas()[1]
    others = names(cluster.replicas())
    said = says(cluster, "switchover", stdin=f"\n{named.name}\n\ny\n")
    assert f"Primary [{old.name}]: Candidate {others} []: When should the switchover take place" in said
    assert f"Are you sure you want to switchover cluster postgres, demoting current leader {old.name}? [y/N]: " in said
    assert f'Successfully switched over to "{named.name}"' in said
    assert said.count("| Member | Host ") == 2, "a list follows; its read is a serializable one, which may be of before"
    leads(cluster, old, named)
    last = json.loads(says(cluster, "history", "-f", "json"))[-1]
    assert last["New Leader"] == named.name and last["TL"] == cluster.members()[named.name]["TL"] - 1 and last["LSN"] > 0, last
    said = says(cluster, "switchover", "--force")
    assert re.search('Successfully switched over to "(%s)"' % "|".join(n for n in NODES if n != named.name), said)
    cluster.wait_healthy()
    assert cluster.leader() is not named


@pytest.mark.rest
@pytest.mark.parametrize("api", ["etcd3", "etcd"])
def test_switchover_at_a_time_and_flush_of_it(cluster, api):
    old, named, far = cluster.leader(), cluster.replicas()[0], at(3600)
    assert says(cluster, "flush", SCOPE, "switchover", api=api) == "No pending scheduled switchover\n"
    said = says(cluster, "switchover", "--candidate", named.name, "--scheduled", far.isoformat(), "--force", api=api)
    assert "Switchover scheduled\n" in said
    shown = f" Switchover scheduled at: {far.isoformat()}\n{'from':>24}: {old.name}\n{'to':>24}: {named.name}\n"
    assert says(cluster, "list", api=api).endswith(shown)
    assert says(cluster, "flush", SCOPE, "switchover", api=api) == "Success: scheduled switchover deleted\n"
    wait_for("it is gone", lambda: "scheduled" not in says(cluster, "list", api=api), 10, 0.5)
    said = says(cluster, "switchover", "--candidate", named.name, "--scheduled", at(-60).isoformat(), "--force", api=api)
    assert "Switchover failed, details: 422, Cannot schedule switchover in the past\n" in said
    assert cluster.leader() is old
    when = at(6)
    said = says(cluster, "switchover", "--candidate", named.name, "--scheduled", when.isoformat(), "--force", api=api)
    assert "Switchover scheduled\n" in said
    wait_for("it was done", lambda: cluster.leader() is named, 30)
    assert datetime.datetime.now(datetime.timezone.utc) >= when
    leads(cluster, old, named)
    assert "Switchover scheduled" not in says(cluster, "list", api=api)


@pytest.mark.rest
def test_failover(cluster):
    old, named = cluster.leader(), cluster.replicas()[0]
    said = says(cluster, "failover", "--candidate", named.name, "--force")
    assert re.search(rf'Successfully (failed|switched) over to "{named.name}"', said), said
    leads(cluster, old, named)


@pytest.mark.rest
@pytest.mark.parametrize("api", ["etcd3", "etcd"])
def test_without_the_leaders_rest_the_store_is_written(cluster, api):
    """As patronictl does where nobody answers: the key alone, and the members do what it says."""
    old, named = cluster.leader(), cluster.replicas()[0]
    inside(cluster, old, "add table inet closed; add chain inet closed in { type filter hook input priority 0 ; }; "
                         "add rule inet closed in tcp dport 8008 reject with tcp reset")
    try:
        said = says_despite(cluster, "switchover", "--leader", old.name, "--candidate", named.name, "--force", api=api)
        assert "Could not switchover using Patroni api, falling back to DCS\n" in said, said
        wait_for("it was done", lambda: cluster.leader() is named, 30)
    finally:
        inside(cluster, old, "delete table inet closed")
    leads(cluster, old, named)


def inside(r, node, rules):
    subprocess.run(["ip", "netns", "exec", r.namespace(node.name), "nft", rules], check=True, stdin=subprocess.DEVNULL)


def says_despite(r, *args, **how):
    answer = asked(r, *args, **how)
    assert answer.returncode == 0
    return answer.stdout


@pytest.mark.rest
@pytest.mark.parametrize("api, refusal", [("etcd3", "permission denied"), ("etcd", "is changed by it alone")])
def test_remove_is_refused(cluster, api, refusal):
    leader, before = cluster.leader(), cluster.keys().leader_key()
    refuses(cluster, "You did not specify the current leader", "remove", SCOPE, api=api, stdin="postgres\nYes I am aware\nnode9\n")
    answer = asked(cluster, "remove", SCOPE, api=api, stdin=f"postgres\nYes I am aware\n{leader.name}\n")
    assert refusal in answer.stderr, answer.stderr
    after = cluster.keys().leader_key()
    assert (after["create_revision"], after["lease"]) == (before["create_revision"], before["lease"])
    assert len(cluster.members()) == 3 and cluster.keys().get("config") and cluster.keys().get("initialize")
    assert cluster.leader() is leader and cluster.healthy()
