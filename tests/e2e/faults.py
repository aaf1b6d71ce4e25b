"""One fault under write load, and what became of the writes. Used by the tests and by tests/bench for the figures.

Each function breaks something, waits until the cluster can be written to again, heals, waits until all three members are healthy, and
gives the longest write gaps.
"""
import os
import signal
import subprocess
import time

import checks
from rig import ADDRESS, wait_for

ALL = ",".join(ADDRESS[n] for n in ("node1", "node2", "node3"))
SETTLE = 1.0  # of writing before the fault
STOPPED_AFTER = 30  # seconds, at most: longer than a writer's patience


class Load:
    """Writers through HAProxy and directly, for as long as the block runs."""

    count = 0

    def __init__(self, rig):
        self.rig = rig
        Load.count += 1  # ids are unique over all loads of a cluster

    def __enter__(self):
        self.writers = {"direct": self.rig.writer(f"direct{Load.count}", ALL)}
        self.writers["haproxy"] = self.rig.writer(f"haproxy{Load.count}", ADDRESS["lb"], port=5000, read_write=False)
        try:
            for w in self.writers.values():
                wait_for("a first acknowledged write", lambda w=w: self.acknowledged(w), 30)
        except BaseException:
            self.stop()
            raise
        time.sleep(SETTLE)
        self.began = time.monotonic()
        return self

    @staticmethod
    def acknowledged(writer, since=0.0):
        try:
            return sum(1 for e in checks.read(writer, since) if e["result"] == "ok")
        except FileNotFoundError:
            return 0

    def wait_writable(self, timeout, but=()):
        since = time.monotonic()
        for route, w in self.writers.items():
            if route not in but:
                wait_for("writes are acknowledged again", lambda w=w: self.acknowledged(w, since) > 10, timeout)

    def stop(self):
        """How each has ended."""
        for w in self.writers.values():
            w.send_signal(signal.SIGTERM)
        return {route: w.wait(STOPPED_AFTER) for route, w in self.writers.items()}

    def __exit__(self, kind, *_):
        self.ended = time.monotonic()
        statuses = self.stop()
        self.histories = {w.name: checks.read(w) for w in self.writers.values()}
        self.routes = {route: w.name for route, w in self.writers.items()}
        if kind is None:
            assert not any(statuses.values()), f"a writer that has stopped by itself proves nothing: {statuses}"

    def acknowledgements(self, route):
        return [e["end"] for e in self.histories[self.routes[route]] if e["result"] == "ok"]

    def gaps(self):
        return {route: checks.gap(self.histories[name], self.began - SETTLE, self.ended) for route, name in self.routes.items()}


def has_caught_up(rig, node):
    leader = rig.leader()
    if leader is None:
        return False  # or `list` had no answer
    try:
        return rig.sql(node, "SELECT count(*) FROM writes") == rig.sql(leader, "SELECT count(*) FROM writes")
    except subprocess.CalledProcessError:
        return False  # just started: its record may be of the time before


def verify(rig, load, may_lose):
    """Lost, phantom and overlapping writes; `may_lose` = an asynchronous failover happened: then the end of what a primary acknowledged may
    be missing."""
    rig.wait_healthy(timeout=90)
    broken = checks.two_writers(load.histories.values())
    assert not broken, f"two writers: {broken}"
    lost_count = 0
    for node in rig.nodes.values():
        wait_for("the standby has caught up", lambda n=node: has_caught_up(rig, n), 30)
        missing, phantom = checks.lost(rig, node, load.histories)
        assert not any(phantom.values()), f"{node.name} has writes that failed: {phantom}"
        lost_count = max(lost_count, sum(len(m) for m in missing.values()))
        holes = checks.holes(missing, load.histories)
        assert not holes, f"{node.name} lost writes from the middle of what a primary acknowledged: {holes}"
        if not may_lose:
            assert lost_count == 0, f"{node.name} lost acknowledged writes: {missing}"
    twice = int(rig.sql(rig.leader(), "SET enable_indexscan = off; SET enable_indexonlyscan = off;"
                        "SELECT count(*) - count(DISTINCT (writer, n)) FROM writes").splitlines()[-1])
    assert twice == 0, f"{twice} writes are there more than once"
    return dict(load.gaps(), written=sum(1 for h in load.histories.values() for e in h if e["result"] == "ok"), lost=lost_count)


