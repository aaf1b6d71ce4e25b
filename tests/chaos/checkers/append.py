"""Lists that transactions append to and read: is there an order of the transactions that explains what they read?

Elements of a list are unique and only ever appended, so that a list itself tells in which order its versions were made, and a read which version
it was of. From that follow dependencies: who wrote over whose version (ww), who read whose (wr), who read the version before whose (rw), and who
had ended before another began (rt). A cycle of them is an anomaly (Adya). Transactions on the primary have to be snapshot isolated, in real
time; those on standbys may be behind and may see two transactions in different orders (parallel snapshot isolation), no more.

With an asynchronous mode each timeline is a history of its own: what a failover loses is the set checker's. In a synchronous mode it is one history. There a version
of a writer that was told no success may have been seen and go with the primary: PostgreSQL shows a commit that no standby has confirmed after a
crash restart, or when its wait was cancelled. Where the fence could not work, real time counts within a timeline only.

Clients use REPEATABLE READ, and note a read only when it was answered.
"""
from checkers.append_graph import Graph, chain
from checkers.result import Result

NAME = "lists"
CONDITIONS = {
    "phantom": "I2: an element that nobody appended was read",
    "G1a": "snapshot isolation: an element of a transaction that was rolled back was read",
    "G1b": "snapshot isolation: a version that its transaction changed again was read",
    "internal": "snapshot isolation: a transaction does not see what it has appended, or sees one list in two versions",
    "twice": "I2: an element is in a list twice",
    "incompatible orders": "I2: two reads of one list, and neither is the beginning of the other",
    "lost append": "I2: appended and acknowledged before a read on the primary began, and not in it",
    "future read": "I2: an element was read before its transaction began",
    "G0": "snapshot isolation: transactions wrote over each other in a circle",
    "G1c": "snapshot isolation: transactions depend on each other in a circle",
    "lost update": "snapshot isolation: two transactions read one version and both changed it",
    "G-single": "snapshot isolation: a circle with one version that was read before it was written over",
    "G-nonadjacent": "snapshot isolation: two transactions seen in different orders on the primary",
    "real time": "snapshot isolation in real time: a circle that only the order of time closes",
    "G-single on a standby": "parallel snapshot isolation: a circle with one version that was read before it was written over",
}
COMMITTED = ("ok", "warned")
DEPENDENCIES = ("ww", "wr", "so")


class Transaction:
    __slots__ = ("record", "number", "ok", "reads", "appends", "timeline", "primary", "begin", "end")

    def __init__(self, record, number):
        self.record, self.number = record, number
        self.ok = record["result"] in COMMITTED
        self.timeline, self.primary = record.get("timeline"), record["endpoint"] == "primary"
        self.begin, self.end = record["begin"], record.get("end") if self.ok else None
        self.reads, self.appends = {}, {}  # key -> the list as it was without what it appended itself; key -> its elements, in order


