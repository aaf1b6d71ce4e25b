"""What can be done to a cluster. Every function writes to the log of injections, and looks whether it happened.

Cuts are rules on the bridge: established connections hang, no end hears of it. A rule counts the packets that it drops.
"""
import contextlib
import json
import os
import signal
import subprocess
import threading
import time

import history
from network import run, wait_for
from world import state_of

SERVICES = {"raft": "raft_address", "rest": "rest_address", "pg": "address"}
SEEN_WITHIN = 3.0  # seconds until a cut has dropped its first packet: members talk all the time


def dropped(world, mark):
    """Packets that the rules with this mark have dropped."""
    answer = run("ip", "netns", "exec", world.namespace("switch"), "nft", "-j", "list", "table", "bridge", "cut")
    total = 0
    for row in json.loads(answer.stdout)["nftables"]:
        rule = row.get("rule", {})
        if rule.get("comment") == mark:
            total += sum(e["counter"]["packets"] for e in rule["expr"] if "counter" in e)
    return total


def rules(world, fault, conditions, node=None, verdict="drop", seen=True, **parameters):
    """Adds a rule for each condition; returns the number of the injection. `seen`: wait for the first packet."""
    with world.log.act(fault, node, rules=list(conditions), **parameters) as told:
        mark = f"i{told['number']}"
        world.nft(*[f'add rule bridge cut links {c} counter {verdict} comment "{mark}"' for c in conditions])
        if seen:
            wait_for(f"{fault}: a packet that was dropped", lambda: dropped(world, mark), SEEN_WITHIN, 0.05)
            told["evidence"] = f"{dropped(world, mark)} packets dropped"
    return told["number"]


def way(world, source, target):
    return f"iifname {world.port(source)} oifname {world.port(target)}"


def both(world, a, b):
    return [way(world, a, b), way(world, b, a)]


def cut(world, fault, pairs, **parameters):
    """These pairs of hosts, both ways."""
    return rules(world, fault, [c for a, b in pairs for c in both(world, a, b)], cut=[list(p) for p in pairs], **parameters)


def cut_way(world, fault, ways):
    """(source, target): what the one sends does not reach the other."""
    return rules(world, fault, [way(world, a, b) for a, b in ways], one_way=[list(w) for w in ways])


def cut_service(world, fault, pairs, service):
    """One service between two nodes, both ways, whoever of them connects."""
    conditions = []
    for a, b in pairs:
        for here, there in ((a, b), (b, a)):
            address = getattr(world.nodes[there], SERVICES[service])
            conditions += [f"{way(world, here, there)} ip daddr {address}", f"{way(world, there, here)} ip saddr {address}"]
    if service == "pg":  # its address is also the one that a node's own REST requests come from
        port = 5432
        conditions = [f"{c} tcp {'dport' if 'daddr' in c else 'sport'} {port}" for c in conditions]
    return rules(world, fault, conditions, service=service, cut=[list(p) for p in pairs])


def lose(world, fault, percent, hosts):
    """A share of all packets of these hosts; nft has no seed."""
    conditions = [f"iifname {world.port(h)} numgen random mod 100 < {percent}" for h in hosts]
    return rules(world, fault, conditions, percent=percent, hosts=list(hosts))


def rejected(world, node):
    """Packets that the rules of `reject` have answered with a reset."""
    answer = run("ip", "netns", "exec", world.namespace(node.name), "nft", "-j", "list", "table", "inet", "chaos")
    rows = [row["rule"] for row in json.loads(answer.stdout)["nftables"] if "rule" in row]
    return sum(e["counter"]["packets"] for rule in rows for e in rule["expr"] if "counter" in e)


def reject(world, fault, node, port):
    """Connections to that port, of others to the node and of the node to others, are reset, also those that are open: the easy case."""
    with world.log.act(fault, node.name, port=port) as told:
        lines = ["add table inet chaos"]
        for hook in ("input", "output"):
            lines += [f"add chain inet chaos {hook} {{ type filter hook {hook} priority 0 ; }}",
                      f"add rule inet chaos {hook} tcp dport {port} counter reject with tcp reset"]
        run("ip", "netns", "exec", world.namespace(node.name), "nft", "; ".join(lines))
        wait_for(f"{fault}: a connection that was reset", lambda: rejected(world, node), SEEN_WITHIN, 0.05)
        told["evidence"] = f"{rejected(world, node)} packets reset"
    return told["number"]


def heal(world, number, fault):
    """All links are whole again."""
    with world.log.act(fault, heals=number):
        world.heal()
        for node in world.nodes.values():
            run("ip", "netns", "exec", world.namespace(node.name), "nft", "add table inet chaos; delete table inet chaos")
            run("ip", "-n", world.namespace("switch"), "link", "set", world.port(node.name), "up")


