"""Catalogue C.1: who cannot hear whom."""
import signal
import time

import inject
from scene import Failed, scenario


# The document's etcd, of one member; an etcd beside other work has no answers in time for a ttl of 3 s.
ETCD3 = {"store": "etcd3", "ttl": 6}


def all_links(nodes):
    return [(a, b) for i, a in enumerate(nodes) for b in nodes[i + 1:]]


def cut_raft(s, fault, a):
    """The node's Raft connections hang, or are reset."""
    if s.choice("connections", ("hang", "are reset")) == "hang":
        return inject.cut_service(s.world, fault, [(a, n) for n in s.others(a)], "raft")
    return inject.reject(s.world, fault, s.node(a), 2380)


@scenario("FS-01", "aq", core=True, bounds=("L1", "L5"), name="FS-01-etcd3", **ETCD3)
@scenario("FS-01", "asq", core=True, bounds=("L1", "L5"))
def isolated_with_its_clients(s):
    """The primary is cut off from both standbys, for 2 ttl or longer; clients still reach it."""
    a, _, _ = s.roles()
    seconds = s.uniform("seconds", 2 * s.ttl, 3 * s.ttl)
    began = time.monotonic()
    number = inject.cut(s.world, "FS-01", [(a, n) for n in s.far(a)])
    s.wait_primary(but=[a])
    inject.sleep_until(began + seconds)
    inject.heal(s.world, number, "FS-01")


@scenario("FS-01", "q", core=True, bounds=("L1", "L5"), name="FS-01-early", dcs="    early_failover: true\n")
def isolated_and_deposed(s):
    """As FS-01, with early_failover: the lease is ended while it runs. Until its K the old primary may answer what waits for no standby."""
    a, _, _ = s.roles()
    began, cut_at = time.monotonic(), time.monotonic_ns()
    said = {n: len(s.node(n).log_text()) for n in s.others(a)}
    number = inject.cut(s.world, "FS-01", [(a, n) for n in s.far(a)])
    s.wait_primary(but=[a])
    if not any(f"ending the lease of '{a}'" in s.node(n).log_text()[since:] for n, since in said.items()):
        raise Failed(f"nobody has ended the lease of {a}: it has run to its end")
    # Its last renewal that was answered was sent before the cut; the fence has dF for its work.
    s.world.recorder.write("exception", why="depose", begin=cut_at, end=cut_at + round((s.K + 0.25) * 10**9))
    inject.sleep_until(began + s.uniform("seconds", 2 * s.ttl, 3 * s.ttl))
    inject.heal(s.world, number, "FS-01")


@scenario("FS-02", "aq", core=True, bounds=("L4", "L5"), cycles=3)
def healed_at_the_deadline(s):
    """As FS-01, healed at a random moment in [K - 2, T + 2]."""
    a, b, c = s.roles()
    seconds = s.uniform("seconds", max(0.1, s.K - 2), s.ttl + 2)
    began = time.monotonic()
    number = inject.cut(s.world, "FS-02", [(a, b), (a, c)])
    inject.sleep_until(began + seconds)
    inject.heal(s.world, number, "FS-02")
    s.wait_primary()


@scenario("FS-03", "asq", bounds=("L1", "L5"))
def isolated_from_everything(s):
    """The primary is cut off from the other nodes and from clients; both heal together. Its own host's client stays."""
    a, b, c = s.roles()
    number = inject.cut(s.world, "FS-03", [(a, b), (a, c), (a, "client"), (a, "lb")])
    s.wait_primary(but=[a])
    time.sleep(s.uniform("longer", 0.0, 2.0 * s.ttl))
    inject.heal(s.world, number, "FS-03")


@scenario("FS-04", "asq", bounds=("L5", "L6"), keep_epochs=True)
def one_standby_is_cut(s):
    """No failover, and writes go on."""
    a, b, c = s.roles()
    number = inject.cut(s.world, "FS-04", [(b, a), (b, c)])
    time.sleep(s.uniform("seconds", s.ttl, 3 * s.ttl))
    if s.primaries() != [a]:
        raise Failed(f"primaries are {s.primaries()} where {a} lost nothing that it needs")
    inject.heal(s.world, number, "FS-04")


@scenario("FS-05", "asq", bounds=("L4", "L5"))
def no_majority(s):
    """No node hears another: the primary is fenced by K, nobody is promoted."""
    a, b, c = s.roles()
    number = inject.cut(s.world, "FS-05", all_links([a, b, c]))
    time.sleep(s.K + 1)
    s.nobody_writes(s.uniform("seconds", 1.0, 2.0 * s.ttl))
    inject.heal(s.world, number, "FS-05")
    s.wait_primary()


