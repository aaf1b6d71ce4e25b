"""Catalogue C.6: configuration, membership, and what an agent needs of its host."""
import fcntl
import os
import shutil
import signal
import time

import inject
from network import run
from scene import Failed, scenario

F_SETPIPE_SZ = 1031


@scenario("FS-68", "aq", bounds=("L5",))
def ttl_changes_during_a_partition(s):
    """3, 6, 3 s again, while the primary is cut off, or about to be: each renewal carries the ttl that both sides use."""
    a, b, c = s.roles()
    s.configure(ttl=6)
    time.sleep(s.uniform("before", 0.0, 2.0))
    if s.choice("shorter", ("before the cut", "behind it")) == "before the cut":
        s.configure(ttl=3)
        time.sleep(s.random.uniform(0.0, 0.5))
        number = inject.cut(s.world, "FS-68", [(a, b), (a, c)])
    else:
        number = inject.cut(s.world, "FS-68", [(a, b), (a, c)])
        s.wait_primary(but=[a])
        s.configure(ttl=3)
    s.wait_primary(but=[a])
    time.sleep(s.uniform("longer", 0.0, 3.0))
    inject.heal(s.world, number, "FS-68")


@scenario("FS-71", "aq", bounds=("L5",))
def member_is_replaced_during_a_fault(s):
    """A standby's Raft directory and data are lost, it comes back empty, and meanwhile the primary's node dies or is cut off from the other."""
    a, b, c = s.roles()
    dead = inject.kill_node(s.world, s.node(b), "FS-71")
    with s.world.guard.set_aside(s.node(b)):
        for folder in ("raft", "data"):
            whole = os.path.join(s.node(b).home, folder)
            for entry in os.listdir(whole):
                path = os.path.join(whole, entry)
                shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
    if s.choice("meanwhile", ("the primary and the other do not hear each other", "the primary dies")) == "the primary dies":
        inject.start(s.world, s.node(b), dead, "FS-71")
        time.sleep(s.uniform("after", 0.0, 4.0))
        down = inject.kill_node(s.world, s.node(a), "down")
        time.sleep(2.0 * s.ttl)
        inject.start(s.world, s.node(a), down, "down")
    else:
        cut = inject.cut(s.world, "cut", [(a, c)])
        inject.start(s.world, s.node(b), dead, "FS-71")
        time.sleep(2.0 * s.ttl)
        inject.heal(s.world, cut, "cut")
    s.wait_primary()


def descriptors(pid):
    """How many it may have: the soft limit."""
    with open(f"/proc/{pid}/limits") as f:
        return next(int(line.split()[3]) for line in f if line.startswith("Max open files"))


def limit_descriptors(pid, count):
    """As its own user: root need not be allowed to here."""
    run("runuser", "-u", "postgres", "--", "prlimit", "--pid", str(pid), f"--nofile={count}:")


@scenario("FS-75", "aq", bounds=("L5",))
def agent_has_no_descriptors(s):
    """The primary's agent can open nothing more; then it is cut off: the fence needs none."""
    a, b, c = s.roles()
    pid = s.node(a).agent_pid()
    before, held = descriptors(pid), len(os.listdir(f"/proc/{pid}/fd"))
    with s.world.log.act("FS-75", a, open=held, limit=held) as told:
        limit_descriptors(pid, held)
        told["evidence"] = f"limit {descriptors(pid)}" if descriptors(pid) == held else ""
    time.sleep(s.uniform("before the cut", 0.0, 2.0 * s.ttl))
    cut = inject.cut(s.world, "cut", [(a, b), (a, c)])
    s.wait_primary(but=[a])
    inject.heal(s.world, cut, "cut")
    with s.world.log.act("FS-75", a, heals=told["number"]):
        if s.node(a).agent_pid() == pid:
            limit_descriptors(pid, before)


@scenario("FS-76", "a", bounds=("L5",), keep_epochs=True, names=True)
def names_are_not_resolved(s):
    """The name server is silent, knows nobody, or lies. Once, a standby has to connect anew meanwhile: what is open goes on, and nobody fails over."""
    a, b, c = s.roles()
    for _ in range(2):
        how = s.choice("names", ("silent", "missing", "wrong"))
        with s.world.log.act("FS-76", how=how) as told:
            before = s.world.resolve(how)
            cut = inject.cut(s.world, "cut", [(b, a), (b, c)])
            time.sleep(s.uniform("cut", 0.5, 1.0 * s.ttl))
            inject.heal(s.world, cut, "cut")
            time.sleep(2.0 * s.ttl)
            if s.primaries() != [a]:
                raise Failed(f"primaries are {s.primaries()} where only names were missing")
            asked = s.world.resolve("answer") - before
            told["evidence"] = f"{asked} questions" if asked else ""
        with s.world.log.act("FS-76", heals=told["number"]):
            pass
        s.world.wait_streaming(s.node(b), timeout=60)


@scenario("FS-77", "a", bounds=("L5",), keep_epochs=True)
def log_is_blocked(s):
    """The primary's agent writes its log into a pipe that is full and that nobody reads: no failover, and PostgreSQL goes on."""
    a, _, _ = s.roles()
    node, usual = s.node(a), s.node(a).log
    pipe = os.path.join(s.world.home, "blocked")
    os.mkfifo(pipe)
    os.chmod(pipe, 0o666)
    ours = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    fcntl.fcntl(ours, F_SETPIPE_SZ, 4096)
    _, down = s.world.signal(node, "agent", signal.SIGKILL, "log moves")
    node.log = pipe
    inject.start(s.world, node, down, "log moves")
    node.log = usual
    s.wait_primary()
    with s.world.log.act("FS-77", a) as told:
        try:
            while True:
                os.write(ours, b"." * 512)
        except BlockingIOError:
            told["evidence"] = "the pipe takes no more"
    time.sleep(6 * s.ttl)
    if s.primaries() != [a]:
        raise Failed(f"primaries are {s.primaries()}")
    with s.world.log.act("FS-77", a, heals=told["number"]):
        try:
            while os.read(ours, 65536):
                time.sleep(0.1)
        except BlockingIOError:
            pass
