"""Catalogue C.3: what dies, and comes back."""
import glob
import os
import signal
import threading
import time

import inject
from network import wait_for
from scene import Failed, scenario


@scenario("FS-32", "asq", core=True, bounds=("L1", "L5"))
def primary_loses_power(s):
    """What it had not synced is gone when it comes back."""
    a, b, c = s.roles()
    number = inject.power_loss(s.world, s.node(a), "FS-32")
    s.wait_primary(but=[a])
    time.sleep(s.uniform("longer", 0.0, 2.0))
    inject.start(s.world, s.node(a), number, "FS-32")


@scenario("FS-33", "asq", bounds=("L5",), keep_epochs=True)
def agent_is_killed_and_back(s):
    """Within S: PostgreSQL is not restarted, the epoch is the same."""
    a, _, _ = s.roles()
    started = s.world.sql(s.node(a), "SELECT pg_postmaster_start_time()")
    _, number = s.world.signal(s.node(a), "agent", signal.SIGKILL, "FS-33")
    time.sleep(s.uniform("away", 0.0, s.S - 1.2))
    inject.start(s.world, s.node(a), number, "FS-33")
    time.sleep(s.ttl)
    if s.world.sql(s.node(a), "SELECT pg_postmaster_start_time()") != started:
        raise Failed("PostgreSQL was restarted")


@scenario("FS-34", "asq", bounds=("L1", "L5"))
def agent_is_killed(s):
    """And stays away: the fence ends the instance by K."""
    a, b, c = s.roles()
    began = time.monotonic()
    _, number = s.world.signal(s.node(a), "agent", signal.SIGKILL, "FS-34")
    s.wait_primary(but=[a])
    if s.node(a).postmaster_pid() is not None:
        raise Failed(f"PostgreSQL of {a} runs {time.monotonic() - began:.1f} s after its agent died, and {b} or {c} is a primary")
    time.sleep(s.uniform("longer", 0.0, 2.0))
    inject.start(s.world, s.node(a), number, "FS-34")


@scenario("FS-35", "aq", bounds=("L5",))
def fence_is_killed(s):
    """The kernel ends the postmaster at once, its children go with it; nothing is acknowledged 200 ms later."""
    a, b, c = s.roles()
    _, number = s.world.signal(s.node(a), "fence", signal.SIGKILL, "FS-35")
    killed = time.monotonic_ns()
    time.sleep(1.0)
    late = [w for w in s.clients.writes(f"at-{a}", killed + 200 * 10**6)
            if w["result"] == "ok" and w["begin"] < killed and w["end"] < killed + 10**9]
    if late:
        raise Failed(f"{len(late)} writes that began before the fence died were acknowledged more than 200 ms after it")
    if s.node(a).agent_pid() is None:
        inject.start(s.world, s.node(a), number, "FS-35")
    else:
        with s.world.log.act("FS-35", heals=number):
            pass
    s.wait_primary()


@scenario("FS-36", "asq", bounds=("L2", "L5"), keep_epochs=True)
def backend_is_killed(s):
    """PostgreSQL restarts itself after the crash: same timeline, no failover."""
    a, _, _ = s.roles()
    _, number = s.world.signal(s.node(a), "backend", signal.SIGKILL, "FS-36")
    with s.world.log.act("FS-36", heals=number):
        pass
    s.wait_primary()


@scenario("FS-38", "asq", core=True, bounds=("L4", "L5"))
def second_dies_while_the_third_takes_over(s):
    """Strict: without a second copy nothing is acknowledged until one is back."""
    a, b, c = s.roles()
    first = inject.kill_node(s.world, s.node(a), "FS-38")
    time.sleep(s.uniform("between", 0.0, s.ttl + 1.5))
    second = inject.kill_node(s.world, s.node(b), "FS-38")
    time.sleep(0.5)
    s.nobody_writes(s.uniform("seconds", 1.0, 2.0 * s.ttl)) if s.mode == "q" else time.sleep(s.ttl)
    back = [(a, first), (b, second)]
    s.random.shuffle(back)
    s.draw("back first", back[0][0])
    for name, number in back:
        inject.start(s.world, s.node(name), number, "FS-38")
        time.sleep(s.random.choice((0.0, 1.0, 2.0 * s.ttl)))
    s.wait_primary()


@scenario("FS-40", "asq", core=True, bounds=("L8", "L5"))
def all_die_at_once(s):
    """By power loss or kill; they are started in one of six orders, with delays of 0, ttl or 5 ttl."""
    names = list(s.world.nodes)
    how = s.choice("by", ("power loss", "kill"))
    numbers = {}
    if how == "kill":
        threads = [threading.Thread(target=lambda n=n: numbers.update({n: inject.kill_node(s.world, s.node(n), "FS-40")})) for n in names]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    else:
        # Everything stands still before the first disk is copied: one instant for all of them.
        for n in names:
            s.node(n).cgroup.freeze()
        for n in names:
            numbers[n] = inject.power_loss(s.world, s.node(n), "FS-40")
    s.random.shuffle(names)
    delays = [s.random.choice((0.0, 1.0 * s.ttl, 5.0 * s.ttl)) for _ in names[1:]] + [0.0]
    s.draw("order", " ".join(f"{n}+{d:.0f}" for n, d in zip(names, delays)))
    for n, delay in zip(names, delays):
        inject.start(s.world, s.node(n), numbers[n], "FS-40")
        time.sleep(delay)
    s.wait_primary()


