"""A cluster to break: the rig of tests/e2e, with a disk, a cgroup and, where asked for, a bad cable or a wrong clock for each node.

Raft, PostgreSQL and REST have addresses of their own. An observer has a host of its own that no fault touches.
"""
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "e2e")]
import history  # noqa: E402
import rig  # noqa: E402
from cgroup import Cgroup  # noqa: E402
from disk import Disk  # noqa: E402
from guard import Guard  # noqa: E402
from injections import Injections  # noqa: E402
from network import run, wait_for  # noqa: E402

OBSERVER = "172.20.0.21"
MODES = {"a": ("async", ""), "s": ("sync", "    synchronous_mode: on\n"),
         "q": ("quorum", "    synchronous_mode: quorum\n    synchronous_mode_strict: true\n")}
PG_MIB, RAFT_MIB = 640, 192
MAXIMUM_LAG = 1048576
# Clients ask standbys for writes all the time: that those refuse is not worth a line each.
QUIET = "    log_min_messages: log\n    log_min_error_statement: panic\n"
# Whoever cannot be rewound is copied anew: nobody is there to order it.
RECOPY = "  remove_data_directory_on_rewind_failure: true\n"
GUARD = "  guard: true\n"
PG_MAJOR = next((v for v in ("15", "17") if os.path.exists(f"/usr/lib/postgresql/{v}/bin/postgres")), "15")
GUARD_MODULE = os.path.join(os.path.dirname(os.path.dirname(HERE)), f"build/guard/{PG_MAJOR}/pgquorum_guard.so")
SERVER = "\netcd_server:\n  listen: '*:2379'\n"


