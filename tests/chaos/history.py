"""The record of one run: what was broken, what every client saw, and what was there afterwards. The checkers read nothing else.

A history is one or more files of JSON, one record a line, in any order; the order in a file counts only where it is said. Each
record has "kind", one of FIELDS, and the fields that stand there; others may be added and are kept. All times ("ns" below) are whole
nanoseconds of the one CLOCK_MONOTONIC that all network namespaces of a host share (`now()`): that is what lets acknowledgements of
different nodes be put in order at all. Nodes are named as their members are. Positions in the WAL are whole bytes (`lsn()`).

`Recorder` writes a file and refuses a record that is not as it should be; `load` reads files and refuses likewise, naming the line.
`load` leaves out an incomplete last line: its writer was killed.

What the kinds are for, beside what FIELDS says:

run          exactly one. "mode": async | sync | quorum, "strict": synchronous_mode_strict. "faults": the faults this run is named after, as in
             "injection". "fence": off | on, "watchdog": armed | off. "keep_epochs": the scenario allows no failover at all.
injection    a fault, or its end ("heals": number of what it ends). Two records of one number: "before" it acts and "after" it has returned;
             "fired" of the second says whether it has been seen to work (packets dropped, process gone, ...), "evidence" by what.
cycle        a fault from the first to the last: begin < injected <= healed <= settled <= end. "settled": every member healthy again,
             null if that never came. "bounds": which of L1-L8 it is held to (checkers/availability.py has what they are), {name: extra ms}: what
             is to be added for a crash recovery or a copy that was measured apart. "lossless": not even an asynchronous cluster may lose
             anything in it (a planned switchover, a fault of a standby).
exception    an interval in which two may write: "depose" (early_failover, until the old K), "unfenced" (pause), "fence" (the fence itself could not run:
             it, or its whole node, was stopped, and no watchdog was armed).
write        one insert of (writer, n), unique in the run. "result":
                 invoke   it has begun; a later record of the same (writer, n) replaces this one, without one the outcome is unknown
                 ok       CommandComplete came, and no warning before it
                 warned   it came after a warning of SQLSTATE 01000 (a wait for standbys was cancelled): it may be lost, or be there
                 fail     certainly not done: an error before COMMIT was sent, or ROLLBACK
                 unknown  everything else
             "begin" is before the first byte of the statement, "end" after the last of the answer. "address" is whom it asked, "route" which
             way (direct, haproxy, or a node's name for a client that stays with it), "node" who answered. "commit": the level
             of synchronous_commit, "on" if absent. "asked": since when the client wanted to be let in, where it had no connection. "timeline" and "lsn": of the row itself, as the server wrote it.
table        the whole table, read on one node in one transaction, after a cycle. "rows": [[writer, n, timeline, lsn], ...]. What was acknowledged
             before "begin" has to be there: on a standby "begin" is taken first, then it is waited for until it has replayed what the primary
             had then, then it is read.
health       one question for /primary: "status" null = no answer.
append       one transaction of lists: "operations" [["append", key, element] | ["read", key, [element, ...] or null where the answer never came], ...],
             elements of one key are unique. "endpoint": primary | standby. "session": operations of one session come one after the other.
             Results as of writes; elements of an append that was warned about are treated as those of an unknown one.
register     one operation on one key of the store, as tests/e2e/check_register.py wants it ("op", "key", "result", "value", "expected", "seen").
             With "changes" and "revision" it is also a write as tests/e2e/check_watch.py wants it; "op": txn is only that.
page         a read of all keys below a prefix: "revision", "linearizable", "found" {key: [value, mod revision]}.
session      one watch of one watcher until it ended: "watcher", "session" (number), "node", "from" (revision it asked for).
batch        what that watch brought, in the file in the order it came: "at", "header", "events" [{"revision", "key", "value", ...}, ...].
             These five are what tests/e2e/etcd_load.py writes: `from_etcd_load` makes them of its file.
lease_key    the leader key as somebody saw it at "seen" (it was applied before): "holder" null = absent. "epoch" as below.
clock        the lease clock of a node beside CLOCK_MONOTONIC: read between "before" and "after".
applied      one entry of the log that a member has stored, by tests/chaos/raft_log.c (build/MODE/raft_log CUT NAME=COPY OF ITS DIRECTORY... prints these
             three kinds; "cut" counts the times that the logs of a run were read): "index", "term", "type": command | configuration |
             barrier, "digest" of its bytes; of a command "command" (what it asks, by the names of include/raft/store.h in small letters),
             "result" {"code", "succeeded", "repeated", "revision"} of the real store, "events" [{"revision", "key", "value", "created",
             "version", "lease"}, ...] that it made; "state" as below, at indexes where another log begins or ends. The last ones of a log may never
             have been committed.
applied_from what `applied` begins with: the member's log began with a snapshot of "index"; "state": digest of the store's bytes there.
applied_to   the same at its end: "index", "state", "committed" = the highest index known to be committed when it was read.
timelines    .history files of a node: "files" {timeline: [[parent timeline, switch lsn, reason], ...]} as in the file, and the instance's own "timeline".
recorded     the key `history` of the store: "entries" [[timeline, lsn, ...], ...].
promotion    a node has become primary: "timeline" that it made, "at" when that was seen, "from_timeline" and "lsn" of the switch; from the
             server's log. "planned": the number that was written into `epoch`.
final        one node after everything has healed. "state": running | stopped | ..., "role": primary | standby, "streams_from": node, "tables"
             {table: checksum}, "amcheck" [complaints], "checksum_failures", "slots" [{"name", "type", "active"}], "sync_names": value of
             synchronous_standby_names, "system": its system identifier.
expected     how the cluster should be at the end: "members" (data nodes), "sync" (how many standbys are synchronous, 0 = none; "names" that `final`
             of the primary has to have of them are checked by number), "slots" {primary or standby: [permanent slots]}, "tables".
directory    something happened to an entry at the top of a data directory: "event": unlink | rename | rmdir | create | gone.
destruction  what the agent says about it: "action": remove | rewind | clone | initdb | move, "begin", "end", "reason", "epoch" that this node knew as
             the newest, "own_epoch": the last one it held itself (null: none), "holds": whether it held the leader key, "primary": whom it has
             seen, "primary_epoch", "primary_system", "system": of its own directory (null: none), "seen": when the primary was seen,
             "allowed": setting or operator's order, "ahead": bytes that only this node has, "recorded": they were written down first, "empty": of
             initdb and clone: nothing was in the directory but what such an attempt has left.

An epoch is a text as in the agent's own: "<cluster id in hex>:<revision>".
"""
import json
import os
import threading
import time

