"""The end: every member runs, follows the one primary on its timeline, has the same data, and nothing is left over."""
import re

from checkers.result import Result

NAME = "final state"
CONDITIONS = {
    "missing": "L5: of a member nothing was read at the end",
    "not running": "L5: a member does not run at the end",
    "primaries": "L5: there is one primary at the end",
    "timeline": "L5: a member is not on the primary's timeline",
    "streams from nobody": "L5: a standby does not stream",
    "streams in a circle": "L5: a standby streams from one that does not lead to the primary",
    "other data": "I7: a table differs from the primary's",
    "amcheck": "I7: amcheck complains",
    "checksums": "I7: pages with wrong checksums were read",
    "stray slot": "L5: a replication slot that nobody needs",
    "slot missing": "L5: a permanent slot is not there",
    "synchronous": "L5: synchronous_standby_names are not as configured",
    "another system": "I10: a member has another system identifier",
}


def names_of(text):
    """The names in a value of synchronous_standby_names."""
    inside = re.search(r"\((.*)\)", text)
    names = [n.strip().strip('"') for n in (inside.group(1) if inside else text).split(",")]
    return [n for n in names if n]


def check(history):
    result = Result(history, NAME, CONDITIONS)
    found = {f["node"]: f for f in history.of("final")}
    expected = history.of("expected")
    if not expected:
        if found:
            result.undecided.append("there is no record of kind expected: who should be there is not told")
        return result
    expected = expected[0]
    result.looked = len(found)
    for member in expected["members"]:
        if member not in found:
            result.fault("missing", member, expected)
        elif found[member]["state"] != "running":
            result.fault("not running", f"{member} is {found[member]['state']}", found[member])
    running = {n: f for n, f in found.items() if f["state"] == "running"}
    primaries = [f for f in running.values() if f.get("role") == "primary"]
    if len(primaries) != 1:
        result.fault("primaries", f"{len(primaries)}: {', '.join(p['node'] for p in primaries) or 'none'}", *(primaries or [expected]))
        return result
    primary = primaries[0]
    for f in running.values():
        check_one(result, f, primary, expected)
        if f is not primary:
            check_standby(result, f, primary, running)
    names = names_of(primary.get("sync_names") or "")
    standbys = [n for n in names if n in expected["members"] and n != primary["node"]]
    if len(names) != expected["sync"] or len(standbys) != len(names):
        if not (expected["sync"] == 0 and names == ["*"] and history.run["strict"]):
            result.fault("synchronous", f"'{primary.get('sync_names')}' on {primary['node']}, and {expected['sync']} standbys are expected", primary, expected)
    result.numbers.update(members=len(running), timeline=primary.get("timeline"))
    return result


def check_one(result, f, primary, expected):
    for complaint in f.get("amcheck") or []:
        result.fault("amcheck", f"{f['node']}: {complaint}", f)
    if f.get("checksum_failures"):
        result.fault("checksums", f"{f['node']}: {f['checksum_failures']}", f)
    if f.get("system") != primary.get("system"):
        result.fault("another system", f"{f['node']} has {f.get('system')}, {primary['node']} {primary.get('system')}", f, primary)
    permanent = expected["slots"].get(f.get("role"), [])
    have = [s["name"] for s in f.get("slots") or []]
    for name in have:
        if name not in permanent and name not in [m for m in expected["members"] if m != f["node"]]:
            result.fault("stray slot", f"{name} on {f['node']}", f)
    for name in permanent:
        if name not in have:
            result.fault("slot missing", f"{name} on {f['node']}", f)
    for table in expected["tables"]:
        mine, its = (f.get("tables") or {}).get(table), (primary.get("tables") or {}).get(table)
        if mine is None or mine != its:
            result.fault("other data", f"{table} on {f['node']}: {mine}, and on {primary['node']}: {its}", f, primary)


def check_standby(result, f, primary, running):
    if f.get("timeline") != primary.get("timeline"):
        result.fault("timeline", f"{f['node']} is on {f.get('timeline')}, and {primary['node']} on {primary.get('timeline')}", f, primary)
    if f.get("streams_from") is None:
        result.fault("streams from nobody", f["node"], f)
        return
    at, seen = f, set()
    while at is not None and at is not primary and at["node"] not in seen:
        seen.add(at["node"])
        at = running.get(at.get("streams_from"))
    if at is not primary and (at is not None or f["streams_from"] not in running):
        result.fault("streams in a circle", f"{f['node']} from {f['streams_from']}", f)
