"""Standby clusters on our own store; see standby.py."""
import pytest

from rig import wait_for
from standby import *  # noqa: F401,F403
from standby import arrives, follows, nobody_writes, section


@pytest.fixture
def times():
    return {}


@pytest.mark.rest
def test_two_clusters_change_places(make_rig):
    """One member here, two there. The second follows the first, becomes the one that writes, and is followed by the first."""
    r = make_rig()
    first, second = r.nodes["node1"], [r.nodes["node2"], r.nodes["node3"]]
    r.write_config(first, partners="", dcs="    slots:\n      site_b:\n        type: physical\n")
    for node, other in (second, second[::-1]):
        r.write_config(node, partners=f"{other.raft_address}:2380", dcs=section(host=first.address, primary_slot_name="site_b"))
    first.start_agent()
    wait_for("the first cluster", lambda: r.http_status(first.rest_address, "/primary") == 200, 60)
    r.sql(first, "CREATE TABLE t AS SELECT generate_series(1, 100) AS n")
    arrives(r, first, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'site_b'", "1")
    for node in second:
        node.start_agent()
    for node in second:
        arrives(r, node, "SELECT count(*) FROM t", "100", 60)
    nobody_writes(r, second)
    wait_for("a standby leader", lambda: 200 in [r.http_status(n.rest_address, "/standby-leader") for n in second], 30)
    r.sql(first, "INSERT INTO t VALUES (101)")
    for node in second:
        arrives(r, node, "SELECT count(*) FROM t", "101")
    assert r.sql(first, "SELECT active FROM pg_replication_slots WHERE slot_name = 'site_b'") == "t"

    # Both write for a while: what the first one has alone is given up by the operator's word.
    answer = r.ctl_at(second[0], "promote-cluster", "--force")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    def primary():
        return next((n for n in second if r.http_status(n.rest_address, "/primary") == 200), None)
    wait_for("a primary", primary, 30)
    r.sql(first, "INSERT INTO t VALUES (1000)")
    r.sql(primary(), "INSERT INTO t VALUES (2000)")
    hosts = ",".join(node.address for node in second)
    answer = r.ctl_at(first, "demote-cluster", "--host", hosts, "--force")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    nobody_writes(r, [first])
    for node in r.nodes.values():
        arrives(r, node, "SELECT string_agg(n::text, ' ') FROM t WHERE n > 101", "2000", 60)

    # And it follows a switchover of the other one.
    old = primary()
    answer = r.ctl_at(second[0], "switchover", "--force")
    assert "Successfully switched over" in answer.stdout, answer.stdout + answer.stderr
    wait_for("another primary", lambda: primary() not in (None, old), 30)
    r.sql(primary(), "INSERT INTO t VALUES (3000)")
    for node in r.nodes.values():
        arrives(r, node, "SELECT count(*) FROM t", "103", 60)
    follows(r, first, primary().address)
    nobody_writes(r, [first])
