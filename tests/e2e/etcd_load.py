"""Clients and watchers of one etcd, or of ours: many threads, each request noted with what became of it. Ends by itself after SIGTERM.

    etcd_load.py CONFIG    JSON: "endpoints": [host:port, ...], "out": file, "prefix": of keys that nobody else uses, "seed",
                           "clients": [[dialect, endpoint number, "stay" | "move"], ...], "watchers": the same, "leases": number of them,
                           "pause": seconds between two requests of one client

A client of the dialect `stale` only reads. `stay` is loyal to one endpoint; `move` goes to the next one after an error, and as a watcher
also every HOP seconds. Lines of "out" are what etcd_history.py reads. After SIGTERM one last write is made, and each watcher is waited for
until it has seen it.
"""
import faulthandler
import json
import random
import signal
import sys
import threading
import time

from etcd_client import ABSENT, DIALECTS, V3, NotSent, Refused, Unknown

HOP = 1.5
PAUSE = 0.01
AGAIN = 0.05  # after an error
OPERATIONS_OF_A_KEY = 150
REGISTERS = 4
LATE_REVISIONS_MAX = 800  # etcd's v2 keeps a thousand events, we some thousands in all
PATIENCE = 15.0
LEASE_TTL = 3


class Log:
    def __init__(self, path):
        self.file, self.lock = open(path, "w", buffering=1), threading.Lock()

    def write(self, **entry):
        with self.lock:
            self.file.write(json.dumps(entry) + "\n")


class Registers:
    """Keys that many clients use at a time, each for so long only that its history can be searched."""

    def __init__(self, prefix):
        self.prefix, self.count, self.lock = prefix, 0, threading.Lock()

    def pick(self):
        with self.lock:
            n, self.count = self.count, self.count + 1
        return f"{self.prefix}r/{n // (REGISTERS * OPERATIONS_OF_A_KEY)}.{n % REGISTERS}"


class Endpoints:
    def __init__(self, all_of_them, first, moves):
        self.all, self.at, self.moves = all_of_them, first % len(all_of_them), moves

    def now(self):
        return self.all[self.at]

    def failed(self):
        if self.moves:
            self.at = (self.at + 1) % len(self.all)


class Client(threading.Thread):
    """Reads, writes, swaps and deletes; v3 also transactions on keys of its own."""

    def __init__(self, load, name, dialect, first, moves):
        super().__init__(name=name, daemon=True)
        self.load, self.dialect = load, dialect
        self.endpoints = Endpoints(load.endpoints, first, moves)
        self.random = random.Random(f"{load.seed} {name}")
        self.count, self.seen, self.clients = 0, {}, {}
        self.own, self.generation = {}, 0

    def client(self):
        endpoint = self.endpoints.now()
        if endpoint not in self.clients:
            self.clients[endpoint] = DIALECTS[self.dialect](endpoint)
        return self.clients[endpoint]

    def run(self):
        while not self.load.stopping.is_set():
            self.act()
            time.sleep(self.load.pause)

    def value(self):
        self.count += 1
        return f"{self.name}-{self.count}"

    def act(self):
        chance = self.random.random()
        if chance < 0.08:
            self.page()
        elif chance < 0.2 and self.dialect == "v3":
            self.transaction()
        else:
            key = self.load.registers.pick()
            if chance < 0.5 or self.dialect == "stale":
                self.request({"op": "read", "key": key}, lambda c: self.read(c, key))
            elif chance < 0.68:
                self.write(key, self.value())
            elif chance < 0.74:
                self.write(key, None)
            else:
                self.swap(key)

    def request(self, entry, call):
        """Runs it, and notes the entry with what `call` makes of it, or with what became of it."""
        entry.update(client=self.name, node=self.endpoints.now(), begin=time.monotonic())
        try:
            entry.update({"result": "ok"}, **call(self.client()))
        except Unknown as error:
            entry.update(result="unknown", error=str(error))
        except (NotSent, Refused) as error:
            entry.update(result="fail", error=str(error))
            if entry["op"] == "cas":
                entry["op"] = "refused"  # it was not compared
        entry["end"] = time.monotonic()
        self.load.log.write(**entry)
        if "error" in entry:
            self.endpoints.failed()
            time.sleep(AGAIN)
        return entry

    def read(self, client, key):
        value, _ = client.get(key)
        self.seen[key] = value
        return {"value": value}

    def write(self, key, value):
        def call(client):
            changed, revision = client.write(key, value)
            self.seen[key] = value
            if not changed:
                return {"op": "read", "changes": []}
            return {"revision": revision}
        return self.request({"op": "write", "key": key, "value": value, "changes": [[key, value]]}, call)

    def swap(self, key):
        expected, value = self.seen.get(key), self.value()

        def call(client):
            swapped, seen, revision = client.swap(key, expected, value)
            if swapped:
                self.seen[key] = value
                return {"revision": revision}
            told = {"result": "fail", "changes": []}
            if seen is not ABSENT:
                self.seen[key] = told["seen"] = seen
            return told
        self.request({"op": "cas", "key": key, "expected": expected, "value": value, "changes": [[key, value]]}, call)

    def transaction(self):
        """Several keys at once. What is there is known, since nobody else has these keys; if it is not, others are taken."""
        changes = []
        for name in self.random.sample("abcde", self.random.randint(2, 4)):
            key = f"{self.load.prefix}t/{self.name}.{self.generation}/{name}"
            changes.append([key, None if key in self.own and self.random.random() < 0.4 else self.value()])
        entry = self.request({"op": "txn", "changes": changes}, lambda c: {"revision": c.txn(changes)})
        if entry["result"] == "ok":
            for key, value in changes:
                self.own.pop(key, None)
                if value is not None:
                    self.own[key] = value
        else:
            self.own, self.generation = {}, self.generation + 1

    def page(self):
        linearizable = self.random.random() < 0.6

        def call(client):
            revision, found = client.page(self.load.prefix, linearizable)
            return {"revision": revision, "found": found}
        self.request({"op": "page", "linearizable": linearizable}, call)


