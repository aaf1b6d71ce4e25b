"""The command line as a client of the group, from a host that has nothing but a file with addresses and the password (docs/command-line.md)."""
import json
import os
import subprocess

from rig import wait_for

FILE = "scope: postgres\nnamespace: /db/\nraft:\n  partner_addrs: [{addresses}]\n{more}"


def file_of(rig, more="  password: raft-secret\n", nodes=None):
    path = os.path.join(rig.home, "client.yml")
    addresses = ", ".join(f"{n.raft_address}:2380" for n in nodes or rig.nodes.values())
    with open(path, "w") as f:
        f.write(FILE.format(addresses=addresses, more=more))
    os.chmod(path, 0o600)
    return path


def asked(rig, file, *args, stdin="", host="client"):
    argv = ["ip", "netns", "exec", rig.namespace(host), rig.binary("pgquorum"), "-c", file, *args]
    answer = subprocess.run(argv, capture_output=True, text=True, timeout=60, input=stdin)
    print(*args, "->", answer.returncode, answer.stdout, answer.stderr)
    return answer


def says(rig, file, *args, **how):
    answer = asked(rig, file, *args, **how)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_a_file_with_addresses_and_password_is_enough(cluster):
    file = file_of(cluster)
    rows = {row["Member"]: row for row in json.loads(says(cluster, file, "list", "-f", "json"))}
    assert set(rows) == set(cluster.nodes) and rows[cluster.leader().name]["Role"] == "Leader"
    assert says(cluster, file, "dsn") == f"host={cluster.leader().address} port=5432\n"
    assert says(cluster, file, "edit-config", "-q", "-s", "maximum_lag_on_failover=1048577", stdin="y\n").endswith("Configuration changed\n")
    assert "\nmaximum_lag_on_failover: 1048577\n" in says(cluster, file, "show-config")
    assert says(cluster, file, "pause", "--wait").endswith("Success: cluster management is paused\n")
    assert says(cluster, file, "resume", "--wait").endswith("Success: cluster management is resumed\n")
    cluster.wait_healthy()
    named = cluster.replicas()[0]
    assert f'Successfully switched over to "{named.name}"' in says(cluster, file, "switchover", "--candidate", named.name, "--force")
    cluster.wait_healthy()
    assert says(cluster, file, "raft", "status").count("| running") == 3
    said = says(cluster, file, "edit-config", "-q", "-s", "maximum_lag_on_failover=1048576", "--force")
    assert said == "Configuration changed\n"


def test_whose_agent_is_down_is_passed_over(cluster):
    down = cluster.replicas()[0]
    nodes = [down, *(n for n in cluster.nodes.values() if n is not down)]
    file = file_of(cluster, nodes=nodes)
    down.kill_agent()
    try:
        assert "ttl: " in says(cluster, file, "show-config")
        wait_for("a write goes, too", lambda: asked(cluster, file, "edit-config", "-q", "-s", "maximum_lag_on_failover=1048578", "--force").returncode == 0, 10)
        assert f" {down.raft_address}:2380 does not answer: " in says(cluster, file, "raft", "status")
    finally:
        down.start_agent()
    cluster.wait_healthy()
    says(cluster, file, "edit-config", "-q", "-s", "maximum_lag_on_failover=1048576", "--force")


def refused(rig, file, host="client"):
    """Nothing is told, and nothing is changed."""
    for args in (("list",), ("edit-config", "-q", "-s", "ttl=29", "--force"), ("raft", "status")):
        answer = asked(rig, file, *args, host=host)
        assert answer.returncode == 1 and answer.stdout == "" and answer.stderr.startswith("Error: "), args
        assert answer.stderr.count("\n") == 1
        yield answer.stderr


def test_who_has_not_the_password_is_told_nothing(cluster):
    before = says(cluster, file_of(cluster), "show-config")
    for more in ("  password: guessed\n", ""):
        for host in ("client", cluster.replicas()[0].name):  # an address of a member is no password
            for text in refused(cluster, file_of(cluster, more=more), host=host):
                assert "password" in text, text
    assert says(cluster, file_of(cluster), "show-config") == before
