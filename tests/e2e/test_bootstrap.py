"""What the first start makes of the document's files, and what they may not say, on real PostgreSQL with real HAProxy."""
import os
import signal

from rig import PG_BIN, wait_for


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


def test_sigterm_before_there_is_a_group_ends_the_agent(make_rig):
    r = make_rig()
    node = r.nodes["node1"]
    node.start_agent()
    wait_for("it waits for the others", lambda: os.path.exists(node.log) and "waiting for the Raft group" in node.log_text(), 20)
    node.kill_agent(signal.SIGTERM)
    wait_for("it is gone, and its fence", lambda: not [e for e in node.processes().values() if "pgquorum" in e], 3)
    assert "exiting all the same" not in node.log_text()


def test_libpqs_variables_have_no_say(make_rig):
    r = make_rig(env={"PGHOSTADDR": "192.0.2.1", "PGPORT": "1", "PGSERVICE": "nowhere", "PGSSLMODE": "verify-full", "PGDATA": "/nowhere",
                      "PGTARGETSESSIONATTRS": "read-write", "PGOPTIONS": "-c default_transaction_read_only=on"})
    r.start_all()
    r.wait_healthy(timeout=30)
    leader = r.leader()
    with open(f"/proc/{leader.postmaster_pid()}/environ", "rb") as f:
        names = {line.split(b"=")[0] for line in f.read().split(b"\0")}
    assert {n for n in names if n.startswith(b"PG")} <= {b"PGSERVICEFILE", b"PGQUORUM_FENCE_PAGE_FD"}


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
