"""Hosts of the document in network namespaces: three nodes, a load balancer and a client, on a bridge in a namespace of its own.

Each node has a PID namespace with an init of its own (node_init.py): killing that init is the loss of the whole node, and
orphans are reaped at once. Everything a test starts ends with the rig. Needs root.
"""
import glob
import http.client
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time

import etcd
import listener
from network import Network, make_home, remove_home, run, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
DOCUMENT = os.path.join(os.path.dirname(os.path.dirname(HERE)), "compose", "document")
NODES = ["node1", "node2", "node3"]
ADDRESS = {"node1": "172.20.0.10", "node2": "172.20.0.11", "node3": "172.20.0.12", "lb": "172.20.0.14", "client": "172.20.0.20"}
# Where a service is to be cut off alone.
RAFT_ADDRESS = {"node1": "172.20.1.10", "node2": "172.20.1.11", "node3": "172.20.1.12"}
REST_ADDRESS = {"node1": "172.20.2.10", "node2": "172.20.2.11", "node3": "172.20.2.12"}
PATRONI = os.environ.get("PATRONI", "")  # program of a real Patroni of 4.1
PATRONI_3 = os.environ.get("PATRONI_3", "")  # and of one of 3.0.2
PATRONI_DEBIAN = "/usr/bin/patroni"  # the package's, 3.0.2 in Debian 12
PYTHON = "/usr/bin/python3"
PG_BIN = os.environ.get("PG_BIN", "")  # directory of PostgreSQL's programs; empty: those that the agent finds by itself
# The program itself: what Debian has in the path is a script that looks for it, at several times its cost.
PSQL = max(glob.glob("/usr/lib/postgresql/*/bin/psql"), key=lambda path: int(path.split("/")[4]), default="psql")
POSTGRESQL = PG_BIN or os.path.dirname(PSQL)
ETCD_TIMES = {"ttl": 5, "loop_wait": 1, "retry_timeout": 2}  # as short as each store allows
TIMES = {"raft": {}, "etcd": ETCD_TIMES, "etcd3": ETCD_TIMES}
PROGRAMS = {"pgquorum", "pgquorum-fence", "postgres", "initdb", "pg_basebackup", "pg_rewind"}

CONFIG = """\
scope: postgres
namespace: /db/
name: {name}

restapi:
  listen: {rest_address}:8008
  connect_address: {rest_address}:8008
{restapi}
{store}
bootstrap:
  dcs:
    ttl: {ttl}
    loop_wait: {loop_wait}
    retry_timeout: {retry_timeout}
    maximum_lag_on_failover: 1048576
{dcs}    postgresql:
      use_pg_rewind: true
  initdb:
    - encoding: UTF8
    - data-checksums

  pg_hba:  # Add following lines to pg_hba.conf after running 'initdb'
    - host replication replicator 127.0.0.1/32 md5
    - host replication replicator 172.20.0.10/0 md5
    - host replication replicator 172.20.0.11/0 md5
    - host replication replicator 172.20.0.12/0 md5
    - host all all 0.0.0.0/0 md5
    - host all all 172.20.0.0/16 md5

  users:
    admin:
      password: admin
      options:
        - createrole
        - createdb

postgresql:
  listen: {address}:5432
  connect_address: {address}:5432
  data_dir: {home}/data
  bin_dir: {bin_dir}
  pgpass: {home}/pgpass0
  authentication:
    replication:
      username: replicator
      password: rep-pass
    superuser:
      username: postgres
      password: zalando
    rewind:  # Has no effect on postgres 10 and lower
      username: rewind_user
      password: rewind_password
  parameters:
    unix_socket_directories: '{sockets}'
{extra}
tags:
  nofailover: false
  noloadbalance: false
  clonefrom: false
  nosync: false
"""

RAFT = """\
raft:
  data_dir: {home}/raft
  self_addr: {raft_address}:2380
  partner_addrs: [{partners}]
  password: raft-secret
{raft}
"""

# No member of the group, but its client.
RAFT_CLIENT = """\
state_dir: {home}/state
raft:
  partner_addrs: [{partners}]
  password: raft-secret
{raft}
"""

WITNESS = """\
scope: postgres
namespace: /db/
name: {name}

restapi:
  listen: {rest_address}:8008

raft:
  data_dir: {home}/raft
  self_addr: {raft_address}:2380
  partner_addrs: [{partners}]
  password: raft-secret
{raft}
bootstrap:
  dcs:
    ttl: {ttl}
    loop_wait: {loop_wait}
    retry_timeout: {retry_timeout}
{extra}
"""


