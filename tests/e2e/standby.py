"""Standby clusters: made of another cluster, led, followed, promoted and demoted as a whole. Used with each kind of store."""
import json
import time

import pytest

from remote import Remote
from rig import wait_for

REMOTE, SECOND = "172.20.0.30", "172.20.0.31"
HOSTS = {"remote": REMOTE, "second": SECOND}


def section(**keys):
    return "    standby_cluster:\n" + "".join(f"      {key}: {value}\n" for key, value in keys.items())


def rows(r, count=3):
    """name -> row of `list`, once one leads as a standby and the others stream."""
    def good():
        found = r.members()
        streaming = [row for row in found.values() if row.get("State") == "streaming"]
        leads = [row for row in found.values() if row.get("Role") == "Standby Leader"]
        return len(leads) == 1 and len(streaming) == count and len({row.get("TL") for row in streaming}) == 1
    try:
        wait_for(f"a standby cluster of {count}", good, 90, 0.3)
    except TimeoutError:
        r.show()
        raise
    return r.members()


def standby_leader(r):
    return next((r.nodes[name] for name, row in r.members().items() if row.get("Role") == "Standby Leader"), None)


def nobody_writes(r, nodes=None):
    for node in nodes or r.nodes.values():
        assert r.sql(node, "SELECT pg_is_in_recovery()") == "t", node.name
        assert r.http_status(node.rest_address, "/primary") == 503


def arrives(r, node, query, wanted, timeout=30):
    def there():
        try:
            return r.sql(node, query) == wanted
        except Exception:  # it may be starting, or lack the table
            return False
    wait_for(f"{wanted} of '{query}' on {node.name}", there, timeout)


def follows(r, node, address):
    arrives(r, node, f"SELECT sender_host = '{address}' FROM pg_stat_wal_receiver WHERE status = 'streaming'", "t", 40)


def check_rest(r, leader):
    codes = {"/standby-leader": 200, "/standby_leader": 200, "/leader": 200, "/primary": 503, "/": 503, "/replica": 503, "/read-only": 200,
             "/health": 200, "/readiness": 200}
    for path, code in codes.items():
        assert r.http_status(leader.rest_address, path) == code, path
    assert json.loads(r.http(leader.rest_address, "/patroni")[1])["role"] == "standby_leader"
    assert 'patroni_standby_leader{scope="postgres",name="%s"} 1' % leader.name in r.http(leader.rest_address, "/metrics")[1]
    for node in r.nodes.values():
        if node is not leader:
            assert r.http_status(node.rest_address, "/replica") == 200 and r.http_status(node.rest_address, "/leader") == 503
            assert r.http_status(node.rest_address, "/standby-leader") == 503
    shown = {m["name"]: m["role"] for m in json.loads(r.http(leader.rest_address, "/cluster")[1])["members"]}
    assert shown[leader.name] == "standby_leader"


def new_standby_leader(r, old, timeout=40):
    wait_for("another standby leader", lambda: standby_leader(r) not in (None, old), timeout)
    return standby_leader(r)


def is_primary_of_all(r, timeout=60):
    r.wait_healthy(timeout=timeout)
    leader = r.leader()
    assert r.sql(leader, "SELECT pg_is_in_recovery()") == "f"
    return leader