def wait_new_leader(rig, old, timeout=30):
    return wait_for(f"a leader other than {old.name}",
                    lambda: (lambda n: n if n is not None and n is not old else None)(rig.leader()), timeout)


def switchover(rig):
    old = rig.leader()
    with Load(rig) as load:
        answer = rig.ctl("switchover", "--leader", old.name, "--force")
        assert "Successfully switched over" in answer.stdout, answer.stdout + answer.stderr
        load.wait_writable(30)
    assert rig.leader() is not old
    return verify(rig, load, may_lose=False)


def postmaster_killed(rig):
    old = rig.leader()
    with Load(rig) as load:
        old.kill_postmaster()
        load.wait_writable(30)
    assert rig.leader() is old, "restarted in place"
    return verify(rig, load, may_lose=False)


def agent_killed(rig):
    """Back before S: nobody notices."""
    old = rig.leader()
    started = rig.sql(old, "SELECT pg_postmaster_start_time()")
    with Load(rig) as load:
        old.kill_agent()
        old.start_agent()
        load.wait_writable(30)
        time.sleep(3)
    assert rig.sql(old, "SELECT pg_postmaster_start_time()") == started, "PostgreSQL was restarted"
    assert rig.leader() is old
    return verify(rig, load, may_lose=False)


def agent_lost(rig):
    """Killed and not back: the fence ends PostgreSQL, another node takes over."""
    old = rig.leader()
    with Load(rig) as load:
        old.kill_agent()
        wait_new_leader(rig, old)
        load.wait_writable(30)
    old.start_agent()
    return verify(rig, load, may_lose=True)


def agent_stopped(rig):
    """SIGSTOP for longer than the ttl."""
    old = rig.leader()
    pid = old.agent_pid()
    with Load(rig) as load:
        old.kill_agent(signal.SIGSTOP)
        wait_new_leader(rig, old)
        load.wait_writable(30)
        os.kill(pid, signal.SIGCONT)
    return verify(rig, load, may_lose=True)


def node_lost(rig):
    old = rig.leader()
    with Load(rig) as load:
        old.kill_node()
        load.wait_writable(60)
    old.start_agent()
    return verify(rig, load, may_lose=True)


def isolated(rig):
    old = rig.leader()
    synchronous = rig.sql(old, "SHOW synchronous_standby_names") != ""
    inside = rig.writer(f"inside{Load.count + 1}", old.address, read_write=False, host=old.name)
    with Load(rig) as load:
        load.writers["inside"] = inside
        wait_for("the client inside writes", lambda: load.acknowledged(inside), 30)
        old.isolate()
        since = time.monotonic()
        wait_new_leader(rig, old)
        load.wait_writable(60, but=["inside"])
        rig.heal()
    if synchronous:
        assert load.acknowledged(inside, since) == 0, "nobody could confirm it"
    else:
        assert load.acknowledged(inside, since) > 10, "the client that is cut off with the primary was not heard: no second writer could be seen"
    result = verify(rig, load, may_lose=True)
    result.pop("inside")
    return result


def takeover(rig):
    """The postmaster is killed, and primary_start_timeout 0 lets a standby take over at once."""
    old = rig.leader()
    rig.ctl("edit-config", "-s", "primary_start_timeout=0", "--force")
    try:
        with Load(rig) as load:
            old.kill_postmaster()
            load.wait_writable(30)
        assert rig.leader() is not old, "it was restarted in place"
        return verify(rig, load, may_lose=True)
    finally:
        rig.ctl("edit-config", "-s", "primary_start_timeout=null", "--force")


def without_majority(rig, take, give_back):
    """`served`: how long writes went on after the majority was gone; direct, haproxy: from its return to the first write."""
    old = rig.leader()
    try:
        with Load(rig) as load:
            gone = time.monotonic()
            take()
            wait_for("PostgreSQL is stopped", lambda: old.postmaster_pid() is None, 15)
            time.sleep(max(0.0, gone + rig.settings["ttl"] + 1 - time.monotonic()))  # the lease is over for everybody
            back = time.monotonic()
            give_back()
            load.wait_writable(60)
    finally:
        give_back()
    result = verify(rig, load, may_lose=True)
    result["served"] = max(t for t in load.acknowledgements("direct") if t < back) - gone
    for route in ("direct", "haproxy"):
        result[route] = min(t for t in load.acknowledgements(route) if t > back) - back
    return result