class Watcher(threading.Thread):
    """Sees the prefix from a revision on, over as many watches as it takes."""

    def __init__(self, load, name, dialect, first, moves, start):
        super().__init__(name=name, daemon=True)
        self.load, self.dialect, self.moves = load, dialect, moves
        self.endpoints = Endpoints(load.endpoints, first, moves)
        self.next, self.sessions = start, 0

    def run(self):
        while not self.is_done():
            self.sessions += 1
            node = self.endpoints.now()
            self.load.log.write(op="session", watcher=self.name, session=self.sessions, node=node, **{"from": self.next})
            try:
                self.session(DIALECTS[self.dialect](node), time.monotonic() + HOP)
            except Refused as error:
                self.load.log.write(op="fault", what=f"the watch of {self.name} at {node} from {self.next} on: {error}")
                time.sleep(AGAIN)
            except (NotSent, Unknown, OSError):
                time.sleep(AGAIN)
            self.endpoints.failed()

    def session(self, client, until):
        watch = client.watch(self.load.prefix, self.next)
        try:
            for header, events in watch:
                if header is not None or events:
                    self.load.log.write(op="batch", watcher=self.name, session=self.sessions, at=time.monotonic(), header=header,
                                        events=events)
                    self.next = max([self.next] + [e["revision"] + 1 for e in events] + ([header + 1] if not events else []))
                if self.is_done() or (self.moves and time.monotonic() > until):
                    return
        finally:
            watch.close()

    def is_done(self):
        return self.load.over.is_set() or (self.load.last is not None and self.next > self.load.last)


class Holder(threading.Thread):
    """Keeps a lease alive and notes until when its key has to be there; when the load ends it lets it run out."""

    def __init__(self, load, number):
        super().__init__(name=f"holder{number}", daemon=True)
        self.load, self.endpoints = load, Endpoints(load.endpoints, number, True)
        self.generation, self.key = 0, None

    def run(self):
        while not self.load.stopping.is_set():
            try:
                self.hold(V3(self.endpoints.now(), 2.0))
            except (NotSent, Unknown, Refused):
                self.endpoints.failed()
                time.sleep(AGAIN)
        if self.key is not None:
            self.load.log.write(op="released", key=self.key, at=time.monotonic())

    def hold(self, client):
        self.generation += 1
        key, sent = f"{self.load.lease_prefix}{self.name}.{self.generation}", time.monotonic()
        lease, ttl = client.grant(LEASE_TTL)
        client.write(key, "held", lease)
        self.key = key
        self.held(sent, ttl)
        while not self.load.stopping.is_set():
            time.sleep(0.3)
            sent = time.monotonic()
            try:
                ttl = client.keep_alive(lease)
            except (NotSent, Unknown):
                self.endpoints.failed()
                client = V3(self.endpoints.now(), 2.0)
                continue
            if ttl == 0:  # it has run out, or the key was gone too early
                self.load.log.write(op="look", key=self.key, begin=sent, end=time.monotonic(), value=None)
                return
            self.held(sent, ttl)

    def held(self, sent, ttl):
        self.load.log.write(op="held", key=self.key, since=time.monotonic(), until=sent + ttl)


