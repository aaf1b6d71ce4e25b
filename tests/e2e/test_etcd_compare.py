"""The same requests to a real etcd and to ours: every difference between the answers stands in docs/etcd.md."""
import concurrent.futures
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile

import pytest

from compare import commands, play, rules, script
from network import wait_for

BUILD = os.path.abspath(os.environ.get("BUILD", "build/debug"))
COMPARE = pathlib.Path(__file__).resolve().parent / "compare"
AT_A_TIME = 4
LISTS = sorted(COMPARE.glob("lists/*.txt")) + sorted(COMPARE.glob("recordings/*.txt"))
WITNESS = """\
scope: store
namespace: /witnesses/
name: only
raft: {{data_dir: {home}/raft, self_addr: '127.0.0.1:{peer}', partner_addrs: []}}
etcd_server: {{listen: '127.0.0.1:{port}', advertise: 'http://127.0.0.1:{port}'}}
"""


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Server:
    """One member on loopback: a real etcd, or a witness of ours."""

    def __init__(self, kind):
        self.home = tempfile.mkdtemp(prefix="pgquorum-compare-", dir="/var/tmp")
        port, peer = free_ports(2)
        self.endpoint = f"127.0.0.1:{port}"
        with open(f"{self.home}/log", "w") as log:
            self.process = subprocess.Popen(getattr(self, kind)(port, peer), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_for("it answers", self.is_ready, 20)
        except TimeoutError:
            print(open(f"{self.home}/log").read()[-3000:])
            self.close()
            raise

    def etcd(self, port, peer):
        return ["/usr/bin/etcd", "--name", "only", "--data-dir", f"{self.home}/data", "--enable-v2", "--listen-client-urls",
                f"http://127.0.0.1:{port}", "--advertise-client-urls", f"http://127.0.0.1:{port}", "--listen-peer-urls",
                f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}", "--initial-cluster",
                f"only=http://127.0.0.1:{peer}"]

    def ours(self, port, peer):
        with open(f"{self.home}/witness.yml", "w") as f:
            f.write(WITNESS.format(home=self.home, port=port, peer=peer))
        shutil.chown(self.home, "postgres", "postgres")
        shutil.copy(os.path.join(BUILD, "pgquorum"), f"{self.home}/pgquorum")
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", f"{self.home}/pgquorum", "witness",
                f"{self.home}/witness.yml"]

    def is_ready(self):
        assert self.process.poll() is None, open(f"{self.home}/log").read()
        return commands.etcdctl(self.endpoint, ["endpoint", "health"]).returncode == 0

    def close(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


def compare(kind, path):
    """What no rule explains, as texts; and the rules that explained something."""
    pair = []
    try:
        pair += [Server("etcd")]
        pair += [Server(kind)]
        if path.parent.name == "commands":
            steps, run = commands.read(path), commands.run
        else:
            steps, run = script.read(path), play.run
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            answers = pool.map(lambda server: run(server.endpoint, steps), pair)
        return rules.explain(steps, *answers)
    finally:
        for server in pair:
            server.close()


@pytest.fixture(scope="module")
def comparison(request):
    """A function that gives the outcome of one; all that are asked for run side by side, since they wait for most of their time."""
    params = [item.callspec.params for item in request.session.items if item.module is request.module and hasattr(item, "callspec")]
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        running = {(p["kind"], p["path"]): pool.submit(compare, p["kind"], p["path"]) for p in params}
        yield lambda kind, path: running[kind, path].result()


each_list = pytest.mark.parametrize("path", sorted(COMPARE.glob("commands/*.txt")) + LISTS, ids=lambda p: p.stem)


@each_list
@pytest.mark.parametrize("kind", ["ours"])
def test_ours_answers_as_etcd_does(comparison, kind, path):
    unexplained, used = comparison(kind, path)
    print(used)
    assert not unexplained, f"{len(unexplained)} differences that are not documented:\n" + "\n".join(unexplained[:40])


@pytest.mark.rest
@each_list
@pytest.mark.parametrize("kind", ["etcd"])
def test_etcd_answers_as_etcd_does(comparison, kind, path):
    """Otherwise what is compared is chance."""
    assert comparison(kind, path) == ([], {})


def test_each_rule_is_a_line_of_the_document():
    text = (COMPARE.parent.parent.parent / "docs" / "etcd.md").read_text()
    lines = [line.split("|")[1].strip() for line in text.split("## Differences from etcd")[1].split("\n## ")[0].splitlines()
             if line.startswith("| `")]
    assert sorted(lines) == sorted(f"`{name}`" for name in rules.RULES)
