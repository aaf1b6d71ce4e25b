"""Writes unique ids, one transaction each, and notes what became of every one. Reconnects at once after any error.

    writer.py NAME HOSTS PORT read-write|any OUT EVERY_MS

A line of OUT: {"n": id, "begin": monotonic s, "end": ..., "result": "ok" | "fail" | "unknown", "timeline": .., "node": ..,
"connecting": seconds before `begin` without a connection, "refused": attempts that failed in them, "error": ..}.
"fail" only where COMMIT was never sent; a commit with a warning, or whose answer did not come, is "unknown".

With read-write, every host is asked at once (pg_client.py). With any, there is one host, and more patience than any load balancer's own
retries need: it decides, not the client.
"""
import json
import signal
import sys
import time

import psycopg2

import pg_client

name, hosts, port, attrs, out, every_ms = sys.argv[1:7]
INSERT = ("INSERT INTO writes SELECT %s, %s, ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int"
          " RETURNING timeline, host(inet_server_addr())")
route = pg_client.Route(hosts.split(","), port, attrs, 0.5 if attrs == "read-write" else 5.0)
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))


def write(connection, entry):
    entry["begin"] = time.monotonic()
    entry["result"] = "unknown"  # from here on the statement may commit
    entry["timeline"], entry["node"] = route.execute(connection, INSERT, (name, entry["n"]))
    entry["result"] = "unknown" if connection.notices else "ok"
    connection.notices.clear()


def main():
    connection, table = None, False
    with open(out, "w", buffering=1) as log:
        n = 0
        while not stop:
            n += 1
            entry = {"n": n, "begin": time.monotonic(), "result": "fail"}
            try:
                if connection is None:
                    connection = route.connect(lambda: stop, entry)
                    if connection is None:
                        break
                if not table:
                    route.execute(connection, "CREATE TABLE IF NOT EXISTS writes (writer text, n bigint, timeline int, PRIMARY KEY (writer, n))")
                    connection.notices.clear()  # that it exists already
                    table = True
                write(connection, entry)
            except psycopg2.Error as error:
                if error.pgcode in pg_client.REFUSED:
                    entry["result"] = "fail"  # refused before anything was written
                table = table and error.pgcode != "42P01"
                entry["error"] = str(error).strip().split("\n")[0]
                connection.close()
                connection = None
            entry["end"] = time.monotonic()
            log.write(json.dumps(entry) + "\n")
            time.sleep(int(every_ms) / 1000)


main()
