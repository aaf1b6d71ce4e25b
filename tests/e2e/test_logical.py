"""Permanent logical slots: a consumer of test_decoding goes on, whoever is the primary, and misses nothing."""
import re
import subprocess

import pytest

from rig import POSTGRESQL, wait_for

CONSUME = "SELECT data FROM pg_logical_slot_get_changes('app', NULL, NULL)"


class Consumer:
    """Reads from the slot of whoever leads. What was read and not confirmed to the server may come twice, nothing may be missing."""

    def __init__(self, rig):
        self.rig, self.next, self.seen = rig, 1, []

    def write(self, count):
        self.rig.sql(self.rig.leader(), f"INSERT INTO changes SELECT generate_series({self.next}, {self.next + count - 1})", timeout=30)
        self.next += count

    def consume(self):
        text = self.rig.sql(self.rig.leader(), CONSUME, timeout=30)
        self.seen += [int(n) for n in re.findall(r"table public.changes: INSERT: n\[integer\]:(\d+)", text)]

    def has_all(self):
        """A step back is a repetition; a step forward of more than one is a gap."""
        gaps = [(a, b) for a, b in zip([0] + self.seen, self.seen) if b > a + 1]
        assert not gaps, f"missing between {gaps}"
        return sorted(set(self.seen)) == list(range(1, self.next))


def slot(rig, node, column="slot_name", name="app"):
    try:
        return rig.sql(node, f"SELECT {column} FROM pg_replication_slots WHERE slot_name = '{name}'")
    except subprocess.SubprocessError:
        return None


def is_safe(rig, node, name="app"):
    _, text = rig.http(node.rest_address, "/metrics", timeout=5)
    return "pgquorum_slot_catalog_xmin_age{" in text and any(line.startswith("pgquorum_logical_slot_safe{") and f'slot="{name}"' in line and line.endswith(" 1") for line in text.splitlines())


def all_safe(rig, consumer):
    """The consumer goes on meanwhile: 17 takes a slot over only when it has got to where the standby began."""
    def goes_on(node):
        consumer.write(1)
        consumer.consume()
        return is_safe(rig, node)
    for node in rig.nodes.values():
        wait_for(f"the slot is good on {node.name}", lambda n=node: goes_on(n), 150, 0.5)


def lead_anew(rig, old):
    wait_for("another leader", lambda: rig.leader() not in (None, old), 40)
    wait_for("it takes writes", lambda: slot(rig, rig.leader(), "pg_is_in_recovery()") == "f", 30)


def logical_everywhere(rig, more):
    """wal_level logical, and more of the configuration, on a cluster that runs."""
    rig.ctl("edit-config", "--force", "-p", "wal_level=logical", *more)
    for node in rig.nodes.values():
        wait_for(f"{node.name} waits for a restart", lambda n=node: rig.members()[n.name].get("Pending restart") == "*", 20)
    for node in rig.replicas() + [rig.leader()]:
        rig.ctl("restart", "postgres", node.name, "--force", timeout=120)
    rig.wait_healthy()


def with_slot(rig):
    """Refused until wal_level is logical; a running cluster gets both, and a consumer."""
    database = rig.sql(rig.leader(), "SELECT current_database()")
    wanted = ["-s", "slots.app.type=logical", "-s", f"slots.app.database={database}", "-s", "slots.app.plugin=test_decoding"]
    answer = rig.ctl("edit-config", "--force", *wanted, check=False)
    assert answer.returncode != 0 and "a logical slot needs wal_level logical" in answer.stdout + answer.stderr
    logical_everywhere(rig, wanted)
    wait_for("the slot", lambda: slot(rig, rig.leader()) == "app", 60)
    rig.sql(rig.leader(), "CREATE TABLE changes (n int PRIMARY KEY)")
    return Consumer(rig)


