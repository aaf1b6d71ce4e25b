"""Two writers: no node acknowledges a write, or says 200 to /primary, once another has done so on a later timeline.

Every promotion makes a timeline, so node and timeline name one writer's time. What it did happened at some moment between the begin
and the end of what a client saw; only what began after the other had ended is certain, and counts. A statement that computes first tells
when it had (computed): its commit comes after that. Intervals in which the rules let two write are given by records of kind exception and counted apart.
"""
from checkers.result import Result

NAME = "two writers"
CONDITIONS = {
    "late write": "I1: an older timeline is written to after a newer one of another node",
    "late health": "I11: an older timeline's primary says 200 after a newer one of another node",
    "one timeline, two writers": "I1: two nodes acknowledge writes on one timeline",
    "one timeline, two healthy": "I11: two nodes say 200 on one timeline",
    "healthy in turns": "I11: a node says 200 before, and again after, another one said so, and which timeline is not told",
}


def signs(history):
    """[(timeline, node, begin, end, record)] of all that shows a writable primary."""
    found = [(w["timeline"], w["node"], w.get("computed", w["begin"]), w["end"], w) for w in history.of("write")
             if w["result"] in ("ok", "warned") and w.get("timeline") is not None and w.get("node") is not None and w.get("end") is not None]
    found += [(h["timeline"], h["node"], h["begin"], h["end"], h) for h in history.of("health")
              if h.get("status") == 200 and h.get("timeline") is not None]
    return found


def excused(history, moment):
    return any(e["begin"] <= moment <= e["end"] for e in history.of("exception"))


def without(spans, holes):
    """Length of what is left of the spans when the holes are taken out."""
    edges = sorted([(a, 1, 0) for a, b in spans if b > a] + [(b, -1, 0) for a, b in spans if b > a]
                   + [(a, 0, 1) for a, b in holes if b > a] + [(b, 0, -1) for a, b in holes if b > a])
    total = last = depth = holed = 0
    for at, span, hole in edges:
        if depth > 0 and holed == 0:
            total += at - last
        last, depth, holed = at, depth + span, holed + hole
    return total


def check(history):
    result = Result(history, NAME, CONDITIONS)
    found = signs(history)
    result.looked = len(found) + sum(h.get("status") == 200 and h.get("timeline") is None for h in history.of("health"))
    first, last = {}, {}  # (timeline, node) -> its sign that ended first; begin of the last one
    for sign in found:
        term = sign[:2]
        if term not in first or sign[3] < first[term][3]:
            first[term] = sign
        last[term] = max(last.get(term, 0), sign[2])
    check_same_timeline(result, found)
    # The earliest sign of any newer timeline on another node, of each term.
    newer = {}
    for term in first:
        later = [first[t] for t in first if t[0] > term[0] and t[1] != term[1]]
        if later:
            newer[term] = min(later, key=lambda s: s[3])
    excuses = 0
    for timeline, node, begin, _, record in sorted(found, key=lambda s: s[2]):
        other = newer.get((timeline, node))
        if other is None or begin <= other[3]:
            continue
        if excused(history, begin):
            excuses += 1
            continue
        condition = "late write" if record["kind"] == "write" else "late health"
        result.fault(condition, f"{node} on timeline {timeline}, {(begin - other[3]) / 1e6:.1f} ms after {other[1]} on timeline {other[0]}",
                     record, other[4])
    overlaps = [(newer[t][3], last[t]) for t in newer if last[t] > newer[t][3]]
    holes = [(e["begin"], e["end"]) for e in history.of("exception")]
    result.numbers.update(signs=len(found), terms=len(first), overlap_ms=round(without(overlaps, holes) / 1e6, 1),
                          excused_ms=round((without(overlaps, []) - without(overlaps, holes)) / 1e6, 1), excused=excuses)
    check_turns(result, history)
    return result


def check_same_timeline(result, found):
    """A timeline has one primary for ever: who takes over makes the next."""
    for kind, condition in (("write", "one timeline, two writers"), ("health", "one timeline, two healthy")):
        owners = {}
        for timeline, node, _, _, record in found:
            if record["kind"] != kind:
                continue
            owner = owners.setdefault(timeline, (node, record))
            if owner[0] != node and not excused(result.history, record["begin"]):
                result.fault(condition, f"{owner[0]} and {node} on timeline {timeline}", owner[1], record)


def check_turns(result, history):
    """Where no timeline is told: a, then b, then a again without a 503 of a between."""
    answers = sorted((h for h in history.of("health") if h.get("status") is not None), key=lambda h: h["begin"])
    stretch = {}  # node -> the first 200 since its last other answer
    for h in answers:
        if h["status"] != 200:
            stretch.pop(h["node"], None)
            continue
        since = stretch.setdefault(h["node"], h)
        for node, other in stretch.items():
            inside = node != h["node"] and since["end"] < other["begin"] and other["end"] < h["begin"]
            if inside and (h.get("timeline") is None or other.get("timeline") is None) and not excused(history, h["begin"]):
                result.fault("healthy in turns", f"{h['node']}, then {node}, then {h['node']} again", since, other, h)
