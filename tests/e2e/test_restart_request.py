"""Restarts of PostgreSQL on request: role and lease stay, and what is asked for is what happens (docs/operations.md)."""
import datetime
import os
import shutil
import threading

import pytest

import faults
from rest import SCOPE, document, rest
from rig import wait_for
from test_pause import pg_ctl, postmaster, start_by_hand

ON_EITHER_STORE = True


def started(rig, node):
    return rig.sql(node, "SELECT pg_postmaster_start_time()")


def starts(rig):
    return {node.name: started(rig, node) for node in rig.nodes.values()}


def timelines(rig):
    return {row.get("TL") for row in rig.members().values()}


def logged(rig, words):
    return sum(node.log_text().count(words) for node in rig.nodes.values())


def restart(rig, *nodes, options=()):
    answer = rig.ctl("restart", SCOPE, *(node.name for node in nodes), "--force", *options, timeout=120)
    for node in nodes:
        assert f"Success: restart on member {node.name}" in answer.stdout, answer.stdout + answer.stderr
    return answer


def pending(rig):
    return {name: row.get("Pending restart reason", "") for name, row in rig.members().items() if row.get("Pending restart")}


def at(seconds):
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return when.isoformat(timespec="seconds")


def test_all_members_under_a_writer(cluster):
    rig = cluster
    leader, before, line = rig.leader(), starts(rig), timelines(rig)
    keys_gone = logged(rig, "the leader key is gone")
    with faults.Load(rig) as load:
        for node in [*rig.replicas(), leader]:
            restart(rig, node)
            rig.wait_healthy()
        load.wait_writable(30)
    after = starts(rig)
    assert all(after[name] != before[name] for name in after), "somebody was not restarted"
    assert rig.leader() is leader and timelines(rig) == line, "a failover"
    assert logged(rig, "the leader key is gone") == keys_gone, "the lease was not kept"
    print("restart", faults.verify(rig, load, may_lose=False))


def test_conditions(cluster):
    rig = cluster
    leader, before = rig.leader(), starts(rig)
    standby = rig.replicas()[0]
    refused = [(leader, {"role": "replica"}), (standby, {"role": "primary"}), (leader, {"postgres_version": "9.6.1"}), (leader, {"restart_pending": True})]
    for node, body in refused:
        status, text = rest(rig, node, "POST", "/restart", body)
        assert status == 503 and text.startswith("restart conditions are not satisfied"), (status, text)
    assert starts(rig) == before
    assert rest(rig, standby, "POST", "/restart", {"role": "replica", "postgres_version": "99.1", "timeout": "1min"}) == (200, "restarted successfully")
    assert started(rig, standby) != before[standby.name]
    answer = rig.ctl("restart", SCOPE, "--force", "-r", "leader", "--pg-version", "9.6.1")
    assert f"Failed: restart for member {leader.name}, status code=503" in answer.stdout, answer.stdout
    assert "No member waits for a restart" in rig.ctl("restart", SCOPE, "--force", "--pending").stdout
    assert started(rig, leader) == before[leader.name]


def wait_max_connections(rig, value, nodes):
    for node in nodes:
        wait_for(f"max_connections of {node.name}", lambda n=node: rig.sql(n, "SHOW max_connections") == value, 30)


def wait_pending(rig, expected, what):
    """{name: reason}"""
    wait_for(what, lambda: pending(rig) == expected, 30)


def test_parameter_that_needs_a_restart(cluster):
    """Up: standbys first, or they would stand still; down: the primary first, for a standby that has less than its primary had does not start."""
    rig = cluster
    leader, standbys = rig.leader(), rig.replicas()
    old = rig.sql(leader, "SHOW max_connections")
    up, names = str(int(old) + 50), sorted(rig.nodes)
    rig.ctl("edit-config", "-p", f"max_connections={up}", "--force")
    wait_pending(rig, {name: f"max_connections: {old}->{up}" for name in names}, "all of them wait for a restart")
    told = document(rig, leader)
    assert told["pending_restart"] is True
    assert told["pending_restart_reason"] == {"max_connections": {"old_value": old, "new_value": up}}
    restart(rig, *standbys, options=["--pending"])
    rig.wait_healthy()
    wait_pending(rig, {leader.name: f"max_connections: {old}->{up}"}, "the leader alone waits")
    answer = rig.ctl("restart", SCOPE, "--force", "--pending", timeout=120)
    assert answer.stdout.count("Success: ") == 1 and f"Success: restart on member {leader.name}" in answer.stdout, answer.stdout
    rig.wait_healthy()
    wait_max_connections(rig, up, rig.nodes.values())
    wait_pending(rig, {}, "nobody waits any more")
    assert "pending_restart" not in document(rig, leader)

    rig.ctl("edit-config", "-p", f"max_connections={old}", "--force")
    waiting = {name: f"max_connections: {up}->{old}" for name in names}
    wait_pending(rig, waiting, "all of them wait again")
    restart(rig, standbys[0])  # too early: its primary still has more
    rig.wait_streaming(standbys[0])
    wait_max_connections(rig, up, [standbys[0]])
    wait_pending(rig, waiting, "it still waits")
    restart(rig, leader)
    rig.wait_healthy()
    wait_max_connections(rig, old, [leader])
    assert rig.sql(leader, "CREATE TABLE IF NOT EXISTS replayed AS SELECT 1") is not None
    for node in standbys:
        wait_for("replay", lambda n=node: rig.sql(n, "SELECT count(*) FROM pg_class WHERE relname = 'replayed'") == "1", 30)
    restart(rig, *standbys)
    rig.wait_healthy()
    wait_max_connections(rig, old, rig.nodes.values())
    wait_pending(rig, {}, "nobody waits any more")
    assert rig.leader() is leader


