"""Checker: what watchers were shown, against what was written, and against what was read.

Revisions order everything, so nothing is searched for here. The writes of a prefix that was empty at first are the *story*: revision ->
changes, in order, as any watcher was shown them. It has to be one story for all watchers, to hold each acknowledged write once and at its
revision, and nothing else but writes whose outcome is unknown; and whoever read something has to have seen a page of it.

Input, dictionaries:

    write    "begin", "end", "result": ok | fail | unknown, "changes": [[key, value or None = deleted], ...], "revision" if ok
    read     "begin", "end", "revision": of the answer, "linearizable", "found": {key: [value, mod revision]} of the whole prefix
    session  one watch of one watcher until it ended, in the order of time: "watcher", "node", "from": the revision it asked for,
             "batches": [{"at": when it came, "header": revision of the answer's header, "events": [event, ...]}, ...],
             a batch without events says that everything up to its header has been delivered
    event    {"revision", "key", "value" (None = deleted), and, where the dialect has them, "version", "created", "before" (the value
             that was there)}

All times are of one clock. Values are unique, so that a write is known by what it wrote.
"""
import bisect


class Story:
    """revision -> [event, ...]; and how each key went on."""

    def __init__(self, sessions):
        self.faults = []
        self.events = {}
        self.keys = {}
        for session in sessions:
            for batch in session["batches"]:
                self.add(session, batch)
        self.revisions = sorted(self.events)
        self.replay()

    def add(self, session, batch):
        for revision, events in by_revision(batch["events"]).items():
            known = self.events.setdefault(revision, events)
            if [shown(e) for e in known] != [shown(e) for e in events]:
                self.faults.append(f"revision {revision} was shown as {[shown(e) for e in known]} and, to {who(session)}, as"
                                   f" {[shown(e) for e in events]}")

    def replay(self):
        for revision in self.revisions:
            touched = set()
            for event in self.events[revision]:
                key = event["key"]
                if key in touched:
                    self.faults.append(f"revision {revision} changes {key} twice")
                touched.add(key)
                self.step(key, event)

    def step(self, key, event):
        way = self.keys.setdefault(key, [])
        old = way[-1] if way else {"value": None, "version": 0, "created": None}
        new = {"revision": event["revision"], "value": event["value"], "version": 0, "created": None}
        if event["value"] is not None:
            new["version"] = old["version"] + 1
            new["created"] = old["created"] or event["revision"]
        elif old["value"] is None:
            self.faults.append(f"{key} was deleted at revision {event['revision']}, and was not there")
        for field in ("version", "created"):
            if event.get(field) is not None and event["value"] is not None and event[field] != new[field]:
                self.faults.append(f"{key} at revision {event['revision']} has {field} {event[field]}, and not {new[field]}")
        if "before" in event and event["before"] != old["value"]:
            self.faults.append(f"{key} at revision {event['revision']} came after {event['before']!r}, and not after {old['value']!r}")
        way.append(new)

    def at(self, revision):
        """{key: [value, mod revision]} as of a revision."""
        page = {}
        for key, way in self.keys.items():
            i = bisect.bisect_right(way, revision, key=lambda step: step["revision"])
            if i > 0 and way[i - 1]["value"] is not None:
                page[key] = [way[i - 1]["value"], way[i - 1]["revision"]]
        return page

    def between(self, first, last):
        return self.revisions[bisect.bisect_left(self.revisions, first):bisect.bisect_right(self.revisions, last)]


def who(session):
    return f"{session['watcher']} at {session['node']}"


def shown(event):
    return [event["key"], event["value"]]


def changes(pairs):
    return frozenset((key, value) for key, value in pairs)


def by_revision(events):
    """In the order they came in; events of one revision are neighbours, or check_session says so."""
    found = {}
    for event in events:
        found.setdefault(event["revision"], []).append(event)
    return found


def check_order(session):
    """Revisions rise from batch to batch and inside; one revision comes in one batch, and none below where it began."""
    faults, last = [], session["from"] - 1
    for batch in session["batches"]:
        revisions = [e["revision"] for e in batch["events"]]
        if revisions and revisions[0] <= last:
            what = "again" if revisions[0] == last else "late"
            if revisions[0] < session["from"]:
                what = f"though it asked from {session['from']} on"
            faults.append(f"{who(session)}: revision {revisions[0]} came {what}, after {last}")
        if revisions != sorted(revisions):
            faults.append(f"{who(session)}: out of order: {revisions}")
        if revisions and batch.get("header") is not None and batch["header"] < revisions[-1]:
            faults.append(f"{who(session)}: a header of revision {batch['header']} above events of {revisions[-1]}")
        last = max([last] + revisions)
    return faults


def reach(session):
    """Everything up to this revision it must have been shown."""
    most = session["from"] - 1
    for batch in session["batches"]:
        most = max([most] + [e["revision"] for e in batch["events"]] + ([batch["header"]] if not batch["events"] else []))
    return most