VERSION = 1

# name:type, of types ns int num text bool list dict any; a name with ? may be absent or null.
FIELDS = {
    "run": "version:int seed:int scenario:text mode:text strict:bool nodes:dict ttl_ms:int loop_wait_ms:int retry_timeout_ms:int "
           "maximum_lag:int faults:list begin:ns end?:ns fence?:text watchdog?:text keep_epochs?:bool primary_start_timeout_ms?:int "
           "election_timeout_ms?:int wal_sender_timeout_ms?:int load_factor?:num",
    "injection": "number:int phase:text at:ns node?:text fault:text parameters:dict seed:int fired?:bool evidence?:any error?:text heals?:int",
    "cycle": "cycle:int fault:text begin:ns injected:ns healed:ns settled?:ns end:ns bounds:dict lossless?:bool",
    "exception": "why:text begin:ns end:ns node?:text epoch?:text",
    "write": "writer:text n:int begin:ns end?:ns result:text address?:text route?:text node?:text timeline?:int lsn?:int epoch?:text commit?:text "
             "asked?:ns computed?:ns error?:text",
    "table": "cycle:int node:text begin:ns end:ns role:text timeline:int rows:list",
    "health": "node:text begin:ns end:ns status?:int timeline?:int epoch?:text path?:text",
    "append": "client:text session:int n:int begin:ns end?:ns result:text endpoint:text node?:text timeline?:int operations:list error?:text",
    "register": "op:text key?:text begin:ns end?:ns result:text value?:any expected?:any seen?:any changes?:list revision?:int client?:text node?:text "
                "error?:text",
    "page": "begin:ns end:ns result:text revision?:int linearizable:bool found?:dict client?:text node?:text",
    "session": "watcher:text session:int node?:text from:int at?:ns",
    "batch": "watcher:text session:int at:ns header?:int events:list",
    "lease_key": "node:text seen:ns holder?:text epoch?:text lease?:int",
    "clock": "node:text before:ns lease_ms:int after:ns",
    "applied": "node:text cut:int index:int term:int type:text digest:text command?:dict result?:dict events?:list state?:text",
    "applied_from": "node:text cut:int index:int term?:int cluster?:text state:text",
    "applied_to": "node:text cut:int index:int state:text committed?:int",
    "timelines": "node:text at:ns timeline:int role:text lsn?:int files:dict",
    "recorded": "at:ns entries:list",
    "promotion": "node:text at:ns timeline:int from_timeline:int lsn:int planned?:int epoch?:text",
    "final": "node:text at:ns state:text role?:text timeline?:int lsn?:int streams_from?:text tables?:dict amcheck?:list checksum_failures?:int "
             "slots?:list sync_names?:text system?:text",
    "expected": "members:list sync:int slots:dict tables:list",
    "directory": "node:text at:ns event:text name:text to?:text",
    "destruction": "node:text action:text begin:ns end?:ns reason:text epoch?:text own_epoch?:text holds:bool primary?:text primary_epoch?:text "
                   "primary_system?:text system?:text seen?:ns allowed?:text ahead?:int recorded?:bool empty?:bool",
}