def test_a_standby_cluster_is_made_follows_and_is_promoted(make_rig, times):
    r = make_rig(hosts=HOSTS, dcs=section(host=REMOTE, primary_slot_name="site_b"), **times)
    remote = Remote(r, "remote").make()
    remote.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n; SELECT pg_create_physical_replication_slot('site_b', true)")
    r.start_all()
    rows(r)
    leader = standby_leader(r)
    system_id = remote.sql("SELECT system_identifier FROM pg_control_system()")
    assert f"({system_id})" in r.ctl("list").stdout
    nobody_writes(r)
    check_rest(r, leader)
    follows(r, leader, remote.address)
    assert remote.sql("SELECT active FROM pg_replication_slots WHERE slot_name = 'site_b'") == "t"
    remote.sql("INSERT INTO t VALUES (0)")
    for node in r.nodes.values():
        arrives(r, node, "SELECT count(*) FROM t", "1001")
        if node is not leader:
            follows(r, node, leader.address)

    # Another member leads when the leader's node is lost, and when it is told to.
    leader.kill_node()
    second = new_standby_leader(r, leader)
    follows(r, second, remote.address)
    remote.sql("INSERT INTO t VALUES (-1)")
    leader.start_agent()
    rows(r)
    named = leader
    answer = r.ctl("switchover", "--candidate", named.name, "--force")
    assert f'Successfully switched over to "{named.name}"' in answer.stdout, answer.stdout + answer.stderr
    rows(r)
    assert standby_leader(r) is named
    follows(r, named, remote.address)
    remote.sql("INSERT INTO t VALUES (-2)")
    for node in r.nodes.values():
        arrives(r, node, "SELECT count(*) FROM t", "1003")
    nobody_writes(r)
    assert len({row["TL"] for row in r.members().values()}) == 1

    # It becomes a cluster of its own: the leader goes on as the primary, on a timeline of its own.
    answer = r.ctl("promote-cluster", "--force", timeout=90)
    assert answer.returncode == 0 and "leader role: primary, leader state: running" in answer.stdout, answer.stdout + answer.stderr
    assert is_primary_of_all(r) is named
    assert r.members()[named.name]["TL"] == 2
    r.sql(named, "INSERT INTO t VALUES (-3)")
    for node in r.nodes.values():
        arrives(r, node, "SELECT count(*) FROM t", "1004")
    assert r.http_status(named.rest_address, "/primary") == 200 and r.http_status(named.rest_address, "/standby-leader") == 503
    wait_for("the slot is free", lambda: remote.sql("SELECT active FROM pg_replication_slots WHERE slot_name = 'site_b'") == "f", 20)
    assert remote.sql("SELECT count(*) FROM t") == "1003", "the other cluster goes on by itself"
    assert "2" in {str(row["TL"]) for row in r.members().values()}
    wait_for("the history", lambda: "[1," in r.http(named.rest_address, "/history")[1].replace("\n", "").replace(" ", ""), 20)
    answer = r.ctl("promote-cluster", "--force", check=False)
    assert answer.returncode == 1 and "already in the required state" in answer.stderr


@pytest.mark.rest
def test_the_other_cluster_fails_over(make_rig, times):
    """Of several hosts whichever is the primary is followed, on its new timeline; what it lacks of ours is rewound."""
    r = make_rig(hosts=HOSTS, dcs=section(host=f"'{SECOND},{REMOTE}'"), **times)
    remote = Remote(r, "remote").make()
    remote.sql("CREATE TABLE t AS SELECT generate_series(1, 10) AS n")
    second = Remote(r, "second").copy_of(remote.address)
    wait_for("the second receives", lambda: second.sql("SELECT count(*) FROM t") == "10", 30)
    r.start_all()
    rows(r)
    leader = standby_leader(r)
    follows(r, leader, remote.address)
    r.cut("second", ["remote"])  # what comes now is lost with it, and is here
    remote.sql("INSERT INTO t SELECT generate_series(11, 20)")
    for node in r.nodes.values():
        arrives(r, node, "SELECT count(*) FROM t", "20")
    remote.stop()
    second.promote()
    second.sql("INSERT INTO t VALUES (100)")
    for node in r.nodes.values():
        arrives(r, node, "SELECT string_agg(n::text, ' ' ORDER BY n) FROM t WHERE n > 10", "100", 90)
    found = rows(r)
    assert {row["TL"] for row in found.values()} == {2}
    follows(r, standby_leader(r), second.address)
    nobody_writes(r)
    assert "rewinding to the history of" in "".join(node.log_text() for node in r.nodes.values())


