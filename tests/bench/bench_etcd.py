"""Three members of etcd and three witnesses of ours that serve its API, on loopback, their data on one disk: the same load by the same
client on both in turn. Both stand during the whole run; who is measured first changes with every load and every round."""
import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request

from bench_faults import bounded
from bench_figures import run

MEMBERS = 3
SECONDS = 1.5  # the slowest load has some 600 requests a second, and a p99 needs 500
FILL_SECONDS = 10
WATCHES = 1000
WATCH_SECONDS = 8  # the same at 12 ms a put
START_SECONDS_MAX = 60
ROUND_SECONDS_MAX = 300
STOP_SECONDS_MAX = 10
# (what, over, clients, where): at the leader's member, or apart: one at a member that follows, many at all members in turn.
LOADS = [(what, wire, clients, where) for what in ("put", "range") for wire in ("gateway", "grpc") for clients in (1, 64)
         for where in ("leader", "apart")]
WATCH_LOADS = [("watch", "grpc", WATCHES, where) for where in ("leader", "apart")]

WITNESS = """scope: bench
name: {name}
raft:
  data_dir: {data}
  self_addr: 127.0.0.1:{raft}
  partner_addrs: [{partners}]
  password: bench
etcd_server:
  listen: 127.0.0.1:{client}
"""


def free_ports(count):
    """Below the range from which outgoing connections get theirs."""
    found, sockets = [], []
    for port in range(21000 + os.getpid() % 5000, 32000):
        s = socket.socket()
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            s.close()
            continue
        sockets.append(s)
        found.append(port)
        if len(found) == count:
            break
    for s in sockets:
        s.close()
    return found


