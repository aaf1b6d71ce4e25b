"""A client that writes unique ids, one transaction each, and records what became of every one (kind "write" of history.py).

    client_writes.py WRITER ROUTE HOSTS PORT read-write|any OUT EVERY_MS [NEW_MS [BUSY [CROWD]]]

Where NEW_MS is not 0, there is a writer WRITER-new, too, which opens a new session for each row, every NEW_MS. With BUSY, each statement of WRITER
first computes over so many times 5000 rows: a backend that looks at nothing else meanwhile. CROWD: so many writers WRITER-1, ... in place of WRITER,
who wait for long: an answer that comes after a standstill is heard. It ends by SIGTERM. HOSTS: NAME=ADDRESS,...
"""
import os
import signal
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "e2e")]
import psycopg2  # noqa: E402

import history  # noqa: E402
import pg_client  # noqa: E402
import rig  # noqa: E402

NAMES = {address: name for name, address in rig.ADDRESS.items()}
INSERT = ("INSERT INTO writes SELECT %s, %s, ('x' || left(pg_walfile_name(l), 8))::bit(32)::int, l FROM pg_current_wal_insert_lsn() l"
          " RETURNING timeline, lsn, host(inet_server_addr()), current_setting('synchronous_commit')")
COMPUTED = ", extract(epoch FROM clock_timestamp())"  # before the row's commit, after all that came before
COMPUTE = " CROSS JOIN (SELECT count(*) FROM generate_series(1, {}) i, generate_series(1, 5000) j WHERE (i + j) % 7 = 3) busy"
# A statement that these answer wrote nothing. Not 57P01: the session may have been ended while it waited for a standby.
FAILED = ("25006", "57P03", "42P01")
READ_ONLY = 0.1  # seconds before a standby is asked again
PATIENCE = {"read-write": 0.5, "any": 2.0}
LONG = 12.0  # of those who compute, and of a crowd
stop = threading.Event()


class Writer:
    def __init__(self, name, route, pg, recorder, every, fresh, busy=0):
        self.name, self.route, self.pg, self.recorder, self.every, self.fresh = name, route, pg, recorder, every, fresh
        self.insert_one = INSERT.replace(" RETURNING", COMPUTE.format(busy).replace("%", "%%") + " RETURNING") + COMPUTED if busy else INSERT
        self.connection = None

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def insert(self, n):
        """One row; the record of it. None: nobody let us in."""
        told, asked = {}, history.now()
        if self.connection is None:
            self.connection = self.pg.connect(stop.is_set, told)
            if self.connection is None:
                return None
        entry = {"writer": self.name, "n": n, "route": self.route, "address": self.connection.info.host, "asked": asked,
                 "begin": history.now()}
        try:
            timeline, lsn, address, commit, *computed = self.pg.execute(self.connection, self.insert_one, (self.name, n))
            entry.update(result="warned" if self.connection.notices else "ok", timeline=timeline, lsn=history.lsn(lsn),
                         node=NAMES[address], commit=commit)
            if self.connection.notices:
                entry["error"] = self.connection.notices[-1].strip()
                self.connection.notices.clear()
            if computed:
                entry["computed"] = history.now() - (time.time_ns() - int(computed[0] * 10**9))
        except psycopg2.Error as error:
            entry.update(result="fail" if error.pgcode in FAILED else "unknown", error=str(error).strip().split("\n")[0])
        entry["end"] = history.now()
        self.recorder.write("write", **entry)
        return entry

    def run(self):
        n = 0
        while not stop.is_set():
            n += 1
            entry = self.insert(n)
            if entry is None:
                break
            # A read-only session is kept by the one that holds its session: it may become a writer's.
            if self.fresh or entry["result"] not in ("ok", "warned") and "read-only" not in entry.get("error", ""):
                self.close()
            stop.wait(self.every if entry["result"] == "ok" else max(self.every, READ_ONLY if entry["result"] == "fail" else 0.02))
        self.close()


def main():
    name, route, hosts, port, attrs, out, every_ms = sys.argv[1:8]
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    recorder = history.Recorder(out)
    addresses = [host.split("=")[1] for host in hosts.split(",")]
    new_ms, busy, crowd = [int(a) for a in sys.argv[8:11]] + [0] * (11 - max(8, len(sys.argv)))
    pg = pg_client.Route(addresses, port, attrs, PATIENCE[attrs] if not busy and not crowd else LONG)
    names = [f"{name}-{i}" for i in range(1, crowd + 1)] or [name]
    writers = [Writer(n, route, pg, recorder, int(every_ms) / 1000, False, busy) for n in names]
    if new_ms:
        writers.append(Writer(f"{name}-new", route, pg, recorder, new_ms / 1000, True))
    threads = [threading.Thread(target=w.run) for w in writers]
    for t in threads:
        t.start()
    while any(t.is_alive() for t in threads):
        time.sleep(0.05)  # a signal is served between two of these


main()
