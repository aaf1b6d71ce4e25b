"""The lease log: the leader key's story as the members applied it, and whether everybody kept to its times.

From the log (I4): who acquired, renewed and ended what, and by which right. With the clocks (I5): a renewal carries a stamp, the holder's lease
clock before it was sent, which a record of kind clock puts on the clock of all. What cannot be certain counts for the accused: clocks may have
drifted apart by rho since they were compared, and an acquisition is applied at the latest when somebody saw it.
"""
import bisect

from checkers import lease_times, raft_logs
from checkers.lease_times import DF_MS, MS, RHO
from checkers.result import Result

NAME = "lease log"
CONDITIONS = {
    "written over": "I4: the leader key was written while it was held",
    "for another": "I4: a member wrote another's name into the leader key",
    "no lease of its own": "I4: the leader key hangs on no holder's lease of the same command",
    "epoch not written": "I4: an acquisition without the key epoch",
    "epoch not above": "I4: an epoch that is not above the one before",
    "ended by a stranger": "I4: the leader key went by a command that may not end it",
    "deposed without reports": "I4: a Depose names no report that it counted on",
    "another number": "I4: a lease was ended by a renewal number that was not its last",
    "renewed by another": "I4: a lease was renewed by who does not hold it",
    "renewed after its end": "I4: a lease was renewed that had ended",
    "stamp not above": "I4: a renewal was accepted whose stamp is not above the last",
    "acquired too early": "I5: another one's acquisition was applied before T after the last renewal was sent",
    "written too late": "I5: a node acknowledged a write later than K after its last renewal was sent",
    "healthy too late": "I5 I11: a node said 200 later than S after its last renewal was sent",
}
HOLDER = 1  # flag of a holder's lease (include/raft/store.h)


class Lease:
    def __init__(self, owner, stamp, ttl_ms, index):
        self.owner, self.stamp, self.ttl_ms = owner, stamp, ttl_ms
        self.numbers = {1, index}  # what its number was at the grant, by the state's format
        self.over = False


class Story:
    """Replays one log."""

    def __init__(self, result, told):
        self.result, self.told = result, told  # told: faults that another log has shown already
        self.leases, self.holder, self.epoch = {}, None, 0  # holder: (name, lease id, epoch)
        self.sent, self.changes = [], []  # (stamp, ttl_ms, member, entry); (epoch, holder, how the last one ended, its lease, entry)
        self.ended = None

    def fault(self, condition, text, entry):
        key = (condition, entry["index"], entry["digest"])
        if key not in self.told:
            self.told.add(key)
            self.result.fault(condition, f"entry {entry['index']}: {text}", entry)

    def replay(self, entries):
        for entry in entries:
            command, result = entry.get("command"), entry.get("result")
            if command is None or result is None or result["code"] != 0 or result["repeated"]:
                continue
            if command["type"] == "lease_renew":
                self.renew(entry, command)
            granted = self.grants(entry, command)
            for event in entry.get("events") or []:
                if event["key"].endswith("/leader"):
                    if event["value"] is None:
                        self.end(entry, command)
                    else:
                        self.acquire(entry, command, event, granted)
            if command["type"] in ("lease_expire", "lease_revoke", "depose"):
                self.over(command["lease"])
            for op in self.ran(entry, command):
                if op["op"] == "lease_end":
                    self.over(op["lease"])

    @staticmethod
    def ran(entry, command):
        return command["success"] if entry["result"]["succeeded"] else command["failure"]

    def over(self, lease):
        if lease in self.leases:
            self.leases[lease].over = True

    def grants(self, entry, command):
        granted = set()
        for op in self.ran(entry, command):
            if op["op"] == "lease_grant" and op["flags"] & HOLDER:
                self.leases[op["lease"]] = Lease(command["actor"], op["stamp"], op["ttl_ms"], entry["index"])
                self.sent.append((op["stamp"], op["ttl_ms"], command["actor"], entry))
                granted.add(op["lease"])
        return granted

    def renew(self, entry, command):
        lease = self.leases.get(command["lease"])
        if lease is None:
            return  # of before the log, or no holder's
        if lease.over:
            self.fault("renewed after its end", f"lease {command['lease']} of {lease.owner}", entry)
        if command["actor"] != lease.owner:
            self.fault("renewed by another", f"{command['actor']}, and it is {lease.owner}'s", entry)
        if command["stamp"] <= lease.stamp:
            self.fault("stamp not above", f"{command['stamp']} after {lease.stamp}", entry)
        lease.stamp, lease.ttl_ms = max(lease.stamp, command["stamp"]), command["ttl_ms"]
        lease.numbers = {n + 1 for n in lease.numbers}
        self.sent.append((command["stamp"], command["ttl_ms"], command["actor"], entry))

    def acquire(self, entry, command, event, granted):
        if event["version"] > 1:
            self.fault("written over", f"{event['value']} over {self.holder[0] if self.holder else 'another'}", entry)
        if command["actor"] != event["value"]:
            self.fault("for another", f"{command['actor']} for {event['value']}", entry)
        if event["lease"] not in granted:
            self.fault("no lease of its own", f"{event['value']} on lease {event['lease']}", entry)
        base = event["key"][:-len("leader")]
        if not any(e["key"] == base + "epoch" and e["revision"] == event["revision"] for e in entry["events"]):
            self.fault("epoch not written", f"{event['value']} at revision {event['revision']}", entry)
        if event["created"] <= self.epoch:
            self.fault("epoch not above", f"{event['created']} after {self.epoch}", entry)
        self.changes.append((event["created"], event["value"], self.ended, self.holder, entry))
        self.epoch, self.holder = max(self.epoch, event["created"]), (event["value"], event["lease"], event["created"])

    def end(self, entry, command):
        kind, self.ended = command["type"], command["type"]
        owner = self.holder[0] if self.holder else None
        if kind == "lease_expire":
            lease = self.leases.get(command["lease"])
            if lease is not None and command["number"] not in lease.numbers:
                self.fault("another number", f"{command['number']}, and it was {' or '.join(str(n) for n in sorted(lease.numbers))}", entry)
        elif kind == "depose":
            if not any("/reports/" in c["key"] and c["target"] == "mod" and c["number"] > 0 for c in command["compares"]):
                self.fault("deposed without reports", f"{command['actor']} instead of {owner or 'another'}", entry)
        elif kind not in ("txn", "lease_revoke") or (owner is not None and command["actor"] != owner):
            self.fault("ended by a stranger", f"a {kind} of {command['actor'] or 'a client'}, and {owner or 'another'} held it", entry)


