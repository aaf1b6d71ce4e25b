"""The leader key's story, and the times that everybody kept. ttl 3: K is 2.6 s, S 2.4 s, T 3 s. The lease clock is CLOCK_MONOTONIC and 1000 s."""
import pytest

from checkers import lease, made
from checkers.made import health, ok, record

FAR = 1_000_000  # ms between the clocks


class Log:
    """Writes a log as a group would."""

    def __init__(self):
        self.entries, self.revision, self.index = [], 10, 100

    def add(self, kind, actor, events=(), success=(), compares=(), code=0, **fields):
        self.index += 1
        command = dict({"type": kind, "actor": actor, "compares": list(compares), "success": list(success), "failure": [], "lease": 0, "ttl_ms": 0, "stamp": 0,
                        "flags": 0, "number": 0}, **fields)
        self.revision += bool(events)
        self.entries.append(record(
            "applied", node="a", cut=1, index=self.index, term=1, type="command", digest=f"d{self.index}", command=command,
            result={"code": code, "succeeded": True, "repeated": False, "revision": self.revision},
            events=[dict({"revision": self.revision, "created": self.revision, "version": 1, "lease": 0}, **e) for e in events]))
        return self

    def acquire(self, who, at, number=7, epoch=True, actor=None, kind="txn", more=(), lease=None, ttl=3000, **event):
        events = [*more, dict({"key": "/db/leader", "value": who, "lease": number}, **event)]
        events += [{"key": "/db/epoch", "value": who}] if epoch else []
        grant = {"op": "lease_grant", "lease": number, "flags": 1, "stamp": FAR + at, "ttl_ms": ttl}
        reports = [{"target": "mod", "key": "/db/reports/b", "number": 5}] if kind == "depose" else []
        return self.add(kind, actor or who, events, [grant], reports, lease=lease or 0)

    def renew(self, who, at, number=7, ttl=3000, **fields):
        return self.add("lease_renew", who, lease=number, stamp=FAR + at, ttl_ms=ttl, **fields)

    def expire(self, number=7, count=None, who="b"):
        counts = count if count is not None else 101 + sum(e["command"]["type"] == "lease_renew" for e in self.entries)
        return self.add("lease_expire", who, [{"key": "/db/leader", "value": None}], lease=number, number=counts)

    def release(self, who, number=7, kind="txn"):
        return self.add(kind, who, [{"key": "/db/leader", "value": None}], [{"op": "lease_end", "lease": number}])

    def records(self, *more):
        clocks = [record("clock", node=n, before=50, lease_ms=FAR + 50, after=50) for n in "abc"]
        return [record("applied_from", node="a", cut=1, index=100, state="s"), *self.entries, *clocks, *more]


def held(until=2000):
    log = Log().acquire("a", 0)
    for at in range(500, until + 1, 500):
        log.renew("a", at)
    return log


def seen(who, at, epoch):
    return record("lease_key", node="c", seen=at, holder=who, epoch=f"1f:{epoch}")


def taken(at=5100, since=5050):
    """Held by a until 2000, run out, taken by b; who renews until 20000, so that the log tells of all that time."""
    log = held().expire().acquire("b", since, 8)
    for moment in range(since + 500, 20_001, 500):
        log.renew("b", moment, 8)
    return log.records(seen("b", at, 13))


