"""A deployment of compose/ that is up, as the tests see it: from outside, by docker, docker-compose and the published ports."""
import http.client
import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
COMPOSE = os.path.join(TREE, "compose")
E2E = os.path.join(TREE, "tests", "e2e")
sys.path.insert(0, E2E)
import checks  # noqa: E402
from network import wait_for  # noqa: E402

PROJECT = "pgquorum"
REST = {"node1": 8008, "node2": 8009, "node3": 8010}
STANDBYS = ("Replica", "Sync Standby", "Quorum Standby")


def docker(*args, check=True, timeout=120):
    return subprocess.run(["docker", *args], check=check, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)


def settings():
    """What compose.sh keeps in compose/.env: {} before the first start."""
    try:
        with open(os.path.join(COMPOSE, ".env"), encoding="ascii") as f:
            return dict(line.strip().split("=", 1) for line in f if "=" in line and not line.startswith("#"))
    except FileNotFoundError:
        return {}


def script(*args, timeout=1800, **env):
    """compose.sh, as make calls it."""
    return subprocess.run([os.path.join(COMPOSE, "compose.sh"), *args], capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL, env=dict(os.environ, **env))


class Writer:
    """Of tests/e2e, through HAProxy's published port on 127.0.0.1."""

    def __init__(self, deployment, name, home):
        self.name, self.out = name, os.path.join(home, f"writer-{name}.jsonl")
        open(self.out, "w", encoding="ascii").close()
        self.process = subprocess.Popen(
            ["/usr/bin/python3", os.path.join(E2E, "writer.py"), name, "127.0.0.1", "5000", "any", self.out, "10"],
            stdin=subprocess.DEVNULL, env=dict(os.environ, WRITER_PASSWORD=deployment.password))

    def entries(self):
        return checks.read(self)

    def acknowledged(self):
        return sum(e["result"] == "ok" for e in self.entries())

    def wait_writes(self, timeout):
        """One that began after now."""
        now = time.monotonic()
        wait_for(f"{self.name} writes", lambda: any(e["result"] == "ok" and e["begin"] > now for e in self.entries()[-50:]), timeout, 0.2)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)