class Lists:
    def __init__(self, history):
        self.history, self.result = history, Result(history, NAME, CONDITIONS)
        self.all = [Transaction(r, i) for i, r in enumerate(history.of("append"))]
        self.writers = {}
        for t in self.all:
            for kind, key, value in t.record["operations"]:
                if kind == "append":
                    t.appends.setdefault(key, []).append(value)
                    if (key, value) in self.writers:
                        raise ValueError(f"{history.place(t.record)}: {value} is appended to '{key}' a second time: elements are unique")
                    self.writers[key, value] = t
        for t in self.all:
            if t.ok:
                self.read(t)

    def fault(self, condition, text, *transactions):
        self.result.fault(condition, text, *[t.record for t in transactions])

    def read(self, t):
        own = {}
        for kind, key, value in t.record["operations"]:
            if kind == "append":
                own.setdefault(key, []).append(value)
            elif value is not None:
                mine = own.get(key, [])
                outside = value[:len(value) - len(mine)] if mine else value
                if mine and value[len(value) - len(mine):] != mine:
                    self.fault("internal", f"'{key}' is {value[-5:]} for who has appended {mine}", t)
                elif t.reads.setdefault(key, outside) != outside:
                    self.fault("internal", f"'{key}' is {t.reads[key][-5:]} and then {outside[-5:]}", t)
        for key, value in t.reads.items():
            self.look_at(t, key, value)

    def look_at(self, t, key, value):
        if len(set(value)) != len(value):
            self.fault("twice", f"'{key}': {next(e for e in value if value.count(e) > 1)}", t)
        for element in value:
            writer = self.writers.get((key, element))
            if writer is None:
                self.fault("phantom", f"'{key}': {element}", t)
            elif writer.record["result"] == "fail":
                self.fault("G1a", f"'{key}': {element}", writer, t)
            elif t.end is not None and writer.begin > t.end:
                self.fault("future read", f"'{key}': {element}", writer, t)
        writer = self.writers.get((key, value[-1])) if value else None
        if writer is not None and writer is not t and writer.appends[key][-1] != value[-1]:
            self.fault("G1b", f"'{key}' ends with {value[-1]}, after which its transaction appended {writer.appends[key][-1]}", writer, t)

    # --- groups ---
    def groups(self):
        timelines = {t.timeline for t in self.all if t.timeline is not None}
        if self.history.run["mode"] != "async" or len(timelines) < 2:
            return [self.all]
        self.result.numbers["of no timeline"] = sum(t.timeline is None and bool(t.reads) for t in self.all)
        return [[t for t in self.all if t.timeline == timeline] for timeline in sorted(timelines)]

    def by_timeline(self):
        """Does real time count within a timeline only?"""
        return self.history.run.get("fence") == "off" or bool(self.history.of("exception"))

    # --- the order of versions ---
    def orders(self, group):
        """{key: elements in order}; reads that do not fit are told, and taken out."""
        readers = {}
        for t in group:
            for key in t.reads:
                readers.setdefault(key, []).append(t)
        found = {}
        for key, own in readers.items():
            newest = max((t.timeline for t in own if t.timeline is not None), default=None)
            own.sort(key=lambda t: (t.timeline == newest, len(t.reads[key])), reverse=True)
            order = []
            best = None
            for t in own:
                value = t.reads[key]
                shared = min(len(value), len(order))
                older = t.timeline is not None and newest is not None and t.timeline < newest
                if value[:shared] == order[:shared] and (len(value) <= len(order) or not older):
                    if len(value) > len(order):
                        order, best = value, t
                    continue
                common = next((i for i in range(shared) if value[i] != order[i]), shared)
                tail = [self.writers.get((key, e)) for e in value[common:]]
                certain = [w for w in tail if w is not None and w.record["result"] == "ok"]
                if (older or t.timeline is None) and not certain and self.history.run["mode"] != "async":
                    self.result.numbers["seen and gone"] = self.result.numbers.get("seen and gone", 0) + 1
                elif older and common == shared and shared == len(order):
                    self.fault("lost append", f"'{key}' had {value[common:][:5]} on timeline {t.timeline}, and on {newest} not", *certain[:1], t, *([best] if best else []))
                else:
                    self.fault("incompatible orders", f"'{key}' is {value[max(0, common - 2):common + 3]} and {order[max(0, common - 2):common + 3]} from"
                               f" element {max(0, common - 2)} on", t, *([best] if best else []))
                del t.reads[key]
            found[key] = order
        return found

    def check_unseen(self, group, orders):
        """What was acknowledged before a read on the primary began is in the order of versions, since that read would have it."""
        last = {}
        for t in group:
            if t.primary and t.ok:
                for key in t.reads:
                    for part in (key, None), (key, t.timeline):
                        if part not in last or t.begin > last[part].begin:
                            last[part] = t
        for t in group:
            if t.record["result"] != "ok":
                continue
            for key, elements in t.appends.items():
                reader = last.get((key, t.timeline if self.by_timeline() else None))
                order = orders.get(key, [])
                if reader is not None and t.end < reader.begin and not set(elements) <= self.sets.setdefault(key, set(order)):
                    self.fault("lost append", f"'{key}': {elements}", t, reader)

    # --- dependencies ---
    def edges(self, group, orders):
        edges = {"ww": [], "wr": [], "rw": [], "so": [], "rt": []}
        writer = {}
        for key, order in orders.items():
            ways = [self.writers.get((key, e)) for e in order]
            writer[key] = ways
            for a, b in zip(ways, ways[1:]):
                if a is not None and b is not None:
                    edges["ww"].append((a.number, b.number))
        for t in group:
            for key, value in t.reads.items():
                ways = writer[key]
                if value and ways[len(value) - 1] is not None:
                    edges["wr"].append((ways[len(value) - 1].number, t.number))
                if len(value) < len(ways) and ways[len(value)] is not None:
                    edges["rw"].append((t.number, ways[len(value)].number))
        sessions = {}
        for t in sorted(group, key=lambda t: t.begin):
            before = sessions.get((t.record["client"], t.record["session"]))
            if before is not None and before.end is not None and before.end <= t.begin and not t.primary and before.record.get("node") == t.record.get("node"):
                edges["so"].append((before.number, t.number))
            sessions[t.record["client"], t.record["session"]] = t
        return edges

    def real_time(self, group, edges):
        count = len(self.all)
        parts = {}
        for t in group:
            if t.primary:
                parts.setdefault(t.timeline if self.by_timeline() else None, []).append((t.begin, t.end, t.number))
        for operations in parts.values():
            found, more = chain(operations, count)
            edges["rt"] += found
            count += more
        return count

    def told(self, cycle):
        """A cycle in words, and its transactions; moments of time are left out."""
        steps = [(self.all[n], kind) for n, kind in cycle if n < len(self.all)]
        text = " ".join(f"{self.history.place(t.record)} -{kind}->" for t, kind in steps)
        return f"{text} {self.history.place(steps[0][0].record)}", [t for t, _ in steps]

    def check_group(self, group):
        self.sets = {}
        orders = self.orders(group)
        self.check_unseen(group, orders)
        edges = self.edges(group, orders)
        count = self.real_time(group, edges)
        primary = {kind: [(a, b) for a, b in pairs if self.on_primary(a) and self.on_primary(b)] for kind, pairs in edges.items()}
        if Graph(count, primary, DEPENDENCIES + ("rw", "rt")).core():
            self.name_cycle(count, primary)
        elif any(not t.primary and t.reads for t in group):
            self.check_standbys(count, edges)

    def on_primary(self, node):
        return node >= len(self.all) or self.all[node].primary

    def name_cycle(self, count, edges):
        """By the fewest kinds of edges that close one."""
        for kinds in (("ww",), DEPENDENCIES, DEPENDENCIES + ("rw",), DEPENDENCIES + ("rw", "rt")):
            graph = Graph(count, edges, kinds)
            core = graph.core()
            if core:
                break
        cycle = graph.shortest_cycle(core)
        text, transactions = self.told(cycle)
        found = [kind for _, kind in cycle]
        if "rt" in found:
            condition = "real time"
        elif found.count("rw") == 0:
            condition = "G0" if set(found) == {"ww"} else "G1c"
        elif found.count("rw") == 1:
            condition = "lost update" if len(found) == 2 and "ww" in found and self.one_key(transactions) else "G-single"
        else:
            condition = "G-nonadjacent"
        self.fault(condition, text, *transactions)

    @staticmethod
    def one_key(transactions):
        a, b = transactions
        return any(key in b.reads and a.reads[key] == b.reads[key] and key in a.appends and key in b.appends for key in a.reads)

    def check_standbys(self, count, edges):
        """A standby's reads may be old, and two of them may disagree about an order; one alone closes no circle."""
        graph = Graph(count, edges, DEPENDENCIES + ("rw", "rt"))
        core = graph.core()
        if not core:
            return
        for a, b in edges["rw"]:
            if 2 * b + 1 in core:
                way = graph.way(2 * b + 1, 2 * a, core, kinds=DEPENDENCIES + ("rt",))
                if way is not None:
                    text, transactions = self.told([(a, "rw")] + way)
                    self.fault("G-single on a standby", text, *transactions)
                    return


def check(history):
    lists = Lists(history)
    result = lists.result
    result.looked = sum(t.ok for t in lists.all)
    outcomes = {}
    for t in lists.all:
        outcomes[t.record["result"]] = outcomes.get(t.record["result"], 0) + 1
    result.numbers.update(outcomes)
    for group in lists.groups():
        lists.check_group(group)
    return result
