"""Faults under write load, round after round on one cluster that heals in between.

Half of the rounds run with the primary and the Raft leader on one node, where the agents bring them; the other half apart, on a
cluster whose agents were built to leave Raft leadership alone (LOOP_TRANSFER_MS) and which is otherwise the same.
"""
import contextlib
import os
import signal
import time

import faults
from rig import Rig, wait_for

FAULTS = {name: faults.MEASURED[name] for name in (
    "postmaster_killed", "takeover", "agent_killed", "agent_lost", "node_lost", "isolated", "switchover", "store_stopped", "store_cut",
    "strict_node_lost", "strict_isolated", "early_node_lost", "early_isolated")}
ROUND_SECONDS_MAX = 180


class TooLong(Exception):
    """No TimeoutError: nobody who waits for less may take it for his own."""


@contextlib.contextmanager
def bounded(seconds):
    def on_alarm(*_):
        raise TooLong(f"the round took more than {seconds} s")
    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def healthy_rig(build):
    rig = Rig(build)
    try:
        rig.start_all()
        rig.start_haproxy()
        rig.wait_healthy()
        # The same primary is killed round after round: that is no crash loop.
        rig.ctl("edit-config", "-s", "crash_loop_window=0", "--force")
        return rig
    except BaseException:
        rig.close()
        raise


def place(rig, together):
    """Moves the primary to, or off, the Raft leader's node, and waits until it is so."""
    def placed():
        primary, raft = rig.leader(), rig.raft_leader()
        return primary is not None and raft is not None and rig.healthy() and (primary.name == raft) == together

    for _ in range(4):
        try:
            return wait_for("the primary's place", placed, 5)
        except TimeoutError:
            primary, raft = rig.leader(), rig.raft_leader()
            if primary is None or raft is None:
                continue
            target = raft if together else next(name for name in rig.nodes if name not in (raft, primary.name))
            if primary.name != target:
                rig.ctl("switchover", "--leader", primary.name, "--candidate", target, "--force", check=False)
                rig.wait_healthy()
    raise TimeoutError(f"primary and Raft leader are not {'together' if together else 'apart'}")


def repair(rig):
    """After a failed round: whatever it left behind is undone, or this raises."""
    rig.heal()
    for node in rig.nodes.values():
        pid = node.agent_pid()
        if pid is None:
            node.start_agent()
        else:
            os.kill(pid, signal.SIGCONT)
    rig.wait_healthy(timeout=90)


def one_round(rig, name, together, results):
    """False: the cluster is of no more use."""
    try:
        with bounded(ROUND_SECONDS_MAX):
            place(rig, together)
            primary, raft = rig.leader().name, rig.raft_leader()
            entry = FAULTS[name](rig)
    except Exception as error:  # a failed round is a result
        results.failed(name, error, together=together)
        try:
            with bounded(ROUND_SECONDS_MAX):
                repair(rig)
        except Exception as broken:
            print(f"  a new cluster, this one does not heal: {broken}", flush=True)
            return False
        return True
    results.add(name, dict(entry, together=primary == raft, primary=primary, raft_leader=raft))
    return True


def run(build, rounds, names, results):
    for together in (True, False):
        count = rounds - rounds // 2 if together else rounds // 2
        if not names or count == 0:
            continue
        print(f"== primary and Raft leader {'together' if together else 'apart'}", flush=True)
        programs = build if together else os.path.join(build, "raft_stays")
        rig = healthy_rig(programs)
        try:
            for name in names:
                began = time.monotonic()
                for _ in range(count):
                    if not one_round(rig, name, together, results):
                        rig.close()
                        rig = healthy_rig(programs)
                print(f"  {name}: {count} rounds in {time.monotonic() - began:.0f} s", flush=True)
        finally:
            rig.close()
