"""What etcd_load.py has written, as the checkers want it, and all of them run over it."""
import json

import check_register
import check_watch


class History:
    def __init__(self, path):
        self.register, self.writes, self.reads, self.faults, self.last = [], [], [], [], None
        self.sessions, self.held, self.looks, self.released = {}, {}, [], {}
        with open(path) as f:
            for line in f:
                self.add(json.loads(line))

    def add(self, entry):
        op = entry["op"]
        if op in ("read", "write", "cas"):
            self.register.append(entry)
        if "changes" in entry:
            self.writes.append(entry)
        if op == "page" and entry["result"] == "ok" and entry["revision"] is not None:
            self.reads.append(entry)
        elif op == "session":
            self.sessions[entry["watcher"], entry["session"]] = dict(entry, batches=[])
        elif op == "batch":
            self.sessions[entry["watcher"], entry["session"]]["batches"].append(entry)
        elif op == "fault":
            self.faults.append(entry["what"])
        elif op == "held":
            self.held.setdefault(entry["key"], []).append(entry)
        elif op == "look":
            self.looks.append(entry)
        elif op == "released":
            self.released[entry["key"]] = entry["at"]
        elif op == "end":
            self.last = entry["last"]

    def check(self):
        """What is wrong, as texts."""
        faults = list(self.faults)
        faults += [f"{key}: {text}" for key, text in check_register.check(self.register).items()]
        faults += check_watch.check(self.writes, self.reads, list(self.sessions.values()), self.last)
        return faults + check_leases(self.held, self.looks, self.released)

    def count(self, since=0.0, until=float("inf"), result="ok"):
        """Requests of clients begun in that time."""
        return sum(1 for e in self.register + self.reads if e["result"] == result and since <= e["begin"] < until)

    def by_client(self):
        """{name: how many of its requests were done}"""
        done = {}
        for e in self.register + self.reads + [w for w in self.writes if w["op"] == "txn"]:
            done[e["client"]] = done.get(e["client"], 0) + (e["result"] == "ok")
        return done

    def longest_silence(self, op="write"):
        ends = sorted(e["end"] for e in self.register if e["op"] == op and e["result"] == "ok")
        return max((b - a for a, b in zip(ends, ends[1:])), default=float("inf"))

    def figures(self):
        entries = self.register + self.writes
        return {"ok": self.count(), "unknown": sum(1 for e in entries if e["result"] == "unknown"),
                "sessions": len(self.sessions), "batches": sum(len(s["batches"]) for s in self.sessions.values()),
                "silence": round(self.longest_silence(), 2)}


def check_leases(held, looks, released, late_max=3.0):
    """While a keepalive that was acknowledged counts, from when it was sent on, the key is there; when the last is over, it goes."""
    faults = []
    for look in looks:
        alive = [h for h in held.get(look["key"], []) if h["since"] <= look["begin"] and look["end"] < h["until"]]
        if look["value"] is None and alive:
            faults.append(f"{look['key']} was gone at {look['end']:.3f}, and its lease was good until {alive[-1]['until']:.3f}")
    for key in released:
        until = max(h["until"] for h in held[key])
        if not any(look["key"] == key and look["value"] is None and look["begin"] < until + late_max for look in looks):
            faults.append(f"{key} was never seen to go, though its lease ended at {until:.3f}")
    return faults
