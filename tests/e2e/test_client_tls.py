"""The command line as a client of a group that knows certificates and no password, from a host that has a file, a certificate and its key."""
import json
import os

import pytest

from certificates import Authority
from rig import edit, wait_for
from test_client import asked, file_of, refused, says
from test_tls import RAFT, believe, sign_all


@pytest.fixture
def cluster(make_rig):
    r = make_rig(raft=RAFT)
    r.authority = Authority(r.home, "authority")
    believe(r, r.authority)
    sign_all(r, r.authority)
    for node in r.nodes.values():
        edit(node, ("  password: raft-secret\n", ""))
    r.start_all()
    r.ctl = lambda *args, **how: operators(r, *args, **how)  # every other host of the test is a stranger
    operator(r, "operator")
    r.wait_healthy()
    return r


def keys(path, authority):
    return f"  certfile: {path}.crt\n  keyfile: {path}.key\n  cafile: {authority.certificate}\n"


def operator(r, name):
    """What is added to a file: a certificate that bears no member's name or address."""
    path = os.path.join(r.home, name)
    r.authority.sign(name, path + ".key", path + ".crt")
    return keys(path, r.authority)


def operators(r, *args, check=True, timeout=30):
    answer = asked(r, file_of(r, keys(os.path.join(r.home, "operator"), r.authority)), *args)
    assert answer.returncode == 0 or not check, answer.stdout + answer.stderr
    return answer


def test_a_file_with_addresses_and_a_certificate_is_enough(cluster):
    file = file_of(cluster, operator(cluster, "somebody"))
    rows = {row["Member"]: row for row in json.loads(says(cluster, file, "list", "-f", "json"))}
    leader = next(cluster.nodes[name] for name, row in rows.items() if row["Role"] == "Leader")
    named = next(node for node in cluster.nodes.values() if node is not leader)
    assert says(cluster, file, "dsn") == f"host={leader.address} port=5432\n"
    assert says(cluster, file, "edit-config", "-q", "-s", "maximum_lag_on_failover=1048577", stdin="y\n").endswith("Configuration changed\n")
    assert "\nmaximum_lag_on_failover: 1048577\n" in says(cluster, file, "show-config")
    assert says(cluster, file, "pause", "--wait").endswith("Success: cluster management is paused\n")
    assert says(cluster, file, "resume", "--wait").endswith("Success: cluster management is resumed\n")
    assert f'Successfully switched over to "{named.name}"' in says(cluster, file, "switchover", "--candidate", named.name, "--force")
    assert says(cluster, file, "raft", "status").count("| running") == 3
    cluster.wait_healthy()
    named.kill_agent()  # and it is passed over while it is down
    assert "ttl: " in says(cluster, file, "show-config")
    named.start_agent()
    wait_for("it is back", lambda: says(cluster, file, "raft", "status").count("| running") == 3, 30, 0.5)


def test_who_has_no_certificate_or_a_bad_one_is_told_nothing(cluster):
    before = operators(cluster, "show-config").stdout
    authority, stranger, path = cluster.authority, Authority(cluster.home, "stranger"), os.path.join(cluster.home, "bad")
    files = (path + ".key", path + ".crt")
    own, plain = keys(path, authority), "raft.certfile is set here and not on the side that calls"
    rows = [("", None, plain),
            ("  password: raft-secret\n", None, plain),
            (own, lambda: stranger.sign("node1", *files), "is not signed by an authority of"),
            (own, lambda: authority.sign_expired("node1", *files), "expired"),
            (own, lambda: authority.sign_between("node1", *files, 1, 30), "not valid"),
            (keys(path, stranger), lambda: stranger.sign("node1", *files), "is not signed by an authority of")]
    for more, make, words in rows:
        if make is not None:
            make()
        for host in ("client", "node2"):  # an address of a member is no certificate
            for text in refused(cluster, file_of(cluster, more=more), host=host):
                assert words in text, more + text
    assert operators(cluster, "show-config").stdout == before
