"""No destruction: what goes from a data directory goes by an action of the agent that it was allowed to take (I10).

Events are those of the directory's own entries; what PostgreSQL and the agent make and remove there every day is no data. Destructions are what
the agent says that it does, with what it knew: the condition of I10, each part for itself.
"""
import re

from checkers import lease_times
from checkers.result import Result
from history import epoch_key

NAME = "directory guard"
CONDITIONS = {
    "nobody said so": "I10: data went from the directory outside any action that the agent has told of",
    "holds the lease": "I10 (a): by a node that holds the leader key",
    "held the newest epoch": "I10 (a): by the node that held the newest epoch",
    "no primary seen": "I10 (b): no primary was seen",
    "an older primary": "I10 (b): the primary is of an older epoch",
    "another system": "I10 (b): the primary has another system identifier",
    "seen too long ago": "I10 (b): the primary was not seen in this very loop",
    "not allowed": "I10 (c): neither a setting nor an operator allows it",
    "loss not recorded": "I10 (d): the node was ahead, and that was not written down first",
    "not empty": "I10: a bootstrap, or a copy, in a directory that is not empty",
}
DATA = re.compile(r"base|global|PG_VERSION|pg_[a-z_]+|\.")  # "." is the directory itself
GONE = ("unlink", "rmdir", "rename", "gone")


def check(history):
    result = Result(history, NAME, CONDITIONS)
    destructions = history.of("destruction")
    events = [e for e in history.of("directory") if e["event"] in GONE and DATA.fullmatch(e["name"])]
    result.looked = len(history.of("directory")) + len(destructions)
    for event in events:
        if not any(d["node"] == event["node"] and d["begin"] <= event["at"] <= (event["at"] if d.get("end") is None else d["end"]) for d in destructions):
            result.fault("nobody said so", f"{event['event']} of {event['name']} on {event['node']}", event)
    for d in destructions:
        if d["action"] in ("initdb", "clone"):
            if not d.get("empty"):
                result.fault("not empty", f"{d['action']} on {d['node']}", d)
        else:
            check_one(result, history, d)
    result.numbers.update(events=len(events), destructions=len(destructions))
    return result


def check_one(result, history, d):
    what = f"{d['action']} on {d['node']}, because {d['reason']}"
    if d["holds"]:
        result.fault("holds the lease", what, d)
    elif d.get("own_epoch") is not None and d["own_epoch"] == d.get("epoch"):
        result.fault("held the newest epoch", f"{what}: {d['epoch']}", d)
    if d.get("primary") is None:
        result.fault("no primary seen", what, d)
    else:
        check_primary(result, history, d, what)
    if not d.get("allowed"):
        result.fault("not allowed", what, d)
    if d.get("ahead") and not d.get("recorded"):
        result.fault("loss not recorded", f"{what}: {d['ahead']} bytes", d)


def check_primary(result, history, d, what):
    if d.get("epoch") is not None:
        mine, its = epoch_key(d["epoch"]), epoch_key(d["primary_epoch"]) if d.get("primary_epoch") is not None else None
        if its is None or (its[0] == mine[0] and its < mine):
            result.fault("an older primary", f"{what}: {d['primary']} is of {d.get('primary_epoch')}, and this node knows {d['epoch']}", d)
    if d.get("system") is not None and d.get("primary_system") != d["system"]:
        result.fault("another system", f"{what}: {d['primary']} has {d.get('primary_system')}, the directory {d['system']}", d)
    limit = lease_times.factor(history) * lease_times.loop_wait(history)
    if d.get("seen") is None or d["begin"] - d["seen"] > limit:
        result.fault("seen too long ago", f"{what}: {d['primary']}", d)