def store_stopped(rig):
    """The agents of both other nodes hang; their PostgreSQL and the network go on."""
    pids = [node.agent_pid() for node in rig.replicas()]

    def signal_all(which):
        for pid in pids:
            os.kill(pid, which)
    return without_majority(rig, lambda: signal_all(signal.SIGSTOP), lambda: signal_all(signal.SIGCONT))


def store_cut(rig):
    """No Raft traffic between any two nodes; established connections hang."""
    return without_majority(rig, lambda: rig.nft("add rule bridge cut links tcp dport 2380 drop",
                                                 "add rule bridge cut links tcp sport 2380 drop"), rig.heal)


def die_apart(rig, table):
    """The primary's node dies with 1000 rows that only it has: both standbys were cut off from PostgreSQL's port before. It, and another leads."""
    old = rig.leader()
    rig.sql(old, f"CREATE TABLE {table} (n int)")
    rig.nft(*[f"add rule bridge cut links ip saddr {old.address} ip daddr {n.address} tcp sport 5432 drop" for n in rig.replicas()])
    rig.sql(old, f"INSERT INTO {table} SELECT generate_series(1, 1000)")
    old.kill_node()
    wait_new_leader(rig, old)
    rig.heal()  # not before: what the dead node's kernel has to send would still arrive
    return old


def diverged(rig):
    """It is rewound."""
    rewinds = {name: node.log_text().count("rewinding") for name, node in rig.nodes.items()}
    old = die_apart(rig, "branch")
    old.start_agent()
    rig.wait_healthy(timeout=90)
    assert old.log_text().count("rewinding") > rewinds[old.name]
    assert rig.sql(old, "SELECT count(*) FROM branch") == rig.sql(rig.leader(), "SELECT count(*) FROM branch")


def hangs_unfenced(rig, load, old, inside):
    """The agent of the primary stands still, and nothing ends what it has left running: another leads, and both primaries are written to."""
    load.writers["inside"] = inside
    old.kill_agent(signal.SIGSTOP)
    new = wait_new_leader(rig, old)
    load.writers["fresh"] = rig.writer("fresh", new.address, read_write=False)  # the others stay where they are
    time.sleep(5)


def configure(rig, **settings):
    arguments = [a for key, value in settings.items() for a in ("-s", f"{key}={value}")]
    answer = rig.ctl("edit-config", *arguments, "--force")
    assert answer.returncode == 0, answer.stderr


def in_strict_mode(rig, early="null", mode="quorum"):
    """Any of both standbys confirms, or (mode on) one of them; with `early` the store is ready to depose."""
    configure(rig, synchronous_mode=mode, synchronous_mode_strict="true", synchronous_node_count="null", early_failover=early)
    role, count = ("Quorum Standby", 2) if mode == "quorum" else ("Sync Standby", 1)
    wait_for("the standbys of the mode", lambda: sum(1 for row in rig.members().values() if row["Role"] == role) == count, 20)
    if early == "true":
        wait_for("the store can depose", lambda: any("early_failover: the store is ready for it" in n.log_text() for n in rig.replicas()), 20)


def strict(fault, early):
    """The fault in strict mode, which is left again: nothing may be lost."""
    def measured(rig):
        in_strict_mode(rig, early)
        try:
            result = fault(rig)
        finally:
            configure(rig, synchronous_mode="off", synchronous_mode_strict="null", early_failover="null")
        assert result["lost"] == 0, f"{result['lost']} acknowledged writes are lost"
        return result
    return measured


FAULTS = {f.__name__: f for f in (switchover, postmaster_killed, agent_killed, agent_lost, agent_stopped, node_lost, isolated)}
MEASURED = dict(FAULTS, takeover=takeover, store_stopped=store_stopped, store_cut=store_cut, **{
    f"{mode}_{fault.__name__}": strict(fault, early) for mode, early in (("strict", "null"), ("early", "true")) for fault in (node_lost, isolated)})