class Flap(threading.Thread):
    """The link of a host goes down and up, each for as long as is drawn."""

    def __init__(self, world, fault, host, shortest, longest):
        super().__init__(daemon=True)
        self.world, self.fault, self.host, self.bounds, self.stopped = world, fault, host, (shortest, longest), threading.Event()
        self.turns = 0

    def set(self, how):
        run("ip", "-n", self.world.namespace("switch"), "link", "set", self.world.port(self.host), how)

    def run(self):
        with self.world.log.act(self.fault, self.host, periods=list(self.bounds)) as told:
            self.number = told["number"]
            while not self.stopped.wait(self.world.random.uniform(*self.bounds)):
                self.turns += 1
                self.set("down" if self.turns % 2 else "up")
            self.set("up")
            told["evidence"] = self.turns

    def stop(self):
        self.stopped.set()
        self.join()


def freeze(world, node, fault):
    """Every process of the node, its fence too; the clocks go on."""
    with world.log.act(fault, node.name, processes=len(node.cgroup.pids())) as told:
        node.cgroup.freeze()
        told["evidence"] = node.cgroup.events()
    return told["number"]


def thaw(world, node, number, fault):
    with world.log.act(fault, node.name, heals=number):
        node.cgroup.thaw()
    return history.now()


def kill_node(world, node, fault):
    with world.log.act(fault, node.name) as told:
        node.kill_node()
        told["evidence"] = "no process left"
    return told["number"]


def power_loss(world, node, fault):
    with world.log.act(fault, node.name) as told:
        node.power_loss()
        told["evidence"] = "gone, and back to what its disks held"
    return told["number"]


def start(world, node, number, fault):
    with world.log.act(fault, node.name, heals=number):
        node.start_agent()


def go_on(world, node, pid, number, fault):
    """SIGCONT for whom `World.signal` has stopped; false: it is gone."""
    with world.log.act(fault, node.name, pid=pid, heals=number):
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            return False
    return True


def fill(world, node, kind, fault):
    disk = node.disks[kind]
    with world.log.act(fault, node.name, disk=kind) as told:
        left = disk.fill()
        told["evidence"] = f"{left} bytes free" if left < 4096 else ""
    return told["number"]


def empty(world, node, kind, number, fault):
    with world.log.act(fault, node.name, disk=kind, heals=number):
        node.disks[kind].empty()


def stall(world, node, kind, fault):
    """Writers of that file system wait, uninterruptibly."""
    with world.log.act(fault, node.name, disk=kind):
        node.disks[kind].freeze()
    return world.log.number


def unstall(world, node, kind, number, fault):
    with world.log.act(fault, node.name, disk=kind, heals=number):
        node.disks[kind].thaw()


@contextlib.contextmanager
def traced(world, node, what, fault, expression, syscalls):
    """System calls of a process, and of all its threads, meet what strace's inject expression says, for as long as the block runs."""
    pid = node.pid_of(what)
    log = os.path.join(world.home, f"strace-{world.log.number}.txt")
    with world.log.act(fault, node.name, process=what, pid=pid, inject=expression) as told:
        child = subprocess.Popen(["strace", "-f", "-qq", "-o", log, "-p", str(pid), "-e", f"trace={syscalls}", "-e", f"inject={expression}"],
                                 stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        world.children.append(child)

        def attached():
            with open(f"/proc/{pid}/status") as f:
                return f"TracerPid:\t{child.pid}\n" in f.read()
        try:
            wait_for("strace is attached", attached, 5, 0.02)
            told["log"] = log
            yield told
            with open(log) as f:
                told["evidence"] = f.read().count("(INJECTED)")
        finally:
            if child.poll() is None:
                child.terminate()
            child.wait()


def sleep_until(at):
    time.sleep(max(0.0, at - time.monotonic()))


def gone(pid):
    return state_of(pid) in (None, "Z")


@contextlib.contextmanager
def starved(world, node, fault, share):
    """The node's agent gets that share of one processor, by the cpu cgroup, for as long as the block runs."""
    pid = node.pid_of("agent")
    path = f"/sys/fs/cgroup/cpu/pgquorum-{node.name}.{os.environ.get('TEST_SCRATCH', '0')}-{os.getpid()}"
    os.mkdir(path)

    def write(file, text):
        with open(os.path.join(path, file), "w") as f:
            f.write(text)
    try:
        with world.log.act(fault, node.name, share=share) as told:
            write("cpu.cfs_period_us", "100000")
            write("cpu.cfs_quota_us", str(int(100000 * share)))
            write("cgroup.procs", str(pid))
            yield
            with open(os.path.join(path, "cpu.stat")) as f:
                told["evidence"] = f.read().split("\n")[1] + f", pid {pid}"
        with world.log.act(fault, node.name, heals=told["number"]):
            write("cpu.cfs_quota_us", "-1")
    finally:
        with open("/sys/fs/cgroup/cpu/cgroup.procs", "w") as f:
            if not gone(pid):
                f.write(str(pid))
        os.rmdir(path)