# Its name is none of a member's: by that a member is known that the group does not hear.
VOTER = """\
scope: postgres
namespace: /db/
name: {name}-voter

{store}
bootstrap:
  dcs:
    ttl: {ttl}
    loop_wait: {loop_wait}
    retry_timeout: {retry_timeout}

etcd_server:
  listen: {address}:2379
"""


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return [word.decode() for word in f.read().split(b"\0")]
    except OSError:
        return []


def edit(node, *changes):
    """The node's file, with each (from, to) replaced."""
    with open(node.config) as f:
        text = f.read()
    for was, to in changes:
        assert was in text, was
        text = text.replace(was, to)
    with open(node.config, "w") as f:
        f.write(text)


STANDBYS = ("Replica", "Sync Standby", "Quorum Standby")


class Node:
    def __init__(self, rig, name):
        self.rig, self.name, self.address = rig, name, ADDRESS[name]
        self.raft_address = RAFT_ADDRESS[name] if rig.apart else self.address
        self.rest_address = REST_ADDRESS[name] if rig.apart else self.address
        self.home = os.path.join(rig.home, name)
        self.data_dir = os.path.join(self.home, "data" if rig.etcd is None else "disk/patroni")
        self.patroni = name in rig.patroni
        self.witness = name in rig.witnesses
        self.config = os.path.join(rig.home, f"{name}.yml")
        self.log = os.path.join(rig.home, f"{name}.log")
        # Beside a Patroni, where our own group is the store: a witness serves this node's part of it.
        self.voter = os.path.join(rig.home, f"{name}-voter.yml") if self.patroni and rig.etcd is None else None
        self.init = None

    def enter(self):
        """Called in the process that becomes the node's init, before it is that."""

    def boot(self):
        """The node's init; its namespaces end with it."""
        own = []
        if self.rig.etcd is not None:  # where the document has its files, and where the agent's state is by default
            own = [f"{self.home}/disk:/data", f"{self.home}/tmp:/tmp", f"{self.home}/user:{pwd.getpwnam('postgres').pw_dir}"]
        self.init = subprocess.Popen(
            ["ip", "netns", "exec", self.rig.namespace(self.name), "unshare", "--pid", "--fork", "--kill-child", "--mount-proc",
             PYTHON, os.path.join(HERE, "node_init.py"), *own], stdin=subprocess.PIPE, text=True,
            preexec_fn=self.enter)

    def order(self, argv, log):
        if self.init is None or self.init.poll() is not None:
            self.boot()
        self.init.stdin.write(json.dumps({"argv": argv, "log": log, "cwd": self.home, "env": self.environment()}) + "\n")
        self.init.stdin.flush()

    def start_agent(self):
        self.start_voter()
        program = self.rig.program if self.patroni else self.rig.binary("pgquorum")
        self.order([program, *(["witness"] if self.witness else []), self.config], self.log)

    def start_voter(self):
        if self.voter is not None and self.voter_pid() is None:
            self.order([self.rig.binary("pgquorum"), "witness", self.voter], self.voter + ".log")

    def environment(self):
        path = {"PATH": POSTGRESQL + ":/usr/local/bin:/usr/bin:/bin"} if self.patroni else {}
        return dict(path, **self.rig.env)

    def processes(self):
        """Host pids of what the node's init has started, by the node's network namespace: {pid: exe}."""
        own = os.stat("/run/netns/" + self.rig.namespace(self.name))
        found = {}
        for entry in glob.glob("/proc/[0-9]*"):
            try:
                net, exe = os.stat(entry + "/ns/net"), os.readlink(entry + "/exe").removesuffix(" (deleted)")
            except OSError:
                continue
            if (net.st_dev, net.st_ino) == (own.st_dev, own.st_ino) and os.path.basename(exe) in PROGRAMS:
                found[int(entry[6:])] = exe
            elif self.patroni and (net.st_dev, net.st_ino) == (own.st_dev, own.st_ino) and self.config in command_line(entry[6:]):
                found[int(entry[6:])] = "patroni"
        return found

    def agent_pid(self):
        for pid, exe in self.processes().items():
            if exe == "patroni" or (os.path.basename(exe) == "pgquorum" and self.config in command_line(pid)[1:3]):
                return pid
        return None

    def voter_pid(self):
        return next((pid for pid, exe in self.processes().items() if exe != "patroni" and self.voter in command_line(pid)), None)

    def fence_pid(self):
        return next((pid for pid, exe in self.processes().items() if os.path.basename(exe) == "pgquorum-fence"), None)

    def postmaster_pid(self):
        """The fence has the backends of one that is gone, too, until they have ended; a young one still bears its parent's command line."""
        fence = self.fence_pid()
        for pid, exe in self.processes().items():
            if os.path.basename(exe) != "postgres":
                continue
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    if f.read().startswith(b"postgres: "):
                        continue
                with open(f"/proc/{pid}/stat") as f:
                    if int(f.read().rsplit(")", 1)[1].split()[1]) != fence:
                        continue
                with open(f"/proc/{pid}/status") as f:
                    own = next(line.split()[-1] for line in f if line.startswith("NSpid:"))
                with open(os.path.join(self.data_dir, "postmaster.pid")) as f:
                    if f.readline().strip() == own:
                        return pid
            except OSError:
                continue
        return None

    def kill_agent(self, sig=signal.SIGKILL):
        os.kill(self.agent_pid(), sig)

    def kill_postmaster(self):
        os.kill(self.postmaster_pid(), signal.SIGKILL)

    def kill_node(self):
        """Power off: every process at once."""
        if self.init is not None:
            self.init.kill()  # --kill-child takes the init, and with it the whole PID namespace
            self.init.wait()
            self.init = None
        wait_for(f"{self.name} is dead", lambda: not self.processes(), 10)

    def isolate(self):
        self.rig.isolate(self.name)

    def cut_from_etcd(self):
        """The other nodes and the clients still reach it."""
        self.rig.cut(self.name, list(self.rig.etcd.members))

    def stop_for(self, pid, seconds):
        """The process hangs for a while."""
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(pid, signal.SIGCONT)

    def log_text(self):
        with open(self.log) as f:
            return f.read()