def test_parameter_that_postgresql_marks(cluster):
    rig = cluster
    node, names = rig.replicas()[0], sorted(rig.nodes)
    old = rig.sql(node, "SHOW shared_buffers")
    rig.ctl("edit-config", "-p", "shared_buffers=48MB", "--force")
    wait_pending(rig, {name: f"shared_buffers: {old}->48MB" for name in names}, "all of them wait for a restart")
    restart(rig, node)
    rig.wait_healthy()
    assert rig.sql(node, "SHOW shared_buffers") == "48MB"
    rig.ctl("edit-config", "-s", "postgresql.parameters.shared_buffers=null", "--force")
    wait_for("the restarted one alone waits", lambda: list(pending(rig)) == [node.name], 30)
    said = rig.ctl("restart", SCOPE, "--force", "--pending", timeout=120).stdout
    assert said.endswith(f"\nSuccess: restart on member {node.name}\n") and said.count("Success") == 1, said
    rig.wait_healthy()
    wait_pending(rig, {}, "nobody waits any more")


def scheduled(rig, node):
    return rig.members().get(node.name, {}).get("Scheduled restart", "")


def test_scheduled(cluster):
    rig = cluster
    for node in (rig.leader(), rig.replicas()[0]):
        before, when = started(rig, node), at(4)
        assert rest(rig, node, "POST", "/restart", {"schedule": when, "timeout": 30}) == (202, "Restart scheduled")
        assert document(rig, node)["scheduled_restart"] == {"schedule": when, "timeout": 30}
        assert rest(rig, node, "POST", "/restart", {"schedule": when})[0] == 409
        wait_for("it is in the list", lambda n=node, w=when: scheduled(rig, n) == w, 3)
        wait_for("it was restarted", lambda n=node, b=before: is_restarted(rig, n, b), 30)
        assert datetime.datetime.now(datetime.timezone.utc) >= datetime.datetime.fromisoformat(when)
        wait_for("it is in the list no more", lambda n=node: scheduled(rig, n) == "", 10)
        rig.wait_healthy()


def is_restarted(rig, node, before):
    try:
        return started(rig, node) != before
    except Exception:
        return False


def test_scheduled_and_not_done(cluster):
    """Deleted, overtaken by another restart, and against its conditions."""
    rig = cluster
    leader, standby = rig.leader(), rig.replicas()[0]
    before = starts(rig)
    answer = rig.ctl("restart", SCOPE, leader.name, "--force", "--scheduled", at(3600))
    assert f"Success: restart scheduled on member {leader.name}" in answer.stdout, answer.stdout
    wait_for("it is in the list", lambda: scheduled(rig, leader) != "", 10)
    answer = rig.ctl("flush", SCOPE, "restart", "--force")
    assert f"Success: flush scheduled restart for member {leader.name}" in answer.stdout, answer.stdout
    assert f"No scheduled restart for member {standby.name}" in answer.stdout
    assert "scheduled_restart" not in document(rig, leader)
    assert rest(rig, leader, "DELETE", "/restart") == (404, "no restarts are scheduled")
    assert rest(rig, leader, "POST", "/restart", {"schedule": at(2), "role": "replica"})[0] == 202
    wait_for("it is dropped", lambda: "the scheduled restart is dropped: this member has another role" in leader.log_text(), 20)
    assert starts(rig) == before
    assert rest(rig, standby, "POST", "/restart", {"schedule": at(3600)})[0] == 202
    restart(rig, standby)
    wait_for("it is dropped", lambda: "scheduled_restart" not in document(rig, standby), 20)
    assert "the scheduled restart is dropped: PostgreSQL was restarted since" in standby.log_text()


def sync_standbys(rig):
    return [name for name, row in rig.members().items() if row.get("Role") == "Sync Standby"]


