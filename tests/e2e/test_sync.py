"""Synchronous modes: who is synchronous, what waits for whom, and that no acknowledged write is ever missing after a failover."""
import os
import signal
import subprocess
import time

import pytest

import checks
import faults
from faults import configure
from rig import wait_for


def rest(*values):
    """For check-all."""
    return [pytest.param(value, marks=pytest.mark.rest) for value in values]


def standbys(r):
    """Who stands in the key sync, by `list`."""
    return sorted(name for name, row in r.members().items() if row["Role"] in ("Sync Standby", "Quorum Standby"))


def setting(r, node=None):
    return r.sql(node or r.leader(), "SHOW synchronous_standby_names")


def others(r, *nodes):
    return sorted(n.name for n in r.nodes.values() if n not in nodes)


@pytest.fixture
def on(cluster):
    """synchronous_mode on, one standby."""
    configure(cluster, synchronous_mode="on", synchronous_mode_strict="null", synchronous_node_count="null")
    wait_for("a synchronous standby", lambda: len(standbys(cluster)) == 1, 20)
    yield cluster


@pytest.fixture
def strict_quorum(cluster):
    configure(cluster, synchronous_mode="quorum", synchronous_mode_strict="true", synchronous_node_count="null")
    wait_for("two voters", lambda: standbys(cluster) == others(cluster, cluster.leader()), 20)
    yield cluster


def test_one_standby_is_synchronous_and_another_takes_its_place(on):
    first = standbys(on)[0]
    wait_for("the setting", lambda: setting(on) == f'"{first}"', 10)
    statuses = {path: [on.http_status(n.address, path) for n in (on.leader(), on.nodes[first])] for path in ("/sync", "/async", "/quorum", "/read-only-sync")}
    assert statuses == {"/sync": [503, 200], "/async": [503, 503], "/quorum": [503, 503], "/read-only-sync": [200, 200]}
    answer = on.ctl("switchover", "--candidate", others(on, on.leader(), on.nodes[first])[0], "--force", check=False)
    assert "412, candidate name does not match with sync_standby" in answer.stdout
    on.nodes[first].kill_agent()
    on.nodes[first].kill_postmaster()
    with faults.Load(on):
        wait_for("the other one is synchronous", lambda: standbys(on) not in ([], [first]), 20)
    on.nodes[first].start_agent()
    on.wait_healthy()


def test_two_standbys_are_synchronous_where_two_are_asked_for(on):
    configure(on, synchronous_node_count=2)
    both = others(on, on.leader())
    wait_for("two synchronous standbys", lambda: standbys(on) == both, 20)
    wait_for("the setting", lambda: setting(on) == f'2 ("{both[0]}","{both[1]}")', 10)
    assert [on.http_status(on.nodes[name].address, "/sync") for name in both] == [200, 200]


def test_quorum_standbys_are_told_by_rest(strict_quorum):
    r = strict_quorum
    nodes = [r.leader(), *(r.nodes[name] for name in others(r, r.leader()))]
    statuses = {path: [r.http_status(n.address, path) for n in nodes] for path in ("/quorum", "/read-only-quorum", "/sync", "/async")}
    assert statuses == {"/quorum": [503, 200, 200], "/read-only-quorum": [200, 200, 200], "/sync": [503, 503, 503], "/async": [503, 503, 503]}


@pytest.mark.rest
def test_prepared_transactions_and_sequences_survive_a_failover(strict_quorum):
    """What was answered of them in a synchronous mode is there on the next primary (FS-56)."""
    r = strict_quorum
    configure(r, **{"postgresql.parameters.max_prepared_transactions": 20})
    wait_for("it is to be restarted", lambda: all(row.get("Pending restart") for row in r.members().values()), 20)
    for node in [*r.replicas(), r.leader()]:  # a standby that has less than its primary would stand still
        r.ctl("restart", "postgres", node.name, "--force", timeout=90)
    r.wait_healthy()
    old = r.leader()
    r.sql(old, "CREATE TABLE twice (n int); CREATE SEQUENCE numbers")
    for n in range(20):
        r.sql(old, f"BEGIN; INSERT INTO twice VALUES ({n}); PREPARE TRANSACTION 'tx{n}'")
        number = int(r.sql(old, "SELECT nextval('numbers')"))
        if n % 2:
            r.sql(old, f"COMMIT PREPARED 'tx{n}'")
    r.sql(old, "INSERT INTO twice VALUES (-1)")  # nextval alone is not waited for
    old.kill_node()
    new = faults.wait_new_leader(r, old)
    assert r.sql(new, "SELECT string_agg(gid, ' ' ORDER BY prepared) FROM pg_prepared_xacts") == " ".join(f"tx{n}" for n in range(0, 20, 2))
    assert r.sql(new, "SELECT count(*) FROM twice") == "11"
    assert int(r.sql(new, "SELECT nextval('numbers')")) > number
    for n in range(0, 20, 2):
        r.sql(new, f"{'COMMIT' if n % 4 else 'ROLLBACK'} PREPARED 'tx{n}'")
    assert r.sql(new, "SELECT count(*) FROM twice") == "16"
    old.start_agent()
    r.wait_healthy()
    configure(r, **{"postgresql.parameters.max_prepared_transactions": "null"})


