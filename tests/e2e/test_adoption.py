"""One PostgreSQL server as the package makes it, which has never seen any of this, becomes the primary of three as it runs; two empty nodes are
cloned from it (docs/migration.md, "From a single server"). What was changed by hand before is what that page says."""
import glob
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
from rig import wait_for

BIN = os.path.dirname(max(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda path: int(path.split("/")[4])))
ROLES = """\
CREATE ROLE replicator REPLICATION LOGIN PASSWORD 'rep-pass';
CREATE ROLE rewind_user SUPERUSER LOGIN PASSWORD 'rewind_password';
ALTER ROLE postgres PASSWORD 'zalando';
"""
RULES = """\
host all all 172.20.0.0/16 scram-sha-256
host replication replicator 172.20.0.0/16 scram-sha-256
"""


def as_postgres(argv):
    return subprocess.run(["runuser", "-u", "postgres", "--", *argv], check=True, capture_output=True, text=True, cwd="/")


class Standalone:
    """On node1: cluster `15 main` of the package, its files in a directory of their own, its socket in /var/run/postgresql's place."""

    def __init__(self, r, settings):
        self.rig, self.node = r, r.nodes["node1"]
        self.etc, self.sockets = os.path.join(self.node.home, "etc"), os.path.join(self.node.home, "sockets")
        as_postgres([f"{BIN}/initdb", "-D", self.node.data_dir, "--data-checksums", "--auth-local=peer", "--auth-host=scram-sha-256", "--no-sync"])
        for path in (self.etc, self.sockets):
            os.mkdir(path)
            shutil.chown(path, "postgres", "postgres")
        for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
            os.rename(os.path.join(self.node.data_dir, name), os.path.join(self.etc, name))
        with open(os.path.join(self.etc, "postgresql.conf"), "a") as f:
            f.write(f"data_directory = '{self.node.data_dir}'\nhba_file = '{self.etc}/pg_hba.conf'\nident_file = '{self.etc}/pg_ident.conf'\n"
                    f"unix_socket_directories = '{self.sockets}'\ncluster_name = '15/main'\nwork_mem = '7MB'\n{settings}")

    def start(self):
        self.node.order([f"{BIN}/postgres", "-D", self.etc], self.node.log + ".postgres")
        wait_for("it serves", lambda: self.sql("SELECT 1", check=False) == "1", 90)

    def sql(self, text, check=True):
        argv = ["ip", "netns", "exec", self.rig.namespace("node1"), "runuser", "-u", "postgres", "--", f"{BIN}/psql", "-X", "-A", "-t", "-q", "-h", self.sockets]
        answer = subprocess.run(argv, input=text, capture_output=True, text=True, check=check)
        return answer.stdout.strip()

    def prepare(self):
        """What the page says is done on the running server."""
        self.sql(ROLES)
        with open(os.path.join(self.etc, "pg_hba.conf"), "a") as f:
            f.write(RULES)
        self.sql("SELECT pg_reload_conf()")

    def started(self):
        return self.sql("SELECT pg_postmaster_start_time()")


def make(make_rig, settings):
    r = make_rig()
    for node in r.nodes.values():
        r.write_config(node)
        with open(node.config) as f:
            text = f.read()
        # The files are apart on every node, as the package has them.
        text = text.replace("  pgpass: ", f"  config_dir: {node.home}/etc\n  pgpass: ")
        text = text.replace("unix_socket_directories: '.'", f"unix_socket_directories: '{node.home}/sockets'")
        if node.name != "node1":  # they are to make no cluster of their own
            text = re.sub(r"(?ms)^bootstrap:\n.*?(?=^postgresql:)", "", text)
        with open(node.config, "w") as f:
            f.write(text)
        if node.name != "node1":
            for path in ("etc", "sockets"):
                os.mkdir(os.path.join(node.home, path))
                shutil.chown(os.path.join(node.home, path), "postgres", "postgres")
    return r, Standalone(r, settings)


def pending(r):
    row = r.members().get("node1", {})
    return row.get("Pending restart"), row.get("Pending restart reason", "")