CREATED = {"created": 11, "version": 2}
GOOD = {
    "acquired and renewed": held().records(),
    "run out and taken": taken(),
    "released and taken at once": held().release("a").acquire("b", 2100, 8).records(seen("b", 2101, 13)),
    "revoked by its holder": held().release("a", kind="lease_revoke").acquire("b", 2100, 8).records(),
    "deposed": held().acquire("b", 2100, 8, kind="depose", lease=7, more=[{"key": "/db/leader", "value": None}]).records(seen("b", 2101, 12)),
    "format 1 counts from 1": held().expire(count=5).acquire("b", 6000, 8).records(),
    "refused renewals are nothing": held().renew("a", 100, code=-2).renew("b", 9, code=-2).records(),
    "a log that begins in the middle": Log().renew("a", 0).renew("a", 500).add("lease_expire", "b", [{"key": "/db/leader", "value": None}], lease=7, number=99)
                                      .acquire("b", 9000, 8).records(),
    "the same one takes it again at once": held().expire().acquire("a", 2600, 8).records(seen("a", 2601, 13)),
    "writes until K": taken() + [ok("w", 1, 4500), ok("w", 2, 4840), ok("v", 1, 5200, "b", 2), health("a", 4390), health("b", 5200)],
    "writes before and after the log": taken() + [ok("w", 1, 25_000), ok("v", 1, 30_000, "c")],
    "without a clock nothing is known of it": [r for r in taken() + [ok("w", 1, 9000)] if r["kind"] != "clock" or r["node"] != "a"],
    "paused": taken() + [ok("w", 1, 9000), record("exception", why="unfenced", begin=1000, end=15_000)],
    "what is no command, or was not applied": held().records(dict(Log().add("txn", "b").entries[0], index=300, command=None),
                                                             dict(Log().renew("b", 1).entries[0], index=301, result=None)),
    "who saw nothing, or no epoch": taken() + [record("lease_key", node="c", seen=10), record("lease_key", node="c", seen=11, holder="b")],
    "a write of which nobody knows who has it": taken() + [dict(ok("w", 1, 9000), node=None)],
    "keys of others": held().add("client_txn", "", [{"key": "/k", "value": None}]).records(),
}
BAD = {
    "over a holder": (held().acquire("b", 2100, 8, version=2).records(), "written over", "b over a"),
    "in another's name": (held().release("a").acquire("b", 2100, 8, actor="c").records(), "for another", "c for b"),
    "no lease": (held().release("a").add("txn", "b", [{"key": "/db/leader", "value": "b"}, {"key": "/db/epoch", "value": "b"}]).records(), "no lease of its own",
                 "b on lease 0"),
    "no epoch": (held().release("a").acquire("b", 2100, 8, epoch=False).records(), "epoch not written", "b at revision 13"),
    "an old epoch": (held().release("a").acquire("b", 2100, 8, created=11).records(), "epoch not above", "11 after 11"),
    "deleted by a client": (held().add("client_txn", "", [{"key": "/db/leader", "value": None}]).records(), "ended by a stranger", "a client_txn of a client, and a held it"),
    "released by another": (held().release("b").records(), "ended by a stranger", "a txn of b, and a held it"),
    "revoked by another": (held().release("c", kind="lease_revoke").records(), "ended by a stranger", "of c"),
    "deposed by nobody's word": (held().add("depose", "b", [{"key": "/db/leader", "value": None}], lease=7).records(), "deposed without reports", "b instead of a"),
    "deposed by other keys": (held().add("depose", "b", [{"key": "/db/leader", "value": None}], compares=[
        {"target": "mod", "key": "/db/epoch", "number": 11}, {"target": "mod", "key": "/db/reports/b", "number": 0},
        {"target": "create", "key": "/db/reports/c", "number": 4}], lease=7).records(), "deposed without reports", "b instead of a"),
    "expired by an old number": (held().expire(count=103).records(), "another number", "103, and it was 5 or 105"),
    "renewed by another": (held().renew("b", 2100).records(), "renewed by another", "b, and it is a's"),
    "renewed when it was over": (held().release("a").renew("a", 2100).records(), "renewed after its end", "lease 7 of a"),
    "an old stamp": (held().renew("a", 1900).records(), "stamp not above", f"{FAR + 1900} after {FAR + 2000}"),
    "the same stamp": (held().renew("a", 2000).records(), "stamp not above", f"{FAR + 2000} after {FAR + 2000}"),
    "taken too early": (taken(at=4900, since=4850), "acquired too early", "b in epoch 13, 97 ms before the time of a"),
    "written too late": (taken() + [ok("w", 1, 4860)], "written too late", "a, 7 ms"),
    "written without a lease": (taken() + [ok("w", 1, 3000, "c")], "written too late", "c had no lease at all"),
    "written before it was acquired": (taken() + [ok("w", 1, 4000, "b")], "written too late", "b had no lease at all"),
    "healthy too late": (taken() + [health("a", 4410)], "healthy too late", "a, 7 ms"),
    "deposed, and goes on for too long": (taken() + [ok("w", 1, 9000), record("exception", why="depose", begin=1000, end=15_000)], "written too late", "a, "),
}


@pytest.mark.parametrize("name", GOOD)
def test_takes(name):
    made.accepted(lease, GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_refuses(name):
    made.only(lease, *BAD[name])


def test_every_condition_is_needed():
    made.all_conditions(lease, BAD)


def test_two_logs_of_one_fault_tell_it_once():
    log = held().renew("b", 2100)
    other = [dict(r, node="b") if r["kind"].startswith("applied") else r for r in log.records()]
    assert lease.check(made.history(*log.records(), *[r for r in other if r["kind"] != "clock"])).counts == {"renewed by another": 1}


def test_without_a_fence_nobody_is_held_to_its_times():
    made.accepted(lease, BAD["written too late"][0], fence="off")


def test_figures():
    numbers = lease.check(made.history(*taken())).numbers
    assert (numbers["epochs"], numbers["renewals"]) == (2, 5 + 30) and 3090 < numbers["shortest_wait_ms"] < 3110
