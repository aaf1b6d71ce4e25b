"""Tables in Markdown, between marks in the document: what stands around them is written by hand and stays.

    <!-- figures: NAME --> ... <!-- end of figures -->

Only tables that have results are written anew.
"""
import re
import statistics

MARK = "<!-- figures: {} -->"
END = "<!-- end of figures -->"

# What it is called, and the largest median that is allowed, direct and through HAProxy.
GAPS = {
    "postmaster_killed": ("postmaster killed, restarted in place", 0.9, 0.9),
    "takeover": ("postmaster killed, `primary_start_timeout` 0: a standby takes over", 0.3, 0.3),
    "agent_killed": ("agent killed and started again at once", 0.1, 0.1),
    "agent_lost": ("agent killed for good", None, None),
    "node_lost": ("primary's node lost", 3.2, 3.5),
    "isolated": ("primary isolated", 3.2, 3.5),
    "switchover": ("switchover", 0.3, 0.9),
    "strict_node_lost": ("primary's node lost, strict synchronous mode", 3.2, 3.5),
    "strict_isolated": ("primary isolated, strict synchronous mode", 3.2, 3.5),
    "early_node_lost": ("primary's node lost, strict mode with `early_failover`", 1.5, 1.5),
    "early_isolated": ("primary isolated, strict mode with `early_failover`", 1.5, 1.5),
}
OUTAGES = {
    "store_stopped": ("both other agents stopped", 2.0, 2.0),
    "store_cut": ("no Raft traffic between nodes", 2.0, 2.0),
}


def good(result):
    return [r for r in result["rounds"] if "failed" not in r]


def figure(values, most=None, least=None, digits=2):
    """median (min-max), and whether the median is beyond what is allowed."""
    values = [v for v in values if v is not None]
    if not values:
        return "-"
    median = statistics.median(values)
    missed = (most is not None and median > most) or (least is not None and median < least)
    text = f"{median:,.{digits}f} ({min(values):,.{digits}f}-{max(values):,.{digits}f})"
    return text + (f" **missed: {'<=' if most is not None else '>='} {most if most is not None else f'{least:,}'}**" if missed else "")


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def count(result):
    failed = len(result["rounds"]) - len(good(result))
    return f"{len(result['rounds'])}" + (f" (**{failed} failed**)" if failed else "")


def half(result, route, together):
    return figure([r[route] for r in good(result) if r["together"] == together])


def gaps(results):
    rows = []
    for name, (title, direct, haproxy) in GAPS.items():
        if name in results:
            r = results[name]
            rows.append([title, figure([x["direct"] for x in good(r)], direct), half(r, "direct", True), half(r, "direct", False),
                         figure([x["haproxy"] for x in good(r)], haproxy), half(r, "haproxy", True), half(r, "haproxy", False), count(r)])
    return table(["fault", "direct", "together", "apart", "through HAProxy", "together", "apart", "rounds"], rows) if rows else None


def outages(results):
    rows = []
    for name, (title, direct, haproxy) in OUTAGES.items():
        if name in results:
            r = results[name]
            rows.append([title, figure([x["served"] for x in good(r)]), figure([x["direct"] for x in good(r)], direct),
                         figure([x["haproxy"] for x in good(r)], haproxy), count(r)])
    return table(["no majority because of", "writes went on for", "back, direct", "back, through HAProxy", "rounds"], rows) if rows else None


def writes(results):
    """A round that found a duplicate or two writers has failed, and its reason says so."""
    rows = []
    for name, (title, *_) in {**GAPS, **OUTAGES}.items():
        if name in results:
            r = results[name]
            reasons = [x["failed"] for x in r["rounds"] if "failed" in x]
            rows.append([title, f"{sum(x['written'] for x in good(r)):,}", f"{sum(x['lost'] for x in good(r)):,}",
                         str(sum("more than once" in reason for reason in reasons)), str(sum("two writers" in reason for reason in reasons)),
                         count(r)])
    return table(["fault", "acknowledged", "lost", "rounds with a duplicate", "rounds with two writers", "rounds"], rows) if rows else None


