"""Hosts in network namespaces on one bridge, which is in a namespace of its own: links can be cut without either end noticing. Needs root."""
import contextlib
import ctypes
import http.client
import os
import shutil
import subprocess
import tempfile
import time

CLONE_NEWNET = 0x40000000  # of linux/sched.h
LIBC = ctypes.CDLL(None, use_errno=True)


def run(*args, check=True, **kwargs):
    return subprocess.run(args, check=check, stdin=subprocess.DEVNULL, capture_output=True, text=True, **kwargs)


def wait_for(what, condition, timeout, every=0.1):
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {timeout} s")
        time.sleep(every)


def make_home(kind, on_disk=False):
    """A directory of this process's: run_e2e.sh removes those of processes that are gone. Not below /tmp: where the document names that, a node
    has one of its own. With E2E_MEMORY it is in memory, unless `on_disk`: what is synced there costs nothing."""
    home = tempfile.mkdtemp(prefix=f"pgquorum-{kind}-{os.getpid()}-", dir="/var/tmp")
    if os.environ.get("E2E_MEMORY") and not os.environ.get("KEEP") and not on_disk:
        run("mount", "-t", "tmpfs", "pgquorum", home)
    os.chmod(home, 0o755)
    return home


def remove_home(home):
    if os.environ.get("KEEP"):
        kept = home + ".kept"
        os.rename(home, kept)
        print(f"kept: {kept}")
        return
    if os.path.ismount(home):
        run("umount", "-l", home)
    shutil.rmtree(home, ignore_errors=True)


def set_namespace(fd):
    """The network namespace of this thread, of what it opens and of what it starts."""
    if LIBC.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@contextlib.contextmanager
def in_namespace(name):
    """What is connected in the block is so from there, and stays so behind it."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        there = os.open(f"/run/netns/{name}", os.O_RDONLY)
        try:
            set_namespace(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            set_namespace(own)
    finally:
        os.close(own)


class Network:
    """`addresses`: {host: address}; `more`: {host: [address, ...]} beside it, for services of their own. `id` is unique on this machine."""

    count = 0

    def __init__(self, addresses, more=None):
        Network.count += 1
        self.id = f"pgq{os.getpid()}-{Network.count}"
        self.addresses, self.more, self.children = addresses, more or {}, []

    def namespace(self, host):
        return f"{self.id}-{host}"

    def port(self, host):
        return f"p-{host}"

    def nft(self, *lines):
        run("ip", "netns", "exec", self.namespace("switch"), "nft", "; ".join(lines))

    def make_network(self):
        switch = self.namespace("switch")
        run("ip", "netns", "add", switch)
        run("ip", "-n", switch, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", switch, "link", "set", "br0", "up")
        for host, address in self.addresses.items():
            ns = self.namespace(host)
            run("ip", "netns", "add", ns)
            run("ip", "-n", ns, "link", "set", "lo", "up")
            run("ip", "-n", switch, "link", "add", self.port(host), "type", "veth", "peer", "name", "eth0", "netns", ns)
            run("ip", "-n", switch, "link", "set", self.port(host), "master", "br0", "up")
            for one in [address, *self.more.get(host, [])]:
                run("ip", "-n", ns, "address", "add", f"{one}/16", "dev", "eth0")
            run("ip", "-n", ns, "link", "set", "eth0", "up")
        self.heal()

    def heal(self):
        self.nft("add table bridge cut", "delete table bridge cut", "add table bridge cut",
                 "add chain bridge cut links { type filter hook forward priority 0 ; }")

    def isolate(self, host):
        """Cut from everything, established connections hang: the hard case."""
        port = self.port(host)
        self.nft(f"add rule bridge cut links iifname {port} drop", f"add rule bridge cut links oifname {port} drop")

    def cut(self, host, others):
        """From these, both ways; everybody else still reaches it."""
        port, addresses = self.port(host), "{ " + ", ".join(self.addresses[o] for o in others) + " }"
        self.nft(f"add rule bridge cut links iifname {port} ip daddr {addresses} drop",
                 f"add rule bridge cut links oifname {port} ip saddr {addresses} drop")

    def request(self, host, address, method, path, body=None, headers=None, timeout=2, port=8008):
        """Status and text of what `address` answers to `host`; raises OSError or http.client.HTTPException."""
        connection = http.client.HTTPConnection(address, port, timeout=timeout)
        try:
            with in_namespace(self.namespace(host)):
                connection.connect()
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def host_popen(self, host, argv, **kwargs):
        child = subprocess.Popen(["ip", "netns", "exec", self.namespace(host)] + argv, **kwargs)
        self.children.append(child)
        return child

    def end_children(self):
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()

    def remove_network(self):
        for host in list(self.addresses) + ["switch"]:
            run("ip", "netns", "delete", self.namespace(host), check=False)
