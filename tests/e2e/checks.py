"""Checkers: what was acknowledged is there, once; never two writers at a time; how long nobody could write."""
import json


def read(writer):
    with open(writer.out) as f:
        return [json.loads(line) for line in f if line.endswith("\n")]


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


def two_writers(histories):
    """Acknowledgements of different nodes must not interleave on one clock: list of pairs that do."""
    entries = sorted((e for h in histories for e in h if e["result"] == "ok"), key=lambda e: e["end"])
    last_end, first_begin, broken = {}, {}, []
    for e in entries:
        term = (e["timeline"], e["node"])
        last_end[term] = max(last_end.get(term, 0), e["end"])
        first_begin[term] = min(first_begin.get(term, e["end"]), e["end"])
    terms = sorted(first_begin, key=lambda t: first_begin[t])
    for i, a in enumerate(terms):
        for b in terms[i + 1:]:
            # An acknowledgement on the older term after the first one on the newer: two writers at once.
            late = [e for e in entries if (e["timeline"], e["node"]) == a and e["begin"] > first_begin[b]]
            if late and a[1] != b[1]:
                broken.append((a, b, late[0]))
    return broken


def gap(entries, since=0.0):
    """Longest silence between two acknowledged writes, in seconds."""
    ends = [e["end"] for e in entries if e["result"] == "ok" and e["end"] >= since]
    return max((b - a for a, b in zip(ends, ends[1:])), default=float("inf"))
