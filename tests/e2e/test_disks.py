"""A server that hangs, and disks that take no writes: the key goes where another node is better, and nothing acknowledged is lost."""
import json
import os
import shutil
import signal
import subprocess
import time

import pytest

import checks
import faults
from disks import Disks
from rig import command_line, wait_for


def trouble(node):
    status, body = node.rig.http(node.address, "/patroni")
    return json.loads(body).get("trouble", "") if status is not None else None


def takes_writes(rig):
    """Not while it is being stopped, or started in place: what full disks have asked for may end when there is space again."""
    leader = rig.leader()
    try:
        return leader is not None and rig.sql(leader, "CREATE TABLE IF NOT EXISTS healed (i int); SELECT 1").endswith("1")
    except subprocess.CalledProcessError:
        return False


def listed(rig, words):
    return words in rig.ctl("list").stdout


@pytest.fixture
def impatient(cluster):
    """A cluster that takes a postmaster for hung after 6 s."""
    faults.configure(cluster, postmaster_hang_timeout=6)
    yield cluster
    faults.configure(cluster, postmaster_hang_timeout="null")


def test_hung_postmaster_is_killed_and_started_in_place(impatient):
    """Its sessions go on, nobody new gets in, and it does not hear SIGQUIT."""
    old = impatient.leader()
    postmaster = old.postmaster_pid()
    with faults.Load(impatient) as load:
        os.kill(postmaster, signal.SIGSTOP)
        stopped = time.monotonic()
        wait_for("the trouble is told", lambda: "no new connection" in (trouble(old) or ""), 15)
        assert listed(impatient, "answers no new connection"), impatient.ctl("list").stdout
        wait_for("another postmaster", lambda: old.postmaster_pid() not in (None, postmaster), 30)
        took = time.monotonic() - stopped
        load.wait_writable(30)
    assert impatient.leader() is old, "restarted in place"
    result = faults.verify(impatient, load, may_lose=False)
    print("hung", result, "another postmaster after", took)
    assert result["direct"] < 15 and took < 20
    wait_for("the trouble is over", lambda: trouble(old) == "", 15)


@pytest.mark.rest
def test_hung_postmaster_without_a_start_timeout_gives_the_key_away(impatient):
    old = impatient.leader()
    impatient.ctl("edit-config", "-s", "primary_start_timeout=0", "--force")
    try:
        with faults.Load(impatient) as load:
            os.kill(old.postmaster_pid(), signal.SIGSTOP)
            faults.wait_new_leader(impatient, old)
            load.wait_writable(30)
        print("hung, given away", faults.verify(impatient, load, may_lose=True))
    finally:
        impatient.ctl("edit-config", "-s", "primary_start_timeout=null", "--force")


@pytest.mark.rest
def test_hung_standby_is_restarted(impatient):
    old = impatient.leader()
    standby = impatient.replicas()[0]
    postmaster = standby.postmaster_pid()
    os.kill(postmaster, signal.SIGSTOP)
    wait_for("another postmaster", lambda: standby.postmaster_pid() not in (None, postmaster), 30)
    impatient.wait_healthy()
    impatient.wait_streaming(standby)
    assert impatient.leader() is old


@pytest.mark.rest
def test_crash_loop_gives_the_key_away(cluster):
    """Each start comes up and dies: not for ever."""
    old = cluster.leader()
    with faults.Load(cluster) as load:
        for _ in range(12):
            wait_for("it runs, or another one leads", lambda: cluster.leader() is not old or old.postmaster_pid() is not None, 30)
            if cluster.leader() not in (old, None):
                break
            pid = old.postmaster_pid()
            if pid is not None:
                try:
                    wait_for("it is writable", lambda: cluster.http_status(old.address, "/primary") == 200, 10)
                    os.kill(pid, signal.SIGKILL)
                except (ProcessLookupError, TimeoutError):
                    pass
            time.sleep(0.5)
        faults.wait_new_leader(cluster, old)
        load.wait_writable(30)
    assert "it went down 5 times" in old.log_text()
    faults.verify(cluster, load, may_lose=True)


@pytest.fixture
def unharmed(make_rig):
    """Three healthy members none of which has gone down before: crashes count for minutes."""
    r = make_rig()
    r.start_all()
    r.haproxy = r.start_haproxy()
    r.wait_healthy()
    return r