def test_a_whole_cluster_is_demoted_and_promoted(make_rig, times):
    """It had written what the other cluster does not have: that is given up, on all members, without a copy."""
    r = make_rig(hosts=HOSTS, **times)
    r.start_all()
    r.wait_healthy()
    old = r.leader()
    r.sql(old, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n")
    remote = Remote(r, "remote").copy_of(old.address)
    wait_for("the copy is there", lambda: remote.sql("SELECT count(*) FROM t") == "1000", 30)
    remote.promote()
    remote.sql("INSERT INTO t VALUES (2000)")
    r.sql(old, "INSERT INTO t VALUES (3000)")
    system_id = r.sql(old, "SELECT system_identifier FROM pg_control_system()")
    answer = r.ctl("demote-cluster", "--host", remote.address, "--force", timeout=120)
    assert answer.returncode == 0 and "leader role: standby_leader, leader state: running" in answer.stdout, answer.stdout + answer.stderr
    rows(r)
    nobody_writes(r)
    for node in r.nodes.values():
        arrives(r, node, "SELECT string_agg(n::text, ' ' ORDER BY n) FROM t WHERE n > 1000", "2000", 60)
        arrives(r, node, "SELECT count(*) FROM t", "1001")
        assert "remove begins" not in node.log_text() and r.sql(node, "SELECT system_identifier FROM pg_control_system()") == system_id
    assert standby_leader(r) is old, "the one that was the primary leads on"
    follows(r, old, remote.address)
    remote.sql("INSERT INTO t VALUES (2001)")
    for node in r.nodes.values():
        arrives(r, node, "SELECT count(*) FROM t", "1002")
    answer = r.ctl("demote-cluster", "--host", remote.address, "--force", check=False)
    assert answer.returncode == 1 and "already in the required state" in answer.stderr
    remote.stop("fast")
    answer = r.ctl("promote-cluster", "--force", timeout=90)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    new = is_primary_of_all(r)
    r.sql(new, "INSERT INTO t VALUES (4000)")
    for node in r.nodes.values():
        arrives(r, node, "SELECT count(*) FROM t", "1003")


def test_a_demotion_that_is_taken_back_costs_nothing(make_rig, times):
    """The other cluster is not there: the primary waits for it, stopped, and goes on where it was when the section goes."""
    r = make_rig(hosts=HOSTS, **times)
    r.start_all()
    r.wait_healthy()
    leader = r.leader()
    r.sql(leader, "CREATE TABLE t AS SELECT generate_series(1, 10) AS n")
    timeline = r.members()[leader.name]["TL"]
    assert r.ctl("edit-config", "-s", f"standby_cluster.host={SECOND}", "--force").returncode == 0
    wait_for("the primary is stopped", lambda: r.members()[leader.name]["State"] in ("stopped", "checking divergence"), 30)
    assert r.http_status(leader.rest_address, "/primary") == 503
    assert r.ctl("edit-config", "-s", "standby_cluster=null", "--force").returncode == 0
    r.wait_healthy()
    assert r.leader() is leader and r.members()[leader.name]["TL"] == timeline
    r.sql(leader, "INSERT INTO t VALUES (11)")


@pytest.mark.rest
def test_agents_that_die_change_nothing(make_rig, times):
    """That of the standby leader goes on with its key; those that die while the section goes find a cluster to be led."""
    r = make_rig(hosts=HOSTS, dcs=section(host=REMOTE), **times)
    remote = Remote(r, "remote").make()
    remote.sql("CREATE TABLE t AS SELECT generate_series(1, 10) AS n")
    r.start_all()
    rows(r)
    leader = standby_leader(r)
    postmaster = leader.postmaster_pid()
    leader.kill_agent()
    leader.start_agent()
    wait_for("it leads on", lambda: r.http_status(leader.rest_address, "/standby-leader") == 200, 30)
    rows(r)
    assert standby_leader(r) is leader and leader.postmaster_pid() == postmaster
    remote.sql("INSERT INTO t VALUES (11)")
    for node in r.nodes.values():
        arrives(r, node, "SELECT count(*) FROM t", "11")
    assert r.ctl("edit-config", "-s", "standby_cluster=null", "--force").returncode == 0
    leader.kill_agent()  # before, in the middle of, or after its promotion
    time.sleep(0.2)
    leader.start_agent()
    new = is_primary_of_all(r, 90)
    r.sql(new, "INSERT INTO t VALUES (12)")
    for node in r.nodes.values():
        arrives(r, node, "SELECT count(*) FROM t", "12", 60)
    assert [r.sql(node, "SELECT pg_is_in_recovery()") for node in r.nodes.values()].count("f") == 1


def test_a_promotion_in_two_parts_of_a_network_makes_one_primary(make_rig, times):
    """The leader is cut off in the moment of promote-cluster: it never writes, whoever leads then does."""
    r = make_rig(hosts=HOSTS, dcs=section(host=REMOTE), **times)
    remote = Remote(r, "remote").make()
    remote.sql("CREATE TABLE t AS SELECT generate_series(1, 10) AS n")
    r.start_all()
    rows(r)
    leader = standby_leader(r)
    others = [node for node in r.nodes.values() if node is not leader]
    file = others[0]
    leader.isolate()
    assert r.ctl_at(file, "edit-config", "-s", "standby_cluster=null", "--force").returncode == 0
    def primary():
        return next((node for node in others if r.http_status(node.rest_address, "/primary") == 200), None)
    wait_for("a primary", primary, 60)
    new = primary()
    r.sql(new, "INSERT INTO t VALUES (11)")
    assert r.sql_inside(leader, "SELECT pg_is_in_recovery()") == "t", "cut off, it is the standby that it was"
    r.heal()
    r.wait_healthy(timeout=90)
    assert r.leader() is new
    for node in r.nodes.values():
        arrives(r, node, "SELECT count(*) FROM t", "11", 60)


assert pytest