def others(results):
    rows = []

    def row(part, title, values, most=None, least=None, digits=2):
        if part in results:
            rows.append([title, figure([values(x) for x in good(results[part])], most, least, digits), count(results[part])])

    row("start", "from nothing to three healthy members, s", lambda x: x["seconds"], most=5)
    row("footprint", "agent, idle for a minute: RssAnon, MiB", lambda x: x["idle"]["RssAnon"], most=5, digits=1)
    row("footprint", "agent, idle for a minute: VmRSS, MiB", lambda x: x["idle"]["VmRSS"], most=20, digits=1)
    row("footprint", "agent, after load: RssAnon, MiB", lambda x: x["loaded"]["RssAnon"], most=5, digits=1)
    row("footprint", "agent, after load: VmRSS, MiB", lambda x: x["loaded"]["VmRSS"], most=20, digits=1)
    row("footprint", "agent, idle: CPU, percent of a core", lambda x: x["cpu"], most=1)
    row("rest", "`GET /primary`, 64 keep-alive connections: requests/s", lambda x: x["per_s"], least=30000, digits=0)
    row("rest", "the same: p99, ms", lambda x: x["p99_ms"], most=5)
    row("store", "store, put at one client: p50, ms", lambda x: x["p50_ms"], most=1)
    row("store", "the same: p99, ms", lambda x: x["p99_ms"])
    row("store", "store, 64 in flight: puts/s", lambda x: x["per_s"], least=20000, digits=0)
    for key, title in (("put_us", "a put"), ("page_us", "the first 10 of a range"), ("range_us", "a range over half of the keys"),
                       ("past_us", "the same, at the oldest revision"), ("delete_all_us", "the delete of all keys")):
        row("store", f"store alone, 65,000 keys: {title}, us of CPU", lambda x, k=key: x.get(k), digits=1)
    for key, title in (("none_us", "a put without watches"), ("others_us", "a put beside 1,000 watches of other ranges"),
                       ("batch_us", "the same, 64 puts looked at together"), ("woken_us", "a put that 1,000 watches hear of"),
                       ("streams_us", "the same, as 1,000 streams of v3, encoded")):
        row("watches", f"watches, store alone: {title}, us of CPU", lambda x, k=key: x[k], digits=1)
    row("simulator", "simulated minutes per CPU second, whole node", lambda x: x["cluster"], least=30, digits=1)
    row("simulator", "the same, Raft and store alone", lambda x: x["store"], digits=1)
    for way in ("cgroup", "loop"):
        for backends in (5, 500):
            row("fence", f"fence, {backends} backends, by {way}: deadline to all gone, ms", lambda x, k=f"{way}_{backends}": x.get(k), digits=0)
    return table(["what", "median (min-max)", "rounds"], rows) if rows else None


def beside_etcd(rounds, load, key, goal=None, digits=2):
    """etcd's figure, ours, and ours as a part of etcd's, round by round; `goal`: (most, least) of that part. None: too few to tell."""
    pairs = [(r["etcd"][load][key], r["ours"][load][key]) for r in rounds]
    most, least = goal or (None, None)
    parts = [ours / etcd for etcd, ours in pairs if etcd and ours is not None]
    return [figure([etcd for etcd, _ in pairs], digits=digits), figure([ours for _, ours in pairs], digits=digits),
            figure(parts, most, least)]


