"""Timelines: each promotion makes a new one above all others, no number has two histories, and the record of it is the primary's.

By the servers' logs (promotion), the .history files of all nodes (timelines), the store's key `history` (recorded) and where nodes stand at
the end (the last record of each node).
"""
from checkers import branches
from checkers.result import Result

NAME = "timelines"
CONDITIONS = {
    "made twice": "I6: two promotions make one timeline",
    "not above": "I6: a promotion makes a timeline that is not above one that was made before",
    "not as planned": "I6: a promotion makes another number than was written into epoch",
    "two histories": "I6: files of one timeline differ",
    "left elsewhere": "I6: a timeline begins elsewhere than where its server says",
    "not in order": "I6: a .history file goes back",
    "unknown to the store": "I7: the recorded history is not the primary's",
    "off the branch": "I7: a node stands where the primary's history never was",
    "two primaries": "I7: two nodes are primaries at the end",
}


def check(history):
    result = Result(history, NAME, CONDITIONS)
    files, latest = history.of("timelines"), {}
    for record in files:
        if record["node"] not in latest or record["at"] >= latest[record["node"]]["at"]:
            latest[record["node"]] = record
    result.looked = len(history.of("promotion")) + len(files)
    check_promotions(result, history)
    check_files(result, history, files)
    primaries = [r for r in latest.values() if r["role"] == "primary"]
    if len(primaries) > 1:
        result.fault("two primaries", ", ".join(sorted(r["node"] for r in primaries)), *primaries)
    elif primaries:
        check_branch(result, latest, primaries[0])
        check_recorded(result, history, primaries[0])
    result.numbers.update(promotions=len(history.of("promotion")), highest=max([r["timeline"] for r in files + history.of("promotion")], default=0))
    return result


def check_promotions(result, history):
    highest, made = None, {}
    for p in sorted(history.of("promotion"), key=lambda p: p["at"]):
        other = made.setdefault(p["timeline"], p)
        if other is not p:
            same = other["node"] == p["node"] and other["at"] == p["at"]  # the same line of a log, read twice
            if not same:
                result.fault("made twice", f"timeline {p['timeline']} by {other['node']} and by {p['node']}", other, p)
        elif highest is not None and p["timeline"] < highest["timeline"] or p["timeline"] <= p["from_timeline"]:
            result.fault("not above", f"timeline {p['timeline']} by {p['node']} from {p['from_timeline']}, after"
                         f" {highest['timeline'] if highest else 'none'}", *[r for r in (highest, p) if r])
        if p.get("planned") is not None and p["planned"] != p["timeline"]:
            result.fault("not as planned", f"{p['node']} made {p['timeline']} instead of {p['planned']}", p)
        if highest is None or p["timeline"] > highest["timeline"]:
            highest = p


def check_files(result, history, records):
    known = {}  # timeline -> (lines, record)
    for record in records:
        for timeline, lines in record["files"].items():
            bare = [(parent, lsn) for parent, lsn, *_ in lines]
            other = known.setdefault(timeline, (bare, record))
            if other[0] != bare:
                result.fault("two histories", f"timeline {timeline} on {other[1]['node']} {other[0]} and on {record['node']} {bare}", other[1], record)
            steps = bare + [(int(timeline), None)]
            if any(a[0] >= b[0] or (b[1] is not None and a[1] > b[1]) for a, b in zip(steps, steps[1:])):
                result.fault("not in order", f"the file of timeline {timeline} on {record['node']}: {bare}", record)
    for p in history.of("promotion"):
        bare, record = known.get(str(p["timeline"]), (None, None))
        if bare is not None and (not bare or bare[-1] != (p["from_timeline"], p["lsn"])):
            result.fault("left elsewhere", f"timeline {p['timeline']} by {p['node']} from {p['from_timeline']} at {p['lsn']}, and the file says"
                         f" {bare[-1] if bare else 'nothing'}", p, record)


def check_branch(result, latest, primary):
    below = branches.ancestors(primary["files"], primary["timeline"])
    if below is None:
        result.undecided.append(f"{primary['node']} has no .history file of its timeline {primary['timeline']}")
        return
    for record in latest.values():
        timeline, at = record["timeline"], record.get("lsn")
        if record is primary or timeline == primary["timeline"]:
            continue
        if timeline not in below or (at is not None and at > below[timeline]):
            where = f"the history of {primary['node']} left it at {below[timeline]}" if timeline in below else f"{primary['node']} never was on it"
            result.fault("off the branch", f"{record['node']} is on timeline {timeline} at {at}; {where}", record, primary)


def check_recorded(result, history, primary):
    below = branches.ancestors(primary["files"], primary["timeline"])
    recorded = max(history.of("recorded"), key=lambda r: r["at"], default=None)
    if recorded is None or below is None:
        return
    there = [(entry[0], entry[1]) for entry in recorded["entries"]]
    if there != sorted(below.items()):
        result.fault("unknown to the store", f"{there}, and {primary['node']} has {sorted(below.items())}", recorded, primary)
