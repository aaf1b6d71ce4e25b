"""Clients of etcd's API that say exactly what became of each request: V3 (JSON gateway), V2 and Ctl (gRPC, through etcdctl).

All have the same calls; a value None means that the key is not there:

    get(key) -> (value, revision)               write(key, value) -> (changed, revision)
    swap(key, expected, value) -> (swapped, seen, revision)     page(prefix, linearizable) -> (revision, {key: [value, mod revision]})
    watch(prefix, start) -> iterator of (header revision or None, [event, ...]), see check_watch.py; (None, []) when nothing came for a while

and V3 also txn(changes) -> revision, grant(ttl) -> id, keep_alive(id) -> ttl. They raise

    NotSent    it certainly had no effect
    Refused    the server has decided against it: no effect, and it says why
    Unknown    it may have had an effect, now or later
"""
import base64
import http.client
import json
import os
import re
import select
import socket
import subprocess
import urllib.parse

ABSENT = object()


class NotSent(Exception):
    pass


class Unknown(Exception):
    pass


class Refused(Exception):
    def __init__(self, text, code=None):
        super().__init__(text)
        self.code = code


class Http:
    """Requests over one connection that is kept, opened again after any error."""

    def __init__(self, endpoint, timeout):
        self.host, port = endpoint.rsplit(":", 1)
        self.port, self.timeout, self.connection = int(port), timeout, None

    def request(self, method, path, body=None, headers=None):
        """(status, headers, bytes)"""
        try:
            if self.connection is None:
                connection = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
                connection.connect()
                connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connection = connection
        except OSError as error:
            raise NotSent(str(error)) from error
        try:
            self.connection.request(method, path, body, headers or {})
            answer = self.connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unknown(f"{type(error).__name__}: {error}") from error
        return answer.status, answer.headers, data

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None


class Stream:
    """An answer of HTTP/1.1 in chunks that has no end; a silence is no error."""

    def __init__(self, endpoint, request, timeout):
        host, port = endpoint.rsplit(":", 1)
        try:
            self.socket = socket.create_connection((host, int(port)), timeout)
        except OSError as error:
            raise NotSent(str(error)) from error
        self.raw, self.head, self.ended = b"", None, False
        self.socket.sendall(request.replace("\n", "\r\n").encode() if isinstance(request, str) else request)

    def read(self, patience):
        """What has come: bytes, b"" after a silence, None at the end."""
        if self.ended:
            return None
        if not select.select([self.socket], [], [], patience)[0]:
            return b""
        data = self.socket.recv(65536)
        if not data:
            self.ended = True
            return None
        self.raw += data
        if self.head is None:
            head, end, rest = self.raw.partition(b"\r\n\r\n")
            if not end:
                return b""
            self.head, self.raw = head.decode("latin-1"), rest
        return self.chunks()

    def chunks(self):
        out = b""
        if "chunked" not in self.head.lower():
            out, self.raw = self.raw, b""
            return out
        while True:
            size, end, rest = self.raw.partition(b"\r\n")
            if not end:
                return out
            length = int(size.split(b";")[0], 16)
            if length == 0:
                self.ended = True
                return out
            if len(rest) < length + 2:
                return out
            out, self.raw = out + rest[:length], rest[length + 2:]

    def status(self):
        return int(self.head.split(" ", 2)[1]) if self.head else 0

    def close(self):
        self.socket.close()


def objects(text):
    """(JSON values at the front of a text, what is left of it)"""
    found, decoder = [], json.JSONDecoder()
    text = text.lstrip()
    while text:
        try:
            value, end = decoder.raw_decode(text)
        except ValueError:
            break
        found.append(value)
        text = text[end:].lstrip()
    return found, text


def b64(text):
    return base64.b64encode(text.encode()).decode()


def unb64(text):
    return base64.b64decode(text or "").decode()


def prefix_end(prefix):
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


