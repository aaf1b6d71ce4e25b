"""Writes unique ids, one transaction each, and notes what became of every one. Reconnects at once after any error.

    writer.py NAME HOSTS PORT read-write|any OUT EVERY_MS

A line of OUT: {"n": id, "begin": monotonic s, "end": ..., "result": "ok" | "fail" | "unknown", "timeline": .., "node": ..}.
"fail" only where COMMIT was never sent; a commit with a warning, or whose answer did not come, is "unknown".
"""
import json
import signal
import sys
import time

import psycopg2

name, hosts, port, attrs, out, every_ms = sys.argv[1:7]
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))


def connect():
    connection = psycopg2.connect(host=hosts, port=port, dbname="postgres", user="postgres", password="zalando", connect_timeout=2,
                                  target_session_attrs=attrs, options="-c statement_timeout=2000", tcp_user_timeout=1500,
                                  keepalives_idle=1, keepalives_interval=1, keepalives_count=2)
    connection.autocommit = True
    return connection


def main():
    connection = None
    with open(out, "w", buffering=1) as log:
        n = 0
        while not stop:
            n += 1
            entry = {"n": n, "begin": time.monotonic(), "result": "fail"}
            try:
                if connection is None:
                    connection = connect()
                    with connection.cursor() as cursor:
                        cursor.execute("CREATE TABLE IF NOT EXISTS writes (writer text, n bigint, timeline int, PRIMARY KEY (writer, n))")
                cursor = connection.cursor()
                entry["result"] = "unknown"  # from here on the statement may commit
                cursor.execute("INSERT INTO writes SELECT %s, %s, ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int"
                               " RETURNING timeline, host(inet_server_addr())", (name, n))
                entry["timeline"], entry["node"] = cursor.fetchone()
                entry["result"] = "unknown" if connection.notices else "ok"
                connection.notices.clear()
            except psycopg2.Error as error:
                if error.pgcode in ("25006", "57P03", "57P01", "42P01"):
                    entry["result"] = "fail"  # refused before anything was written
                entry["error"] = str(error).strip().split("\n")[0]
                if connection is not None:
                    connection.close()
                connection = None
            entry["end"] = time.monotonic()
            log.write(json.dumps(entry) + "\n")
            time.sleep(int(every_ms) / 1000)


main()
