"""Watches of the store: one story for all watchers, whole and in order, which has each acknowledged write once and is what was applied.

What watchers were shown against what was written and read is tests/e2e/check_watch.py's to judge; here it is compared with what the
members' logs made of it as well (kind applied).
"""
import check_watch
from checkers.result import Result

NAME = "watch"
CONDITIONS = {
    "story": "I8: what watchers were shown, what was written and what was read do not agree",
    "not applied": "I8: watchers were shown what no member has applied",
    "not shown": "I8: what was applied to the keys that are watched was shown to nobody",
}


def check(history):
    result = Result(history, NAME, CONDITIONS)
    sessions = {(s["watcher"], s["session"]): dict(s, batches=[]) for s in history.of("session")}
    for batch in history.of("batch"):
        session = sessions.get((batch["watcher"], batch["session"]))
        if session is None:
            result.undecided.append(f"{history.place(batch)}: a batch of watch {batch['session']} of {batch['watcher']}, which has no record of kind session")
            continue
        session["batches"].append(batch)
    writes = [r for r in history.of("register") if r.get("changes") is not None]
    pages = [p for p in history.of("page") if p["result"] == "ok" and p.get("revision") is not None]
    result.looked = len(sessions)
    if not sessions:
        return result
    for fault in check_watch.check(writes, pages, list(sessions.values())):
        result.fault("story", fault)
    check_applied(result, history, sessions)
    result.numbers.update(watches=len(sessions), batches=len(history.of("batch")), writes=len(writes))
    return result


def check_applied(result, history, sessions):
    """Of the keys that the story has, revision by revision, as far as logs that were read reach."""
    applied = {}
    for entry in history.of("applied"):
        for event in entry.get("events") or []:
            applied.setdefault(event["revision"], {})[event["key"]] = (event["value"], entry)
    shown = {}
    for session in sessions.values():
        for batch in session["batches"]:
            for event in batch["events"]:
                shown.setdefault(event["revision"], {})[event["key"]] = (event["value"], batch)
    if not applied or not shown:
        return
    keys = {key for events in shown.values() for key in events}
    known = range(min(applied), max(applied) + 1)
    for revision, events in shown.items():
        for key, (value, batch) in events.items():
            there = applied.get(revision, {}).get(key)
            if revision in known and (there is None or there[0] != value):
                result.fault("not applied", f"revision {revision}: {key} = {value!r}, and the log has {'nothing' if there is None else repr(there[0])}",
                             batch, *([there[1]] if there else []))
    reached = range(min(shown), max(shown) + 1)
    for revision, events in applied.items():
        for key, (value, entry) in events.items():
            if revision in reached and key in keys and key not in shown.get(revision, {}):
                result.fault("not shown", f"revision {revision}: {key} = {value!r}", entry)
