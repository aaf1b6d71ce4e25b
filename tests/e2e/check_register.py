"""Checker: is the history of one key one that a register could have had, step by step? (linearizability)

Wing and Gong's search with Lowe's memory of what was seen: operations take effect one after the other, each at some moment between its
begin and its end. An operation whose outcome nobody knows may take effect at any moment after its begin, or never.

An operation is a dictionary: "op": read | write | cas, "key", "begin", "end" (of one clock), "result": ok | fail | unknown, and

    read   "value": what was read; None = the key is not there
    write  "value": what it writes; None = deletes
    cas    "expected" -> "value"; ok = swapped. "result": "fail" = compared and was not as expected; "seen": what was there instead,
           if that was told (the field is absent otherwise)

"fail" of a read or a write: it certainly had no effect.
"""
OPERATIONS_MAX = 400  # of one key in one history
STEPS_MAX = 2_000_000
UNKNOWN_END = float("inf")


class Undecided(Exception):
    """The history is too large for the bounds: neither good nor bad."""


class Operation:
    __slots__ = ("begin", "end", "kind", "expected", "value", "entry")

    def __init__(self, entry):
        self.entry = entry
        self.begin = entry["begin"]
        self.end = UNKNOWN_END if entry["result"] == "unknown" else entry["end"]
        self.kind, self.expected, self.value = entry["op"], entry.get("expected"), entry.get("value")
        if entry["op"] == "cas" and entry["result"] == "fail":
            # What was there instead is a read; where that was not told, it was anything but what was expected.
            self.kind, self.value = ("read", entry["seen"]) if "seen" in entry else ("other", entry["expected"])

    def step(self, state):
        """(may it take effect in this state, the state after it)"""
        if self.kind == "read":
            return state == self.value, state
        if self.kind == "write":
            return True, self.value
        if self.kind == "other":
            return state != self.value, state
        return state == self.expected, self.value


def operations(history):
    """What can be seen of a history: without reads nobody had an answer to, and without writes that had no effect."""
    found = []
    for entry in history:
        if entry["op"] == "cas" and entry["result"] == "fail" and "seen" in entry and entry["seen"] == entry["expected"]:
            raise ValueError(f"a swap was refused though what it expected was there: {entry}")
        if entry["op"] == "read" and entry["result"] != "ok":
            continue
        if entry["op"] == "write" and entry["result"] == "fail":
            continue
        found.append(Operation(entry))
    return without_unseen(found)


def without_unseen(found):
    """An open write that wrote what nobody has seen may as well never have happened: it only widens the search."""
    if any(o.kind == "other" for o in found):
        return found
    seen = {o.value for o in found if o.kind == "read"} | {o.expected for o in found if o.kind == "cas"}
    return [o for o in found if o.end != UNKNOWN_END or o.value in seen]


class Event:
    """The begin or the end of an operation, in a list in the order of time."""
    __slots__ = ("operation", "bit", "match", "before", "after")

    def __init__(self, operation, bit):
        self.operation, self.bit = operation, bit
        self.match = self.before = self.after = None  # match: the end of a begin; None for an end, and where there is none


def event_list(found):
    """A head, and behind it the events; of two at the same time the begin comes first, so that they overlap."""
    timed = []
    for i, o in enumerate(found):
        begin = Event(o, 1 << i)
        timed.append((o.begin, 0, i, begin))
        if o.end != UNKNOWN_END:
            begin.match = Event(o, 0)
            timed.append((o.end, 1, i, begin.match))
    head = last = Event(None, 0)
    for _, _, _, event in sorted(timed, key=lambda t: t[:3]):
        last.after, event.before = event, last
        last = event
    return head


def take_out(event):
    for e in (event, event.match):
        if e is not None:
            e.before.after = e.after
            if e.after is not None:
                e.after.before = e.before


def put_back(event):
    for e in (event.match, event):
        if e is not None:
            e.before.after = e
            if e.after is not None:
                e.after.before = e


def check_key(history, initial=None, steps_max=STEPS_MAX):
    """None if the history is linearizable, else the operation that could not be placed, as text."""
    found = operations(history)
    if len(found) > OPERATIONS_MAX:
        raise Undecided(f"{len(found)} operations on one key, at most {OPERATIONS_MAX} are searched")
    head = event_list(found)
    open_count = sum(1 for o in found if o.end != UNKNOWN_END)  # that still have to take effect
    state, done, seen, way, steps = initial, 0, set(), [], 0
    furthest, stuck = open_count + 1, None
    event = head.after
    while open_count > 0:
        steps += 1
        if steps > steps_max:
            raise Undecided(f"no answer within {steps_max} steps for {len(found)} operations")
        if event is not None and event.bit:
            possible, after = event.operation.step(state)
            if possible and (done | event.bit, after) not in seen:
                seen.add((done | event.bit, after))
                way.append((event, state))
                state, done = after, done | event.bit
                open_count -= event.match is not None
                take_out(event)
                event = head.after
            else:
                event = event.after
            continue
        # The end of an operation that has not taken effect, or of the list: what was tried last was wrong.
        if open_count < furthest and event is not None:
            furthest, stuck = open_count, (event.operation.entry, state)
        if not way:
            return f"cannot have happened (the key was {stuck[1]!r} at best): {stuck[0]}"
        event, state = way.pop()
        done &= ~event.bit
        open_count += event.match is not None
        put_back(event)
        event = event.after
    return None


def check(history, initial=None, steps_max=STEPS_MAX):
    """{key: what is wrong} of a history of many keys; keys are registers of their own."""
    keys = {}
    for entry in history:
        keys.setdefault(entry["key"], []).append(entry)
    wrong = {}
    for key, entries in keys.items():
        try:
            fault = check_key(entries, initial, steps_max)
        except ValueError as error:
            fault = str(error)
        if fault is not None:
            wrong[key] = fault
    return wrong
