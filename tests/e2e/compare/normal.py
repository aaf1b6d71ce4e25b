"""An answer without what may differ between any two stores: identifiers, times, addresses; revisions count from where the run began."""
import base64
import json
import re

HEADERS = ("content-type", "allow", "location", "x-etcd-index", "x-etcd-cluster-id", "x-raft-index", "x-raft-term", "www-authenticate")
REVISIONS = {"revision", "mod_revision", "create_revision", "modifiedIndex", "createdIndex", "index", "compact_revision"}
IDS = {"cluster_id", "member_id", "memberID"}
FIGURES = {"raft_term", "raftTerm", "raftIndex", "raftAppliedIndex", "dbSize", "dbSizeInUse", "hash"}
LEASES = {"lease", "ID"}
PLACES = {"peerURLs", "clientURLs", "expiration", "startTime", "uptime", "blob", "remaining_bytes"}
METRICS = {"etcd_server_has_leader", "etcd_server_is_leader", "etcd_server_leader_changes_seen_total", "etcd_mvcc_db_total_size_in_bytes",
           "etcd_debugging_mvcc_keys_total"}
QUEUE_KEY = re.compile(r"(?<!\d)0\d{19}(?!\d)")
LEASE_KEY = re.compile(rb"/[0-9a-f]{10,16}$")  # of a lock, of an election
INDEXES = re.compile(r"\[(\d+)( != |/)(\d+)\]")


def unbase64(text):
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""


class Normal:
    """Of one server during one run; `base` is its revision at the beginning."""

    def __init__(self, base):
        self.base, self.symbols, self.sorted, self.compared = base, {}, False, None

    def symbol(self, kind, value):
        """The same name for the same thing, by the order in which they came up."""
        names = self.symbols.setdefault(kind, {})
        return names.setdefault(str(value), f"<{kind} {len(names) + 1}>")

    def revision(self, value):
        return f"r{int(value) - self.base:+d}" if int(value) > 0 else int(value)

    def text(self, value):
        value = QUEUE_KEY.sub(lambda m: f"<{self.revision(m.group(0))}>", value)
        return INDEXES.sub(self.indexes, value)

    def indexes(self, found):
        """What a comparison found; of values, which may look like numbers, nothing is changed."""
        one, mark, other = found.groups()
        return found.group(0) if one == self.compared else f"[{self.index(one)}{mark}{self.index(other)}]"

    def index(self, text):
        """A small number may be one that the client made up."""
        return self.revision(text) if int(text) >= self.base else "<old>"

    def value(self, key, value):
        if isinstance(value, dict):
            members = "peerURLs" in value or "clientURLs" in value
            return {k: self.member(k, v) if members else self.value(k, v) for k, v in value.items()}
        if isinstance(value, list):
            found = [self.value(key, inner) for inner in value]
            # Without "sorted" etcd lists a directory in any order.
            if key == "keys":  # of a lease, in any order
                return sorted(found)
            if key == "leases":  # by their ends, in etcd
                return sorted(found, key=lambda lease: lease["ID"])
            return found if key != "nodes" or self.sorted else sorted(found, key=lambda node: node["key"])
        if isinstance(value, bool) or value is None:
            return value
        if key in REVISIONS:
            return self.revision(value)
        if key in IDS:
            return self.symbol("member", value) if int(value) else value
        if key == "leader":  # any of them may lead
            return "<member>" if int(value) else value
        if key in FIGURES:
            return "<figure>"
        if key in LEASES:
            return self.symbol("lease", value) if str(value).lstrip("-").isdigit() and int(value) else value
        if key == "token":
            return "<token>"
        if key == "key" and LEASE_KEY.search(unbase64(value)):
            return "<key of a lease>"
        if key in PLACES:
            return f"<{key}>"
        return self.text(value) if isinstance(value, str) else value

    def member(self, key, value):
        if key in ("id", "ID"):
            return "<member>"
        if key in ("peerURLs", "clientURLs"):
            return [f"<{key}>" for _ in value]
        return f"<{key}>" if key == "name" else value

    def body(self, text, path):
        """JSON as values, one or a row of them; other text as it is."""
        if path == "/metrics":
            return sorted(METRICS & set(re.findall(r"^(etcd_[a-z_]+)(?=[ {])", text, re.M)))
        if path.startswith("/v2/stats/"):
            return self.shape(text)
        values, rest, decoder = [], text.strip(), json.JSONDecoder()
        while rest:
            try:
                value, end = decoder.raw_decode(rest)
            except ValueError:
                return self.text(re.sub(r"https?://[\w.:-]+", "<url>", text))
            values.append(self.value("", value))
            rest = rest[end:].lstrip()
        return values[0] if len(values) == 1 else values

    @staticmethod
    def shape(text):
        """Which fields there are: the figures are each server's own."""
        try:
            value = json.loads(text)
        except ValueError:
            return text
        return {k: (sorted(v) if isinstance(v, dict) else type(v).__name__) for k, v in value.items()} if "message" not in value else value

    def answer(self, path, status, headers, text):
        told = {}
        for name, value in headers:
            if name.lower() in HEADERS:
                told[name.lower()] = {"x-etcd-index": self.revision, "x-etcd-cluster-id": lambda v: "<cluster>",
                                      "x-raft-index": lambda v: "<figure>", "x-raft-term": lambda v: "<figure>"}.get(
                                          name.lower(), lambda v: re.sub(r"https?://[\w.:-]+", "<url>", v))(value)
        return {"status": status, "headers": told, "body": self.body(text, path)}


def differences(one, other, path=""):
    """[(path, value here, value there), ...]; a missing one is None. A ttl may be one less or more: a second may have begun."""
    if isinstance(one, dict) and isinstance(other, dict):
        out = []
        for key in sorted(set(one) | set(other)):
            out += differences(one.get(key), other.get(key), f"{path}.{key}" if path else key)
        return out
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [d for i, (a, b) in enumerate(zip(one, other)) for d in differences(a, b, f"{path}.{i}")]
    if path.split(".")[-1].lower() == "ttl" and near(one, other):
        return []
    return [] if one == other else [(path, one, other)]


def near(one, other):
    try:
        return abs(int(one) - int(other)) <= 1
    except (TypeError, ValueError):
        return False
