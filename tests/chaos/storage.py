"""Catalogue C.5: disks that are full, slow, wrong or empty."""
import os
import shutil
import sqlite3
import subprocess
import time

import evidence
import inject
from network import wait_for
from scene import Failed, scenario


@scenario("FS-58", "aq", core=True, bounds=("L5",), pg_mib=320)
def disk_is_full(s):
    """PostgreSQL's or Raft's, on the primary, a standby or all; whole again without anybody's surgery."""
    a, b, c = s.roles()
    kind, where = s.choice("disk", ("pg", "raft")), s.choice("of", ("the primary", "a standby", "all"))
    names = {"the primary": [a], "a standby": [b], "all": [a, b, c]}[where]
    numbers = {n: inject.fill(s.world, s.node(n), kind, "FS-58") for n in names}
    # A WAL segment that is there already takes writes for a while: the next one is asked for.
    for n in names if kind == "pg" and a in names else ():
        try:
            s.world.sql(s.node(n), "SELECT pg_switch_wal()", timeout=5)
        except subprocess.SubprocessError:
            pass
    time.sleep(s.uniform("seconds", 2.0 * s.ttl, 5.0 * s.ttl))
    for n in names:
        inject.empty(s.world, s.node(n), kind, numbers[n], "FS-58")
    s.wait_primary()


@scenario("FS-59", "aq", bounds=("L5",))
def disk_stalls(s):
    """PostgreSQL's or Raft's of the primary, for 1 s to 4 ttl: REST answers all the while."""
    a, _, _ = s.roles()
    kind, seconds = s.choice("disk", ("pg", "raft")), s.uniform("seconds", 1.0, 4.0 * s.ttl)
    number = inject.stall(s.world, s.node(a), kind, "FS-59")
    end = time.monotonic() + seconds
    silent = 0
    while time.monotonic() < end:
        silent = 0 if s.world.http_status(s.node(a).rest_address, "/liveness", host="observer", timeout=2) is not None else silent + 1
        if silent >= 3:
            break
        time.sleep(0.2)
    inject.unstall(s.world, s.node(a), kind, number, "FS-59")
    if silent >= 3:
        raise Failed(f"REST of {a} did not answer while its disk stood still")
    s.wait_primary()


@scenario("FS-60", "a", bounds=("L5",))
def fsync_fails_once(s):
    """EIO, and the next one succeeds: the agent ends, and says why; nothing is tried again."""
    a, b, _ = s.roles()
    name = s.choice("of", (a, b))
    pid = s.node(name).agent_pid()
    with inject.traced(s.world, s.node(name), "agent", "FS-60", "fdatasync,fsync:error=EIO:when=1", "fdatasync,fsync") as told:
        wait_for("the agent has ended", lambda: inject.gone(pid), 20)
    if "I/O" not in s.node(name).log_text() and "disk" not in s.node(name).log_text():
        raise Failed("the agent ended and did not say that its disk failed")
    inject.start(s.world, s.node(name), told["number"], "FS-60")
    s.wait_primary()


def raft_file(node):
    """The file that holds term, vote and log."""
    folder = os.path.join(node.home, "raft")
    found = [os.path.join(folder, f) for f in os.listdir(folder) if os.path.isfile(os.path.join(folder, f))]
    return next(f for f in found if open(f, "rb").read(15) == b"SQLite format 3")


@scenario("FS-61", "a", bounds=("L5",))
def tail_of_the_log_is_lost(s):
    """Power loss again and again, of one node after another: what was acknowledged in the store is there."""
    names = list(s.world.nodes)
    s.random.shuffle(names)
    for name in names:
        before = evidence.versions(s.world)
        number = inject.power_loss(s.world, s.node(name), "FS-61")
        time.sleep(s.random.uniform(0.0, 1.0))
        inject.start(s.world, s.node(name), number, "FS-61")
        s.wait_primary()
        s.world.wait_healthy(timeout=90)
        after = evidence.versions(s.world)
        back = [k for k in before if after.get(k, 0) < before[k] and "/members/" not in k and "/leader" not in k]
        if back:
            raise Failed(f"keys went back after the power loss of {name}: {back}")


