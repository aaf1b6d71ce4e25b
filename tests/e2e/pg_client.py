"""A client of PostgreSQL that gives up on silence, and asks all hosts at once which of them lets it in. Used by the writers.

libpq's own list asks one host after the other and gives a silent one at least two seconds (connect_timeout has that minimum): behind a
host that answers nothing a client would measure itself, not the service. So every host has an attempt of its own.
"""
import os
import select
import time

import psycopg2
import psycopg2.extensions as ext

PASSWORD = os.environ.get("WRITER_PASSWORD", "zalando")
AGAIN = 0.02  # between two attempts at one host
REFUSED = ("25006", "57P03", "57P01", "42P01")  # SQLSTATEs of statements that wrote nothing


class Silent(psycopg2.OperationalError):
    """No answer within the patience."""


class Attempt:
    """One host being connected to, again and again until it lets us in."""

    def __init__(self, host, port, attrs, patience):
        self.host, self.port, self.attrs, self.patience = host, port, attrs, patience
        self.connection, self.due, self.refused, self.error = None, 0.0, 0, None
        self.waits_for = ext.POLL_OK

    def step(self, now):
        """The connection once it is open, else None."""
        try:
            if self.connection is None:
                if now < self.due:
                    return None
                self.until = now + self.patience
                self.connection = psycopg2.connect(host=self.host, port=self.port, dbname="postgres", user="postgres", password=PASSWORD,
                                                   target_session_attrs=self.attrs, async_=True)
            self.waits_for = self.connection.poll()
            if self.waits_for == ext.POLL_OK:
                return self.connection
            if now > self.until:
                raise Silent(f"{self.host}: no answer in {self.patience} s")
        except psycopg2.Error as error:
            self.error, self.refused, self.due = str(error).strip().split("\n")[0], self.refused + 1, now + AGAIN
            self.close()
        return None

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None


class Route:
    """`hosts`: asked all at once for what `attrs` says (target_session_attrs); `patience`: with a silent one, for a connection and for a statement."""

    def __init__(self, hosts, port, attrs, patience):
        self.hosts, self.port, self.attrs, self.patience = hosts, port, attrs, patience

    def connect(self, stopped, entry):
        """An open connection, or None when `stopped()`. `entry` is told what happened on the way."""
        attempts = [Attempt(host, self.port, self.attrs, self.patience) for host in self.hosts]
        began = time.monotonic()
        found = None
        while found is None and not stopped():
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

    def execute(self, connection, statement, values=()):
        """Runs one statement in its own transaction; the first row, if there is any."""
        cursor = self.cursor(connection, statement, values)
        return cursor.fetchone() if cursor.description else None

    def cursor(self, connection, statement, values=()):
        cursor = connection.cursor()
        cursor.execute(statement, values)
        until = time.monotonic() + self.patience
        while (state := connection.poll()) != ext.POLL_OK:
            left = until - time.monotonic()
            if left <= 0:
                raise Silent(f"no answer in {self.patience} s")
            fds = ([connection.fileno()], []) if state == ext.POLL_READ else ([], [connection.fileno()])
            select.select(*fds, [], left)
        return cursor


def wait_any(attempts):
    """Until a socket of them has news; bounded, since deadlines and next attempts are due in between."""
    poll = select.poll()
    for attempt in attempts:
        if attempt.connection is not None:
            poll.register(attempt.connection.fileno(), select.POLLIN if attempt.waits_for == ext.POLL_READ else select.POLLOUT)
    poll.poll(5)