@scenario("FS-41", "asq", bounds=("L8",))
def one_of_three_never_returns(s):
    """All are stopped cleanly; two are started, then, at the end, the third."""
    names = list(s.world.nodes)
    s.random.shuffle(names)
    numbers = {}
    for n in names:
        numbers[n] = s.world.signal(s.node(n), "agent", signal.SIGTERM, "FS-41")[1]
    for n in names:
        wait_for(f"{n} has stopped", lambda n=n: s.node(n).agent_pid() is None and s.node(n).postmaster_pid() is None, 60)
    s.draw("away", names[2])
    for n in names[:2]:
        inject.start(s.world, s.node(n), numbers[n], "FS-41")
    s.wait_primary(among=names[:2])
    s.clients.wait_writable(30)
    inject.start(s.world, s.node(names[2]), numbers[names[2]], "FS-41")


@scenario("FS-42", "q", bounds=("L5",))
def majority_is_lost_for_good(s):
    """Both standbys. The operator makes a group of the primary's member and orders the promotion; the old members come back, and are refused."""
    a, b, c = s.roles()
    lost = {n: inject.kill_node(s.world, s.node(n), "FS-42") for n in (b, c)}
    _, number = s.world.signal(s.node(a), "agent", signal.SIGTERM, "FS-42")
    wait_for(f"{a} has stopped", lambda: s.node(a).agent_pid() is None and s.node(a).postmaster_pid() is None, 60)
    answer = s.world.recover(s.node(a))
    if answer.returncode != 0:
        raise Failed(f"raft recover: {answer.stderr}")
    inject.start(s.world, s.node(a), number, "FS-42")
    s.nobody_writes(s.uniform("seconds", 2.0 * s.ttl, 3.0 * s.ttl))
    if s.primaries():
        raise Failed(f"{s.primaries()} is a primary, and nobody has ordered it")
    for n in lost:
        logged = len(s.node(n).log_text())
        inject.start(s.world, s.node(n), lost[n], "FS-42")
        wait_for(f"{n} is refused", lambda n=n, at=logged: "recovered from ours" in s.node(n).log_text()[at:] and s.node(n).agent_pid() is None, 30)
    answer = s.world.ctl_at(s.node(a), "failover", "--candidate", a, "--force")
    if answer.returncode != 0:
        raise Failed(f"failover: {answer.stdout}{answer.stderr}")
    s.wait_primary(among=[a])
    for n in lost:
        with s.world.log.act("FS-42", n, heals=lost[n]):
            for path in glob.glob(os.path.join(s.node(n).home, "raft", "raft.db*")):  # as their message says
                os.unlink(path)
            s.node(n).start_agent()


@scenario("FS-44", "aq", core=True, bounds=("L5",))
def former_primary_wakes_up_during_the_promotion(s):
    """Its agent stands still until about when another is promoted; strict: its fence too, so that it still runs as a primary."""
    a, b, c = s.roles()
    both = s.mode == "q" and s.choice("fence", ("stands still, too", "works")) != "works"
    stopped = [s.world.signal(s.node(a), what, signal.SIGSTOP, "FS-44") for what in (("fence", "agent") if both else ("agent",))]
    began, stood = time.monotonic(), time.monotonic_ns()
    inject.sleep_until(began + s.uniform("awake after", s.ttl - 0.5, s.ttl + 2.0))
    for pid, number in reversed(stopped):
        inject.go_on(s.world, s.node(a), pid, number, "FS-44")
    if both:
        s.fence_stood(stood, time.monotonic_ns())
    s.wait_primary()


@scenario("FS-45", "asq", bounds=("L1", "L5"))
def each_new_primary_is_killed(s):
    """As soon as it answers, three times over; the one that was killed before is back by then."""
    for turn in range(3):
        name = s.wait_primary()
        number = inject.kill_node(s.world, s.node(name), "FS-45")
        s.wait_primary(but=[name])
        inject.start(s.world, s.node(name), number, "FS-45")
        if turn < 2:
            s.world.wait_streaming(s.node(name), timeout=60)
            s.wait_synchronous()


@scenario("FS-46", "asq", bounds=("L3",), lossless=True)
def switchovers_under_load(s):
    """Eight, with or without packets that get lost; now and then the old primary's agent dies in the middle."""
    percent = s.choice("loss %", (0, 0, 2))
    lossy = inject.lose(s.world, "loss", percent, list(s.world.nodes)) if percent else None
    for _ in range(8):
        a, b, _ = s.roles()
        killed = s.random.random() < 0.25
        s.lossless = s.lossless and not killed
        with s.world.log.act("FS-46", a, to=b, agent_killed=killed) as told:
            if killed:
                killer = threading.Timer(s.random.uniform(0.0, 0.5), lambda n=a: kill_quietly(s.node(n)))
                killer.start()
            answer = s.world.ctl("switchover", "--leader", a, "--candidate", b, "--force", check=False, timeout=60)
            told["evidence"] = answer.stdout.strip().split("\n")[-1][:100] or "no answer"
        if killed:
            killer.join()
            wait_for(f"the agent of {a} is gone", lambda n=a: s.node(n).agent_pid() is None, 10)
            inject.start(s.world, s.node(a), told["number"], "FS-46")
        s.wait_primary()
        wait_for("healthy", s.world.healthy, 60)
        s.wait_synchronous()
    if lossy is not None:
        inject.heal(s.world, lossy, "loss")


def kill_quietly(node):
    try:
        node.kill_agent()
    except (ProcessLookupError, TypeError):
        pass  # there was none any more