@scenario("FS-62", "aq", core=True, bounds=("L5",))
def raft_log_is_corrupt(s):
    """Bytes of it are flipped while the node is down: it is found by checksum, and the member is rebuilt from its peers."""
    a, b, _ = s.roles()
    name = s.choice("of", (b, a))
    number = inject.kill_node(s.world, s.node(name), "down")
    path = raft_file(s.node(name))
    # What SQLite's log of the last changes holds is in the file first, as after any checkpoint.
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    size = os.path.getsize(path)
    flips = sorted(s.random.randrange(0, size) for _ in range(s.choice("bytes", (1, 8, 64))))
    with s.world.log.act("FS-62", name, file=os.path.basename(path), offsets=flips) as told:
        with open(path, "r+b") as f:
            for offset in flips:
                f.seek(offset)
                byte = f.read(1)[0]
                f.seek(offset)
                f.write(bytes([byte ^ (1 << s.random.randrange(8))]))
        told["evidence"] = f"{len(flips)} of {size} bytes"
    shutil.chown(path, "postgres", "postgres")
    logged = len(s.node(name).log_text())
    inject.start(s.world, s.node(name), number, "down")

    def outcome():
        if s.node(name).agent_pid() is None:
            return "refused"
        return "started" if s.world.http_status(s.node(name).rest_address, "/liveness", host="observer") == 200 else None
    time.sleep(1.0)
    wait_for("the member starts or refuses to", outcome, 30)
    time.sleep(s.ttl)
    came = s.draw("member", outcome() or "silent")
    text = s.node(name).log_text()[logged:]
    if came == "refused":
        if "corrupt" not in text and "damaged" not in text and "malformed" not in text and "not a database" not in text:
            raise Failed(f"it ended without a word of corruption: {text[-500:]}")
        for entry in os.listdir(os.path.join(s.node(name).home, "raft")):
            whole = os.path.join(s.node(name).home, "raft", entry)
            shutil.rmtree(whole) if os.path.isdir(whole) else os.unlink(whole)
        s.node(name).start_agent()
    with s.world.log.act("FS-62", name, heals=told["number"]):
        pass
    s.wait_primary()


@scenario("FS-63", "aq", core=True, bounds=("L4", "L5"))
def raft_directory_is_wiped(s):
    """Of a standby; it starts with the other standby alone, the primary is cut off: no majority, so no second cluster and no primary."""
    a, b, c = s.roles()
    dead = inject.kill_node(s.world, s.node(b), "down")
    with s.world.log.act("FS-63", b):
        for entry in os.listdir(os.path.join(s.node(b).home, "raft")):
            whole = os.path.join(s.node(b).home, "raft", entry)
            shutil.rmtree(whole) if os.path.isdir(whole) else os.unlink(whole)
    cut = inject.cut(s.world, "cut", [(a, c), (a, b)], seen=False)
    inject.start(s.world, s.node(b), dead, "down")
    time.sleep(s.K + 1)
    s.nobody_writes(s.uniform("seconds", 1.0 * s.ttl, 3.0 * s.ttl))
    if s.primaries():
        raise Failed(f"{s.primaries()} is a primary where one of three voters is left")
    inject.heal(s.world, cut, "cut")
    with s.world.log.act("FS-63", b, heals=dead):
        pass
    s.wait_primary()


@scenario("FS-64", "aq", bounds=("L5",))
def old_copy_of_the_raft_directory(s):
    """A standby comes back with what its Raft directory was some time ago: the others know better, and it stops."""
    a, b, _ = s.roles()
    node = s.node(b)
    down = inject.kill_node(s.world, node, "down")
    path = raft_file(node)
    with open(path, "rb") as f:
        old = f.read()
    saved = {p: open(p, "rb").read() for p in (path + "-wal",) if os.path.exists(p)}
    inject.start(s.world, node, down, "down")
    s.world.wait_streaming(node)
    for i in range(5):
        s.configure(maximum_lag_on_failover=1048570 - i)
    s.configure(maximum_lag_on_failover=1048576)
    down = inject.kill_node(s.world, node, "down")
    with s.world.log.act("FS-64", b):
        for suffix in ("", "-wal", "-shm"):
            if os.path.exists(path + suffix):
                os.unlink(path + suffix)
        for p, data in {path: old, **saved}.items():
            with open(p, "wb") as f:
                f.write(data)
            shutil.chown(p, "postgres", "postgres")
    logged = len(node.log_text())
    inject.start(s.world, node, down, "down")
    wait_for("it is told to stop", lambda: node.agent_pid() is None and "old copy" in node.log_text()[logged:], 30)
    for suffix in ("", "-wal", "-shm"):
        if os.path.exists(path + suffix):
            os.unlink(path + suffix)
    with s.world.log.act("FS-64", b, heals=s.world.log.number):
        node.start_agent()
    s.wait_primary()