VALUES = {
    ("run", "mode"): ("async", "sync", "quorum"),
    ("run", "fence"): ("on", "off"),
    ("run", "watchdog"): ("armed", "off"),
    ("injection", "phase"): ("before", "after"),
    ("exception", "why"): ("depose", "unfenced", "fence"),
    ("write", "result"): ("invoke", "ok", "warned", "fail", "unknown"),
    ("write", "commit"): ("on", "remote_apply", "remote_write", "local", "off"),
    ("table", "role"): ("primary", "standby"),
    ("append", "result"): ("invoke", "ok", "warned", "fail", "unknown"),
    ("append", "endpoint"): ("primary", "standby"),
    ("register", "op"): ("read", "write", "cas", "txn", "refused"),
    ("register", "result"): ("ok", "fail", "unknown"),
    ("page", "result"): ("ok", "fail", "unknown"),
    ("applied", "type"): ("command", "configuration", "barrier"),
    ("timelines", "role"): ("primary", "standby"),
    ("final", "role"): ("primary", "standby"),
    ("directory", "event"): ("unlink", "rename", "rmdir", "create", "gone"),
    ("destruction", "action"): ("remove", "rewind", "clone", "initdb", "move"),
}
# Kinds of which there may be but one record for each value of these fields.
UNIQUE = {"run": (), "expected": (), "cycle": ("cycle",), "injection": ("number", "phase"), "final": ("node",), "table": ("cycle", "node")}
TYPES = {
    "ns": lambda v: type(v) is int and v >= 0,
    "int": lambda v: type(v) is int,
    "num": lambda v: type(v) in (int, float),
    "text": lambda v: type(v) is str,
    "bool": lambda v: type(v) is bool,
    "list": lambda v: type(v) in (list, tuple),
    "dict": lambda v: type(v) is dict,
    "any": lambda v: True,
}
MEANING = {"ns": "whole nanoseconds of CLOCK_MONOTONIC", "int": "a whole number", "num": "a number", "text": "a text", "bool": "true or false",
           "list": "a list", "dict": "an object", "any": "anything"}


def fields_of(text):
    """[(name, type, optional), ...]"""
    found = []
    for word in text.split():
        name, kind = word.split(":")
        found.append((name.rstrip("?"), kind, name.endswith("?")))
    return found


CONTRACT = {kind: fields_of(text) for kind, text in FIELDS.items()}
# Intervals: the second must not lie before the first.
ORDER = [("begin", "end"), ("before", "after"), ("begin", "injected"), ("injected", "healed"), ("healed", "settled"), ("settled", "end")]


class Malformed(ValueError):
    """A record that is not as FIELDS says: where it stands, and what would be right."""


def now():
    return time.monotonic_ns()


def lsn(text):
    """Bytes, of PostgreSQL's "X/Y"."""
    high, _, low = text.partition("/")
    try:
        return (int(high, 16) << 32) + int(low, 16)
    except ValueError:
        raise Malformed(f"'{text}' is no position in the WAL: PostgreSQL writes them as 0/3000060") from None


def epoch_key(text):
    """(cluster, revision) of an epoch's text: revisions of one cluster rise."""
    cluster, _, revision = text.partition(":")
    try:
        return cluster, int(revision)
    except ValueError:
        raise Malformed(f"'{text}' is no epoch: they are written as cluster:revision") from None