@pytest.mark.rest
def test_backends_that_die_again_and_again_give_the_key_away(unharmed):
    """PostgreSQL restarts itself each time, under the same postmaster; in the end it is stopped in order."""
    old = unharmed.leader()
    postmaster = old.postmaster_pid()

    def writer():
        return next((pid for pid in old.processes() if "background writer" in "".join(command_line(pid))), None)

    with faults.Load(unharmed) as load:
        for _ in range(5):
            assert old.postmaster_pid() == postmaster
            wait_for("it is up", lambda: writer() is not None and unharmed.http_status(old.address, "/primary") == 200, 30)
            time.sleep(1.5)  # a look at who is there meanwhile
            told = old.log_text().count("has restarted itself")
            os.kill(writer(), signal.SIGKILL)
            wait_for("it was noticed", lambda n=told: old.log_text().count("has restarted itself") > n, 30)
        faults.wait_new_leader(unharmed, old)
        load.wait_writable(30)
    assert "it went down 5 times within crash_loop_window" in old.log_text()
    faults.verify(unharmed, load, may_lose=False)


def forget(node, file, offset):
    """As a disk that had not synced what it said: its WAL ends there."""
    directory = os.path.join(node.data_dir, "pg_wal")
    for name in os.listdir(directory):
        if len(name) == len(file) and name[:8] == file[:8] and name > file:
            os.unlink(os.path.join(directory, name))
    path = os.path.join(directory, file)
    size = os.path.getsize(path)
    os.truncate(path, offset)
    os.truncate(path, size)


@pytest.mark.rest
def test_standbys_tell_that_their_primary_has_lost_wal(make_rig):
    """It comes back as the primary, on its own timeline, and behind them: they stop, and keep what they have."""
    r = make_rig()
    r.start_all()
    r.wait_healthy()
    old = r.leader()
    standbys = r.replicas()
    r.sql(old, "CREATE TABLE synced (i int); CHECKPOINT; SELECT 1")
    file, offset = r.sql(old, "SELECT file_name || ' ' || file_offset FROM pg_walfile_name_offset(pg_current_wal_flush_lsn())").split()
    r.sql(old, "CREATE TABLE forgotten AS SELECT generate_series(1, 200000) i; SELECT 1")
    wait_for("both have all of it", lambda: r.sql(old, "SELECT count(*) FROM pg_stat_replication WHERE flush_lsn = pg_current_wal_flush_lsn()") == "2", 30)
    for node in r.nodes.values():
        node.kill_node()
    forget(old, file, int(offset))
    for node in [old, *standbys]:
        node.start_agent()
    wait_for("it leads again", lambda: r.leader() is old and r.http_status(old.address, "/primary") == 200, 60)
    assert r.sql(old, "SELECT to_regclass('synced') IS NOT NULL AND to_regclass('forgotten') IS NULL") == "t"
    wait_for("it is told", lambda: r.ctl("list").stdout.count("the primary has lost WAL that is here") == 2, 60)
    for node in standbys:
        wait_for(f"{node.name} has stopped", lambda n=node: n.postmaster_pid() is None, 60)
        assert f"the primary '{old.name}' has lost WAL that was synced" in node.log_text()
        assert f"'{old.name}' has lost WAL that is here, of its own timeline" in node.log_text()
    assert r.leader() is old
    taken, kept = standbys
    taken.kill_node()
    shutil.rmtree(taken.data_dir)
    taken.start_agent()
    wait_for("it is copied anew", lambda: r.sql(old, "SELECT string_agg(state, ' ') FROM pg_stat_replication") == "streaming", 60)
    assert kept.postmaster_pid() is None and os.path.exists(os.path.join(kept.data_dir, "PG_VERSION"))


@pytest.fixture
def disked(make_rig):
    """Three healthy members, each with its data directory and its pg_wal on small file systems of their own."""
    r = make_rig()
    disks = Disks(r)
    try:
        r.start_all()
        r.haproxy = r.start_haproxy()
        r.wait_healthy()
        r.disks = disks
        yield r
    finally:
        for disk in [*disks.data.values(), *disks.wal.values()]:
            disk.thaw()
        for node in r.nodes.values():
            node.kill_node()
        disks.close()


def is_serving(rig, node, started):
    return rig.leader() is node and rig.sql(node, "SELECT pg_postmaster_start_time()") == started