class Deployment:
    def __init__(self, mode, home, witness=False, subnet=None):
        self.mode, self.home, self.witness = mode, home, witness
        self.files = ["-f", f"{mode}.yml"] + (["-f", "witness.yml"] if witness else [])
        self.env = dict({"WITNESS": "1"} if witness else {}, **({"SUBNET": subnet} if subnet else {}))
        self.data_nodes = ["node1", "node2"] if witness else ["node1", "node2", "node3"]
        self.writers = []

    def up(self):
        """By the script that make calls; a writer waits at the port from before docker-compose is called."""
        answer = script("up", self.mode, **self.env)
        assert answer.returncode == 0, answer.stdout[-3000:] + answer.stderr[-3000:]
        return answer.stdout

    @property
    def password(self):
        return "zalando" if self.mode == "etcd-backed" else settings()["SUPERUSER_PASSWORD"]

    def compose(self, *args, check=True, timeout=300):
        return subprocess.run(["docker-compose", *self.files, *args], check=check, capture_output=True, text=True, timeout=timeout,
                              stdin=subprocess.DEVNULL, cwd=COMPOSE)

    def container(self, node):
        return self.compose("ps", "-q", "-a", node).stdout.strip()

    def inside(self, node, *argv, check=True, timeout=60):
        return docker("exec", self.container(node), *argv, check=check, timeout=timeout)

    def ctl(self, *args, node=None, check=True):
        """The command of the members' own program, on a node that is reached."""
        program = "patronictl" if self.mode == "etcd-serving" else "pgquorum"
        return self.inside(node or self.reached(), program, "-c", "/etc/patroni/patroni.yml", *args, check=check, timeout=180)

    def reached(self):
        """A data node that runs and is on the network."""
        for node in self.data_nodes:
            if self.status(node, "/liveness") is not None:
                return node
        raise AssertionError("no node answers")

    def status(self, node, path):
        """What REST of the node answers at the published port; None without an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", REST[node], timeout=3)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def members(self):
        try:
            return {row["Member"]: row for row in json.loads(self.ctl("list", "-f", "json", check=False).stdout)}
        except (ValueError, KeyError, AssertionError):
            return {}

    def leader(self):
        return next((name for name, row in self.members().items() if row["Role"] == "Leader" and row["State"] == "running"), None)

    def wait_leader(self, other_than=None, timeout=90):
        return wait_for("a leader", lambda: (name := self.leader()) not in (None, other_than) and name, timeout, 0.5)

    def streams(self, node):
        return self.sql(node, "SELECT status FROM pg_stat_wal_receiver") == "streaming"

    def healthy(self):
        rows = self.members()
        leaders = [name for name, row in rows.items() if row["Role"] == "Leader" and row["State"] == "running"]
        try:
            return sorted(rows) == self.data_nodes and len(leaders) == 1 and all(self.streams(n) for n in rows if n not in leaders)
        except subprocess.SubprocessError:
            return False

    def wait_healthy(self, timeout=180):
        wait_for("all members are healthy", self.healthy, timeout, 0.5)

    def sql(self, node, text):
        """In the node's container: a Patroni's answers on the address of the node, too."""
        address = settings()["NET"] + "." + str(9 + int(node[-1]))
        url = f"postgres://postgres:{self.password}@{address}:5432/postgres?connect_timeout=3"
        return self.inside(node, "psql", "-XAt", url, "-c", text).stdout.strip()

    # --- faults ---
    def disconnect(self, node):
        docker("network", "disconnect", f"{PROJECT}_hosts", self.container(node))

    def connect(self, node):
        address = settings()["NET"] + "." + str(9 + int(node[-1]))
        docker("network", "connect", "--ip", address, "--alias", node, f"{PROJECT}_hosts", self.container(node))

    def kill(self, node):
        """Power off: nothing starts it again."""
        docker("update", "--restart=no", self.container(node))
        docker("kill", self.container(node))

    def recreate_empty(self, node):
        """A new host under the old name: container and data are gone."""
        self.compose("rm", "-f", "-s", "-v", node)
        volumes = docker("volume", "ls", "-q", "--filter", f"label=com.docker.compose.project={PROJECT}").stdout.split()
        own = [v for v in volumes if v in (f"{PROJECT}_{node}", f"{PROJECT}_{node}-state")]
        assert own
        docker("volume", "rm", *own)
        self.compose("up", "-d", "--no-deps", node)

    # --- clients ---
    def writer(self, name):
        self.writers.append(Writer(self, name, self.home))
        return self.writers[-1]

    def verify(self, writers, may_lose):
        """Each acknowledged row is on every member, once; of an asynchronous failover the end of a primary's WAL may be missing."""
        self.wait_healthy()
        leader = self.leader()
        told = {}
        for writer in writers:
            writer.stop()
        histories = {w.name: w.entries() for w in writers}
        end = self.sql(leader, "SELECT pg_current_wal_flush_lsn()")
        for node in self.data_nodes:
            if node != leader:
                wait_for(f"{node} has all", lambda n=node: self.sql(n, f"SELECT pg_last_wal_replay_lsn() >= '{end}'") == "t", 60, 0.5)
            missing, phantom = checks.lost(self, node, histories)
            assert not any(phantom.values()), f"rows on {node} that nobody wrote: {phantom}"
            assert may_lose or not any(missing.values()), f"lost writes on {node}: {missing}"
            assert not checks.holes(missing, histories), f"lost writes on {node} before others that are there: {missing}"
            told[node] = {name: int(self.sql(node, f"SELECT count(*) FROM writes WHERE writer = '{name}'")) for name in histories}
        for writer, entries in histories.items():
            results = [e["result"] for e in entries]
            told[writer] = {"tried": len(results), **{r: results.count(r) for r in ("ok", "unknown", "fail")},
                            "gap": round(checks.gap(entries), 1)}
        return told

    def close(self):
        for writer in self.writers:
            writer.stop()
        script("down")
