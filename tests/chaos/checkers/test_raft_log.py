"""raft_log on directories of members that have run: what was written is there, the same on each, and nothing else is taken for a directory."""
import json
import os
import signal
import subprocess
import time

import pytest

import etcd_client
import history
from checkers import made
from free_ports import free_ports

BUILD = os.path.abspath(os.environ.get("BUILD", "build/debug"))
FILE = """\
scope: postgres
namespace: /db/
name: {name}
restapi: {{listen: '127.0.0.1:{rest}'}}
raft:
  data_dir: {home}/{name}
  self_addr: 127.0.0.1:{raft}
  partner_addrs: [{partners}]
  password: secret
etcd_server: {{listen: '127.0.0.1:{etcd}'}}
"""


def raft_log(*arguments):
    return subprocess.run([os.path.join(BUILD, "raft_log"), *arguments], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


class Group:
    """Three members that only vote, on loopback."""

    def __init__(self, home):
        self.home, self.children, ports = str(home), [], free_ports(9)
        self.ports = {name: ports[i::3] for i, name in enumerate("abc")}
        for name, (raft, rest, etcd) in self.ports.items():
            partners = ", ".join(f"127.0.0.1:{p[0]}" for n, p in self.ports.items() if n != name)
            with open(f"{home}/{name}.yml", "w") as f:
                f.write(FILE.format(name=name, home=home, raft=raft, rest=rest, etcd=etcd, partners=partners))
            with open(f"{home}/{name}.log", "w") as log:
                self.children.append(subprocess.Popen([os.path.join(BUILD, "pgquorum"), "witness", f"{home}/{name}.yml"], stdin=subprocess.DEVNULL,
                                                      stdout=log, stderr=log))

    def client(self, name):
        return etcd_client.V3(f"127.0.0.1:{self.ports[name][2]}", 2.0)

    def wait(self, what, timeout=30):
        until = time.monotonic() + timeout
        while True:
            try:
                return what()
            except (OSError, etcd_client.NotSent, etcd_client.Unknown, etcd_client.Refused, AssertionError):
                assert time.monotonic() < until, "no answer of the group"
                time.sleep(0.05)

    def stop(self):
        for child in self.children:
            child.send_signal(signal.SIGTERM)
        for child in self.children:
            child.wait(20)


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """(records of the tool, the directories)"""
    home = tmp_path_factory.mktemp("group")
    group = Group(home)
    try:
        client = group.client("a")
        group.wait(lambda: client.write("/k", "one"))
        client.write("/k", "two")
        client.write("/k", None)

        def everywhere():
            for name in "abc":
                assert group.client(name).call("/kv/range", {"key": etcd_client.b64("/k"), "serializable": True})["header"]["revision"] == \
                    client.call("/kv/range", {"key": etcd_client.b64("/k")})["header"]["revision"]
        group.wait(everywhere)
    finally:
        group.stop()
    directories = [f"{n}={home}/{n}" for n in "abc"]
    answer = raft_log("3", *directories)
    assert answer.returncode == 0, answer.stderr
    return [json.loads(line) for line in answer.stdout.splitlines()], directories


def test_they_are_records_of_a_history(logs):
    found = made.history(*logs[0])
    assert {r["node"] for r in found.of("applied_from")} == {"a", "b", "c"}
    assert {r["cut"] for r in found.of("applied")} == {3}


def test_what_was_written_is_there_in_order_and_with_its_result(logs):
    for node in "abc":
        own = [r for r in logs[0] if r["kind"] == "applied" and r["node"] == node]
        assert [r["index"] for r in own] == list(range(own[0]["index"], own[0]["index"] + len(own)))
        assert own[0]["type"] == "configuration"
        events = [(e["value"], e["version"], r["result"]["succeeded"]) for r in own for e in r.get("events", []) if e["key"] == "/k"]
        assert events == [("one", 1, True), ("two", 2, True), (None, 0, True)]
        assert {r["command"]["type"] for r in own if "command" in r} >= {"client_txn", "format"}


def test_each_member_has_the_same_log_and_the_same_state(logs):
    ends = {n: next(r for r in logs[0] if r["kind"] == "applied_to" and r["node"] == n) for n in "abc"}
    last = min(e["index"] for e in ends.values())
    entries = {n: [(r["index"], r["term"], r["digest"], r.get("result")) for r in logs[0] if r["kind"] == "applied" and r["node"] == n and r["index"] <= last]
               for n in "abc"}
    assert entries["a"] == entries["b"] == entries["c"]
    states = [{r["state"] for r in logs[0] if r["kind"] in ("applied", "applied_to") and r["index"] == i and "state" in r} for i in {e["index"] for e in ends.values()}]
    assert states and all(len(s) == 1 for s in states)


@pytest.mark.parametrize("arguments,text", [
    (["1", "b=DIRECTORY-A"], "cannot be opened"), (["1", "a=/nowhere"], "/nowhere/raft.db: it is not there"), (["1", "/somewhere"], "given as NAME=DIRECTORY"),
    (["x", "a=/nowhere"], "Usage: raft_log CUT"), (["1"], "Usage: raft_log CUT")])
def test_what_is_no_directory_of_that_member_is_refused(logs, arguments, text):
    answer = raft_log(*[a.replace("DIRECTORY-A", logs[1][0][2:]) for a in arguments])
    assert answer.returncode != 0 and text in answer.stderr and answer.stdout == ""


def test_history_takes_the_file_as_it_is(logs, tmp_path):
    path = tmp_path / "raft.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in [made.run(), *logs[0]]))
    assert history.load(path).of("applied_to")