class V3:
    DEFINITE = {3, 5, 6, 7, 8, 9, 11, 12, 16}  # codes of gRPC that mean: it was decided against

    def __init__(self, endpoint, timeout=3.0):
        self.endpoint, self.http = endpoint, Http(endpoint, timeout)

    def call(self, path, body):
        status, _, data = self.http.request("POST", "/v3" + path, json.dumps(body), {"Content-Type": "application/json"})
        try:
            answer = json.loads(data)
        except ValueError as error:
            raise Unknown(f"{status} {data[:100]!r}") from error
        answer = answer.get("result", answer)  # of the calls that stream
        if status == 200 and "error" not in answer:
            return answer
        told = answer.get("error") if isinstance(answer.get("error"), dict) else answer
        code, text = told.get("code", told.get("grpc_code")), told.get("message")
        raise (Refused(f"{code} {text}", code) if code in self.DEFINITE else Unknown(f"{code} {text}"))

    @staticmethod
    def revision(answer):
        return int(answer["header"]["revision"])

    @staticmethod
    def put(key, value):
        return {"request_put": {"key": b64(key), "value": b64(value)}}

    @staticmethod
    def delete(key):
        return {"request_delete_range": {"key": b64(key)}}

    @staticmethod
    def value(kvs):
        return unb64(kvs[0].get("value")) if kvs else None

    def get(self, key):
        answer = self.call("/kv/range", {"key": b64(key)})
        return self.value(answer.get("kvs", [])), self.revision(answer)

    def write(self, key, value, lease=None):
        if value is None:
            answer = self.call("/kv/deleterange", {"key": b64(key)})
            return int(answer.get("deleted", 0)) > 0, self.revision(answer)
        body = {"key": b64(key), "value": b64(value)}
        return True, self.revision(self.call("/kv/put", dict(body, lease=lease) if lease else body))

    def swap(self, key, expected, value):
        compare = {"key": b64(key), "result": "EQUAL"}
        compare.update({"target": "CREATE", "create_revision": "0"} if expected is None else {"target": "VALUE", "value": b64(expected)})
        answer = self.call("/kv/txn", {"compare": [compare], "success": [self.put(key, value) if value is not None else self.delete(key)],
                                       "failure": [{"request_range": {"key": b64(key)}}]})
        if answer.get("succeeded"):
            return True, expected, self.revision(answer)
        return False, self.value(answer["responses"][0]["response_range"].get("kvs", [])), self.revision(answer)

    def txn(self, changes):
        """All at once; deletions are of keys that are there."""
        answer = self.call("/kv/txn", {"success": [self.put(k, v) if v is not None else self.delete(k) for k, v in changes]})
        return self.revision(answer)

    def page(self, prefix, linearizable=True):
        answer = self.call("/kv/range", {"key": b64(prefix), "range_end": b64(prefix_end(prefix)), "serializable": not linearizable})
        return self.revision(answer), {unb64(kv["key"]): [unb64(kv.get("value")), int(kv["mod_revision"])] for kv in answer.get("kvs", [])}

    def grant(self, ttl):
        answer = self.call("/lease/grant", {"TTL": ttl})
        return answer["ID"], int(answer["TTL"])

    def keep_alive(self, lease):
        return int(self.call("/lease/keepalive", {"ID": lease}).get("TTL", 0))

    @staticmethod
    def event(found):
        kv = found["kv"]
        event = {"revision": int(kv["mod_revision"]), "key": unb64(kv["key"]), "value": None}
        if found.get("type") != "DELETE":
            event.update(value=unb64(kv.get("value")), version=int(kv["version"]), created=int(kv["create_revision"]))
        event["before"] = unb64(found["prev_kv"].get("value")) if "prev_kv" in found else None
        return event

    def watch(self, prefix, start, patience=0.2):
        body = json.dumps({"create_request": {"key": b64(prefix), "range_end": b64(prefix_end(prefix)), "start_revision": str(start),
                                              "prev_kv": True}})
        stream = Stream(self.endpoint, f"POST /v3/watch HTTP/1.1\nHost: {self.endpoint}\nContent-Type: application/json\n"
                                       f"Content-Length: {len(body)}\n\n{body}", self.http.timeout)
        try:
            text = ""
            while (data := stream.read(patience)) is not None:
                found, text = objects(text + data.decode())
                for answer in found:
                    result = answer.get("result")
                    if result is None or result.get("canceled"):
                        raise (Refused if "compact_revision" in (result or {}) else Unknown)(json.dumps(answer))
                    yield (None if result.get("created") else self.revision(result)), [self.event(e) for e in result.get("events", [])]
                if not found:
                    yield None, []
        finally:
            stream.close()


