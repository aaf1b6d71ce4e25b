#!/usr/bin/python3
"""Sends the calls of v3_calls.txt to the JSON gateway of a real etcd (empty) and writes its answers into the third column.
Run from the root of the tree; review the diff.

Columns: path below /v3, request, answer. Of a header only the revision is kept; a refusal is its code and text."""
import json
import pathlib
import re
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

CALLS = pathlib.Path("tests/golden/etcd/v3_calls.txt")
# Both sides are at revision 4 without a key before the first call.
BEFORE = [("/kv/put", '{"key":"YQ=="}'), ("/kv/put", '{"key":"YQ=="}'), ("/kv/deleterange", '{"key":"YQ=="}')]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port, path, body):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v3{path}", data=body.encode(),
                                     headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read().decode().strip()
    except urllib.error.HTTPError as error:
        return error.read().decode().strip()


def column_of(text):
    answer = json.loads(text)
    error = answer.get("error")
    if isinstance(error, dict):
        return f"{error['grpc_code']} {error['message']}"
    if error is not None:
        return f"{answer['code']} {answer['message']}"
    text = re.sub(r'"(cluster|member)_id":"\d+",?', "", text)
    return re.sub(r',?"raft_term":"\d+"', "", text)


def wait_until_it_serves(port):
    for _ in range(100):
        try:
            if "header" in ask(port, "/kv/range", '{"key":"YQ=="}'):
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit("etcd does not serve")


def main():
    client, peer = free_port(), free_port()
    with tempfile.TemporaryDirectory() as directory:
        etcd = subprocess.Popen(
            ["etcd", "--data-dir", directory, "--listen-client-urls", f"http://127.0.0.1:{client}",
             "--advertise-client-urls", f"http://127.0.0.1:{client}", "--listen-peer-urls", f"http://127.0.0.1:{peer}",
             "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
             "--initial-cluster", f"default=http://127.0.0.1:{peer}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until_it_serves(client)
            for path, body in BEFORE:
                ask(client, path, body)
            lines = []
            for line in CALLS.read_text().splitlines():
                if not line.startswith("#"):
                    path, body, _ = line.split("\t")
                    line = "\t".join([path, body, column_of(ask(client, path, body))])
                lines.append(line + "\n")
            CALLS.write_text("".join(lines))
        finally:
            etcd.terminate()
            etcd.wait()


if __name__ == "__main__":
    main()
