"""Standbys that stream from another standby (tag replicatefrom), and from nobody (tag nostream)."""
import os
import shutil
import tempfile
import time

import pytest

import checks
import faults
from rig import TIMES, wait_for

ON_EITHER_STORE = True


def tag(node, line):
    """Another tag in the node's file, read by an agent that starts anew; PostgreSQL runs on."""
    with open(node.config) as f:
        text = f.read()
    assert "\ntags:\n" in text
    with open(node.config, "w") as f:
        f.write(text.replace("\ntags:\n", f"\ntags:\n  {line}\n"))
    node.kill_agent()
    wait_for("its agent is gone", lambda: node.agent_pid() is None, 10)
    node.start_agent()


def receivers(rig, node):
    """Who streams from `node`, by its PostgreSQL."""
    return set(rig.sql(node, "SELECT application_name FROM pg_stat_replication WHERE state = 'streaming'").split())


def streams(rig, node, source):
    return wait_for(f"{node.name} to stream from {source.name}", lambda: node.name in receivers(rig, source), 40)


def start(make_rig, store):
    rig = make_rig(store=store, **TIMES[store])
    rig.start_all()
    rig.settle()
    leader = rig.leader()
    middle, last = rig.replicas()
    return rig, leader, middle, last


def agrees(rig, load):
    """All that was acknowledged is there, and everybody has the same."""
    for node in rig.nodes.values():
        wait_for(f"{node.name} has caught up", lambda n=node: faults.has_caught_up(rig, n), 30)
    missing, phantom = checks.lost(rig, rig.leader(), load.histories)
    assert not any(missing.values()) and not any(phantom.values()), (missing, phantom)


def test_cascade_of_three_and_its_middle_is_lost(make_rig, store):
    rig, leader, middle, last = start(make_rig, store)
    tag(last, f"replicatefrom: {middle.name}")
    streams(rig, last, middle)
    assert rig.sql(middle, f"SELECT active FROM pg_replication_slots WHERE slot_name = '{last.name}'") == "t"
    with faults.Load(rig) as load:
        middle.kill_node()
        since = time.monotonic()
        streams(rig, last, leader)
        took = time.monotonic() - since
        middle.start_agent()
        streams(rig, middle, leader)
        streams(rig, last, middle)  # again
    assert took < 2 * rig.settings["loop_wait"] + rig.settings["ttl"] + 3, took
    assert rig.leader() is leader
    agrees(rig, load)
    with faults.Load(rig) as load:  # who was in the middle leads, and then is lost
        rig.ctl("switchover", "--leader", leader.name, "--candidate", middle.name, "--force")
        streams(rig, last, middle)
        load.wait_writable(20)
    rig.wait_healthy()
    agrees(rig, load)
    middle.kill_node()
    wait_for("another leader", lambda: rig.leader() not in (None, middle), 40)
    middle.start_agent()
    rig.wait_healthy(timeout=90)
    assert len({row["TL"] for row in rig.members().values()}) == 1


@pytest.mark.rest
def test_circle_of_standbys_streams_from_the_leader(make_rig):
    rig, leader, one, other = start(make_rig, "raft")
    rig.ctl("edit-config", "--force", "-s", "synchronous_mode=true")
    tag(one, f"replicatefrom: {other.name}")
    streams(rig, one, other)
    # Who streams from a standby confirms nothing to the primary.
    wait_for("one synchronous standby", lambda: rig.members()[other.name]["Role"] == "Sync Standby", 20)
    assert rig.members()[one.name]["Role"] == "Replica"
    with faults.Load(rig) as load:
        tag(other, f"replicatefrom: {one.name}")
        streams(rig, one, leader)
        streams(rig, other, leader)
    rig.wait_healthy()
    assert receivers(rig, one) == receivers(rig, other) == set()
    agrees(rig, load)


ARCHIVE = """\
    archive_mode: 'on'
    archive_command: cp %p {archive}/%f
  recovery_conf:
    restore_command: cp {archive}/%f %p
"""


@pytest.fixture
def archive():
    path = tempfile.mkdtemp(prefix="archive")
    os.chmod(path, 0o755)
    shutil.chown(path, "postgres", "postgres")
    yield path
    shutil.rmtree(path)


@pytest.mark.rest
def test_member_without_streaming_lives_by_the_archive(make_rig, archive):
    rig = make_rig(extra=ARCHIVE.format(archive=archive))
    rig.start_all()
    rig.settle()
    leader = rig.leader()
    other, apart = rig.replicas()
    rig.ctl("edit-config", "--force", "-s", "member_slots_ttl=2", "-s", "synchronous_mode=true")
    tag(apart, "nostream: true")
    wait_for("it has left the primary", lambda: receivers(rig, leader) == {other.name}, 20)
    wait_for("it tries nobody", lambda: rig.sql(apart, "SHOW primary_conninfo") == "", 20)
    state = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = '%s'" % apart.name
    wait_for("no slot for it", lambda: rig.sql(leader, state) == rig.sql(other, state) == "0", 30)
    wait_for("its state", lambda: rig.members()[apart.name]["State"] == "in archive recovery", 20)
    wait_for("the other is synchronous", lambda: rig.members()[other.name]["Role"] == "Sync Standby", 20)
    assert rig.members()[apart.name]["Role"] == "Replica"

    def arrives(source, table):
        rig.sql(source, f"CREATE TABLE {table} AS SELECT 1")
        rig.sql(source, "SELECT pg_switch_wal()")
        wait_for(f"{table} by the archive", lambda: rig.sql(apart, f"SELECT to_regclass('{table}') IS NOT NULL") == "t", 30)

    arrives(leader, "first")
    leader.kill_node()
    wait_for("the other leads", lambda: rig.leader() is other, 30)
    rig.sql(other, "CHECKPOINT")
    wait_for("it can be written to", lambda: rig.sql(other, "SELECT pg_is_in_recovery()") == "f", 30)
    rig.ctl("edit-config", "--force", "-s", "synchronous_mode=false")
    arrives(other, "second")
    assert rig.sql(apart, "SELECT count(*) FROM pg_stat_wal_receiver") == "0"
    leader.start_agent()
    wait_for("the old primary streams", lambda: receivers(rig, other) == {leader.name}, 60)
