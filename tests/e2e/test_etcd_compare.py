"""The same requests to a real etcd and to ours: every difference between the answers stands in docs/etcd.md."""
import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess

import pytest

from compare import commands, play, rules, script
from free_ports import free_ports
from network import make_home, remove_home, wait_for

BUILD = os.path.abspath(os.environ.get("BUILD", "build/debug"))
COMPARE = pathlib.Path(__file__).resolve().parent / "compare"
LISTS = [path for kind in ("commands", "lists", "recordings") for path in sorted(COMPARE.glob(f"{kind}/*.txt"))]
AT_A_TIME = 4
WITNESS = """\
scope: store
namespace: /witnesses/
name: member{number}
raft: {{data_dir: {home}/raft{number}, self_addr: '127.0.0.1:{peer}', partner_addrs: [{partners}]}}
etcd_server: {{listen: '127.0.0.1:{port}', advertise: 'http://127.0.0.1:{port}'}}
"""


class Store:
    """Real etcds, or witnesses of ours, on loopback, new and empty. `endpoint`: a follower's, if there is one."""

    def __init__(self, kind, members):
        self.home = make_home("compare")
        self.processes, self.log = [], open(f"{self.home}/log", "w")
        self.clients, self.peers = free_ports(members), free_ports(members)
        try:
            for number in range(members):
                self.processes.append(subprocess.Popen(getattr(self, kind)(number), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log))
            self.endpoint = wait_for("all members answer", self.follower, 30)
            wait_for("all members are known", self.is_complete, 30)
        except BaseException:
            self.close()
            raise

    def etcd(self, number):
        client, peer = f"http://127.0.0.1:{self.clients[number]}", f"http://127.0.0.1:{self.peers[number]}"
        cluster = ",".join(f"member{i}=http://127.0.0.1:{port}" for i, port in enumerate(self.peers))
        return ["/usr/bin/etcd", "--name", f"member{number}", "--data-dir", f"{self.home}/data{number}", "--enable-v2", "--listen-client-urls", client,
                "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", cluster]

    def ours(self, number):
        config, data = f"{self.home}/m{number}.yml", f"{self.home}/raft{number}"
        partners = ", ".join(f"'127.0.0.1:{port}'" for i, port in enumerate(self.peers) if i != number)
        with open(config, "w") as f:
            f.write(WITNESS.format(number=number, home=self.home, port=self.clients[number], peer=self.peers[number], partners=partners))
        os.mkdir(data, 0o700)
        shutil.chown(data, "postgres", "postgres")
        shutil.copy(os.path.join(BUILD, "pgquorum"), f"{self.home}/pgquorum{number}")
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", f"{self.home}/pgquorum{number}", "witness", config]

    def is_complete(self):
        """Each member has said where it serves clients."""
        members = commands.etcdctl(f"127.0.0.1:{self.clients[0]}", ["member", "list"]).stdout
        return all(f"http://127.0.0.1:{port}," in members for port in self.clients)

    def follower(self):
        """None until all are there and agree who leads."""
        for process in self.processes:
            assert process.poll() is None, f"{process.args[0]} has ended:\n" + open(f"{self.home}/log").read()[-2000:]
        endpoints = ",".join(f"127.0.0.1:{port}" for port in self.clients)
        status = json.loads(commands.etcdctl(endpoints, ["endpoint", "status", "-w", "json"]).stdout or "[]")
        leaders = {row["Status"].get("leader", 0) for row in status}
        if len(status) < len(self.clients) or len(leaders) != 1 or leaders == {0}:
            return None
        followers = [row["Endpoint"] for row in status if row["Status"]["header"]["member_id"] not in leaders]
        return (followers or [status[0]["Endpoint"]])[0]

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()
        self.log.close()
        remove_home(self.home)


def compare(kind, members, path):
    """What no rule explains, as texts; and the rules that explained something."""
    pair = []
    try:
        for one in ("etcd", kind):
            pair.append(Store(one, members))
        if path.parent.name == "commands":
            steps, run = commands.read(path), commands.run
        else:
            steps, run = script.read(path), play.run
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            answers = pool.map(lambda store: run(store.endpoint, steps), pair)
        return rules.explain(steps, *answers)
    finally:
        for store in pair:
            store.close()


@pytest.fixture(scope="module")
def comparison(request):
    """A function that gives the outcome of one; all that are asked for run side by side, since they wait for most of their time."""
    params = [item.callspec.params for item in request.session.items if item.module is request.module and hasattr(item, "callspec")]
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        running = {repr(sorted(p.items())): pool.submit(compare, **p) for p in params}
        yield lambda **p: running[repr(sorted(p.items()))].result()


each_list = pytest.mark.parametrize("path", LISTS, ids=lambda p: p.stem)


def check(comparison, **params):
    unexplained, used = comparison(**params)
    print(used)
    assert not unexplained, f"{len(unexplained)} differences that are not documented:\n" + "\n".join(unexplained[:40])


@each_list
@pytest.mark.parametrize("kind,members", [("ours", 1)])
def test_ours_answers_as_etcd_does(comparison, kind, members, path):
    check(comparison, kind=kind, members=members, path=path)


@pytest.mark.rest
@each_list
@pytest.mark.parametrize("kind,members", [("ours", 3)])
def test_a_follower_answers_as_one_of_etcd_does(comparison, kind, members, path):
    check(comparison, kind=kind, members=members, path=path)


@pytest.mark.rest
@each_list
@pytest.mark.parametrize("kind,members", [("etcd", 1), ("etcd", 3)])
def test_etcd_answers_as_etcd_does(comparison, kind, members, path):
    """Otherwise what is compared is chance."""
    assert comparison(kind=kind, members=members, path=path) == ([], {})


def test_each_rule_is_a_line_of_the_document():
    text = (COMPARE.parent.parent.parent / "docs" / "etcd.md").read_text()
    lines = [line.split("|")[1].strip() for line in text.split("## Differences from etcd")[1].split("\n## ")[0].splitlines()
             if line.startswith("| `")]
    assert sorted(lines) == sorted(f"`{name}`" for name in rules.RULES)
