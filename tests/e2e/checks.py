"""Checkers: what was acknowledged is there, once; never two writers at a time; how long nobody could write. test_checks.py tests them."""
import json


def read(writer, since=0.0):
    """Its entries, or those that begin then or later: only these are looked at, from the end on."""
    with open(writer.out) as f:
        lines = [line for line in f if line.endswith("\n")]
    found = []
    for line in reversed(lines):
        entry = json.loads(line)
        if entry["begin"] < since:
            break
        found.append(entry)
    return found[::-1]


def lost(rig, node, writers):
    """Acknowledged ids that are not in the table on `node`, and ids there that were never tried: ({...}, {...})."""
    missing, phantom = {}, {}
    for name, entries in writers.items():
        there = {int(n) for n in rig.sql(node, f"SELECT n FROM writes WHERE writer = '{name}'").split()}
        acknowledged = {e["n"] for e in entries if e["result"] == "ok"}
        failed = {e["n"] for e in entries if e["result"] == "fail"}
        missing[name] = sorted(acknowledged - there)
        phantom[name] = sorted((there - {e["n"] for e in entries}) | (there & failed))
    return missing, phantom


def holes(missing, writers):
    """Of what `lost` misses: writes that were acknowledged before another of the same primary began that is there. An asynchronous
    failover loses the end of a primary's WAL, and nothing before it."""
    acknowledged = [(name, e) for name, entries in writers.items() for e in entries if e["result"] == "ok"]
    gone = {(name, n) for name, numbers in missing.items() for n in numbers}
    kept = {}  # by primary: when the last one began that is there
    for name, e in acknowledged:
        if (name, e["n"]) not in gone:
            kept[e["timeline"], e["node"]] = max(kept.get((e["timeline"], e["node"]), 0.0), e["begin"])
    return [(name, e["n"]) for name, e in acknowledged if (name, e["n"]) in gone and e["end"] < kept.get((e["timeline"], e["node"]), 0.0)]


def two_writers(histories):
    """Acknowledgements of different nodes must not interleave on one clock: list of pairs that do."""
    entries = sorted((e for h in histories for e in h if e["result"] == "ok"), key=lambda e: e["end"])
    first_end, broken = {}, []
    for e in entries:
        first_end.setdefault((e["timeline"], e["node"]), e["end"])
    terms = sorted(first_end, key=lambda t: first_end[t])
    for i, a in enumerate(terms):
        for b in terms[i + 1:]:
            # An acknowledgement on the older term after the first one on the newer: two writers at once.
            late = [e for e in entries if (e["timeline"], e["node"]) == a and e["begin"] > first_end[b]]
            if late and a[1] != b[1]:
                broken.append((a, b, late[0]))
    return broken


def gap(entries, since=0.0, until=None):
    """Longest silence between two acknowledged writes, in seconds; also the one that lasts until `until`."""
    ends = [e["end"] for e in entries if e["result"] == "ok" and e["end"] >= since]
    return max((b - a for a, b in zip(ends, ends[1:] + ([until] if until is not None else []))), default=float("inf"))