class Stale(V3):
    """Takes what any member says without asking the others for news: what a checker has to find out."""

    def get(self, key):
        answer = self.call("/kv/range", {"key": b64(key), "serializable": True})
        return self.value(answer.get("kvs", [])), self.revision(answer)


class V2:
    UNKNOWN = {300, 301}  # codes of v2 that leave it open

    def __init__(self, endpoint, timeout=3.0):
        self.endpoint, self.http = endpoint, Http(endpoint, timeout)

    def call(self, method, key, query="", form=None):
        """(X-Etcd-Index, answer)"""
        body = urllib.parse.urlencode(form) if form is not None else None
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if form is not None else {}
        status, told, data = self.http.request(method, "/v2/keys" + urllib.parse.quote(key) + query, body, headers)
        try:
            answer = json.loads(data)
        except ValueError as error:
            raise Unknown(f"{status} {data[:100]!r}") from error
        code = answer.get("errorCode")
        if code is None and status in (200, 201):
            return int(told.get("X-Etcd-Index", 0)), answer
        if code is None or code in self.UNKNOWN:
            raise Unknown(f"{status} {data[:200]!r}")
        raise Refused(answer.get("cause", ""), code)

    def get(self, key):
        try:
            index, answer = self.call("GET", key, "?quorum=true")
        except Refused as refused:
            if refused.code != 100:
                raise
            return None, None
        return answer["node"]["value"], index

    def write(self, key, value):
        try:
            _, answer = self.call("DELETE", key) if value is None else self.call("PUT", key, form={"value": value})
        except Refused as refused:
            if refused.code != 100:
                raise
            return False, None
        return True, answer["node"]["modifiedIndex"]

    def swap(self, key, expected, value):
        condition = {"prevExist": "false"} if expected is None else {"prevValue": expected}
        try:
            if value is None:
                _, answer = self.call("DELETE", key, "?" + urllib.parse.urlencode(condition))
            else:
                _, answer = self.call("PUT", key, "?" + urllib.parse.urlencode(condition), {"value": value})
        except Refused as refused:
            if refused.code not in (100, 101, 105):
                raise
            return False, self.seen(refused), None
        return True, expected, answer["node"]["modifiedIndex"]

    @staticmethod
    def seen(refused):
        """What a refusal says was there: ABSENT = it does not say."""
        if refused.code == 100:
            return None
        told = re.fullmatch(r"\[(.*) != (.*)\]", str(refused))
        return told.group(2) if told else ABSENT

    def page(self, prefix, linearizable=True):
        try:
            index, answer = self.call("GET", prefix.rstrip("/"), f"?recursive=true&quorum={'true' if linearizable else 'false'}")
        except Refused as refused:
            if refused.code != 100:
                raise
            return None, {}
        return index, dict(self.leaves(answer["node"]))

    def leaves(self, node):
        if node.get("dir"):
            for child in node.get("nodes", []):
                yield from self.leaves(child)
        else:
            yield node["key"], [node["value"], node["modifiedIndex"]]

    def watch(self, prefix, start, patience=0.2):
        """One long poll after the other, each on a connection of its own, since it may be left at any time."""
        while True:
            path = urllib.parse.quote(prefix.rstrip("/"))
            stream = Stream(self.endpoint, f"GET /v2/keys{path}?wait=true&recursive=true&waitIndex={start} HTTP/1.1\n"
                                           f"Host: {self.endpoint}\n\n", self.http.timeout)
            try:
                text = ""
                while (data := stream.read(patience)) is not None:
                    found, text = objects(text + data.decode())
                    if not found:
                        yield None, []
                        continue
                    if "errorCode" in found[0]:
                        raise Refused(found[0].get("cause", ""), found[0]["errorCode"])
                    event = self.event(found[0])
                    start = event["revision"] + 1
                    yield None, [event]
                    break
                else:
                    return
            finally:
                stream.close()

    @staticmethod
    def event(found):
        node = found["node"]
        return {"revision": node["modifiedIndex"], "key": node["key"], "value": node.get("value"),
                "before": found.get("prevNode", {}).get("value")}


