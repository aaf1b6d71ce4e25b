"""Order: positions and timelines of rows go on as time does, a row keeps its own, and each lies on the branch that was not abandoned.

A row has the timeline and the position of the WAL at which its insert began. Its commit record lies behind that, and before the position of
whatever was begun after it had been acknowledged.
"""
import bisect

from checkers import branches
from checkers.result import Result

NAME = "ordering"
CONDITIONS = {
    "another row": "I2: a row has another timeline or position than its writer was told",
    "position went back": "I3: acknowledged before another of its timeline was begun, and at a higher position",
    "timeline went back": "I6: a node acknowledges on an older timeline than before",
    "beyond the switch": "I3: a row that is there lies behind the point where its timeline was left",
    "of no ancestor": "I6: a row that is there is of a timeline that the primary's history did not go through",
    "lost before the switch": "I3: acknowledged, gone, and committed before the point where its timeline was left",
}


def check(history):
    result = Result(history, NAME, CONDITIONS)
    acknowledged = [w for w in history.of("write") if w["result"] == "ok" and w.get("timeline") is not None and w.get("lsn") is not None]
    result.looked = len(acknowledged)
    check_rows(result, history)
    check_positions(result, acknowledged)
    check_timelines(result, acknowledged)
    check_branches(result, history, acknowledged)
    return result


def check_rows(result, history):
    told = {(w["writer"], w["n"]): w for w in history.of("write") if w["result"] in ("ok", "warned")}
    for table in history.of("table"):
        for writer, n, timeline, lsn in table["rows"]:
            w = told.get((writer, n))
            if w is None:
                continue
            if (w.get("timeline") is not None and w["timeline"] != timeline) or (w.get("lsn") is not None and w["lsn"] != lsn):
                result.fault("another row", f"({writer}, {n}) is {timeline}/{lsn} on {table['node']}, and its writer was told"
                             f" {w.get('timeline')}/{w.get('lsn')}", w, table)


def sweep(writes, value, broken):
    """Calls broken(write, earlier) for each that was begun after another had ended whose value is not below its own (`value` is compared as is)."""
    ends = sorted(writes, key=lambda w: w["end"])
    best, i = None, 0
    for w in sorted(writes, key=lambda w: w["begin"]):
        while i < len(ends) and ends[i]["end"] < w["begin"]:
            if best is None or value(ends[i]) > value(best):
                best = ends[i]
            i += 1
        if best is not None:
            broken(w, best)


def check_positions(result, acknowledged):
    terms = {}
    for w in acknowledged:
        terms.setdefault((w["timeline"], w.get("node")), []).append(w)
    for (timeline, node), writes in terms.items():
        def broken(w, before, timeline=timeline, node=node):
            if w["lsn"] <= before["lsn"]:
                result.fault("position went back", f"({w['writer']}, {w['n']}) at {w['lsn']} of timeline {timeline} on {node}, after"
                             f" ({before['writer']}, {before['n']}) at {before['lsn']}", before, w)
        sweep(writes, lambda w: w["lsn"], broken)


def check_timelines(result, acknowledged):
    nodes = {}
    for w in acknowledged:
        nodes.setdefault(w.get("node"), []).append(w)
    for node, writes in nodes.items():
        def broken(w, before, node=node):
            if w["timeline"] < before["timeline"]:
                result.fault("timeline went back", f"{node} on timeline {w['timeline']} after {before['timeline']}", before, w)
        sweep(writes, lambda w: w["timeline"], broken)


def check_branches(result, history, acknowledged):
    primary = branches.newest_primary(history)
    below = None if primary is None else branches.ancestors(primary["files"], primary["timeline"])
    if below is None:
        return
    tables = [t for t in history.of("table") if t["role"] == "primary" and t["timeline"] == primary["timeline"]]
    for table in tables:
        for writer, n, timeline, lsn in table["rows"]:
            if timeline == primary["timeline"]:
                continue
            if timeline not in below:
                result.fault("of no ancestor", f"({writer}, {n}) of timeline {timeline}; the history is {sorted(below)}, {primary['timeline']}", table, primary)
            elif lsn >= below[timeline]:
                result.fault("beyond the switch", f"({writer}, {n}) at {lsn} of timeline {timeline}, which was left at {below[timeline]}", table, primary)
    if tables:
        check_lost(result, acknowledged, max(tables, key=lambda t: t["begin"]), below, primary)


def check_lost(result, acknowledged, table, below, primary):
    """Of what is gone: had a later write been begun at a position before the switch, the commit lay before it as well."""
    there = {(writer, n) for writer, n, _, _ in table["rows"]}
    for timeline, switch in below.items():
        own = sorted((w for w in acknowledged if w["timeline"] == timeline), key=lambda w: w["begin"])
        begins = [w["begin"] for w in own]
        least, smallest = [None] * (len(own) + 1), None  # the one with the lowest position from here on
        for i in range(len(own) - 1, -1, -1):
            if smallest is None or own[i]["lsn"] < smallest["lsn"]:
                smallest = own[i]
            least[i] = smallest
        for w in own:
            after = least[bisect.bisect_right(begins, w["end"])]
            if (w["writer"], w["n"]) not in there and w["end"] < table["begin"] and after is not None and after["lsn"] <= switch:
                result.fault("lost before the switch", f"({w['writer']}, {w['n']}) of timeline {timeline}, which was left at {switch}, and"
                             f" ({after['writer']}, {after['n']}) was begun after it at {after['lsn']}", w, after, table, primary)