def check(history):
    result = Result(history, NAME, CONDITIONS)
    told, longest = set(), None
    for log in raft_logs.logs_of(history):
        story = Story(result, told)
        story.replay(log.entries)
        result.looked += len(story.sent) + len(story.changes)
        if log.entries and (longest is None or len(log.entries) > len(longest[0].entries)):
            longest = (log, story)
    if longest is not None:
        # Each renewal once, whichever logs have it.
        check_times(result, history, longest[1])
        result.numbers.update(epochs=len(longest[1].changes), renewals=len(longest[1].sent))
    return result


# --- times -----------------------------------------------------------------------------------------------------------


class Clocks:
    """Stamps of members on the clock of all: (earliest, latest)."""

    def __init__(self, history):
        self.clocks = {}
        for c in history.of("clock"):
            self.clocks.setdefault(c["node"], []).append(c)

    def of(self, node, stamp):
        known = self.clocks.get(node)
        if not known:
            return None
        c = min(known, key=lambda c: abs(c["lease_ms"] - stamp))
        drift = abs(stamp - c["lease_ms"]) * MS * RHO
        return c["before"] + (stamp - c["lease_ms"] - 1) * MS - drift, c["after"] + (stamp - c["lease_ms"] + 1) * MS + drift


def check_times(result, history, story):
    clocks = Clocks(history)
    sent = {}  # member -> [(latest moment at which it was sent, ttl_ms, entry)]
    for stamp, ttl_ms, member, entry in story.sent:
        moment = clocks.of(member, stamp)
        if moment is not None:
            sent.setdefault(member, []).append((moment[1], ttl_ms, entry))
    check_acquisitions(result, history, story, clocks)
    if history.run.get("fence") != "off" and sent:
        check_holders(result, history, sent)


def check_acquisitions(result, history, story, clocks):
    seen = {}
    for k in history.of("lease_key"):
        if k.get("holder") is not None and k.get("epoch") is not None:
            name = (k["holder"], int(k["epoch"].partition(":")[2]))
            if name not in seen or k["seen"] < seen[name]["seen"]:
                seen[name] = k
    for epoch, holder, ended, before, entry in story.changes:
        witness = seen.get((holder, epoch))
        if ended != "lease_expire" or before is None or before[0] == holder or witness is None:
            continue
        lease = story.leases.get(before[1])
        moment = clocks.of(before[0], lease.stamp) if lease is not None else None
        if moment is None:
            continue
        early = moment[0] + lease_times.times(lease.ttl_ms).T * (1 - RHO) - witness["seen"]
        result.numbers["shortest_wait_ms"] = min(result.numbers.get("shortest_wait_ms", 1 << 60), round((witness["seen"] - moment[1]) / MS))
        if early > 0:
            result.fault("acquired too early", f"{holder} in epoch {epoch}, {early / 1e6:.0f} ms before the time of {before[0]} was over", entry, witness)


def check_holders(result, history, sent):
    """Of what a node did at the end of its time: a sign of which the begin lies behind every deadline it can have had."""
    deadlines = {}
    for member, renewals in sent.items():
        renewals.sort(key=lambda r: r[0])
        kill, soft = [], []
        for moment, ttl_ms, _ in renewals:
            t = lease_times.times(ttl_ms)
            kill.append(max(moment + t.K * (1 + RHO) + DF_MS * MS, kill[-1] if kill else 0))
            soft.append(max(moment + t.S * (1 + RHO), soft[-1] if soft else 0))
        deadlines[member] = ([r[0] for r in renewals], kill, soft, renewals)
    first = min(d[0][0] for d in deadlines.values())
    last = max(d[0][-1] for d in deadlines.values())
    signs = [("written too late", 1, w) for w in history.of("write") if w["result"] in ("ok", "warned") and w.get("node") is not None]
    signs += [("healthy too late", 2, h) for h in history.of("health") if h.get("status") == 200]
    known = {c["node"] for c in history.of("clock")}
    for condition, which, record in signs:
        # The log tells of this time only, and the clock of a node that none was compared with is not known.
        if not (first <= record["begin"] and record["end"] <= last) or record["node"] not in known:
            continue
        if any(e["why"] != "depose" and e["begin"] <= record["begin"] <= e["end"] for e in history.of("exception")):
            continue
        own = deadlines.get(record["node"])
        i = bisect.bisect_right(own[0], record["end"]) if own is not None else 0
        if i == 0:
            result.fault(condition, f"{record['node']} had no lease at all", record)
        elif record["begin"] > own[which][i - 1]:
            result.fault(condition, f"{record['node']}, {(record['begin'] - own[which][i - 1]) / 1e6:.0f} ms", record, own[3][i - 1][2])
