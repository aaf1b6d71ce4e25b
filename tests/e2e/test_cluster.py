"""The cluster's life on real PostgreSQL, with real HAProxy and the document's files."""
import calendar
import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

import checks
import faults
from rig import PG_BIN, wait_for


def test_bootstrap_makes_what_the_file_says(cluster):
    leader = cluster.leader()
    roles = cluster.sql(leader, "SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1").split()
    assert roles == ["admin", "postgres", "replicator", "rewind_user"]
    if PG_BIN:
        running = os.readlink(f"/proc/{leader.postmaster_pid()}/exe")
        assert os.path.samefile(os.path.dirname(running), PG_BIN)
    assert cluster.sql(leader, "SELECT rolcreaterole AND rolcreatedb AND NOT rolsuper FROM pg_roles WHERE rolname = 'admin'") == "t"
    assert cluster.sql(leader, "SHOW data_checksums") == "on"
    assert cluster.sql(leader, "SHOW server_encoding") == "UTF8"
    assert cluster.sql(leader, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "2"
    assert cluster.sql(leader, "SELECT count(*) FROM pg_replication_slots WHERE active") == "2"
    assert cluster.sql(leader, "SELECT 1", user="admin", password="admin") == "1"


def test_haproxy_of_the_document_shows_three_nodes_one_up(cluster):
    wait_for("one of three up", lambda: cluster.haproxy_states() == ["DOWN", "DOWN", "UP"], 15)


def test_health_checks_tell_primary_from_replica(cluster):
    leader = cluster.leader()
    for node in cluster.nodes.values():
        primary = node is leader
        assert cluster.http_status(node.address, "/primary") == (200 if primary else 503)
        assert cluster.http_status(node.address, "/replica") == (503 if primary else 200)
        assert cluster.http_status(node.address, "/health") == 200
        assert cluster.http_status(node.address, "/patroni") == 200


@pytest.mark.parametrize("fault", list(faults.FAULTS))
def test_fault_loses_nothing_it_may_not_and_heals(cluster, fault):
    result = faults.FAULTS[fault](cluster)
    print(fault, result)
    assert result["direct"] < 15 and result["haproxy"] < 15


def test_checkers_catch_a_cluster_without_its_fence(make_rig, fence_off):
    """The positive control: a stopped agent, and nothing that ends its primary. What passes here checks nothing."""
    r = make_rig(fence=fence_off)
    r.start_all()
    r.start_haproxy()
    r.wait_healthy()
    old = r.leader()
    pid = old.agent_pid()
    inside = r.writer("inside", old.address, read_write=False)
    with faults.Load(r) as load:
        load.writers["inside"] = inside
        old.kill_agent(signal.SIGSTOP)
        new = faults.wait_new_leader(r, old)
        load.writers["fresh"] = r.writer("fresh", new.address, read_write=False)  # the others stay where they are
        time.sleep(5)
        os.kill(pid, signal.SIGCONT)
    assert checks.two_writers(load.histories.values())
    missing, _ = checks.lost(r, r.leader(), load.histories)
    assert any(missing.values()), "what the old primary acknowledged meanwhile is not on the new one's branch"


def test_libpqs_variables_have_no_say(make_rig):
    r = make_rig(env={"PGHOSTADDR": "192.0.2.1", "PGPORT": "1", "PGSERVICE": "nowhere", "PGSSLMODE": "verify-full", "PGDATA": "/nowhere",
                      "PGTARGETSESSIONATTRS": "read-write", "PGOPTIONS": "-c default_transaction_read_only=on"})
    r.start_all()
    r.wait_healthy(timeout=30)
    leader = r.leader()
    with open(f"/proc/{leader.postmaster_pid()}/environ", "rb") as f:
        names = {line.split(b"=")[0] for line in f.read().split(b"\0")}
    assert {n for n in names if n.startswith(b"PG")} <= {b"PGSERVICEFILE", b"PGQUORUM_FENCE_PAGE_FD"}


def test_cold_start_of_all_nodes(cluster):
    with faults.Load(cluster) as load:
        pass
    for node in cluster.nodes.values():
        node.kill_node()
    cluster.start_all()
    cluster.wait_healthy(timeout=60)
    faults.verify(cluster, load, may_lose=False)


def test_majority_killed_and_restarted_ten_times_on_one_log(cluster):
    for _ in range(10):
        with faults.Load(cluster) as load:
            victims = list(cluster.nodes.values())[:2]
            for node in victims:
                node.kill_node()
            time.sleep(0.5)
            for node in victims:
                node.start_agent()
            load.wait_writable(60)
        faults.verify(cluster, load, may_lose=True)


def test_diverged_primary_rejoins_by_rewind(cluster):
    old = cluster.leader()
    replicas = cluster.replicas()
    cluster.sql(old, "CREATE TABLE branch (n int)")
    # Written on the old branch alone: both standbys are cut off from PostgreSQL's port before the primary's node dies.
    cluster.nft(*[f"add rule bridge cut links ip saddr {old.address} ip daddr {r.address} tcp sport 5432 drop" for r in replicas])
    cluster.sql(old, "INSERT INTO branch SELECT generate_series(1, 1000)")
    old.kill_node()
    cluster.heal()
    faults.wait_new_leader(cluster, old)
    old.start_agent()
    cluster.wait_healthy(timeout=90)
    assert "rewind" in old.log_text()
    assert cluster.sql(old, "SELECT count(*) FROM branch") == cluster.sql(cluster.leader(), "SELECT count(*) FROM branch")


def test_wal_of_a_standby_is_kept_for_members_that_need_it_alone(cluster):
    leader = cluster.leader()
    standby, other = cluster.replicas()
    oldest = "SELECT min(restart_lsn) FROM pg_replication_slots WHERE slot_name IN ('%s', '%s')"
    others = oldest % (leader.name, other.name)

    def writes_some():
        cluster.sql(leader, "CREATE TABLE IF NOT EXISTS wal (n int)")
        cluster.sql(leader, "INSERT INTO wal SELECT generate_series(1, 1000)")
        cluster.sql(leader, "SELECT pg_switch_wal()")
        return cluster.sql(leader, "SELECT pg_current_wal_flush_lsn()")

    def passes(lsn):
        return cluster.sql(standby, f"SELECT ({others}) >= '{lsn}'") == "t"

    lsn = writes_some()
    wait_for("the slots of a standby to move on", lambda: passes(lsn), 15)
    # Named by the operator: there on a standby, too, and it holds what its consumer has not had.
    cluster.ctl("edit-config", "--force", "-s", "slots.backup.type=physical")
    made = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'backup'"
    wait_for("the permanent slot", lambda: cluster.sql(leader, made) == cluster.sql(standby, made) == "1", 15)
    other.kill_node()
    lsn = writes_some()
    time.sleep(5)
    assert not passes(lsn), "the member that is away would miss WAL"
    other.start_agent()
    wait_for("the slots to go on", lambda: passes(lsn), 60)


def test_lost_data_directory_is_cloned_again(cluster):
    node = cluster.replicas()[0]
    node.kill_node()
    shutil.rmtree(os.path.join(node.home, "data"))
    node.start_agent()
    cluster.wait_healthy(timeout=60)


def test_cloned_host_is_refused(cluster):
    donor, other = cluster.replicas()
    donor.kill_node()
    other.kill_node()
    shutil.rmtree(os.path.join(other.home, "raft"))
    shutil.copytree(os.path.join(donor.home, "raft"), os.path.join(other.home, "raft"),
                    ignore=shutil.ignore_patterns("run", ".s.PGSQL*"))
    for root, dirs, files in os.walk(os.path.join(other.home, "raft")):
        for name in dirs + files + ["."]:
            shutil.chown(os.path.join(root, name), "postgres", "postgres")
    donor.start_agent()
    cluster.wait_healthy(count=2)
    other.start_agent()
    wait_for("the refusal in the log", lambda: donor.name in other.log_text().splitlines()[-1] and other.agent_pid() is None, 10)


def made_apart(node):
    """The node's data becomes that of another cluster, as initdb makes it. Its system identifier."""
    programs = (PG_BIN or "/usr/lib/postgresql/15/bin") + "/"
    data = os.path.join(node.home, "data")
    shutil.rmtree(data)
    subprocess.run(["runuser", "-u", "postgres", "--", programs + "initdb", "-D", data], check=True, stdout=subprocess.DEVNULL)
    control = subprocess.run([programs + "pg_controldata", data], check=True, capture_output=True, text=True, env={"LC_ALL": "C"})
    return re.search(r"system identifier: +(\d+)", control.stdout)[1]


def test_cluster_that_was_made_and_never_announced_is_put_beside(cluster):
    """A bootstrap is cut off before anybody heard of it, and another member makes the cluster."""
    notes = [os.path.join(n.home, "raft", "state", "unannounced") for n in cluster.nodes.values()]
    assert not any(os.path.exists(path) for path in notes), "the cluster that was announced"
    node = cluster.replicas()[0]
    data = os.path.join(node.home, "data")
    note = os.path.join(node.home, "raft", "state", "unannounced")
    node.kill_node()
    made_apart(node)
    node.start_agent()
    wait_for("it is left alone", lambda: "the data directory is of another cluster" in node.log_text(), 20)
    assert os.path.exists(os.path.join(data, "PG_VERSION")) and not os.path.exists(data + ".failed")
    node.kill_node()
    made = made_apart(node)
    with open(note, "w") as f:
        f.write(f"{made}\n{data}\n")
    shutil.chown(note, "postgres", "postgres")
    node.start_agent()
    cluster.wait_healthy(timeout=60)
    assert os.path.exists(os.path.join(data + ".failed", "PG_VERSION"))
    assert not os.path.exists(note)


def three_voters(cluster):
    roles = [row["Role"] for row in json.loads(cluster.ctl("raft", "status", "-f", "json").stdout)]
    return sorted(roles) == ["Follower", "Follower", "Leader"]


def test_wiped_raft_directory_joins_as_a_new_member(cluster):
    node = cluster.replicas()[0]
    node.kill_node()
    shutil.rmtree(os.path.join(node.home, "raft"))
    node.start_agent()
    cluster.wait_healthy(timeout=60)
    wait_for("three voters", lambda: three_voters(cluster), 30)


def logged(node, words, since=0.0):
    """When the agent of `node` wrote the first line with `words`, seconds of the epoch; None before that."""
    for line in node.log_text().splitlines():
        match = re.match(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) ", line)
        if match and words in line:
            at = calendar.timegm(time.strptime(match[1], "%Y-%m-%d %H:%M:%S")) + int(match[2]) / 1000
            if at >= since:
                return at
    return None


def test_sigterm_stops_postgresql_and_releases_the_key(cluster):
    old = cluster.leader()
    others = [n for n in cluster.nodes.values() if n is not old]
    wait_for("Raft leadership where the primary is", lambda: cluster.raft_leader() == old.name, 30)
    with faults.Load(cluster) as load:
        began = time.time()
        old.kill_agent(signal.SIGTERM)
        faults.wait_new_leader(cluster, old)
        load.wait_writable(30)
    wait_for("nothing is left", lambda: not [e for e in old.processes().values() if "postgres" in e or "pgquorum" in e], 10)
    released = logged(old, "told to stop: nothing runs any more", began)
    taken = [logged(n, "the leader key names", began) - released for n in others]
    old.start_agent()
    result = faults.verify(cluster, load, may_lose=False)
    print("sigterm", result, "the key was taken again after", taken)
    assert max(taken) < 0.45, "the others had to elect a Raft leader first, which takes at least 0.5 s"
    assert result["direct"] < 3


def test_sigterm_before_there_is_a_group_ends_the_agent(make_rig):
    r = make_rig()
    node = r.nodes["node1"]
    node.start_agent()
    wait_for("it waits for the others", lambda: os.path.exists(node.log) and "waiting for the Raft group" in node.log_text(), 20)
    node.kill_agent(signal.SIGTERM)
    wait_for("it is gone, and its fence", lambda: not [e for e in node.processes().values() if "pgquorum" in e], 3)
    assert "exiting all the same" not in node.log_text()


def test_wrong_configuration_is_one_line_and_exit_status_1(make_rig):
    r = make_rig()
    node = r.nodes["node1"]
    for extra, words in ((":", "node1.yml"), ("    port: [", "node1.yml")):
        r.write_config(node, extra=extra)
        answer = r.host_popen("node1", ["runuser", "-u", "postgres", "--", r.binary("pgquorum"), node.config], stdout=-1, stderr=-1, text=True)
        out, err = answer.communicate(timeout=10)
        assert answer.returncode == 1
        assert len((out + err).strip().splitlines()) == 1 and words in out + err
    assert not os.path.exists(os.path.join(node.home, "data"))


def test_dynamic_configuration_is_applied_everywhere(cluster):
    answer = cluster.ctl("edit-config", "-p", "work_mem=7MB", "-s", "ttl=4", "--force")
    assert answer.returncode == 0, answer.stderr
    for node in cluster.nodes.values():
        wait_for("the parameter", lambda n=node: cluster.sql(n, "SHOW work_mem") == "7MB", 15)
    assert "ttl: 4" in cluster.ctl("show-config").stdout
    answer = cluster.ctl("edit-config", "-s", "postgresql.use_slots=false", "--force")
    assert answer.returncode == 0, answer.stderr
    for node in cluster.nodes.values():
        wait_for("no slot", lambda n=node: cluster.sql(n, "SHOW primary_slot_name") == "", 15)
    refused = cluster.ctl("edit-config", "-s", "ttl=1", "--force", check=False)
    assert refused.returncode == 1 and "ttl" in refused.stderr
