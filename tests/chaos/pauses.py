"""Catalogue C.2: processes and hosts that stand still, and clocks that are wrong."""
import signal
import time

import inject
from partitions import cut_raft
from scene import WAKE_UP_NS, Failed, scenario


@scenario("FS-19", "asq", core=True, bounds=("L5",), control={"for": ("3 ttl", 9.0)})
def agent_stands_still(s):
    """For half a ttl, S - 1 s, K + 1 s or 3 ttl. Short: nothing happens. Long: the fence kills by K, another takes over."""
    a, b, c = s.roles()
    what, seconds = s.choice("for", (("0.5 ttl", 0.5 * s.ttl), ("S - 1", s.S - 1), ("K + 1", s.K + 1), ("3 ttl", 3.0 * s.ttl)))
    began = time.monotonic()
    epoch = s.epoch()
    pid, number = s.world.signal(s.node(a), "agent", signal.SIGSTOP, "FS-19")
    inject.sleep_until(began + seconds)
    inject.go_on(s.world, s.node(a), pid, number, "FS-19")
    s.wait_primary()
    if what in ("0.5 ttl", "S - 1") and s.epoch() != epoch:
        raise Failed(f"a failover after {seconds:.1f} s of a stopped agent, which is less than S")
    s.bounds = {"L5": 0, **({"L1": 0} if what == "3 ttl" else {})}


def freeze_and_thaw(s):
    """The primary's whole node for 2 ttl, in the middle of commits. Until its fence has woken up it may still answer: how often is shown.
    Returns what its writers were told after the thaw, and by which of its sessions."""
    a, b, c = s.roles()
    began, frozen = time.monotonic(), time.monotonic_ns()
    number = inject.freeze(s.world, s.node(a), "FS-21")
    s.wait_primary(but=[a])
    inject.sleep_until(began + 2 * s.ttl + s.uniform("longer", 0.0, 1.0 * s.ttl))
    before = time.monotonic_ns()
    s.fence_stood(frozen, inject.thaw(s.world, s.node(a), number, "FS-21"))
    inject.sleep_until(time.monotonic() + WAKE_UP_NS / 10**9)
    told = [w for w in s.clients.all_writes(before) if w["route"] == a]
    s.draw("acknowledged after it", sum(w["result"] == "ok" for w in told))
    return told


@scenario("FS-21", "aq", core=True, bounds=("L1", "L5"), clients={"crowd": 6})
def node_is_frozen(s):
    """See above: what had not yet been committed may be, too."""
    freeze_and_thaw(s)


@scenario("FS-21", "aq", core=True, bounds=("L1", "L5"), clients={"crowd": 6}, name="FS-21-guard", guarded=True)
def guarded_node_is_frozen(s):
    """No commit is begun after the thaw: a session answers what it had committed by then, once."""
    told = freeze_and_thaw(s)
    s.draw("refused", sum("pgquorum_guard" in w.get("error", "") for w in told))
    answered = [w["writer"] for w in told if w["result"] == "ok"]
    if len(answered) != len(set(answered)):
        raise Failed(f"a session has committed twice after the thaw: {answered}")


@scenario("FS-23", "aq", bounds=("L5",))
def postmaster_stands_still(s):
    """Sessions go on, new ones hang, it ignores SIGQUIT. A new connection is what finds it out."""
    a, b, c = s.roles()
    s.configure(primary_start_timeout=0, postmaster_hang_timeout=6)
    pid, number = s.world.signal(s.node(a), "postmaster", signal.SIGSTOP, "FS-23")
    seconds = s.uniform("seconds", 1.0, 6.0 * s.ttl)
    time.sleep(seconds)
    inject.go_on(s.world, s.node(a), pid, number, "FS-23")
    s.wait_primary()
    s.configure(primary_start_timeout="null", postmaster_hang_timeout="null")


@scenario("FS-24", "aq", core=True, bounds=("L2", "L5"), clients={"busy": True})
def postmaster_is_killed_beside_a_busy_backend(s):
    """A backend computes, then commits: nobody is promoted and no second postmaster is started before it is gone."""
    a, b, c = s.roles()
    if s.choice("another takes over", (True, False)):
        s.configure(primary_start_timeout=0)
        time.sleep(1.0)
    time.sleep(s.uniform("into the statement", 0.0, 1.0))
    _, number = s.world.signal(s.node(a), "postmaster", signal.SIGKILL, "FS-24")
    s.wait_primary()
    with s.world.log.act("FS-24", heals=number):
        pass
    s.configure(primary_start_timeout="null")


@scenario("FS-26", "q", core=True, bounds=("L4", "L5"))
def startup_process_stands_still(s):
    """The one of a standby that is asked to promise: it must not while its walreceiver lives. The primary is cut off from Raft."""
    a, b, c = s.roles()
    pid, stuck = s.world.signal(s.node(b), "startup", signal.SIGSTOP, "FS-26")
    number = cut_raft(s, "cut", a)
    time.sleep(s.uniform("seconds", 1.0 * s.ttl, 3.0 * s.ttl))
    inject.go_on(s.world, s.node(b), pid, stuck, "FS-26")
    s.wait_primary()
    inject.heal(s.world, number, "cut")


@scenario("FS-27", "a", bounds=("L5",), keep_epochs=True, clocks=True)
def wall_clock_jumps(s):
    """By an hour or ten years, forwards and backwards, on one node or on all: nothing happens."""
    names = s.choice("nodes", [[n] for n in s.world.nodes] + [list(s.world.nodes)])
    for _ in range(4):
        hours = s.choice("hours", (1, -1, 87600, -87600))
        with s.world.log.act("FS-27", nodes=names, hours=hours):
            for name in names:
                s.node(name).set_clock(wall_ns=hours * 3600 * 10**9)
        time.sleep(1.5 * s.ttl)
    with s.world.log.act("FS-27", heals=s.world.log.number):
        for name in names:
            s.node(name).set_clock()


@scenario("FS-29", "a", bounds=("L5",), keep_epochs=True)
def agent_starves(s):
    """A twentieth of a processor for the primary's agent, for 8 ttl."""
    a, _, _ = s.roles()
    with inject.starved(s.world, s.node(a), "FS-29", 0.05):
        time.sleep(8 * s.ttl)