def check_loss(session, story):
    had = {e["revision"] for batch in session["batches"] for e in batch["events"]}
    missed = [r for r in story.between(session["from"], reach(session)) if r not in had]
    return [f"{who(session)}: asked from {session['from']} on, was led to {reach(session)}, and never had {missed[:5]}"
            + (f" and {len(missed) - 5} more" if len(missed) > 5 else "")] if missed else []


def check_watchers(sessions, story, last):
    """Nobody stopped before `last`; who came back went on where it had been."""
    faults, watchers = [], {}
    for session in sessions:
        watchers.setdefault(session["watcher"], []).append(session)
    for name, own in watchers.items():
        for before, after in zip(own, own[1:]):
            if after["from"] != reach(before) + 1:
                faults.append(f"{name} went on from {after['from']}, and had been led to {reach(before)}")
        if reach(own[-1]) < last:
            faults.append(f"{name} was led to {reach(own[-1])} only, and not to {last}")
    return faults


def check_writes(writes, story):
    """Each acknowledged one is there, at its revision; a refused one is not; nothing is there that nobody wrote, or twice."""
    faults, acknowledged, unknown, refused = [], {}, {}, set()
    for write in writes:
        wrote = changes(write["changes"])
        if write["result"] == "unknown":
            unknown[wrote] = unknown.get(wrote, 0) + 1
        elif write["result"] == "fail":
            refused.add(wrote)
        elif wrote:
            if write["revision"] in acknowledged:
                faults.append(f"revision {write['revision']} was acknowledged twice")
            acknowledged[write["revision"]] = write
            there = [shown(e) for e in story.events.get(write["revision"], [])]
            if changes(there) != wrote:
                faults.append(f"acknowledged at revision {write['revision']}: {write['changes']}, and shown was {there}")
    for revision in story.revisions:
        if revision in acknowledged:
            continue
        there = changes(shown(e) for e in story.events[revision])
        if unknown.get(there, 0) > 0:
            unknown[there] -= 1
        else:
            why = "what was refused" if there in refused else "what nobody wrote" if there not in unknown else "once more"
            faults.append(f"revision {revision} shows {why}: {sorted(there, key=repr)}")
    return faults


def check_real_time(writes, reads, sessions):
    """What was over before something else began has the lower revision."""
    faults = []
    done = sorted((w for w in writes if w["result"] == "ok" and w.get("revision") is not None), key=lambda w: w["end"])
    ends = [w["end"] for w in done]
    highest = []
    for w in done:
        highest.append(max(w["revision"], highest[-1] if highest else 0))

    def before(moment):
        i = bisect.bisect_left(ends, moment)
        return highest[i - 1] if i > 0 else 0
    for w in done:
        if w["revision"] <= before(w["begin"]):
            faults.append(f"written at revision {w['revision']}, after {before(w['begin'])} had been acknowledged: {w['changes']}")
    for r in reads:
        if r["linearizable"] and r["revision"] < before(r["begin"]):
            faults.append(f"read at revision {r['revision']}, after {before(r['begin'])} had been acknowledged")
    begun = sorted(done, key=lambda w: w["begin"])
    begins, lowest = [w["begin"] for w in begun], [0] * (len(begun) + 1)
    lowest[len(begun)] = float("inf")
    for i in range(len(begun) - 1, -1, -1):
        lowest[i] = min(begun[i]["revision"], lowest[i + 1])

    def after(moment):
        return lowest[bisect.bisect_right(begins, moment)]
    for r in reads:
        if r["revision"] >= after(r["end"]):
            faults.append(f"read at revision {r['revision']}, before the write of {after(r['end'])} had begun")
    for session in sessions:
        for batch in session["batches"]:
            revisions = [e["revision"] for e in batch["events"]]
            if revisions and max(revisions) >= after(batch["at"]):
                faults.append(f"{who(session)}: shown revision {max(revisions)} before the write of {after(batch['at'])} had begun")
    return faults


def check_reads(reads, story):
    faults = []
    for read in reads:
        page = story.at(read["revision"])
        found = {key: list(value) for key, value in read["found"].items()}
        if found != page:
            wrong = sorted(k for k in set(found) | set(page) if found.get(k) != page.get(k))
            faults.append(f"read at revision {read['revision']}: " + ", ".join(
                f"{k} is {found.get(k)} and not {page.get(k)}" for k in wrong[:3]))
    return faults


def check(writes, reads, sessions, last=None):
    """What is wrong, as texts. `last`: each watcher must have been led up to it; by default the highest revision in the story."""
    story = Story(sessions)
    faults = list(story.faults)
    if last is None:
        last = story.revisions[-1] if story.revisions else 0
    for session in sessions:
        faults += check_order(session) + check_loss(session, story)
    faults += check_watchers(sessions, story, last)
    faults += check_writes(writes, story)
    faults += check_real_time(writes, reads, sessions)
    faults += check_reads(reads, story)
    return faults
