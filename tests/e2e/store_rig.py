"""Three members of a plain store, a real etcd's or ours (witnesses only), and a client, each on a host of its own."""
import json
import os
import shutil
import signal
import subprocess
import sys

import etcd
import listener
from network import Network, make_home, remove_home, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
CLIENT = "172.20.0.20"


class StoreRig(Network):
    """`kind`: etcd or ours."""

    def __init__(self, build, kind):
        self.home = make_home("store")
        self.broken = False  # no other test is to go on with it
        self.store = etcd.Etcd(self, 3, "etcd3", etcd.Member if kind == "etcd" else listener.Witness)
        super().__init__(dict({host: m.address for host, m in self.store.members.items()}, client=CLIENT))
        try:
            if kind == "ours":
                shutil.copy(os.path.join(build, "pgquorum"), self.binary("pgquorum"))
            self.make_network()
            self.store.start()
        except BaseException:
            self.show()
            self.close()
            raise

    def binary(self, program):
        return os.path.join(self.home, program)

    def load(self, **settings):
        """Clients of it; see etcd_load.py. Gives their process; what they noted is in its `out`."""
        out = os.path.join(self.home, f"load{len(self.children)}.jsonl")
        config = dict({"endpoints": [f"{m.address}:2379" for m in self.store.members.values()], "out": out,
                       "prefix": f"/load{len(self.children)}/", "seed": 1}, **settings)
        child = self.host_popen("client", [sys.executable, os.path.join(HERE, "etcd_load.py"), json.dumps(config)], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, text=True)
        child.out = out
        assert child.stdout.readline() == "running\n", "the clients have not started"
        return child

    def others(self, member):
        return [m.host for m in self.store.members.values() if m is not member]

    def wait_leader(self, but=None, timeout=20):
        """A leader that a majority knows, other than `but`."""
        def found():
            leader = self.store.leader()
            return leader if leader is not None and leader is not but else None
        return wait_for("a leader" if but is None else f"a leader other than {but.host}", found, timeout)

    def show(self):
        for member in self.store.members.values():
            if os.path.exists(member.log):
                print(f"--- {member.log}")
                with open(member.log) as f:
                    print("".join(f.readlines()[-30:]))

    def close(self):
        for child in self.children:
            if child.poll() is None:
                child.send_signal(signal.SIGCONT)
        self.end_children()
        self.remove_network()
        remove_home(self.home)
