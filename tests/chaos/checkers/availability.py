"""How long nobody could write: the longest silence between two acknowledged writes, by each way, against the bounds L1-L8 of the cycle's fault.

    T = ttl; E = two rounds of an election = 500 ms + 2 election_timeout; P = promotion and a health check = 3 s; lw = loop_wait
    L1  node or link of the primary lost     silence   T + E + P
    L2  instance dies, agent lives           silence   5 s, idle
    L3  switchover                           silence   3 s
    L4  healed, and there was no primary     healed -> first write   T + E + P
    L5  healed                               healed -> settled       2 lw + E
    L6  a standby or a minority is lost      silence   1 s; in a synchronous mode the larger of wal_sender_timeout and 2 lw more
    L7  no failover                          no new timeline
    L8  all nodes start                      healed -> first write   E + 2 lw + T

All are multiplied by the run's load_factor, and what is longer than the bound itself is told; a cycle's "bounds" has what is added on top for a
recovery or a copy. Ways are the routes direct and
haproxy, as far as they are used. A way that nobody tries shows nothing: a silence counts as one of the cluster only while somebody asks.
"""
from checkers import lease_times
from checkers.lease_times import MS
from checkers.result import Result

NAME = "availability"
CONDITIONS = {
    "silence": "L1 L2 L3 L6: nobody was answered for too long",
    "too late": "L4 L8: after the end of the fault it took too long until a write was acknowledged",
    "not whole in time": "L5: after the end of the fault it took too long until every member was healthy",
    "never whole": "L5: the cluster was not whole again",
    "never again": "L4: after the fault no write was acknowledged any more",
    "failover": "L7: another timeline, where no failover is allowed",
    "nobody asked": "a way that is measured was not tried all the time",
    "unknown bound": "a bound that is none of L1-L8",
}
ROUTES = ("direct", "haproxy")
ASKED_WITHIN = 8_000 * MS  # between two attempts of a client: longer than its patience with a silent host


def limits(history):
    """{bound: ns}, without the factor."""
    run = history.run
    t, e, p = run["ttl_ms"] * MS, (500 + 2 * (run.get("election_timeout_ms") or 1000)) * MS, 3000 * MS
    lw = lease_times.loop_wait(history)
    sync = 0 if run["mode"] == "async" else max(2 * lw, (run.get("wal_sender_timeout_ms") or 0) * MS)
    return {"L1": t + e + p, "L2": 5000 * MS, "L3": 3000 * MS, "L4": t + e + p, "L5": 2 * lw + e, "L6": 1000 * MS + sync, "L7": 0, "L8": e + 2 * lw + t}


def silences(ends, since, until):
    """[(length, when it began)] of the times without an acknowledgement that reach into [since, until]; the last one may last until `until`."""
    inside = [e for e in ends if since <= e <= until]
    before = [e for e in ends if e < since]
    points = ([before[-1]] if before else [since]) + inside + [next((e for e in ends if e > until), until)]
    return [(b - a, a) for a, b in zip(points, points[1:])]


class Way:
    def __init__(self, history, route):
        self.route = route
        self.writes = sorted((w for w in history.of("write") if w.get("route") == route), key=lambda w: w["begin"])
        self.ends = sorted(w["end"] for w in self.writes if w["result"] == "ok")


def check(history):
    result = Result(history, NAME, CONDITIONS)
    ways = [w for w in (Way(history, r) for r in ROUTES) if w.writes]
    bounds, factor = limits(history), lease_times.factor(history)
    for cycle in history.of("cycle"):
        result.looked += 1
        for name, extra_ms in cycle["bounds"].items():
            if name not in bounds:
                result.fault("unknown bound", f"'{name}' of cycle {cycle['cycle']}", cycle)
                continue
            check_bound(result, cycle, ways, name, bounds[name] + extra_ms * MS, bounds[name] * factor + extra_ms * MS)
        check_asked(result, cycle, ways)
        if cycle.get("settled") is None:
            result.fault("never whole", f"cycle {cycle['cycle']} of {cycle['fault']}", cycle)
    if history.run.get("keep_epochs"):
        check_failover(result, history)
    return result


def figure(result, name, value):
    result.numbers[name] = max(result.numbers.get(name, 0), round(value / MS))


def compare(result, bound, value, plain):
    if value > plain:
        figure(result, f"{bound} beyond_ms", value - plain)


def check_bound(result, cycle, ways, name, plain, limit):
    what = f"cycle {cycle['cycle']} of {cycle['fault']}, {name}"
    if name in ("L1", "L2", "L3", "L6"):
        for way in ways:
            longest, began = max(silences(way.ends, cycle["injected"], cycle["end"]))
            figure(result, f"{way.route}_silence_ms", longest)
            compare(result, name, longest, plain)
            if longest > limit:
                result.fault("silence", f"{what}: {longest / 1e9:.1f} s by {way.route}, at most {limit / 1e9:.1f} s; it began"
                             f" {(began - cycle['injected']) / 1e9:.1f} s after the fault", cycle)
    elif name in ("L4", "L8"):
        for way in ways:
            first = next((e for e in way.ends if e > cycle["healed"]), None)
            if first is None or first > cycle["end"]:
                result.fault("never again", f"{what}: by {way.route}", cycle)
                continue
            figure(result, f"{way.route}_back_ms", first - cycle["healed"])
            compare(result, name, first - cycle["healed"], plain)
            if first - cycle["healed"] > limit:
                result.fault("too late", f"{what}: {(first - cycle['healed']) / 1e9:.1f} s by {way.route}, at most {limit / 1e9:.1f} s", cycle)
    elif name == "L5" and cycle.get("settled") is not None:
        figure(result, "settled_ms", cycle["settled"] - cycle["healed"])
        compare(result, name, cycle["settled"] - cycle["healed"], plain)
        if cycle["settled"] - cycle["healed"] > limit:
            result.fault("not whole in time", f"{what}: {(cycle['settled'] - cycle['healed']) / 1e9:.1f} s, at most {limit / 1e9:.1f} s", cycle)
    elif name == "L7":
        timelines = {w["timeline"] for way in ways for w in way.writes
                     if w["result"] == "ok" and w.get("timeline") is not None and cycle["begin"] <= w["end"] <= cycle["end"]}
        if len(timelines) > 1:
            result.fault("failover", f"{what}: writes on the timelines {sorted(timelines)}", cycle)


def tried(write):
    """From when to when its client asked for it."""
    return write.get("asked") or write["begin"], write.get("end") or write["begin"]


def check_asked(result, cycle, ways):
    """Somebody asked by each way from the fault to the end."""
    if not ways and cycle["bounds"]:
        result.fault("nobody asked", f"cycle {cycle['cycle']}: no write by {' or '.join(ROUTES)}", cycle)
    for way in ways:
        points = [cycle["injected"]]
        for w in way.writes:
            since, until = tried(w)
            if since <= cycle["end"] and until >= cycle["injected"]:
                if since - points[-1] > ASKED_WITHIN:
                    break
                points.append(max(points[-1], until))
        if cycle["end"] - points[-1] > ASKED_WITHIN:
            result.fault("nobody asked", f"cycle {cycle['cycle']}: {way.route} was silent itself, from {(points[-1] - cycle['injected']) / 1e9:.1f} s after"
                         " the fault on", cycle)


def check_failover(result, history):
    changes = [p for p in history.of("promotion") if p["at"] > min([c["begin"] for c in history.of("cycle")], default=0)]
    for p in changes:
        result.fault("failover", f"{p['node']} made timeline {p['timeline']}", p)