def go_through_a_life(rig):
    consumer = with_slot(rig)
    for _ in range(3):
        consumer.write(20)
        consumer.consume()
    all_safe(rig, consumer)
    for node in rig.nodes.values():
        assert rig.sql(node, "SHOW hot_standby_feedback") == "on"

    # The primary's node is lost, with changes that nobody has read yet.
    consumer.write(20)
    consumer.consume()
    consumer.write(15)
    old = rig.leader()
    rig.sql(old, "CHECKPOINT", timeout=60)
    position = rig.sql(old, "SELECT pg_current_wal_lsn()")
    for node in rig.replicas():
        wait_for(f"{node.name} has it", lambda n=node: rig.sql(n, f"SELECT pg_last_wal_replay_lsn() >= '{position}'") == "t", 20)
    old.kill_node()
    lead_anew(rig, old)
    consumer.write(5)
    consumer.consume()
    assert consumer.has_all()
    old.start_agent()
    rig.wait_streaming(old)
    consumer.write(5)
    consumer.consume()
    all_safe(rig, consumer)

    # Back in order.
    consumer.write(10)
    before = rig.leader()
    rig.ctl("switchover", "--leader", before.name, "--candidate", old.name, "--force", timeout=60)
    lead_anew(rig, before)
    consumer.write(5)
    consumer.consume()
    assert consumer.has_all()
    rig.wait_healthy()
    return consumer


def test_consumer_goes_on_after_a_failover_and_a_switchover(cluster):
    consumer = go_through_a_life(cluster)
    leader, standby = cluster.leader(), cluster.replicas()[0]

    # A restart keeps it, and it moves on.
    cluster.ctl("restart", "postgres", standby.name, "--force", timeout=120)
    cluster.wait_streaming(standby)
    assert slot(cluster, standby) == "app"
    consumer.write(50)
    consumer.consume()
    assert consumer.has_all()
    cluster.sql(leader, "CHECKPOINT", timeout=60)
    all_safe(cluster, consumer)
    confirmed = slot(cluster, leader, "confirmed_flush_lsn")
    wait_for("the standby's goes on", lambda: cluster.sql(standby, f"SELECT confirmed_flush_lsn >= '{confirmed}' FROM pg_replication_slots"
                                                                   " WHERE slot_name = 'app'") == "t", 60)

    # Taken out of the configuration it goes everywhere, and holds nothing back any more.
    cluster.ctl("edit-config", "--force", "-s", "slots=null")
    for node in cluster.nodes.values():
        wait_for(f"it is gone from {node.name}", lambda n=node: slot(cluster, n) == "", 60)
    held = "SELECT count(*) FROM pg_replication_slots WHERE catalog_xmin IS NOT NULL"  # by members' slots, too
    for node in cluster.nodes.values():
        wait_for(f"nothing is held on {node.name}", lambda n=node: cluster.sql(n, held) == "0", 60)


def test_lost_slot_is_made_anew_and_told_of(cluster):
    """Its consumer was away for longer than WAL may be kept: the disk does not fill up, and nobody believes that nothing is missing."""
    leader = cluster.leader()
    database = cluster.sql(leader, "SELECT current_database()")
    if cluster.sql(leader, "SHOW wal_level") != "logical":
        with_slot(cluster)
    cluster.ctl("edit-config", "--force", "-p", "max_slot_wal_keep_size=32MB", "-s", "slots.app.type=logical", "-s", f"slots.app.database={database}",
                "-s", "slots.app.plugin=test_decoding")
    leader = cluster.leader()
    wait_for("the limit", lambda: cluster.sql(leader, "SHOW max_slot_wal_keep_size") == "32MB", 15)
    wait_for("the slot", lambda: slot(cluster, leader) == "app", 60)
    cluster.sql(leader, "CREATE TABLE IF NOT EXISTS wal (n int)")
    for _ in range(14):
        cluster.sql(leader, "INSERT INTO wal VALUES (1)")
        cluster.sql(leader, "SELECT pg_switch_wal()")
    cluster.sql(leader, "CHECKPOINT", timeout=60)
    wait_for("it is told", lambda: "the logical replication slot 'app' is made anew, since it is lost" in leader.log_text(), 30)
    wait_for("it holds WAL again", lambda: slot(cluster, leader, "wal_status IN ('reserved', 'extended')") == "t", 60)
    cluster.ctl("edit-config", "--force", "-p", "max_slot_wal_keep_size=null", "-s", "slots=null")
    for node in cluster.nodes.values():
        wait_for(f"it is gone from {node.name}", lambda n=node: slot(cluster, n) == "", 60)


