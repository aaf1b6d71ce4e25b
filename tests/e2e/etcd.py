"""The document's etcd on node4, and, if asked for, two more members of it on hosts of their own."""
import json
import os
import signal
import subprocess
import time

import certificates

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOCUMENT = os.path.join(TREE, "compose", "document")
HOSTS = {"node4": "172.20.0.13", "etcd2": "172.20.0.15", "etcd3": "172.20.0.16"}
BASE = "/db/postgres/"
USER, PASSWORD = "store", "store-secret"  # of a store that asks for them
AUTHENTICATION = ("user add root:root-secret", "user grant-role root root", f"user add {USER}:{PASSWORD}", "role add cluster",
                  f"role grant-permission cluster --prefix=true readwrite {BASE}", f"user grant-role {USER} cluster", "auth enable")


def default_file():
    """The document's /etc/default/etcd as a dictionary."""
    with open(os.path.join(DOCUMENT, "etcd.default")) as f:
        pairs = [line.strip().split("=", 1) for line in f if "=" in line]
    return {key: value.strip('"') for key, value in pairs}


class Member:
    users_by_command = True  # and until then nobody has to say who he is

    def __init__(self, etcd, host):
        self.etcd, self.host, self.address = etcd, host, HOSTS[host]
        self.name = "default" if host == "node4" else host
        self.data, self.log = os.path.join(etcd.rig.home, host), os.path.join(etcd.rig.home, f"{host}.log")
        self.process = None

    def environment(self):
        env = {key: value.replace(HOSTS["node4"], self.address) for key, value in default_file().items()}
        env["ETCD_INITIAL_CLUSTER"] = ",".join(f"{m.name}=http://{m.address}:2380" for m in self.etcd.members.values())
        # v2 is off by default since etcd 3.4, which also refuses to listen on localhost and 127.0.0.1 where they are one address.
        env["ETCD_LISTEN_CLIENT_URLS"] = env["ETCD_LISTEN_CLIENT_URLS"].replace("http://localhost:2379,", "")
        env.update(ETCD_NAME=self.name, ETCD_DATA_DIR=self.data, ETCD_ENABLE_V2="true")
        del env["ETCD_VERSION"]  # not one of etcd's
        if self.etcd.tls:
            for key in ("ETCD_LISTEN_CLIENT_URLS", "ETCD_ADVERTISE_CLIENT_URLS"):
                env[key] = env[key].replace("http:", "https:")
            home = self.etcd.rig.home
            env.update(ETCD_CERT_FILE=f"{home}/etcd.crt", ETCD_KEY_FILE=f"{home}/etcd.key", ETCD_TRUSTED_CA_FILE=f"{home}/etcd-ca.crt")
            if not self.etcd.user:  # the gateway takes no certificate that bears a name where users have passwords
                env.update(ETCD_CLIENT_CERT_AUTH="true")
        return dict(os.environ, **env)

    def start(self):
        with open(self.log, "a") as log:
            self.process = self.etcd.rig.host_popen(self.host, ["/usr/bin/etcd"], env=self.environment(), stdin=subprocess.DEVNULL,
                                                    stdout=log, stderr=log)

    def kill(self, sig=signal.SIGKILL):
        self.process.send_signal(sig)
        if sig == signal.SIGKILL:
            self.process.wait()