def etcd(results):
    if "etcd" not in results or not good(results["etcd"]):
        return None
    rounds, rows = good(results["etcd"]), []
    for load in (load for load in rounds[0]["ours"] if load.startswith(("put", "range"))):
        what, wire, clients, where = load.split()
        rows.append([f"{what}, {'gRPC' if wire == 'grpc' else wire}", clients, where, *beside_etcd(rounds, load, "per_s", (None, 1), 0),
                     *beside_etcd(rounds, load, "p50_ms")[:2], *beside_etcd(rounds, load, "p99_ms", (0.5, None)),
                     *beside_etcd(rounds, load, "cpu_us", digits=0)[:2]])
    return table(["load", "clients", "where", "etcd, 1/s", "ours, 1/s", "ours/etcd", "etcd, p50 ms", "ours, p50 ms", "etcd, p99 ms",
                  "ours, p99 ms", "ours/etcd", "etcd, us of CPU", "ours, us of CPU"], rows)


def etcd_others(results):
    if "etcd" not in results or not good(results["etcd"]):
        return None
    rounds, rows = good(results["etcd"]), []
    for where in ("leader", "apart"):
        load = f"watch grpc 1000 {where}"
        title = f"1,000 watches, {where}"
        rows.append([f"{title}: puts/s that all hear of", *beside_etcd(rounds, load, "per_s", (None, 1), 1)])
        rows.append([f"{title}: from a put until the last has heard, p50 ms", *beside_etcd(rounds, load, "p50_ms")])
        rows.append([f"{title}: the same, p99 ms", *beside_etcd(rounds, load, "p99_ms", (0.5, None))])
    memory = {name: [[m[key] for m in r[name]["memory"]] for r in rounds] for name, key in (("etcd", "VmRSS"), ("ours", "RssAnon"))}
    parts = [statistics.median(ours) / statistics.median(theirs) for theirs, ours in zip(memory["etcd"], memory["ours"])]
    rows.append(["memory of a member after each round, MiB: VmRSS of etcd, RssAnon of ours",
                 *(figure([x for r in memory[name] for x in r], digits=1) for name in ("etcd", "ours")), figure(parts, 0.2)])
    busiest = {name: [max(f["client_cpu"] for load, f in r[name].items() if load != "memory") for r in rounds] for name in ("etcd", "ours")}
    rows.append(["cores that the client took, under the load where it took most", *(figure(busiest[name]) for name in ("etcd", "ours")), "-"])
    failed = {name: sum(f["failures"] for r in rounds for load, f in r[name].items() if load != "memory") for name in ("etcd", "ours")}
    rows.append(["requests that failed", f"{failed['etcd']:,}", f"{failed['ours']:,}", "-"])
    return table(["what", "etcd", "ours", "ours/etcd"], rows) + f"\n\nRounds: {count(results['etcd'])}."


def machine(results):
    lines = []
    for result in results.values():
        line = (f"{result['date']}, commit {result['commit']}: Linux {result['kernel']}, {result['cores']} cores ({result['cpu']}), "
                f"PostgreSQL {result['postgresql']}, HAProxy {result['haproxy']}" + (f", etcd {result['etcd']}" if "etcd" in result else ""))
        if line not in lines:
            lines.append(line)
    return "\n".join(f"- {line}" for line in lines) if lines else None


def failures(results):
    lines = [f"- {name}, round {i}: {r['failed']}" for name, result in results.items()
             for i, r in enumerate(result["rounds"], 1) if "failed" in r]
    return "\n".join(lines) if lines else "No round failed." if results else None


TABLES = {f.__name__: f for f in (machine, gaps, outages, writes, others, etcd, etcd_others, failures)}


def write(path, results):
    with open(path) as f:
        text = f.read()
    for name, make in TABLES.items():
        new = make(results)
        if new is None:
            continue
        mark = MARK.format(name)
        pattern = re.compile(re.escape(mark) + r"\n.*?" + re.escape(END), re.S)
        if not pattern.search(text):
            raise ValueError(f"{path} has no '{mark}' ... '{END}'")
        text = pattern.sub(lambda _, m=mark, n=new: f"{m}\n{n}\n{END}", text, count=1)
    with open(path, "w") as f:
        f.write(text)
