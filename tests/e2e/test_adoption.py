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
from rig import edit, wait_for

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
    """On a node: cluster `15 main` of the package, its files in a directory of their own, its socket in /var/run/postgresql's place."""

    def __init__(self, r, settings, name="node1"):
        self.rig, self.node = r, r.nodes[name]
        self.etc, self.sockets = os.path.join(self.node.home, "etc"), os.path.join(self.node.home, "sockets")
        as_postgres([f"{BIN}/initdb", "-D", self.node.data_dir, "--data-checksums", "--auth-local=peer", "--auth-host=scram-sha-256", "--no-sync"])
        for path in (self.etc, self.sockets):
            make_dir(path)
        for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
            os.rename(os.path.join(self.node.data_dir, name), os.path.join(self.etc, name))
        with open(os.path.join(self.etc, "postgresql.conf"), "a") as f:
            f.write(f"data_directory = '{self.node.data_dir}'\nhba_file = '{self.etc}/pg_hba.conf'\nident_file = '{self.etc}/pg_ident.conf'\n"
                    f"unix_socket_directories = '{self.sockets}'\ncluster_name = '15/main'\nwork_mem = '7MB'\n{settings}")

    def start(self):
        self.node.order([f"{BIN}/postgres", "-D", self.etc], self.node.log + ".postgres")
        wait_for("it serves", lambda: self.sql("SELECT 1", check=False) == "1", 90)

    def sql(self, text, check=True):
        argv = ["ip", "netns", "exec", self.rig.namespace(self.node.name), "runuser", "-u", "postgres", "--", f"{BIN}/psql", "-X", "-A", "-t", "-q", "-h", self.sockets]
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


def make_dir(path):
    os.makedirs(path, exist_ok=True)
    shutil.chown(path, "postgres", "postgres")


def leave_out_bootstrap(node):
    with open(node.config) as f:
        text = f.read()
    with open(node.config, "w") as f:
        f.write(re.sub(r"(?ms)^bootstrap:\n.*?(?=^postgresql:)", "", text))


def configure(r):
    """The files are apart on every node, as the package has them."""
    for node in r.nodes.values():
        r.write_config(node)
        edit(node, ("  pgpass: ", f"  config_dir: {node.home}/etc\n  pgpass: "),
             ("unix_socket_directories: '.'", f"unix_socket_directories: '{node.home}/sockets'"))
        for path in ("etc", "sockets"):
            make_dir(os.path.join(node.home, path))


def make(make_rig, settings):
    r = make_rig()
    configure(r)
    for name in ("node2", "node3"):  # they are to make no cluster of their own
        leave_out_bootstrap(r.nodes[name])
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


def of_the_data(r, old, started):
    r.wait_healthy(timeout=120)
    assert r.leader() is old.node and old.started() == started
    for node in r.nodes.values():
        wait_for("it has the rows", lambda n=node: r.sql(n, "SELECT count(*) FROM before") == "1000", 30)
        assert "running for it" not in node.log_text()  # nobody was to make one


def serve(old):
    old.start()
    old.prepare()
    old.sql("CREATE TABLE before (n int); INSERT INTO before SELECT generate_series(1, 1000)")
    return old.started()


def test_data_that_comes_last_leads(make_rig):
    """Each file may make a cluster, and the node that has one comes 5 s after the empty ones."""
    r = make_rig()
    configure(r)
    old = Standalone(r, "listen_addresses = '*'\n", "node2")
    started = serve(old)
    for name in ("node1", "node3"):
        r.nodes[name].start_agent()
    time.sleep(5)
    old.node.start_agent()
    of_the_data(r, old, started)


def test_data_that_comes_last_to_a_group_that_is_there_leads(make_rig):
    """The Raft group is there, and its store empty: who has not come is waited for, by name, for two ttl."""
    r = make_rig(ttl=20)
    configure(r)
    for node in r.nodes.values():
        leave_out_bootstrap(node)
        node.start_agent()
    wait_for("there is a group", lambda: r.raft_leader() is not None, 60)
    wait_for("all have told their names", lambda: len(r.members()) == 3, 30)
    for node in r.nodes.values():
        node.kill_agent(signal.SIGTERM)
        wait_for("the agent has ended", lambda n=node: n.agent_pid() is None, 20)
    shutil.rmtree(os.path.join(r.nodes["node2"].home, "etc"))
    shutil.rmtree(os.path.join(r.nodes["node2"].home, "sockets"))
    configure(r)
    old = Standalone(r, "listen_addresses = '*'\n", "node2")
    started = serve(old)
    for name in ("node1", "node3"):
        r.nodes[name].start_agent()
    for name in ("node1", "node3"):
        wait_for("it says for whom it waits", lambda n=name: re.search(r"waiting at most 40 s to hear from .*'node2'", r.nodes[n].log_text()), 30)
    time.sleep(5)
    old.node.start_agent()
    of_the_data(r, old, started)


def test_group_without_one_member_makes_a_cluster_in_the_end(make_rig):
    """Nobody has data, and the host that might have never comes."""
    r = make_rig()  # ttl 3
    configure(r)
    for node in r.nodes.values():
        leave_out_bootstrap(node)
        node.start_agent()
    wait_for("all have told their names", lambda: len(r.members()) == 3, 60)
    for node in r.nodes.values():
        node.kill_agent(signal.SIGTERM)
        wait_for("the agent has ended", lambda n=node: n.agent_pid() is None, 20)
    configure(r)
    for name in ("node1", "node3"):
        r.nodes[name].start_agent()
    r.wait_healthy(2, timeout=60)
    assert any(re.search(r"waiting at most 6 s to hear from .*'node2'", r.nodes[name].log_text()) for name in ("node1", "node3"))


def content(*paths):
    """All files of configuration below, by name."""
    found = {}
    for path in paths:
        for name in sorted(os.listdir(path)):
            if ".conf" in name:
                with open(os.path.join(path, name)) as f:
                    found[os.path.join(path, name)] = f.read()
    return found


def test_server_of_another_cluster_keeps_its_files(make_rig):
    r = make_rig()
    configure(r)
    r.start_all()
    r.wait_healthy(timeout=120)
    node = r.nodes["node1"]
    node.kill_agent(signal.SIGTERM)
    wait_for("the agent has ended", lambda: node.agent_pid() is None, 30)
    for path in (node.data_dir, os.path.join(node.home, "etc"), os.path.join(node.home, "sockets")):
        shutil.rmtree(path)
    other = Standalone(r, "listen_addresses = '*'\n", "node1")
    other.start()
    other.prepare()
    started, before = other.started(), content(other.etc, node.data_dir)
    node.start_agent()
    wait_for("it is told", lambda: "the data directory is of another cluster" in node.log_text(), 30)
    answer = r.ctl("edit-config", "-p", "work_mem=9MB", "--force")
    assert answer.returncode == 0, answer.stderr
    for name in ("node2", "node3"):
        wait_for("the others have it", lambda n=name: r.sql(r.nodes[n], "SHOW work_mem") == "9MB", 30)
    time.sleep(3)
    assert content(other.etc, node.data_dir) == before
    assert other.started() == started and other.sql("SHOW work_mem") == "7MB"