def test_stalled_disk_costs_the_key_and_a_hiccup_does_not(disked):
    """FS-59: REST answers all the while, nobody acknowledges when the disk is back, and the node comes back by itself."""
    old = disked.leader()
    disk = disked.disks.data[old.name]
    started = disked.sql(old, "SELECT pg_postmaster_start_time()")
    disk.freeze()
    time.sleep(0.5)
    disk.thaw()
    time.sleep(3)
    assert is_serving(disked, old, started), "half a second of a disk is no failure"

    inside = disked.writer("inside", old.address, read_write=False)
    with faults.Load(disked) as load:
        load.writers["inside"] = inside
        wait_for("the client on the old primary writes", lambda: load.acknowledged(inside), 30)
        disk.freeze()
        frozen = time.monotonic()
        wait_for("the trouble is told", lambda: "does not answer writes" in (trouble(old) or ""), 10)
        new = faults.wait_new_leader(disked, old)
        took = time.monotonic() - frozen
        load.wait_writable(30, but=["inside"])
        assert listed(disked, "does not answer writes")
        assert disked.http_status(old.address, "/primary") == 503 and disked.http_status(old.address, "/liveness") in (200, 503)
        while time.monotonic() < frozen + 22:  # it has been given up by any measure
            assert disked.http_status(old.address, "/primary") == 503, "REST hangs with the disk"
            time.sleep(1)
        thawed = time.monotonic()
        disk.thaw()
        disked.wait_healthy(timeout=90)
        late = [e for e in checks.read(inside) if e["result"] == "ok" and e["node"] == old.address and e["end"] > thawed]
    assert disked.leader() is new
    result = faults.verify(disked, load, may_lose=True)
    print("stalled", result, "another leader after", took, "acknowledged by the old one after its disk was back:", len(late))
    assert not [e for e in late if e["begin"] < thawed and e["end"] > thawed], late
    assert took < 15


@pytest.mark.rest
def test_stalled_wal_disk_is_found_apart_from_the_data(disked):
    old = disked.leader()
    with faults.Load(disked) as load:
        disked.disks.wal[old.name].freeze()
        wait_for("the trouble names it", lambda: "'pg_wal'" in (trouble(old) or ""), 10)
        faults.wait_new_leader(disked, old)
        load.wait_writable(30)
        disked.disks.wal[old.name].thaw()
    faults.verify(disked, load, may_lose=True)


@pytest.mark.rest
def test_wal_disk_that_fills_up_is_left_in_time(disked):
    """Nothing is lost: what still writes is stopped in order. With space again, the node is as good as any."""
    old = disked.leader()
    disk = disked.disks.wal[old.name]
    with faults.Load(disked) as load:
        disk.fill(leave_mib=24)
        faults.wait_new_leader(disked, old)
        load.wait_writable(30)
        assert listed(disked, "the disk of 'pg_wal' is almost full"), disked.ctl("list").stdout
    assert "PANIC" not in old.log_text()
    disk.empty()
    wait_for("the trouble is over", lambda: trouble(old) == "", 15)
    print("almost full", faults.verify(disked, load, may_lose=False))


@pytest.mark.rest
def test_full_wal_disk_panics_and_heals_without_surgery(disked):
    """Full at once, before anybody could see it coming."""
    old = disked.leader()
    disk = disked.disks.wal[old.name]
    disked.ctl("edit-config", "-s", "minimum_free_disk=0", "--force")
    with faults.Load(disked) as load:
        disk.fill()
        wait_for("the trouble is told", lambda: "is full" in (trouble(old) or ""), 15)
        faults.wait_new_leader(disked, old, 60)
        load.wait_writable(60)
        time.sleep(5)
        starts = old.log_text().count("starting PostgreSQL")
        time.sleep(10)
        assert old.log_text().count("starting PostgreSQL") - starts <= 3, "it is started again and again"
    disk.empty()
    print("full", faults.verify(disked, load, may_lose=True))


@pytest.mark.rest
def test_full_wal_disks_everywhere_leave_the_primary_where_it_is(disked):
    """Nobody is better: it keeps trying, and says so; with space again all is as before."""
    old = disked.leader()
    disked.ctl("edit-config", "-s", "minimum_free_disk=0", "--force")
    for disk in disked.disks.wal.values():
        disk.fill()
    for node in disked.nodes.values():
        wait_for(f"the trouble of {node.name} is told", lambda n=node: "is full" in (trouble(n) or ""), 15)
    time.sleep(15)
    assert disked.leader() in (old, None) and "the disk of 'pg_wal' is full" in disked.ctl("list").stdout
    for disk in disked.disks.wal.values():
        disk.empty()
    disked.wait_healthy(timeout=120)
    wait_for("it can be written to", lambda: takes_writes(disked), 30)
    assert disked.leader() is old


@pytest.mark.rest
def test_disk_that_becomes_read_only(disked):
    old = disked.leader()
    disk = disked.disks.data[old.name]
    with faults.Load(disked) as load:
        disk.fail()
        wait_for("the trouble is told", lambda: trouble(old) not in ("", None), 15)
        faults.wait_new_leader(disked, old)
        load.wait_writable(30)
    old.kill_node()
    disked.disks.replace(old.name)
    old.start_agent()
    print("read-only", faults.verify(disked, load, may_lose=True))
