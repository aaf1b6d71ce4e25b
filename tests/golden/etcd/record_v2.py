#!/usr/bin/python3
"""Sends the requests of v2_transcript.txt to a real etcd (v2 enabled, empty) and writes its answers into the fourth column.
The fifth is ours where it differs (docs/etcd.md says why), and stays as it is. Run from the root of the tree; review the diff.

Columns: method, target, body (a form), answer: status|content type|X-Etcd-Index|headers (c: cluster, r: Raft)|Allow|body.
Methods that are none: EXPIRE waits until the key of the target has gone."""
import http.client
import pathlib
import re
import socket
import subprocess
import tempfile
import time

TRANSCRIPT = pathlib.Path("tests/golden/etcd/v2_transcript.txt")
FIRST_INDEX = 10  # both sides are brought here before the first request, so that indexes can be compared


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port, method, target, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
    connection.request(method, target, body.encode("latin-1") or None, headers)
    answer = connection.getresponse()
    text = answer.read().decode("utf-8")
    connection.close()
    return answer, text


def line_of(answer, text):
    flags = ("c" if answer.getheader("X-Etcd-Cluster-Id") else "") + ("r" if answer.getheader("X-Raft-Index") else "")
    text = re.sub(r'"expiration":"[^"]*"', '"expiration":"T"', text)
    return "|".join([str(answer.status), answer.getheader("Content-Type") or "", answer.getheader("X-Etcd-Index") or "", flags,
                     answer.getheader("Allow") or "", text.replace("\n", "\\n")])


def expire(port, key):
    until = time.monotonic() + 20
    while ask(port, "GET", "/v2/keys" + key, "")[0].status != 404:
        if time.monotonic() > until:
            raise SystemExit(f"{key} does not expire")
        time.sleep(0.05)
    return ""


def record(port):
    lines = []
    for line in TRANSCRIPT.read_text(encoding="utf-8").split("\n"):
        if line.startswith("#") or not line:
            lines.append(line)
            continue
        columns = (line.split("\t") + ["", "", ""])[:5]
        method, target, body = columns[:3]
        columns[3] = expire(port, target) if method == "EXPIRE" else line_of(*ask(port, method, target, body))
        lines.append("\t".join(columns).rstrip("\t"))
    TRANSCRIPT.write_text("\n".join(lines), encoding="utf-8")


def prepare(port):
    until = time.monotonic() + 20
    while True:
        try:
            if ask(port, "GET", "/health", "")[1] == '{"health":"true"}':
                break
        except OSError:
            pass
        if time.monotonic() > until:
            raise SystemExit("etcd does not come up")
        time.sleep(0.1)
    index = int(ask(port, "GET", "/v2/keys", "")[0].getheader("X-Etcd-Index"))
    while index < FIRST_INDEX - 1:
        index = int(ask(port, "PUT", "/v2/keys/_first", "value=1")[0].getheader("X-Etcd-Index"))
    ask(port, "DELETE", "/v2/keys/_first", "")


def main():
    client, peer = free_port(), free_port()
    with tempfile.TemporaryDirectory() as directory:
        url = f"http://127.0.0.1:{client}"
        etcd = subprocess.Popen(
            ["etcd", "--enable-v2=true", "--data-dir", directory, "--listen-client-urls", url, "--advertise-client-urls", url,
             "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
             "--initial-cluster", f"default=http://127.0.0.1:{peer}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            prepare(client)
            record(client)
        finally:
            etcd.terminate()
            etcd.wait()


if __name__ == "__main__":
    main()