class Ctl:
    """gRPC: each request is a run of etcdctl, so it is slow; the watch is one run."""

    def __init__(self, endpoint, timeout=3.0):
        self.endpoint, self.timeout = endpoint, timeout
        self.argv = ["/usr/bin/etcdctl", "--endpoints", endpoint, "--command-timeout", f"{timeout}s", "--dial-timeout", "1s", "-w", "json"]
        self.env = dict(os.environ, ETCDCTL_API="3")

    def call(self, *args, stdin=""):
        try:
            done = subprocess.run(self.argv + list(args), input=stdin, capture_output=True, text=True, env=self.env, timeout=self.timeout + 5)
        except subprocess.TimeoutExpired as error:
            raise Unknown("etcdctl has not ended") from error
        if done.returncode != 0:
            raise Unknown(done.stderr.strip()[-200:])
        return json.loads(done.stdout.strip().splitlines()[-1])

    def get(self, key):
        answer = self.call("get", key)
        return V3.value(answer.get("kvs", [])), answer["header"]["revision"]

    def write(self, key, value):
        if value is None:
            answer = self.call("del", key)
            return answer.get("deleted", 0) > 0, answer["header"]["revision"]
        return True, self.call("put", key, value)["header"]["revision"]

    def swap(self, key, expected, value):
        compare = f'create("{key}") = "0"' if expected is None else f'value("{key}") = "{expected}"'
        change = f'put "{key}" "{value}"' if value is not None else f'del "{key}"'
        answer = self.call("txn", stdin=f'{compare}\n\n{change}\n\nget "{key}"\n\n')
        revision = answer["header"]["revision"]
        if answer.get("succeeded"):
            return True, expected, revision
        response = answer["responses"][0]["Response"]
        return False, V3.value(next(iter(response.values())).get("kvs", [])), revision

    def page(self, prefix, linearizable=True):
        answer = self.call("get", "--prefix", prefix, "--consistency", "l" if linearizable else "s")
        return answer["header"]["revision"], {unb64(kv["key"]): [unb64(kv.get("value")), kv["mod_revision"]] for kv in answer.get("kvs", [])}

    def watch(self, prefix, start, patience=0.2):
        with subprocess.Popen(self.argv + ["watch", "--prefix", prefix, "--rev", str(start), "--prev-kv"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self.env) as child:
            try:
                text = ""
                while True:
                    if not select.select([child.stdout], [], [], patience)[0]:
                        yield None, []
                        continue
                    data = os.read(child.stdout.fileno(), 65536)
                    if not data:
                        return
                    found, text = objects(text + data.decode())
                    for answer in found:
                        if answer.get("Canceled"):  # without a leader, or compacted
                            raise (Refused if answer.get("CompactRevision") else Unknown)(json.dumps(answer))
                        yield answer["Header"]["revision"], [self.event(e) for e in answer.get("Events") or []]
            finally:
                child.kill()

    @staticmethod
    def event(found):
        """etcdctl writes the type as a number, or leaves it out."""
        return V3.event(dict(found, type="DELETE") if found.get("type") == 1 else dict(found, type="PUT"))


DIALECTS = {"v3": V3, "v2": V2, "ctl": Ctl, "stale": Stale}
