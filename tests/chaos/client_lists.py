"""Transactions that append to lists and read them, and what became of each (kind "append" of history.py).

    client_lists.py CLIENT NUMBER HOSTS PORT primary|standby OUT EVERY_MS

Each transaction does one to four things to KEYS lists: append an element that nobody else appends, or read the whole list. On a standby it reads only. A session
is a connection. NUMBER sets a client's elements apart. It ends by SIGTERM.
"""
import os
import random
import signal
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "e2e")]
import psycopg2  # noqa: E402

import history  # noqa: E402
import pg_client  # noqa: E402
import rig  # noqa: E402

NAMES = {address: name for name, address in rig.ADDRESS.items()}
KEYS = 6
APART = 100  # clients
WHO = ("SELECT host(inet_server_addr()), pg_is_in_recovery(), CASE WHEN pg_is_in_recovery() THEN 0 ELSE"
       " ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int END")
stop = threading.Event()


class Client:
    def __init__(self, name, number, hosts, port, endpoint, recorder):
        self.name, self.number, self.endpoint, self.recorder = name, number, endpoint, recorder
        self.pg = pg_client.Route(hosts, port, "read-write" if endpoint == "primary" else "any", 1.0)
        self.random = random.Random(f"{name}/{number}")
        self.connection, self.session, self.n = None, 0, 0

    def operations(self):
        found = []
        for _ in range(self.random.randrange(1, 5)):
            key = str(self.random.randrange(KEYS))
            if self.endpoint == "primary" and self.random.random() < 0.5:
                found.append(["append", key, (self.n * 4 + len(found)) * APART + self.number])
            else:
                found.append(["read", key, None])
        return found

    def ask(self, text, values=()):
        return self.pg.execute(self.connection, text, values)

    def transaction(self, entry):
        """`entry` says at every moment what is certain."""
        self.ask("BEGIN ISOLATION LEVEL REPEATABLE READ")
        address, recovering, timeline = self.ask(WHO)
        entry.update(node=NAMES[address], endpoint="standby" if recovering else "primary")
        if not recovering:
            entry["timeline"] = timeline
        if recovering != (self.endpoint == "standby"):
            self.ask("ROLLBACK")
            return
        for operation in entry["operations"]:
            kind, key, value = operation
            if kind == "append":
                self.ask("UPDATE lists SET v = v || %s WHERE k = %s", (value, int(key)))
            else:
                operation[2] = self.ask("SELECT v FROM lists WHERE k = %s", (int(key),))[0]
        self.connection.notices.clear()
        entry["result"] = "unknown"  # COMMIT may take effect from here on
        self.ask("COMMIT")
        entry["result"] = "warned" if self.connection.notices else "ok"

    def one(self):
        if self.connection is None:
            self.connection = self.pg.connect(stop.is_set, {})
            self.session += 1
            if self.connection is None:
                return False
        self.n += 1
        entry = {"client": self.name, "session": self.session, "n": self.n, "begin": history.now(), "result": "fail", "endpoint": self.endpoint,
                 "operations": self.operations()}
        try:
            self.transaction(entry)
        except psycopg2.Error as error:
            entry["error"] = str(error).strip().split("\n")[0]
            self.connection.close()
            self.connection = None
        entry["end"] = history.now()
        self.recorder.write("append", **entry)
        return True

    def run(self, every):
        while not stop.is_set() and self.one():
            stop.wait(every)
        if self.connection is not None:
            self.connection.close()


def main():
    name, number, hosts, port, endpoint, out, every_ms = sys.argv[1:8]
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    addresses = [host.split("=")[1] for host in hosts.split(",")]
    Client(name, int(number), addresses, port, endpoint, history.Recorder(out)).run(int(every_ms) / 1000)


main()
