"""Everybody who uses the cluster while it is broken, each in a process of its own that records what it sees."""
import json
import os
import signal
import subprocess
import time

import history
import rig
from network import wait_for
from world import HERE

SETTLE = 1.0  # seconds of writing before anything is broken
BUSY = 3000  # times 5000 rows: one to three seconds
STOPPED_WITHIN = 15  # longer than the patience of any of them; whoever watches the store waits until all of it was shown
STORE_STOPPED_WITHIN = 60
# Of the store: one for each member, that stays with it, and one that goes on to the next when it is refused; watchers likewise.
STORE_CLIENTS = [["v3", 0, "stay"], ["v3", 1, "stay"], ["v3", 2, "stay"], ["v3", 0, "move"]]
STORE_PAUSE = 0.1
STORE = "store"
ALL = ",".join(f"{n}={rig.ADDRESS[n]}" for n in rig.NODES)


class Clients:
    def __init__(self, world, every_ms=25, new_ms=100, busy=False, crowd=0):
        """`busy`: on each node, one whose backend computes for some seconds before each commit. `crowd`: so many more sessions to each node."""
        self.world, self.every_ms, self.new_ms, self.busy, self.crowd, self.processes = world, every_ms, new_ms, busy, crowd, {}

    def client(self, name, host, program, *arguments):
        out = os.path.join(self.world.home, f"history-{name}.jsonl")
        child = self.world.host_popen(host, [rig.PYTHON, os.path.join(HERE, program), *[a.replace("OUT", out) for a in arguments]],
                                      stdin=subprocess.DEVNULL)
        child.out = out
        self.processes[name] = child

    def store(self):
        """Who reads, writes, swaps and watches keys of the store, on each member, from a host that no fault touches."""
        w, out = self.world, os.path.join(self.world.home, "store.jsonl")
        config = {"endpoints": [f"{n.address}:2379" for n in w.nodes.values()], "out": out, "prefix": "/chaos/", "seed": w.seed,
                  "clients": STORE_CLIENTS, "watchers": STORE_CLIENTS, "pause": STORE_PAUSE}
        child = w.host_popen("observer", [rig.PYTHON, os.path.join(rig.HERE, "etcd_load.py"), json.dumps(config)], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL)
        child.out = out
        self.processes[STORE] = child

    def writer(self, name, route, host, hosts, port, attrs, *new):
        self.client(name, host, "client_writes.py", name, route, hosts, str(port), attrs, "OUT", str(self.every_ms), *new)

    def __enter__(self):
        w = self.world
        w.sql(w.leader(), "CREATE TABLE IF NOT EXISTS writes (writer text, n bigint, timeline int, lsn pg_lsn, PRIMARY KEY (writer, n))")
        w.sql(w.leader(), "CREATE TABLE IF NOT EXISTS lists (k int PRIMARY KEY, v bigint[] NOT NULL DEFAULT '{}')")
        w.sql(w.leader(), "INSERT INTO lists SELECT generate_series(0, 9) ON CONFLICT DO NOTHING")
        w.sql(w.leader(), "CREATE EXTENSION IF NOT EXISTS amcheck")
        if w.haproxy is None:
            w.haproxy = w.start_haproxy()
        self.client("observer", "observer", "client_observer.py", "OUT", *[f"{n.name}={n.rest_address}={n.address if w.etcd is None else ''}" for n in w.nodes.values()])
        self.writer("direct", "direct", "client", ALL, 5432, "read-write")
        self.writer("haproxy", "haproxy", "client", f"lb={rig.ADDRESS['lb']}", 5000, "any")
        for node in w.nodes.values():
            own = (node.name, node.name, f"{node.name}={node.address}", 5432, "any")
            self.writer(f"at-{node.name}", *own, str(self.new_ms))
            if self.busy:
                self.writer(f"busy-{node.name}", *own, "0", str(BUSY))
            if self.crowd:
                self.writer(f"crowd-{node.name}", *own, "0", "0", str(self.crowd))
        if w.etcd is None:
            self.store()
        for number in (1, 2):
            self.client(f"lists-{number}", "client", "client_lists.py", f"lists-{number}", str(number), ALL, "5432", "primary", "OUT", "60")
        for number, node in enumerate(w.nodes.values(), 3):
            self.client(f"reads-{node.name}", "client", "client_lists.py", f"reads-{node.name}", str(number), f"{node.name}={node.address}", "5432",
                        "standby", "OUT", "150")
        try:
            self.wait_writable(30)
        except BaseException:
            self.stop()
            raise
        time.sleep(SETTLE)
        return self

    def writes(self, name, since=0):
        """Records of that client's writes that ended after `since`."""
        found = []
        try:
            with open(self.processes[name].out, "rb") as f:
                for line in f:
                    record = json.loads(line) if line.endswith(b"\n") else {}
                    if record.get("kind") == "write" and record["end"] >= since:
                        found.append(record)
        except FileNotFoundError:
            pass
        return found

    def all_writes(self, since=0):
        return [w for name in self.processes if name not in ("observer", STORE) for w in self.writes(name, since)]

    def acknowledged(self, name, since=0):
        return sum(1 for w in self.writes(name, since) if w["result"] == "ok" and w["begin"] >= since)

    def wait_writable(self, timeout, routes=("direct", "haproxy")):
        """Through these ways, from now on."""
        since = history.now()
        for name in routes:
            wait_for(f"writes are acknowledged to {name}", lambda n=name: self.acknowledged(n, since) > 5, timeout)

    def stop(self):
        for child in self.processes.values():
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        return {name: child.wait(STORE_STOPPED_WITHIN if name == STORE else STOPPED_WITHIN) for name, child in self.processes.items()}

    def record_store(self):
        """What its clients have noted, as the other records are."""
        if STORE not in self.processes:
            return
        recorder = history.Recorder(os.path.join(self.world.home, "history-store.jsonl"))
        for record in history.from_etcd_load(self.processes[STORE].out):
            recorder.write(record.pop("kind"), **record)
        recorder.close()

    def __exit__(self, kind, *_):
        statuses = self.stop()
        self.record_store()
        if kind is None and any(statuses.values()):
            raise RuntimeError(f"a client that has ended by itself proves nothing: {statuses}")
