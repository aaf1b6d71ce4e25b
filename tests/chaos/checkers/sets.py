"""The set: of the rows that clients have inserted, those that were acknowledged are there, and no others; after each cycle, on each node.

How sure a row is depends on what became of it: ok is acknowledged; warned and unknown may be there or not, and stay open; fail is not there.
With a synchronous mode a row of synchronous_commit on or above is never lost; else those may be that a failover may lose: the end of
what a primary acknowledged, not more than maximum_lag_on_failover and what was written since the last position was published.
"""
import bisect

from checkers import lease_times
from checkers.result import Result

NAME = "set"
CONDITIONS = {
    "phantom": "I2: a row that nobody tried to write",
    "failed and there": "I2: a row whose write certainly failed",
    "twice": "I2: one row more than once",
    "lost": "I2: acknowledged in a synchronous mode, and gone",
    "lost without a failover": "I3: acknowledged, and gone on its own timeline",
    "lost in a lossless cycle": "I3: acknowledged, and gone in a cycle that may lose nothing",
    "lost before what is kept": "I3: acknowledged and gone, and a later write of the same primary is there",
    "lost too much": "I3: more is gone than maximum_lag_on_failover and what was written since the last published position",
    "vanished": "I3: seen on the primary, and gone on its own timeline",
    "resurrected": "I3: gone on the primary of a later timeline, and there again",
    "diverged": "I7: a row of an older timeline on a node, that its primary of the time had not",
}
SYNCHRONOUS = ("on", "remote_apply")


def promised(run, write):
    """Is the write one that no failover may lose?"""
    return run["mode"] in ("sync", "quorum") and write.get("commit", "on") in SYNCHRONOUS


class Table:
    def __init__(self, record):
        self.record, self.rows, self.twice = record, {}, []
        for writer, n, timeline, lsn in record["rows"]:
            if (writer, n) in self.rows:
                self.twice.append((writer, n))
            self.rows[writer, n] = (timeline, lsn)
        self.name = f"{record['node']} after cycle {record['cycle']}"
        self.primary, self.timeline = record["role"] == "primary", record["timeline"]


class Terms:
    """What each primary acknowledged, in the order it was begun; to tell the end of it."""

    def __init__(self, history):
        self.terms = {}
        for w in history.of("write"):
            if w["result"] == "ok" and w.get("timeline") is not None:
                self.terms.setdefault((w["timeline"], w.get("node")), []).append(w)
        for writes in self.terms.values():
            writes.sort(key=lambda w: w["begin"])
        self.begins = {t: [w["begin"] for w in writes] for t, writes in self.terms.items()}
        self.window = lease_times.times(history.run["ttl_ms"]).K + lease_times.factor(history) * lease_times.loop_wait(history)

    def beyond(self, term, lost):
        """Bytes between the first that is lost and where the primary was when it published for the last time."""
        writes = self.terms[term]
        since = max(w["end"] for w in writes) - self.window
        i = bisect.bisect_left(self.begins[term], since)
        at = max((w["lsn"] for w in writes[:i] if w.get("lsn") is not None), default=None)
        first = min((w["lsn"] for w in lost if w.get("lsn") is not None and w["end"] < since), default=None)
        return 0 if at is None or first is None else at - first


def check(history):
    result = Result(history, NAME, CONDITIONS)
    tables = sorted((Table(t) for t in history.of("table")), key=lambda t: t.record["begin"])
    writes = {(w["writer"], w["n"]): w for w in history.of("write")}
    terms = Terms(history)
    result.looked = sum(len(t.rows) for t in tables)
    outcomes = {}
    for w in writes.values():
        outcomes[w["result"]] = outcomes.get(w["result"], 0) + 1
    result.numbers.update(outcomes, tables=len(tables))
    lost_first = {}  # id -> the first table without it
    for table in tables:
        check_strangers(result, table, writes)
        for key, w in writes.items():
            if w["result"] == "ok" and w["end"] < table.record["begin"] and key not in table.rows:
                lost_first.setdefault(key, table)
        check_kept(result, table, writes, terms)
    check_lost(result, history, lost_first, writes)
    check_again(result, tables, writes)
    check_branches(result, tables)
    result.numbers["lost"] = len(lost_first)
    return result