class Rig(Network):
    node_class = Node
    on_disk = False  # whatever make_home could do

    def __init__(self, build, ttl=3, loop_wait=1, retry_timeout=1, extra="", fast_haproxy=True, env=None, fence=None,
                 store="raft", etcd_members=1, etcd_tls=False, etcd_user=False, patroni=(), witnesses=(), raft="", program=PATRONI, ours=False, api="etcd3",
                 apart=False, dcs="", hosts=None, restapi="", check="", clients=()):
        """`fence`: another pgquorum-fence than the build's. `store`: raft, or, with a real etcd and the document's own patroni.yml,
        etcd (v2) or etcd3. `patroni`: nodes that run a real Patroni instead of ours. `witnesses`: nodes that only vote.
        `raft`: more lines of that section, with {home} for the node's directory. `program`: which Patroni. `ours`: the store is no etcd, but
        witnesses of ours in its place. `api`: of Patroni's members beside ours on `raft`. `apart`: Raft and REST have addresses of
        their own. `dcs`: more lines of bootstrap.dcs. `hosts`: {name: address} of more hosts. `restapi`: more lines of that section, with
        {home}, and sections behind it. `check`: more words of HAProxy's health checks. `clients`: nodes that are clients of the group,
        and no members."""
        self.home, self.apart = make_home("e2e", self.on_disk), apart
        member = listener.Witness if ours else etcd.Member
        self.etcd = None if store == "raft" else etcd.Etcd(self, etcd_members, store, member, tls=etcd_tls, user=etcd_user)
        stores = {} if self.etcd is None else {host: m.address for host, m in self.etcd.members.items()}
        super().__init__(dict(ADDRESS, **stores, **(hosts or {})),
                         {name: [RAFT_ADDRESS[name], REST_ADDRESS[name]] for name in NODES} if apart else None)
        self.store, self.patroni, self.witnesses, self.clients = store, patroni, witnesses, clients
        self.program, self.ours, self.api = program, ours, api
        self.env = env or {}
        self.haproxy = None
        self.remotes = []  # see remote.py
        self.broken = False  # no other test is to go on with it
        os.mkdir(os.path.join(self.home, "bin"))
        shutil.copy(os.path.join(build, "pgquorum"), self.binary("pgquorum"))
        shutil.copy(fence or os.path.join(build, "pgquorum-fence"), self.binary("pgquorum-fence"))
        self.settings = {"ttl": ttl, "loop_wait": loop_wait, "retry_timeout": retry_timeout, "extra": extra, "raft": raft, "dcs": dcs,
                         "restapi": restapi}
        self.fast_haproxy, self.check = fast_haproxy, check
        self.nodes = {name: self.node_class(self, name) for name in NODES}
        try:
            self.make_network()
            if self.etcd is not None:
                self.etcd.start()
            for node in self.nodes.values():
                self.write_config(node)
        except BaseException:
            self.close()
            raise

    # --- nodes ---
    def binary(self, program):
        return os.path.join(self.home, "bin", program)

    def write_document(self, node):
        """The document's patroni.yml: name and addresses are the node's, the times the test's."""
        with open(os.path.join(DOCUMENT, "patroni.yml")) as f:
            text = f.read()
        changes = [("name: node1", f"name: {node.name}")]
        changes += [(f"172.20.0.10:{port}", f"{node.address}:{port}") for port in (8008, 5432)]
        changes += [(f"{key}: {was}\n", f"{key}: {self.settings[key]}\n") for key, was in (("ttl", 30), ("loop_wait", 10), ("retry_timeout", 10))]
        changes += [("    maximum_lag_on_failover: ", self.settings["dcs"] + "    maximum_lag_on_failover: ")]
        if node.patroni:
            # pg_rewind (13 to 17) cannot read a socket in the data directory of its source. Ours keep it outside by themselves.
            changes += [("unix_socket_directories: '.'", "unix_socket_directories: '/tmp'")]
        if self.settings["restapi"]:
            changes += [(f"  connect_address: {node.address}:8008\n",
                         f"  connect_address: {node.address}:8008\n" + self.settings["restapi"].format(home=node.home))]
        if self.etcd.tls:
            files = f"  protocol: https\n  cacert: {self.home}/etcd-ca.crt\n  cert: {self.home}/client.crt\n  key: {self.home}/client.key\n"
            changes += [("\netcd:\n", "\netcd:\n" + files)]
        if self.etcd.user:
            changes += [("\netcd:\n", f"\netcd:\n  username: {etcd.USER}\n  password: {etcd.PASSWORD}\n")]
        if self.ours:
            hosts = ",".join(m.address + ":2379" for m in self.etcd.members.values())
            changes += [("  host: 172.20.0.13:2379 #IP do NODE ETCD1", f"  hosts: {hosts}")]
        changes += [("\netcd:\n", f"\n{self.store}:\n"), ("\n\ntags:", f"\n{self.settings['extra']}\ntags:")]
        for was, to in changes:
            assert was in text, was
            text = text.replace(was, to)
        with open(node.config, "w") as f:
            f.write(text)
        for path, mode in (("disk", 0o755), ("disk/patroni", 0o700), ("tmp", 0o1777), ("user", 0o700)):
            os.makedirs(os.path.join(node.home, path), exist_ok=True)
            os.chmod(os.path.join(node.home, path), mode)
            shutil.chown(os.path.join(node.home, path), "postgres", "postgres")

    def write_config(self, node, **changes):
        os.makedirs(node.home, mode=0o700, exist_ok=True)
        shutil.chown(node.home, "postgres", "postgres")
        if self.etcd is not None:
            self.write_document(node)
            return
        partners = ", ".join(f"{n.raft_address}:2380" for n in self.nodes.values() if n is not node and n.name not in self.clients)
        values = dict(self.settings, name=node.name, address=node.address, raft_address=node.raft_address, rest_address=node.rest_address,
                      home=node.home, partners=partners, bin_dir=PG_BIN)
        for section in ("raft", "restapi"):
            values[section] = values[section].format(home=node.home)
        values.update(changes)
        values.update(store=(RAFT_CLIENT if node.name in self.clients else RAFT).format(**values), sockets=".")
        if node.voter is not None:
            with open(node.voter, "w") as f:
                f.write(VOTER.format(**values))
            hosts = ",".join(n.address + ":2379" for n in self.nodes.values())
            values.update(store=f"{self.api}:\n  hosts: {hosts}\n", extra="", sockets=node.home)
        with open(node.config, "w") as f:
            f.write((WITNESS if node.witness else CONFIG).format(**values))
        os.chmod(node.config, 0o644)

    def start_all(self):
        for node in self.nodes.values():
            node.start_agent()

    def settle(self):
        """All members healthy, and HAProxy, whatever there was before."""
        self.heal()
        for node in self.nodes.values():
            if node.agent_pid() is None:
                node.start_agent()
        if self.haproxy is None:
            self.haproxy = self.start_haproxy()
        count = len(self.nodes) - len(self.witnesses)
        self.wait_healthy(count)

        def all_stream():
            leader = self.leader()  # it may change, and be nobody for a moment
            return leader is not None and all(self.streams(n) for n in self.nodes.values() if n is not leader and not n.witness)

        wait_for("all stream from the leader", all_stream, 60, 0.2)
        self.wait_healthy(count)

    def ctl(self, *args, host="client", check=True, timeout=30, stdin=None):
        file = next((node.config for node in self.nodes.values() if node.voter is None), None)
        argv = ["ip", "netns", "exec", self.namespace(host), self.binary("pgquorum"), "-c", file, *args]
        return subprocess.run(argv, check=check, capture_output=True, text=True, timeout=timeout, input=stdin or "")

    def ctl_at(self, node, *args):
        """With the file of `node`: the first in it is itself."""
        argv = ["ip", "netns", "exec", self.namespace("client"), self.binary("pgquorum"), "-c", node.config, *args]
        return subprocess.run(argv, capture_output=True, text=True, timeout=240, input="")

    def recover(self, node, name="postgres"):
        """As an operator would, on that node; `name` of the cluster is what is typed."""
        argv = ["ip", "netns", "exec", self.namespace(node.name), "runuser", "-u", "postgres", "--", self.binary("pgquorum"), "-c", node.config,
                "raft", "recover"]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, input=name + "\n")

    def patronictl(self, *args, timeout=60, stdin=""):
        """Of the Patroni that is used, told what its first node has in its file."""
        file = next(node.config for node in self.nodes.values() if node.patroni)
        argv = ["ip", "netns", "exec", self.namespace("client"), self.program + "ctl", "-c", file, *args]
        return subprocess.run(argv, capture_output=True, text=True, timeout=timeout, input=stdin)

    def tells_all(self):
        """A Patroni of 3.0.2 has neither positions in its lists nor that a member streams."""
        return self.program == PATRONI

    def keys(self):
        """The store as clients of etcd have it."""
        return self.etcd if self.etcd is not None else etcd.Served(self, self.nodes, self.api)

    def members(self):
        """name -> row of `list`; {} while there is no answer."""
        answer = self.ctl("list", "-f", "json", check=False)
        try:
            return {row["Member"]: row for row in json.loads(answer.stdout)}
        except (ValueError, KeyError):
            return {}

    def leader(self):
        return next((self.nodes[name] for name, row in self.members().items() if row.get("Role") == "Leader"), None)

    def raft_leader(self):
        """Name of the node that leads the Raft group, or None."""
        answer = self.ctl("raft", "status", "-f", "json", check=False)
        try:
            return next((row["Member"] for row in json.loads(answer.stdout) if row["Role"] == "Leader"), None)
        except (ValueError, KeyError):
            return None

    def raft_members(self):
        """name -> row of `raft status`; {} while there is no answer."""
        answer = self.ctl("raft", "status", "-f", "json", check=False)
        try:
            return {row["Member"]: row for row in json.loads(answer.stdout)}
        except (ValueError, KeyError):
            return {}

    def healthy(self, count=3):
        rows = self.members()
        leaders = [r for r in rows.values() if r.get("Role") == "Leader" and r.get("State") == "running"]
        told = ("running", "streaming") if self.patroni and not self.tells_all() else ("streaming",)
        streaming = [r for r in rows.values() if r.get("Role") in STANDBYS and r.get("State") in told]
        return len(leaders) == 1 and len(streaming) == count - 1 and len({r.get("TL") for r in leaders + streaming}) == 1

    def wait_healthy(self, count=3, timeout=60):
        try:
            wait_for(f"{count} healthy members", lambda: self.healthy(count), timeout, 0.2)
        except TimeoutError:
            self.show()
            raise

    def streams(self, node):
        """By PostgreSQL itself: the record of a member that was killed stays for a ttl, and says that all is well."""
        try:
            return self.sql(node, "SELECT status FROM pg_stat_wal_receiver") == "streaming"
        except subprocess.SubprocessError:
            return False

    def wait_streaming(self, node, timeout=60):
        wait_for(f"{node.name} streams", lambda: self.streams(node), timeout)
        self.wait_healthy(timeout=timeout)

    def replicas(self):
        leader = self.leader()
        return [node for node in self.nodes.values() if node is not leader]

    def show(self):
        print(self.ctl("list", check=False).stdout)
        for node in self.nodes.values():
            for log in [node.log] + ([node.voter + ".log"] if node.voter else []):
                if os.path.exists(log):
                    print(f"--- {log}")
                    with open(log) as f:
                        print("".join(f.readlines()[-40:]))

    # --- clients ---
    def start_haproxy(self):
        with open(os.path.join(DOCUMENT, "haproxy.cfg")) as f:
            text = f.read()
        if self.fast_haproxy:
            text = text.replace("inter 3s fall 3 rise 2", "inter 500ms fall 2 rise 1")
        for node in self.nodes.values() if self.apart else ():
            text = text.replace(f"{node.address}:5432 maxconn 100 check", f"{node.address}:5432 maxconn 100 check addr {node.rest_address}")
        text = text.replace("check port 8008", f"check port 8008 {self.check}")
        path = os.path.join(self.home, "haproxy.cfg")
        with open(path, "w") as f:
            f.write(text)
        log = open(os.path.join(self.home, "haproxy.log"), "w")
        return self.host_popen("lb", ["/usr/sbin/haproxy", "-db", "-f", path], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def haproxy_states(self):
        """UP and DOWN of the three servers, sorted, from the statistics page."""
        _, text = self.request("client", ADDRESS["lb"], "GET", "/;csv", port=7000)
        rows = [line.split(",") for line in text.splitlines() if line.startswith("postgres,postgresql_")]
        return sorted(row[17].split()[0] for row in rows)

    def sql(self, node, text, user="postgres", password="zalando", database="postgres", timeout=10):
        url = f"postgres://{user}:{password}@{node.address}:5432/{database}?connect_timeout=3"
        answer = subprocess.run(["ip", "netns", "exec", self.namespace("client"), PSQL, "-X", "-A", "-t", "-c", text, url],
                                capture_output=True, text=True, timeout=timeout, check=True, stdin=subprocess.DEVNULL)
        return answer.stdout.strip()

    def sql_inside(self, node, text):
        """As sql, from the node itself: it may be cut off."""
        url = f"postgres://postgres:zalando@{node.address}:5432/postgres?connect_timeout=3"
        answer = subprocess.run(["ip", "netns", "exec", self.namespace(node.name), PSQL, "-X", "-A", "-t", "-c", text, url],
                                capture_output=True, text=True, timeout=10, check=True, stdin=subprocess.DEVNULL)
        return answer.stdout.strip()

    def writer(self, name, hosts, port=5432, read_write=True, every_ms=10, host="client"):
        """A client, on `host`, that writes unique ids and notes what became of each; see writer.py."""
        out = os.path.join(self.home, f"writer-{name}.jsonl")
        argv = [PYTHON, os.path.join(HERE, "writer.py"), name, hosts, str(port), "read-write" if read_write else "any", out, str(every_ms)]
        child = self.host_popen(host, argv, stdin=subprocess.DEVNULL)
        child.out, child.name = out, name
        return child

    def http(self, address, path, host="client", timeout=2):
        """Status and body of what REST answers; (None, "") without an answer."""
        try:
            status, body = self.request(host, address, "GET", path, timeout=timeout)
        except (OSError, http.client.HTTPException):
            return None, ""
        return status, body.strip()

    def http_status(self, address, path, host="client", timeout=2):
        return self.http(address, path, host, timeout)[0]

    def kill_nodes(self):
        self.end_children()
        for node in self.nodes.values():
            try:
                node.kill_node()
            except TimeoutError as error:
                print(error, file=sys.stderr)
        for remote in self.remotes:
            try:
                remote.end()
            except subprocess.SubprocessError as error:
                print(error, file=sys.stderr)

    def close(self):
        self.kill_nodes()
        self.remove_network()
        remove_home(self.home)


def borrowed(r, request):
    """For fixtures: a rig that more than one test uses. What a test changes in it, it takes back; what has failed is not used again."""
    r.settle()
    yield r
    if getattr(request.node, "failed", False):
        r.broken = True
        r.show()
