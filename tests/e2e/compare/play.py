"""Sends the requests of a list to a server, one after the other, and gives its answers without what may differ (normal.py)."""
import http.client
import json
import re
import time
import urllib.parse

from compare import script
from compare.normal import Normal
from etcd_client import Stream

QUIET = 0.3  # seconds without anything: nothing more comes
PATIENCE = 1.5  # for what has to come
TIMEOUT = 10.0


class Player:
    def __init__(self, endpoint):
        self.endpoint, self.connection = endpoint, None
        self.raw, self.answers, self.streams = {}, {}, {}
        self.bases = self.revisions()
        self.normal = Normal(0)

    def revisions(self):
        """Of both APIs; etcd has a store for each, so the lists use either one or the other."""
        status, headers, _ = self.plain("GET", "/v2/keys/?quorum=true", [], "")
        v2 = next((int(v) for k, v in headers if k.lower() == "x-etcd-index"), 0) if status == 200 else 0
        _, _, text = self.plain("POST", "/v3/kv/range", [], '{"key":"AA=="}')
        return {"v2": v2, "v3": int(json.loads(text)["header"]["revision"])}

    def plain(self, method, target, headers, body):
        """(status, headers, text)"""
        host, port = self.endpoint.rsplit(":", 1)
        for attempt in (0, 1):
            if self.connection is None:
                self.connection = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT)
            try:
                self.connection.putrequest(method, target, skip_accept_encoding=True)
                for name, value in headers:
                    self.connection.putheader(name, value)
                if body or method in ("PUT", "POST"):
                    self.connection.putheader("Content-Length", str(len(body.encode())))
                self.connection.endheaders(body.encode() if body else None)
                answer = self.connection.getresponse()
                return answer.status, answer.getheaders(), answer.read().decode("utf-8", "replace")
            except TimeoutError as error:  # of both sides they would be alike, and nothing compared
                raise TimeoutError(f"{self.endpoint} has not answered {method} {target} in {TIMEOUT} s") from error
            except (http.client.HTTPException, ConnectionError):
                self.connection = None  # it was closed while nothing was asked
                if attempt:
                    raise

    def lookup(self, label, path):
        end = time.monotonic() + (QUIET if label in self.streams else 0)
        while True:
            if label in self.streams:
                self.streams[label].pump(0.05)
            value = script.at(self.value(label), path)
            if value is not None or time.monotonic() > end:
                return value

    def value(self, label):
        return self.streams[label].value() if label in self.streams else self.raw.get(label)

    def run(self, steps):
        for step in steps:
            if isinstance(step, script.Request):
                self.send(step)
            elif step.what == "sleep":
                time.sleep(float(step.argument))
            else:
                self.end(step)
        for label in list(self.streams):
            self.end(script.Step("hangup", label))
        return self.answers

    def send(self, request):
        target, body = script.fill(request.target, self.lookup), script.fill(request.body, self.lookup)
        self.normal.base, self.normal.sorted = self.normal_base(target), "sorted=true" in target
        compared = re.search(r"\bprevValue=([^&]*)", f"{target}&{body}")
        self.normal.compared = compared and urllib.parse.unquote_plus(compared.group(1))
        if request.is_stream():
            self.streams[request.label] = Listener(self.endpoint, request, target, body)
            return
        status, headers, text = self.plain(request.method, target, request.headers, body)
        self.raw[request.label] = script.answer_value(target, headers, text)
        self.answers[request.label] = self.normal.answer(target.split("?")[0], status, headers, text)

    def normal_base(self, target):
        return self.bases["v3" if target.startswith("/v3") else "v2"]

    def end(self, step):
        stream = self.streams.pop(step.argument, None)
        if stream is None:
            return
        stream.wait(step.what == "end")
        self.normal.base = self.normal_base(stream.target)
        self.raw[step.argument] = stream.value()
        answer = self.normal.answer(stream.target.split("?")[0], stream.stream.status(), stream.headers(), stream.text)
        answer["body"] = merged(answer["body"])
        self.answers[step.argument] = dict(answer, ended=stream.stream.ended)
        stream.stream.close()


class Listener:
    """A stream that is open while other requests are sent."""

    def __init__(self, endpoint, request, target, body):
        lines = [f"{request.method} {target} HTTP/1.1", f"Host: {endpoint}", *[f"{n}: {v}" for n, v in request.headers]]
        if body or request.method == "POST":
            lines.append(f"Content-Length: {len(body.encode())}")
        self.stream = Stream(endpoint, ("\r\n".join(lines) + "\r\n\r\n").encode() + body.encode(), TIMEOUT)
        self.target, self.text = target, ""
        end = time.monotonic() + PATIENCE
        # The head is there at once, and for v3 the object that says so: then it is watched.
        while (self.stream.head is None or (target.startswith("/v3") and not self.text)) and time.monotonic() < end and not self.stream.ended:
            self.pump(0.05)

    def pump(self, patience):
        data = self.stream.read(patience)
        self.text += (data or b"").decode("utf-8", "replace")
        return bool(data)

    def wait(self, until_end):
        end, quiet = time.monotonic() + PATIENCE, time.monotonic() + QUIET
        while not self.stream.ended and time.monotonic() < end:
            if self.pump(0.05):
                quiet = time.monotonic() + QUIET
            if not until_end and time.monotonic() > quiet:
                return

    def value(self):
        return script.answer_value(self.target, self.headers(), self.text)

    def headers(self):
        return [tuple(p.strip() for p in line.split(":", 1)) for line in (self.stream.head or "").split("\r\n")[1:]]


def merged(body):
    """Events of a v3 watch, however they were put into messages."""
    if not isinstance(body, list):
        body = [body]
    out, events = [], []
    for message in body:
        result = message.get("result") if isinstance(message, dict) else None
        if isinstance(result, dict) and "events" in result:
            events += result["events"]
        else:
            out.append(message)
    return {"messages": out, "events": events}


def run(endpoint, steps):
    """{label: answer}"""
    return Player(endpoint).run(steps)