def fault_of(record):
    """What is wrong with a record, or None."""
    kind = record.get("kind")
    if kind not in CONTRACT:
        return f"'{kind}' is no kind of record; there are {', '.join(sorted(CONTRACT))}"
    for name, type_name, optional in CONTRACT[kind]:
        value = record.get(name)
        if value is None:
            if optional:
                continue
            return f"a record of kind {kind} needs '{name}', {MEANING[type_name]}"
        if not TYPES[type_name](value):
            return f"'{name}' of a record of kind {kind} is {value!r}: it has to be {MEANING[type_name]}"
        allowed = VALUES.get((kind, name))
        if allowed is not None and value not in allowed:
            return f"'{name}' of a record of kind {kind} is {value!r}: it is one of {', '.join(allowed)}"
    for first, second in ORDER:
        a, b = record.get(first), record.get(second)
        if type(a) is int and type(b) is int and a > b:
            return f"'{second}' of a record of kind {kind} lies before '{first}' ({b} < {a})"
    if record.get("result") == "ok" and record.get("end") is None and any(name == "end" for name, _, _ in CONTRACT[kind]):
        return f"a record of kind {kind} that is ok needs 'end'"
    return None


class Recorder:
    """Appends records to one file; threads may share it, processes may not."""

    def __init__(self, path):
        self.path, self.lock = path, threading.Lock()
        self.descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(self, kind, **fields):
        record = dict(fields, kind=kind)
        fault = fault_of(record)
        if fault is not None:
            raise Malformed(fault)
        line = (json.dumps(record, separators=(",", ":")) + "\n").encode()
        with self.lock:
            while line:
                line = line[os.write(self.descriptor, line):]
        return record

    def close(self):
        os.close(self.descriptor)


class History:
    """The records of one run. `of(kind)` gives a kind's in the order they were read; writes that were begun and ended are one record."""

    def __init__(self, records, where=None):
        self.records = {kind: [] for kind in CONTRACT}
        self.places = {}  # id of a record -> where it stands
        seen = {}
        for i, record in enumerate(records):
            place = where[i] if where is not None else f"record {i + 1}"
            fault = fault_of(record)
            if fault is not None:
                raise Malformed(f"{place}: {fault}")
            kind = record["kind"]
            if kind in UNIQUE:
                key = (kind,) + tuple(record[f] for f in UNIQUE[kind])
                if key in seen:
                    raise Malformed(f"{place}: there is one record of {' '.join(str(k) for k in key)} already, at {seen[key]}")
                seen[key] = place
            self.records[kind].append(record)
            self.places[id(record)] = place
        for kind, key in (("write", ("writer", "n")), ("append", ("client", "n"))):
            self.records[kind] = self.one_each(self.records[kind], key)
        if len(self.records["run"]) != 1:
            raise Malformed("a history has exactly one record of kind run: how long the leases are, and whom there is")
        self.run = self.records["run"][0]
        if self.run["version"] != VERSION:
            raise Malformed(f"{self.place(self.run)}: version {self.run['version']} of the format; this is {VERSION}")

    def one_each(self, records, key):
        """What was begun and has ended stands there once, by its end; what has not, with an unknown outcome."""
        found = {}
        for record in records:
            name = tuple(record[k] for k in key)
            before = found.get(name)
            if before is not None and (before["result"] == "invoke") == (record["result"] == "invoke"):
                raise Malformed(f"{self.place(record)}: {name} is there already, at {self.place(before)}: ids are unique in a run")
            if before is None or before["result"] == "invoke":
                found[name] = record
        return list(found.values())

    def of(self, kind):
        return self.records[kind]

    def place(self, record):
        return self.places.get(id(record), "?")


def load(*paths):
    records, where = [], []
    for path in paths:
        with open(path, "rb") as f:
            for number, line in enumerate(f, 1):
                if not line.endswith(b"\n"):
                    break
                place = f"{os.path.basename(path)}:{number}"
                try:
                    record = json.loads(line)
                except ValueError as error:
                    raise Malformed(f"{place}: no JSON: {error}") from None
                if type(record) is not dict:
                    raise Malformed(f"{place}: a record is an object with 'kind'")
                records.append(record)
                where.append(place)
    return History(records, where)


def from_etcd_load(path):
    """Records of a file of tests/e2e/etcd_load.py, whose times are seconds of the same clock. A thread of it that died was to look at something:
    without it the rest proves less than it was to."""
    found = []
    with open(path) as f:
        for line in f:
            if not line.endswith("\n"):
                break
            entry = json.loads(line)
            for name in ("begin", "end", "at"):
                if name in entry:
                    entry[name] = round(entry[name] * 1_000_000_000)
            op = entry.get("op")
            if op == "fault":
                raise Malformed(f"{os.path.basename(path)}: {entry['what']}")
            if op in ("page", "session", "batch"):
                found.append(dict(entry, kind=op))
            elif op in ("read", "write", "cas", "txn", "refused"):
                found.append(dict(entry, kind="register"))
    return found