def test_a_stranger_under_a_members_name_is_ended(on):
    first = standbys(on)[0]
    leader = on.leader()
    before = len(leader.log_text())
    directory = os.path.join(on.home, "stranger")
    os.mkdir(directory)
    program = on.sql(leader, "SELECT setting FROM pg_config WHERE name = 'BINDIR'") + "/pg_receivewal"
    url = f"postgres://replicator:rep-pass@{leader.address}:5432/?application_name={first}"
    with open(directory + ".log", "w") as out:
        stranger = on.host_popen("client", [program, "-D", directory, "--synchronous", "-d", url], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        wait_for("it is told", lambda: f"somebody replicates as '{first}' without the slot" in leader.log_text()[before:], 20)
        wait_for("it is ended", lambda: "terminating connection" in open(directory + ".log").read(), 10)
        assert stranger.poll() is None, "it comes again"
        assert standbys(on) == [first]
    finally:
        stranger.kill()
        stranger.wait()
    wait_for("the member goes on", lambda: on.sql(leader, "SELECT application_name FROM pg_stat_replication WHERE sync_priority > 0") == first, 10)


def test_strict_mode_is_shown_when_commits_wait(cluster):
    """The key is there only when nothing is answered without a standby any more."""
    leader = cluster.leader()
    configure(cluster, synchronous_mode="off", synchronous_mode_strict="null")
    wait_for("no key", lambda: standbys(cluster) == [], 20)
    before = len(leader.log_text())
    with faults.Load(cluster) as load:
        configure(cluster, synchronous_mode="on", synchronous_mode_strict="true", synchronous_node_count="null")
        wait_for("a synchronous standby", lambda: len(standbys(cluster)) == 1, 20)
        load.wait_writable(5)
    told = leader.log_text()[before:]
    assert 0 < told.find("synchronous_standby_names becomes") < told.find("sync becomes nobody") < told.find("sync becomes " + standbys(cluster)[0])
    assert max(load.gaps().values()) < 2.0, load.gaps()
    faults.verify(cluster, load, may_lose=False)


def test_modes_change_while_clients_write(cluster):
    with faults.Load(cluster) as load:
        for mode in ("on", "quorum", "off", "quorum", "on"):
            configure(cluster, synchronous_mode=mode)
            if mode == "off":
                wait_for("no key and no setting", lambda: standbys(cluster) == [] and setting(cluster) == "", 20)
            elif mode == "on":
                wait_for("one of two", lambda: len(standbys(cluster)) == 1 and setting(cluster) == f'"{standbys(cluster)[0]}"', 20)
            else:
                wait_for("any of two", lambda: len(standbys(cluster)) == 2 and setting(cluster).startswith("ANY 1 ("), 20)
            load.wait_writable(10)
    faults.verify(cluster, load, may_lose=False)


@pytest.mark.parametrize("fault", ["node_lost", "isolated", "switchover", *rest("agent_stopped", "agent_lost", "agent_killed", "postmaster_killed")])
def test_quorum_strict_loses_nothing(strict_quorum, fault):
    result = faults.FAULTS[fault](strict_quorum)
    print(fault, result)
    assert result["lost"] == 0


@pytest.mark.parametrize("fault", rest("node_lost", "isolated", "switchover"))
def test_synchronous_mode_loses_nothing(on, fault):
    result = faults.FAULTS[fault](on)
    print(fault, result)
    assert result["lost"] == 0


def test_strict_mode_answers_no_write_without_a_standby(strict_quorum):
    r = strict_quorum
    leader = r.leader()
    for node in r.replicas():
        node.kill_agent()
        node.kill_postmaster()
    with pytest.raises(subprocess.SubprocessError):
        r.sql(leader, "CREATE TABLE must_not_be (a int)", timeout=8)
    for node in r.replicas():
        node.start_agent()
    r.wait_healthy()


def test_quorum_strict_loses_nothing_even_without_the_fence(unfenced):
    """No clock and no fence are needed for it: the old primary goes on, and nobody confirms what it writes."""
    r = unfenced
    configure(r, synchronous_mode="quorum", synchronous_mode_strict="true")
    wait_for("two voters", lambda: standbys(r) == others(r, r.leader()), 20)
    old = r.leader()
    pid = old.agent_pid()
    inside = r.writer("inside", old.address, read_write=False)
    with faults.Load(r) as load:
        faults.hangs_unfenced(r, load, old, inside)
        assert r.sql(old, "SELECT pg_is_in_recovery()") == "f", "the old primary is still one"
        os.kill(pid, signal.SIGCONT)
        load.wait_writable(30, but=["inside"])
    r.wait_healthy(timeout=90)
    missing, phantom = checks.lost(r, r.leader(), load.histories)
    assert not any(missing.values()), f"acknowledged, and not there: {missing}"
    assert not any(phantom.values())


@pytest.mark.parametrize("mode", ["on", *rest("quorum")])
def test_a_synchronous_standby_that_is_stopped_leaves_first(cluster, mode):
    """SIGTERM: no commit waits for one that is about to go, as long as there is another one."""
    configure(cluster, synchronous_mode=mode, synchronous_mode_strict="true", synchronous_node_count="null")
    wait_for("the standbys of the mode", lambda: len(standbys(cluster)) == (1 if mode == "on" else 2), 20)
    leaves = cluster.nodes[standbys(cluster)[0]]
    before = len(leaves.log_text())
    with faults.Load(cluster) as load:
        since = time.monotonic()
        leaves.kill_agent(signal.SIGTERM)
        wait_for("it is gone", lambda: leaves.agent_pid() is None, 20)
        took = time.monotonic() - since
        assert leaves.name not in standbys(cluster) and len(standbys(cluster)) == 1
        load.wait_writable(5)
    told = leaves.log_text()[before:]
    assert "commits of" in told and "are to wait for somebody else first" in told
    assert took < 10
    assert max(load.gaps().values()) < 1.0, load.gaps()
    leaves.start_agent()
    cluster.wait_healthy()
    faults.verify(cluster, load, may_lose=False)