class Looker(threading.Thread):
    """Looks whether the holders' keys are there."""

    def __init__(self, load, holders, number):
        super().__init__(name=f"looker{number}", daemon=True)
        self.load, self.holders, self.endpoints = load, holders, Endpoints(load.endpoints, number, True)

    def run(self):
        client = None
        while not self.load.over.is_set():
            for key in [h.key for h in self.holders if h.key is not None]:
                client = client or V3(self.endpoints.now(), 2.0)
                begin = time.monotonic()
                try:
                    value, _ = client.get(key)
                    self.load.log.write(op="look", key=key, begin=begin, end=time.monotonic(), value=value)
                except (NotSent, Unknown, Refused):
                    self.endpoints.failed()
                    client = None
            time.sleep(0.05)


class Load:
    def __init__(self, config):
        self.endpoints, self.seed, self.pause = config["endpoints"], config["seed"], config.get("pause", PAUSE)
        self.prefix, self.lease_prefix = config["prefix"] + "w/", config["prefix"] + "l/"
        self.log, self.registers = Log(config["out"]), Registers(self.prefix)
        self.stopping, self.over, self.last = threading.Event(), threading.Event(), None
        self.config = config
        self.first_client = Client(self, "main", config["clients"][0][0], 0, True)

    def write_certainly(self, what):
        """Until it is acknowledged; its revision."""
        end = time.monotonic() + 2 * PATIENCE
        while time.monotonic() < end:
            entry = self.first_client.write(self.prefix + what, self.first_client.value())
            if entry["result"] == "ok":
                return entry["revision"]
        raise TimeoutError(f"'{what}' was not acknowledged within {2 * PATIENCE} s")

    def died(self, raised):
        """Of a thread: without it less is looked at than was asked for."""
        self.log.write(op="fault", what=f"{raised.thread.name} has stopped: {raised.exc_type.__name__}: {raised.exc_value}")
        threading.__excepthook__(raised)

    def run(self):
        threading.excepthook = self.died
        begin = self.write_certainly("begin")
        watchers = [Watcher(self, f"watcher{i}-{d}", d, first, how == "move", begin)
                    for i, (d, first, how) in enumerate(self.config["watchers"])]
        clients = [Client(self, f"client{i}-{d}", d, first, how == "move") for i, (d, first, how) in enumerate(self.config["clients"])]
        holders = [Holder(self, i) for i in range(self.config.get("leases", 0))]
        lookers = [Looker(self, holders, i) for i in range(2 if holders else 0)]
        for thread in watchers + clients + holders + lookers:
            thread.start()
        print("running", flush=True)
        signal.sigwait({signal.SIGTERM})
        self.stopping.set()
        for thread in clients + holders:
            thread.join(2 * PATIENCE)
        self.last = self.write_certainly("end")
        watchers += self.late_watchers(begin)
        end = time.monotonic() + PATIENCE
        for thread in watchers:
            thread.join(max(0.0, end - time.monotonic()))
        if holders:
            time.sleep(LEASE_TTL + 2)  # until their leases have run out
        self.over.set()
        for thread in watchers + lookers:
            thread.join(PATIENCE)
        self.log.write(op="end", last=self.last)

    def late_watchers(self, begin):
        """From several revisions of the past, at every endpoint."""
        late, r = [], random.Random(self.seed)
        for dialect in {d for d, *_ in self.config["watchers"]}:
            for i in range(len(self.endpoints)):
                start = max(begin, self.last - LATE_REVISIONS_MAX)
                start = start if i == 0 else r.randint(start, self.last)
                late.append(Watcher(self, f"late{i}-{dialect}", dialect, i, False, start))
                late[-1].start()
        return late


def main():
    load = Load(json.loads(sys.argv[1]))
    # Waited for, not handled: a handler runs only when the main thread wakes up, and a signal that another thread was given wakes nobody.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    faulthandler.register(signal.SIGUSR1)
    load.run()


if __name__ == "__main__":
    main()