def reads_for_ever(rig, node):
    """A consumer that stays connected, as most do."""
    url = f"host={node.address} user=postgres password=zalando dbname=postgres"
    return rig.host_popen("client", [POSTGRESQL + "/pg_recvlogical", "-d", url, "--slot", "app", "--start", "--no-loop", "-f", "/dev/null"],
                          stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.rest  # there is a 17 in make debian13
def test_slot_that_is_read_for_ever_is_marked_when_its_consumer_goes_away(cluster):
    """One that was there without `failover`: 17 changes no slot that is in use. That is told, and the consumer is left alone."""
    leader = cluster.leader()
    if int(cluster.sql(leader, "SHOW server_version_num")) < 170000:
        pytest.skip("PostgreSQL copies slots from 17 on")
    if cluster.sql(leader, "SHOW wal_level") != "logical":
        logical_everywhere(cluster, [])
        cluster.sql(cluster.leader(), "CREATE TABLE changes (n int PRIMARY KEY)")
    leader = cluster.leader()
    cluster.sql(leader, "SELECT pg_create_logical_replication_slot('app', 'test_decoding')", timeout=60)
    reader = reads_for_ever(cluster, leader)
    try:
        wait_for("it reads", lambda: slot(cluster, leader, "active") == "t", 20)
        pid = slot(cluster, leader, "active_pid")
        cluster.ctl("edit-config", "--force", "-s", "slots.app.type=logical", "-s", "slots.app.database=postgres", "-s", "slots.app.plugin=test_decoding")
        wait_for("it is told", lambda: "the logical replication slot 'app' is not carried over a failover: it was made without 'failover'" in leader.log_text(), 30)
        assert "it is not carried over a failover: stop its consumer for some seconds" in cluster.ctl("explain", leader.name).stdout
        told = leader.log_text().count("'app' is not carried over a failover")
        looks = cluster.sql(leader, "SELECT pg_current_wal_lsn()")
        cluster.sql(leader, "INSERT INTO changes VALUES (-1)")
        wait_for("it goes on", lambda: slot(cluster, leader, f"confirmed_flush_lsn > '{looks}'") == "t", 30)
        assert slot(cluster, leader, "failover, active_pid") == f"f|{pid}", "it was not disturbed"
        assert leader.log_text().count("'app' is not carried over a failover") == told, "told once"
        for node in cluster.replicas():
            assert slot(cluster, node) == "", "nothing that is not marked is copied"
    finally:
        reader.terminate()
        reader.wait()
    wait_for("it is marked", lambda: slot(cluster, leader, "failover") == "t", 30)
    assert "is not carried over" not in cluster.ctl("explain", leader.name).stdout
    consumer = Consumer(cluster)
    consumer.next = 1 + int(cluster.sql(leader, "SELECT coalesce(max(n), 0) FROM changes"))
    all_safe(cluster, consumer)
    reader = reads_for_ever(cluster, leader)  # and now it may
    try:
        wait_for("it reads", lambda: slot(cluster, leader, "active, failover") == "t|t", 20)
    finally:
        reader.terminate()
        reader.wait()
    cluster.ctl("edit-config", "--force", "-s", "slots=null")
    for node in cluster.nodes.values():
        wait_for(f"it is gone from {node.name}", lambda n=node: slot(cluster, n) == "", 60)


@pytest.mark.rest
def test_consumer_goes_on_with_etcd(make_rig):
    rig = make_rig(store="etcd3", ttl=5, loop_wait=1, retry_timeout=2)
    rig.start_all()
    rig.wait_healthy()
    go_through_a_life(rig)
