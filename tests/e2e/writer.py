"""Writes unique ids, one transaction each, and notes what became of every one. Reconnects at once after any error.

    writer.py NAME HOSTS PORT read-write|any OUT EVERY_MS

A line of OUT: {"n": id, "begin": monotonic s, "end": ..., "result": "ok" | "fail" | "unknown", "timeline": .., "node": ..,
"connecting": seconds before `begin` without a connection, "refused": attempts that failed in them, "error": ..}.
"fail" only where COMMIT was never sent; a commit with a warning, or whose answer did not come, is "unknown".

With read-write, every host has an attempt of its own with target_session_attrs=read-write, all at once, and the first that
is let in is used. libpq's own list asks one host after the other and gives a silent one at least two seconds
(connect_timeout has that minimum): behind a host that answers nothing it would measure itself, not the service. With any,
there is one host, and more patience than any load balancer's own retries need: it decides, not the client.
"""
import json
import select
import signal
import sys
import time

import psycopg2
import psycopg2.extensions as ext

name, hosts, port, attrs, out, every_ms = sys.argv[1:7]
PATIENCE = 0.5 if attrs == "read-write" else 5.0  # with a silent host, for a connection and for a statement
AGAIN = 0.02  # between two attempts at one host
REFUSED = ("25006", "57P03", "57P01", "42P01")  # SQLSTATEs of statements that wrote nothing
INSERT = ("INSERT INTO writes SELECT %s, %s, ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int"
          " RETURNING timeline, host(inet_server_addr())")
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))


class Silent(psycopg2.OperationalError):
    """No answer within PATIENCE."""


class Attempt:
    """One host being connected to, again and again until it lets us in."""

    def __init__(self, host):
        self.host, self.connection, self.due, self.refused, self.error = host, None, 0.0, 0, None
        self.waits_for = ext.POLL_OK

    def step(self, now):
        """The connection once it is open, else None."""
        try:
            if self.connection is None:
                if now < self.due:
                    return None
                self.until = now + PATIENCE
                self.connection = psycopg2.connect(host=self.host, port=port, dbname="postgres", user="postgres", password="zalando",
                                                   target_session_attrs=attrs, async_=True)
            self.waits_for = self.connection.poll()
            if self.waits_for == ext.POLL_OK:
                return self.connection
            if now > self.until:
                raise Silent(f"{self.host}: no answer in {PATIENCE} s")
        except psycopg2.Error as error:
            self.error, self.refused, self.due = str(error).strip().split("\n")[0], self.refused + 1, now + AGAIN
            self.close()
        return None

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None


def connect(entry):
    """An open connection, or None when it is time to stop. `entry` is told what happened on the way."""
    attempts = [Attempt(host) for host in hosts.split(",")]
    began = time.monotonic()
    found = None
    while found is None and not stop:
        for attempt in attempts:
            found = attempt.step(time.monotonic())
            if found is not None:
                attempt.connection = None
                break
        else:
            wait_any(attempts)
    for attempt in attempts:
        attempt.close()
    entry.update(connecting=round(time.monotonic() - began, 4), refused=sum(a.refused for a in attempts))
    errors = [a.error for a in attempts if a.error is not None]
    if errors:
        entry["error"] = errors[-1]
    return found


def wait_any(attempts):
    """Until a socket of them has news; bounded, since deadlines and next attempts are due in between."""
    poll = select.poll()
    for attempt in attempts:
        if attempt.connection is not None:
            poll.register(attempt.connection.fileno(), select.POLLIN if attempt.waits_for == ext.POLL_READ else select.POLLOUT)
    poll.poll(5)


def execute(connection, statement, values=()):
    """Runs one statement in its own transaction; the first row, if there is any."""
    cursor = connection.cursor()
    cursor.execute(statement, values)
    until = time.monotonic() + PATIENCE
    while (state := connection.poll()) != ext.POLL_OK:
        left = until - time.monotonic()
        if left <= 0:
            raise Silent(f"no answer in {PATIENCE} s")
        fds = ([connection.fileno()], []) if state == ext.POLL_READ else ([], [connection.fileno()])
        select.select(*fds, [], left)
    return cursor.fetchone() if cursor.description else None


def write(connection, entry):
    entry["begin"] = time.monotonic()
    entry["result"] = "unknown"  # from here on the statement may commit
    entry["timeline"], entry["node"] = execute(connection, INSERT, (name, entry["n"]))
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
                    connection = connect(entry)
                    if connection is None:
                        break
                if not table:
                    execute(connection, "CREATE TABLE IF NOT EXISTS writes (writer text, n bigint, timeline int, PRIMARY KEY (writer, n))")
                    connection.notices.clear()  # that it exists already
                    table = True
                write(connection, entry)
            except psycopg2.Error as error:
                if error.pgcode in REFUSED:
                    entry["result"] = "fail"  # refused before anything was written
                table = table and error.pgcode != "42P01"
                entry["error"] = str(error).strip().split("\n")[0]
                connection.close()
                connection = None
            entry["end"] = time.monotonic()
            log.write(json.dumps(entry) + "\n")
            time.sleep(int(every_ms) / 1000)


main()