@scenario("FS-06", "asq", core=True, bounds=("L1", "L5"))
def primary_and_one_standby_do_not_hear_each_other(s):
    """Both see the third. At most one failover, and the end state is stable; also right after the Raft leader has changed."""
    a, b, c = s.roles()
    if s.choice("first", ("an election", "nothing")) == "an election":
        pid, stopped = s.world.signal(s.node(a), "agent", signal.SIGSTOP, "election")
        time.sleep(1.2)
        inject.go_on(s.world, s.node(a), pid, stopped, "election")
    epoch = s.epoch()
    number = inject.cut(s.world, "FS-06", [(a, b)])
    time.sleep(6 * s.ttl)
    settled = s.epoch()
    time.sleep(2 * s.ttl)
    if s.epoch() != settled:
        raise Failed("the leader key still changes hands after 6 ttl of the same partition")
    if s.draw("epochs", settled - epoch) > 1:
        raise Failed(f"{settled - epoch} failovers by one partition")
    inject.heal(s.world, number, "FS-06")


@scenario("FS-08", "a", core=True, bounds=("L1", "L5"), name="FS-08-etcd3", **ETCD3)
@scenario("FS-08", "asq", core=True, bounds=("L1", "L5"))
def primary_receives_nothing(s):
    """What it sends arrives: its renewals are in the log, the answers never come. It fences itself; the others wait once."""
    a, _, _ = s.roles()
    clients = s.choice("clients", ("reach it", "do not"))
    ways = [(n, a) for n in s.far(a)] + ([("client", a), ("lb", a)] if clients == "do not" else [])
    number = inject.cut_way(s.world, "FS-08", ways)
    s.wait_primary(but=[a])
    time.sleep(s.uniform("longer", 0.0, 1.0 * s.ttl))
    inject.heal(s.world, number, "FS-08")


@scenario("FS-09", "asq", bounds=("L1", "L5"))
def primary_sends_nothing(s):
    """What it hears proves nothing about its own lease."""
    a, b, c = s.roles()
    number = inject.cut_way(s.world, "FS-09", [(a, b), (a, c)])
    s.wait_primary(but=[a])
    time.sleep(s.uniform("longer", 0.0, 1.0 * s.ttl))
    inject.heal(s.world, number, "FS-09")


@scenario("FS-11", "q", core=True, fence="off", bounds=("L5",))
def raft_is_cut_and_replication_goes_on(s):
    """The fence is switched off and the agent of the primary stands still: durability rests on the standbys that stop receiving."""
    a, b, c = s.roles()
    pid, stopped = s.world.signal(s.node(a), "agent", signal.SIGSTOP, "stopped")
    number = cut_raft(s, "FS-11", a)
    new = s.wait_primary(but=[a])
    if s.world.sql(s.node(a), "SELECT pg_is_in_recovery()") != "f":
        raise Failed(f"{a} is no primary any more: without it nothing was tested (the new one is {new})")
    time.sleep(s.uniform("longer", 1.0, 1.0 * s.ttl))
    inject.heal(s.world, number, "FS-11")
    inject.go_on(s.world, s.node(a), pid, stopped, "stopped")


@scenario("FS-12", "sq", bounds=("L5",), keep_epochs=True)
def replication_is_cut_and_raft_goes_on(s):
    """No failover. From one standby or from both: then a strict cluster answers no write."""
    a, b, c = s.roles()
    cut = s.choice("standbys", (1, 2))
    number = inject.cut_service(s.world, "FS-12", [(a, b), (a, c)][:cut], "pg")
    time.sleep(s.uniform("seconds", s.ttl, 2.0 * s.ttl))
    if s.mode == "q" and cut == 2:
        s.nobody_writes(1.0)
    if s.primaries() != [a]:
        raise Failed(f"primaries are {s.primaries()} where Raft lost nothing")
    inject.heal(s.world, number, "FS-12")


@scenario("FS-15", "aq", bounds=("L5",))
def link_flaps(s):
    """The primary's link goes down and up, for a time that is drawn anew each time."""
    a, b, c = s.roles()
    epoch, began = s.epoch(), time.monotonic()
    flap = inject.Flap(s.world, "FS-15", a, 0.2, s.uniform("longest", 0.5, 2.0 * s.ttl))
    flap.start()
    time.sleep(8 * s.ttl)
    flap.stop()
    inject.heal(s.world, flap.number, "FS-15")
    changes = s.epoch() - epoch
    allowed = 1 + (time.monotonic() - began) / s.ttl
    if s.draw("epochs", changes) > allowed:
        raise Failed(f"{changes} failovers in {allowed - 1:.1f} ttl: more than one per ttl")


@scenario("FS-16", "aq", bounds=("L5",), links=("node1", "node2", "node3"))
def bad_cables(s):
    """30 % loss, 200 ms +- 150 ms, reordered and duplicated, on every node's cable; drawn down to what a ttl of 3 s bears or beyond it."""
    loss, delay = s.uniform("loss", 0.05, 0.30), s.uniform("delay ms", 20.0, 200.0)
    with s.world.log.act("FS-16", loss=loss, delay_ms=delay) as told:
        for host in s.world.links:
            s.world.weather(host, delay_ms=delay / 2, jitter_ms=delay * 0.4, loss=loss / 2, duplicate=0.02, reorder=0.05)
        time.sleep(5 * s.ttl)
        seen = [s.world.weather(host) for host in s.world.links]
        told["evidence"] = f"(frames, lost, duplicated, reordered) of each: {seen}" if all(lost for _, lost, _, _ in seen) else ""
    with s.world.log.act("FS-16", heals=told["number"]):
        pass