def test_it_becomes_the_primary_as_it_runs(make_rig):
    r, old = make(make_rig, "listen_addresses = '*'\n")
    old.start()
    old.prepare()
    old.sql("CREATE TABLE before (n int); INSERT INTO before SELECT generate_series(1, 1000)")
    started = old.started()
    inside = r.writer("inside", r.nodes["node1"].address, read_write=False, host="node1")
    wait_for("it writes", lambda: faults.Load.acknowledged(inside) > 5, 20)
    since = time.monotonic()
    r.start_all()
    r.wait_healthy(timeout=120)
    assert r.leader() is r.nodes["node1"]
    assert old.started() == started, "it was restarted"
    assert checks.gap(checks.read(inside), since) < 1
    told = {line.split(":")[0] for line in str(pending(r)[1]).splitlines()}
    assert told == {"cluster_name", "listen_addresses", "wal_log_hints"}, pending(r)  # it serves as it is until somebody has time for that
    assert old.sql("SHOW work_mem") == "7MB"
    for node in r.nodes.values():
        wait_for("it has the rows", lambda n=node: r.sql(n, "SELECT count(*) FROM before") == "1000", 30)
    system = {r.sql(node, "SELECT system_identifier FROM pg_control_system()") for node in r.nodes.values()}
    assert len(system) == 1
    inside.terminate()
    inside.wait(10)
    r.haproxy = r.start_haproxy()
    print(faults.switchover(r))
    assert pending(r)[0] in (None, ""), pending(r)
    print(faults.node_lost(r))


def test_what_needs_a_restart_is_told(make_rig):
    """It listens to itself alone, and its WAL is no standby's."""
    r, old = make(make_rig, "listen_addresses = 'localhost'\nwal_level = minimal\nmax_wal_senders = 0\n")
    old.start()
    old.prepare()
    started = old.started()
    r.start_all()
    wait_for("it leads", lambda: r.leader() is r.nodes["node1"], 60)
    wait_for("it is told", lambda: pending(r)[0] == "*", 30)
    reasons = pending(r)[1]
    for name in ("wal_level", "max_wal_senders", "listen_addresses"):
        assert name in str(reasons), reasons
    assert old.started() == started
    time.sleep(5)
    assert "node2" not in r.members() or r.members()["node2"].get("State") != "streaming"
    r.ctl("restart", "postgres", "node1", "--force", timeout=90)
    r.wait_healthy(timeout=120)
    assert r.leader() is r.nodes["node1"] and old.started() != started
    assert pending(r)[0] in (None, "")


def test_what_is_missing_by_hand_is_told(make_rig):
    """No role for replication, no rule for it: the server leads, nobody is cloned, and each node says what is wrong."""
    r, old = make(make_rig, "listen_addresses = '*'\n")
    old.start()
    started = old.started()
    r.start_all()
    wait_for("it leads", lambda: r.leader() is r.nodes["node1"], 60)
    other = r.nodes["node2"]
    wait_for("no rule lets it in", lambda: "no pg_hba.conf entry" in other.log_text(), 60)
    old.prepare()
    r.wait_healthy(timeout=120)
    assert old.started() == started
    r.ctl("pause", "--wait", timeout=60)  # the way back
    for node in r.nodes.values():
        node.kill_agent(signal.SIGTERM)
        wait_for("the agent has ended", lambda n=node: n.agent_pid() is None, 20)
    assert old.started() == started
    old.node.order([f"{BIN}/pg_ctl", "-D", old.node.data_dir, "stop"], old.node.log + ".postgres")
    wait_for("it has stopped", lambda: not os.path.exists(os.path.join(old.node.data_dir, "postmaster.pid")), 60)
    os.rename(os.path.join(old.etc, "postgresql.base.conf"), os.path.join(old.etc, "postgresql.conf"))
    old.start()
    assert old.sql("SELECT pg_is_in_recovery()") == "f" and old.sql("SHOW cluster_name") == "15/main"


def test_configuration_that_is_elsewhere_is_told(make_rig):
    """The file names no config_dir, and the package has it in /etc."""
    r, old = make(make_rig, "listen_addresses = '*'\n")
    node = old.node
    with open(node.config) as f:
        text = f.read()
    with open(node.config, "w") as f:
        f.write(text.replace(f"  config_dir: {node.home}/etc\n", ""))
    old.start()
    old.prepare()
    started = old.started()
    r.start_all()
    wait_for("it leads", lambda: r.leader() is node, 60)
    wait_for("it is told", lambda: f"its configuration is not in '{node.data_dir}': give the directory" in node.log_text(), 30)
    assert old.started() == started and old.sql("SHOW work_mem") == "7MB"
