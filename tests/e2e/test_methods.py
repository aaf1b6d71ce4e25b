"""How a cluster and its replicas are made by commands of the operator, and post_bootstrap."""
import os
import shutil
import subprocess

import pytest

from hooks import calls, command
from rig import POSTGRESQL, TIMES, wait_for

ON_EITHER_STORE = True

# The data directory and the source of a copy, out of the options that a method is called with.
ARGUMENTS = 'for a; do case $a in --datadir=*) d=${a#*=};; --connstring=*) c=${a#*=};; esac; done'


def edit(r, was, to):
    """In every member's file, after it was written."""
    for node in r.nodes.values():
        with open(node.config) as f:
            text = f.read()
        assert was in text
        with open(node.config, "w") as f:
            f.write(text.replace(was, to, 1))


def backup_of(r):
    """A base backup of a cluster that has a table; then the cluster is gone, as if it had never been."""
    r.start_all()
    r.wait_healthy()
    leader = r.leader()
    r.sql(leader, "CREATE TABLE kept AS SELECT 42 AS n")
    system_id = r.sql(leader, "SELECT system_identifier FROM pg_control_system()")
    backup = os.path.join(r.home, "backup")
    url = f"postgres://replicator:rep-pass@{leader.address}:5432/postgres"
    subprocess.run(["ip", "netns", "exec", r.namespace("client"), "pg_basebackup", "-D", backup, "-X", "stream", "-c", "fast", "-d", url],
                   check=True, timeout=60, stdin=subprocess.DEVNULL)
    subprocess.run(["chown", "-R", "postgres:postgres", backup], check=True)
    for node in r.nodes.values():
        node.kill_node()
        for path in ("data", "raft", "calls.bootstrap"):
            path = os.path.join(node.home, path)
            shutil.rmtree(path) if os.path.isdir(path) else os.path.exists(path) and os.remove(path)
    return backup, system_id


def method(r, backup, more=""):
    script = command("bootstrap", f"{ARGUMENTS}; cp -a {backup}/. $d/")
    edit(r, "\nbootstrap:\n", f"\nbootstrap:\n  method: copied\n  copied:\n    command: {script}\n    how: fast\n{more}")


def made_of(r, system_id):
    r.start_all()
    r.wait_healthy(timeout=90)
    for node in r.replicas():
        r.wait_streaming(node)
    leader = r.leader()
    assert r.sql(leader, "SELECT n FROM kept") == "42"
    for node in r.nodes.values():
        assert r.sql(node, "SELECT system_identifier FROM pg_control_system()") == system_id
    assert f"({system_id})" in r.ctl("list").stdout
    made = [node for node in r.nodes.values() if calls(node, "bootstrap")]
    assert len(made) == 1, "one of them makes it"
    assert calls(made[0], "bootstrap") == [f"--scope=postgres --datadir={made[0].data_dir} --how=fast"]
    assert r.sql(leader, "SELECT 1", user="admin", password="admin") == "1"
    return leader


@pytest.mark.rest
def test_cluster_made_of_a_base_backup(make_rig):
    r = make_rig()
    backup, system_id = backup_of(r)
    method(r, backup)
    leader = made_of(r, system_id)
    assert r.sql(leader, "SELECT timeline_id FROM pg_control_checkpoint()") == "1"
    assert "custom bootstrap copied has ended after" in leader.log_text()


@pytest.mark.rest
def test_cluster_made_by_a_recovery_to_a_target(make_rig):
    """Out of recovery it is on another timeline than the first: its number is reserved before anybody serves under it."""
    r = make_rig()
    backup, system_id = backup_of(r)
    method(r, backup, "    recovery_conf:\n      restore_command: 'false'\n      recovery_target: immediate\n")
    leader = made_of(r, system_id)
    assert r.sql(leader, "SELECT pg_is_in_recovery()") == "f"
    assert r.sql(leader, "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)") == "00000002"
    assert r.http_status(leader.address, "/primary") == 200


def test_post_bootstrap_that_fails_gives_the_cluster_up(make_rig, store):
    """FS-43. What was made goes beside, and is made anew, until the command has nothing against it."""
    r = make_rig(store=store, **TIMES[store])
    table = '/usr/bin/psql -X -d "$1" -c "CREATE TABLE made (n int)" && test -f allowed'
    edit(r, "\nbootstrap:\n", f"\nbootstrap:\n  post_bootstrap: {command('post', table)}\n")
    r.start_all()
    wait_for("it was refused twice", lambda: sum(len(calls(n, "post")) for n in r.nodes.values()) >= 2, 60)
    refused = next(n for n in r.nodes.values() if calls(n, "post"))
    assert "post_bootstrap has ended after" in refused.log_text() and "exit status 1" in refused.log_text()
    wait_for("it is beside", lambda: os.path.exists(refused.data_dir + ".failed"), 20)
    assert all(r.http_status(n.address, "/primary") != 200 for n in r.nodes.values())
    for node in r.nodes.values():
        with open(os.path.join(node.home, "allowed"), "w"):
            pass
    r.wait_healthy(timeout=90)
    assert r.sql(r.leader(), "SELECT count(*) FROM made") == "0"


def test_replica_by_the_method_that_works(make_rig, store):
    """The first fails, the second leaves what belongs to another cluster, the third is asked for a copy of the leader."""
    foreign = f"{POSTGRESQL}/initdb --no-sync -D $d >/dev/null"
    copy = '/usr/bin/pg_basebackup -D $d -d "$c" -X stream -c fast'
    r = make_rig(store=store, **TIMES[store], extra="  create_replica_methods: [broken, foreign, copied, basebackup]\n"
                       f"  broken:\n    command: {command('broken', 'exit 9')}\n"
                       f"  foreign:\n    command: {command('foreign', ARGUMENTS + '; ' + foreign)}\n"
                       f"  copied:\n    command: {command('copied', ARGUMENTS + '; ' + copy)}\n    level: 3\n")
    r.start_all()
    r.wait_healthy(timeout=90)
    for node in r.replicas():
        r.wait_streaming(node)
        assert len(calls(node, "broken")) == len(calls(node, "foreign")) == len(calls(node, "copied")) == 1
        words = calls(node, "copied")[0]
        directory = node.data_dir if store == "raft" else "/data/patroni"  # the document's, as the agent sees it
        assert words.startswith(f"--scope=postgres --role=replica --datadir={directory} --connstring=") and words.endswith(" --level=3")
        assert f"host='{r.leader().address}'" in words and "rep-pass" not in words
        text = node.log_text()
        assert "replica method broken has ended after" in text and "exit status 9" in text
        assert "replica method foreign has ended after" in text and "what it has made has system identifier" in text
        assert "replica method copied has ended after" in text