def state_of(pid):
    """The letter of /proc/PID/stat; None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return None


class Node(rig.Node):
    def __init__(self, world, name):
        super().__init__(world, name)
        self.cgroup = Cgroup(f"chaos{world.count}-{name}")
        self.disks, self.clock = {}, None

    def make_disks(self):
        images = os.path.join(self.rig.home, "disks")
        os.makedirs(images, exist_ok=True)
        raft = [("raft", os.path.join(self.home, "raft"), RAFT_MIB)] if self.rig.etcd is None else []
        for kind, at, mib in [("pg", self.home, self.rig.pg_mib), *raft]:
            self.disks[kind] = Disk(os.path.join(images, f"{self.name}-{kind}.img"), at, mib)

    def enter(self):
        self.cgroup.enter()

    def environment(self):
        wrong = {} if self.clock is None else {"LD_PRELOAD": self.rig.binary("chaos_clock.so"), "CHAOS_CLOCK": self.clock}
        return dict(super().environment(), **wrong)

    def set_clock(self, wall_ns=0, rate_ppb=0):
        """Before the node starts, but for the wall clock. See clock_preload.c."""
        if self.clock is None:
            self.clock = os.path.join(self.rig.home, f"{self.name}.clock")
            self.rate = (rate_ppb, time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW))
        with open(self.clock, "r+b" if os.path.exists(self.clock) else "wb") as f:
            f.write(struct.pack("=qqq", wall_ns, *self.rate))

    def pid_of(self, what):
        """agent, fence, postmaster, or a child of the postmaster by its title: startup, walreceiver, checkpointer, walwriter, backend."""
        known = {"agent": self.agent_pid, "fence": self.fence_pid, "postmaster": self.postmaster_pid}
        if what in known:
            return known[what]()
        titles = {"backend": r"postgres: (?:\S+: )?postgres postgres [\d.]+\(\d+\)"}
        for pid, exe in sorted(self.processes().items()):
            if os.path.basename(exe) == "postgres" and re.match(titles.get(what, rf"postgres: (?:\S+: )?{what}"), rig.command_line(pid)[0]):
                return pid
        return None

    def power_loss(self):
        """The node is off, and its disks hold what they held at that instant and no more."""
        self.cgroup.freeze()
        copies = {kind: disk.crash_copy() for kind, disk in self.disks.items()}
        # Before it thaws: whoever ran for another moment would acknowledge what is not in the copies.
        self.cgroup.kill()
        self.cgroup.thaw()
        self.kill_node()
        for kind in reversed(copies):
            self.disks[kind].close()
        for kind, copy in copies.items():
            self.disks[kind].go_on_from(copy)
        self.rig.guard.watch(self)

    def close(self):
        for disk in reversed(list(self.disks.values())):
            disk.close()
        self.cgroup.close()

    def timeline_files(self):
        """{timeline: lines of its .history file} of what is in pg_wal."""
        found = {}
        wal = os.path.join(self.data_dir, "pg_wal")
        for file in os.listdir(wal) if os.path.isdir(wal) else ():
            match = re.fullmatch(r"([0-9A-F]{8})\.history", file)
            if match:
                with open(os.path.join(wal, file)) as f:
                    rows = [line.split(None, 2) for line in f if re.match(r"\s*\d", line)]
                found[int(match[1], 16)] = [[int(r[0]), history.lsn(r[1]), r[2].strip() if len(r) > 2 else ""] for r in rows]
        return found


class World(rig.Rig):
    node_class = Node
    on_disk = True  # it loses power

    def __init__(self, build, mode, seed, name="", links=(), clocks=False, pg_mib=PG_MIB, names=False, guarded=False, quiet=True, **settings):
        """`name`: of the run, for the seed's stream. `links`: nodes whose cable is the program link.c. `clocks`: each node reads its own. `names`:
        members know each other by names, which a server of names on the observer's host knows. `guarded`: each server loads the guard of this tree.
        `quiet`: servers' warnings and errors are not in their logs."""
        self.mode, self.seed, self.links, self.pg_mib, self.names = mode, seed, links, pg_mib, names
        self.random = random.Random(f"{name}/{mode}/{seed}")
        self.cables, self.build = {}, build
        settings.setdefault("ttl", 3)
        settings["dcs"] = MODES[mode][1] + settings.get("dcs", "")
        ours = settings.get("store", "raft") == "raft"
        settings["extra"] = (QUIET if quiet else "") + settings.get("extra", "") + RECOPY + (GUARD if guarded else "") + (SERVER if ours else "")
        super().__init__(build, apart=ours, hosts={"observer": OBSERVER}, **settings)
        run("cp", os.path.join(build, "chaos_clock.so"), self.binary("chaos_clock.so"))
        if guarded:
            self.install_guard()
        for node in self.nodes.values() if clocks else ():
            node.set_clock()
        self.recorder = history.Recorder(os.path.join(self.home, "history-run.jsonl"))
        self.log = Injections(self.recorder, seed)
        self.guard = Guard(self.recorder)
        for node in self.nodes.values():
            self.guard.watch(node)

    # --- made and taken away ---
    def write_config(self, node, **changes):
        if not node.disks:
            node.make_disks()
        if self.names:
            partners = ", ".join(f"raft.{n.name}:2380" for n in self.nodes.values() if n is not node)
            changes.setdefault("partners", partners)
        super().write_config(node, **changes)
        if self.names:
            with open(node.config) as f:
                text = f.read()
            for service, address in (("rest", node.rest_address), ("pg", node.address)):
                text = text.replace(f"  connect_address: {address}:", f"  connect_address: {service}.{node.name}:")
            with open(node.config, "w") as f:
                f.write(text)

    def install_guard(self):
        """Where PostgreSQL looks for modules, for this run alone: its mounts are its own."""
        with_guard = os.path.join(self.home, "guard")
        os.makedirs(with_guard)
        shutil.copy(GUARD_MODULE, with_guard)
        modules = run(f"/usr/lib/postgresql/{PG_MAJOR}/bin/pg_config", "--pkglibdir").stdout.strip()
        run("mount", "-t", "overlay", "-o", f"lowerdir={with_guard}:{modules}", "guard", modules)

    def make_network(self):
        super().make_network()
        for host in self.links:
            self.make_cable(host)
        if self.names:
            self.make_resolver()

    def make_resolver(self):
        """`ip netns exec` gives each host the resolv.conf that stands in /etc/netns."""
        for host in self.addresses:
            folder = f"/etc/netns/{self.namespace(host)}"
            os.makedirs(folder)
            with open(os.path.join(folder, "resolv.conf"), "w") as f:
                f.write(f"nameserver {OBSERVER}\noptions timeout:1 attempts:2\n")
        self.resolver = self.host_popen("observer", [rig.PYTHON, os.path.join(HERE, "resolver.py"), OBSERVER], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        for node in self.nodes.values():
            for service, address in (("raft", node.raft_address), ("rest", node.rest_address), ("pg", node.address)):
                self.resolver.stdin.write(f"{service}.{node.name} {address}\n")
        self.resolve("answer")

    def resolve(self, how):
        """From now on; see resolver.py. How many questions there were before."""
        self.resolver.stdin.write(how + "\n")
        self.resolver.stdin.flush()
        return int(self.resolver.stdout.readline())

    def remove_network(self):
        super().remove_network()
        for host in self.addresses if self.names else ():
            shutil.rmtree(f"/etc/netns/{self.namespace(host)}", ignore_errors=True)

    def make_cable(self, host):
        """The veth pair of the host is replaced by two TAP devices of the same names and addresses with link.c between them."""
        ns, switch, port = self.namespace(host), self.namespace("switch"), self.port(host)
        run("ip", "-n", switch, "link", "del", port)
        cable = subprocess.Popen([os.path.join(self.build, "chaos_link"), f"/run/netns/{ns}", "eth0", f"/run/netns/{switch}", port, str(self.seed)],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.children.append(cable)
        assert cable.stdout.readline() == "ready\n", f"the cable of {host} was not made"
        run("ip", "-n", switch, "link", "set", port, "master", "br0", "up")
        for one in [self.addresses[host], *self.more.get(host, [])]:
            run("ip", "-n", ns, "address", "add", f"{one}/16", "dev", "eth0")
        run("ip", "-n", ns, "link", "set", "eth0", "up")
        self.cables[host] = cable

    def weather(self, host, delay_ms=0, jitter_ms=0, loss=0.0, duplicate=0.0, reorder=0.0, rate=0):
        """Of a cable from now on; what it has carried so far: (frames, lost, duplicated, reordered)."""
        cable = self.cables[host]
        shares = " ".join(str(round(share * 1e6)) for share in (loss, duplicate, reorder))
        cable.stdin.write(f"{round(delay_ms * 1000)} {round(jitter_ms * 1000)} {shares} {rate}\n")
        cable.stdin.flush()
        return tuple(int(n) for n in cable.stdout.readline().split())

    def close(self):
        for node in self.nodes.values():
            for disk in node.disks.values():
                disk.thaw()
            node.cgroup.thaw()
        self.kill_nodes()
        for node in self.nodes.values():
            node.close()
        super().close()

    # --- who is who ---
    def stores(self):
        """{host: address} of an etcd's members; of our own group there is none."""
        return {} if self.etcd is None else {host: m.address for host, m in self.etcd.members.items()}

    def roles(self):
        """(primary, a standby, the other one): which of the standbys is drawn."""
        primary = wait_for("a leader", self.leader, 30)
        others = [n for n in self.nodes.values() if n is not primary]
        self.random.shuffle(others)
        return primary, *others

    def signal(self, node, what, sig, fault):
        """A signal to a process of the node, logged; its pid."""
        pid = node.pid_of(what)
        with self.log.act(fault, node.name, process=what, pid=pid, signal=signal.Signals(sig).name) as told:
            os.kill(pid, sig)
            if sig == signal.SIGSTOP:
                wait_for(f"{what} of {node.name} has stopped", lambda: state_of(pid) == "T", 5, 0.002)
            if sig == signal.SIGKILL:
                wait_for(f"{what} of {node.name} is gone", lambda: state_of(pid) in (None, "Z"), 5, 0.002)
            told["evidence"] = f"state {state_of(pid)}"
        return pid, told["number"]
