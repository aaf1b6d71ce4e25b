"""Catalogue C.4: who waits for whom, and members with another past."""
import os
import signal
import subprocess
import threading
import time

import evidence
import history
import inject
from network import wait_for
from scene import Failed, scenario
from world import state_of


class Setting(threading.Thread):
    """Every value that synchronous_standby_names had on a node: asked as often as it answers."""

    def __init__(self, world, node):
        super().__init__(daemon=True)
        self.world, self.node, self.seen, self.stopped = world, node, [], threading.Event()

    def run(self):
        code = ("import sys, time, psycopg2\nc = psycopg2.connect(host=sys.argv[1], user='postgres', password='zalando', dbname='postgres')\n"
                "c.autocommit = True\nk = c.cursor()\n"
                "while True:\n    k.execute('SHOW synchronous_standby_names')\n    print(k.fetchone()[0], flush=True)\n    time.sleep(0.01)\n")
        child = self.world.host_popen("observer", ["/usr/bin/python3", "-c", code, self.node.address], stdin=subprocess.DEVNULL,
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in child.stdout:
            if not self.seen or self.seen[-1] != line.strip():
                self.seen.append(line.strip())
            if self.stopped.is_set():
                break
        child.kill()


WAITING = "FROM pg_stat_activity WHERE backend_type = 'client backend' AND wait_event = 'SyncRep'"
CANCELLED = ("canceling wait for synchronous replication due to user request",
             "canceling the wait for synchronous replication and terminating connection due to administrator command")
REPORTED = "without the synchronous standbys: the wait for them was cancelled"


def lines_with(node, *words):
    """How many lines of the server's log have one of them."""
    found = 0
    for path in [node.log] + evidence.server_logs(node):
        with open(path, errors="replace") as f:
            found += sum(any(word in line for word in words) for line in f)
    return found


def cancel_and_fail_over(s):
    """The primary is cut off from its standbys; waits of its clients are cancelled, in one of two ways; then it dies, and with it what nobody has.
    Returns how many cancelled waits the server has told of, and for how many the guard has named the transaction."""
    a, b, c = s.roles()
    began = history.now()
    number = inject.cut_service(s.world, "cut", [(a, b), (a, c)], "pg")
    call = s.choice("by", ("pg_cancel_backend", "pg_terminate_backend"))
    with s.world.log.act("FS-48", a, call=call) as told:
        signals = 0
        for _ in range(5):
            wait_for("a commit that waits", lambda: int(s.world.sql(s.node(a), f"SELECT count(*) {WAITING}")), 10, 0.05)
            signals += int(s.world.sql(s.node(a), f"SELECT count({call}(pid)) {WAITING}"))
        told["evidence"] = f"{signals} signals"
    wait_for("what the clients were told is written down", lambda: lines_with(s.node(a), *CANCELLED), 5)
    dead = inject.kill_node(s.world, s.node(a), "FS-48")
    cancelled, reported = lines_with(s.node(a), *CANCELLED), lines_with(s.node(a), REPORTED)
    warned = sum(w["result"] == "warned" for w in s.clients.all_writes(began))
    s.draw("waits cancelled", cancelled)
    s.draw("warned", warned)
    s.draw("named by the guard", reported)
    s.wait_primary(but=[a])
    inject.heal(s.world, number, "cut")
    inject.start(s.world, s.node(a), dead, "FS-48")
    return cancelled, reported


@scenario("FS-48", "sq", core=True, bounds=("L5",), quiet=False)
def wait_is_cancelled(s):
    """A commit that was answered with a warning is no acknowledgement; no other is lost."""
    cancel_and_fail_over(s)


@scenario("FS-48", "sq", core=True, bounds=("L5",), name="FS-48-guard", quiet=False, guarded=True)
def wait_is_cancelled_and_reported(s):
    """Besides, each such commit is named in the server's log."""
    cancelled, reported = cancel_and_fail_over(s)
    if reported != cancelled:
        raise Failed(f"{cancelled} waits were cancelled, and the guard has named {reported} of them")


@scenario("FS-49", "sq", core=True, bounds=("L5",))
def names_never_empty(s):
    """Standbys leave in either order and come back, the configuration is reloaded again and again; then the primary dies."""
    a, b, c = s.roles()
    trace = Setting(s.world, s.node(a))
    trace.start()
    wait_for("the setting is traced", lambda: trace.seen, 10)
    reloads = threading.Event()

    def storm():
        while not reloads.wait(s.random.uniform(0.05, 0.3)):
            pid = s.node(a).postmaster_pid()
            if pid is not None:
                os.kill(pid, signal.SIGHUP)
    storming = threading.Thread(target=storm, daemon=True)
    storming.start()
    away = []
    for name in (b, c) if s.mode == "q" else (b,):
        away.append((name, inject.kill_node(s.world, s.node(name), "FS-49")))
        time.sleep(s.uniform("between", 0.5, 2.5 * s.ttl))
    if s.mode == "s":
        inject.start(s.world, s.node(b), away[0][1], "FS-49")
        away = []
        s.world.wait_streaming(s.node(b), timeout=60)
        s.wait_synchronous()
    s.random.shuffle(away)
    for name, number in away:
        inject.start(s.world, s.node(name), number, "FS-49")
        time.sleep(s.random.uniform(0.0, 2.0))
    reloads.set()
    storming.join()
    s.wait_primary()
    s.world.wait_healthy()
    s.wait_synchronous()
    trace.stopped.set()
    if "" in trace.seen:
        raise Failed(f"synchronous_standby_names was empty in between: {trace.seen}")
    s.draw("settings seen", len(trace.seen))
    number = inject.kill_node(s.world, s.node(a), "FS-49")
    s.wait_primary(but=[a])
    inject.start(s.world, s.node(a), number, "FS-49")


@scenario("FS-52", "a", core=True, bounds=())
def diverged_primary_is_rewound(s):
    """Written on the old branch alone; the rewind is let be, or interrupted by the death of pg_rewind, of the node, or of its source."""
    a, b, c = s.roles()
    number = inject.cut_service(s.world, "cut", [(a, b), (a, c)], "pg")
    time.sleep(1.0)  # acknowledged on the primary, and there alone
    dead = inject.kill_node(s.world, s.node(a), "FS-52")
    inject.heal(s.world, number, "cut")
    new = s.wait_primary(but=[a])
    how = s.choice("rewind", ("let be", "killed", "node dies", "source dies", "power loss"))
    inject.start(s.world, s.node(a), dead, "FS-52")
    if how == "let be":
        return

    def rewinding():
        return next((pid for pid, exe in s.node(a).processes().items() if os.path.basename(exe) == "pg_rewind"), None)
    try:
        pid = wait_for("pg_rewind runs", rewinding, 20, 0.002)
    except TimeoutError:
        s.draw("too quick", True)
        return
    time.sleep(s.random.uniform(0.0, 0.05))
    if how == "killed" and state_of(pid) not in (None, "Z"):
        with s.world.log.act("FS-52", a, process="pg_rewind", pid=pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                s.draw("too quick", True)
    elif how in ("node dies", "power loss"):
        again = (inject.kill_node if how == "node dies" else inject.power_loss)(s.world, s.node(a), "FS-52")
        inject.start(s.world, s.node(a), again, "FS-52")
    elif how == "source dies":
        again = inject.kill_node(s.world, s.node(new), "FS-52")
        s.wait_primary(but=[new])
        inject.start(s.world, s.node(new), again, "FS-52")