def test_strict_synchronous(cluster):
    """Another one confirms before the synchronous standby stops, so commits do not wait for its start."""
    rig = cluster
    rig.ctl("edit-config", "-s", "synchronous_mode=true", "-s", "synchronous_mode_strict=true", "--force")
    try:
        first = wait_for("a synchronous standby", lambda: (sync_standbys(rig) + [None])[0], 30)
        leader = rig.leader()
        with faults.Load(rig) as load:
            restart(rig, rig.nodes[first])
            second = wait_for("another one", lambda: (sync_standbys(rig) + [None])[0], 30)
            assert second != first, "the duty was not given away"
            rig.wait_healthy()
            restart(rig, leader)
            load.wait_writable(30)
        assert f"restarting on request: commits of '{leader.name}' are to wait for somebody else first" in rig.nodes[first].log_text()
        assert rig.leader() is leader
        print("strict", faults.verify(rig, load, may_lose=False))
    finally:
        rig.ctl("edit-config", "-s", "synchronous_mode=null", "-s", "synchronous_mode_strict=null", "--force")
        wait_for("no synchronous standby", lambda: not sync_standbys(rig), 30)


def test_in_pause(cluster):
    rig = cluster
    assert "paused" in rig.ctl("pause", "--wait").stdout
    try:
        leader, before, line = rig.leader(), starts(rig), timelines(rig)
        assert rest(rig, leader, "POST", "/restart", {"schedule": at(60)}) == (500, "Can't schedule restart in the paused state")
        with faults.Load(rig) as load:
            restart(rig, *rig.replicas(), leader)
            load.wait_writable(30)
        after = starts(rig)
        assert all(after[name] != before[name] for name in after)
        assert rig.leader() is leader and timelines(rig) == line
        wait_for("no deadline again", lambda: "pgquorum_fence_armed{" in rig.http(leader.rest_address, "/metrics")[1] and armed(rig, leader) == 0, 20)
        faults.verify(rig, load, may_lose=False)
    finally:
        assert "resumed" in rig.ctl("resume", "--wait").stdout
    wait_for("a deadline", lambda: armed(rig, rig.leader()) == 1, 20)


@pytest.mark.rest
def test_in_pause_what_was_started_by_hand(cluster):
    rig = cluster
    assert "paused" in rig.ctl("pause", "--wait").stdout
    try:
        leader = rig.leader()
        pg_ctl(leader, "-m", "fast", "stop")
        wait_for("PostgreSQL is gone", lambda: postmaster(leader) is None, 20)
        assert rest(rig, leader, "POST", "/restart")[0] == 503
        start_by_hand(leader)
        wait_for("the agent has seen it", lambda: document(rig, leader).get("role") == "primary" and "xlog" in document(rig, leader), 20)
        before = started(rig, leader)
        assert rest(rig, leader, "POST", "/restart") == (200, "restarted successfully")
        assert started(rig, leader) != before and rig.leader() is leader
        wait_for("no deadline", lambda: armed(rig, leader) == 0, 20)
    finally:
        assert "resumed" in rig.ctl("resume", "--wait").stdout
    rig.wait_healthy()
    assert rig.leader() is leader


def armed(rig, node):
    lines = rig.http(node.rest_address, "/metrics")[1].splitlines()
    return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("pgquorum_fence_armed{")), None)


def test_start_that_hangs(cluster):
    """Reading pg_hba.conf, the postmaster waits for somebody to write it: the key goes to another one."""
    rig = cluster
    leader = rig.leader()
    hba, kept, pipe = (os.path.join(leader.data_dir, "pg_hba.conf"), os.path.join(leader.home, "hba.kept"), os.path.join(leader.data_dir, "pipe"))
    shutil.copy(hba, kept)
    owner = os.stat(hba)
    os.mkfifo(pipe, 0o600)
    os.chown(pipe, owner.st_uid, owner.st_gid)
    with faults.Load(rig) as load:
        os.link(pipe, pipe + ".hba")
        os.rename(pipe + ".hba", hba)
        answers = []
        asking = threading.Thread(target=lambda: answers.append(rest(rig, leader, "POST", "/restart", {"timeout": 5})))
        asking.start()
        wait_for("its state", lambda: {"Role": "Leader", "State": "restarting"}.items() <= rig.members().get(leader.name, {}).items(), 10)
        assert rest(rig, leader, "POST", "/restart") == (503, "restart already in progress")
        asking.join()
        assert answers == [(503, "postgres is still starting")], answers
        faults.wait_new_leader(rig, leader)
        load.wait_writable(30)
        shutil.copy(kept, hba + ".new")
        os.chown(hba + ".new", owner.st_uid, owner.st_gid)
        os.chmod(hba + ".new", 0o600)
        os.rename(hba + ".new", hba)
        wait_for("whoever waited has read", lambda: feed(pipe, kept) or rig.healthy(), 60)
    os.remove(pipe)
    faults.verify(rig, load, may_lose=False)


def feed(pipe, kept):
    """False as long as nobody reads: True when one has got the text."""
    try:
        fd = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return False
    with open(kept, "rb") as f, os.fdopen(fd, "wb") as out:
        out.write(f.read())
    return True