class Served:
    """Whoever serves it: `members` have addresses. `dialect`: where the cluster's keys are, "etcd" (v2) or "etcd3"."""

    tls = user = False

    def __init__(self, rig, members, dialect):
        self.rig, self.members, self.dialect = rig, members, dialect

    def wait_served(self, timeout=30):
        """By each of them: `--cluster` would ask only those that have told their client URLs."""
        end = time.monotonic() + timeout
        while self.ctl("endpoint", "health", api=3, check=False).returncode != 0:
            if time.monotonic() > end:
                raise TimeoutError(f"etcd is not healthy within {timeout} s")
            time.sleep(0.1)

    def ctl(self, *args, api=None, check=True, timeout=15, endpoints=None):
        """etcdctl on the client's host, told of all members."""
        api = api or (3 if self.dialect == "etcd3" else 2)
        urls = ",".join(f"http{'s' if self.tls else ''}://{m.address}:2379" for m in endpoints or self.members.values())
        argv = ["ip", "netns", "exec", self.rig.namespace("client"), "/usr/bin/etcdctl", "--endpoints", urls]
        if self.tls:
            names = ("cacert", "cert", "key") if api == 3 else ("ca-file", "cert-file", "key-file")
            argv += [f"--{name}={self.rig.home}/{file}" for name, file in zip(names, ("etcd-ca.crt", "client.crt", "client.key"))]
        if self.user:
            argv.append(f"--{'user' if api == 3 else 'username'}={USER}:{PASSWORD}")
        argv += args
        return subprocess.run(argv, check=check, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL,
                              env=dict(os.environ, ETCDCTL_API=str(api)))

    def get(self, key):
        """Value of <namespace>/<scope>/key; "" = it is not there."""
        args = ["get", "--print-value-only", BASE + key] if self.dialect == "etcd3" else ["get", BASE + key]
        return self.ctl(*args, check=False).stdout.strip()

    def remove_leader(self, check=True):
        return self.ctl("del" if self.dialect == "etcd3" else "rm", BASE + "leader", check=check)

    def wipe(self):
        """Everything below the base path is gone (as `etcdctl del --prefix` or `rm -r` does it)."""
        if self.dialect == "etcd3":
            self.ctl("del", "--prefix", BASE)
        else:
            self.ctl("rm", "-r", BASE)

    def status(self):
        """{member: its own status} of those that answer."""
        rows = json.loads(self.ctl("endpoint", "status", "-w", "json", "--command-timeout", "1s", api=3, check=False).stdout or "[]")
        return {m: row["Status"] for row in rows for m in self.members.values() if m.address in row["Endpoint"]}

    def healthy(self):
        """All answer, and agree who leads."""
        status = self.status()
        return len(status) == len(self.members) and len({s.get("leader", 0) for s in status.values()} - {0}) == 1

    def leader(self):
        """The member of etcd that leads it: one that was cut off may go on saying that it does, in an older term."""
        status = self.status()
        told = max((s for s in status.values() if s.get("leader", 0) != 0), key=lambda s: s["raftTerm"], default={"leader": 0})
        return next((m for m, s in status.items() if s["header"]["member_id"] == told["leader"]), None)

    def move_leader(self):
        leader = self.leader()
        to = next(s["header"]["member_id"] for m, s in self.status().items() if m is not leader)
        self.ctl("move-leader", f"{to:x}", api=3, endpoints=[leader])

    def leader_key(self):
        """The leader key as v3 has it; {} = it is not there."""
        kvs = json.loads(self.ctl("get", BASE + "leader", "-w", "json", api=3).stdout).get("kvs", [])
        return kvs[0] if kvs else {}

    def leader_ttl(self):
        lease = self.leader_key().get("lease", 0)
        return json.loads(self.ctl("lease", "timetolive", f"{lease:x}", "-w", "json", api=3).stdout)["granted-ttl"] if lease else 0

    def revoke_leader(self):
        self.ctl("lease", "revoke", f"{self.leader_key()['lease']:x}", api=3)


class Etcd(Served):
    """Of its own hosts. `members`: 1 or 3. `tls`: it listens for clients with certificates of its authority alone.
    `user`: and who has no password is refused (a real one: by v3 only); he may do with the cluster's keys what he likes, and nothing else."""

    def __init__(self, rig, members, dialect, member=Member, tls=False, user=False):
        super().__init__(rig, {}, dialect)
        self.tls, self.user = tls, user
        if tls:
            authority = certificates.Authority(rig.home, "etcd-ca")
            os.chmod(authority.certificate, 0o644)
            addresses = [*list(HOSTS.values())[:members], "127.0.0.1"]
            authority.sign("etcd", f"{rig.home}/etcd.key", f"{rig.home}/etcd.crt", addresses)
            authority.sign("client", f"{rig.home}/client.key", f"{rig.home}/client.crt")
        self.members.update({host: member(self, host) for host in list(HOSTS)[:members]})

    def start(self):
        for member in self.members.values():
            member.start()
        if self.user and member.users_by_command:
            self.user = False
            self.wait_served()
            for command in AUTHENTICATION:
                self.ctl(*command.split(), api=3)
            self.user = True
        self.wait_served()

    def restart(self):
        """All members at once, with their data: they have forgotten the tokens that they gave."""
        for member in self.members.values():
            member.kill()
            member.start()
        self.wait_served()