class Cluster:
    """Processes of ours, by pid; `ports` are those for clients."""

    def __init__(self, home, ports):
        self.home, self.processes = home, []
        self.ports, self.peer_ports = ports[:MEMBERS], ports[MEMBERS:]

    def spawn(self, argv, index):
        with open(os.path.join(self.home, f"log{index}"), "w") as log:
            self.processes.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def status(self, index):
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports[index]}/v3/maintenance/status", b"{}")
        with urllib.request.urlopen(request, timeout=2) as answer:
            return json.load(answer)

    def leader(self):
        """Index of the member that all say leads; None = there is none."""
        try:
            found = [self.status(i) for i in range(MEMBERS)]
        except (OSError, ValueError):
            return None
        said = {s.get("leader", "0") for s in found}
        ids = [s["header"]["member_id"] for s in found]
        return ids.index(said.pop()) if len(said) == 1 and next(iter(said)) in ids else None

    def wait(self):
        end = time.monotonic() + START_SECONDS_MAX
        while self.leader() is None:
            if time.monotonic() > end or any(p.poll() is not None for p in self.processes):
                raise TimeoutError(f"{type(self).__name__} has no leader: see the logs in {self.home}")
            time.sleep(0.1)

    def cpu_seconds(self):
        total = 0
        for process in self.processes:
            with open(f"/proc/{process.pid}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """MiB of each member: what counts of it."""
        found = []
        for process in self.processes:
            with open(f"/proc/{process.pid}/status") as f:
                fields = dict(line.split(":", 1) for line in f)
            found.append({key: int(fields[key].split()[0]) / 1024 for key in ("RssAnon", "VmRSS")})
        return found

    def close(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Etcd(Cluster):
    def start(self, _build):
        peers = [f"http://127.0.0.1:{port}" for port in self.peer_ports]
        for i in range(MEMBERS):
            client = f"http://127.0.0.1:{self.ports[i]}"
            self.spawn(["/usr/bin/etcd", "--name", f"e{i}", "--data-dir", os.path.join(self.home, f"e{i}"), "--listen-client-urls", client,
                        "--advertise-client-urls", client, "--listen-peer-urls", peers[i], "--initial-advertise-peer-urls", peers[i],
                        "--initial-cluster", ",".join(f"e{n}={url}" for n, url in enumerate(peers)), "--logger", "zap",
                        "--log-level", "error"], i)


class Ours(Cluster):
    def start(self, build):
        for i in range(MEMBERS):
            path = os.path.join(self.home, f"w{i}.yml")
            partners = ", ".join(f"'127.0.0.1:{port}'" for n, port in enumerate(self.peer_ports) if n != i)
            with open(path, "w") as f:
                f.write(WITNESS.format(name=f"w{i}", data=os.path.join(self.home, f"w{i}"), raft=self.peer_ports[i], partners=partners,
                                       client=self.ports[i]))
            self.spawn([os.path.join(build, "pgquorum"), "witness", path], i)


def name_of(load):
    what, wire, clients, where = load
    return f"{what} {wire} {clients} {where}"


def measure(build, cluster, load):
    """One load on one cluster, which must have the same leader before and after."""
    what, wire, clients, where = load
    seconds = {"fill": FILL_SECONDS, "watch": WATCH_SECONDS}.get(what, SECONDS)
    leader = cluster.leader()
    if leader is None:
        raise AssertionError("the members do not agree on a leader")
    ports = [cluster.ports[leader]]
    if where == "apart":
        ports = [port for port in cluster.ports if port not in ports] + ports
    before = cluster.cpu_seconds()
    found = json.loads(run(os.path.join(build, "bench_etcd"), what, wire, str(clients), str(seconds), *map(str, ports), timeout=60))
    found["cpu_us"] = 1e6 * (cluster.cpu_seconds() - before) / max(found["requests"], 1)
    if cluster.leader() != leader:
        raise AssertionError("the leader has changed under the load")
    return found


def fill(build, cluster):
    """Every key is there: a range of one that is not would be no load."""
    found = measure(build, cluster, ("fill", "grpc", 16, "leader"))
    if found["failures"] > 0:
        raise AssertionError(f"{type(cluster).__name__} did not take every key: {found['failures']} failures, {found['failure']}")


def one_round(build, clusters, number):
    entry = {name: {} for name in clusters}
    for i, load in enumerate(LOADS + WATCH_LOADS):
        names = sorted(clusters, reverse=(i + number) % 2 == 1)
        for name in names:
            try:
                entry[name][name_of(load)] = measure(build, clusters[name], load)
            except (AssertionError, subprocess.TimeoutExpired) as error:
                raise AssertionError(f"{name_of(load)} on {name}: {error}") from error
    for name, cluster in clusters.items():
        entry[name]["memory"] = cluster.memory()
    return entry


def failures_of(entry):
    return {f"{name}, {load}": f"{found['failures']}: {found['failure']}" for name in entry for load, found in entry[name].items()
            if load != "memory" and found["failures"] > 0}


def etcd(build, rounds, results):
    home = tempfile.mkdtemp(prefix="pgquorum-bench-", dir="/var/tmp")  # a disk, where /tmp may be memory
    keep = False
    try:
        with contextlib.ExitStack() as stack:
            clusters, ports = {}, free_ports(4 * MEMBERS)
            for name, kind in (("etcd", Etcd), ("ours", Ours)):
                os.mkdir(os.path.join(home, name))
                clusters[name] = kind(os.path.join(home, name), [ports.pop() for _ in range(2 * MEMBERS)])
                stack.callback(clusters[name].close)
                clusters[name].start(build)
            for cluster in clusters.values():
                cluster.wait()
                fill(build, cluster)
            for number in range(rounds):
                try:
                    with bounded(ROUND_SECONDS_MAX):
                        entry = one_round(build, clusters, number)
                    for load, what in failures_of(entry).items():
                        print(f"  requests that failed: {load}: {what}", flush=True)
                    results.add("etcd", entry)
                except Exception as error:
                    results.failed("etcd", error)
    except Exception as error:
        keep = True
        results.failed("etcd", error)
    finally:
        if not keep:
            shutil.rmtree(home, ignore_errors=True)
