"""The members' Raft logs: one log, applied alike by all, and nothing that was committed ever goes.

If two logs have an entry of the same index and term, everything below it is the same in both (log matching), whether it was committed or not: so logs of
any members, read at any times, can be held against each other.
"""
from checkers.result import Result

NAME = "raft log"
CONDITIONS = {
    "hole": "I9: a log lacks an entry in its middle",
    "term went back": "I9: an entry has a lower term than the one before it",
    "no match": "I9: two logs agree at an index and differ below it (log matching)",
    "other result": "I9: one entry gave different results on two members (state machine safety)",
    "other state": "I9: two members have different states after the same entry (state machine safety)",
    "committed and gone": "I9: an entry that was committed is not in a log that was read later (leader completeness)",
    "went back": "I9: a member has less than was known there to be committed",
}


class Log:
    def __init__(self, start, entries, end):
        self.start, self.entries, self.end = start, sorted(entries, key=lambda e: e["index"]), end
        self.node, self.cut = start["node"], start["cut"]
        self.at = {e["index"]: e for e in self.entries}
        self.name = f"{self.node}, cut {self.cut}"
        self.states = {start["index"]: (start.get("term"), start["state"], start)}
        for e in self.entries:
            if e.get("state") is not None:
                self.states[e["index"]] = (e["term"], e["state"], e)
        if end is not None:
            last = self.at.get(end["index"])
            self.states.setdefault(end["index"], (last["term"] if last else start.get("term"), end["state"], end))


def logs_of(history):
    """Each log that was read, oldest first."""
    entries, ends = {}, {}
    for e in history.of("applied"):
        entries.setdefault((e["node"], e["cut"]), []).append(e)
    for e in history.of("applied_to"):
        ends[e["node"], e["cut"]] = e
    return [Log(s, entries.get((s["node"], s["cut"]), []), ends.get((s["node"], s["cut"])))
            for s in sorted(history.of("applied_from"), key=lambda s: (s["cut"], s["node"]))]


def check(history):
    result = Result(history, NAME, CONDITIONS)
    logs = logs_of(history)
    result.looked = sum(len(log.entries) for log in logs)
    for log in logs:
        check_one(result, log)
    for i, a in enumerate(logs):
        for b in logs[i + 1:]:
            check_pair(result, a, b)
    check_committed(result, logs)
    result.numbers.update(logs=len(logs), entries=result.looked)
    return result


def check_one(result, log):
    for before, e in zip(log.entries, log.entries[1:]):
        if e["index"] != before["index"] + 1:
            result.fault("hole", f"{log.name}: {e['index']} after {before['index']}", before, e)
        if e["term"] < before["term"]:
            result.fault("term went back", f"{log.name}: entry {e['index']} of term {e['term']} after {before['term']}", before, e)


def check_pair(result, a, b):
    shared = sorted(a.at.keys() & b.at.keys())
    last = next((i for i in reversed(shared) if a.at[i]["term"] == b.at[i]["term"]), None)
    for i in shared:
        x, y = a.at[i], b.at[i]
        if last is None or i > last:
            break
        if (x["term"], x["type"], x["digest"]) != (y["term"], y["type"], y["digest"]):
            result.fault("no match", f"entry {i} of {a.name} and of {b.name}, which agree at {last}", x, y)
            return
        told = x.get("result") is not None and y.get("result") is not None
        if told and (x["result"] != y["result"] or (x.get("events") or []) != (y.get("events") or [])):
            result.fault("other result", f"entry {i} gave {x['result']} and {len(x.get('events') or [])} events on {a.name}, {y['result']} and"
                         f" {len(y.get('events') or [])} on {b.name}", x, y)
            return
    for i in a.states.keys() & b.states.keys():
        (term, state, x), (other_term, other_state, y) = a.states[i], b.states[i]
        if term == other_term and state != other_state:
            result.fault("other state", f"after entry {i}: {state} on {a.name}, {other_state} on {b.name}", x, y)
            return


def check_committed(result, logs):
    for log in logs:
        committed = (log.end or {}).get("committed")
        if committed is None:
            continue
        for later in logs:
            if later.cut <= log.cut:
                continue
            if later.node == log.node and later.end is not None and later.end["index"] < committed:
                result.fault("went back", f"{later.name} ends at {later.end['index']}, and {committed} was committed at cut {log.cut}", log.end, later.end)
                continue
            gone = next((i for i in sorted(log.at.keys() & later.at.keys()) if i <= committed and log.at[i]["term"] != later.at[i]["term"]), None)
            if gone is not None:
                result.fault("committed and gone", f"entry {gone}, committed on {log.name}, is another on {later.name}", log.at[gone], later.at[gone])
