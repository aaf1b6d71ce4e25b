"""The observer: asks every node for its health, and watches the leader key on every node (kinds "health" and "lease_key" of history.py).

    client_observer.py OUT NAME=REST_ADDRESS=STORE_ADDRESS...    without a store of its own: NAME=REST_ADDRESS=

It runs on a host that no fault touches, so what it sees of different nodes is in order by one clock. It ends by SIGTERM.
"""
import http.client
import json
import os
import signal
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "e2e")]
import etcd_client  # noqa: E402
import history  # noqa: E402

EVERY = 0.1
PATIENCE = 1.0
LEADER = "/db/postgres/leader"
stop = threading.Event()


class Health(threading.Thread):
    def __init__(self, recorder, node, address):
        super().__init__(daemon=True)
        self.recorder, self.node, self.address, self.http = recorder, node, address, None

    def ask(self):
        try:
            if self.http is None:
                self.http = http.client.HTTPConnection(self.address, 8008, timeout=PATIENCE)
            self.http.request("GET", "/primary")
            answer = self.http.getresponse()
            body = answer.read()
            return answer.status, json.loads(body).get("timeline")
        except (OSError, ValueError, http.client.HTTPException):
            if self.http is not None:
                self.http.close()
            self.http = None
            return None, None

    def run(self):
        while not stop.is_set():
            begin = history.now()
            status, timeline = self.ask()
            self.recorder.write("health", node=self.node, begin=begin, end=history.now(), status=status, timeline=timeline, path="/primary")
            stop.wait(EVERY)


class Key(threading.Thread):
    """What the node itself has applied, also while it is cut off from the others."""

    def __init__(self, recorder, node, address):
        super().__init__(daemon=True)
        self.recorder, self.node, self.store = recorder, node, etcd_client.V3(f"{address}:2379", PATIENCE)

    def see(self, holder, created, lease=None):
        epoch = None if holder is None else f"{self.cluster:x}:{created}"
        self.recorder.write("lease_key", node=self.node, seen=history.now(), holder=holder, epoch=epoch, lease=lease)

    def follow(self):
        # The node's own state, no majority asked: its revision is where the watch begins.
        answer = self.store.call("/kv/range", {"key": etcd_client.b64(LEADER), "serializable": True})
        self.cluster = int(answer["header"]["cluster_id"])
        kvs = answer.get("kvs", [])
        self.see(self.store.value(kvs), int(kvs[0]["create_revision"]) if kvs else None, int(kvs[0].get("lease", 0)) if kvs else None)
        for _, events in self.store.watch(LEADER, self.store.revision(answer) + 1):
            for event in events:
                if event["key"] == LEADER:
                    self.see(event["value"], event.get("created"))
            if stop.is_set():
                return

    def run(self):
        while not stop.is_set():
            try:
                self.follow()
            except (etcd_client.NotSent, etcd_client.Unknown, etcd_client.Refused, OSError):
                pass  # it is down, or has just come up: asked again
            stop.wait(EVERY)


def main():
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    recorder = history.Recorder(sys.argv[1])
    for host in sys.argv[2:]:
        node, rest, store = host.split("=")
        Health(recorder, node, rest).start()
        if store:
            Key(recorder, node, store).start()
    while not stop.is_set():
        time.sleep(0.05)


main()