def check_strangers(result, table, writes):
    for key in table.rows:
        w = writes.get(key)
        if w is None:
            result.fault("phantom", f"{key} on {table.name}: there is no such write", table.record)
        elif w["result"] == "fail":
            result.fault("failed and there", f"{key} on {table.name}", w, table.record)
    for key in table.twice:
        result.fault("twice", f"{key} on {table.name}", table.record)


def check_lost(result, history, lost_first, writes):
    cycles = {c["cycle"]: c for c in history.of("cycle")}
    for key, table in lost_first.items():
        w, cycle = writes[key], cycles.get(table.record["cycle"])
        text = f"{key} is not on {table.name}"
        if promised(history.run, w):
            result.fault("lost", text, w, table.record)
        elif w.get("timeline") is not None and w["timeline"] >= table.timeline:
            result.fault("lost without a failover", f"{text}, which is on timeline {table.timeline} as well", w, table.record)
        elif cycle is not None and cycle.get("lossless"):
            result.fault("lost in a lossless cycle", text, w, table.record, cycle)


def check_kept(result, table, writes, terms):
    """What is lost of each primary is the end of what it acknowledged. Of those that no failover may lose, `lost` speaks."""
    for (timeline, node), own in terms.terms.items():
        if timeline >= table.timeline:
            continue
        before = [w for w in own if w["end"] < table.record["begin"]]
        gone = [w for w in before if (w["writer"], w["n"]) not in table.rows and not promised(result.history.run, w)]
        if not gone:
            continue
        kept = max((w for w in before if (w["writer"], w["n"]) in table.rows), key=lambda w: w["begin"], default=None)
        for w in gone:
            if kept is not None and w["end"] < kept["begin"]:
                result.fault("lost before what is kept", f"{(w['writer'], w['n'])} of {node} on timeline {timeline} is not on {table.name}, and"
                             f" {(kept['writer'], kept['n'])} is", w, kept, table.record)
        beyond = terms.beyond((timeline, node), gone)
        if beyond > result.history.run["maximum_lag"]:
            result.fault("lost too much", f"{beyond} bytes of {node} on timeline {timeline}, at most {result.history.run['maximum_lag']}",
                         min(gone, key=lambda w: w["begin"]), table.record)
        result.numbers["lost_bytes"] = max(result.numbers.get("lost_bytes", 0), beyond)


def check_again(result, tables, writes):
    """What one read of a primary had or had not, a later read has or has not, too."""
    last_seen, absent = {}, {}  # id -> primary's table that had it; newest primary's table begun after it ended that had it not
    for table in tables:
        for key, (timeline, _) in table.rows.items():
            w, without = writes.get(key), absent.get(key)
            if w is not None and without is not None and timeline is not None and timeline < without.timeline:
                result.fault("resurrected", f"{key} was not on {without.name} and is on {table.name}", w, without.record, table.record)
        if not table.primary:
            continue
        for key, seen in last_seen.items():
            # An acknowledged one is lost, and was told as that.
            if key not in table.rows and seen.timeline == table.timeline and writes[key]["result"] != "ok":
                result.fault("vanished", f"{key} was on {seen.name} and is not on {table.name}", writes[key], seen.record, table.record)
        for key, w in writes.items():
            if key in table.rows:
                last_seen[key] = table
            elif w.get("end") is not None and w["end"] < table.record["begin"]:
                absent[key] = table
                last_seen.pop(key, None)


def check_branches(result, tables):
    """A row of an older timeline that the primary has not, nobody on its branch can have."""
    for primary in tables:
        if not primary.primary:
            continue
        for table in tables:
            if table.primary or table.record["cycle"] != primary.record["cycle"] or table.timeline != primary.timeline:
                continue
            for key, (timeline, _) in table.rows.items():
                if timeline is not None and timeline < primary.timeline and key not in primary.rows:
                    result.fault("diverged", f"{key} of timeline {timeline} is on {table.name} and not on {primary.name}", table.record, primary.record)
